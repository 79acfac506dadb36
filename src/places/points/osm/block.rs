//! A block of an extract: its table of texts, and the nodes, ways and relations that take theirs from it.
//! `osm` goes over them. They are read where they stand: a block costs no memory beside its bytes, whatever it claims.

use super::keys::{Class, Keys};
use super::wire::{Damage, Deltas, Field, Message, Numbers, zigzag};

/// Kinds of elements, as bits.
pub const NODES: u8 = 1;
pub const WAYS: u8 = 2;
pub const RELATIONS: u8 = 4;

/// Members of a relation that are ways.
const MEMBER_WAY: u64 = 1;

/// The texts of a block; kept from block to block for its memory, which is at most 80 MB.
#[derive(Default)]
pub struct Texts {
    starts: Vec<u32>,
    /// What each means as a key.
    classes: Vec<Class>,
    /// The classes that are there, as bits.
    there: u64,
}

/// A block.
pub struct Block<'a> {
    raw: &'a [u8],
    texts: &'a Texts,
    table: &'a [u8],
    granularity: i64,
    latitude_offset: i64,
    longitude_offset: i64,
}

/// An element.
pub enum Element<'a> {
    Node(Node<'a>),
    Way { id: i64, tags: Tags<'a>, nodes: Deltas<'a> },
    Relation { id: i64, tags: Tags<'a>, members: Members<'a> },
}

pub struct Node<'a> {
    pub id: i64,
    /// In ten-millionths of a degree; None where there can be none.
    pub at: Option<(i32, i32)>,
    pub tags: Tags<'a>,
}

/// The tags of an element, as numbers of texts: the keys and the values in turn, or apart.
#[derive(Clone, Copy)]
pub enum Tags<'a> {
    InTurn(&'a [u8]),
    Apart(&'a [u8], &'a [u8]),
}

/// The members of a relation.
#[derive(Clone, Copy)]
pub struct Members<'a> {
    ids: Deltas<'a>,
    kinds: Numbers<'a>,
}

impl Tags<'_> {
    pub fn is_empty(&self) -> bool {
        matches!(self, Tags::InTurn([]) | Tags::Apart([], _))
    }

    /// The next key and its value.
    pub fn tag(&mut self) -> Result<Option<(u64, u64)>, Damage> {
        let (key, value) = match self {
            Tags::InTurn(all) => {
                let mut numbers = Numbers(all);
                let pair = (numbers.number()?, numbers.number()?);
                *all = numbers.0;
                pair
            }
            Tags::Apart(keys, values) => {
                let (mut key, mut value) = (Numbers(keys), Numbers(values));
                let pair = (key.number()?, value.number()?);
                (*keys, *values) = (key.0, value.0);
                pair
            }
        };
        match (key, value) {
            (Some(key), Some(value)) => Ok(Some((key, value))),
            (None, _) => Ok(None),
            (Some(_), None) => Err("a key without a value"),
        }
    }
}

