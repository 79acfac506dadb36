//! Places in memory as they are on the disk: columns, sorted into bands of latitude and by longitude in each, and one
//! text for all. 20 bytes a place beside its texts: 14 in columns, and 6 before its texts. The provider `file` searches it and keeps it in a cache.

use std::collections::HashMap;
use std::ops::Range;

use super::near::{BANDS, Banded, Points, band_of};
use super::spot::{GENERAL, Spot};

/// Coordinates are whole multiples of this part of a degree: a centimetre.
pub(super) const UNITS_PER_DEGREE: f64 = 1e7;

/// The most bytes of text that fit, and lists of types beside the general one, which the others become.
const TEXT_MAX: usize = u32::MAX as usize;
const LISTS_MAX: usize = u16::MAX as usize;

/// Bytes of a place in its columns, and of the lengths of its texts.
pub(super) const COLUMN_BYTES: usize = 4 + 4 + 4 + 2;
const LENGTH_BYTES: usize = 3 * 2;

/// Places that are being added.
#[derive(Default)]
pub struct Builder {
    rows: Vec<Row>,
    texts: Vec<u8>,
    lists: Vec<Vec<String>>,
    list_ids: HashMap<Vec<String>, u16>,
}

#[derive(Clone, Copy)]
struct Row {
    latitude: i32,
    longitude: i32,
    text: u32,
    list: u16,
}

/// Places that can be searched.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pack {
    pub(super) latitudes: Vec<i32>,
    pub(super) longitudes: Vec<i32>,
    /// Where each place's texts begin: the lengths of name and id, two bytes each, and of the vicinity, then these.
    pub(super) starts: Vec<u32>,
    /// Which list of types each has.
    pub(super) lists_of: Vec<u16>,
    /// Where each band begins, and the end of the last.
    pub(super) bands: Vec<u32>,
    pub(super) texts: Vec<u8>,
    pub(super) lists: Vec<Vec<String>>,
}

/// What is known of a place.
#[derive(Debug, PartialEq)]
pub struct Known<'a> {
    pub latitude_deg: f64,
    pub longitude_deg: f64,
    pub name: &'a str,
    pub id: &'a str,
    pub vicinity: Option<&'a str>,
    pub types: &'a [String],
}

impl Builder {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of all texts.
    pub fn text_bytes(&self) -> usize {
        self.texts.len()
    }

