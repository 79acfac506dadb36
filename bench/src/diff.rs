//! `compare OLD NEW`: says of every cell that two reports share whether it changed by more than the
//! noise of its rounds, and whether it got worse by too much.

use std::fmt::Write;

use crate::report::MISSING;
use crate::report::table::short;
use crate::report::{Cell, Figure, Report};
use crate::stats::Spread;

/// A change for the worse by more than this share, beyond the noise, is a regression.
const REGRESSION: f64 = 0.10;

/// Quartiles of fewer rounds are no measure of noise.
const ROUNDS_MIN: usize = 3;

/// Open loops whose rates differ by no more than this share are loaded alike.
const SAME_RATE: f64 = 0.05;

/// What became of a figure of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are fewer than `ROUNDS_MIN` rounds.
    Unknown,
    /// The rounds of the two overlap in their quartiles.
    Noise,
    Better,
    /// Beyond the noise, by no more than `REGRESSION`.
    Worse,
    Regression,
}

/// The comparison as text, and whether it holds a regression.
///
/// # Errors
/// The two have no cell in common.
pub fn diff(old: &Report, new: &Report) -> Result<(String, bool), String> {
    let mut text = String::new();
    let mut regressed = false;
    let mut shared = 0;
    for cell in &new.cells {
        let Some(before) = old.cell(&cell.variant, &cell.workload) else { continue };
        shared += 1;
        let figures = figures(before, cell);
        for &figure in figures {
            regressed |= compare(before, cell, figure, &mut text);
        }
        if figures.is_empty() {
            let (old, new) = (short(before.rate().unwrap_or(0.0)), short(cell.rate().unwrap_or(0.0)));
            let (variant, workload) = (&cell.variant, &cell.workload);
            let _ = writeln!(
                text,
                "{workload:10} {variant:14} not compared: loaded with {old} and {new} a second"
            );
        }
        if cell.voids() > 0 {
            let (voids, all, why) = (cell.voids(), cell.rounds.len(), cell.void().unwrap_or(""));
            let _ = writeln!(
                text,
                "{:10} {:14} {voids} of {all} rounds void: {why}",
                cell.workload, cell.variant
            );
        }
    }
    for cell in old.cells.iter().filter(|cell| new.cell(&cell.variant, &cell.workload).is_none()) {
        let (variant, workload) = (&cell.variant, &cell.workload);
        let gone =
            new.variants.iter().find(|info| info.name == *variant).and_then(|info| info.skipped.as_deref());
        // What is not installed, or was not asked for, is nobody's regression.
        let fault = gone.filter(|why| !why.starts_with(MISSING));
        regressed |= fault.is_some();
        let said = if fault.is_some() { "REGRESSION: " } else { "" };
        let why = gone.unwrap_or("the new report does not have it");
        let _ = writeln!(text, "{workload:10} {variant:14} {:15} {said}not measured now: {why}", "");
    }
    if shared == 0 {
        return Err("the two reports have no variant and workload in common".into());
    }
    Ok((text, regressed))
}

/// What can be told from noise on a machine that is shared: throughput and its price. The throughput
/// of an open loop is the rate it was given, and at other rates all else differs.
fn figures(before: &Cell, after: &Cell) -> &'static [Figure] {
    match (before.rate(), after.rate()) {
        (Some(old), Some(new)) if (new / old - 1.0).abs() > SAME_RATE => &[],
        (None, None) => &[Figure::PerSecond, Figure::CpuUs, Figure::P99Us],
        _ => &[Figure::CpuUs, Figure::P99Us],
    }
}

fn compare(before: &Cell, after: &Cell, figure: Figure, text: &mut String) -> bool {
    let (variant, workload, name) = (&after.variant, &after.workload, figure.name());
    let (old, new) = match (before.spread(figure), after.spread(figure)) {
        (Some(old), Some(new)) => (old, new),
        (Some(_), None) => {
            let why = after.void().unwrap_or("it has no rounds");
            let _ = writeln!(text, "{workload:10} {variant:14} {name:15} REGRESSION: void now: {why}");
            return true;
        }
        (None, _) => return false,
    };
    let verdict = judge(&old, &new, figure);
    let said = match verdict {
        Verdict::Unknown => "too few rounds to tell it from noise",
        Verdict::Noise => "within the noise",
        Verdict::Better => "better",
        Verdict::Worse => "worse, by no more than 10 %",
        Verdict::Regression => "REGRESSION",
    };
    let _ = writeln!(
        text,
        "{workload:10} {variant:14} {name:15} {:>10} -> {:>10}  {:+6.1} %  {said}",
        short(old.median),
        short(new.median),
        (new.median / old.median - 1.0) * 100.0
    );
    verdict == Verdict::Regression
}

