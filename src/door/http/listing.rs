//! A page of clients: those in an area, or those nearest to a point. The thread for what takes long makes it, as it
//! walks the store; a worker makes it in its own turn where the index of positions has those who are nearest.

use super::name::write_segment;
use super::query::{BadParameter, Query};
use super::{feature, gzip};
use crate::limits::{AREA_READS_MAX, EVERYWHERE_M, HTTP_PAGE_BYTES};
use crate::node::{Clients, Node, Sought};
use crate::protocol::{Coordinates, Record};
use crate::store::{Area, Around};

/// What is to be listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    area: Option<Area>,
    near: Option<Around>,
    limit: usize,
    /// Behind this client, in the order of the store.
    after: Option<Vec<u8>>,
    /// Whom the asker may see.
    clients: Clients,
    /// The page is to be packed.
    is_packed: bool,
}

/// The area and the surroundings that a query names.
///
/// # Errors
/// A parameter is wrong, or lacks another one.
pub fn place_of(query: &Query) -> Result<(Option<Area>, Option<Around>), BadParameter> {
    let bad = |name: &str, why: &str| BadParameter { name: name.into(), why: why.into() };
    let area = query.numbers::<4>("bbox", "WEST,SOUTH,EAST,NORTH in degrees")?;
    if area.is_some_and(|[west, south, east, north]| {
        [west, east].iter().any(|degrees| degrees.abs() > 180.0)
            || [south, north].iter().any(|degrees| degrees.abs() > 90.0)
    }) {
        return Err(bad(
            "bbox",
            "bbox is WEST,SOUTH,EAST,NORTH: longitudes from -180 to 180, latitudes from -90 to 90",
        ));
    }
    if area.is_some_and(|[_, south, _, north]| south > north) {
        return Err(bad("bbox", "the south of bbox is more than its north"));
    }
    let point = query.numbers::<2>("near", "LATITUDE,LONGITUDE in degrees")?;
    if point.is_some_and(|[latitude, longitude]| latitude.abs() > 90.0 || longitude.abs() > 180.0) {
        return Err(bad("near", "near is LATITUDE,LONGITUDE: from -90 to 90, and from -180 to 180"));
    }
    let radius_m = query.numbers::<1>("radius_m", "a number of metres")?.map(|[radius_m]| radius_m);
    if radius_m.is_some_and(|radius_m| !(0.0..=EVERYWHERE_M).contains(&radius_m)) {
        return Err(bad(
            "radius_m",
            "radius_m is from 0 to 20037509, which is half the way around the earth",
        ));
    }
    if radius_m.is_some() && point.is_none() {
        return Err(bad("radius_m", "radius_m needs near=LATITUDE,LONGITUDE"));
    }
    let near = point.map(|[latitude_deg, longitude_deg]| {
        let at = Coordinates::of_degrees(latitude_deg, longitude_deg);
        Around::new(at, radius_m.unwrap_or(EVERYWHERE_M))
    });
    Ok((area.map(|[west, south, east, north]| Area { west, south, east, north }), near))
}

impl Listing {
    /// What a query asks for.
    ///
    /// # Errors
    /// A parameter is wrong, or two do not go together.
    pub fn of(query: &Query, limit: usize, clients: Clients) -> Result<Listing, BadParameter> {
        let bad = |name: &str, why: &str| BadParameter { name: name.into(), why: why.into() };
        let (area, near) = place_of(query)?;
        let after = query.bytes("after").map(<[u8]>::to_vec);
        if after.as_deref() == Some(b"") {
            return Err(bad("after", "after names no client"));
        }
        if after.is_some() && near.is_some() {
            return Err(bad("after", "the nearest clients have one page; ask for more by limit"));
        }
        Ok(Listing { area, near, limit, after, clients, is_packed: false })
    }

    /// The page, as GeoJSON. Takes as long as it takes to look at all clients, at most.
    pub fn page(&self, node: &Node) -> Vec<u8> {
        let page = self.unpacked(node);
        if self.is_packed { gzip::pack(page) } else { page }
    }

    /// The same, but packed if it pays.
    pub fn packed(self) -> Listing {
        Listing { is_packed: true, ..self }
    }

    fn unpacked(&self, node: &Node) -> Vec<u8> {
        let Some(around) = self.near else { return self.next_page(node) };
        let write = |record: &Record<&[u8]>, distance_m, out: &mut Vec<u8>| {
            let is_wanted = self.wants(record);
            if is_wanted {
                feature::write(record, Some(distance_m), out);
            }
            is_wanted
        };
        let sought = Sought { around, most: self.limit, write: &write };
        // Of those whom the index finds all have to be wanted, or it would look for ever.
        let found = if self.is_for_all() { node.nearest(&sought) } else { node.nearest_of_all(&sought) };
        Page::of(&found)
    }

    /// Whether it is of those nearest to a point.
    pub fn is_near(&self) -> bool {
        self.near.is_some()
    }

