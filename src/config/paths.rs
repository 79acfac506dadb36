//! Paths of herd.conf: where they begin, and that they are meant as they stand. Nothing here is opened.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::raw::{Problem, line_of};
use super::secrets::SecretFile;

/// Where relative paths of a text begin.
pub struct Paths<'a> {
    pub folder: &'a Path,
    pub text: &'a str,
}

impl Paths<'_> {
    /// The path of a key.
    ///
    /// # Errors
    /// It is none, or one that only a shell or a service manager would make a path of.
    pub fn at(&self, key: &str, place: &Spanned<String>) -> Result<PathBuf, Problem> {
        let text = place.get_ref();
        match objection(text) {
            Some(why) => Err(Problem::at(place, format!("{key} is {text:?}, {why}"))),
            None => Ok(self.folder.join(text)),
        }
    }

    /// The same for a key that may be missing.
    pub fn find(&self, key: &str, place: Option<&Spanned<String>>) -> Result<Option<PathBuf>, Problem> {
        place.map(|place| self.at(key, place)).transpose()
    }

    /// A file with a secret.
    pub fn secret(&self, key: &str, place: &Spanned<String>) -> Result<SecretFile, Problem> {
        Ok(SecretFile { path: self.at(key, place)?, line: line_of(&place.span(), self.text) })
    }

    pub fn find_secret(
        &self,
        key: &str,
        place: Option<&Spanned<String>>,
    ) -> Result<Option<SecretFile>, Problem> {
        place.map(|place| self.secret(key, place)).transpose()
    }
}

/// What to write instead of what nobody fills in here.
const REMEDY: &str = "write the path in full (absolute), or from the folder of herd.conf on";

/// Why a text is no path to use as it stands.
fn objection(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(format!("which names nothing; {REMEDY}, or take the key out"));
    }
    if text.contains(char::is_control) || text.trim() != text {
        return Some("with a control character or with white space at an end; take it out".to_owned());
    }
    if text.starts_with("file:") {
        return Some(format!("a URL, where a path is meant; {REMEDY}"));
    }
    let who = match () {
        () if text.starts_with('~') => "a shell would put a home folder in the place of \"~\"",
        () if has_variable(text) => {
            "a shell would put a variable or a command's output in the place of \"$…\""
        }
        () if has_specifier(text) => "a service manager would put something in the place of \"%…\"",
        () => return None,
    };
    Some(format!("and {who}, but nobody does here; {REMEDY}"))
}

/// `$HOME`, `${HOME}`, `$(pwd)`; but a price, `US$5` or `5$`, is a name.
fn has_variable(text: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || "_{(".contains(c);
    text.split('$').skip(1).any(|after| after.starts_with(is_start))
}

/// `%h`, as systemd has it: one letter, and then no word; or `%HOME%`. But `50%`, `a%20b` and `100%sure`
/// are names.
fn has_specifier(text: &str) -> bool {
    let mut parts = text.split('%').skip(1).peekable();
    while let Some(after) = parts.next() {
        let word = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let is_letter = after.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_closed = word == after.len() && parts.peek().is_some();
        if is_letter && (word == 1 || is_closed) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_refused_if_somebody_else_would_fill_it_in() {
        let check = |text: &str, hint: Option<&str>| {
            let why = objection(text);
            assert_eq!(why.is_some(), hint.is_some(), "{text:?}: {why:?}");
            assert!(why.unwrap_or_default().contains(hint.unwrap_or_default()), "{text:?}");
        };
        for shell in ["~", "~/x", "~user/x", "~x", "$HOME", "/x/$HOME", "${A}", "$(pwd)/x", "$_x"] {
            check(shell, Some("a shell"));
        }
        for manager in ["%h", "%h/herd", "x/%i.key", "/var/%n-x", "%HOME%/x", "a%APP_DATA%"] {
            check(manager, Some("a service manager"));
        }
        for name in
            ["50%", "a%20b", "100%sure", "%", "%%", "$", "US$5", "5$", "$5", "./~", "a~", "a~/b", "50% off"]
        {
            check(name, None);
        }
        check("", Some("names nothing"));
        check(" x", Some("white space"));
        check("x\0", Some("control character"));
        check("file:///x", Some("a URL"));
    }
}
