//! README and docs/ are true of the program, as far as a program can tell: links, keys, promises, snippets,
//! transcripts, log lines.

mod events;
mod feed;
mod keys;
mod log_lines;
mod man;
pub mod page;
mod phones;
mod problems;
mod transcripts;

use std::fs;
use std::path::Path;
use std::process::Command;

use herd::config::Config;
use page::{Page, ROOT, code, pages, quoted, rows};

use crate::harness::HERD;

/// The longest line of a page, but for tables and blocks, which cannot be broken.
const WIDTH: usize = 120;

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        for link in page.links().iter().filter(|link| !link.contains("://")) {
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, at)| (path, Some(at)));
            let folder = page.path.parent().unwrap_or(Path::new(""));
            let target = if path.is_empty() { page.path.clone() } else { folder.join(path) };
            assert!(Path::new(ROOT).join(&target).exists(), "{}: no file for {link}", page.name());
            if let Some(anchor) = anchor {
                let anchors = Page::read(&target.display().to_string()).anchors();
                assert!(anchors.iter().any(|known| known == anchor), "{}: {link}: {anchors:?}", page.name());
            }
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn readme_is_one_page_and_no_page_is_wide() {
    let readme = Page::read("README.md");
    assert!(readme.text.lines().count() <= 200, "README has {} lines", readme.text.lines().count());
    let ours = pages().into_iter().filter(|page| page.path.starts_with("docs") || page.path == readme.path);
    for page in ours {
        let is_wide = |line: &&str| !line.starts_with('|') && line.chars().count() > WIDTH;
        let wide: Vec<_> = page.prose().into_iter().filter(is_wide).collect();
        assert!(wide.is_empty(), "{}: {wide:#?}", page.name());
    }
}

/// The keys of herd.conf, as they stand in the code.
fn keys() -> Vec<String> {
    let raw = fs::read_to_string(Path::new(ROOT).join("src/config/raw.rs")).expect("text");
    let fields = raw.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    let keys = fields.map(|(key, _)| key.to_owned()).filter(|key| {
        !key.contains(' ') && !["span", "why", "places", "servers", "timing"].contains(&key.as_str())
    });
    keys.collect()
}

#[test]
fn every_key_of_herd_conf_is_explained_and_every_explained_one_is_a_key() {
    let (page, keys) = (Page::read("docs/configuration.md"), keys());
    assert!(keys.len() > 20, "{keys:?}");
    let tables = ["a-servers-table", "top-level-keys", "places", "http", "map", "backbone", "timing"]
        .map(|anchor| page.section(anchor));
    let rows = rows(&tables.concat());
    let explained: Vec<_> = rows.iter().map(|cells| cells[0].trim_matches('`')).collect();
    for key in &keys {
        let names =
            ["", "places.", "http.", "map.", "backbone.", "timing."].map(|table| format!("{table}{key}"));
        assert!(names.iter().any(|name| explained.contains(&name.as_str())), "{key} is not explained");
    }
    for key in explained {
        let bare = key.rsplit('.').next().unwrap_or(key);
        assert!(keys.iter().any(|known| known == bare), "{key} is no key of herd.conf");
    }
    for row in page::rows(&Page::read("README.md").section("herdconf")) {
        let key = row[0].trim_matches('`');
        assert!(keys.iter().any(|known| known == key), "README: {key} is no key of herd.conf");
    }
}

#[test]
fn every_snippet_of_herd_conf_is_accepted() {
    let mut count = 0;
    for page in pages() {
        for block in page.blocks().into_iter().filter(|block| block.info.starts_with("toml")) {
            let rest = match block.info.as_str() {
                "toml part" => "\n[servers.Solo]\nlisten = \"127.0.0.1:16675\"\n",
                _ => "",
            };
            let parsed = Config::parse(Path::new("/etc/herd/herd.conf"), &format!("{}{rest}", block.text));
            assert!(parsed.is_ok(), "{}: {}\n{}", page.name(), parsed.expect_err("refused"), block.text);
            count += 1;
        }
    }
    assert!(count > 4, "{count}");
}

#[test]
fn every_promise_names_tests_that_exist() {
    let code = code("src") + &code("tests");
    let page = Page::read("docs/promises.md");
    let anchors = page.anchors();
    let groups = anchors.iter().skip(1).take_while(|group| *group != "how-the-promises-are-tested");
    let count: usize = groups.map(|group| count_tests(&page.section(group), &code)).sum();
    assert!(count > 50, "{count}");
}

#[test]
fn every_sentence_of_what_always_holds_names_tests_that_exist() {
    let section = Page::read("docs/architecture.md").section("what-always-holds");
    let count = count_tests(&section, &(code("src") + &code("tests")));
    assert!(count > 15, "{count}");
}

