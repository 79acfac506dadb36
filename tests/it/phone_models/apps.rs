//! The apps, as far as a server can tell: what each sends, which answers it takes, and what it does with the others.
//! Read in their sources; nothing here has a socket or a clock.

use crate::http::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// OwnTracks 2.6 for Android: head of line, on disk.
    Android,
    /// 2.5.7 to 2.5.10, which read the answer before they let go of what they sent.
    OldAndroid,
    /// OwnTracks for iOS.
    Ios,
    /// Traccar Client from version 10 on.
    Traccar,
    /// Traccar Client up to version 8.
    OldTraccar,
    OsmAnd,
    Overland,
    GpsLogger,
}

/// What an app does with what it has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was taken.
    Done,
    /// It is sent again.
    Again,
    /// The app gives it up.
    GivenUp,
}

/// One thing that a phone has to tell.
#[derive(Clone, Debug)]
pub struct Item {
    pub text: String,
    /// When the phone took it, in seconds of the model.
    pub taken_s: u64,
    /// The time that it tells.
    pub time: u64,
    /// Why it does not count, if it does not.
    pub reason: Option<&'static str>,
}

/// How long OsmAnd keeps what it could not send.
const OSMAND_BUFFER_S: u64 = 900;
/// GPSLogger has its requests made again so often.
const GPSLOGGER_RETRIES: u32 = 3;
const OVERLAND_BATCH: usize = 50;

impl App {
    pub const ALL: [App; 8] = [
        App::Android,
        App::OldAndroid,
        App::Ios,
        App::Traccar,
        App::OldTraccar,
        App::OsmAnd,
        App::Overland,
        App::GpsLogger,
    ];

