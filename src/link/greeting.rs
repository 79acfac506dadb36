//! The exchange that opens a link: the dialler says who it is, the listener answers with its proof
//! and what it has, the dialler proves itself. Nothing of it is trusted before.

use super::clock::Meter;
use super::keys::{self, Key, Role};
use crate::node::NeighbourId;
use crate::protocol::neighbour::{End, Nonce, Proof, Word};
use crate::protocol::reply::refused_line;

/// A server as it presents itself on every link of this start.
#[derive(Clone, Debug)]
pub struct Identity {
    pub name: Box<str>,
    pub incarnation: u64,
    /// The digest of what our herd.conf says of the herd.
    pub conf: u64,
}

/// What the end that dials holds of a greeting, until the link is open.
pub struct Opening {
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
    /// The digest of its herd.conf; None for one that knows nothing of DENIED, TIME and TWIN either.
    pub conf: Option<u64>,
    /// Its clock, in ns since 1970; 0 without `conf`.
    pub now_ns: u64,
}

/// The listening end of a connection, once a dialler has said who it is.
#[derive(Debug)]
pub struct Listener {
    /// None for one who is no server and only asks how far this one is.
    neighbour: Option<NeighbourId>,
    /// Which of its starts.
    incarnation: u64,
    /// The digest of its herd.conf; None for one that knows nothing of DENIED, TIME and TWIN either.
    conf: Option<u64>,
    /// Compares its clock with ours.
    pub meter: Meter,
    /// None once it has proven who it is.
    unproven: Option<Unproven>,
}

/// What the dialler's proof has to be about.
#[derive(Debug)]
struct Unproven {
    nonce: Nonce,
    own: Nonce,
    seen: u32,
}

/// What a listener tells a dialler of itself.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// What we have of the dialler's incarnation: all up to this epoch.
    pub seen: u32,
    /// How many clients we know.
    pub count: u64,
    /// Our clock, in ns since 1970.
    pub now_ns: u64,
}

/// Why an end is not who it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The dialler's name is no neighbour's.
    Unknown,
    /// The dialler's name is a neighbour's, its address is not.
    Elsewhere,
    /// The listener is another server than was dialled.
    Other,
    /// The proof does not hold.
    Unproven,
    /// It refuses us; why it may say in its next line.
    Refused,
    /// It said something else than the exchange asks for.
    OutOfTurn,
    /// This machine has no random bytes for a nonce.
    NoRandomness,
}

impl Denied {
    /// What is wrong with the other end, and what to look at.
    pub fn reason(self) -> &'static str {
        match self {
            Denied::Unknown => {
                "our herd.conf, as this server last read it, names no such neighbour; if it does now, have it \
                 read again: herdctl reload"
            }
            Denied::Elsewhere => {
                "our herd.conf, as this server last read it, gives that server another address; if it has the \
                 right one now, have it read again: herdctl reload"
            }
            Denied::Other => "another server listens there; see its address in herd.conf",
            Denied::Unproven => "its proof does not hold; compare the secret files of both sides",
            Denied::Refused => "it refuses us; its log says why. If it is not herd, set plain = true for it",
            Denied::OutOfTurn => {
                "it does not open a link as herd does; if it is another implementation, set plain = true for it"
            }
            Denied::NoRandomness => "this machine has no random bytes to greet it with; see its kernel log",
        }
    }

    /// What a listener that refuses a dialler says of the reason: the word of a DENIED line.
    pub fn word(self) -> &'static str {
        match self {
            Denied::Unknown => "unknown",
            Denied::Elsewhere => "elsewhere",
            Denied::Other => "other",
            Denied::Unproven => "unproven",
            Denied::Refused => "refused",
            Denied::OutOfTurn => "turn",
            Denied::NoRandomness => "random",
        }
    }

    /// The reason that a word stands for; None of one of a later version.
    fn of_word(word: &[u8]) -> Option<Denied> {
        let all = [
            Denied::Unknown,
            Denied::Elsewhere,
            Denied::Other,
            Denied::Unproven,
            Denied::Refused,
            Denied::OutOfTurn,
            Denied::NoRandomness,
        ];
        all.into_iter().find(|why| why.word().as_bytes() == word)
    }

    /// What the word of a DENIED line means to the dialler `own` of `listener`, and what to do there.
    pub fn told(word: &[u8], own: &str, listener: &str) -> String {
        match Denied::of_word(word) {
            Some(Denied::Unknown) => format!(
                "it refuses us: the herd.conf that {listener} last read does not name {own} as its neighbour; \
                 if the file does now, have it read again there: herdctl reload {listener}"
            ),
            Some(Denied::Elsewhere) => format!(
                "it refuses us: the herd.conf that {listener} last read gives {own} another address than the \
                 one we dial from; if the file has the right one now, have it read again there: herdctl reload \
                 {listener}"
            ),
            Some(Denied::Unproven) => format!(
                "it refuses our proof: compare the secret files of {own} and {listener}, and send SIGHUP to the \
                 one whose file was changed"
            ),
            Some(Denied::NoRandomness) => {
                "its machine has no random bytes to greet us with; see its kernel log".to_owned()
            }
            Some(Denied::Other | Denied::Refused | Denied::OutOfTurn) | None => {
                Denied::Refused.reason().to_owned()
            }
        }
    }
}

