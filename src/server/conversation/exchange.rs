//! What neighbours say on a link beside AT lines, in a conversation.

use super::{Talk, Wait};
use crate::link::{Denied, Listener};
use crate::logging::Escaped;
use crate::node::{self, Line, PeerKind};
use crate::protocol::Rule;
use crate::protocol::link::{ClockReading, End, Proof, Verb};
use crate::server::connection::Phase;
use crate::server::socket;

impl Talk<'_> {
    /// The exchange that opens a link, and what is said on it beside AT lines.
    pub(super) fn link(&mut self, verb: &Verb<'_>, line: Line<'_>) {
        let is_open = self.connection.link.as_deref().map(Listener::is_open);
        let done = match (verb, is_open) {
            (Verb::Hello(dialer), None) => self.greet(dialer),
            (Verb::Proof(proof), Some(_)) => self.prove(proof),
            (Verb::Mark(epoch), Some(true)) => self.mark(*epoch),
            (Verb::Time(reading), Some(true)) => self.tell_time(reading),
            (Verb::Ask, Some(true)) => {
                self.connection.phase = Phase::Asked;
                self.wait = Some(Wait::Digest);
                Ok(())
            }
            // From anybody else it is no command.
            (_, None) => {
                node::refuse(line.shown(), &mut self.turn.out);
                return self.refused(Rule::NotOnALink, line.text);
            }
            (_, Some(_)) => Err(Denied::OutOfTurn),
        };
        if let Err(why) = done {
            self.deny(why, verb, line);
        }
    }

    fn greet(&mut self, dialer: &End<'_>) -> Result<(), Denied> {
        let address = self.connection.peer.address;
        let count = self.shared.node.store.count() as u64;
        let nonce = socket::random().map_err(|_| Denied::NoRandomness)?;
        let link = self.shared.neighbours.welcome(dialer, address, nonce, count, &mut self.turn.out)?;
        self.connection.link = Some(link.into());
        Ok(())
    }

    fn prove(&mut self, proof: &Proof) -> Result<(), Denied> {
        let (neighbours, connection) = (&self.shared.neighbours, &mut *self.connection);
        let Some(link) = connection.link.as_deref_mut() else { return Err(Denied::OutOfTurn) };
        neighbours.prove(link, proof)?;
        if let Some(index) = link.neighbour() {
            connection.peer.incarnation = link.incarnation();
            connection.peer.kind = PeerKind::Neighbour { index: Some(index), plain: false };
            let (incarnation, address) = (link.incarnation(), connection.address);
            log::info!("{} links from {address}", neighbours.name_of(link));
            // Whether there are two is told with its marks.
            let _ = neighbours.oddities.lives(index, incarnation, address, neighbours.now());
            if let Some(conf) = link.conf() {
                neighbours.oddities.conf(index, conf);
            }
            neighbours.show(&mut self.turn.wire, connection.link.as_deref(), &address);
            self.shared.flood.call(index);
            self.learned();
        }
        Ok(())
    }

    fn mark(&mut self, epoch: u32) -> Result<(), Denied> {
        let neighbours = &self.shared.neighbours;
        let Some(link) = self.connection.link.as_deref() else { return Err(Denied::OutOfTurn) };
        let (Some(index), incarnation) = (link.neighbour(), link.incarnation()) else {
            return Err(Denied::OutOfTurn);
        };
        let is_told = link.conf().is_some();
        let twin = neighbours.oddities.lives(index, incarnation, self.connection.address, neighbours.now());
        let before = neighbours.seen.of(index, incarnation);
        let start = self.turn.out.len();
        // What cannot be kept is not confirmed; the old mark says that the link lives.
        let epoch = if self.shared.node.is_read_only() { before } else { epoch };
        Verb::Seen(epoch).write(&mut self.turn.out);
        if epoch != before {
            self.turn.seen.push((index, incarnation, epoch));
        }
        self.promise(start, || {
            let mut old = Vec::new();
            Verb::Seen(before).write(&mut old);
            old
        });
        if let Some(twin) = twin.filter(|_| is_told) {
            Verb::Twin(twin.to_string().as_bytes()).write(&mut self.turn.out);
        }
        Ok(())
    }

    fn tell_time(&mut self, theirs: &ClockReading) -> Result<(), Denied> {
        let Some(link) = self.connection.link.as_deref_mut() else { return Err(Denied::OutOfTurn) };
        let neighbour = link.neighbour();
        let ours = self.shared.neighbours.hear_time(&mut link.meter, neighbour, theirs, &self.shared.node);
        Verb::Time(ours).write(&mut self.turn.out);
        Ok(())
    }

    /// Refuses a dialer, says why in the log, and to the dialer if it knows the word.
    fn deny(&mut self, why: Denied, verb: &Verb<'_>, line: Line<'_>) {
        let (link, address) = (self.connection.link.as_deref(), self.connection.address);
        let (name, is_told) = match (verb, link) {
            (_, Some(link)) => {
                (self.shared.neighbours.name_of(link).as_bytes().to_vec(), link.conf().is_some())
            }
            (Verb::Hello(dialer), None) => (dialer.name.to_vec(), dialer.conf.is_some()),
            (_, None) => (Vec::new(), false),
        };
        node::refuse(line.shown(), &mut self.turn.out);
        if is_told {
            Verb::Denied(why.word().as_bytes()).write(&mut self.turn.out);
        }
        self.shared.tallies.denied.count(|total| {
            let (name, reason) = (Escaped(&name), why.reason());
            log::warn!("closed a link from {address}, which calls itself {name}: {reason}; {total} so far");
        });
        self.connection.close_after_replies("it is not known as a neighbour");
    }
}
