//! An engine in virtual time: what it merges, counts and logs as the real one does (which other tests compare), and what goes
//! wrong with it: it dies, forgets, refuses, goes back in time, trims its logs, and loses questions and answers.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use herd::backbone::engine::{Engine, Entry, EntryId, Fault, Height, Members, Merged, Offer};
use herd::protocol::{Command, Record};

/// Lines and entries that it gives at once.
const AT_ONCE: usize = 3;

/// A part of the herd in the engine.
#[derive(Clone, Default)]
struct Part {
    /// By where it is: a note or not, and the client.
    lines: BTreeMap<(bool, Vec<u8>), Vec<u8>>,
    log: VecDeque<(u64, Height, Vec<u8>)>,
    height: Option<Height>,
}

/// What an engine has.
#[derive(Clone, Default)]
struct Held {
    parts: Vec<Part>,
    members: Vec<String>,
    /// The ID of the last entry.
    last: u64,
}

struct State {
    held: Held,
    /// What a replica has that is behind.
    replica: Held,
    /// Which engine it is, and how many parts ever began to live.
    identity: u64,
    lives: u64,
    /// Connections from before are gone.
    generation: u64,
    is_down: bool,
    /// It takes nothing: it has no room.
    is_full: bool,
    /// Now and then a question or an answer is lost; 0 is never.
    loses_one_in: u32,
    random: Rng,
}

/// The engine, for all servers.
#[derive(Clone)]
pub struct SimEngine(Arc<Mutex<State>>);

/// A server's connection to it.
pub struct Connection {
    engine: SimEngine,
    generation: u64,
    answers: VecDeque<Result<Merged, Fault>>,
}

impl SimEngine {
    pub fn new(parts: u16, random: Rng) -> SimEngine {
        let held = Held { parts: vec![Part::default(); usize::from(parts)], ..Held::default() };
        let state = State {
            replica: held.clone(),
            held,
            identity: 1,
            lives: 0,
            generation: 0,
            is_down: false,
            is_full: false,
            loses_one_in: 200,
            random,
        };
        SimEngine(Arc::new(Mutex::new(state)))
    }

    pub fn dial(&self) -> Result<Connection, Fault> {
        let state = self.lock();
        if state.is_down {
            return Err(Fault::Gone("connection refused".into()));
        }
        Ok(Connection { engine: self.clone(), generation: state.generation, answers: VecDeque::new() })
    }

    /// Something happens to it.
    pub fn suffer(&self) {
        let state = &mut *self.lock();
        match state.random.u8(0..8) {
            // It ends, with all that it has, and is started again by the next time.
            0 => {
                state.lose_everything();
                (state.is_down, state.identity) = (true, state.identity + 1);
                state.generation += 1;
            }
            1 => state.lose_everything(),
            // A replica takes its place, which had not heard everything.
            2 => {
                state.held = state.replica.clone();
                state.identity += 1;
                state.generation += 1;
            }
            3 => state.replica = state.held.clone(),
            4 => {
                let most = state.random.usize(0..4);
                state.held.parts.iter_mut().for_each(|part| {
                    let gone = part.log.len().saturating_sub(most);
                    part.log.drain(..gone);
                });
            }
            5 => state.is_full = !state.is_full,
            6 => state.generation += 1,
            _ => state.is_down = false,
        }
    }

    /// From here on nothing goes wrong.
    pub fn heal(&self) {
        let mut state = self.lock();
        (state.is_down, state.is_full, state.loses_one_in) = (false, false, 0);
    }

    /// All lines that it has.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.lock().held.parts.iter().flat_map(|part| part.lines.values().cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic before")
    }
}

impl State {
    fn lose_everything(&mut self) {
        let count = self.held.parts.len();
        self.held = Held { parts: vec![Part::default(); count], last: self.held.last, ..Held::default() };
        self.replica = self.held.clone();
    }

    fn loses(&mut self) -> bool {
        self.loses_one_in > 0 && self.random.u32(0..self.loses_one_in) == 0
    }

