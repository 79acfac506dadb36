//! The provider `file`: the user's own places, from tables, GeoJSON and extracts of OpenStreetMap, read at the start
//! and at SIGHUP. Bad rows are reported with their line, and more than one in a hundred stops the start.

use std::io::{self, Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::extract;
use super::layout::{Place, Point, results_json};
use super::settle::{Part, repeated, settle};
use crate::files;
use crate::limits::{PLACES_BEGIN_BYTES, PLACES_FILE_MAX, PLACES_LABELS_MAX};
use crate::logging::count;
use crate::places::points::pack::{Builder, Known, Pack};
use crate::places::points::{self, Points, Reading, nearest, osm};
use crate::places::{Label, Lookup, Places, PlacesError, Settings};

/// The places of all files.
pub struct File {
    loaded: Loaded,
    /// Who is asked where no file has anything.
    beyond: Option<Arc<dyn Places>>,
}

/// What was read.
struct Loaded {
    pack: Pack,
    /// What each file came to, in a line.
    about: Vec<String>,
    attributions: Vec<&'static str>,
    /// Which of them label a map, what matters most first. Bounded.
    labels: Vec<u32>,
}

impl Loaded {
    /// Towns matter more than shops, and what stands first in a file more than what follows.
    fn of(pack: Pack, about: Vec<String>, attributions: Vec<&'static str>) -> Loaded {
        let labels = pack.foremost("locality", PLACES_LABELS_MAX);
        Loaded { pack, about, attributions, labels }
    }
}

impl File {
    /// Reads all files of `places.path`; `beyond` answers where they have nothing.
    ///
    /// # Errors
    /// One of them cannot be read, or is not as it should be.
    pub fn open(settings: &Settings, beyond: Option<Arc<dyn Places>>) -> Result<File, String> {
        if settings.paths.is_empty() {
            return Err("places.path: not set, but the file provider needs one: name a CSV, TSV, GeoJSON or .osm.pbf file"
                .to_owned());
        }
        Ok(File { loaded: load(settings)?, beyond })
    }

    /// The places in the bytes of one file. The path is for the words of errors.
    ///
    /// # Errors
    /// It is no file of places, too many of its rows are bad, or it has no place.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<File, String> {
        let settings = Settings::default();
        let is_extract = osm::is_extract(bytes);
        let (places, about) = match is_extract {
            true => extract::read(Cursor::new(bytes), bytes.len() as u64, path, &settings, &|| {})?,
            false => read(bytes, path, "file")?,
        };
        let attributions = is_extract.then_some(osm::ATTRIBUTION).into_iter().collect();
        let about = vec![format!("{}: {about}", path.display())];
        Ok(File { loaded: Loaded::of(places.finish(), about, attributions), beyond: None })
    }
}

fn load(settings: &Settings) -> Result<Loaded, String> {
    let (mut all, mut only) = (Builder::default(), None);
    let (mut about, mut attributions) = (Vec::new(), Vec::new());
    for path in &settings.paths {
        let shown = path.display();
        let (part, line) = match Opened::at(path).map_err(|why| format!("places.path: {shown}: {why}"))? {
            Opened::Extract(file) => {
                attributions = vec![osm::ATTRIBUTION];
                extract::open(file, path, settings)?
            }
            Opened::Bytes(bytes) => {
                let (places, line) = read(&bytes, path, &prefix_of(path, settings.paths.len()))?;
                (Part::Rows(places), line)
            }
        };
        about.push(format!("{shown}: {line}"));
        let added = match part {
            Part::Rows(places) => all.append(places),
            // One that is alone stays as it is.
            Part::Packed(pack) if settings.paths.len() == 1 => {
                only = Some(pack);
                Ok(0)
            }
            Part::Packed(pack) => all.append(pack.into_builder()),
        };
        let general = added.map_err(|why| format!("places.path: {shown}: {why}"))?;
        if general > 0 {
            let places = count(general as u64, "place");
            about.push(format!(
                "{shown}: {places} became point_of_interest: all files have too many lists of types"
            ));
        }
    }
    let pack = match only {
        Some(pack) => pack,
        None => {
            about.extend(repeated(&mut all));
            all.finish()
        }
    };
    let (places, mb) = (count(pack.len() as u64, "place"), pack.bytes() as f64 / 1e6);
    about.push(format!("{places} in all, in {mb:.1} MB of memory"));
    Ok(Loaded::of(pack, about, attributions))
}

/// A file, by how it begins.
enum Opened {
    /// Too large to be read as a whole.
    Extract(std::fs::File),
    Bytes(Vec<u8>),
}

impl Opened {
    fn at(path: &Path) -> io::Result<Opened> {
        let mut file = files::open(path)?;
        let mut begin = Vec::new();
        file.by_ref().take(PLACES_BEGIN_BYTES).read_to_end(&mut begin)?;
        file.rewind()?;
        match osm::is_extract(&begin) {
            true => Ok(Opened::Extract(file)),
            false => files::read_up_to(file, PLACES_FILE_MAX).map(Opened::Bytes),
        }
    }
}

/// What ids begin with that are made. Of several files each has its own.
fn prefix_of(path: &Path, files: usize) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if files == 1 { "file".to_owned() } else { name }
}

/// The places in the bytes of a file, and what is to be said of them. The path is for the words of errors.
///
/// # Errors
/// It is no file of places, too many of its rows are bad, or it has no place.
fn read(bytes: &[u8], path: &Path, prefix: &str) -> Result<(Builder, String), String> {
    let shown = path.display();
    let mut reading = Reading::of(prefix);
    points::read(bytes, &mut reading).map_err(|why| format!("places.path: {shown}:{why}"))?;
    settle(reading, path)
}

