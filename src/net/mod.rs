//! Networking, shaped as `std::net`: what would block the thread parks the task instead.
//!
//! ```text
//! stream     TcpStream     ─┐
//! listener   TcpListener    │
//! udp        UdpSocket      ├─► socket: a std socket in io::source, the would-block loop
//! unix       UnixStream, …  ┘     timeouts   set_read_timeout, set_write_timeout
//! flow       what all streams do; split: their halves
//! addr       addresses to try, one after the other
//! raw        FromRawFd, system calls
//! ```
//!
//! ```
//! use greenloom::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let addr = listener.local_addr()?;
//! let server = greenloom::spawn(move || {
//!     let (mut stream, _) = listener.accept()?;
//!     let mut text = String::new();
//!     stream.read_to_string(&mut text)?;
//!     stream.write_all(text.to_uppercase().as_bytes())
//! });
//!
//! let mut stream = TcpStream::connect(addr)?;
//! stream.write_all(b"hello")?;
//! stream.shutdown(std::net::Shutdown::Write)?;
//! let mut reply = String::new();
//! stream.read_to_string(&mut reply)?;
//! assert_eq!(reply, "HELLO");
//! # server.join().unwrap()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`unix`] has the sockets of `std::os::unix::net`.
//!
//! # Differences from `std::net`
//!
//! - `close` ends a socket under those who wait on it. `read_exact_timeout` and `write_all_timeout` have one deadline for
//!   the whole. `into_split` makes two handles of a stream.
//! - Two tasks that would wait in the same direction of one socket: the second gets [`ConcurrentUse`](crate::io::ConcurrentUse).
//!   The same holds for tasks of two threads in any direction.
//! - Timeouts and `set_nonblocking` are this handle's, not the file's: a clone has its own. The kind of a timeout is
//!   `TimedOut`, and `WouldBlock` is seen only after `set_nonblocking(true)`.
//! - The descriptor is in non-blocking mode within. Conversions into std's types and into `OwnedFd` put the mode back, for
//!   the file and so for every clone: do not convert one of two clones that are both in use.
//! - Conversions from and into std's types can fail, so they are `TryFrom`.
//!
//! Sockets are `Send` and `Sync` and work on any thread: with a hub, which is made by the thread's first spawn, waits park
//! the task; without one, they block the thread.

mod addr;
mod flow;
mod listener;
mod raw;
mod socket;
mod split;
mod stream;
mod timeouts;
mod udp;
pub mod unix;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
    ToSocketAddrs,
};

pub use self::listener::{Incoming, IntoIncoming, TcpListener};
pub use self::split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use self::stream::TcpStream;
pub use self::udp::UdpSocket;
