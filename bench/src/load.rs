//! The load client: many connections in a closed loop, one thread, one epoll.
//!
//! Each connection sends a message, waits for it to come back, compares every byte and
//! sends the next, which differs from it. So at most one message per connection is under way, and the
//! server's rate decides the client's. A run ends when all its requests are answered, which leaves the
//! server idle: its counters may then be read without tearing a request apart.
//!
//! A reply that is wrong, an end of file, or [`PATIENCE`] without any reply is an error, never a hang.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::cli::Options;
use crate::echo;
use crate::sys::{self, Epoll};

/// Milliseconds without an event after which the server is given up.
const PATIENCE: i32 = 30_000;

/// Events taken at once.
const EVENTS: usize = 1024;

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Fleet {
    epoll: Epoll,
    connections: Vec<Connection>,
    events: Vec<sys::Event>,
    /// How long it polls before it blocks.
    spin: Duration,
    /// The message at hand, and what was read of a reply: they live no longer than one call.
    message: Box<[u8]>,
    reply: Box<[u8]>,
}

/// One connection: what it has asked, how much of that is sent, and how much of the reply is there.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Number of the request under way; makes each message different.
    sequence: u64,
    sent: usize,
    received: usize,
}

impl Fleet {
    /// Opens `n` connections for messages of `size` bytes.
    pub(crate) fn connect(server: SocketAddr, n: usize, size: usize) -> io::Result<Fleet> {
        let epoll = Epoll::new()?;
        let mut connections = Vec::with_capacity(n);
        for index in 0..n {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(stream.as_fd(), index as u64, libc::EPOLLIN)?;
            connections.push(Connection {
                stream,
                sequence: 0,
                sent: size,
                received: 0,
            });
        }
        Ok(Fleet {
            epoll,
            connections,
            events: vec![sys::NO_EVENT; EVENTS],
            spin: Duration::ZERO,
            message: vec![0; size].into_boxed_slice(),
            reply: vec![0; size].into_boxed_slice(),
        })
    }

    /// Has `requests` requests answered and says how long that took.
    pub(crate) fn run(&mut self, requests: u64) -> io::Result<Duration> {
        let start = Instant::now();
        let mut sent = 0;
        let mut answered = 0;
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if sent < requests {
                connection.ask(index, &self.epoll, &mut self.message)?;
                sent += 1;
            }
        }
        while answered < requests {
            let ready = match self
                .epoll
                .wait_after_spin(&mut self.events, self.spin, PATIENCE)
            {
                Ok([]) => return Err(io::Error::other("the server has stopped answering")),
                Ok(ready) => ready,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for event in ready {
                let index = event.u64 as usize;
                let connection = &mut self.connections[index];
                if event.events & libc::EPOLLOUT as u32 != 0 {
                    connection.send(index, &self.epoll, &mut self.message)?;
                }
                if connection.receive(index, &mut self.message, &mut self.reply)? {
                    answered += 1;
                    if sent < requests {
                        connection.ask(index, &self.epoll, &mut self.message)?;
                        sent += 1;
                    }
                }
            }
        }
        Ok(start.elapsed())
    }
}

impl Connection {
    /// Sends the next request, or what the socket takes of it.
    fn ask(&mut self, index: usize, epoll: &Epoll, message: &mut [u8]) -> io::Result<()> {
        self.sequence += 1;
        self.sent = 0;
        self.send(index, epoll, message)
    }

