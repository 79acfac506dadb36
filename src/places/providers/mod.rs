//! The providers: who says what is near a position.
//!
//! Lives here: a file for each provider, each of which is a `Places`; the shape of their answers (`layout`), and the
//! packed form of the gazetteer (`pack`), which build.rs shares; of `file`, its `extract`s, their `cache` and
//! the `claim` to read one.
//! Called by: `run` through [`open`]; then the pool asks what that returned.
//! May touch: `ask` for those behind HTTP, `points` for those with points of their own, and the file of places.

mod cache;
mod claim;
mod extract;
pub mod file;
#[cfg(feature = "gazetteer")]
mod gazetteer;
pub mod google;
pub mod google_legacy;
pub mod layout;
pub mod overpass;
#[cfg(feature = "gazetteer")]
mod pack;
mod settle;

use std::sync::Arc;

use super::{Places, Provider, Settings};

/// Opens the provider: reads its key and its files, asks nobody yet.
///
/// The error names the setting and says what to do; it holds no key.
pub fn open(settings: &Settings) -> Result<Arc<dyn Places>, String> {
    Ok(match settings.provider {
        Provider::Google | Provider::GoogleLegacy | Provider::Overpass if !cfg!(feature = "online") => {
            let why = "places.provider: this build asks nobody over the network: build with the feature online, or \
                       choose gazetteer or file";
            return Err(why.to_owned());
        }
        Provider::Gazetteer => open_gazetteer()?,
        Provider::Google => Arc::new(google::Google::open(settings)?),
        Provider::GoogleLegacy => Arc::new(google_legacy::GoogleLegacy::open(settings)?),
        Provider::Overpass => Arc::new(overpass::Overpass::open(settings)?),
        Provider::File => {
            let beyond = if settings.also_gazetteer { Some(open_gazetteer()?) } else { None };
            Arc::new(file::File::open(settings, beyond)?)
        }
    })
}

#[cfg(feature = "gazetteer")]
fn open_gazetteer() -> Result<Arc<dyn Places>, String> {
    Ok(Arc::new(gazetteer::Gazetteer))
}

#[cfg(not(feature = "gazetteer"))]
fn open_gazetteer() -> Result<Arc<dyn Places>, String> {
    Err("places.provider: the gazetteer was left out of this build: build with the default \
         features, or choose google, google-legacy, overpass or file"
        .to_string())
}
