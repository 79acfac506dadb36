//! One place of the user's, and what every kind of file may get wrong of one. Readers make it, `pack` keeps it.

use crate::limits::PLACE_TEXT_MAX;

/// One point of the user's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spot {
    pub latitude_deg: f64,
    pub longitude_deg: f64,
    pub name: String,
    /// Shown as `place_id`; None for one that is to be made.
    pub id: Option<String>,
    pub types: Vec<String>,
    pub vicinity: Option<String>,
}

/// What a latitude that cannot be is taken for, if it could be a longitude.
pub const SWAPPED: &str = "are latitude and longitude swapped?";

impl Spot {
    /// Checks what every kind of file may get wrong.
    pub fn checked(self) -> Result<Spot, String> {
        let (latitude, longitude) = (self.latitude_deg, self.longitude_deg);
        for (what, degrees, limit_deg) in [("latitude", latitude, 90.0), ("longitude", longitude, 180.0)] {
            if !(-limit_deg..=limit_deg).contains(&degrees) {
                let fits_swapped = latitude.abs() <= 180.0 && longitude.abs() <= 90.0;
                let cause = match (fits_swapped, latitude.abs().max(longitude.abs()) > 1_000.0) {
                    (true, _) => format!("; {SWAPPED}"),
                    (false, true) => "; are these metres of a map? degrees are expected (WGS 84)".to_owned(),
                    (false, false) => String::new(),
                };
                return Err(format!("{what} {degrees} is not from -{limit_deg} to {limit_deg}{cause}"));
            }
        }
        let texts = [Some(&self.name), self.id.as_ref(), self.vicinity.as_ref()];
        if let Some(text) = texts.into_iter().flatten().find(|text| text.chars().count() > PLACE_TEXT_MAX) {
            let begin: String = text.chars().take(20).collect();
            return Err(format!("a text of over {PLACE_TEXT_MAX} characters, {begin:?}…"));
        }
        Ok(self)
    }
}
