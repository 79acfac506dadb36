//! The map page, `/`, and the files that it is made of: a browser needs nothing from elsewhere. They are in
//! src/door/http/page, and served packed, under a path that changes with them.

use std::sync::OnceLock;

use xxhash_rust::xxh3::xxh3_64;

use super::call::Call;
use super::reply::Reply;
use super::{Done, gzip};
use crate::limits::PAGE_FILE_BYTES_MAX;

/// A file of the page, and its media type.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// Whether these bytes are packed already.
    is_packed: bool,
    /// Packed if these are not, and unpacked if they are; made when somebody asks for it.
    other: OnceLock<Vec<u8>>,
}

impl File {
    fn body(&self, packed: bool) -> &[u8] {
        if packed == self.is_packed {
            return self.bytes;
        }
        self.other.get_or_init(|| {
            if packed {
                gzip::pack_once(self.bytes.to_vec())
            } else {
                gzip::unpack(self.bytes, PAGE_FILE_BYTES_MAX)
            }
        })
    }
}

macro_rules! files {
    ($($kind:literal $suffix:literal: $($name:literal)*;)*) => {
        [$($(File {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!("page/", $name, $suffix)),
            is_packed: !$suffix.is_empty(),
            other: OnceLock::new(),
        },)*)*]
    };
}

static FILES: [File; 38] = files! {
    "text/javascript; charset=utf-8" "":
        "address.js" "api.js" "card.js" "cells.js" "clock.js" "colours.js" "dom.js" "dots.js" "fleet.js" "ground.js" "hands.js"
        "herd.js" "hub.js" "main.js" "map.js" "mercator.js" "names.js" "outline.js" "panel.js" "places.js" "room.js" "scale-bar.js"
        "sign-in.js" "sse.js" "state.js" "stream.js" "table.js" "tabs.js" "texts.js" "tiles.js" "token.js" "towns.js" "view.js" "worker.js";
    "text/css; charset=utf-8" "": "style.css";
    "image/svg+xml" "": "icon.svg";
    "application/octet-stream" ".gz": "world-110m.bin" "world-50m.bin";
};

const INDEX: &str = include_str!("page/index.html");

/// What the page may do: nothing but with this server, and no script or style that is not a file of it. A worker lives
/// under the policy of its own file.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    img-src 'self' data:";
const POLICY_END: &str = "\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n";

/// What stands for all files as they are.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let hashes: Vec<u8> = FILES.iter().flat_map(|file| xxh3_64(file.bytes).to_le_bytes()).collect();
        format!("{:016x}", xxh3_64(&hashes))
    })
}

/// The page itself, for this server.
pub fn index(call: &mut Call<'_, '_>) -> Done {
    let tiles = call.site.tiles.as_ref();
    let config = serde_json::json!({
        "server": call.visit.core.node.name(),
        "version": env!("CARGO_PKG_VERSION"),
        "tiles": tiles.map(|tiles| serde_json::json!({ "url": tiles.url, "attribution": tiles.attribution })),
        "needs_token": call.site.needs_token(),
    });
    let config = config.to_string().replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let page = INDEX.replace("{{assets}}", &format!("/assets/{}", version())).replace("{{config}}", &config);
    let body = gzip::pack_for(call.way, page.into_bytes().into());
    // Pictures, and nothing else, of the tile server, and of no other.
    let origin = tiles.map_or(String::new(), |tiles| format!(" {}", tiles.origin));
    let caching = "Cache-Control: no-cache\r\nVary: Accept\r\n";
    let fields = [POLICY, &origin, POLICY_END, caching].concat();
    let kind = Some("text/html; charset=utf-8");
    call.say_tagged(Reply { status: 200, kind, body: &body, fields: &fields, ..Reply::default() })
}

/// The file that a path below `/assets/` leads to, as its number.
pub fn file_of(path: &[u8]) -> Option<usize> {
    let (hash, name) = std::str::from_utf8(path).ok()?.split_once('/')?;
    FILES.iter().position(|file| file.name == name).filter(|_| hash == version())
}

/// One of the files. It never changes where it is.
pub fn file(call: &mut Call<'_, '_>, number: usize) -> Done {
    let file = &FILES[number];
    let body = file.body(call.way.reads_gzip);
    let caching = "Cache-Control: public, max-age=31536000, immutable\r\n";
    let fields = [POLICY, POLICY_END, caching].concat();
    call.say_tagged(Reply { status: 200, kind: Some(file.kind), body, fields: &fields, ..Reply::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_served() {
        for name in INDEX.split("{{assets}}/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(file_of(format!("{}/{name}", version()).as_bytes()).is_some(), "{name}");
        }
        let folder =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/door/http/page")).expect("a folder");
        for file in folder {
            let name = file.expect("a file").file_name().into_string().expect("text");
            let is_of = |file: &File| file.name == name.strip_suffix(".gz").unwrap_or(&name);
            let is_served = FILES.iter().any(|file| is_of(file) && file.is_packed == name.ends_with(".gz"));
            assert!(is_served || ["index.html", "LICENSE-world"].contains(&&*name), "{name}");
        }
        for path in ["x/main.js", "main.js", "", "/", &format!("{}/../Cargo.toml", version())] {
            assert_eq!(file_of(path.as_bytes()), None, "{path}");
        }
    }

    /// On the wire, all of it.
    #[test]
    fn the_page_is_small() {
        let sum: usize = FILES.iter().map(|file| file.body(true).len()).sum();
        assert!(sum < 150_000, "{sum}");
    }

    #[test]
    fn an_outline_that_is_unpacked_is_whole() {
        for file in FILES.iter().filter(|file| file.is_packed) {
            let (name, bytes) = (file.name, file.body(false));
            assert!(gzip::is_packed(file.bytes) && bytes.len() > file.bytes.len(), "{name}");
            let mut bytes = bytes.iter();
            let mut number = || {
                let (mut value, mut shift) = (0, 0);
                loop {
                    let byte = u64::from(*bytes.next()?);
                    value |= (byte & 127) << shift;
                    shift += 7;
                    if byte < 128 {
                        return Some(value);
                    }
                }
            };
            // Steps in a degree, and how many rings and lines there are; each has so many points, and each of them two numbers.
            let mut next = || number().unwrap_or_else(|| panic!("{name} is cut off"));
            assert!((1..100).contains(&next()), "{name}");
            let shapes = next() + next();
            for _ in 0..shapes {
                for _ in 0..2 * next() {
                    next();
                }
            }
            assert!(shapes > 100 && number().is_none(), "{name} goes on");
        }
    }
}
