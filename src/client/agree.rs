//! `herd --agree`: asks every server what it knows, as a number, and tells whether it is the same
//! everywhere. It proves itself as a neighbour would.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::greeted::{Conversation, Greeted};
use crate::clock::posix_ns;
use crate::config::{Config, Server};
use crate::limits::{AGREE_CONFIRMED_MS, AGREE_REST, ANSWER_LINES_MAX, NOTE_MAX};
use crate::link::{Keys, Offset, Welcome};
use crate::logging::{Escaped, count};
use crate::protocol::Span;
use crate::protocol::neighbour::Word;
use crate::store::digest::Digest;
use crate::thread;

/// What every server of a herd knows, but for those of another implementation.
pub struct Agreement {
    servers: Vec<(String, io::Result<Answer>)>,
}

/// What one of them says.
struct Answer {
    digest: Digest,
    /// What is wrong, in sentences: neighbours that are down or far behind, and what else it says.
    notes: Vec<String>,
    /// A neighbour of the herd is down, or has not confirmed everything: who waits for agreement waits for that, too.
    is_late: bool,
}

impl Agreement {
    /// Asks all servers of a herd, again and again until they agree and their links stand, or the time is up; `keys`
    /// are what proves to each that it may be asked.
    pub fn find(config: &Config, keys: &[Keys], wait: Duration) -> Agreement {
        let until = Instant::now() + wait;
        loop {
            let all = Agreement { servers: ask_all(config, keys, Span::ALL) };
            let agreement = match all.span() {
                Span::ALL => all,
                // Servers leave out what they are about to forget, each by its own clock.
                common => Agreement { servers: ask_all(config, keys, common) },
            };
            if (agreement.is_whole() && !agreement.is_late()) || Instant::now() >= until {
                return agreement;
            }
            std::thread::sleep(AGREE_REST.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// The time of which all have told what they know.
    fn span(&self) -> Span {
        let answers = self.servers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
        answers.fold(Span::ALL, |common, answer| common.within(answer.digest.span))
    }

    fn is_late(&self) -> bool {
        self.servers.iter().any(|(_, answer)| answer.as_ref().is_ok_and(|answer| answer.is_late))
    }

    /// Whether all answered, and the same.
    pub fn is_whole(&self) -> bool {
        let mut digests = self.servers.iter().map(|(_, answer)| Some(&answer.as_ref().ok()?.digest));
        let Some(Some(first)) = digests.next() else { return false };
        digests.all(|digest| digest == Some(first))
    }
}

/// A line a server: its name, how many clients it knows, and the number for what it knows of them;
/// below it a line for each thing that is wrong.
impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.servers.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(6);
        writeln!(f, "{:width$}  {:>10}  digest", "server", "clients")?;
        for (name, answer) in &self.servers {
            match answer {
                Ok(Answer { digest, notes, .. }) => {
                    writeln!(f, "{name:width$}  {:>10}  {:016x}", digest.count, digest.total())?;
                    notes.iter().try_for_each(|note| writeln!(f, "{:width$}  {note}", ""))?;
                }
                Err(why) => writeln!(f, "{name:width$}  {:>10}  {why}", "-")?,
            }
        }
        Ok(())
    }
}

/// Asks all at once, so that one that hangs costs its own time and nobody else's.
fn ask_all(config: &Config, keys: &[Keys], span: Span) -> Vec<(String, io::Result<Answer>)> {
    let asked: Vec<_> = config.servers.iter().zip(keys).filter(|(server, _)| !server.plain).collect();
    let (patience, conf) = (config.settings.timing.digest_wait, config.digest());
    let mut answers: Vec<_> = asked.iter().map(|_| Err(io::Error::other("it was not asked"))).collect();
    std::thread::scope(|scope| {
        for (&(server, keys), answer) in asked.iter().zip(&mut answers) {
            let asked = Asked { server, keys, conf, patience, config, span };
            let started = thread::spawn_scoped(scope, "asker", move || *answer = ask(&asked));
            // Without room for a thread it stays unasked, and says so.
            drop(started);
        }
    });
    asked.into_iter().map(|(server, _)| server.name.clone()).zip(answers).collect()
}

/// What it takes to ask one server.
struct Asked<'a> {
    server: &'a Server,
    keys: &'a Keys,
    /// The digest of the herd.conf it is asked by.
    conf: u64,
    /// How long it may take to answer, from the first address that is dialled to its last word.
    patience: Duration,
    /// The servers that it may speak of.
    config: &'a Config,
    /// What it is asked about was heard within this time.
    span: Span,
}

