//! What the charts show: which figure of which cells, and what is written above it.

use super::bars::{Bar, bars};
use super::curves::{Curve, Point, Tick, curves};
use super::{colour, escape, voids};
use crate::report::table::short;
use crate::report::{Cell, Figure, Group, PERCENTILES, Report, Round};
use crate::stats::Spread;

/// Workloads that differ in the number of connections only, and how the memory chart names them.
const BY_CONNECTIONS: [(&str, &str); 4] =
    [("50", "50"), ("500", "500"), ("5000", "5,000"), ("idle", "10,000 idle")];

/// The maximum is drawn as if it were this many nines: one after the last percentile.
const NINES_MAX: f64 = 5.0;

/// Growth below this is drawn as this much: memory comes in pages, and none has no logarithm.
const GROWN_BYTES_MIN: f64 = 65_536.0;

/// The three charts of those of a workload that promise the same.
pub fn of_group(report: &Report, group: &Group<'_>) -> String {
    format!(
        "<div class=\"charts\">\n{}{}{}</div>\n",
        throughput(report, group),
        cpu(report, &group.cells),
        latency(report, &group.cells)
    )
}

/// Requests a second of a cell by those of another variant in the same rounds; 1 where it is that variant itself.
pub fn relative(report: &Report, cell: &Cell, base: &str) -> Option<Spread> {
    let base = report.cell(base, &cell.workload)?;
    Spread::of_ratios(&cell.values(Figure::PerSecond), &base.values(Figure::PerSecond))
}

/// The median of what the rounds that count say.
pub fn median(cell: &Cell, of: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    let counting = cell.rounds.iter().filter(|round| round.void.is_none());
    Spread::of(counting.filter_map(of)).map(|found| found.median)
}

fn throughput(report: &Report, group: &Group<'_>) -> String {
    let (name, cells) = (group.base, &group.cells);
    let says = |found: Spread| {
        format!("{:.2} [{:.2}–{:.2}]", found.median, found.lower_quartile, found.upper_quartile)
    };
    let rows: Vec<_> =
        cells.iter().map(|cell| bar(report, cell, relative(report, cell, name), says)).collect();
    let title = format!("Throughput relative to {name}");
    let about = "Requests/s as a multiple, median and quartiles of paired rounds. Longer is better.";
    figure(&title, about, &bars(&title, &rows, Some(1.0)))
}

fn cpu(report: &Report, cells: &[&Cell]) -> String {
    let says = |found: Spread| format!("{} µs", short(found.median));
    let rows: Vec<_> = cells.iter().map(|cell| bar(report, cell, cell.spread(Figure::CpuUs), says)).collect();
    let about = "Computing time of the server for one request, median and quartiles. Shorter is better.";
    figure("CPU per request", about, &bars("CPU per request", &rows, None))
}

fn bar<'a>(
    report: &Report,
    cell: &'a Cell,
    spread: Option<Spread>,
    says: impl Fn(Spread) -> String,
) -> Bar<'a> {
    let missing = if voids(cell) == cell.rounds.len() { "void" } else { "no round to compare with" };
    let mut text = spread.map_or_else(|| missing.into(), says);
    if spread.is_some() && voids(cell) > 0 {
        text += &format!(" ({} of {} void)", voids(cell), cell.rounds.len());
    }
    Bar { name: &cell.variant, colour: colour(report, &cell.variant), spread, says: text }
}

fn latency(report: &Report, cells: &[&Cell]) -> String {
    let lines: Vec<_> = cells
        .iter()
        .map(|cell| Curve {
            name: &cell.variant,
            colour: colour(report, &cell.variant),
            points: latency_points(cell),
        })
        .filter(|curve| !curve.points.is_empty())
        .collect();
    let named = [50.0, 90.0, 99.0, 99.9, 99.99].map(|at| (percentile_share(at), format!("{at}%")));
    let ticks: Vec<Tick> = named.into_iter().chain([(1.0, "max".into())]).collect();
    let about = "Within this time came that share of the replies: to the right are the slowest. \
                 Median of the rounds. Lower is better.";
    figure("Latency by percentile", about, &curves("Latency by percentile", &lines, &ticks, micros))
}

fn latency_points(cell: &Cell) -> Vec<Point> {
    let point = |(index, &at): (usize, &f64)| {
        let value = median(cell, |round| round.latency_us.get(index).copied())?;
        Some(Point { share: percentile_share(at), value, is_joined: true })
    };
    PERCENTILES.iter().enumerate().filter_map(point).collect()
}

/// Where on the axis a percentile is: every further nine as far from the last.
fn percentile_share(percentile: f64) -> f64 {
    let nines = -(1.0 - percentile / 100.0).log10();
    nines.clamp(0.0, NINES_MAX) / NINES_MAX
}

