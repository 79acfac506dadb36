//! NEAR and COUNT: the nearest clients to a position, and how many there are. `conversation` passes them on.

use super::conversation::{Conversation, Line, asked_of};
use super::line::Phase;
use super::{Answer, Question, Visit};
use crate::logging::count;
use crate::node::{Node, Sought};
use crate::protocol::{Record, Reply, Rule, Vicinity};
use crate::store::Around;
use crate::tally::Asked;

/// Who is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearby {
    around: Around,
    most: usize,
}

impl Nearby {
    fn new(vicinity: &Vicinity<'_>) -> Nearby {
        let around = Around::new(vicinity.location.coordinates(), vicinity.radius_m);
        Nearby { around, most: usize::from(vicinity.bound) }
    }

    /// Their AT lines, each with its newline, the nearest first. Takes as long as it takes to look at all clients, at most.
    pub fn lines(&self, node: &Node) -> Vec<u8> {
        node.nearest(&self.sought()).concat()
    }

    /// The same if it takes no longer than a turn may.
    fn lines_soon(&self, node: &Node) -> Option<Vec<u8>> {
        Some(node.nearest_soon(&self.sought())?.concat())
    }

    fn sought(&self) -> Sought<'static> {
        Sought { around: self.around, most: self.most, write: &write_line }
    }
}

fn write_line(record: &Record<&[u8]>, _: f64, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(record.line());
    out.push(b'\n');
    true
}

/// Says who was found. The log has how many: their lines would fill it.
fn say(visit: &mut Visit<'_>, lines: &[u8]) {
    Reply::Nearest(lines).write(&mut visit.turn.out);
    visit.turn.asked.count(Asked::Near, true);
    let clients = lines.iter().filter(|&&byte| byte == b'\n').count();
    visit.turn.wire.sent(count(clients as u64, "client").as_bytes());
}

fn say_count(visit: &mut Visit<'_>, count: usize) {
    Reply::Count(count).write(&mut visit.turn.out);
    visit.turn.asked.count(Asked::Count, true);
    visit.turn.wire.sent(format!("COUNT {count}").as_bytes());
}

impl Conversation<'_, '_> {
    pub(super) fn near(&mut self, vicinity: &Vicinity<'_>, line: Line<'_>) {
        self.door.show_opening(&mut self.visit.turn.wire);
        let (nearby, node) = (Nearby::new(vicinity), &self.visit.core.node);
        let soon = if self.visit.turn.may_search() { nearby.lines_soon(node) } else { None };
        match soon {
            Some(lines) => {
                say(self.visit, &lines);
                self.close_if_one_shot();
            }
            None => {
                self.question = Some(Question::Near(nearby));
                self.door.phase = Phase::Clients { line: line.shown().into() };
            }
        }
    }

    pub(super) fn count(&mut self, line: Line<'_>) {
        self.door.show_opening(&mut self.visit.turn.wire);
        match self.visit.core.node.count_soon() {
            Some(count) => {
                say_count(self.visit, count);
                self.close_if_one_shot();
            }
            None => {
                self.question = Some(Question::Count);
                self.door.phase = Phase::Clients { line: line.shown().into() };
            }
        }
    }
}

impl super::line::LineDoor {
    /// Takes the answer to NEAR or COUNT, or that there is none, as there is too much to do.
    pub(super) fn answer_of_clients(&mut self, visit: &mut Visit<'_>, line: &[u8], answer: &Answer) {
        visit.turn.wire.at(visit.now.posix_ns);
        self.show_in(visit);
        match answer {
            Answer::Near(lines) => say(visit, lines),
            Answer::Count(count) => say_count(visit, *count),
            _ => {
                Reply::Refused(line).write(&mut visit.turn.out);
                visit.turn.wire.refused(Rule::Busy.words(), line, false);
                visit.core.tallies.refusals.count(Rule::Busy);
                visit.turn.asked.count(asked_of(line), false);
            }
        }
        if visit.manners.one_shot {
            self.close("one-shot");
        }
    }
}
