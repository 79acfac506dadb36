//! The exact figures of a workload, a row a variant.

use std::fmt::Write;

use super::charts::{median, relative};
use super::{colour, escape, voids};
use crate::report::table::{bytes, short};
use crate::report::{Cell, Figure, Group, PERCENTILES, Report};

/// The percentiles that have a column.
const SHOWN: [(f64, &str); 5] =
    [(50.0, "p50 µs"), (90.0, "p90 µs"), (99.0, "p99 µs"), (99.9, "p99.9 µs"), (100.0, "max µs")];

pub fn table(report: &Report, group: &Group<'_>) -> String {
    let (heads, cells) = (heads(group), &group.cells);
    let mut text = String::from("<div class=\"scroll\" tabindex=\"0\">\n<table>\n<thead><tr><th></th>");
    for head in &heads {
        let _ = write!(text, "<th scope=\"col\">{head}</th>");
    }
    text += "</tr></thead>\n<tbody>\n";
    for cell in cells {
        let class = colour(report, &cell.variant);
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\"><i class=\"swatch v{class}\"></i>{}{}</th>{}</tr>",
            escape(&cell.variant),
            notes(cell).iter().map(|note| format!("<small>{note}</small>")).collect::<String>(),
            figures(report, group, cell).unwrap_or_else(|| nothing(cell, heads.len()))
        );
    }
    text + "</tbody>\n</table>\n</div>\n"
}

fn heads(group: &Group<'_>) -> Vec<String> {
    let cells = &group.cells;
    let relative = |name: &str| format!("relative to {}<small>quartiles</small>", escape(name));
    let mut heads = vec!["requests/s<small>min–max</small>".to_owned(), relative(group.base)];
    heads.extend(group.beside.map(relative));
    heads.push("CPU µs".into());
    heads.extend(SHOWN.map(|(_, name)| name.to_owned()));
    if has_agreed(cells) {
        heads.push("time to agree".into());
    }
    let last = ["memory<small>grown</small>", "threads", "switches<small>a request</small>"];
    heads.extend(last.map(str::to_owned));
    heads
}

/// Whether this is a workload of whole herds, which alone come to agree.
fn has_agreed(cells: &[&Cell]) -> bool {
    cells.iter().any(|cell| cell.rounds.iter().any(|round| round.agreed_ms.is_some()))
}

/// The figures of a cell, or nothing where every round of it is void.
fn figures(report: &Report, group: &Group<'_>, cell: &Cell) -> Option<String> {
    let rate = cell.spread(Figure::PerSecond)?;
    let plain = |number: Option<f64>| number.map_or("–".into(), short);
    let noise = report.noise(&cell.workload, Figure::PerSecond);
    let noise = noise.map_or(String::new(), |noise| {
        format!("<small>noise {:.2}–{:.2}</small>", noise.lower_quartile, noise.upper_quartile)
    });
    let by = |base: &str| {
        // To itself it is 1, and what noise there is does not matter.
        let noise = if base == cell.variant { "" } else { &noise };
        relative(report, cell, base).map_or("–".into(), |found| {
            let (low, high) = (found.lower_quartile, found.upper_quartile);
            format!("{:.2}<small>{low:.2}–{high:.2}</small>{noise}", found.median)
        })
    };
    let mut columns = vec![
        format!("{}<small>{}–<wbr>{}</small>", short(rate.median), short(rate.min), short(rate.max)),
        by(group.base),
    ];
    columns.extend(group.beside.map(by));
    columns.push(plain(median(cell, |round| Some(round.cpu_us))));
    for (percentile, _) in SHOWN {
        let index = PERCENTILES.iter().position(|&at| at == percentile)?;
        columns.push(plain(median(cell, |round| round.latency_us.get(index).copied())));
    }
    if has_agreed(&group.cells) {
        let ms = median(cell, |round| round.agreed_ms);
        columns.push(ms.map_or("–".into(), |ms| format!("{} ms", short(ms))));
    }
    columns.extend([
        cell.spread(Figure::GrownBytes).map_or("–".into(), |found| bytes(found.median)),
        median(cell, |round| Some(round.threads as f64)).map_or("–".into(), |count| format!("{count:.0}")),
        median(cell, |round| Some(round.switches)).map_or("–".into(), |count| format!("{count:.3}")),
    ]);
    Some(columns.iter().map(|column| format!("<td>{column}</td>")).collect())
}

fn nothing(cell: &Cell, columns: usize) -> String {
    let why = cell.void().map_or("no round was run".into(), |why| format!("void: {}", escape(why)));
    format!("<td class=\"notes\" colspan=\"{columns}\">{why}</td>")
}

/// What to bear in mind about a cell, in few words: the reasons are above the charts.
fn notes(cell: &Cell) -> Vec<String> {
    let rounds = cell.rounds.len();
    let unanswered: u64 = cell.rounds.iter().map(|round| round.unanswered).sum();
    let mut notes = Vec::new();
    if voids(cell) > 0 {
        notes.push(format!("void {} of {rounds}", voids(cell)));
    }
    if cell.limited() > 0 {
        notes.push(format!("limited {} of {rounds}", cell.limited()));
    }
    if unanswered > 0 {
        notes.push(format!("{unanswered} unanswered"));
    }
    if cell.lags() {
        notes.push("does not keep up".into());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    fn rows(found: &Report) -> String {
        table(found, &found.groups("50")[0])
    }

    #[test]
    fn a_row_has_every_figure() {
        let mut found = report(&[("herd", "50", &[2_000.0; 3]), ("tokio", "50", &[1_000.0, 500.0, 4_000.0])]);
        let round = &mut found.cells[1].rounds[0];
        (round.unanswered, round.generator_busy) = (7, 0.99);
        found.cells[1].rounds.iter_mut().for_each(|round| {
            (round.threads, round.switches, round.grown_bytes) = (3, 0.25, 2_500_000);
        });
        let text = rows(&found);
        for part in [
            "relative to herd<small>quartiles",
            "<td>1,000<small>500–<wbr>4,000</small></td><td>0.50<small>0.38–1.25</small></td><td>1,000</td>",
            "<td>51.0</td><td>91.0</td><td>100</td><td>101</td><td>101</td>",
            "<td>2.5 MB</td><td>3</td><td>0.250</td>",
            "<small>limited 1 of 3</small><small>7 unanswered</small>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("time to agree"), "{text}");
        found.cells[1].rounds[0].agreed_ms = Some(20.5);
        let text = rows(&found);
        assert!(text.contains("time to agree") && text.contains("<td>20.5 ms</td>"), "{text}");
    }

    #[test]
    fn a_void_cell_says_so_and_shows_no_figure() {
        let mut found = report(&[("herd", "50", &[2_000.0; 2]), ("tokio", "50", &[1_000.0; 2])]);
        found.cells[1].rounds[0].void = Some("<wrong>".into());
        let text = rows(&found);
        assert!(text.contains(">void 1 of 2<") && text.contains(">1,000<small>"), "{text}");
        found.cells[1].rounds[1].void = Some("<wrong>".into());
        let text = rows(&found);
        assert!(text.contains("colspan=\"11\">void: &lt;wrong&gt;<"), "{text}");
        assert!(!text.contains("1,000<small>"), "{text}");
    }
}
