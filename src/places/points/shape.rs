//! A point for a geometry of GeoJSON: the middle of a line, a point inside an area. `geojson` and `osm` ask for it. The
//! crate `geo` can do it, too, and brings some thirty others.

use serde_json::Value;

use crate::limits::GEOMETRY_DEPTH_MAX;

/// Longitude and latitude.
type Point = (f64, f64);

/// A point on or inside a geometry; None for an empty one.
///
/// # Errors
/// It is no geometry.
pub fn point_of(geometry: &Value) -> Result<Option<Point>, String> {
    within(geometry, 0)
}

fn within(geometry: &Value, depth: usize) -> Result<Option<Point>, String> {
    if geometry.is_null() || geometry.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(None);
    }
    let kind = geometry.get("type").and_then(Value::as_str).ok_or("its geometry has no type")?;
    if kind == "GeometryCollection" {
        if depth >= GEOMETRY_DEPTH_MAX {
            return Err("its geometry is a collection of collections without end".to_owned());
        }
        let all = geometry
            .get("geometries")
            .and_then(Value::as_array)
            .ok_or("a GeometryCollection without geometries")?;
        let mut points = all.iter().map(|one| within(one, depth + 1));
        return points.find(|point| !matches!(point, Ok(None))).unwrap_or(Ok(None));
    }
    let none = Value::Null;
    let coordinates = geometry.get("coordinates").unwrap_or(&none);
    match kind {
        "Point" => point(coordinates),
        "MultiPoint" => Ok(points(coordinates)?.first().copied()),
        "LineString" => Ok(middle(&points(coordinates)?)),
        "MultiLineString" => longest(coordinates, points),
        "Polygon" => area(coordinates),
        "MultiPolygon" => {
            let mut largest: (f64, Option<Point>) = (-1.0, None);
            for polygon in list(coordinates)? {
                let size = list(polygon)?.first().map(points).transpose()?.map_or(0.0, |ring| size_of(&ring));
                if size > largest.0
                    && let Some(inside) = area(polygon)?
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

/// The middle of the longest of several lines.
fn longest(
    lines: &Value,
    points: impl Fn(&Value) -> Result<Vec<Point>, String>,
) -> Result<Option<Point>, String> {
    Ok(longest_middle(&list(lines)?.iter().map(points).collect::<Result<Vec<_>, _>>()?))
}

/// The same of lines as points.
pub fn longest_middle(lines: &[Vec<Point>]) -> Option<Point> {
    let longest = lines.iter().max_by(|a, b| length_of(a).total_cmp(&length_of(b)));
    longest.and_then(|line| middle(line))
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

/// A point inside an area with holes: its centre where that is inside, and else the middle of the widest stretch
/// inside it at the height of the centre, or a little off it.
fn area(rings: &Value) -> Result<Option<Point>, String> {
    let rings = list(rings)?.iter().map(points).collect::<Result<Vec<_>, _>>()?;
    Ok(inside(&rings))
}

/// The same of rings, of which the first is the outer one.
pub fn inside(rings: &[Vec<Point>]) -> Option<Point> {
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

/// Rings with the largest one in front.
pub fn largest_first(mut rings: Vec<Vec<Point>>) -> Vec<Vec<Point>> {
    let largest = (0..rings.len()).max_by(|a, b| size_of(&rings[*a]).total_cmp(&size_of(&rings[*b])));
    if let Some(largest) = largest {
        rings.swap(0, largest);
    }
    rings
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
        let found = point_of(&serde_json::from_str(geometry).expect("JSON")).expect("a geometry");
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
    fn what_is_no_geometry_is_told() {
        for (geometry, expected) in [
            (r#"{"coordinates":[1,2]}"#, "no type"),
            (r#"{"type":"Circle"}"#, "does not have"),
            (r#"{"type":"Point","coordinates":["8",50]}"#, "not two numbers"),
            (r#"{"type":"Point","coordinates":8}"#, "no list"),
            (r#"{"type":"Polygon","coordinates":[[8,50]]}"#, "no list"),
        ] {
            let why = point_of(&serde_json::from_str(geometry).expect("JSON")).expect_err(geometry);
            assert!(why.contains(expected), "{geometry}: {why}");
        }
        let nested = (0..20).fold(r#"{"type":"Point","coordinates":[1,1]}"#.to_owned(), |inner, _| {
            format!(r#"{{"type":"GeometryCollection","geometries":[{inner}]}}"#)
        });
        let why = point_of(&serde_json::from_str(&nested[..]).expect("JSON"));
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
            let found = inside(std::slice::from_ref(&ring)).expect("one");
            let is_in =
                stretches(&[ring], found.1).iter().any(|(from, to)| *from <= found.0 && found.0 <= *to);
            assert!(is_in, "{found:?}");
        }
    }
}
