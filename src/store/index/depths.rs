//! How small leaves are around a position at most: so a short move is known to stay in its leaf with one look at a small
//! table. The tree keeps it.

use super::key::{east, north};
use crate::protocol::Coordinates;

/// Bits of keys by which the globe is cut into squares, of 1.7 by 0.8 degrees, and the squares.
const SQUARE_BITS: u32 = 16;
const SQUARES: usize = 1 << SQUARE_BITS;

/// For each square, bits that are the same in all keys of any leaf in it. It never gets less: a square in which very many
/// were at one spot costs every move in it a look at the tree.
pub struct Depths(Box<[u8]>);

impl Default for Depths {
    fn default() -> Depths {
        // Leaves that are larger than a square are taken for one.
        Depths(vec![SQUARE_BITS as u8; SQUARES].into())
    }
}

fn square_of(at: Coordinates) -> usize {
    const REST: u32 = u32::BITS - SQUARE_BITS / 2;
    ((east(at) >> REST) << (SQUARE_BITS / 2) | north(at) >> REST) as usize
}

impl Depths {
    /// Who has so many bits in common with somebody here is in the same leaf.
    pub fn around(&self, at: Coordinates) -> u32 {
        u32::from(self.0[square_of(at)])
    }

    /// There is a leaf here for keys with so many common bits.
    pub fn note(&mut self, at: Coordinates, bits: u32) {
        let depth = &mut self.0[square_of(at)];
        *depth = (*depth).max(bits as u8);
    }
}
