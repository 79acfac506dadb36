//! Which paths there are, by which methods, and what a caller needs for each. It says no word: `route` serves them.

use super::head::{Head, Method};
use super::problem::Kind;
use super::tokens::WEBHOOK;
use super::{name, page, phones};
use crate::tally::{App, Asked};

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Index,
    /// A file of the map page.
    Asset(usize),
    /// Where a browser asks who looks at the page.
    SignIn,
    /// Names for a map.
    Labels,
    /// What is near a position.
    PlacesNear,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Clients,
    Client(Vec<u8>),
    Places(Vec<u8>),
    Herd,
    /// What happens, as it happens.
    Events,
    /// What a kind of problem is.
    Problem(Kind),
    /// Where phones report, as this app unless what they say is another one's.
    Phone(App),
}

impl Route {
    /// Whether it is served while the journal is still being read.
    pub fn is_early(&self) -> bool {
        match self {
            Route::Index
            | Route::Asset(_)
            | Route::Health
            | Route::Ready
            | Route::Metrics
            | Route::OpenApi
            | Route::SignIn
            | Route::Problem(_) => true,
            Route::Labels
            | Route::PlacesNear
            | Route::Clients
            | Route::Client(_)
            | Route::Places(_)
            | Route::Herd
            | Route::Events
            | Route::Phone(_) => false,
        }
    }
}

/// What a caller needs for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    Read,
    Write,
    Metrics,
}

/// What a request counts as.
pub fn asked_of(found: Option<&Route>, method: Method) -> Asked {
    match (found, method) {
        (Some(Route::Phone(_)), _) => Asked::HttpPhone,
        (Some(Route::Client(_)), Method::Put) => Asked::HttpPut,
        (Some(Route::Client(_)), Method::Delete) => Asked::HttpDelete,
        (Some(Route::Client(_)), Method::Get | Method::Head) => Asked::HttpGet,
        (Some(Route::Clients), _) => Asked::HttpList,
        (Some(Route::Places(_) | Route::PlacesNear), _) => Asked::HttpPlaces,
        (Some(Route::Events), _) => Asked::HttpEvents,
        _ => Asked::HttpOther,
    }
}

/// What a request is for.
pub fn route(head: &Head<'_>) -> Option<Route> {
    let is_report = match head.method {
        Method::Post => true,
        Method::Get => phones::is_report(head.query),
        _ => false,
    };
    // Of an app whose user wrote no path.
    if head.path == b"/" && is_report { Some(Route::Phone(App::OsmAnd)) } else { route_of(head.path) }
}

fn route_of(path: &[u8]) -> Option<Route> {
    // Never by a redirect, which iOS does not follow.
    let phone = match path.strip_suffix(b"/").unwrap_or(path) {
        b"/owntracks" | b"/pub" => Some(App::OwnTracks),
        b"/osmand" => Some(App::OsmAnd),
        b"/overland" => Some(App::Overland),
        b"/gpslogger" => Some(App::GpsLogger),
        b"/traccar" => Some(App::Traccar),
        // What Home Assistant's clients send there.
        webhook if webhook.starts_with(WEBHOOK) => Some(App::GpsLogger),
        _ => None,
    };
    if let Some(app) = phone {
        return Some(Route::Phone(app));
    }
    if let Some(file) = path.strip_prefix(b"/assets/") {
        return page::file_of(file).map(Route::Asset);
    }
    if let Some(name) = path.strip_prefix(b"/problems/") {
        return Kind::ALL.into_iter().find(|kind| kind.name().as_bytes() == name).map(Route::Problem);
    }
    Some(match path {
        b"/" | b"*" => Route::Index,
        b"/sign-in" => Route::SignIn,
        b"/healthz" => Route::Health,
        b"/readyz" => Route::Ready,
        b"/metrics" => Route::Metrics,
        b"/openapi.json" => Route::OpenApi,
        b"/v1/clients" => Route::Clients,
        b"/v1/herd" => Route::Herd,
        b"/v1/events" => Route::Events,
        b"/v1/labels" => Route::Labels,
        b"/v1/places" => Route::PlacesNear,
        _ => {
            let rest = path.strip_prefix(b"/v1/clients/")?;
            let (id, is_places) = match rest.strip_suffix(b"/places") {
                Some(id) => (id, true),
                None => (rest, false),
            };
            let id = name::decode(id).filter(|name| !name.is_empty() && !id.contains(&b'/'))?;
            if is_places { Route::Places(id) } else { Route::Client(id) }
        }
    })
}

