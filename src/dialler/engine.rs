//! A connection to a real engine, by the crate `redis`. Nothing waits longer than the timeout; whoever uses it drops it
//! at the first fault, as nobody knows then which answers are still to come.

use std::collections::VecDeque;
use std::time::Duration;

use redis::{
    Client, Cmd, Connection, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, Value, cmd,
};

use super::engine_settings::EngineSettings;
use crate::backbone::engine::{Engine, Entry, EntryId, Fault, Height, Members, Merged, Offer};
use crate::backbone::merge::{Keys, REPLACING, SCRIPT};
use crate::limits::{ENTRIES_AT_ONCE, MEMBER_AWAY_S, SCAN_COUNT};
use crate::net::HostPort;

/// A connection.
pub struct Redis {
    connection: Connection,
    /// As the engine calls the two scripts.
    script: String,
    replacing: String,
    keys: Vec<Keys>,
    herd: String,
    retain_ms: u64,
    timeout: Duration,
}

impl Redis {
    /// Asks the nodes in turn for one that takes what is written.
    ///
    /// # Errors
    /// None does; why the last one does not.
    pub fn dial(settings: &EngineSettings) -> Result<Redis, Fault> {
        let mut last = Fault::Gone("no address".into());
        for node in &settings.nodes {
            match Redis::dial_node(settings, node) {
                Ok(connection) => return Ok(connection),
                Err(why) if settings.nodes.len() == 1 => last = why,
                Err(why) => last = of_node(node, why),
            }
        }
        Err(last)
    }

    fn dial_node(settings: &EngineSettings, node: &HostPort) -> Result<Redis, Fault> {
        let EngineSettings { herd, parts, retain, timeout, user, password, .. } = settings;
        let info = (node.host.as_str(), node.port).into_connection_info().map_err(fault)?;
        let mut own = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(user) = user {
            own = own.set_username(user);
        }
        if let Some(password) = password {
            own = own.set_password(password);
        }
        let info: ConnectionInfo = info.set_redis_settings(own);
        let client = Client::open(info).map_err(fault)?;
        let connection = client.get_connection_with_timeout(*timeout).map_err(fault)?;
        // Those of the connect are taken off again.
        connection.set_write_timeout(Some(*timeout)).map_err(fault)?;
        connection.set_read_timeout(Some(*timeout)).map_err(fault)?;
        let mut redis = Redis {
            connection,
            script: String::new(),
            replacing: String::new(),
            keys: (0..*parts).map(|part| Keys::new(herd, part)).collect(),
            herd: herd.clone(),
            retain_ms: u64::try_from(retain.as_millis()).unwrap_or(u64::MAX),
            timeout: *timeout,
        };
        redis.be_main()?;
        redis.agree_on_parts(*parts)?;
        redis.script = redis.ask(cmd("SCRIPT").arg("LOAD").arg(SCRIPT))?;
        redis.replacing = redis.ask(cmd("SCRIPT").arg("LOAD").arg(REPLACING))?;
        Ok(redis)
    }

    /// A replica takes nothing, and knows of what it is told only what it has heard.
    fn be_main(&mut self) -> Result<(), Fault> {
        let info = self.info()?;
        match field(&info, "role") {
            Some("master") => Ok(()),
            Some(role) => Err(Fault::Refused(format!("it is no primary, but a {role}"))),
            None => Err(Fault::Refused("it does not say what its role is".into())),
        }
    }

    /// The first server says how many parts there are.
    fn agree_on_parts(&mut self, parts: u16) -> Result<(), Fault> {
        let key = format!("{}:parts", self.herd);
        let said = |redis: &mut Redis| redis.ask::<Option<String>>(cmd("GET").arg(&key));
        // Who only reads is to need no room in it.
        let mut theirs = said(self)?;
        if theirs.is_none() {
            let _: Value = self.ask(cmd("SET").arg(&key).arg(parts).arg("NX"))?;
            theirs = said(self)?;
        }
        let theirs = theirs.unwrap_or_default();
        if theirs == parts.to_string() {
            return Ok(());
        }
        Err(Fault::Refused(format!(
            "{key} there is {theirs}, and backbone.parts here is {parts}: all servers have to say the same; another \
             backbone.herd begins anew"
        )))
    }

