//! WATCH: AT lines as they come, on a connection that says nothing else any more. `conversation` and `events` pass it on.

use std::sync::Arc;

use super::conversation::{Conversation, Line};
use super::line::{LineDoor, Phase, Watching};
use super::{Question, Visit};
use crate::feed::{Event, Origin, Reader, Scope, View};
use crate::node::Clients;
use crate::protocol::{Reply, Rule};
use crate::tally::Asked;

fn write(_: &Origin<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Position { record, .. } => Reply::At(record.line()).write(out),
        Event::Gone { client, .. } => Reply::Gone(client).write(out),
        // Between two lines that are not empty it says nothing but that the connection lives.
        Event::CaughtUp | Event::Pause => out.push(b'\n'),
        Event::Snapshot | Event::Link { .. } | Event::Mark { .. } => {}
    }
}

impl Conversation<'_, '_> {
    pub(super) fn watch(&mut self, prefix: Option<&[u8]>, line: Line<'_>) {
        let clients = prefix.map_or(Clients::All, |prefix| Clients::Prefix(prefix.to_vec()));
        let view = View { scope: Scope { clients, place: None }, write };
        let Some(reader) = self.visit.core.flood.feed.join(view, None) else {
            return self.refused(Rule::Watched, line);
        };
        self.door.show_opening(&mut self.visit.turn.wire);
        self.visit.turn.asked.count(Asked::Watch, true);
        self.question = Some(Question::Feed(Box::new(reader.clone())));
        self.door.phase = Phase::Watching(Box::new(Watching { reader, is_asked: true, is_fresh: false }));
    }
}

impl LineDoor {
    /// Sends on what has changed.
    pub(super) fn tell(&mut self, visit: &mut Visit<'_>, reader: &Reader, bytes: &Arc<[u8]>) {
        visit.turn.share(bytes.clone());
        let watching = Watching { reader: reader.clone(), is_asked: false, is_fresh: true };
        self.phase = Phase::Watching(Box::new(watching));
    }

    /// Asks for what is next, once all is sent.
    pub(super) fn ask_for_more(&mut self, visit: &Visit<'_>) -> Option<Question> {
        let Phase::Watching(watching) = &mut self.phase else { return None };
        if std::mem::take(&mut watching.is_fresh) || watching.is_asked || visit.unsent > 0 {
            return None;
        }
        watching.is_asked = true;
        Some(Question::Feed(Box::new(watching.reader.clone())))
    }
}
