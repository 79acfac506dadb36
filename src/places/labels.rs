//! The largest towns of the gazetteer, by which a map is labelled. build.rs chooses them. The door for HTTP asks.

/// A town, where it is as it is written in the gazetteer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    pub name: &'static str,
    pub latitude_deg: f64,
    pub longitude_deg: f64,
}

#[cfg(feature = "gazetteer")]
static TOWNS: &str = include_str!(concat!(env!("OUT_DIR"), "/labels.tsv"));
#[cfg(not(feature = "gazetteer"))]
static TOWNS: &str = "";

/// All of them, the largest first.
pub fn labels() -> impl Iterator<Item = Label> {
    TOWNS.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let (latitude, longitude, name) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Label { name, latitude_deg: latitude.parse().ok()?, longitude_deg: longitude.parse().ok()? })
    })
}
