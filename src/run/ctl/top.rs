//! `herdctl top`: the status again and again, with what came a second. `ctl` calls it.

use std::env;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;

use super::choice::Choice;
use super::out::{Failed, Out};
use super::status::{Rates, States, keys_of, object, patience, some_of, status_of, table};
use crate::args::ctl::Top;
use crate::client::Agreement;
use crate::config::Config;
use crate::link::Keys;
use crate::run::exit;
use crate::thread;

/// Asks all servers at each tick. At a terminal the table stays in its place, and q ends it.
pub fn run(choice: &Choice, out: &mut Out, top: &Top) -> Result<u8, Failed> {
    choice.is_for_all("top")?;
    let config = choice.config()?;
    some_of(&config)?;
    let keys = keys_of(&config, &config.servers)?;
    let (patience, of_states) = (patience(choice, &config), choice.patience());
    let asked = Arc::new(Asked { config, keys, patience, of_states });
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    let screen = Screen::take(out.is_terminal && !out.is_json && !is_dumb).map_err(refused)?;
    let mut before: Option<(Instant, Found)> = None;
    for tick in 1_u64.. {
        let (began, is_last) = (Instant::now(), top.count.is_some_and(|count| tick >= count));
        let asking = Asking::of(&asked, is_last).map_err(refused)?;
        // A server may hang for long, and a key is to end that, too.
        match screen.wait(Some(asking.over.as_fd()), None) {
            Waited::Ready | Waited::TimeIsUp => {}
            Waited::Left => return left(out, &screen),
            Waited::Signal(signal) => return Ok(end_by(signal, screen)),
        }
        let found = asking.found.recv().map_err(|_| refused(io::Error::other("no answer came")))?;
        let rates = rates(&found, before.as_ref().map(|(at, found)| (began.duration_since(*at), found)));
        print(out, &found, &rates, &screen, tick)?;
        if is_last {
            left(out, &screen)?;
            return Ok(status_of(&found.agreement));
        }
        match screen.wait(None, Some(began + top.interval)) {
            Waited::Ready | Waited::TimeIsUp => {}
            Waited::Left => return left(out, &screen),
            Waited::Signal(signal) => return Ok(end_by(signal, screen)),
        }
        before = Some((began, found));
    }
    Ok(exit::OK)
}

fn refused(why: io::Error) -> Failed {
    Failed::Status(exit::OS, why.to_string())
}

/// What comes next on the terminal begins a line of its own.
fn left(out: &mut Out, screen: &Screen) -> Result<u8, Failed> {
    if screen.before.is_some() {
        out.text("\n")?;
    }
    Ok(exit::OK)
}

/// Ends as the signal would have, with the terminal as it was.
fn end_by(signal: i32, screen: Screen) -> u8 {
    drop(screen);
    // It comes back only where that is refused.
    let _ = low_level::emulate_default_handler(signal);
    u8::try_from(128 + signal).unwrap_or(exit::OS)
}

/// Whom to ask, and for how long.
struct Asked {
    config: Config,
    keys: Vec<Keys>,
    patience: Duration,
    /// The same for what they say of themselves.
    of_states: Duration,
}

/// What they said.
struct Found {
    agreement: Agreement,
    states: States,
}

/// The servers are being asked, in a thread that ends when they have answered or their time is up, or with the process.
struct Asking {
    found: Receiver<Found>,
    /// Ends when that is there.
    over: PipeReader,
}

impl Asking {
    fn of(asked: &Arc<Asked>, is_last: bool) -> io::Result<Asking> {
        let (over, ends) = io::pipe()?;
        let (sender, found) = bounded(1);
        let asked = asked.clone();
        thread::spawn("asker", move || {
            let Asked { config, keys, patience, of_states } = &*asked;
            let servers: Vec<_> = config.servers.iter().zip(keys).collect();
            // The status is that of the last: there a moment's difference does not count.
            let ask = if is_last { Agreement::settled } else { Agreement::once };
            let agreement = ask(config, &servers, *patience);
            let states = States::ask(config, &servers, &agreement, *of_states);
            let _ = sender.send(Found { agreement, states });
            drop(ends);
        })?;
        Ok(Asking { found, over })
    }
}

