//! What phones sent, by app, and what of it does not count. Never by phone.

use std::sync::atomic::{AtomicU64, Ordering};

use super::times::add;

macro_rules! named {
    ($(#[$about:meta])* $enum:ident: $($(#[$doc:meta])* $item:ident: $name:literal,)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum {
            $($(#[$doc])* $item,)+
        }

        impl $enum {
            pub const ALL: [$enum; 0 $(+ { let _ = $enum::$item; 1 })+] = [$($enum::$item,)+];

            /// What fields of replies and /metrics call it.
            pub fn name(self) -> &'static str {
                match self {
                    $($enum::$item => $name,)+
                }
            }
        }
    };
}

named! {
    /// The apps whose ways are known.
    App:
    OwnTracks: "owntracks",
    OsmAnd: "osmand",
    Overland: "overland",
    GpsLogger: "gpslogger",
    Traccar: "traccar",
}

named! {
    /// Why something that an app sent does not count. No retry and no user can cure it.
    Reason:
    /// It is no JSON, or none of the app's shape.
    Unreadable: "unreadable",
    /// It is larger than is looked at.
    TooLarge: "too-large",
    /// It is another message of the app, as that a fence was crossed.
    OtherMessage: "other-message",
    /// It is encrypted by the app, with a key that herd does not have.
    Encrypted: "encrypted",
    /// It has no position, as a sign of life without a fix.
    NoLocation: "no-location",
    /// Its position is no number, or not on earth.
    BadLocation: "bad-location",
    /// It is at 0,0, which apps without a fix say.
    NullIsland: "null-island",
    /// Its time is none, or before September 2001.
    BadTime: "bad-time",
    /// Its time is ahead of this server's clock by more than `http.max_ahead`.
    TimeAhead: "time-ahead",
    /// Nobody says whose position it is.
    NoId: "no-id",
    /// The token is for other clients.
    NotAllowed: "not-allowed",
    /// ID and digits are longer than `max_line`.
    TooLong: "too-long",
}

/// One owner's.
#[derive(Default)]
pub struct Phones {
    reports: [AtomicU64; App::ALL.len()],
    ignored: [[AtomicU64; Reason::ALL.len()]; App::ALL.len()],
}

/// The sum of all owners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SummedPhones {
    pub reports: [u64; App::ALL.len()],
    pub ignored: [[u64; Reason::ALL.len()]; App::ALL.len()],
}

impl Phones {
    /// So many reports of an app count.
    pub fn heard(&self, app: App, count: u64) {
        add(&self.reports[app as usize], count);
    }

    /// Something an app sent does not.
    pub fn ignored(&self, app: App, reason: Reason, count: u64) {
        add(&self.ignored[app as usize][reason as usize], count);
    }

    pub(super) fn add_to(&self, sum: &mut SummedPhones) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        sum.reports.iter_mut().zip(&self.reports).for_each(|(sum, count)| *sum += get(count));
        for (sums, counts) in sum.ignored.iter_mut().zip(&self.ignored) {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += get(count));
        }
    }
}
