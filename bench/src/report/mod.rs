//! What a comparison found, as it is kept in `report.json`. The schema is versioned: readers refuse
//! one they do not know.

pub mod growth;
pub mod html;
pub mod machine;
pub mod table;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::stats::Spread;
use growth::Grown;
use machine::Machine;

/// The schema this build writes and reads; it changes when a field's meaning does.
pub const SCHEMA: &str = "herd-bench/1";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub schema: String,
    /// The exact command that made it.
    pub command: String,
    /// When it was begun, in POSIX seconds.
    pub begun_s: u64,
    pub machine: Machine,
    pub warm_up_s: f64,
    pub measured_s: f64,
    pub variants: Vec<VariantInfo>,
    pub workloads: Vec<WorkloadInfo>,
    pub cells: Vec<Cell>,
    /// How one of the variants grows.
    #[serde(default)]
    pub growth: Vec<Grown>,
}

/// How the reason begins why a variant was not measured where it is not installed.
pub const MISSING: &str = "install it with: ";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VariantInfo {
    pub name: String,
    /// Why it was not measured, with what would help.
    pub skipped: Option<String>,
    /// Conformance cases it passed; nothing for one that does not speak the protocol.
    pub conformed: Option<usize>,
    /// Of a server of anyone's own: in how many cases it differs from herd's own rules, which it need not keep.
    #[serde(default)]
    pub differences: usize,
    /// What it answered survives a kill -9.
    #[serde(default)]
    pub keeps: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkloadInfo {
    pub name: String,
    pub about: String,
}

/// herd without what costs it something: no journal, no traffic in the log.
pub const BARE: &str = "herd-bare";

/// herd once more, where it is measured against itself.
pub const AGAIN: &str = "herd-again";

/// The variants of a workload that promise the same.
pub struct Group<'a> {
    pub keeps: bool,
    /// Whom the others are compared to.
    pub base: &'a str,
    /// Whom they are compared to besides, which promises more.
    pub beside: Option<&'a str>,
    pub cells: Vec<&'a Cell>,
}

impl Group<'_> {
    /// What is promised, in a sentence.
    pub fn promise(&self) -> &'static str {
        if self.keeps {
            "Kept: what is answered is in a journal, which is synced once a second, and survives a kill -9."
        } else {
            "Nothing kept: what is answered is in memory, and gone with the process."
        }
    }
}

/// One variant under one workload. Round `n` of all cells of a workload ran one after another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    pub variant: String,
    pub workload: String,
    pub rounds: Vec<Round>,
}

/// One run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    /// Why it counts for nothing: a wrong reply, a server that ended.
    pub void: Option<String>,
    /// Replies a second.
    pub per_second: f64,
    /// The server's computing time, user and system, by reply.
    pub cpu_us: f64,
    /// The server's resident memory at the end, and how much of it came after the start.
    pub resident_bytes: u64,
    pub grown_bytes: u64,
    /// Context switches of the server by reply.
    pub switches: f64,
    pub threads: u64,
    /// The share of the time the busiest generator thread computed.
    pub generator_busy: f64,
    /// Commands that had no reply when the run was given up.
    pub unanswered: u64,
    /// Of an open loop: commands due a second.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Of a whole herd: ms from the end of the load, or from a server's restart, until all agreed.
    #[serde(default)]
    pub agreed_ms: Option<f64>,
    /// Where subscribers are measured: of the reports that they are told of. All else is of positions then.
    #[serde(default)]
    pub of_reports: Option<OfReports>,
    /// Latency in µs at each of `PERCENTILES`.
    pub latency_us: Vec<f64>,
}

/// What is told of reports where subscribers are measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OfReports {
    /// Answered a second.
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// The share of the positions that were the newest of their client when they were read.
    pub newest_share: f64,
    /// How often the streams that were looked at said that something was left out.
    pub lags: u64,
    /// Clients, over the streams that were looked at, whose newest position had not come 5 s after the last report.
    pub lacking: u64,
}

/// The percentiles of `Round::latency_us`; the last is the maximum.
pub const PERCENTILES: [f64; 10] = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];

