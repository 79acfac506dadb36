//! `/v1/clients`: where a client is, told and asked.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::call::{Call, Wanted, mismatch};
use super::listing::Listing;
use super::name;
use super::problem::{Kind, Problem};
use super::query::{BadParameter, Query};
use super::reply::{GEO_JSON, JSON, Reply};
use super::{Done, feature, gzip, number};
use crate::door::Question;
use crate::limits::{HTTP_PAGE, HTTP_PAGE_MAX, NANO_DIGITS};
use crate::object;
use crate::places::Lookup;
use crate::protocol::{Location, Report, Rule, Timestamp};

/// The ID in lines of the client that a path names: the one that is known by these very bytes, as that is what JSON tells;
/// or else the one spelled so that a line can hold it, or by the bytes that JSON writes so as they are no text. None but
/// those that the token is for are looked for, so that nobody else's ID gets in the way of a client.
fn id_of(call: &Call<'_, '_>, named: &[u8]) -> Vec<u8> {
    let id = name::of_client(named);
    if id == named {
        return id;
    }
    let (node, clients) = (&call.visit.core.node, &call.caller.clients);
    let is_known = |id: &[u8]| clients.has(id) && node.see(id, |_| ()).is_some();
    if is_known(named) {
        return named.to_vec();
    }
    if is_known(&id) {
        return id;
    }
    let bytes = name::decode(named).filter(|bytes| std::str::from_utf8(bytes).is_err() && is_known(bytes));
    bytes.unwrap_or(id)
}

fn may_have<'c>(call: &mut Call<'c, '_>, id: &[u8]) -> Result<(), Done> {
    if call.caller.clients.has(id) {
        return Ok(());
    }
    Err(call.refuse(Problem::new(Kind::Forbidden, "the token is for other clients")))
}

// --- GET

pub fn get(call: &mut Call<'_, '_>, named: &[u8]) -> Done {
    if let Err(bad) = Query::parse(call.head.query, &[]) {
        return call.refuse_parameter(&bad);
    }
    let id = id_of(call, named);
    if let Err(done) = may_have(call, &id) {
        return done;
    }
    if call.visit.turn.is_early(call.visit.core, &id) {
        return Done::Later;
    }
    let mut body = Vec::new();
    let tag = call.visit.core.node.see(&id, |record| {
        feature::write(&record, None, &mut body);
        feature::etag(record.line())
    });
    let Some(tag) = tag else { return unknown(call) };
    body.push(b'\n');
    if let Some(problem) = mismatch(call.head.fields("if-match"), &tag) {
        return call.refuse(problem);
    }
    if feature::lists_tag(call.head.fields("if-none-match"), &tag) {
        return call.say(Reply { status: 304, etag: Some(&tag), ..Reply::default() });
    }
    call.say(Reply { status: 200, kind: Some(GEO_JSON), body: &body, etag: Some(&tag), ..Reply::default() })
}

fn unknown(call: &mut Call<'_, '_>) -> Done {
    call.refuse(Problem::new(
        Kind::UnknownClient,
        "no client of this ID has reported to the herd, or it is forgotten",
    ))
}

/// Within how many metres places are wanted, and how many at most.
///
/// # Errors
/// A parameter is out of its range.
pub fn places_wanted(query: &Query) -> Result<(f64, u8), BadParameter> {
    let radius_km = query.numbers::<1>("radius_km", "a number of km from 0 to 50")?.map_or(10.0, |[km]| km);
    if !(0.0..=50.0).contains(&radius_km) {
        return Err(BadParameter { name: "radius_km".into(), why: "radius_km must be from 0 to 50".into() });
    }
    Ok((radius_km * 1_000.0, query.number("bound", 0, 20)?.unwrap_or(20) as u8))
}

pub fn places(call: &mut Call<'_, '_>, named: &[u8]) -> Done {
    let read = Query::parse(call.head.query, &["radius_km", "bound"]).and_then(|query| places_wanted(&query));
    let (radius_m, bound) = match read {
        Ok(read) => read,
        Err(bad) => return call.refuse_parameter(&bad),
    };
    let id = id_of(call, named);
    if let Err(done) = may_have(call, &id) {
        return done;
    }
    if call.visit.turn.is_early(call.visit.core, &id) {
        return Done::Later;
    }
    let Some((latitude_deg, longitude_deg)) = call.visit.core.node.see(&id, |record| record.degrees()) else {
        return unknown(call);
    };
    let lookup = Lookup { latitude_deg, longitude_deg, radius_m, bound };
    call.ask(Question::Places(lookup), Wanted::Places)
}

