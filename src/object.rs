//! Objects of JSON, from whoever sends them. serde takes a list of a struct's members for the struct; nobody means that
//! by a list, so that it is refused here.

use serde::Deserialize;
use serde::de::Error;

/// Reads text that must be an object.
///
/// # Errors
/// It is no UTF-8, no JSON, or no object that fits.
pub fn read<'t, T: Deserialize<'t>>(text: &'t [u8]) -> serde_json::Result<T> {
    if text.trim_ascii_start().starts_with(b"[") {
        return Err(Error::custom("it is a list, but must be an object"));
    }
    serde_json::from_str(str::from_utf8(text).map_err(|_| Error::custom("it is no UTF-8"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Pair<'t> {
        a: u8,
        b: &'t str,
    }

    #[test]
    fn an_object_is_taken_and_a_list_of_its_members_is_not() {
        let check = |text: &[u8], expected: Result<Pair<'_>, &str>| {
            let found = read::<Pair<'_>>(text).map_err(|why| why.to_string());
            let is_same = match (&found, &expected) {
                (Ok(found), Ok(expected)) => found == expected,
                (Err(found), Err(expected)) => found.contains(expected),
                _ => false,
            };
            assert!(is_same, "{found:?} is not {expected:?}");
        };
        check(br#" {"b":"x","a":1} "#, Ok(Pair { a: 1, b: "x" }));
        check(br#"[1,"x"]"#, Err("must be an object"));
        check(b"\r\n\t [", Err("must be an object"));
        check(b"1", Err("invalid type"));
        check(b"{\"b\":\"\xff\",\"a\":1}", Err("no UTF-8"));
        check(b"", Err("EOF"));
    }
}
