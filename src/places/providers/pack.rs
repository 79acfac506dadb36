//! The form of the packed gazetteer: what build.rs writes and `gazetteer.rs` reads.
//! Columns of little-endian integers, rows in ascending order of latitude, then two text blocks.

/// First bytes of the pack; the digit changes when the form does.
pub const MAGIC: [u8; 4] = *b"hgz1";

/// The magic, then the numbers of rows, of regions, and of bytes of names and of region texts.
pub const HEADER_BYTES: usize = 4 + 4 * 4;

/// Coordinates are integers of a hundred-thousandth of a degree, about a metre.
pub const UNITS_PER_DEGREE: f64 = 1e5;

/// From here on an id is the four ASCII letters of an airport, below it a GeoNames number.
pub const AIRPORT_ID_MIN: u32 = 0x2000_0000;

/// Where each column starts, in bytes from the start of the pack.
#[derive(Clone, Copy)]
pub struct Columns {
    /// `i32` a row.
    pub latitudes: usize,
    /// `i32` a row.
    pub longitudes: usize,
    /// `u32` a row, see [`AIRPORT_ID_MIN`].
    pub ids: usize,
    /// `u32` a row and one more: where a name starts in the names, and where the last ends.
    pub name_starts: usize,
    /// `u16` a row: the number of its region.
    pub regions: usize,
    /// `u32` a region and one more, as of names.
    pub region_starts: usize,
    pub names: usize,
    pub region_texts: usize,
    /// The length of the whole pack.
    pub end: usize,
}

impl Columns {
    pub const fn new(rows: usize, regions: usize, name_bytes: usize, text_bytes: usize) -> Columns {
        let latitudes = HEADER_BYTES;
        let longitudes = latitudes + 4 * rows;
        let ids = longitudes + 4 * rows;
        let name_starts = ids + 4 * rows;
        let regions_at = name_starts + 4 * (rows + 1);
        let region_starts = regions_at + 2 * rows;
        let names = region_starts + 4 * (regions + 1);
        let region_texts = names + name_bytes;
        let end = region_texts + text_bytes;
        Columns {
            latitudes,
            longitudes,
            ids,
            name_starts,
            regions: regions_at,
            region_starts,
            names,
            region_texts,
            end,
        }
    }
}

/// The `u32` at a byte offset; also usable at compile time.
pub const fn u32_at(pack: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([pack[at], pack[at + 1], pack[at + 2], pack[at + 3]])
}
