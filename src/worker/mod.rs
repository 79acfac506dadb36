//! A worker thread: a poller, a room of connections, and a loop of turns. One turn reads all that is ready,
//! answers it, hands the news to the flood as one batch, and only then sends the replies.
//! The server starts and joins workers. A worker names no protocol: what is spoken is its doors'. It may touch
//! sockets by way of `net`, the doors, the turn, and the hall that all workers share.

mod accept;
mod balance;
mod desk;
mod entrance;
mod hall;
mod live;
mod moving;
mod room;
mod unsent;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use balance::Load;
pub use desk::Desk;
pub use entrance::{Admission, Capacity, Entrance, Lack};
pub use hall::{Control, Errand, Errands, Hall, Terms, Told};
pub use live::Live;
pub use room::{Guest, Outside, Room};
pub use unsent::Unsent;

use crate::clock::Moment;
use crate::door::Door;
use crate::limits::{ACCEPTS_PER_TURN, EVENTS_MAX, LOOK_EVERY, READS_PER_ACCEPT};
use crate::link::Neighbours;
use crate::logging::Wire;
use crate::net::{AnyStream, Event, Events, WAKE};
use accept::{Accepted, Acceptor, LISTENER};
use balance::Gauge;
use desk::Letter;
use hall::Seat;

/// The thread's own.
pub struct Worker {
    hall: Arc<Hall>,
    index: usize,
    room: Room<AnyStream, Seat>,
    acceptor: Acceptor,
    gauge: Gauge,
    now: Moment,
    /// Letters that are still to be opened.
    mail: VecDeque<Letter>,
    /// What the poller reported for this turn.
    ready: usize,
    /// While the journal's disk is slow, those who report are apart from all others.
    is_parted: bool,
}

impl Worker {
    pub fn new(hall: Arc<Hall>, index: usize) -> Worker {
        let (now, wire) = (hall.clock.now(), Wire::new(&hall.sink));
        let seat = Seat::new(hall.clone(), index);
        Worker {
            room: Room::new(seat, wire, now),
            acceptor: Acceptor::default(),
            gauge: Gauge::new(now.up),
            now,
            mail: VecDeque::new(),
            ready: 0,
            is_parted: false,
            hall,
            index,
        }
    }

    /// Runs until the server stops and every reply is flushed.
    pub fn run(mut self) {
        let hall = self.hall.clone();
        let desk = &hall.desks[self.index];
        let mut events = Events::with_capacity(EVENTS_MAX);
        if desk.load.is_at_work() {
            self.acceptor.open(&hall.entrance, &desk.poller);
        }
        loop {
            self.room.rest();
            if let Err(why) = desk.poller.wait(&mut events, self.timeout()) {
                log::error!("worker {} cannot wait for its connections: {why}", self.index);
                return;
            }
            self.now = hall.clock.now();
            let stopped_at = hall.stopped_at.get().copied();
            let is_stopping = stopped_at.is_some();
            self.part(is_stopping);
            self.room.begin(self.now, self.gauge.window(), stopped_at);
            self.ready = events.len();
            if self.acceptor.has_more() && !is_stopping {
                self.accept();
            }
            for index in 0..events.len() {
                self.take(events.get(index), is_stopping);
            }
            self.open_mail();
            self.room.begin_metered();
            while let Some(event) = events.take_metered() {
                self.ready += 1;
                self.take(event, is_stopping);
                if !self.room.has_metered_time() {
                    break;
                }
            }
            self.room.finish();
            self.hand_misplaced();
            // It may have found that out itself.
            self.part(is_stopping);
            if !is_stopping {
                self.acceptor.resume(&hall.entrance, &desk.poller, self.now.up);
                self.balance();
            } else if self.close_idle() {
                return;
            }
        }
    }

    fn desk(&self) -> &Desk {
        &self.hall.desks[self.index]
    }

