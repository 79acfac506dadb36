//! `herdctl completions`: the files by which shells complete, and the names that those ask for. `ctl` calls it.

use serde_json::json;

use super::choice::Choice;
use super::out::{Failed, Out};
use crate::args::ctl::Completions;
use crate::run::exit;

const BASH: &str = include_str!("../../../packaging/completions/herdctl.bash");
const ZSH: &str = include_str!("../../../packaging/completions/_herdctl");
const FISH: &str = include_str!("../../../packaging/completions/herdctl.fish");

/// Prints the file of a shell, or the names of servers.
pub fn run(choice: &Choice, out: &mut Out, completions: &Completions) -> Result<u8, Failed> {
    if completions.names {
        // A Tab is no moment for an error.
        let config = choice.config().ok();
        for server in config.iter().flat_map(|config| &config.servers) {
            if out.is_json {
                out.json(&json!({ "server": server.name }))?;
            } else {
                out.text(&format!("{}\n", server.name))?;
            }
        }
        return Ok(exit::OK);
    }
    let file = match completions.shell.as_deref() {
        Some("bash") => BASH,
        Some("zsh") => ZSH,
        Some("fish") => FISH,
        _ => {
            let why = "completions takes bash, zsh or fish: source <(herdctl completions bash)";
            return Err(Failed::Status(exit::USAGE, why.into()));
        }
    };
    out.text(file)?;
    Ok(exit::OK)
}
