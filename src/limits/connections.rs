//! The bounds of connections: how many there are, what is read, sent and kept of each, and what they leave to others.
//! `limits` hands them on.

use std::time::Duration;

use super::{Limit, limit};

/// Connections held at once. 20,000 idle ones cost a few MB here and some more in the kernel.
pub const MAX_CONNECTIONS: Limit = limit(20_000, 1, 1_000_000);

/// Connections of one address; 0 is a quarter of all, so that no four hosts need be many. Behind one address may be all
/// the phones of a provider. Loopback and neighbours have no such bound.
pub const MAX_PER_ADDRESS: Limit = limit(0, 1, 1_000_000);
pub const SHARES_OF_ADDRESSES: usize = 4;

/// Slots beside those for guests: for each neighbour a link, and its next one while nobody knows yet that the last one is
/// dead; for those who ask how the herd is; and for those who may be either of these, as far as is known.
pub const SLOTS_PER_NEIGHBOUR: usize = 2;
pub const SLOTS_FOR_ASKERS: usize = 8;
pub const SLOTS_FOR_TRIALS: usize = 8;

/// Milliseconds of silence after which a connection may be closed to let in another, when there are as many as may be.
pub const SILENT_MS: Limit = limit(10_000, 10, 3_600_000);

/// Silent connections that are noted at once, as finding them takes a look at all.
pub const QUIET_MAX: usize = 64;

/// Seconds without a byte before a connection is closed; 0 is never. An hour outlasts a phone's
/// naps and still frees what vanished without a FIN.
pub const IDLE_TIMEOUT_S: Limit = limit(3_600, 0, 31_536_000);

/// Seconds a peer may take nothing of what waits for it before it is closed.
pub const WRITE_TIMEOUT_S: Limit = limit(10, 1, 3_600);

/// Unsent bytes of one connection at which no further command of it is answered.
pub const MAX_UNSENT: Limit = limit(262_144, 4_096, 67_108_864);

/// The same of all connections together, with what the kernel holds for them: some 2,500 that do not read.
pub const MAX_UNSENT_TOTAL: Limit = limit(268_435_456, 1_048_576, 1 << 40);

/// Bytes read from one connection a turn: some 200 commands, after which the others have theirs.
pub const READ_BYTES: usize = 16 * 1024;

/// Bytes read in one turn from connections that always have more: what a quiet client waits for
/// at most, however many of them there are.
pub const GREEDY_BYTES_MAX: usize = 64 * 1024;

/// Ready connections fetched from the poller at once.
pub const EVENTS_MAX: usize = 256;

/// Of those by HTTP: ten thousand phones that come back at once are served so few a turn, some 30 µs each, and whoever
/// speaks lines waits for no more of them. With `sync = "always"` a turn of so many shares a sync.
pub const METERED_EVENTS_MAX: usize = 32;

/// Microseconds of a turn after which no further one of these is begun: what a phone says takes up to a third of that.
pub const METERED_TURN_US: u64 = 500;

/// Connections accepted a turn, or one for so many that are read if that is more: an unbounded accept
/// loop starves the reads, and one that is too slow those who wait to be let in.
pub const ACCEPTS_PER_TURN: usize = 8;
pub const READS_PER_ACCEPT: usize = 8;

/// Bytes of replies the kernel keeps for a connection. Left to itself it grows that to megabytes, so
/// that a few clients that never read would cost a small machine its memory, and the others the
/// time to make all those replies. At 100 ms round trip it still carries over 2 MB/s.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Bytes of those that the kernel takes while they cannot leave, as the client has no room for more; it takes what is
/// written last whole, which is mostly the replies to one read. And bytes that are written at once of what it did not
/// take: reading shows as soon as there is room for so many.
pub const SEND_WAITING_BYTES: u32 = 16 * 1024;
pub const SEND_PIECE_BYTES: usize = 4 * 1024;

/// Bytes that the kernel may hold of a connection whose client does not read: these, and the replies to a read.
pub const KERNEL_UNSENT_BYTES: usize = SEND_WAITING_BYTES as usize + 2 * READ_BYTES;

/// How many times longer than herd itself the system waits for a client to take what it holds of a connection that was
/// closed in good order. Of a slow reader it sees less than herd.
pub const LEFT_PATIENCES: u32 = 4;

/// Connections the kernel completes and keeps while no worker accepts, as far as it allows so many
/// (net.core.somaxconn). One that finds no room is made to wait for a second and longer.
pub const LISTEN_BACKLOG: i32 = 4_096;

/// Addresses of one name that a server listens on; a name has two or three.
pub const LISTENERS_MAX: usize = 16;

/// How often the system is asked for another free port, where one is not free on every address of a name.
pub const PORT_TRIES: usize = 32;

/// Rest after the process ran out of descriptors, so that accepting does not spin.
pub const ACCEPT_PAUSE_MS: u64 = 100;

