//! What was read of an extract, kept for the next start: a file for each extract, in the folder `.places` of
//! `data_dir`. `extract` reads and writes it. It is as good as gone when anything about it is not as it should be.
//!
//! The file: the magic; what it was made by and of (how places are sorted, the table of types; the bytes, the time and
//! the path of the extract, the language); a line about it; the pack; and a checksum over all that. Numbers are little-endian.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::claim::{Claim, Claimed};
use crate::files::{self, own};
use crate::limits::{
    PLACES_CACHE_BUFFER_BYTES, PLACES_CACHE_TEXT_MAX, PLACES_CLAIM_PATIENCE_S, PLACES_CLAIMS_MAX,
};
use crate::places::points::pack::Pack;
use crate::places::points::{BANDS, osm};

/// First bytes; the digit changes when the form does, or what is read of an extract beside its types.
const MAGIC: [u8; 8] = *b"hplaces2";

/// By what it is seen that a file is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub bytes: u64,
    pub modified_ns: u64,
}

impl Stamp {
    pub fn of(file: &File) -> io::Result<Stamp> {
        let found = file.metadata()?;
        let modified_ns = found.mtime().wrapping_mul(1_000_000_000).wrapping_add(found.mtime_nsec());
        Ok(Stamp { bytes: found.len(), modified_ns: modified_ns.cast_unsigned() })
    }
}

/// Where one extract is kept, and how it has to be to be taken.
pub struct Cache {
    folder: PathBuf,
    path: PathBuf,
    extract: PathBuf,
    head: Vec<u8>,
}

/// What is kept.
pub struct Kept {
    pub pack: Pack,
    pub about: String,
}

/// Whose it is to read an extract.
pub enum Whose {
    Ours(Claim),
    /// Another server has read it.
    Kept(Kept),
}

impl Cache {
    pub fn of(folder: &Path, extract: &Path, stamp: Stamp, language: Option<&str>) -> Cache {
        let whole = std::path::absolute(extract).unwrap_or_else(|_| extract.to_owned());
        let whole = whole.as_os_str().as_bytes();
        let mut head = MAGIC.to_vec();
        for number in [BANDS as u64, osm::version(), stamp.bytes, stamp.modified_ns] {
            head.extend(number.to_le_bytes());
        }
        for text in [whole, language.unwrap_or_default().as_bytes()] {
            head.extend((text.len() as u32).to_le_bytes());
            head.extend(text);
        }
        Cache {
            folder: folder.to_owned(),
            path: folder.join(format!("{:016x}", xxh3_64(whole))),
            extract: extract.to_owned(),
            head,
        }
    }

    /// What is kept, if it is of this extract as it is now.
    pub fn read(&self) -> Option<Kept> {
        match self.try_read() {
            Ok(kept) => Some(kept),
            Err(why) if why.kind() == ErrorKind::NotFound => None,
            Err(why) => {
                let (extract, path) = (self.extract.display(), self.path.display());
                match why.kind() {
                    // Of what it was, or of another language: as it has to come one day.
                    ErrorKind::Unsupported => log::info!("places: {path}: {why}; {extract} is read anew"),
                    _ => log::warn!("places: {path} is not used: {why}; {extract} is read anew"),
                }
                None
            }
        }
    }

