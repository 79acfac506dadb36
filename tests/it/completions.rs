//! What completes herd and herdctl, in the shells themselves, and by what `--help` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use crate::ctl::{ctl, terminal};
use crate::docs::page::ROOT;
use crate::harness::{HERD, folder_with, run, wait_for};

pub fn shipped(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("packaging").join(path)).expect("text")
}

/// The flags that a help lists: `-s` and `--server`.
pub fn flags(help: &str) -> BTreeSet<String> {
    let options =
        help.split("\nOptions:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let heads = options
        .lines()
        .filter(|line| line.starts_with("  -"))
        .map(|line| line.get(2..20).unwrap_or(&line[2..]));
    heads
        .flat_map(|head| head.split([',', ' ']))
        .filter(|it| it.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

/// The subcommands of herdctl, each with its flags; the first is herdctl itself, with no name.
pub fn subcommands() -> Vec<(String, BTreeSet<String>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let help = ctl(folder.path(), &["--help"]).out;
    let commands =
        help.split("\nCommands:\n").nth(1).expect("commands").split("\n\n").next().unwrap_or_default();
    let names =
        commands.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names: Vec<_> = names.filter_map(|line| line.split(' ').next()).collect();
    let of = |name: &&str| (name.to_string(), flags(&ctl(folder.path(), &[name, "--help"]).out));
    let all: Vec<_> = [(String::new(), flags(&help))].into_iter().chain(names.iter().map(of)).collect();
    assert!(all.len() > 14 && all[0].1.contains("--json"), "{all:?}");
    all
}

pub fn flags_of_herd() -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let all = flags(&run(folder.path(), &["--help"]).1);
    assert!(all.contains("--agree") && all.contains("-V"), "{all:?}");
    all
}

/// The words of a text that could be flags or names.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect()
}

#[test]
fn every_flag_and_every_subcommand_is_completed_in_every_shell() {
    let (bash, zsh, fish) = (
        shipped("completions/herdctl.bash"),
        shipped("completions/_herdctl"),
        shipped("completions/herdctl.fish"),
    );
    let all = subcommands();
    let names = all.iter().map(|(name, _)| name).filter(|name| !name.is_empty());
    let ours = all.iter().flat_map(|(_, flags)| flags.clone()).chain(flags_of_herd());
    for word in names.cloned().chain(ours) {
        for (shell, text) in [("bash", &bash), ("zsh", &zsh)] {
            assert!(words(text).contains(word.as_str()), "{word} is not in that of {shell}");
        }
        let in_fish = match (word.strip_prefix("--"), word.strip_prefix('-')) {
            (Some(long), _) => format!(" -l {long} "),
            (None, Some(short)) => format!(" -s {short} "),
            (None, None) => format!(" -a {word} "),
        };
        assert!(fish.contains(&in_fish), "{word} is not in that of fish");
    }
}

#[test]
fn herdctl_prints_the_files_and_the_names_and_never_complains_of_herd_conf() {
    let folder = folder_with(
        "[servers.Goloman]\nlisten = \"127.0.0.1:1\"\n[servers.Hands]\nlisten = \"127.0.0.1:2\"\n",
    );
    for (shell, file) in [("bash", "herdctl.bash"), ("zsh", "_herdctl"), ("fish", "herdctl.fish")] {
        assert_eq!(ctl(folder.path(), &["completions", shell]).out, shipped(&format!("completions/{file}")));
    }
    assert_eq!(ctl(folder.path(), &["completions", "--names"]).out, "Goloman\nHands\n");
    let without = ctl(folder.path(), &["completions", "--names", "--config", "none"]);
    assert_eq!((without.status, without.out.as_str(), without.err.as_str()), (Some(0), "", ""));
    assert_eq!(ctl(folder.path(), &["completions", "csh"]).status, Some(64));
}

/// A folder with a herd.conf, and links to the program by both of its names.
fn shell_folder() -> tempfile::TempDir {
    let folder = folder_with(
        "[servers.Goloman]\nlisten = \"127.0.0.1:1\"\n[servers.Hands]\nlisten = \"127.0.0.1:2\"\n",
    );
    for name in ["herd", "herdctl"] {
        std::os::unix::fs::symlink(HERD, folder.path().join(name)).expect("linked");
    }
    fs::write(folder.path().join("other.conf"), "[servers.Welsh]\nlisten = \"127.0.0.1:3\"\n")
        .expect("written");
    folder
}

/// Runs a shell in a folder whose programs it finds first; None where it is not installed.
fn shell(folder: &Path, arguments: &[&str]) -> Option<String> {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    command.arg("20").args(arguments).current_dir(folder).env("PATH", path).env("HOME", folder);
    for name in ["HERD_CONFIG", "HERD_HOST", "HERD_SERVER"] {
        command.env_remove(name);
    }
    let said = command.output().expect("timeout");
    if said.status.code() == Some(127) {
        eprintln!("not tested here: completions of {}; it is not installed", arguments[0]);
        return None;
    }
    assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(String::from_utf8_lossy(&said.stderr), "", "{arguments:?}");
    Some(String::from_utf8(said.stdout).expect("text"))
}

/// Lines as they are typed, each with some of what a Tab offers at its end, and what it does not.
const TABS: [(&str, &[&str], &str); 38] = [
    ("herdctl st", &["status"], "at"),
    ("herdctl re", &["reload"], "at"),
    ("herdctl status ", &["Goloman", "Hands"], "status"),
    ("herdctl status H", &["Hands"], "Goloman"),
    ("herdctl reload H", &["Hands"], "Goloman"),
    ("herdctl upgrade --a", &["--all"], "--json"),
    ("herdctl -s ", &["Goloman"], "status"),
    ("herdctl --config other.conf status ", &["Welsh"], "Goloman"),
    ("herdctl --json watch --f", &["--for"], "--json"),
    ("herdctl watch --n", &["--near"], "--json"),
    ("herdctl completions ", &["bash", "zsh", "fish"], "Goloman"),
    ("herd ", &["ctl", "Goloman"], "status"),
    ("herd --new", &["--new-token"], "--json"),
    ("herd ctl agree --w", &["--wait"], "--for"),
    ("herd ctl check G", &["Goloman"], "Hands"),
    // What has a `:` or a `=` in it is one word.
    ("herdctl --host 127.0.0.1:23001 st", &["status"], "at"),
    ("herdctl --host 127.0.0.1:23001 watch --f", &["--for"], "--json"),
    ("herdctl --host [::1]:5 ag", &["agree"], "at"),
    ("herd ctl --host 1.2.3.4:5 top --c", &["--count"], "--for"),
    ("herdctl --timeout=5s ag", &["agree"], "at"),
    ("herdctl --config=other.conf st", &["status"], "at"),
    ("herdctl --config=other.conf status ", &["Welsh"], "Goloman"),
    ("herdctl status --config=other.conf W", &["Welsh"], "Goloman"),
    ("herd --config=other.conf W", &["Welsh"], "Goloman"),
    // Options between the subcommand and its words.
    ("herdctl status --json ", &["Goloman", "Hands"], "status"),
    ("herdctl status --config other.conf W", &["Welsh"], "Goloman"),
    ("herdctl status --timeout 5s G", &["Goloman"], "Hands"),
    ("herdctl watch --timeout 5s --f", &["--for"], "--json"),
    ("herdctl watch --host x:1 --f", &["--for"], "--json"),
    ("herdctl completions --config other.conf z", &["zsh"], "bash"),
    ("herd ctl status --config other.conf ", &["Welsh"], "Goloman"),
    ("herdctl token anna r", &["read", "read,write"], "write"),
    ("herdctl help st", &["status"], "at"),
    // In the place of a name.
    ("herd --new-token anna ", &["read", "read,write"], "Goloman"),
    ("herd --new-token=anna --config other.conf r", &["read"], "write"),
    ("herd --check G", &["Goloman"], "Hands"),
    ("herd --phone phil --client x ", &["Goloman", "Hands"], "read"),
    ("herd --forget kiwi --config other.conf ", &["Welsh"], "ctl"),
];

/// Lines at whose end is the value of an option in the same word: shells differ in whether they offer the option, too.
const JOINED: [(&str, &str, &str, &str); 3] = [
    ("herdctl --server=G", "--server=", "Goloman", "Hands"),
    ("herdctl --config=oth", "--config=", "other.conf", "herd.conf"),
    ("herd --config=oth", "--config=", "other.conf", "herd.conf"),
];

/// Lines at whose end is nothing to offer of this.
const SPENT: [(&str, &str); 12] = [
    ("herdctl status Goloman ", "Hands"),
    ("herdctl completions bash ", "zsh"),
    ("herdctl phone ", "Goloman"),
    ("herdctl token ", "read"),
    ("herd --check ", "ctl"),
    ("herd --agree ", "Goloman"),
    ("herd --agree --wait 5s ", "Goloman"),
    ("herd --explain X ", "Goloman"),
    ("herd Goloman ", "Hands"),
    ("herd --new-token anna read ", "Goloman"),
    ("herd --new-token anna read ", "write"),
    ("herdctl reload --all ", "Goloman"),
];

fn check_joined(line: &str, offered: &[&str], option: &str, wanted: &str, unwanted: &str) {
    let values: Vec<_> = offered.iter().map(|word| word.strip_prefix(option).unwrap_or(word)).collect();
    check(line, &values, &[wanted], unwanted);
}

/// Checks all of these against what a shell offers at the end of a line.
fn check_all(mut offered_at: impl FnMut(&str) -> Option<Vec<String>>) {
    for (line, wanted, unwanted) in TABS {
        let Some(offered) = offered_at(line) else { return };
        check(line, &offered.iter().map(String::as_str).collect::<Vec<_>>(), wanted, unwanted);
    }
    for (line, option, wanted, unwanted) in JOINED {
        let offered = offered_at(line).unwrap_or_default();
        let offered: Vec<_> = offered.iter().map(String::as_str).collect();
        check_joined(line, &offered, option, wanted, unwanted);
    }
    for (line, unwanted) in SPENT {
        let offered = offered_at(line).unwrap_or_default();
        assert!(offered.iter().all(|word| word != unwanted), "{line}: {unwanted} in {offered:?}");
    }
}

fn check(line: &str, offered: &[&str], wanted: &[&str], unwanted: &str) {
    wanted.iter().for_each(|word| assert!(offered.contains(word), "{line}: no {word} in {offered:?}"));
    assert!(!offered.contains(&unwanted), "{line}: {unwanted} in {offered:?}");
}

/// bash splits a line in its line editor only, which reads a terminal.
#[test]
fn a_tab_in_bash_offers_what_may_follow() {
    let folder = shell_folder();
    let (keyboard, open) = terminal();
    let mut bash = Command::new("bash");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    bash.args(["--norc", "--noprofile", "-i"]).current_dir(folder.path());
    bash.env("PATH", path).env("HOME", folder.path()).env("TERM", "dumb").env_remove("HERD_CONFIG");
    let started = bash.stdin(open()).stdout(open()).stderr(open()).spawn();
    // It has the other end of the terminal, too, at whose last end the reader below ends.
    drop(bash);
    let Ok(bash) = started else {
        eprintln!("not tested here: completions of bash; it is not installed");
        return;
    };
    let file = Path::new(ROOT).join("packaging/completions/herdctl.bash");
    let probe = format!(
        "set +o history; source '{}'; \
         probe() {{ _herd_complete \"$@\"; printf '%s\\n' \"${{COMPREPLY[@]}}\" >some; mv some offered; COMPREPLY=(); }}; \
         complete -F probe herdctl herd; touch ready\n",
        file.display()
    );
    std::thread::scope(|scope| {
        // It ends also where a check fails, and the reader with it.
        let _ends = Ends(bash);
        // What it prints is read, or it would wait for that.
        scope.spawn(|| while rustix::io::read(&keyboard, &mut [0; 512]).is_ok_and(|length| length > 0) {});
        let typed = |text: &str| assert!(rustix::io::write(&keyboard, text.as_bytes()).is_ok());
        typed(&probe);
        wait_for("bash", || folder.path().join("ready").exists().then_some(()));
        let at = folder.path().join("offered");
        check_all(|line| {
            let _ = fs::remove_file(&at);
            typed(&format!("{line}\t"));
            let offered = wait_for(line, || fs::read_to_string(&at).ok());
            // Away with the line.
            typed("\x15");
            Some(offered.lines().map(str::to_owned).collect())
        });
    });
}

/// Ends when it is dropped.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tab_in_fish_offers_what_may_follow() {
    let folder = shell_folder();
    let file = Path::new(ROOT).join("packaging/completions/herdctl.fish");
    check_all(|line| {
        let script = format!("source '{}'; complete -C '{line}'", file.display());
        let offered = shell(folder.path(), &["fish", "--no-config", "-c", &script])?;
        Some(offered.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect())
    });
}

