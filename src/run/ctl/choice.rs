//! Which server `herdctl` asks: the one that is named, by argument or variable, or the first of herd.conf that takes the
//! connection. Every subcommand that asks calls it.

use std::cell::RefCell;
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::out::Failed;
use crate::client::{Lines, Sayer};
use crate::config::Config;
use crate::limits::CTL_PATIENCE;
use crate::net::HostPort;
use crate::run::{conf, exit};

/// What was said of that.
pub struct Choice {
    config: Option<PathBuf>,
    server: Option<String>,
    host: Option<HostPort>,
    timeout: Option<Duration>,
    /// Whether the connection of a question is for the next one, too, and that one.
    keeps: bool,
    kept: RefCell<Option<Chosen>>,
}

/// A connection to the server that was chosen.
pub struct Chosen {
    /// Its name, or where it is if that is all that is known.
    pub name: String,
    pub lines: Lines,
    pub sayer: Sayer,
}

/// Whom the arguments mean, or else the variables.
enum Whom {
    Host(HostPort),
    Name(String),
    /// The first that takes the connection.
    Any,
}

impl Choice {
    /// What is not said by argument, a variable may say. An argument that names a server counts before any variable.
    ///
    /// # Errors
    /// Two servers are named.
    pub fn of(
        config: Option<PathBuf>,
        server: Option<String>,
        host: Option<HostPort>,
        timeout: Option<Duration>,
    ) -> Result<Choice, Failed> {
        if server.is_some() && host.is_some() {
            return Err(usage("either -s NAME or --host HOST:PORT".into()));
        }
        let config =
            config.or_else(|| env::var_os("HERD_CONFIG").filter(|it| !it.is_empty()).map(PathBuf::from));
        Ok(Choice { config, server, host, timeout, keeps: false, kept: RefCell::default() })
    }

    /// The same, of which several questions have one connection.
    pub fn keeping(self) -> Choice {
        Choice { keeps: true, ..self }
    }

    /// The connection that was kept, if it is still open.
    pub fn kept(&self) -> Option<Chosen> {
        self.kept.take().filter(|chosen| chosen.lines.is_open())
    }

    /// A connection on which everything was answered.
    pub fn keep(&self, chosen: Chosen) {
        if self.keeps {
            self.kept.replace(Some(chosen));
        }
    }

    /// The variables are read only where a server is asked: the other subcommands do not fail of them.
    fn whom(&self) -> Result<Whom, Failed> {
        match (&self.host, &self.server) {
            (Some(host), _) => return Ok(Whom::Host(host.clone())),
            (None, Some(name)) => return Ok(Whom::Name(name.clone())),
            (None, None) => {}
        }
        match (variable("HERD_HOST")?, variable("HERD_SERVER")?) {
            (Some(_), Some(_)) => {
                Err(usage("HERD_HOST and HERD_SERVER are both set; unset one of them".into()))
            }
            (Some(text), None) => HostPort::parse(&text).map(Whom::Host).ok_or_else(|| {
                usage(format!("HERD_HOST is {text:?}; HOST:PORT is meant, like 127.0.0.1:16675"))
            }),
            (None, Some(name)) => Ok(Whom::Name(name)),
            (None, None) => Ok(Whom::Any),
        }
    }

    /// The name of the server of herd.conf that is meant, if one is, by a subcommand that asks servers of herd.conf.
    ///
    /// # Errors
    /// One is meant that herd.conf need not have.
    pub fn name_for(&self, subcommand: &str) -> Result<Option<String>, Failed> {
        match self.whom()? {
            Whom::Host(_) => Err(usage(format!(
                "{subcommand} asks servers of herd.conf, so it takes neither --host nor HERD_HOST"
            ))),
            Whom::Name(name) => Ok(Some(name)),
            Whom::Any => Ok(None),
        }
    }

    /// For a subcommand that asks all servers of herd.conf, whatever HERD_SERVER says.
    ///
    /// # Errors
    /// One server is named.
    pub fn is_for_all(&self, subcommand: &str) -> Result<(), Failed> {
        if self.server.is_some() {
            return Err(usage(format!("{subcommand} asks all servers, so it takes no -s")));
        }
        if self.host.is_some() || variable("HERD_HOST")?.is_some() {
            self.name_for(subcommand)?;
        }
        Ok(())
    }

    /// For a subcommand that asks none.
    ///
    /// # Errors
    /// An argument names one.
    pub fn is_for_none(&self, subcommand: &str) -> Result<(), Failed> {
        match (&self.host, &self.server) {
            (Some(_), _) => Err(usage(format!("{subcommand} asks no server, so it takes no --host"))),
            (None, Some(_)) => Err(usage(format!("{subcommand} asks no server, so it takes no -s"))),
            (None, None) => Ok(()),
        }
    }

    /// The server of a subcommand that asks one or all of herd.conf, and takes its name as a word, too.
    ///
    /// # Errors
    /// Two are named, or one that herd.conf need not have.
    pub fn one_for(&self, subcommand: &str, name: Option<&str>) -> Result<Option<String>, Failed> {
        let meant = self.name_for(subcommand)?;
        Ok(self.agreed(name)?.or(meant))
    }

