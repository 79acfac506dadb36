//! Writes extracts of OpenStreetMap, as far as the tests need them: nodes in columns, ways, relations, blobs.

/// An extract that is being written.
pub struct Extract {
    pub bytes: Vec<u8>,
    is_packed: bool,
}

type Tags<'a> = &'a [(&'a str, &'a str)];

/// Texts of a block; the first is empty, as the format wants it.
struct Texts(Vec<String>);

impl Texts {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(index) = self.0.iter().position(|known| known == text) {
            return index as u64;
        }
        self.0.push(text.to_owned());
        self.0.len() as u64 - 1
    }
}

pub fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub fn number_field(out: &mut Vec<u8>, field: u64, number: u64) {
    varint(out, field << 3);
    varint(out, number);
}

pub fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn packed(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::new();
    numbers.into_iter().for_each(|number| varint(&mut out, number));
    out
}

fn deltas(numbers: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let mut last = 0;
    packed(numbers.into_iter().map(|number| {
        let delta = number - last;
        last = number;
        zigzag(delta)
    }))
}

fn units(degrees: f64) -> i64 {
    (degrees * 1e7).round() as i64
}

/// A blob with its header.
pub fn blob(kind: &str, raw: &[u8], is_packed: bool) -> Vec<u8> {
    let mut blob = Vec::new();
    if is_packed {
        number_field(&mut blob, 2, raw.len() as u64);
        bytes_field(&mut blob, 3, &miniz_oxide::deflate::compress_to_vec_zlib(raw, 1));
    } else {
        bytes_field(&mut blob, 1, raw);
    }
    framed(kind, &blob)
}

/// What is in a blob already, with a header.
pub fn framed(kind: &str, blob: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    bytes_field(&mut header, 1, kind.as_bytes());
    number_field(&mut header, 3, blob.len() as u64);
    let mut out = (header.len() as u32).to_be_bytes().to_vec();
    out.extend(header);
    out.extend(blob);
    out
}

/// The blob that a file begins with; what reads it has to know these features.
pub fn head(features: &[&str]) -> Vec<u8> {
    let mut raw = Vec::new();
    features.iter().for_each(|feature| bytes_field(&mut raw, 4, feature.as_bytes()));
    blob("OSMHeader", &raw, false)
}

impl Extract {
    pub fn new(is_packed: bool) -> Extract {
        Extract { bytes: head(&["OsmSchema-V0.6", "DenseNodes"]), is_packed }
    }

    /// What goes on behind another one.
    pub fn more() -> Extract {
        Extract { bytes: Vec::new(), is_packed: true }
    }

    fn block(&mut self, texts: &Texts, group: &[u8]) {
        let (mut table, mut raw) = (Vec::new(), Vec::new());
        texts.0.iter().for_each(|text| bytes_field(&mut table, 1, text.as_bytes()));
        bytes_field(&mut raw, 1, &table);
        bytes_field(&mut raw, 2, group);
        self.bytes.extend(blob("OSMData", &raw, self.is_packed));
    }

    /// Nodes in columns: id, latitude, longitude, tags.
    pub fn nodes(mut self, nodes: &[(i64, f64, f64, Tags<'_>)]) -> Extract {
        let mut texts = Texts(vec![String::new()]);
        let mut tags = Vec::new();
        for (_, _, _, list) in nodes {
            for (key, value) in *list {
                tags.extend([texts.number(key), texts.number(value)]);
            }
            tags.push(0);
        }
        let (mut dense, mut group) = (Vec::new(), Vec::new());
        bytes_field(&mut dense, 1, &deltas(nodes.iter().map(|node| node.0)));
        bytes_field(&mut dense, 8, &deltas(nodes.iter().map(|node| units(node.1))));
        bytes_field(&mut dense, 9, &deltas(nodes.iter().map(|node| units(node.2))));
        if tags.iter().any(|tag| *tag != 0) {
            bytes_field(&mut dense, 10, &packed(tags));
        }
        bytes_field(&mut group, 2, &dense);
        self.block(&texts, &group);
        self
    }

    /// The same, one by one.
    pub fn single_nodes(mut self, nodes: &[(i64, f64, f64, Tags<'_>)]) -> Extract {
        let (mut texts, mut group) = (Texts(vec![String::new()]), Vec::new());
        for (id, latitude, longitude, tags) in nodes {
            let mut node = Vec::new();
            number_field(&mut node, 1, zigzag(*id));
            tagged(&mut node, &mut texts, tags);
            number_field(&mut node, 8, zigzag(units(*latitude)));
            number_field(&mut node, 9, zigzag(units(*longitude)));
            bytes_field(&mut group, 1, &node);
        }
        self.block(&texts, &group);
        self
    }

    /// Ways: id, nodes, tags.
    pub fn ways(mut self, ways: &[(i64, &[i64], Tags<'_>)]) -> Extract {
        let (mut texts, mut group) = (Texts(vec![String::new()]), Vec::new());
        for (id, nodes, tags) in ways {
            let mut way = Vec::new();
            number_field(&mut way, 1, *id as u64);
            tagged(&mut way, &mut texts, tags);
            bytes_field(&mut way, 8, &deltas(nodes.iter().copied()));
            bytes_field(&mut group, 3, &way);
        }
        self.block(&texts, &group);
        self
    }

    /// Relations of ways: id, ways, tags.
    pub fn relations(mut self, relations: &[(i64, &[i64], Tags<'_>)]) -> Extract {
        let (mut texts, mut group) = (Texts(vec![String::new()]), Vec::new());
        for (id, ways, tags) in relations {
            let mut relation = Vec::new();
            number_field(&mut relation, 1, *id as u64);
            tagged(&mut relation, &mut texts, tags);
            bytes_field(&mut relation, 8, &packed(ways.iter().map(|_| 0)));
            bytes_field(&mut relation, 9, &deltas(ways.iter().copied()));
            bytes_field(&mut relation, 10, &packed(ways.iter().map(|_| 1)));
            bytes_field(&mut group, 4, &relation);
        }
        self.block(&texts, &group);
        self
    }
}

fn tagged(out: &mut Vec<u8>, texts: &mut Texts, tags: Tags<'_>) {
    bytes_field(out, 2, &packed(tags.iter().map(|(key, _)| texts.number(key)).collect::<Vec<_>>()));
    bytes_field(out, 3, &packed(tags.iter().map(|(_, value)| texts.number(value)).collect::<Vec<_>>()));
}
