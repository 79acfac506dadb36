//! herd: a herd of small servers that know where moving clients are.
//!
//! A line's way through the program:
//!
//! ```text
//! socket -> line -> Command -> Node -> Reply -> socket
//!                               |-> Store (mutex, hash map) -> News -> Journal, Flooder -> Links
//!                               '-> Places pool (WHATSAT)
//! ```
//!
//! | thread | owns | ends when |
//! |---|---|---|
//! | main | signals, start and stop | a signal came and the others have ended |
//! | `worker-N` | a poller and its connections | the server stops and its replies are flushed |
//! | `places-N` | one lookup at a time | the process does |
//! | `flooder` | the receiving end of the flood channel | its stop message comes, last in the channel |
//! | `keeper` | what takes longer than a turn may: digests, forgetting, a look at the clock | told to |
//! | `journal` | the journal's files: it syncs, compacts and looks after them | told to, after a last sync |
//! | `link-NAME` | a neighbour's connection, and what its socket did not take at once | told to, when all is sent |
//! | `log` | the log file | the process does, after a flush |
//! | `console` | stderr, and `announce` stdout: either may take nothing for ever | the process does |
//!
//! The lock rule: one private mutex a struct, held for one operation on what it guards, never
//! across anything that waits; but the journal's, across what it does to its files. Two at once only in
//! the flood: the right to send, then a link's. The log's buffer may be taken inside any of them.
//!
//! Read on in this order:
#![forbid(unsafe_code)]

pub mod protocol;

pub mod digest;
pub mod store;

pub mod journal;
pub mod link;
pub mod node;

pub mod places;

pub mod server;

pub mod config;
pub mod files;
pub mod limits;
pub mod logging;
pub mod net;
pub mod thread;

pub mod args;
pub mod run;
