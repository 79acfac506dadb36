//! Clients that move, and ask after every step who is nearest to them: by lines or by HTTP. `dialect` calls it.

use memchr::{memchr, memmem};

use crate::dialect::is_report;
use crate::http;

/// How many are asked for.
const NEAREST: usize = 10;

/// Clients stand in rows, some 28 m from each other both ways, and walk up to as far northwards and back. In millionths
/// of a degree; nobody is ever where somebody else is.
const ROW: usize = 400;
const APART_NORTH: usize = 250;
const APART_EAST: usize = 300;

/// One client's side of a conversation. Even commands are reports, and odd ones ask around the last of them.
pub struct Mover {
    by_http: bool,
    client: usize,
    id: String,
    base_s: u64,
    /// What every reply to a report begins with.
    head: String,
}

impl Mover {
    pub fn new(server: &str, by_http: bool, client: usize, base_s: u64) -> Mover {
        let head = match by_http {
            true => format!("{{\"news\":true,\"at\":\"AT {server} "),
            false => format!("AT {server} "),
        };
        Mover { by_http, client, id: format!("c{client:07}.bench"), base_s, head }
    }

    /// Latitude and longitude without their signs, at a command.
    fn position(&self, number: u64) -> (String, String) {
        let step = 1 + (number / 2) as usize % (APART_NORTH - 1);
        let north = self.client / ROW * APART_NORTH + step;
        let west = self.client % ROW * APART_EAST;
        (format!("34.{north:06}"), format!("118.{west:06}"))
    }

    /// What an AT line of the report before a command ends with.
    fn tail(&self, number: u64) -> String {
        let (north, west) = self.position(number);
        format!("{} +{north}-{west} {}.{:09}", self.id, self.base_s, number / 2)
    }

    /// Appends command `number`.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) {
        let (north, west) = self.position(number);
        let text = match (number % 2 == 1, self.by_http) {
            (false, false) => format!("IAMAT {}\n", self.tail(number)),
            (true, false) => format!("NEAR +{north}-{west} 1 {NEAREST}\n"),
            (false, true) => {
                let time = format!("{}.{:09}", self.base_s, number / 2);
                let body = format!("{{\"lat\":{north},\"lon\":-{west},\"time\":{time}}}");
                format!(
                    "PUT /v1/clients/{} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    self.id,
                    body.len()
                )
            }
            (true, true) => format!(
                "GET /v1/clients?near={north},-{west}&radius_m=1000&limit={NEAREST} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ),
        };
        out.extend_from_slice(text.as_bytes());
    }

