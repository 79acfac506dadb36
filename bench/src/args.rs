//! The command line.

use argh::FromArgs;

use crate::phones::Shape;

/// Measures herd against the same server built otherwise.
#[derive(FromArgs, Debug)]
pub struct Args {
    #[argh(subcommand)]
    pub command: Command,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum Command {
    Compare(Compare),
    Conform(ConformArgs),
    Load(LoadArgs),
    Phones(PhonesArgs),
    Watch(WatchArgs),
}

/// Build, check and measure the variants, all of them in every round, and write the report.
/// With two reports: say where the newer is worse.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "compare")]
pub struct Compare {
    /// two reports, the older first: compare these and measure nothing
    #[argh(positional)]
    pub reports: Vec<String>,

    /// the workloads that say most, in under 2 minutes
    #[argh(switch)]
    pub quick: bool,

    /// only these variants and workloads, by name, with commas between; growth is herd by its clients, IDs, neighbours and
    /// servers
    #[argh(option)]
    pub only: Option<String>,

    /// rounds (default 5; 3 with --quick)
    #[argh(option)]
    pub rounds: Option<usize>,

    /// seconds a run is measured (default 2; 0.5 with --quick)
    #[argh(option)]
    pub seconds: Option<f64>,

    /// generator threads (default 1)
    #[argh(option, default = "1")]
    pub threads: usize,

    /// NAME='command with {name} {port} {config} {places}': a server of your own, its words split at white space; may be
    /// repeated
    #[argh(option)]
    pub server: Vec<String>,

    /// herd is measured against itself, too: what comes of that is the noise, which is quoted beside every ratio
    #[argh(switch)]
    pub aa: bool,

    /// the server on the first core and the generator on the others
    #[argh(switch)]
    pub pin: bool,

    /// where report.json and report.html go (default: the folder you are in)
    #[argh(option, default = "\".\".into()")]
    pub out: String,
}

/// Have a server of your own answer what the course asks, and then what herd does; tell all that differs.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "conform")]
pub struct ConformArgs {
    /// NAME='command with {name} {port} {config} {places}', its words split at white space; may be repeated
    #[argh(option)]
    pub server: Vec<String>,
}

/// Load one server that runs already.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "load")]
pub struct LoadArgs {
    /// where it listens, host:port
    #[argh(positional)]
    pub address: String,

    /// the server's name, which its replies must bear (default: the one in its reply to a first report)
    #[argh(option)]
    pub name: Option<String>,

    /// connections (default 50)
    #[argh(option, default = "50")]
    pub connections: usize,

    /// commands under way on each connection (default 1)
    #[argh(option, default = "1")]
    pub depth: usize,

    /// idle connections beside them (default 0)
    #[argh(option, default = "0")]
    pub idle: usize,

    /// the address is a door for HTTP: reports by PUT
    #[argh(switch)]
    pub http: bool,

    /// beside clients that mean no good
    #[argh(switch)]
    pub mob: bool,

    /// commands a second, in an open loop; without it every reply makes room for the next command
    #[argh(option)]
    pub rate: Option<f64>,

    /// a connection for every command, as for a server that answers one and closes
    #[argh(switch)]
    pub fresh: bool,

    /// one in so many commands is a WHATSAT (default 0: none)
    #[argh(option, default = "0")]
    pub whatsat_every: u64,

    /// seconds it is measured (default 5)
    #[argh(option, default = "5.0")]
    pub seconds: f64,

    /// generator threads (default 1)
    #[argh(option, default = "1")]
    pub threads: usize,
}

/// Start herd, and have phones report to it beside clients that speak lines.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "phones")]
pub struct PhonesArgs {
    /// the program (default target/release/herd)
    #[argh(option, default = "\"target/release/herd\".into()")]
    pub herd: String,

    /// phones, each on a connection that it keeps (default 10000)
    #[argh(option, default = "10_000")]
    pub phones: usize,

    /// owntracks, a report a request, or overland, a batch of up to 1,000 (default owntracks)
    #[argh(option, default = "Shape::OwnTracks")]
    pub shape: Shape,

    /// seconds from one report of a phone to its next (default 10)
    #[argh(option, default = "10.0")]
    pub every: f64,

    /// the morning: every phone comes back with so many points, and sends them as fast as they are taken
    #[argh(option, default = "0")]
    pub queued: usize,

    /// one token for all phones, so that each is told of others as its friends; by default each has its own
    #[argh(switch)]
    pub shared_token: bool,

    /// clients that speak lines beside them (default 50)
    #[argh(option, default = "50")]
    pub lines: usize,

    /// their commands a second, in an open loop; without it every reply makes room for the next command
    #[argh(option)]
    pub rate: Option<f64>,

    /// seconds that these are measured alone, and then beside phones that report every so often (default 20)
    #[argh(option, default = "20.0")]
    pub seconds: f64,

    /// seconds that queues may take to drain (default 600)
    #[argh(option, default = "600")]
    pub most: u64,

    /// a line at the top of herd.conf
    #[argh(option, default = "String::new()")]
    pub settings: String,
}

/// Start herd, and have it take reports alone, and then beside subscribers of /v1/events.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "watch")]
pub struct WatchArgs {
    /// the program (default target/release/herd)
    #[argh(option, default = "\"target/release/herd\".into()")]
    pub herd: String,

    /// subscribers (default 1000)
    #[argh(option, default = "1_000")]
    pub subscribers: usize,

    /// how many of these read nothing, ever (default 0)
    #[argh(option, default = "0")]
    pub asleep: usize,

    /// clients that report (default 1000)
    #[argh(option, default = "1_000")]
    pub clients: usize,

    /// connections that they report over (default 50)
    #[argh(option, default = "50")]
    pub connections: usize,

    /// they report by lines; without it by PUT
    #[argh(switch)]
    pub lines: bool,

    /// reports a second, in an open loop; without it every reply makes room for the next report
    #[argh(option)]
    pub rate: Option<f64>,

    /// seconds that reports are measured alone, and then beside subscribers (default 10)
    #[argh(option, default = "10.0")]
    pub seconds: f64,

    /// a line at the top of herd.conf
    #[argh(option, default = "String::new()")]
    pub settings: String,
}
