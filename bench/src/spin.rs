//! The benchmark `spin`: how long a lone request takes, when both servers block for it and when both spin.
//!
//! ```text
//!   one connection, 64 bytes:   client ──► server ──► client ──► …     the client spins in every case
//!     blocking                  both servers block at once
//!     spinning                  both poll for `SPIN` before they do
//! ```
//!
//! The client never sleeps, so that a round trip is the two ways through the kernel and what the server adds. The reference is
//! the epoll loop of `echo`, whose spin is `epoll_wait` without waiting and a look at the clock.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use crate::cli::{Options, Server};
use crate::echo::ROUNDS;
use crate::measure::median;
use crate::processes::{ClientProcess, Cores, ServerProcess};
use crate::report::Row;

/// How long servers spin: many times what the client needs to ask again.
const SPIN: Duration = Duration::from_micros(100);

/// How long the client does: as good as for ever.
const PATIENCE: Duration = Duration::from_millis(50);

/// Bytes of a request.
const SIZE: usize = 64;

/// Measures both ways to wait.
pub(crate) fn rows(options: &Options) -> io::Result<Vec<Row>> {
    let row = |how: &str, spin| {
        let mut value = Side::new(Server::Greenloom, spin, options)?;
        let mut reference = Side::new(Server::Bare, spin, options)?;
        for round in 0..options.rounds_or(ROUNDS, 3) {
            let mut turns = [&mut value, &mut reference];
            if round % 2 == 1 {
                turns.reverse();
            }
            for side in turns {
                side.round(options.requests)?;
            }
        }
        Ok(Row {
            bench: "spin".to_owned(),
            case: format!("1 connection, {how}, latency"),
            unit: "us".to_owned(),
            value: median(value.us),
            reference: median(reference.us),
            peer: None,
        })
    };
    [("blocking", Duration::ZERO), ("spinning", SPIN)]
        .into_iter()
        .map(|(how, spin)| row(how, spin))
        .collect()
}

/// A server and its client, and microseconds for each request of a round.
struct Side {
    // Dropped in this order: the client first, so that the server sees an ordinary end of its connection.
    client: ClientProcess,
    _server: ServerProcess,
    us: Vec<f64>,
}

impl Side {
    fn new(kind: Server, spin: Duration, options: &Options) -> io::Result<Side> {
        let server = ServerProcess::start_spinning(kind, SIZE, Cores::Apart, spin)?;
        let client =
            ClientProcess::connect_spinning(server.address(), 1, SIZE, Cores::Apart, PATIENCE)?;
        let mut side = Side {
            client,
            _server: server,
            us: Vec::new(),
        };
        side.client
            .run(options.warmup.unwrap_or(options.requests / 10).max(1))?;
        Ok(side)
    }

    fn round(&mut self, requests: u64) -> io::Result<()> {
        let elapsed = self.client.run(requests)?;
        self.us.push(elapsed.as_secs_f64() * 1e6 / requests as f64);
        Ok(())
    }
}
