//! JSON as apps send it: the body is read once, and its values stay the text that they were, so that digits do.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A body.
#[derive(Debug, Default)]
pub enum Json<'b> {
    Object(Object<'b>),
    List(Vec<&'b RawValue>),
    /// It begins as an object, and is none.
    Broken,
    /// Anything else.
    #[default]
    None,
}

/// The members of an object, each as it was written. Of two of one name the last one counts.
#[derive(Debug)]
pub struct Object<'b>(Vec<(Cow<'b, str>, &'b RawValue)>);

impl<'b> Json<'b> {
    pub fn parse(text: &'b str) -> Json<'b> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        match text.as_bytes().first() {
            Some(b'{') => Object::parse(text).map_or(Json::Broken, Json::Object),
            Some(b'[') => elements(text).map_or(Json::None, Json::List),
            _ => Json::None,
        }
    }
}

impl<'b> Object<'b> {
    pub fn parse(text: &'b str) -> Option<Object<'b>> {
        text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn get(&self, name: &str) -> Option<&'b RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// A number's digits or a text's characters; None for null, for an empty text and for anything else.
    pub fn text(&self, name: &str) -> Option<Cow<'b, str>> {
        text_of(self.get(name)?.get())
    }

    pub fn object(&self, name: &str) -> Option<Object<'b>> {
        Object::parse(self.get(name)?.get())
    }

    /// The first of these that has a text.
    pub fn first(&self, names: &[&str]) -> Option<Cow<'b, str>> {
        names.iter().find_map(|name| self.text(name))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object<'de>, D::Error> {
        struct Members<'b>(PhantomData<&'b ()>);

        impl<'de> Visitor<'de> for Members<'de> {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Object(members))
            }
        }

        from.deserialize_map(Members(PhantomData))
    }
}

/// The name of a member, which nearly always is in the text as it is.
#[derive(serde::Deserialize)]
struct Name<'b>(#[serde(borrow)] Cow<'b, str>);

/// The same as of a member.
pub fn text_of(value: &str) -> Option<Cow<'_, str>> {
    let text = match value.as_bytes().first()? {
        b'"' => match value.get(1..value.len() - 1) {
            Some(text) if !text.contains('\\') => Cow::Borrowed(text),
            _ => Cow::Owned(serde_json::from_str::<String>(value).ok()?),
        },
        b'-' | b'0'..=b'9' => Cow::Borrowed(value),
        _ => return None,
    };
    Some(text).filter(|text| !text.trim().is_empty())
}

/// The elements of a list; None for anything else.
pub fn elements(text: &str) -> Option<Vec<&RawValue>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok())?
}

/// A walk over a value, for batches: every byte is looked at once. Of each member and element the caller takes what it
/// wants, and the rest is passed over.
pub struct Walk<'b> {
    /// It is known to be JSON, which is why nothing of it is checked again.
    text: &'b str,
    at: usize,
}

