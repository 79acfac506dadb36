//! `herd --check`: what a start would meet in herd.conf, the files it names, and this machine: ports, and folders to
//! write in. `main` calls it. Nothing is started, and nothing is left behind.

use std::process::ExitCode;

use serde_json::json;

use super::inherit::Inherited;
use super::memory::Memory;
use super::places::open_places;
use super::say::{fail, say};
use super::site::NextWeb;
use super::{exit, machine, secrets};
use crate::config::Config;
use crate::logging;

/// All that can be wrong with herd.conf, the files it names and this machine, without starting anything. What a start would
/// meet is said, or printed as an object of JSON. With what was handed on for that, it is the start of a server in the place
/// of one that runs.
pub fn run(config: &Config, index: Option<usize>, inherited: Inherited, is_json: bool) -> ExitCode {
    logging::warn_on_stderr();
    // Of a herd on several machines each has the secrets of its own servers only.
    let here = index.map_or(0..config.servers.len(), |index| index..index + 1);
    let opened = here.into_iter().try_for_each(|index| {
        secrets::of_server(config, index)?;
        if config.servers[index].has_backbone {
            secrets::of_engine(config)?;
        }
        NextWeb::of_server(config, &config.servers[index], None).map(|_| ())
    });
    let places = match opened.and_then(|()| open_places(config, false)) {
        Ok(places) => places,
        Err(why) => return fail(exit::CONFIG, why),
    };
    let found = machine::look(config, index, inherited);
    if !found.problems.is_empty() {
        return fail(exit::OS, found.problems.join("\nherd: "));
    }
    let meant = config.servers.iter().enumerate().filter(|(number, server)| match index {
        Some(index) => index == *number,
        None => !server.plain,
    });
    let memories: Vec<_> =
        meant.map(|(_, server)| Memory::of(config, server, places.memory_bytes())).collect();
    if is_json {
        let memory: Vec<_> = memories.iter().map(Memory::object).collect();
        let names: Vec<_> = config.servers.iter().map(|server| &server.name).collect();
        let notes: Vec<_> = found.notes.into_iter().chain(parts_note(config)).collect();
        let config = config.path.display().to_string();
        return say(json!({
            "config": config,
            "servers": names,
            "notes": notes,
            "places": places.about(),
            "memory": memory,
        }));
    }
    let notes: String = found.notes.iter().map(|note| format!("\n{note}")).collect();
    let parts = parts_note(config).map(|note| format!("\n{note}")).unwrap_or_default();
    // Of several servers, the first of those that take most.
    let most = memories.iter().rev().max_by_key(|memory| memory.total().unwrap_or(u64::MAX));
    let memory = most.map(|memory| format!("\n{memory}")).unwrap_or_default();
    let others = match memories.len() {
        0 | 1 => String::new(),
        all => {
            format!("\nof {all} servers that is the one which takes most; herd --check NAME shows another")
        }
    };
    let about: String = places.about().iter().map(|line| format!("\nplaces: {line}")).collect();
    say(format!("{}{notes}{parts}{about}{}{others}", config.to_string().trim_end(), memory.trim_end()))
}

/// What is to be said of a herd that falls into parts: A position told to a server is known in its part only.
fn parts_note(config: &Config) -> Option<String> {
    let parts = config.parts();
    let named: Vec<_> = parts.iter().map(|part| part.join(", ")).collect();
    (parts.len() > 1).then(|| {
        format!(
            "warning: this herd falls into {} parts that nobody connects, and what one is told the others never know: {}; \
             name a neighbour in another part",
            parts.len(),
            named.join(" | ")
        )
    })
}
