//! A disk that a test has fail, wait or lose power: a library between herd and the system, told by files.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{HERD, Process, Server};

pub struct Disk {
    library: PathBuf,
    folder: TempDir,
}

impl Disk {
    pub fn new() -> Disk {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, library) = (folder.path().join("failing.c"), folder.path().join("failing.so"));
        fs::write(&source, include_str!("failing.c")).expect("written");
        // The C compiler that herd is built with.
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output();
        let built = built.expect("cc, which herd is built with, too");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Disk { library, folder }
    }

    /// Starts a server on this disk.
    pub fn herd(&self, folder: &Path, name: &str) -> Server {
        Server::start_by(&mut self.command(name), folder, name)
    }

    /// The same, without waiting until it listens.
    pub fn begin(&self, folder: &Path, name: &str) -> Process {
        Process::start(&mut self.command(name), folder)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(HERD);
        command.arg(name).env("LD_PRELOAD", &self.library).env("HERD_TEST_DISK", self.folder.path());
        command
    }

    pub fn set(&self, what: &str) {
        fs::write(self.folder.path().join(what), "").expect("written");
    }

    pub fn unset(&self, what: &str) {
        fs::remove_file(self.folder.path().join(what)).expect("removed");
    }

    /// Whether a sync waits.
    pub fn is_held(&self) -> bool {
        self.folder.path().join("held").exists()
    }

    /// Whether a write waits.
    pub fn is_writing(&self) -> bool {
        self.folder.path().join("held-write").exists()
    }

    /// Has writes wait no more.
    pub fn release(&self) {
        self.unset("hold-write");
        self.unset("held-write");
    }

    /// What was created and synced: the deed, the bytes the file had, the path.
    fn notes(&self) -> Vec<(String, u64, PathBuf)> {
        let notes = fs::read_to_string(self.folder.path().join("notes")).unwrap_or_default();
        let note = |line: &str| {
            let mut fields = line.splitn(3, ' ');
            let mut field = || fields.next().expect("three fields").to_owned();
            (field(), field().parse().expect("a number"), field().into())
        };
        notes.lines().map(note).collect()
    }

    /// The folders that were synced.
    pub fn synced_folders(&self) -> BTreeSet<PathBuf> {
        let notes = self.notes().into_iter();
        notes.filter(|(what, ..)| what == "folder").map(|(.., path)| path).collect()
    }

    /// Has the machine lose power after the process has ended: of every segment in the folder what was
    /// not synced goes, and all of one whose name was not.
    pub fn lose_power(&self, journal: &Path) {
        let (mut named, mut safe) = (BTreeSet::new(), HashMap::new());
        let mut unnamed = Vec::new();
        for (what, bytes, path) in self.notes() {
            match what.as_str() {
                "created" => unnamed.push(path),
                "folder" => named.extend(unnamed.extract_if(.., |file| file.parent() == Some(&path))),
                _ => drop(safe.insert(path, bytes)),
            }
        }
        for file in fs::read_dir(journal.canonicalize().expect("a folder")).expect("a folder") {
            let path = file.expect("a file").path();
            if path.ends_with("lock") {
                continue;
            }
            // A snapshot was written by another name.
            let written = path.with_extension("unfinished");
            let bytes = safe.get(&path).or_else(|| safe.get(&written)).copied().unwrap_or(0);
            if named.contains(&path) || safe.contains_key(&written) {
                File::options().write(true).open(&path).and_then(|file| file.set_len(bytes)).expect("cut");
            } else {
                fs::remove_file(&path).expect("removed");
            }
        }
    }
}