    /// How long the wait may last: until the next deadline, or the next look at the load.
    fn timeout(&self) -> Option<Duration> {
        if !self.mail.is_empty() {
            return Some(Duration::ZERO);
        }
        let resumes = self.acceptor.resumes_at().map(|at| at.saturating_sub(self.now.up));
        let is_looking = self.is_parted || (self.index > 0 && self.desk().load.is_at_work());
        let look = is_looking.then_some(LOOK_EVERY);
        [self.room.patience(), resumes, look].into_iter().flatten().min()
    }

    fn take(&mut self, event: Event, is_stopping: bool) {
        match event.key {
            WAKE => self.open_inbox(),
            LISTENER if is_stopping => {}
            // Those that are accepted already in this turn.
            LISTENER if self.acceptor.has_more() => {}
            LISTENER => self.accept(),
            key => self.room.ready(key, event),
        }
    }

    fn open_inbox(&mut self) {
        let hall = self.hall.clone();
        let desk = &hall.desks[self.index];
        desk.poller.woken();
        self.mail.extend(desk.take_letters());
        if desk.load.is_at_work() {
            self.acceptor.open(&hall.entrance, &desk.poller);
        }
    }

    /// Opens letters until much has been said: one answer may be for thousands, or thousands come with lines that are to be
    /// answered, who are not to wait in memory for each other; and others are not to wait for all of them. The rest is for the next turn.
    fn open_mail(&mut self) {
        while let Some(letter) = self.mail.pop_front() {
            match letter {
                Letter::Guest(guest) => self.room.adopt(*guest),
                Letter::Answer { key, answer } => self.room.answered(key, answer),
            }
            if self.room.flush_much() {
                return;
            }
        }
    }

    fn accept(&mut self) {
        let hall = self.hall.clone();
        let count = ACCEPTS_PER_TURN.max(self.ready / READS_PER_ACCEPT);
        let Hall { core, entrance, .. } = &*hall;
        let (poller, room) = (&hall.desks[self.index].poller, &mut self.room);
        let admit = |address| admit(entrance, &core.neighbours, room, address);
        let accepted = self.acceptor.accept(entrance, &core.tallies, poller, self.now.up, count, admit);
        for Accepted { kind, stream, address, admission } in accepted {
            let now = hall.clock.now();
            // It is this machine's own if the two ends are of one address.
            let own = stream.local_addr().ok().map(|own| own.ip());
            let door = Door::open(kind, address, own, core, self.now);
            self.room.welcome(stream, address, door, admission, now.posix_ns);
        }
    }

    /// While stopping: true once no connection is left, and none can come.
    fn close_idle(&mut self) -> bool {
        let hall = self.hall.clone();
        let desk = &hall.desks[self.index];
        self.acceptor.close(&hall.entrance, &desk.poller);
        let has_ended =
            self.mail.is_empty() && self.room.close_idle() && !self.stays_for_others() && desk.close();
        if has_ended {
            self.tell_end();
        }
        has_ended
    }
}

/// Counts a connection in: as a guest, and then a silent guest may have to leave for it; or on trial, and then the
/// connection that has been on trial for longest may have to leave.
fn admit(
    entrance: &Entrance,
    neighbours: &Neighbours,
    room: &mut Room<AnyStream, Seat>,
    address: SocketAddr,
) -> Result<Admission, Lack> {
    let ip = address.ip();
    let is_free = ip.to_canonical().is_loopback() || neighbours.has_address(ip);
    let lack = match entrance.enter(ip, is_free) {
        Err(lack) if room.make_way(lack, ip) => match entrance.enter(ip, is_free) {
            Ok(admission) => return Ok(admission),
            Err(lack) => lack,
        },
        Err(lack) => lack,
        Ok(admission) => return Ok(admission),
    };
    let on_trial = entrance.enter_on_trial(lack);
    let again = || room.end_trial(ip).then(|| entrance.enter_on_trial(lack)).flatten();
    on_trial.or_else(again).ok_or(lack)
}