    fn try_read(&self) -> io::Result<Kept> {
        own::refuse_links(&self.path)?;
        let file = files::open(&self.path)?;
        let length = file.metadata()?.len();
        let buffered = BufReader::with_capacity(PLACES_CACHE_BUFFER_BYTES, file);
        let mut source = Hashed { inner: buffered, hash: Xxh3::new() };
        let damaged = |why: io::Error| match why.kind() {
            ErrorKind::UnexpectedEof => io::Error::new(ErrorKind::InvalidData, "it is cut off"),
            _ => why,
        };
        let mut head = vec![0; self.head.len()];
        source.read_exact(&mut head).map_err(damaged)?;
        if head != self.head {
            let is_ours = head.starts_with(&MAGIC[..MAGIC.len() - 1]);
            return Err(match is_ours {
                true => io::Error::new(ErrorKind::Unsupported, "made of another extract, or by another herd"),
                false => io::Error::new(ErrorKind::InvalidData, "it is no cache of places"),
            });
        }
        let kept = Kept::read(&mut source, length).map_err(damaged)?;
        let sum = source.hash.digest();
        let mut rest = Vec::new();
        source.inner.take(9).read_to_end(&mut rest)?;
        if rest != sum.to_le_bytes() {
            return Err(io::Error::new(ErrorKind::InvalidData, "its checksum does not hold"));
        }
        Ok(kept)
    }

    /// Claims to read the extract for all servers, or waits for what another one keeps of it. None where everybody reads
    /// for themselves, which the log says.
    pub fn claim(&self) -> Option<Whose> {
        let part = self.path.with_extension("part");
        let extract = self.extract.display();
        let patience = Duration::from_secs(PLACES_CLAIM_PATIENCE_S);
        let waits = || log::info!("places: another server reads {extract}; waiting for what it keeps");
        let made = own::make_folders(&self.folder).and_then(|()| own::tighten_folder(&self.folder));
        if let Err(why) = made {
            self.complain(&why);
            return None;
        }
        for _ in 0..PLACES_CLAIMS_MAX {
            let claim = match Claim::of(&part, patience, &waits) {
                Ok(Claimed::Here(claim)) => Some(claim),
                Ok(Claimed::Elsewhere) => None,
                Ok(Claimed::Stuck) => {
                    let seconds = patience.as_secs();
                    log::warn!(
                        "places: the server that reads {extract} for all has not come on for {seconds} s; reading it here, too"
                    );
                    return None;
                }
                Err(why) => {
                    self.complain(&why);
                    return None;
                }
            };
            // Somebody may have kept it since it was looked for.
            match (self.try_read(), claim) {
                (Ok(kept), _) => return Some(Whose::Kept(kept)),
                (Err(_), Some(claim)) => return Some(Whose::Ours(claim)),
                (Err(_), None) => {}
            }
        }
        None
    }

    /// Keeps what was read; says in the log when that fails.
    pub fn write(&self, kept: &Kept, claim: Claim) {
        let written = self.fill(&claim.file, kept).and_then(|()| claim.finish(&self.path));
        if let Err(why) = written {
            self.complain(&why);
        }
    }

    fn complain(&self, why: &io::Error) {
        let (extract, path) = (self.extract.display(), self.path.display());
        log::warn!(
            "places: cannot keep what was read of {extract} in {path}: {why}; the next start reads it again"
        );
    }

    fn fill(&self, file: &File, kept: &Kept) -> io::Result<()> {
        file.set_len(0)?;
        let buffered = BufWriter::with_capacity(PLACES_CACHE_BUFFER_BYTES, file);
        let mut out = Hashed { inner: buffered, hash: Xxh3::new() };
        out.write_all(&self.head)?;
        out.write_all(&(kept.about.len() as u64).to_le_bytes())?;
        out.write_all(kept.about.as_bytes())?;
        kept.pack.write(&mut out)?;
        let sum = out.hash.digest();
        out.inner.write_all(&sum.to_le_bytes())?;
        out.inner.flush()
    }
}

impl Kept {
    fn read(source: &mut impl Read, bytes_max: u64) -> io::Result<Kept> {
        let mut length = [0; 8];
        source.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > PLACES_CACHE_TEXT_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "its words are too long"));
        }
        let mut about = vec![0; length as usize];
        source.read_exact(&mut about)?;
        let about = String::from_utf8_lossy(&about).into_owned();
        Ok(Kept { pack: Pack::read(source, bytes_max)?, about })
    }
}

/// Reads or writes, with a checksum of all that passes.
struct Hashed<T> {
    inner: T,
    hash: Xxh3,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
