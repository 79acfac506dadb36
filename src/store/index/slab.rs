//! Items that keep their number while they live, in chunks: one more item never moves the others, which would hold the
//! store's lock for as long as that takes. The tree keeps its forks and leaves so.

use std::ops::{Index, IndexMut};

/// Items of a chunk.
const CHUNK: usize = 256;

/// Numbers are given again once their items are taken out.
pub struct Slab<T> {
    chunks: Vec<Box<[T]>>,
    /// Numbers given so far.
    given: usize,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { chunks: Vec::new(), given: 0, free: Vec::new() }
    }
}

impl<T: Clone + Default> Slab<T> {
    /// Keeps an item; returns its number.
    pub fn add(&mut self, item: T) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.given == self.chunks.len() * CHUNK {
                self.chunks.push(vec![T::default(); CHUNK].into());
            }
            self.given += 1;
            (self.given - 1) as u32
        });
        self[number] = item;
        number
    }

    /// Takes out an item, whose number stands for another one some day.
    pub fn take(&mut self, number: u32) -> T {
        self.free.push(number);
        std::mem::take(&mut self[number])
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.given - self.free.len()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}
