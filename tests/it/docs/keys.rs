//! Every default and every range that docs/configuration.md has for a key is that of the code. herd.conf(5) has the same
//! ones, which `man` compares.

use std::path::Path;

use herd::config::{Change, Config};
use herd::limits::WORKERS_MIN;

use super::page::{Page, quoted};

/// The tables of keys, by what they stand under.
const TABLES: [&str; 6] = ["top-level-keys", "places", "http", "map", "backbone", "timing"];

const ENGINE: &str = "backbone.urls = [\"redis://127.0.0.1\"]";

/// What a key needs beside it.
fn beside(key: &str) -> &'static str {
    match key {
        "http.listen" => "",
        "http.tls_cert" => "http.listen = \"127.0.0.1:8\"\nhttp.tls_key = \"tls.key\"",
        _ if key.starts_with("http.") => "http.listen = \"127.0.0.1:8\"",
        "map.tiles" => "map.attribution = \"somebody\"",
        "map.attribution" => "map.tiles = \"https://tiles.example/{z}/{x}/{y}.png\"",
        "backbone.urls" => "",
        "backbone.user" => "backbone.urls = [\"redis://127.0.0.1\"]\nbackbone.password_file = \"a.file\"",
        _ if key.starts_with("backbone.") => ENGINE,
        "places.provider" => "places.path = \"mine.csv\"\nplaces.url = \"http://127.0.0.1:7\"",
        _ => "",
    }
}

fn parse(lines: &str) -> Result<Config, String> {
    let text = format!("{lines}\n[servers.A]\nlisten = \"127.0.0.1:1\"\n");
    Config::parse(Path::new("/etc/herd/herd.conf"), &text).map_err(|why| why.to_string())
}

/// A herd.conf in which a key has a value, with what that needs.
fn with(key: &str, value: &str) -> Result<Config, String> {
    parse(&format!("{}\n{key} = {value}", beside(key)))
}

/// The same without the key; what is no use without it is not there either.
fn without(key: &str) -> Config {
    let beside = if matches!(key, "http.tls_cert" | "map.tiles" | "map.attribution") {
        if key.starts_with("http.") { "http.listen = \"127.0.0.1:8\"" } else { "" }
    } else {
        beside(key)
    };
    parse(beside).unwrap_or_else(|why| panic!("{key}: {why}"))
}

/// The rows of all tables: key, default, range and meaning.
fn documented() -> Vec<[String; 4]> {
    let docs = Page::read("docs/configuration.md");
    let mut all = Vec::new();
    for anchor in TABLES {
        let text = docs.section(anchor);
        for row in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            let [key, default, range, means] =
                <[String; 4]>::try_from(cells).unwrap_or_else(|row| panic!("{row:?}"));
            all.push([key.trim_matches('`').to_owned(), default, range, means]);
        }
    }
    assert!(all.len() > 50, "{}", all.len());
    all
}

/// A value for a key that has none by itself.
fn sample(key: &str) -> &'static str {
    match key {
        "forget_after" => "\"7d\"",
        "secret_file"
        | "places.key_file"
        | "http.tls_cert"
        | "http.tokens_file"
        | "backbone.password_file" => "\"a.file\"",
        "places.path" => "\"mine.csv\"",
        "places.url" => "\"http://127.0.0.1:7\"",
        "places.field_mask" => "\"places.name\"",
        "places.language" => "\"de\"",
        "places.daily_budget" => "7",
        "http.listen" => "\"127.0.0.1:8\"",
        "map.tiles" => "\"https://tiles.example/{z}/{x}/{y}.png\"",
        "map.attribution" => "\"somebody\"",
        "backbone.urls" => "[\"redis://127.0.0.1\"]",
        "backbone.user" => "\"ada\"",
        _ => panic!("{key}: give it a value here"),
    }
}