    fn merge(&mut self, part: u16, records: &[Offer<'_>]) -> Merged {
        let (mut newer, mut news) = (Vec::new(), Vec::new());
        let it = &mut self.held.parts[usize::from(part)];
        for record in records {
            let place = (record.is_note, record.client.to_vec());
            let order = it.lines.get(&place).map_or(Ordering::Greater, |held| order(record.line, held));
            match order {
                Ordering::Greater => {
                    it.lines.insert(place, record.line.to_vec());
                    news.push(record.line.to_vec());
                }
                Ordering::Less => newer.push(it.lines[&place].clone()),
                Ordering::Equal => {}
            }
        }
        if !news.is_empty() {
            if it.height.is_none() {
                self.lives += 1;
            }
            let height = it.height.unwrap_or(Height { life: self.lives, entries: 0 }).next();
            it.height = Some(height);
            self.held.last += 1;
            it.log.push_back((self.held.last, height, news.join(&b'\n')));
        }
        Merged { height: it.height, newer }
    }
}

/// Which of two lines is newer.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let record = |line: &[u8], out: &mut Vec<u8>| match Command::parse(line) {
        Ok(Command::At(fields)) => Record::write(&fields, out).offsets(),
        _ => panic!("{}", String::from_utf8_lossy(line)),
    };
    let (a, b) = (record(one, &mut first), record(other, &mut second));
    Record::new(&first[..], a).cmp_age(&Record::new(&second[..], b))
}

impl Connection {
    /// Asks something; what happened may be lost on the way there or back.
    fn ask<T>(&self, ask: impl FnOnce(&mut State) -> T) -> Result<T, Fault> {
        let state = &mut *self.engine.lock();
        if state.is_down || state.generation != self.generation || state.loses() {
            return Err(Fault::Gone("the connection broke".into()));
        }
        let said = ask(state);
        if state.loses() { Err(Fault::Gone("it does not answer".into())) } else { Ok(said) }
    }
}

impl Engine for Connection {
    fn identity(&mut self) -> Result<String, Fault> {
        self.ask(|state| state.identity.to_string())
    }

    fn send(&mut self, part: u16, records: &[Offer<'_>]) -> Result<(), Fault> {
        let merged = self.ask(|state| match state.is_full {
            true => Err(Fault::Refused("OOM".into())),
            false => Ok(state.merge(part, records)),
        });
        self.answers.push_back(merged.and_then(|merged| merged));
        Ok(())
    }

    fn receive(&mut self) -> Result<Merged, Fault> {
        self.answers.pop_front().expect("something was sent")
    }

    fn replace(&mut self, part: u16, held: &Offer<'_>, instead: &[u8]) -> Result<(), Fault> {
        self.ask(|state| {
            let lines = &mut state.held.parts[usize::from(part)].lines;
            let place = (held.is_note, held.client.to_vec());
            if lines.get(&place).is_some_and(|line| line == held.line) {
                lines.remove(&place);
                state.merge(part, &[Offer { line: instead, ..*held }]);
            }
        })
    }

    fn heights(&mut self) -> Result<Vec<Option<Height>>, Fault> {
        self.ask(|state| state.held.parts.iter().map(|part| part.height).collect())
    }

    fn last(&mut self, part: u16) -> Result<Option<Entry>, Fault> {
        self.ask(|state| state.held.parts[usize::from(part)].log.back().map(entry))
    }

    fn scan(&mut self, part: u16, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), Fault> {
        self.ask(|state| {
            let lines = &state.held.parts[usize::from(part)].lines;
            let some: Vec<_> = lines.values().skip(cursor as usize).take(AT_ONCE).cloned().collect();
            let next = cursor + some.len() as u64;
            (if next < lines.len() as u64 { next } else { 0 }, some)
        })
    }

    fn read(&mut self, after: &[(u16, EntryId)], _: Duration) -> Result<Vec<(u16, Entry)>, Fault> {
        self.ask(|state| {
            let mut found = Vec::new();
            for (part, id) in after {
                let id = id.0.strip_suffix("-0").and_then(|id| id.parse::<u64>().ok()).expect("an ID");
                let behind = state.held.parts[usize::from(*part)].log.iter().filter(|(at, ..)| *at > id);
                found.extend(behind.take(AT_ONCE).map(|it| (*part, entry(it))));
            }
            found
        })
    }

    fn join(&mut self, name: &str, _: u64) -> Result<Members, Fault> {
        self.ask(|state| {
            if state.is_full {
                return Err(Fault::Refused("OOM".into()));
            }
            let members = &mut state.held.members;
            if !members.iter().any(|member| member == name) {
                members.push(name.to_owned());
            }
            let names = members.iter().map(|name| name.clone().into_bytes()).collect();
            Ok(Members { names, clock_s: 0 })
        })?
    }
}

fn entry((id, height, lines): &(u64, Height, Vec<u8>)) -> Entry {
    Entry { id: EntryId(format!("{id}-0")), height: Some(*height), lines: lines.clone() }
}