impl<'b> Walk<'b> {
    pub fn of(value: &'b RawValue) -> Walk<'b> {
        Walk { text: value.get(), at: 0 }
    }

    /// Calls `take` with each member of the object that comes next, which may walk over its value. False, and nothing
    /// was taken, if no object comes next.
    pub fn members(&mut self, mut take: impl FnMut(&str, &mut Walk<'b>)) -> bool {
        if self.peek() != Some(b'{') {
            return false;
        }
        self.at += 1;
        while self.peek() == Some(b'"') {
            let (name, is_plain) = self.string();
            // The colon.
            self.peek();
            self.at += 1;
            if is_plain {
                self.visit(|walk| take(&name[1..name.len() - 1], walk));
            } else {
                // One that is no text is nobody's.
                let name: Option<String> = serde_json::from_str(name).ok();
                self.visit(|walk| name.iter().for_each(|name| take(name, walk)));
            }
        }
        self.at += 1;
        true
    }

    /// The same of the elements of a list.
    pub fn elements(&mut self, mut take: impl FnMut(&mut Walk<'b>)) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.at += 1;
        while self.peek().is_some_and(|byte| byte != b']') {
            self.visit(&mut take);
        }
        self.at += 1;
        true
    }

    /// The value that comes next, as it is written.
    pub fn value(&mut self) -> &'b str {
        self.peek();
        let (begin, mut depth) = (self.at, 0_usize);
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'"' => {
                    self.string();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => break,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        self.text.get(begin..self.at).unwrap_or_default()
    }

    /// Passes over the value that comes next, unless it is taken, and the comma behind it.
    fn visit(&mut self, take: impl FnOnce(&mut Walk<'b>)) {
        self.peek();
        let begin = self.at;
        take(self);
        if self.at == begin {
            self.value();
        }
        if self.peek() == Some(b',') {
            self.at += 1;
        }
    }

    /// The first byte of what comes next, behind white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// The string that begins here, with its quotes, and whether it is the text that it stands for.
    fn string(&mut self) -> (&'b str, bool) {
        let (begin, bytes) = (self.at, self.text.as_bytes());
        let mut is_plain = true;
        self.at += 1;
        loop {
            match bytes.get(self.at) {
                Some(b'\\') => (self.at, is_plain) = (self.at + 2, false),
                Some(b'"') => break,
                Some(_) => self.at += 1,
                None => return ("\"\"", true),
            }
        }
        self.at += 1;
        (self.text.get(begin..self.at).unwrap_or("\"\""), is_plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a value, written again by a walk without its white space.
    fn again(walk: &mut Walk<'_>) -> String {
        let mut parts = Vec::new();
        let take = |name: &str, walk: &mut Walk<'_>| {
            let value = if name == "passed over" { walk.value().to_owned() } else { again(walk) };
            parts.push(format!("{name:?}:{value}"));
        };
        if walk.members(take) {
            return format!("{{{}}}", parts.join(","));
        }
        let mut parts = Vec::new();
        if walk.elements(|walk| parts.push(again(walk))) {
            return format!("[{}]", parts.join(","));
        }
        walk.value().to_owned()
    }

    #[test]
    fn a_walk_sees_every_value_as_it_is_written() {
        let check = |text: &str, expected: &str| {
            let value = serde_json::from_str(text).expect(text);
            let mut walk = Walk::of(value);
            assert_eq!(again(&mut walk), expected, "{text}");
            assert_eq!(walk.at, value.get().len(), "{text}");
        };
        for text in [
            "7",
            "-1.50E+3",
            "null",
            r#""""#,
            r#""a\"b\\""#,
            r#""{[,]}:""#,
            "[]",
            "{}",
            "[[],[[]],{},[1,2]]",
            r#"{"a":{"b":[1,"]",{}]},"c":"\\"}"#,
            r#"{"passed over":[{"a":["}"]}, 7 ],"b":-0.0}"#,
            r#"["é",{"é":"\u00e9"}]"#,
        ] {
            check(text, text);
        }
        check(" [ 1 , {\t\"a\" :\r\n[ ] , \"b\":2 } ] ", r#"[1,{"a":[],"b":2}]"#);
        check(r#"{"\u0061":1}"#, r#"{"a":1}"#);
        check(r#"{"":1,"\ud800":2,"a":3}"#, r#"{"":1,"a":3}"#);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let value = serde_json::from_str(&deep).expect("JSON");
        assert_eq!(Walk::of(value).value().len(), 200_000);
    }

    #[test]
    fn what_is_not_taken_is_passed_over() {
        let value = serde_json::from_str(r#"{"a":[1,{"b":2}],"c":[3,4],"d":5}"#).expect("JSON");
        let (mut names, mut numbers) = (Vec::new(), Vec::new());
        assert!(Walk::of(value).members(|name, walk| {
            names.push(name.to_owned());
            if name == "c" {
                walk.elements(|walk| numbers.push(walk.value().to_owned()));
            }
        }));
        assert_eq!((names.concat(), numbers.concat()), ("acd".into(), "34".into()));
        assert!(!Walk::of(value).elements(|_| {}));
    }

    #[test]
    fn of_two_members_of_one_name_the_last_one_counts() {
        let Json::Object(object) = Json::parse("\u{feff} {\"a\":1,\"b\":\" \",\"\\u0061\":\"x\"}") else {
            panic!("an object")
        };
        assert_eq!(object.text("a").as_deref(), Some("x"));
        assert!(object.text("b").is_none() && object.has("b") && !object.has("c"));
        assert!(matches!(Json::parse("{"), Json::Broken) && matches!(Json::parse("[1"), Json::None));
    }
}