    /// The page, if it takes no longer than a turn may: the nearest of all clients, if there is an index.
    pub fn page_soon(&self, node: &Node) -> Option<Vec<u8>> {
        let around = self.near.filter(|_| self.is_for_all())?;
        let write = |record: &Record<&[u8]>, distance_m, out: &mut Vec<u8>| {
            feature::write(record, Some(distance_m), out);
            true
        };
        let page = Page::of(&node.nearest_soon(&Sought { around, most: self.limit, write: &write })?);
        Some(if self.is_packed { gzip::pack(page) } else { page })
    }

    /// Whether nobody is left out but for where they are.
    fn is_for_all(&self) -> bool {
        self.area.is_none() && self.clients == Clients::All
    }

    fn wants(&self, record: &Record<&[u8]>) -> bool {
        if !self.clients.has(record.client()) {
            return false;
        }
        self.area.as_ref().is_none_or(|area| {
            let (latitude_deg, longitude_deg) = record.degrees();
            area.has(latitude_deg, longitude_deg)
        })
    }

    /// Bucket by bucket, and by ID within each: an order in which nobody is missed who is there all the time. Of an area
    /// only those are looked at who may be in it, if the index can tell.
    fn next_page(&self, node: &Node) -> Vec<u8> {
        let store = &node.store;
        let first = self.after.as_deref().map_or(0, |after| store.bucket_with(after));
        let in_area = self.area.and_then(|area| store.hashes_in(&area.corners(), AREA_READS_MAX));
        let mut rest = in_area.as_deref().unwrap_or_default();
        rest = &rest[rest.partition_point(|&hash| store.bucket_of(hash) < first)..];
        let mut page = Page::default();
        for bucket in first..=*store.buckets().end() {
            let mut found = Vec::new();
            let see = |record: Record<&[u8]>| {
                let is_behind =
                    bucket != first || self.after.as_deref().is_none_or(|after| record.client() > after);
                if is_behind && self.wants(&record) {
                    let mut feature = Vec::new();
                    feature::write(&record, None, &mut feature);
                    found.push((record.client().to_vec(), feature));
                }
            };
            if in_area.is_some() {
                let count = rest.iter().take_while(|hash| store.bucket_of(**hash) == bucket).count();
                let (some, others) = rest.split_at(count);
                rest = others;
                node.see_hashes(some, see);
            } else {
                node.see_bucket(bucket, see);
            }
            found.sort_unstable();
            for (client, feature) in found {
                if page.count == self.limit || page.bytes.len() > HTTP_PAGE_BYTES {
                    let next = self.link_behind(&page.last);
                    return page.end(Some(&next));
                }
                page.add(&feature);
                page.last = client;
            }
        }
        page.end(None)
    }

    /// The target of the page behind a client.
    fn link_behind(&self, client: &[u8]) -> String {
        let mut link = format!("/v1/clients?limit={}", self.limit);
        if let Some(Area { west, south, east, north }) = self.area {
            link.push_str(&format!("&bbox={west},{south},{east},{north}"));
        }
        link.push_str("&after=");
        let mut segment = Vec::new();
        write_segment(client, &mut segment);
        link.push_str(&String::from_utf8_lossy(&segment));
        link
    }
}

/// A page in the making.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    count: usize,
    last: Vec<u8>,
}

impl Page {
    /// A whole page of these features.
    fn of(features: &[Vec<u8>]) -> Vec<u8> {
        let mut page = Page::default();
        features.iter().for_each(|feature| page.add(feature));
        page.end(None)
    }

