//! Where all clients are, for finding the nearest few: a tree over the bits of positions. The store keeps one beside its
//! map, under the same lock; `tree` is it, `search` finds those near a position or in an area, `sphere` has the distances.
//! It knows clients by the hashes of their IDs, and touches nothing but `protocol`'s coordinates and `limits`.
//!
//! The globe is cut in two, east and west, and each half into south and north, and so on. A part of it with few clients
//! is a leaf, which lists them; one that has more than that is cut again. So leaves are small where clients are many, be
//! it one city or the whole world. A leaf has no positions: these are in the records, so that a client that moves within
//! its leaf costs the index nothing. There is nothing special about the poles and the date line but in `sphere`, which
//! knows how near a part of the globe is at its nearest.

mod depths;
mod key;
mod leaf;
mod search;
mod slab;
mod sphere;
mod tree;

pub use search::{Corners, Leaves};
pub use sphere::{Centre, Haversine, distance_m, reach};
pub use tree::{Index, Locate};

#[cfg(test)]
mod tests;
