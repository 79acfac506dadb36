//! The bounds of the backbone that herd.conf sets: its engine's nodes, how the herd is kept there, and how long things wait.
//! `limits` hands them on.

use super::{Limit, limit};

/// Nodes that are named: any of them tells where the others are, so that some are enough of whatever engine.
pub const ENGINE_URLS_MAX: usize = 64;

/// The port of an engine whose URL names none: that of Redis and of Valkey.
pub const ENGINE_PORT: u16 = 6_379;

/// Letters of the prefix of all keys, which is sent with each of them: as many as a server's name may have.
pub const ENGINE_HERD_MAX: usize = 64;

/// Characters of the name of a user: hosted engines have names of some 100.
pub const ENGINE_USER_MAX: usize = 128;

/// Parts of the herd in the engine, powers of two: a part is so many of the 256 that digests have.
pub const ENGINE_PARTS: Limit = limit(16, 1, 256);
const _: () = assert!(ENGINE_PARTS.default.is_power_of_two());

/// Milliseconds that a record waits for others, as the engine takes many at once for little more than it takes one: 5 are
/// no delay for anybody, and with more than a second others would be late.
pub const ENGINE_LINGER_MS: Limit = limit(5, 0, 1_000);

/// Milliseconds for which the engine keeps its log. Who was away for longer reads all that there is, which takes some
/// seconds; a log of an hour is longer than that in most herds.
pub const ENGINE_RETAIN_MS: Limit = limit(60_000, 10_000, 3_600_000);

/// Seconds that a reply of the engine may take: it answers within milliseconds, unless it is gone.
pub const ENGINE_TIMEOUT_S: Limit = limit(2, 1, 60);

/// Bytes of the file with the password: those of hosted engines have up to 128 characters.
pub const ENGINE_PASSWORD_FILE_MAX: u64 = 4_096;
