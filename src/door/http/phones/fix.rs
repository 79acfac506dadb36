//! What an app says: a fix, or why something it said is none.

use super::super::{name, number, tokens};
use super::json::Json;
use super::time;
pub use crate::tally::Reason;

/// A request of an app, as far as it says where a phone is.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    pub query: &'r [u8],
    pub body: &'r [u8],
    /// What the body is as JSON.
    pub json: &'r Json<'r>,
    /// `X-Limit-U` and `X-Limit-D`, as OwnTracks sets them.
    pub user: Option<&'r [u8]>,
    pub device: Option<&'r [u8]>,
    /// It is of Overland, which counts seconds from 2001 when it speaks as OwnTracks does.
    pub is_overland: bool,
}

#[cfg(test)]
impl<'r> Request<'r> {
    /// One that has a body and nothing else.
    pub fn of(body: &'r str, json: &'r Json<'r>) -> Request<'r> {
        Request { query: b"", body: body.as_bytes(), json, user: None, device: None, is_overland: false }
    }
}

/// Where somebody was. Digits are as the app wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Whom the app says it is of.
    pub name: Option<Vec<u8>>,
    pub latitude: Vec<u8>,
    pub longitude: Vec<u8>,
    /// Seconds since 1970; None for now.
    pub time: Option<Vec<u8>>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    pub reason: Reason,
    /// Whom it is of, as far as that is said.
    pub name: Vec<u8>,
}

impl From<Reason> for Ignored {
    fn from(reason: Reason) -> Ignored {
        Ignored { reason, name: Vec::new() }
    }
}

impl Reason {
    /// Why something of this name does not count.
    pub fn of(self, name: Option<Vec<u8>>) -> Ignored {
        Ignored { reason: self, name: name.unwrap_or_default() }
    }
}

/// A fix, or why there is none.
pub type Outcome = Result<Fix, Ignored>;

impl Fix {
    /// A fix of texts. An absent coordinate beside one that is there is 0: serializers of some apps leave 0.0 out.
    pub fn of(
        name: Option<Vec<u8>>,
        latitude: Option<&str>,
        longitude: Option<&str>,
        time: Result<Option<Vec<u8>>, Reason>,
    ) -> Outcome {
        let fix = Fix::unnamed(latitude, longitude, time);
        match fix {
            Ok(fix) => Ok(Fix { name, ..fix }),
            Err(reason) => Err(reason.of(name)),
        }
    }

    fn unnamed(
        latitude: Option<&str>,
        longitude: Option<&str>,
        time: Result<Option<Vec<u8>>, Reason>,
    ) -> Result<Fix, Reason> {
        if latitude.is_none() && longitude.is_none() {
            return Err(Reason::NoLocation);
        }
        let degrees = |text: Option<&str>, most: u32| {
            number::degrees(text.unwrap_or("0").trim(), most).ok_or(Reason::BadLocation)
        };
        let (latitude, longitude) = (degrees(latitude, 90)?, degrees(longitude, 180)?);
        let is_zero = |digits: &[u8]| digits.iter().all(|byte| b"-0.".contains(byte));
        if is_zero(&latitude) && is_zero(&longitude) {
            return Err(Reason::NullIsland);
        }
        Ok(Fix { name: None, latitude, longitude, time: time? })
    }
}

/// A time that may be absent.
pub fn time_of(text: Option<&str>) -> Result<Option<Vec<u8>>, Reason> {
    text.map(|text| time::read(text).ok_or(Reason::BadTime)).transpose()
}

/// The pairs of a query or a form, decoded as far as they can be. Some users' templates have a `?` for each `&`.
pub fn pairs(query: &[u8]) -> Vec<(String, Vec<u8>)> {
    let decode = |text: &[u8]| name::decode_form(text).unwrap_or_else(|| text.to_vec());
    tokens::loose_pairs(query)
        .map(|(name, value)| (String::from_utf8_lossy(&decode(name)).to_lowercase(), decode(value)))
        .collect()
}

/// An outcome in a line, for the tests of the apps: name, latitude, longitude and time, or the reason.
#[cfg(test)]
pub fn shown(outcome: Outcome) -> String {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match outcome {
        Ok(Fix { name, latitude, longitude, time }) => format!(
            "{} {} {} {}",
            name.map_or("?".into(), text),
            text(latitude),
            text(longitude),
            time.map_or("now".into(), text)
        ),
        Err(ignored) => ignored.reason.name().to_owned(),
    }
}
