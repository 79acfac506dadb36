//! Integration tests.

mod providers;
mod stand_in;
