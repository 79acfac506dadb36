//! The extracts of the provider `file`: read from the file itself, which takes its time and is told in the log, or as
//! the cache has them.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

use super::cache::{Cache, Kept, Stamp, Whose};
use super::claim::Claim;
use super::settle::{Part, repeated, settle};
use crate::limits::{OSM_FILE_MAX, PLACES_PROGRESS_S};
use crate::places::Settings;
use crate::places::points::Reading;
use crate::places::points::osm::{self, Progress};
use crate::places::points::pack::Builder;

/// The places of an extract, and what is to be said of them.
///
/// # Errors
/// It cannot be read, does not fit, or has no places.
pub fn open(file: File, path: &Path, settings: &Settings) -> Result<(Part, String), String> {
    let shown = path.display();
    let stamp = Stamp::of(&file).map_err(|why| format!("places.path: {shown}: {why}"))?;
    if stamp.bytes > OSM_FILE_MAX {
        return Err(format!(
            "places.path: {shown}: it has {} GB, more than {} GB: cut a smaller part out of it",
            stamp.bytes / 1_000_000_000,
            OSM_FILE_MAX / 1_000_000_000
        ));
    }
    let cache =
        settings.cache.as_ref().map(|folder| Cache::of(folder, path, stamp, settings.language.as_deref()));
    let from_cache = |Kept { pack, about }: Kept| (Part::Packed(pack), format!("{about}; from the cache"));
    if let Some(kept) = cache.as_ref().and_then(Cache::read) {
        return Ok(from_cache(kept));
    }
    let cache = cache.filter(|_| settings.is_cache_kept);
    let claim = match cache.as_ref().and_then(Cache::claim) {
        Some(Whose::Kept(kept)) => return Ok(from_cache(kept)),
        Some(Whose::Ours(claim)) => Some(claim),
        None => None,
    };
    let sign = || claim.as_ref().into_iter().for_each(Claim::show_sign);
    let (mut places, mut about) = read(BufReader::new(&file), stamp.bytes, path, settings, &sign)?;
    if Stamp::of(&file).ok() != Some(stamp) {
        return Err(format!(
            "places.path: {shown}: it was changed while it was read: write it under another name, then rename it"
        ));
    }
    if let Some(repeated) = repeated(&mut places) {
        about += &format!("; {repeated}");
    }
    let kept = Kept { pack: places.finish(), about };
    if let Some((cache, claim)) = cache.zip(claim) {
        cache.write(&kept, claim);
    }
    Ok((Part::Packed(kept.pack), kept.about))
}

/// Reads an extract of so many bytes; `sign` is called while that comes on.
///
/// # Errors
/// It cannot be read, or has no places.
pub fn read(
    source: impl Read + Seek,
    length: u64,
    path: &Path,
    settings: &Settings,
    sign: &dyn Fn(),
) -> Result<(Builder, String), String> {
    let mut reading = Reading::default();
    let mut teller = Teller { last: Instant::now(), percent: 0, sign };
    let language = settings.language.as_deref();
    osm::read(source, length, language, &mut reading, &mut |progress| teller.tell(&progress))
        .map_err(|why| format!("places.path: {}:{why}", path.display()))?;
    settle(reading, path)
}

/// Says in the log how far reading has come, now and then.
struct Teller<'a> {
    last: Instant,
    percent: u64,
    sign: &'a dyn Fn(),
}

impl Teller<'_> {
    fn tell(&mut self, progress: &Progress) {
        if self.last.elapsed() < Duration::from_secs(PLACES_PROGRESS_S) {
            return;
        }
        // How much there is to do is an estimate at first.
        self.percent = self.percent.max(progress.done * 100 / progress.all.max(1)).min(100);
        self.last = Instant::now();
        (self.sign)();
        log::info!("places: read {} %, {} places", self.percent, grouped(progress.places));
    }
}

/// `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for start in (first..digits.len()).step_by(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&digits[start..start + 3]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
