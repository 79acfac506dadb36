//! Any number of clients that report over few connections, in no order that a server could guess. `growth` has them do so;
//! `dialect` calls it.

use std::io::Write;

use memchr::memchr;

use crate::dialect::is_report;

/// An ID is `c` and these digits, and what fills it up.
const ID_DIGITS: usize = 8;

/// The fewest bytes of an ID.
pub const ID_BYTES_MIN: usize = 1 + ID_DIGITS;

const COUNTER_DIGITS: usize = 9;
const LOCATION: &str = "+34.068930-118.445127";

/// How many there are, and how they are shared out among connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub clients: usize,
    pub connections: usize,
    pub id_bytes: usize,
}

/// One connection's side of a conversation. Only this one reports for its clients, so that each report of a client is newer
/// than its last.
pub struct Crowd {
    size: Size,
    connection: usize,
    /// What every reply begins with.
    head: Vec<u8>,
    /// A report, and where its reply begins to be the same.
    report: Vec<u8>,
}

const VERB: &[u8] = b"IAMAT ";

impl Crowd {
    pub fn new(server: &str, size: Size, connection: usize, base_s: u64) -> Crowd {
        let (digits, counter) = ("0".repeat(ID_DIGITS), "0".repeat(COUNTER_DIGITS));
        let fill = "x".repeat(size.id_bytes.saturating_sub(ID_BYTES_MIN));
        let report = format!("IAMAT c{digits}{fill} {LOCATION} {base_s}.{counter}\n").into_bytes();
        Crowd { size, connection, head: format!("AT {server} ").into_bytes(), report }
    }

    /// Whose report a command is: one of this connection's clients, each as likely as the others.
    fn client(&self, number: u64) -> usize {
        let Size { clients, connections, .. } = self.size;
        let of_connection = clients.saturating_sub(self.connection).div_ceil(connections).max(1);
        let mixed = mix(number ^ (self.connection as u64) << 40);
        self.connection + connections * (mixed % of_connection as u64) as usize
    }

    /// The report of a client, which is newer with a greater counter.
    fn report(&mut self, client: usize, counter: u64) -> &[u8] {
        let id_at = VERB.len() + 1;
        set(&mut self.report[id_at..id_at + ID_DIGITS], client as u64);
        let end = self.report.len() - 1;
        set(&mut self.report[end - COUNTER_DIGITS..end], counter);
        &self.report
    }

    /// Appends command `number`.
    pub fn write(&mut self, number: u64, out: &mut Vec<u8>) {
        let client = self.client(number);
        out.extend_from_slice(self.report(client, number + 1));
    }

    /// Takes the reply to command `number` from the front of `bytes`, as `Script::take_reply` does.
    pub fn take_reply(&mut self, number: u64, bytes: &[u8]) -> Result<Option<usize>, String> {
        let client = self.client(number);
        self.take(client, number + 1, bytes)
    }

    fn take(&mut self, client: usize, counter: u64, bytes: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
        self.report(client, counter);
        if is_report(&bytes[..=end], &self.head, &self.report[VERB.len()..]) {
            return Ok(Some(end + 1));
        }
        let shown = String::from_utf8_lossy(&bytes[..end.min(300)]);
        Err(format!("the reply to report {counter} of client {client} is {shown:?}"))
    }

    /// Has some clients report for the first time, and takes the replies with `read`, which appends what comes.
    ///
    /// # Errors
    /// A reply is wrong, or does not come.
    pub fn introduce(
        &mut self,
        clients: std::ops::Range<usize>,
        stream: &mut impl Write,
        mut read: impl FnMut(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut reports = Vec::new();
        clients.clone().for_each(|client| reports.extend_from_slice(self.report(client, 0)));
        stream.write_all(&reports).map_err(|why| why.to_string())?;
        let (mut replies, mut done) = (Vec::new(), 0);
        for client in clients {
            done += loop {
                match self.take(client, 0, &replies[done..])? {
                    Some(length) => break length,
                    None => read(&mut replies)?,
                }
            };
        }
        Ok(())
    }

    /// How many bytes a report has.
    pub fn report_bytes(&self) -> usize {
        self.report.len()
    }
}

fn set(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The finaliser of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SIZE: Size = Size { clients: 103, connections: 5, id_bytes: 12 };

    #[test]
    fn every_client_reports_over_one_connection_and_none_is_left_out() {
        let mut seen = HashSet::new();
        for connection in 0..SIZE.connections {
            let crowd = Crowd::new("Goloman", SIZE, connection, 5);
            for number in 0..2_000 {
                let client = crowd.client(number);
                assert!(client < SIZE.clients && client % SIZE.connections == connection, "{client}");
                seen.insert(client);
            }
        }
        assert_eq!(seen.len(), SIZE.clients);
    }

    #[test]
    fn a_report_has_an_id_of_so_many_bytes_and_its_own_reply() {
        let mut crowd = Crowd::new("Goloman", SIZE, 2, 5);
        let (mut out, client) = (Vec::new(), crowd.client(6));
        crowd.write(6, &mut out);
        let rest = format!("c{client:08}xxx +34.068930-118.445127 5.000000007\n");
        assert_eq!(String::from_utf8_lossy(&out), format!("IAMAT {rest}"));
        assert_eq!(out.len(), crowd.report_bytes());
        let right = format!("AT Goloman +1.000000000 {rest}");
        assert_eq!(crowd.take_reply(6, format!("{right}AT").as_bytes()), Ok(Some(right.len())));
        assert_eq!(crowd.take_reply(6, &right.as_bytes()[..right.len() - 1]), Ok(None));
        assert!(crowd.take_reply(7, right.as_bytes()).is_err());
        let smallest = Crowd::new("Goloman", Size { id_bytes: ID_BYTES_MIN, ..SIZE }, 0, 5);
        assert_eq!(smallest.report_bytes(), out.len() - 3);
    }

    #[test]
    fn an_introduction_is_answered_in_order() {
        let mut crowd = Crowd::new("Goloman", SIZE, 0, 5);
        let mut said = Vec::new();
        let reply = |client: usize| {
            format!("AT Goloman +1.000000000 c{client:08}xxx +34.068930-118.445127 5.000000000\n")
        };
        let mut next = 7;
        let read = |replies: &mut Vec<u8>| {
            replies.extend_from_slice(reply(next).as_bytes());
            next += 1;
            Ok(())
        };
        assert_eq!(crowd.introduce(7..9, &mut said, read), Ok(()));
        assert_eq!(said.iter().filter(|&&byte| byte == b'\n').count(), 2);
        let wrong = |replies: &mut Vec<u8>| {
            replies.extend_from_slice(reply(3).as_bytes());
            Ok(())
        };
        assert!(crowd.introduce(7..9, &mut Vec::new(), wrong).is_err());
    }
}
