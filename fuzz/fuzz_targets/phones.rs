//! Feeds the check of this kind with bytes. cargo-fuzz calls it.
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::check("phones", bytes));
