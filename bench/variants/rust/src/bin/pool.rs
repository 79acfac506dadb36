//! The naive fixed pool: a worker has a connection until it ends, and the others wait for one.

use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;

use crossbeam_channel::bounded;
use variants::Herd;
use variants::blocking::{self, Server};

/// Enough that 50 clients and some links are served at once; the 65th waits for one of them to go.
const WORKERS: usize = 64;

fn main() -> ExitCode {
    let herd = match Herd::from_args() {
        Ok(herd) => herd,
        Err(status) => return status,
    };
    let (connections, waiting) = bounded::<(Arc<Server>, TcpStream)>(1_024); // full: accepting waits
    for _ in 0..WORKERS {
        let waiting = waiting.clone();
        std::thread::spawn(move || {
            for (server, stream) in waiting {
                // A connection that broke is its client's business.
                let _ = server.serve(stream);
            }
        });
    }
    let ran = blocking::run(herd, |server, stream| {
        let _ = connections.send((server.clone(), stream));
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