    /// Adds a place that was checked.
    ///
    /// False when its types did not fit, and became the general one.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn add(&mut self, spot: &Spot, id: &str) -> Result<bool, String> {
        let vicinity = spot.vicinity.as_deref().unwrap_or_default();
        let text = self.texts.len();
        if text + LENGTH_BYTES + spot.name.len() + id.len() + vicinity.len() > TEXT_MAX {
            return Err(format!("more than {} places with 4 GB of text: divide the file", self.rows.len()));
        }
        for length in [spot.name.len(), id.len(), vicinity.len()] {
            // A checked text is shorter.
            self.texts.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        }
        [spot.name.as_str(), id, vicinity].iter().for_each(|part| self.texts.extend(part.as_bytes()));
        let units = |degrees: f64| (degrees * UNITS_PER_DEGREE).round() as i32;
        let (latitude, longitude) = (units(spot.latitude_deg), units(spot.longitude_deg));
        let list = self.list(&spot.types);
        self.rows.push(Row {
            latitude,
            longitude,
            text: text as u32,
            list: list.unwrap_or(LISTS_MAX as u16),
        });
        Ok(list.is_some())
    }

    /// The number of a list of types; None for one that does not fit. The last number is that of the general one.
    fn list(&mut self, types: &[String]) -> Option<u16> {
        if let Some(&id) = self.list_ids.get(types) {
            return Some(id);
        }
        if self.lists.len() >= LISTS_MAX {
            if self.lists.len() == LISTS_MAX {
                self.lists.push(vec![GENERAL.to_owned()]);
            }
            return None;
        }
        let id = self.lists.len() as u16;
        self.lists.push(types.to_vec());
        self.list_ids.insert(types.to_vec(), id);
        Some(id)
    }

    /// Adds all of another one. It is told how many of them have types that did not fit.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn append(&mut self, other: Builder) -> Result<usize, String> {
        let Builder { rows, texts, lists, .. } = other;
        let base = self.texts.len();
        if base + texts.len() > TEXT_MAX {
            return Err("more than 4 GB of text in all files of places: leave one out".to_owned());
        }
        if self.rows.is_empty() {
            (self.rows, self.texts) = (rows, texts);
            self.lists = lists.clone();
            self.list_ids = lists.into_iter().zip(0..).collect();
            return Ok(0);
        }
        let lists: Vec<Option<u16>> = lists.iter().map(|list| self.list(list)).collect();
        let general = rows.iter().filter(|row| lists[usize::from(row.list)].is_none()).count();
        self.texts.extend(texts);
        self.rows.extend(rows.into_iter().map(|row| {
            let list = lists[usize::from(row.list)].unwrap_or(LISTS_MAX as u16);
            Row { text: row.text + base as u32, list, ..row }
        }));
        Ok(general)
    }

    /// Each place's id that another one had before, and a new one for it.
    pub fn repeated_ids(&mut self) -> Vec<String> {
        let hash_of = |id: &[u8]| xxhash_rust::xxh3::xxh3_64(id);
        let mut taken: HashMap<u64, u32> = HashMap::with_capacity(self.rows.len());
        let id_at = |texts: &[u8], row: &Row| parts(texts, row.text as usize)[1].clone();
        let mut repeated = Vec::new();
        let mut again = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let count = taken.entry(hash_of(&self.texts[id_at(&self.texts, row)])).or_insert(0);
            *count += 1;
            if *count > 1 {
                again.push(index);
            }
        }
        for index in again {
            let [name, id, vicinity] = parts(&self.texts, self.rows[index].text as usize);
            let old = String::from_utf8_lossy(&self.texts[id.clone()]).into_owned();
            // What the next one of this id is tried with, as there may be very many.
            let first = hash_of(&self.texts[id]).rotate_left(1);
            let mut number = taken.get(&first).copied().unwrap_or(2);
            while taken.contains_key(&hash_of(format!("{old}~{number}").as_bytes())) {
                number += 1;
            }
            let new = format!("{old}~{number}");
            let (name, vicinity) = (self.texts[name].to_vec(), self.texts[vicinity].to_vec());
            if self.texts.len() + LENGTH_BYTES + name.len() + new.len() + vicinity.len() > TEXT_MAX {
                break;
            }
            self.rows[index].text = self.texts.len() as u32;
            for part in [&name[..], new.as_bytes(), &vicinity] {
                self.texts.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes());
            }
            [&name[..], new.as_bytes(), &vicinity].iter().for_each(|part| self.texts.extend(*part));
            taken.insert(hash_of(new.as_bytes()), 1);
            taken.insert(first, number + 1);
            repeated.push(old);
        }
        repeated
    }

    /// All of them, ready to be searched; in the same order whatever order they came in, but for those at one point.
    pub fn finish(self) -> Pack {
        let Builder { mut rows, texts, lists, .. } = self;
        let key =
            |row: &Row| (band_of(f64::from(row.latitude) / UNITS_PER_DEGREE), row.longitude, row.latitude);
        rows.sort_by_key(key);
        let mut bands = vec![0; BANDS + 1];
        rows.iter().for_each(|row| bands[key(row).0 + 1] += 1);
        (1..bands.len()).for_each(|band| bands[band] += bands[band - 1]);
        Pack {
            latitudes: rows.iter().map(|row| row.latitude).collect(),
            longitudes: rows.iter().map(|row| row.longitude).collect(),
            starts: rows.iter().map(|row| row.text).collect(),
            lists_of: rows.iter().map(|row| row.list).collect(),
            bands,
            texts,
            lists,
        }
    }
}

