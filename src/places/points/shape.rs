//! A point for a geometry of GeoJSON: the middle of a line, a point inside an area. `geojson` and `osm` ask for it. The
//! crate `geo` can do it, too, and brings some thirty others.

use serde_json::Value;
use serde_json::value::RawValue;

use super::dateline::{Point, TURN_DEG, beside, unwound, unwound_ring, west_and_east, wrapped};
use super::json::{Object, fault, text};
use crate::limits::GEOMETRY_DEPTH_MAX;

/// A point on or inside a geometry; None for an empty one.
///
/// # Errors
/// It is no geometry.
pub fn point_of(geometry: &RawValue) -> Result<Option<Point>, String> {
    within(geometry, 0)
}

fn within(geometry: &RawValue, depth: usize) -> Result<Option<Point>, String> {
    if geometry.get() == "null" {
        return Ok(None);
    }
    let wrong = |why: serde_json::Error| format!("its geometry: {}", fault(&why));
    let geometry: Object<'_> = serde_json::from_str(geometry.get()).map_err(wrong)?;
    if geometry.is_empty() {
        return Ok(None);
    }
    let kind = geometry.get("type").and_then(text).ok_or("its geometry has no type")?;
    if kind == "GeometryCollection" {
        if depth >= GEOMETRY_DEPTH_MAX {
            return Err("its geometry is a collection of collections without end".to_owned());
        }
        let all = geometry.get("geometries").ok_or("a GeometryCollection without geometries")?;
        let all: Vec<&RawValue> = serde_json::from_str(all.get()).map_err(wrong)?;
        let mut points = all.iter().map(|one| within(one, depth + 1));
        return points.find(|point| !matches!(point, Ok(None))).unwrap_or(Ok(None));
    }
    let coordinates = geometry.get("coordinates").map(|all| serde_json::from_str(all.get()));
    let coordinates = &coordinates.transpose().map_err(wrong)?.unwrap_or(Value::Null);
    match &*kind {
        "Point" => point(coordinates),
        "MultiPoint" => Ok(points(coordinates)?.first().copied()),
        "LineString" => Ok(longest_middle(vec![points(coordinates)?])),
        "MultiLineString" => Ok(longest_middle(lines(coordinates)?)),
        "Polygon" => Ok(inside(lines(coordinates)?)),
        "MultiPolygon" => {
            let mut largest: (f64, Option<Point>) = (-1.0, None);
            for polygon in list(coordinates)? {
                let rings: Vec<_> = lines(polygon)?.into_iter().map(unwound_ring).collect();
                let size = rings.first().map_or(0.0, |ring| size_of(ring));
                if size > largest.0
                    && let Some(inside) = inside_unwound(rings)
                {
                    largest = (size, Some(inside));
                }
            }
            Ok(largest.1)
        }
        other => Err(format!("its geometry is a {other:?}, which GeoJSON does not have")),
    }
}

fn list(coordinates: &Value) -> Result<&[Value], String> {
    match coordinates {
        Value::Null => Ok(&[]),
        Value::Array(list) => Ok(list),
        _ => Err("the coordinates are no list".to_owned()),
    }
}

fn point(coordinates: &Value) -> Result<Option<Point>, String> {
    let list = list(coordinates)?;
    if list.iter().all(Value::is_null) {
        return Ok(None);
    }
    match (list.first().and_then(Value::as_f64), list.get(1).and_then(Value::as_f64)) {
        (Some(longitude), Some(latitude)) => Ok(Some((longitude, latitude))),
        _ => Err("the coordinates are not two numbers".to_owned()),
    }
}

fn points(coordinates: &Value) -> Result<Vec<Point>, String> {
    list(coordinates)?.iter().filter_map(|one| point(one).transpose()).collect()
}

fn lines(coordinates: &Value) -> Result<Vec<Vec<Point>>, String> {
    list(coordinates)?.iter().map(points).collect()
}

/// The middle of the longest of several lines.
pub fn longest_middle(lines: Vec<Vec<Point>>) -> Option<Point> {
    let lines = lines.into_iter().map(|line| unwound(&line).unwrap_or(line));
    let longest = lines.max_by(|a, b| length_of(a).total_cmp(&length_of(b)));
    longest.and_then(|line| middle(&line)).map(wrapped)
}

