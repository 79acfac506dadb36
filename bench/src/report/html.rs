//! The report as one page, `report.html`, for a browser on a desk or in a hand: it needs no script,
//! no network and no file beside it. `compare` writes it.

mod bars;
mod charts;
mod curves;
mod growth;
mod parts;
mod rows;

use std::fmt::Write;

use super::{Cell, Report, VariantInfo};

const STYLE: &str = include_str!("html/style.css");

/// Colours of variants that are not the first; more variants than that begin again.
const COLOURS: usize = 12;

/// The page.
pub fn html(report: &Report) -> String {
    let title = title(report);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<header>\n<h1>{title}</h1>\n{}</header>\n",
        parts::facts(report)
    );
    match report.first() {
        Some(first) => page += &measured(report, first),
        None => {
            let _ = writeln!(page, "<p>Nothing was measured.</p>\n{}", parts::skipped(report));
        }
    }
    page + "</body>\n</html>\n"
}

fn measured(report: &Report, first: &VariantInfo) -> String {
    let memory = charts::memory(report);
    let mut text = parts::contents(report, memory.is_some());
    text += &parts::reading(first);
    text += &parts::differing(report);
    text += &parts::skipped(report);
    if let Some(chart) = memory {
        let _ = writeln!(text, "<section>\n<h2 id=\"memory\">Memory and connections</h2>\n{chart}</section>");
    }
    for (index, workload) in report.workloads.iter().enumerate() {
        let cells = cells(report, &workload.name);
        if !cells.is_empty() {
            let (name, about) = (escape(&workload.name), escape(&workload.about));
            let _ = writeln!(
                text,
                "<section>\n<h2 id=\"w{index}\">{name} <small>{about}</small></h2>\n{}{}",
                parts::warnings(&cells),
                parts::noise(report, &workload.name),
            );
            for group in report.groups(&workload.name) {
                let _ = writeln!(
                    text,
                    "<h3>{}</h3>\n{}{}",
                    group.promise(),
                    charts::of_group(report, &group),
                    rows::table(report, &group)
                );
            }
            text += "</section>\n";
        }
    }
    text + &growth::sections(report)
}

fn title(report: &Report) -> String {
    let measured: Vec<_> = report.variants.iter().filter(|variant| variant.skipped.is_none()).collect();
    match &measured[..] {
        [] => "Comparison".into(),
        [only] => format!("{}, measured", escape(&only.name)),
        [first, second] => format!("{} beside {}", escape(&first.name), escape(&second.name)),
        [first, others @ ..] => format!("{} beside {} others", escape(&first.name), others.len()),
    }
}

fn cells<'a>(report: &'a Report, workload: &str) -> Vec<&'a Cell> {
    report.cells.iter().filter(|cell| cell.workload == workload).collect()
}

/// The colour of a variant, the same in every chart: 0 is the first's alone.
fn colour(report: &Report, variant: &str) -> usize {
    let mut measured = report.variants.iter().filter(|variant| variant.skipped.is_none());
    match measured.position(|info| info.name == variant) {
        None | Some(0) => 0,
        Some(place) => 1 + (place - 1) % COLOURS,
    }
}

fn voids(cell: &Cell) -> usize {
    cell.rounds.iter().filter(|round| round.void.is_some()).count()
}

/// Names, commands and reasons are anyone's text.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn text_of_the_report_is_escaped() {
        let evil = "<script>\"'&</script>";
        let mut found = report(&[("herd", "50", &[1.0]), (evil, "50", &[2.0]), (evil, evil, &[1.0])]);
        found.command = evil.into();
        found.machine.versions.push(evil.into());
        found.machine.cpu = evil.into();
        found.machine.kernel = evil.into();
        found.workloads[0].about = evil.into();
        found.cells[0].rounds[0].void = Some(evil.into());
        found.variants.push(VariantInfo {
            name: evil.into(),
            skipped: Some(evil.into()),
            conformed: None,
            differences: 0,
            keeps: false,
        });
        let page = html(&found);
        assert!(!page.contains("<script") && !page.contains("\"'&<"), "{page}");
        assert!(page.matches("&lt;script&gt;&quot;&#39;&amp;&lt;/script&gt;").count() > 10, "{page}");
    }

    #[test]
    fn the_page_says_what_is_void_limited_and_skipped() {
        let mut found = report(&[("herd", "50", &[4.0, 2.0]), ("tokio", "50", &[1.0, 1.0])]);
        found.cells[0].rounds[1].generator_busy = 0.99;
        found.cells[1].rounds[0].void = Some("wrong reply".into());
        found.variants[1].differences = 7;
        let skipped = Some("apt-get install nodejs".into());
        found.variants.push(VariantInfo {
            name: "node".into(),
            skipped,
            conformed: None,
            differences: 0,
            keeps: false,
        });
        let page = html(&found);
        for part in [
            "herd beside tokio",
            "2023-11-14 22:13 UTC",
            "tokio: void</b> in 1 of 2 rounds: wrong reply",
            "herd (1 of 2 rounds)",
            "<b>node</b>: apt-get install nodejs",
            "tokio answers what the course asks, and differs from herd's own rules in 7 cases",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        for absent in ["http:", "https:", "<link", "<img", "@import", "NaN", ">inf"] {
            assert!(!page.contains(absent), "{absent} in {page}");
        }
        found.variants.iter_mut().for_each(|variant| variant.skipped = Some("gone".into()));
        assert!(html(&found).contains("Nothing was measured"));
    }

    #[test]
    fn a_variant_keeps_its_colour_and_none_shares_the_first_ones() {
        let names: Vec<_> = (0..COLOURS + 2).map(|number| format!("v{number}")).collect();
        let cells: Vec<(&str, &str, &[f64])> =
            names.iter().map(|name| (&name[..], "50", &[1.0][..])).collect();
        let found = report(&cells);
        for (name, expected) in [("v0", 0), ("v1", 1), ("v10", 10), ("v12", COLOURS), ("v13", 1)] {
            assert_eq!(colour(&found, name), expected, "{name}");
        }
    }
}