/// A figure of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    PerSecond,
    CpuUs,
    P50Us,
    P99Us,
    GrownBytes,
}

impl Figure {
    pub fn name(self) -> &'static str {
        match self {
            Figure::PerSecond => "requests/s",
            Figure::CpuUs => "CPU µs/request",
            Figure::P50Us => "p50 µs",
            Figure::P99Us => "p99 µs",
            Figure::GrownBytes => "memory grown",
        }
    }

    /// Whether a greater figure is a better one.
    pub fn more_is_better(self) -> bool {
        match self {
            Figure::PerSecond => true,
            Figure::CpuUs | Figure::P50Us | Figure::P99Us | Figure::GrownBytes => false,
        }
    }

    pub fn of(self, round: &Round) -> Option<f64> {
        if round.void.is_some() {
            return None;
        }
        let latency = |percentile: f64| {
            let index = PERCENTILES.iter().position(|&at| at == percentile)?;
            round.latency_us.get(index).copied()
        };
        match self {
            Figure::PerSecond => Some(round.per_second),
            Figure::CpuUs => Some(round.cpu_us),
            Figure::P50Us => latency(50.0),
            Figure::P99Us => latency(99.0),
            Figure::GrownBytes => Some(round.grown_bytes as f64),
        }
    }
}

impl Cell {
    pub fn values(&self, figure: Figure) -> Vec<Option<f64>> {
        self.rounds.iter().map(|round| figure.of(round)).collect()
    }

    pub fn spread(&self, figure: Figure) -> Option<Spread> {
        Spread::of(self.values(figure).into_iter().flatten())
    }

    /// Why rounds of it are void, the first of the reasons.
    pub fn void(&self) -> Option<&str> {
        self.rounds.iter().find_map(|round| round.void.as_deref())
    }

    /// In how many rounds it is void.
    pub fn voids(&self) -> usize {
        self.rounds.iter().filter(|round| round.void.is_some()).count()
    }

    /// The rate of an open loop.
    pub fn rate(&self) -> Option<f64> {
        self.rounds.iter().find_map(|round| round.rate)
    }

    /// Commands without a reply, in all rounds.
    pub fn unanswered(&self) -> u64 {
        self.rounds.iter().map(|round| round.unanswered).sum()
    }

    /// Whether an open loop got markedly fewer replies than it had commands due.
    pub fn lags(&self) -> bool {
        let kept = self.spread(Figure::PerSecond).map(|found| found.median);
        self.rate().zip(kept).is_some_and(|(rate, kept)| kept < rate * 0.98)
    }

    /// In how many rounds the generator may have been the limit.
    pub fn limited(&self) -> usize {
        let is_busy = |round: &&Round| round.generator_busy > crate::generator::BUSY_LIMIT;
        self.rounds.iter().filter(is_busy).count()
    }
}

impl Report {
    /// What the others are compared to: the first that was measured.
    pub fn first(&self) -> Option<&VariantInfo> {
        self.variants.iter().find(|variant| variant.skipped.is_none())
    }

