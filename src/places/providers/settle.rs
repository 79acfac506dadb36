//! What reading one of the user's files came to: how much of it may be bad, and what is said of it. `file` and
//! `extract` ask for it.

use std::path::Path;

use crate::limits::{BAD_ROWS_IN_ERROR_MAX, BAD_ROWS_PERCENT_MAX, REPEATED_IDS_LOGGED_MAX};
use crate::logging::count;
use crate::places::points::Reading;
use crate::places::points::pack::{Builder, Pack};

/// What one file came to: places that are to be sorted, or that are.
pub enum Part {
    Rows(Builder),
    Packed(Pack),
}

/// A word about ids that were used before; each place has its own from here on.
pub fn repeated(all: &mut Builder) -> Option<String> {
    let repeated = all.repeated_ids();
    let some: Vec<_> = repeated.iter().take(REPEATED_IDS_LOGGED_MAX).map(|id| format!("{id:?}")).collect();
    (!repeated.is_empty()).then(|| {
        let ids = count(repeated.len() as u64, "id");
        format!("{ids} had been used before, and got ~2, ~3 and so on behind: {}", some.join(", "))
    })
}

/// The places that were read, and what is to be said of them.
///
/// # Errors
/// Too many are bad, or there is none.
pub fn settle(reading: Reading, path: &Path) -> Result<(Builder, String), String> {
    let shown = path.display();
    let Reading { places, total, bad, worst, skipped, changed, hint, notes, swapped, .. } = reading;
    let left = bad - (worst.len() as u64).min(bad);
    if bad * 100 > total * BAD_ROWS_PERCENT_MAX {
        let first: Vec<_> =
            worst.iter().take(BAD_ROWS_IN_ERROR_MAX).map(|why| format!("{shown}:{why}")).collect();
        let cause = if swapped * 2 > bad { "; latitude and longitude seem to be swapped" } else { "" };
        return Err(format!(
            "places.path: {bad} of {total} rows are bad, more than {BAD_ROWS_PERCENT_MAX} %: correct them: {}{cause}",
            first.join("; ")
        ));
    }
    let skips: Vec<_> = skipped.iter().map(|(why, count)| format!("{count} {why}")).collect();
    if places.is_empty() {
        let skips = if skips.is_empty() { String::new() } else { format!(" ({} skipped)", skips.join(", ")) };
        let cause = hint.unwrap_or_else(|| "add a row a place".to_owned());
        return Err(format!("places.path: {shown}: no places in it{skips}: {cause}"));
    }
    worst.iter().for_each(|why| log::warn!("{shown}:{why}; row left out"));
    if left > 0 {
        log::warn!("{shown}: {left} more bad rows left out");
    }
    notes.iter().for_each(|note| log::warn!("{shown}: {note}"));
    let mut line = format!("{} read", count(places.len() as u64, "place"));
    if !skips.is_empty() {
        line += &format!(", skipped: {}", skips.join(", "));
    }
    let changes: Vec<_> = changed.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if !changes.is_empty() {
        line += &format!(", changed: {}", changes.join(", "));
    }
    if bad > 0 {
        line += &format!(", {bad} bad");
    }
    Ok((places, line))
}
