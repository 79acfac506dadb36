//! What is wrong with a request, as `application/problem+json` (RFC 9457): a type with its section in docs/api.md, and
//! in the detail what is wrong and what to do.

use super::name::write_json_text;
use super::reply::{JSON, PROBLEM, Reply, Way, itoa};

macro_rules! problems {
    ($($problem:ident: $status:literal $name:literal $title:literal,)+) => {
        /// The kinds of problems there are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($problem,)+
        }

        impl Kind {
            pub const ALL: [Kind; 0 $(+ { let _ = Kind::$problem; 1 })+] = [$(Kind::$problem,)+];

            pub fn status(self) -> u16 {
                match self {
                    $(Kind::$problem => $status,)+
                }
            }

            /// What its type ends in, and its section in the docs is called.
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$problem => $name,)+
                }
            }

            pub fn title(self) -> &'static str {
                match self {
                    $(Kind::$problem => $title,)+
                }
            }
        }
    };
}

problems! {
    Parameter: 400 "bad-parameter" "A parameter cannot be used",
    Body: 400 "bad-body" "The body cannot be used",
    Unauthorized: 401 "no-token" "A token is needed",
    Forbidden: 403 "not-allowed" "The token does not allow this",
    WebPage: 403 "web-page" "A web page of elsewhere may not do this",
    Host: 403 "unknown-host" "The server does not know this name",
    NotFound: 404 "no-such-page" "There is nothing at this path",
    UnknownClient: 404 "unknown-client" "No such client is known here",
    Method: 405 "wrong-method" "This path has no such method",
    TimeAhead: 409 "time-ahead" "The time is too far ahead of the server's clock",
    Precondition: 412 "precondition-failed" "The client is not as the request expects it",
    TooLarge: 413 "too-large" "The body is too large",
    MediaType: 415 "wrong-media-type" "The body is in a form that is not read here",
    TooMany: 429 "too-many-guesses" "Too many wrong tokens came from this address",
    Full: 503 "too-many-clients" "No further client can be known",
    NotKept: 503 "not-kept" "The journal cannot be written",
    Starting: 503 "starting" "The server is starting",
    Busy: 503 "busy" "There is too much to do",
    Message: 400 "bad-message" "This is no message of HTTP that can be read",
}

/// What a person reads who follows a type: what it is, and the row that docs/api.md has of it.
pub fn page(kind: Kind) -> String {
    const DOCS: &str = include_str!("../../../docs/api.md");
    let row = DOCS.lines().find_map(|line| line.strip_prefix(&format!("| `{}` | ", kind.name())));
    let to_do = row.and_then(|row| row.split(" | ").nth(1)).unwrap_or_default().trim_end_matches(" |");
    format!("{}\n\nWhat to do: {to_do}.\nAll types: docs/api.md, section Problems.\n", kind.title())
}

/// One problem.
pub struct Problem<'a> {
    pub kind: Kind,
    /// What is wrong here and what to do.
    pub detail: &'a str,
    /// The parameter or the member of the body that is meant.
    pub parameter: Option<&'a str>,
    /// In place of the kind's, for messages.
    pub status: Option<u16>,
    /// Further fields of the reply.
    pub fields: &'a str,
}

impl<'a> Problem<'a> {
    pub fn new(kind: Kind, detail: &'a str) -> Problem<'a> {
        Problem { kind, detail, parameter: None, status: None, fields: "" }
    }

    pub fn of(kind: Kind, parameter: &'a str, detail: &'a str) -> Problem<'a> {
        Problem { parameter: Some(parameter), ..Problem::new(kind, detail) }
    }

    pub fn write(&self, way: Way, out: &mut Vec<u8>) {
        let status = self.status.unwrap_or(self.kind.status());
        let mut body = Vec::with_capacity(256);
        if way.is_overland {
            body.extend_from_slice(b"{\"error\":\"");
            write_json_text(self.detail, &mut body);
            body.extend_from_slice(b"\"}\n");
            let fields = self.fields;
            Reply { status, kind: Some(JSON), body: &body, fields, ..Reply::default() }.write(way, out);
            return;
        }
        let mut put = |name: &str, text: &str| {
            body.extend_from_slice(if body.is_empty() { b"{\"" } else { b",\"" });
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\":\"");
            write_json_text(text, &mut body);
            body.push(b'"');
        };
        put("type", &format!("/problems/{}", self.kind.name()));
        put("title", self.kind.title());
        put("detail", self.detail);
        if let Some(parameter) = self.parameter {
            put("parameter", parameter);
        }
        body.extend_from_slice(b",\"status\":");
        body.extend_from_slice(itoa(status.into()).text().as_bytes());
        body.extend_from_slice(b"}\n");
        let fields = self.fields;
        Reply { status, kind: Some(PROBLEM), body: &body, fields, ..Reply::default() }.write(way, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_json_that_says_what_is_wrong_where() {
        let mut out = Vec::new();
        let way = Way {
            is_kept: true,
            is_http_1_0: false,
            is_head: false,
            is_overland: false,
            reads_gzip: false,
            now_s: 0,
        };
        Problem::of(Kind::Parameter, "limit", "limit is \"x\", but must be from 1 to 1000")
            .write(way, &mut out);
        let text = String::from_utf8(out).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a body");
        assert!(
            head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.contains("application/problem+json"),
            "{head}"
        );
        let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            (&json["type"], &json["parameter"], &json["status"]),
            (&"/problems/bad-parameter".into(), &"limit".into(), &400.into())
        );
        assert_eq!(json["detail"], "limit is \"x\", but must be from 1 to 1000");
    }
}
