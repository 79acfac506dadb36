//! The largest towns of the gazetteer, by which a map is labelled where the user has no places of their own. build.rs
//! chooses them. `Places::labels` offers them to the door for HTTP.

/// A name on a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label<'a> {
    pub name: &'a str,
    pub latitude_deg: f64,
    pub longitude_deg: f64,
}

#[cfg(feature = "gazetteer")]
static TOWNS: &str = include_str!(concat!(env!("OUT_DIR"), "/labels.tsv"));
#[cfg(not(feature = "gazetteer"))]
static TOWNS: &str = "";

/// Whom the licence wants named where they are seen.
const ATTRIBUTION: &str = "Towns: GeoNames, CC BY 4.0";

/// Offers them, the largest first, until one is not taken. Returns whom to name.
pub fn towns(take: &mut dyn FnMut(Label<'_>) -> bool) -> Vec<&'static str> {
    let town = |line: &'static str| {
        let mut fields = line.split('\t');
        let (latitude, longitude, name) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Label { name, latitude_deg: latitude.parse().ok()?, longitude_deg: longitude.parse().ok()? })
    };
    let _ = TOWNS.lines().filter_map(town).all(take);
    if TOWNS.is_empty() { Vec::new() } else { vec![ATTRIBUTION] }
}
