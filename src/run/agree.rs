//! `herd --agree`: whether all servers know the same. `main` calls it.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use super::say::{fail, print, unsaid};
use super::{exit, secrets};
use crate::client::Agreement;
use crate::config::Config;

/// Asks every server, until they agree or the time is up.
pub fn run(config: &Config, wait: Duration) -> ExitCode {
    let keys = match secrets::for_asking(config) {
        Ok(keys) => keys,
        Err(why) => return fail(exit::CONFIG, why),
    };
    let found = Agreement::find(config, &keys, wait, config.settings.timing.digest_wait);
    match print(found.to_string().trim_end()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => return unsaid(&why),
        // Whoever reads no further can ask for the status all the same.
        _ => {}
    }
    ExitCode::from(if found.is_whole() { exit::OK } else { exit::DISAGREE })
}
