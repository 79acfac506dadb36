//! What phones said is learned: of each client the newest, all of it in one turn, and acknowledged in the way that the
//! app needs.

use std::borrow::Cow;
use std::collections::HashMap;

use super::fix::{Fix, Request};
use super::json::Json;
use super::{Friends, app_of, read};
use crate::door::http::call::{self, Call, Wanted};
use crate::door::http::heard::{Heard, Said};
use crate::door::http::problem::{Kind, Problem};
use crate::door::http::reply::{JSON, Reply, Way};
use crate::door::http::tokens::is_basic_without_base64;
use crate::door::http::{Done, name};
use crate::door::{Question, Visit};
use crate::limits::PHONE_NAME_LOGGED_BYTES;
use crate::logging::{Escaped, hide};
use crate::node::Clients;
use crate::protocol::timestamp::cmp_exact;
use crate::protocol::{Location, Report, Rule, Timestamp};
use crate::tally::{App, Reason};

/// Whether a request is of Overland, which reads nothing but an object as an answer.
pub fn is_overland(app: App, head: &crate::door::http::head::Head<'_>) -> bool {
    let agent = head.field("user-agent").unwrap_or_default();
    app == App::Overland || agent.starts_with(b"Overland") || is_basic_without_base64(head)
}

/// Serves a request of an app.
pub fn report(call: &mut Call<'_, '_>, otherwise: App, body: &[u8], is_cut: bool) -> Done {
    let text = std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let json = Json::parse(&text);
    let app = app_of(&json, otherwise);
    call.way.is_overland |= app == App::Overland;
    if is_cut {
        return ignore_all(call, app, Reason::TooLarge);
    }
    let request = Request {
        query: call.head.query,
        body,
        json: &json,
        user: call.head.field("x-limit-u"),
        device: call.head.field("x-limit-d"),
        is_overland: call.way.is_overland,
    };
    let heard = weigh(call, app, &request);
    let friends = friends(call, &heard);
    let core = call.visit.core;
    match friends {
        Some(friends) if call.visit.turn.may_search() => match friends.soon(&core.node) {
            Some(list) => learn(call.visit, call.way, &call.fields, heard, Some(&list)),
            None => call.ask(Question::Friends(Box::new(friends)), Wanted::Friends(heard)),
        },
        Some(friends) => call.ask(Question::Friends(Box::new(friends)), Wanted::Friends(heard)),
        None => learn(call.visit, call.way, &call.fields, heard, None),
    }
}

/// The friends were looked for, or there is too much to do, and then none is told of.
pub fn answered(visit: &mut Visit<'_>, way: Way, fields: &str, heard: Heard, friends: Option<&[u8]>) -> Done {
    learn(visit, way, fields, heard, friends)
}

/// Nothing of a request counts.
fn ignore_all(call: &mut Call<'_, '_>, app: App, reason: Reason) -> Done {
    let heard = Heard {
        app,
        reports: Vec::new(),
        count: 0,
        ignored: vec![(reason, client_of(call, None).unwrap_or_default())],
    };
    learn(call.visit, call.way, &call.fields, heard, None)
}

/// Whom OwnTracks is told of: those around it that its token may read; nobody where it may read itself alone.
fn friends(call: &Call<'_, '_>, heard: &Heard) -> Option<Friends> {
    let reads = call.caller.scopes.read && !matches!(call.caller.clients, Clients::One(_));
    if heard.app != App::OwnTracks || call.way.is_overland || !reads {
        return None;
    }
    let own = heard.reports.last()?;
    let location = Location::parse(&own.location)?;
    Some(Friends::around(&own.id, &location, &own.time, call.caller.clients.clone()))
}

