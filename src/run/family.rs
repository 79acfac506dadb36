//! The whole herd at one command: a process per server of the same binary, started, announced,
//! watched and stopped together. `main` calls it when no server is named.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::{exit, signals};
use crate::config::{Config, Http, Server};
use crate::limits::{
    CONFIG_FILE_MAX, FAMILY_EVENTS, FAMILY_LOOK, KILL_GRACE, LAST_FLUSH, LAST_LINES, LAST_LINES_BYTES,
    SIGNAL_GRACE,
};
use crate::logging::{self, Console};
use crate::{files, thread};

/// Tells a child its parent, so that it does not outlive it.
const PARENT: &str = "HERD_PARENT";

/// A server of this herd in a process of its own.
struct Member<'a> {
    server: &'a Server,
    child: Child,
    /// Where it listens, once it said so.
    address: Option<String>,
    /// Where it serves HTTP, as a URL, which it says before.
    http: Option<String>,
    ended: bool,
}

enum Event {
    /// A member said where it listens.
    Ready(usize, String),
    /// A member said where it serves HTTP.
    Serves(usize, String),
    /// A member closed its stdout: it has ended or is about to.
    Ended(usize),
    /// A signal that every member is to have.
    Tell(Signal),
    /// To end, all of them.
    Stop,
}

/// Starts every server of the config but those of another implementation, and waits until all have ended.
pub fn run(config: &Config) -> ExitCode {
    let console = match Console::start() {
        Ok(console) => console,
        Err(why) => {
            let _ = writeln!(io::stderr(), "herd: cannot start the herd: {why}");
            return ExitCode::from(exit::OS);
        }
    };
    let status = if config.servers.iter().all(|server| server.plain) {
        let path = config.path.display();
        console.say(&format!("herd: {path}: every server is plain = true, so there is none to start"));
        exit::CONFIG
    } else {
        try_run(config, &console).unwrap_or_else(|why| {
            console.say(&format!("herd: cannot start the herd: {why}"));
            exit::OS
        })
    };
    console.flush(Instant::now() + LAST_FLUSH);
    ExitCode::from(status)
}

/// In a child that `run` started: asks for SIGTERM when the parent dies, and says whether the
/// parent still lives. Always true for a server that was started by itself.
pub fn parent_lives() -> bool {
    let Some(parent) = env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else { return true };
    set_parent_process_death_signal(Some(Signal::TERM)).is_ok()
        && getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent)
}

/// In a child that `run` started: the herd.conf that its parent has read. None in a server that was started
/// by itself.
pub fn handed_on() -> Option<io::Result<Vec<u8>>> {
    env::var_os(PARENT).map(|_| files::read_up_to(io::stdin(), CONFIG_FILE_MAX))
}

fn try_run(config: &Config, console: &Console) -> io::Result<u8> {
    let (sender, events) = bounded(FAMILY_EVENTS); // full: see there;
    let asked = watch_signals(sender.clone())?;
    let mut members = Vec::new();
    for server in config.servers.iter().filter(|server| !server.plain) {
        match start(config, server, members.len(), &sender) {
            Ok(member) => members.push(member),
            Err(why) => {
                stop(config, &mut members, console);
                return Err(why);
            }
        }
    }
    let mut status = exit::OK;
    while members.iter().any(|member| !member.ended) {
        match next(&events) {
            Event::Ready(index, address) => {
                members[index].address = Some(address);
                if members.iter().all(|member| member.address.is_some()) {
                    announce(config, &members, console);
                }
            }
            Event::Serves(index, address) => members[index].http = Some(address),
            Event::Ended(index) => {
                let ended = members[index].child.wait()?;
                members[index].ended = true;
                let left = left_with(ended);
                if left != exit::SERVER_DIED && is_asked_to_stop(&asked) {
                    status = status.max(left);
                    continue;
                }
                report_death(config, &members[index], ended, console);
                if members[index].address.is_none() {
                    // The herd never stood: the newcomer is better served by the reason alone.
                    stop(config, &mut members, console);
                    return Ok(ended
                        .code()
                        .and_then(|code| u8::try_from(code).ok())
                        .unwrap_or(exit::SERVER_DIED));
                }
                status = status.max(left).max(exit::SERVER_DIED);
            }
            // A member that is not ready yet does not catch it, and has just opened its file.
            Event::Tell(told) => {
                let ready = members.iter().filter(|member| member.address.is_some() && !member.ended);
                ready.for_each(|member| signal(member, told));
            }
            Event::Stop => status = status.max(stop(config, &mut members, console)),
        }
    }
    Ok(status)
}

