//! The herd's secrets, and the proof that an end of a link knows one. A proof names both ends,
//! their roles and both nonces, so that one that was seen elsewhere or before proves nothing.

use std::collections::HashMap;
use std::io;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::protocol::neighbour::{End, PROOF_BYTES, Proof};

/// A secret, ready for use.
#[derive(Clone, Debug)]
pub struct Key(hmac::Key);

/// What a pair of servers shares: the first proves, all are accepted, so that a key can be replaced
/// server by server. Empty: this herd has no secret and takes names on trust.
pub type Keys = Vec<Key>;

/// The secrets of one server.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    /// What it shares with each neighbour, by its name.
    pub pairs: HashMap<String, Keys>,
    /// By what those who are no server prove that they may ask: `herd --agree`.
    pub own: Keys,
}

/// Who proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Dialler,
    Listener,
}

impl Key {
    pub fn new(secret: &[u8]) -> Key {
        Key(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl KeyRing {
    /// Whether a neighbour has to prove who it is.
    pub fn has_secret(&self, neighbour: &str) -> bool {
        self.pairs.get(neighbour).is_some_and(|keys| !keys.is_empty())
    }
}

/// Bytes that nobody can guess: a nonce, or what tells one start of a server from another.
///
/// # Errors
/// The system has none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| io::Error::other("the system has no random bytes"))
}

/// What a proof is the HMAC-SHA256 of (RFC 2104). Names hold no white space, so it can be read in one way only.
fn statement(role: Role, dialler: &End<'_>, listener: &End<'_>, seen: u32) -> Vec<u8> {
    let mut text = match role {
        Role::Dialler => b"herd 1 dialer".to_vec(),
        Role::Listener => b"herd 1 listener".to_vec(),
    };
    for end in [dialler, listener] {
        text.push(b'\n');
        text.extend_from_slice(end.name);
        text.push(b' ');
        text.extend_from_slice(&end.incarnation.to_be_bytes());
        text.extend_from_slice(&end.nonce);
    }
    text.extend_from_slice(&seen.to_be_bytes());
    text
}

pub fn prove(keys: &[Key], role: Role, dialler: &End<'_>, listener: &End<'_>, seen: u32) -> Proof {
    let Key(key) = keys.first()?;
    let tag = hmac::sign(key, &statement(role, dialler, listener, seen));
    let mut proof = [0; PROOF_BYTES];
    proof.copy_from_slice(tag.as_ref());
    Some(proof)
}

/// Whether a proof holds under one of the keys. Without keys it always does.
pub fn holds(
    proof: &Proof,
    keys: &[Key],
    role: Role,
    dialler: &End<'_>,
    listener: &End<'_>,
    seen: u32,
) -> bool {
    from_proven(proof, keys, role, dialler, listener, seen).is_some()
}

/// The keys from the one on under which a proof holds, compared in constant time: with the first of them the other end
/// takes ours, too, whichever of its secrets it has read. None where it holds under none.
pub fn from_proven<'k>(
    proof: &Proof,
    keys: &'k [Key],
    role: Role,
    dialler: &End<'_>,
    listener: &End<'_>,
    seen: u32,
) -> Option<&'k [Key]> {
    if keys.is_empty() {
        return Some(keys);
    }
    let (statement, proof) = (statement(role, dialler, listener, seen), proof.as_ref()?);
    let found = keys.iter().position(|Key(key)| hmac::verify(key, &statement, proof).is_ok())?;
    keys.get(found..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::neighbour::NONCE_BYTES;

    const fn end(name: &[u8], incarnation: u64, nonce: u8) -> End<'_> {
        End { name, incarnation, nonce: [nonce; NONCE_BYTES], conf: None }
    }

    #[test]
    fn a_proof_holds_only_for_its_ends_roles_nonces_and_keys() {
        let (old, new) = (Key::new(b"old"), Key::new(b"new"));
        let keys = [new.clone(), old.clone()];
        let (g, h) = (end(b"Goloman", 1, 2), end(b"Hands", 3, 4));
        let proof = prove(&keys, Role::Dialler, &g, &h, 5);
        assert!(holds(&proof, &keys, Role::Dialler, &g, &h, 5));
        assert!(holds(&proof, std::slice::from_ref(&new), Role::Dialler, &g, &h, 5), "the first proves");
        assert!(!holds(&proof, &[old], Role::Dialler, &g, &h, 5), "another key");
        assert!(!holds(&proof, &keys, Role::Listener, &g, &h, 5), "reflected");
        assert!(!holds(&proof, &keys, Role::Dialler, &h, &g, 5), "the ends exchanged");
        assert!(!holds(&proof, &keys, Role::Dialler, &g, &h, 6), "another seen");
        for other in [end(b"Golomam", 1, 2), end(b"Goloman", 9, 2), end(b"Goloman", 1, 9)] {
            assert!(!holds(&proof, &keys, Role::Dialler, &other, &h, 5), "{other:?}");
        }
        for other in [end(b"Handy", 3, 4), end(b"Hands", 9, 4), end(b"Hands", 3, 9)] {
            assert!(!holds(&proof, &keys, Role::Dialler, &g, &other, 5), "relayed or replayed: {other:?}");
        }
        assert!(!holds(&None, &keys, Role::Dialler, &g, &h, 5), "no proof");
        assert!(holds(&None, &[], Role::Dialler, &g, &h, 5), "no secret");
    }
}
