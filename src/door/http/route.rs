//! What is served, and to whom. A request that may not be served is told why here, so that the files of the routes do
//! what they are for.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use super::body::{Incoming, Room};
use super::call::{Call, Pending, Wanted, mismatch, refuse, say, say_packed};
use super::head::{Framing, Head, Method};
use super::paths::{Need, Route, allowed, asked_of, need, route};
use super::problem::{Kind, Problem};
use super::query::Query;
use super::reply::{JSON, Reply, TEXT, Way};
use super::site::{Caller, NoCaller, Site};
use super::{Done, clients, events, gzip, herd, map, metrics, page, phones};
use crate::door::{Answer, Question, Visit};
use crate::limits::{
    GUESS_REST_S, GUESSES_MAX, HTTP_BODY_MAX, PHONE_BATCH_BYTES, PHONE_BODY_MAX, PHONE_BODY_READ_MAX,
    PHONE_TURN_BYTES,
};
use crate::node::Clients;
use crate::tally::{Asked, Tallies};

/// What there is room for of the body of a request: of a phone that may report, more than of others; of one that may not,
/// nothing, though it is read, as a phone sends it again otherwise.
/// None while too many large ones are coming in.
pub fn room(visit: &Visit<'_>, head: &Head<'_>) -> Option<Room> {
    // Nearly all: nobody has to be asked whose they are.
    if matches!(head.framing, Framing::Length(length) if length <= PHONE_TURN_BYTES) {
        return Some(Room::of(HTTP_BODY_MAX));
    }
    let Some(site) = visit.manners.http.as_deref().filter(|_| is_of_phone(head)) else {
        return Some(Room::of(HTTP_BODY_MAX));
    };
    let room = |keep: usize| Room { keep, max: PHONE_BODY_READ_MAX, reserved: None };
    let most = match head.framing {
        Framing::Length(length) => length,
        Framing::Chunked => PHONE_BODY_MAX,
    };
    if !site.may_write(head) {
        return Some(room(0));
    }
    // Of what waits to be read elsewhere there is no more than its queue holds.
    let reserved = site.reserve(most.clamp(PHONE_BATCH_BYTES, PHONE_BODY_MAX))?;
    Some(Room { reserved: Some(reserved), ..room(PHONE_BODY_MAX) })
}

/// Whether there is no answer yet, as the journal is still being read.
pub fn has_to_wait(visit: &Visit<'_>, head: &Head<'_>) -> bool {
    visit.core.opened_at().is_none() && route(head).is_some_and(|route| !route.is_early())
}

/// Whether there is room for the largest body: those that wait for it look at nothing else first.
pub fn has_room(visit: &Visit<'_>) -> bool {
    visit.manners.http.as_deref().is_none_or(|site| site.reserve(PHONE_BODY_MAX).is_some())
}

/// Whether a request is of a phone, which gives up what is refused by a status below 500.
pub fn is_of_phone(head: &Head<'_>) -> bool {
    matches!(route(head), Some(Route::Phone(_)))
}

/// Whether it is of Overland, which reads nothing but an object of its own as an answer.
pub fn is_of_overland(head: &Head<'_>) -> bool {
    matches!(route(head), Some(Route::Phone(app)) if phones::is_overland(app, head))
}

/// Serves a request, which is the last that has come or not, and counts what came of it.
pub fn serve(
    visit: &mut Visit<'_>,
    from: IpAddr,
    head: &Head<'_>,
    body: &mut Incoming,
    is_last: bool,
) -> Done {
    let (begin, found) = (visit.turn.out.len(), route(head));
    if is_put_off(visit, found.as_ref(), head.method) {
        return Done::Later;
    }
    let asked = asked_of(found.as_ref(), head.method);
    let mut way = way(visit, head, found.as_ref());
    // Of what has come by a stop the last reply tells that there is one.
    way.is_kept &= !(is_last && visit.is_stopping);
    log_request(visit, head);
    let manners = visit.manners;
    let done = match admit(visit, way, asked, from, head, found, manners.http.as_deref()) {
        Ok((mut call, route)) => dispatch(&mut call, route, body),
        Err(done) => done,
    };
    if let Done::Answered { .. } | Done::Watches(_) = done {
        visit.turn.asked.count(asked, is_done(&visit.turn.out[begin..]));
    }
    done
}

