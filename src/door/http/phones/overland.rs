//! Overland for iOS: a batch of GeoJSON, and beside it where the phone is now, when the queue is long.

use super::fix::{Fix, Object, Outcome, Reason, Request, elements, text_of, time_of};

/// What a request says.
pub fn read(request: &Request<'_>) -> Vec<Outcome> {
    let text = String::from_utf8_lossy(request.body);
    let text = text.trim_start_matches('\u{feff}');
    if let Some(list) = elements(text) {
        return list.into_iter().map(|one| read_one(one.get())).collect();
    }
    let Some(object) = Object::parse(text) else { return vec![Err(Reason::Unreadable.into())] };
    let Some(list) = object.get("locations").and_then(|list| elements(list.get())) else {
        return vec![Err(Reason::Unreadable.into())];
    };
    list.into_iter().chain(object.get("current")).map(|one| read_one(one.get())).collect()
}

fn read_one(text: &str) -> Outcome {
    let feature = Object::parse(text).ok_or(Reason::Unreadable)?;
    let properties = feature.object("properties");
    let text = |names: &[&str]| properties.as_ref().and_then(|properties| properties.first(names));
    let name = text(&["device_id", "unique_id"]).map(|name| name.into_owned().into_bytes());
    // Visits, and that the app was ended, have none.
    let geometry = feature.object("geometry").ok_or_else(|| Reason::NoLocation.of(name.clone()))?;
    let list =
        geometry.get("coordinates").and_then(|list| elements(list.get())).ok_or(Reason::BadLocation)?;
    let [lon, lat, ..] = list[..] else { return Err(Reason::BadLocation.into()) };
    let (lat, lon) = text_of(lat).zip(text_of(lon)).ok_or(Reason::BadLocation)?;
    let time = time_of(text(&["timestamp"]).as_deref());
    Fix::of(name, Some(&lat), Some(&lon), time)
}

#[cfg(test)]
mod tests {
    use super::super::fix;
    use super::*;

    fn shown(body: &str) -> Vec<String> {
        read(&Request { body: body.as_bytes(), ..Request::default() }).into_iter().map(fix::shown).collect()
    }

    #[test]
    fn a_batch_is_read_whole_and_what_is_now_with_it() {
        let feature = |lon: &str, lat: &str, rest: &str| {
            format!(
                r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[{lon},{lat}]}},"properties":{{{rest}}}}}"#
            )
        };
        let first = feature(
            "-122.030581",
            "37.331800",
            r#""timestamp":"2015-10-01T08:00:00-0700","device_id":"van","speed":-1"#,
        );
        let second =
            feature("1", "2", r#""timestamp":"2024-07-07T17:46:39Z","device_id":"","unique_id":"u""#);
        let ended = r#"{"type":"Feature","properties":{"timestamp":"2024-07-07T17:46:39Z","action":"will_terminate"}}"#;
        let bad = feature("200", "2", r#""timestamp":"2024-07-07T17:46:39Z""#);
        let now = feature("3", "4", "");
        let body = format!(
            r#"{{"locations":[{first},{second},{ended},{bad},7],"current":{now},"trip":{{"mode":"walk"}}}}"#
        );
        let expected = [
            "van 37.331800 -122.030581 1443711600",
            "u 2 1 1720374399",
            "no-location",
            "bad-location",
            "unreadable",
            "? 4 3 now",
        ];
        assert_eq!(shown(&body), expected);
        assert_eq!(shown(&format!("[{first}]")), expected[..1]);
        assert_eq!(shown(r#"{"locations":[]}"#), [""; 0]);
        assert_eq!(shown(r#"{"locations":7}"#), ["unreadable"]);
    }
}