pub fn list(call: &mut Call<'_, '_>) -> Done {
    let read =
        Query::parse(call.head.query, &["bbox", "near", "radius_m", "limit", "after"]).and_then(|query| {
            let limit = query.number("limit", 1, HTTP_PAGE_MAX)?.unwrap_or(HTTP_PAGE) as usize;
            Listing::of(&query, limit, call.caller.clients.clone())
        });
    if call.visit.turn.is_early_for_any(call.visit.core) {
        return Done::Later;
    }
    match read {
        Ok(listing) => {
            let joined =
                |name: &str| call.head.fields(name).map(<[u8]>::to_vec).reduce(|a, b| [a, b].join(&b','));
            let (if_match, if_none_match) = (joined("if-match"), joined("if-none-match"));
            let listing = if call.way.reads_gzip { listing.packed() } else { listing };
            let is_soon = listing.is_near() && call.visit.turn.may_search();
            if let Some(page) = is_soon.then(|| listing.page_soon(&call.visit.core.node)).flatten() {
                let etag = etag_of(&page);
                if let Some(problem) = mismatch(if_match.as_deref(), &etag) {
                    return call.refuse(problem);
                }
                let reply = self::page(&page, if_none_match.as_deref());
                return call.say(Reply { etag: Some(&etag), ..reply });
            }
            call.ask(Question::Clients(Box::new(listing)), Wanted::Clients { if_match, if_none_match })
        }
        Err(bad) => call.refuse_parameter(&bad),
    }
}

/// The tag of a page.
pub fn etag_of(page: &[u8]) -> String {
    feature::etag(page)
}

/// A page of clients, or that it is the one that the asker has.
pub fn page<'p>(page: &'p [u8], if_none_match: Option<&[u8]>) -> Reply<'p> {
    let tag = etag_of(page);
    if if_none_match.is_some_and(|field| feature::lists_tag(std::iter::once(field), &tag)) {
        return Reply { status: 304, fields: gzip::UNPACKED, ..Reply::default() };
    }
    Reply { status: 200, kind: Some(GEO_JSON), body: page, fields: gzip::fields(page), ..Reply::default() }
}

// --- DELETE

/// Has a client forgotten: gone from every server and not brought back, whatever its clock said.
pub fn delete(call: &mut Call<'_, '_>, named: &[u8]) -> Done {
    if let Err(bad) = Query::parse(call.head.query, &[]) {
        return call.refuse_parameter(&bad);
    }
    let id = id_of(call, named);
    if let Err(done) = may_have(call, &id) {
        return done;
    }
    if let Err(done) = check_conditions(call, &id) {
        return done;
    }
    let (core, now_ns) = (call.visit.core, call.visit.now.posix_ns);
    if let Err(rule) = call.visit.turn.forget(core, &id, now_ns) {
        call.visit.manners.tell_full(&core.tallies, rule, true, call.visit.now.up);
        return refuse_rule(call, rule);
    }
    let begin = call.visit.turn.out.len();
    let done = call.say(Reply { status: 204, ..Reply::default() });
    promise(call, begin);
    done
}

// --- PUT

/// `{"lat": 34.07, "lon": -118.45, "time": 1520023934.9}` or `{"location": "+34.07-118.45", "time": "1520023934.9"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with lat, lon and perhaps time")]
struct Body<'b> {
    #[serde(borrow, default, deserialize_with = "there")]
    lat: Option<&'b RawValue>,
    #[serde(borrow, default, deserialize_with = "there")]
    lon: Option<&'b RawValue>,
    #[serde(borrow, default, deserialize_with = "there")]
    time: Option<&'b RawValue>,
    #[serde(borrow, default, deserialize_with = "there")]
    location: Option<Cow<'b, str>>,
}

/// A member that is there, which null is, too.
fn there<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Whether a client may be told of by this request, as far as its head says: its ID then.
///
/// # Errors
/// It is answered.
pub fn may_put(call: &mut Call<'_, '_>, named: &[u8]) -> Result<Vec<u8>, Done> {
    Query::parse(call.head.query, &[]).map_err(|bad| call.refuse_parameter(&bad))?;
    let id = id_of(call, named);
    may_have(call, &id)?;
    if let Some(problem) = unreadable(call) {
        return Err(call.refuse(problem));
    }
    check_conditions(call, &id)?;
    Ok(id)
}

pub fn put(call: &mut Call<'_, '_>, named: &[u8], body: &[u8]) -> Done {
    let id = match may_put(call, named) {
        Ok(id) => id,
        Err(done) => return done,
    };
    let parsed: Body<'_> = match object::read(body) {
        Ok(parsed) => parsed,
        Err(why) => {
            let why = why_unread(body, &why);
            let problem = Problem::new(Kind::Body, &why);
            return call.refuse(Problem { parameter: member_of(&why), ..problem });
        }
    };
    let (mut location, mut time) = (Vec::new(), Vec::new());
    let location = match location_of(&parsed, &mut location) {
        Ok(location) => location,
        Err((parameter, why)) => return call.refuse(Problem::of(Kind::Body, parameter, &why)),
    };
    let time = match time_of(parsed.time, call.visit.now.posix_ns, &mut time) {
        Ok(time) => time,
        Err(why) => return call.refuse(Problem::of(Kind::Body, "time", &why)),
    };
    report(call, &Report { client: &id, location, time })
}