/// Whether a request has something to be learned that is to be learned elsewhere. Who is refused anyway is refused here.
fn is_put_off(visit: &mut Visit<'_>, found: Option<&Route>, method: Method) -> bool {
    !visit.is_on_trial && found.is_some_and(|route| tells(route, method)) && !visit.turn.may_learn()
}

/// Whether a request has something to be learned.
fn tells(route: &Route, method: Method) -> bool {
    match route {
        Route::Phone(_) => method != Method::Options,
        Route::Client(_) => matches!(method, Method::Put | Method::Delete),
        _ => false,
    }
}

/// Whether a reply says that something was done: its status is below 400.
fn is_done(reply: &[u8]) -> bool {
    reply.get(b"HTTP/1.1 ".len()).is_some_and(|first| *first < b'4')
}

/// Serves a request that waits for a word before it sends its body, and needs none: it is refused by what its head says,
/// or has no use for a body. None if the body is to be sent. Nobody knows then whether it comes, so that this is the end
/// of the connection (RFC 9110, 10.1.1).
pub fn serve_without_body(visit: &mut Visit<'_>, from: IpAddr, head: &Head<'_>) -> Option<Done> {
    let (begin, found) = (visit.turn.out.len(), route(head));
    if is_put_off(visit, found.as_ref(), head.method) {
        return None;
    }
    let asked = asked_of(found.as_ref(), head.method);
    let way = Way { is_kept: false, ..way(visit, head, found.as_ref()) };
    let manners = visit.manners;
    let done = match admit(visit, way, asked, from, head, found, manners.http.as_deref()) {
        Err(done) => done,
        Ok((_, Route::Phone(_))) => return None,
        Ok((mut call, Route::Client(id))) if head.method == Method::Put => {
            clients::may_put(&mut call, &id).err()?
        }
        Ok((mut call, route)) => dispatch(&mut call, route, &mut Incoming::none()),
    };
    if matches!(done, Done::Later) {
        return None;
    }
    log_request(visit, head);
    if let Done::Answered { .. } | Done::Watches(_) = done {
        visit.turn.asked.count(asked, is_done(&visit.turn.out[begin..]));
    }
    Some(done)
}

/// How a request is answered.
fn way(visit: &Visit<'_>, head: &Head<'_>, found: Option<&Route>) -> Way {
    Way {
        is_kept: head.is_kept && !visit.is_on_trial,
        is_http_1_0: head.is_http_1_0,
        is_head: head.method == Method::Head,
        is_overland: matches!(found, Some(Route::Phone(app)) if phones::is_overland(*app, head)),
        reads_gzip: gzip::is_wanted(head),
        now_s: visit.now.posix_ns / 1_000_000_000,
    }
}