#[test]
fn every_documented_default_is_that_of_the_code() {
    for [key, default, _, _] in documented() {
        let key = key.as_str();
        let unset = without(key);
        // `20000, or what the file limit leaves`
        let literal = default.split(", or").next().unwrap_or_default().trim_matches('`');
        let is_literal = literal.starts_with(['"', '[']) && !literal.contains("](")
            || ["true", "false"].contains(&literal)
            || literal.parse::<u64>().is_ok();
        match (key, default.as_str()) {
            // That it is set says something, too.
            ("max_ahead", _) => {
                let set = with(key, literal).expect("valid");
                assert_eq!(set.settings.max_ahead_ns, unset.settings.max_ahead_ns);
                assert_eq!((set.settings.refuses_ahead, unset.settings.refuses_ahead), (true, false));
            }
            _ if is_literal => {
                let set = with(key, literal).unwrap_or_else(|why| panic!("{key} = {literal}: {why}"));
                assert_eq!(set.fingerprint(), unset.fingerprint(), "the default of {key} is not {literal}");
            }
            ("workers", "cores, at least 2") => {
                let cores = std::thread::available_parallelism().expect("cores").get();
                assert_eq!((unset.settings.workers, WORKERS_MIN), (cores.max(2), 2));
            }
            ("max_per_address", "a quarter of `max_connections`") => {
                assert_eq!(unset.settings.max_per_address, None);
            }
            ("places.threads", "32 (local: 2)") => {
                let asks = with("places.provider", "\"google\"").expect("valid");
                assert_eq!((asks.places.threads(), unset.places.threads()), (32, 2));
            }
            ("http.tls_key", "unset") => {
                assert!(with(key, "\"tls.key\"").is_err_and(|why| why.contains("needs http.tls_cert")));
            }
            _ => {
                let is_unset =
                    default.starts_with("unset") || ["places.url", "places.field_mask"].contains(&key);
                assert!(is_unset, "{key}: nothing compares {default:?} with the code");
                let set = with(key, sample(key)).unwrap_or_else(|why| panic!("{key}: {why}"));
                let Change { live, restart } = Change::between((&unset, 0), (&set, 0));
                let is_new =
                    live.iter().chain(&restart).any(|it| it.starts_with(&format!("{key}: none -> ")));
                assert!(is_new, "{key} is not {default}: {live:?} {restart:?}");
            }
        }
    }
    // A herd.conf that says nothing of this is refused, where other machines reach it.
    let out = "[servers.B]\nlisten = \"192.0.2.1:1\"\nneighbours = [\"A\"]\nhttp.listen = \"127.0.0.1:8\"";
    let parse_at = |lines: &str| parse(&format!("{lines}\n{out}"));
    for (value, is_taken) in [("true", true), ("false", false)] {
        assert_eq!(parse_at(&format!("insecure_neighbours = {value}")).is_ok(), is_taken);
        let web =
            format!("http = {{ listen = \"0.0.0.0:8\", tokens_file = \"t\", insecure_http = {value} }}");
        assert_eq!(parse(&web).is_ok(), is_taken);
        let engine = format!("backbone = {{ urls = [\"redis://192.0.2.1\"], insecure_backbone = {value} }}");
        assert_eq!(parse(&engine).is_ok(), is_taken);
    }
    assert!(parse_at("").is_err());
    assert!(parse("http = { listen = \"0.0.0.0:8\", tokens_file = \"t\" }").is_err());
    assert!(parse("backbone.urls = [\"redis://192.0.2.1\"]").is_err());
}

