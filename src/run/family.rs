//! The whole herd at one command: a process per server of the same binary, started, announced,
//! watched and stopped together. `main` calls it when no server is named.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use super::manager::{self, Manager};
use super::next::NEEDS_RESTART;
use super::site::NextWeb;
use super::upgrade::Successor;
use super::{exit, parent, secrets, signals};
use crate::config::{Change, Config, ConfigError, Http, Server};
use crate::limits::{
    FAMILY_EVENTS, FAMILY_LOOK, KILL_GRACE, LAST_FLUSH, LAST_LINES, LAST_LINES_BYTES, SIGNAL_GRACE,
    UPGRADE_PATIENCE,
};
use crate::logging::{self, Console};
use crate::{files, thread};

/// A server of this herd in a process of its own.
struct Member {
    server: Server,
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
    /// A member goes on as the program that it is.
    Kept(usize),
    /// A signal that every member is to have.
    Tell(Signal),
    /// Every member is to become the program that has taken the place of ours, one after the other.
    Upgrade,
    /// To end, all of them.
    Stop,
}

/// The upgrade of a whole herd that is under way: who is still to come, the last of them first, and until when the one
/// whose turn it is has to listen again.
struct Upgrade {
    waiting: Vec<usize>,
    index: usize,
    until: Instant,
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

fn try_run(config: &Config, console: &Console) -> io::Result<u8> {
    let manager = Manager::of_environment()?;
    let program = Successor::of_this()?;
    let (sender, events) = bounded(FAMILY_EVENTS); // full: see there;
    let asked = watch_signals(sender.clone())?;
    let mut members = Vec::new();
    for server in config.servers.iter().filter(|server| !server.plain) {
        match start(program.program(), config, server, members.len(), &sender) {
            Ok(member) => members.push(member),
            Err(why) => {
                stop(config, &mut members, console);
                return Err(why);
            }
        }
    }
    // As it was last read.
    let mut config = config.clone();
    let (mut status, mut is_announced, mut upgrade) = (exit::OK, false, None::<Upgrade>);
    while members.iter().any(|member| !member.ended) {
        let until = upgrade.as_ref().map(|upgrade| upgrade.until);
        match next(&events, &manager, until) {
            Some(Event::Ready(index, address)) => {
                members[index].address = Some(address);
                if !is_announced && members.iter().all(|member| member.address.is_some()) {
                    is_announced = true;
                    announce(&config, &members, console);
                    manager.ready(&format!("{} servers listen", members.len()));
                }
                upgrade = go_on(upgrade, index, &members, console);
            }
            Some(Event::Serves(index, address)) => members[index].http = Some(address),
            Some(Event::Kept(index)) => {
                upgrade =
                    give_up(upgrade, index, &members, "it keeps its program, and its log says why", console);
            }
            Some(Event::Ended(index)) => {
                let ended = members[index].child.wait()?;
                members[index].ended = true;
                upgrade = give_up(upgrade, index, &members, "it died", console);
                let left = left_with(ended);
                if left != exit::SERVER_DIED && is_asked_to_stop(&asked) {
                    status = status.max(left);
                    continue;
                }
                report_death(&config, &members[index], ended, console);
                if members[index].address.is_none() && !is_announced {
                    // The herd never stood: the newcomer is better served by the reason alone.
                    stop(&config, &mut members, console);
                    return Ok(ended
                        .code()
                        .and_then(|code| u8::try_from(code).ok())
                        .unwrap_or(exit::SERVER_DIED));
                }
                status = status.max(left).max(exit::SERVER_DIED);
            }
            // A member that is not ready yet acts on it when it is.
            Some(Event::Tell(told)) => {
                if told == Signal::HUP && is_announced {
                    take_up(&mut config, &mut members, program.program(), &sender, console);
                }
                members.iter().filter(|member| !member.ended).for_each(|member| signal(member, told));
            }
            Some(Event::Upgrade) if !is_announced || upgrade.is_some() => {
                console.say("herd: no upgrade before all servers are ready");
            }
            Some(Event::Upgrade) => {
                let waiting = (0..members.len()).rev().filter(|&index| !members[index].ended).collect();
                upgrade = begin_next(waiting, &members);
            }
            Some(Event::Stop) => {
                manager.stopping(config.settings.stop_timeout);
                status = status.max(stop(&config, &mut members, console));
            }
            None => {
                if let Some(index) = upgrade.as_ref().map(|upgrade| upgrade.index) {
                    upgrade = give_up(upgrade, index, &members, "it does not listen again", console);
                }
            }
        }
    }
    Ok(status)
}

/// Starts the servers that are new in herd.conf, and those of it that have ended. Those that there are read it
/// themselves.
fn take_up(
    config: &mut Config,
    members: &mut Vec<Member>,
    program: &Path,
    events: &Sender<Event>,
    console: &Console,
) {
    let names: Vec<_> =
        members.iter().filter(|member| !member.ended).map(|member| &*member.server.name).collect();
    match next_of(config, &names) {
        Ok(next) => *config = next,
        Err(why) => return console.say(&format!("herd: not reloaded, keeping what there is: {why}")),
    }
    for server in config.servers.iter().filter(|server| !server.plain) {
        let known = members.iter().position(|member| member.server.name == server.name);
        if known.is_some_and(|index| !members[index].ended) {
            continue;
        }
        let index = known.unwrap_or(members.len());
        match start(program, config, server, index, events) {
            Ok(member) => {
                let again = if known.is_some() { " again" } else { "" };
                console.say(&format!("herd: starts {}{again}, as herd.conf has it", server.name));
                match members.get_mut(index) {
                    Some(ended) => *ended = member,
                    None => members.push(member),
                }
            }
            Err(why) => console.say(&format!("herd: cannot start {}: {why}", server.name)),
        }
    }
}

/// The next herd.conf, if the servers of these names take it up: what one of them refuses starts no other.
fn next_of(config: &Config, names: &[&str]) -> Result<Config, String> {
    let said = |why: ConfigError| why.to_string();
    let next = config.again().map_err(said)?;
    for name in names {
        let (Some(before), Some(now)) = (config.find(name), next.find(name)) else { continue };
        let change = Change::between((config, before), (&next, now));
        if !change.restart.is_empty() {
            return Err(format!("{name}: {NEEDS_RESTART}{}", change.restart.join("; ")));
        }
        secrets::of_server(&next, now).map_err(said)?;
        NextWeb::of_server(&next, &next.servers[now], None).map_err(said)?;
    }
    Ok(next)
}

/// Has the next of those who wait upgrade; None when there is none.
fn begin_next(mut waiting: Vec<usize>, members: &[Member]) -> Option<Upgrade> {
    let index = waiting.pop()?;
    signal(&members[index], Signal::USR2);
    Some(Upgrade { waiting, index, until: Instant::now() + UPGRADE_PATIENCE })
}

/// A member listens: in an upgrade it may be the next one's turn.
fn go_on(upgrade: Option<Upgrade>, index: usize, members: &[Member], console: &Console) -> Option<Upgrade> {
    let upgrade = upgrade?;
    if upgrade.index != index {
        return Some(upgrade);
    }
    let next = begin_next(upgrade.waiting, members);
    if next.is_none() {
        console.say("herd: all servers are upgraded; the process that started them is so at its next start");
    }
    next
}

/// Ends an upgrade at the member whose turn it is: those that wait stay what they are.
fn give_up(
    upgrade: Option<Upgrade>,
    index: usize,
    members: &[Member],
    why: &str,
    console: &Console,
) -> Option<Upgrade> {
    let upgrade = upgrade?;
    if upgrade.index != index {
        return Some(upgrade);
    }
    let names: Vec<_> = upgrade.waiting.iter().rev().map(|&index| &*members[index].server.name).collect();
    let others =
        if names.is_empty() { String::new() } else { format!("; not upgraded: {}", names.join(", ")) };
    console.say(&format!("herd: {} is not upgraded: {why}{others}", members[index].server.name));
    None
}

/// The next event; None when `until` comes first. The service manager hears meanwhile that this process lives.
fn next(events: &Receiver<Event>, manager: &Manager, until: Option<Instant>) -> Option<Event> {
    loop {
        let beat = manager.watch_rest().map(|rest| Instant::now() + rest);
        let due = beat.into_iter().chain(until).min();
        let given = due.map_or_else(|| events.recv().ok(), |due| events.recv_deadline(due).ok());
        if given.is_some() {
            return given;
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        // The senders live as long as the process.
        if due.is_none_or(|due| Instant::now() < due) {
            return Some(Event::Stop);
        }
        manager.live();
    }
}

/// Returns a flag that is set as soon as a signal comes.
fn watch_signals(events: Sender<Event>) -> io::Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let (caught, is_asked) = (signals::caught()?, asked.clone());
    // Detached: it waits for signals until the process ends.
    drop(thread::spawn("signals", move || {
        while let Ok(signal) = caught.next() {
            is_asked.fetch_or(signals::STOPS.contains(&signal), Ordering::SeqCst);
            // It fails only when the process is about to end.
            let _ = events.send(match signal {
                SIGUSR1 => Event::Tell(Signal::USR1),
                SIGHUP => Event::Tell(Signal::HUP),
                SIGUSR2 => Event::Upgrade,
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

fn start(
    program: &Path,
    config: &Config,
    server: &Server,
    index: usize,
    events: &Sender<Event>,
) -> io::Result<Member> {
    let mut command = Command::new(program);
    // It is no service of its own.
    for name in manager::VARIABLES {
        command.env_remove(name);
    }
    let mut child = command
        .arg(&server.name)
        .arg("--config")
        .arg(&config.path)
        .env(parent::PARENT, std::process::id().to_string())
        .stdin(Stdio::from(parent::hand_on(config.text.as_bytes())?))
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
            } else if line.ends_with(parent::KEPT) {
                let _ = events.send(Event::Kept(index));
            }
        }
        let _ = events.send(Event::Ended(index));
    })?);
    Ok(Member { server: server.clone(), child, address: None, http: None, ended: false })
}

/// The table and what to try, once all are ready.
fn announce(config: &Config, members: &[Member], console: &Console) {
    let mut text = format!("{config}logs     {}/NAME.log\n\n", config.log_dir.display());
    text += &match members.len() {
        1 => "The server is ready; Ctrl-C stops it. Try:\n\n".to_owned(),
        all => format!("All {all} servers are ready; Ctrl-C stops them. Try:\n\n"),
    };
    let ask = |member: Option<&Member>, line: &str| {
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
fn report_death(config: &Config, member: &Member, status: ExitStatus, console: &Console) {
    let (name, path) = (&member.server.name, config.log_path(&member.server));
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

fn signal(member: &Member, signal: Signal) {
    // It may have ended on its own; until it is waited for its id is nobody else's.
    let _ = kill_process(Pid::from_child(&member.child), signal);
}

/// Has every member stop, kills those that do not in time, and returns the worst of what they ended with.
fn stop(config: &Config, members: &mut [Member], console: &Console) -> u8 {
    let alive = |member: &&mut Member| !member.ended;
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
