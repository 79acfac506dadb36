//! Which herd.conf is meant, and reading it: from its file, or from the parent that started this process. `main` calls
//! it before every command that needs a herd.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::say::fail;
use super::{exit, family};
use crate::config::{Config, ConfigError, DEFAULT_PATHS};

/// Why there is no herd.conf to go by.
pub enum NoConf {
    /// What the parent read cannot be read from it.
    Parent(io::Error),
    /// The file is missing, cannot be read, or is not valid.
    File(ConfigError),
}

/// Reads the file of this path, or the default one when no path is given.
///
/// # Errors
/// There is none to go by.
pub fn load(path: Option<PathBuf>) -> Result<Config, NoConf> {
    let path = path.unwrap_or_else(default_path);
    let loaded = match family::handed_on() {
        None => Config::load(&path),
        Some(text) => Config::of_bytes(&path, text.map_err(NoConf::Parent)?),
    };
    loaded.map_err(|why| {
        let is_nowhere = !path.exists() && path == Path::new(DEFAULT_PATHS[0]);
        NoConf::File(if is_nowhere { ConfigError::nowhere() } else { why })
    })
}

fn default_path() -> PathBuf {
    let found = DEFAULT_PATHS.iter().map(Path::new).find(|path| path.exists());
    found.unwrap_or(Path::new(DEFAULT_PATHS[0])).to_owned()
}

impl NoConf {
    /// Says why on stderr, with the status for it.
    pub fn fail(self) -> ExitCode {
        match self {
            NoConf::Parent(why) => fail(exit::OS, format!("cannot read what the parent hands on: {why}")),
            NoConf::File(why) => fail(exit::CONFIG, why),
        }
    }
}
