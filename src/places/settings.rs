//! The `places` part of the configuration. `config` makes it, the providers and the pool are opened by it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::limits::{
    PLACES_ASKING_THREADS, PLACES_CONNECT_TIMEOUT_S, PLACES_LOCAL_THREADS, PLACES_QUEUE,
    PLACES_TOTAL_TIMEOUT_S,
};

/// The providers of `places.provider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    Gazetteer,
    Google,
    GoogleLegacy,
    Overpass,
    File,
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(name: &str) -> Result<Provider, String> {
        match name {
            "gazetteer" => Ok(Provider::Gazetteer),
            "google" => Ok(Provider::Google),
            "google-legacy" => Ok(Provider::GoogleLegacy),
            "overpass" => Ok(Provider::Overpass),
            "file" => Ok(Provider::File),
            _ => Err(format!(
                "places.provider: unknown provider {name:?}: choose gazetteer, google, google-legacy, overpass or file"
            )),
        }
    }
}

/// A key is no part of it, only where one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub provider: Provider,
    /// Replaces the provider's endpoint, whole.
    pub url: Option<String>,
    /// A file that holds nothing but the key; the environment's `HERD_PLACES_KEY` comes first.
    pub key_file: Option<PathBuf>,
    /// What `google` is asked for, instead of all the legacy shape can show.
    pub field_mask: Option<String>,
    /// The files of the `file` provider.
    pub paths: Vec<PathBuf>,
    /// Whether the gazetteer answers where they have nothing.
    pub also_gazetteer: bool,
    /// The language of names, where a file has several.
    pub language: Option<String>,
    /// Where what is read is kept for the next start; None for nowhere.
    pub cache: Option<PathBuf>,
    /// Whether anything may be written there, which a check does not.
    pub is_cache_kept: bool,
    pub connect_timeout: Duration,
    pub total_timeout: Duration,
    /// None for what suits the provider.
    pub threads: Option<usize>,
    /// Lookups that may wait for a thread.
    pub queue: usize,
    /// Lookups a day, in UTC, that are sent to the provider; None for no bound.
    pub daily_budget: Option<u64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            provider: Provider::Gazetteer,
            url: None,
            key_file: None,
            field_mask: None,
            paths: Vec::new(),
            also_gazetteer: false,
            language: None,
            cache: None,
            is_cache_kept: true,
            connect_timeout: Duration::from_secs(PLACES_CONNECT_TIMEOUT_S.default),
            total_timeout: Duration::from_secs(PLACES_TOTAL_TIMEOUT_S.default),
            threads: None,
            queue: PLACES_QUEUE.default as usize,
            daily_budget: None,
        }
    }
}

impl Settings {
    /// Threads that ask: a provider behind HTTP may hold each for the whole total time-out, a
    /// local one for microseconds.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or(match self.provider {
            Provider::Google | Provider::GoogleLegacy | Provider::Overpass => PLACES_ASKING_THREADS,
            Provider::Gazetteer | Provider::File => PLACES_LOCAL_THREADS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_by_name() {
        for (name, provider) in [
            ("gazetteer", Provider::Gazetteer),
            ("google", Provider::Google),
            ("google-legacy", Provider::GoogleLegacy),
            ("overpass", Provider::Overpass),
            ("file", Provider::File),
        ] {
            assert_eq!(name.parse(), Ok(provider));
        }
        assert!("Google".parse::<Provider>().is_err_and(|e| e.contains("google-legacy")));
    }

    #[test]
    fn threads_follow_the_provider() {
        let mut settings = Settings::default();
        assert_eq!(settings.threads(), 2);
        settings.provider = Provider::Google;
        assert_eq!(settings.threads(), 32);
        settings.threads = Some(7);
        assert_eq!(settings.threads(), 7);
    }
}
