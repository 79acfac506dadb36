//! Why an extract cannot be read. Whatever reads one says it.

use std::io;

use super::wire::Damage;
use crate::limits::OSM_POINTS_MAX;

/// Why an extract cannot be read.
pub enum Fault {
    Io(io::Error),
    /// The blob at this byte is damaged.
    Damaged(u64, Damage),
    /// So is the one in hand.
    Here(Damage),
    /// It has what is not known here.
    Feature(String),
    /// It does not fit.
    Full(String),
}

impl From<Damage> for Fault {
    fn from(why: Damage) -> Fault {
        Fault::Here(why)
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        match fault {
            Fault::Io(why) => format!(" {why}"),
            Fault::Damaged(at, why) => format!(" damaged, in the blob at byte {at}: {why}"),
            Fault::Here(why) => format!(" damaged: {why}"),
            Fault::Feature(feature) if feature == "HistoricalInformation" => {
                " it has the history of its elements: take an extract without it".to_owned()
            }
            Fault::Feature(feature) => {
                format!(
                    " it has to be read with {feature:?}, which is not known: osmium cat -o new.osm.pbf may mend that"
                )
            }
            Fault::Full(why) => format!(" {why}"),
        }
    }
}

pub fn too_many_points() -> Fault {
    Fault::Full(format!(
        "its places have more than {OSM_POINTS_MAX} points: cut a smaller part out of it, or leave out what is not needed"
    ))
}