/// Why a body is no object that is expected.
fn why_unread(body: &[u8], why: &serde_json::Error) -> String {
    if body.trim_ascii().is_empty() {
        return "the body is empty, but must be an object with lat, lon and perhaps time".into();
    }
    why.to_string()
}

/// The member that serde names: one that is not known, or is there twice.
fn member_of(why: &str) -> Option<&str> {
    let rest = why.strip_prefix("unknown field `").or_else(|| why.strip_prefix("duplicate field `"))?;
    // A name may have such a mark in it, and is followed by words that have none of these.
    let end = rest.find("`, expected").or_else(|| rest.rfind("` at line"))?;
    rest.get(..end)
}

/// What a body cannot be read for, before it is looked at.
fn unreadable(call: &Call<'_, '_>) -> Option<Problem<'static>> {
    let mut kinds = call.head.fields("content-type");
    let media = kinds.next().unwrap_or(b"application/json");
    let media = media.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let is_json =
        media.eq_ignore_ascii_case(b"application/json") || media.to_ascii_lowercase().ends_with(b"+json");
    // A body of two kinds is of none.
    if !is_json || kinds.next().is_some() {
        let detail = "the body must be JSON: Content-Type: application/json";
        return Some(Problem {
            fields: "Accept: application/json\r\n",
            ..Problem::new(Kind::MediaType, detail)
        });
    }
    let codings = call.head.fields("content-encoding").flat_map(|field| field.split(|&byte| byte == b','));
    if codings.map(<[u8]>::trim_ascii).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        let detail = "a body that is compressed is not read";
        return Some(Problem {
            fields: "Accept-Encoding: identity\r\n",
            ..Problem::new(Kind::MediaType, detail)
        });
    }
    None
}

/// Whether the client is as `If-Match` and `If-None-Match` want it.
fn check_conditions(call: &mut Call<'_, '_>, id: &[u8]) -> Result<(), Done> {
    let has_field = |name: &str| call.head.fields(name).next().is_some();
    let (wants, wants_not) = (has_field("if-match"), has_field("if-none-match"));
    if !wants && !wants_not {
        return Ok(());
    }
    if call.visit.turn.is_early(call.visit.core, id) {
        return Err(Done::Later);
    }
    let tag = call.visit.core.node.see(id, |record| feature::etag(record.line()));
    let known = tag.as_deref();
    let has = known.is_some_and(|tag| feature::lists_strong_tag(call.head.fields("if-match"), tag));
    let has_not = known.is_none_or(|tag| !feature::lists_tag(call.head.fields("if-none-match"), tag));
    if wants && !has || wants_not && !has_not {
        let is_any = call.head.fields("if-none-match").any(|field| field.trim_ascii() == b"*");
        let detail = match &tag {
            Some(_) if wants_not && is_any => {
                "the client is known already, and If-None-Match: * is for one that is not"
            }
            None => "no such client is known, and If-Match is for one that is",
            Some(_) => "the client has another position than the request expects",
        };
        return Err(call.refuse(Problem::new(Kind::Precondition, detail)));
    }
    Ok(())
}

fn location_of<'t>(body: &Body<'_>, text: &'t mut Vec<u8>) -> Result<Location<'t>, (&'static str, String)> {
    let (lat, lon) = match (&body.location, body.lat, body.lon) {
        (Some(location), None, None) => {
            text.extend_from_slice(location.as_bytes());
            let why =
                || ("location", crate::protocol::rule::of_location(location.as_bytes()).words().to_owned());
            return Location::parse(text).ok_or_else(why);
        }
        (Some(_), _, _) => return Err(("location", "give either location, or lat and lon".into())),
        (None, None, _) => {
            return Err(("lat", "lat is missing: degrees north of the equator, from -90 to 90".into()));
        }
        (None, _, None) => {
            return Err(("lon", "lon is missing: degrees east of Greenwich, from -180 to 180".into()));
        }
        (None, Some(lat), Some(lon)) => (lat, lon),
    };
    let number = |name: &'static str, value: &RawValue, most: u32| {
        let why =
            || (name, format!("{name} is {}, but must be a number from -{most} to {most}", shown(value)));
        number::degrees(unquoted(value), most).ok_or_else(why)
    };
    let (lat, lon) = (number("lat", lat, 90)?, number("lon", lon, 180)?);
    Location::of_numbers(&lat, &lon, text).ok_or_else(|| ("lat", "lat and lon are no location".to_owned()))
}

