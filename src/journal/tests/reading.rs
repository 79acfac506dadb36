//! A journal that several threads read is learned as if one had read it.

use super::*;
use crate::limits::REPLAY_BYTES;

/// What several threads found, so that it can be compared.
fn read_by(threads: usize, folder: &Path) -> (String, Found, Vec<Vec<u8>>) {
    let mut lines = Found::new();
    let read = |line: &[u8], block: &mut Found| {
        let is_known = line.starts_with(b"AT ");
        if is_known {
            block.push(String::from_utf8_lossy(line).into_owned());
        }
        is_known
    };
    let replayed = replay::replay(folder, threads, read, |_| (), |block| lines.append(block)).expect("read");
    let asides = (1..=7).map(|number| {
        let path = path_of(folder, number).with_extension("journal.bad");
        fs::read(path).unwrap_or_default()
    });
    (format!("{replayed:?}"), lines, asides.collect())
}

#[test]
fn several_threads_find_what_one_finds_in_its_order() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (folder, mut written) = (folder(), Found::new());
    for number in 1..=6 {
        let mut bytes = Vec::new();
        // From none to some blocks.
        let length = random.usize(..4 * REPLAY_BYTES) * usize::from(number != 3);
        while bytes.len() < length {
            match random.u32(..2_000) {
                0 => bytes.extend_from_slice(b"this is no entry\n"),
                1 => bytes.extend_from_slice(entries(&["NEW word of a later version"]).all()),
                2 => bytes.push(b'\n'),
                3 => bytes.extend_from_slice(&vec![b'x'; random.usize(..REPLAY_BYTES)]),
                _ => {
                    let line = format!("AT G +0 c{} +1+1 {}", random.u32(..1_000), written.len());
                    bytes.extend_from_slice(entries(&[&line]).all());
                    written.push(line);
                }
            }
        }
        if number % 2 == 0 {
            bytes.extend_from_slice(b"0123 cut o");
        }
        fs::write(path_of(folder.path(), number), bytes).expect("written");
    }
    fs::create_dir(path_of(folder.path(), 7)).expect("created");
    let alone = read_by(1, folder.path());
    // Garbage spoils the entry behind it, too; the others are there in their order.
    let mut rest = written.iter();
    assert!(alone.1.iter().all(|line| rest.any(|other| other == line)), "seed {seed}");
    assert!(10 * alone.1.len() > 9 * written.len(), "seed {seed}");
    for threads in 2..=5 {
        let several = read_by(threads, folder.path());
        assert_eq!(several.0, alone.0, "seed {seed}, {threads} threads");
        assert!(several.1 == alone.1 && several.2 == alone.2, "seed {seed}, {threads} threads");
    }
}

#[test]
fn the_first_segment_that_cannot_be_read_is_told_by_its_name_and_nothing_behind_it_is_learned() {
    let folder = folder();
    let line = format!("AT G +0 {} +1+1 1", "k".repeat(80));
    let many = vec![&*line; 8 * REPLAY_BYTES / line.len()];
    for number in [1, 2, 4] {
        fs::write(path_of(folder.path(), number), entries(&many).all()).expect("written");
    }
    let later = [&segment(&many)[..], &segment(&["HERD-JOURNAL 2"])].concat();
    fs::write(path_of(folder.path(), 3), later).expect("written");
    for threads in [1, 4] {
        let mut learned = 0;
        let read = |_: &[u8], block: &mut usize| {
            *block += 1;
            true
        };
        let replayed =
            replay::replay(folder.path(), threads, read, |_| (), |block| learned += std::mem::take(block));
        let why = replayed.expect_err("refused").to_string();
        assert!(why.contains("00000003.journal") && why.contains("version 2"), "{why}");
        assert!((2 * many.len()..=3 * many.len()).contains(&learned), "{learned}");
    }
}

#[test]
fn a_small_journal_is_read_by_one_thread() {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let small = 2 * crate::limits::REPLAY_THREAD_BYTES - 1;
    assert_eq!([0, small].map(replay::threads_for), [1, 1]);
    assert_eq!(replay::threads_for(u64::MAX), cores.min(crate::limits::REPLAY_THREADS_MAX));
}
