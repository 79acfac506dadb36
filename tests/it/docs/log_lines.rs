//! The table of log lines in docs/operations.md is whole: every warning and error of the program has a row, and
//! every row is a line that the program has.

use super::page::{Page, code, quoted, rows};

/// What stands in a row for what differs.
const DIFFERS: char = '…';

/// Words in the table that are the system's.
const SYSTEMS: [&str; 6] = [
    "Connection refused",
    "Connection reset by peer",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "failed to lookup address information",
];

/// The code with each text in one piece, as it is printed.
fn texts() -> String {
    let mut joined = String::new();
    let code = code("src");
    let mut parts = code.split("\\\n");
    joined += parts.next().unwrap_or_default();
    parts.for_each(|part| joined += part.trim_start());
    joined.replace("\\\"", "\"")
}

/// The lines that the table has, by its first column.
fn lines_of(page: &Page) -> Vec<String> {
    let table = page.section("what-the-log-says-and-what-to-do");
    let rows = rows(&table);
    let lines: Vec<_> = rows.iter().flat_map(|cells| quoted(&cells[0])).map(str::to_owned).collect();
    assert!(lines.len() > 50, "{lines:?}");
    lines
}

#[test]
fn every_log_line_of_the_table_is_one_of_the_program() {
    let texts = texts();
    for line in lines_of(&Page::read("docs/operations.md")) {
        if SYSTEMS.contains(&line.as_str()) {
            continue;
        }
        // What joins two texts stands in neither.
        let words = line.split(DIFFERS).map(|words| words.trim_matches([' ', ';', ':']));
        for words in words.filter(|words| !words.is_empty()) {
            assert!(texts.contains(words), "{line:?}: {words:?} is nowhere in src");
        }
    }
}

/// The text that a macro's arguments begin with, behind its `target`; from where `rest` begins.
fn format_of(rest: &str) -> Option<String> {
    let mut rest = rest.trim_start();
    if rest.starts_with("target:") {
        rest = rest.split_once(',')?.1.trim_start();
    }
    let mut text = String::new();
    let mut characters = rest.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => match characters.next()? {
                '\n' => {
                    let after = characters.as_str().trim_start();
                    characters = after.chars();
                }
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

/// The fixed words of a format.
fn fixed(format: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_inside = false;
    for character in format.chars() {
        match character {
            '{' => is_inside = true,
            '}' => {
                is_inside = false;
                words.push(String::new());
            }
            _ if is_inside => {}
            other => words.last_mut().expect("one").push(other),
        }
    }
    words.retain(|words| words.chars().any(char::is_alphabetic));
    words
}

/// Whether a row shows a line of these fixed words: all of them in order, or up to where the row ends in `…`.
fn shows(row: &str, words: &[String]) -> bool {
    let mut rest = row;
    for (index, words) in words.iter().enumerate() {
        match rest.split_once(words.as_str()) {
            Some((_, after)) => rest = after,
            None => {
                let beginning = rest.trim_end_matches(DIFFERS).rsplit(DIFFERS).next().unwrap_or_default();
                let is_cut = rest.ends_with(DIFFERS) && words.starts_with(beginning);
                return is_cut && (index > 0 || beginning.len() > 12);
            }
        }
    }
    true
}

#[test]
fn every_warning_and_error_of_the_program_has_a_row() {
    let code = code("src");
    let rows = lines_of(&Page::read("docs/operations.md"));
    let mut count = 0;
    for kind in ["log::warn!(", "log::error!("] {
        for rest in code.split(kind).skip(1) {
            let shown = rest.get(..rest.floor_char_boundary(80)).unwrap_or(rest);
            let format = format_of(rest).unwrap_or_else(|| panic!("no text in {kind}{shown}"));
            let words = fixed(&format);
            // Words that another function puts together are found by the test above.
            if words.is_empty() {
                continue;
            }
            assert!(rows.iter().any(|row| shows(row, &words)), "no row for {kind}{format:?}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn a_row_shows_a_line_whose_words_it_has_in_order() {
    let check = |row: &str, format: &str, expected: bool| {
        assert_eq!(shows(row, &fixed(format)), expected, "{row} {format}");
    };
    check("link to … is down: …; trying", "link to {} is down: {why}; trying", true);
    check("link to … is down: …", "link to {} is down: {why}; trying", true);
    check("link to … is up", "link to {} is down: {why}; trying", false);
    check("the clock of … is …; set both, …", "the clock of {a} is {b}; set both, until then", true);
    check("the clock of … is …; set none, …", "the clock of {a} is {b}; set both, until then", false);
    check("…", "closed {address} at once", false);
}
