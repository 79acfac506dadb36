//! The protocol that OsmAnd's online tracking and Traccar Client speak: a query, a form, or JSON. Users write the query
//! themselves, so that any name of a parameter may be in it.

use super::fix::{Fix, Outcome, Reason, Request, pairs, time_of};
use super::json::{Json, Object, elements};

/// The names that parameters have; of several that are there the first one here counts.
pub struct Names {
    pub id: &'static [&'static str],
    pub time: &'static [&'static str],
}

const NAMES: Names = Names { id: &["id", "deviceid", "device_id"], time: &["timestamp", "time", "tst"] };

const LATITUDE: &[&str] = &["lat", "latitude"];
const LONGITUDE: &[&str] = &["lon", "lng", "longitude"];

/// What a request says.
pub fn read(request: &Request<'_>) -> Vec<Outcome> {
    read_by(request, &NAMES)
}

/// Whether a query is of a phone: GET / is of a browser otherwise.
pub fn is_report(query: &[u8]) -> bool {
    let pairs = pairs(query);
    let has = |names: &[&str]| pairs.iter().any(|(name, _)| names.contains(&&**name));
    has(NAMES.id) && (has(LATITUDE) || has(&["location"]))
}

pub(super) fn read_by(request: &Request<'_>, names: &Names) -> Vec<Outcome> {
    let query = pairs(request.query);
    let unreadable = || vec![Err(Reason::Unreadable.into())];
    match request.json {
        Json::List(list) => {
            let one = |text: &str| match Object::parse(text) {
                Some(object) => read_json(&object, &query, names),
                None => unreadable(),
            };
            return list.iter().flat_map(|element| one(element.get())).collect();
        }
        Json::Object(object) => return read_json(object, &query, names),
        Json::Broken => return unreadable(),
        Json::None => {}
    }
    // A token may be the only thing in the query.
    let all: Vec<_> = query.into_iter().chain(pairs(request.body)).collect();
    vec![read_pairs(&all, names)]
}

