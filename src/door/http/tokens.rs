//! Who may do what: the tokens of `http.tokens_file`, and what a request shows to be one. A token is known here by its
//! digest alone, and found by it: how long that takes says nothing of a token, as nobody can tell which secret has a
//! digest that is like another one's. One look is as long with ten thousand tokens as with one.

use std::collections::HashMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};

use super::head::Head;
use super::name;
use crate::limits::TOKEN_BYTES_MIN;
use crate::node::Clients;

/// What a token allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    pub read: bool,
    pub write: bool,
    pub metrics: bool,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub name: String,
    pub scopes: Scopes,
    /// Which clients it is for.
    pub clients: Clients,
    digest: [u8; 32],
}

/// What a secret that was shown is remembered by: the beginning of its digest.
pub fn mark(secret: &[u8]) -> u64 {
    mark_of(digest(&SHA256, secret).as_ref())
}

fn mark_of(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

/// All of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    all: Vec<Token>,
    /// Where in the list each is, by the beginning of its digest.
    by_mark: HashMap<u64, usize>,
}

/// What is wrong with a line of it, from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLine {
    pub line: usize,
    pub why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl Tokens {
    /// Reads the text of a file: `NAME SCOPE[,SCOPE] SECRET [client=ID or client=PREFIX*]` a line.
    ///
    /// # Errors
    /// A line is none of these.
    pub fn parse(text: &str) -> Result<Tokens, BadLine> {
        let mut tokens = Tokens::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = Token::parse(line).and_then(|token| tokens.check(&token).map(|()| token));
            let token = token.map_err(|why| BadLine { line: index + 1, why })?;
            tokens.by_mark.insert(mark_of(&token.digest), tokens.all.len());
            tokens.all.push(token);
        }
        Ok(tokens)
    }

    fn check(&self, token: &Token) -> Result<(), String> {
        match self.all.iter().find(|known| known.digest == token.digest || known.name == token.name) {
            Some(known) if known.name == token.name => Err(format!(
                "{} is here a second time; delete its first line to replace that token",
                token.name
            )),
            Some(known) => Err(format!(
                "{} has the secret of {}; one of the two could not be taken back",
                token.name, known.name
            )),
            None => Ok(()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What the secrets are remembered by.
    pub fn marks(&self) -> Vec<u64> {
        self.all.iter().map(|token| mark_of(&token.digest)).collect()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The token of a secret: found by the beginning of its digest, and compared in a time that says nothing of the rest.
    pub fn find(&self, secret: &[u8]) -> Option<&Token> {
        let shown = digest(&SHA256, secret);
        let token = self.by_mark.get(&mark_of(shown.as_ref())).and_then(|&index| self.all.get(index))?;
        let differing = token.digest.iter().zip(shown.as_ref()).fold(0, |bits, (a, b)| bits | (a ^ b));
        (std::hint::black_box(differing) == 0).then_some(token)
    }
}

impl Token {
    fn parse(line: &str) -> Result<Token, String> {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (name, scopes, secret, rest) = match fields[..] {
            [name, scopes, secret] => (name, scopes, secret, None),
            [name, scopes, secret, clients] => (name, scopes, secret, Some(clients)),
            _ => return Err("expected NAME SCOPE[,SCOPE] SECRET and perhaps client=ID".into()),
        };
        let clients = match rest.map(|rest| rest.strip_prefix("client=").ok_or(rest)) {
            None => Clients::All,
            Some(Ok("" | "*")) => return Err("client= names no client; leave it out for all of them".into()),
            Some(Ok(text)) => match text.strip_suffix('*') {
                Some(prefix) => Clients::Prefix(prefix.into()),
                None => Clients::One(text.into()),
            },
            Some(Err(rest)) => return Err(format!("{rest:?} is no client=ID")),
        };
        Ok(Token {
            name: name.into(),
            scopes: Scopes::parse(scopes)?,
            clients,
            digest: secret_digest(secret)?,
        })
    }

    /// The line of a file for a new token, of which the file is to have the digest only.
    pub fn line(name: &str, scopes: &str, secret: &str, clients: Option<&str>) -> String {
        let hex: String =
            digest(&SHA256, secret.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let clients = clients.map_or(String::new(), |clients| format!(" client={clients}"));
        format!("{name} {scopes} sha256:{hex}{clients}")
    }
}

impl Scopes {
    pub const ALL: Scopes = Scopes { read: true, write: true, metrics: true };

    /// `read,write`.
    ///
    /// # Errors
    /// There is no such scope.
    pub fn parse(text: &str) -> Result<Scopes, String> {
        let mut scopes = Scopes::default();
        for scope in text.split(',') {
            match scope {
                "read" => scopes.read = true,
                "write" => scopes.write = true,
                "metrics" => scopes.metrics = true,
                _ => {
                    return Err(format!(
                        "{scope:?} is no scope; there are read, write and metrics, joined by commas"
                    ));
                }
            }
        }
        Ok(scopes)
    }
}

/// The digest that stands in the file, or that of the secret which does.
fn secret_digest(text: &str) -> Result<[u8; 32], String> {
    let Some(hex) = text.strip_prefix("sha256:") else {
        if text.len() < TOKEN_BYTES_MIN {
            return Err(format!(
                "the secret has fewer than {TOKEN_BYTES_MIN} bytes, and can be guessed; herd --new-token makes one"
            ));
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        return Ok(bytes);
    };
    let wrong = || "sha256: is followed by 64 hexadecimal digits".to_owned();
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return Err(wrong());
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

/// What a request shows that may be a secret, in the order in which it is tried. A client that cannot set a field may
/// show it in the query.
pub fn shown(head: &Head<'_>) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    for value in head.fields("authorization") {
        let (scheme, rest) =
            value.split_at(value.iter().position(|&byte| byte == b' ').unwrap_or(value.len()));
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            secrets.push(rest.to_vec());
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            basic(rest, &mut secrets);
        }
    }
    if let Some(secret) = head.path.strip_prefix(WEBHOOK) {
        secrets.extend(name::decode(secret.strip_suffix(b"/").unwrap_or(secret)));
    }
    for (name, value) in query_pairs(head.query).chain(loose_pairs(head.query)) {
        if name == b"token"
            && let Some(secret) = name::decode_form(value).filter(|secret| !secrets.contains(secret))
        {
            secrets.push(secret);
        }
    }
    secrets
}

/// Where Home Assistant's clients show theirs.
pub const WEBHOOK: &[u8] = b"/api/webhook/";

/// Whether somebody shows a token as Basic without base64, which only Overland does.
pub fn is_basic_without_base64(head: &Head<'_>) -> bool {
    head.fields("authorization").any(|value| {
        let is_basic = value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "));
        is_basic && value.ends_with(b":")
    })
}

/// `anything:SECRET`, `SECRET:`, and the latter as Overland sends it, without base64.
fn basic(value: &[u8], secrets: &mut Vec<Vec<u8>>) {
    if let Ok(pair) = BASE64_STANDARD.decode(value)
        && let Some(colon) = pair.iter().position(|&byte| byte == b':')
    {
        let (user, password) = (&pair[..colon], &pair[colon + 1..]);
        secrets.push(if password.is_empty() { user } else { password }.to_vec());
    }
    if let Some(raw) = value.strip_suffix(b":") {
        secrets.push(raw.to_vec());
    }
}

/// The names and values of a query, still percent-encoded.
pub fn query_pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        (&pair[..at], pair.get(at + 1..).unwrap_or_default())
    })
}

/// The same where a `?` may stand for a `&`, as in some users' templates.
pub fn loose_pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&byte| byte == b'?').flat_map(query_pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "correct-horse-battery";

    #[test]
    fn a_file_has_tokens_and_what_each_allows() {
        let text = format!(
            "# phones\n\nanna write {SECRET} client=anna\n{}\n",
            Token::line("shop", "read,metrics", "another-secret-of-20", Some("van-*"))
        );
        assert!(!text.contains("another-secret"));
        let tokens = Tokens::parse(&text).expect("valid");
        let anna = tokens.find(SECRET.as_bytes()).expect("found");
        assert_eq!(
            (anna.name.as_str(), anna.scopes, &anna.clients),
            ("anna", Scopes { write: true, ..Scopes::default() }, &Clients::One(b"anna".to_vec()))
        );
        let shop = tokens.find(b"another-secret-of-20").expect("found");
        assert!(shop.clients.has(b"van-7") && !shop.clients.has(b"anna") && shop.scopes.metrics);
        assert!(tokens.find(b"").is_none() && tokens.find(b"correct-horse-batterx").is_none());
    }

    #[test]
    fn a_line_that_is_none_is_told() {
        let check = |line: &str, expected: &str| {
            let why = Tokens::parse(&format!("a read {SECRET}\n{line}")).expect_err(line);
            assert!(why.line == 2 && why.why.contains(expected), "{why}");
        };
        check("b read", "expected NAME");
        check("b all 0123456789abcdef", "\"all\" is no scope");
        check("b read short", "fewer than");
        check("b read sha256:12", "64 hexadecimal digits");
        check(&format!("b read sha256:{}", "é".repeat(32)), "64 hexadecimal digits");
        check("b read 0123456789abcdef client=", "names no client");
        check("b read 0123456789abcdef only=x", "is no client=ID");
        check("a read 0123456789abcdef", "a second time");
        check(&format!("b write {SECRET}"), "has the secret of a");
    }

    #[test]
    fn a_secret_is_shown_in_every_way_that_clients_know() {
        let check = |fields: &str, target: &str, expected: &[&str]| {
            let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let head = Head::parse(text.as_bytes()).expect("a head");
            let found: Vec<_> = shown(&head)
                .into_iter()
                .map(|secret| String::from_utf8_lossy(&secret).into_owned())
                .collect();
            assert_eq!(found, expected, "{fields}");
        };
        check("Authorization: Bearer abc\r\n", "/", &["abc"]);
        check("authorization: bearer  abc \r\n", "/", &["abc"]);
        // user:a:b, and abc: without a password.
        check("Authorization: Basic dXNlcjphOmI=\r\n", "/", &["a:b"]);
        check("Authorization: Basic YWJjOg==\r\n", "/", &["abc"]);
        check("Authorization: Basic abc:\r\n", "/", &["abc"]);
        check("", "/?x=1&token=a%2Bb", &["a+b"]);
        check("", "/?id=7?token=a?lat=1", &["a"]);
        check("", "/?token=a?b&x=1", &["a?b", "a"]);
        check("", "/api/webhook/a%2Bb/", &["a+b"]);
        check("Authorization: Digest x\r\n", "/?tokens=a", &[]);
    }
}
