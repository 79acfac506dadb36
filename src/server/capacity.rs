//! How many connections a server has room for, beside what its links, lookups and files need. `start` calls it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::limits::{
    DESCRIPTORS_PER_LOOKUP, DESCRIPTORS_PER_NEIGHBOUR, DESCRIPTORS_PER_WORKER, LISTENERS_MAX,
    RESERVED_DESCRIPTORS, SHARES_OF_ADDRESSES, SLOTS_FOR_ASKERS, SLOTS_FOR_TRIALS, SLOTS_PER_NEIGHBOUR,
};
use crate::worker::Capacity;

/// How many guests the server at `index` may have in, as far as the file limit allows.
pub fn capacity(config: &Config, index: usize) -> Capacity {
    let neighbours = config.servers[index].neighbours.len();
    let herd = neighbours * SLOTS_PER_NEIGHBOUR + SLOTS_FOR_ASKERS + SLOTS_FOR_TRIALS;
    let guests = room_for(config.settings.max_connections, reserve(config, neighbours) + herd);
    let share = (guests / SHARES_OF_ADDRESSES).max(1);
    Capacity { guests, per_address: config.settings.max_per_address.unwrap_or(share) }
}

/// Descriptors for all that is no connection that was accepted.
fn reserve(config: &Config, neighbours: usize) -> usize {
    RESERVED_DESCRIPTORS
        + LISTENERS_MAX
        + neighbours * DESCRIPTORS_PER_NEIGHBOUR
        + config.settings.workers * DESCRIPTORS_PER_WORKER
        + config.places.threads() * DESCRIPTORS_PER_LOOKUP
}

/// Raises the soft file limit as far as allowed and returns how many of `wanted` guests fit beside `reserve`.
fn room_for(wanted: usize, reserve: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If it may not be raised, what it is now counts.
    let _ = setrlimit(Resource::Nofile, raised);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let room = files.saturating_sub(reserve);
    if room == 0 {
        log::warn!(
            "the file limit of {files} is too low: links, lookups and files may need {reserve}; raise it (ulimit -n)"
        );
        return wanted.min((files / 2).max(1));
    }
    if room < wanted {
        log::info!("holding at most {room} connections, as the file limit of {files} leaves (ulimit -n)");
    }
    wanted.min(room)
}
