//! The command line of `herdctl`: argh's subcommands, with what argh lacks: options that all have stand anywhere,
//! `--option=value`, and positions of the south, which begin with a `-`. `main` calls it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::{FromArgs, SubCommands};

use super::{Early, told};
use crate::limits::DURATION_MAX_S;
use crate::net::HostPort;

/// Ask and control a running herd. Which server is asked: the one of --host or --server, else the first of herd.conf that
/// takes the connection.
#[derive(FromArgs, Debug, PartialEq)]
#[argh(help_triggers("-h", "--help"))]
#[argh(
    example = "herdctl at kiwi -34.5,118\nherdctl whatsat kiwi 10 5\nherdctl status",
    note = "The options above may also stand behind the subcommand. HERD_CONFIG, HERD_HOST and HERD_SERVER stand for --config, --host and --server.",
    error_code(0, "done; also when nobody reads the output any more"),
    error_code(1, "asked and answered, but: refused, not known, down, behind, ill, or not the same"),
    error_code(64, "the arguments are wrong"),
    error_code(69, "no server was reached, or it closed the connection"),
    error_code(71, "the system refused something"),
    error_code(75, "reload, upgrade: the server keeps what it has, as what is new needs a restart"),
    error_code(77, "a server has another secret than herd.conf here"),
    error_code(78, "herd.conf, or a file it names, cannot be used")
)]
pub struct CtlArgs {
    /// the file to use instead of ./herd.conf or /etc/herd/herd.conf
    #[argh(option, arg_name = "PATH")]
    pub config: Option<PathBuf>,

    /// the server of herd.conf to ask
    #[argh(option, short = 's', arg_name = "NAME")]
    pub server: Option<String>,

    /// the host and the port to ask, without herd.conf
    #[argh(option, arg_name = "HOST:PORT", from_str_fn(host_port))]
    pub host: Option<HostPort>,

    /// print an object of JSON a line
    #[argh(switch)]
    pub json: bool,

    /// how long a server may take for each thing it says, like 500ms or 10s (default: 5s)
    #[argh(option, arg_name = "TIME", from_str_fn(some_time))]
    pub timeout: Option<Duration>,

    #[argh(subcommand)]
    pub subcommand: Subcommand,
}

#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand)]
pub enum Subcommand {
    At(At),
    Whatsat(Whatsat),
    Near(Near),
    Count(Count),
    Send(Send),
    Watch(Watch),
    Ping(Ping),
    Status(Status),
    Agree(Agree),
    Top(Top),
    Reload(Reload),
    Upgrade(Upgrade),
    Check(Check),
    Token(Token),
    Phone(Phone),
    Forget(Forget),
    Completions(Completions),
    Version(Version),
}

/// tell the position of a client
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "at", help_triggers("-h", "--help"))]
pub struct At {
    /// its ID; - reads lines of CLIENT LOCATION [TIME] from stdin
    #[argh(positional, arg_name = "CLIENT")]
    pub client: String,

    /// where it is, like +34.07-118.44 or 34.07,-118.44, and when, in seconds since 1970 (default: now)
    #[argh(positional, arg_name = "LOCATION [TIME]")]
    pub report: Vec<String>,
}

/// list the places near a client
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "whatsat", help_triggers("-h", "--help"))]
pub struct Whatsat {
    /// its ID
    #[argh(positional, arg_name = "CLIENT")]
    pub client: String,

    /// how far away, in km up to 50, and how many at most, up to 20 (default: 10 of each)
    #[argh(positional, arg_name = "KM [N]")]
    pub within: Vec<String>,
}

/// list the clients nearest to a position
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "near", help_triggers("-h", "--help"))]
pub struct Near {
    /// like +34.07-118.44 or 34.07,-118.44
    #[argh(positional, arg_name = "LOCATION")]
    pub location: String,

    /// how far away, in km up to 20037, and how many at most, up to 1000 (default: 10 of each)
    #[argh(positional, arg_name = "KM [N]")]
    pub within: Vec<String>,
}

