//! The memory of the store's records: many lie in one piece of it, a chunk, as each by itself would have what an
//! allocation costs. The store keeps one, under the same lock as its map.
//!
//! All items of a chunk are of one size, and those of one size, its class, have no gaps between them: the last one takes
//! the place of one that is taken out. So memory is given back as records go, whichever of them go.

use crate::limits::{
    ARENA_CHUNK_BYTES, ARENA_CHUNK_ITEMS, ARENA_CHUNKS_MAX, ARENA_DOUBLING, ARENA_FINE_MAX, ARENA_STEP,
};
use crate::protocol::{Record, StoredRecord};

/// Records by their handles.
pub struct Arena {
    /// How many chunks there may be.
    chunks_max: usize,
    chunks: Vec<Chunk>,
    /// Numbers of chunks that were given back.
    free: Vec<u32>,
    classes: Vec<Class>,
}

/// Where a record lies: the number of its chunk, and in the lowest eight bits that of the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(u32);

/// A record that took the place of one that was taken out: its handle is another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    pub from: Handle,
    pub to: Handle,
}

/// What became of the records of another arena.
pub struct Joined {
    /// So many chunks are before its own.
    before: u32,
    /// Records that are still to be settled, in this order, by the handles that they have here.
    pub loose: Vec<Handle>,
}

/// Empty when it was given back.
#[derive(Default)]
struct Chunk {
    bytes: Box<[u8]>,
    /// Bytes of an item.
    size: u32,
    class: u32,
}

/// The items of one size.
#[derive(Default)]
struct Class {
    /// Numbers of its chunks. All of them are full but the last, which is not empty.
    chunks: Vec<u32>,
    /// Items of the last one.
    last: usize,
}

const _: () = assert!(ARENA_CHUNK_ITEMS <= 1 << u8::BITS, "an item's number is a byte");
const _: () = assert!(ARENA_CHUNKS_MAX <= 1 << (u32::BITS - u8::BITS), "a chunk's number fits beside it");

impl Handle {
    fn new(chunk: u32, item: usize) -> Handle {
        Handle(chunk << u8::BITS | item as u32)
    }

    fn chunk(self) -> usize {
        (self.0 >> u8::BITS) as usize
    }

    fn item(self) -> usize {
        usize::from(self.0 as u8)
    }
}

/// The class of items that take so many bytes, and the bytes that each of its items has.
fn class_of(bytes: usize) -> (usize, usize) {
    let before = bytes.max(1) - 1;
    if bytes <= ARENA_FINE_MAX {
        let class = before / ARENA_STEP;
        return (class, (class + 1) * ARENA_STEP);
    }
    let doublings = before.ilog2() - ARENA_FINE_MAX.ilog2();
    let step = (ARENA_FINE_MAX / ARENA_DOUBLING) << doublings;
    let steps = before / step;
    let below = ARENA_FINE_MAX / ARENA_STEP + ARENA_DOUBLING * doublings as usize;
    (below + steps - ARENA_DOUBLING, (steps + 1) * step)
}

/// Items of a chunk.
fn items_of(size: usize) -> usize {
    (ARENA_CHUNK_BYTES / size).clamp(1, ARENA_CHUNK_ITEMS)
}

impl Chunk {
    fn item(&self, item: usize) -> &[u8] {
        let size = self.size as usize;
        &self.bytes[item * size..][..size]
    }

    fn item_mut(&mut self, item: usize) -> &mut [u8] {
        let size = self.size as usize;
        &mut self.bytes[item * size..][..size]
    }
}

impl Joined {
    /// What the handle of a record is now.
    pub fn handle(&self, before: Handle) -> Handle {
        Handle(before.0 + (self.before << u8::BITS))
    }
}

impl Default for Arena {
    fn default() -> Arena {
        Arena { chunks_max: ARENA_CHUNKS_MAX, chunks: Vec::new(), free: Vec::new(), classes: Vec::new() }
    }
}

impl Arena {
    /// One of so many that are to be joined: all together leave some room.
    pub fn part(parts: usize) -> Arena {
        Arena { chunks_max: ARENA_CHUNKS_MAX / (parts + 1), ..Arena::default() }
    }

