//! What a server takes and holds, which a reload may change while turns go on.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::limits::{FORGOTTEN_FOR_S, MAX_AHEAD_NS};

/// What a server takes and holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How far ahead of this server's clock a client's time may be, in ns, to count before others.
    pub max_ahead_ns: u64,
    /// Reports that are further ahead are refused, not only taken for what they are worth.
    pub refuses_ahead: bool,
    /// A client that has not reported for so long is unknown.
    pub forget_after_s: Option<u64>,
    /// How long it is remembered that a client was to be forgotten.
    pub forgotten_for_s: u64,
    /// So many clients may be known before a report of another one is refused. What neighbours say of any
    /// client is taken all the same, so that the herd agrees.
    pub max_clients: usize,
    /// Whether there is an index of where clients are, to find the nearest.
    pub is_indexed: bool,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            max_ahead_ns: MAX_AHEAD_NS,
            refuses_ahead: false,
            forget_after_s: None,
            forgotten_for_s: FORGOTTEN_FOR_S,
            max_clients: usize::MAX,
            is_indexed: true,
        }
    }
}

/// The bounds that count now: each by itself, as turns read them without a lock. A report that comes in the midst of a
/// change is taken by some of the old ones and some of the new.
#[derive(Debug)]
pub struct LiveBounds {
    max_ahead_ns: AtomicU64,
    refuses_ahead: AtomicBool,
    /// `NOBODY` for None.
    forget_after_s: AtomicU64,
    forgotten_for_s: AtomicU64,
    max_clients: AtomicUsize,
    is_indexed: bool,
}

/// Stands for a time that never comes, as herd.conf has none so long.
const NOBODY: u64 = u64::MAX;

impl LiveBounds {
    pub fn new(bounds: Bounds) -> LiveBounds {
        let live = LiveBounds {
            max_ahead_ns: AtomicU64::default(),
            refuses_ahead: AtomicBool::default(),
            forget_after_s: AtomicU64::default(),
            forgotten_for_s: AtomicU64::default(),
            max_clients: AtomicUsize::default(),
            is_indexed: bounds.is_indexed,
        };
        live.set(bounds);
        live
    }

    pub fn get(&self) -> Bounds {
        let forget_after_s = self.forget_after_s.load(Ordering::Relaxed);
        Bounds {
            max_ahead_ns: self.max_ahead_ns.load(Ordering::Relaxed),
            refuses_ahead: self.refuses_ahead.load(Ordering::Relaxed),
            forget_after_s: Some(forget_after_s).filter(|&after_s| after_s != NOBODY),
            forgotten_for_s: self.forgotten_for_s.load(Ordering::Relaxed),
            max_clients: self.max_clients.load(Ordering::Relaxed),
            is_indexed: self.is_indexed,
        }
    }

    /// All but the index.
    pub fn set(&self, bounds: Bounds) {
        let Bounds { max_ahead_ns, refuses_ahead, forget_after_s, forgotten_for_s, max_clients, .. } = bounds;
        self.max_ahead_ns.store(max_ahead_ns, Ordering::Relaxed);
        self.refuses_ahead.store(refuses_ahead, Ordering::Relaxed);
        self.forget_after_s.store(forget_after_s.unwrap_or(NOBODY), Ordering::Relaxed);
        self.forgotten_for_s.store(forgotten_for_s, Ordering::Relaxed);
        self.max_clients.store(max_clients, Ordering::Relaxed);
    }
}
