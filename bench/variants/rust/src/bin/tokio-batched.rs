//! `batched.rs`, with nothing kept and nothing logged.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Builder;
use variants::Herd;
use variants::asynchronous;
use variants::batched::{Nothing, serve};

fn main() -> ExitCode {
    let herd = match Herd::from_args() {
        Ok(herd) => herd,
        Err(status) => return status,
    };
    let keeper = Arc::new(Nothing);
    let serve = move |server, stream| serve(server, keeper.clone(), stream);
    let built = Builder::new_multi_thread().enable_all().build();
    match built.and_then(|runtime| runtime.block_on(asynchronous::run(herd, serve))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
