//! An echo server on two threads, each with a hub of its own, that share a port.
//!
//! ```sh
//! cargo run --release --example multi_hub
//! ```
//!
//! The system deals the connections out. Each stays on its thread, so nothing within a connection needs a lock; what the
//! threads share is counted in atomics. How many each of the two gets is different every time.
//!
//! ```text
//! 100 clients got their replies
//! both hubs have served connections
//! stopped: 0 were killed
//! ```
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use greenloom::net::TcpStream;
use greenloom::server::StreamServer;
use greenloom::{join_all, spawn};

const HUBS: usize = 2;
const CLIENTS: usize = 100;

fn echo(mut stream: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

fn client(addr: SocketAddr, id: usize) -> io::Result<bool> {
    let mut stream = TcpStream::connect(addr)?;
    let line = format!("I am client {id}");
    stream.write_all(line.as_bytes())?;
    let mut reply = vec![0; line.len()];
    stream.read_exact(&mut reply)?;
    Ok(reply == line.as_bytes())
}

fn main() -> io::Result<()> {
    let served: Arc<[AtomicUsize; HUBS]> = Arc::default();
    let counts = Arc::clone(&served);
    let server = StreamServer::builder("127.0.0.1:0")
        .name("echo")
        .nodelay()
        .hubs(NonZeroUsize::new(HUBS).expect("two are not none"))
        .serve(move |stream, _peer| {
            // The threads are named after the server: `echo 0`, `echo 1`.
            let number = thread::current()
                .name()
                .and_then(|name| name[5..].parse().ok());
            if let Some(count) = number.and_then(|n: usize| counts.get(n)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            // Its error is the client's going away.
            let _ = echo(&stream);
        })?;

    let addr = server.local_addr();
    let clients = (0..CLIENTS)
        .map(|id| spawn(move || client(addr, id)))
        .collect::<Vec<_>>();
    let outcomes = join_all(clients, None);
    let right = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Ok(true))));
    println!("{} clients got their replies", right.count());

    if served.iter().all(|count| count.load(Ordering::Relaxed) > 0) {
        println!("both hubs have served connections");
    }
    let stopped = server.stop(Duration::from_secs(5));
    println!("stopped: {} were killed", stopped.killed + stopped.left);
    Ok(())
}
