//! The `echo` benchmark: two servers on core 0, each with a client of its own on core 1.
//!
//! ```text
//! per number of connections and size:   start bare (or a peer) and greenloom, connect a client to each, warm both up
//!   per round:     SIGUSR1 → stats   requests …   SIGUSR1 → stats     to one, then the other
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
use crate::processes::{ClientProcess, Cores, ServerProcess};
use crate::report::Row;
use crate::{cases, peers, reference, stats, sys};

/// Bytes of a connection's buffer, in every server alike: for requests smaller than that.
pub(crate) const SMALL: usize = 4096;

/// The same for larger ones: twice the largest, so that a read which empties the socket is seen to have done so.
pub(crate) const LARGE: usize = 2 * crate::cli::LARGEST;

/// The one of the two for requests of `size` bytes.
pub(crate) fn buffer(size: usize) -> usize {
    if size < SMALL { SMALL } else { LARGE }
}

/// Rounds of a launch: each is long, so fewer than elsewhere.
pub(crate) const ROUNDS: usize = 5;

/// Be a server until a signal says otherwise.
pub(crate) fn serve(kind: Server, options: &Options) -> io::Result<()> {
    stats::report_on_signals()?;
    sys::raise_open_files(0)?;
    pin(options.core);
    let (port, size, spin) = (options.port, options.sizes[0], options.spin);
    match kind {
        Server::Bare => {
            reference::echo::serve(port, reference::echo::Answer::Same, buffer(size), spin)
        }
        Server::BareHttp => {
            reference::echo::serve(port, reference::echo::Answer::Http, SMALL, spin)
        }
        Server::Greenloom => cases::serve_echo(port, size, spin),
        Server::TwoHubs => cases::serve_two_hubs(port),
        Server::Peer(peer) => peers::serve(peer, port, buffer(size)),
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

/// Measures every number of connections with every size, beside the bare loop or beside the peer.
pub(crate) fn rows(options: &Options) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &size in &options.sizes {
        for &connections in &options.connections {
            // The servers and clients need a file for each, and have the limits of this process.
            if let Err(error) = sys::raise_open_files(connections as u64 + 100) {
                eprintln!("skipped: echo on {connections} connections: {error}");
                continue;
            }
            rows.extend(rows_for(connections, size, options)?);
        }
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
    fn new(
        kind: Server,
        connections: usize,
        size: usize,
        options: &Options,
    ) -> io::Result<Contestant> {
        let server = ServerProcess::start(kind, size, Cores::Apart)?;
        let mut client = ClientProcess::connect(&server, connections, size, Cores::Apart)?;
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

/// Measures one number of connections with one size.
fn rows_for(connections: usize, size: usize, options: &Options) -> io::Result<Vec<Row>> {
    let beside = options.peer.map_or(Server::Bare, Server::Peer);
    let mut reference = Contestant::new(beside, connections, size, options)?;
    let mut value = Contestant::new(Server::Greenloom, connections, size, options)?;
    for round in 0..options.rounds_or(ROUNDS, 3) {
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
        case: match size {
            64 => format!("{connections} connections, {what}"),
            _ => format!("{connections} connections, {size} bytes, {what}"),
        },
        unit: unit.to_owned(),
        value,
        reference,
        peer: options.peer.map(|peer| peer.name().to_owned()),
    };
    let allocations = Some(value.allocations as f64 / value.reads as f64);
    let (cpu, rate) = (median(value.cpu_us), median(value.rate));
    let mut rows = vec![
        row("server CPU", "us/request", cpu, median(reference.cpu_us)),
        row("rate", "requests/s", rate, median(reference.rate)),
    ];
    if options.peer.is_none() {
        rows.push(row("allocations", "allocations/read", allocations, None));
    }
    Ok(rows)
}
