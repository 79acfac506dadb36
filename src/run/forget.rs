//! `herd --forget CLIENT`: the whole herd forgets a client. `main` calls it.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::say::{fail, say};
use super::{exit, secrets};
use crate::client;
use crate::config::Config;
use crate::logging::Escaped;

/// Tells the first server that takes it, or the one of this index. Each has this patience, or else that of herd.conf.
/// What came of it is said, or printed as an object of JSON.
pub fn run(
    config: &Config,
    index: Option<usize>,
    client: &str,
    patience: Option<Duration>,
    is_json: bool,
) -> ExitCode {
    if client.is_empty() || client.bytes().any(|byte| byte.is_ascii_whitespace() || byte == 0x0b) {
        let why =
            "a client's ID has no white space; by HTTP a space is %20, and so it is in the ID: iPhone%2012";
        return fail(exit::USAGE, why);
    }
    if let Some(server) = index.map(|index| &config.servers[index]).filter(|server| server.plain) {
        let why = "is plain: another implementation, which cannot be told to forget";
        return fail(exit::USAGE, format!("{} {why}", server.name));
    }
    let keys = match secrets::for_asking(config) {
        Ok(keys) => keys,
        Err(why) => return fail(exit::CONFIG, why),
    };
    let patience = patience.unwrap_or(config.settings.timing.digest_wait);
    let conf = config.digest();
    let (mut failures, mut status) = (Vec::new(), exit::NO_ANSWER);
    let all = config.servers.iter().zip(&keys).enumerate();
    let asked =
        all.filter(|(number, (server, _))| !server.plain && index.is_none_or(|index| index == *number));
    for (_, (server, keys)) in asked {
        match client::forget(server, keys, conf, patience, client.as_bytes()) {
            Ok(()) => {
                if is_json {
                    return say(json!({ "server": server.name, "client": client, "forgotten": true }));
                }
                let shown = Escaped(client.as_bytes());
                return say(format!("{shown} is forgotten; {} tells the others", server.name));
            }
            Err(why) => {
                if why.kind() == io::ErrorKind::PermissionDenied {
                    status = exit::NOT_ALLOWED;
                }
                failures.push(format!("{}: {why}", server.name));
            }
        }
    }
    if failures.is_empty() {
        return fail(
            exit::USAGE,
            "all servers are plain: other implementations, which cannot be told to forget",
        );
    }
    fail(status, failures.join("\nherd: "))
}
