//! OwnTracks, on Android and iOS, and whatever speaks as it does: GPSLogger by a template, Overland in a mode of its own,
//! Home Assistant's clients. One object of JSON a request; a list of them is read, too.

use super::fix::{Fix, Outcome, Reason, Request, pairs};
use super::json::{Json, Object};
use super::time;

/// What a request says.
pub fn read(request: &Request<'_>) -> Vec<Outcome> {
    let one = |text: &str| read_one(&Object::parse(text).ok_or(Reason::Unreadable)?, request);
    match request.json {
        Json::List(list) => list.iter().map(|element| one(element.get())).collect(),
        Json::Object(object) => vec![read_one(object, request)],
        Json::Broken | Json::None => vec![Err(Reason::Unreadable.into())],
    }
}

fn read_one(object: &Object<'_>, request: &Request<'_>) -> Outcome {
    match object.text("_type").as_deref() {
        // A template that leaves the type out means this one.
        Some("location") | None => {}
        Some("encrypted") => return Err(Reason::Encrypted.of(name(object, request))),
        Some(_) => return Err(Reason::OtherMessage.of(name(object, request))),
    }
    let (lat, lon) = (coordinate(object, "lat"), coordinate(object, "lon"));
    if lat == Some("null") || lon == Some("null") {
        return Err(Reason::NoLocation.of(name(object, request)));
    }
    let time = match object.text("tst") {
        Some(text) if request.is_overland && time::is_before_2001(&text) => time::read_apple(&text),
        Some(text) => time::read(&text),
        // Something that is neither a number nor a text.
        None if object.get("tst").is_some_and(|value| !is_empty(value.get())) => None,
        None => return Fix::of(name(object, request), lat, lon, Ok(None)),
    };
    Fix::of(name(object, request), lat, lon, time.map(Some).ok_or(Reason::BadTime))
}

/// Whether a value says as little as one that was left out.
fn is_empty(value: &str) -> bool {
    value == "null" || value.trim_matches('"').trim().is_empty()
}

/// What stands for degrees; of what is no text and no number, all of it, so that it is told from what was left out.
fn coordinate<'o>(object: &'o Object<'_>, name: &str) -> Option<&'o str> {
    let text = object.get(name)?.get();
    Some(text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text))
}

/// What the topics of messages that are no locations end in.
const SUFFIXES: [&str; 10] =
    ["event", "waypoint", "waypoints", "status", "cmd", "step", "steps", "dump", "info", "request"];

/// `user-device`, as OwnTracks' own recorder has it: of the topic, of the fields, or of the query. Never of `tid`, which
/// many phones share.
fn name(object: &Object<'_>, request: &Request<'_>) -> Option<Vec<u8>> {
    if let Some(topic) = object.text("topic") {
        let mut levels: Vec<_> = topic.split('/').filter(|level| !level.is_empty()).collect();
        if levels.first() == Some(&"owntracks") {
            levels.remove(0);
        }
        // What a message is about stands behind the device.
        if levels.len() > 2 && levels.last().is_some_and(|last| SUFFIXES.contains(last)) {
            levels.pop();
        }
        if !levels.is_empty() {
            return Some(levels.join("-").into_bytes());
        }
    }
    let queried = pairs(request.query);
    let queried = |name: &str| {
        let found = queried.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let own = |field: Option<&[u8]>| field.filter(|text| !text.is_empty()).map(<[u8]>::to_vec);
    let parts = [own(request.user).or_else(|| queried("u")), own(request.device).or_else(|| queried("d"))];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(&b'-'))
}

#[cfg(test)]
mod tests {
    use super::super::fix::shown;
    use super::*;

    fn one(body: &str, request: Request<'_>) -> Outcome {
        let mut read = read(&Request { json: &Json::parse(body), ..request });
        assert_eq!(read.len(), 1);
        read.remove(0)
    }

