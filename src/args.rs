//! The command line: argh's, with `--config=PATH` made to work too. That of `herdctl` is a part of its own.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use argh::FromArgs;

pub mod ctl;

/// A herd of small servers that know where moving clients are. Without NAME the whole herd of
/// herd.conf is started, one process per server.
#[derive(FromArgs, Debug, PartialEq, Eq)]
#[argh(help_triggers("--help", "-h"))]
pub struct Args {
    /// the one server of herd.conf to run
    #[argh(positional, arg_name = "NAME")]
    pub name: Option<String>,

    /// the file to use instead of ./herd.conf or /etc/herd/herd.conf
    #[argh(option, arg_name = "PATH")]
    pub config: Option<PathBuf>,

    /// check herd.conf, print the herd and exit
    #[argh(switch)]
    pub check: bool,

    /// ask every server what it knows and tell whether all know the same: status 0 if so, else 1
    #[argh(switch)]
    pub agree: bool,

    /// with --agree: how long to go on asking until they do, like 10s (default: ask once)
    #[argh(option, arg_name = "TIME")]
    pub wait: Option<String>,

    /// tell what a server makes of a line of the protocol, or by which rule it refuses it: status 0 or 65
    #[argh(option, arg_name = "LINE")]
    pub explain: Option<String>,

    /// have the whole herd forget a client: status 0 once a server, or the one of this NAME, has kept that
    #[argh(option, arg_name = "CLIENT")]
    pub forget: Option<String>,

    /// make a token for the door for HTTP, print it once, and add its digest to http.tokens_file. SCOPES, in the place of
    /// NAME, are read, write and metrics, joined by commas
    #[argh(option, arg_name = "WHOSE")]
    pub new_token: Option<String>,

    /// make a token for a phone of this name, and print what to type into each app, and a code for OwnTracks to scan; NAME
    /// is the server that it reports to
    #[argh(option, arg_name = "PHONE")]
    pub phone: Option<String>,

    /// with --new-token or --phone: the one client it is for, or with * at its end all whose IDs begin so
    #[argh(option, arg_name = "CLIENT")]
    pub client: Option<String>,

    /// print the version and exit
    #[argh(switch, short = 'V')]
    pub version: bool,
}

/// What to do instead of going on.
#[derive(Debug, PartialEq, Eq)]
pub enum Early {
    /// `--help` was asked for: this text on stdout, status 0.
    Help(String),
    /// The arguments are wrong: this text on stderr, status 64.
    Usage(String),
}

impl Args {
    /// Parses the arguments, the first of which is the program as it was called. A program called
    /// by another name than `herd...` was called for the server of that name.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Args, Early> {
        let mut arguments = arguments;
        let program = arguments.next().unwrap_or_else(|| "herd".into());
        let called = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned());
        let split = split_options(texts(arguments)?).map_err(usage)?;
        let borrowed: Vec<_> = split.iter().map(String::as_str).collect();
        let mut args = Args::from_args(&["herd"], &borrowed).map_err(|early| match early.status {
            Ok(()) => Early::Help(early.output),
            Err(()) => usage(told(&early.output, VALUED.iter().chain(&SWITCHES).copied())),
        })?;
        args.objection().map_or(Ok(()), |why| Err(usage(why)))?;
        if args.name.is_none() {
            args.name = called.filter(|name| !name.starts_with("herd"));
        }
        Ok(args)
    }

    /// Whether `herd help` was said: the help, unless there is a server of that name.
    pub fn may_want_help(&self) -> bool {
        self.name.as_deref() == Some("help")
    }

    /// Whether nothing is asked for but to start servers.
    pub fn serves(&self) -> bool {
        let asks = [self.check, self.agree, self.version];
        let names = [&self.explain, &self.forget, &self.new_token, &self.phone];
        !asks.contains(&true) && names.iter().all(|name| name.is_none())
    }

    /// What `--help` prints.
    pub fn help() -> String {
        Args::from_args(&["herd"], &["--help"]).map_or_else(|early| early.output, |_| String::new())
    }

    /// What has no meaning beside, or without, what else was said.
    fn objection(&self) -> Option<&'static str> {
        match () {
            () if self.name.as_deref() == Some("ctl") => {
                Some("ctl comes first, and its options behind it: herd ctl --config PATH status")
            }
            () if self.wait.is_some() && !self.agree => Some("--wait has no meaning without --agree"),
            () if self.explain.is_some() && (self.check || self.agree || self.name.is_some()) => {
                Some("--explain asks no server, so it takes no NAME, and neither --check nor --agree")
            }
            () if self.client.is_some() && self.new_token.is_none() && self.phone.is_none() => {
                Some("--client has no meaning without --new-token or --phone")
            }
            () if self.new_token.is_some() && self.name.is_none() => {
                Some("--new-token WHOSE needs SCOPES: herd --new-token anna read,write")
            }
            () if [
                self.check,
                self.agree,
                self.forget.is_some(),
                self.new_token.is_some(),
                self.phone.is_some(),
                self.explain.is_some(),
            ]
            .iter()
            .filter(|is_said| **is_said)
            .count()
                > 1
                && !(self.check && self.agree) =>
            {
                Some(
                    "--check, --agree, --forget, --new-token, --phone and --explain are commands; run one, then the other",
                )
            }
            () if self.check && self.agree => {
                Some("--check and --agree are two commands; run one, then the other")
            }
            () if self.agree && self.name.is_some() => Some("--agree asks every server, so it takes no NAME"),
            () => None,
        }
    }
}

