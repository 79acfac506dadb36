//! Unit tests: an arena against a list of lines, and what its memory comes to.

use std::collections::HashMap;

use super::*;
use crate::limits::AT_LINE_MAX;
use crate::protocol::record::Offsets;

/// An AT line of so many bytes, and where its fields lie.
fn line(length: usize, number: usize) -> (Vec<u8>, Offsets) {
    let (mut line, fields) = (Vec::new(), |client| crate::protocol::record::AtFields {
        origin: b"G",
        difference: b"+0",
        client,
        location: crate::protocol::Location::NOWHERE,
        time: crate::protocol::Timestamp::parse(b"1").expect("a time"),
    });
    let shortest = Record::write(&fields(b"c"), &mut line).line().len();
    let mut client = format!("{number}").into_bytes();
    client.resize(length + 1 - shortest, b'c');
    let offsets = Record::write(&fields(&client), &mut line).offsets();
    assert_eq!(line.len(), length);
    (line, offsets)
}

const SHORTEST: usize = 24;

impl Arena {
    fn add_line(&mut self, (line, offsets): &(Vec<u8>, Offsets)) -> Handle {
        self.add(&Record::new(line, *offsets)).expect("there is room")
    }
}

#[test]
fn classes_are_close_and_in_order() {
    let mut before = (0, 0);
    for bytes in 1..=AT_LINE_MAX + 6 {
        let (class, size) = class_of(bytes);
        assert!(size >= bytes && size - bytes < ARENA_STEP.max(bytes.div_ceil(8)), "{bytes}: {size}");
        assert!((class, size) == before || class == before.0 + usize::from(before.1 > 0), "{bytes}: {class}");
        assert!(bytes > before.1 || (class, size) == before, "{bytes}");
        before = (class, size);
    }
}

#[test]
fn records_of_every_length_come_back() {
    let mut arena = Arena::default();
    let lengths = (SHORTEST..600).chain((600..AT_LINE_MAX).step_by(97)).chain([AT_LINE_MAX]);
    let kept: Vec<_> = lengths.enumerate().map(|(number, length)| line(length, number)).collect();
    let handles: Vec<_> = kept.iter().map(|record| arena.add_line(record)).collect();
    for ((line, offsets), handle) in kept.iter().zip(handles) {
        let found = arena.get(handle);
        assert_eq!((found.line(), found.record().offsets()), (&line[..], *offsets));
    }
}

#[test]
fn any_changes_leave_what_they_leave_of_a_map_and_no_gap() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..20 {
        let (mut arena, mut lines) = (Arena::default(), HashMap::new());
        let longest = [40, 200, 300, 5_000, AT_LINE_MAX][random.usize(..5)];
        let grows = [3, 5, 8][random.usize(..3)];
        for number in 0..2_000 {
            let new = line(random.usize(SHORTEST..=longest), number);
            let some = lines.keys().nth(random.usize(..lines.len().max(1))).copied();
            match some {
                Some(handle) if random.usize(..10) >= grows => {
                    lines.remove(&handle);
                    if let Some(Moved { from, to }) = arena.remove(handle) {
                        let moved = lines.remove(&from).expect("a moved record is known");
                        assert!(to == handle && lines.insert(to, moved).is_none(), "seed {seed}");
                    }
                }
                Some(handle) if random.bool() && arena.replace(handle, &Record::new(&new.0, new.1)) => {
                    lines.insert(handle, new);
                }
                _ => {
                    assert!(lines.insert(arena.add_line(&new), new).is_none(), "seed {seed}");
                }
            }
        }
        lines
            .iter()
            .for_each(|(&handle, (line, _))| assert_eq!(arena.get(handle).line(), line, "seed {seed}"));
        let chunks: usize = arena.classes.iter().map(|class| class.chunks.len()).sum();
        assert_eq!(chunks + arena.free.len(), arena.chunks.len(), "seed {seed}");
        // Each class has one chunk with free items, at most.
        let items = arena.classes.iter().map(|class| match class.chunks.last() {
            Some(&last) => {
                (class.chunks.len() - 1) * items_of(arena.chunks[last as usize].size as usize) + class.last
            }
            None => 0,
        });
        assert_eq!(items.sum::<usize>(), lines.len(), "seed {seed}");
    }
}

#[test]
fn memory_goes_back_as_records_go_in_any_order() {
    let mut random = fastrand::Rng::new();
    let (mut arena, mut handles, record) = (Arena::default(), Vec::new(), line(90, 1));
    for _ in 0..3 {
        handles.extend((0..3_000).map(|_| arena.add_line(&record)));
        while !handles.is_empty() {
            let handle = handles.swap_remove(random.usize(..handles.len()));
            if let Some(Moved { from, to }) = arena.remove(handle) {
                let at = handles.iter().position(|&other| other == from);
                handles[at.expect("a moved record is known")] = to;
            }
            let needed = handles.len() * 96;
            assert!(arena.held() < needed + ARENA_CHUNK_BYTES, "{} for {needed}", arena.held());
        }
        assert_eq!(arena.held(), 0);
    }
}
