//! What a phone said in one request, with what of that request counts: read in the turn of a worker, or elsewhere where
//! that takes longer than a turn may.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::fix::{Fix, Request};
use super::json::Json;
use super::{Friends, app_of, read};
use crate::door::http::heard::{Heard, Said};
use crate::door::http::name;
use crate::door::http::site::{Caller, Reserved};
use crate::node::{Clients, Node};
use crate::protocol::timestamp::cmp_exact;
use crate::protocol::{Location, Timestamp};
use crate::tally::{App, Reason};

/// What a phone said.
#[derive(Debug)]
pub struct Message<'m> {
    /// Whose it is, unless it tells otherwise.
    pub otherwise: App,
    pub query: Cow<'m, [u8]>,
    pub body: Cow<'m, [u8]>,
    /// The body was larger than is looked at.
    pub is_cut: bool,
    /// `X-Limit-U` and `X-Limit-D`.
    pub user: Option<Cow<'m, [u8]>>,
    pub device: Option<Cow<'m, [u8]>>,
    /// It is of Overland, by its head.
    pub is_overland: bool,
    pub caller: Caller,
    /// Bytes of a report's line.
    pub max_line: usize,
    pub max_ahead_ns: u64,
    /// When it came.
    pub now_ns: u64,
    /// The room that a large body takes, until what it says is learned.
    pub reserved: Option<Arc<Reserved>>,
}

impl Message<'_> {
    /// The same, to be read elsewhere.
    pub fn into_owned(self) -> Message<'static> {
        let owned = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        Message {
            query: owned(self.query),
            body: owned(self.body),
            user: self.user.map(owned),
            device: self.device.map(owned),
            ..self
        }
    }

    /// What of it is to be learned.
    pub fn hear(&self) -> Heard {
        let text = String::from_utf8_lossy(&self.body);
        let json = Json::parse(&text);
        let app = app_of(&json, self.otherwise);
        let mut heard = Heard {
            app,
            is_overland: self.is_overland || app == App::Overland,
            reports: Vec::new(),
            count: 0,
            ignored: HashMap::new(),
            _reserved: self.reserved.clone(),
        };
        if self.is_cut {
            heard.ignore(Reason::TooLarge, self.client_of(None).unwrap_or_default());
            return heard;
        }
        let request = Request {
            query: &self.query,
            body: &self.body,
            json: &json,
            user: self.user.as_deref(),
            device: self.device.as_deref(),
            is_overland: heard.is_overland,
        };
        let mut places = HashMap::<Vec<u8>, usize>::new();
        for outcome in read(app, &request) {
            let said = match outcome {
                Err(ignored) => {
                    let named = (!ignored.name.is_empty()).then_some(&*ignored.name);
                    Err((ignored.reason, self.client_of(named).unwrap_or_default()))
                }
                Ok(fix) => {
                    let id = self.client_of(fix.name.as_deref());
                    self.said(id.clone(), fix).map_err(|reason| (reason, id.unwrap_or_default()))
                }
            };
            let said = match said {
                Ok(said) => said,
                Err((reason, id)) => {
                    heard.ignore(reason, id);
                    continue;
                }
            };
            heard.count += 1;
            match places.get(&said.id).map(|&at| (at, cmp_exact(&said.time, &heard.reports[at].time))) {
                Some((_, Ordering::Less)) => {}
                Some((at, Ordering::Greater)) => heard.reports[at] = said,
                Some((at, Ordering::Equal)) if heard.reports[at] == said => {}
                // Which of two of one time counts is the same on every server.
                Some((_, Ordering::Equal)) => heard.reports.push(said),
                None => {
                    places.insert(said.id.clone(), heard.reports.len());
                    heard.reports.push(said);
                }
            }
        }
        heard
    }

    /// The same with the list of its friends, if it is to be told of them and they are soon found: others wait.
    pub fn answer(&self, node: &Node) -> (Heard, Option<Vec<u8>>) {
        let heard = self.hear();
        let list = self.friends(&heard).and_then(|friends| friends.soon(node));
        (heard, list)
    }

    /// Whom OwnTracks is told of: those around it that its token may read; nobody where it may read itself alone.
    pub fn friends(&self, heard: &Heard) -> Option<Friends> {
        let reads = self.caller.scopes.read && !matches!(self.caller.clients, Clients::One(_));
        if heard.app != App::OwnTracks || heard.is_overland || !reads {
            return None;
        }
        let own = heard.reports.last()?;
        let location = Location::parse(&own.location)?;
        Some(Friends::around(&own.id, &location, &own.time, self.caller.clients.clone()))
    }

    /// The client that counts for what an app calls itself.
    fn client_of(&self, named: Option<&[u8]>) -> Option<Vec<u8>> {
        match (&self.caller.clients, named, &self.caller.name) {
            (Clients::One(id), ..) => Some(id.clone()),
            (_, Some(named), _) => Some(name::of_client(named)),
            (_, None, Some(token)) => Some(name::of_client(token.as_bytes())),
            (_, None, None) => None,
        }
    }

    fn said(&self, id: Option<Vec<u8>>, fix: Fix) -> Result<Said, Reason> {
        let id = id.ok_or(Reason::NoId)?;
        if !self.caller.clients.has(&id) {
            return Err(Reason::NotAllowed);
        }
        let (mut location, mut time) = (Vec::new(), Vec::new());
        Location::of_numbers(&fix.latitude, &fix.longitude, &mut location).ok_or(Reason::BadLocation)?;
        match fix.time {
            Some(text) => time = text,
            None => {
                Timestamp::of_ns(self.now_ns, &mut time);
            }
        }
        if b"IAMAT   ".len() + id.len() + location.len() + time.len() > self.max_line {
            return Err(Reason::TooLong);
        }
        let timestamp = Timestamp::parse(&time).ok_or(Reason::BadTime)?;
        if timestamp.is_ahead(self.now_ns, self.max_ahead_ns) {
            return Err(Reason::TimeAhead);
        }
        Ok(Said { id, location, time })
    }
}
