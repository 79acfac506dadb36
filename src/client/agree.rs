//! `herd --agree`: asks every server what it knows, as a number, and tells whether it is the same
//! everywhere. It proves itself as a neighbour would.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::greeted::{Conversation, Greeted};
use crate::clock::posix_ns;
use crate::config::{Config, Server};
use crate::limits::{AGREE_CONFIRMED_MS, AGREE_LEAST, AGREE_REST, ANSWER_LINES_MAX, NOTE_MAX};
use crate::link::{Keys, Offset, Welcome};
use crate::logging::{Escaped, count};
use crate::protocol::Span;
use crate::protocol::neighbour::Word;
use crate::store::digest::{Digest, Parts};
use crate::thread;

/// What every server of a herd knows, but for those of another implementation.
pub struct Agreement {
    /// In the order of herd.conf, by name.
    pub servers: Vec<(String, io::Result<Answer>)>,
    /// They do not know the same, but that is news on its way: no part of what they know stays different.
    pub is_news: bool,
}

/// What one of them says.
pub struct Answer {
    pub digest: Digest,
    /// What is wrong, in sentences: neighbours that are down or far behind, and what else it says.
    pub notes: Vec<String>,
    /// A neighbour of the herd is down, or has not confirmed everything: who waits for agreement waits for that, too.
    pub is_late: bool,
    /// It says of itself that it loses or refuses something.
    pub is_ill: bool,
    /// What it says of each of its neighbours.
    pub links: Vec<Link>,
}

/// How far a neighbour is, as far as a server can tell.
pub struct Link {
    pub neighbour: String,
    pub is_up: bool,
    /// How many clients it has not confirmed, and for how long, in ms.
    pub clients: u64,
    pub ms: u64,
}

impl Link {
    /// Whether that is more than news that has yet to be confirmed, which takes a moment.
    pub fn is_behind(&self) -> bool {
        self.clients > 0 && (!self.is_up || self.ms >= AGREE_CONFIRMED_MS)
    }
}

impl Agreement {
    /// Asks all servers of a herd, again and again until they agree and their links stand, or the time is up; `keys`
    /// are what proves to each that it may be asked, and each has `patience` to answer.
    pub fn find(config: &Config, keys: &[Keys], wait: Duration, patience: Duration) -> Agreement {
        let until = Instant::now() + wait;
        let servers: Vec<_> = config.servers.iter().zip(keys).collect();
        loop {
            // One that hangs does not make the wait longer than it may be, but for what one answer takes.
            let left = until.saturating_duration_since(Instant::now());
            let patience = if wait.is_zero() { patience } else { patience.min(left.max(AGREE_LEAST)) };
            let agreement = Agreement::once(config, &servers, patience);
            if (agreement.is_whole() && !agreement.is_late()) || Instant::now() >= until {
                return agreement;
            }
            std::thread::sleep(AGREE_REST.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Asks some servers, once.
    pub fn once(config: &Config, servers: &[(&Server, &Keys)], patience: Duration) -> Agreement {
        let all = Agreement { servers: ask_all(config, servers, patience, Span::ALL), is_news: false };
        match all.span() {
            Span::ALL => all,
            // Servers leave out what they are about to forget, each by its own clock.
            common => Agreement { servers: ask_all(config, servers, patience, common), is_news: false },
        }
    }

    /// The same, but for servers that differ: while clients report they often do, for the moment that news takes. These
    /// are asked again until each part of what they know was the same at some time, or they have had time enough.
    pub fn settled(config: &Config, servers: &[(&Server, &Keys)], patience: Duration) -> Agreement {
        let until = Instant::now() + patience.min(Duration::from_millis(AGREE_CONFIRMED_MS));
        let mut found = Agreement::once(config, servers, patience);
        let Some(mut apart) = found.apart() else { return found };
        while !found.is_late() && !apart.is_empty() && Instant::now() < until {
            std::thread::sleep(AGREE_REST.min(until.saturating_duration_since(Instant::now())));
            found = Agreement::once(config, servers, patience);
            let Some(now) = found.apart() else { return found };
            apart.meet(&now);
        }
        found.is_news = apart.is_empty();
        found
    }

    /// The parts in which servers differ. None when one does not answer, or they speak of different times.
    fn apart(&self) -> Option<Parts> {
        let digests = self.servers.iter().map(|(_, answer)| Some(&answer.as_ref().ok()?.digest));
        let digests: Vec<_> = digests.collect::<Option<_>>()?;
        let first = digests.first()?;
        let mut apart = first.differing(first);
        for digest in &digests {
            if digest.span != first.span {
                return None;
            }
            apart.join(&first.differing(digest));
        }
        Some(apart)
    }

    /// Whether all is well: all answered, and know the same but for news on its way, no link is down or behind, and none
    /// says that it loses something.
    pub fn is_well(&self) -> bool {
        let is_ill = self.servers.iter().any(|(_, answer)| answer.as_ref().is_ok_and(|answer| answer.is_ill));
        (self.is_whole() || self.is_news) && !self.is_late() && !is_ill
    }

    /// The time of which all have told what they know.
    fn span(&self) -> Span {
        let answers = self.servers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
        answers.fold(Span::ALL, |common, answer| common.within(answer.digest.span))
    }

    /// Whether one tells of a link that is down, or behind.
    pub fn is_late(&self) -> bool {
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
fn ask_all(
    config: &Config,
    servers: &[(&Server, &Keys)],
    patience: Duration,
    span: Span,
) -> Vec<(String, io::Result<Answer>)> {
    let asked: Vec<_> = servers.iter().filter(|(server, _)| !server.plain).copied().collect();
    let conf = config.digest();
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
    let (mut unknown, mut is_late, mut is_ill, mut links) = (0, false, false, Vec::new());
    for _ in 0..ANSWER_LINES_MAX {
        let answer = conversation.line()?;
        match Word::parse(&answer) {
            Some(Word::Lag { name, is_up, clients, ms }) => {
                match asked.config.servers.iter().find(|server| server.name.as_bytes() == name) {
                    Some(server) => {
                        let link = Link { neighbour: server.name.clone(), is_up, clients, ms };
                        let note = lag(&link);
                        is_late |= note.is_some() && !server.plain;
                        notes.extend(note);
                        links.push(link);
                    }
                    None => unknown += 1,
                }
            }
            Some(Word::Note(note)) => {
                is_ill = true;
                notes.push(Escaped(&note[..note.len().min(NOTE_MAX)]).to_string());
            }
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
                return Ok(Answer { digest, notes, is_late, is_ill, links });
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
            "its herd.conf, as it last read it, is not this one; compare them, and if its file has been \
             changed, have it read again: herdctl reload"
                .to_owned(),
        );
    }
    let offset = Offset::between(welcome.now_ns, sent_ns, heard_ns).filter(Offset::is_apart);
    notes.extend(offset.map(|offset| format!("its clock is {offset}; set it by the network")));
    notes
}

/// What is wrong with a neighbour, if anything is.
fn lag(link: &Link) -> Option<String> {
    let Link { neighbour: name, is_up, clients, ms } = link;
    let (is_up, clients, ms) = (*is_up, *clients, *ms);
    if is_up && !link.is_behind() {
        return None;
    }
    let seconds = ms as f64 / 1e3;
    let down = if is_up { "" } else { "down, " };
    let behind = match clients {
        0 => "nothing new waits for it".to_owned(),
        _ => format!("behind with {} for {seconds:.1} s", count(clients, "client")),
    };
    Some(format!("{name}: {down}{behind}, as far as this server can tell"))
}
