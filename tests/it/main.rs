//! Integration tests: herd as a user meets it, in processes of its own on loopback.
#![allow(clippy::disallowed_methods, reason = "what a test starts ends with it, and its peers are its own")]

mod harness;
mod protocol;
mod providers;
mod stand_in;
