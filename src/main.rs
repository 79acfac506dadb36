//! `herd` starts the whole herd, `herd NAME` one server, `herdctl` asks one that runs: the arguments are turned into one of
//! `run`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use herd::args::ctl::{self, CtlArgs};
use herd::args::{Args, Early};
use herd::config;
use herd::run::inherit::{self, Inherited};
use herd::run::say::{fail, say};
use herd::run::{agree, check, conf, exit, explain, family, forget, one, phone, signals, token};

fn main() -> ExitCode {
    let inherited = inherit::take();
    if !inherited.is_successor {
        signals::hear_early();
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    let done = match ctl::of_ctl(&arguments) {
        Some([]) if std::io::stdin().is_terminal() => Ok(herd::run::ctl::prompt()),
        Some(behind) => CtlArgs::parse(behind.iter().cloned()).map(herd::run::ctl::run),
        None => Args::parse(arguments.into_iter()).map(|args| run(args, inherited)),
    };
    match done {
        Ok(status) => status,
        Err(Early::Help(text)) => say(text.trim_end()),
        Err(Early::Usage(text)) => fail(exit::USAGE, text),
    }
}

fn run(args: Args, mut inherited: Inherited) -> ExitCode {
    if args.version {
        return say(concat!("herd ", env!("CARGO_PKG_VERSION")));
    }
    let Some(wait_s) = args.wait.as_deref().map_or(Some(0), config::duration_s) else {
        return fail(exit::USAGE, "--wait must be like 10s or 5m");
    };
    if args.serves() {
        signals::put_off();
    }
    if let Some(line) = &args.explain {
        return explain::run(line, args.config.as_deref());
    }
    let wants_help = args.may_want_help();
    let config = match conf::load(args.config, inherited.conf.take()) {
        Ok(config) => config,
        Err(conf::NoConf::File(_)) if wants_help => return say(Args::help().trim_end()),
        Err(why) => return why.fail(),
    };
    if let Some(whose) = &args.new_token {
        return token::run(
            &config,
            whose,
            args.name.as_deref().unwrap_or_default(),
            args.client.as_deref(),
            false,
        );
    }
    match args.name.as_ref().map(|name| config.find(name).ok_or(name)).transpose() {
        Err(_) if wants_help => say(Args::help().trim_end()),
        Err(name) => {
            let (path, names) = (config.path.display(), config.names());
            fail(exit::USAGE, format!("no server {name:?} in {path}; there are {names}"))
        }
        Ok(_) if args.agree => agree::run(&config, Duration::from_secs(wait_s)),
        Ok(index) if args.forget.is_some() => {
            forget::run(&config, index, args.forget.as_deref().unwrap_or_default(), None, false)
        }
        Ok(index) if args.phone.is_some() => phone::run(
            &config,
            index,
            args.phone.as_deref().unwrap_or_default(),
            args.client.as_deref(),
            false,
        ),
        Ok(index) if args.check => check::run(&config, index, inherited, false),
        Ok(Some(index)) => one::run(&config, index, inherited),
        Ok(None) => family::run(&config),
    }
}
