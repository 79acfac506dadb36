//! `/v1/events`: what happens in the herd, as Server-Sent Events for as long as the connection lasts. The feed has what is
//! told; the words are here.

use super::call::{Call, log_begun};
use super::feature::{halves, write_number, write_received};
use super::listing::place_of;
use super::name::{self, write_json};
use super::problem::{Kind, Problem};
use super::query::{BadParameter, Query};
use super::reply::{Reply, itoa};
use super::{Done, date};
use crate::feed::{Bookmark, Event, Origin, PieceId, Place, Reader, Scope, View, Why};
use crate::limits::{FEED_RETRY_MS, FEED_RETRY_SPREAD_MS};
use crate::node::Clients;
use crate::protocol::Record;

const EVENT_STREAM: &str = "text/event-stream";

/// Fields by which proxies pass on at once what comes, and keep nothing.
const UNBUFFERED: &str = "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n";

/// Begins to tell, or says why not.
pub fn begin(call: &mut Call<'_, '_>) -> Done {
    let known = ["client", "prefix", "bbox", "near", "radius_m", "last_event_id"];
    let read = Query::parse(call.head.query, &known).and_then(|query| {
        let clients = clients_of(&query)?;
        let has_radius = query.bytes("radius_m").is_some();
        let place = match place_of(&query)? {
            (None, Some(_)) if !has_radius => {
                let why = "near needs radius_m=METRES here: without it everywhere is near";
                return Err(BadParameter { name: "near".into(), why: why.into() });
            }
            (Some(_), Some(_)) => {
                let why = "bbox and near are two areas; watch one of them";
                return Err(BadParameter { name: "near".into(), why: why.into() });
            }
            (Some(area), None) => Some(Place::Within(area)),
            (None, around) => around.map(Place::Around),
        };
        let query_id = query.bytes("last_event_id").map(<[u8]>::to_vec);
        Ok((clients, place, query_id))
    });
    let (clients, place, query_id) = match read {
        Ok(read) => read,
        Err(bad) => return call.refuse_parameter(&bad),
    };
    // Another client than the token is for is nobody's business.
    let Some(clients) = call.caller.clients.clone().meet(clients) else {
        return call.refuse(Problem::new(Kind::Forbidden, "the token is for other clients"));
    };
    // The field is newer than the address, which stays the same when a browser comes back.
    let last_id = call.head.fields("last-event-id").last().map(<[u8]>::to_vec).or(query_id);
    let own = call.visit.core.neighbours.own.incarnation;
    let scope = Scope { clients, place };
    let since = last_id.and_then(|id| bookmark_of(&id, own, scope.mark()));
    if call.way.is_head {
        return call.say(Reply {
            status: 200,
            kind: Some(EVENT_STREAM),
            fields: UNBUFFERED,
            is_endless: true,
            ..Reply::default()
        });
    }
    let view = View { scope, write };
    let Some(reader) = call.visit.core.flood.feed.join(view, since) else {
        let fields = "Retry-After: 10\r\n";
        let problem =
            Problem::new(Kind::Busy, "as many watch this server as may; ask again, or ask another one");
        return call.refuse(Problem { fields, ..problem });
    };
    say_head(call);
    Done::Watches(Box::new(reader))
}

/// The clients that a query is about.
fn clients_of(query: &Query) -> Result<Clients, BadParameter> {
    let bad = |name: &str, why: &str| Err(BadParameter { name: name.into(), why: why.into() });
    match (query.bytes("client"), query.bytes("prefix")) {
        (Some(_), Some(_)) => bad("prefix", "client and prefix are two choices; make one of them"),
        (Some(b""), None) => bad("client", "client names nobody"),
        (Some(client), None) => Ok(Clients::One(name::of_client(client))),
        (None, Some(prefix)) if !prefix.is_empty() => Ok(Clients::Prefix(name::of_client(prefix))),
        (None, _) => Ok(Clients::All),
    }
}

/// The status line and the fields: the stream has no length, and ends with its connection.
fn say_head(call: &mut Call<'_, '_>) {
    let out = &mut call.visit.turn.out;
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put("HTTP/1.1 200 OK\r\nDate: ");
    put(date::http(call.way.now_s).text());
    put("\r\nContent-Type: ");
    put(EVENT_STREAM);
    put("\r\nX-Content-Type-Options: nosniff\r\n");
    put(UNBUFFERED);
    put("Connection: close\r\n");
    put(&call.fields);
    let retry_ms = FEED_RETRY_MS + fastrand::u64(..FEED_RETRY_SPREAD_MS);
    put("\r\nretry: ");
    put(itoa(retry_ms).text());
    put("\n\n");
    log_begun(call.visit);
}

// --- IDs: which start of the server, up to where all was told, and of what

fn write_id(incarnation: u64, bookmark: &Bookmark, scope: u32, out: &mut Vec<u8>) {
    let Bookmark { epoch, piece } = bookmark;
    let piece = piece.map(|PieceId { channel, number }| format!("-{channel}-{number}"));
    out.extend_from_slice(
        format!("id: {incarnation:016x}-{epoch}{}-{scope:08x}\n", piece.unwrap_or_default()).as_bytes(),
    );
}

/// What an ID stands for, if it is of this start of the server and of the same choice of clients and place.
fn bookmark_of(id: &[u8], own: u64, own_scope: u32) -> Option<Bookmark> {
    let (id, scope) = std::str::from_utf8(id).ok()?.trim().rsplit_once('-')?;
    let mut parts = id.split('-');
    let incarnation = parts.next().filter(|text| text.len() == 16)?;
    let epoch = number(parts.next()?)?;
    let piece = match parts.next() {
        Some(channel) => Some(PieceId { channel: number(channel)?, number: number(parts.next()?)? }),
        None => None,
    };
    let is_own = u64::from_str_radix(incarnation, 16) == Ok(own)
        && scope.len() == 8
        && u32::from_str_radix(scope, 16) == Ok(own_scope)
        && parts.next().is_none();
    is_own.then_some(Bookmark { epoch, piece })
}