/// tell how many clients a server knows
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "count", help_triggers("-h", "--help"))]
pub struct Count {}

/// send lines of the protocol from stdin, and print the replies
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "send", help_triggers("-h", "--help"))]
pub struct Send {}

/// print where clients are, and then each change as it comes
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "watch", help_triggers("-h", "--help"))]
pub struct Watch {
    /// only clients whose IDs begin so
    #[argh(positional, arg_name = "CLIENT-PREFIX")]
    pub prefix: Option<String>,

    /// end after so many lines
    #[argh(option, short = 'n', arg_name = "N", from_str_fn(some))]
    pub lines: Option<u64>,

    /// end after this time, like 10s or 5m; status 1 if --lines have not come
    #[argh(option, long = "for", arg_name = "TIME", from_str_fn(some_time))]
    pub span: Option<Duration>,

    /// only clients near this position, like 34.07,-118.44, and those that leave it; with --km
    #[argh(option, arg_name = "LOCATION")]
    pub near: Option<String>,

    /// how far from it, in km (default: 10)
    #[argh(option, arg_name = "KM")]
    pub km: Option<f64>,
}

/// measure how long a server takes to answer
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "ping", help_triggers("-h", "--help"))]
pub struct Ping {
    /// how often to ask (default: 4)
    #[argh(option, short = 'c', arg_name = "N", from_str_fn(some), default = "4")]
    pub count: u64,

    /// how long to wait between, like 200ms (default: 1s)
    #[argh(
        option,
        short = 'i',
        arg_name = "TIME",
        from_str_fn(time_span),
        default = "Duration::from_secs(1)"
    )]
    pub interval: Duration,
}

/// tell of each server whether it is up, what it knows, and how its links are
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "status", help_triggers("-h", "--help"))]
pub struct Status {
    /// the one server to ask (default: all)
    #[argh(positional, arg_name = "NAME")]
    pub name: Option<String>,
}

/// tell whether all servers know the same
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "agree", help_triggers("-h", "--help"))]
pub struct Agree {
    /// how long to go on asking until they do, like 10s (default: ask once)
    #[argh(option, arg_name = "TIME", from_str_fn(time_span), default = "Duration::ZERO")]
    pub wait: Duration,
}

/// print the status again and again, with how many clients come a second; q ends it at a terminal
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "top", help_triggers("-h", "--help"))]
pub struct Top {
    /// end after so often (default: never), with the status of the last
    #[argh(option, short = 'c', arg_name = "N", from_str_fn(some))]
    pub count: Option<u64>,

    /// how long to wait between, like 500ms (default: 1s)
    #[argh(
        option,
        short = 'i',
        arg_name = "TIME",
        from_str_fn(some_time),
        default = "Duration::from_secs(1)"
    )]
    pub interval: Duration,
}

/// have servers read herd.conf again, and the files that it names: each takes up all that is new, or says why not
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "reload", help_triggers("-h", "--help"))]
pub struct Reload {
    /// the one server that is to (default: all)
    #[argh(positional, arg_name = "NAME")]
    pub name: Option<String>,

    /// all servers of herd.conf, one after the other
    #[argh(switch)]
    pub all: bool,
}

/// have a server become the program that has taken the place of its own, without refusing anybody
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "upgrade", help_triggers("-h", "--help"))]
pub struct Upgrade {
    /// the server
    #[argh(positional, arg_name = "NAME")]
    pub name: Option<String>,

    /// all servers of herd.conf, one after the other
    #[argh(switch)]
    pub all: bool,
}

/// check herd.conf, as herd --check does
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "check", help_triggers("-h", "--help"))]
pub struct Check {
    /// the one server to check
    #[argh(positional, arg_name = "NAME")]
    pub name: Option<String>,
}

