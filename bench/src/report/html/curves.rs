//! A line for every variant over a shared axis, on a logarithmic scale. Widths are in percent of
//! the drawing and heights in pixels, so the text keeps its size on a narrow screen.

use std::fmt::Write;

use super::escape;

/// Where the lines are drawn: percent of the width, and pixels of the height. The names of the
/// axes are left of it and below.
const LEFT: f64 = 14.0;
const RIGHT: f64 = 98.0;
const TOP_PX: f64 = 10.0;
const BOTTOM_PX: f64 = 250.0;
const HEIGHT_PX: f64 = 274.0;

pub struct Curve<'a> {
    pub name: &'a str,
    pub colour: usize,
    pub points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Of the axis, 0 to 1.
    pub share: f64,
    pub value: f64,
    /// Whether a line leads to it from the point before.
    pub is_joined: bool,
}

/// A mark of the horizontal axis: the share of the axis and its name.
pub type Tick = (f64, String);

/// The drawing with its legend; `unit` names a value of the vertical axis.
pub fn curves(label: &str, curves: &[Curve], ticks: &[Tick], unit: fn(f64) -> String) -> String {
    let points = curves.iter().flat_map(|curve| &curve.points);
    let Some(scale) = Scale::of(points.map(|point| point.value)) else {
        return "<p>There is nothing to draw.</p>\n".into();
    };
    let mut svg = format!(
        "<svg class=\"curves\" width=\"100%\" height=\"{HEIGHT_PX}\" role=\"img\" aria-label=\"{}\">\n",
        escape(label)
    );
    svg += &grid(scale, ticks, unit);
    // The first variant is drawn last, over the others.
    for curve in curves.iter().rev() {
        let _ = writeln!(svg, "{}", line(curve, scale));
    }
    svg + "</svg>\n" + &legend(curves)
}

fn grid(scale: Scale, ticks: &[Tick], unit: fn(f64) -> String) -> String {
    let mut text = String::new();
    for value in scale.ticks() {
        let y = scale.y(value);
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{LEFT}%\" x2=\"{RIGHT}%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"0\" y=\"{:.1}\">{}</text>",
            y + 4.0,
            unit(value)
        );
    }
    for (share, name) in ticks {
        let (x, y) = (x(*share), BOTTOM_PX + 18.0);
        let class = if *share >= 1.0 { "end" } else { "middle" };
        let _ = writeln!(
            text,
            "<line class=\"grid\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{TOP_PX}\" y2=\"{BOTTOM_PX}\"/>\
             <text class=\"{class}\" x=\"{x:.2}%\" y=\"{y}\">{}</text>",
            escape(name)
        );
    }
    text
}

fn line(curve: &Curve, scale: Scale) -> String {
    let mut text = format!("<g class=\"curve v{}\"><title>{}</title>", curve.colour, escape(curve.name));
    for pair in curve.points.windows(2) {
        if let [from, to] = pair
            && to.is_joined
        {
            let _ = write!(
                text,
                "<line x1=\"{:.2}%\" y1=\"{:.1}\" x2=\"{:.2}%\" y2=\"{:.1}\"/>",
                x(from.share),
                scale.y(from.value),
                x(to.share),
                scale.y(to.value)
            );
        }
    }
    for point in &curve.points {
        let (x, y) = (x(point.share), scale.y(point.value));
        let _ = write!(text, "<circle cx=\"{x:.2}%\" cy=\"{y:.1}\" r=\"2.5\"/>");
    }
    text + "</g>"
}

fn legend(curves: &[Curve]) -> String {
    let mut list = String::from("<ul class=\"legend\">\n");
    for curve in curves {
        let _ = writeln!(
            list,
            "<li><svg width=\"26\" height=\"10\" aria-hidden=\"true\"><g class=\"curve v{}\">\
             <line x1=\"1\" y1=\"5\" x2=\"25\" y2=\"5\"/></g></svg>{}</li>",
            curve.colour,
            escape(curve.name)
        );
    }
    list + "</ul>\n"
}

/// Percent of the width.
fn x(share: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * share
}

/// A logarithmic scale from one round number to another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// That has these, or nothing if there are none above 0.
    fn of(values: impl Iterator<Item = f64>) -> Option<Scale> {
        let values: Vec<_> = values.filter(|value| value.is_finite() && *value > 0.0).collect();
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().reduce(f64::max)?;
        let below = rounds(low).filter(|&round| round <= low).fold(0.0, f64::max);
        let above = rounds(high).filter(|&round| round > high).fold(f64::INFINITY, f64::min);
        Some(Scale { low: below, high: above })
    }

    /// Pixels from the top; what is below the scale lies on its lower end.
    fn y(self, value: f64) -> f64 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        BOTTOM_PX - (BOTTOM_PX - TOP_PX) * share
    }

    /// The powers of ten in it, or where those are few, 1, 2 and 5 times them.
    fn ticks(self) -> Vec<f64> {
        let is_wide = self.high / self.low > 200.0;
        let steps: &[f64] = if is_wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        (first..=last)
            .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
            .filter(|value| (self.low * 0.999..=self.high * 1.001).contains(value))
            .collect()
    }
}

/// 1, 2 and 5 times the powers of ten around a value.
fn rounds(value: f64) -> impl Iterator<Item = f64> {
    let power = value.log10().floor() as i32;
    (power - 1..=power + 1).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_round_numbers_around_the_values() {
        for (values, low, high, ticks) in [
            (&[30.0, 150.0][..], 20.0, 200.0, &[20.0, 50.0, 100.0, 200.0][..]),
            (&[100.0], 100.0, 200.0, &[100.0, 200.0]),
            (&[0.0, 3.0, 9_000.0], 2.0, 10_000.0, &[10.0, 100.0, 1_000.0, 10_000.0]),
        ] {
            let scale = Scale::of(values.iter().copied()).expect("values");
            assert_eq!((scale, &scale.ticks()[..]), (Scale { low, high }, ticks), "{values:?}");
        }
        assert_eq!(Scale::of([0.0, f64::NAN].into_iter()), None);
    }

    #[test]
    fn values_are_placed_by_their_logarithm() {
        let scale = Scale { low: 10.0, high: 1_000.0 };
        for (value, y) in [(0.0, 250.0), (10.0, 250.0), (100.0, 130.0), (1_000.0, 10.0)] {
            assert!((scale.y(value) - y).abs() < 1e-9, "{value} at {}", scale.y(value));
        }
        assert_eq!((x(0.0), x(0.5), x(1.0)), (14.0, 56.0, 98.0));
    }

    #[test]
    fn a_point_that_is_not_joined_stands_alone() {
        let point = |share, is_joined| Point { share, value: 5.0, is_joined };
        let points = vec![point(0.0, false), point(0.5, true), point(1.0, false)];
        let svg = line(&Curve { name: "a&b", colour: 2, points }, Scale { low: 1.0, high: 10.0 });
        assert_eq!((svg.matches("<line").count(), svg.matches("<circle").count()), (1, 3));
        assert!(svg.contains("<title>a&amp;b</title>") && svg.contains("x1=\"14.00%\""), "{svg}");
    }
}
