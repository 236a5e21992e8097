//! The reference of `echo`, and with a fixed reply of `http`: one thread, one edge-triggered epoll, bare system calls.
//!
//! Each connection is an entry of a table: its socket and one buffer. Its states:
//!
//! | `unsent` | watched for | what an event does |
//! | --- | --- | --- |
//! | empty | reading | read; write it back; a read that fills the buffer is followed by another |
//! | bytes left | reading and writing | write them; once they are gone, read again |
//!
//! A read that does not fill the buffer has emptied the socket, so the read that would only say EAGAIN is
//! saved: a request costs one read, one write and its share of `epoll_wait`. That holds only as long as
//! no end of file is behind those bytes, since its edge may be the one just reported; when the event says
//! that the peer has closed, reading goes on to the end.
//!
//! It has no timeouts, no limits, and no fairness beyond epoll's own: it is the floor, not a server.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::stats;
use crate::sys::{self, Epoll};

/// The listener's token; the connections' are their indices.
const LISTENER: u64 = u64::MAX;

/// Events taken at once.
const EVENTS: usize = 1024;

/// What a connection is watched for while it has nothing to send.
const READING: i32 = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET;

/// The same while it has.
const SENDING: i32 = READING | libc::EPOLLOUT;

/// What the kernel reports when no more bytes will follow those it has.
const CLOSED: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

/// What is written for what was read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The same.
    Same,
    /// A reply of HTTP, whatever it was: as many bytes as the example `http_hello` sends.
    Http,
}

/// See [`Answer::Http`].
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\
    Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nHello, world!";

impl Answer {
    /// Puts it into the buffer, of which so much was read; returns its length.
    fn fill(self, buffer: &mut [u8], read: usize) -> usize {
        match self {
            Answer::Same => read,
            Answer::Http => {
                buffer[..REPLY.len()].copy_from_slice(REPLY);
                REPLY.len()
            }
        }
    }
}

/// One client.
struct Connection {
    socket: OwnedFd,
    buffer: Box<[u8]>,
    /// The part of `buffer` that is still to be sent.
    unsent: Range<usize>,
}

/// What a connection wants after an event.
enum Next {
    /// An event when there is more to read.
    Read,
    /// An event when the socket takes bytes again.
    Write,
    /// To be closed.
    Close,
}

/// Serves on loopback until a signal ends the process, with a buffer of so many bytes for each connection. Polls for as long
/// as `spin` before it blocks.
pub(crate) fn serve(port: u16, answer: Answer, buffer: usize, spin: Duration) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(listener.as_fd(), LISTENER, libc::EPOLLIN | libc::EPOLLET)?;
    println!("listening on {}", listener.local_addr()?);

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = vec![sys::NO_EVENT; EVENTS];
    loop {
        let ready = match epoll.wait_after_spin(&mut events, spin, -1) {
            Ok(ready) => ready,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for event in ready {
            let (token, flags) = (event.u64, event.events);
            if token == LISTENER {
                accept_all(&listener, &epoll, &mut connections, &mut free, buffer)?;
                continue;
            }
            let place = &mut connections[token as usize];
            let Some(connection) = place else {
                // Closed by an earlier event of this same batch.
                continue;
            };
            let was_sending = !connection.unsent.is_empty();
            // A connection that fails is closed like one that ends: there is nobody to tell.
            let next = connection
                .advance(flags & CLOSED != 0, answer)
                .unwrap_or(Next::Close);
            match (next, was_sending) {
                (Next::Read, false) | (Next::Write, true) => {}
                (Next::Read, true) => epoll.modify(connection.socket.as_fd(), token, READING)?,
                (Next::Write, false) => epoll.modify(connection.socket.as_fd(), token, SENDING)?,
                (Next::Close, _) => {
                    // Closing the socket takes it out of the epoll instance.
                    *place = None;
                    free.push(token as usize);
                }
            }
        }
    }
}

/// Takes every connection that waits.
fn accept_all(
    listener: &TcpListener,
    epoll: &Epoll,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
    buffer: usize,
) -> io::Result<()> {
    loop {
        let socket = match sys::accept(listener) {
            Ok(socket) => socket,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(()),
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                _ => return Err(error),
            },
        };
        let index = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        let socket = OwnedFd::from(socket);
        epoll.add(socket.as_fd(), index as u64, READING)?;
        connections[index] = Some(Connection {
            socket,
            buffer: vec![0; buffer].into_boxed_slice(),
            unsent: 0..0,
        });
    }
}

impl Connection {
    /// Does everything that can be done without waiting. `to_the_end`: see the top of the file.
    fn advance(&mut self, to_the_end: bool, answer: Answer) -> io::Result<Next> {
        let mut emptied = false;
        loop {
            while !self.unsent.is_empty() {
                match sys::write(self.socket.as_fd(), &self.buffer[self.unsent.clone()]) {
                    Ok(n) => self.unsent.start += n,
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => return Ok(Next::Write),
                        io::ErrorKind::Interrupted => {}
                        _ => return Err(error),
                    },
                }
            }
            if emptied {
                return Ok(Next::Read);
            }
            match sys::read(self.socket.as_fd(), &mut self.buffer[..]) {
                Ok(0) => return Ok(Next::Close),
                Ok(n) => {
                    stats::request();
                    self.unsent = 0..answer.fill(&mut self.buffer, n);
                    emptied = n < self.buffer.len() && !to_the_end;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Next::Read),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}
