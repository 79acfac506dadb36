//! Shapes over the date line. Files write them with longitudes that jump from 180 to -180 there, or that go on beyond
//! either. `shape` has both go on before it computes anything, and wraps the point that it finds.

/// Longitude and latitude.
pub type Point = (f64, f64);

/// All the way round. Longitudes beyond it are no degrees, and are left as they are for whoever looks at the point.
pub const TURN_DEG: f64 = 360.0;

/// A line whose longitudes go on across the date line; None where they do as they are.
pub fn unwound(line: &[Point]) -> Option<Vec<Point>> {
    let jumps = |(a, b): (&Point, &Point)| (a.0 - b.0).abs() > 180.0;
    let is_degrees = |point: &Point| point.0.abs() <= TURN_DEG;
    if !line.iter().zip(line.iter().skip(1)).any(jumps) || !line.iter().all(is_degrees) {
        return None;
    }
    let mut last = line.first()?.0;
    let step = |&(longitude, latitude): &Point| {
        last = beside(longitude, last);
        (last, latitude)
    };
    Some(line.iter().map(step).collect())
}

/// The same longitude, no more than half way round the Earth from another one.
pub fn beside(longitude: f64, other: f64) -> f64 {
    let apart = other - longitude;
    if apart.abs() <= 180.0 { longitude } else { longitude + (apart / TURN_DEG).round() * TURN_DEG }
}

/// A ring whose longitudes go on across the date line. One that goes round a pole is made to have that inside it.
pub fn unwound_ring(ring: Vec<Point>) -> Vec<Point> {
    let first_and_last = ring.first().copied().zip(ring.last().copied());
    // It may jump where it closes only.
    let closes_far = first_and_last.is_some_and(|(first, last)| (first.0 - last.0).abs() > 180.0);
    let mut found = match unwound(&ring) {
        Some(found) => found,
        None if closes_far && ring.iter().all(|point| point.0.abs() <= TURN_DEG) => ring.clone(),
        None => return ring,
    };
    let Some((first, last)) = found.first().copied().zip(found.last().copied()) else { return ring };
    let (west, east) = west_and_east(&found);
    // The border of a map of the world jumps, too, and is no line at the date line.
    if east - west <= 0.0 {
        return ring;
    }
    if (first.0 - last.0).abs() > 180.0 {
        let pole = if found.iter().map(|point| point.1).sum::<f64>() < 0.0 { -90.0 } else { 90.0 };
        let end = first.0 + if last.0 > first.0 { TURN_DEG } else { -TURN_DEG };
        found.extend([(end, first.1), (end, pole), (first.0, pole)]);
    }
    found
}

pub fn west_and_east(ring: &[Point]) -> (f64, f64) {
    let longitudes = ring.iter().map(|point| point.0);
    (longitudes.clone().fold(f64::MAX, f64::min), longitudes.fold(f64::MIN, f64::max))
}

/// The same point with a longitude from -180 to 180, if it can be one.
pub fn wrapped((longitude, latitude): Point) -> Point {
    let beyond = longitude.abs() > 180.0 && longitude.abs() <= 2.0 * TURN_DEG;
    (if beyond { beside(longitude, 0.0) } else { longitude }, latitude)
}
