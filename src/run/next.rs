//! The next herd.conf of a server that serves: all that it names is read and opened first; then the server takes up all of
//! it, or keeps all that it has. `reload` has it read, `service` takes it up.

use std::sync::Arc;

use super::places::open_places;
use super::site::NextWeb;
use super::{exit, secrets};
use crate::config::{Change, Config, ConfigError};
use crate::link::KeyRing;
use crate::places::Places;

/// What the reason begins with where a restart helps.
pub const NEEDS_RESTART: &str = "needs a restart: ";

/// The next herd.conf, with all that it names.
pub struct Next {
    pub config: Config,
    pub index: usize,
    pub keys: KeyRing,
    /// None where nothing about places can be new.
    pub places: Option<Arc<dyn Places>>,
    pub web: Option<NextWeb>,
    /// What is new, in words.
    pub news: Vec<String>,
}

/// Why nothing is taken up.
#[derive(Clone, Debug)]
pub struct NotTaken {
    /// The exit status for it.
    pub status: u8,
    pub why: String,
}

impl NotTaken {
    /// What herd.conf says, or names, is of no use.
    pub fn broken(why: ConfigError) -> NotTaken {
        NotTaken { status: exit::CONFIG, why: why.to_string() }
    }

    /// It is not to be now.
    pub fn kept(why: String) -> NotTaken {
        NotTaken { status: exit::KEPT, why }
    }
}

impl Next {
    /// Reads the file of `old` again, and opens what is in it for the server at `index`.
    ///
    /// # Errors
    /// It is not valid, or names what cannot be opened, or has something new that needs a restart.
    pub fn read(old: &Config, index: usize, places: &Arc<dyn Places>) -> Result<Next, NotTaken> {
        let broken = NotTaken::broken;
        let config = old.again().map_err(broken)?;
        let name = &old.servers[index].name;
        let Some(at) = config.find(name) else {
            let why =
                format!("{} has no server {name} any more; stop it, if that is meant", old.path.display());
            return Err(NotTaken::kept(why));
        };
        let change = Change::between((old, index), (&config, at));
        if !change.restart.is_empty() {
            let why = format!("{NEEDS_RESTART}{}", change.restart.join("; "));
            return Err(NotTaken::kept(why));
        }
        let keys = secrets::of_server(&config, at).map_err(broken)?;
        // What is in files of the user's may be new, too.
        let are_places_new = config.places != old.places || !config.places.paths.is_empty();
        let new_places = are_places_new.then(|| open_places(&config, true)).transpose().map_err(broken)?;
        let of_map = new_places.as_ref().unwrap_or(places).clone();
        let web = NextWeb::of_server(&config, &config.servers[at], Some(of_map)).map_err(broken)?;
        Ok(Next { config, index: at, keys, places: new_places, web, news: change.live })
    }
}
