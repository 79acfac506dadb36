//! Unit tests: turns over a real journal, on a disk that fails when it is told to.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::journal::{Disk, Found, RealDisk, Segment, SyncMode};
use crate::limits::Timing;
use crate::link::{Identity, KeyRing, Kind, Neighbour};
use crate::node::Bounds;
use crate::protocol::Command;

const NOW: Moment = Moment { up: Duration::ZERO, posix_ns: 1_520_023_935_182_837_383 };

/// A disk, and whether what is written to it gets there.
#[derive(Clone, Default)]
struct Fallible(Arc<AtomicBool>);

struct FallibleSegment(Arc<dyn Segment>, Fallible);

impl Fallible {
    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for Fallible {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        self.check()?;
        Ok(Arc::new(FallibleSegment(RealDisk.create(path)?, self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_file(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_folder(folder)
    }
    fn find(&self, path: &Path) -> io::Result<Found> {
        RealDisk.find(path)
    }
}

impl Segment for FallibleSegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.1.check()?;
        self.0.append(bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.0.cut(bytes)
    }
    fn found(&self) -> io::Result<Found> {
        self.0.found()
    }
}

/// A core with one neighbour, and its disk.
struct Kept {
    core: Core,
    disk: Fallible,
    _folder: tempfile::TempDir,
}

impl Kept {
    fn new(mode: SyncMode, bounds: Bounds) -> Kept {
        let (folder, disk) = (tempfile::tempdir().expect("a folder"), Fallible::default());
        let (journal, _) =
            Journal::open(folder.path(), mode, Box::new(disk.clone()), |_| true).expect("opened");
        let own = Identity { name: "Goloman".into(), incarnation: 1, conf: 3 };
        let list = vec![Neighbour { name: "Hands".into(), kind: Kind::Herd }];
        let beat = Timing::default().heartbeat;
        let neighbours = Neighbours::new(own, list, KeyRing::default(), Duration::ZERO, beat);
        let alone = Core::alone(Node::new("Goloman", bounds), neighbours);
        let core = Core::new(alone.node, alone.flood, alone.neighbours);
        core.open(Some(Arc::new(journal)), Duration::ZERO);
        Kept { core, disk, _folder: folder }
    }

    fn turn(&self) -> Turn {
        Turn::new(&self.core, Wire::mute())
    }

    fn knows(&self, client: &str) -> bool {
        self.core.node.find(client.as_bytes()).is_some()
    }

    fn tell(&self, turn: &mut Turn, client: &str, time: u32) -> Result<(), Rule> {
        let line = format!("IAMAT {client} +1+1 {time}");
        let Ok(Command::Iamat(report)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        turn.report(&self.core, &report, NOW.posix_ns).map(|_| ())
    }

    fn hear(&self, turn: &mut Turn, line: &str) -> Heard {
        let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        turn.hear(&self.core, &fields, None, NOW.posix_ns)
    }

    /// Says a promise to `to`.
    fn promise(&self, turn: &mut Turn, to: u64, said: &[u8], instead: &[u8]) {
        let begin = turn.out.len();
        turn.out.extend_from_slice(said);
        turn.promise(&self.core, begin, || instead.to_vec());
        turn.send(to, begin);
    }
}

fn said(turn: &mut Turn) -> Vec<(u64, String)> {
    let said = turn.take_said();
    said.parts().map(|(to, bytes)| (to, String::from_utf8_lossy(bytes).into_owned())).collect()
}

#[test]
fn a_report_that_is_kept_first_is_known_when_it_is_and_not_before() {
    let kept = Kept::new(SyncMode::Always, Bounds::default());
    let mut turn = kept.turn();
    assert_eq!(kept.tell(&mut turn, "fig", 5), Ok(()));
    assert_eq!(kept.tell(&mut turn, "fig", 5), Ok(()), "twice in a turn");
    assert_eq!(kept.hear(&mut turn, "AT Hands +1 plum +1+1 5"), Heard::News);
    assert!(!kept.knows("fig") && kept.knows("plum"));
    assert!(turn.is_early(&kept.core, b"fig") && !turn.is_early(&kept.core, b"plum"));
    turn.commit(&kept.core, NOW);
    assert!(kept.knows("fig") && !turn.is_early(&kept.core, b"fig"));
    assert_eq!(kept.core.node.store.news(), 2, "the repetition was none");
    // A repetition is no news, and as safe as what it repeats, which may be on its way to the disk.
    assert_eq!(kept.tell(&mut turn, "plum", 4), Ok(()));
    assert!(turn.news.is_empty() && turn.record.starts_with(b"AT Goloman"));
}

#[test]
fn what_cannot_be_kept_is_known_nowhere_and_was_never_promised() {
    let kept = Kept::new(SyncMode::Always, Bounds::default());
    let mut turn = kept.turn();
    assert_eq!(kept.tell(&mut turn, "fig", 5), Ok(()));
    let heard = kept.hear(&mut turn, "AT Hands +1 plum +1+1 5");
    assert_eq!(turn.mark(&kept.core, NeighbourId(0), 7, 3), 3);
    kept.promise(&mut turn, 1, b"AT fig\n", b"? fig\n");
    kept.promise(&mut turn, 2, b"SEEN 3\n", b"SEEN 0\n");
    kept.disk.0.store(true, Ordering::SeqCst);
    turn.commit(&kept.core, NOW);
    assert_eq!(said(&mut turn), [(1, "? fig\n".to_owned()), (2, "SEEN 0\n".to_owned())]);
    assert!(heard == Heard::News && kept.knows("plum") && !kept.knows("fig"));
    assert_eq!(kept.core.neighbours.seen.of(NeighbourId(0), 7), 0);
    assert_eq!(kept.tell(&mut turn, "fig", 6), Err(Rule::NotKept), "one flag, and at once");
    assert_eq!(turn.mark(&kept.core, NeighbourId(0), 7, 4), 0);
}

#[test]
fn without_always_a_report_is_learned_once_and_promised_whatever_the_disk_does() {
    let kept = Kept::new(SyncMode::Second, Bounds::default());
    let mut turn = kept.turn();
    kept.disk.0.store(true, Ordering::SeqCst);
    assert_eq!(kept.tell(&mut turn, "fig", 5), Ok(()));
    assert!(kept.knows("fig"));
    kept.promise(&mut turn, 1, b"AT fig\n", b"? fig\n");
    turn.commit(&kept.core, NOW);
    assert_eq!(said(&mut turn), [(1, "AT fig\n".to_owned())]);
    assert_eq!((kept.tell(&mut turn, "fig", 6), kept.core.node.store.news()), (Ok(()), 2));
}

#[test]
fn promises_that_cannot_be_held_are_replaced_and_nothing_else() {
    let kept = Kept::new(SyncMode::Always, Bounds::default());
    let mut turn = kept.turn();
    assert_eq!(kept.tell(&mut turn, "fig", 5), Ok(()));
    turn.out = b"AT 1\n? x\nAT 2\nSEEN 7\n{}\n".to_vec();
    turn.sends = vec![(1, 0..14), (2, 14..21), (3, 21..24), (4, 24..24)];
    turn.keeping = Keeping::promising([(0..5, "? one\n"), (9..14, "? 2\n"), (14..21, "SEEN 6\n")]);
    kept.disk.0.store(true, Ordering::SeqCst);
    turn.commit(&kept.core, NOW);
    let expected = [(1, "? one\n? x\n? 2\n"), (2, "SEEN 6\n"), (3, "{}\n"), (4, "")];
    assert_eq!(said(&mut turn), expected.map(|(to, text)| (to, text.to_owned())));
}

#[test]
fn a_turn_has_room_for_as_many_clients_as_may_be_known_and_no_more() {
    let kept = Kept::new(SyncMode::Always, Bounds { max_clients: 3, ..Bounds::default() });
    let mut turn = kept.turn();
    let told = ["a", "a", "b", "a", "b", "c", "d", "a", "c"].iter().zip(0..);
    let told: Vec<_> = told.map(|(client, time)| kept.tell(&mut turn, client, time).is_ok()).collect();
    assert_eq!(told, [true, true, true, true, true, true, false, true, true]);
    turn.commit(&kept.core, NOW);
    assert_eq!(kept.core.node.store.count(), 3);
}

#[test]
fn a_turn_of_any_thread_is_waited_for_by_the_next_mark() {
    let kept = Kept::new(SyncMode::Second, Bounds::default());
    let mut turn = kept.turn();
    turn.begin();
    std::thread::scope(|scope| {
        // A dialler's, or that of a reader of somebody else's log.
        scope.spawn(|| {
            let mut other = kept.turn();
            other.begin();
            assert_eq!(kept.core.flood.turns.under_way().len(), 2);
            assert_eq!(kept.hear(&mut other, "AT Hands +1 plum +1+1 5"), Heard::News);
            other.commit(&kept.core, NOW);
            other.end();
        });
    });
    assert!(kept.knows("plum"));
    assert_eq!(kept.core.flood.turns.under_way().len(), 1);
}

#[test]
fn what_many_are_told_is_copied_for_none_of_them_and_counts_as_said() {
    let kept = Kept::new(SyncMode::Always, Bounds::default());
    let mut turn = kept.turn();
    let shared: Arc<[u8]> = b"news".as_slice().into();
    turn.out.extend_from_slice(b"head\n");
    turn.share(shared.clone());
    turn.send(1, 0);
    turn.send(2, 5);
    turn.share(shared.clone());
    turn.send(3, 5);
    assert_eq!(turn.said_bytes(), 13);
    let said = turn.take_said();
    let parts: Vec<_> = said.parts().map(|(to, bytes)| (to, bytes.len())).collect();
    assert_eq!(parts, [(1, 5), (2, 0), (3, 0)]);
    let told: Vec<_> = said.shared().map(|(to, bytes)| (to, Arc::ptr_eq(bytes, &shared))).collect();
    assert_eq!((told, turn.said_bytes()), (vec![(1, true), (3, true)], 0));
}
