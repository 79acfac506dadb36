//! GPSLogger for Android: a query or a form of the user's own making, with the names of its documentation, or of Home
//! Assistant's integration.

use super::fix::{Outcome, Request};
use super::osmand::{Names, read_by};

/// With %ALL there are three times, of which the first one is in seconds.
const NAMES: Names = Names {
    id: &["device", "id", "deviceid", "device_id", "aid", "ser"],
    time: &["timestamp", "timeoffset", "time", "tst"],
};

/// What a request says.
pub fn read(request: &Request<'_>) -> Vec<Outcome> {
    read_by(request, &NAMES)
}

#[cfg(test)]
mod tests {
    use super::super::fix::Fix;
    use super::super::json::Json;
    use super::*;

    fn one(query: &str, body: &str) -> Outcome {
        read(&Request { query: query.as_bytes(), ..Request::of(body, &Json::parse(body)) }).remove(0)
    }

    fn fix(name: &str, time: &str) -> Outcome {
        let (latitude, longitude) = (b"34.5".to_vec(), b"-118.25".to_vec());
        Ok(Fix { name: Some(name.into()), latitude, longitude, time: Some(time.into()) })
    }

    #[test]
    fn what_its_placeholders_make_is_read() {
        let all = "lat=34.5&lon=-118.25&sat=7&desc=&alt=12.0&acc=5.0&dir=0.0&prov=gps&spd_kph=0&spd=0.0\
                   &timestamp=1786433532&timeoffset=2026-08-11T07%3A32%3A12.000%2B02%3A00&time=2026-08-11T05:32:12.000Z\
                   &starttimestamp=1786433000&date=2026-08-11&batt=87.0&ischarging=false&aid=f00&ser=9&act=&filename=x";
        assert_eq!(one(all, ""), fix("f00", "1786433532"));
        assert_eq!(one("", all), fix("f00", "1786433532"));
        assert_eq!(one(&all.replace("timestamp=1786433532", "timestamp="), ""), fix("f00", "1786426332"));
        let home_assistant =
            "latitude=34.5&longitude=-118.25&device=phone&accuracy=5&battery=87&speed=0&timestamp=1786433532";
        assert_eq!(one("", home_assistant), fix("phone", "1786433532"));
    }
}