    /// The first part of its phone's ID.
    pub fn user(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn id(self) -> String {
        format!("{}-phone", self.user())
    }

    pub fn secret(self) -> String {
        format!("secret-of-{}-0123456789", self.user())
    }

    /// How many of its items go into a request.
    pub fn batch(self) -> usize {
        if self == App::Overland { OVERLAND_BATCH } else { 1 }
    }

    /// What becomes of what was sent and answered so, after so many failures of it before.
    pub fn fate(self, reply: Option<&Reply>, failures: u32, age_s: u64) -> Fate {
        let is_2xx = reply.is_some_and(|reply| (200..300).contains(&reply.status));
        let is_taken = match self {
            App::Android | App::Ios | App::Traccar | App::OsmAnd | App::GpsLogger => is_2xx,
            App::OldAndroid => is_2xx && reply.is_some_and(|reply| are_messages(&reply.body)),
            App::OldTraccar => reply.is_some_and(|reply| reply.status < 400),
            App::Overland => is_2xx && reply.is_some_and(is_ok),
        };
        let gives_up = match self {
            App::Ios => reply.is_some_and(|reply| (400..500).contains(&reply.status)),
            App::OsmAnd => age_s > OSMAND_BUFFER_S,
            App::GpsLogger => failures >= GPSLOGGER_RETRIES,
            App::Android | App::OldAndroid | App::Traccar | App::OldTraccar | App::Overland => false,
        };
        match (is_taken, gives_up) {
            (true, _) => Fate::Done,
            (false, true) => Fate::GivenUp,
            (false, false) => Fate::Again,
        }
    }

    /// Seconds before it tries again, after so many failures in a row.
    pub fn pause_s(self, failures: u32) -> u64 {
        let doubling = |first: u64, most: u64| (first << failures.saturating_sub(1).min(16)).min(most);
        match self {
            App::Android | App::OldAndroid => doubling(1, 120),
            App::Ios => doubling(1, 64),
            App::Traccar => doubling(5, 300),
            App::OldTraccar | App::Overland => 30,
            // None: a second is what a request over a bad line takes.
            App::OsmAnd => 1,
            App::GpsLogger => doubling(30, 18_000),
        }
    }

    /// A request with these items.
    pub fn request(self, items: &[&Item]) -> Vec<u8> {
        let secret = self.secret();
        let text = items.iter().map(|item| &*item.text).collect::<Vec<_>>().join(",");
        let basic = base64_of(&format!("{}:{secret}", self.user()));
        let limits = format!("X-Limit-U: {}\r\nX-Limit-D: phone\r\n", self.user());
        let form = "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n";
        let (line, fields, body) = match self {
            App::Android | App::OldAndroid => (
                "POST /owntracks".into(),
                format!(
                    "User-Agent: Owntracks-Android/gms/420509001\r\nAuthorization: Basic {basic}\r\n{limits}\
                     Content-Type: application/json; charset=utf-8\r\nConnection: Keep-Alive\r\n"
                ),
                text,
            ),
            App::Ios => (
                "POST /pub".into(),
                format!("Authorization: Basic {basic}\r\n{limits}Content-Type: application/json\r\n"),
                text,
            ),
            App::Traccar => (
                format!("POST /?token={secret}"),
                format!("User-Agent: ktor-client\r\nAccept: */*\r\n{form}"),
                text,
            ),
            // Its body is empty. What has no query of its own can only be said in a body.
            App::OldTraccar => (format!("POST /?token={secret}&{text}"), form.into(), String::new()),
            App::OsmAnd => (format!("GET /osmand?token={secret}&{text}"), String::new(), String::new()),
            App::Overland => (
                "POST /overland".into(),
                format!("Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n"),
                format!("{{\"locations\":[{text}]}}"),
            ),
            App::GpsLogger => {
                ("POST /gpslogger".into(), format!("Authorization: Basic {basic}\r\n{form}"), text)
            }
        };
        let length = body.len();
        format!("{line} HTTP/1.1\r\nHost: herd.example\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
            .into()
    }

    /// Where it was at a time.
    pub fn fix(self, time: u64) -> String {
        let (lat, lon) = place(time);
        let id = self.id();
        match self {
            App::Android | App::OldAndroid | App::Ios => {
                let topic = format!("owntracks/{}/phone", self.user());
                format!(
                    r#"{{"_type":"location","topic":"{topic}","lat":{lat},"lon":{lon},"tst":{time},"tid":"na","acc":13}}"#
                )
            }
            App::Traccar | App::OldTraccar | App::OsmAnd | App::GpsLogger => {
                format!("id={id}&lat={lat}&lon={lon}&timestamp={time}&speed=0&batt=87.0")
            }
            App::Overland => feature(&id, &format!("[{lon},{lat}]"), &time.to_string()),
        }
    }

    /// What of an app does not count, each with the reason.
    pub fn rubbish(self, time: u64) -> Vec<(String, &'static str)> {
        let id = self.id();
        match self {
            App::Android | App::OldAndroid | App::Ios => owntracks_rubbish(&self.user(), time),
            App::Overland => {
                let (place, now) = ("[1.5,2.5]", time.to_string());
                vec![
                    (
                        format!(
                            r#"{{"type":"Feature","properties":{{"device_id":"{id}","action":"visit"}}}}"#
                        ),
                        "no-location",
                    ),
                    (feature(&id, "[200,1]", &now), "bad-location"),
                    (feature(&id, "[0,0]", &now), "null-island"),
                    (feature(&id, place, "soon"), "bad-time"),
                    (feature(&id, place, "4102444800"), "time-ahead"),
                    (feature("somebody", place, &now), "not-allowed"),
                    (feature(&format!("{id}{}", "x".repeat(5_000)), place, &now), "too-long"),
                    ("7".into(), "unreadable"),
                ]
            }
            App::Traccar | App::OldTraccar | App::OsmAnd | App::GpsLogger => {
                let mut all = vec![
                    (format!("id={id}&timestamp={time}&batt=80"), "no-location"),
                    (format!("id={id}&lat=NaN&lon=1&timestamp={time}"), "bad-location"),
                    (format!("id={id}&lat=0.0&lon=0.0&timestamp={time}"), "null-island"),
                    (format!("id={id}&lat=1.5&lon=2.5&timestamp=soon"), "bad-time"),
                    (format!("id={id}&lat=1.5&lon=2.5&timestamp=4102444800"), "time-ahead"),
                    (format!("id=somebody&lat=1.5&lon=2.5&timestamp={time}"), "not-allowed"),
                    (format!("id={id}{}&lat=1.5&lon=2.5&timestamp={time}", "x".repeat(5_000)), "too-long"),
                ];
                if matches!(self, App::Traccar | App::GpsLogger) {
                    all.push(("{".into(), "unreadable"));
                    all.push((format!("id={id}&lat=1.5&lon=2.5&x={}", "x".repeat(1_500_000)), "too-large"));
                }
                all
            }
        }
    }
}

fn owntracks_rubbish(user: &str, time: u64) -> Vec<(String, &'static str)> {
    let location = |topic: &str, rest: &str| format!(r#"{{"_type":"location","topic":"{topic}",{rest}}}"#);
    let own = format!("owntracks/{user}/phone");
    let place = format!(r#""lat":1.5,"lon":2.5,"tst":{time}"#);
    let image = |bytes: usize| format!(r#"{place},"image":"{}""#, "A".repeat(bytes));
    vec![
        (
            format!(r#"{{"_type":"transition","lat":1,"lon":1,"tst":{time},"event":"enter"}}"#),
            "other-message",
        ),
        (format!(r#"{{"_type":"lwt","tst":{time}}}"#), "other-message"),
        (format!(r#"{{"_type":"card","name":"x","face":"{}"}}"#, "A".repeat(200_000)), "other-message"),
        (r#"{"_type":"encrypted","data":"AAAA"}"#.into(), "encrypted"),
        (location(&own, &format!("\"tst\":{time}")), "no-location"),
        (location(&own, &format!(r#""lat":"NaN","lon":1,"tst":{time}"#)), "bad-location"),
        (location(&own, &format!(r#""lat":0,"lon":-0.0,"tst":{time}"#)), "null-island"),
        (location(&own, r#""lat":1.5,"lon":2.5,"tst":0"#), "bad-time"),
        (location(&own, r#""lat":1.5,"lon":2.5,"tst":4102444800"#), "time-ahead"),
        (location("owntracks/somebody/phone", &place), "not-allowed"),
        (location(&format!("owntracks/{user}/{}", "x".repeat(5_000)), &place), "too-long"),
        (location(&own, &image(1_500_000)), "too-large"),
        ("{".into(), "unreadable"),
        (String::new(), "unreadable"),
    ]
}

/// A place that tells which time it is of.
pub fn place(time: u64) -> (String, String) {
    (format!("34.{:06}", time % 1_000_000), "-118.445127".into())
}

fn feature(id: &str, coordinates: &str, time: &str) -> String {
    format!(
        r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":{coordinates}}},"properties":{{"timestamp":"{time}","device_id":"{id}","speed":-1}}}}"#
    )
}

/// Whether an answer is a list of what OwnTracks shows.
fn are_messages(body: &str) -> bool {
    let Ok(serde_json::Value::Array(list)) = serde_json::from_str(body) else { return false };
    list.iter().all(|one| match one["_type"].as_str() {
        Some("location") => {
            let has = |name: &str| one[name].is_number();
            has("lat")
                && has("lon")
                && one["tst"].as_u64().is_some_and(|tst| tst > 0)
                && one["tid"].is_string()
        }
        Some("card") => one["tid"].is_string(),
        _ => false,
    })
}

/// What Overland waits for.
fn is_ok(reply: &Reply) -> bool {
    let is_json = reply.field("Content-Type").is_some_and(|kind| kind.contains("json"));
    is_json && serde_json::from_str::<serde_json::Value>(&reply.body).is_ok_and(|body| body["result"] == "ok")
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(text)
}
