//! `herd --forget CLIENT`: the whole herd forgets a client. `main` calls it.

use std::process::ExitCode;

use super::say::{fail, say};
use super::{exit, secrets};
use crate::client;
use crate::config::Config;
use crate::logging::Escaped;

/// Tells the first server that takes it, or the one of this index.
pub fn run(config: &Config, index: Option<usize>, client: &str) -> ExitCode {
    if client.is_empty() || client.bytes().any(|byte| byte.is_ascii_whitespace() || byte == 0x0b) {
        let why =
            "a client's ID has no white space; by HTTP a space is %20, and so it is in the ID: iPhone%2012";
        return fail(exit::USAGE, why);
    }
    let keys = match secrets::for_asking(config) {
        Ok(keys) => keys,
        Err(why) => return fail(exit::CONFIG, why),
    };
    let (patience, conf) = (config.settings.timing.digest_wait, config.digest());
    let mut failures = Vec::new();
    let all = config.servers.iter().zip(&keys).enumerate();
    let asked =
        all.filter(|(number, (server, _))| !server.plain && index.is_none_or(|index| index == *number));
    for (_, (server, keys)) in asked {
        match client::forget(server, keys, conf, patience, client.as_bytes()) {
            Ok(()) => {
                let shown = Escaped(client.as_bytes());
                return say(format!("{shown} is forgotten; {} tells the others", server.name));
            }
            Err(why) => failures.push(format!("{}: {why}", server.name)),
        }
    }
    fail(exit::NO_ANSWER, failures.join("\nherd: "))
}
