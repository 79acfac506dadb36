//! A thread a connection.

use std::process::ExitCode;

use variants::{Herd, blocking};

/// Of the stack little is used; the default of 2 MiB is only reserved, but 5,000 of them are 10 GB.
const STACK_BYTES: usize = 128 * 1024;

fn main() -> ExitCode {
    let herd = match Herd::from_args() {
        Ok(herd) => herd,
        Err(status) => return status,
    };
    let ran = blocking::run(herd, |server, stream| {
        let server = server.clone();
        let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
        // A connection that broke is its client's business; without a thread it is closed.
        let _ = builder.spawn(move || server.serve(stream));
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
