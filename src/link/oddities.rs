//! What is odd about neighbours: a clock far from ours, two servers of one name, another herd.conf.
//! Said in the log when it is found, and to `herd --agree` for as long as it is so.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Change;
use super::{Clocks, Lives, Offset};
use crate::limits::{CLOCK_SANE_NS, CONFS_DIFFER, NOTE_MAX, ODDITY_SAY_AGAIN_S, SILENT_HEARTBEATS};
use crate::logging::Escaped;
use crate::node::NeighbourId;
use crate::tally::Tally;

/// Times are since the start.
pub struct Oddities {
    pub clocks: Clocks,
    /// How often a neighbour that lives says something at least.
    heartbeat: Duration,
    /// The digest of our own herd.conf.
    conf: AtomicU64,
    state: Mutex<Vec<Odd>>,
    /// Words of neighbours about another server of our own name.
    pub twins_told: Tally,
}

/// What is odd about one of them.
#[derive(Default)]
struct Odd {
    name: String,
    lives: Lives<SocketAddr>,
    /// Where the two servers of its name are, and when they were last both heard of.
    twins: Option<(SocketAddr, SocketAddr, Duration)>,
    /// When that was last said in the log.
    said: Option<Duration>,
    /// The digest of its herd.conf, as it last said.
    conf: Option<u64>,
    /// Since when that is not ours, or when it was asked for again, and what was done about it.
    conf_differs: Option<(Duration, About)>,
}

/// What was done about another herd.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Nothing,
    /// It was asked for again, as it may have been heard before one that was read later.
    Asked,
    /// The log has it.
    Told,
}

/// How long a log is spared a sentence it has already.
const SAY_AGAIN: Duration = Duration::from_secs(ODDITY_SAY_AGAIN_S);

impl Oddities {
    /// `hold` is how long a clock that was behind is reckoned with; `conf` is the digest of our own
    /// herd.conf. It knows no neighbours until they are added.
    pub fn new(hold: Duration, heartbeat: Duration, conf: u64) -> Oddities {
        let (state, twins_told) = (Mutex::new(Vec::new()), Tally::with_rest(SAY_AGAIN));
        Oddities { clocks: Clocks::new(hold), heartbeat, conf: AtomicU64::new(conf), state, twins_told }
    }

    /// One more neighbour, with the next number.
    pub fn add(&self, name: &str) {
        self.state().push(Odd { name: name.to_owned(), ..Odd::default() });
    }

    /// Nothing is odd any more about somebody who is no neighbour.
    pub fn let_go(&self, neighbour: NeighbourId) {
        self.clocks.let_go(neighbour);
        if let Some(odd) = self.state().get_mut(neighbour.index()) {
            *odd = Odd { name: std::mem::take(&mut odd.name), ..Odd::default() };
        }
    }

    /// The digest of our own herd.conf.
    pub fn own_conf(&self) -> u64 {
        self.conf.load(Ordering::SeqCst)
    }

    /// Our own herd.conf was read anew, and has this digest.
    pub fn set_own_conf(&self, conf: u64) {
        self.conf.store(conf, Ordering::SeqCst);
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
            let words = twins(&odd.name, address, other);
            drop(state);
            log::warn!("{words}");
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
        if let Some(odd) = self.state().get_mut(neighbour.index()) {
            odd.conf = Some(conf);
        }
    }

    /// Has the log told of herd.confs that have differed for a while: where all servers read theirs again, one after the
    /// other, they differ for a moment. Returns who is to be asked for theirs again before that. To be called every now
    /// and then.
    pub fn tell_of_confs(&self, now: Duration) -> Vec<NeighbourId> {
        let (own_conf, mut words, mut asked) = (self.own_conf(), Vec::new(), Vec::new());
        for (index, odd) in (0..).zip(self.state().iter_mut()) {
            if odd.conf.is_none_or(|conf| conf == own_conf) {
                odd.conf_differs = None;
                continue;
            }
            let (since, done) = *odd.conf_differs.get_or_insert((now, About::Nothing));
            if now.saturating_sub(since) < CONFS_DIFFER {
                continue;
            }
            match done {
                About::Nothing => {
                    asked.push(NeighbourId(index));
                    odd.conf_differs = Some((now, About::Asked));
                }
                About::Asked => {
                    words.push(another_conf(&odd.name));
                    odd.conf_differs = Some((now, About::Told));
                }
                About::Told => {}
            }
        }
        words.iter().for_each(|words| log::warn!("{words}"));
        asked
    }

    /// What is odd now, in sentences.
    pub fn notes(&self, now: Duration) -> Vec<String> {
        let mut notes = Vec::new();
        let lead_s = self.clocks.lead_s(now);
        if self.clocks.forgets() && lead_s > 0 {
            notes.push(format!(
                "clients are forgotten {lead_s} s later than forget_after says, as the slowest clock of the herd is, \
                 or was, so far behind"
            ));
        }
        for (neighbour, offset) in self.clocks.apart() {
            notes.push(format!("the clock of {} is {offset}", self.name(neighbour)));
        }
        let own_conf = self.own_conf();
        for odd in self.state().iter() {
            let name = &odd.name;
            if let Some((one, other, at)) = odd.twins
                && now.saturating_sub(at) <= SILENT_HEARTBEATS * self.heartbeat
            {
                notes.push(twins(name, one, other));
            }
            if odd.conf.is_some_and(|conf| conf != own_conf) {
                notes.push(another_conf(name));
            }
        }
        notes
    }

    fn name(&self, neighbour: NeighbourId) -> String {
        self.state().get(neighbour.index()).map_or_else(String::new, |odd| odd.name.clone())
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
         forget_after or in max_ahead; compare the files, and have whichever server read its file before it was changed read \
         it again: herdctl reload"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_herd_conf_is_asked_for_again_and_then_told_of_once() {
        let oddities = Oddities::new(Duration::ZERO, Duration::from_secs(5), 1);
        ["A", "B"].iter().for_each(|name| oddities.add(name));
        let b = NeighbourId(1);
        oddities.conf(b, 2);
        let at = |times: u32| oddities.tell_of_confs(times * CONFS_DIFFER);
        assert_eq!([at(0), at(1), at(2), at(3)], [vec![], vec![b], vec![], vec![]]);
        // What is heard then counts, and a further one is asked for again.
        oddities.conf(b, 1);
        assert_eq!((at(4), oddities.notes(Duration::ZERO)), (vec![], vec![]));
        oddities.conf(b, 3);
        assert_eq!([at(5), at(6)], [vec![], vec![b]]);
    }
}
