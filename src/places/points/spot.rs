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

/// The type of a place without any, and of those whose types do not fit.
pub const GENERAL: &str = "point_of_interest";

/// What a latitude that cannot be is taken for, if it could be a longitude.
pub const SWAPPED: &str = "are latitude and longitude swapped?";

/// What is changed of a place rather than it being lost.
pub const BEYOND_180: &str = "whose longitude went on beyond 180";
pub const LONG_VICINITY: &str = "with a vicinity of over 1,000 characters, which was cut";
pub const LONG_ID: &str = "with an id of over 1,000 characters, which got another one";
pub const LONG_TYPES: &str = "with a type of over 1,000 characters, which was left out";
const _: () = assert!(PLACE_TEXT_MAX == 1_000);

impl Spot {
    /// Checks what every kind of file may get wrong, and says what was changed.
    pub fn checked(mut self, changed: &mut impl FnMut(&'static str)) -> Result<Spot, String> {
        if (180.0..=360.0).contains(&self.longitude_deg.abs()) && self.longitude_deg.abs() != 180.0 {
            self.longitude_deg -= 360.0_f64.copysign(self.longitude_deg);
            changed(BEYOND_180);
        }
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
        if is_long(&self.name) {
            let begin: String = self.name.chars().take(20).collect();
            return Err(format!("a text of over {PLACE_TEXT_MAX} characters, {begin:?}…"));
        }
        if self.id.take_if(|id| is_long(id)).is_some() {
            changed(LONG_ID);
        }
        if let Some(vicinity) = self.vicinity.as_mut().filter(|vicinity| is_long(vicinity)) {
            let end = vicinity.char_indices().nth(PLACE_TEXT_MAX).map_or(vicinity.len(), |(end, _)| end);
            vicinity.truncate(end);
            changed(LONG_VICINITY);
        }
        if self.types.iter().any(|kind| is_long(kind)) {
            self.types.retain(|kind| !is_long(kind));
            if self.types.is_empty() {
                self.types.push(GENERAL.to_owned());
            }
            changed(LONG_TYPES);
        }
        Ok(self)
    }
}

fn is_long(text: &str) -> bool {
    text.len() > PLACE_TEXT_MAX && text.chars().count() > PLACE_TEXT_MAX
}
