//! The sections that show how a server grows: two charts each, CPU for an update and memory, and their figures.

use std::fmt::Write;

use super::charts::{figure, micros, sizes};
use super::curves::{Curve, Point, Tick, curves};
use super::{colour, escape};
use crate::report::Report;
use crate::report::growth::{Grown, short_count};
use crate::report::table::{bytes, short};
use crate::stats::Spread;

/// The anchor of a section.
pub fn anchor(index: usize) -> String {
    format!("g{index}")
}

/// A section for each.
pub fn sections(report: &Report) -> String {
    let mut text = String::new();
    for (index, grown) in report.growth.iter().enumerate() {
        let (name, about, anchor) = (escape(&grown.name), escape(&grown.about), anchor(index));
        let _ = writeln!(
            text,
            "<section>\n<h2 id=\"{anchor}\">Growth: {name} <small>{about}</small></h2>\n<div class=\"charts\">\n{}{}</div>\n{}\
             </section>",
            chart(
                report,
                grown,
                "CPU per update",
                "Computing time for one update, by NAME. Median of the rounds. Lower is better.",
                |point| point.cpu_us(),
                micros
            ),
            chart(
                report,
                grown,
                "Memory",
                "Resident memory at the end, by NAME. Median of the rounds. Lower is better.",
                |point| point.resident_bytes(),
                sizes
            ),
            rows(grown)
        );
    }
    text
}

fn chart(
    report: &Report,
    grown: &Grown,
    title: &str,
    about: &str,
    of: impl Fn(&crate::report::growth::Point) -> Option<Spread>,
    unit: fn(f64) -> String,
) -> String {
    let share = |index: usize| index as f64 / (grown.points.len().max(2) - 1) as f64;
    let point = |(index, point): (usize, &crate::report::growth::Point)| {
        Some(Point { share: share(index), value: of(point)?.median, is_joined: true })
    };
    let points = grown.points.iter().enumerate().filter_map(point).collect();
    let tick = |(index, point): (usize, &crate::report::growth::Point)| (share(index), short_count(point.at));
    let ticks: Vec<Tick> = grown.points.iter().enumerate().map(tick).collect();
    let colour = colour(report, &grown.variant);
    let drawing = curves(title, &[Curve { name: &grown.variant, colour, points }], &ticks, unit);
    figure(title, &about.replace("NAME", &escape(&grown.name)), &drawing)
}

fn rows(grown: &Grown) -> String {
    let mut text = format!(
        "<div class=\"scroll\" tabindex=\"0\">\n<table>\n<thead><tr><th>{}</th><th>Updates/s</th><th>CPU µs</th><th>Quartiles</th><th>Memory</th>\
         <th></th></tr></thead>\n<tbody>\n",
        escape(&grown.name)
    );
    for point in &grown.points {
        let cpu = point.cpu_us();
        let median = |found: Option<Spread>| found.map_or("–".into(), |found| short(found.median));
        let quartiles = cpu.map_or(String::new(), |found| {
            format!("{}–{}", short(found.lower_quartile), short(found.upper_quartile))
        });
        let _ = writeln!(
            text,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{quartiles}</td><td>{}</td><td>{}</td></tr>",
            short_count(point.at),
            median(point.spread(|round| Some(round.per_second))),
            median(cpu),
            point.resident_bytes().map_or("–".into(), |found| bytes(found.median)),
            escape(&point.warning().unwrap_or_default()),
        );
    }
    text + "</tbody>\n</table>\n</div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::growth::tests::grown;
    use crate::report::tests::report;

    #[test]
    fn each_size_has_its_place_and_what_is_left_out_is_said() {
        let mut found = report(&[("herd", "50", &[1.0])]);
        found.growth = vec![grown()];
        let text = sections(&found);
        for part in [
            "<h2 id=\"g0\">Growth: clients ",
            "CPU per update",
            "<b>Memory</b>",
            ">1,000</text>",
            ">5,000,000</text>",
            "left out: it takes &lt;9&gt; GiB",
            "<td>1.50–2.50</td>",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        // Two of three sizes have a place in each of two charts, and a line between.
        assert_eq!(text.matches("<circle").count(), 4, "{text}");
        assert!(!text.contains("NAME"), "{text}");
    }
}
