//! `herd --explain LINE`: what a server makes of a line, or the rule by which it refuses it. `main` calls
//! it; no server is asked.

use std::path::Path;
use std::process::ExitCode;
use std::time::UNIX_EPOCH;

use time::OffsetDateTime;

use super::exit;
use super::say::{fail, say};
use crate::config::Config;
use crate::limits::{MAX_AHEAD_NS, MAX_LINE};
use crate::logging::Escaped;
use crate::protocol::{Command, Query, Report, Rule, Vicinity, line};

/// What a server makes of a line; one of a herd.conf, if that is named, as it may have other bounds.
pub fn run(text: &str, config: Option<&Path>) -> ExitCode {
    let settings = match config.map(Config::load).transpose() {
        Ok(config) => config.map(|config| config.settings),
        Err(why) => return fail(exit::CONFIG, why),
    };
    let max_line = settings.as_ref().map_or(MAX_LINE.default as usize, |settings| settings.max_line);
    let ahead = settings.map_or((MAX_AHEAD_NS, false), |it| (it.max_ahead_ns, it.refuses_ahead));
    let now_ns = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let text = text.strip_suffix('\n').unwrap_or(text);
    match explain(text.as_bytes(), max_line, ahead, now_ns) {
        Ok(meaning) => say(meaning),
        Err(rule) => fail(exit::INVALID, format!("refused: {}", rule.words())),
    }
}

/// What a line comes to, in a sentence; `ahead` is how far a time may be ahead, in ns, and whether reports that are
/// further ahead are refused.
///
/// # Errors
/// The rule by which every server refuses it, from whomever it comes.
fn explain(text: &[u8], max_line: usize, ahead: (u64, bool), now_ns: u64) -> Result<String, Rule> {
    let (max_ahead_ns, refuses_ahead) = ahead;
    if line::without_cr(text).len() > max_line {
        return Err(Rule::TooLong);
    }
    if line::is_http(text) || line::is_tls(text) {
        return Err(Rule::Http);
    }
    Ok(match Command::parse(text).map_err(|invalid| invalid.rule)? {
        Command::Blank => "a blank line: it is no command, and gets no reply".to_owned(),
        Command::Iamat(report) => {
            let is_far_ahead = report.time.is_ahead(now_ns, max_ahead_ns);
            if is_far_ahead && refuses_ahead {
                return Err(Rule::TooFarAhead);
            }
            of_report(&report, is_far_ahead, now_ns)
        }
        Command::Whatsat(query) => of_query(&query),
        Command::Near(vicinity) => of_vicinity(&vicinity),
        Command::Count => "asks how many clients the server knows".to_owned(),
        Command::Watch(prefix) => {
            let whom = prefix.map_or("of all clients".to_owned(), |prefix| {
                format!("of the clients whose IDs begin with {}", Escaped(prefix))
            });
            format!("asks for the AT lines {whom}, now and whenever one changes, until the connection ends")
        }
        Command::At(parts) => format!(
            "passes on what {} was told of {}: taken from a neighbour, without a reply, and refused from anybody else: {}",
            Escaped(parts.origin),
            Escaped(parts.client),
            Rule::NotANeighbour.words()
        ),
        Command::Link(_) => {
            format!("servers say this to each other; from anybody else: {}", Rule::NotOnALink.words())
        }
    })
}

fn of_report(report: &Report<'_>, is_far_ahead: bool, now_ns: u64) -> String {
    let (client, time) = (Escaped(report.client), Escaped(report.time.text()));
    let (latitude, longitude) = (report.location.latitude_deg(), report.location.longitude_deg());
    let mut said = format!(
        "reports that {client} was at latitude {latitude}, longitude {longitude} at {time} s since 1970"
    );
    if let Some(date) = date_of(report.time.text()) {
        said += &format!(", which is {date}");
    }
    if is_far_ahead {
        let cause = report.time.likely_cause(now_ns);
        said += &format!("; that is far ahead: {cause}; any other report of {client} would count before it");
    }
    said
}

fn of_query(query: &Query<'_>) -> String {
    let (client, km) = (Escaped(query.client), query.radius_m / 1_000.0);
    let bound = query.bound;
    format!(
        "asks for at most {bound} places within {km} km of {client}; refused where {client} is not known: {}",
        Rule::UnknownClient.words()
    )
}

fn of_vicinity(vicinity: &Vicinity<'_>) -> String {
    let (latitude, longitude) = (vicinity.location.latitude_deg(), vicinity.location.longitude_deg());
    let (bound, km) = (vicinity.bound, vicinity.radius_m / 1_000.0);
    format!(
        "asks for the nearest clients, at most {bound}, within {km} km of latitude {latitude}, longitude {longitude}"
    )
}

/// The second of a time, in UTC, if it is one of this calendar.
fn date_of(time: &[u8]) -> Option<String> {
    let whole = time.split(|&byte| byte == b'.').next()?;
    let seconds = std::str::from_utf8(whole).ok()?.parse().ok()?;
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let ((year, month, day), (hour, minute, second)) = (at.to_calendar_date(), at.to_hms());
    let month = u8::from(month);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_explained_or_refused_by_its_rule() {
        let now_ns = 1_520_023_935_000_000_000;
        let check = |text: &str, expected: Result<&str, Rule>| match (
            explain(text.as_bytes(), 4_096, (MAX_AHEAD_NS, false), now_ns),
            expected,
        ) {
            (Ok(said), Ok(part)) => assert!(said.contains(part), "{text}: {said}"),
            (found, expected) => assert_eq!(found.err(), expected.err(), "{text}"),
        };
        check(
            "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997",
            Ok(
                "kiwi.cs.ucla.edu was at latitude 34.06893, longitude -118.445127 at 1520023934.918963997 s since \
                1970, which is 2018-03-02T20:52:14Z",
            ),
        );
        check("IAMAT js +1+1 1520023934918", Ok("it looks like milliseconds"));
        check("IAMAT a +1+1 999999999999999999999999", Ok("its clock seems to be wrong"));
        check("WHATSAT kiwi 0.5 20", Ok("at most 20 places within 0.5 km of kiwi"));
        check("NEAR +34.5-118 0.5 20", Ok("at most 20, within 0.5 km of latitude 34.5, longitude -118"));
        check("COUNT", Ok("how many clients"));
        check("COUNT all", Err(Rule::CountFields));
        check("AT G +1 a +1+1 1", Ok("what G was told of a"));
        check("MARK 5", Ok("servers say this to each other"));
        check(" \t", Ok("blank"));
        check("IAMAT a 34-118 1", Err(Rule::LatitudeSign));
        check("GET / HTTP/1.1\r", Err(Rule::Http));
        check(&"x".repeat(4_097), Err(Rule::TooLong));
        assert_eq!(
            explain(b"IAMAT a +1+1 1520023950", 4_096, (1_000_000_000, true), now_ns),
            Err(Rule::TooFarAhead)
        );
    }
}