/// The tests that the points of a list name, of which each has to name one, and each test has to be there.
fn count_tests(section: &str, code: &str) -> usize {
    let mut count = 0;
    for point in section.split("\n- ").skip(1) {
        let names: Vec<_> = quoted(point).into_iter().filter(|name| is_test_name(name)).collect();
        assert!(!names.is_empty(), "no test shows: {point}");
        for name in names {
            let is_there =
                ["#[test]\nfn", "#[test]\n    fn"].map(|head| code.contains(&format!("{head} {name}()")));
            assert!(is_there.contains(&true), "no test {name}");
            count += 1;
        }
    }
    count
}

/// What an end of a link may lie about, and what shows that it costs what the page says.
#[test]
fn every_word_of_a_link_that_may_be_a_lie_is_tried() {
    let code = code("src") + &code("tests");
    let table = rows(&Page::read("docs/links.md").section("if-the-other-end-lies"));
    assert!(table.len() > 20, "{}", table.len());
    for row in &table {
        let names: Vec<_> = quoted(&row[2]).into_iter().filter(|name| is_test_name(name)).collect();
        assert!(!names.is_empty(), "nothing shows: {}", row[0]);
        names.iter().for_each(|name| assert!(code.contains(&format!("fn {name}()")), "no test {name}"));
    }
    // Every word there is has its row.
    let words = fs::read_to_string(Path::new(ROOT).join("src/protocol/neighbour.rs")).expect("text");
    let words = words.lines().filter_map(|line| line.trim().strip_prefix("b\"")?.split_once("\" =>"));
    let said = table.iter().map(|row| row[0].as_str()).collect::<Vec<_>>().join(" ");
    words.for_each(|(word, _)| assert!(said.contains(word), "{word} has no row"));
}

#[test]
fn the_page_of_installing_has_the_lines_of_the_tarball() {
    let (page, tarball) = (Page::read("docs/install.md").section("any-linux"), "packaging/INSTALL");
    let text = fs::read_to_string(Path::new(ROOT).join(tarball)).expect("text");
    let indented: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(indented.len() > 10, "{indented:?}");
    // The first tries it out.
    indented[1..].iter().for_each(|line| assert!(page.contains(line), "{tarball} has {line:?}"));
}

/// A name of a key, like `max_clients`, has fewer words.
fn is_test_name(text: &str) -> bool {
    text.matches('_').count() > 1 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Without marks of Markdown and line breaks.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        plain += before;
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain += rest;
    let plain = plain.replace(['[', '*'], "");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_promise_of_readme_is_one_of_all() {
    let (readme, promises) = (Page::read("README.md"), Page::read("docs/promises.md"));
    let page = readme.section("what-herd-promises");
    let groups: Vec<_> = page.split("\n- ").skip(1).collect();
    assert!(groups.len() > 4, "{groups:?}");
    for group in groups {
        let anchor =
            group.split_once("promises.md#").and_then(|(_, rest)| rest.split_once(')')).expect("a link").0;
        let all = plain(&promises.section(anchor));
        let label = group.split_once('[').and_then(|(_, rest)| rest.split_once(']')).expect("a label").0;
        let said = plain(group);
        let said = said.strip_prefix(&format!("{label}. ")).unwrap_or(&said);
        for sentence in said.split_inclusive(". ").map(str::trim) {
            assert!(all.contains(sentence), "{sentence:?} is no promise in {anchor}");
        }
    }
}

#[test]
fn the_unit_files_are_what_systemd_understands_and_let_a_server_do_little() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    let unit = fs::read_to_string(packaging.join("herd@.service")).expect("a unit");
    // herdctl is the same program.
    let unit = unit.replace("/usr/bin/herdctl", "/usr/bin/herd").replace("/usr/bin/herd", HERD);
    assert!(unit.contains(HERD));
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("herd@Goloman.service"), unit).expect("written");
    fs::copy(packaging.join("herd.target"), path("herd.target")).expect("copied");
    // What the docs have for a port below 1024, at another server.
    let ports = Page::read("docs/operations.md").section("ports-below-1024");
    let ports = ports.split("```ini\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a drop-in");
    fs::create_dir(path("herd@Hands.service.d")).expect("made");
    fs::write(path("herd@Hands.service.d/ports.conf"), ports).expect("written");
    fs::copy(path("herd@Goloman.service"), path("herd@Hands.service")).expect("copied");
    let analyze = |arguments: &[&str], names: &[&str]| {
        let names = names.iter().map(|name| path(name));
        Command::new("systemd-analyze").args(arguments).args(names).output()
    };
    let Ok(said) =
        analyze(&["--man=no", "verify"], &["herd@Goloman.service", "herd@Hands.service", "herd.target"])
    else {
        eprintln!("not tested here: the unit files; systemd-analyze is not installed");
        return;
    };
    // It ends with status 0 whatever it finds.
    let said = [said.stdout, said.stderr].concat();
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    // In tenths: 1.2 is what the best of Debian's own services have.
    let arguments = ["security", "--offline=yes", "--no-pager", "--threshold=12"];
    let said = analyze(&arguments, &["herd@Goloman.service"]).expect("systemd-analyze");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}
