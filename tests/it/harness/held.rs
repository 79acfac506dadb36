//! Threads of a server that are held where a test wants them.

use std::fs;
use std::path::Path;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::wait_for;

/// A thread of a process that is stopped, as by a fault of the system, until this is dropped.
pub struct Held(Pid);

impl Held {
    /// Stops the only thread of a process whose name begins so, wherever it is.
    pub fn thread_of(process: u32, name: &str) -> Held {
        let is_meant =
            |task: &Path| fs::read_to_string(task.join("comm")).is_ok_and(|found| found.starts_with(name));
        // One that has just begun has the name of the process until it gives itself its own.
        let thread = wait_for(&format!("one thread {name}"), || {
            let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("threads");
            let mut meant = tasks.map(|task| task.expect("listed").path()).filter(|task| is_meant(task));
            meant.next().filter(|_| meant.next().is_none())
        });
        let id = thread.file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok());
        let held = Held(Pid::from_raw(id.expect("a number")));
        ptrace::seize(held.0, ptrace::Options::empty()).expect("a process may trace its children");
        ptrace::interrupt(held.0).expect("seized");
        held.wait();
        held
    }

    /// Lets it go on until it begins or ends its next call of the system.
    pub fn step(&self) {
        ptrace::syscall(self.0, None).expect("it is stopped");
        self.wait();
    }

    /// The number of the call of the system at which it is.
    pub fn call(&self) -> Option<i64> {
        let said = fs::read_to_string(format!("/proc/{}/syscall", self.0)).expect("a thread");
        said.split_whitespace().next()?.parse().ok()
    }

    fn wait(&self) {
        let stopped = waitpid(self.0, Some(WaitPidFlag::__WALL)).expect("traced");
        assert!(!matches!(stopped, WaitStatus::Exited(..) | WaitStatus::Signaled(..)), "{stopped:?}");
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // One that has ended is let go already.
        let _ = ptrace::detach(self.0, None);
    }
}
