//! How a server reaches the engine of its backbone: what herd.conf says, and the password.

use super::secrets;
use crate::config::{Config, ConfigError, Server};
use crate::dialler::EngineSettings;

/// The engine of a server; None where it has none.
///
/// # Errors
/// The password cannot be read.
pub fn of_server(config: &Config, own: &Server) -> Result<Option<EngineSettings>, ConfigError> {
    let Some(backbone) = config.backbone.as_ref().filter(|_| own.has_backbone) else { return Ok(None) };
    Ok(Some(EngineSettings {
        nodes: backbone.urls.iter().map(|url| url.at.clone()).collect(),
        herd: backbone.herd.clone(),
        parts: backbone.parts,
        linger: backbone.linger,
        retain: backbone.retain,
        timeout: backbone.timeout,
        user: backbone.user.clone(),
        password: secrets::of_engine(config)?,
    }))
}
