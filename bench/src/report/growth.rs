//! How a server grows, as it is kept in `report.json`, and its table in the terminal.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::table::{bytes, short};
use super::{Figure, Round};
use crate::stats::Spread;

/// A workload of several sizes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grown {
    pub name: String,
    pub about: String,
    pub variant: String,
    pub points: Vec<Point>,
}

/// One size of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub at: u64,
    /// Why it was not measured.
    pub left_out: Option<String>,
    pub rounds: Vec<Round>,
}

impl Point {
    /// A figure over the rounds that count.
    pub fn spread(&self, of: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter(|round| round.void.is_none()).filter_map(of))
    }

    pub fn cpu_us(&self) -> Option<Spread> {
        self.spread(|round| Figure::CpuUs.of(round))
    }

    pub fn resident_bytes(&self) -> Option<Spread> {
        self.spread(|round| Some(round.resident_bytes as f64))
    }

    /// Why there is something wrong with it, or nothing of it.
    pub fn warning(&self) -> Option<String> {
        if let Some(why) = &self.left_out {
            return Some(format!("left out: {why}"));
        }
        let why = self.rounds.iter().find_map(|round| round.void.as_deref())?;
        let void = self.rounds.iter().filter(|round| round.void.is_some()).count();
        Some(format!("void in {void} of {}: {why}", self.rounds.len()))
    }
}

/// A block a workload, a line a size.
pub fn table(growths: &[Grown]) -> String {
    let mut text = String::new();
    for grown in growths {
        let _ = writeln!(text, "\n{}: {}, {}", grown.name, grown.about, grown.variant);
        let _ = writeln!(
            text,
            "  {:>10} {:>10} {:>9} {:>17} {:>10}",
            grown.name, "updates/s", "CPU us", "quartiles", "memory"
        );
        for point in &grown.points {
            let rate = point.spread(|round| Some(round.per_second));
            let cpu = point.cpu_us();
            let median = |found: Option<Spread>| found.map_or("-".into(), |found| short(found.median));
            let quartiles = cpu.map_or(String::new(), |found| {
                format!("[{}-{}]", short(found.lower_quartile), short(found.upper_quartile))
            });
            let _ = writeln!(
                text,
                "  {:>10} {:>10} {:>9} {quartiles:>17} {:>10}  {}",
                short_count(point.at),
                median(rate),
                median(cpu),
                point.resident_bytes().map_or("-".into(), |found| bytes(found.median)),
                point.warning().unwrap_or_default(),
            );
        }
    }
    text
}

/// A size with its digits in groups.
pub fn short_count(count: u64) -> String {
    if count < 1_000 { count.to_string() } else { short(count as f64) }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Three sizes, the last of which is left out.
    pub fn grown() -> Grown {
        let round = |cpu_us| Round {
            cpu_us,
            per_second: 1e6 / cpu_us,
            resident_bytes: (cpu_us * 1e6) as u64,
            ..Round::default()
        };
        let point = |at, cpu: &[f64]| Point {
            at,
            left_out: None,
            rounds: cpu.iter().map(|&cpu_us| round(cpu_us)).collect(),
        };
        let left_out = Point { left_out: Some("it takes <9> GiB".into()), ..point(5_000_000, &[]) };
        Grown {
            name: "clients".into(),
            about: "about clients".into(),
            variant: "herd".into(),
            points: vec![point(1_000, &[1.0, 3.0, 2.0]), point(10_000, &[4.0, 4.0]), left_out],
        }
    }

    #[test]
    fn the_table_has_medians_and_what_is_left_out() {
        let mut found = grown();
        found.points[1].rounds[0].void = Some("wrong reply".into());
        let text = table(&[found]);
        for part in [
            "clients: about clients, herd",
            "     1,000    500,000      2.00       [1.50-2.50]     2.0 MB",
            "void in 1 of 2: wrong reply",
            "5,000,000          -         -",
            "left out: it takes <9> GiB",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!([0, 16, 999, 1_000].map(short_count), ["0", "16", "999", "1,000"]);
    }
}