/// The senders live as long as the process, so there is always a next event.
fn next(events: &Receiver<Event>) -> Event {
    events.recv().unwrap_or(Event::Stop)
}

/// Returns a flag that is set as soon as a signal comes.
fn watch_signals(events: Sender<Event>) -> io::Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in signals::STOPS {
        signal_hook::flag::register(signal, asked.clone())?;
    }
    let mut caught = signals::caught()?;
    // Detached: it waits for signals until the process ends.
    drop(thread::spawn("signals", move || {
        for signal in caught.forever() {
            // It fails only when the process is about to end.
            let _ = events.send(match signal {
                SIGUSR1 => Event::Tell(Signal::USR1),
                SIGHUP => Event::Tell(Signal::HUP),
                _ => Event::Stop,
            });
        }
    })?);
    Ok(asked)
}

/// Whether a server that ended in good order did so because everybody was told to: Ctrl-C and
/// service managers signal the servers as well as this process, which may hear of it last.
fn is_asked_to_stop(asked: &AtomicBool) -> bool {
    let until = Instant::now() + SIGNAL_GRACE;
    while !asked.load(Ordering::SeqCst) && Instant::now() < until {
        std::thread::sleep(FAMILY_LOOK);
    }
    asked.load(Ordering::SeqCst)
}

fn start<'a>(
    config: &Config,
    server: &'a Server,
    index: usize,
    events: &Sender<Event>,
) -> io::Result<Member<'a>> {
    let mut child = Command::new(env::current_exe()?)
        .arg(&server.name)
        .arg("--config")
        .arg(&config.path)
        .env(PARENT, std::process::id().to_string())
        .stdin(hand_on(&config.text)?)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take();
    let events = events.clone();
    // Detached: it ends with the child's stdout.
    drop(thread::spawn(format!("watch-{}", server.name), move || {
        let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
        for line in lines.map_while(Result::ok) {
            let first = |addresses: &str| addresses.split(", ").next().unwrap_or(addresses).to_owned();
            if let Some((_, addresses)) = line.rsplit_once(" serves HTTP on ") {
                let _ = events.send(Event::Serves(index, format!("http://{}", first(addresses))));
            } else if let Some((_, addresses)) = line.rsplit_once(" serves HTTPS on ") {
                let _ = events.send(Event::Serves(index, format!("https://{}", first(addresses))));
            } else if let Some((_, addresses)) = line.rsplit_once(" listens on ") {
                let _ = events.send(Event::Ready(index, first(addresses)));
            }
        }
        let _ = events.send(Event::Ended(index));
    })?);
    Ok(Member { server, child, address: None, http: None, ended: false })
}