impl Identity {
    fn end(&self, nonce: Nonce) -> End<'_> {
        End { name: self.name.as_bytes(), incarnation: self.incarnation, nonce, conf: Some(self.conf) }
    }
}

impl Opening {
    /// Says who we are; `nonce` is fresh.
    pub fn greet(own: &Identity, nonce: Nonce, out: &mut Vec<u8>) -> Opening {
        Word::Hello(own.end(nonce)).write(out);
        Opening { nonce }
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
        let Some(Word::Welcome { end, seen, count, proof, now_ns }) = Word::parse(line) else {
            let is_refused = refused_line(line).is_some_and(|refused| refused.starts_with(b"HERD "));
            // Another implementation refuses what it does not know in the same words.
            return Err(if is_refused { Denied::Refused } else { Denied::OutOfTurn });
        };
        if end.name != listener.as_bytes() {
            return Err(Denied::Other);
        }
        let us = own.end(self.nonce);
        let keys =
            keys::from_proven(&proof, keys, Role::Listener, &us, &end, seen).ok_or(Denied::Unproven)?;
        Word::Proof(keys::prove(keys, Role::Dialler, &us, &end, seen)).write(out);
        Ok(Welcome { seen, count, incarnation: end.incarnation, conf: end.conf, now_ns })
    }
}

impl Listener {
    /// Answers a dialler that says it is this neighbour; `nonce` is fresh.
    pub fn welcome(
        own: &Identity,
        nonce: Nonce,
        neighbour: Option<NeighbourId>,
        dialler: &End<'_>,
        keys: &[Key],
        standing: Standing,
        out: &mut Vec<u8>,
    ) -> Listener {
        let Standing { seen, count, now_ns } = standing;
        let end = End { conf: dialler.conf.and(Some(own.conf)), ..own.end(nonce) };
        let proof = keys::prove(keys, Role::Listener, dialler, &end, seen);
        Word::Welcome { end, seen, count, proof, now_ns }.write(out);
        let unproven = Unproven { nonce: dialler.nonce, own: nonce, seen };
        Listener {
            neighbour,
            incarnation: dialler.incarnation,
            conf: dialler.conf,
            meter: Meter::default(),
            unproven: Some(unproven),
        }
    }

    /// The neighbour that it is or says it is; None for one who only asks.
    pub fn neighbour(&self) -> Option<NeighbourId> {
        self.neighbour
    }

    /// Which of its starts.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The digest of its herd.conf; None for one that knows nothing of DENIED, TIME and TWIN either.
    pub fn conf(&self) -> Option<u64> {
        self.conf
    }

    /// Whether it has proven who it is.
    pub fn is_open(&self) -> bool {
        self.unproven.is_none()
    }

