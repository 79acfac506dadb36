//! The man pages have every flag, subcommand and key, with its default and range, and are good mdoc.

use std::path::Path;
use std::process::Command;

use herd::limits::{
    BOUND_MAX, CTL_PATIENCE, NEAREST_MAX, NEAREST_RADIUS_MAX_KM, ORDER_PATIENCE, RADIUS_MAX_KM, WATCH_KM,
};

use super::page::{Page, ROOT};
use crate::completions::{flags_of_herd, shipped, subcommands};
use crate::ctl::ctl;

/// A text of mdoc as it is read: without macros at the beginning of lines, and with its escapes undone.
fn read(mdoc: &str) -> String {
    let is_macro = |word: &str| {
        let letters = word.trim_start_matches('.');
        letters.len() == 2 && letters.starts_with(|c: char| c.is_ascii_uppercase())
    };
    let mut text = String::new();
    for line in mdoc.lines() {
        let plain = if line.starts_with('.') {
            line.split(' ').filter(|word| !is_macro(word)).collect::<Vec<_>>().join(" ")
        } else {
            line.to_owned()
        };
        text += &format!("{plain}\n");
    }
    for (escape, meant) in [
        ("\\(dq", "\""),
        ("\\(aq", "'"),
        ("\\(en", "–"),
        ("\\(co", "©"),
        ("\\(ti", "~"),
        ("\\&", ""),
        ("\\e", "\\"),
    ] {
        text = text.replace(escape, meant);
    }
    text
}

/// How a flag stands in mdoc: `Fl Fl json`, `Fl s`.
fn flag(word: &str) -> String {
    match word.strip_prefix("--") {
        Some(long) => format!("Fl Fl {long}"),
        None => format!("Fl {}", word.trim_start_matches('-')),
    }
}

fn has(page: &str, words: &str) -> bool {
    page.split(words).skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'))
}

#[test]
fn every_flag_and_every_subcommand_stands_in_the_man_pages() {
    let (herd, herdctl) = (shipped("man/herd.1"), shipped("man/herdctl.1"));
    for word in flags_of_herd() {
        assert!(has(&herd, &flag(&word)), "herd(1) has no {word}");
    }
    for (name, flags) in subcommands() {
        assert!(name.is_empty() || has(&herdctl, &format!(".It Cm {name}")), "herdctl(1) has no {name}");
        flags.iter().for_each(|word| assert!(has(&herdctl, &flag(word)), "herdctl(1): {name}: no {word}"));
    }
    // What herd(1) has is what docs/operations.md has of herd, and herdctl alone ends with 75.
    let said = |text: &str, begin: &str, end: &str| -> Vec<u8> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(begin)?.strip_suffix(end)?.parse().ok());
        lines.collect()
    };
    let table = Page::read("docs/operations.md").section("exit-statuses");
    let statuses = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok());
    let statuses: Vec<u8> = statuses.filter(|status| *status != 75).collect();
    assert_eq!(said(&herd, ".It ", ""), statuses, "herd(1)");
    let code = std::fs::read_to_string(Path::new(ROOT).join("src/run/exit.rs")).expect("text");
    let known = code.lines().filter_map(|line| line.split(": u8 = ").nth(1)?.strip_suffix(';')?.parse().ok());
    let known: Vec<u8> = known.filter(|status| *status != 75).collect();
    assert_eq!(known, statuses, "docs/operations.md");
    for status in [0, 1, 64, 69, 71, 75, 77, 78] {
        assert!(herdctl.contains(&format!(".It {status}\n")), "herdctl(1) has no status {status}");
        assert!(
            Page::read("docs/herdctl.md").text.contains(&format!("\n| {status} | ")),
            "herdctl.md: {status}"
        );
    }
}

#[test]
fn the_page_of_herdctl_has_every_subcommand() {
    let table = Page::read("docs/herdctl.md").section("subcommands");
    for (name, _) in subcommands().iter().filter(|(name, _)| !name.is_empty() && name != "version") {
        let stands = [" ", "`"].iter().any(|end| table.contains(&format!("`{name}{end}")));
        assert!(stands, "herdctl.md has no {name}");
    }
}

