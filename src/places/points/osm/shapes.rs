//! Where the places are that are ways or areas: the points that they need, first by id and then with their positions,
//! and the lines that areas are made of. `osm` fills them on its way over a file.

use std::cell::Cell;

use super::block::Members;
use super::fault::{Fault, too_many_points};
use super::rings::join;
use super::wire::{Damage, Deltas};
use crate::limits::{OSM_AREA_POINTS_MAX, OSM_JOINED_POINTS_MAX, OSM_POINTS_MAX, OSM_WAY_POINTS_MAX};
use crate::places::points::shape::{inside, inside_largest, longest_middle};

const TOO_LONG: Damage = "a way of more points than any has";

/// Where a point is that the file does not have.
const NOWHERE: (i32, i32) = (i32::MIN, i32::MIN);

/// How many points on the next one is looked for one by one: nodes come in the order of their ids.
const STEPS: usize = 8;

/// Ids of what is needed: first as they come, then sorted.
#[derive(Default)]
struct Ids(Vec<i64>);

impl Ids {
    /// One more is needed.
    fn need(&mut self, id: i64) -> Result<(), Fault> {
        if self.0.len() >= OSM_POINTS_MAX {
            return Err(too_many_points());
        }
        self.0.push(id);
        Ok(())
    }

    /// All are known that are needed.
    fn sort(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
    }

    /// The number of one that is needed.
    fn number(&self, id: i64) -> Option<usize> {
        self.0.binary_search(&id).ok()
    }
}

/// Points by their ids, which are sorted.
#[derive(Default)]
pub struct Points {
    ids: Ids,
    /// In ten-millionths of a degree.
    at: Vec<(i32, i32)>,
    /// Behind the last one found.
    next: usize,
}

impl Points {
    /// These are needed, too.
    pub fn need(&mut self, mut nodes: Deltas<'_>) -> Result<(), Fault> {
        while let Some(id) = nodes.number()? {
            self.ids.need(id)?;
        }
        Ok(())
    }

    /// All are known that are needed.
    pub fn sort(&mut self) {
        self.ids.sort();
        self.at = vec![NOWHERE; self.ids.0.len()];
    }

    /// A point is here, which may be needed.
    pub fn found(&mut self, id: i64, at: (i32, i32)) {
        let ids = &self.ids.0;
        let is_behind = self.next > 0 && ids[self.next - 1] >= id;
        if is_behind {
            self.next = ids.partition_point(|one| *one < id);
        } else {
            let near = ids[self.next..].iter().take(STEPS).position(|one| *one >= id);
            self.next += match near {
                Some(steps) => steps,
                None => ids[self.next..].partition_point(|one| *one < id),
            };
        }
        if ids.get(self.next) == Some(&id) {
            self.at[self.next] = at;
            self.next += 1;
        }
    }

    fn number(&self, id: i64) -> Option<u32> {
        self.ids.number(id).and_then(|index| u32::try_from(index).ok())
    }

    /// Longitude and latitude; None of one that the file does not have.
    fn degrees(&self, number: u32) -> Option<(f64, f64)> {
        let at = self.at.get(number as usize).filter(|at| **at != NOWHERE)?;
        Some((f64::from(at.1) / 1e7, f64::from(at.0) / 1e7))
    }

    /// A point inside a way that is closed, or half way along it.
    pub fn on_way(&self, mut nodes: Deltas<'_>) -> Result<Option<(i32, i32)>, Fault> {
        let (mut first, mut last, mut count) = (None, None, 0);
        let mut line = Vec::new();
        while let Some(id) = nodes.number()? {
            first = first.or(Some(id));
            (last, count) = (Some(id), count + 1);
            if count > OSM_WAY_POINTS_MAX {
                return Err(TOO_LONG.into());
            }
            line.extend(self.number(id).and_then(|number| self.degrees(number)));
        }
        let is_area = count > 3 && first == last && line.len() == count;
        let point = if is_area { inside(vec![line]) } else { longest_middle(vec![line]) };
        Ok(point.map(units))
    }
}

fn units((longitude, latitude): (f64, f64)) -> (i32, i32) {
    ((latitude * 1e7).round() as i32, (longitude * 1e7).round() as i32)
}

/// The ways that areas are made of.
#[derive(Default)]
pub struct Lines {
    /// Which are needed.
    ids: Ids,
    /// Where the points of each begin that was found, sorted by id, and how many there are.
    found: Vec<(i64, u32, u32)>,
    points: Vec<u32>,
    /// Points of all areas so far.
    joined: Cell<usize>,
}

impl Lines {
    /// These are needed, too.
    pub fn need(&mut self, mut members: Members<'_>) -> Result<(), Fault> {
        while let Some(id) = members.way()? {
            self.ids.need(id)?;
        }
        Ok(())
    }

    /// All are known that are needed.
    pub fn sort(&mut self) {
        self.ids.sort();
    }

    pub fn is_empty(&self) -> bool {
        self.ids.0.is_empty()
    }

    /// Whether it is needed.
    pub fn has(&self, id: i64) -> bool {
        self.ids.number(id).is_some()
    }

    /// Takes the points of one that is needed.
    pub fn take(&mut self, id: i64, mut nodes: Deltas<'_>, points: &Points) -> Result<(), Fault> {
        let begin = self.points.len();
        while let Some(id) = nodes.number()? {
            if self.points.len() >= OSM_POINTS_MAX {
                return Err(too_many_points());
            }
            if self.points.len() - begin >= OSM_WAY_POINTS_MAX {
                return Err(TOO_LONG.into());
            }
            self.points.extend(points.number(id));
        }
        self.found.push((id, begin as u32, (self.points.len() - begin) as u32));
        Ok(())
    }

    /// All were found that are there.
    pub fn sort_found(&mut self) {
        self.found.sort_unstable();
    }

    fn line(&self, id: i64) -> Option<&[u32]> {
        let index = self.found.binary_search_by_key(&id, |found| found.0).ok()?;
        let (_, begin, count) = self.found[index];
        self.points.get(begin as usize..(begin + count) as usize)
    }

    /// A point inside the area whose border these ways are; where the file does not have all of them, on its border.
    pub fn in_area(&self, mut members: Members<'_>, points: &Points) -> Result<Option<(i32, i32)>, Fault> {
        let (mut lines, mut count) = (Vec::new(), 0);
        while let Some(id) = members.way()? {
            let Some(line) = self.line(id) else { continue };
            // One without points counts, too, as it is in the list.
            count += line.len().max(1);
            if count > OSM_AREA_POINTS_MAX {
                return Err("an area of more points than any has".into());
            }
            lines.push(line);
        }
        if self.joined.replace(self.joined.get() + count) > OSM_JOINED_POINTS_MAX {
            return Err(too_many_points());
        }
        let joined = join(&lines);
        let degrees = |line: &Vec<u32>| line.iter().filter_map(|number| points.degrees(*number)).collect();
        let mut rings: Vec<Vec<(f64, f64)>> = joined.rings.iter().map(degrees).collect();
        rings.retain(|ring| ring.len() > 2);
        // Whatever is said of their roles: what an even number of rings surrounds is outside.
        let point = match rings.is_empty() {
            false => inside_largest(rings),
            true => longest_middle(joined.open.iter().map(degrees).collect()),
        };
        Ok(point.map(units))
    }
}
