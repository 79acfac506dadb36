//! What neighbours say on a link beside AT lines, in a conversation.

use super::{Talk, Wait};
use crate::link::{Denied, Listener};
use crate::node::{self, Line, PeerKind};
use crate::protocol::link::Verb;
use crate::server::connection::Phase;
use crate::server::socket;

impl Talk<'_> {
    /// The exchange that opens a link, and what is said on it beside AT lines.
    pub(super) fn link(&mut self, verb: &Verb<'_>, line: Line<'_>) {
        let (neighbours, address) = (&self.shared.neighbours, self.connection.peer.address);
        let done = match (verb, self.connection.link.as_deref_mut()) {
            (Verb::Hello(dialer), None) => {
                let count = self.shared.node.store.count() as u64;
                let begun = socket::random()
                    .map_err(|_| Denied::Refused)
                    .and_then(|nonce| neighbours.welcome(dialer, address, nonce, count, &mut self.turn.out));
                begun.map(|link| self.connection.link = Some(link.into()))
            }
            (Verb::Proof(proof), Some(link)) => {
                let (proven, neighbour) = (neighbours.prove(link, proof), link.neighbour());
                if let (Ok(()), Some(index)) = (proven, neighbour) {
                    self.connection.peer.incarnation = link.incarnation();
                    self.connection.peer.kind = PeerKind::Neighbour { index: Some(index), plain: false };
                    self.shared.flood.call(index);
                    self.learned();
                }
                proven
            }
            (Verb::Mark(epoch), Some(&mut Listener::Open { neighbour: Some(index), incarnation })) => {
                let before = neighbours.seen.of(index, incarnation);
                let start = self.turn.out.len();
                // What cannot be kept is not confirmed; the old mark says that the link lives.
                let epoch = if self.shared.node.is_read_only() { before } else { *epoch };
                Verb::Seen(epoch).write(&mut self.turn.out);
                if epoch != before {
                    self.turn.seen.push((index, incarnation, epoch));
                }
                self.promise(start, || {
                    let mut old = Vec::new();
                    Verb::Seen(before).write(&mut old);
                    old
                });
                Ok(())
            }
            (Verb::Ask, Some(Listener::Open { .. })) => {
                self.connection.phase = Phase::Asked;
                self.wait = Some(Wait::Digest);
                Ok(())
            }
            // From anybody else it is no command.
            (_, None) => {
                let start = self.turn.out.len();
                node::refuse(line.shown(), &mut self.turn.out);
                return self.replied(start);
            }
            (_, Some(_)) => Err(Denied::OutOfTurn),
        };
        if let Err(why) = done {
            node::refuse(line.shown(), &mut self.turn.out);
            let (address, reason) = (self.connection.address, why.reason());
            self.shared.denied.count(|total| {
                log::warn!("closed a link from {address}: {reason}; {total} so far");
            });
            self.connection.close_after_replies("it is not known as a neighbour");
        }
    }
}