fn apart((a, b): (Point, Point)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

fn length_of(line: &[Point]) -> f64 {
    line.iter().copied().zip(line.iter().copied().skip(1)).map(apart).sum()
}

/// The point half way along a line.
fn middle(line: &[Point]) -> Option<Point> {
    let mut left = length_of(line) / 2.0;
    for (a, b) in line.iter().copied().zip(line.iter().copied().skip(1)) {
        let length = apart((a, b));
        if length > 0.0 && left <= length {
            let part = left / length;
            return Some((a.0 + part * (b.0 - a.0), a.1 + part * (b.1 - a.1)));
        }
        left -= length;
    }
    line.first().copied()
}

/// Twice the area of a ring.
fn size_of(ring: &[Point]) -> f64 {
    let (Some(&last), pairs) = (ring.last(), ring.iter().copied()) else { return 0.0 };
    let before = std::iter::once(last).chain(ring.iter().copied());
    before.zip(pairs).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>().abs()
}

/// A point inside an area of rings, of which the first is the outer one: its centre where that is inside, and else the
/// middle of the widest stretch inside it at the height of the centre, or a little off it.
pub fn inside(rings: Vec<Vec<Point>>) -> Option<Point> {
    inside_unwound(rings.into_iter().map(unwound_ring).collect())
}

/// The same where the largest is the outer one.
pub fn inside_largest(rings: Vec<Vec<Point>>) -> Option<Point> {
    let mut rings: Vec<_> = rings.into_iter().map(unwound_ring).collect();
    let largest = (0..rings.len()).max_by(|a, b| size_of(&rings[*a]).total_cmp(&size_of(&rings[*b])));
    if let Some(largest) = largest {
        rings.swap(0, largest);
    }
    inside_unwound(rings)
}

fn inside_unwound(mut rings: Vec<Vec<Point>>) -> Option<Point> {
    let (west, east) = west_and_east(rings.first().filter(|ring| !ring.is_empty())?);
    for ring in rings.iter_mut().skip(1) {
        // A hole is written on either side of the date line.
        let first = ring.first().map_or(0.0, |point| point.0);
        if !(west..=east).contains(&first) && first.abs() <= TURN_DEG {
            let shift = beside(first, (west + east) / 2.0) - first;
            ring.iter_mut().for_each(|point| point.0 += shift);
        }
    }
    point_inside(&rings).map(wrapped)
}

fn point_inside(rings: &[Vec<Point>]) -> Option<Point> {
    let outer = rings.first().filter(|ring| !ring.is_empty())?;
    let centre = centre_of(outer);
    if stretches(rings, centre.1).iter().any(|(from, to)| *from < centre.0 && centre.0 < *to) {
        return Some(centre);
    }
    let heights = outer.iter().map(|point| point.1);
    let (low, high) = (heights.clone().fold(f64::MAX, f64::min), heights.fold(f64::MIN, f64::max));
    // The centre of a bent area may lie beyond it.
    let tried = [centre.1, (low + high) / 2.0, low + (high - low) / 3.0, low + (high - low) * 0.7];
    let widest = tried.iter().flat_map(|&height| {
        stretches(rings, height).into_iter().map(move |(from, to)| (to - from, ((from + to) / 2.0, height)))
    });
    let widest = widest.reduce(|best, one| if one.0 > best.0 { one } else { best });
    let widest = widest.filter(|(width, _)| *width > 0.0);
    // A flat one has no inside.
    Some(widest.map_or(outer[0], |(_, point)| point))
}

fn centre_of(ring: &[Point]) -> Point {
    // Relative to a point of it, as products of whole degrees lose the digits of a house.
    let origin = ring[0];
    let (mut twice, mut x, mut y) = (0.0, 0.0, 0.0);
    for (a, b) in ring.iter().zip(ring.iter().skip(1).chain(ring.first())) {
        let (a, b) = ((a.0 - origin.0, a.1 - origin.1), (b.0 - origin.0, b.1 - origin.1));
        let cross = a.0 * b.1 - b.0 * a.1;
        (twice, x, y) = (twice + cross, x + (a.0 + b.0) * cross, y + (a.1 + b.1) * cross);
    }
    if twice == 0.0 { origin } else { (origin.0 + x / (3.0 * twice), origin.1 + y / (3.0 * twice)) }
}

/// From where to where a line at one height is inside, by how often it crosses the rings.
fn stretches(rings: &[Vec<Point>], height: f64) -> Vec<(f64, f64)> {
    let mut crossings = Vec::new();
    for ring in rings {
        for (a, b) in ring.iter().zip(ring.iter().skip(1).chain(ring.first())) {
            if (a.1 > height) != (b.1 > height) {
                crossings.push(a.0 + (height - a.1) / (b.1 - a.1) * (b.0 - a.0));
            }
        }
    }
    crossings.sort_by(f64::total_cmp);
    crossings.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(geometry: &str, expected: Option<Point>) {
        let found = point_of(serde_json::from_str(geometry).expect("JSON")).expect("a geometry");
        let is_near = |(a, b): (Point, Point)| apart((a, b)) < 1e-9;
        assert!(found.zip(expected).map_or(found == expected, is_near), "{geometry}: {found:?}");
    }

    #[test]
    fn every_geometry_has_a_point_on_or_inside_it() {
        check(r#"{"type":"Point","coordinates":[8.25,50,99]}"#, Some((8.25, 50.0)));
        check(r#"{"type":"Point","coordinates":[]}"#, None);
        check(r#"{"type":"MultiPoint","coordinates":[[1,2],[3,4]]}"#, Some((1.0, 2.0)));
        check(r#"{"type":"LineString","coordinates":[[0,0],[10,0],[10,2]]}"#, Some((6.0, 0.0)));
        check(r#"{"type":"MultiLineString","coordinates":[[[0,0],[1,0]],[[0,5],[4,5]]]}"#, Some((2.0, 5.0)));
        check(r#"{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,2],[0,2],[0,0]]]}"#, Some((2.0, 1.0)));
        // The centre is in the hole.
        let hole = r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,9],[0,0]],[[1,1],[8,1],[8,8],[1,8],[1,1]]]}"#;
        check(hole, Some((0.5, 4.5)));
        // The centre is beside it.
        check(
            r#"{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,1],[1,1],[1,8],[9,8],[9,9],[0,9],[0,0]]]}"#,
            Some((0.5, 4.5)),
        );
        let two = r#"{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,1],[0,0]]],
            [[[5,5],[9,5],[9,9],[5,9],[5,5]]]]}"#;
        check(two, Some((7.0, 7.0)));
        check(r#"{"type":"Polygon","coordinates":[[[3,3],[3,3],[3,3]]]}"#, Some((3.0, 3.0)));
        check(r#"{"type":"Polygon","coordinates":[]}"#, None);
        let empty_first = r#"{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[]},
            {"type":"LineString","coordinates":[[1,1],[1,3]]}]}"#;
        check(empty_first, Some((1.0, 2.0)));
        check(r#"{"type":"GeometryCollection","geometries":[]}"#, None);
    }

    #[test]
    fn a_shape_over_the_date_line_has_its_point_there() {
        // As longitudes that jump, that go on to the east, and that go on to the west.
        for shift in [[0.0, 0.0], [0.0, 360.0], [-360.0, 0.0]] {
            let east = |longitude: f64| longitude + shift[0];
            let west = |longitude: f64| longitude + shift[1];
            let (a, b, c, d) = (east(179.0), west(-177.0), west(-179.9), east(179.5));
            check(
                &format!(r#"{{"type":"LineString","coordinates":[[{a},1],[{b},1]]}}"#),
                Some((-179.0, 1.0)),
            );
            check(
                &format!(r#"{{"type":"MultiLineString","coordinates":[[[8,1],[9,1]],[[{a},1],[{b},1]]]}}"#),
                Some((-179.0, 1.0)),
            );
            let ring = format!("[[{a},0],[{b},0],[{b},2],[{a},2],[{a},0]]");
            check(&format!(r#"{{"type":"Polygon","coordinates":[{ring}]}}"#), Some((-179.0, 1.0)));
            let small = "[[[8,0],[10,0],[10,2],[8,2],[8,0]]]";
            let two = format!(r#"{{"type":"MultiPolygon","coordinates":[{small},[{ring}]]}}"#);
            check(&two, Some((-179.0, 1.0)));
            // A hole around the centre, written on one side or the other.
            let hole = format!("[[{d},0.5],[{c},0.5],[{c},1.5],[{d},1.5],[{d},0.5]]");
            check(&format!(r#"{{"type":"Polygon","coordinates":[{ring},{hole}]}}"#), Some((-179.0, 1.0)));
            let hole = "[[-179.5,0.5],[-178.5,0.5],[-178.5,1.5],[-179.5,1.5],[-179.5,0.5]]";
            check(&format!(r#"{{"type":"Polygon","coordinates":[{ring},{hole}]}}"#), Some((179.75, 1.0)));
        }
        // One that jumps where it closes only.
        let ring = [(-179.0, 0.0), (-178.0, 0.0), (-178.0, 2.0), (179.0, 2.0)];
        assert!(inside(vec![ring.to_vec()]).is_some_and(|at| at.0 < -178.0 || at.0 > 179.0));
        // The border of the world, and of what is around a pole, with it and without it.
        check(
            r#"{"type":"Polygon","coordinates":[[[-180,-90],[180,-90],[180,90],[-180,90],[-180,-90]]]}"#,
            Some((0.0, 0.0)),
        );
        let ice = "[-180,-80],[-90,-70],[0,-75],[90,-70],[180,-80]";
        for pole in ["", ",[180,-90],[-180,-90]", ",[180,-90],[0,-90],[-180,-90]"] {
            let ring = format!(r#"{{"type":"Polygon","coordinates":[[{ice}{pole},[-180,-80]]]}}"#);
            let found = point_of(serde_json::from_str(&ring).expect("JSON")).expect("one");
            assert!(found.is_some_and(|at| at.1 < -72.0 && at.0.abs() <= 180.0), "{pole}: {found:?}");
        }
        // Metres stay metres.
        check(
            r#"{"type":"LineString","coordinates":[[385000,6672000],[386000,6672000]]}"#,
            Some((385_500.0, 6_672_000.0)),
        );
    }

    #[test]
    fn what_is_no_geometry_is_told() {
        for (geometry, expected) in [
            (r#"{"coordinates":[1,2]}"#, "no type"),
            (r#"{"type":"Circle"}"#, "does not have"),
            (r#"{"type":"Point","coordinates":["8",50]}"#, "not two numbers"),
            (r#"{"type":"Point","coordinates":8}"#, "no list"),
            (r#"{"type":"Polygon","coordinates":[[8,50]]}"#, "no list"),
        ] {
            let why = point_of(serde_json::from_str(geometry).expect("JSON")).expect_err(geometry);
            assert!(why.contains(expected), "{geometry}: {why}");
        }
        let nested = (0..20).fold(r#"{"type":"Point","coordinates":[1,1]}"#.to_owned(), |inner, _| {
            format!(r#"{{"type":"GeometryCollection","geometries":[{inner}]}}"#)
        });
        let why = point_of(serde_json::from_str(&nested).expect("JSON"));
        assert!(why.is_err());
    }

    #[test]
    fn a_point_inside_is_inside_whatever_the_shape() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            // A star: rays of any length, all the way round.
            let count = random.usize(3..20);
            let ring = (0..count).map(|ray| {
                let (turn, length) = (std::f64::consts::TAU * ray as f64 / count as f64, 0.1 + random.f64());
                (24.0 + length * turn.cos(), 60.0 + length * turn.sin())
            });
            let ring: Vec<_> = ring.collect();
            let found = inside(vec![ring.clone()]).expect("one");
            let is_in =
                stretches(&[ring], found.1).iter().any(|(from, to)| *from <= found.0 && found.0 <= *to);
            assert!(is_in, "{found:?}");
        }
    }
}
