//! What is odd about neighbours: a clock far from ours, two servers of one name, another herd.conf.
//! Said in the log when it is found, and to `herd --agree` for as long as it is so.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Change;
use super::{Clocks, Lives, Offset};
use crate::limits::{CLOCK_SANE_NS, NOTE_MAX, ODDITY_SAY_AGAIN_S, SILENT_HEARTBEATS};
use crate::logging::Escaped;
use crate::node::NeighbourId;
use crate::tally::Tally;

/// Times are since the start.
pub struct Oddities {
    pub clocks: Clocks,
    /// How often a neighbour that lives says something at least.
    heartbeat: Duration,
    /// Whether clients are forgotten at all.
    forgets: bool,
    conf: u64,
    names: Vec<String>,
    state: Mutex<Vec<Odd>>,
    /// Words of neighbours about another server of our own name.
    pub twins_told: Tally,
}

/// What is odd about one of them.
#[derive(Default)]
struct Odd {
    lives: Lives<SocketAddr>,
    /// Where the two servers of its name are, and when they were last both heard of.
    twins: Option<(SocketAddr, SocketAddr, Duration)>,
    /// When that was last said in the log.
    said: Option<Duration>,
    /// The digest of its herd.conf, where that is not ours.
    conf: Option<u64>,
}

/// How long a log is spared a sentence it has already.
const SAY_AGAIN: Duration = Duration::from_secs(ODDITY_SAY_AGAIN_S);

impl Oddities {
    /// `hold` is how long a clock that was behind is reckoned with; `conf` is the digest of our own
    /// herd.conf. It knows no neighbours until they are added.
    pub fn new(hold: Duration, heartbeat: Duration, conf: u64) -> Oddities {
        let (names, state) = (Vec::new(), Mutex::new(Vec::new()));
        let twins_told = Tally::with_rest(SAY_AGAIN);
        let forgets = !hold.is_zero();
        Oddities { clocks: Clocks::new(hold), forgets, heartbeat, conf, names, state, twins_told }
    }

    /// One more neighbour, with the next number.
    pub fn add(&mut self, name: &str) {
        self.names.push(name.to_owned());
        self.state().push(Odd::default());
    }

    /// A neighbour's clock was measured.
    pub fn measured(&self, neighbour: NeighbourId, offset: Offset, now: Duration) {
        let name = self.name(neighbour);
        match self.clocks.measured(neighbour, offset, now) {
            Some(Change::Apart(offset)) => log::warn!(
                "the clock of {name} is {offset}; set both by the network (timedatectl set-ntp true); until \
                 then the herd forgets clients by its slowest clock"
            ),
            Some(Change::Together) => log::info!("the clock of {name} and ours agree again"),
            None => {}
        }
    }

    /// Whether our own clock is so far off that it can accuse nobody: before herd was written, or a day behind the
    /// neighbours'.
    pub fn is_clock_suspect(&self, now_ns: u64) -> bool {
        now_ns < CLOCK_SANE_NS || self.clocks.is_suspect()
    }

    /// A start of a neighbour lives, at this address. Returns where another one of its name lives.
    pub fn lives(
        &self,
        neighbour: NeighbourId,
        incarnation: u64,
        address: SocketAddr,
        now: Duration,
    ) -> Option<SocketAddr> {
        let mut state = self.state();
        let odd = state.get_mut(neighbour.index())?;
        let other = odd.lives.note(incarnation, address, now, self.heartbeat)?;
        odd.twins = Some((address, other, now));
        if odd.said.is_none_or(|said| now.saturating_sub(said) > SAY_AGAIN) {
            odd.said = Some(now);
            drop(state);
            log::warn!("{}", twins(self.name(neighbour), address, other));
        }
        Some(other)
    }

    /// A neighbour says that another server of our own name has a link to it from this address.
    pub fn is_twin(&self, neighbour: &str, own: &str, address: &[u8], now: Duration) {
        self.twins_told.count(now, |_| {
            log::warn!(
                "another server calls itself {own}, as we do: {neighbour} has a link from it at {}; stop one of \
                 the two, and compare the herd.confs of their machines",
                Escaped(&address[..address.len().min(NOTE_MAX)])
            );
        });
    }

    /// A neighbour that has proven who it is says which herd.conf it has.
    pub fn conf(&self, neighbour: NeighbourId, conf: u64) {
        let mut state = self.state();
        let Some(odd) = state.get_mut(neighbour.index()) else { return };
        let differs = Some(conf).filter(|&conf| conf != self.conf);
        let is_new = std::mem::replace(&mut odd.conf, differs) != differs;
        drop(state);
        if is_new && differs.is_some() {
            log::warn!("{}", another_conf(self.name(neighbour)));
        }
    }

    /// What is odd now, in sentences.
    pub fn notes(&self, now: Duration) -> Vec<String> {
        let mut notes = Vec::new();
        let lead_s = self.clocks.lead_s(now);
        if self.forgets && lead_s > 0 {
            notes.push(format!(
                "clients are forgotten {lead_s} s later than forget_after says, as the slowest clock of the herd is, \
                 or was, so far behind"
            ));
        }
        for (neighbour, offset) in self.clocks.apart() {
            notes.push(format!("the clock of {} is {offset}", self.name(neighbour)));
        }
        for (name, odd) in self.names.iter().zip(self.state().iter()) {
            if let Some((one, other, at)) = odd.twins
                && now.saturating_sub(at) <= SILENT_HEARTBEATS * self.heartbeat
            {
                notes.push(twins(name, one, other));
            }
            if odd.conf.is_some() {
                notes.push(another_conf(name));
            }
        }
        notes
    }

    fn name(&self, neighbour: NeighbourId) -> &str {
        self.names.get(neighbour.index()).map_or("", String::as_str)
    }

    fn state(&self) -> MutexGuard<'_, Vec<Odd>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn twins(name: &str, one: SocketAddr, other: SocketAddr) -> String {
    format!(
        "two servers call themselves {name}, one at {one} and one at {other}; stop one of them, and compare the \
         herd.confs of their machines"
    )
}

fn another_conf(name: &str) -> String {
    format!(
        "the herd.conf of {name} differs from ours in the servers, their neighbours or addresses, in \
         forget_after or in max_ahead; compare the files, and restart whichever server read its file before it was changed"
    )
}
