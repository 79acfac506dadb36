//! `/v1/herd` and `/readyz`: how this server and its neighbours are.

use std::time::Duration;

use serde_json::{Value, json};

use super::site::Member;
use crate::limits::HTTP_UNTRIED_S;
use crate::protocol::Span;
use crate::status::{JournalStatus, LinkStatus, Status};

/// How the server is, as JSON, with the servers of its herd.conf.
pub fn json(status: &Status, name: &str, members: &[Member]) -> Vec<u8> {
    let digest = status.digest.as_ref();
    let whole = json!({
        "server": name,
        "version": env!("CARGO_PKG_VERSION"),
        "clients": digest.map(|digest| digest.count),
        "digest": digest.filter(|digest| digest.span == Span::ALL).map(|digest| format!("{:016x}", digest.total())),
        "news": status.news,
        "forgotten": status.forgotten,
        "journal": {
            "state": match status.journal {
                JournalStatus::Absent => "absent",
                JournalStatus::Reading => "reading",
                JournalStatus::Written => "written",
                JournalStatus::Degraded => "degraded",
            },
            "bytes": status.journal_bytes,
        },
        "links": status.links.iter().map(link).collect::<Vec<_>>(),
        "servers": members.iter().map(member).collect::<Vec<_>>(),
        "notes": status.notes(),
    });
    line(&whole)
}

fn member(member: &Member) -> Value {
    json!({ "server": member.name, "neighbours": member.neighbours })
}

fn link(link: &LinkStatus) -> Value {
    json!({
        "neighbour": link.name,
        "up": link.lag.is_up,
        "lag_clients": link.lag.clients,
        "lag_s": link.lag.time.as_secs_f64(),
    })
}

/// Whether the server is ready for clients: 200, or 503 with the reasons. A neighbour that takes its time makes it
/// ready later, and not never: up to `ready_after` from when its journal was read.
pub fn readiness(status: &Status, up: Duration, ready_after: Duration) -> (u16, Vec<u8>) {
    let mut reasons = Vec::new();
    let Some(opened_at) = status.opened_at else {
        let reasons = ["the journal is being read"];
        return (503, line(&json!({ "ready": false, "reasons": reasons })));
    };
    if status.journal == JournalStatus::Degraded {
        reasons.push("the journal cannot be written".to_owned());
    }
    let is_kept = reasons.is_empty();
    let since = up.saturating_sub(opened_at);
    let untried =
        status.links.iter().filter(|link| link.is_untried && since < Duration::from_secs(HTTP_UNTRIED_S));
    reasons.extend(untried.map(|link| format!("{} is not reached yet", link.name)));
    let sending = status.links.iter().filter(|link| link.lag.is_up && link.is_still_sending);
    reasons.extend(sending.map(|link| format!("{} is up, and has not yet sent all it knows", link.name)));
    let is_ready = reasons.is_empty() || is_kept && since >= ready_after;
    (if is_ready { 200 } else { 503 }, line(&json!({ "ready": is_ready, "reasons": reasons })))
}

fn line(json: &Value) -> Vec<u8> {
    let mut bytes = json.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}