/// Memory grown by the number of connections, where at least two of these workloads were measured.
pub fn memory(report: &Report) -> Option<String> {
    let is_measured = |(name, _): &&(&str, &str)| report.cells.iter().any(|cell| cell.workload == *name);
    let columns: Vec<_> = BY_CONNECTIONS.iter().filter(is_measured).collect();
    if columns.len() < 2 {
        return None;
    }
    let share = |index: usize| index as f64 / (columns.len() - 1) as f64;
    let points = |variant: &str| {
        let point = |(index, (workload, _)): (usize, &&(&str, &str))| {
            let grown = report.cell(variant, workload)?.spread(Figure::GrownBytes)?.median;
            let value = grown.max(GROWN_BYTES_MIN);
            Some(Point { share: share(index), value, is_joined: *workload != "idle" })
        };
        columns.iter().enumerate().filter_map(point).collect()
    };
    let lines: Vec<_> = report
        .variants
        .iter()
        .map(|variant| Curve {
            name: &variant.name,
            colour: colour(report, &variant.name),
            points: points(&variant.name),
        })
        .filter(|curve| !curve.points.is_empty())
        .collect();
    let ticks: Vec<Tick> =
        columns.iter().enumerate().map(|(index, (_, name))| (share(index), (*name).into())).collect();
    let idle = match columns.last() {
        Some(("idle", _)) => " In the last column 50 are busy beside 10,000 idle.",
        _ => "",
    };
    let about = format!(
        "Resident memory at the end less that at the start, by connections; less than 66 kB is drawn as \
         66 kB.{idle} Lower is better."
    );
    let chart = curves("Memory grown by connections", &lines, &ticks, sizes);
    Some(format!("<div class=\"charts\">\n{}</div>\n", figure("Memory grown", &about, &chart)))
}

pub fn figure(title: &str, about: &str, drawing: &str) -> String {
    format!("<figure>\n<figcaption><b>{}</b> {about}</figcaption>\n{drawing}</figure>\n", escape(title))
}

/// A round number of µs.
pub fn micros(us: f64) -> String {
    match us {
        us if us >= 0.999e6 => format!("{} s", rounded(us / 1e6)),
        us if us >= 0.999e3 => format!("{} ms", rounded(us / 1e3)),
        us => format!("{} µs", rounded(us)),
    }
}

/// A round number of bytes.
pub fn sizes(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 0.999e9 => format!("{} GB", rounded(bytes / 1e9)),
        bytes if bytes >= 0.999e6 => format!("{} MB", rounded(bytes / 1e6)),
        bytes => format!("{} kB", rounded(bytes / 1e3)),
    }
}

/// Without what the arithmetic of powers left behind.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn percentiles_are_placed_ascending_and_by_their_nines() {
        let shares = PERCENTILES.map(percentile_share);
        assert!(shares.is_sorted_by(|one, next| one < next), "{shares:?}");
        for (at, share) in [(0.0, 0.0), (90.0, 0.2), (99.0, 0.4), (99.9, 0.6), (99.99, 0.8), (100.0, 1.0)] {
            assert!((percentile_share(at) - share).abs() < 1e-9, "{at}");
        }
    }

    #[test]
    fn a_curve_is_the_median_of_the_rounds_that_count() {
        let mut found = report(&[("herd", "50", &[1.0; 4])]);
        for (round, p50) in found.cells[0].rounds.iter_mut().zip([10.0, 30.0, 20.0, 9_000.0]) {
            round.latency_us[2] = p50;
        }
        found.cells[0].rounds[3].void = Some("wrong reply".into());
        let points = latency_points(&found.cells[0]);
        assert_eq!((points.len(), points[2].value), (PERCENTILES.len(), 20.0));
        found.cells[0].rounds.iter_mut().for_each(|round| round.void = Some("gone".into()));
        assert_eq!(latency_points(&found.cells[0]), []);
    }

    #[test]
    fn ratios_are_of_the_rounds_that_ran_beside_each_other() {
        let found = report(&[("herd", "50", &[1.0, 2.0, 4.0]), ("tokio", "50", &[2.0, 2.0, 2.0])]);
        let ratio = relative(&found, &found.cells[1], "herd").expect("rounds");
        assert_eq!((ratio.min, ratio.lower_quartile, ratio.median, ratio.max), (0.5, 0.75, 1.0, 2.0));
    }

    #[test]
    fn bars_say_their_figure_and_what_is_void() {
        let mut found = report(&[("herd", "50", &[1.0, 2.0, 4.0]), ("tokio", "50", &[2.0, 2.0, 2.0])]);
        let chart = |found: &Report| throughput(found, &found.groups("50")[0]);
        assert!(chart(&found).contains(">1.00 [0.75–1.50]<") && chart(&found).contains("relative to herd"));
        found.cells[1].rounds[0].void = Some("gone".into());
        assert!(chart(&found).contains(">0.75 [0.62–0.88] (1 of 3 void)<"), "{}", chart(&found));
        found.cells[0].rounds.iter_mut().for_each(|round| round.void = Some("gone".into()));
        let text = chart(&found);
        assert!(text.contains(">void<") && text.contains(">no round to compare with<"), "{text}");
    }

    #[test]
    fn memory_is_drawn_where_two_numbers_of_connections_were_measured() {
        for (workloads, expected) in [
            (&["50"][..], None),
            (&["50", "open"], None),
            (&["50", "500"], Some((1, false))),
            (&["50", "500", "5000", "idle"], Some((2, true))),
        ] {
            let cells: Vec<_> = workloads.iter().map(|workload| ("herd", *workload, &[1.0][..])).collect();
            let found = memory(&report(&cells)).map(|chart| {
                let (_, curve) = chart.split_once("class=\"curve v0\"").expect("a curve");
                let (curve, _) = curve.split_once("</g>").expect("its end");
                (curve.matches("<line").count(), chart.contains("beside 10,000 idle"))
            });
            assert_eq!(found, expected, "{workloads:?}");
        }
    }

    #[test]
    fn ticks_are_named_in_the_unit_that_suits() {
        for (us, text) in [(0.5, "0.5 µs"), (200.0, "200 µs"), (1_000.0, "1 ms"), (2e6, "2 s")] {
            assert_eq!(micros(us), text);
        }
        for (bytes, text) in [(1e5, "100 kB"), (2e6, "2 MB"), (1e9, "1 GB")] {
            assert_eq!(sizes(bytes), text);
        }
    }
}