    pub fn get(&self, handle: Handle) -> StoredRecord<'_> {
        StoredRecord::read(self.chunks[handle.chunk()].item(handle.item()))
    }

    /// Something of the memory of a record, for whoever wants it fetched.
    pub fn touch(&self, handle: Handle) -> u8 {
        let memory = self.chunks[handle.chunk()].item(handle.item());
        let bytes = [memory.first(), memory.get(memory.len() / 2), memory.last()];
        bytes.into_iter().flatten().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    /// Keeps a record. None where there is no room for one more, which takes billions.
    pub fn add(&mut self, record: &Record<&[u8]>) -> Option<Handle> {
        let (class, size) = class_of(StoredRecord::size(record));
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Class::default);
        }
        let last = match self.classes[class].chunks.last() {
            Some(&last) if self.classes[class].last < items_of(size) => last,
            _ => self.add_chunk(class, size)?,
        };
        let class = &mut self.classes[class];
        let handle = Handle::new(last, class.last);
        class.last += 1;
        StoredRecord::write(record, self.chunks[handle.chunk()].item_mut(handle.item()));
        Some(handle)
    }

    fn add_chunk(&mut self, class: usize, size: usize) -> Option<u32> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.chunks.len() < self.chunks_max => {
                self.chunks.push(Chunk::default());
                (self.chunks.len() - 1) as u32
            }
            None => return None,
        };
        let bytes = vec![0; items_of(size) * size].into();
        self.chunks[number as usize] = Chunk { bytes, size: size as u32, class: class as u32 };
        self.classes[class].chunks.push(number);
        self.classes[class].last = 0;
        Some(number)
    }

    /// Has a record take the place of another one; false, and nothing is changed, if its size is not of that place.
    pub fn replace(&mut self, handle: Handle, record: &Record<&[u8]>) -> bool {
        let (class, _) = class_of(StoredRecord::size(record));
        let chunk = &mut self.chunks[handle.chunk()];
        // One that has got a little shorter stays: a line that loses a digit mostly gets it back.
        let stays = class == chunk.class as usize || class + 1 == chunk.class as usize;
        if stays {
            StoredRecord::write(record, chunk.item_mut(handle.item()));
        }
        stays
    }

    /// Takes out a record, and tells which one is in its place then, if there is one.
    #[must_use = "whoever has the handle has to learn the new one"]
    pub fn remove(&mut self, handle: Handle) -> Option<Moved> {
        let Chunk { size, class, .. } = self.chunks[handle.chunk()];
        let class = &mut self.classes[class as usize];
        class.last = class.last.checked_sub(1)?;
        let last = Handle::new(*class.chunks.last()?, class.last);
        if class.last == 0 {
            class.chunks.pop();
            class.last = if class.chunks.is_empty() { 0 } else { items_of(size as usize) };
        }
        let is_another = handle != last;
        if is_another {
            self.copy(last, handle);
        }
        if last.item() == 0 {
            self.chunks[last.chunk()] = Chunk::default();
            self.free.push(last.chunk() as u32);
        }
        is_another.then_some(Moved { from: last, to: handle })
    }

    /// Takes in the records of another one.
    pub fn join(&mut self, other: Arena) -> Joined {
        let before = self.chunks.len() as u32;
        self.chunks.extend(other.chunks);
        self.free.extend(other.free.iter().map(|number| before + number));
        let count = self.classes.len().max(other.classes.len());
        self.classes.resize_with(count, Class::default);
        let mut loose = Vec::new();
        for (class, mut joined) in self.classes.iter_mut().zip(other.classes) {
            joined.chunks.iter_mut().for_each(|number| *number += before);
            let Some(end) = class.chunks.len().checked_sub(1) else {
                *class = joined;
                continue;
            };
            if let Some(last) = joined.chunks.pop() {
                loose.extend((0..joined.last).rev().map(|item| Handle::new(last, item)));
            }
            // These are full, and so are those before the end.
            class.chunks.splice(end..end, joined.chunks);
        }
        Joined { before, loose }
    }

    /// Moves a record that was loose to the others of its size, and gives its chunk back with the last of it.
    pub fn settle(&mut self, loose: Handle) -> Option<Handle> {
        let memory = self.chunks[loose.chunk()].item(loose.item()).to_vec();
        let settled = self.add(&StoredRecord::read(&memory).record())?;
        if loose.item() == 0 {
            self.chunks[loose.chunk()] = Chunk::default();
            self.free.push(loose.chunk() as u32);
        }
        Some(settled)
    }

    /// Bytes of all chunks.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.len()).sum()
    }

    /// Copies an item to the place of another one of its class.
    fn copy(&mut self, from: Handle, to: Handle) {
        let size = self.chunks[from.chunk()].size as usize;
        if from.chunk() == to.chunk() {
            let at = from.item() * size;
            self.chunks[from.chunk()].bytes.copy_within(at..at + size, to.item() * size);
        } else if let Ok([from_chunk, to_chunk]) = self.chunks.get_disjoint_mut([from.chunk(), to.chunk()]) {
            to_chunk.item_mut(to.item()).copy_from_slice(from_chunk.item(from.item()));
        }
    }
}

#[cfg(test)]
mod tests;
