//! The rings of an area whose border is in pieces: ways that are joined where they meet. `osm` does this for relations.

use std::collections::HashMap;

/// Joins lines, which are numbers of points, to rings and to lines that never close, both without their last point
/// where that is the first again.
pub fn join(lines: &[&[u32]]) -> Joined {
    let mut joined = Joined::default();
    let mut ends: HashMap<u32, Vec<usize>> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        if let (Some(first), Some(last)) = (line.first(), line.last()) {
            ends.entry(*first).or_default().push(index);
            ends.entry(*last).or_default().push(index);
        }
    }
    let mut used = vec![false; lines.len()];
    for start in 0..lines.len() {
        let Some(&first) = lines[start].first().filter(|_| !used[start]) else { continue };
        used[start] = true;
        let mut ring = lines[start].to_vec();
        // A line that begins where this one ends; each is looked at twice at most.
        while let Some(&last) = ring.last().filter(|last| **last != first || ring.len() == 1) {
            let next = ends.get_mut(&last).and_then(|there| {
                while let Some(index) = there.pop() {
                    if !used[index] {
                        return Some(index);
                    }
                }
                None
            });
            let Some(next) = next else { break };
            used[next] = true;
            let line = lines[next];
            if line.first() == Some(&last) {
                ring.extend(&line[1..]);
            } else {
                ring.extend(line[..line.len() - 1].iter().rev());
            }
        }
        if ring.len() > 3 && ring.last() == Some(&first) {
            ring.pop();
            joined.rings.push(ring);
        } else {
            joined.open.push(ring);
        }
    }
    joined
}

/// What lines were joined to.
#[derive(Debug, Default, PartialEq)]
pub struct Joined {
    pub rings: Vec<Vec<u32>>,
    pub open: Vec<Vec<u32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&[u32]], rings: &[&[u32]], open: &[&[u32]]) {
        let joined = join(lines);
        assert_eq!(
            (joined.rings, joined.open),
            (rings.iter().map(|r| r.to_vec()).collect(), open.iter().map(|r| r.to_vec()).collect()),
            "{lines:?}"
        );
    }

    #[test]
    fn pieces_in_any_order_and_direction() {
        check(&[&[1, 2, 3, 1]], &[&[1, 2, 3]], &[]);
        check(&[&[1, 2, 3], &[3, 4, 1]], &[&[1, 2, 3, 4]], &[]);
        check(&[&[1, 2, 3], &[1, 4, 3]], &[&[1, 2, 3, 4]], &[]);
        check(&[&[1, 2], &[9, 8, 7, 9], &[3, 2], &[3, 1]], &[&[1, 2, 3], &[9, 8, 7]], &[]);
        check(&[&[1, 2, 3], &[3, 4]], &[], &[&[1, 2, 3, 4]]);
        check(&[&[], &[5], &[1, 2]], &[], &[&[5], &[1, 2]]);
        check(&[&[1, 2], &[2, 1]], &[], &[&[1, 2, 1]]);
    }

    #[test]
    fn many_at_one_point_are_joined_in_no_time() {
        let lines: Vec<[u32; 2]> = (1..200_000).map(|point| [0, point]).collect();
        let lines: Vec<&[u32]> = lines.iter().map(|line| &line[..]).collect();
        assert_eq!(join(&lines).rings.len(), 0);
    }
}
