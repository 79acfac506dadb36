//! Opens the places of herd.conf. `one`, `next` and `check` have it done.

use std::sync::Arc;

use crate::config::{Config, ConfigError};
use crate::places::{self, Places};

/// Opens the provider of places that herd.conf names.
///
/// # Errors
/// Its key or its file is missing or of no use.
pub fn open_places(config: &Config, is_cache_kept: bool) -> Result<Arc<dyn Places>, ConfigError> {
    let settings = places::Settings { is_cache_kept, ..config.places.clone() };
    places::open(&settings).map_err(|why| config.error(config.places_line, why))
}
