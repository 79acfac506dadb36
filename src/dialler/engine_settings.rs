//! What herd.conf says of an engine.

use std::time::Duration;

use crate::net::HostPort;

/// Where an engine is, and what herd.conf says of it.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Nodes of it, asked in turn.
    pub nodes: Vec<HostPort>,
    /// What its keys begin with.
    pub herd: String,
    pub parts: u16,
    /// How long news waits for company.
    pub linger: Duration,
    /// How long its log is kept.
    pub retain: Duration,
    /// What an answer may take.
    pub timeout: Duration,
    pub user: Option<String>,
    pub password: Option<String>,
}
