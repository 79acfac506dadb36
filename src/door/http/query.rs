//! The parameters of a request, each read in one way: one that is not known, stands twice, or is no value of its kind
//! is told with what would be right, and without what looks like a secret.

use super::name;
use super::tokens::query_pairs;
use crate::logging::hide_rest;

/// What is wrong with a parameter.
#[derive(Debug, PartialEq, Eq)]
pub struct BadParameter {
    pub name: String,
    pub why: String,
}

/// The parameters of one query, decoded.
#[derive(Debug)]
pub struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Those of a target, all of which `known` names.
    ///
    /// # Errors
    /// One is not known, or is there twice, or is not decoded.
    pub fn parse(query: &[u8], known: &[&str]) -> Result<Query, BadParameter> {
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in query_pairs(query) {
            let name = name::decode_form(name).unwrap_or_default();
            let name = hide_rest(&String::from_utf8_lossy(&name)).into_owned();
            if name == "token" {
                continue;
            }
            let bad = |why: &str| BadParameter { name: name.clone(), why: why.into() };
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() {
                    "none is".to_owned()
                } else {
                    format!("there are {}", known.join(", "))
                };
                return Err(bad(&format!("{name:?} is no parameter here; {known}")));
            }
            if pairs.iter().any(|(there, _)| *there == name) {
                return Err(bad("it is there twice"));
            }
            let value = name::decode_form(value)
                .ok_or_else(|| bad("a % is not followed by two hexadecimal digits"))?;
            pairs.push((name, value));
        }
        Ok(Query(pairs))
    }

    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, BadParameter> {
        let text = self.bytes(name).map(std::str::from_utf8).transpose();
        text.map_err(|_| BadParameter { name: name.into(), why: format!("{name} is no UTF-8") })
    }

    /// A whole number within a range.
    pub fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, BadParameter> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|number| is_digits && (least..=most).contains(number));
        number.map(Some).ok_or_else(|| BadParameter {
            name: name.into(),
            why: format!(
                "{name} is {:?}, but must be a whole number from {least} to {most}",
                hide_rest(text)
            ),
        })
    }

    /// Several numbers, joined by commas.
    pub fn numbers<const N: usize>(&self, name: &str, shape: &str) -> Result<Option<[f64; N]>, BadParameter> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let numbers: Option<Vec<f64>> = text.split(',').map(|part| plain_number(part.trim())).collect();
        let numbers = numbers.and_then(|numbers| <[f64; N]>::try_from(numbers).ok());
        numbers.map(Some).ok_or_else(|| BadParameter {
            name: name.into(),
            why: format!("{name} is {:?}, but must be {shape}", hide_rest(text)),
        })
    }
}

/// A decimal number, and neither infinite nor none.
fn plain_number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_one_way_or_told() {
        let query =
            Query::parse(b"limit=10&near=+34.06,+-118.4&token=x&after=a%20b+c", &["limit", "near", "after"])
                .expect("valid");
        assert_eq!(query.number("limit", 1, 1_000), Ok(Some(10)));
        assert_eq!(query.numbers::<2>("near", "LAT,LON"), Ok(Some([34.06, -118.4])));
        assert_eq!(query.bytes("after"), Some(&b"a b c"[..]));
        assert_eq!(query.number("absent", 1, 2), Ok(None));
        for (query, name, why) in [
            ("limit=0", "limit", "from 1 to 1000"),
            ("limit=1001", "limit", "from 1 to 1000"),
            ("limit=+5", "limit", "from 1 to 1000"),
            ("limit=", "limit", "from 1 to 1000"),
            ("near=1", "near", "must be LAT,LON"),
            ("near=1,2,3", "near", "must be LAT,LON"),
            ("near=1,nan", "near", "must be LAT,LON"),
            ("near=1,1e999", "near", "must be LAT,LON"),
            ("near=1,inf", "near", "must be LAT,LON"),
            ("limit=1&limit=1", "limit", "there twice"),
            ("limit=%zz", "limit", "two hexadecimal digits"),
            ("radius=1", "radius", "there are limit, near"),
        ] {
            let read = Query::parse(query.as_bytes(), &["limit", "near"]).and_then(|query| {
                query.number("limit", 1, 1_000)?;
                query.numbers::<2>("near", "LAT,LON")
            });
            let bad = read.expect_err(query);
            assert!(bad.name == name && bad.why.contains(why), "{query}: {bad:?}");
        }
    }
}