/// What a caller needs for a method of a route; None where there is no such method.
pub fn need(route: &Route, method: Method) -> Option<Need> {
    match (route, method) {
        (_, Method::Options) => Some(Need::Nothing),
        (
            Route::Index
            | Route::Asset(_)
            | Route::Health
            | Route::Ready
            | Route::OpenApi
            | Route::Problem(_),
            Method::Get | Method::Head,
        ) => Some(Need::Nothing),
        (Route::Metrics, Method::Get | Method::Head) => Some(Need::Metrics),
        (Route::Phone(App::OwnTracks | App::Overland | App::Traccar), Method::Get) => None,
        (Route::Phone(_), Method::Get | Method::Post) => Some(Need::Write),
        (Route::Client(_), Method::Put | Method::Delete) => Some(Need::Write),
        (Route::Phone(_), _) => None,
        (_, Method::Get | Method::Head) => Some(Need::Read),
        _ => None,
    }
}

/// The methods of a route, as `Allow` lists them.
pub fn allowed(route: &Route) -> &'static str {
    match route {
        // A phone's, whose user wrote no path.
        Route::Index => "GET, HEAD, POST, OPTIONS",
        Route::Client(_) => "GET, HEAD, PUT, DELETE, OPTIONS",
        Route::Phone(App::OwnTracks | App::Overland | App::Traccar) => "POST, OPTIONS",
        Route::Phone(_) => "GET, POST, OPTIONS",
        _ => "GET, HEAD, OPTIONS",
    }
}

#[cfg(test)]
mod tests {
    use super::super::route::OPEN_API;
    use super::*;

    #[test]
    fn paths_lead_to_routes() {
        let client = |id: &str| Some(Route::Client(id.into()));
        assert_eq!(route_of(b"/v1/clients/kiwi"), client("kiwi"));
        assert_eq!(route_of(b"/v1/clients/a%2Fb%20c"), client("a/b c"));
        assert_eq!(route_of(b"/v1/clients/kiwi/places"), Some(Route::Places(b"kiwi".to_vec())));
        assert_eq!(route_of(b"/v1/clients/places"), client("places"));
        for path in [
            "/v1/clients/",
            "/v1/clients/a/b",
            "/v1/clients//places",
            "/v1/clients/%zz",
            "/V1/clients",
            "/v1",
            "/x",
        ] {
            assert_eq!(route_of(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn the_document_for_programs_has_every_route_with_its_methods_and_no_other() {
        // Without `_`, so that none is left out.
        let name_of = |route: &Route| match route {
            Route::Index => "index",
            Route::Asset(_) => "asset",
            Route::SignIn => "sign-in",
            Route::Labels => "labels",
            Route::PlacesNear => "near",
            Route::Health => "health",
            Route::Ready => "ready",
            Route::Metrics => "metrics",
            Route::OpenApi => "openapi",
            Route::Clients => "clients",
            Route::Client(_) => "client",
            Route::Places(_) => "places",
            Route::Herd => "herd",
            Route::Events => "events",
            Route::Problem(_) => "problem",
            Route::Phone(_) => "phone",
        };
        let mut named_routes = std::collections::BTreeSet::new();
        let document: serde_json::Value = serde_json::from_slice(OPEN_API).expect("JSON");
        for (path, item) in document["paths"].as_object().expect("paths") {
            let named =
                path.replace("{id}", "kiwi").replace("{token}", "0123456789abcdef").replace("{name}", "busy");
            let route = route_of(named.as_bytes()).expect(path);
            let methods = [
                ("get", Method::Get),
                ("put", Method::Put),
                ("post", Method::Post),
                ("delete", Method::Delete),
            ];
            named_routes.insert(name_of(&route));
            for (name, method) in methods {
                // What a phone sends to the root is a route of its own.
                let is_served = need(&route, method).is_some() || (path.as_str(), name) == ("/", "post");
                assert_eq!(item.get(name).is_some(), is_served, "{name} {path}");
                let security = item[name]["security"].as_array().cloned().unwrap_or_default();
                let is_open = security.is_empty() || security[0] == serde_json::json!({});
                let needs_nothing = need(&route, method) == Some(Need::Nothing);
                assert!(item.get(name).is_none() || is_open == needs_nothing, "{name} {path}");
                let is_allowed =
                    allowed(&route).split(", ").any(|allowed| allowed.eq_ignore_ascii_case(name));
                assert_eq!(is_allowed, is_served, "{name} {path}");
            }
        }
        assert_eq!(document["paths"].as_object().expect("paths").len(), 21);
        let all = [
            "clients", "client", "events", "health", "herd", "index", "labels", "metrics", "near", "openapi",
            "phone", "places", "problem", "ready", "sign-in",
        ];
        assert_eq!(named_routes, all.into());
    }
}