/// Whether a request is to be served, as far as its head says: its route then.
///
/// # Errors
/// It is answered.
fn admit<'c, 'v>(
    visit: &'c mut Visit<'v>,
    way: Way,
    asked: Asked,
    from: IpAddr,
    head: &'c Head<'c>,
    found: Option<Route>,
    site: Option<&'c Site>,
) -> Result<(Call<'c, 'v>, Route), Done> {
    let phone = match found {
        Some(Route::Phone(app)) => Some(app),
        _ => None,
    };
    let Some(site) = site else {
        return Err(refuse(visit, way, "", Problem::new(Kind::NotFound, "nothing is served here")));
    };
    let fields = fields_for_origin(site, head);
    let (core, up, is_on_trial) = (visit.core, visit.now.up, visit.is_on_trial);
    let mut refuse = |problem: Problem<'_>| refuse(visit, way, &fields, problem);
    // A server with no room is well.
    if is_on_trial && found != Some(Route::Health) {
        return Err(refuse(Problem {
            fields: "Retry-After: 10\r\n",
            ..Problem::new(Kind::Busy, "as many connections are open as may be")
        }));
    }
    let Some(route) = found else {
        return Err(refuse(Problem::new(
            Kind::NotFound,
            "there is nothing at this path; /openapi.json lists what there is",
        )));
    };
    let Some(need) = need(&route, head.method) else {
        let allow = format!("Allow: {}\r\n", allowed(&route));
        return Err(refuse(Problem {
            fields: &allow,
            ..Problem::new(Kind::Method, "the field Allow lists the methods there are")
        }));
    };
    // A web page that had its own name lead here has no token that a phone has.
    let is_guarded = phone.is_some() && site.needs_token();
    if route != Route::Health && !is_guarded && !site.answers_to(head.host) {
        let detail =
            "the request names a host that is not this server; add its name to http.names in herd.conf";
        return Err(refuse(Problem::new(Kind::Host, detail)));
    }
    if head.method == Method::Options {
        let allow = format!("Allow: {}\r\n{}", allowed(&route), preflight(&route, site, head));
        return Err(say(visit, way, &allow, Reply { status: 204, ..Reply::default() }));
    }
    if need == Need::Write && site.is_from_elsewhere(head) {
        let detail =
            "a web page of another origin sends this; add that origin to http.allow_origins in herd.conf";
        return Err(refuse(Problem::new(Kind::WebPage, detail)));
    }
    if !route.is_early() && core.opened_at().is_none() {
        return Err(refuse(Problem {
            fields: "Retry-After: 1\r\n",
            ..Problem::new(
                Kind::Starting,
                "this server still reads its journal; ask again, or ask another one",
            )
        }));
    }
    let nobody = Caller { name: None, scopes: Default::default(), clients: Clients::All };
    let caller = match need {
        Need::Nothing => Ok(nobody),
        Need::Read | Need::Write | Need::Metrics => site.caller(head, from, up),
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(NoCaller::Guesses { rest, is_first }) => {
            if is_first {
                log_guesses(&core.tallies, from, up);
            }
            let after = format!("Retry-After: {}\r\n", rest.as_secs() + 1);
            let detail = "too many wrong tokens came from this address; wait, and mend the token";
            // A phone drops what is answered by a 429.
            let kind = if phone.is_some() { Kind::Busy } else { Kind::TooMany };
            return Err(refuse(Problem { fields: &after, ..Problem::new(kind, detail) }));
        }
        Err(NoCaller::Unknown) => {
            let detail = "no token that is known was shown: Authorization: Bearer TOKEN, or Basic with it as the password";
            // A browser would put a form of its own before the page's.
            let is_of_page = head.fields("sec-fetch-dest").any(|dest| dest == b"empty");
            let fields = if is_of_page { CHALLENGE } else { CHALLENGES };
            return Err(refuse(Problem { fields, ..Problem::new(Kind::Unauthorized, detail) }));
        }
    };
    let missing = match need {
        Need::Read if !caller.scopes.read => Some("the token lacks the scope read"),
        Need::Write if !caller.scopes.write => Some("the token lacks the scope write"),
        Need::Metrics if !(caller.scopes.metrics || caller.scopes.read) => {
            Some("the token lacks the scope metrics")
        }
        _ => None,
    };
    if let Some(detail) = missing.filter(|_| phone.is_some() || route == Route::SignIn) {
        // The one word by which an app tells its user, and by which a browser asks again.
        return Err(refuse(Problem { fields: CHALLENGES, ..Problem::new(Kind::Unauthorized, detail) }));
    }
    if let Some(detail) = missing {
        return Err(refuse(Problem::new(Kind::Forbidden, detail)));
    }
    Ok((Call { visit, site, head, way, asked, caller, fields }, route))
}