/// make a token for the door for HTTP, as herd --new-token does
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "token", help_triggers("-h", "--help"))]
pub struct Token {
    /// whose it is
    #[argh(positional, arg_name = "WHOSE")]
    pub whose: String,

    /// read, write and metrics, joined by commas
    #[argh(positional, arg_name = "SCOPES")]
    pub scopes: String,

    /// the one client it is for, or with * at its end all whose IDs begin so
    #[argh(option, arg_name = "CLIENT")]
    pub client: Option<String>,
}

/// make a token for a phone, and print what to type into its app, as herd --phone does
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "phone", help_triggers("-h", "--help"))]
pub struct Phone {
    /// what the phone is called
    #[argh(positional, arg_name = "PHONE")]
    pub phone: String,

    /// the server that it reports to (default: the first that serves HTTP)
    #[argh(positional, arg_name = "NAME")]
    pub name: Option<String>,

    /// the one client it is for, or with * at its end all whose IDs begin so
    #[argh(option, arg_name = "CLIENT")]
    pub client: Option<String>,
}

/// have the whole herd forget a client, as herd --forget does
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "forget", help_triggers("-h", "--help"))]
pub struct Forget {
    /// its ID
    #[argh(positional, arg_name = "CLIENT")]
    pub client: String,
}

/// print what completes herd and herdctl in a shell
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "completions", help_triggers("-h", "--help"))]
pub struct Completions {
    /// bash, zsh or fish
    #[argh(positional, arg_name = "SHELL")]
    pub shell: Option<String>,

    /// print the names of the servers of herd.conf instead, if there are any
    #[argh(switch)]
    pub names: bool,
}

/// print the version, as --version does
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "version", help_triggers("-h", "--help"))]
pub struct Version {}

/// What a program that is called so hands to `herdctl`: all behind its name, or behind `herd ctl`. None when `herd` is
/// meant.
pub fn of_ctl(arguments: &[OsString]) -> Option<&[OsString]> {
    let (program, rest) = arguments.split_first()?;
    let called = Path::new(program).file_name().unwrap_or_default();
    // Also a copy with its version behind the name.
    if called.as_encoded_bytes().starts_with(b"herdctl") {
        return Some(rest);
    }
    rest.split_first().filter(|(first, _)| *first == "ctl").map(|(_, rest)| rest)
}

impl CtlArgs {
    /// Parses what stands behind `herdctl`.
    ///
    /// # Errors
    /// The help is asked for, or an argument is wrong.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<CtlArgs, Early> {
        let texts = texts(arguments)?;
        let arranged = arrange(texts).map_err(usage)?;
        let borrowed: Vec<_> = arranged.iter().map(String::as_str).collect();
        CtlArgs::from_args(&["herdctl"], &borrowed).map_err(|early| match early.status {
            Ok(()) => Early::Help(early.output),
            Err(()) => {
                let subcommands = Subcommand::COMMANDS.iter().map(|command| command.name);
                let options = COMMON_VALUED.iter().chain(&VALUED).chain(&SWITCHES).copied();
                usage(told(&early.output, subcommands.chain(options)))
            }
        })
    }
}

fn usage(why: String) -> Early {
    Early::Usage(format!("{why}\nrun herdctl --help for the arguments"))
}

/// The options with a value and the one without that stand before the subcommand, as argh has them.
const COMMON_VALUED: [&str; 5] = ["--config", "-s", "--server", "--host", "--timeout"];
const COMMON_SWITCH: &str = "--json";

/// The options with a value of single subcommands, and the switches.
const VALUED: [&str; 11] =
    ["--client", "--wait", "-n", "--lines", "--for", "-c", "--count", "-i", "--interval", "--near", "--km"];
const SWITCHES: [&str; 5] = ["--json", "--names", "--all", "--help", "--version"];

/// What was said, in the order that argh understands.
#[derive(Default)]
struct Arranged {
    common: Vec<String>,
    subcommand: Option<String>,
    options: Vec<String>,
    /// What stands behind the subcommand and is no option.
    words: Vec<String>,
    wants_help: bool,
    wants_version: bool,
}

