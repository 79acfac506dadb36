//! What the limits of herd.conf come to: the memory that a server could take at most. `--check` prints it.

use std::fmt;

use serde_json::{Value, json};

use crate::config::{Config, Server};
use crate::limits::{
    ARENA_DOUBLING, CLIENT_BYTES, ENTRIES_KEPT_BYTES, FEED_AREAS_KEPT, FEED_CHANGES_BYTES,
    FEED_OWN_PIECE_BYTES, FEED_READERS_MAX, FEED_RINGS_BYTES, HTTP_BODY_MAX, HTTP_HEAD_MAX,
    INDEX_CLIENT_BYTES, KERNEL_UNSENT_BYTES, LATER_KEPT_BYTES, LINK_PENDING_BYTES, LOG_BUFFER_MAX,
    NEWS_KEPT_BYTES, PHONE_BODIES_BYTES, PLACES_ANSWER_MAX, PLACES_STACK_BYTES, PROGRAM_BYTES, READ_BYTES,
    REPLAY_READER_BYTES, REPLAY_THREADS_MAX, TLS_CONNECTION_BYTES, TURN_KEPT_BYTES, at_line_max,
};
use crate::logging::count;

/// A row for each limit.
pub struct Memory {
    /// The server's name.
    of: String,
    rows: Vec<Row>,
    /// What clients take in place of their row when each has a line as long as may be.
    long_lines: Row,
}

struct Row {
    what: &'static str,
    /// None where nothing bounds it.
    bytes: Option<u64>,
    /// Where it comes from.
    how: String,
}

impl Memory {
    /// What a server could take, whose files of places take so many bytes when they have been read.
    pub fn of(config: &Config, server: &Server, places_bytes: usize) -> Memory {
        let (settings, places) = (&config.settings, &config.places);
        let (links, threads) = (server.neighbours.len(), places.threads());
        let row = |what, count: usize, each: usize, how: String| {
            let bytes = (count as u64).checked_mul(each as u64).filter(|_| count < usize::MAX);
            Row { what, bytes, how }
        };
        let line = settings.max_line.max(READ_BYTES);
        let worker = TURN_KEPT_BYTES + ENTRIES_KEPT_BYTES + NEWS_KEPT_BYTES;
        let lookup = PLACES_STACK_BYTES + 2 * PLACES_ANSWER_MAX as usize;
        // Its place is longer by a step of sizes, at most.
        let long_line = CLIENT_BYTES + at_line_max(settings.max_line) * (ARENA_DOUBLING + 1) / ARENA_DOUBLING;
        let indexed = if settings.is_indexed { INDEX_CLIENT_BYTES } else { 0 };
        let program = PROGRAM_BYTES + REPLAY_THREADS_MAX * REPLAY_READER_BYTES + LATER_KEPT_BYTES;
        let readers = settings.max_connections.min(FEED_READERS_MAX);
        // The last of each kind, and what each is told of the store.
        let pieces = (2 * readers + FEED_AREAS_KEPT) * FEED_OWN_PIECE_BYTES;
        let feed = FEED_RINGS_BYTES + FEED_CHANGES_BYTES + pieces;
        let mut memory = Memory {
            of: server.name.clone(),
            long_lines: row(
                "long lines",
                settings.max_clients,
                long_line,
                "in place of clients, if each has a line of max_line bytes".to_owned(),
            ),
            rows: vec![
                row("program", 1, program, "itself, while it reads its journal".to_owned()),
                row(
                    "clients",
                    settings.max_clients,
                    CLIENT_BYTES,
                    "max_clients, with IDs of 25 bytes".to_owned(),
                ),
                row(
                    "forgotten",
                    settings.max_clients,
                    CLIENT_BYTES,
                    "max_clients, as notes of them for forgotten_for".to_owned(),
                ),
                row("index", settings.max_clients, indexed, "max_clients; index = false saves it".to_owned()),
                row(
                    "unanswered",
                    settings.max_connections,
                    line,
                    "max_connections, if each says much".to_owned(),
                ),
                row(
                    "unread",
                    1,
                    settings.max_unsent_total,
                    "max_unsent_total, mostly the system's".to_owned(),
                ),
                row(
                    "unnoticed",
                    settings.max_connections,
                    KERNEL_UNSENT_BYTES,
                    "max_connections, the system's, if none of them reads".to_owned(),
                ),
                row(
                    "links",
                    links,
                    LINK_PENDING_BYTES,
                    match links {
                        1 => "1 neighbour that takes little".to_owned(),
                        _ => format!("{} that take little", count(links as u64, "neighbour")),
                    },
                ),
                row(
                    "feed",
                    1,
                    feed,
                    format!("{} that watch something else each", count(readers as u64, "reader")),
                ),
                row("lookups", threads, lookup, format!("{threads} places.threads")),
                row("turns", settings.workers, worker, format!("{} workers after a burst", settings.workers)),
                row("log", 1, LOG_BUFFER_MAX, "a disk that is slow".to_owned()),
            ],
        };
        if places_bytes > 0 {
            let how =
                "files of places as they are now, twice at a reload; reading them takes more for a while";
            memory.rows.push(row("places", 2, places_bytes, how.to_owned()));
        }
        if server.http.is_some() {
            let (most, how) =
                (settings.max_connections, "max_connections, if each has one by HTTP under way");
            memory.rows.push(row("requests", most, HTTP_HEAD_MAX + HTTP_BODY_MAX, how.to_owned()));
            let how = "batches of phones that are longer".to_owned();
            memory.rows.push(row("batches", 1, PHONE_BODIES_BYTES, how));
        }
        if server.http.as_ref().is_some_and(|http| http.tls.is_some()) {
            let how = "max_connections, if each has TLS and says much".to_owned();
            memory.rows.push(row("tls", settings.max_connections, TLS_CONNECTION_BYTES, how));
        }
        memory
    }

    /// All rows together; None where one has no bound.
    pub fn total(&self) -> Option<u64> {
        self.rows.iter().map(|row| row.bytes).sum()
    }

    /// In bytes, null where nothing bounds it.
    pub fn object(&self) -> Value {
        let part = |Row { what, bytes, how }: &Row| json!({ "what": what, "bytes": bytes, "how": how });
        json!({
            "server": self.of,
            "bytes": self.total(),
            "parts": self.rows.iter().map(part).collect::<Vec<_>>(),
            "long_lines_bytes": self.long_lines.bytes,
        })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Row { what: "in all", bytes: self.total(), how: "if everything comes together".to_owned() };
        writeln!(f, "memory of {} at most", self.of)?;
        self.rows.iter().chain([&all, &self.long_lines]).try_for_each(|Row { what, bytes, how }| {
            let size =
                bytes.map_or("no bound".to_owned(), |bytes| format!("{} MB", bytes.div_ceil(1_000_000)));
            writeln!(f, "  {what:10}  {size:>10}  {how}")
        })
    }
}
