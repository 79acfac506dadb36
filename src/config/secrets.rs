//! Which file holds the secret that two servers share, and which line of herd.conf names it. The files are not read
//! here: `run` reads them.

use std::path::PathBuf;

use super::{Config, Server};

/// A file named in herd.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    pub path: PathBuf,
    /// The line of herd.conf that names it, from 1.
    pub line: usize,
}

impl Config {
    /// The file of the secret that two servers share: their own. If they have none, that of the server which has one
    /// for all its neighbours, the first in herd.conf of the two. If neither has, the herd's. None when there is no
    /// secret for them, and for a server of another implementation, which shares nothing.
    pub fn shared_secret(&self, a: usize, b: usize) -> Option<&SecretFile> {
        let (first, second) = (&self.servers[a.min(b)], &self.servers[a.max(b)]);
        if first.plain || second.plain {
            return None;
        }
        if let Some((_, pair)) = first.secret_files.iter().find(|(other, _)| *other == a.max(b)) {
            return Some(pair);
        }
        let own = first.secret_file.as_ref().or(second.secret_file.as_ref());
        own.or(self.secret_file.as_ref())
    }

    /// The file of the secret by which somebody who is no server proves that it may ask this server. None when it needs
    /// no proof.
    pub fn own_secret<'a>(&'a self, server: &'a Server) -> Option<&'a SecretFile> {
        server.secret_file.as_ref().or(self.secret_file.as_ref())
    }
}