    #[test]
    fn a_location_is_read_with_its_digits_and_its_name() {
        let check = |body: &str, request: Request<'_>, expected: &str| {
            assert_eq!(shown(one(body, request)), expected, "{body}");
        };
        let plain = Request::of("", &Json::None);
        check(
            r#"{"_type":"location","topic":"owntracks/user/999","lat":45.1,"lon":11.785834000000001,"tst":1786433532,"tid":"na"}"#,
            plain,
            "user-999 45.1 11.785834000000001 1786433532",
        );
        check(
            r#"{"_type":"location","lat":"45.1","lon":"5.0E-4","tst":"1786433532"}"#,
            plain,
            "? 45.1 0.00050 1786433532",
        );
        check(r#"{"_type":"location","lon":1.5,"tst":1786433532}"#, plain, "? 0 1.5 1786433532");
        check(r#"{"_type":"location","lat":-0.0,"lon":1,"tst":1786433532}"#, plain, "? -0.0 1 1786433532");
        check(r#"{"_type":"location","lat":1,"lon":1}"#, plain, "? 1 1 now");
        check(r#"{"_type":"location","topic":"a/b c/d","lat":1,"lon":1}"#, plain, "a-b c-d 1 1 now");
        check(r#"{"topic":"owntracks/anna/phone/event","lat":1,"lon":1}"#, plain, "anna-phone 1 1 now");
        check(r#"{"topic":"owntracks/anna/event","lat":1,"lon":1}"#, plain, "anna-event 1 1 now");
        // An empty device: all phones of that kind would be one client.
        check(r#"{"topic":"owntracks/","lat":1,"lon":1}"#, plain, "? 1 1 now");
        let named = Request { user: Some(b"anna"), device: Some(b"phone"), query: b"u=x&d=y", ..plain };
        check(r#"{"lat":1,"lon":1}"#, named, "anna-phone 1 1 now");
        check(r#"{"lat":1,"lon":1}"#, Request { user: None, ..named }, "x-phone 1 1 now");
        check(r#"{"lat":1,"lon":1,"tid":"an"}"#, plain, "? 1 1 now");
        let overland = Request { is_overland: true, ..plain };
        check(r#"{"_type":"location","lat":1,"lon":1,"tst":742067199}"#, overland, "? 1 1 1720374399");
    }

    #[test]
    fn what_is_no_location_is_said_to_be_what_it_is() {
        let check = |body: &str, expected: &str| {
            assert_eq!(shown(one(body, Request::of("", &Json::None))), expected, "{body}")
        };
        check(r#"{"_type":"transition","lat":1,"lon":1,"tst":1786433532}"#, "other-message");
        check(r#"{"_type":"encrypted","data":"x"}"#, "encrypted");
        check(r#"{"_type":"location","tst":1786433532}"#, "no-location");
        check(r#"{"_type":"location","lat":null,"lon":1.5,"tst":1786433532}"#, "no-location");
        check(r#"{"_type":"location","lat":0,"lon":0.0,"tst":1786433532}"#, "null-island");
        check(r#"{"_type":"location","lat":91,"lon":0,"tst":1786433532}"#, "bad-location");
        check(r#"{"_type":"location","lat":"NaN","lon":0,"tst":1786433532}"#, "bad-location");
        check(r#"{"_type":"location","lat":[1],"lon":1,"tst":1786433532}"#, "bad-location");
        check(r#"{"_type":"location","lat":1,"lon":1,"tst":0}"#, "bad-time");
        check(r#"{"_type":"location","lat":1,"lon":1,"tst":[]}"#, "bad-time");
        for empty in ["null", r#""""#, r#"" ""#] {
            check(&format!(r#"{{"_type":"location","lat":1,"lon":1,"tst":{empty}}}"#), "? 1 1 now");
        }
        check(r#"{"_type":"location","lat":1,"lon":1,"tst":742067199}"#, "bad-time");
        check("", "unreadable");
        check("{", "unreadable");
        check("7", "unreadable");
    }

    #[test]
    fn a_list_is_read_one_by_one() {
        let body = r#"[{"lat":1,"lon":1},{"lat":2},7]"#;
        let read: Vec<_> = read(&Request::of(body, &Json::parse(body))).into_iter().map(shown).collect();
        assert_eq!(read, ["? 1 1 now", "? 2 0 now", "unreadable"]);
    }
}