/// Descriptors kept free of clients: for the files of the log and the journal, the folders above them, streams, secrets
/// that are read again. And for each neighbour, worker and thread that asks a provider: a poller with its waker, a
/// connection and the next one, and what the system's resolver opens for a name.
pub const RESERVED_DESCRIPTORS: usize = 48;
pub const DESCRIPTORS_PER_NEIGHBOUR: usize = 4;
pub const DESCRIPTORS_PER_WORKER: usize = 3;
pub const DESCRIPTORS_PER_LOOKUP: usize = 4;

/// Milliseconds between two looks at the deadlines of all connections of a worker.
pub const SWEEP_REST_MS: u64 = 250;

/// How long a closed connection's last bytes are read and dropped, so that the peer can read the
/// reply before a reset takes it away.
pub const LINGER_S: u64 = 2;

/// Milliseconds for which a server that stops answers what still comes at most; for which a connection is silent that is
/// closed meanwhile, as a line may be on its way until then; and between two looks at that.
pub const DRAIN_MS: u64 = 1_000;
pub const DRAIN_QUIET_MS: u64 = 200;
pub const DRAIN_LOOK_MS: u64 = 10;

/// Bytes of a request's head, of its target, and how many fields it may have. A phone's head has some 500 bytes.
pub const HTTP_HEAD_MAX: usize = 16 * 1024;
pub const HTTP_TARGET_MAX: usize = 8 * 1024;
pub const HTTP_FIELDS_MAX: usize = 64;

/// Bytes of a request that are read first: a phone's report has less, with its head. What it has more of waits in the
/// network until its head is there. And bytes that the kernel takes of a request that nobody reads, of which it makes
/// twice as many; in 100 ms there and back it still carries 160 KB/s.
pub const HTTP_FIRST_READ_BYTES: usize = 2 * 1024;
pub const HTTP_RECEIVE_BUFFER_BYTES: usize = 16 * 1024;

/// Bytes of a request's body: a report has some hundred. And of a chunk's line, and of the fields behind a body.
pub const HTTP_BODY_MAX: usize = 64 * 1024;
pub const HTTP_CHUNK_LINE_MAX: usize = 256;
pub const HTTP_TRAILER_MAX: usize = 8 * 1024;

/// Seconds of silence after which a large body of a phone makes way while others wait for room. It goes by silence, not by
/// what has come: a line that is slow is so for all who share it, and to have them all begin anew helps nobody.
pub const HTTP_CROWDED_SILENCE_S: u64 = 10;

/// Seconds that a request's head may take to come in, and then its body.
pub const HTTP_HEAD_S: u64 = 10;
pub const HTTP_BODY_S: u64 = 30;

/// Seconds from its beginning in which a connection's handshake has to come to an end: as long as a head may take.
pub const HANDSHAKE_S: u64 = HTTP_HEAD_S;

/// Connections of a worker that are read in a turn while they are in their handshake. One takes 0.2 ms with an ECDSA
/// key, and 4 ms with one of RSA and 4,096 bits: for that long the reports that come meanwhile wait. With more a turn
/// there are not more a second, as measured.
pub const HANDSHAKES_PER_TURN: usize = 1;

/// Bytes of memory that TLS takes for a connection at most: half a message of its handshake has 64 KiB in rustls; later
/// there are a record as it comes, two in clear, and one that the socket does not take. An idle one has 8 KB.
pub const TLS_CONNECTION_BYTES: usize = 128 * 1024;

/// Bytes in clear that are sealed as one record, which is the most that TLS allows, and of which rustls may keep some.
pub const TLS_RECORD_BYTES: usize = 16 * 1024;
pub const TLS_KEPT_BYTES: usize = 64 * 1024;
const _: () = assert!(TLS_RECORD_BYTES + 1024 <= TLS_KEPT_BYTES, "a sealed record fits");

/// Bytes of a file with certificates, or with a key: a chain of three has some 5,000.
pub const CERTIFICATE_FILE_MAX: u64 = 1024 * 1024;

/// Days before the end of a certificate at which there is a warning when it is read: those that last for 90 days are
/// renewed with 30 to go.
pub const CERTIFICATE_WARN_DAYS: u64 = 14;

/// Seconds without a request before a connection for HTTP is closed: more than the five minutes for which phones keep
/// theirs, as a request on one that is closed meanwhile is lost.
pub const HTTP_IDLE_S: u64 = 330;

/// How long phones keep a connection: OkHttp's pool, which most apps on Android have, drops it after 5 minutes.
pub const PHONES_IDLE: Duration = Duration::from_secs(300);

/// Bytes of a page from which on packing it pays: one packet of a network carries less unpacked.
pub const GZIP_BYTES_MIN: usize = 1_400;

/// Bytes of a file of the map page that the program has packed. The longest is 77 KB; only a client that reads nothing
/// packed has it unpacked, once.
pub const PAGE_FILE_BYTES_MAX: usize = 256 * 1024;

