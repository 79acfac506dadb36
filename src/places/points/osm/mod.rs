//! Extracts of OpenStreetMap (`.osm.pbf`) as places.
//!
//! Lives here: how a file is gone over (this file and `walk`), what is in it (`blobs`, `block`, `wire`), what tags say
//! (`keys`, `tags`, `types`), and where ways and areas are (`shapes`, `rings`).
//! Called by: the provider `file`, with a source to read from.
//! May touch: that source, which it reads from the beginning several times; it opens none.
//!
//! An extract may be larger than memory, so that nothing is kept but what is needed for the next time over it:
//! 1. all: settlements; which points the places that are ways have; which ways the places that are relations have,
//! 2. ways: which points those have,
//! 3. nodes: the positions of these points; places that are nodes,
//! 4. ways: places that are ways; the lines of those that relations have,
//! 5. relations: places that are relations.

mod blobs;
mod block;
mod fault;
mod keys;
mod rings;
mod shapes;
mod tags;
mod types;
mod walk;
mod wire;

use std::io::{Read, Seek};

use block::{Block, Element, NODES, RELATIONS, WAYS};
use fault::Fault;
use keys::{Keys, PLACES, TOWNS};
use shapes::{Lines, Points};
use tags::Tagged;
use walk::Walk;

use super::nearest;
use super::pack::{Builder, Pack};
use super::row::{Place, Reading};
use super::spot::Spot;
use crate::limits::{OSM_PLACES_MAX, OSM_SETTLEMENT_RADIUS_M, OSM_TEXT_BYTES_MAX};

pub use blobs::is_extract;
pub use types::version;

/// Due wherever the places of an extract are shown.
pub const ATTRIBUTION: &str = "Data from OpenStreetMap (https://www.openstreetmap.org/copyright), (c) OpenStreetMap \
     contributors, available under the Open Database License (ODbL).";

/// How far reading has come: of what there is to do, and how many places there are.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub done: u64,
    pub all: u64,
    pub places: usize,
}

/// Reads all places of an extract of so many bytes, with names in a language where they have some.
///
/// # Errors
/// It is damaged or too large, or cannot be read. The error begins with a blank.
pub fn read(
    source: impl Read + Seek,
    length: u64,
    language: Option<&str>,
    reading: &mut Reading,
    told: &mut dyn FnMut(Progress),
) -> Result<(), String> {
    let mut going = Going { walk: Walk::over(source, length, Keys::of(language)), told };
    Ok(going.all(reading)?)
}

struct Going<'a, R> {
    walk: Walk<R>,
    told: &'a mut dyn FnMut(Progress),
}

impl<R: Read + Seek> Going<'_, R> {
    fn all(&mut self, reading: &mut Reading) -> Result<(), Fault> {
        let (mut points, mut lines, mut towns) = (Points::default(), Lines::default(), Builder::default());
        self.over(NODES | WAYS | RELATIONS, reading, |block, _| {
            need(block, &mut points, &mut lines, &mut towns)
        })?;
        lines.sort();
        if !lines.is_empty() {
            self.over(WAYS, reading, |block, _| {
                block.each(WAYS, &mut |element| match element {
                    Element::Way { id, nodes, .. } if lines.has(id) => points.need(nodes),
                    _ => Ok(()),
                })
            })?;
        } else {
            self.walk.leave_out(WAYS);
        }
        points.sort();
        let towns = towns.finish();
        self.over(NODES, reading, |block, reading| nodes(block, &mut points, &towns, reading))?;
        self.over(WAYS, reading, |block, reading| ways(block, &points, &mut lines, &towns, reading))?;
        lines.sort_found();
        self.over(RELATIONS, reading, |block, reading| relations(block, &points, &lines, &towns, reading))
    }

    /// Goes over all blocks that have elements of these kinds.
    fn over(
        &mut self,
        kinds: u8,
        reading: &mut Reading,
        mut take: impl FnMut(&Block<'_>, &mut Reading) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.walk.begin(kinds);
        while let Some(block) = self.walk.block()? {
            let taken = take(&block, reading);
            taken.map_err(|why| self.walk.here(why))?;
            let (done, all) = self.walk.progress();
            (self.told)(Progress { done, all, places: reading.places.len() });
        }
        Ok(())
    }
}