/// What a package for a folder of the system needs so that fish finds it under both names.
#[test]
fn fish_finds_what_completes_herd_by_the_name_of_herd() {
    let deb = shipped("deb");
    assert!(
        deb.contains("ln -s herdctl.fish \"$root/usr/share/fish/vendor_completions.d/herd.fish\""),
        "{deb}"
    );
}

/// zsh completes in its line editor only, so it gets a terminal of its own, and says there what it would add.
#[test]
fn a_tab_in_zsh_offers_what_may_follow() {
    let folder = shell_folder();
    let completions = Path::new(ROOT).join("packaging/completions");
    let zsh = format!(
        "zmodload zsh/zpty; zpty z zsh -f -i\n\
         zpty -w z \"PROMPT=; fpath=('{}' \\$fpath); autoload -U compinit; compinit -u -D; \
         compadd() {{ builtin compadd -O offered \\\"\\$@\\\"; print -rl -- \\$offered >>offered; builtin compadd \\\"\\$@\\\" }}; \
         tab() {{ zle expand-or-complete; : >finished }}; zle -N tab; bindkey '^I' tab; \
         zle-line-init() {{ echo re''ady }}; zle -N zle-line-init\"\n\
         zpty -r z said '*ready*'\n\
         zpty -w -n z \"$1\"$'\\t'\n\
         until [[ -e finished ]]; do sleep 0.02; done\n\
         zpty -w z $'\\x15echo do''ne'\n\
         zpty -r z said '*done*'; zpty -d z\n",
        completions.display()
    );
    fs::write(folder.path().join("tab.zsh"), zsh).expect("written");
    check_all(|line| {
        let offered = folder.path().join("offered");
        fs::write(&offered, "").expect("written");
        let _ = fs::remove_file(folder.path().join("finished"));
        shell(folder.path(), &["zsh", "-f", "tab.zsh", line])?;
        let offered = fs::read_to_string(&offered).expect("text");
        Some(offered.lines().map(str::to_owned).collect())
    });
}