/// Clients of a page, and the most that may be asked for; bytes of a page, after which the next one begins.
pub const HTTP_PAGE: u64 = 100;
pub const HTTP_PAGE_MAX: u64 = 1_000;
pub const HTTP_PAGE_BYTES: usize = 1024 * 1024;

/// Bytes of `map.tiles`, and characters of `map.attribution`, which stands in one line beside the map.
pub const MAP_TILES_MAX: usize = 1_024;
pub const MAP_ATTRIBUTION_MAX: usize = 200;

/// Seconds that a report's time may be ahead when it comes by HTTP: a phone's clock that is years ahead is told so at
/// once.
pub const HTTP_MAX_AHEAD_S: u64 = 86_400;

/// Bytes of a token at least: 16 random ones cannot be guessed. And of a file with tokens.
pub const TOKEN_BYTES_MIN: usize = 16;
pub const TOKENS_FILE_MAX: u64 = 1024 * 1024;

/// Wrong tokens, each another one, that an address may show before nothing it shows is looked at, and for how many seconds
/// from the first: a person who types is far below, and a program that guesses gets ten a minute. Addresses that are
/// remembered, each with a bit for every token that was shown: for the 43,000 of the largest file that is 55 MB at most.
pub const GUESSES_MAX: usize = 10;
pub const GUESS_REST_S: u64 = 60;
pub const GUESS_ADDRESSES_MAX: usize = 10_000;

/// Random bytes of a token that herd makes, and the mode of a file that it makes for them.
pub const TOKEN_BYTES: usize = 24;
pub const SECRET_MODE: u32 = 0o600;

/// The mean radius of the earth.
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// Half the way around the earth in metres: everybody is within.
pub const EVERYWHERE_M: f64 = 20_037_509.0;

/// The exponent of a number beyond which it is no position and no time: what a program can write at all is less.
pub const EXPONENT_MAX: i32 = 400;

/// Seconds since 1970 before which no phone's time is: September 2001. Receivers that lost count say less, and Overland
/// may count from 2001.
pub const PHONE_TIME_MIN_S: u64 = 1_000_000_000;

/// Bytes of a phone's body that are looked at: Overland's largest batch has 600 KB. More is read and dropped, as an app
/// would send it again and again, up to so many bytes.
pub const PHONE_BODY_MAX: usize = 1024 * 1024;
pub const PHONE_BODY_READ_MAX: usize = 16 * 1024 * 1024;

/// How long a request waits for the end of a start, in ms, before it is told to come again: in most starts nobody is.
pub const HTTP_START_MS: u64 = 10_000;

/// Bytes of all bodies of phones together that are longer than a turn reads. One more waits, unread, for so many seconds, and then
/// there is a 503: ten thousand batches of Overland, of 300 KB each, take about as long.
pub const HTTP_ROOM_S: u64 = 120;
pub const PHONE_BODIES_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of what a phone says that are read within a turn. What is longer is read by a thread of its own: 500 points of
/// Overland take 2.4 ms. Each of these takes so many bytes of room at least, which bounds how many wait.
pub const PHONE_TURN_BYTES: usize = 16 * 1024;
pub const PHONE_BATCH_BYTES: usize = 256 * 1024;
pub const PHONE_BATCHES_MAX: usize = PHONE_BODIES_BYTES / PHONE_BATCH_BYTES;

/// Bytes of a body that has another second to come in for each of these: a slow line carries more.
pub const HTTP_BODY_BYTES_PER_S: usize = 4 * 1024;

/// Clients that OwnTracks is told of, as many as a turn finds at once.
pub const FRIENDS_MAX: usize = super::NEAREST_IN_TURN;

/// Digits of a time that OwnTracks takes for a number.
pub const OWNTRACKS_TIME_DIGITS: usize = 18;

/// Seconds after which the log says again that something of a phone is ignored, and phones of which that is remembered;
/// bytes of a name that are shown.
pub const PHONE_SAY_AGAIN_S: u64 = 3_600;
pub const PHONES_SAID_MAX: usize = 10_000;

/// Seconds after which those of them that are over are looked for again, once there are as many.
pub const PHONES_SAID_LOOK_S: u64 = 60;
pub const PHONE_NAME_LOGGED_BYTES: usize = 100;

/// Decimals of a time.
pub const NANO_DIGITS: usize = 9;

/// How long commands take, in µs: the bounds of the histogram of `/metrics`, from a turn on loopback to what nobody waits
/// for.
pub const DURATION_BUCKETS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Seconds after its start for which a server waits until it has tried to reach each neighbour: a machine that is off says
/// nothing, and must not keep clients away.
pub const HTTP_UNTRIED_S: u64 = 1;

/// Seconds after its start for which a server waits for its neighbours before it says that it is ready: they are read
/// within seconds, and one that takes longer must not keep clients away.
pub const HTTP_READY_AFTER_S: u64 = 30;

/// About what a head takes without further fields.
pub const HTTP_REPLY_HEAD_BYTES: usize = 256;