/// The arguments as text.
fn texts(arguments: impl Iterator<Item = OsString>) -> Result<Vec<String>, Early> {
    let texts = arguments.map(OsString::into_string).collect::<Result<Vec<_>, _>>();
    texts.map_err(|bytes| {
        Early::Usage(format!("argument {bytes:?} is not UTF-8; a file of that name has to be renamed"))
    })
}

fn usage(why: impl Display) -> Early {
    Early::Usage(format!("{why}\nrun herd --help for the arguments"))
}

/// What argh says of an argument that it does not know, with the one of these that was meant, perhaps.
fn told(output: &str, known: impl Iterator<Item = &'static str>) -> String {
    let said = output.trim_end();
    let unknown = said.strip_prefix("Unrecognized argument: ").unwrap_or_default();
    let near = known.map(|word| (strsim::osa_distance(unknown, word), word));
    match near.filter(|(changes, word)| *changes <= 2 && changes * 2 < word.len()).min() {
        Some((_, word)) => format!("{said}; did you mean {word}?"),
        None => said.to_owned(),
    }
}

/// The options with a value, and those without.
const VALUED: [&str; 7] =
    ["--config", "--wait", "--explain", "--forget", "--new-token", "--phone", "--client"];
const SWITCHES: [&str; 4] = ["--check", "--agree", "--version", "--help"];

