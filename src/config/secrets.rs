//! The files with the herd's secrets: who shares which with whom, and what is in them.

use std::io;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Server};
use crate::files;
use crate::limits::{SECRET_FILE_MAX, SECRET_MIN};
use crate::link::{Key, KeyRing, Keys};

/// A file named in herd.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    pub path: PathBuf,
    /// Where it is named.
    pub line: usize,
}

impl Config {
    /// The file of what two servers share, if they do: their own; or that of the first in herd.conf of the
    /// two that has one for all its neighbours; or the herd's. A server of another make shares nothing.
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

    /// By what somebody who is no server proves to one that it may ask.
    fn own_secret<'a>(&'a self, server: &'a Server) -> Option<&'a SecretFile> {
        server.secret_file.as_ref().or(self.secret_file.as_ref())
    }

    /// Reads the secrets of a server: what it shares with each of its neighbours.
    ///
    /// # Errors
    /// A file is missing, can be read by others than its owner, or holds no secret worth the name.
    pub fn open_keys(&self, index: usize) -> Result<KeyRing, ConfigError> {
        let server = &self.servers[index];
        let keys = |file: Option<&SecretFile>| file.map_or(Ok(Keys::new()), |file| self.read_keys(file));
        let pairs = server.neighbours.iter().map(|&other| {
            let name = self.servers[other].name.clone();
            Ok((name, keys(self.shared_secret(index, other))?))
        });
        Ok(KeyRing { pairs: pairs.collect::<Result<_, _>>()?, own: keys(self.own_secret(server))? })
    }

    /// Reads what proves to each server that it may be asked how far it is.
    ///
    /// # Errors
    /// The same.
    pub fn open_asking_keys(&self) -> Result<Vec<Keys>, ConfigError> {
        let keys = |server| self.own_secret(server).map_or(Ok(Keys::new()), |file| self.read_keys(file));
        self.servers.iter().map(keys).collect()
    }

    fn read_keys(&self, file: &SecretFile) -> Result<Keys, ConfigError> {
        read(&file.path).map_err(|why| ConfigError {
            path: self.path.clone(),
            line: Some(file.line),
            why: format!("secret_file {}: {why}", file.path.display()),
        })
    }
}

const MAKE_ONE: &str = "make one with `(umask 077; head -c 32 /dev/urandom | base64 > herd.key)`";

fn read(path: &Path) -> Result<Keys, String> {
    let text = files::read_secret(path, SECRET_FILE_MAX).map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => format!("{why}; {MAKE_ONE}"),
        _ => why.to_string(),
    })?;
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let secrets: Vec<_> = lines.collect();
    if secrets.is_empty() {
        return Err(format!("it is empty; {MAKE_ONE}"));
    }
    if let Some(short) = secrets.iter().position(|secret| secret.len() < SECRET_MIN) {
        let (number, length) = (short + 1, secrets[short].len());
        return Err(format!(
            "secret {number} has {length} characters, and fewer than {SECRET_MIN} can be guessed; {MAKE_ONE}"
        ));
    }
    Ok(secrets.into_iter().map(Key::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        (folder, path)
    }

    #[test]
    fn a_file_holds_a_secret_a_line_and_is_for_its_owner_only() {
        let long = "0123456789abcdef";
        let check = |text: &str, mode: u32, expected: Result<usize, &str>| {
            let (_folder, path) = file(text, mode);
            match (read(&path).map(|keys| keys.len()), expected) {
                (Ok(found), Ok(count)) => assert_eq!(found, count, "{text:?}"),
                (Err(why), Err(hint)) => assert!(why.contains(hint), "{why}"),
                (found, expected) => panic!("{text:?} {mode:o}: {found:?}, not {expected:?}"),
            }
        };
        check(&format!("{long}\n"), 0o600, Ok(1));
        check(&format!("\n  {long}  \r\n{long}2"), 0o400, Ok(2));
        check(&format!("{long}\n"), 0o604, Err("mode 0604"));
        let fifo = tempfile::tempdir().expect("a folder");
        assert!(read(fifo.path()).is_err_and(|why| why.contains("a folder")));
        check("", 0o600, Err("urandom"));
        check(&format!("{long}\nshort\n"), 0o600, Err("secret 2 has 5 characters"));
        assert!(read(Path::new("/nonexistent/key")).is_err_and(|why| why.contains("urandom")));
    }
}
