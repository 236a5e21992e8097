//! An echo server: one task per connection, all on one thread, plain blocking code.
//!
//! ```sh
//! cargo run --release --example echo_server        # then: nc 127.0.0.1 8080, or the example echo_client
//! cargo run --release --example echo_server -- --addr 127.0.0.1:9000 --upper
//! cargo run --release --example echo_server -- --check
//! ```
//!
//! `--upper` answers in upper case. SIGINT (ctrl-C) and SIGTERM stop it: it accepts no more, lets the handlers
//! finish what they have read, and prints its totals. `--check` runs 500 clients against itself and then stops;
//! the exit code is 0 if every reply was right:
//!
//! ```text
//! listening on 127.0.0.1:…
//! check: 500 clients got 5000 replies, 0 failed
//! totals: 500 connections, 120000 bytes
//! ```
#![deny(unsafe_code)] // except in `os`

mod check;
#[allow(unsafe_code)] // signals and limits
mod os;
mod server;

use std::process::ExitCode;
use std::sync::Arc;
use std::{env, io};

use greenloom::net::TcpListener;
use greenloom::spawn;

use server::{Door, Server};

fn main() -> io::Result<ExitCode> {
    let (mut addr, mut upper, mut checking) = (None, false, false);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--addr" => {
                addr = Some(
                    args.next()
                        .ok_or_else(|| io::Error::other("--addr needs a value"))?,
                )
            }
            "--upper" => upper = true,
            "--check" => checking = true,
            _ => return Err(io::Error::other(format!("unknown option {arg}"))),
        }
    }
    let default = if checking {
        "127.0.0.1:0"
    } else {
        "127.0.0.1:8080"
    };
    // First of all: threads inherit what is blocked.
    let signals = os::StopSignals::block();
    os::raise_descriptor_limit();

    let listener = TcpListener::bind(addr.as_deref().unwrap_or(default))?;
    let addr = listener.local_addr()?;
    let door = Arc::new(Door::new(listener));
    let closer = Arc::clone(&door);
    signals.once(move || closer.close());
    println!("listening on {addr}");

    let checker = checking.then(|| {
        let door = Arc::clone(&door);
        spawn(move || {
            let passed = check::run(addr, upper);
            door.close();
            passed
        })
    });
    let server = Server::new(upper);
    server.accept_all(&door);
    server.finish();

    let (accepted, bytes) = (server.accepted.get(), server.bytes.get());
    println!("totals: {accepted} connections, {bytes} bytes");
    let passed = checker
        .is_none_or(|task| task.join().is_ok_and(|passed| passed) && accepted == check::CLIENTS);
    Ok(ExitCode::from(u8::from(!passed)))
}
