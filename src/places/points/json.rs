//! JSON as it is written, member by member: what is not looked at cannot be wrong. `geojson` reads by it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in their order. Of several with one key the last counts.
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
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

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((Text(key), value)) = map.next_entry::<Text, &RawValue>()? {
                    all.push((key, value));
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(Object)
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
