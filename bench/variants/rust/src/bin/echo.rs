//! herd's own worker loop answering every line with the same one of the usual size: no parsing, no
//! store, no log. What any server of this build could do at most on this machine.

use std::path::Path;
use std::process::ExitCode;

use herd::config::Config;
use herd::link::KeyRing;
use herd::logging;
use herd::server::{self, Server};

const REPLY: &[u8] =
    b"AT Goloman +275000000.263873386 c0000000.bench +34.068930-118.445127 1520023934.000000000\n";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let [_, name, path] = arguments else { return Err("usage: echo NAME CONFIG".into()) };
    let mut config = Config::load(Path::new(path)).map_err(|why| why.to_string())?;
    let index = config.find(name).ok_or_else(|| format!("no server {name:?}"))?;
    config.settings.echo = Some(REPLY.into());
    let log = config.log_path(&config.servers[index]);
    let sink = logging::start(name, &log, log::LevelFilter::Off).map_err(|why| why.to_string())?;
    let places = herd::places::open(&config.places)?;
    let listeners = server::listen(&config.servers[index].listen).map_err(|why| why.to_string())?;
    let server = Server::start(&config, index, listeners, places, KeyRing::default(), sink)
        .map_err(|why| why.to_string())?;
    println!("{name} listens on {}", server.addresses());
    loop {
        // SIGTERM ends it.
        std::thread::park();
    }
}