/// A text to be read by one process, from memory: herd.conf may be a pipe, which is empty by now, or be another
/// one by the time that the last server reads it.
fn hand_on(text: &str) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create("herd.conf", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

/// The table and what to try, once all are ready.
fn announce(config: &Config, members: &[Member<'_>], console: &Console) {
    let mut text = format!("{config}logs     {}/NAME.log\n\n", config.log_dir.display());
    text += &match members.len() {
        1 => "The server is ready; Ctrl-C stops it. Try:\n\n".to_owned(),
        all => format!("All {all} servers are ready; Ctrl-C stops them. Try:\n\n"),
    };
    let ask = |member: Option<&Member<'_>>, line: &str| {
        let address = member.and_then(|member| member.address.as_deref()).unwrap_or_default();
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        format!("  printf '{line}\\n' | nc -N {} {port}\n", host.trim_matches(['[', ']']))
    };
    text += &ask(members.first(), "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997");
    text += &ask(members.last(), "WHATSAT kiwi.cs.ucla.edu 10 5");
    let http = members.last().and_then(|last| Some((last.http.as_deref()?, last.server.http.as_ref()?)));
    if let Some((url, http)) = http {
        let url = called(url, http);
        text += &format!("  {} {url}/v1/clients/kiwi.cs.ucla.edu{}\n", curl(http), shown_token(http));
        text += &format!("\nA map, in a browser: {url}/\n");
    }
    if let Err(why) = logging::announce(text) {
        console.say(&format!("herd: all servers are ready, but that cannot be printed: {why}"));
    }
}

/// By what a server is called that says it is at `url`: a certificate is for a name.
fn called(url: &str, http: &Http) -> String {
    let port = url.rsplit_once(':').map_or("", |(_, port)| port);
    match http.names.first() {
        Some(name) if http.tls.is_some() => format!("https://{name}:{port}"),
        _ => url.to_owned(),
    }
}

/// What asks it: nobody else may vouch for its certificate.
fn curl(http: &Http) -> String {
    http.tls
        .as_ref()
        .map_or("curl".into(), |(certificate, _)| format!("curl --cacert {}", certificate.path.display()))
}

fn shown_token(http: &Http) -> &'static str {
    if http.tokens_file.is_some() { " -H 'Authorization: Bearer TOKEN'" } else { "" }
}

/// Reports a member that died on its own.
fn report_death(config: &Config, member: &Member<'_>, status: ExitStatus, console: &Console) {
    let (name, path) = (&member.server.name, config.log_path(member.server));
    let mut text = format!("herd: {name} died: {status}; the end of {}:\n", path.display());
    for line in last_lines(&path).unwrap_or_else(|why| vec![format!("(cannot be read: {why})")]) {
        text += &format!("    {line}\n");
    }
    console.say(&text);
}

fn last_lines(path: &Path) -> io::Result<Vec<String>> {
    let mut file = files::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_LINES_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LAST_LINES)..].iter().map(|line| line.to_string()).collect())
}

/// What a member's end means for the herd's exit status, where a greater one is worse.
fn left_with(ended: ExitStatus) -> u8 {
    let in_good_order = ended.success() || matches!(ended.signal(), Some(SIGINT | SIGTERM));
    match ended.code() {
        _ if in_good_order => exit::OK,
        // Even beside one that died, which was told when it did.
        Some(code) if code == i32::from(exit::NOT_KEPT) => exit::NOT_KEPT,
        _ => exit::SERVER_DIED,
    }
}

fn signal(member: &Member<'_>, signal: Signal) {
    // It may have ended on its own; until it is waited for its id is nobody else's.
    let _ = kill_process(Pid::from_child(&member.child), signal);
}

/// Has every member stop, kills those that do not in time, and returns the worst of what they ended with.
fn stop(config: &Config, members: &mut [Member<'_>], console: &Console) -> u8 {
    let alive = |member: &&mut Member<'_>| !member.ended;
    members.iter_mut().filter(alive).for_each(|member| signal(member, Signal::TERM));
    let deadline = Instant::now() + config.settings.stop_timeout + KILL_GRACE;
    let mut worst = exit::OK;
    for member in members.iter_mut().filter(alive) {
        while matches!(member.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(FAMILY_LOOK);
        }
        let ended = member.child.try_wait().ok().flatten();
        if ended.is_none() {
            console.say(&format!("herd: {} did not stop in time and is killed", member.server.name));
            let _ = member.child.kill().and_then(|()| member.child.wait());
        }
        worst = worst.max(ended.map_or(exit::SERVER_DIED, left_with));
        member.ended = true;
    }
    worst
}
