//! What is wrong with a herd.conf in the words of whoever wrote it: the TOML reader names what it met, this names
//! the key, where it belongs, and what was probably meant.

use std::ops::Range;

use serde::de::DeserializeOwned;

use super::raw::{Raw, RawBackbone, RawHttp, RawMap, RawPlaces, RawServer, RawTiming};

/// What the TOML reader says, with the key it is about and what to write instead.
pub fn explain(said: &str, span: &Range<usize>, text: &str) -> String {
    let at = Place::of(span, text);
    let key = at.key;
    if let Some(rest) = said.strip_prefix("unknown field `") {
        return unknown(rest.split('`').next().unwrap_or(rest), &at, said);
    }
    if said.starts_with("missing field `listen`") {
        return "no listen: add listen = \"HOST:PORT\" to the table of the server".to_owned();
    }
    if said.starts_with("duplicate key") {
        let key = text.get(span.clone()).unwrap_or(key);
        return format!("{key} is here a second time; take one of the two out");
    }
    if said.contains("as i128") {
        return format!(
            "{key}: a whole number this large is beyond every limit; docs/configuration.md has the range"
        );
    }
    if said.starts_with("invalid type") {
        return at.list_as_table().unwrap_or_else(|| invalid_type(said, &at));
    }
    // What a value cannot be, in whichever way the reader came to see it.
    let unquoted = ["string values must be quoted", "invalid float", "invalid integer", "invalid datetime"];
    if unquoted.iter().any(|start| said.starts_with(start)) && text.get(..span.start).is_some_and(has_value) {
        return format!("{key}: no value of TOML; a text stands in quotes, like {key} = \"text\" ({said})");
    }
    said.to_owned()
}

fn invalid_type(said: &str, at: &Place<'_>) -> String {
    let wanted = [
        ("expected i64", "expected a whole number, without quotes"),
        ("expected a string", "expected a text in quotes, like \"text\""),
        ("expected a boolean", "expected true or false, without quotes"),
        ("expected a sequence", "expected a list, like [\"Hands\", \"Wilkes\"]"),
        ("expected a map", "expected tables, like [servers.Goloman] with listen = \"127.0.0.1:16675\""),
    ];
    // A URL that stands where none belongs may have a password in it.
    let said = match said.rsplit_once("\", ") {
        Some((value, expected)) if value.contains("://") => format!("invalid type: a URL, {expected}"),
        _ => said.to_owned(),
    };
    let said = wanted.iter().fold(said, |said, (toml, ours)| said.replace(toml, ours));
    // In a table whose keys are names, anything is taken for one.
    let home = home_of(at.key).filter(|_| {
        at.table.as_ref().is_some_and(|table| table == "servers" || table.ends_with("secret_files"))
    });
    match home {
        Some(home) => format!("{} is no key of {}: it belongs {home}", at.key, at.whose()),
        None => format!("{}: {said}", at.key),
    }
}

/// Whether the last line of a text has come to a value.
fn has_value(before: &str) -> bool {
    before.rsplit('\n').next().is_some_and(|line| line.contains('='))
}

/// A key that nobody knows there.
fn unknown(key: &str, at: &Place<'_>, said: &str) -> String {
    if let Some(header) = at.header {
        return meant_by(header, at.is_list, key);
    }
    let whose = at.whose();
    if let Some(home) = home_of(key) {
        return format!("{key} is no key of {whose}: it belongs {home}");
    }
    // First in the table where it stands.
    let tables = tables();
    let expected = |keys: &[String]| keys.iter().all(|key| said.contains(&format!("`{key}`")));
    let (here, elsewhere): (Vec<_>, Vec<_>) = tables.iter().partition(|(keys, _)| expected(keys));
    if let Some(near) = here.iter().find_map(|(keys, _)| nearest(key, keys)) {
        return format!("{key} is no key of {whose}: did you mean {near}?");
    }
    match elsewhere.iter().find_map(|(keys, home)| Some((nearest(key, keys)?, home))) {
        Some((near, home)) => format!("{key} is no key of {whose}: did you mean {near}? It belongs {home}"),
        None => format!("{key} is no key of {whose}: {said}"),
    }
}

/// What a header was probably meant to be, in which `key` is not known.
fn meant_by(header: &str, is_list: bool, key: &str) -> String {
    let (first, rest) = header.split_once('.').unwrap_or((header, ""));
    let shown = if is_list { format!("[[{header}]]") } else { format!("[{header}]") };
    if first == "servers" {
        return match home_of(key) {
            Some(home) => format!("{shown} is in the table of a server, and {key} belongs {home}"),
            None => {
                format!("there is no table {shown}; a name with a dot stands in quotes: [servers.\"{rest}\"]")
            }
        };
    }
    let meant = match nearest(
        first,
        &["servers", "places", "timing", "http", "map", "backbone"].map(str::to_owned),
    ) {
        Some("servers") => server_table(rest),
        Some(near) => format!("[{near}]"),
        None => server_table(header),
    };
    format!("there is no table {shown}; did you mean {meant}?")
}

fn server_table(name: &str) -> String {
    format!("[servers.{}]", if name.is_empty() { "NAME" } else { name })
}

