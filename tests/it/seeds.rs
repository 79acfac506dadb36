//! The inputs that the fuzzer found worth keeping, as a test that needs no fuzzer.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks.rs"]
mod checks;

#[test]
fn nothing_the_fuzzer_kept_breaks_what_must_hold() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (kind, _) in checks::KINDS {
        let files = fs::read_dir(seeds.join(kind)).expect("a folder of inputs");
        let mut count = 0;
        for file in files {
            let path = file.expect("an entry").path();
            let bytes = fs::read(&path).expect("read");
            let checked = std::panic::catch_unwind(|| checks::check(kind, &bytes));
            assert!(checked.is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "no inputs for {kind}");
    }
}
