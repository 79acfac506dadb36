//! A bar for every variant, with a whisker from quartile to quartile. Lengths are in percent of
//! the drawing and heights in pixels, so the text keeps its size on a narrow screen.

use std::fmt::Write;

use super::escape;
use crate::stats::Spread;

/// From the name of one bar to that of the next, in pixels.
const ROW_PX: usize = 34;

pub struct Bar<'a> {
    pub name: &'a str,
    pub colour: usize,
    /// Nothing where there is no figure; `says` tells why.
    pub spread: Option<Spread>,
    /// The figure in words, at the right end.
    pub says: String,
}

/// The drawing of these, and a line at `mark`.
pub fn bars(label: &str, bars: &[Bar], mark: Option<f64>) -> String {
    let full = full(bars.iter().filter_map(|bar| bar.spread), mark);
    let height = bars.len() * ROW_PX;
    let mut svg = format!(
        "<svg class=\"bars\" width=\"100%\" height=\"{height}\" role=\"img\" aria-label=\"{}\">\n",
        escape(label)
    );
    for (index, bar) in bars.iter().enumerate() {
        let _ = writeln!(svg, "{}", row(bar, index * ROW_PX, full));
    }
    if let Some(mark) = mark {
        let x = percent(mark, full);
        for (index, _) in bars.iter().enumerate() {
            // Beside the bars only: across the words it would be hard to read.
            let (top, bottom) = (index * ROW_PX + 16, index * ROW_PX + 28);
            let _ = writeln!(
                svg,
                "<line class=\"mark\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{top}\" y2=\"{bottom}\"/>"
            );
        }
    }
    svg + "</svg>\n"
}

fn row(bar: &Bar, top: usize, full: f64) -> String {
    let (text, bar_top, middle, bottom) = (top + 12, top + 17, top + 22, top + 27);
    let mut row = format!(
        "<g class=\"v{}\"><text x=\"0\" y=\"{text}\">{}</text>\
         <text class=\"end\" x=\"100%\" y=\"{text}\">{}</text>",
        bar.colour,
        escape(bar.name),
        escape(&bar.says)
    );
    if let Some(spread) = bar.spread {
        let [low, median, high] =
            [spread.lower_quartile, spread.median, spread.upper_quartile].map(|value| percent(value, full));
        let _ = write!(
            row,
            "<rect x=\"0\" y=\"{bar_top}\" width=\"{median:.2}%\" height=\"10\" rx=\"2\"/>\
             <g class=\"whisker\"><line x1=\"{low:.2}%\" x2=\"{high:.2}%\" y1=\"{middle}\" y2=\"{middle}\"/>"
        );
        for x in [low, high] {
            let _ = write!(row, "<line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{bar_top}\" y2=\"{bottom}\"/>");
        }
        row += "</g>";
    }
    row + "</g>"
}

/// The value whose bar is as long as the drawing is wide.
fn full(spreads: impl Iterator<Item = Spread>, mark: Option<f64>) -> f64 {
    let greatest = spreads.map(|spread| spread.upper_quartile).chain(mark).fold(0.0, f64::max);
    if greatest > 0.0 { greatest } else { 1.0 }
}

/// How long the bar of a value is; a little is left for the line of the whisker at the end.
fn percent(value: f64, full: f64) -> f64 {
    99.0 * (value / full).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        for (value, full, expected) in
            [(0.0, 2.0, 0.0), (1.0, 2.0, 49.5), (2.0, 2.0, 99.0), (3.0, 2.0, 99.0), (0.5, 2.0, 24.75)]
        {
            assert_eq!(percent(value, full), expected, "{value} of {full}");
        }
        let spread = |value| Spread::of([value]).expect("a value");
        for (values, mark, expected) in [
            (&[1.0, 4.0][..], Some(1.0), 4.0),
            (&[0.5], Some(1.0), 1.0),
            (&[0.5], None, 0.5),
            (&[], None, 1.0),
        ] {
            assert_eq!(full(values.iter().map(|&value| spread(value)), mark), expected);
        }
    }

    #[test]
    fn a_bar_has_a_whisker_and_a_void_one_is_words_only() {
        let spread = Spread::of([1.0, 2.0, 3.0, 4.0, 5.0]);
        let drawn = |spread| bars("", &[Bar { name: "<a>", colour: 3, spread, says: "void".into() }], None);
        let svg = drawn(spread);
        for part in ["&lt;a&gt;", "class=\"v3\"", "width=\"74.25%\"", "x1=\"49.50%\" x2=\"99.00%\""] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        let svg = drawn(None);
        assert!(svg.contains(">void<") && !svg.contains("<rect") && !svg.contains("<line"), "{svg}");
    }
}
