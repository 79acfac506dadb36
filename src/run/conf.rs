//! Which herd.conf is meant, and reading it: from its file, or from the parent that started this process. `main` calls
//! it before every command that needs a herd.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::say::fail;
use super::{exit, parent};
use crate::config::{Config, ConfigError, DEFAULT_PATHS};
use crate::files;
use crate::limits::CONFIG_FILE_MAX;

/// Why there is no herd.conf to go by.
pub enum NoConf {
    /// What the parent, or this process before an upgrade, read cannot be read from it.
    HandedOn(io::Error),
    /// The file is missing, cannot be read, or is not valid.
    File(ConfigError),
}

/// Reads the file of this path, or the default one when no path is given; in an upgrade what was checked before it.
///
/// # Errors
/// There is none to go by.
pub fn load(path: Option<PathBuf>, checked: Option<File>) -> Result<Config, NoConf> {
    let path = path.unwrap_or_else(default_path);
    let checked = checked.map(|file| files::read_up_to(file, CONFIG_FILE_MAX));
    let loaded = match checked.or_else(parent::handed_on) {
        None => Config::load(&path),
        Some(text) => Config::of_bytes(&path, text.map_err(NoConf::HandedOn)?),
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
            NoConf::HandedOn(why) => {
                fail(exit::OS, format!("cannot read the herd.conf that is handed on: {why}"))
            }
            NoConf::File(why) => fail(exit::CONFIG, why),
        }
    }
}
