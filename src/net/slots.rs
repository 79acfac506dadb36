//! A worker's connections, each under a key that its poller's events and its lookups carry.

/// Things in numbered slots. A slot is used again, a key is not: it is the slot in its low 32 bits
/// and, above them, how often the slot has been used. What an event or an answer was meant for is
/// found, or is gone, but is never another that took its slot.
///
/// Slots come in blocks, each of which takes memory only while something is in it. One list of all would leave holes
/// behind as it grows, as large as itself.
pub struct Slots<T> {
    blocks: Vec<Block<T>>,
    free: Vec<u32>,
    count: usize,
}

struct Block<T> {
    /// None while all are free.
    entries: Option<Box<[Entry<T>]>>,
    count: usize,
    /// With which its entries begin when there are some again.
    generation: u32,
}

struct Entry<T> {
    generation: u32,
    thing: Option<T>,
}

/// Slots of a block.
const BLOCK: usize = 32;

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { blocks: Vec::new(), free: Vec::new(), count: 0 }
    }
}

impl<T> Slots<T> {
    /// Puts a thing in a free slot.
    pub fn insert(&mut self, thing: T) -> (u64, &mut T) {
        if self.free.is_empty() {
            let first = self.blocks.len() * BLOCK;
            self.free.extend((first..first + BLOCK).rev().map(|slot| slot as u32));
            self.blocks.push(Block { entries: None, count: 0, generation: 0 });
        }
        // There is one, and its block.
        let slot = self.free.pop().unwrap_or_default();
        let block = &mut self.blocks[slot as usize / BLOCK];
        let generation = block.generation;
        let entries = block.entries.get_or_insert_with(|| {
            std::iter::repeat_with(|| Entry { generation, thing: None }).take(BLOCK).collect()
        });
        (self.count, block.count) = (self.count + 1, block.count + 1);
        let entry = &mut entries[slot as usize % BLOCK];
        (key(slot, entry.generation), entry.thing.insert(thing))
    }

    pub fn get(&mut self, key: u64) -> Option<&mut T> {
        let slot = key as u32 as usize;
        let entry = &mut self.blocks.get_mut(slot / BLOCK)?.entries.as_mut()?[slot % BLOCK];
        if entry.generation == (key >> 32) as u32 { entry.thing.as_mut() } else { None }
    }

    pub fn remove(&mut self, key: u64) -> Option<T> {
        let slot = key as u32 as usize;
        let block = self.blocks.get_mut(slot / BLOCK)?;
        let entries = block.entries.as_mut()?;
        let entry = &mut entries[slot % BLOCK];
        let thing = entry.thing.take_if(|_| entry.generation == (key >> 32) as u32)?;
        entry.generation = entry.generation.wrapping_add(1);
        (self.count, block.count) = (self.count - 1, block.count - 1);
        if block.count == 0 {
            // No key of it has been given out with this one.
            block.generation = entries.iter().map(|entry| entry.generation).max().unwrap_or_default();
            block.entries = None;
        }
        self.free.push(slot as u32);
        Some(thing)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The keys of all there is.
    pub fn keys(&self) -> Vec<u64> {
        let mut keys = Vec::with_capacity(self.count);
        for (block, it) in self.blocks.iter().enumerate() {
            let entries = it.entries.iter().flat_map(|entries| entries.iter());
            let used = (block * BLOCK..).zip(entries).filter(|(_, entry)| entry.thing.is_some());
            keys.extend(used.map(|(slot, entry)| key(slot as u32, entry.generation)));
        }
        keys
    }
}

fn key(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_used_again_is_not_what_an_old_key_means() {
        let mut slots = Slots::default();
        let (old, _) = slots.insert("a");
        assert_eq!(slots.get(old), Some(&mut "a"));
        assert_eq!(slots.remove(old), Some("a"));
        assert!(slots.is_empty() && slots.get(old).is_none() && slots.remove(old).is_none());
        let (new, _) = slots.insert("b");
        assert!(new != old && new as u32 == old as u32, "the slot is used again");
        assert!(slots.get(old).is_none() && slots.remove(old).is_none());
        assert_eq!(slots.get(new), Some(&mut "b"));
        let (other, _) = slots.insert("c");
        assert_eq!(slots.keys(), [new, other]);
    }

    #[test]
    fn slots_take_memory_only_while_they_are_used() {
        let mut slots = Slots::default();
        let mut before = Vec::new();
        for _ in 0..3 {
            let keys: Vec<_> = (0..10 * BLOCK).map(|number| slots.insert(number).0).collect();
            assert_eq!(slots.blocks.len(), 10);
            assert!(before.iter().all(|key| slots.get(*key).is_none() && !keys.contains(key)));
            assert!(
                keys.iter().enumerate().all(|(number, key)| slots.get(*key) == Some(&mut number.clone()))
            );
            keys.iter().for_each(|key| assert!(slots.remove(*key).is_some()));
            assert!(slots.is_empty() && slots.blocks.iter().all(|block| block.entries.is_none()));
            before.extend(keys);
        }
    }
}
