//! Connections that wait for what takes longer than a turn: places, or a digest of the store.

use super::Worker;
use crate::digest::Digest;
use crate::link::Lag;
use crate::places::Lookup;
use crate::protocol::link::Verb;
use crate::server::connection::Phase;
use crate::server::conversation;
use crate::server::{Letter, Shared};

impl Worker {
    /// Asks the places pool; the answer comes back as a letter. The connection waits, unread.
    pub(super) fn look_up(&mut self, key: u64, lookup: Lookup) {
        let (shared, index) = (self.shared.clone(), self.index);
        self.shared.places.submit(lookup, move |json| {
            // A worker ends only when none of its connections waits for a lookup.
            let _ = shared.desks[index].post(Letter::Places { key, json });
        });
    }

    /// Has the keeper make a digest; it comes back as a letter. With too much to do it says nothing,
    /// and the neighbour asks again later.
    pub(super) fn ask(&mut self, key: u64) {
        let (shared, index) = (self.shared.clone(), self.index);
        let link = self.connections.get(key).and_then(|connection| connection.link.as_deref());
        let asker = link.filter(|link| link.neighbour().is_none());
        let (is_asker, takes_notes) = (asker.is_some(), asker.is_some_and(|link| link.conf().is_some()));
        let accepted = self.shared.keeper.digest(Box::new(move |digest: Digest| {
            let mut line = Vec::new();
            if is_asker {
                tell_lags(&shared, &mut line);
            }
            if takes_notes {
                let notes = shared.notes();
                notes.iter().for_each(|note| Verb::Note(note.as_bytes()).write(&mut line));
            }
            Verb::Digest { count: digest.count, sums: digest.to_hex().as_bytes() }.write(&mut line);
            // A worker that has ended has nobody left to answer.
            let _ = shared.desks[index].post(Letter::Digest { key, line });
        }));
        if !accepted {
            // By a letter, too: an answer by a call would come back here for the next ASK that waits, and
            // go one level deeper for each.
            let _ = self.shared.desks[self.index].post(Letter::Digest { key, line: Vec::new() });
        }
    }

    pub(super) fn digested(&mut self, key: u64, line: &[u8]) {
        let Some(connection) = self.connections.get(key) else { return };
        if matches!(connection.phase, Phase::Asked) {
            connection.phase = Phase::Open;
            let begin = self.turn.out.len();
            self.turn.out.extend_from_slice(line);
            self.sends.push((key, begin..self.turn.out.len()));
            self.converse_kept(key);
        }
    }

    pub(super) fn looked_up(&mut self, key: u64, json: &[u8]) {
        let Some(connection) = self.connections.get(key) else { return };
        let Phase::Lookup(line) = std::mem::replace(&mut connection.phase, Phase::Open) else { return };
        if self.shared.settings.one_shot {
            connection.close_after_replies("one-shot");
        }
        let begin = self.turn.out.len();
        conversation::reply_nearby(&mut self.turn, connection, &line, json);
        self.sends.push((key, begin..self.turn.out.len()));
        self.converse_kept(key);
    }
}

/// How far each neighbour is behind.
fn tell_lags(shared: &Shared, line: &mut Vec<u8>) {
    for (name, lag) in shared.flood.lags() {
        let Lag { is_up, clients, time } = lag;
        Verb::Lag { name: name.as_bytes(), is_up, clients, ms: time.as_millis() as u64 }.write(line);
    }
}
