//! A worker's connections, each under a small number that its poller's events carry.

/// Things under numbers that are used again, with a count of how often.
pub struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

struct Entry<T> {
    generation: u32,
    thing: Option<T>,
}

/// A slot as it was when something was asked for its sake; later the slot may be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    slot: u32,
    generation: u32,
}

impl Token {
    pub fn slot(self) -> u64 {
        u64::from(self.slot)
    }
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
        (u64::from(slot), entry.thing.insert(thing))
    }

    pub fn get(&mut self, slot: u64) -> Option<&mut T> {
        self.entries.get_mut(slot as usize)?.thing.as_mut()
    }

    /// What was in the slot when the token was made, if it is still there.
    pub fn get_current(&mut self, token: Token) -> Option<&mut T> {
        let entry = self.entries.get_mut(token.slot as usize)?;
        entry.thing.as_mut().filter(|_| entry.generation == token.generation)
    }

    pub fn token(&self, slot: u64) -> Token {
        let generation = self.entries.get(slot as usize).map_or(0, |entry| entry.generation);
        Token { slot: slot as u32, generation }
    }

    pub fn remove(&mut self, slot: u64) -> Option<T> {
        let entry = self.entries.get_mut(slot as usize)?;
        let thing = entry.thing.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot as u32);
        Some(thing)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.len() == self.free.len()
    }

    /// The slots in use.
    pub fn slots(&self) -> Vec<u64> {
        let used = |(slot, entry): (usize, &Entry<T>)| entry.thing.is_some().then_some(slot as u64);
        self.entries.iter().enumerate().filter_map(used).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_used_again_is_not_what_an_old_token_means() {
        let mut slots = Slots::default();
        let (slot, _) = slots.insert("a");
        let token = slots.token(slot);
        assert_eq!(slots.get_current(token), Some(&mut "a"));
        assert_eq!(slots.remove(slot), Some("a"));
        assert!(slots.is_empty() && slots.get(slot).is_none() && slots.remove(slot).is_none());
        assert_eq!(slots.insert("b").0, slot);
        assert_eq!(slots.get_current(token), None);
        assert_eq!(slots.get(slot), Some(&mut "b"));
        slots.insert("c");
        assert_eq!(slots.slots(), [0, 1]);
    }
}
