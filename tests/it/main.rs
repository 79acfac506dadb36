//! Integration tests: herd as a user meets it, in processes of its own on loopback.
#![allow(clippy::disallowed_methods, reason = "what a test starts ends with it, and its peers are its own")]

mod architecture;
mod browser;
mod checks;
mod clients;
mod deadlines;
mod descriptors;
mod disks;
mod docs;
mod faults;
mod files;
mod flood;
mod full_disk;
mod harness;
mod hostile;
mod journal;
mod lines;
mod links;
mod listening;
mod logs;
mod model;
mod oddities;
mod order;
mod plain;
mod promises;
mod protocol;
mod providers;
mod running;
mod seeds;
mod segments;
mod simulation;
mod stand_in;
mod stopping;
mod terminal;
mod whatsat;
