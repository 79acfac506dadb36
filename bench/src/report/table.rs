//! The table in the terminal: a block a workload, a line a variant, medians with their spread and
//! the ratio to herd of the same rounds.

use std::fmt::Write;

use super::{AGAIN, Cell, Figure, Group, Report};
use crate::stats::Spread;

/// The whole table.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    if report.first().is_none() {
        return "nothing was measured\n".into();
    }
    for workload in &report.workloads {
        let groups = report.groups(&workload.name);
        if groups.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{}: {}", workload.name, workload.about);
        for group in &groups {
            let _ = writeln!(text, "  {}", group.promise());
            let _ = writeln!(
                text,
                "  {:16} {:>10} {:>19} {:>22} {:>12} {:>9} {:>22} {:>9} {:>9} {:>10}",
                "",
                "requests/s",
                "min-max",
                format!("{} is [quartiles]", group.base),
                "noise",
                "CPU us",
                "of its CPU",
                "p50 us",
                "p99 us",
                "memory"
            );
            for cell in &group.cells {
                let _ = writeln!(text, "{}", line(report, group, cell));
            }
        }
    }
    for skipped in report.variants.iter().filter(|variant| variant.skipped.is_some()) {
        let _ = writeln!(
            text,
            "\n{} was not measured: {}",
            skipped.name,
            skipped.skipped.as_deref().unwrap_or("")
        );
    }
    text
}

fn line(report: &Report, group: &Group<'_>, cell: &Cell) -> String {
    let spread = |figure| cell.spread(figure);
    let median = |figure: Figure| spread(figure).map_or("-".into(), |found: Spread| short(found.median));
    let ratio = |base: &str, figure: Figure| {
        let base = report.cell(base, &cell.workload).filter(|base| base.variant != cell.variant)?;
        Some(quartiles(Spread::of_ratios(&base.values(figure), &cell.values(figure))?))
    };
    let range = spread(Figure::PerSecond)
        .map_or("-".into(), |found| format!("{}-{}", short(found.min), short(found.max)));
    let found = ratio(group.base, Figure::PerSecond);
    // Beside every ratio: what herd is to itself, this way around.
    let noise = found.as_ref().and_then(|_| {
        let (first, again) =
            (report.cell(&report.first()?.name, &cell.workload)?, report.cell(AGAIN, &cell.workload)?);
        report.ratio(first, &again.variant, Figure::PerSecond)
    });
    let noise = noise.map(|noise| format!("[{:.2}-{:.2}]", noise.lower_quartile, noise.upper_quartile));
    let mut text = format!(
        "  {:16} {:>10} {:>19} {:>22} {:>12} {:>9} {:>22} {:>9} {:>9} {:>10}",
        cell.variant,
        median(Figure::PerSecond),
        range,
        found.unwrap_or_default(),
        noise.unwrap_or_default(),
        median(Figure::CpuUs),
        ratio(group.base, Figure::CpuUs).unwrap_or_default(),
        median(Figure::P50Us),
        median(Figure::P99Us),
        spread(Figure::GrownBytes).map_or("-".into(), |found| bytes(found.median)),
    );
    if let Some((beside, found)) =
        group.beside.and_then(|beside| Some((beside, ratio(beside, Figure::PerSecond)?)))
    {
        let _ = write!(text, "  {beside}, which keeps it, is {found}");
    }
    if let Some(found) = Spread::of(cell.rounds.iter().filter_map(|round| round.agreed_ms)) {
        let _ = write!(text, "  agrees after {} ms", short(found.median));
    }
    if let Some(of) = cell.rounds.iter().filter_map(|round| round.of_reports).next_back() {
        let _ = write!(
            text,
            "  of {} reports/s (p99 {} us), {:.0} % the newest when read",
            short(of.per_second),
            short(of.p99_us),
            100.0 * of.newest_share
        );
        if of.lags + of.lacking > 0 {
            let _ = write!(text, ", {} times told of a gap, {} lacked at the end", of.lags, of.lacking);
        }
    }
    if let Some(why) = cell.void() {
        let _ = write!(text, "  VOID in {} of {}: {why}", cell.voids(), cell.rounds.len());
    }
    if cell.unanswered() > 0 {
        let _ = write!(text, "  {} commands got no reply", short(cell.unanswered() as f64));
    }
    if cell.lags() {
        let _ = write!(text, "  does not keep up with {} a second", short(cell.rate().unwrap_or(0.0)));
    }
    if cell.limited() > 0 {
        let _ = write!(text, "  generator at its limit in {} of {}", cell.limited(), cell.rounds.len());
    }
    text
}

fn quartiles(found: Spread) -> String {
    format!("{:.2} [{:.2}-{:.2}]", found.median, found.lower_quartile, found.upper_quartile)
}

/// A number with about three digits that mean something.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1_000.0 => {
            let digits = format!("{number:.0}");
            let mut grouped = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 && digit != '-' {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

pub fn bytes(number: f64) -> String {
    match number {
        size if size >= 1e6 => format!("{:.1} MB", size / 1e6),
        size => format!("{:.0} kB", size / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn the_table_has_medians_ranges_and_ratios_of_paired_rounds() {
        let mut found =
            report(&[("herd", "50", &[2_000.0, 3_000.0, 4_000.0]), ("tokio", "50", &[1_000.0; 3])]);
        found.cells[1].rounds[2].generator_busy = 0.99;
        let text = table(&found);
        for part in ["50: about 50", "3,000", "2,000-4,000", "3.00 [2.50-3.50]", "limit in 1 of 3"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        found.cells[1].rounds[0].void = Some("wrong reply".into());
        found.variants[1].skipped = Some("apt-get install x".into());
        let text = table(&found);
        assert!(
            text.contains("VOID in 1 of 3: wrong reply") && text.contains("tokio was not measured: apt-get"),
            "{text}"
        );
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in
            [(0.456, "0.46"), (12.34, "12.3"), (123.4, "123"), (1_234.5, "1,234"), (1_234_567.0, "1,234,567")]
        {
            assert_eq!(short(number), text);
        }
    }
}
