//! Whoever watches an area, is cut, and comes back: who came and who left meanwhile is told by the server, or follows from
//! a snapshot, as docs/events.md says.

use std::collections::BTreeSet;

use super::{Event, Events};
use crate::harness::{Disk, Server, folder_with, wait_for};
use crate::http::{alone, ask};

/// Who is in an area, by the recipe of docs/events.md.
#[derive(Default)]
struct Inside {
    told: BTreeSet<String>,
    /// Who was there before a snapshot that is under way.
    before: BTreeSet<String>,
}

impl Inside {
    /// Who came and who left by an event.
    fn take(&mut self, (name, data): &Event) -> Vec<String> {
        let id = data["id"].as_str().unwrap_or_default().to_owned();
        let is_known = self.told.contains(&id) || self.before.contains(&id);
        match name.as_str() {
            "snapshot" => self.before.append(&mut self.told),
            "position" => {
                self.told.insert(id.clone());
                return if is_known { Vec::new() } else { vec![format!("+{id}")] };
            }
            "gone" => {
                self.told.remove(&id);
                self.before.remove(&id);
                return if is_known { vec![format!("-{id}")] } else { Vec::new() };
            }
            "caught-up" => {
                let before = std::mem::take(&mut self.before);
                return before.difference(&self.told).map(|id| format!("-{id}")).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    /// What follows from all events up to `caught-up`.
    fn catch_up(&mut self, events: &mut Events) -> Vec<String> {
        let mut changes: Vec<_> =
            events.until("caught-up").iter().flat_map(|event| self.take(event)).collect();
        changes.sort();
        changes
    }
}

/// What one event says, for an area.
fn word((name, data): &Event) -> String {
    let id = data["id"].as_str().unwrap_or_default();
    match (name.as_str(), &data["entered"], data["why"].as_str()) {
        ("position", entered, _) if *entered == true => format!("+{id}"),
        ("position", ..) => id.to_owned(),
        ("gone", _, Some(why)) => format!("-{id} {why}"),
        (other, ..) => other.to_owned(),
    }
}

fn report(server: &Server, client: &str, location: &str, time: usize) {
    assert!(server.ask(&format!("IAMAT {client} {location} {time}\n")).starts_with("AT "));
}

/// Over the date line, in both ways to say it.
const AREAS: [&str; 2] = ["?bbox=177,-22,-170,0", "?near=-18,179.9&radius_m=500000"];

#[test]
fn who_comes_back_to_an_area_is_told_who_came_and_who_left_meanwhile() {
    let (_folder, server) = alone("", "");
    for client in ["stays", "leaves", "moves", "dies"] {
        report(&server, client, "-18+178", 1);
    }
    report(&server, "comes", "+34-118", 1);
    report(&server, "passes", "+34-118", 1);
    report(&server, "never", "+34-118", 1);
    // This one sees what is told while others are away.
    let mut witness = Events::of(&server, AREAS[0]);
    witness.until("caught-up");
    let ids = AREAS.map(|area| {
        let mut events = Events::of(&server, area);
        events.until("caught-up");
        assert_eq!(events.known.len(), 4, "{area}");
        events.until_id()
    });
    report(&server, "leaves", "-18-160", 2);
    report(&server, "moves", "-18-179", 2);
    report(&server, "comes", "-18-179.5", 2);
    report(&server, "passes", "-17+179.5", 2);
    while !witness.known.contains_key("passes") {
        witness.next().expect("it goes on");
    }
    report(&server, "passes", "+34-118", 3);
    report(&server, "never", "+34-117", 3);
    assert_eq!(ask(&server, "DELETE /v1/clients/dies", "", "").status, 204);
    while witness.known.contains_key("passes") || witness.known.contains_key("dies") {
        witness.next().expect("it goes on");
    }
    for (area, id) in AREAS.iter().zip(&ids) {
        // By the address and by the field, and once more: the ID does not wear out.
        for (query, fields) in [
            (format!("{area}&last_event_id={id}"), String::new()),
            ((*area).to_owned(), format!("Last-Event-ID: {id}\r\n")),
        ] {
            let mut events = Events::with(&server, &query, &fields);
            let told = events.until("caught-up");
            let words: BTreeSet<_> = told.iter().map(word).filter(|word| !word.contains("passes")).collect();
            let expected = ["+comes", "-dies forgotten", "-leaves left", "caught-up", "moves"];
            assert_eq!(words, expected.map(str::to_owned).into(), "{area}: {told:?}");
            // It goes on from there.
            let id = events.id.clone().expect("an ID");
            let again = Events::of(&server, &format!("{area}&last_event_id={id}")).until("caught-up");
            assert_eq!(again.iter().map(word).collect::<Vec<_>>(), ["caught-up"]);
        }
        // Of another area the ID says nothing.
        let query = format!("?bbox=176,-22,-170,0&last_event_id={id}");
        assert_eq!(Events::of(&server, &query).until("caught-up")[0].0, "snapshot");
    }
    // Nothing has happened.
    let mut events = Events::of(&server, AREAS[0]);
    events.until("caught-up");
    let id = events.until_id();
    let told = Events::of(&server, &format!("{}&last_event_id={id}", AREAS[0])).until("caught-up");
    assert_eq!(told.iter().map(word).collect::<Vec<_>>(), ["caught-up"]);
}

/// The IDs are of its start. What is in the journal is told anew, and who came and who left follows from that.
#[test]
fn who_comes_back_to_an_area_after_a_crash_begins_anew_and_can_tell_who_came_and_who_left() {
    let disk = Disk::new();
    let folder = folder_with(
        "data_dir = \"data\"\nsync = \"always\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n",
    );
    let server = disk.herd(folder.path(), "Goloman");
    let places = [("0", "-18+178"), ("1", "-18+178"), ("leaves", "-18-179"), ("comes", "+34-118")];
    for (client, location) in places {
        report(&server, client, location, 1);
    }
    let mut insides = AREAS.map(|_| Inside::default());
    let ids = [0, 1].map(|area| {
        let mut events = Events::of(&server, AREAS[area]);
        assert_eq!(insides[area].catch_up(&mut events), ["+0", "+1", "+leaves"]);
        events.until_id()
    });
    report(&server, "leaves", "-18-160", 2);
    report(&server, "comes", "-18-179.5", 2);
    server.process.signal(rustix::process::Signal::KILL);
    assert_eq!(server.wait(), None);
    let server = disk.herd(folder.path(), "Goloman");
    for (area, inside) in insides.iter_mut().enumerate() {
        let mut events = Events::of(&server, &format!("{}&last_event_id={}", AREAS[area], ids[area]));
        assert_eq!(inside.catch_up(&mut events), ["+comes", "-leaves"], "{area}");
        let stays = area.to_string();
        report(&server, &stays, "+34-118", 3);
        wait_for("a leave", || {
            let event = events.next()?;
            (inside.take(&event) == [format!("-{stays}")]).then_some(())
        });
        // For the other one it is there.
        report(&server, &stays, "-18+178", 4);
        while inside.take(&events.next().expect("it goes on")) != [format!("+{stays}")] {}
    }
}
