//! What is new in a herd.conf that is read again, for one of its servers: what a server takes up as it goes on, and what it
//! only can from its start. `facts` has what there is to compare.

use std::collections::HashMap;

use super::Config;
use super::facts::{Fact, HTTP_LISTEN, sorted_neighbours};
use crate::limits::OTHERS_SAID_MAX;

/// What is new, in words: `forget_after: 7d -> 1d`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What can be taken up.
    pub live: Vec<String>,
    /// What needs a restart, so that nothing is taken up.
    pub restart: Vec<String>,
}

/// A config and the index of a server in it.
type Place<'a> = (&'a Config, usize);

impl Change {
    /// Of the server at one index in the config that it has, and at another in the next one.
    pub fn between((old, at): Place<'_>, (new, then): Place<'_>) -> Change {
        let (old, new) = (old.as_written(), new.as_written());
        let mut change = Change::default();
        change.compare("", &old.facts(), &new.facts());
        change.compare("", &old.facts_of(at), &new.facts_of(then));
        change.neighbours((&old, at), (&new, then));
        change.others((&old, at), (&new, then));
        change
    }

    /// Whether nothing is new.
    pub fn is_none(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }

    /// What both say, but with another value.
    fn compare(&mut self, of: &str, old: &[Fact], new: &[Fact]) {
        let listens = |facts: &[Fact]| facts.iter().any(|fact| fact.key == "http.names");
        // Of a door that comes or goes it says enough where it is.
        let is_door_new = listens(old) != listens(new);
        for now in new {
            let Some(was) = old.iter().find(|was| was.key == now.key && was.value != now.value) else {
                continue;
            };
            if is_door_new && now.key.starts_with("http.") && now.key != HTTP_LISTEN {
                continue;
            }
            // What must not be shown in full.
            let words = if was.words == now.words { "another" } else { &now.words };
            let said = format!("{of}{}: {} -> {words}", now.key, was.words);
            if was.is_live && now.is_live { self.live.push(said) } else { self.restart.push(said) }
        }
    }

    /// Who talks with the server, and where they are.
    fn neighbours(&mut self, (old, at): Place<'_>, (new, then): Place<'_>) {
        let (before, after) = (sorted_neighbours(old, at), sorted_neighbours(new, then));
        for gone in before.iter().filter(|name| !after.contains(name)) {
            self.live.push(format!("neighbour {gone} removed"));
        }
        for name in after {
            let Some(index) = new.find(name) else { continue };
            match old.find(name).filter(|_| before.contains(&name)) {
                Some(known) => {
                    self.compare(&format!("neighbour {name}: "), &of_link(old, known), &of_link(new, index));
                }
                None => {
                    let address = &new.servers[index].address;
                    self.live.push(format!("neighbour {name} added, at {address}"));
                }
            }
        }
    }

    /// What the herd is besides: its map shows that, and servers compare what they have read of it.
    fn others(&mut self, (old, at): Place<'_>, (new, then): Place<'_>) {
        let own = new.servers[then].name.as_str();
        let (was_at, is_at) = (indices(old), indices(new));
        let (near_before, near) = (sorted_neighbours(old, at), sorted_neighbours(new, then));
        let mut said = Vec::new();
        for server in &old.servers {
            if !is_at.contains_key(server.name.as_str()) && !near_before.contains(&server.name.as_str()) {
                said.push(format!("server {} removed", server.name));
            }
        }
        let stay = |name: &&str| *name != own && was_at.contains_key(name) && is_at.contains_key(name);
        for (index, server) in new.servers.iter().enumerate().filter(|(index, _)| *index != then) {
            let name = server.name.as_str();
            let Some(&known) = was_at.get(name) else {
                if !near.contains(&name) {
                    said.push(format!("server {name} added, at {}", server.address));
                }
                continue;
            };
            // By it a server knows whose records it has to give to the engine.
            let (had, has) = (old.servers[known].has_backbone, server.has_backbone);
            if had != has && old.backbone.is_some() && new.backbone.is_some() {
                self.restart.push(format!("server {name}: backbone: {had} -> {has}"));
            }
            if !(near_before.contains(&name) && near.contains(&name)) {
                let mut other = Change::default();
                other.compare(&format!("server {name}: "), &of_link(old, known), &of_link(new, index));
                said.extend(other.live.into_iter().chain(other.restart));
            }
            let (before, after) = (sorted_neighbours(old, known), sorted_neighbours(new, index));
            // Whoever is new or gone is said above, and so are our own neighbours.
            let is_same = before.iter().filter(|name| stay(name)).eq(after.iter().filter(|name| stay(name)));
            if !is_same {
                let words =
                    |names: &[&str]| if names.is_empty() { "nobody".into() } else { names.join(", ") };
                said.push(format!("server {name}: neighbours: {} -> {}", words(&before), words(&after)));
            }
        }
        let more = said.len().saturating_sub(OTHERS_SAID_MAX);
        self.live.extend(said.into_iter().take(OTHERS_SAID_MAX));
        if more > 0 {
            self.live.push(format!("{more} more of other servers"));
        }
    }
}

fn indices(config: &Config) -> HashMap<&str, usize> {
    config.servers.iter().enumerate().map(|(index, server)| (server.name.as_str(), index)).collect()
}

/// What others go by when they talk with a server.
fn of_link(config: &Config, index: usize) -> Vec<Fact> {
    let mut facts = config.facts_of(index);
    facts.retain(|fact| ["address", "plain", "refill"].contains(&fact.key.as_str()));
    facts
}

#[cfg(test)]
mod tests;
