//! `UnixListener`: std's, cooperative.
//!
//! ```text
//!   bind ──► listening ──accept──► UnixStream, UnixStream, …
//!                │ close
//!                ▼
//!             closed       new connections are refused, accepts fail; the file of the name stays, as with std
//! ```
//!
//! Its calls are [`Source::run`](crate::io::source::Source::run); this file parks nowhere else.
#![forbid(unsafe_code)]

use core::iter::FusedIterator;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::path::Path;

use socket2::SockRef;

use super::stream::UnixStream;
use super::{SocketAddr, from_system};
use crate::net::socket::{Socket, socket_methods, socket_traits};

/// A Unix socket that waits for connections: [`std::os::unix::net::UnixListener`], cooperative.
///
/// See the [module](super) for what differs.
pub struct UnixListener {
    socket: Socket<net::UnixListener>,
}

impl UnixListener {
    /// Listens at `path`, which it makes: it may not be there yet. Nobody removes it.
    ///
    /// # Errors
    /// The system's: `AddrInUse` if the path is there; `InvalidInput` if it is too long.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`bind`](Self::bind), also to an abstract name, which is gone with the last socket of it.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        let socket = Socket::adopt(net::UnixListener::bind_addr(addr)?)?;
        Ok(Self { socket })
    }

    /// Takes the oldest connection that waits; waits for one if there is none.
    ///
    /// Without a descriptor for the new one (`EMFILE`, `ENFILE`) the connection goes on waiting, and a later call gets it.
    ///
    /// # Blocking
    /// Switches if no connection waits, and now and then if there always are some.
    ///
    /// # Errors
    /// As [`TcpListener::accept`](crate::net::TcpListener::accept).
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let call = self.socket.reading("accept of socket");
        let (socket, addr) = self.socket.accept(&call)?;
        let socket = Socket::of(OwnedFd::from(socket).into());
        Ok((UnixStream { socket }, from_system(&addr)?))
    }

    /// The connections, one after the other, without end: `accept` in a loop.
    ///
    /// It goes on after an error, so a loop over a [closed](Self::close) listener must end itself.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address it listens at.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.local_addr()
    }

    /// Ends it, also under tasks and threads that wait in `accept`: these and all later calls fail with
    /// [`Closed`](crate::io::Closed). New connections are refused at once; those not yet accepted end with the drop.
    ///
    /// From any thread, and again and again. The descriptor is closed by the drop, and the file of the name stays.
    ///
    /// # Blocking
    /// Never switches.
    #[doc(alias = "cancel_wait")]
    pub fn close(&self) {
        self.socket.source.close(|listener| {
            // Fails for one that does not listen: then there is nothing to refuse.
            let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        });
    }
}

socket_methods!(UnixListener);
socket_traits!(UnixListener, net::UnixListener);

/// The connections of a [`UnixListener`]: see [`incoming`](UnixListener::incoming).
#[must_use = "iterators are lazy and do nothing unless consumed"]
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}