/// Where the name, the id and the vicinity are that begin here; nothing where they cannot be.
fn parts(texts: &[u8], start: usize) -> [Range<usize>; 3] {
    let length = |at: usize| match texts.get(start + at..start + at + 2) {
        Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let name = start + LENGTH_BYTES..start + LENGTH_BYTES + length(0);
    let id = name.end..name.end + length(2);
    let vicinity = id.end..id.end + length(4);
    if vicinity.end > texts.len() { [0..0, 0..0, 0..0] } else { [name, id, vicinity] }
}

impl Pack {
    /// The same, to add others to it.
    pub fn into_builder(self) -> Builder {
        let rows = (0..self.latitudes.len()).map(|index| Row {
            latitude: self.latitudes[index],
            longitude: self.longitudes[index],
            text: self.starts[index],
            list: self.lists_of[index],
        });
        let list_ids = self.lists.iter().cloned().zip(0..).collect();
        Builder { rows: rows.collect(), texts: self.texts, lists: self.lists, list_ids }
    }

    /// What is known of a place.
    pub fn known(&self, index: usize) -> Known<'_> {
        let [name, id, vicinity] = parts(&self.texts, self.starts[index] as usize);
        let text = |range: Range<usize>| str::from_utf8(&self.texts[range]).unwrap_or_default();
        Known {
            latitude_deg: self.latitude_deg(index),
            longitude_deg: self.longitude_deg(index),
            name: text(name),
            id: text(id),
            vicinity: Some(text(vicinity)).filter(|vicinity| !vicinity.is_empty()),
            types: self.lists.get(usize::from(self.lists_of[index])).map_or(&[], Vec::as_slice),
        }
    }

    /// The indices of at most so many places: those that have this type before the others, and of both those that were
    /// added first.
    pub fn foremost(&self, kind: &str, most: usize) -> Vec<u32> {
        let has_it: Vec<bool> = self.lists.iter().map(|list| list.iter().any(|it| it == kind)).collect();
        let key = |&index: &u32| {
            let list = usize::from(self.lists_of[index as usize]);
            (!has_it.get(list).is_some_and(|has_it| *has_it), self.starts[index as usize])
        };
        let mut all: Vec<u32> = (0..self.len() as u32).collect();
        if all.len() > most {
            all.select_nth_unstable_by_key(most, key);
            all.truncate(most);
            all.shrink_to_fit();
        }
        all.sort_unstable_by_key(key);
        all
    }

    /// Bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        COLUMN_BYTES * self.len() + 4 * self.bands.len() + self.texts.len()
    }
}

impl Points for Pack {
    fn len(&self) -> usize {
        self.latitudes.len()
    }

    fn latitude_deg(&self, index: usize) -> f64 {
        f64::from(self.latitudes[index]) / UNITS_PER_DEGREE
    }

    fn longitude_deg(&self, index: usize) -> f64 {
        f64::from(self.longitudes[index]) / UNITS_PER_DEGREE
    }
}

impl Banded for Pack {
    fn band(&self, band: usize) -> Range<usize> {
        self.bands[band] as usize..self.bands[band + 1] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_takes_20_bytes_and_its_texts() {
        let bytes = |count: usize| {
            let mut builder = Builder::default();
            for index in 0..count {
                let longitude_deg = index as f64 / 10.0;
                let spot = Spot {
                    longitude_deg,
                    name: "Kiosk".into(),
                    vicinity: Some("Pier".into()),
                    ..Spot::default()
                };
                builder.add(&spot, "k").expect("room");
            }
            let pack = builder.finish();
            let columns =
                size_of_val(&*pack.latitudes) + size_of_val(&*pack.longitudes) + size_of_val(&*pack.starts);
            let columns =
                columns + size_of_val(&*pack.lists_of) + size_of_val(&*pack.bands) + pack.texts.len();
            assert_eq!(columns, pack.bytes());
            let mut written = Vec::new();
            pack.write(&mut written).expect("written");
            (pack.bytes(), written.len())
        };
        let ((one, one_written), (more, more_written)) = (bytes(1), bytes(101));
        let texts = "KioskkPier".len();
        assert_eq!((more - one, more_written - one_written), (100 * (20 + texts), 100 * (20 + texts)));
        let docs = include_str!("../../../docs/places.md");
        assert!(docs.contains("A place takes 20 bytes of memory and its texts."));
        // While it is being added its columns have two bytes between them.
        assert_eq!(size_of::<Row>() + LENGTH_BYTES, 22);
        assert!(docs.contains("and a place 22 bytes and its texts"));
    }
}
