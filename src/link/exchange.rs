//! The exchange that opens a link: the dialer says who it is, the listener answers with its proof
//! and what it has, the dialer proves itself. Nothing of it is trusted before.

use super::keys::{self, Key, Role};
use crate::protocol::link::{End, Nonce, Verb};

/// A server as it presents itself on every link of this start.
#[derive(Clone, Debug)]
pub struct Identity {
    pub name: Box<str>,
    pub incarnation: u64,
}

/// The dialing end of a connection, until the link is open.
pub struct Dialer {
    nonce: Nonce,
}

/// What the listener said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// All of this server's records up to this epoch are there already.
    pub seen: u32,
    /// How many clients it knows.
    pub count: u64,
    pub incarnation: u64,
}

/// The listening end of a connection. The neighbour is nothing for one who is no server and only
/// asks how far this one is.
#[derive(Debug)]
pub enum Listener {
    /// A dialer said who it is, and has to prove it.
    Greeted { neighbour: Option<u16>, incarnation: u64, nonce: Nonce, own: Nonce, seen: u32 },
    /// It has.
    Open { neighbour: Option<u16>, incarnation: u64 },
}

/// Why an end is not who it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The dialer's name is no neighbour's.
    Unknown,
    /// The dialer's name is a neighbour's, its address is not.
    Elsewhere,
    /// The listener is another server than was dialled.
    Other,
    /// The proof does not hold.
    Unproven,
    /// It refuses us.
    Refused,
    /// It said something else than the exchange asks for.
    OutOfTurn,
}

impl Denied {
    /// For the log: what is wrong and what to look at.
    pub fn reason(self) -> &'static str {
        match self {
            Denied::Unknown => "it is no neighbour of ours by its name; see herd.conf on both sides",
            Denied::Elsewhere => "it dials from an address that is not its own in our herd.conf",
            Denied::Other => "another server listens there; see its address in herd.conf",
            Denied::Unproven => "its proof does not hold; compare the secret files of both sides",
            Denied::Refused => {
                "it refuses us, and its log says why; if it is of another make, it needs plain = true"
            }
            Denied::OutOfTurn => {
                "it does not open a link as servers of this make do; if it is of another, it needs plain = true"
            }
        }
    }
}

impl Identity {
    fn end(&self, nonce: Nonce) -> End<'_> {
        End { name: self.name.as_bytes(), incarnation: self.incarnation, nonce }
    }
}

impl Dialer {
    /// Says who we are; `nonce` is fresh.
    pub fn greet(own: &Identity, nonce: Nonce, out: &mut Vec<u8>) -> Dialer {
        Verb::Hello(own.end(nonce)).write(out);
        Dialer { nonce }
    }

    /// Takes the listener's answer and proves us in turn; the link is open then.
    ///
    /// # Errors
    /// It is not the server that was dialled, or cannot prove it.
    pub fn answer(
        self,
        line: &[u8],
        own: &Identity,
        listener: &str,
        keys: &[Key],
        out: &mut Vec<u8>,
    ) -> Result<Welcome, Denied> {
        let Some(Verb::Welcome { end, seen, count, proof }) = Verb::parse(line) else {
            // One of another make refuses what it does not know in the same words.
            return Err(if line.starts_with(b"? HERD ") { Denied::Refused } else { Denied::OutOfTurn });
        };
        if end.name != listener.as_bytes() {
            return Err(Denied::Other);
        }
        let us = own.end(self.nonce);
        if !keys::holds(&proof, keys, Role::Listener, &us, &end, seen) {
            return Err(Denied::Unproven);
        }
        Verb::Proof(keys::prove(keys, Role::Dialer, &us, &end, seen)).write(out);
        Ok(Welcome { seen, count, incarnation: end.incarnation })
    }
}

impl Listener {
    /// Answers a dialer that says it is this neighbour; `seen` is what we have of its incarnation,
    /// `nonce` is fresh.
    pub fn welcome(
        own: &Identity,
        nonce: Nonce,
        neighbour: Option<u16>,
        dialer: &End<'_>,
        keys: &[Key],
        (seen, count): (u32, u64),
        out: &mut Vec<u8>,
    ) -> Listener {
        let end = own.end(nonce);
        let proof = keys::prove(keys, Role::Listener, dialer, &end, seen);
        Verb::Welcome { end, seen, count, proof }.write(out);
        let (incarnation, theirs) = (dialer.incarnation, dialer.nonce);
        Listener::Greeted { neighbour, incarnation, nonce: theirs, own: nonce, seen }
    }