    /// Takes the dialler's proof: the link is open then.
    ///
    /// # Errors
    /// The proof does not hold, or was given before.
    pub fn prove(&mut self, proof: &Proof, own: &Identity, name: &str, keys: &[Key]) -> Result<(), Denied> {
        let Some(Unproven { nonce, own: ours, seen }) = self.unproven else {
            return Err(Denied::OutOfTurn);
        };
        let dialler = End { name: name.as_bytes(), incarnation: self.incarnation, nonce, conf: self.conf };
        if !keys::holds(proof, keys, Role::Dialler, &dialler, &own.end(ours), seen) {
            return Err(Denied::Unproven);
        }
        self.unproven = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::neighbour::NONCE_BYTES;

    fn identity(name: &str) -> Identity {
        Identity { name: name.into(), incarnation: 7, conf: 3 }
    }

    /// Goloman dials Hands; each has keys of its own idea. The line Hands answers may be changed.
    fn open(dials: &[Key], listens: &[Key], change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<Welcome, Denied> {
        let (goloman, hands) = (identity("Goloman"), identity("Hands"));
        let (mut hello, mut welcome, mut proof) = (Vec::new(), Vec::new(), Vec::new());
        let dialler = Opening::greet(&goloman, [1; NONCE_BYTES], &mut hello);
        let Some(Word::Hello(end)) = Word::parse(hello.trim_ascii_end()) else { panic!("a greeting") };
        let standing = Standing { seen: 5, count: 9, now_ns: 11 };
        let mut listener = Listener::welcome(
            &hands,
            [2; NONCE_BYTES],
            Some(NeighbourId(0)),
            &end,
            listens,
            standing,
            &mut welcome,
        );
        let answer = change(welcome);
        let opened = dialler.answer(answer.trim_ascii_end(), &goloman, "Hands", dials, &mut proof)?;
        let Some(Word::Proof(proof)) = Word::parse(proof.trim_ascii_end()) else { panic!("a proof") };
        listener.prove(&proof, &hands, "Goloman", listens)?;
        assert_eq!(
            (listener.neighbour(), listener.incarnation(), listener.conf()),
            (Some(NeighbourId(0)), 7, Some(3))
        );
        assert!(listener.is_open());
        assert_eq!(listener.prove(&proof, &hands, "Goloman", listens), Err(Denied::OutOfTurn));
        Ok(opened)
    }

    #[test]
    fn ends_that_share_a_key_or_have_none_open_a_link() {
        let (old, new) = (Key::new(b"old"), Key::new(b"new"));
        let opened = Ok(Welcome { seen: 5, count: 9, incarnation: 7, conf: Some(3), now_ns: 11 });
        assert_eq!(open(&[], &[], |line| line), opened);
        assert_eq!(open(std::slice::from_ref(&old), std::slice::from_ref(&old), |line| line), opened);
        // A key is replaced server by server.
        let both = [new.clone(), old.clone()];
        assert_eq!(open(&both, &[old.clone(), new.clone()], |line| line), opened);
        assert_eq!(open(std::slice::from_ref(&new), &both, |line| line), opened);
        assert_eq!(open(&[old], &[new], |line| line), Err(Denied::Unproven));
    }

    #[test]
    fn one_that_knows_nothing_of_herd_confs_is_answered_in_its_own_words() {
        let (hands, mut welcome) = (identity("Hands"), Vec::new());
        let hello = b"HERD 1 Goloman 0000000000000007 00000000000000000000000000000002";
        let Some(Word::Hello(end)) = Word::parse(hello) else { panic!("a greeting") };
        let standing = Standing { seen: 5, count: 9, now_ns: 11 };
        let listener = Listener::welcome(
            &hands,
            [2; NONCE_BYTES],
            Some(NeighbourId(0)),
            &end,
            &[],
            standing,
            &mut welcome,
        );
        assert!(welcome.ends_with(b" 5 9 -\n"), "{}", welcome.escape_ascii());
        assert_eq!(listener.conf(), None);
    }

    #[test]
    fn every_reason_is_told_with_both_names_or_where_to_look() {
        for why in [Denied::Unknown, Denied::Elsewhere, Denied::Unproven] {
            let told = Denied::told(why.word().as_bytes(), "Wilkes", "Hands");
            assert!(told.contains("Wilkes") && told.contains("Hands"), "{told}");
        }
        assert_eq!(Denied::told(b"of a later version", "Wilkes", "Hands"), Denied::Refused.reason());
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