fn number<N: std::str::FromStr>(digits: &str) -> Option<N> {
    let is_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_digits)
}

// --- words

fn write(origin: &Origin<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Snapshot => {
            out.extend_from_slice(b"event: snapshot\ndata: {\"server\":");
            write_json(origin.server.as_bytes(), out);
            out.extend_from_slice(b"}\n\n");
        }
        Event::Position { record, has_entered } => write_position(record, *has_entered, out),
        Event::Gone { client, why } => {
            out.extend_from_slice(b"event: gone\ndata: {\"id\":");
            write_json(client, out);
            out.extend_from_slice(match why {
                Why::Left => b",\"why\":\"left\"}\n\n",
                Why::Forgotten => b",\"why\":\"forgotten\"}\n\n",
            });
        }
        Event::Link { neighbour, is_up } => {
            out.extend_from_slice(b"event: link\ndata: {\"server\":");
            write_json(origin.server.as_bytes(), out);
            out.extend_from_slice(b",\"neighbour\":");
            write_json(neighbour.as_bytes(), out);
            out.extend_from_slice(if *is_up { b",\"up\":true}\n\n" } else { b",\"up\":false}\n\n" });
        }
        Event::CaughtUp => out.extend_from_slice(b"event: caught-up\ndata: {}\n\n"),
        Event::Mark { bookmark, scope } => {
            write_id(origin.incarnation, bookmark, *scope, out);
            out.push(b'\n');
        }
        Event::Pause => out.extend_from_slice(b": nothing has happened\n\n"),
    }
}

fn write_position(record: &Record<&[u8]>, has_entered: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: position\ndata: {\"id\":");
    write_json(record.client(), out);
    let (latitude, longitude) = halves(record.location());
    out.extend_from_slice(b",\"lat\":");
    write_number(latitude, out);
    out.extend_from_slice(b",\"lon\":");
    write_number(longitude, out);
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(record.time());
    out.extend_from_slice(b"\",\"server\":");
    write_json(record.origin(), out);
    out.extend_from_slice(b",\"received\":");
    write_received(record, out);
    if has_entered {
        out.extend_from_slice(b",\"entered\":true");
    }
    out.extend_from_slice(b"}\n\n");
}

/// A stream that is under way: whoever it is for, and whether it has asked what is next.
pub struct Stream {
    pub reader: Reader,
    pub is_asked: bool,
    /// What came last is not sent yet.
    pub is_fresh: bool,
    /// The tokens by which it was allowed: with others it is to ask again.
    pub tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Command;

    const ORIGIN: Origin<'static> = Origin { server: "Goloman", incarnation: 0xabc };

    fn said(event: &Event<'_>) -> String {
        let mut out = Vec::new();
        write(&ORIGIN, event, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn events_have_the_digits_that_were_sent() {
        let line = b"AT Goloman +0.263873386 kiwi +34.068930-118.445127 1520023934.918963997";
        let Ok(Command::At(fields)) = Command::parse(line) else { panic!("no record") };
        let mut bytes = Vec::new();
        let record = &Record::write(&fields, &mut bytes);
        let body = concat!(
            "event: position\ndata: {\"id\":\"kiwi\",\"lat\":34.068930,\"lon\":-118.445127,",
            "\"time\":\"1520023934.918963997\",\"server\":\"Goloman\",\"received\":1520023935"
        );
        assert_eq!(said(&Event::Position { record, has_entered: false }), format!("{body}}}\n\n"));
        let entered = format!("{body},\"entered\":true}}\n\n");
        assert_eq!(said(&Event::Position { record, has_entered: true }), entered);
        let gone = said(&Event::Gone { client: b"a\"b", why: Why::Left });
        assert_eq!(gone, "event: gone\ndata: {\"id\":\"a\\\"b\",\"why\":\"left\"}\n\n");
    }

    #[test]
    fn an_id_is_of_one_start_of_the_server() {
        let seven = Bookmark { epoch: 7, piece: None };
        let piece = Some(PieceId { channel: 3, number: u64::MAX });
        for (bookmark, id) in [
            (seven, "0000000000000abc-7-0000beef"),
            (Bookmark { piece, ..seven }, "0000000000000abc-7-3-18446744073709551615-0000beef"),
        ] {
            let scope = 0xbeef;
            assert_eq!(said(&Event::Mark { bookmark, scope }), format!("id: {id}\n\n"));
            assert_eq!(bookmark_of(id.as_bytes(), 0xabc, scope), Some(bookmark));
            assert_eq!(bookmark_of(id.as_bytes(), 0xabd, scope), None);
            assert_eq!(bookmark_of(id.as_bytes(), 0xabc, 0xbeee), None);
        }
        // Without the mark of what was wanted, as earlier versions wrote it, it says too little.
        for id in [
            "0000000000000abc-7",
            "0000000000000abc-7-3-4",
            "abc-7-0000beef",
            "0000000000000abc-7-beef",
            "",
            "-",
            "x",
        ] {
            assert_eq!(bookmark_of(id.as_bytes(), 0xabc, 0xbeef), None, "{id}");
        }
        for end in ["", "-", "-+7", "-7-", "-7-3", "-7-3-", "-7-3-+4", "-7-3-4-", "-4294967296", "-7-x-4"] {
            let id = format!("0000000000000abc{end}-0000beef");
            assert_eq!(bookmark_of(id.as_bytes(), 0xabc, 0xbeef), None, "{end}");
        }
    }
}