/// Notes what a block needs of others: the points of its ways and the ways of its relations that are places.
fn need(block: &Block<'_>, points: &mut Points, lines: &mut Lines, towns: &mut Builder) -> Result<(), Fault> {
    let mut kinds = if block.has(PLACES) { WAYS | RELATIONS } else { 0 };
    if block.has(TOWNS) {
        kinds |= NODES;
    }
    block.each(kinds, &mut |element| match element {
        Element::Node(node) => {
            if node.tags.is_empty() {
                return Ok(());
            }
            let (tagged, at) = (Tagged::of(node.tags, block)?, node.at);
            match at.filter(|_| tagged.is_settlement()) {
                Some(at) => {
                    check_room(towns)?;
                    towns.add(&spot_at(at, tagged.name()), "").map(drop).map_err(Fault::Full)
                }
                _ => Ok(()),
            }
        }
        Element::Way { tags, nodes, .. } => {
            if Tagged::of(tags, block)?.is_place() {
                points.need(nodes)
            } else {
                Ok(())
            }
        }
        Element::Relation { tags, members, .. } => {
            if Tagged::of(tags, block)?.is_area() {
                lines.need(members)
            } else {
                Ok(())
            }
        }
    })
}

fn nodes(block: &Block<'_>, points: &mut Points, towns: &Pack, reading: &mut Reading) -> Result<(), Fault> {
    let has_places = block.has(PLACES);
    block.each(NODES, &mut |element| {
        let Element::Node(node) = element else { return Ok(()) };
        if let Some(at) = node.at {
            points.found(node.id, at);
        }
        if !has_places || node.tags.is_empty() {
            return Ok(());
        }
        let tagged = Tagged::of(node.tags, block)?;
        if tagged.is_place() { take("node", node.id, node.at, &tagged, towns, reading) } else { Ok(()) }
    })
}

fn ways(
    block: &Block<'_>,
    points: &Points,
    lines: &mut Lines,
    towns: &Pack,
    reading: &mut Reading,
) -> Result<(), Fault> {
    let has_places = block.has(PLACES);
    block.each(WAYS, &mut |element| {
        let Element::Way { id, tags, nodes } = element else { return Ok(()) };
        if lines.has(id) {
            lines.take(id, nodes, points)?;
        }
        if !has_places || tags.is_empty() {
            return Ok(());
        }
        let tagged = Tagged::of(tags, block)?;
        if !tagged.is_place() {
            return Ok(());
        }
        take("way", id, points.on_way(nodes)?, &tagged, towns, reading)
    })
}

fn relations(
    block: &Block<'_>,
    points: &Points,
    lines: &Lines,
    towns: &Pack,
    reading: &mut Reading,
) -> Result<(), Fault> {
    if !block.has(PLACES) {
        return Ok(());
    }
    block.each(RELATIONS, &mut |element| {
        let Element::Relation { id, tags, members } = element else { return Ok(()) };
        let tagged = Tagged::of(tags, block)?;
        if !tagged.is_area() {
            return Ok(());
        }
        take("relation", id, lines.in_area(members, points)?, &tagged, towns, reading)
    })
}

/// A place without anything but a name and a position, which is in ten-millionths of a degree.
fn spot_at(at: (i32, i32), name: String) -> Spot {
    let degrees = |units: i32| f64::from(units) / 1e7;
    Spot { latitude_deg: degrees(at.0), longitude_deg: degrees(at.1), name, ..Spot::default() }
}

/// Takes a place.
fn take(
    what: &'static str,
    id: i64,
    at: Option<(i32, i32)>,
    tagged: &Tagged<'_, '_>,
    towns: &Pack,
    reading: &mut Reading,
) -> Result<(), Fault> {
    let Some(at) = at else {
        reading.skip("without a position in the file");
        return Ok(());
    };
    check_room(&reading.places)?;
    let mut spot = spot_at(at, tagged.name());
    let (street, city) = tagged.address();
    let city = city.or_else(|| if tagged.is_settlement() { None } else { nearest_town(&spot, towns) });
    let parts: Vec<_> = [street, city].into_iter().flatten().collect();
    spot.vicinity = (!parts.is_empty()).then(|| parts.join(", "));
    spot.id = Some(format!("osm:{what}/{id}"));
    spot.types = tagged.types();
    let place = Place { number: id.unsigned_abs(), line: None, what };
    reading.take(place, Ok(Some(spot))).map_err(Fault::Full)
}

fn check_room(places: &Builder) -> Result<(), Fault> {
    if places.len() < OSM_PLACES_MAX && places.text_bytes() < OSM_TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::Full(format!(
        "it has more than {OSM_PLACES_MAX} places, or {OSM_TEXT_BYTES_MAX} bytes of texts of places: cut a smaller part out of it"
    )))
}

fn nearest_town(spot: &Spot, towns: &Pack) -> Option<String> {
    let (latitude, longitude) = (spot.latitude_deg, spot.longitude_deg);
    let hits = nearest(towns, latitude, longitude, OSM_SETTLEMENT_RADIUS_M, 1);
    hits.first().map(|hit| towns.known(hit.index).name.to_owned())
}