    fn info(&mut self) -> Result<String, Fault> {
        self.ask(&cmd("INFO"))
    }

    fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Fault> {
        self.say(command)?;
        self.hear()
    }

    fn say(&mut self, command: &Cmd) -> Result<(), Fault> {
        self.connection.send_packed_command(&command.get_packed_command()).map_err(fault)
    }

    fn hear<T: FromRedisValue>(&mut self) -> Result<T, Fault> {
        let value = self.connection.recv_response().and_then(Value::extract_error).map_err(fault)?;
        T::from_redis_value(value)
            .map_err(|why| Fault::Refused(format!("what it answers is not understood: {why}")))
    }

    fn keys(&self, part: u16) -> &Keys {
        &self.keys[usize::from(part)]
    }
}

impl Engine for Redis {
    fn identity(&mut self) -> Result<String, Fault> {
        let info = self.info()?;
        let part = |name| field(&info, name).unwrap_or_default();
        Ok(format!("{} {}", part("run_id"), part("master_replid")))
    }

    fn send(&mut self, part: u16, records: &[Offer<'_>]) -> Result<(), Fault> {
        let mut command = cmd("EVALSHA");
        let keys = self.keys(part).all();
        command.arg(&self.script).arg(keys.len()).arg(&keys).arg(self.retain_ms);
        records.iter().for_each(|record| add(&mut command, record));
        self.say(&command)
    }

    fn receive(&mut self) -> Result<Merged, Fault> {
        let lines: Vec<Vec<u8>> = self.hear()?;
        let mut lines = lines.into_iter();
        let height = lines.next().as_deref().and_then(height);
        Ok(Merged { height, newer: lines.collect() })
    }

    fn replace(&mut self, part: u16, held: &Offer<'_>, instead: &[u8]) -> Result<(), Fault> {
        let mut command = cmd("EVALSHA");
        let keys = self.keys(part).all();
        command.arg(&self.replacing).arg(keys.len()).arg(&keys).arg(self.retain_ms);
        add(&mut command, held);
        command.arg(instead);
        let _: u64 = self.ask(&command)?;
        Ok(())
    }

    fn heights(&mut self) -> Result<Vec<Option<Height>>, Fault> {
        let keys: Vec<_> = self.keys.iter().map(|keys| keys.height.clone()).collect();
        keys.iter().try_for_each(|key| self.say(cmd("GET").arg(key)))?;
        let mut heights = Vec::new();
        for _ in &keys {
            let found: Option<Vec<u8>> = self.hear()?;
            heights.push(found);
        }
        let read = |(key, found): (&String, Option<Vec<u8>>)| match found {
            Some(text) => match height(&text) {
                Some(height) => Ok(Some(height)),
                None => Err(Fault::Refused(format!(
                    "{key} is no height: somebody else has written it; delete it"
                ))),
            },
            None => Ok(None),
        };
        keys.iter().zip(heights).map(read).collect()
    }

    fn last(&mut self, part: u16) -> Result<Option<Entry>, Fault> {
        let command =
            cmd("XREVRANGE").arg(&self.keys(part).log).arg("+").arg("-").arg("COUNT").arg(1).clone();
        let found: Vec<RawEntry> = self.ask(&command)?;
        Ok(found.into_iter().next().map(entry))
    }

    fn scan(&mut self, part: u16, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), Fault> {
        let command =
            cmd("HSCAN").arg(&self.keys(part).hash).arg(cursor).arg("COUNT").arg(SCAN_COUNT).clone();
        let (cursor, pairs): (u64, Vec<Pair>) = self.ask(&command)?;
        Ok((cursor, pairs.into_iter().map(|(_, line)| line).collect()))
    }

    fn read(&mut self, after: &[(u16, EntryId)], wait: Duration) -> Result<Vec<(u16, Entry)>, Fault> {
        let mut command = cmd("XREAD");
        // It waits no longer than the answer may take.
        let wait_ms = wait.min(self.timeout / 2).as_millis().max(1);
        command
            .arg("COUNT")
            .arg((ENTRIES_AT_ONCE / after.len().max(1)).max(1))
            .arg("BLOCK")
            .arg(wait_ms as u64)
            .arg("STREAMS");
        after.iter().for_each(|(part, _)| _ = command.arg(&self.keys(*part).log));
        after.iter().for_each(|(_, id)| _ = command.arg(&id.0));
        let found: Option<Vec<(Vec<u8>, Vec<RawEntry>)>> = self.ask(&command)?;
        let part_of = |log: &[u8]| {
            after.iter().map(|(part, _)| *part).find(|part| self.keys(*part).log.as_bytes() == log)
        };
        let logs = found.unwrap_or_default().into_iter();
        let entries = logs.filter_map(|(log, entries)| Some((part_of(&log)?, entries)));
        Ok(entries.flat_map(|(part, entries)| entries.into_iter().map(move |it| (part, entry(it)))).collect())
    }

    fn join(&mut self, name: &str, life: u64) -> Result<Members, Fault> {
        let key = format!("{}:members", self.herd);
        let (clock_s, _): (u64, u64) = self.ask(&cmd("TIME"))?;
        let _: Value = self.ask(cmd("HSET").arg(&key).arg(name).arg(format!("{life:016x} {clock_s}")))?;
        let members: Vec<Pair> = self.ask(cmd("HGETALL").arg(&key))?;
        let was_there = |said: &[u8]| -> Option<u64> {
            let (_, at_s) = std::str::from_utf8(said).ok()?.split_once(' ')?;
            at_s.parse().ok()
        };
        let is_there =
            |said: &[u8]| was_there(said).is_some_and(|at_s| at_s.saturating_add(MEMBER_AWAY_S) > clock_s);
        let names = members.into_iter().filter(|(_, said)| is_there(said)).map(|(name, _)| name).collect();
        Ok(Members { names, clock_s })
    }
}

/// A record in a call of a script: where it is in the hash, and its line. No ID has a space.
fn add(command: &mut Cmd, record: &Offer<'_>) {
    if record.is_note {
        command.arg([b" ", record.client].concat());
    } else {
        command.arg(record.client);
    }
    command.arg(record.line);
}

/// A field of a hash, and what is there.
type Pair = (Vec<u8>, Vec<u8>);

/// An entry of a log as it is told: its ID, and names and values by turns.
type RawEntry = (String, Vec<Vec<u8>>);

fn entry((id, fields): RawEntry) -> Entry {
    let mut fields: VecDeque<_> = fields.into();
    let (mut found, mut lines) = (None, Vec::new());
    while let (Some(name), Some(value)) = (fields.pop_front(), fields.pop_front()) {
        match &name[..] {
            b"n" => found = height(&value),
            b"at" => lines = value,
            _ => {}
        }
    }
    Entry { id: EntryId(id), height: found, lines }
}

fn height(text: &[u8]) -> Option<Height> {
    std::str::from_utf8(text).ok().and_then(Height::parse)
}

/// What INFO says of something.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

fn fault(why: redis::RedisError) -> Fault {
    if why.is_timeout() {
        Fault::Gone("it does not answer".into())
    } else if why.kind() == ErrorKind::AuthenticationFailed {
        Fault::Refused("it does not take backbone.user with the password of backbone.password_file".into())
    } else if why.is_io_error() {
        Fault::Gone(why.to_string())
    } else {
        Fault::Refused(why.to_string())
    }
}

fn of_node(node: &HostPort, why: Fault) -> Fault {
    match why {
        Fault::Gone(why) => Fault::Gone(format!("{node}: {why}")),
        Fault::Refused(why) => Fault::Refused(format!("{node}: {why}")),
        Fault::Lost => Fault::Lost,
    }
}
