//! `herdctl reload` and `herdctl upgrade`: what servers are ordered to do, one after the other. `ctl` calls it.

use std::io;

use serde_json::json;

use super::choice::{self, Choice};
use super::out::{Failed, Out};
use super::status::keys_of;
use crate::client::{self, Greeted, Ordered};
use crate::limits::ORDER_PATIENCE;
use crate::run::{exit, next};

/// The statuses there are, the worst first: what a script is to hear of when several servers differ.
const WORST: [u8; 6] = [exit::CONFIG, exit::NOT_ALLOWED, exit::KEPT, exit::OS, exit::NO_ANSWER, exit::OK];

/// An order, and what is said when it is done.
struct Order {
    name: &'static str,
    give: fn(&Greeted<'_>) -> io::Result<Ordered>,
}

/// Each server reads its herd.conf again.
pub fn reload(choice: &Choice, out: &mut Out, name: Option<&str>, all: bool) -> Result<u8, Failed> {
    let order = Order { name: "reload", give: client::reload };
    order.give_to(choice, out, name, all, false)
}

/// Each server becomes the next program.
pub fn upgrade(choice: &Choice, out: &mut Out, name: Option<&str>, all: bool) -> Result<u8, Failed> {
    let order = Order { name: "upgrade", give: client::upgrade };
    order.give_to(choice, out, name, all, true)
}

impl Order {
    fn give_to(
        &self,
        choice: &Choice,
        out: &mut Out,
        name: Option<&str>,
        all: bool,
        needs_one: bool,
    ) -> Result<u8, Failed> {
        let refused = |why: String| Err(Failed::Status(exit::USAGE, why));
        let said = name.or(choice.name());
        let one = match (said, all) {
            (Some(name), true) => return refused(format!("{}: either {name} or --all", self.name)),
            // Whatever HERD_SERVER says.
            (None, true) => choice.is_for_all(self.name).map(|()| None)?,
            (_, false) => choice.one_for(self.name, name)?,
        };
        if needs_one && one.is_none() && !all {
            return refused(format!("{} needs the name of a server, or --all", self.name));
        }
        let config = choice.config()?;
        let meant = match one {
            Some(name) => {
                let index = choice::find(&config, &name)?;
                if config.servers[index].plain {
                    return refused(format!(
                        "{name} is plain: another implementation, which takes no orders"
                    ));
                }
                index..index + 1
            }
            None => 0..config.servers.len(),
        };
        let keys = keys_of(&config, &config.servers[meant.clone()])?;
        let (conf, patience) = (config.digest(), choice.timeout().unwrap_or(ORDER_PATIENCE));
        let mut worst = exit::OK;
        let asked = config.servers[meant].iter().zip(&keys).filter(|(server, _)| !server.plain);
        for (server, keys) in asked {
            let (status, words) = match (self.give)(&Greeted { server, keys, conf, patience }) {
                Ok(Ordered::Done(what)) => (exit::OK, what),
                Ok(Ordered::Kept { status, why }) => {
                    let hint = if status == exit::KEPT && why.starts_with(next::NEEDS_RESTART) {
                        format!("; systemctl restart herd@{}", server.name)
                    } else {
                        String::new()
                    };
                    (status, format!("kept: {why}{hint}"))
                }
                Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                    let way = format!(
                        "systemctl kill -s HUP herd@{} there has it read its secret again",
                        server.name
                    );
                    (exit::NOT_ALLOWED, format!("refused: {why}; {way}"))
                }
                Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => {
                    let why =
                        format!("not reached: {why}; if its address is new, it takes that up at a restart");
                    (exit::NO_ANSWER, why)
                }
                Err(why) => (exit::NO_ANSWER, format!("not reached: {why}")),
            };
            let rank = |status: u8| WORST.iter().position(|known| *known == status).unwrap_or(0);
            if rank(status) < rank(worst) {
                worst = status;
            }
            if out.is_json {
                out.json(&json!({ "server": server.name, "done": status == exit::OK, "status": status, "words": words }))?;
            } else {
                out.text(&format!("{}: {words}\n", server.name))?;
            }
            // What comes next may take long.
            out.flush()?;
        }
        Ok(worst)
    }
}
