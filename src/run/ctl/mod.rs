//! `herdctl`: asks and controls a running herd. `main` calls it with its arguments.
//!
//! Lives here: which server is asked (`choice`), one question and its answer (`asking`), many at once (`pipe`), what is
//! printed (`out`), the subcommands, and a terminal at which they are typed (`prompt`).
//! Called by: `main`.
//! May touch: `client`, which has every connection, and the commands of `herd` that it stands for.

mod asking;
mod choice;
mod completions;
mod lines;
mod orders;
mod out;
mod ping;
mod pipe;
mod prompt;
mod status;
mod top;
mod watch;

use std::process::ExitCode;

use serde_json::json;

use self::choice::Choice;
use self::out::{Failed, Out};
use super::inherit::Inherited;
use super::say::fail;
use super::{check, exit, forget, phone, token};
use crate::args::ctl::{CtlArgs, Subcommand};

/// Does what the arguments say.
pub fn run(args: CtlArgs) -> ExitCode {
    let CtlArgs { config, server, host, json, timeout, subcommand } = args;
    let mut out = Out::new(json);
    let choice = Choice::of(config, server, host, timeout);
    let done = choice.and_then(|choice| dispatch(&choice, &mut out, subcommand));
    done.unwrap_or_else(Failed::tell)
}

/// Does what is typed at a terminal, line by line.
pub fn prompt() -> ExitCode {
    let mut out = Out::new(false);
    let choice = Choice::of(None, None, None, None);
    let done = choice.and_then(|choice| prompt::run(&choice.keeping(), &mut out));
    done.and_then(|status| out.flush().map(|()| ExitCode::from(status))).unwrap_or_else(Failed::tell)
}

fn dispatch(choice: &Choice, out: &mut Out, subcommand: Subcommand) -> Result<ExitCode, Failed> {
    let status = match subcommand {
        Subcommand::At(at) if at.client == "-" => lines::at_each(choice, out, &at),
        Subcommand::At(at) => lines::at(choice, out, &at),
        Subcommand::Whatsat(whatsat) => lines::whatsat(choice, out, &whatsat),
        Subcommand::Near(near) => lines::near(choice, out, &near),
        Subcommand::Count(_) => lines::count(choice, out),
        Subcommand::Send(_) => lines::send(choice, out),
        Subcommand::Watch(watch) => watch::run(choice, out, &watch),
        Subcommand::Ping(ping) => ping::run(choice, out, &ping),
        Subcommand::Status(status) => status::run(choice, out, status.name.as_deref()),
        Subcommand::Agree(agree) => status::agree(choice, out, agree.wait),
        Subcommand::Top(top) => top::run(choice, out, &top),
        Subcommand::Reload(it) => orders::reload(choice, out, it.name.as_deref(), it.all),
        Subcommand::Upgrade(it) => orders::upgrade(choice, out, it.name.as_deref(), it.all),
        Subcommand::Completions(completions) => completions::run(choice, out, &completions),
        Subcommand::Version(_) => version(out),
        // They say by themselves that stdout takes nothing.
        other => return by_herd_conf(choice, &other, out.is_json),
    };
    let status = status?;
    out.flush()?;
    Ok(ExitCode::from(status))
}

fn version(out: &mut Out) -> Result<u8, Failed> {
    let version = env!("CARGO_PKG_VERSION");
    if out.is_json {
        out.json(&json!({ "version": version }))?;
    } else {
        out.text(&format!("herd {version}\n"))?;
    }
    Ok(exit::OK)
}

/// What `herd` itself does with its options.
fn by_herd_conf(choice: &Choice, subcommand: &Subcommand, is_json: bool) -> Result<ExitCode, Failed> {
    // Before herd.conf is read: who names a server elsewhere means another herd.
    let name = match subcommand {
        Subcommand::Check(check) => choice.name_in_conf("check", check.name.as_deref())?,
        Subcommand::Phone(phone) => choice.name_in_conf("phone", phone.name.as_deref())?,
        Subcommand::Forget(_) => choice.name_for("forget")?,
        _ => choice.is_for_none("token").map(|()| None)?,
    };
    let config = choice.config()?;
    let index = name.map(|name| choice::find(&config, &name)).transpose()?;
    Ok(match subcommand {
        Subcommand::Check(_) => check::run(&config, index, Inherited::default(), is_json),
        Subcommand::Token(it) => token::run(&config, &it.whose, &it.scopes, it.client.as_deref(), is_json),
        Subcommand::Phone(it) => phone::run(&config, index, &it.phone, it.client.as_deref(), is_json),
        Subcommand::Forget(it) => forget::run(&config, index, &it.client, choice.timeout(), is_json),
        // The others are done without.
        _ => fail(exit::USAGE, "no such subcommand; run herdctl --help"),
    })
}
