//! JSON as it is written, member by member: what is not looked at cannot be wrong. `geojson` reads by it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits::SCRIPT_NAME_MAX;

/// The members of an object in their order. Of several with one key the last counts.
pub struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The value of a key; None where it is null, too.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &'a RawValue)> + Clone {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((Text(key), value)) = map.next_entry::<Text, &RawValue>()? {
                    all.push((key, value));
                }
                Ok(Object(all))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A string. One with half a character in it, as JavaScript cuts them, has `�` there.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(match String::from_utf8_lossy(bytes) {
                    Cow::Borrowed(text) => text.to_owned(),
                    // Half a character is three bytes, and was one escape.
                    Cow::Owned(text) => text.replace("\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}"),
                }))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// What is in `callback({…});`, or behind `var places = {…};`, with the blanks before that.
pub fn in_script(bytes: &[u8]) -> Option<&[u8]> {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace();
    // An empty comment keeps browsers from taking it for something else.
    let script = bytes.trim_ascii_start();
    let script = script.strip_prefix(b"/**/").unwrap_or(script);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_$. ".contains(byte);
    let end = script.iter().take(SCRIPT_NAME_MAX).position(|byte| !is_name(byte))?;
    let inside = script[end..].strip_prefix(b"(").or_else(|| script[end..].strip_prefix(b"="))?;
    let is_json = inside.iter().find(|byte| !is_blank(byte)).is_some_and(|byte| b"{[".contains(byte));
    let is_end = |byte: &u8| is_blank(byte) || b");".contains(byte);
    let length = inside.iter().rposition(|byte| !is_end(byte))? + 1;
    (end > 0 && is_json).then(|| &inside[..length])
}

/// The same text with null for each `NaN` and `Infinity`, which JSON does not have and Python writes, and how many
/// there were; None where there is none.
pub fn without_nan(bytes: &[u8]) -> Option<(Vec<u8>, u64)> {
    let (mut out, mut count, mut is_text) = (Vec::new(), 0, false);
    let (mut index, mut copied) = (0, 0);
    while let Some(&byte) = bytes.get(index) {
        let word: &[u8] = match byte {
            b'\\' if is_text => {
                index += 2;
                continue;
            }
            b'"' => {
                is_text = !is_text;
                b""
            }
            // No text goes over the end of a line, but for one that is not closed.
            b'\n' => {
                is_text = false;
                b""
            }
            b'N' => b"NaN",
            b'I' => b"Infinity",
            b'-' => b"-Infinity",
            _ => b"",
        };
        if !is_text && !word.is_empty() && bytes[index..].starts_with(word) {
            out.extend(&bytes[copied..index]);
            out.extend(b"null");
            index += word.len();
            (copied, count) = (index, count + 1);
        } else {
            index += 1;
        }
    }
    out.extend(&bytes[copied..]);
    (count > 0).then_some((out, count))
}

/// What is wrong with a text, without the line, which whoever asks knows better.
pub fn fault(why: &serde_json::Error) -> String {
    why.to_string().split(" at line ").next().unwrap_or_default().to_owned()
}

/// A string as it is.
pub fn text(value: &RawValue) -> Option<String> {
    let is_text = value.get().starts_with('"');
    is_text.then(|| serde_json::from_str(value.get()).ok()).flatten().map(|Text(text)| text)
}

/// A string as it is but for blanks around it, a number as its digits, anything else not at all.
pub fn word(value: &RawValue) -> Option<String> {
    match value.get().as_bytes() {
        [b'"', ..] => text(value).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        [b'-' | b'0'..=b'9', ..] => Some(value.get().to_owned()),
        _ => None,
    }
}

/// The same of a list, with `;` between its words.
pub fn words(value: &RawValue) -> Option<String> {
    if !value.get().starts_with('[') {
        return word(value);
    }
    let list: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    let words: Vec<_> = list.into_iter().filter_map(word).collect();
    (!words.is_empty()).then(|| words.join(";"))
}
