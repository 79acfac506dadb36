//! What a variant that keeps reports has to show before it is measured: it is killed while it takes them, and knows after its
//! next start whatever it had answered.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::conformance::HANG;
use crate::start::{NAME, Starter};
use crate::variants::{Speaks, Variant};
use crate::workload::Door;

/// Clients, each on a connection of its own.
const CLIENTS: usize = 4;

/// Reports that are answered before it is killed.
const REPORTS: u64 = 2_000;

/// So often Redis is killed at most: while it syncs it puts off what it writes for up to 2 s, and answers all the same, and
/// what it answered then does not survive a kill. That is what its `everysec` promises; a kill rarely hits it.
const TRIES_OF_REDIS: usize = 3;

/// Kills a variant under load, and has it start again; returns how many cases there were.
///
/// # Errors
/// It forgot what it had answered, or what else went wrong.
pub fn run(starter: &Starter, variant: &Variant) -> Result<usize, String> {
    let tries = if variant.speaks == Speaks::Redis { TRIES_OF_REDIS } else { 1 };
    let mut found = kill(starter, variant);
    for _ in 1..tries {
        if found.is_err() {
            found = kill(starter, variant);
        }
    }
    found
}

fn kill(starter: &Starter, variant: &Variant) -> Result<usize, String> {
    let told = |why: io::Error| why.to_string();
    let mut started = starter.one(variant, &[], Door::Lines).map_err(told)?;
    let (address, answered) = (started.first().address, AtomicU64::new(0));
    let speaks = variant.speaks;
    let newest: Vec<u64> = std::thread::scope(|scope| {
        let report = |client| {
            let answered = &answered;
            scope.spawn(move || reports(address, speaks, client, answered))
        };
        let clients: Vec<_> = (0..CLIENTS).map(report).collect();
        let begun = Instant::now();
        while answered.load(Ordering::SeqCst) < REPORTS && begun.elapsed() < HANG {
            std::thread::sleep(Duration::from_millis(1));
        }
        started.kill(NAME);
        clients.into_iter().map(|client| client.join().unwrap_or(0)).collect()
    });
    if newest.contains(&0) {
        return Err(format!("of {REPORTS} reports these were answered before it was killed: {newest:?}"));
    }
    starter.add(&mut started, variant, NAME, address).map_err(told)?;
    for (client, newest) in newest.into_iter().enumerate() {
        let known = known(started.first().address, speaks, client).map_err(told)?;
        if known < newest {
            return Err(format!(
                "after a kill -9 it knows report {known} of a client whose report {newest} it had answered"
            ));
        }
    }
    Ok(1)
}

/// Reports until the server is gone; the number of the last report that was answered.
fn reports(address: SocketAddr, speaks: Speaks, client: usize, answered: &AtomicU64) -> u64 {
    let mut newest = 0;
    let Ok(mut connection) = connected(address) else { return newest };
    loop {
        let number = newest + 1;
        let line = match speaks {
            Speaks::Redis => {
                let (key, value) = (format!("k{client}"), number.to_string());
                format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len())
            }
            _ => format!("IAMAT k{client} +1+1 {number}\n"),
        };
        let expected = if speaks == Speaks::Redis { "+OK" } else { "AT " };
        let mut reply = String::new();
        let said = connection.get_mut().write_all(line.as_bytes());
        if said.and_then(|()| connection.read_line(&mut reply)).is_err()
            || !reply.ends_with('\n')
            || !reply.starts_with(expected)
        {
            return newest;
        }
        newest = number;
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// The number of the newest report that is known of a client; 0 for none.
fn known(address: SocketAddr, speaks: Speaks, client: usize) -> io::Result<u64> {
    let is_redis = speaks == Speaks::Redis;
    let question = if is_redis { format!("GET k{client}\r\n") } else { format!("WHATSAT k{client} 0 0\n") };
    let begun = Instant::now();
    let mut said = ask(address, &question)?;
    // Redis takes connections before it has read its append-only file, and tells nothing until then.
    while is_redis && said.starts_with("-LOADING") {
        if begun.elapsed() >= HANG {
            return Err(io::Error::other(format!("after a kill -9 it still says {:?}", said.trim_end())));
        }
        std::thread::sleep(Duration::from_millis(1));
        said = ask(address, &question)?;
    }
    let line = said.lines().nth(usize::from(is_redis)).unwrap_or_default();
    Ok(line.split(' ').next_back().and_then(|number| number.trim().parse().ok()).unwrap_or(0))
}

/// All that is said to a question, on a connection of its own.
fn ask(address: SocketAddr, question: &str) -> io::Result<String> {
    let mut connection = connected(address)?;
    connection.get_mut().write_all(question.as_bytes())?;
    connection.get_mut().shutdown(std::net::Shutdown::Write)?;
    let mut said = String::new();
    connection.read_to_string(&mut said)?;
    Ok(said)
}

fn connected(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANG))?;
    Ok(BufReader::new(stream))
}
