//! docs/api.md has a row for each kind of problem, and none for others.

use std::fs;
use std::path::Path;

use herd::door::http::ProblemKind;

#[test]
fn each_kind_of_problem_has_its_row_and_each_row_its_kind() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let page = fs::read_to_string(page).expect("text");
    let section = page.split("\n## Problems\n").nth(1).expect("a section").split("\n## ").next();
    let rows = section.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("| `"));
    let mut rows: Vec<_> = rows
        .map(|row| {
            let (name, rest) = row.split_once("` | ").expect("a status");
            let (status, to_do) = rest.split_once(" | ").expect("what to do");
            assert!(to_do.len() > " |".len(), "{name} does not say what to do");
            // One kind has several.
            let status = status.strip_suffix(" and others").unwrap_or(status);
            (name, status.parse::<u16>().expect("a number"))
        })
        .collect();
    let mut kinds = ProblemKind::ALL.map(|kind| (kind.name(), kind.status()));
    rows.sort_unstable();
    kinds.sort_unstable();
    assert_eq!(rows, kinds);
}
