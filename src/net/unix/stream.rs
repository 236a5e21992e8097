//! `UnixStream`: std's, cooperative.
//!
//! ```text
//!   connect ──► accepted into the listener's queue ──► connected ──close──► closed
//!      ▲  │ queue full: EAGAIN, and no event ever
//!      └──┘ after a pause
//!   read, write, peek ──► Source::run; being short proves nothing
//! ```
//!
//! What it shares with TCP is in `net::flow` and `net::socket`.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net;
use std::path::Path;

use socket2::{Domain, SockRef, Type};

use super::{SocketAddr, to_system};
use crate::io::source::Left;
use crate::net::flow::{stream_traits, unknown};
use crate::net::raw;
use crate::net::socket::{Socket, socket_methods, socket_traits, timeout_methods};

/// A connection within the machine: [`std::os::unix::net::UnixStream`], cooperative.
///
/// See the [module](super) for what differs. Reading and writing take `&self` too, so one task can read while another
/// writes. Its errors are those of [`TcpStream`](crate::net::TcpStream).
pub struct UnixStream {
    pub(super) socket: Socket<net::UnixStream>,
}

/// Who is at the other end of a [`UnixStream`]: as the peer was when it connected, or listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UCred {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The process, if it can be named here.
    pub pid: Option<i32>,
}

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// If the listener's queue is full, it tries again, after 1 ms at first and 16 ms in the end: the system has no event for
    /// that.
    ///
    /// # Blocking
    /// Switches only if the listener's queue is full.
    ///
    /// # Errors
    /// The system's; `InvalidInput` if the path is too long; those of every wait: see
    /// [`TcpStream`](crate::net::TcpStream).
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`connect`](Self::connect), also to an abstract name.
    ///
    /// # Blocking
    /// As [`connect`](Self::connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[track_caller]
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<Self> {
        let addr = to_system(addr)?;
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        let socket = Socket::of(OwnedFd::from(socket).into());
        let call = socket.writing("connect of socket");
        socket
            .source
            .run_paced(&call, |stream| SockRef::from(stream).connect(&addr))?;
        Ok(Self { socket })
    }

    /// Two ends of a new connection, which has no name.
    ///
    /// # Errors
    /// No descriptors could be had.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixStream::pair()?;
        let end = |io| Socket::adopt(io).map(|socket| Self { socket });
        Ok((end(a)?, end(b)?))
    }

    /// Reads without taking anything out: the next read gets the same. 0 at the end of the stream.
    ///
    /// # Blocking
    /// Switches if there is nothing yet.
    ///
    /// # Errors
    /// See the type.
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let call = self.socket.reading("peek at socket");
        self.socket.source.run(&call, |stream| {
            Ok((raw::peek_from(stream.as_fd(), buf)?.0, Left::Unknown))
        })
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.peer_addr()
    }

    /// Who the other side is, in std's shape, where this is not stable yet.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn peer_cred(&self) -> io::Result<UCred> {
        raw::peer_cred(self.socket.open()?.as_fd())
    }
}

stream_traits!(UnixStream, unknown);
socket_methods!(UnixStream);
timeout_methods!(UnixStream);
socket_traits!(UnixStream, net::UnixStream);
