//! A worker's connections, each under a key that its poller's events and its lookups carry.

/// Things in numbered slots. A slot is used again, a key is not: it is the slot in its low 32 bits
/// and, above them, how often the slot has been used. What an event or an answer was meant for is
/// found, or is gone, but is never another that took its slot.
pub struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

struct Entry<T> {
    generation: u32,
    thing: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Puts a thing in a free slot.
    pub fn insert(&mut self, thing: T) -> (u64, &mut T) {
        let slot = self.free.pop().unwrap_or(self.entries.len() as u32);
        if slot as usize == self.entries.len() {
            self.entries.push(Entry { generation: 0, thing: None });
        }
        let entry = &mut self.entries[slot as usize];
        (key(slot, entry.generation), entry.thing.insert(thing))
    }

    pub fn get(&mut self, key: u64) -> Option<&mut T> {
        self.entry(key)?.thing.as_mut()
    }

    pub fn remove(&mut self, key: u64) -> Option<T> {
        let entry = self.entry(key)?;
        let thing = entry.thing.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key as u32);
        Some(thing)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.len() == self.free.len()
    }

    /// The keys of all there is.
    pub fn keys(&self) -> Vec<u64> {
        let used = |(slot, entry): (usize, &Entry<T>)| {
            entry.thing.is_some().then_some(key(slot as u32, entry.generation))
        };
        self.entries.iter().enumerate().filter_map(used).collect()
    }

    fn entry(&mut self, key: u64) -> Option<&mut Entry<T>> {
        let entry = self.entries.get_mut(key as u32 as usize)?;
        (entry.generation == (key >> 32) as u32).then_some(entry)
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
}