/// What of a request is to be learned.
fn weigh(call: &Call<'_, '_>, app: App, request: &Request<'_>) -> Heard {
    let mut heard = Heard { app, reports: Vec::new(), count: 0, ignored: Vec::new() };
    let mut places = HashMap::<Vec<u8>, usize>::new();
    for outcome in read(app, request) {
        let said = match outcome {
            Err(ignored) => {
                let named = (!ignored.name.is_empty()).then_some(&*ignored.name);
                Err((ignored.reason, client_of(call, named).unwrap_or_default()))
            }
            Ok(fix) => {
                let id = client_of(call, fix.name.as_deref());
                said(call, id.clone(), fix).map_err(|reason| (reason, id.unwrap_or_default()))
            }
        };
        let said = match said {
            Ok(said) => said,
            Err(ignored) => {
                heard.ignored.push(ignored);
                continue;
            }
        };
        heard.count += 1;
        match places.get(&said.id).map(|&at| (at, cmp_exact(&said.time, &heard.reports[at].time))) {
            Some((_, std::cmp::Ordering::Less)) => {}
            Some((at, std::cmp::Ordering::Greater)) => heard.reports[at] = said,
            // Which of two of one time counts is the same on every server.
            Some((_, std::cmp::Ordering::Equal)) => heard.reports.push(said),
            None => {
                places.insert(said.id.clone(), heard.reports.len());
                heard.reports.push(said);
            }
        }
    }
    heard
}

/// The client that counts for what an app calls itself.
fn client_of(call: &Call<'_, '_>, named: Option<&[u8]>) -> Option<Vec<u8>> {
    match (&call.caller.clients, named, &call.caller.name) {
        (Clients::One(id), ..) => Some(id.clone()),
        (_, Some(named), _) => Some(name::of_client(named)),
        (_, None, Some(token)) => Some(name::of_client(token.as_bytes())),
        (_, None, None) => None,
    }
}

fn said(call: &Call<'_, '_>, id: Option<Vec<u8>>, fix: Fix) -> Result<Said, Reason> {
    let id = id.ok_or(Reason::NoId)?;
    if !call.caller.clients.has(&id) {
        return Err(Reason::NotAllowed);
    }
    let (mut location, mut time) = (Vec::new(), Vec::new());
    Location::of_numbers(&fix.latitude, &fix.longitude, &mut location).ok_or(Reason::BadLocation)?;
    let now_ns = call.visit.now.posix_ns;
    match fix.time {
        Some(text) => time = text,
        None => {
            Timestamp::of_ns(now_ns, &mut time);
        }
    }
    if b"IAMAT   ".len() + id.len() + location.len() + time.len() > call.visit.manners.max_line {
        return Err(Reason::TooLong);
    }
    let timestamp = Timestamp::parse(&time).ok_or(Reason::BadTime)?;
    if timestamp.is_ahead(now_ns, call.site.max_ahead_ns) {
        return Err(Reason::TimeAhead);
    }
    Ok(Said { id, location, time })
}

/// Learns what is to be learned, and acknowledges all of it; or nothing, if it is not in the journal.
fn learn(visit: &mut Visit<'_>, way: Way, fields: &str, mut heard: Heard, friends: Option<&[u8]>) -> Done {
    let (core, now_ns, app) = (visit.core, visit.now.posix_ns, heard.app);
    for Said { id, location, time } in &heard.reports {
        let (Some(location), Some(time)) = (Location::parse(location), Timestamp::parse(time)) else {
            continue;
        };
        match visit.turn.report_to_keep(core, &Report { client: id, location, time }, now_ns) {
            Ok(_) => {}
            // Its time is too far ahead for this server.
            Err(Rule::TooFarAhead) => {
                heard.count = heard.count.saturating_sub(1);
                heard.ignored.push((Reason::TimeAhead, id.clone()));
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
    visit.turn.heard_of_phones(app, heard.count);
    let mut reasons = Vec::new();
    for (reason, id) in &heard.ignored {
        visit.turn.ignored_of_phones(app, *reason);
        if !reasons.contains(reason) {
            reasons.push(*reason);
        }
        log_ignored(visit, app, *reason, id);
    }
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