impl Members<'_> {
    /// The id of the next one that is a way.
    pub fn way(&mut self) -> Result<Option<i64>, Damage> {
        while let Some(id) = self.ids.number()? {
            if self.kinds.number()?.ok_or("a member without its kind")? == MEMBER_WAY {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

impl Texts {
    fn fill(&mut self, table: &[u8], keys: &Keys) -> Result<(), Damage> {
        self.starts.clear();
        self.classes.clear();
        self.there = 0;
        let mut message = Message(table);
        loop {
            // A text is found again by the field that it is.
            let start = table.len() - message.0.len();
            let Some(field) = message.field()? else { return Ok(()) };
            if let (1, Field::Bytes(text)) = field {
                self.starts.push(u32::try_from(start).map_err(|_| "a table of texts that is too long")?);
                let class = keys.class(text);
                self.there |= 1 << class;
                self.classes.push(class);
            }
        }
    }
}

impl<'a> Block<'a> {
    /// What is common to all of it.
    pub fn of(raw: &'a [u8], texts: &'a mut Texts, keys: &Keys) -> Result<Block<'a>, Damage> {
        let (mut table, mut granularity) = (&raw[..0], 100);
        let (mut latitude_offset, mut longitude_offset) = (0, 0);
        let mut message = Message(raw);
        while let Some(field) = message.field()? {
            match field {
                (1, Field::Bytes(bytes)) => table = bytes,
                (17, Field::Number(number)) => granularity = number.cast_signed(),
                (19, Field::Number(number)) => latitude_offset = number.cast_signed(),
                (20, Field::Number(number)) => longitude_offset = number.cast_signed(),
                _ => {}
            }
        }
        texts.fill(table, keys)?;
        Ok(Block { raw, texts, table, granularity, latitude_offset, longitude_offset })
    }

    /// Whether any of its texts is a key of one of these classes, given as bits.
    pub fn has(&self, classes: u64) -> bool {
        self.texts.there & classes != 0
    }

    /// What a text means as a key.
    pub fn class(&self, text: u64) -> Result<Class, Damage> {
        let index = usize::try_from(text).unwrap_or(usize::MAX);
        self.texts.classes.get(index).copied().ok_or("a text that is not in the table")
    }

    pub fn text(&self, text: u64) -> &'a [u8] {
        let index = usize::try_from(text).unwrap_or(usize::MAX);
        let start = self.texts.starts.get(index).map(|start| *start as usize);
        let mut field = Message(start.and_then(|start| self.table.get(start..)).unwrap_or_default());
        match field.field() {
            Ok(Some((_, Field::Bytes(text)))) => text,
            _ => &[],
        }
    }

    /// Which kinds of elements are in it, as bits.
    pub fn kinds(&self) -> Result<u8, Damage> {
        let (mut kinds, mut groups) = (0, Message(self.raw));
        while let Some(field) = groups.field()? {
            let (2, Field::Bytes(group)) = field else { continue };
            let mut group = Message(group);
            while let Some((number, _)) = group.field()? {
                kinds |= match number {
                    1 | 2 => NODES,
                    3 => WAYS,
                    4 => RELATIONS,
                    _ => 0,
                };
            }
        }
        Ok(kinds)
    }

    /// Hands on its elements of these kinds.
    pub fn each<E: From<Damage>>(
        &self,
        kinds: u8,
        take: &mut impl FnMut(Element<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut groups = Message(self.raw);
        while let Some(field) = groups.field()? {
            let (2, Field::Bytes(group)) = field else { continue };
            let mut group = Message(group);
            while let Some(field) = group.field()? {
                match field {
                    (1, Field::Bytes(node)) if kinds & NODES != 0 => take(self.node(node)?)?,
                    (2, Field::Bytes(dense)) if kinds & NODES != 0 => self.dense(dense, take)?,
                    (3, Field::Bytes(way)) if kinds & WAYS != 0 => take(way_of(way)?)?,
                    (4, Field::Bytes(relation)) if kinds & RELATIONS != 0 => take(relation_of(relation)?)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn node(&self, bytes: &'a [u8]) -> Result<Element<'a>, Damage> {
        let (mut id, mut latitude, mut longitude) = (0, 0, 0);
        let (mut keys, mut values) = (&bytes[..0], &bytes[..0]);
        let mut message = Message(bytes);
        while let Some(field) = message.field()? {
            match field {
                (1, Field::Number(number)) => id = zigzag(number),
                (2, Field::Bytes(bytes)) => keys = bytes,
                (3, Field::Bytes(bytes)) => values = bytes,
                (8, Field::Number(number)) => latitude = zigzag(number),
                (9, Field::Number(number)) => longitude = zigzag(number),
                _ => {}
            }
        }
        let at = self.position(latitude, longitude);
        Ok(Element::Node(Node { id, at, tags: Tags::Apart(keys, values) }))
    }

    /// Nodes in columns.
    fn dense<E: From<Damage>>(
        &self,
        bytes: &'a [u8],
        take: &mut impl FnMut(Element<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let [mut ids, mut latitudes, mut longitudes] = [Deltas::default(); 3];
        let mut tags = Numbers(&[]);
        let mut message = Message(bytes);
        while let Some(field) = message.field()? {
            match field {
                (1, Field::Bytes(bytes)) => ids = Deltas::new(bytes),
                (8, Field::Bytes(bytes)) => latitudes = Deltas::new(bytes),
                (9, Field::Bytes(bytes)) => longitudes = Deltas::new(bytes),
                (10, Field::Bytes(bytes)) => tags = Numbers(bytes),
                _ => {}
            }
        }
        while let Some(id) = ids.number()? {
            let (Some(latitude), Some(longitude)) = (latitudes.number()?, longitudes.number()?) else {
                return Err("a node without a position".into());
            };
            let begin = tags.0;
            let mut end = 0;
            // A zero is behind the tags of each.
            while tags.number()?.is_some_and(|key| key != 0) {
                tags.number()?.ok_or("a key without a value")?;
                end = begin.len() - tags.0.len();
            }
            let at = self.position(latitude, longitude);
            take(Element::Node(Node { id, at, tags: Tags::InTurn(&begin[..end]) }))?;
        }
        Ok(())
    }

    fn position(&self, latitude: i64, longitude: i64) -> Option<(i32, i32)> {
        // Billionths of a degree.
        let units = |number: i64, offset: i64, most_deg: i64| {
            let billionths = number.checked_mul(self.granularity)?.checked_add(offset)?;
            (-most_deg * 1_000_000_000..=most_deg * 1_000_000_000).contains(&billionths).then_some(())?;
            i32::try_from((billionths + billionths.signum() * 50) / 100).ok()
        };
        Some((units(latitude, self.latitude_offset, 90)?, units(longitude, self.longitude_offset, 180)?))
    }
}

fn way_of(bytes: &[u8]) -> Result<Element<'_>, Damage> {
    let mut nodes = Deltas::default();
    let (id, tags) = id_and_tags(bytes, |number, bytes| {
        if number == 8 {
            nodes = Deltas::new(bytes);
        }
    })?;
    Ok(Element::Way { id, tags, nodes })
}

fn relation_of(bytes: &[u8]) -> Result<Element<'_>, Damage> {
    let (mut ids, mut kinds) = (Deltas::default(), Numbers::default());
    let (id, tags) = id_and_tags(bytes, |number, bytes| match number {
        9 => ids = Deltas::new(bytes),
        10 => kinds = Numbers(bytes),
        _ => {}
    })?;
    Ok(Element::Relation { id, tags, members: Members { ids, kinds } })
}

/// What ways and relations have in common; the other fields that are bytes are handed on with their numbers.
fn id_and_tags<'a>(bytes: &'a [u8], mut more: impl FnMut(u64, &'a [u8])) -> Result<(i64, Tags<'a>), Damage> {
    let (mut id, mut keys, mut values) = (0, &bytes[..0], &bytes[..0]);
    let mut message = Message(bytes);
    while let Some(field) = message.field()? {
        match field {
            (1, Field::Number(number)) => id = number.cast_signed(),
            (2, Field::Bytes(bytes)) => keys = bytes,
            (3, Field::Bytes(bytes)) => values = bytes,
            (number, Field::Bytes(bytes)) => more(number, bytes),
            _ => {}
        }
    }
    Ok((id, Tags::Apart(keys, values)))
}