fn dispatch(call: &mut Call<'_, '_>, route: Route, body: &mut Incoming) -> Done {
    if matches!(route, Route::OpenApi | Route::Herd | Route::SignIn)
        && let Err(bad) = Query::parse(call.head.query, &[])
    {
        return call.refuse_parameter(&bad);
    }
    match (route, call.head.method) {
        (Route::Index, _) if wants_page(call.head) => page::index(call),
        (Route::Asset(number), _) => page::file(call, number),
        // Whoever comes so far may read. A browser that was asked shows its token by Basic from here on.
        (Route::SignIn, _) => call.say(Reply { status: 303, fields: "Location: /\r\n", ..Reply::default() }),
        (Route::Labels, _) => map::labels(call),
        (Route::PlacesNear, _) => map::places(call),
        (Route::Index, _) => {
            call.say(Reply { status: 200, kind: Some(TEXT), body: INDEX, ..Reply::default() })
        }
        (Route::Health, _) => call.say(Reply {
            status: 200,
            kind: Some(JSON),
            body: b"{\"status\":\"ok\"}\n",
            ..Reply::default()
        }),
        (Route::OpenApi, _) => {
            let packed = call.way.reads_gzip;
            let body =
                if packed { OPEN_API_PACKED.get_or_init(|| gzip::pack(OPEN_API.to_vec())) } else { OPEN_API };
            call.say_tagged(Reply { status: 200, kind: Some(JSON), body, ..Reply::default() })
        }
        (Route::Problem(kind), _) => {
            let page = super::problem::page(kind);
            call.say_tagged(Reply {
                status: 200,
                kind: Some(TEXT),
                body: page.as_bytes(),
                ..Reply::default()
            })
        }
        (Route::Ready, _) => call.ask(Question::Status(None), Wanted::Ready),
        (Route::Metrics, _) => call.ask(Question::Status(None), Wanted::Metrics),
        (Route::Herd, _) => call.ask(Question::Status(Some(crate::protocol::Span::ALL)), Wanted::Herd),
        (Route::Events, _) => events::begin(call),
        (Route::Clients, _) => clients::list(call),
        (Route::Phone(app), _) => phones::report(call, app, body),
        (Route::Client(id), Method::Put) => clients::put(call, &id, body.bytes()),
        (Route::Client(id), Method::Delete) => clients::delete(call, &id),
        (Route::Client(id), _) => clients::get(call, &id),
        (Route::Places(id), _) => clients::places(call, &id),
    }
}

/// Whether a browser asks, and not a program.
fn wants_page(head: &Head<'_>) -> bool {
    head.fields("accept").any(|kinds| kinds.windows(9).any(|kind| kind == b"text/html"))
}

const CHALLENGE: &str = "WWW-Authenticate: Bearer realm=\"herd\"\r\n";
const CHALLENGES: &str = "WWW-Authenticate: Bearer realm=\"herd\"\r\nWWW-Authenticate: Basic realm=\"herd\", charset=\"UTF-8\"\r\n";

/// Every route, for programs.
pub const OPEN_API: &[u8] = include_bytes!("openapi.json");

/// The same, packed when it is first asked for.
static OPEN_API_PACKED: OnceLock<Vec<u8>> = OnceLock::new();

const INDEX: &[u8] = b"herd, a server that knows where moving clients are.\n\
    /v1/clients, /v1/herd, /healthz, /readyz, /metrics, /openapi.json\n";

/// What each reply says of the web page that has it asked for: no cache is to give it to another one's.
fn fields_for_origin(site: &Site, head: &Head<'_>) -> String {
    match site.allowed_origin(head) {
        Some(origin) => format!(
            "Access-Control-Allow-Origin: {origin}\r\n\
             Access-Control-Expose-Headers: Allow, ETag, Retry-After, X-Herd-Ignored\r\nVary: Origin\r\n"
        ),
        None if site.allow_origins.is_empty() => String::new(),
        None => "Vary: Origin\r\n".to_owned(),
    }
}