/// A cell of a table without the marks of Markdown; a link keeps its text.
fn cell(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.trim();
    while let Some((before, after)) = rest.split_once("](") {
        let (before, shown) = before.rsplit_once('[').unwrap_or((before, ""));
        plain += before;
        plain += shown;
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    (plain + rest).replace('`', "")
}

#[test]
fn every_key_of_herd_conf_stands_in_its_man_page_with_its_default_and_range() {
    let (docs, page) = (Page::read("docs/configuration.md"), shipped("man/herd.conf.5"));
    let mut count = 0;
    for (anchor, title) in [
        ("a-servers-table", "A SERVER"),
        ("top-level-keys", "TOP-LEVEL KEYS"),
        ("places", "PLACES"),
        ("http", "HTTP"),
        ("map", "MAP"),
        ("backbone", "BACKBONE"),
        ("timing", "TIMING"),
    ] {
        let section = page.split(&format!("\n.Sh {title}\n")).nth(1).unwrap_or_else(|| panic!("no {title}"));
        let section = section.split("\n.Sh ").next().unwrap_or_default();
        let text = docs.section(anchor);
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        for row in rows {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let key = cells[0].trim_matches('`');
            let entry = section.split("\n.It ").find(|entry| entry.starts_with(&format!("Ic {key}\n")));
            let entry = read(entry.unwrap_or_else(|| panic!("herd.conf(5) has no {key} in {title}")));
            if let [_, default, range, _] = cells[..] {
                let range =
                    if range.is_empty() { String::new() } else { format!("; range: {}", cell(range)) };
                let line = format!("Default: {}{range}.\n", cell(default));
                // A link leads to a page, which is named there.
                let line = line.replace("places.md.", "docs/places.md.");
                assert!(entry.contains(&line), "{key}: {line:?} is not in {entry:?}");
            }
            count += 1;
        }
        let keys = section.matches("\n.It Ic ").count();
        let rows = text.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(keys, rows, "{title} has keys that configuration.md does not have");
    }
    assert!(count > 50, "{count}");
}

#[test]
fn the_man_pages_are_good_mdoc() {
    let pages =
        ["herd.1", "herdctl.1", "herd.conf.5"].map(|name| Path::new(ROOT).join("packaging/man").join(name));
    let Ok(said) = Command::new("mandoc").args(["-Tlint", "-W", "style"]).args(&pages).output() else {
        eprintln!("not tested here: the man pages; mandoc is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    // They refer to each other, and are not installed here.
    let wrong: Vec<_> =
        said.lines().filter(|line| !line.contains("referenced manual not found: Xr herd")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_numbers_of_herdctl_are_those_of_the_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = |name: &str| {
        ctl(folder.path(), &[name, "--help"]).out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let page = shipped("man/herdctl.1").replace('\n', " ");
    for (name, in_help, in_page) in [
        ("whatsat", format!("up to {RADIUS_MAX_KM}, and how many at most, up to {BOUND_MAX}"), String::new()),
        (
            "near",
            format!("up to {NEAREST_RADIUS_MAX_KM}, and how many at most, up to {NEAREST_MAX}"),
            String::new(),
        ),
        ("watch", format!("(default: {WATCH_KM})"), format!("How far from it, by default {WATCH_KM}.")),
        (
            "",
            format!("(default: {}s)", CTL_PATIENCE.as_secs()),
            format!("By default {} s,", CTL_PATIENCE.as_secs()),
        ),
        ("reload", String::new(), format!("{} minutes for", ORDER_PATIENCE.as_secs() / 60)),
    ] {
        let help = if name.is_empty() { ctl(folder.path(), &["--help"]).out } else { help(name) };
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&in_help), "{name}: no {in_help:?} in {help}");
        assert!(page.contains(&in_page), "{name}: no {in_page:?} in herdctl(1)");
    }
}
