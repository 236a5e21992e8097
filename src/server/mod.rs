//! Servers: a task per connection or datagram, a limit on how many, and an orderly end.
//!
//! ```text
//! StreamServer::builder(addr) ─ settings ─ serve(handler) ──► ServerHandle: stop, wait, close
//!        │
//!        ▼ one lane per hub
//!   accept ──► connection ──► task: handler, then the farewell ──► its slot is free
//!     ▲  │                                                             │
//!     │  ├─ no room: waits for a slot ◄────────────────────────────────┘
//!     │  └─ no descriptor: waits 10 ms, 20 ms, … 1 s
//!     └───────────────────────────────────────────────── closed: the lane ends with its last connection
//!
//! builder    what is set before the start           listen    what can be listened at, the seam under a lane
//! handle     what can be done after it              scarce    which errors of an accept pass, and how long it waits
//! lanes      slots, and the count of what is left   accept    the loop of a lane, the task of a connection
//! datagram   the same for datagrams
//! ```
//!
//! ```
//! use std::io::{Read, Write};
//! use std::time::Duration;
//! use greenloom::net::TcpStream;
//! use greenloom::server::StreamServer;
//!
//! let server = StreamServer::builder("127.0.0.1:0").serve(|mut stream, _peer| {
//!     let mut text = String::new();
//!     if stream.read_to_string(&mut text).is_ok() {
//!         // An error here is the client's going away: there is nobody to tell.
//!         let _ = stream.write_all(text.to_uppercase().as_bytes());
//!     }
//! })?;
//!
//! let mut client = TcpStream::connect(server.local_addr())?;
//! client.write_all(b"hello")?;
//! client.shutdown(std::net::Shutdown::Write)?;
//! let mut reply = String::new();
//! client.read_to_string(&mut reply)?;
//! assert_eq!(reply, "HELLO");
//!
//! let stopped = server.stop(Duration::from_secs(5));
//! assert_eq!((stopped.killed, stopped.left), (0, 0));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What a handler may do
//!
//! It owns its stream, runs in a task of its own, and waits as it likes. A panic in it ends its own connection: the stream
//! is closed as it is dropped, the panic is reported like that of any task nobody joins, under the name
//! `SERVER peer ADDRESS`, and the others notice nothing. What has to be *said* at the end of a connection is no matter
//! for a destructor, which cannot wait: that is what [`Builder::farewell`] is for.
//!
//! # When there is no room
//!
//! With [`Builder::pool`] at its limit a server accepts nothing: new connections wait in the system's queue, as long as
//! that has room ([`Builder::backlog`]). Without a descriptor or memory for a new one (`EMFILE`, `ENFILE`, `ENOBUFS`,
//! `ENOMEM`, no stack for the task) it tries again after 10 ms, and after twice as long each time up to a second. What
//! befalls a single connection on its way in (`ECONNABORTED` and the like) is passed over.
//!
//! This module may not wait by other means than the layers below offer, and holds no lock of its own while it waits.
#![forbid(unsafe_code)]

mod accept;
mod builder;
mod datagram;
mod handle;
mod lanes;
mod listen;
mod scarce;
#[cfg(test)]
mod tests;

pub use self::builder::{Builder, Here, StreamServer, Threads};
pub use self::datagram::{DatagramBuilder, DatagramServer, Datagrams, Receive, Reply};
pub use self::handle::{ServerHandle, Stopped};
pub use self::listen::{Listen, Listener};