/// What a browser is told before it has a page of an allowed origin ask.
fn preflight(route: &Route, site: &Site, head: &Head<'_>) -> String {
    let fields = fields_for_origin(site, head);
    if site.allowed_origin(head).is_none() {
        return fields;
    }
    let methods = allowed(route);
    format!(
        "{fields}Access-Control-Allow-Methods: {methods}\r\n\
         Access-Control-Allow-Headers: Authorization, Content-Type, If-Match, If-None-Match\r\n\
         Access-Control-Max-Age: 600\r\n"
    )
}

/// The log has the method and the target, but no token of it.
fn log_request(visit: &mut Visit<'_>, head: &Head<'_>) {
    let (method, joint) =
        (head.method.name().as_bytes(), if head.query.is_empty() { &b""[..] } else { b"?" });
    visit.turn.wire.received_from_anybody(&[method, b" ", head.path, joint, head.query].concat());
}

fn log_guesses(tallies: &Tallies, from: IpAddr, now: Duration) {
    tallies.guessed.count(now, |total| {
        log::warn!(
            "{from} showed {GUESSES_MAX} wrong tokens: only those that were right from there before count for \
             {GUESS_REST_S} s; {total} so far"
        );
    });
}

/// Says what was asked for; returns whether the connection is kept.
pub fn answer(pending: Pending, visit: &mut Visit<'_>, answer: Answer) -> bool {
    let Pending { way, asked, since, fields, what } = pending;
    let begin = visit.turn.out.len();
    let done = match (what, answer) {
        (Wanted::Places, Answer::Places(json)) => {
            let reply = Reply { status: 200, kind: Some(JSON), body: &json, ..Reply::default() };
            say_packed(visit, way, &fields, reply)
        }
        (Wanted::Clients { if_match, if_none_match }, Answer::Clients(page)) => {
            let etag = clients::etag_of(&page);
            if let Some(problem) = mismatch(if_match.as_deref(), &etag) {
                refuse(visit, way, &fields, problem)
            } else {
                let reply = clients::page(&page, if_none_match.as_deref());
                say(visit, way, &fields, Reply { etag: Some(&etag), ..reply })
            }
        }
        (Wanted::Phone, Answer::Phone(heard, friends)) => {
            phones::learn(visit, way, &fields, *heard, friends.as_deref())
        }
        (Wanted::Friends(heard), Answer::Clients(list)) => {
            phones::learn(visit, way, &fields, heard, Some(&list))
        }
        // What it said counts all the same.
        (Wanted::Friends(heard), _) => phones::learn(visit, way, &fields, heard, None),
        (Wanted::Herd, Answer::Status(status)) => {
            let members = visit.manners.http.as_ref().map_or(&[][..], |site| &site.members);
            let body = herd::json(&status, visit.core.node.name(), members);
            say(visit, way, &fields, Reply { status: 200, kind: Some(JSON), body: &body, ..Reply::default() })
        }
        (Wanted::Metrics, Answer::Status(status)) => {
            let body = metrics::text(&status);
            let kind = Some("text/plain; version=0.0.4; charset=utf-8");
            let reply = Reply { status: 200, kind, body: body.as_bytes(), ..Reply::default() };
            say_packed(visit, way, &fields, reply)
        }
        (Wanted::Ready, Answer::Status(status)) => {
            let ready_after = visit.manners.http.as_ref().map_or(Duration::ZERO, |site| site.ready_after);
            let (status, body) = herd::readiness(&status, visit.now.up, ready_after);
            say(visit, way, &fields, Reply { status, kind: Some(JSON), body: &body, ..Reply::default() })
        }
        _ => {
            let busy = Problem {
                fields: "Retry-After: 1\r\n",
                ..Problem::new(Kind::Busy, "this server has too much to do; ask again")
            };
            refuse(visit, way, &fields, busy)
        }
    };
    let took = visit.now.up.saturating_sub(since);
    visit.turn.answered(asked, is_done(&visit.turn.out[begin..]), took);
    matches!(done, Done::Answered { is_kept: true })
}
