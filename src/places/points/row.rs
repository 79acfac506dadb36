//! What reading a file of places comes to: places, rows that were skipped and why, rows that are bad. `table`,
//! `geojson` and `osm` fill it, the provider `file` takes it.

use std::collections::BTreeMap;

use super::pack::Builder;
use super::spot::{GENERAL, SWAPPED, Spot};
use crate::limits::BAD_ROWS_LOGGED_MAX;

/// Where in a file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counts rows or features from 1.
    pub number: u64,
    /// The line it begins on, where the file has lines.
    pub line: Option<u64>,
    /// What it is called: `row` or `feature`.
    pub what: &'static str,
}

/// What was read so far.
#[derive(Default)]
pub struct Reading {
    pub places: Builder,
    /// Rows or features that went in, in lines where one took several.
    pub total: u64,
    /// Those of them that are bad, and what is wrong with the first.
    pub bad: u64,
    pub worst: Vec<String>,
    /// Those that are no place, by why.
    pub skipped: BTreeMap<&'static str, u64>,
    /// What was changed of places rather than losing them, and of how many.
    pub changed: BTreeMap<&'static str, u64>,
    /// What was looked for and not found in one of those.
    pub hint: Option<String>,
    /// What is worth a word about the file.
    pub notes: Vec<String>,
    /// What ids that are made begin with.
    pub prefix: String,
    /// Latitudes that cannot be, though they could be longitudes.
    pub swapped: u64,
}

impl Reading {
    /// Of one file; ids that are made begin with `prefix`.
    pub fn of(prefix: &str) -> Reading {
        Reading { prefix: prefix.to_owned(), ..Reading::default() }
    }

    /// Takes a place, if it is one.
    ///
    /// # Errors
    /// There are more places than fit.
    pub fn take(&mut self, at: Place, spot: Result<Option<Spot>, String>) -> Result<(), String> {
        let changed = &mut self.changed;
        let mut change = |what| *changed.entry(what).or_default() += 1;
        match spot.and_then(|spot| spot.map(|spot| spot.checked(&mut change)).transpose()) {
            Ok(Some(spot)) if spot.name.is_empty() => self.skip(NAMELESS),
            Ok(Some(spot)) => {
                self.total += 1;
                let id = spot.id.clone().unwrap_or_else(|| format!("{}:{}", self.prefix, at.number));
                let has_types = self.places.add(&spot, &id)?;
                if !has_types {
                    *self.changed.entry(GENERAL_TYPES).or_default() += 1;
                }
                return Ok(());
            }
            Ok(None) => {}
            Err(why) => {
                self.swapped += u64::from(why.contains(SWAPPED));
                self.bad(at, 1, &why);
            }
        }
        Ok(())
    }

    /// So many lines are bad, from here on.
    pub fn bad(&mut self, at: Place, lines: u64, why: &str) {
        self.total += lines;
        self.bad += lines;
        if self.worst.len() < BAD_ROWS_LOGGED_MAX {
            self.worst.push(format!("{at}{why}"));
        }
    }

    /// One that is no place, for this reason.
    pub fn skip(&mut self, why: &'static str) {
        self.total += 1;
        *self.skipped.entry(why).or_default() += 1;
    }
}

/// `:12: row 11: ` behind the name of a file.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "{line}: ")?;
        }
        write!(f, "{} {}: ", self.what, self.number)
    }
}

/// Why a place without a name is skipped: maps have many, and WHATSAT has nothing to say of one.
pub const NAMELESS: &str = "without a name";

/// What becomes of types when there are more different lists of them than fit.
const GENERAL_TYPES: &str =
    "whose types are beyond the 65,535 lists of them that fit, and became point_of_interest";

/// `a; b`, `a|b` or `a,b`; a point without any is a point of interest.
pub fn types(cell: &str) -> Vec<String> {
    let types = cell.split([';', '|', ',']).map(str::trim).filter(|kind| !kind.is_empty());
    let types: Vec<String> = types.map(str::to_string).collect();
    if types.is_empty() { vec![GENERAL.to_string()] } else { types }
}

/// The letters of Windows-1252 that Latin-1 lacks, from 0x80 on.
const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// What is wrong with a text, by its first byte that is not UTF-8.
pub fn not_utf8(byte: u8) -> String {
    let windows = WINDOWS.chars().nth(usize::from(byte.wrapping_sub(0x80)));
    let letter = match windows.filter(|letter| !letter.is_control()) {
        Some(letter) => format!(", which is {letter:?} in Windows-1252"),
        None if byte >= 0xa0 => format!(", which is {:?} in Latin-1", char::from(byte)),
        None => String::new(),
    };
    format!("not UTF-8: it has the byte 0x{byte:02x}{letter}; save the file as UTF-8")
}

/// The keys of a member or column, best first; upper and lower case are one.
pub const NAME: &[&str] = &["name", "title", "label"];
pub const LATITUDE: &[&str] = &["lat", "latitude", "y"];
pub const LONGITUDE: &[&str] = &["lon", "lng", "long", "longitude", "x"];
pub const ID: &[&str] = &["id"];
pub const TYPES: &[&str] = &["types", "type"];
pub const VICINITY: &[&str] = &["vicinity"];

/// The first of these keys that is there.
pub fn find<'a, T>(keys: &[&str], mut all: impl Iterator<Item = (&'a str, T)> + Clone) -> Option<T> {
    let best =
        keys.iter().find_map(|key| all.clone().position(|(name, _)| name.trim().eq_ignore_ascii_case(key)));
    best.and_then(|index| all.nth(index)).map(|(_, value)| value)
}

/// What there is, for an error: `"naam", "lat", …`.
pub fn shown<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> =
        all.take(13).map(|name| format!("{:?}", name.chars().take(40).collect::<String>())).collect();
    if names.len() > 12 {
        names[12] = "…".to_owned();
    }
    names.join(", ")
}