/// Beyond the noise is what leaves no overlap between the two ranges from quartile to quartile.
fn judge(old: &Spread, new: &Spread, figure: Figure) -> Verdict {
    if old.rounds.min(new.rounds) < ROUNDS_MIN {
        return Verdict::Unknown;
    }
    if new.lower_quartile <= old.upper_quartile && old.lower_quartile <= new.upper_quartile {
        return Verdict::Noise;
    }
    let more = new.median > old.median;
    if more == figure.more_is_better() {
        return Verdict::Better;
    }
    let change = (new.median / old.median - 1.0).abs();
    if change > REGRESSION { Verdict::Regression } else { Verdict::Worse }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::VariantInfo;
    use crate::report::tests::report;

    #[test]
    fn a_change_counts_when_it_leaves_the_quartiles() {
        let check = |old: &[f64], new: &[f64], figure, expected| {
            let spread = |values: &[f64]| Spread::of(values.iter().copied()).expect("values");
            assert_eq!(judge(&spread(old), &spread(new), figure), expected, "{old:?} {new:?}");
        };
        check(&[100.0, 110.0, 120.0], &[70.0, 90.0, 101.0], Figure::PerSecond, Verdict::Regression);
        check(&[100.0, 110.0, 120.0], &[90.0, 108.0, 109.0], Figure::PerSecond, Verdict::Noise);
        check(&[100.0, 101.0, 102.0], &[95.0, 96.0, 97.0], Figure::PerSecond, Verdict::Worse);
        check(&[100.0, 101.0, 102.0], &[80.0, 81.0, 82.0], Figure::PerSecond, Verdict::Regression);
        check(&[100.0, 101.0, 102.0], &[180.0, 181.0, 182.0], Figure::PerSecond, Verdict::Better);
        check(&[5.0, 5.1, 5.2], &[6.0, 6.1, 6.2], Figure::CpuUs, Verdict::Regression);
        check(&[6.0, 6.1, 6.2], &[5.0, 5.1, 5.2], Figure::CpuUs, Verdict::Better);
    }

    #[test]
    fn a_regression_in_any_shared_cell_is_told() {
        let old = report(&[("herd", "50", &[100.0, 101.0, 102.0]), ("tokio", "50", &[50.0, 50.0])]);
        let new = report(&[("herd", "50", &[70.0, 71.0, 72.0]), ("own", "50", &[50.0, 50.0])]);
        let (text, regressed) = diff(&old, &new).expect("shared");
        assert!(regressed && text.contains("herd") && text.contains("REGRESSION"), "{text}");
        assert!(!text.contains("own") && text.matches("tokio").count() == 1, "{text}");
        let (text, regressed) = diff(&old, &old).expect("shared");
        assert!(!regressed && text.contains("within the noise"), "{text}");
        let other = report(&[("own", "9", &[1.0])]);
        assert!(diff(&old, &other).is_err_and(|why| why.contains("in common")));
    }

    #[test]
    fn what_is_no_longer_measured_is_told_and_is_a_regression_unless_it_is_not_installed() {
        let old = report(&[("herd", "50", &[100.0]), ("own", "50", &[50.0])]);
        let mut new = report(&[("herd", "50", &[100.0])]);
        for (skipped, expected) in [
            (None, false),
            (Some("install it with: apt-get install own"), false),
            (Some("it does not conform: IAMAT"), true),
        ] {
            new.variants.retain(|info| info.name == "herd");
            new.variants.extend(skipped.map(|why| VariantInfo {
                name: "own".into(),
                skipped: Some(why.into()),
                keeps: false,
                conformed: None,
                differences: 0,
            }));
            let (text, regressed) = diff(&old, &new).expect("shared");
            assert_eq!(regressed, expected, "{text}");
            assert!(text.contains("not measured now") && text.contains(skipped.unwrap_or("own")), "{text}");
        }
    }

    #[test]
    fn open_loops_of_other_rates_are_not_compared_and_throughput_of_none() {
        let mut old = report(&[("herd", "open", &[100.0; 3])]);
        let mut new = report(&[("herd", "open", &[70.0; 3])]);
        let set = |report: &mut Report, rate| {
            report.cells[0].rounds.iter_mut().for_each(|round| round.rate = Some(rate));
        };
        set(&mut old, 100.0);
        for (rate, compared) in [(104.0, true), (120.0, false)] {
            set(&mut new, rate);
            let (text, _) = diff(&old, &new).expect("shared");
            assert_eq!(text.contains("CPU"), compared, "{text}");
            assert!(!text.contains("requests/s"), "{text}");
        }
    }

    #[test]
    fn one_round_is_no_measure_of_noise() {
        let (old, new) = (report(&[("herd", "50", &[100.0])]), report(&[("herd", "50", &[70.0])]));
        let (text, regressed) = diff(&old, &new).expect("shared");
        assert!(!regressed && text.contains("too few rounds"), "{text}");
    }

    #[test]
    fn a_cell_that_is_void_now_is_a_regression() {
        let old = report(&[("herd", "50", &[100.0])]);
        let mut new = old.clone();
        new.cells[0].rounds[0].void = Some("wrong reply".into());
        let (text, regressed) = diff(&old, &new).expect("shared");
        assert!(regressed && text.contains("void now: wrong reply"), "{text}");
    }
}