    /// The cells of a workload by what is promised; those that keep what they answer are the first.
    pub fn groups(&self, workload: &str) -> Vec<Group<'_>> {
        let Some(first) = self.first() else { return Vec::new() };
        let keeps = |cell: &Cell| self.variants.iter().any(|info| info.name == cell.variant && info.keeps);
        let group = |is_kept: bool| {
            let of_workload = self.cells.iter().filter(|cell| cell.workload == workload);
            let cells: Vec<_> = of_workload.filter(|cell| keeps(cell) == is_kept).collect();
            let bare = cells.iter().find(|cell| cell.variant == BARE).filter(|_| !is_kept);
            let base = bare.map_or(first.name.as_str(), |bare| bare.variant.as_str());
            let beside = bare.and(self.cell(&first.name, workload)).map(|cell| cell.variant.as_str());
            Group { keeps: is_kept, base, beside: beside.filter(|beside| *beside != base), cells }
        };
        [true, false].map(group).into_iter().filter(|group| !group.cells.is_empty()).collect()
    }

    /// A cell's figure by that of another variant in the same rounds.
    pub fn ratio(&self, cell: &Cell, base: &str, figure: Figure) -> Option<Spread> {
        let base = self.cell(base, &cell.workload).filter(|base| base.variant != cell.variant)?;
        Spread::of_ratios(&cell.values(figure), &base.values(figure))
    }

    /// What comes of a comparison of the first variant with itself, where it was measured twice: a ratio as near to 1
    /// says nothing.
    pub fn noise(&self, workload: &str, figure: Figure) -> Option<Spread> {
        self.ratio(self.cell(AGAIN, workload)?, &self.first()?.name, figure)
    }

    pub fn cell(&self, variant: &str, workload: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.variant == variant && cell.workload == workload)
    }

    /// # Errors
    /// The file cannot be written; with its path.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|why| why.to_string())?;
        fs::write(path, text + "\n").map_err(|why| format!("{}: {why}", path.display()))
    }

    /// # Errors
    /// The file cannot be read, or is no report of this schema; with its path.
    pub fn read(path: &Path) -> Result<Report, String> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|why| format!("{name}: {why}"))?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|why| format!("{name}: {why}"))?;
        match value.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => serde_json::from_value(value).map_err(|why| format!("{name}: {why}")),
            Some(other) => Err(format!("{name}: schema {other:?}, and this build reads {SCHEMA:?}")),
            None => Err(format!("{name}: no report: it has no schema")),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A report of rounds with these requests a second.
    pub fn report(cells: &[(&str, &str, &[f64])]) -> Report {
        let cell = |&(variant, workload, rates): &(&str, &str, &[f64])| Cell {
            variant: variant.into(),
            workload: workload.into(),
            rounds: rates
                .iter()
                .map(|&per_second| Round {
                    per_second,
                    cpu_us: 1e6 / per_second,
                    latency_us: PERCENTILES.map(|percentile| percentile + 1.0).to_vec(),
                    ..Round::default()
                })
                .collect(),
        };
        let named = |take: fn(&(&str, &str, &[f64])) -> String| {
            let mut names: Vec<String> = Vec::new();
            cells.iter().map(take).for_each(|name| {
                if !names.contains(&name) {
                    names.push(name)
                }
            });
            names
        };
        Report {
            schema: SCHEMA.into(),
            command: "compare".into(),
            begun_s: 1_700_000_000,
            machine: Machine::default(),
            warm_up_s: 0.5,
            measured_s: 1.0,
            variants: named(|cell| cell.0.to_owned())
                .into_iter()
                .map(|name| VariantInfo {
                    keeps: name.contains("kept"),
                    name,
                    skipped: None,
                    conformed: Some(40),
                    differences: 0,
                })
                .collect(),
            workloads: named(|cell| cell.1.to_owned())
                .into_iter()
                .map(|name| WorkloadInfo { about: format!("about {name}"), name })
                .collect(),
            cells: cells.iter().map(cell).collect(),
            growth: Vec::new(),
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_no_other_schema_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        let written = report(&[("herd", "50", &[1.0, 2.0])]);
        written.write(&path).expect("written");
        let read = Report::read(&path).expect("read");
        assert_eq!(format!("{read:?}"), format!("{written:?}"));
        Report { schema: "herd-bench/0".into(), ..written }.write(&path).expect("written");
        assert!(Report::read(&path).is_err_and(|why| why.contains("herd-bench/0") && why.contains(SCHEMA)));
        std::fs::write(&path, "[]").expect("written");
        assert!(Report::read(&path).is_err_and(|why| why.contains("report.json") && why.contains("schema")));
    }

    #[test]
    fn a_void_round_has_no_figures() {
        let mut report = report(&[("herd", "50", &[1.0, 4.0, 2.0])]);
        report.cells[0].rounds[1].void = Some("wrong reply".into());
        let cell = &report.cells[0];
        assert_eq!(cell.values(Figure::PerSecond), [Some(1.0), None, Some(2.0)]);
        assert_eq!(cell.spread(Figure::PerSecond).expect("rounds").median, 1.5);
        assert_eq!(cell.values(Figure::P99Us)[0], Some(100.0));
        assert_eq!(cell.void(), Some("wrong reply"));
    }
}