/// What came a second to each server since then.
fn rates(found: &Found, before: Option<(Duration, &Found)>) -> Vec<Rates> {
    let of = |number: usize| {
        let Some((apart, before)) = before else { return Rates::default() };
        let a_second = |more: f64| more / apart.as_secs_f64().max(f64::MIN_POSITIVE);
        let count = |of: &Found| Some(of.agreement.servers.get(number)?.1.as_ref().ok()?.digest.count as f64);
        let clients = count(found).zip(count(before)).map(|(now, then)| a_second(now - then));
        // Less than before: it was started anew meanwhile.
        let news = found.states.news(number).zip(before.states.news(number));
        let news = news.and_then(|(now, then)| now.checked_sub(then)).map(|more| a_second(more as f64));
        Rates { clients, news }
    };
    (0..found.agreement.servers.len()).map(of).collect()
}

fn print(out: &mut Out, found: &Found, rates: &[Rates], screen: &Screen, tick: u64) -> Result<(), Failed> {
    let found = &found.agreement;
    if out.is_json {
        for ((name, answer), rates) in found.servers.iter().zip(rates) {
            let mut object = object(name, answer, found);
            object["tick"] = tick.into();
            object["clients_per_s"] = rates.clients.into();
            object["news_per_s"] = rates.news.into();
            out.json(&object)?;
        }
    } else if screen.before.is_some() {
        // Home; each line to its end, and what is below.
        let table = fitting(&table(found, Some(rates), None)).replace('\n', "\x1b[K\n");
        out.text(&format!("\x1b[H{table}\x1b[Kq ends it\x1b[J"))?;
    } else {
        out.text(&table(found, Some(rates), None))?;
    }
    out.flush()
}

/// As much of a table as the window has room for, above the last line: what is wider or higher would move it.
fn fitting(table: &str) -> String {
    let Ok(size) = tcgetwinsize(io::stdout()) else { return table.to_owned() };
    // One of which the size is not known says 0.
    let room = |size: u16, less: usize| if size == 0 { usize::MAX } else { usize::from(size) - less };
    let (columns, lines) = (room(size.ws_col, 0), room(size.ws_row, 1));
    let cut = |line: &str| line.chars().take(columns).collect::<String>() + "\n";
    table.lines().take(lines).map(cut).collect()
}

/// A terminal of which each key is read at once, while this lives.
struct Screen {
    /// How it was. None when there is none.
    before: Option<Termios>,
    /// The signals at which it is to be as it was. Each writes into a pipe.
    signals: Vec<(i32, PipeReader)>,
}

/// What ended a wait.
enum Waited {
    Ready,
    TimeIsUp,
    /// Somebody wants to leave.
    Left,
    Signal(i32),
}

impl Screen {
    fn take(is_wanted: bool) -> io::Result<Screen> {
        let before = tcgetattr(io::stdin()).ok().filter(|_| is_wanted);
        let mut screen = Screen { before: None, signals: Vec::new() };
        let Some(before) = before else { return Ok(screen) };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let (reader, writer) = io::pipe()?;
            low_level::pipe::register(signal, writer)?;
            screen.signals.push((signal, reader));
        }
        let mut raw = before.clone();
        // Also ^C is a key then, so that nothing ends it behind its back.
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        // Where that fails, q needs Enter.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        screen.before = Some(before);
        Ok(screen)
    }

    /// Waits until a descriptor has something or has ended, a moment is there, or somebody wants to leave. It looks for
    /// that in any case.
    fn wait(&self, ready: Option<BorrowedFd<'_>>, until: Option<Instant>) -> Waited {
        let stdin = io::stdin();
        loop {
            let mut polled: Vec<_> =
                self.signals.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)).collect();
            let at_ready = polled.len();
            polled.extend(ready.iter().map(|ready| PollFd::new(ready, PollFlags::IN)));
            let at_keys = polled.len();
            polled.extend(self.before.iter().map(|_| PollFd::new(&stdin, PollFlags::IN)));
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let span = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut polled, span.as_ref()) {
                Ok(0) => return Waited::TimeIsUp,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return Waited::Left,
                Ok(_) => {}
            }
            let has = |index: usize| !polled[index].revents().is_empty();
            if let Some(index) = (0..at_ready).find(|index| has(*index)) {
                return Waited::Signal(self.signals[index].0);
            }
            if at_keys < polled.len() && has(at_keys) && is_last_key() {
                return Waited::Left;
            }
            if at_ready < at_keys && has(at_ready) {
                return Waited::Ready;
            }
        }
    }
}

/// Reads a key. ^C and ^D mean the same as q; at its end the terminal is gone.
fn is_last_key() -> bool {
    let mut key = [0];
    let is_last = rustix::io::read(io::stdin(), &mut key).map_or(true, |length| length == 0);
    is_last || matches!(key, [b'q' | b'Q' | 3 | 4])
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