/// Where a key belongs, if it is one.
pub fn home_of(key: &str) -> Option<&'static str> {
    match key {
        "servers" => return Some("in a table a server: [servers.NAME]"),
        "places" => return Some("in a table of its own: [places]"),
        "timing" => return Some("in a table of its own: [timing]"),
        "http" => return Some("in a table of its own: [http], or [servers.NAME.http]"),
        "map" => return Some("in a table of its own: [map], or [servers.NAME.map]"),
        "backbone" => return Some("in a table of its own: [backbone], or true or false in [servers.NAME]"),
        _ => {}
    }
    let tables = tables();
    tables.iter().find(|(keys, _)| keys.iter().any(|known| known == key)).map(|(_, home)| *home)
}

/// The keys of each table, and where it is.
fn tables() -> [(Vec<String>, &'static str); 7] {
    [
        (keys_of::<Raw>(), "above the first [table] of the file, as all below one is in it"),
        (keys_of::<RawPlaces>(), "in [places]"),
        (keys_of::<RawTiming>(), "in [timing]"),
        (keys_of::<RawServer>(), "in the table of a server, [servers.NAME]"),
        (keys_of::<RawHttp>(), "in [http]"),
        (keys_of::<RawMap>(), "in [map]"),
        (keys_of::<RawBackbone>(), "in [backbone]"),
    ]
}

/// The keys of a table, as its reader tells them who meets one that it does not know.
fn keys_of<T: DeserializeOwned>() -> Vec<String> {
    let said = toml::from_str::<T>("\"\" = 0").err().map(|error| error.message().to_owned());
    let said = said.unwrap_or_default();
    let known = said.split_once("expected").map_or("", |(_, known)| known);
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The known word that differs least, if it does so little.
fn nearest<'a>(word: &str, known: &'a [String]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace(['-', ' '], "_");
    let most = (word.len() / 3).max(1);
    let near = known.iter().map(|known| (distance(&word, known), known)).min();
    let near = near.filter(|(distance, _)| *distance <= most).map(|(_, known)| known);
    // Or that only goes on where it ends, like compare, which is compare_ms.
    near.or_else(|| known.iter().find(|known| word.len() > 3 && known.starts_with(&word))).map(String::as_str)
}

/// How many bytes to add, take out or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.bytes().enumerate() {
            let change = corner + usize::from(from != to);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Where a span stands.
struct Place<'a> {
    /// The key whose value it is, as it stands on its line.
    key: &'a str,
    /// What is in the brackets, if it stands in a table's header.
    header: Option<&'a str>,
    /// And whether these are two, `[[servers]]`.
    is_list: bool,
    /// The table it stands in, by the header above it and by what stands before it on its line.
    table: Option<String>,
}

impl<'a> Place<'a> {
    fn of(span: &Range<usize>, text: &'a str) -> Place<'a> {
        let before = text.get(..span.start).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let own = header(line);
        let above = text[..start].lines().rev().find_map(header);
        let key = before[start..].split('=').next().unwrap_or_default().trim();
        let key = if key.is_empty() { line.split('=').next().unwrap_or(line).trim() } else { key };
        Place {
            key,
            header: own.map(|(name, _)| name),
            is_list: own.is_some_and(|(_, is_list)| is_list),
            table: table(above.map(|(name, _)| name), &before[start..]),
        }
    }

    fn whose(&self) -> String {
        self.table.as_ref().map_or("herd.conf's top level".to_owned(), |table| format!("[{table}]"))
    }

    /// For a header with two brackets where a table is meant.
    fn list_as_table(&self) -> Option<String> {
        let header = self.header.filter(|_| self.is_list)?;
        let meant = if header == "servers" { server_table("") } else { format!("[{header}]") };
        let name = if header == "servers" { ", with the name of the server in it" } else { "" };
        Some(format!("[[{header}]] begins a list, and herd.conf has none: write {meant}{name}"))
    }
}

/// A header's table, or the one in it that the beginning of a line leads to: `servers.A.`, or `servers.A = {`.
fn table(header: Option<&str>, before: &str) -> Option<String> {
    let inside = match before.split_once('=') {
        Some((path, value)) if value.contains('{') => Some(path.trim()),
        Some(_) => None,
        None => before.trim().strip_suffix('.'),
    };
    match (header, inside) {
        (Some(header), Some(inside)) => Some(format!("{header}.{inside}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// What is in the brackets of a table's header, and whether they are two.
fn header(line: &str) -> Option<(&str, bool)> {
    let inside = line.trim_start().strip_prefix('[')?;
    let is_list = inside.starts_with('[');
    let inside = inside.strip_prefix('[').unwrap_or(inside);
    let (name, after) = inside.split_once(']')?;
    let after = after.strip_prefix(']').unwrap_or(after).trim();
    let name = name.trim();
    // An element of a list may stand on a line of its own.
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    (is_name && (after.is_empty() || after.starts_with('#'))).then_some((name, is_list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ_by_so_much() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "ab", 2),
            ("neighbors", "neighbours", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn every_table_tells_its_keys() {
        let some = ["workers", "provider", "compare_ms", "listen", "tokens_file", "attribution", "retain"];
        for ((keys, _), some) in tables().iter().zip(some) {
            assert!(keys.len() > 1 && keys.iter().any(|key| key == some), "{keys:?}");
        }
    }
}
