//! The server's test of itself: many clients at once, in tasks beside the server's own.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use greenloom::net::TcpStream;
use greenloom::{join_all, spawn};

pub(crate) const CLIENTS: u64 = 500;
const MESSAGES: u64 = 10;

fn client(id: u64, addr: SocketAddr, upper: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    for message in 0..MESSAGES {
        let sent = format!("client {id:03} sends line {message}\n");
        let mut reply = vec![0; sent.len()];
        stream.write_all(sent.as_bytes())?;
        stream.read_exact(&mut reply)?;
        let expected = if upper {
            sent.to_ascii_uppercase()
        } else {
            sent
        };
        if reply != expected.as_bytes() {
            return Err(io::Error::other(format!("expected {expected:?}")));
        }
    }
    Ok(())
}

/// Runs all clients at once; whether every one got what it should.
pub(crate) fn run(addr: SocketAddr, upper: bool) -> bool {
    let clients = (0..CLIENTS)
        .map(|id| spawn(move || client(id, addr, upper)))
        .collect::<Vec<_>>();
    let mut failed = 0;
    for outcome in join_all(clients, None) {
        if !matches!(outcome, Ok(Ok(()))) {
            eprintln!("a client failed: {outcome:?}");
            failed += 1;
        }
    }
    let replies = (CLIENTS - failed) * MESSAGES;
    println!("check: {CLIENTS} clients got {replies} replies, {failed} failed");
    failed == 0
}
