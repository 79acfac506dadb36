//! `batched.rs`, with what herd promises: its journal has a report before the reply is written, and is synced once a second;
//! its log has every line in and out. Each task appends what it answered; with `--group` one task appends for all that wait.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Builder;
use variants::Herd;
use variants::asynchronous;
use variants::batched::serve;
use variants::kept::{Group, Kept};

fn main() -> ExitCode {
    let herd = match Herd::from_args() {
        Ok(herd) => herd,
        Err(status) => return status,
    };
    let is_group = std::env::args().any(|argument| argument == "--group");
    match run(herd, is_group) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(herd: Herd, is_group: bool) -> io::Result<()> {
    let kept = Kept::open(&herd)?;
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        if is_group {
            let group = Arc::new(Group::start(kept));
            asynchronous::run(herd, move |server, stream| serve(server, group.clone(), stream)).await
        } else {
            let kept = Arc::new(kept);
            asynchronous::run(herd, move |server, stream| serve(server, kept.clone(), stream)).await
        }
    })
}