    fn add(&mut self, feature: &[u8]) {
        if self.count > 0 {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(feature);
        self.count += 1;
    }

    fn end(self, next: Option<&str>) -> Vec<u8> {
        let mut whole = b"{\"type\":\"FeatureCollection\",\"features\":[".to_vec();
        whole.extend_from_slice(&self.bytes);
        whole.push(b']');
        if let Some(next) = next {
            whole.extend_from_slice(format!(",\"next\":\"{next}\"").as_bytes());
        }
        whole.extend_from_slice(b"}\n");
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Bounds;
    use crate::protocol::Command;

    fn node(clients: &[(&str, &str)]) -> Node {
        node_of(clients, true)
    }

    fn node_of(clients: &[(&str, &str)], is_indexed: bool) -> Node {
        let node = Node::new("Goloman", Bounds { is_indexed, ..Bounds::default() });
        for (client, location) in clients {
            let line = format!("AT Goloman +1 {client} {location} 1520023934");
            let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
            node.hear(&Record::write(&fields, &mut Vec::new()), 1_520_023_935_000_000_000);
        }
        node
    }

    fn listed(node: &Node, query: &str) -> (Vec<String>, Option<String>) {
        let query =
            Query::parse(query.as_bytes(), &["bbox", "near", "radius_m", "limit", "after"]).expect(query);
        let limit = query.number("limit", 1, 1_000).expect("a number").unwrap_or(100) as usize;
        let page = Listing::of(&query, limit, Clients::All).expect("valid").page(node);
        let json: serde_json::Value = serde_json::from_slice(&page).expect("JSON");
        let ids = json["features"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|feature| feature["id"].as_str().expect("text").to_owned());
        (ids.collect(), json["next"].as_str().map(str::to_owned))
    }

    #[test]
    fn pages_have_everybody_once_in_whatever_order() {
        let clients: Vec<_> = (0..250).map(|number| format!("c{number}/ä")).collect();
        let node = node(&clients.iter().map(|client| (client.as_str(), "+1+1")).collect::<Vec<_>>());
        let (mut found, mut query) = (Vec::new(), "limit=40".to_owned());
        loop {
            let (ids, next) = listed(&node, &query);
            assert!(ids.len() <= 40);
            found.extend(ids);
            let Some(next) = next else { break };
            query = next.split_once('?').expect("a query").1.to_owned();
        }
        found.sort();
        let mut expected = clients;
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_area_may_lie_across_the_date_line() {
        let node = node(&[
            ("fiji", "-18+178"),
            ("tonga", "-21-175"),
            ("line", "-17-180"),
            ("la", "+34-118"),
            ("pole", "+90+0"),
        ]);
        let ids = |query: &str| {
            let mut ids = listed(&node, query).0;
            ids.sort();
            ids.join(" ")
        };
        assert_eq!(ids("bbox=177,-22,-170,0"), "fiji line tonga");
        assert_eq!(ids("bbox=170,-22,180,0"), "fiji line");
        assert_eq!(ids("bbox=-180,-90,180,90"), "fiji la line pole tonga");
        assert_eq!(ids("bbox=-118,34,-118,34"), "la");
        assert_eq!(ids("bbox=0,0,10,10"), "");
    }

    /// Page by page, in areas of all sizes and at all edges.
    #[test]
    fn an_area_has_with_an_index_whom_it_has_without_one() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..10 {
            let clients: Vec<_> = (0..random.usize(1..1_500))
                .map(|number| {
                    let (latitude, longitude) = match random.u8(..4) {
                        0 => (0.0, [-180.0, 180.0, 0.0][random.usize(..3)]),
                        1 => ([-90.0, 90.0][random.usize(..2)], 360.0 * random.f64() - 180.0),
                        2 => (10.0 + 1e-6 * random.f64(), 20.0 + 1e-6 * random.f64()),
                        _ => (180.0 * random.f64() - 90.0, 360.0 * random.f64() - 180.0),
                    };
                    let decimals = random.usize(..12);
                    (format!("c{number}"), format!("{latitude:+.decimals$}{longitude:+.decimals$}"))
                })
                .collect();
            let clients: Vec<_> = clients.iter().map(|(id, at)| (id.as_str(), at.as_str())).collect();
            let [indexed, plain] = [true, false].map(|is_indexed| node_of(&clients, is_indexed));
            for _ in 0..50 {
                let (_, at) = clients[random.usize(..clients.len())];
                let spot = crate::protocol::Location::parse(at.as_bytes()).expect("a location");
                let [(south, north), (west, east)] =
                    [(spot.latitude_deg(), 90.0), (spot.longitude_deg(), 180.0)].map(|(edge, most)| {
                        let other: f64 = edge + [0.0, 1e-7, 3e-6, 10.0, 180.0][random.usize(..5)];
                        let other = other.min([most, edge + 5.0][random.usize(..2)]);
                        (edge, other.min(most))
                    });
                let (west, east) = if random.u8(..4) == 0 { (east, west) } else { (west, east) };
                let query = format!("bbox={west},{south},{east},{north}");
                assert!(indexed.store.hashes_in(&[], AREA_READS_MAX).is_some_and(|none| none.is_empty()));
                let whole = |node: &Node| {
                    let (mut all, mut next) = (Vec::new(), Some(format!("{query}&limit=400")));
                    while let Some(query) = next.take() {
                        let (ids, link) = listed(node, &query);
                        all.extend(ids);
                        next = link.map(|link| link.split_once('?').expect("a query").1.to_owned());
                    }
                    all.sort();
                    all
                };
                assert_eq!(whole(&indexed), whole(&plain), "seed {seed}: {query}");
            }
        }
    }

    #[test]
    fn the_nearest_come_first_over_date_line_and_pole() {
        let node = node(&[
            ("fiji", "-18+178"),
            ("tonga", "-21-175"),
            ("la", "+34-118"),
            ("north", "+89.9+10"),
            ("across", "+89.9-170"),
        ]);
        assert_eq!(listed(&node, "near=-18,179.9&limit=2").0, ["fiji", "tonga"]);
        assert_eq!(listed(&node, "near=-18,-179.9&radius_m=300000").0, ["fiji"]);
        assert_eq!(listed(&node, "near=89.95,10&limit=2").0, ["north", "across"]);
        assert_eq!(listed(&node, "near=34,-118&radius_m=0").0, ["la"]);
        let nobody = listed(&node, "near=0,0&radius_m=1000").0;
        assert!(nobody.is_empty());
    }
}
