//! The servers of a herd.conf: their tables, who talks with whom, and what pairs of them share. `validate` calls it.

use std::collections::BTreeMap;

use toml::Spanned;

use super::http::http;
use super::map::tiles;
use super::paths::Paths;
use super::raw::{Problem, RawHttp, RawMap, RawServer};
use super::settings::host_port;
use super::{Server, graph, hints};
use crate::limits;

/// What the tables of all servers say: `[http]` and `[map]`, and whether there is an engine by `[backbone]`.
type OfAll<'a> = (&'a RawHttp, &'a RawMap, bool);

/// All servers, in the order of the file.
pub fn servers(
    raw: BTreeMap<Spanned<String>, RawServer>,
    all: OfAll<'_>,
    paths: &Paths<'_>,
) -> Result<Vec<Server>, Problem> {
    if raw.is_empty() {
        let why = "no servers: add a table like [servers.Goloman] with listen = \"127.0.0.1:16675\"";
        return Err(Problem { span: None, why: why.into() });
    }
    let mut tables: Vec<_> = raw.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let mut servers = Vec::with_capacity(tables.len());
    for (name, table) in &tables {
        servers.push(server(name, table, all, paths)?);
    }
    connect(&tables, &mut servers)?;
    pair_up(&tables, &mut servers, paths)?;
    graph::distinct(&tables, &servers)?;
    graph::distinct_http(&tables, &servers)?;
    graph::dialable(&tables, &servers)?;
    graph::one_family(&tables, &servers)?;
    Ok(servers)
}

fn server(
    name: &Spanned<String>,
    table: &RawServer,
    (web, map, has_engine): OfAll<'_>,
    paths: &Paths<'_>,
) -> Result<Server, Problem> {
    let text = name.get_ref();
    let plain_byte = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !starts_well || !text.bytes().all(plain_byte) || text.len() > limits::NAME_MAX {
        let why = format!(
            "server name {text:?} must be 1 to {} letters, digits, '-', '_' or '.', first a letter or digit",
            limits::NAME_MAX
        );
        return Err(Problem::at(name, why));
    }
    if text == CONTROL {
        let why = format!("server name {text:?} is taken: `herd {text}` is herdctl; give the server another");
        return Err(Problem::at(name, why));
    }
    let listen = host_port(&table.listen, "listen")?;
    let address = match &table.address {
        Some(place) => host_port(place, "address")?,
        None => listen.clone(),
    };
    Ok(Server {
        name: text.clone(),
        listen,
        address,
        plain: table.plain,
        refill: table.refill,
        secret_file: paths.find_secret("secret_file", table.secret_file.as_ref())?,
        secret_files: Vec::new(),
        http: if table.plain { None } else { http(web, table.http.as_ref(), paths)? },
        tiles: tiles(map, table.map.as_ref())?,
        has_backbone: has_backbone(table, has_engine)?,
        neighbours: Vec::new(),
    })
}

/// Whether it reads and writes the engine, if there is one. Every server of this make does, unless its table says otherwise.
fn has_backbone(table: &RawServer, has_engine: bool) -> Result<bool, Problem> {
    match &table.backbone {
        Some(said) if table.plain && *said.get_ref() => {
            Err(Problem::at(said, "a plain server knows of no backbone; take backbone = true out"))
        }
        said => Ok(has_engine && !table.plain && said.as_ref().is_none_or(|said| *said.get_ref())),
    }
}

/// The word behind `herd` that stands for no server.
const CONTROL: &str = "ctl";

/// Fills in the neighbours, both ways.
fn connect(tables: &[(Spanned<String>, RawServer)], servers: &mut [Server]) -> Result<(), Problem> {
    for (index, (name, table)) in tables.iter().enumerate() {
        for neighbour in &table.neighbours {
            let other = tables.iter().position(|(name, _)| name.get_ref() == neighbour.get_ref());
            let why = match other {
                Some(other) if other != index => {
                    servers[index].neighbours.push(other);
                    servers[other].neighbours.push(index);
                    continue;
                }
                Some(_) => format!("{} names itself as a neighbour; take it out", name.get_ref()),
                None => {
                    let names: Vec<_> = tables.iter().map(|(name, _)| name.get_ref().as_str()).collect();
                    format!("no server {:?}; there are {}", neighbour.get_ref(), names.join(", "))
                }
            };
            return Err(Problem::at(neighbour, why));
        }
    }
    for server in servers {
        server.neighbours.sort_unstable();
        server.neighbours.dedup();
    }
    Ok(())
}

/// Fills in what pairs of neighbours share, at both of them.
fn pair_up(
    tables: &[(Spanned<String>, RawServer)],
    servers: &mut [Server],
    paths: &Paths<'_>,
) -> Result<(), Problem> {
    for (index, (name, table)) in tables.iter().enumerate() {
        for (neighbour, place) in &table.secret_files {
            let (name, neighbour_name) = (name.get_ref(), neighbour.get_ref());
            let found =
                servers[index].neighbours.iter().find(|&&other| servers[other].name == *neighbour_name);
            let Some(&other) = found else {
                let hint = hints::home_of(neighbour_name)
                    .map_or(String::new(), |home| format!("; if it is a setting, it belongs {home}"));
                let why =
                    format!("{neighbour_name} is no neighbour of {name}, and shares nothing with it{hint}");
                return Err(Problem::at(neighbour, why));
            };
            if servers[index].plain || servers[other].plain {
                let why = format!(
                    "{name} and {neighbour_name} are not both of this make: a plain one proves nothing"
                );
                return Err(Problem::at(neighbour, why));
            }
            let file = paths.secret("secret_files", place)?;
            let named = servers[index].secret_files.iter().find(|(with, _)| *with == other);
            match named {
                Some((_, first)) if first.path != file.path => {
                    let why = format!(
                        "{neighbour_name} names {} for its link with {name}; name one file, at one of the two",
                        first.path.display()
                    );
                    return Err(Problem::at(place, why));
                }
                Some(_) => {}
                None => {
                    servers[other].secret_files.push((index, file.clone()));
                    servers[index].secret_files.push((other, file));
                }
            }
        }
    }
    Ok(())
}
