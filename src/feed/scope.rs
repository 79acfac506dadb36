//! What a reader wants to be told of.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::event::Write;
use crate::node::Clients;
use crate::protocol::Coordinates;
use crate::store::{Area, Around};

/// Which clients, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    pub clients: Clients,
    /// None for everywhere.
    pub place: Option<Place>,
}

impl Scope {
    /// What tells it from another one, at this start of the server: who was told of fewer clients has not been told all.
    pub fn mark(&self) -> u32 {
        let mut hasher = DefaultHasher::new();
        format!("{self:?}").hash(&mut hasher);
        // Half of it makes a shorter ID.
        (hasher.finish() >> 32) as u32
    }
}

/// A part of the globe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    Within(Area),
    Around(Around),
}

/// What is wanted, and in which words: those who want the same share what is written.
#[derive(Clone, Debug)]
pub struct View {
    pub scope: Scope,
    pub write: Write,
}

impl PartialEq for View {
    fn eq(&self, other: &View) -> bool {
        self.scope == other.scope && std::ptr::fn_addr_eq(self.write, other.write)
    }
}

impl Place {
    pub fn has(&self, at: Coordinates) -> bool {
        match self {
            Place::Within(area) => {
                let (latitude_deg, longitude_deg) = at.degrees();
                area.has(latitude_deg, longitude_deg)
            }
            Place::Around(around) => around.has(at),
        }
    }

    /// An area that has all of it; None where that is as good as everywhere.
    pub fn area(&self) -> Option<Area> {
        match self {
            Place::Within(area) => Some(*area),
            Place::Around(around) => around.area(),
        }
    }
}
