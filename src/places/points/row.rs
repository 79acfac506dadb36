//! A row of a file of places: a checked point, or the line and why there is none. `table` and `geojson` make rows, the
//! provider `file` takes them.

/// One point of the user's.
#[derive(Debug, PartialEq)]
pub struct Spot {
    pub latitude_deg: f64,
    pub longitude_deg: f64,
    pub name: String,
    /// Shown as `place_id`, as it is.
    pub id: String,
    pub types: Vec<String>,
    pub vicinity: Option<String>,
}

/// What a file holds: a spot a row, or the line and why there is none.
pub type Row = Result<Spot, (u64, String)>;

impl Spot {
    /// Checks what both kinds of file may get wrong.
    pub fn checked(self) -> Result<Spot, String> {
        if self.name.is_empty() {
            return Err("no name".to_string());
        }
        for (what, degrees, limit_deg) in
            [("latitude", self.latitude_deg, 90.0), ("longitude", self.longitude_deg, 180.0)]
        {
            if !(-limit_deg..=limit_deg).contains(&degrees) {
                return Err(format!("{what} {degrees} is not from -{limit_deg} to {limit_deg}"));
            }
        }
        Ok(self)
    }
}

/// `a; b`, `a|b` or `a,b`; a point without any is a point of interest.
pub fn types(cell: &str) -> Vec<String> {
    let types = cell.split([';', '|', ',']).map(str::trim).filter(|kind| !kind.is_empty());
    let types: Vec<String> = types.map(str::to_string).collect();
    if types.is_empty() { vec!["point_of_interest".to_string()] } else { types }
}
