//! Feeds `herd::fuzzed` with bytes of this kind.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| herd::fuzzed::check("journal", bytes));
