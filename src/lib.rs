//! herd: a herd of small servers that know where moving clients are.
//!
//! A line's way through the program:
//!
//! ```text
//! bytes -> door -> verbs -> node -> what became of them
//!            |                |
//!            |                v
//!            |     turn: learn (store) -> keep (journal) -> flood (links) -> promise
//!            |                                                                 |
//! bytes <- door <- replies, when the journal has them and the flood is on its way
//! ```
//!
//! A worker's room calls the doors and commits the turn; a WHATSAT leaves it for the places pool and comes back as a
//! letter.
//!
//! | thread | owns | ends when |
//! |---|---|---|
//! | `main` | start and stop | a signal came and the others have ended |
//! | `signals` | the signals of one server, or of a whole herd; it ends a server that hangs | the process does, or is about to become another program |
//! | `watch-NAME` | a server's stdout, in a whole herd | its server does |
//! | `reload` | herd.conf and what it names, while that is read again | it is read |
//! | `upgrade` | the next program while that checks herd.conf | that has ended |
//! | `worker-N` | a poller, a room of connections, its turns | the server stops and its replies are flushed |
//! | `places-N` | one lookup at a time | the server stops |
//! | `places-resolver` | one name that is looked up for a lookup | the system has answered |
//! | `flooder` | the receiving end of the flood's channel, and the marker | its stop message comes, last in the channel |
//! | `feed` | the asks of those who watch, what was last told, and who is on the way through the store | its stop message comes |
//! | `sweeps` | the errands of doors (digests, the status), the sweeps | told to |
//! | `batches` | what phones say that takes longer to read than a turn may | told to, after what waits |
//! | `journal` | the journal's files: it syncs, compacts and looks after them | told to, after a last sync |
//! | `replay-N` | one block of the journal at a time, at a start with a long one | the journal is read |
//! | `compaction` | the snapshot that a compaction writes | that is written |
//! | `link-NAME` | the connection to a neighbour, and what its socket did not take at once | told to, when all is sent |
//! | `lane` | the connection by which news goes into the engine of the backbone | told to, when all is published |
//! | `tail` | the connection by which news of others comes out of it | told to, once it has learned what it is at |
//! | `asker` | `--agree`'s connection to one server, and what asks them all for `herdctl top` | it has answered, or is too late |
//! | `sender` | stdin, in `herdctl send` and `at -` | stdin has ended, or the process does |
//! | `probe` | `--check`'s connection to one port at a time | all ports are tried |
//! | `log` | the log file | the process does, after a flush |
//! | `console` | stderr, which may take nothing for ever | the process does |
//! | `announce` | stdout, which may take nothing for ever | that is printed, or the process does |
//! | `progress` | the clock, at a start under a service manager | the places are read |
//!
//! The lock rule: one private mutex a struct, held for one operation on what it guards, never across anything that
//! waits. The exceptions are the journal's, across what the journal does to its files: whoever appends holds its lock
//! for the write, and with `sync = "always"` holds it open for reading (`settling`) until what was appended is on the
//! disk and the store knows it. Two locks at once are held in the flood (the right to send, and then a link's or the feed's), in
//! that journal (`settling`, and then the store's or its own), and by whoever logs: the log's buffer, and simplelog's
//! own mutex before it, may be taken inside any of them, and nothing is taken inside the buffer's.
//!
//! Read on in this order:
#![forbid(unsafe_code)]

pub mod protocol;

pub mod store;

pub mod journal;
pub mod node;

pub mod link;

pub mod feed;

pub mod flood;
pub mod turn;

pub mod backbone;

pub mod places;
pub mod status;

pub mod door;

pub mod net;
pub mod worker;

pub mod dialler;

pub mod server;

pub mod client;
pub mod config;

pub mod args;
pub mod run;

// What all of them use.
pub mod clock;
pub mod files;
pub mod limits;
pub mod logging;
pub mod object;
pub mod tally;
pub mod thread;
