//! The parts of the page in words: what was run and where, how to read the figures, and what to
//! know before believing them.

use std::fmt::Write;

use super::{cells, escape, growth, voids};
use crate::report::{Cell, Figure, Report, VariantInfo};

/// What each figure is and which way is better.
const FIGURES: [(&str, &str); 11] = [
    (
        "Requests/s",
        "Correct replies in a second: the median of the rounds, and the least to the most. More is better.",
    ),
    (
        "Relative",
        "Requests/s divided by those of FIRST in the same round, which ran beside it: the median of these \
         ratios of paired rounds, and their quartiles. Above 1 is faster than FIRST.",
    ),
    ("CPU µs", "Computing time of the server for one request, user and system. Less is better."),
    (
        "p50 … max",
        "Latency: p99 is the time within which 99 of 100 replies came, max that of the slowest; each the \
         median of the rounds. Less is better.",
    ),
    ("Memory grown", "Resident memory at the end less that at the start. Less is better."),
    ("Threads", "Those of the server at the end. Neither way is better."),
    ("Switches", "Context switches of the server for one request. Less is better."),
    (
        "Time to agree",
        "Of a whole herd: from the end of the load, or a server's restart, until all agreed. Less is better.",
    ),
    (
        "Limited",
        "The load generator had hardly any computing time to spare, so the server may do more than is shown.",
    ),
    ("Unanswered", "Replies that were due and never came. None is best."),
    ("Void", "A round that counts for nothing, for the reason given: a wrong reply, a server that ended."),
];

pub fn facts(report: &Report) -> String {
    let machine = &report.machine;
    let of_cells = report.cells.iter().map(|cell| cell.rounds.len());
    let of_points = report.growth.iter().flat_map(|grown| &grown.points).map(|point| point.rounds.len());
    let rounds = of_cells.chain(of_points).max().unwrap_or(0);
    let run = format!(
        "{rounds}, and in each every variant one after another; {} s of warm-up, {} s measured",
        report.warm_up_s, report.measured_s
    );
    let memory = format!("{:.1} GiB", machine.memory_bytes as f64 / f64::from(1 << 30));
    let versions = machine.versions.iter().map(|text| escape(text)).collect::<Vec<_>>().join("<br>");
    let mut list = String::from("<dl class=\"facts\">\n");
    for (name, value) in [
        ("Machine", format!("{}, {} cores, {memory} of memory", escape(&machine.cpu), machine.cores)),
        ("Kernel", escape(&machine.kernel)),
        ("Versions", versions),
        ("Date", date(report.begun_s)),
        ("Command", format!("<code>{}</code>", escape(&report.command))),
        ("Rounds", run),
    ] {
        let _ = writeln!(list, "<dt>{name}</dt><dd>{value}</dd>");
    }
    list + "</dl>\n"
}

pub fn contents(report: &Report, has_memory: bool) -> String {
    let mut links = String::new();
    if has_memory {
        links += "<a href=\"#memory\">memory</a>\n";
    }
    for (index, workload) in report.workloads.iter().enumerate() {
        if !cells(report, &workload.name).is_empty() {
            let _ = writeln!(links, "<a href=\"#w{index}\">{}</a>", escape(&workload.name));
        }
    }
    for (index, grown) in report.growth.iter().enumerate() {
        let _ = writeln!(links, "<a href=\"#{}\">{}</a>", growth::anchor(index), escape(&grown.name));
    }
    format!("<nav aria-label=\"Workloads\">\n{links}</nav>\n")
}

pub fn reading(first: &VariantInfo) -> String {
    let mut list = String::new();
    for (name, about) in FIGURES {
        let _ = writeln!(list, "<dt>{name}</dt><dd>{}</dd>", about.replace("FIRST", &escape(&first.name)));
    }
    format!(
        "<p>Ratios are of paired rounds: each to the round of {} that ran beside it. Given are their median \
         and, by whiskers or in brackets, their quartiles.</p>\n\
         <details>\n<summary>How to read the figures</summary>\n<dl class=\"facts\">\n{list}</dl>\n\
         <p>Where a workload does not say otherwise its loop is closed: a connection sends its next command \
         when a reply came. Latency there is that of a server with all the work it can do.</p>\n</details>\n",
        escape(&first.name)
    )
}

/// What a ratio has to be beyond to say anything.
pub fn noise(report: &Report, workload: &str) -> String {
    let Some(found) = report.noise(workload, Figure::PerSecond) else { return String::new() };
    let name = report.first().map_or("", |first| &first.name);
    format!(
        "<p>Noise: {} by itself, the same program twice in each round, is {:.2} [{:.2}–{:.2}]. A ratio that near to 1 says \
         nothing.</p>\n",
        escape(name),
        found.median,
        found.lower_quartile,
        found.upper_quartile
    )
}

pub fn skipped(report: &Report) -> String {
    let mut list = String::new();
    for variant in &report.variants {
        if let Some(why) = &variant.skipped {
            let _ = writeln!(list, "<li><b>{}</b>: {}</li>", escape(&variant.name), escape(why));
        }
    }
    if list.is_empty() {
        return list;
    }
    format!("<div class=\"skipped\">\n<b>Not measured</b>\n<ul>\n{list}</ul>\n</div>\n")
}

/// Servers of anyone's own that need not keep herd's own rules, and do not.
pub fn differing(report: &Report) -> String {
    let differing = report.variants.iter().filter(|info| info.skipped.is_none() && info.differences > 0);
    let told = differing.map(|info| {
        format!(
            "<p>{} answers what the course asks, and differs from herd's own rules in {} cases.</p>\n",
            escape(&info.name),
            info.differences
        )
    });
    told.collect()
}

/// What a reader must know before believing the charts of a workload.
pub fn warnings(cells: &[&Cell]) -> String {
    let mut text = String::new();
    for cell in cells {
        if let Some(why) = cell.void() {
            let (name, void, all) = (escape(&cell.variant), voids(cell), cell.rounds.len());
            let _ = writeln!(
                text,
                "<p class=\"warning\"><b>{name}: void</b> in {void} of {all} rounds: {}</p>",
                escape(why)
            );
        }
    }
    let limited: Vec<_> = cells
        .iter()
        .filter(|cell| cell.limited() > 0)
        .map(|cell| format!("{} ({} of {} rounds)", escape(&cell.variant), cell.limited(), cell.rounds.len()))
        .collect();
    if !limited.is_empty() {
        let _ = writeln!(
            text,
            "<p class=\"warning\"><b>The generator may have been the limit</b> for {}, which may do more than \
             is shown.</p>",
            limited.join(", ")
        );
    }
    text
}

/// POSIX seconds as a date and time in UTC, by the days of years that begin in March
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(posix_s: u64) -> String {
    let days = posix_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (posix_s / 3_600 % 24, posix_s / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (posix_s, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
        ] {
            assert_eq!(date(posix_s), text);
        }
    }
}