/// Finds the options wherever they stand, makes two arguments of `--option=value` and of `-c4`, and ends the options before
/// what looks like one and is a position of the south, or the `-` of stdin.
fn arrange(arguments: Vec<String>) -> Result<Vec<String>, String> {
    let mut arranged = Arranged::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            arranged.words.extend(arguments);
            break;
        }
        let (option, value) = split(&argument);
        let is_common = COMMON_VALUED.contains(&option);
        match option {
            "-h" | "--help" if value.is_none() => arranged.wants_help = true,
            "-V" | "--version" if value.is_none() => arranged.wants_version = true,
            _ if SWITCHES.contains(&option) && value.is_some() => {
                return Err(format!("{option} takes no value"));
            }
            COMMON_SWITCH => arranged.common.push(argument),
            _ if is_common || VALUED.contains(&option) => {
                let value = value.map(str::to_owned).or_else(|| arguments.next());
                let value = value.ok_or_else(|| format!("{option} needs a value"))?;
                let to = if is_common { &mut arranged.common } else { &mut arranged.options };
                to.extend([option.to_owned(), value]);
            }
            _ if argument.starts_with('-') && !is_no_option(&argument) => arranged.options.push(argument),
            // `herdctl help at` is `herdctl at --help`.
            "help" if arranged.subcommand.is_none() => arranged.wants_help = true,
            _ if arranged.subcommand.is_none() => arranged.subcommand = Some(argument),
            _ => arranged.words.push(argument),
        }
    }
    Ok(arranged.for_argh())
}

impl Arranged {
    fn for_argh(self) -> Vec<String> {
        // Argh takes a `--help` in front of the subcommand for a word behind it.
        if self.wants_help {
            return self.subcommand.into_iter().chain(["--help".to_owned()]).collect();
        }
        if self.wants_version {
            return vec!["version".to_owned()];
        }
        let mut all = self.common;
        all.extend(self.subcommand);
        all.extend(self.options);
        if !self.words.is_empty() {
            all.push("--".into());
            all.extend(self.words);
        }
        all
    }
}

/// An option and the value that is in one argument with it: `--wait=5s`, `-c4`.
fn split(argument: &str) -> (&str, Option<&str>) {
    if argument.starts_with("--") {
        return argument.split_once('=').map_or((argument, None), |(option, value)| (option, Some(value)));
    }
    match argument.split_at_checked(2) {
        Some((option, value))
            if !value.is_empty() && (COMMON_VALUED.contains(&option) || VALUED.contains(&option)) =>
        {
            (option, Some(value.strip_prefix('=').unwrap_or(value)))
        }
        _ => (argument, None),
    }
}

/// Whether an argument begins like an option and is none: `-`, `-34.5+118`.
fn is_no_option(argument: &str) -> bool {
    let behind = argument.strip_prefix('-');
    behind.is_some_and(|behind| {
        behind.is_empty() || behind.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    })
}

/// The arguments as text.
fn texts(arguments: impl Iterator<Item = OsString>) -> Result<Vec<String>, Early> {
    let texts = arguments.map(OsString::into_string).collect::<Result<Vec<_>, _>>();
    texts.map_err(|bytes| {
        usage(format!(
            "argument {bytes:?} is not UTF-8; a client of such an ID is told by herdctl at -, and asked for by herdctl send"
        ))
    })
}

fn host_port(text: &str) -> Result<HostPort, String> {
    HostPort::parse(text).ok_or_else(|| "HOST:PORT is meant, like 127.0.0.1:16675".into())
}

/// A time like `500ms`, `1.5s`, `5m` or `2h`; a bare number is seconds.
fn time_span(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_s = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => f64::NAN,
    };
    let seconds = number.parse::<f64>().unwrap_or(f64::NAN) * unit_s;
    let span = Duration::try_from_secs_f64(seconds).ok();
    span.filter(|span| span.as_secs() <= DURATION_MAX_S)
        .ok_or_else(|| "a time is like 500ms, 10s or 5m".into())
}