    /// Sends what is left of the request. The socket is watched for room while something is.
    fn send(&mut self, index: usize, epoll: &Epoll, message: &mut [u8]) -> io::Result<()> {
        let watched = self.sent > 0;
        fill(message, index, self.sequence);
        match self.stream.write(&message[self.sent..]) {
            Ok(n) => self.sent += n,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
        let unsent = self.sent < message.len();
        if unsent || watched {
            let interest = libc::EPOLLIN | if unsent { libc::EPOLLOUT } else { 0 };
            epoll.modify(self.stream.as_fd(), index as u64, interest)?;
        }
        Ok(())
    }

    /// Takes what has come; `true` once the reply is complete and right.
    fn receive(&mut self, index: usize, message: &mut [u8], reply: &mut [u8]) -> io::Result<bool> {
        let n = match self.stream.read(&mut reply[self.received..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => return Ok(false),
                _ => return Err(error),
            },
        };
        let came = self.received..self.received + n;
        fill(message, index, self.sequence);
        if reply[came.clone()] != message[came.clone()] {
            return Err(io::Error::other(format!(
                "connection {index} got another reply than it asked for"
            )));
        }
        self.received = came.end;
        if self.received < message.len() {
            return Ok(false);
        }
        self.received = 0;
        Ok(true)
    }
}

/// Makes the message of request `sequence` on connection `index`: no two of a run are alike.
fn fill(message: &mut [u8], index: usize, sequence: u64) {
    let first = sequence ^ ((index as u64) << 40);
    let mut mixed = first.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for part in message.chunks_mut(8) {
        part.copy_from_slice(&mixed.to_le_bytes()[..part.len()]);
        mixed = mixed.wrapping_add(0xbf58_476d_1ce4_e5b9);
    }
}

/// Prepares this process as a client and opens its connections.
fn prepare(server: SocketAddr, options: &Options) -> io::Result<Fleet> {
    echo::pin(options.core);
    let connections = options.connections[0];
    sys::raise_open_files(connections as u64 + 100)?;
    let mut fleet = Fleet::connect(server, connections, options.sizes[0])?;
    fleet.spin = options.spin;
    Ok(fleet)
}

/// `bench --load`: one run against a server that is already there.
pub(crate) fn run_alone(server: SocketAddr, options: &Options) -> io::Result<()> {
    let mut fleet = prepare(server, options)?;
    let connections = fleet.connections.len();
    fleet.run(options.warmup.unwrap_or(2 * connections as u64))?;
    let elapsed = fleet.run(options.requests)?;
    println!(
        "{} requests on {connections} connections in {elapsed:.3?}, {:.0} requests/s",
        options.requests,
        options.requests as f64 / elapsed.as_secs_f64()
    );
    Ok(())
}

/// `bench --drive`: as many runs as stdin asks for, one line each; see [`crate::peers`].
pub(crate) fn run_on_demand(server: SocketAddr, options: &Options) -> io::Result<()> {
    let mut fleet = prepare(server, options)?;
    println!("connected");
    for line in io::stdin().lines() {
        let requests = line?.trim().parse().map_err(io::Error::other)?;
        println!("{}", fleet.run(requests)?.as_nanos());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const MESSAGE: usize = 64;

    /// A server for one connection that answers each message with what `change` makes of it.
    fn with_server(
        change: impl Fn(&mut [u8; MESSAGE]) + Send,
        body: impl FnOnce(SocketAddr) + Send,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = [0; MESSAGE];
                while stream.read_exact(&mut bytes).is_ok() {
                    change(&mut bytes);
                    // Two pieces: the client must put them together.
                    let (a, b) = bytes.split_at(10);
                    if stream.write_all(a).and(stream.write_all(b)).is_err() {
                        break;
                    }
                }
            });
            body(address);
        });
    }

    #[test]
    fn counts_replies_that_come_in_pieces() {
        with_server(
            |_| {},
            |address| {
                let mut fleet = Fleet::connect(address, 1, MESSAGE).unwrap();
                fleet.run(20).unwrap();
                assert_eq!(fleet.connections[0].sequence, 20);
                fleet.run(5).unwrap();
                assert_eq!(fleet.connections[0].sequence, 25);
            },
        );
    }

    #[test]
    fn a_wrong_reply_is_an_error() {
        with_server(
            |bytes| bytes[63] ^= 1,
            |address| {
                let mut fleet = Fleet::connect(address, 1, MESSAGE).unwrap();
                let error = fleet.run(1).unwrap_err();
                assert!(error.to_string().contains("another reply"), "{error}");
            },
        );
    }

    #[test]
    fn a_message_that_no_socket_takes_at_once_is_sent_in_pieces() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = vec![0; 16 << 20];
                while stream.read_exact(&mut bytes).is_ok() {
                    stream.write_all(&bytes).unwrap();
                }
            });
            let mut fleet = Fleet::connect(address, 1, 16 << 20).unwrap();
            fleet.run(3).unwrap();
        });
    }

    #[test]
    fn messages_differ() {
        let message = |index, sequence| {
            let mut bytes = [0; 21];
            fill(&mut bytes, index, sequence);
            bytes
        };
        assert_ne!(message(0, 1), message(0, 2));
        assert_ne!(message(0, 1), message(1, 1));
    }
}
