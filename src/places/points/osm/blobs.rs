//! The blobs that an extract is a sequence of, one at a time: a length, a header, and what is compressed by zlib.
//! The format bounds a header to 64 KiB and what is in a blob to 32 MiB, packed or not; more is not read.
//! <https://wiki.openstreetmap.org/wiki/PBF_Format>

use std::io::{self, Read, Seek, SeekFrom};

use miniz_oxide::inflate::decompress_slice_iter_to_slice;

use super::fault::Fault;
use super::wire::{Damage, Field, Message};
use crate::limits::{OSM_BLOB_MAX, OSM_HEADER_MAX};

/// What a header has to begin with: its first field, which is this text.
const BEGIN: &[u8] = b"\x0a\x09OSMHeader";

/// What readers have to know to read a file, of what this one knows.
const KNOWN_FEATURES: [&[u8]; 2] = [b"OsmSchema-V0.6", b"DenseNodes"];

/// Whether a file begins as an extract does.
pub fn is_extract(begin: &[u8]) -> bool {
    matches!(begin, [0, 0, _, _, rest @ ..] if rest.starts_with(BEGIN))
}

/// An extract's blobs.
pub struct Blobs<R> {
    source: R,
    length: u64,
    /// Where the next one begins.
    next: u64,
    /// Where the last one began.
    at: u64,
    packed: Vec<u8>,
    raw: Vec<u8>,
}

impl<R: Read + Seek> Blobs<R> {
    pub fn of(source: R, length: u64) -> Blobs<R> {
        Blobs { source, length, next: 0, at: 0, packed: Vec::new(), raw: Vec::new() }
    }

    /// Where the next one begins.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes on with the one that begins here.
    pub fn go_to(&mut self, position: u64) -> Result<(), Fault> {
        self.source.seek(SeekFrom::Start(position)).map_err(Fault::Io)?;
        self.next = position;
        Ok(())
    }

    /// What is in the last blob.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The last blob is damaged.
    pub fn damaged(&self, why: Damage) -> Fault {
        Fault::Damaged(self.at, why)
    }

    /// Reads the next blob that has data; false at the end of the file. Its header is looked at on the way.
    pub fn step(&mut self) -> Result<bool, Fault> {
        loop {
            self.at = self.next;
            if self.at >= self.length {
                return Ok(false);
            }
            let mut size = [0; 4];
            self.read_into(&mut size)?;
            let size = u64::from(u32::from_be_bytes(size));
            if size > OSM_HEADER_MAX {
                return Err(self.damaged("the header of a blob is longer than 64 KiB"));
            }
            self.read_packed(size)?;
            let (kind, size) = blob_header(&self.packed).map_err(|why| Fault::Damaged(self.at, why))?;
            if size > OSM_BLOB_MAX {
                return Err(self.damaged("a blob is longer than 32 MiB"));
            }
            self.next = self.at + 4 + self.packed.len() as u64 + size;
            if self.next > self.length {
                return Err(
                    self.damaged("the file ends within this blob: was it copied or downloaded whole?")
                );
            }
            if kind == Kind::Other {
                self.source.seek(SeekFrom::Start(self.next)).map_err(Fault::Io)?;
                continue;
            }
            self.read_packed(size)?;
            unpack(&self.packed, &mut self.raw).map_err(|why| Fault::Damaged(self.at, why))?;
            match kind {
                Kind::Header => check_features(&self.raw).map_err(|why| self.faulty(why))?,
                Kind::Data | Kind::Other => return Ok(true),
            }
        }
    }

    fn faulty(&self, why: Unread) -> Fault {
        match why {
            Unread::Damaged(why) => self.damaged(why),
            Unread::Feature(feature) => Fault::Feature(feature),
        }
    }

    fn read_packed(&mut self, size: u64) -> Result<(), Fault> {
        self.packed.clear();
        let read = self.source.by_ref().take(size).read_to_end(&mut self.packed).map_err(Fault::Io)?;
        if (read as u64) < size { Err(self.damaged("the file ends within this blob")) } else { Ok(()) }
    }

    fn read_into(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        self.source.read_exact(bytes).map_err(|why| match why.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("the file ends within this blob"),
            _ => Fault::Io(why),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Header,
    Data,
    /// Of a later format, and none of ours.
    Other,
}

fn blob_header(bytes: &[u8]) -> Result<(Kind, u64), Damage> {
    let (mut kind, mut size) = (None, None);
    let mut message = Message(bytes);
    while let Some(field) = message.field()? {
        match field {
            (1, Field::Bytes(b"OSMHeader")) => kind = Some(Kind::Header),
            (1, Field::Bytes(b"OSMData")) => kind = Some(Kind::Data),
            (1, Field::Bytes(_)) => kind = Some(Kind::Other),
            (3, Field::Number(bytes)) => size = Some(bytes),
            _ => {}
        }
    }
    kind.zip(size).ok_or("the header of a blob without its kind or size")
}

/// Puts what is in a blob into `raw`.
fn unpack(blob: &[u8], raw: &mut Vec<u8>) -> Result<(), Damage> {
    let (mut plain, mut zlib, mut size, mut other) = (None, None, 0, false);
    let mut message = Message(blob);
    while let Some(field) = message.field()? {
        match field {
            (1, Field::Bytes(bytes)) => plain = Some(bytes),
            (2, Field::Number(number)) => size = number,
            (3, Field::Bytes(bytes)) => zlib = Some(bytes),
            (4..=7, Field::Bytes(_)) => other = true,
            _ => {}
        }
    }
    raw.clear();
    match (plain, zlib) {
        (Some(plain), _) => raw.extend(plain),
        (None, Some(zlib)) => {
            let size = usize::try_from(size).ok().filter(|size| *size as u64 <= OSM_BLOB_MAX);
            raw.resize(size.ok_or("a blob of over 32 MiB when unpacked")?, 0);
            // Exactly its size: one that has more fails for want of room.
            let unpacked = decompress_slice_iter_to_slice(raw, std::iter::once(zlib), true, false);
            if unpacked.ok() != Some(raw.len()) {
                return Err("a blob that zlib cannot unpack to the size it tells");
            }
        }
        (None, None) if other => {
            return Err("it is compressed by something else than zlib: osmium cat -o new.osm.pbf mends that");
        }
        (None, None) => return Err("a blob without data"),
    }
    Ok(())
}

enum Unread {
    Damaged(Damage),
    Feature(String),
}

impl From<Damage> for Unread {
    fn from(why: Damage) -> Unread {
        Unread::Damaged(why)
    }
}

/// Refuses a file that takes more to be read than is known here.
fn check_features(header: &[u8]) -> Result<(), Unread> {
    let mut message = Message(header);
    while let Some(field) = message.field()? {
        if let (4, Field::Bytes(feature)) = field
            && !KNOWN_FEATURES.contains(&feature)
        {
            return Err(Unread::Feature(
                String::from_utf8_lossy(&feature[..feature.len().min(40)]).into_owned(),
            ));
        }
    }
    Ok(())
}