impl Places for File {
    fn nearby(&self, lookup: &Lookup, deadline: Instant) -> Result<Vec<u8>, PlacesError> {
        let Lookup { latitude_deg, longitude_deg, radius_m, bound } = *lookup;
        let loaded = &self.loaded;
        let hits = nearest(&loaded.pack, latitude_deg, longitude_deg, radius_m, bound.into());
        if hits.is_empty()
            && let Some(beyond) = &self.beyond
        {
            return beyond.nearby(lookup, deadline);
        }
        let places: Vec<Place<'_>> = hits.iter().map(|hit| place(&loaded.pack.known(hit.index))).collect();
        Ok(results_json(&loaded.attributions, &places))
    }

    fn labels(&self, take: &mut dyn FnMut(Label<'_>) -> bool) -> Vec<&'static str> {
        let loaded = &self.loaded;
        let mut attributions = loaded.attributions.clone();
        let is_enough = !loaded.labels.iter().all(|&index| {
            let Known { name, latitude_deg, longitude_deg, .. } = loaded.pack.known(index as usize);
            take(Label { name, latitude_deg, longitude_deg })
        });
        if let Some(beyond) = self.beyond.as_ref().filter(|_| !is_enough) {
            attributions.extend(beyond.labels(take));
        }
        attributions
    }

    fn about(&self) -> Vec<String> {
        self.loaded.about.clone()
    }

    fn memory_bytes(&self) -> usize {
        self.loaded.pack.bytes()
    }
}

fn place<'a>(known: &Known<'a>) -> Place<'a> {
    Place {
        location: Some(Point::of_degrees(known.latitude_deg, known.longitude_deg)),
        name: Some(known.name.into()),
        place_id: Some(known.id.into()),
        types: known.types.iter().map(|kind| kind.as_str()).collect(),
        vicinity: known.vicinity.map(Into::into),
        ..Place::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Builder, String), String> {
        super::read(text.as_bytes(), Path::new("my.csv"), "file")
    }

    #[test]
    fn one_bad_row_in_a_hundred_is_left_out() {
        let good = "A,1,2\n".repeat(99);
        let (places, line) = read(&format!("name,lat,lon\n{good}B,x,2\n")).expect("read");
        assert_eq!((places.len(), line.as_str()), (99, "99 places read, 1 bad"));
        let why = read(&format!("name,lat,lon\n{good}B,x,2\nC,y,2\n")).err().expect("too many");
        assert!(why.contains("2 of 101 rows") && why.contains("my.csv:101: row 100: "), "{why}");
    }

    #[test]
    fn what_a_quote_swallows_stops_the_start() {
        let name = |row| if row == 10 || row == 290 { "\"Zum Anker" } else { "Kiosk" };
        let rows: String = (1..=300).map(|row| format!("{},1,2\n", name(row))).collect();
        let why = read(&format!("name,lat,lon\n{rows}")).err().expect("too many");
        assert!(why.contains("of 300 rows are bad") && why.contains("my.csv:11: row 10: a quote"), "{why}");
    }

    #[test]
    fn a_map_is_labelled_with_towns_first_and_then_in_the_order_of_the_file() {
        let rows: String =
            (0..PLACES_LABELS_MAX).map(|row| format!("S{row},{},2,shop\n", row % 80)).collect();
        let text = format!("name,lat,lon,type\n{rows}Last,3,4,shop\nTown,5,6,locality\n");
        let file = File::parse(text.as_bytes(), Path::new("my.csv")).expect("read");
        let labels = |most: usize| {
            let mut names = Vec::new();
            let _ = file.labels(&mut |label| {
                names.push((label.name.to_owned(), label.latitude_deg));
                names.len() < most
            });
            names
        };
        let expected = [("Town".to_owned(), 5.0), ("S0".to_owned(), 0.0), ("S1".to_owned(), 1.0)];
        assert_eq!(labels(3), expected);
        let all = labels(usize::MAX);
        assert_eq!(all.len(), PLACES_LABELS_MAX);
        assert!(!all.iter().any(|(name, _)| name == "Last"), "the first of them, and no more");
    }

    #[test]
    fn behind_labels_of_files_come_towns_where_the_gazetteer_is_asked_too() {
        struct Beyond;
        impl Places for Beyond {
            fn nearby(&self, _: &Lookup, _: Instant) -> Result<Vec<u8>, PlacesError> {
                Ok(Vec::new())
            }
        }
        let names = |beyond: Option<Arc<dyn Places>>, most: usize| {
            let file = File::parse(b"name,lat,lon\nDepot,1,2\n", Path::new("my.csv")).expect("read");
            let mut names = Vec::new();
            let whose = File { beyond, ..file }.labels(&mut |label| {
                names.push(label.name.to_owned());
                names.len() < most
            });
            (names, whose.len())
        };
        assert_eq!(names(None, 9), (vec!["Depot".to_owned()], 0));
        assert_eq!(names(Some(Arc::new(Beyond)), 1), (vec!["Depot".to_owned()], 0));
        if cfg!(feature = "gazetteer") {
            let (names, whose) = names(Some(Arc::new(Beyond)), 9);
            assert_eq!((names.len(), names[0].as_str(), whose), (9, "Depot", 1));
        }
    }

    #[test]
    fn a_file_without_places_says_what_it_has() {
        let why = read("name,lat,lon\nA,,\nB,,\n").err().expect("no place");
        assert!(why.contains("no places in it (2 without a position skipped)"), "{why}");
        let why = read("name,lat,lon\nA,100,2\nB,110,3\n").err().expect("no place");
        assert!(why.ends_with("latitude and longitude seem to be swapped"), "{why}");
    }
}
