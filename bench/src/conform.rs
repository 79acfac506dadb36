//! `conform`: what a server of anyone's own answers, and what it should have, in two levels: what the course asks, which is
//! enough to be measured, and herd's own rules. `compare` asks the same before it measures one.

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use crate::args::ConformArgs;
use crate::conformance;
use crate::course;
use crate::failure::Tally;
use crate::start::Starter;
use crate::variants::Variant;
use crate::workload::Door;

/// What was found out about a server.
pub struct Examined {
    pub course: course::Found,
    /// By herd's own rules; nothing where the course's are not met.
    pub herd: Option<Tally>,
}

/// # Errors
/// There is no server to ask, or one does not start; with what it said.
pub fn run(args: &ConformArgs) -> Result<ExitCode, String> {
    if args.server.is_empty() {
        return Err("conform: say --server NAME='command with {name} {port} {config} {places}'".into());
    }
    let variants = args.server.iter().map(|text| Variant::custom(text)).collect::<Result<Vec<_>, _>>()?;
    let starter = Starter::new(Duration::ZERO, false)?;
    let mut are_enough = true;
    for variant in &variants {
        let examined = examine(&starter, variant)?;
        are_enough &= examined.course.is_enough();
        print!("{}", examined.describe(&variant.name));
    }
    Ok(ExitCode::from(u8::from(!are_enough)))
}

/// Starts a server, and has it answer the course's cases, and then herd's.
///
/// # Errors
/// It does not start; with what it said.
pub fn examine(starter: &Starter, variant: &Variant) -> Result<Examined, String> {
    // With two on one address a server cannot tell which of them an AT line comes from, and so passes it on to both.
    let (neighbour, other) = (bind()?, bind()?);
    let addresses = [&neighbour, &other].map(TcpListener::local_addr);
    let neighbours = addresses.into_iter().collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())?;
    let start = |neighbours| {
        let started = starter.one(variant, neighbours, Door::Lines);
        started.map_err(|why| format!("{}: it does not start: {why}", variant.name))
    };
    let started = start(&neighbours)?;
    let address = started.first().address;
    let course = course::run(address);
    if !course.is_enough() {
        return Ok(Examined { course, herd: None });
    }
    // Only who reads the file knows who its neighbours are.
    let knows_neighbours = variant.is_told("{config}");
    let mut herd = conformance::run(address, &course.manners.server, knows_neighbours.then_some(&neighbour));
    drop(started);
    if knows_neighbours && !herd.is_hopeless() {
        herd.extend(conformance::alone(start(&[])?.first().address));
    }
    Ok(Examined { course, herd: Some(herd) })
}

pub fn bind() -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|why| why.to_string())
}

impl Examined {
    /// All of it, in words.
    pub fn describe(&self, name: &str) -> String {
        let mut text = self.describe_course(name);
        if let Some(herd) = &self.herd {
            text += &format!(
                "{name}: herd's own rules, which nobody else has to keep: {} of {} cases are the same{}\n{herd}",
                herd.passed,
                herd.cases(),
                if herd.is_clean() { "" } else { "; these differ:" }
            );
        }
        text
    }

    /// What the course asks, and what failed.
    pub fn describe_course(&self, name: &str) -> String {
        let tally = &self.course.tally;
        let (passed, cases, told) = (tally.passed, tally.cases(), self.course.manners.told());
        let mut text = format!("{name}: what the course asks: {passed} of {cases} cases passed");
        text += if tally.is_clean() { "\n" } else { "; these failed:\n" };
        text += &tally.to_string();
        if self.course.is_enough() {
            if !self.course.manners.has_places {
                text += "  WHATSAT needs a places provider: {places} in the command is the URL of one, which is asked as \
                         Google's Nearby Search is\n";
            }
            text += &format!("{name}: it can be measured");
            text += &if told.is_empty() { "\n".into() } else { format!("; it {told}\n") };
        }
        text
    }
}
