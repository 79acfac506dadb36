//! `herdctl ping`: how long a server takes to answer, by a line that is none on purpose: it changes nothing, and servers
//! of any make send it back. `ctl` calls it.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::json;

use super::asking::{Heard, hear, lost, nonsense};
use super::choice::{Choice, Chosen};
use super::out::{Failed, Out};
use crate::args::ctl::Ping;
use crate::run::exit;

/// Asks so often, and tells how long each answer took. It is one server that is asked, also where another is there.
pub fn run(choice: &Choice, out: &mut Out, ping: &Ping) -> Result<u8, Failed> {
    let first = choice.connect()?;
    let (name, address) = (first.name.clone(), first.lines.address);
    let again = || Chosen::again(name.clone(), address, choice.patience());
    let (mut kept, mut took, mut last) = (Some(first), Vec::new(), None);
    for number in 1..=ping.count {
        if number > 1 {
            std::thread::sleep(ping.interval);
        }
        // One that closes after each reply is dialled anew, also where that shows late.
        let open = kept.take().filter(|server| server.lines.is_open());
        let is_used = number > 1 && open.is_some();
        let answered = match open.map_or_else(again, Ok).map_err(Unanswered::from).and_then(once) {
            Err(Unanswered { is_closed: true, .. }) if is_used => {
                again().map_err(Unanswered::from).and_then(once)
            }
            answered => answered,
        };
        match answered {
            Ok((server, ms)) => {
                took.push(ms);
                told(out, &server, number, ms)?;
                kept = Some(server);
            }
            Err(unanswered) => last = Some(unanswered.why),
        }
    }
    if !out.is_json && !took.is_empty() {
        out.text(&summary(ping.count, &took))?;
    }
    match last {
        None => Ok(exit::OK),
        Some(Failed::Status(status, why)) => {
            let status = if took.is_empty() { status } else { exit::DISAGREE };
            let why = format!("{why} ({} of {} answered)", took.len(), ping.count);
            Err(Failed::Status(status, why))
        }
        Some(Failed::Unread) => Err(Failed::Unread),
    }
}

/// Why a ping has no answer.
struct Unanswered {
    why: Failed,
    /// The connection was closed, which says nothing of the next one; a server that is silent is silent.
    is_closed: bool,
}

impl From<Failed> for Unanswered {
    fn from(why: Failed) -> Unanswered {
        Unanswered { why, is_closed: false }
    }
}

/// Asks once; how long it took, in ms.
fn once(server: Chosen) -> Result<(Chosen, f64), Unanswered> {
    let Chosen { name, mut lines, mut sayer } = server;
    let began = Instant::now();
    let heard = sayer.say(b"PING\n").and_then(|()| hear(&mut lines, b"PING"));
    let ms = ms_of(began.elapsed());
    let (why, is_closed) = match heard {
        Ok(Some(Heard::Refused(line))) if line == b"PING" => return Ok((Chosen { name, lines, sayer }, ms)),
        Ok(Some(_)) => (nonsense(), false),
        Ok(None) => (std::io::Error::other("it closed the connection"), true),
        Err(why) => {
            let is_closed = matches!(
                why.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            );
            (why, is_closed)
        }
    };
    Err(Unanswered { why: lost(&name, &lines, &why), is_closed })
}

fn told(out: &mut Out, server: &Chosen, number: u64, ms: f64) -> Result<(), Failed> {
    let at = server.lines.address;
    if out.is_json {
        out.json(&json!({ "server": server.name, "address": at.to_string(), "number": number, "ms": ms }))?;
    } else {
        out.text(&format!("{} ({at}): {number}: {ms:.3} ms\n", server.name))?;
    }
    out.flush()
}

fn summary(count: u64, took: &[f64]) -> String {
    let least = took.iter().copied().fold(f64::INFINITY, f64::min);
    let most = took.iter().copied().fold(0.0, f64::max);
    let mean = took.iter().sum::<f64>() / took.len() as f64;
    format!("{} of {count} answered; least {least:.3}, mean {mean:.3}, most {most:.3} ms\n", took.len())
}

fn ms_of(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