fn text_of(pairs: &[(String, Vec<u8>)], names: &[&str]) -> Option<String> {
    let of = |name: &&str| {
        let found = pairs.iter().rev().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    names.iter().find_map(of)
}

fn id_of(pairs: &[(String, Vec<u8>)], names: &Names) -> Option<Vec<u8>> {
    // As it is, as it need not be text.
    let of = |name: &&str| pairs.iter().rev().find(|(known, value)| known == name && !value.is_empty());
    names.id.iter().find_map(of).map(|(_, value)| value.clone())
}

fn read_pairs(pairs: &[(String, Vec<u8>)], names: &Names) -> Outcome {
    let (mut lat, mut lon) = (text_of(pairs, LATITUDE), text_of(pairs, LONGITUDE));
    if let Some(both) = text_of(pairs, &["location"]).filter(|_| lat.is_none() && lon.is_none()) {
        let (north, east) = both.split_once(',').ok_or(Reason::BadLocation)?;
        (lat, lon) = (Some(north.to_owned()), Some(east.to_owned()));
    }
    // Whoever sets one of them in a template sets both: nothing was left out as it is 0.
    if lat.is_none() || lon.is_none() {
        return Err(Reason::NoLocation.of(id_of(pairs, names)));
    }
    Fix::of(id_of(pairs, names), lat.as_deref(), lon.as_deref(), time_of_any(pairs, names))
}

/// The first of the times that is one; that none is one is told.
fn time_of_any(pairs: &[(String, Vec<u8>)], names: &Names) -> Result<Option<Vec<u8>>, Reason> {
    let found = names.time.iter().filter_map(|name| text_of(pairs, &[name]));
    let read: Vec<_> = found.map(|text| time_of(Some(&text))).collect();
    read.iter().find(|time| time.is_ok()).or(read.first()).cloned().unwrap_or(Ok(None))
}

/// `{"device_id": "...", "location": {"timestamp": "...", "coords": {"latitude": 1, "longitude": 2}}}`, of which
/// `location` may be a list, or the parameters of a query as members.
fn read_json(object: &Object<'_>, query: &[(String, Vec<u8>)], names: &Names) -> Vec<Outcome> {
    let id = object.first(names.id).map(|id| id.into_owned().into_bytes()).or_else(|| id_of(query, names));
    let Some(location) = object.get("location") else {
        return vec![read_members(object, object, id, names)];
    };
    let of = |text: &str| {
        let location = Object::parse(text).ok_or(Reason::Unreadable)?;
        match location.object("coords") {
            Some(coords) => read_members(&coords, &location, id.clone(), names),
            None => read_members(&location, &location, id.clone(), names),
        }
    };
    match elements(location.get()) {
        Some(list) => list.into_iter().map(|one| of(one.get())).collect(),
        None => vec![of(location.get())],
    }
}

fn read_members(coords: &Object<'_>, timed: &Object<'_>, id: Option<Vec<u8>>, names: &Names) -> Outcome {
    let (lat, lon) = (coords.first(LATITUDE), coords.first(LONGITUDE));
    if lat.is_none() || lon.is_none() {
        let is_there =
            |names: &[&str]| names.iter().any(|name| coords.get(name).is_some_and(|it| it.get() != "null"));
        let is_bad = is_there(LATITUDE) && is_there(LONGITUDE);
        return Err(if is_bad { Reason::BadLocation } else { Reason::NoLocation }.of(id));
    }
    let time = names.time.iter().find_map(|name| timed.text(name));
    Fix::of(id, lat.as_deref(), lon.as_deref(), time_of(time.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::super::fix;
    use super::*;

    fn shown(query: &str, body: &str) -> Vec<String> {
        let json = Json::parse(body);
        let request = Request { query: query.as_bytes(), ..Request::of(body, &json) };
        read(&request).into_iter().map(fix::shown).collect()
    }

    #[test]
    fn a_query_a_form_and_json_say_the_same() {
        let check = |query: &str, body: &str, expected: &str| {
            assert_eq!(shown(query, body), [expected], "{query} {body}")
        };
        let said = "7 34.068930 -118.445127 1786433532";
        check("id=7&lat=34.068930&lon=-118.445127&timestamp=1786433532&speed=0&batt=87.0", "", said);
        check("token=x", "id=7&lat=34.068930&lon=-118.445127&timestamp=1786433532&charge=true", said);
        check("deviceid=7&location=34.068930,-118.445127&timestamp=1786433532000", "", said);
        check(
            "",
            r#"{"device_id":"7","location":{"timestamp":"2026-08-11T05:32:12Z","coords":{"latitude":34.068930,"longitude":-118.445127,"speed":-1}}}"#,
            "7 34.068930 -118.445127 1786426332",
        );
        check("", r#"{"id":7,"lat":34.068930,"lon":"-118.445127","timestamp":1786433532}"#, said);
        check("id=7", r#"{"lat":34.068930,"lon":-118.445127,"tst":1786433532}"#, said);
        check("lat=34.068930?lon=-118.445127?id=7?timestamp=1786433532", "", said);
        check("ID=7&LAT=34.068930&longitude=-118.445127&timestamp=1786433532", "", said);
        check("id=a%20b%2Fc&lat=5.0E-4&lon=1", "", "a b/c 0.00050 1 now");
        check("id=7&lat=1&lat=2&lon=3", "", "7 2 3 now");
        check("id=%zz&lat=1&lon=2", "", "%zz 1 2 now");
        check("id=7&lat=1&lon=2&timestamp=2016-01-15%2021:41:18.000", "", "7 1 2 1452894078");
        check("id=7&lat=1&lon=2&timestamp=2014-06-04+09%3A10%3A11", "", "7 1 2 1401873011");
        check("id=7&lat=1&lon=2&timestamp=2024-07-07T19:46:39+02:00", "", "7 1 2 1720374399");
    }

    #[test]
    fn what_is_no_fix_is_told() {
        let check = |query: &str, body: &str, expected: &str| {
            assert_eq!(shown(query, body), [expected], "{query} {body}")
        };
        check("", "", "no-location");
        check("id=7&timestamp=1786433532", "", "no-location");
        check("id=7&lat=&lon=", "", "no-location");
        check("id=7&lat=1", "", "no-location");
        check("id=7&lat=NaN&lon=1", "", "bad-location");
        check("id=7&lat=1&lon=181", "", "bad-location");
        check("id=7&location=1", "", "bad-location");
        check("id=7&lat=0.0&lon=-0.0", "", "null-island");
        check("id=7&lat=1&lon=1&timestamp=soon", "", "bad-time");
        check("id=7&lat=1&lon=1&timestamp=0", "", "bad-time");
        check("", "{", "unreadable");
        check("", r#"{"device_id":"7","location":{"timestamp":"2026-08-11T05:32:12Z"}}"#, "no-location");
        check(
            "",
            r#"{"device_id":"7","location":{"coords":{"latitude":true,"longitude":1}}}"#,
            "bad-location",
        );
    }

    #[test]
    fn a_batch_is_read_whole() {
        let body = r#"{"device_id":"7","location":[{"coords":{"latitude":1,"longitude":2}},{"coords":{"latitude":3,"longitude":4}}]}"#;
        assert_eq!(shown("", body), ["7 1 2 now", "7 3 4 now"]);
        assert_eq!(shown("id=7", r#"[{"lat":1,"lon":2},{"lat":3,"lon":4}]"#), ["7 1 2 now", "7 3 4 now"]);
    }

    #[test]
    fn a_browser_that_asks_for_the_page_is_no_phone() {
        assert!(is_report(b"id=7&lat=1&lon=2") && is_report(b"id=7&location=1,2"));
        assert!(!is_report(b"") && !is_report(b"token=x") && !is_report(b"id=7"));
    }
}