fn time_of<'t>(
    value: Option<&RawValue>,
    now_ns: u64,
    text: &'t mut Vec<u8>,
) -> Result<Timestamp<'t>, String> {
    let Some(value) = value else { return Ok(Timestamp::of_ns(now_ns, text)) };
    let Some(number) = plain(value) else {
        return Err(format!("time is {}, but must be seconds since 1970", shown(value)));
    };
    // Less than a billionth of a second is what a program's arithmetic makes of a time.
    let point = number.iter().position(|&byte| byte == b'.');
    text.extend_from_slice(
        &number[..point.map_or(number.len(), |point| number.len().min(point + 1 + NANO_DIGITS))],
    );
    let text: &'t [u8] = text;
    Timestamp::parse(text).ok_or_else(|| crate::protocol::rule::of_time(text).words().to_owned())
}

/// The beginning of a value, for a message.
fn shown(value: &RawValue) -> String {
    value.get().chars().take(40).collect()
}

/// The digits of a number, be it in quotes. None for anything else.
fn plain(value: &RawValue) -> Option<Vec<u8>> {
    number::plain(unquoted(value))
}

fn unquoted(value: &RawValue) -> &str {
    let text = value.get();
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

fn report(call: &mut Call<'_, '_>, report: &Report<'_>) -> Done {
    let now_ns = call.visit.now.posix_ns;
    let length =
        b"IAMAT   ".len() + report.client.len() + report.location.text().len() + report.time.text().len();
    if length > call.visit.manners.max_line {
        let detail = "the ID and the digits are together longer than max_line in herd.conf allows";
        return call.refuse(Problem::new(Kind::Body, detail));
    }
    if report.time.is_ahead(now_ns, call.site.max_ahead_ns) {
        if is_in_milliseconds(report.time.text(), now_ns) {
            call.visit.core.tallies.refusals.count(Rule::TooFarAhead);
            let detail =
                "the time looks like milliseconds, but must be seconds since 1970: divide it by 1000";
            return call.refuse(Problem::of(Kind::TimeAhead, "time", detail));
        }
        return refuse_rule(call, Rule::TooFarAhead);
    }
    let (core, turn) = (call.visit.core, &mut *call.visit.turn);
    let is_news = match turn.report(core, report, now_ns) {
        Ok(is_news) => is_news,
        Err(rule) => {
            call.visit.manners.tell_full(&core.tallies, rule, false, call.visit.now.up);
            return refuse_rule(call, rule);
        }
    };
    let mut body = Vec::with_capacity(turn.record.len() + 32);
    body.extend_from_slice(if is_news { b"{\"news\":true,\"at\":" } else { b"{\"news\":false,\"at\":" });
    name::write_json(&turn.record, &mut body);
    body.extend_from_slice(b"}\n");
    let tag = is_news.then(|| feature::etag(&turn.record));
    let begin = turn.out.len();
    let done = call.say(Reply {
        status: 200,
        kind: Some(JSON),
        body: &body,
        etag: tag.as_deref(),
        ..Reply::default()
    });
    promise(call, begin);
    done
}

/// Whether a time is one of these years if it is in milliseconds.
fn is_in_milliseconds(text: &[u8], now_ns: u64) -> bool {
    let whole = text.split(|&byte| byte == b'.').next().unwrap_or_default();
    let number = str::from_utf8(whole).ok().and_then(|whole| whole.parse::<u64>().ok());
    number.is_some_and(|ms| ms / 1_000 > 1_000_000_000 && ms / 1_000 < now_ns / 1_000_000_000 * 2)
}

/// What was said from `begin` on holds only if it is kept.
fn promise(call: &mut Call<'_, '_>, begin: usize) {
    let (core, way, fields) = (call.visit.core, call.way, &call.fields);
    call.visit.turn.promise(core, begin, || super::call::written(way, fields, not_kept()));
}

fn not_kept() -> Problem<'static> {
    let detail = "the journal cannot be written, and sync = \"always\" promises that it was; send it again";
    Problem { fields: "Retry-After: 5\r\n", ..Problem::new(Kind::NotKept, detail) }
}

fn refuse_rule(call: &mut Call<'_, '_>, rule: Rule) -> Done {
    call.visit.core.tallies.refusals.count(rule);
    match rule {
        Rule::NotKept => call.refuse(not_kept()),
        Rule::Full | Rule::FullOfNotes => {
            call.refuse(Problem { fields: "Retry-After: 60\r\n", ..Problem::new(Kind::Full, rule.words()) })
        }
        _ => call.refuse(Problem::of(
            Kind::TimeAhead,
            "time",
            "the time is further ahead of this server's clock than http.max_ahead allows",
        )),
    }
}
