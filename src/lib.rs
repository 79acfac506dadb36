//! herd: a herd of small servers that know where moving clients are.
#![forbid(unsafe_code)]

pub mod args;
pub mod config;
pub mod exit;
pub mod family;
pub mod limits;
pub mod logging;
pub mod node;
pub mod places;
pub mod protocol;
pub mod server;
pub mod store;
pub mod thread;
