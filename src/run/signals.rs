//! The signals that a process of herd acts on. `one` and `family` catch them.

use std::io::{self, IsTerminal};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// SIGINT and SIGTERM stop it, SIGUSR1 opens the log anew, SIGHUP reads the secrets anew. At a terminal SIGHUP says
/// that the terminal is gone, and ends the process as it does others.
pub fn caught() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM, SIGUSR1];
    if !io::stdin().is_terminal() {
        signals.push(SIGHUP);
    }
    signals
}
