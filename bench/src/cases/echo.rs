//! `echo`: the server that a user would write, one task per connection with its buffer on the stack.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::time::Duration;

use greenloom::hub::Hub;
use greenloom::net::{TcpListener, TcpStream};
use greenloom::server::StreamServer;

use crate::echo::{LARGE, SMALL};
use crate::stats;

/// Accepts until a signal ends the process.
pub(super) fn serve(port: u16, size: usize, spin: Duration) -> io::Result<()> {
    if !spin.is_zero() {
        Hub::builder().spin(spin).start()?;
    }
    if size < SMALL {
        serve_with::<SMALL>(port)
    } else {
        serve_with::<LARGE>(port)
    }
}

fn serve_with<const BUFFER: usize>(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        // Dropping the handle detaches the task. Its error is the client's going away: nobody to tell.
        drop(greenloom::spawn(move || drop(answer::<BUFFER>(stream))));
    }
}

/// The same by a server with two hubs. What [`stats`] count is not for two threads: requests may be lost from the count.
pub(super) fn serve_on_two(port: u16) -> io::Result<()> {
    let two = const { NonZeroUsize::new(2).unwrap() };
    let server = StreamServer::builder((Ipv4Addr::LOCALHOST, port))
        .hubs(two)
        .serve(|stream, _| drop(answer::<SMALL>(stream)))?;
    println!("listening on {}", server.local_addr());
    server.wait()
}

/// Sends back what comes until nothing more does.
fn answer<const BUFFER: usize>(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; BUFFER];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stats::request();
        stream.write_all(&buffer[..n])?;
    }
}