#[test]
fn every_documented_range_is_that_of_the_code() {
    let (mut count, mut last) = (0, String::new());
    for [key, _, range, _] in documented() {
        let key = key.as_str();
        if range == "the same" {
            assert!(!last.is_empty(), "{key}");
        } else {
            last = range.clone();
        }
        // What stands behind a `;` is a value of its own.
        let mut parts = last.split("; ");
        let main = parts.next().unwrap_or_default().to_owned();
        let is_zero_special = parts.next().is_some_and(|more| more.starts_with("0: "));
        let check = |value: &str, is_in: bool| {
            let said = with(key, value);
            assert_eq!(said.is_ok(), is_in, "{key} = {value}, of {range:?}: {:?}", said.err());
        };
        let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{key}: {range:?}"));
        if let Some(most) = main.strip_suffix(" characters") {
            let (least, most) = most.split_once('–').expect("a range");
            for (length, is_in) in [
                (number(least) - 1, false),
                (number(least), true),
                (number(most), true),
                (number(most) + 1, false),
            ] {
                // A name of keys in the engine has plain letters only.
                let letter = if key == "backbone.herd" { "e" } else { "é" };
                check(&format!("\"{}\"", letter.repeat(length as usize)), is_in);
            }
        } else if let Some(most) = main.strip_suffix(" URLs") {
            let (least, most) = most.split_once('–').expect("a range");
            let (least, most) = (number(least), number(most));
            for (count, is_in) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
                check(&format!("{:?}", vec!["redis://127.0.0.1"; count as usize]), is_in);
            }
        } else if main.ends_with("\"`") && main.contains('–') {
            let in_ms = |text: &str| -> u64 {
                let text = text.trim_matches(['`', '"']);
                let units = [("ms", 1), ("s", 1_000), ("h", 3_600_000)];
                let found = units.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, ms)));
                found.map(|(text, ms)| number(text) * ms).expect("a time")
            };
            let (least, most) = main.split_once('–').expect("a range");
            [least, most].iter().for_each(|time| check(time.trim_matches('`'), true));
            check(&format!("\"{}ms\"", in_ms(most) + 1), false);
            check("\"-1ms\"", false);
            if in_ms(least) > 0 {
                check(&format!("\"{}ms\"", in_ms(least) - 1), false);
            }
        } else if let Some((least, most)) = main.split_once('–') {
            let (least, most) = (number(least), number(most));
            check(&least.to_string(), true);
            check(&most.to_string(), true);
            check(&(most + 1).to_string(), false);
            check("-1", false);
            check("0", least == 0 || is_zero_special);
            if least > 1 {
                check(&(least - 1).to_string(), false);
            }
        } else if let Some(days) = main.strip_prefix("up ").unwrap_or(&main).strip_prefix("to `\"") {
            let days = number(days.strip_suffix("d\"`").expect("days"));
            let seconds = days * 86_400;
            check(&format!("\"{days}d\""), true);
            check(&format!("\"{seconds}s\""), true);
            check(&format!("\"{}s\"", seconds + 1), false);
            check(&format!("\"{}d\"", days + 1), false);
            check("\"1s\"", true);
            check("\"-1s\"", false);
        } else if let Some(most) = main.strip_prefix("to ") {
            assert!(is_zero_special, "{key}: from where on?");
            ["0", "1", most].iter().for_each(|value| check(value, true));
            check(&(number(most) + 1).to_string(), false);
        } else if let Some(example) = main.strip_prefix("for example ") {
            check(example.trim_matches('`'), true);
        } else {
            assert!(main.is_empty(), "{key}: nothing compares {range:?} with the code");
            continue;
        }
        count += 1;
    }
    assert!(count > 30, "{count}");
}

/// Keys whose values are some words: each that the docs name is one, and another is none.
#[test]
fn every_documented_word_is_a_value() {
    let words = ["connections", "sync", "log_level", "places.provider"];
    let mut count = 0;
    for [key, default, _, means] in documented().into_iter().filter(|row| words.contains(&row[0].as_str())) {
        let said = means.split(": see").next().unwrap_or_default();
        for word in quoted(said).into_iter().chain([default.trim_matches('`')]) {
            // Of an option of another kind, or with its quotes.
            let word = word.trim_matches('"');
            assert!(with(&key, &format!("\"{word}\"")).is_ok(), "{key}: {word}");
            count += 1;
        }
        assert!(with(&key, "\"nonsense\"").is_err(), "{key}");
    }
    assert!(count > 14, "{count}");
}

#[test]
fn a_servers_table_without_a_key_is_as_its_page_says() {
    let text = Page::read("docs/configuration.md").section("a-servers-table");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let keys: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    // Without each it is what these say, one a key, and `listen` is needed.
    let defaults = [
        ("address", "\"127.0.0.1:2\""),
        ("neighbours", "[]"),
        ("plain", "false"),
        ("refill", "false"),
        ("secret_file", "\"herd.key\""),
        ("secret_files", "{}"),
        ("http", "{}"),
        ("map", "{}"),
        ("backbone", "true"),
    ];
    assert_eq!(keys, [&["listen"][..], &defaults.map(|(key, _)| key)].concat());
    let herd = |line: &str| {
        let text = format!("secret_file = \"herd.key\"\n[servers.B]\nlisten = \"127.0.0.1:2\"\n{line}\n");
        Config::parse(Path::new("herd.conf"), &text).map(|config| config.fingerprint())
    };
    for (key, value) in defaults {
        let said = herd(&format!("{key} = {value}"));
        assert_eq!(said.ok(), herd("").ok(), "{key}");
    }
    assert!(parse("[servers.B]\nplain = false").is_err_and(|why| why.contains("listen")));
}
