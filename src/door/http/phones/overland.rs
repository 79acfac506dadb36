//! Overland for iOS: a batch of GeoJSON, and beside it where the phone is now, when the queue is long.

use serde_json::value::RawValue;

use super::fix::{Fix, Outcome, Reason, Request, time_of};
use super::json::{Json, Walk, text_of};

/// What a request says.
pub fn read(request: &Request<'_>) -> Vec<Outcome> {
    let unreadable = || vec![Err(Reason::Unreadable.into())];
    match request.json {
        Json::List(list) => list.iter().map(|one| read_one(&mut Walk::of(one))).collect(),
        Json::Object(object) => {
            let mut outcomes = Vec::new();
            let is_list = |list: &&RawValue| {
                outcomes.clear();
                Walk::of(list).elements(|walk| outcomes.push(read_one(walk)))
            };
            if object.get("locations").filter(is_list).is_none() {
                return unreadable();
            }
            let current = object.get("current").filter(|one| one.get() != "null");
            outcomes.extend(current.map(|one| read_one(&mut Walk::of(one))));
            outcomes
        }
        Json::Broken | Json::None => unreadable(),
    }
}

/// The members of a feature that count, as they are written.
#[derive(Default)]
struct Feature<'b> {
    has_geometry: bool,
    coordinates: Option<[Option<&'b str>; 2]>,
    device: Option<&'b str>,
    unique: Option<&'b str>,
    time: Option<&'b str>,
}

impl<'b> Feature<'b> {
    /// The next one; None if what comes next is none, and then nothing is taken.
    fn read(walk: &mut Walk<'b>) -> Option<Feature<'b>> {
        let mut feature = Feature::default();
        let is_object = walk.members(|name, walk| match name {
            "geometry" => {
                (feature.has_geometry, feature.coordinates) = (false, None);
                feature.has_geometry = walk.members(|name, walk| {
                    if name == "coordinates" {
                        feature.coordinates = two(walk);
                    }
                });
            }
            "properties" => {
                (feature.device, feature.unique, feature.time) = (None, None, None);
                walk.members(|name, walk| match name {
                    "device_id" => feature.device = Some(walk.value()),
                    "unique_id" => feature.unique = Some(walk.value()),
                    "timestamp" => feature.time = Some(walk.value()),
                    _ => {}
                });
            }
            _ => {}
        });
        is_object.then_some(feature)
    }
}

/// The first two elements of the list that comes next; None if there is none.
fn two<'b>(walk: &mut Walk<'b>) -> Option<[Option<&'b str>; 2]> {
    let (mut two, mut count) = ([None; 2], 0);
    let is_list = walk.elements(|walk| {
        if let Some(place) = two.get_mut(count) {
            *place = Some(walk.value());
        }
        count += 1;
    });
    is_list.then_some(two)
}

fn read_one(walk: &mut Walk<'_>) -> Outcome {
    let feature = Feature::read(walk).ok_or(Reason::Unreadable)?;
    let name = feature.device.and_then(text_of).or_else(|| feature.unique.and_then(text_of));
    let name = name.map(|name| name.into_owned().into_bytes());
    if !feature.has_geometry {
        // Visits, and that the app was ended, have none.
        return Err(Reason::NoLocation.of(name));
    }
    let [lon, lat] = feature.coordinates.ok_or(Reason::BadLocation)?.map(|text| text.and_then(text_of));
    let (lat, lon) = lat.zip(lon).ok_or(Reason::BadLocation)?;
    let time = time_of(feature.time.and_then(text_of).as_deref());
    Fix::of(name, Some(&lat), Some(&lon), time)
}

#[cfg(test)]
mod tests {
    use super::super::fix;
    use super::*;

    fn shown(body: &str) -> Vec<String> {
        read(&Request::of(body, &Json::parse(body))).into_iter().map(fix::shown).collect()
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
        assert_eq!(shown(r#"{"locations":[],"current":null}"#), [""; 0]);
        assert_eq!(shown(r#"{"locations":7}"#), ["unreadable"]);
    }
}
