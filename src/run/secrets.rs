//! The secrets of a herd, and the password of its engine, read from the files that herd.conf names. A server calls it at
//! its start and at SIGHUP, `--check` and `--agree` call it once.

use std::io;
use std::path::Path;

use crate::config::{Config, ConfigError, SecretFile, Server};
use crate::files;
use crate::limits::{ENGINE_PASSWORD_FILE_MAX, SECRET_FILE_MAX, SECRET_MIN};
use crate::link::{Key, KeyRing, Keys};

/// Reads the secrets of a server: what it shares with each of its neighbours.
///
/// # Errors
/// A file is missing, can be read by others than its owner, or holds no secret worth the name.
pub fn of_server(config: &Config, index: usize) -> Result<KeyRing, ConfigError> {
    let server = &config.servers[index];
    let pairs = server.neighbours.iter().map(|&other| {
        let name = config.servers[other].name.clone();
        Ok((name, keys(config, config.shared_secret(index, other))?))
    });
    Ok(KeyRing { pairs: pairs.collect::<Result<_, _>>()?, own: keys(config, config.own_secret(server))? })
}

/// Reads what proves to each server that it may be asked how far it is.
///
/// # Errors
/// The same.
pub fn for_asking(config: &Config) -> Result<Vec<Keys>, ConfigError> {
    config.servers.iter().map(|server| for_asking_one(config, server)).collect()
}

/// The same of one server.
///
/// # Errors
/// The same.
pub fn for_asking_one(config: &Config, server: &Server) -> Result<Keys, ConfigError> {
    keys(config, config.own_secret(server))
}

/// Reads the password of the engine. None when herd.conf names no file with one.
///
/// # Errors
/// The file is missing, can be read by others than its owner, or holds no line, or several.
pub fn of_engine(config: &Config) -> Result<Option<String>, ConfigError> {
    let file = config.backbone.as_ref().and_then(|backbone| backbone.password_file.as_ref());
    let Some(SecretFile { path, line }) = file else { return Ok(None) };
    password(path)
        .map(Some)
        .map_err(|why| config.error(Some(*line), format!("password_file {}: {why}", path.display())))
}

fn password(path: &Path) -> Result<String, String> {
    let bytes = files::read_secret(path, ENGINE_PASSWORD_FILE_MAX).map_err(|why| why.to_string())?;
    let text = str::from_utf8(&bytes).map_err(|_| "it is no UTF-8".to_owned())?;
    // Spaces may be a part of it, and what an editor puts behind the last line is none.
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains(char::is_control) {
        return Err("it must hold the password of the engine's user, in one line".to_owned());
    }
    Ok(line.to_owned())
}

/// The keys in a file. There are none when no file is named.
fn keys(config: &Config, file: Option<&SecretFile>) -> Result<Keys, ConfigError> {
    let Some(file) = file else { return Ok(Keys::new()) };
    let told = |why| config.error(Some(file.line), format!("secret_file {}: {why}", file.path.display()));
    read(&file.path).map_err(told)
}

const MAKE_ONE: &str = "copy it from a server that has it, or make one with \
                        `(umask 077; head -c 32 /dev/urandom | base64 > herd.key)`";

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
            "secret {number} has {length} bytes, and fewer than {SECRET_MIN} can be guessed; {MAKE_ONE}"
        ));
    }
    Ok(secrets.into_iter().map(Key::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        (folder, path)
    }

    #[test]
    fn a_file_holds_the_password_of_an_engine_in_one_line_and_is_for_its_owner_only() {
        let check = |text: &str, mode: u32, expected: Result<&str, &str>| {
            let (_folder, path) = file(text, mode);
            match (password(&path), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text:?}"),
                (Err(why), Err(hint)) => {
                    assert!(why.contains(hint) && !why.contains("hush"), "{why}");
                }
                (found, expected) => panic!("{text:?} {mode:o}: {found:?}, not {expected:?}"),
            }
        };
        for text in ["hush", "hush\n", "hush\r\n"] {
            check(text, 0o600, Ok("hush"));
        }
        check(" hü sh \n", 0o400, Ok(" hü sh "));
        check("hush\n", 0o604, Err("mode 0604"));
        for text in ["", "\n", "hush\n\n", "hush\nhush\n", "hu\0sh"] {
            check(text, 0o600, Err("in one line"));
        }
        check(&"hush".repeat(1_025), 0o600, Err("4096"));
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
        check(&format!("{long}\nshort\n"), 0o600, Err("secret 2 has 5 bytes"));
        assert!(read(Path::new("/nonexistent/key")).is_err_and(|why| why.contains("urandom")));
    }
}
