//! The benchmarks `idle` and `two-hubs`: greenloom's echo server beside itself.
//!
//! ```text
//!   idle       one server, 10,000 connections that say nothing + 100 that do       beside one with the 100 alone
//!   two-hubs   one process, two hubs on two threads, a port        + two clients   beside two processes with one each
//! ```
//!
//! The clients are those of `echo`. In `two-hubs` nothing is pinned: four busy threads on what cores there are, the same
//! on both sides.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use crate::cli::{Options, Server};
use crate::echo::ROUNDS;
use crate::measure::median;
use crate::processes::{ClientProcess, Cores, ServerProcess};
use crate::report::Row;
use crate::sys;

/// Bytes of a request.
const SIZE: usize = 64;

/// Connections without a word, and those that talk.
const IDLE: usize = 10_000;
const ACTIVE: usize = 100;

/// Connections to each of two hubs.
const EACH: usize = 50;

/// Measures what a request takes with many idle connections, and with none.
pub(crate) fn idle(options: &Options) -> io::Result<Vec<Row>> {
    if let Err(error) = sys::raise_open_files((IDLE + ACTIVE + 100) as u64) {
        eprintln!("skipped: idle: {error}");
        return Ok(Vec::new());
    }
    let quiet_server = ServerProcess::start(Server::Greenloom, SIZE, Cores::Apart)?;
    let _idle = ClientProcess::connect(&quiet_server, IDLE, SIZE, Cores::Apart)?;
    let lone_server = ServerProcess::start(Server::Greenloom, SIZE, Cores::Apart)?;
    let mut value = Side::new(vec![quiet_server], 1, ACTIVE, Cores::Apart, options)?;
    let mut reference = Side::new(vec![lone_server], 1, ACTIVE, Cores::Apart, options)?;
    alternate(&mut value, &mut reference, options)?;
    let latency = |side: &Side| {
        let of_one = |us: &f64| us * ACTIVE as f64;
        median(side.us.iter().map(of_one).collect())
    };
    let case = |what: &str| format!("{ACTIVE} active, {IDLE} idle, {what}");
    Ok(vec![
        row(
            "idle",
            case("latency"),
            "us",
            latency(&value),
            latency(&reference),
        ),
        row(
            "idle",
            case("server CPU"),
            "us/request",
            median(value.cpu_us),
            median(reference.cpu_us),
        ),
    ])
}

/// Measures what two hubs of one process get done, and two processes.
pub(crate) fn two_hubs(options: &Options) -> io::Result<Vec<Row>> {
    let both = ServerProcess::start(Server::TwoHubs, SIZE, Cores::Any)?;
    let each = [(), ()].map(|()| ServerProcess::start(Server::Greenloom, SIZE, Cores::Any));
    let each: io::Result<Vec<_>> = each.into_iter().collect();
    let mut value = Side::new(vec![both], 2, EACH, Cores::Any, options)?;
    let mut reference = Side::new(each?, 2, EACH, Cores::Any, options)?;
    alternate(&mut value, &mut reference, options)?;
    let rate = |side: &Side| median(side.us.iter().map(|us| 1e6 / us).collect());
    let case = |what: &str| format!("2 clients of {EACH} connections, {what}");
    Ok(vec![
        row(
            "two-hubs",
            case("rate"),
            "requests/s",
            rate(&value),
            rate(&reference),
        ),
        row(
            "two-hubs",
            case("server CPU"),
            "us/request",
            median(value.cpu_us),
            median(reference.cpu_us),
        ),
    ])
}

/// A row of one of the two, whose references are greenloom itself in another form.
fn row(bench: &str, case: String, unit: &str, value: Option<f64>, reference: Option<f64>) -> Row {
    let beside = match bench {
        "idle" => "none idle",
        _ => "two processes",
    };
    Row {
        bench: bench.to_owned(),
        case,
        unit: unit.to_owned(),
        value,
        reference,
        peer: Some(beside.to_owned()),
    }
}

/// Servers, clients dealt out to them, and what the rounds have measured: microseconds for each request.
struct Side {
    // Dropped in this order: the clients first, so that the servers see ordinary ends of connections.
    clients: Vec<ClientProcess>,
    servers: Vec<ServerProcess>,
    us: Vec<f64>,
    cpu_us: Vec<f64>,
}

impl Side {
    fn new(
        servers: Vec<ServerProcess>,
        clients: usize,
        connections: usize,
        cores: Cores,
        options: &Options,
    ) -> io::Result<Side> {
        let clients: io::Result<_> = (0..clients)
            .map(|i| ClientProcess::connect(&servers[i % servers.len()], connections, SIZE, cores))
            .collect();
        let mut side = Side {
            clients: clients?,
            servers,
            us: Vec::new(),
            cpu_us: Vec::new(),
        };
        side.run(options.warmup.unwrap_or(options.requests / 10).max(1))?;
        Ok(side)
    }

    /// Has every client make its share, all at once; returns how long the slowest took.
    fn run(&mut self, requests: u64) -> io::Result<Duration> {
        let share = requests.div_ceil(self.clients.len() as u64);
        for client in &mut self.clients {
            client.begin(share)?;
        }
        let mut longest = Duration::ZERO;
        for client in &mut self.clients {
            longest = longest.max(client.finish()?);
        }
        Ok(longest)
    }

    fn cpu_ns(&mut self) -> io::Result<u64> {
        let mut sum = 0;
        for server in &mut self.servers {
            sum += server.stats()?.cpu_ns;
        }
        Ok(sum)
    }

    fn round(&mut self, requests: u64) -> io::Result<()> {
        let before = self.cpu_ns()?;
        let elapsed = self.run(requests)?;
        let cpu_ns = self.cpu_ns()? - before;
        self.us.push(elapsed.as_secs_f64() * 1e6 / requests as f64);
        self.cpu_us.push(cpu_ns as f64 / 1000.0 / requests as f64);
        Ok(())
    }
}

fn alternate(value: &mut Side, reference: &mut Side, options: &Options) -> io::Result<()> {
    for round in 0..options.rounds_or(ROUNDS, 3) {
        let mut turns = [&mut *value, &mut *reference];
        if round % 2 == 1 {
            turns.reverse();
        }
        for side in turns {
            side.round(options.requests)?;
        }
    }
    Ok(())
}
