//! The rules by which a line is refused, each with its words: one enum for all of them, so that they can
//! be logged, counted and explained. `command` finds those of a line's form, the node those of who says
//! it and of what is known.

use super::decimal;

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident => $words:literal,)+) => {
        /// Why a line is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $($(#[$doc])* $rule,)+
        }

        impl Rule {
            /// Every rule, in the order of their numbers.
            pub const ALL: [Rule; 0 $(+ { let _ = Rule::$rule; 1 })+] = [$(Rule::$rule,)+];

            /// What is wrong and what would be right, for a log and for whoever wrote the line.
            pub fn words(self) -> &'static str {
                match self {
                    $(Rule::$rule => $words,)+
                }
            }
        }
    };
}

rules! {
    Keyword => "no such command; there are IAMAT, WHATSAT, NEAR, COUNT and WATCH",
    KeywordCase => "commands are written in capitals: IAMAT, WHATSAT, NEAR, COUNT, WATCH",
    IamatFields => "IAMAT takes three fields: IAMAT client location time; a client's ID holds no space",
    WhatsatFields => "WHATSAT takes three fields: WHATSAT client radius bound",
    NearFields => "NEAR takes three fields: NEAR location radius bound",
    CountFields => "COUNT takes no field",
    WatchFields => "WATCH takes the beginning of clients' IDs, or nothing",
    AtFields => "AT takes five fields: AT origin difference client location time",
    LinkFields => "a word between servers, with wrong fields; clients say IAMAT, WHATSAT, NEAR, COUNT and WATCH",
    LatitudeSign => "location begins with the latitude's sign: +34.068930-118.445127",
    LatitudeDigits => "latitude needs a sign, one or two digits, and perhaps a point and more digits: +34.068930",
    LatitudeRange => "latitude is beyond 90 degrees",
    LongitudeSign => "location has no sign before the longitude: +34.068930-118.445127",
    LongitudeDigits => "longitude needs a sign, one to three digits, and perhaps a point and more digits: -118.445127",
    LongitudeRange => "longitude is beyond 180 degrees",
    TimeSign => "time has no sign: 1520023934.918963997",
    TimeExponent => "time is written without an exponent: 1520023934.918963997",
    TimeDecimals => "time has at most nine decimals",
    TimeFraction => "time has one to nine digits behind its point",
    TimeDigits => "time is seconds since 1970, in digits: 1520023934.918963997",
    TooFarAhead => "time is further ahead of this server's clock than max_ahead allows",
    RadiusNumber => "radius is a plain number of km, like 10 or 0.5",
    RadiusRange => "radius is at most 50 km",
    NearRadiusRange => "radius is at most 20037 km, which is everywhere",
    BoundNumber => "bound is a whole number, like 5",
    BoundRange => "bound is at most 20 places",
    NearBoundRange => "bound is at most 1000 clients",
    DifferenceSign => "difference begins with its sign: +0.263873386",
    DifferenceNumber => "difference is a sign and a plain number: +0.263873386",
    Watched => "as many watch this server as may; ask again, or ask another one",
    UnknownClient => "no such client is known here",
    NotANeighbour => "AT lines are taken from neighbours only, and nobody here is known at this address",
    NotOnALink => "a word between servers, from somebody who has not opened a link; clients say IAMAT, WHATSAT, NEAR, COUNT and WATCH",
    Unterminated => "a word between servers, without its newline",
    NotKept => "the journal cannot be written, and sync = \"always\" promises that it was",
    Busy => "the server has too much to do; ask again",
    Full => "the client is not known, and the server knows as many as max_clients allows",
    FullOfNotes => "the client is not known, and the server remembers as many that were forgotten as max_clients allows",
    TooLong => "the line is longer than max_line; the connection is closed",
    Http => "an HTTP or TLS request; herd speaks lines of its own here, and closes the connection",
}

