//! The bounds of finding who is nearest: of the index of positions, and of what is asked of it. `limits` hands them on.

/// Slots of a leaf of the index, how many clients it may have before it is cut in two, and how many two halves may have
/// together when they are joined again: half as many, so that a leaf which was joined is not cut at the next move. With
/// smaller leaves more moves are from one to another; with larger ones more records are read for who is near.
pub const INDEX_LEAF_SLOTS: usize = 64;
pub const INDEX_LEAF_MAX: usize = 48;
pub const INDEX_LEAF_JOINED: usize = 24;
const _: () = assert!(INDEX_LEAF_MAX < INDEX_LEAF_SLOTS, "a slot is free");
const _: () = assert!(INDEX_LEAF_JOINED < INDEX_LEAF_MAX, "a leaf that was joined has room");

/// The latitude up to which a bound is good enough that takes the least cosine in a part of the globe, in ten-millionths
/// of a degree: nearer to the poles cosines differ too much within one.
pub const INDEX_PARALLEL_E7: i32 = 800_000_000;

/// Bytes a client takes in the index, as measured: see docs/operations.md.
pub const INDEX_CLIENT_BYTES: usize = 24;

/// Parts of the globe, and records of clients that may be near, that are looked at while the store is locked: for the
/// nearest ten some 100 and 100, for the nearest hundred twice as many. It takes a fraction of a millisecond.
pub const INDEX_PARTS_MAX: usize = 4_096;
pub const NEAREST_READS_MAX: usize = 512;

/// Records that are written for whoever asked while it is locked.
pub const NEAREST_WRITTEN_AT_ONCE: usize = 128;

/// The nearest clients that a worker finds in its own turn, and searches of one turn. More of either is for the errands'
/// thread: a worker has other clients to serve.
pub const NEAREST_IN_TURN: usize = 100;
pub const SEARCHES_PER_TURN: u32 = 64;
const _: () = assert!(NEAREST_IN_TURN * 4 < NEAREST_READS_MAX, "they are found at once");

/// How often the store is locked for the nearest thousand, with those who may be hidden among them, before it is walked
/// through instead.
pub const NEAREST_ROUNDS_MAX: usize = 32;
const _: () = assert!(NEAREST_ROUNDS_MAX * NEAREST_READS_MAX > 10 * NEAREST_MAX as usize, "they are found");

/// Clients in an area, with some beside it, whose records are read for a page of those in it. With more the whole store is
/// walked through, of which a page takes only a part then.
pub const AREA_READS_MAX: usize = 16_384;

/// By how much an area is widened for the index, which has no digits of a position behind the seventh.
pub const AREA_SLACK_DEG: f64 = 2e-7;

/// How far north or south surroundings may reach of which an area is made that has them.
pub const AROUND_LATITUDE_MAX_DEG: f64 = 89.0;

/// The nearest clients that may be asked for, and km within which. Half the way around the earth is 20,015 km.
pub const NEAREST_MAX: u32 = 1_000;
pub const NEAREST_RADIUS_MAX_KM: u32 = 20_037;

/// Bytes of an answer with the nearest clients, after which the farther ones are left out: with IDs of 25 bytes a
/// thousand take a tenth of it by a line each, and half of it as GeoJSON.
pub const NEAREST_BYTES_MAX: usize = 1024 * 1024;

/// Errands of clients that may wait for their thread: the others are for neighbours.
pub const ERRANDS_OF_CLIENTS: usize = 32;
const _: () = assert!(ERRANDS_OF_CLIENTS < super::ERRANDS_MAX, "some are left");
