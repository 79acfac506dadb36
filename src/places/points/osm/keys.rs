//! What keys of tags mean: `block` asks of each text once, `tags` by what that came to.

/// What a key is, as a number below 64.
pub type Class = u8;

pub const NONE: Class = 0;
pub const NAME: Class = 1;
/// The name in the language that was asked for, and in its language without a region.
pub const NAME_HERE: Class = 2;
pub const NAME_NEAR: Class = 3;
pub const STREET: Class = 4;
pub const ADDRESS_PLACE: Class = 5;
pub const NUMBER: Class = 6;
pub const CITY: Class = 7;
/// What kind of relation it is.
pub const TYPE: Class = 8;
pub const RELIGION: Class = 9;
pub const STATION: Class = 10;
pub const FIRST_KIND: Class = 11;
pub const CLASSES: usize = FIRST_KIND as usize + KINDS.len();

/// Keys that make something a place, in the order in which their types stand, and which values do; none for all.
pub const KINDS: [(&str, &[&str]); 12] = [
    ("amenity", &[]),
    ("shop", &[]),
    ("tourism", &[]),
    ("leisure", &[]),
    ("aeroway", &[]),
    ("historic", &[]),
    ("office", &[]),
    ("healthcare", &[]),
    ("railway", &["station", "halt", "tram_stop"]),
    ("public_transport", &["station"]),
    ("natural", &["peak", "beach"]),
    ("place", &[]),
];

pub const PLACE: Class = FIRST_KIND + KINDS.len() as Class - 1;

/// The classes, as bits, of which a block has one when it has a place, or a settlement.
pub const PLACES: u64 = ((1 << KINDS.len()) - 1) << FIRST_KIND;
pub const TOWNS: u64 = 1 << PLACE;

/// What keys mean.
pub struct Keys {
    /// `name:pt-BR` and `name:pt`.
    here: String,
    near: String,
}

impl Keys {
    pub fn of(language: Option<&str>) -> Keys {
        let language = language.unwrap_or_default();
        let alone = language.split(['-', '_']).next().unwrap_or_default();
        Keys { here: format!("name:{language}"), near: format!("name:{alone}") }
    }

    pub fn class(&self, key: &[u8]) -> Class {
        match key {
            b"name" => NAME,
            b"addr:street" => STREET,
            b"addr:place" => ADDRESS_PLACE,
            b"addr:housenumber" => NUMBER,
            b"addr:city" => CITY,
            b"type" => TYPE,
            b"religion" => RELIGION,
            b"station" => STATION,
            _ if key.starts_with(b"name:") && key.len() > 5 => match key {
                _ if key == self.here.as_bytes() => NAME_HERE,
                _ if key == self.near.as_bytes() => NAME_NEAR,
                _ => NONE,
            },
            _ => {
                let kind = KINDS.iter().position(|(kind, _)| kind.as_bytes() == key);
                kind.map_or(NONE, |kind| FIRST_KIND + kind as Class)
            }
        }
    }
}