/// Makes two arguments, the form argh knows, of `--option=value`. What is a value already stays as it is.
fn split_options(arguments: Vec<String>) -> Result<Vec<String>, String> {
    let mut split = Vec::with_capacity(arguments.len());
    let (mut is_value, mut ended) = (false, false);
    for argument in arguments {
        let was_value = std::mem::take(&mut is_value);
        match argument.split_once('=') {
            _ if was_value || ended => split.push(argument),
            Some((option, value)) if VALUED.contains(&option) => {
                split.extend([option.to_owned(), value.to_owned()]);
            }
            Some((option, _)) if SWITCHES.contains(&option) => {
                return Err(format!("{option} takes no value"));
            }
            _ => {
                is_value = VALUED.contains(&argument.as_str());
                ended = argument == "--";
                split.push(argument);
            }
        }
    }
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Early> {
        Args::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn names_come_from_the_argument_or_from_how_it_is_called() {
        let check = |line: &str, name: Option<&str>, config: Option<&str>| {
            let args = parse(line).expect(line);
            assert_eq!(
                (args.name.as_deref(), args.config.as_deref()),
                (name, config.map(Path::new)),
                "{line}"
            );
        };
        check("herd", None, None);
        check("target/release/herd-0.1", None, None);
        check("herd Goloman", Some("Goloman"), None);
        check("./Goloman", Some("Goloman"), None);
        check("bin/Goloman --config a=b", Some("Goloman"), Some("a=b"));
        check("Goloman Hands", Some("Hands"), None);
        check("herd --config=x Goloman", Some("Goloman"), Some("x"));
        check("herd --config x Goloman", Some("Goloman"), Some("x"));
        check("herd --config=a=b", None, Some("a=b"));
        check("herd --config --a=b", None, Some("--a=b"));
        check("herd --config=--check=b", None, Some("--check=b"));
        check("herd help --config x", Some("help"), Some("x"));
        check("herd -- help", Some("help"), None);
        check("./help --config x", Some("help"), Some("x"));
    }

    #[test]
    fn every_option_is_one_with_a_value_or_a_switch_and_takes_it_in_either_form() {
        let help = Args::help();
        let options = help.split("\nOptions:\n").nth(1).expect("options");
        // A word behind the column of options is one of a sentence.
        let heads = options.lines().filter_map(|line| line.get(..18)?.split_once("--"));
        let names: Vec<_> = heads
            .map(|(_, name)| format!("--{}", name.split([' ', ',']).next().unwrap_or_default()))
            .collect();
        let has_value = |name: &&String| {
            let alone = Args::from_args(&["herd"], &[name.as_str()]);
            alone.is_err_and(|early| early.output.contains("No value provided"))
        };
        let (valued, switches): (Vec<_>, Vec<_>) = names.iter().partition(has_value);
        assert_eq!((valued.len(), switches.len()), (VALUED.len(), SWITCHES.len()), "{valued:?} {switches:?}");
        for name in valued {
            assert!(VALUED.contains(&name.as_str()), "{name}");
            let arguments = |words: &[String]| split_options(words.to_vec()).expect("valid");
            // Both forms are one, whatever the value looks like.
            for value in ["x", "--check=1", "a=b"] {
                let split = [name.clone(), value.to_owned()];
                assert_eq!(arguments(&[format!("{name}={value}")]), split, "{name}");
                assert_eq!(arguments(&split), split, "{name}");
            }
        }
        switches.iter().for_each(|name| assert!(SWITCHES.contains(&name.as_str()), "{name}"));
        let args = parse("herd --phone=phil Ada").expect("valid");
        assert_eq!((args.phone.as_deref(), args.name.as_deref()), (Some("phil"), Some("Ada")));
    }

    #[test]
    fn help_and_wrong_arguments_end_early() {
        assert!(matches!(parse("herd --help"), Err(Early::Help(text)) if text.contains("--config")));
        assert!(parse("herd --version").is_ok_and(|args| args.version));
        assert!(parse("herd --check").is_ok_and(|args| args.check));
        use std::os::unix::ffi::OsStringExt;
        let odd = ["herd".into(), OsString::from_vec(b"--config=\xff".to_vec())];
        assert!(matches!(Args::parse(odd.into_iter()), Err(Early::Usage(why)) if why.contains("UTF-8")));
        for line in ["herd --nonsense", "herd --nonsense=1", "herd A B", "herd --config"] {
            assert!(matches!(parse(line), Err(Early::Usage(_))), "{line}");
        }
        let meant = |line: &str| match parse(line) {
            Err(Early::Usage(why)) => why.split_once("; did you mean ").map(|(_, rest)| rest.to_owned()),
            _ => None,
        };
        assert_eq!(meant("herd --chekc").as_deref(), Some("--check?\nrun herd --help for the arguments"));
        assert_eq!(meant("herd --nonsense"), None);
        assert!(parse("herd help").is_ok_and(|args| args.may_want_help()));
        assert!(Args::help().contains("--config"));
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for (line, hint) in [
            ("herd --config x ctl", "ctl comes first"),
            ("herd -- ctl", "ctl comes first"),
            ("herd --wait 5s", "--agree"),
            ("herd --wait=5s Goloman", "--agree"),
            ("herd --wait 5s --check", "--agree"),
            ("Goloman --wait 5s", "--agree"),
            ("herd --version --wait 5s", "--agree"),
            ("herd --explain x --check", "--explain asks no server"),
            ("herd --explain x Goloman", "--explain asks no server"),
            ("herd --check --agree", "two commands"),
            ("herd --agree --wait 5s --check", "two commands"),
            ("herd Goloman --agree", "no NAME"),
            ("herd --agree Goloman --wait 5s", "no NAME"),
            ("herd --check=Goloman", "--check takes no value"),
            ("herd --agree=true", "--agree takes no value"),
        ] {
            let refused = parse(line);
            assert!(matches!(&refused, Err(Early::Usage(why)) if why.contains(hint)), "{line}: {refused:?}");
        }
        for line in [
            "herd --explain=ASK",
            "herd --explain --x",
            "herd --agree --wait 5s",
            "Goloman --agree",
            "herd Goloman --check",
            "herd --check --config x",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }
}