    /// Takes the reply to command `number` from the front of `bytes`, as `Script::take_reply` does. Who asks is the
    /// nearest to itself.
    pub fn take_reply(&self, number: u64, bytes: &[u8]) -> Result<Option<usize>, String> {
        let taken = if self.by_http { self.take_http(number, bytes) } else { self.take_lines(number, bytes) };
        taken.map_err(|why| {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(600)]);
            format!("reply {number} of a connection is {shown:?}: {why}")
        })
    }

    fn take_lines(&self, number: u64, bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
        if !is_report(&bytes[..end], self.head.as_bytes(), self.tail(number).as_bytes()) {
            return Err("it does not begin with its own position");
        }
        if number.is_multiple_of(2) {
            return Ok(Some(end + 1));
        }
        let Some(last) = memmem::find(bytes, b"\n\n") else { return Ok(None) };
        let mut lines = bytes[..last].split(|&byte| byte == b'\n');
        if lines.clone().count() != NEAREST || !lines.all(|line| line.starts_with(b"AT ")) {
            return Err("it has another number of clients");
        }
        Ok(Some(last + 2))
    }

    fn take_http(&self, number: u64, bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        let Some(reply) = http::cut(bytes)? else { return Ok(None) };
        if reply.status != 200 {
            return Err("it is refused");
        }
        let tail = self.tail(number);
        if number.is_multiple_of(2) {
            let is_right = is_report(reply.body, self.head.as_bytes(), format!("{tail}\"}}\n").as_bytes());
            return if is_right { Ok(Some(reply.length())) } else { Err("not the answer to its report") };
        }
        let front = format!(
            "{{\"type\":\"FeatureCollection\",\"features\":[{{\"type\":\"Feature\",\"id\":\"{}\",",
            self.id
        );
        let first = memmem::find(reply.body, b"}}").map_or(&[][..], |end| &reply.body[..end]);
        let is_own = first.starts_with(front.as_bytes())
            && memmem::find(first, b"\"distance_m\":0,").is_some()
            && first.ends_with(format!("{tail}\"").as_bytes());
        if !is_own {
            return Err("it does not begin with its own position");
        }
        if memmem::find_iter(reply.body, b"\"distance_m\":").count() != NEAREST {
            return Err("it has another number of clients");
        }
        Ok(Some(reply.length()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn said(mover: &Mover, number: u64) -> String {
        let mut out = Vec::new();
        mover.write(number, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn nobody_is_where_somebody_else_is() {
        let mut positions = HashSet::new();
        for client in 0..50 {
            let mover = Mover::new("Goloman", false, client, 5);
            (0..249).for_each(|step| assert!(positions.insert(mover.position(2 * step))));
        }
        for client in 50..100_050 {
            assert!(positions.insert(Mover::new("Goloman", false, client, 5).position(0)), "{client}");
        }
    }

    #[test]
    fn a_search_by_lines_has_ten_lines_and_its_own_first() {
        let mover = Mover::new("Goloman", false, 401, 5);
        assert_eq!(said(&mover, 2), "IAMAT c0000401.bench +34.000252-118.000300 5.000000001\n");
        assert_eq!(said(&mover, 3), "NEAR +34.000252-118.000300 1 10\n");
        let own = "AT Goloman +1.000000000 c0000401.bench +34.000252-118.000300 5.000000001\n";
        assert_eq!(mover.take_reply(2, own.as_bytes()), Ok(Some(own.len())));
        let other = own.replace("401", "402");
        let whole = format!("{own}{}\n", other.repeat(9));
        assert_eq!(mover.take_reply(3, format!("{whole}AT").as_bytes()), Ok(Some(whole.len())));
        assert_eq!(mover.take_reply(3, &whole.as_bytes()[..whole.len() - 1]), Ok(None));
        for wrong in [
            format!("{own}{}\n", other.repeat(8)),
            format!("{}{own}\n", other.repeat(9)),
            format!("{own}{}? \n\n", other.repeat(8)),
            "? NEAR +34.000252-118.000300 1 10\n".to_owned(),
        ] {
            assert!(mover.take_reply(3, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_search_by_http_has_ten_features_and_its_own_first() {
        let mover = Mover::new("Goloman", true, 3, 5);
        assert!(
            said(&mover, 0).ends_with("\r\n\r\n{\"lat\":34.000001,\"lon\":-118.000900,\"time\":5.000000000}")
        );
        assert!(
            said(&mover, 1).starts_with(
                "GET /v1/clients?near=34.000001,-118.000900&radius_m=1000&limit=10 HTTP/1.1\r\n"
            )
        );
        let feature = |client: usize, metres: u64| {
            format!(
                "{{\"type\":\"Feature\",\"id\":\"c000000{client}.bench\",\"properties\":{{\"distance_m\":{metres},\"at\":\
                 \"AT Goloman +1.000000000 c000000{client}.bench +34.000001-118.000900 5.000000000\"}}}}"
            )
        };
        let reply = |features: &[String]| {
            let body = format!("{{\"type\":\"FeatureCollection\",\"features\":[{}]}}\n", features.join(","));
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let mut features = vec![feature(4, 28); 10];
        assert!(mover.take_reply(1, reply(&features).as_bytes()).is_err());
        features[0] = feature(3, 0);
        let right = reply(&features);
        assert_eq!(mover.take_reply(1, right.as_bytes()), Ok(Some(right.len())));
        assert!(mover.take_reply(1, reply(&features[..9]).as_bytes()).is_err());
        assert!(mover.take_reply(1, right.replace("200 OK", "400 No").as_bytes()).is_err());
    }
}