impl Asked<'_> {
    /// Whether a server may answer for this time: it leaves out those whom it is about to forget, by a clock that is not
    /// half of `forget_after` ahead of ours, and nobody else.
    fn may_be(&self, span: Span) -> bool {
        let latest_s = self.config.settings.forget_after_s.map(|after_s| {
            let half_s = i64::try_from(after_s / 2).unwrap_or(i64::MAX);
            ((posix_ns() / 1_000_000_000) as i64).saturating_sub(half_s)
        });
        let from_is_near = span.from_s == self.span.from_s
            || span.from_s.zip(latest_s).is_some_and(|(from_s, latest_s)| from_s <= latest_s);
        from_is_near && span.to_s == self.span.to_s
    }
}

fn ask(asked: &Asked<'_>) -> io::Result<Answer> {
    let Asked { server, keys, conf, patience, .. } = *asked;
    let greeted = Greeted { server, keys, conf, patience };
    greeted.converse(|conversation| converse(conversation, asked))
}

fn converse(conversation: &mut Conversation, asked: &Asked<'_>) -> io::Result<Answer> {
    conversation.say(&Word::Ask(asked.span))?;
    let Conversation { welcome, sent_ns, heard_ns, .. } = conversation;
    let mut notes = notes_of(welcome, asked.conf, *sent_ns, *heard_ns);
    let (mut unknown, mut is_late) = (0, false);
    for _ in 0..ANSWER_LINES_MAX {
        let answer = conversation.line()?;
        match Word::parse(&answer) {
            Some(Word::Lag { name, is_up, clients, ms }) => {
                match asked.config.servers.iter().find(|server| server.name.as_bytes() == name) {
                    Some(server) => {
                        let note = lag(&server.name, is_up, clients, ms);
                        is_late |= note.is_some() && !server.plain;
                        notes.extend(note);
                    }
                    None => unknown += 1,
                }
            }
            Some(Word::Note(note)) => notes.push(Escaped(&note[..note.len().min(NOTE_MAX)]).to_string()),
            Some(Word::Digest { span, count, sums }) => {
                if !asked.may_be(span) {
                    return Err(io::Error::other(
                        "it tells what it knows of another time: its clock is far off, or it lies",
                    ));
                }
                let digest = Digest::from_hex(span, count, sums);
                let digest =
                    digest.ok_or_else(|| io::Error::other("its digest is of another version of herd"))?;
                if unknown > 0 {
                    let neighbours = crate::logging::count(unknown, "neighbour");
                    notes.push(format!("it speaks of {neighbours} that this herd.conf does not have"));
                }
                return Ok(Answer { digest, notes, is_late });
            }
            _ => return Err(io::Error::other("it does not answer with a digest; its log may say why")),
        }
    }
    Err(io::Error::other("it says more than any server has to say"))
}

/// What a server's greeting tells: another herd.conf than the one it is asked by, or another time.
fn notes_of(welcome: &Welcome, conf: u64, sent_ns: u64, heard_ns: u64) -> Vec<String> {
    let Some(theirs) = welcome.conf else { return Vec::new() };
    let mut notes = Vec::new();
    if theirs != conf {
        notes.push(
            "its herd.conf, as it was when it started, is not this one; compare them, and restart it if its \
             file has been changed"
                .to_owned(),
        );
    }
    let offset = Offset::between(welcome.now_ns, sent_ns, heard_ns).filter(Offset::is_apart);
    notes.extend(offset.map(|offset| format!("its clock is {offset}; set it by the network")));
    notes
}

/// What is wrong with a neighbour, if anything is: news takes a moment to be confirmed.
fn lag(name: &str, is_up: bool, clients: u64, ms: u64) -> Option<String> {
    if is_up && (clients == 0 || ms < AGREE_CONFIRMED_MS) {
        return None;
    }
    let seconds = ms as f64 / 1e3;
    let down = if is_up { "" } else { "down, " };
    let behind = match clients {
        0 => "but has everything".to_owned(),
        _ => format!("behind with {} for {seconds:.1} s", count(clients, "client")),
    };
    Some(format!("{name}: {down}{behind}, as far as this server can tell"))
}