impl Rule {
    /// Its number among all of them.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What is wrong with a first field that is no command.
pub fn of_keyword(keyword: &[u8]) -> Rule {
    let is_known = [&b"IAMAT"[..], b"WHATSAT", b"NEAR", b"COUNT", b"AT"]
        .iter()
        .any(|known| keyword.eq_ignore_ascii_case(known));
    let is_servers = [
        &b"HERD"[..],
        b"PROOF",
        b"MARK",
        b"SEEN",
        b"ASK",
        b"TIME",
        b"DIGEST",
        b"FORGET",
        b"HOW",
        b"RELOAD",
        b"UPGRADE",
    ]
    .contains(&keyword);
    match (is_known, is_servers) {
        (true, _) => Rule::KeywordCase,
        (false, true) => Rule::LinkFields,
        (false, false) => Rule::Keyword,
    }
}

/// Why a text is no location.
pub fn of_location(text: &[u8]) -> Rule {
    let is_sign = |byte: &u8| matches!(byte, b'+' | b'-');
    if !text.first().is_some_and(is_sign) {
        return Rule::LatitudeSign;
    }
    let Some(longitude_at) = text.iter().skip(1).position(is_sign) else {
        return Rule::LongitudeSign;
    };
    let (latitude, longitude) = text[1..].split_at(longitude_at);
    if !is_angle(latitude, 2) {
        return Rule::LatitudeDigits;
    }
    if !is_angle(&longitude[1..], 3) {
        return Rule::LongitudeDigits;
    }
    if decimal::Decimal::new(latitude).at_most(90) { Rule::LongitudeRange } else { Rule::LatitudeRange }
}

fn is_angle(number: &[u8], digits_max: usize) -> bool {
    let (whole, _) = decimal::split(number);
    decimal::is_decimal(number) && whole.len() <= digits_max
}

/// Why a text is no time.
pub fn of_time(text: &[u8]) -> Rule {
    if matches!(text.first(), Some(b'+' | b'-')) {
        return Rule::TimeSign;
    }
    let (whole, fraction) = decimal::split(text);
    let has_exponent = text.iter().any(|byte| matches!(byte, b'e' | b'E'));
    match (decimal::is_digits(whole), fraction) {
        _ if has_exponent && whole.first().is_some_and(u8::is_ascii_digit) => Rule::TimeExponent,
        (true, Some(digits)) if decimal::is_digits(digits) => Rule::TimeDecimals,
        (true, Some(_)) => Rule::TimeFraction,
        (_, _) => Rule::TimeDigits,
    }
}

/// Why a text is no difference.
pub fn of_difference(text: &[u8]) -> Rule {
    let has_sign = matches!(text.first(), Some(b'+' | b'-'));
    if has_sign { Rule::DifferenceNumber } else { Rule::DifferenceSign }
}

/// Why a text is no radius.
pub fn of_radius(text: &[u8]) -> Rule {
    if decimal::is_decimal(text) { Rule::RadiusRange } else { Rule::RadiusNumber }
}

/// Why a text is no radius of a NEAR.
pub fn of_near_radius(text: &[u8]) -> Rule {
    if decimal::is_decimal(text) { Rule::NearRadiusRange } else { Rule::RadiusNumber }
}

/// Why a text is no bound of a NEAR.
pub fn of_near_bound(text: &[u8]) -> Rule {
    if decimal::is_digits(text) { Rule::NearBoundRange } else { Rule::BoundNumber }
}

/// Why a text is no bound.
pub fn of_bound(text: &[u8]) -> Rule {
    if decimal::is_digits(text) { Rule::BoundRange } else { Rule::BoundNumber }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Command;

    #[test]
    fn every_line_of_a_wrong_form_has_the_rule_that_refuses_it() {
        let check = |line: &str, expected: Rule| {
            let found = Command::parse(line.as_bytes()).err().map(|invalid| invalid.rule);
            assert_eq!(found, Some(expected), "{line}");
        };
        check("hello", Rule::Keyword);
        check("iamat a +1+1 1", Rule::KeywordCase);
        check("Whatsat a 1 1", Rule::KeywordCase);
        check("MARK five", Rule::LinkFields);
        check("IAMAT my phone +1+1 1", Rule::IamatFields);
        check("WHATSAT a 1", Rule::WhatsatFields);
        check("AT G +1 a +1+1", Rule::AtFields);
        for location in ["34.0-118.0", "34.06893,-118.445127", "x"] {
            check(&format!("IAMAT a {location} 1"), Rule::LatitudeSign);
        }
        for location in ["+34.068930", "+34.0,118.0", "+"] {
            check(&format!("IAMAT a {location} 1"), Rule::LongitudeSign);
        }
        for location in ["+34.-118.", "+034+1", "+.5+1", "+1e1+1", "+-118", "+34,0-118"] {
            check(&format!("IAMAT a {location} 1"), Rule::LatitudeDigits);
        }
        for location in ["+34-118.", "+34-118/", "+34-0118", "+34-", "+34-118-5", "+34+1e1"] {
            check(&format!("IAMAT a {location} 1"), Rule::LongitudeDigits);
        }
        check("IAMAT a +90.0000001+1 1", Rule::LatitudeRange);
        check("IAMAT a +91+181 1", Rule::LatitudeRange);
        check("IAMAT a +90-180.1 1", Rule::LongitudeRange);
        check("IAMAT a +1+1 -1", Rule::TimeSign);
        check("IAMAT a +1+1 1e9", Rule::TimeExponent);
        check("IAMAT a +1+1 1.5E9", Rule::TimeExponent);
        check("IAMAT a +1+1 1.1234567890", Rule::TimeDecimals);
        check("IAMAT a +1+1 1.", Rule::TimeFraction);
        check("IAMAT a +1+1 1.2.3", Rule::TimeFraction);
        for time in ["nan", "inf", ".5", "2026-11-25T01:00:00Z", "1,5"] {
            check(&format!("IAMAT a +1+1 {time}"), Rule::TimeDigits);
        }
        check("WHATSAT a 51 1", Rule::RadiusRange);
        check("WHATSAT a 10km 1", Rule::RadiusNumber);
        check("WHATSAT a 1 21", Rule::BoundRange);
        check("WHATSAT a 1 1.5", Rule::BoundNumber);
        check("NEAR +1+1 1", Rule::NearFields);
        check("NEAR +1+1 20038 1", Rule::NearRadiusRange);
        check("NEAR +1+1 1km 1", Rule::RadiusNumber);
        check("NEAR +1+1 1 1001", Rule::NearBoundRange);
        check("NEAR +1+1 1 many", Rule::BoundNumber);
        check("COUNT all", Rule::CountFields);
        check("AT G 1 a +1+1 1", Rule::DifferenceSign);
        check("AT G +nan a +1+1 1", Rule::DifferenceNumber);
    }

    #[test]
    fn each_rule_has_words_and_a_number_of_its_own() {
        let mut words: Vec<_> = Rule::ALL.iter().map(|rule| rule.words()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Rule::ALL.len());
        assert!(Rule::ALL.iter().enumerate().all(|(index, rule)| rule.index() == index));
    }
}
