//! Phones: the apps that people have, each read in the way it speaks and answered in the way it needs. A file an app:
//! bytes in, fixes or reasons out, without a socket or a clock. `report` learns what they say; `friends` is what
//! OwnTracks shows of the others.
//! What no retry and no user can cure is answered as if it counted, and said in `X-Herd-Ignored`: an app keeps what is
//! refused at the head of its queue, and sends nothing else until it is taken.

mod fix;
mod friends;
mod gpslogger;
mod json;
mod message;
mod osmand;
mod overland;
mod owntracks;
mod report;
mod time;
mod traccar;

pub use fix::{Outcome, Request};
pub use friends::Friends;
pub use message::Message;
pub use osmand::is_report;
pub use report::{is_overland, learn, report};

use crate::tally::App;
use json::{Json, Object};

/// What an app says.
pub fn read(app: App, request: &Request<'_>) -> Vec<Outcome> {
    match app {
        App::OwnTracks => owntracks::read(request),
        App::OsmAnd => osmand::read(request),
        App::Overland => overland::read(request),
        App::GpsLogger => gpslogger::read(request),
        App::Traccar => traccar::read(request),
    }
}

/// Which app speaks so. Users give an app whatever URL they have.
pub fn app_of(json: &Json<'_>, otherwise: App) -> App {
    let first;
    let object = match json {
        Json::Object(object) => object,
        // All of a list are one app's.
        Json::List(list) => {
            first = list.first().and_then(|first| Object::parse(first.get()));
            let Some(first) = &first else { return otherwise };
            first
        }
        Json::Broken | Json::None => return otherwise,
    };
    if object.has("_type") {
        App::OwnTracks
    } else if object.has("locations") || object.has("geometry") && object.has("properties") {
        App::Overland
    } else if object.has("position") && object.has("device") {
        App::Traccar
    } else {
        otherwise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_known_by_what_it_says() {
        let app = |body: &str| app_of(&Json::parse(body), App::OsmAnd);
        assert_eq!(app(r#"{"_type":"location"}"#), App::OwnTracks);
        assert_eq!(app(r#" {"locations":[]}"#), App::Overland);
        assert_eq!(app(r#"{"position":{},"device":{}}"#), App::Traccar);
        assert_eq!(app(r#"[{"type":"Feature","geometry":null,"properties":{}},7]"#), App::Overland);
        assert_eq!(app(r#"[{"_type":"location"}]"#), App::OwnTracks);
        for other in ["", "id=1&lat=2&lon=3", "{", "[]", r#"{"device_id":"1","location":{}}"#] {
            assert_eq!(app(other), App::OsmAnd, "{other}");
        }
    }
}
