//! The key by which the tree of positions branches: the bits of a position and then those of the client's hash. The tree
//! and its search read it.

use crate::protocol::Coordinates;

/// Longitude and latitude by turns, the highest bits first, and behind them the hash, so that no two clients have the same
/// key, be they at one position.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    place: u64,
    hash: u64,
}

/// Bits of a key that a fork of the tree looks at, the ways that it has then, and the forks on the way to the last bit.
pub const FORK_BITS: u32 = 4;
pub const WAYS: usize = 1 << FORK_BITS;
pub const LEVELS: usize = 2 * u64::BITS as usize / FORK_BITS as usize;

/// From the south pole up, and from the date line eastwards. A latitude has half the degrees, and counts in halves of
/// its step.
const HALF_TURN_E7: u32 = 1_800_000_000;
const TURN_E7: u32 = 2 * HALF_TURN_E7;

/// How far east of the date line.
pub fn east(at: Coordinates) -> u32 {
    at.longitude_e7.wrapping_add_unsigned(HALF_TURN_E7) as u32
}

/// How far north of the south pole, twice.
pub fn north(at: Coordinates) -> u32 {
    at.latitude_e7.wrapping_mul(2).wrapping_add_unsigned(HALF_TURN_E7) as u32
}

/// With how many bits the keys of two positions begin alike.
pub fn common_bits(one: Coordinates, other: Coordinates) -> u32 {
    let (by_east, by_north) = (east(one) ^ east(other), north(one) ^ north(other));
    (2 * by_east.leading_zeros()).min(2 * by_north.leading_zeros() + 1)
}

impl Key {
    pub fn of(at: Coordinates, hash: u64) -> Key {
        Key { place: spread(east(at)) << 1 | spread(north(at)), hash }
    }

    pub fn place(self) -> u64 {
        self.place
    }

    pub fn hash(self) -> u64 {
        self.hash
    }

    /// Which way it goes at a fork of this level.
    pub fn way(self, level: usize) -> usize {
        let bits = FORK_BITS * level as u32;
        let part = if bits < u64::BITS { self.place << bits } else { self.hash << (bits - u64::BITS) };
        (part >> (u64::BITS - FORK_BITS)) as usize
    }

    /// Whether the bit behind so many is set.
    pub fn bit(self, bits: u32) -> bool {
        let part = if bits < u64::BITS { self.place << bits } else { self.hash << (bits - u64::BITS) };
        part >> (u64::BITS - 1) == 1
    }
}

/// A part of the globe: all positions whose keys begin with some bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The bits, and behind them zeros.
    place: u64,
    /// How many there are.
    bits: u32,
}

impl Cell {
    /// The part of this one that some ways of a fork in it lead to: `count` of them, a power of two, from `first` on.
    pub fn part(self, first: usize, count: usize) -> Cell {
        if self.bits >= u64::BITS {
            // Further on there is only the hash.
            return self;
        }
        let place = self.place | (first as u64) << (u64::BITS - FORK_BITS - self.bits);
        Cell { place, bits: self.bits + FORK_BITS - count.trailing_zeros() }
    }

    /// Its south-western and its north-eastern corner.
    pub fn corners(self) -> [Coordinates; 2] {
        let (east_bits, north_bits) = (self.bits.div_ceil(2), self.bits / 2);
        let corner = |east: u32, north: u32| Coordinates {
            latitude_e7: (north.min(TURN_E7).wrapping_sub(HALF_TURN_E7) as i32) / 2,
            longitude_e7: east.min(TURN_E7).wrapping_sub(HALF_TURN_E7) as i32,
        };
        let (west, south) = (gather(self.place >> 1), gather(self.place));
        let rest = |bits: u32| u32::MAX.checked_shr(bits).unwrap_or(0);
        [corner(west, south), corner(west | rest(east_bits), south | rest(north_bits))]
    }
}

/// The bits of a number at every second place.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & 0x5555_5555_5555_5555
}

/// The number of which every second bit is taken.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells on the way to a position hold it, down to the one that holds nothing else.
    #[test]
    fn a_position_is_in_every_cell_on_the_way_to_it() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut check = |at: Coordinates| {
            let (key, mut cell) = (Key::of(at, random.u64(..)), Cell::default());
            for level in 0..LEVELS {
                let count = 1 << random.u32(..FORK_BITS);
                let way = key.way(level);
                for part in [cell.part(way, 1), cell.part(way & !(count - 1), count)] {
                    let [southwest, northeast] = part.corners();
                    let north = southwest.latitude_e7..=northeast.latitude_e7;
                    let east = southwest.longitude_e7..=northeast.longitude_e7;
                    assert!(
                        north.contains(&at.latitude_e7) && east.contains(&at.longitude_e7),
                        "seed {seed} level {level}: {at:?} {southwest:?} {northeast:?}"
                    );
                }
                cell = cell.part(way, 1);
            }
            assert_eq!(cell.corners(), [at; 2], "seed {seed}");
        };
        for latitude_e7 in [-900_000_000, 0, 1, 900_000_000] {
            for longitude_e7 in [-1_800_000_000, -1, 0, 1_800_000_000] {
                check(Coordinates { latitude_e7, longitude_e7 });
            }
        }
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2_000 {
            check(Coordinates {
                latitude_e7: random.i32(-900_000_000..=900_000_000),
                longitude_e7: random.i32(-1_800_000_000..=1_800_000_000),
            });
        }
    }
}
