//! The bounds of places: of the threads that ask, of the answers, and of the files of points and keys. `limits` hands
//! them on.

use std::ops::RangeInclusive;

use super::{Limit, limit};

/// Places threads. The default 0 stands for what suits the provider.
pub const PLACES_THREADS: Limit = limit(0, 1, 1_024);

/// The largest radius a client may ask for, in km: that of Google Places.
pub const RADIUS_MAX_KM: u32 = 50;

/// The most places a client may ask for: what one Google Places answer holds.
pub const BOUND_MAX: u8 = 20;

/// Addresses of a provider's name that are tried: what ureq has room for.
pub const PROVIDER_ADDRESSES_MAX: usize = 16;

/// Lookups that may wait for a places thread; the next one is answered as overload.
pub const PLACES_QUEUE: Limit = limit(256, 1, 65_536);

/// Lookups a day that are sent to a provider. There is no default: what a lookup costs is between the provider and
/// whoever pays. 0 sends none.
pub const PLACES_DAILY_BUDGET: Limit = limit(0, 0, 1_000_000_000);

/// A network may take one of so many shares of that at any time; and networks whose lookups are counted apart, of which
/// each takes some 50 bytes.
pub const SHARES_OF_BUDGET: u64 = 4;
pub const BUDGET_NETWORKS_MAX: usize = 65_536;

/// Places threads that suit a provider behind HTTP, which may hold each for the whole total time-out, and one whose
/// points are here, which takes microseconds.
pub const PLACES_ASKING_THREADS: usize = 32;
pub const PLACES_LOCAL_THREADS: usize = 2;

/// Seconds a lookup has to connect and in all. A client that waits longer has given up.
pub const PLACES_CONNECT_TIMEOUT_S: Limit = limit(2, 1, 60);
pub const PLACES_TOTAL_TIMEOUT_S: Limit = limit(5, 1, 60);

/// Stack of a places thread: TLS and JSON need some tens of KiB, debug builds a few times that.
pub const PLACES_STACK_BYTES: usize = 512 * 1024;

/// Bytes of a file of places, of which ten million fit. Another file that is read to the end would cost the machine
/// its memory.
pub const PLACES_FILE_MAX: u64 = 1024 * 1024 * 1024;

/// Bad rows of such a file in a hundred that are put up with: a typing slip, not the wrong file.
pub const BAD_ROWS_PERCENT_MAX: u64 = 1;

/// Bad rows that are named one by one in the log, and in an error; beyond them their number says enough.
pub const BAD_ROWS_LOGGED_MAX: usize = 20;
pub const BAD_ROWS_IN_ERROR_MAX: usize = 3;

/// Bytes of a provider's key. Keys have some tens of characters; a file with more is another file.
pub const PLACES_KEY_MAX: usize = 512;

/// Bytes of a key from which on it is taken out of good answers, too: a shorter one could be a word of any answer, and
/// taking it out would maim that.
pub const PLACES_KEY_ECHO_MIN: usize = 12;

/// Bytes of a provider's own words that are passed on: some sentences, in a reply that is one line.
pub const PLACES_DETAIL_MAX: usize = 400;

/// Bytes of an answer over HTTP. 20 places of the wordiest provider are some 40 KiB; more than this is not an answer.
pub const PLACES_ANSWER_MAX: u64 = 1024 * 1024;

/// Bytes of either buffer of a connection to a provider, which it owns while it lives: sized for questions and for
/// answers of some tens of KiB, not for downloads.
pub const PLACES_BUFFER_BYTES: usize = 16 * 1024;

/// Milliseconds before the second try: short against the deadline, long enough for a restart, and spread so that all
/// servers of a herd do not come back at once.
pub const PLACES_RETRY_PAUSE_MS: RangeInclusive<u64> = 50..=250;

/// Metres of the first circle that Overpass is asked for, and how many times wider each next one is. Overpass neither
/// sorts by distance nor gives the nearest few, and all of a city within 50 km is far over the size of an answer: so
/// the circle begins small, and the third is the widest there is.
pub const OVERPASS_FIRST_RADIUS_M: f64 = 1000.0;
pub const OVERPASS_WIDENING: f64 = 8.0;

