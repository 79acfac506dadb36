//! The command line: argh's, with `--config=PATH` made to work too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use argh::FromArgs;

/// A herd of small servers that know where moving clients are. Without NAME the whole herd of
/// herd.conf is started, one process per server.
#[derive(FromArgs, Debug, PartialEq, Eq)]
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
        let texts = arguments.map(OsString::into_string).collect::<Result<Vec<_>, _>>();
        let texts = texts
            .map_err(|bytes| Early::Usage(format!("argument {bytes:?} is not UTF-8; rename the file")))?;
        let split: Vec<_> = texts.into_iter().flat_map(split_option).collect();
        let borrowed: Vec<_> = split.iter().map(String::as_str).collect();
        let mut args = Args::from_args(&["herd"], &borrowed).map_err(|early| match early.status {
            Ok(()) => Early::Help(early.output),
            Err(()) => {
                Early::Usage(format!("{}\nrun herd --help for the arguments", early.output.trim_end()))
            }
        })?;
        if args.name.is_none() {
            args.name = called.filter(|name| !name.starts_with("herd"));
        }
        Ok(args)
    }
}

/// `--option=value` as two arguments, which is the form argh knows.
fn split_option(argument: String) -> Vec<String> {
    match argument.split_once('=') {
        Some((option, value)) if option.starts_with("--") => vec![option.to_owned(), value.to_owned()],
        _ => vec![argument],
    }
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
    }

    #[test]
    fn help_and_wrong_arguments_end_early() {
        assert!(matches!(parse("herd --help"), Err(Early::Help(text)) if text.contains("--config")));
        assert!(parse("herd --version").is_ok_and(|args| args.version));
        assert!(parse("herd --check").is_ok_and(|args| args.check));
        use std::os::unix::ffi::OsStringExt;
        let odd = ["herd".into(), OsString::from_vec(b"--config=\xff".to_vec())];
        assert!(matches!(Args::parse(odd.into_iter()), Err(Early::Usage(why)) if why.contains("UTF-8")));
        for line in ["herd --nonsense", "herd A B", "herd --config"] {
            assert!(matches!(parse(line), Err(Early::Usage(_))), "{line}");
        }
    }
}
