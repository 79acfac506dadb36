//! Measures herd against the same server built otherwise.
#![forbid(unsafe_code)]

mod args;
mod compare;
mod conformance;
mod connection;
mod dialect;
mod generator;
mod load;
mod pacing;
mod poller;
mod process;
mod report;
mod stand_in;
mod stats;
mod variants;
mod workload;

use std::process::ExitCode;

use args::{Args, Command};

fn main() -> ExitCode {
    raise_file_limit();
    let done = match argh::from_env::<Args>().command {
        Command::Compare(args) => compare::run(&args),
        Command::Load(args) => load::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("herd-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// As many descriptors as the system allows, here and in the servers that are started.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A failure shows where descriptors run out.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
