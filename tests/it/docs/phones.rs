//! docs/phones.md has every reason and every app, and no other.

use herd::tally::{App, Reason};

use super::page::{Page, quoted, rows};

#[test]
fn every_reason_for_which_a_phone_is_ignored_has_its_row_and_every_app_its_word() {
    let section = Page::read("docs/phones.md").section("what-does-not-count");
    let table = rows(&section);
    let rows: Vec<_> = table.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(rows, Reason::ALL.map(Reason::name), "in the order of the code");
    assert!(table.iter().all(|row| row.len() == 3 && row.iter().all(|cell| !cell.is_empty())));
    let words = quoted(section.rsplit_once("`app` in the metrics").expect("a sentence").1);
    assert_eq!(words, App::ALL.map(App::name));
}