/// The same, of what has no meaning as none.
fn some_time(text: &str) -> Result<Duration, String> {
    let span = time_span(text)?;
    if span.is_zero() { Err("more than none is meant, like 500ms, 10s or 5m".into()) } else { Ok(span) }
}

/// How many, from 1.
fn some(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 is meant".into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn parse(line: &str) -> Result<CtlArgs, Early> {
        CtlArgs::parse(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
    }

    /// Else `--option=value` would be refused, as argh knows `--option value` alone.
    #[test]
    fn every_option_of_every_subcommand_is_known_as_one_with_a_value_or_a_switch() {
        let help = |line: &str| match parse(line) {
            Err(Early::Help(text)) => text,
            other => panic!("{line}: {other:?}"),
        };
        let all = help("--help");
        let commands = all.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
        let names =
            commands.expect("commands").lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let (mut valued, mut switches) = (BTreeSet::new(), BTreeSet::new());
        for name in [""].into_iter().chain(names.filter(|name| !name.is_empty())) {
            let text = help(&format!("{name} --help"));
            let usage = text.split("\n\n").next().expect("usage");
            let options = text.split("\nOptions:\n").nth(1).expect("options");
            // A word behind the column of options is one of a sentence.
            for head in options.lines().filter_map(|line| line.get(..18)?.strip_prefix("  -")) {
                let words: Vec<_> = format!("-{head}").split([' ', ',']).map(str::to_owned).collect();
                let words = words.into_iter().filter(|word| word.starts_with('-'));
                let words: Vec<_> = words.collect();
                let has_value = words.iter().any(|word| usage.contains(&format!("{word} <")));
                if has_value { valued.extend(words) } else { switches.extend(words) }
            }
        }
        let known: BTreeSet<_> = COMMON_VALUED.iter().chain(&VALUED).map(|word| (*word).to_owned()).collect();
        assert_eq!(valued, known);
        switches.retain(|word| word.starts_with("--"));
        // It is a subcommand for argh.
        switches.insert("--version".to_owned());
        assert_eq!(switches, SWITCHES.map(str::to_owned).into());
    }

    #[test]
    fn it_is_called_by_its_name_or_behind_herd() {
        let check = |line: &str, expected: Option<usize>| {
            let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(of_ctl(&arguments).map(<[_]>::len), expected, "{line}");
        };
        check("herdctl", Some(0));
        check("/usr/bin/herdctl at a", Some(2));
        check("herdctl-0.1 at a", Some(2));
        check("herd ctl at a", Some(2));
        check("herd", None);
        check("herd Goloman ctl", None);
        check("herd -- ctl", None);
    }

    #[test]
    fn positions_of_the_south_are_no_options() {
        let check = |line: &str, client: &str, location: &str, json: bool| {
            let args = parse(line).unwrap_or_else(|why| panic!("{line}: {why:?}"));
            let Subcommand::At(at) = args.subcommand else { panic!("{line}") };
            assert_eq!((at.client.as_str(), at.report[0].as_str(), args.json), (client, location, json));
        };
        check("at kiwi -34.5+118", "kiwi", "-34.5+118", false);
        check("at kiwi -34.5+118 --json", "kiwi", "-34.5+118", true);
        check("--json at kiwi -.5,118 1", "kiwi", "-.5,118", true);
        check("at -- -kiwi --json", "-kiwi", "--json", false);
        check("at -7 +1+1", "-7", "+1+1", false);
        let near = parse("near -34.5,118 5 2").expect("southern").subcommand;
        assert!(
            matches!(near, Subcommand::Near(near) if near.location == "-34.5,118" && near.within == ["5", "2"])
        );
        assert!(matches!(parse("at -").expect("stdin").subcommand, Subcommand::At(at) if at.client == "-"));
    }

    #[test]
    fn common_options_stand_anywhere_and_values_behind_an_equals_sign() {
        for line in [
            "--config x -s Hands --timeout 500ms count",
            "count --config=x --server=Hands --timeout=0.5",
            "--server Hands count --timeout=500ms --config x",
        ] {
            let args = parse(line).unwrap_or_else(|why| panic!("{line}: {why:?}"));
            assert_eq!(args.config.as_deref(), Some(Path::new("x")), "{line}");
            assert_eq!(args.server.as_deref(), Some("Hands"), "{line}");
            assert_eq!(args.timeout, Some(Duration::from_millis(500)), "{line}");
        }
        let watch = parse("watch --for=2m -n 5 ki --host [::1]:7").expect("watch");
        assert_eq!(watch.host.map(|host| host.port), Some(7));
        let Subcommand::Watch(watch) = watch.subcommand else { panic!("no watch") };
        assert_eq!((watch.lines, watch.span), (Some(5), Some(Duration::from_secs(120))));
        // Also behind what looks like an option and is none, and with the value in the same argument.
        for line in ["watch -7 -n 1 -s Ada", "watch -n1 -sAda -7", "-s=Ada watch -7 --lines=1"] {
            let args = parse(line).unwrap_or_else(|why| panic!("{line}: {why:?}"));
            assert_eq!(args.server.as_deref(), Some("Ada"), "{line}");
            let Subcommand::Watch(watch) = args.subcommand else { panic!("no watch: {line}") };
            assert_eq!((watch.lines, watch.prefix.as_deref()), (Some(1), Some("-7")), "{line}");
        }
    }

    #[test]
    fn help_and_wrong_arguments_end_early() {
        for line in ["--help", "-h", "help", "--json help", "--config x --help", "help --timeout 1s"] {
            assert!(matches!(parse(line), Err(Early::Help(text)) if text.contains("Commands:")), "{line}");
        }
        for line in [
            "help at",
            "at --help",
            "at -h",
            "--help at",
            "-s x --help at",
            "--config x -h at kiwi 1,2",
            "--json --help at 1,2",
            "at kiwi -34.5,118 --help",
            "at kiwi -34.5,118 10 -h",
            "help --timeout 1s at",
            "help --json at",
            "--help -s Ada at",
            "-V at -h",
        ] {
            assert!(matches!(parse(line), Err(Early::Help(text)) if text.contains("LOCATION")), "{line}");
        }
        for name in ["forget", "check", "token", "phone", "watch", "reload", "upgrade", "completions"] {
            for line in
                [format!("-s x --help {name}"), format!("--config x -h {name} help"), format!("help {name}")]
            {
                assert!(matches!(parse(&line), Err(Early::Help(text)) if text.contains(name)), "{line}");
            }
        }
        for line in [
            "",
            "nonsense",
            "at",
            "--json",
            "count --nonsense",
            "--json=yes count",
            "--host here count",
            "--timeout soon count",
            "ping -c many",
            "count 1",
            "--config",
            "count --config",
            "token count read --host",
            "forget status -s",
            "ping -c 0",
            "watch -n 0",
            "watch --for 0",
            "top -c 0",
            "top -i 0",
            "--timeout 0 count",
        ] {
            assert!(matches!(parse(line), Err(Early::Usage(_))), "{line}");
        }
        for line in ["--version", "-V", "--json --version", "count --version", "-V at", "version"] {
            let version = Subcommand::Version(Version {});
            assert!(parse(line).is_ok_and(|args| args.subcommand == version), "{line}");
        }
        use std::os::unix::ffi::OsStringExt;
        let odd = ["forget".into(), OsString::from_vec(b"\xff".to_vec())];
        assert!(matches!(CtlArgs::parse(odd.into_iter()), Err(Early::Usage(why)) if why.contains("at -")));
        // A client of the name `help` is one.
        assert!(parse("forget help").is_ok());
    }
}
