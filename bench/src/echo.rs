//! The `echo` benchmark: two servers on core 0, each with a client of its own on core 1.
//!
//! ```text
//! per number of connections:   start bare and greenloom, connect a client to each, warm both up
//!   per round:                 SIGUSR1 → stats   requests …   SIGUSR1 → stats     to one, then the other
//! ```
//!
//! Both servers live through all rounds with their connections open; the one that is not asked sleeps in
//! `epoll_wait` and costs nothing. What is measured is the server's own CPU time per request, which
//! neither the client nor a neighbour on the core adds to, and the rate. The clients are two processes
//! because 10,000 connections to each server would exceed the usual limit on open files in one.
#![forbid(unsafe_code)]

use std::io;

use crate::cli::{Options, Server};
use crate::measure::median;
use crate::peers::{ClientProcess, Cores, ServerProcess};
use crate::report::Row;
use crate::{cases, reference, stats, sys};

/// Rounds of a launch: each is long, so fewer than elsewhere.
pub(crate) const ROUNDS: usize = 5;

/// Be a server until a signal says otherwise.
pub(crate) fn serve(kind: Server, options: &Options) -> io::Result<()> {
    stats::report_on_signals()?;
    sys::raise_open_files(0)?;
    pin(options.core);
    match kind {
        Server::Bare => reference::echo::serve(options.port, reference::echo::Answer::Same),
        Server::BareHttp => reference::echo::serve(options.port, reference::echo::Answer::Http),
        Server::Greenloom => cases::serve_echo(options.port),
        Server::TwoHubs => cases::serve_two_hubs(options.port),
    }
}

/// Pins this process if asked to, or says that the numbers will be worse: one core is no reason not to run.
pub(crate) fn pin(core: Option<usize>) {
    if let Some(core) = core
        && let Err(error) = sys::pin(core)
    {
        eprintln!("echo: not pinned to core {core}: {error}");
    }
}

/// Measures every number of connections.
pub(crate) fn rows(options: &Options) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &connections in &options.connections {
        rows.extend(rows_for(connections, options)?);
    }
    Ok(rows)
}

/// A server, its client, and what the rounds have measured.
struct Contestant {
    // Dropped in this order: the client first, so that the server sees ordinary ends of connections.
    client: ClientProcess,
    server: ServerProcess,
    cpu_us: Vec<f64>,
    rate: Vec<f64>,
    reads: u64,
    allocations: u64,
}

impl Contestant {
    fn new(kind: Server, connections: usize, options: &Options) -> io::Result<Contestant> {
        let server = ServerProcess::start(kind, Cores::Apart)?;
        let mut client = ClientProcess::connect(&server, connections, Cores::Apart)?;
        let warmup = (options.requests / 10).max(2 * connections as u64);
        client.run(options.warmup.unwrap_or(warmup))?;
        Ok(Contestant {
            client,
            server,
            cpu_us: Vec::new(),
            rate: Vec::new(),
            reads: 0,
            allocations: 0,
        })
    }

    fn round(&mut self, requests: u64) -> io::Result<()> {
        let before = self.server.stats()?;
        let elapsed = self.client.run(requests)?;
        let after = self.server.stats()?;
        let cpu_ns = (after.cpu_ns - before.cpu_ns) as f64;
        self.cpu_us.push(cpu_ns / 1000.0 / requests as f64);
        self.rate.push(requests as f64 / elapsed.as_secs_f64());
        self.reads += after.requests - before.requests;
        self.allocations += after.allocations - before.allocations;
        Ok(())
    }
}

/// Measures one number of connections.
fn rows_for(connections: usize, options: &Options) -> io::Result<Vec<Row>> {
    let mut reference = Contestant::new(Server::Bare, connections, options)?;
    let mut value = Contestant::new(Server::Greenloom, connections, options)?;
    for round in 0..options.rounds.unwrap_or(ROUNDS) {
        let mut turns = [&mut value, &mut reference];
        if round % 2 == 1 {
            turns.reverse();
        }
        for contestant in turns {
            contestant.round(options.requests)?;
        }
    }
    let row = |what: &str, unit: &str, value, reference| Row {
        bench: "echo".to_owned(),
        case: format!("{connections} connections, {what}"),
        unit: unit.to_owned(),
        value,
        reference,
    };
    let allocations = Some(value.allocations as f64 / value.reads as f64);
    let (cpu, rate) = (median(value.cpu_us), median(value.rate));
    Ok(vec![
        row("server CPU", "us/request", cpu, median(reference.cpu_us)),
        row("rate", "requests/s", rate, median(reference.rate)),
        row("allocations", "allocations/read", allocations, None),
    ])
}
