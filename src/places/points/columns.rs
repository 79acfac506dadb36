//! A pack as bytes: counts, then columns of little-endian integers, the lists of types and the texts. The cache of the
//! provider `file` keeps it so.

use std::io::{self, Read, Write};

use super::near::{BANDS, band_of};
use super::pack::{COLUMN_BYTES, Pack, UNITS_PER_DEGREE};

/// Bytes that are read or written at once.
const CHUNK: usize = 64 * 1024;

/// What stands before the columns: the numbers of places, of bytes of texts, of lists and of bytes of these.
const COUNTS: usize = 4;

impl Pack {
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut lists = Vec::new();
        for list in &self.lists {
            lists.extend(u16::try_from(list.len()).unwrap_or(u16::MAX).to_le_bytes());
            for kind in list {
                // A checked text is shorter.
                lists.extend(u16::try_from(kind.len()).unwrap_or(u16::MAX).to_le_bytes());
                lists.extend(kind.as_bytes());
            }
        }
        for count in [self.latitudes.len(), self.texts.len(), self.lists.len(), lists.len()] {
            out.write_all(&(count as u64).to_le_bytes())?;
        }
        column(out, &self.latitudes, |number| number.to_le_bytes())?;
        column(out, &self.longitudes, |number| number.to_le_bytes())?;
        column(out, &self.starts, |number| number.to_le_bytes())?;
        column(out, &self.lists_of, |number| number.to_le_bytes())?;
        out.write_all(&lists)?;
        out.write_all(&self.texts)
    }

    /// Reads one of at most so many bytes: what is claimed to be there takes no memory before it is.
    ///
    /// # Errors
    /// It is cut off, or is no pack.
    pub fn read(source: &mut impl Read, bytes_max: u64) -> io::Result<Pack> {
        let mut counts = [0; COUNTS];
        for count in &mut counts {
            let mut bytes = [0; 8];
            source.read_exact(&mut bytes)?;
            *count = u64::from_le_bytes(bytes);
        }
        let [places, texts, lists, list_bytes] = counts;
        let bytes = places
            .checked_mul(COLUMN_BYTES as u64)
            .and_then(|sum| sum.checked_add(texts)?.checked_add(list_bytes));
        if bytes.is_none_or(|bytes| bytes > bytes_max) {
            return Err(foreign("its counts do not fit its length"));
        }
        let places = places as usize;
        let mut pack = Pack {
            latitudes: numbers(source, places, i32::from_le_bytes)?,
            longitudes: numbers(source, places, i32::from_le_bytes)?,
            starts: numbers(source, places, u32::from_le_bytes)?,
            lists_of: numbers(source, places, u16::from_le_bytes)?,
            bands: Vec::new(),
            lists: lists_in(&block(source, list_bytes)?)
                .filter(|found| found.len() as u64 == lists)
                .ok_or_else(|| foreign("its types"))?,
            texts: block(source, texts)?,
        };
        let are_there = pack.starts.iter().all(|start| u64::from(*start) < texts)
            && pack.lists_of.iter().all(|list| u64::from(*list) < lists);
        if !are_there {
            return Err(foreign("its places"));
        }
        pack.bands = bands_of(&pack.latitudes, &pack.longitudes).ok_or_else(|| foreign("its order"))?;
        Ok(pack)
    }
}

fn foreign(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn column<T: Copy, const N: usize>(
    out: &mut impl Write,
    numbers: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK);
    for some in numbers.chunks(CHUNK / N) {
        chunk.clear();
        some.iter().for_each(|number| chunk.extend(bytes(*number)));
        out.write_all(&chunk)?;
    }
    Ok(())
}

fn numbers<T, const N: usize>(
    source: &mut impl Read,
    count: usize,
    number: impl Fn([u8; N]) -> T,
) -> io::Result<Vec<T>> {
    let mut all = Vec::with_capacity(count);
    let mut chunk = vec![0; CHUNK];
    while all.len() < count {
        let some = &mut chunk[..(count - all.len()).min(CHUNK / N) * N];
        source.read_exact(some)?;
        all.extend(some.as_chunks().0.iter().map(|bytes| number(*bytes)));
    }
    Ok(all)
}

fn block(source: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length as usize);
    source.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The lists of types; None where the bytes are none.
fn lists_in(mut bytes: &[u8]) -> Option<Vec<Vec<String>>> {
    fn number(bytes: &mut &[u8]) -> Option<usize> {
        let (number, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(u16::from_le_bytes(*number).into())
    }
    let mut lists = Vec::new();
    while !bytes.is_empty() {
        let mut list = Vec::new();
        for _ in 0..number(&mut bytes)? {
            let (kind, rest) = {
                let length = number(&mut bytes)?;
                bytes.split_at_checked(length)?
            };
            bytes = rest;
            list.push(str::from_utf8(kind).ok()?.to_owned());
        }
        lists.push(list);
    }
    Some(lists)
}

/// Where each band begins, and the end of the last; None where the places are not in order.
pub(super) fn bands_of(latitudes: &[i32], longitudes: &[i32]) -> Option<Vec<u32>> {
    let mut bands = vec![0; BANDS + 1];
    let mut last = (0, i32::MIN);
    for (latitude, longitude) in latitudes.iter().zip(longitudes) {
        let key = (band_of(f64::from(*latitude) / UNITS_PER_DEGREE), *longitude);
        if key < last {
            return None;
        }
        last = key;
        bands[key.0 + 1] += 1;
    }
    (1..bands.len()).for_each(|band| bands[band] += bands[band - 1]);
    Some(bands)
}