    /// The neighbour that it is or says it is.
    pub fn neighbour(&self) -> Option<u16> {
        match self {
            Listener::Greeted { neighbour, .. } | Listener::Open { neighbour, .. } => *neighbour,
        }
    }

    /// Which of its starts.
    pub fn incarnation(&self) -> u64 {
        match self {
            Listener::Greeted { incarnation, .. } | Listener::Open { incarnation, .. } => *incarnation,
        }
    }

    /// Takes the dialer's proof: the link is open then.
    ///
    /// # Errors
    /// The proof does not hold, or was given before.
    pub fn prove(
        &mut self,
        proof: &crate::protocol::link::Proof,
        own: &Identity,
        name: &str,
        keys: &[Key],
    ) -> Result<(), Denied> {
        let Listener::Greeted { neighbour, incarnation, nonce, own: ours, seen } = *self else {
            return Err(Denied::OutOfTurn);
        };
        let dialer = End { name: name.as_bytes(), incarnation, nonce };
        if !keys::holds(proof, keys, Role::Dialer, &dialer, &own.end(ours), seen) {
            return Err(Denied::Unproven);
        }
        *self = Listener::Open { neighbour, incarnation };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::link::NONCE_BYTES;

    fn identity(name: &str) -> Identity {
        Identity { name: name.into(), incarnation: 7 }
    }

    /// Goloman dials Hands; each has keys of its own idea. The line Hands answers may be changed.
    fn open(dials: &[Key], listens: &[Key], change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<Welcome, Denied> {
        let (goloman, hands) = (identity("Goloman"), identity("Hands"));
        let (mut hello, mut welcome, mut proof) = (Vec::new(), Vec::new(), Vec::new());
        let dialer = Dialer::greet(&goloman, [1; NONCE_BYTES], &mut hello);
        let Some(Verb::Hello(end)) = Verb::parse(hello.trim_ascii_end()) else { panic!("a greeting") };
        let mut listener =
            Listener::welcome(&hands, [2; NONCE_BYTES], Some(0), &end, listens, (5, 9), &mut welcome);
        let answer = change(welcome);
        let opened = dialer.answer(answer.trim_ascii_end(), &goloman, "Hands", dials, &mut proof)?;
        let Some(Verb::Proof(proof)) = Verb::parse(proof.trim_ascii_end()) else { panic!("a proof") };
        listener.prove(&proof, &hands, "Goloman", listens)?;
        assert!(matches!(listener, Listener::Open { neighbour: Some(0), incarnation: 7 }));
        assert_eq!(listener.prove(&proof, &hands, "Goloman", listens), Err(Denied::OutOfTurn));
        Ok(opened)
    }

    #[test]
    fn ends_that_share_a_key_or_have_none_open_a_link() {
        let (old, new) = (Key::new(b"old"), Key::new(b"new"));
        let opened = Ok(Welcome { seen: 5, count: 9, incarnation: 7 });
        assert_eq!(open(&[], &[], |line| line), opened);
        assert_eq!(open(std::slice::from_ref(&old), std::slice::from_ref(&old), |line| line), opened);
        // A key is replaced server by server.
        let both = [new.clone(), old.clone()];
        assert_eq!(open(&both, &[old.clone(), new.clone()], |line| line), opened);
        assert_eq!(open(std::slice::from_ref(&new), &both, |line| line), opened);
        assert_eq!(open(&[old], &[new], |line| line), Err(Denied::Unproven));
    }

    #[test]
    fn an_end_that_says_something_else_is_denied() {
        let key = [Key::new(b"key")];
        assert_eq!(open(&key, &[], |line| line), Err(Denied::Unproven));
        assert_eq!(open(&[], &key, |line| line), Err(Denied::Unproven), "the listener asks for a proof");
        let text = |line: Vec<u8>| String::from_utf8(line).expect("ASCII");
        let other = |line| text(line).replace("Hands", "Wilkes").into_bytes();
        assert_eq!(open(&[], &[], other), Err(Denied::Other));
        let more = |line| text(line).replace(" 5 9 ", " 6 9 ").into_bytes();
        assert_eq!(open(&key, &key, more), Err(Denied::Unproven), "what it has seen is part of the proof");
        assert_eq!(open(&[], &[], |_| b"? HERD 1 Goloman\n".to_vec()), Err(Denied::Refused));
        assert_eq!(open(&[], &[], |_| b"hello\n".to_vec()), Err(Denied::OutOfTurn));
    }
}
