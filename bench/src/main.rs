//! Measures herd against the same server built otherwise.
#![forbid(unsafe_code)]

mod args;
mod choose;
mod compare;
mod conform;
mod conformance;
mod conformance_events;
mod conformance_http;
mod conformance_kept;
mod connection;
mod course;
mod crowd;
mod dialect;
mod diff;
mod dues;
mod failure;
mod five;
mod generator;
mod growth;
mod http;
mod leftovers;
mod link_end;
mod listening;
mod load;
mod mob;
mod mover;
mod observer;
mod pacing;
mod phones;
mod poller;
mod process;
mod report;
mod stand_in;
mod start;
mod stats;
mod variants;
mod watch;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use args::{Args, Command};
use report::Report;

fn main() -> ExitCode {
    raise_file_limit();
    let done = match argh::from_env::<Args>().command {
        Command::Compare(args) if args.reports.is_empty() => compare::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Compare(args) => compare_reports(&args.reports),
        Command::Conform(args) => conform::run(&args),
        Command::Load(args) => load::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Phones(args) => phones::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Watch(args) => watch::command(&args).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(why) => {
            eprintln!("herd-bench: {why}");
            ExitCode::from(2)
        }
    }
}

/// Compares two reports; a regression is the status 1, and any other failure 2.
fn compare_reports(paths: &[String]) -> Result<ExitCode, String> {
    let [old, new] = paths else { return Err("compare takes two reports, the older first, or none".into()) };
    let (old, new) = (Report::read(Path::new(old))?, Report::read(Path::new(new))?);
    let (text, regressed) = diff::diff(&old, &new)?;
    print!("{text}");
    if regressed {
        eprintln!("herd-bench: there is a regression of more than 10 %");
    }
    Ok(ExitCode::from(u8::from(regressed)))
}

/// As many descriptors as the system allows, here and in the servers that are started.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A failure shows where descriptors run out.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
