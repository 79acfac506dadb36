//! From what herd.conf says to what it means. `Config::parse` calls it; `settings`, `servers` and `graph` do the parts.

use std::path::Path;

use super::backbone::backbone;
use super::paths::Paths;
use super::raw::{Problem, Raw, line_of};
use super::settings::{log_bounds, log_level, places, settings};
use super::{Config, graph, servers, source};
use crate::limits::PLACES_CACHE;

/// `text` is what it was read from, for the places of files that are opened later.
pub fn validate(path: &Path, raw: Raw, text: &str) -> Result<Config, Problem> {
    let folder = source::folder_of(path);
    let paths = Paths { folder, text };
    let insecure = raw.insecure_neighbours;
    let places_of: Vec<_> =
        raw.servers.iter().map(|(name, table)| (name.span().start, table.listen.span())).collect();
    let data_dir = match &raw.data_dir {
        Some(place) if place.get_ref().is_empty() => None,
        place => Some(paths.find("data_dir", place.as_ref())?.unwrap_or_else(|| folder.join("data"))),
    };
    let backbone = backbone(&raw.backbone, &paths)?;
    let config = Config {
        path: path.to_owned(),
        text: text.into(),
        settings: settings(&raw)?,
        log_dir: paths.find("log_dir", raw.log_dir.as_ref())?.unwrap_or_else(|| folder.join("log")),
        log_level: log_level(raw.log_level.as_ref())?,
        log_bounds: log_bounds(&raw)?,
        places_line: raw.places.provider.as_ref().map(|provider| line_of(&provider.span(), text)),
        places: places(raw.places, &paths, data_dir.as_ref().map(|folder| folder.join(PLACES_CACHE)))?,
        data_dir,
        secret_file: paths.find_secret("secret_file", raw.secret_file.as_ref())?,
        servers: servers::servers(raw.servers, (&raw.http, &raw.map, backbone.is_some()), &paths)?,
        backbone,
    };
    if !insecure {
        graph::guarded(&config, places_of)?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests;