/// Characters of a text of a place, and lines of a field of a table: what is longer is a quote that is never closed.
pub const PLACE_TEXT_MAX: usize = 1_000;
pub const PLACE_FIELD_LINES_MAX: usize = 20;

/// How deep collections of geometries may lie in one another: GeoJSON advises against any.
pub const GEOMETRY_DEPTH_MAX: usize = 8;

/// The folder in `data_dir` with what was read of files of places; no server can have its name.
pub const PLACES_CACHE: &str = ".places";

/// Ids that were used twice and are named in the log; beyond them their number says enough.
pub const REPEATED_IDS_LOGGED_MAX: usize = 5;

/// Bytes of an extract of OpenStreetMap: a continent, which takes ten minutes to read.
pub const OSM_FILE_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Bytes of the header of a blob of an extract, and of what is in a blob, packed or not: the format's own bounds.
pub const OSM_HEADER_MAX: u64 = 64 * 1024;
pub const OSM_BLOB_MAX: u64 = 32 * 1024 * 1024;

/// Points of ways, and ways of areas, that are needed to say where the places of an extract are. Each is 20 bytes
/// while the extract is read: a gigabyte at most.
pub const OSM_POINTS_MAX: usize = 50_000_000;

/// Points of one way, of which OpenStreetMap allows 2,000; of one area; and of all areas that are joined, where several
/// may have the same ways.
pub const OSM_WAY_POINTS_MAX: usize = 100_000;
pub const OSM_AREA_POINTS_MAX: usize = 4_000_000;
pub const OSM_JOINED_POINTS_MAX: usize = 4 * OSM_POINTS_MAX;

/// Places of an extract, some hundred bytes each, and bytes of their texts in all. A tag's value has 255 characters;
/// a longer one counts as none.
pub const OSM_PLACES_MAX: usize = 10_000_000;
pub const OSM_TEXT_BYTES_MAX: usize = 1024 * 1024 * 1024;
pub const OSM_VALUE_BYTES_MAX: usize = 4 * 255;

/// Stretches of an extract that are remembered for having one kind of elements: a sorted file has three.
pub const OSM_STRETCHES_MAX: usize = 65_536;

/// Types of one place, and bytes of one: a tag may have any value, of which some are no words.
pub const OSM_TYPES_MAX: usize = 8;
pub const OSM_TYPE_BYTES_MAX: usize = 40;

/// Metres to a settlement that stands for the city of an address that names none: beyond them it is not there.
pub const OSM_SETTLEMENT_RADIUS_M: f64 = 30_000.0;

/// Seconds between two lines of the log about how far reading has come.
pub const PLACES_PROGRESS_S: u64 = 1;

/// Bytes that are read and written at once of what is kept of an extract, and bytes of the line about it in there.
pub const PLACES_CACHE_BUFFER_BYTES: usize = 256 * 1024;
pub const PLACES_CACHE_TEXT_MAX: u64 = 64 * 1024;

/// Of servers that start at once one reads an extract. Seconds without a sign of life after which the others read it,
/// too: it shows one each second, and none while it sorts, which takes ten seconds for ten million places. Milliseconds
/// between two looks, and how often it is claimed again when it was done and kept nothing.
pub const PLACES_CLAIM_PATIENCE_S: u64 = 30;
pub const PLACES_CLAIM_LOOK_MS: u64 = 50;
pub const PLACES_CLAIMS_MAX: usize = 16;
const _: () = assert!(PLACES_CLAIM_PATIENCE_S > 10 * PLACES_PROGRESS_S);

/// Places of the user's files by which a map is labelled: as many as there are towns of the gazetteer for it.
pub const PLACES_LABELS_MAX: usize = 5_000;

/// Bytes of the beginning of a file of places that tell what kind it is.
pub const PLACES_BEGIN_BYTES: u64 = 64;

/// Bytes of what a script around GeoJSON calls it: `var name = {…}`.
pub const SCRIPT_NAME_MAX: usize = 200;

/// Lines of a column's title: more are rows that a quote has swallowed.
pub const TITLE_LINES_MAX: usize = 3;
