//! Traccar as a gateway for what it understands: each position as JSON, beside the device that it is of
//! (`forward.type` and `event.forward.type` are `json`).

use super::fix::{Fix, Outcome, Reason, Request, time_of};
use super::json::{Json, Object};

/// What a request says.
pub fn read(request: &Request<'_>) -> Vec<Outcome> {
    let one = |text: &str| read_one(&Object::parse(text).ok_or(Reason::Unreadable)?);
    match request.json {
        Json::List(list) => list.iter().map(|element| one(element.get())).collect(),
        Json::Object(object) => vec![read_one(object)],
        Json::Broken | Json::None => vec![Err(Reason::Unreadable.into())],
    }
}

fn read_one(object: &Object<'_>) -> Outcome {
    // An event without one, as that a device is offline.
    let device = object.object("device");
    let name = device.and_then(|device| device.first(&["uniqueId", "name"]).map(|name| name.into_owned()));
    let name = name.map(String::into_bytes);
    let position = object.object("position").ok_or_else(|| Reason::NoLocation.of(name.clone()))?;
    let (lat, lon) = (position.text("latitude"), position.text("longitude"));
    let time = position.first(&["fixTime", "deviceTime"]);
    Fix::of(name, lat.as_deref(), lon.as_deref(), time_of(time.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_of_the_device_beside_it() {
        let body = r#"{"position":{"id":0,"attributes":{"batteryLevel":87},"deviceId":3,"protocol":"gt06","serverTime":"2026-08-11T05:32:14.000+00:00","deviceTime":"2026-08-11T05:32:12.000+00:00","fixTime":"2026-08-11T05:32:12.000+00:00","valid":true,"latitude":34.5,"longitude":-118.25,"altitude":12.0,"speed":0.0},"device":{"id":3,"name":"Van","uniqueId":"123456789012345"}}"#;
        let expected = Fix {
            name: Some(b"123456789012345".to_vec()),
            latitude: b"34.5".to_vec(),
            longitude: b"-118.25".to_vec(),
            time: Some(b"1786426332".to_vec()),
        };
        assert_eq!(read(&Request::of(body, &Json::parse(body))), [Ok(expected)]);
        let body = r#"{"event":{"type":"deviceOffline"},"device":{"uniqueId":"1"}}"#;
        assert_eq!(
            read(&Request::of(body, &Json::parse(body))),
            [Err(Reason::NoLocation.of(Some(b"1".to_vec())))]
        );
        assert_eq!(read(&Request::of("x", &Json::parse("x"))), [Err(Reason::Unreadable.into())]);
    }
}
