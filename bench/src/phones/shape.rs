//! What a phone sends and what it takes for an answer: OwnTracks, a report a request, or Overland, a batch.

use std::fmt::Write;
use std::str::FromStr;

use crate::http::{Reply, field};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    OwnTracks,
    Overland,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        match text {
            "owntracks" => Ok(Shape::OwnTracks),
            "overland" => Ok(Shape::Overland),
            _ => Err(format!("{text}: phones are owntracks or overland")),
        }
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    /// It is to be sent again.
    Refused,
}

/// The ID of a phone.
pub fn id(phone: usize) -> String {
    format!("phone-{phone}")
}

/// What it shows. With `is_own` every phone has one of its own.
pub fn secret(phone: usize, is_own: bool) -> String {
    if is_own { format!("0123456789abcdef-{phone:07}") } else { "0123456789abcdef-shared".into() }
}

impl Shape {
    /// How many points go into one request at most.
    pub fn batch(self) -> usize {
        match self {
            Shape::OwnTracks => 1,
            Shape::Overland => 1_000,
        }
    }

    /// A request of a phone with so many points, the first of this time.
    pub fn write(self, phone: usize, secret: &str, first_s: u64, points: usize, out: &mut Vec<u8>) {
        let mut body = String::with_capacity(points * 600 + 200);
        // About a kilometre between neighbours, so that they are not all in one cell of an index.
        let (lat, lon) = (30 + phone / 1_000 % 20, 100 + phone % 60);
        let place = |time: u64| format!("{lat}.{:06}", (time * 37 + phone as u64) % 1_000_000);
        let head = match self {
            Shape::OwnTracks => {
                let lat = place(first_s);
                let _ = write!(
                    body,
                    "{{\"_type\":\"location\",\"topic\":\"owntracks/phone/{phone}\",\"qos\":1,\"retained\":true,\
                     \"created_at\":{first_s},\"_id\":\"bb8a8cd6\",\"source\":\"fused\",\"t\":\"u\",\"batt\":87,\
                     \"bs\":1,\"acc\":13,\"vac\":1,\"lat\":{lat},\"lon\":-{lon}.445127,\"alt\":53,\"vel\":2,\
                     \"cog\":38,\"tst\":{first_s},\"m\":1,\"conn\":\"w\",\"inregions\":[],\"tid\":\"na\"}}"
                );
                format!(
                    "POST /owntracks HTTP/1.1\r\nUser-Agent: Owntracks-Android/gms/420509001\r\n\
                     X-Limit-U: phone\r\nX-Limit-D: {phone}\r\nAuthorization: Basic {}\r\n\
                     Content-Type: application/json; charset=utf-8\r\nConnection: Keep-Alive\r\n\
                     Accept-Encoding: gzip\r\n",
                    base64(format!("phone:{secret}").as_bytes())
                )
            }
            Shape::Overland => {
                body.push_str("{\"locations\":[");
                for point in 0..points as u64 {
                    let (time, comma) = (first_s + point, if point == 0 { "" } else { "," });
                    let lat = place(time);
                    let _ = write!(
                        body,
                        "{comma}{{\"type\":\"Feature\",\"geometry\":{{\"type\":\"Point\",\"coordinates\":\
                         [-{lon}.445127,{lat}]}},\"properties\":{{\"timestamp\":\"{time}\",\"altitude\":80,\
                         \"speed\":4,\"horizontal_accuracy\":30,\"vertical_accuracy\":-1,\"speed_accuracy\":-1,\
                         \"course\":-1,\"course_accuracy\":-1,\"motion\":[\"driving\",\"stationary\"],\
                         \"pauses\":false,\"activity\":\"other_navigation\",\"desired_accuracy\":100,\
                         \"deferred\":1000,\"significant_change\":\"disabled\",\"locations_in_payload\":{points},\
                         \"battery_state\":\"charging\",\"battery_level\":0.89,\"device_id\":\"phone-{phone}\",\
                         \"wifi\":\"launchpad\"}}}}"
                    );
                }
                body.push_str("]}");
                format!(
                    "POST /overland HTTP/1.1\r\nUser-Agent: Overland/1.3\r\nAuthorization: Bearer {secret}\r\n\
                     Content-Type: application/json\r\n"
                )
            }
        };
        let length = body.len();
        let parts = [&*head, "Host: localhost\r\nContent-Length: ", &length.to_string(), "\r\n\r\n", &body];
        parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }

    /// # Errors
    /// No app would get an answer like this one from a server that works.
    pub fn judge(self, reply: &Reply<'_>) -> Result<Verdict, String> {
        let is_answer = match self {
            Shape::OwnTracks => reply.body.starts_with(b"["),
            Shape::Overland => reply.body.starts_with(b"{\"result\":\"ok\"}"),
        };
        match reply.status {
            200 if is_answer && field(reply.head, b"x-herd-ignored").is_none() => Ok(Verdict::Taken),
            503 => Ok(Verdict::Refused),
            _ => {
                let body = &reply.body[..reply.body.len().min(300)];
                Err(format!("{}{}", String::from_utf8_lossy(reply.head), String::from_utf8_lossy(body)))
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let is_there = digit <= three.len();
            let index = bits >> (18 - 6 * digit) & 63;
            text.push(if is_there { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_others_write_it() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_request_is_json_with_its_length() {
        for (shape, points) in [(Shape::OwnTracks, 1), (Shape::Overland, 3)] {
            let mut out = Vec::new();
            shape.write(7, "secret", 1_786_433_532, points, &mut out);
            let text = String::from_utf8(out).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a body");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(json["locations"].as_array().map_or(1, Vec::len), points);
        }
    }
}