    /// The same of a subcommand that goes by herd.conf and asks none, whatever the variables say.
    ///
    /// # Errors
    /// The same.
    pub fn name_in_conf(&self, subcommand: &str, name: Option<&str>) -> Result<Option<String>, Failed> {
        match &self.host {
            Some(_) => Err(usage(format!("{subcommand} goes by herd.conf, so it takes no --host"))),
            None => self.agreed(name),
        }
    }

    /// The name of an argument, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The name that is said as a word or by -s.
    fn agreed(&self, word: Option<&str>) -> Result<Option<String>, Failed> {
        match (word, &self.server) {
            (Some(word), Some(option)) if word != option => {
                Err(usage(format!("either {word} or -s {option}")))
            }
            (Some(word), _) => Ok(Some(word.to_owned())),
            (None, option) => Ok(option.clone()),
        }
    }

    /// How long a server may take for each line.
    pub fn patience(&self) -> Duration {
        self.timeout.unwrap_or(CTL_PATIENCE)
    }

    /// How long one may take, if that was said.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// # Errors
    /// herd.conf cannot be used.
    pub fn config(&self) -> Result<Config, Failed> {
        conf::load(self.config.clone(), None).map_err(|why| match why {
            conf::NoConf::File(why) => Failed::Status(exit::CONFIG, why.to_string()),
            conf::NoConf::HandedOn(why) => Failed::Status(exit::OS, why.to_string()),
        })
    }

    /// Those that may be asked, the first of them first, each with its name.
    fn places(&self, whom: Whom) -> Result<Vec<(String, HostPort)>, Failed> {
        if let Whom::Host(host) = whom {
            return Ok(vec![(host.to_string(), host)]);
        }
        let config = self.config()?;
        if let Whom::Name(name) = whom {
            let server = &config.servers[find(&config, &name)?];
            return Ok(vec![(name, server.address.clone())]);
        }
        if config.servers.iter().all(|server| server.plain) {
            let why = format!("{}: all servers are plain: name one by -s", config.path.display());
            return Err(usage(why));
        }
        let own = config.servers.iter().filter(|server| !server.plain);
        Ok(own.map(|server| (server.name.clone(), server.address.clone())).collect())
    }

    /// Connects to the first that takes the connection.
    ///
    /// # Errors
    /// None does; the message says why of each.
    pub fn connect(&self) -> Result<Chosen, Failed> {
        self.connect_from(0).map(|(chosen, _)| chosen)
    }

    /// The same without the first so many; also how many are to be left out to get to the next one.
    ///
    /// # Errors
    /// The same.
    pub fn connect_from(&self, first: usize) -> Result<(Chosen, usize), Failed> {
        let mut reasons = Vec::new();
        let whom = self.whom()?;
        let is_host = matches!(whom, Whom::Host(_));
        for (number, (name, at)) in self.places(whom)?.into_iter().enumerate().skip(first) {
            match Lines::dial(&at, self.patience()) {
                Ok((lines, sayer)) => return Ok((Chosen { name, lines, sayer }, number + 1)),
                Err(why) if is_host => reasons.push(why.to_string()),
                Err(why) => reasons.push(format!("{name}: {why}")),
            }
        }
        let reasons = reasons.join("; ");
        let hint = if is_host { "" } else { "; start it, or name one by --host HOST:PORT" };
        Err(Failed::Status(exit::NO_ANSWER, format!("no server reached: {reasons}{hint}")))
    }
}

impl Chosen {
    /// Connects to the same server at the same address once more.
    ///
    /// # Errors
    /// It does not take the connection.
    pub fn again(name: String, address: SocketAddr, patience: Duration) -> Result<Chosen, Failed> {
        let at = HostPort { host: address.ip().to_string(), port: address.port() };
        match Lines::dial(&at, patience) {
            Ok((lines, sayer)) => Ok(Chosen { name, lines, sayer }),
            Err(why) => Err(Failed::Status(exit::NO_ANSWER, format!("{name}: {why}"))),
        }
    }
}

/// The index of a server.
///
/// # Errors
/// herd.conf does not have it.
pub fn find(config: &Config, name: &str) -> Result<usize, Failed> {
    config.find(name).ok_or_else(|| {
        let (path, names) = (config.path.display(), config.names());
        Failed::Status(exit::USAGE, format!("no server {name:?} in {path}; there are {names}"))
    })
}

/// What a variable of the environment says, if it is set to something.
fn variable(name: &str) -> Result<Option<String>, Failed> {
    let value = env::var_os(name).filter(|value| !value.is_empty()).map(std::ffi::OsString::into_string);
    value.transpose().map_err(|_| Failed::Status(exit::USAGE, format!("{name} is not UTF-8")))
}

fn usage(why: String) -> Failed {
    Failed::Status(exit::USAGE, why)
}
