//! The tables `[map]` and `[servers.NAME.map]`: the tile server whose pictures the map page draws clients on. `servers`
//! calls it; nobody is asked here.

use super::raw::{Problem, RawMap};
use crate::limits::{MAP_ATTRIBUTION_MAX, MAP_TILES_MAX};

/// A tile server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiles {
    /// With `{z}`, `{x}` and `{y}`.
    pub url: String,
    /// Of the URL, as a browser writes it: `https://tiles.example.org`.
    pub origin: String,
    /// Whom its licence wants named beside the map.
    pub attribution: String,
}

/// What a server's own table says, or that of all servers where there is no other. The attribution is of the same table
/// as the tiles, as it is of nobody else's.
pub fn tiles(all: &RawMap, own: Option<&RawMap>) -> Result<Option<Tiles>, Problem> {
    let table = own.filter(|own| own.tiles.is_some() || own.attribution.is_some()).unwrap_or(all);
    let (url, attribution) = match (&table.tiles, &table.attribution) {
        (Some(url), Some(attribution)) => (url, attribution),
        (None, None) => return Ok(None),
        (Some(url), None) => {
            let why = "map.tiles needs map.attribution, whom the licence of the map wants named beside it, like \
                       \"© OpenStreetMap contributors\"";
            return Err(Problem::at(url, why));
        }
        (None, Some(attribution)) => {
            let why = "map.attribution is of map.tiles, which is missing; add it, or take this out";
            return Err(Problem::at(attribution, why));
        }
    };
    let text = attribution.get_ref();
    if text.trim().is_empty() || text.chars().count() > MAP_ATTRIBUTION_MAX || text.contains(char::is_control)
    {
        let why = format!("map.attribution must be 1 to {MAP_ATTRIBUTION_MAX} characters of text");
        return Err(Problem::at(attribution, why));
    }
    match origin(url.get_ref()) {
        Ok(origin) => Ok(Some(Tiles { url: url.get_ref().clone(), origin, attribution: text.trim().into() })),
        Err(why) => {
            let why = format!(
                "map.tiles is {:?}, {why}; it is like \"https://tiles.example.org/{{z}}/{{x}}/{{y}}.png\"",
                url.get_ref()
            );
            Err(Problem::at(url, why))
        }
    }
}

/// The origin of a URL with `{z}`, `{x}` and `{y}`, or why it is none. It becomes a part of a policy, so it is nothing but
/// scheme, name and port.
fn origin(url: &str) -> Result<String, &'static str> {
    if url.len() > MAP_TILES_MAX
        || !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    {
        return Err("which is too long, or has characters that no URL has");
    }
    let (scheme, rest) = url
        .split_once("://")
        .filter(|(scheme, _)| ["http", "https"].contains(scheme))
        .ok_or("which does not begin with http:// or https://")?;
    let (host, path) = rest.split_at(rest.find('/').ok_or("which has no path")?);
    let bare = ["{z}", "{x}", "{y}"].iter().try_fold(path.to_owned(), |path, part| {
        let (before, after) = path.split_once(part).ok_or("which lacks {z}, {x} or {y} in its path")?;
        Ok::<_, &str>(format!("{before}{after}"))
    })?;
    if bare.contains(['{', '}', '#']) {
        return Err("of which only {z}, {x} and {y} are filled in, each once");
    }
    if host.starts_with('[') {
        return Err("and no policy of a web page can name an IPv6 address: give it a name");
    }
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_name || port.parse::<u16>().is_err() {
        return Err("which has no host of letters, digits, '-' and '.', with a port or without");
    }
    Ok(format!("{scheme}://{}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn an_origin_is_scheme_name_and_port_and_nothing_else() {
        let rest = "{z}/{x}/{y}.png?key=a";
        for (url, expected) in [
            ("https://Tiles.example.org/", Ok("https://tiles.example.org")),
            ("http://127.0.0.1:8080/a/", Ok("http://127.0.0.1:8080")),
            ("https://a;script-src/", Err("host")),
            ("https://a,b/", Err("host")),
            ("https://u:p@a/", Err("host")),
            ("https://a:/", Err("host")),
            ("https://a:99999/", Err("host")),
            ("https:///", Err("host")),
            ("https://[::1]:80/", Err("IPv6")),
            ("https://a b/", Err("characters")),
            ("https://{s}.a/", Err("host")),
            ("https://a/{s}/", Err("only {z}")),
            ("https://a/{z}/", Err("only {z}")),
            ("ftp://a/", Err("begin with")),
            ("//a/", Err("begin with")),
        ] {
            let found = origin(&format!("{url}{rest}"));
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{url}"),
                Err(word) => assert!(found.is_err_and(|why| why.contains(word)), "{url}"),
            }
        }
        assert!(origin("https://a/{z}/{x}.png").is_err_and(|why| why.contains("lacks")));
        assert!(origin("https://a.{z}.{x}.{y}").is_err_and(|why| why.contains("no path")));
    }
}
