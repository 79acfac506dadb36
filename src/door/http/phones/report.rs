//! What phones said is learned: of each client the newest, all of it in one turn, and acknowledged in the way that the
//! app needs.

use std::borrow::Cow;
use std::sync::Arc;

use super::message::Message;
use crate::door::http::Done;
use crate::door::http::body::Incoming;
use crate::door::http::call::{self, Call, Wanted};
use crate::door::http::heard::{Heard, Said};
use crate::door::http::problem::{Kind, Problem};
use crate::door::http::reply::{JSON, Reply, Way};
use crate::door::http::tokens::is_basic_without_base64;
use crate::door::{Question, Visit};
use crate::limits::{PHONE_BODY_MAX, PHONE_NAME_LOGGED_BYTES, PHONE_TURN_BYTES};
use crate::logging::{Escaped, hide};
use crate::protocol::{Location, Report, Rule, Timestamp};
use crate::tally::{App, Reason};

/// Whether a request is of Overland, which reads nothing but an object as an answer.
pub fn is_overland(app: App, head: &crate::door::http::head::Head<'_>) -> bool {
    let agent = head.field("user-agent").unwrap_or_default();
    app == App::Overland || agent.starts_with(b"Overland") || is_basic_without_base64(head)
}

/// Serves a request of an app.
pub fn report(call: &mut Call<'_, '_>, otherwise: App, body: &mut Incoming) -> Done {
    let (is_cut, is_large) = (body.is_cut(), body.bytes().len() > PHONE_TURN_BYTES);
    if is_cut && body.bytes().len() < PHONE_BODY_MAX {
        // Its token was none when it began to come in.
        let detail = "the token has become valid while this came in; send it again";
        return call.refuse(retry(Kind::Busy, detail));
    }
    if is_large {
        let (bytes, reserved) = body.give();
        let message =
            Message { reserved: reserved.map(Arc::new), ..message(call, otherwise, bytes.into(), is_cut) };
        return call.ask(Question::Phone(Box::new(message.into_owned())), Wanted::Phone);
    }
    let message = message(call, otherwise, body.bytes().into(), is_cut);
    let heard = message.hear();
    let Some(friends) = message.friends(&heard) else {
        return learn(call.visit, call.way, &call.fields, heard, None);
    };
    let soon = call.visit.turn.may_search().then(|| friends.soon(&call.visit.core.node)).flatten();
    match soon {
        Some(list) => learn(call.visit, call.way, &call.fields, heard, Some(&list)),
        None => call.ask(Question::Friends(Box::new(friends)), Wanted::Friends(heard)),
    }
}

fn message<'m>(call: &Call<'m, '_>, otherwise: App, body: Cow<'m, [u8]>, is_cut: bool) -> Message<'m> {
    Message {
        otherwise,
        query: call.head.query.into(),
        body,
        is_cut,
        user: call.head.field("x-limit-u").map(Cow::from),
        device: call.head.field("x-limit-d").map(Cow::from),
        is_overland: call.way.is_overland,
        caller: call.caller.clone(),
        max_line: call.visit.manners.max_line,
        max_ahead_ns: call.site.max_ahead_ns,
        now_ns: call.visit.now.posix_ns,
        reserved: None,
    }
}

/// Learns what is to be learned, and acknowledges all of it; or nothing, if it is not in the journal. There is no list of
/// friends where none is wanted, or there is too much to do.
pub fn learn(
    visit: &mut Visit<'_>,
    way: Way,
    fields: &str,
    mut heard: Heard,
    friends: Option<&[u8]>,
) -> Done {
    let way = Way { is_overland: heard.is_overland, ..way };
    let (core, now_ns, app) = (visit.core, visit.now.posix_ns, heard.app);
    let mut late = Vec::new();
    for Said { id, location, time } in &heard.reports {
        let (Some(location), Some(time)) = (Location::parse(location), Timestamp::parse(time)) else {
            continue;
        };
        match visit.turn.report_to_keep(core, &Report { client: id, location, time }, now_ns) {
            Ok(_) => {}
            // Its time is too far ahead for this server.
            Err(Rule::TooFarAhead) => {
                heard.count = heard.count.saturating_sub(1);
                late.push(id.clone());
            }
            Err(rule) => {
                core.tallies.refusals.count(rule);
                visit.manners.tell_full(&core.tallies, rule, false, visit.now.up);
                let (kind, detail) = match rule {
                    Rule::Full | Rule::FullOfNotes => (Kind::Full, rule.words()),
                    _ => (Kind::NotKept, NOT_KEPT),
                };
                return call::refuse(visit, way, fields, retry(kind, detail));
            }
        }
    }
    if let (false, Err(rule)) = (heard.reports.is_empty(), core.check_kept()) {
        // Without "always" it is learned all the same, so that others see it. The phone keeps it, too, for the journal.
        core.tallies.refusals.count(rule);
        return call::refuse(visit, way, fields, retry(Kind::NotKept, NOT_KEPT));
    }
    late.into_iter().for_each(|id| heard.ignore(Reason::TimeAhead, id));
    visit.turn.heard_of_phones(app, heard.count);
    let mut reasons = Vec::new();
    for ((reason, id), count) in &heard.ignored {
        visit.turn.ignored_of_phones(app, *reason, *count);
        if !reasons.contains(reason) {
            reasons.push(*reason);
        }
        log_ignored(visit, app, *reason, id);
    }
    reasons.sort_by_key(|reason| *reason as usize);
    let ignored = match reasons.is_empty() {
        true => String::new(),
        false => {
            let names: Vec<_> = reasons.iter().map(|reason| reason.name()).collect();
            format!("X-Herd-Ignored: {}\r\n", names.join(", "))
        }
    };
    let (kind, body): (_, &[u8]) = match app {
        _ if way.is_overland => (Some(JSON), b"{\"result\":\"ok\"}\n"),
        App::OwnTracks => (Some(JSON), friends.unwrap_or(b"[]\n")),
        // An empty body is what they wait for.
        App::OsmAnd | App::Overland | App::GpsLogger | App::Traccar => (None, b""),
    };
    let begin = visit.turn.out.len();
    let done = call::say(
        visit,
        way,
        fields,
        Reply { status: 200, kind, body, fields: &ignored, ..Reply::default() },
    );
    if !heard.reports.is_empty() {
        let instead = || call::written(way, fields, retry(Kind::NotKept, NOT_KEPT));
        visit.turn.promise_written(core, begin, instead);
    }
    done
}

/// What a retry cures: the app keeps what it has.
fn retry(kind: Kind, detail: &str) -> Problem<'_> {
    Problem { fields: "Retry-After: 60\r\n", ..Problem::new(kind, detail) }
}

const NOT_KEPT: &str = "the journal cannot be written now; send it again";

/// Once an hour for each client and reason: an app may send the same again every few seconds.
fn log_ignored(visit: &Visit<'_>, app: App, reason: Reason, id: &[u8]) {
    let Some(site) = visit.manners.http.as_deref() else { return };
    if !site.is_said_now((app, reason, id), visit.now.up) {
        return;
    }
    let shown = &id[..id.len().min(PHONE_NAME_LOGGED_BYTES)];
    let whose = if id.is_empty() { "?".into() } else { Escaped(&hide(shown)).to_string() };
    let (app, word) = (app.name(), reason.name());
    match reason {
        // Nobody has to do anything.
        Reason::OtherMessage => {
            log::info!("{whose} sends {word} as {app}, which is no position; told once an hour")
        }
        _ => log::warn!("ignoring what {whose} sends as {app}: {word}; told once an hour"),
    }
}
