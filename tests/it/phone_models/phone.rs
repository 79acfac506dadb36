//! One phone: an app, the queue that it has on its disk, and the connection that it keeps. Its time is the model's.

use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::apps::{App, Fate, Item};
use crate::harness::HANG;
use crate::http::Reply;

/// A phone takes a fix so often, and as often something that does not count as this says.
const FIX_EVERY_S: u64 = 10;
const RUBBISH_EVERY: u64 = 3;

pub struct Phone {
    pub app: App,
    pub queue: VecDeque<Item>,
    /// When it tries next, if it has something.
    not_before_s: u64,
    next_fix_s: u64,
    /// How many attempts failed, one after the other.
    failures: u32,
    connection: Option<TcpStream>,
    rubbish: usize,
    pub told: Told,
}

/// What came of all that it sent.
#[derive(Default)]
pub struct Told {
    /// The newest time of what was acknowledged.
    pub newest: Option<u64>,
    pub acknowledged: u64,
    pub ignored: BTreeSet<&'static str>,
    /// What the app gave up by itself.
    pub given_up: u64,
    pub statuses: BTreeSet<u16>,
}

impl Phone {
    pub fn new(app: App) -> Phone {
        Phone {
            app,
            queue: VecDeque::new(),
            not_before_s: 0,
            next_fix_s: 0,
            failures: 0,
            connection: None,
            rubbish: 0,
            told: Told::default(),
        }
    }

    /// When it has something to do.
    pub fn due_s(&self, takes_fixes: bool) -> u64 {
        match (self.queue.is_empty(), takes_fixes) {
            (false, _) => self.not_before_s,
            (true, true) => self.next_fix_s,
            (true, false) => u64::MAX,
        }
    }

    /// Takes the fixes that are due by now, and with some of them what does not count.
    pub fn take_fixes(&mut self, now_s: u64, base: u64) {
        while self.next_fix_s <= now_s {
            let (taken_s, time) = (self.next_fix_s, base + self.next_fix_s);
            if taken_s / FIX_EVERY_S % RUBBISH_EVERY == 1 {
                let all = self.app.rubbish(time);
                let (text, reason) = all[self.rubbish % all.len()].clone();
                self.rubbish += 1;
                self.queue.push_back(Item { text, taken_s, time, reason: Some(reason) });
            }
            self.queue.push_back(Item { text: self.app.fix(time), taken_s, time, reason: None });
            self.next_fix_s += FIX_EVERY_S;
        }
    }

    /// Tries once to get rid of what is first in its queue; `meanwhile` happens when the request is on its way.
    pub fn attempt(&mut self, to: SocketAddr, now_s: u64, meanwhile: impl FnOnce()) {
        let count = self.app.batch().min(self.queue.len());
        let sent: Vec<&Item> = self.queue.iter().take(count).collect();
        let Some(first) = sent.first() else { return };
        let (age_s, bytes) = (now_s.saturating_sub(first.taken_s), self.app.request(&sent));
        let reply = exchange(&mut self.connection, to, &bytes, meanwhile);
        let fate = self.app.fate(reply.as_ref(), self.failures, age_s);
        if let Some(reply) = &reply {
            self.told.statuses.insert(reply.status);
        }
        match fate {
            Fate::Done => {
                self.acknowledged(count, &reply.expect("what is taken has a reply"));
                (self.failures, self.not_before_s) = (0, now_s);
            }
            Fate::GivenUp => {
                self.queue.drain(..count);
                self.told.given_up += count as u64;
                (self.failures, self.not_before_s) = (0, now_s);
            }
            Fate::Again => {
                self.failures += 1;
                self.not_before_s = now_s + self.app.pause_s(self.failures);
            }
        }
    }

    fn acknowledged(&mut self, count: usize, reply: &Reply) {
        let done: Vec<Item> = self.queue.drain(..count).collect();
        let said: BTreeSet<&str> =
            reply.field("X-Herd-Ignored").map(|field| field.split(", ").collect()).unwrap_or_default();
        let expected: BTreeSet<&str> = done.iter().filter_map(|item| item.reason).collect();
        assert_eq!(said, expected, "{:?} {reply:?}", self.app);
        self.told.ignored.extend(done.iter().filter_map(|item| item.reason));
        let counting = done.iter().filter(|item| item.reason.is_none());
        self.told.acknowledged += counting.clone().count() as u64;
        self.told.newest = self.told.newest.max(counting.map(|item| item.time).max());
    }
}

/// A request on the connection that is kept, and its reply, if it comes. One that fails is not made again on another
/// connection: that is the next attempt's.
pub fn exchange(
    kept: &mut Option<TcpStream>,
    to: SocketAddr,
    bytes: &[u8],
    meanwhile: impl FnOnce(),
) -> Option<Reply> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(to).ok()?;
            stream.set_read_timeout(Some(HANG)).expect("set");
            stream.set_write_timeout(Some(HANG)).expect("set");
            stream
        }
    };
    let sent = stream.write_all(bytes);
    meanwhile();
    sent.ok()?;
    let (mut said, mut buffer) = (Vec::new(), [0; 65_536]);
    loop {
        if let Some((reply, length)) = Reply::cut(&said) {
            assert_eq!(length, said.len(), "more than one reply");
            if reply.field("Connection") != Some("close") {
                *kept = Some(stream);
            }
            return Some(reply);
        }
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(why) => {
                assert!(
                    !matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "no reply: {why}"
                );
                return None;
            }
        }
    }
}
