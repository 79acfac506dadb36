//! From the tags of an element to what is said of a place: whether it is one, its name, its types and its address.
//! `osm` asks of each element.

use super::block::{Block, Tags};
use super::keys::{
    ADDRESS_PLACE, CITY, CLASSES, Class, FIRST_KIND, KINDS, NAME, NAME_HERE, NAME_NEAR, NUMBER, PLACE,
    RELIGION, STATION, STREET, TYPE,
};
use super::types::types_of;
use super::wire::Damage;
use crate::limits::{OSM_TYPE_BYTES_MAX, OSM_TYPES_MAX, OSM_VALUE_BYTES_MAX};

/// Places whose names stand for an address's city.
const SETTLEMENTS: [&str; 8] =
    ["city", "town", "village", "hamlet", "borough", "suburb", "quarter", "neighbourhood"];

/// The values of an element's keys that mean something, as numbers of texts; 0 for none, as that text is empty.
pub struct Tagged<'a, 'b> {
    block: &'b Block<'a>,
    values: [u64; CLASSES],
}

impl<'a, 'b> Tagged<'a, 'b> {
    pub fn of(mut tags: Tags<'a>, block: &'b Block<'a>) -> Result<Tagged<'a, 'b>, Damage> {
        let mut values = [0; CLASSES];
        while let Some((key, value)) = tags.tag()? {
            values[usize::from(block.class(key)?)] = value;
        }
        Ok(Tagged { block, values })
    }

    fn value(&self, class: Class) -> &'a [u8] {
        match self.values[usize::from(class)] {
            0 => &[],
            text => match self.block.text(text) {
                text if text.len() <= OSM_VALUE_BYTES_MAX => text.trim_ascii(),
                _ => &[],
            },
        }
    }

    fn text(&self, class: Class) -> Option<String> {
        let value = self.value(class);
        (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
    }

    /// The value of a key that makes this a place.
    fn kind(&self, kind: usize) -> Option<&'a [u8]> {
        let value = self.value(FIRST_KIND + kind as Class);
        let values = KINDS[kind].1;
        let is_one = values.is_empty() || values.iter().any(|one| one.as_bytes() == value);
        (is_one && !value.is_empty() && value != b"no").then_some(value)
    }

    fn has_name(&self) -> bool {
        [NAME, NAME_HERE, NAME_NEAR].iter().any(|class| !self.value(*class).is_empty())
    }

    /// Whether it is a place: it has a name, and is one of the kinds.
    pub fn is_place(&self) -> bool {
        self.has_name() && (0..KINDS.len()).any(|kind| self.kind(kind).is_some())
    }

    /// Whether it is a relation that is an area and a place. A boundary is none for being one of a town, which has a
    /// node for that.
    pub fn is_area(&self) -> bool {
        let kinds = match self.value(TYPE) {
            b"multipolygon" => KINDS.len(),
            b"boundary" => KINDS.len() - 1,
            _ => return false,
        };
        self.has_name() && (0..kinds).any(|kind| self.kind(kind).is_some())
    }

    pub fn is_settlement(&self) -> bool {
        let value = self.value(PLACE);
        SETTLEMENTS.iter().any(|one| one.as_bytes() == value) && self.has_name()
    }

    pub fn name(&self) -> String {
        [NAME_HERE, NAME_NEAR, NAME].iter().find_map(|class| self.text(*class)).unwrap_or_default()
    }

    /// The street with its number, and the city.
    pub fn address(&self) -> (Option<String>, Option<String>) {
        let street = self.text(STREET).or_else(|| self.text(ADDRESS_PLACE));
        let number = self.text(NUMBER).filter(|_| street.is_some());
        let parts: Vec<_> = [street, number].into_iter().flatten().collect();
        ((!parts.is_empty()).then(|| parts.join(" ")), self.text(CITY))
    }

    /// The types, most telling first.
    pub fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        let mut add = |kind: &str| {
            if types.len() < OSM_TYPES_MAX && !types.iter().any(|one| one == kind) {
                types.push(kind.to_owned());
            }
        };
        for (kind, (key, _)) in KINDS.iter().enumerate() {
            let Some(values) = self.kind(kind) else { continue };
            let more = match (*key, values) {
                ("amenity", b"place_of_worship") => Some(("religion", RELIGION)),
                ("railway" | "public_transport", b"station") => Some(("station", STATION)),
                _ => None,
            };
            let more = more.and_then(|(key, class)| types_of(key, str::from_utf8(self.value(class)).ok()?));
            more.iter().for_each(|types| types.split(' ').for_each(&mut add));
            for value in values.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).take(OSM_TYPES_MAX) {
                let Ok(value) = str::from_utf8(value) else { continue };
                match types_of(key, value) {
                    Some(types) => types.split(' ').for_each(&mut add),
                    None if value == "yes" => add(key),
                    None if is_word(value) => add(value),
                    None => {}
                }
            }
        }
        if !types.iter().any(|kind| kind == "political") {
            types.extend(GENERAL.map(str::to_owned));
        }
        types
    }
}

/// What Google says of everything that is not political.
const GENERAL: [&str; 2] = ["point_of_interest", "establishment"];

/// Whether a value is a word as those of OpenStreetMap's wiki are, and no sentence.
fn is_word(value: &str) -> bool {
    let fits = (1..=OSM_TYPE_BYTES_MAX).contains(&value.len());
    fits && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte))
}
