//! `UnixDatagram`: std's, cooperative.
//!
//! ```text
//!   recv, recv_from, peek, peek_from ──► Source::run, an event for each datagram that finds the queue empty
//!   send                             ──► Source::run: the system tells when the peer has room
//!   send_to, send_to_addr            ──► Source::run_paced: for others it does not
//! ```
//!
//! This file parks nowhere else.
#![forbid(unsafe_code)]

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net;
use std::path::Path;

use socket2::SockRef;

use super::{SocketAddr, from_system, to_system};
use crate::io::source::{Call, Left};
use crate::net::raw;
use crate::net::socket::{Socket, socket_methods, socket_traits, timeout_methods};

/// A Unix socket for datagrams, none of which is ever lost: [`std::os::unix::net::UnixDatagram`], cooperative.
///
/// See the [module](super) for what differs. All calls take `&self`, so one task can receive while another sends. Its errors
/// are those of [`UdpSocket`](crate::net::UdpSocket).
pub struct UnixDatagram {
    socket: Socket<net::UnixDatagram>,
}

impl UnixDatagram {
    /// A socket at `path`, which it makes: it may not be there yet. Nobody removes it.
    ///
    /// # Errors
    /// The system's: `AddrInUse` if the path is there; `InvalidInput` if it is too long.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::around(net::UnixDatagram::bind(path)?)
    }

    /// As [`bind`](Self::bind), also to an abstract name.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        Self::around(net::UnixDatagram::bind_addr(addr)?)
    }

    /// A socket without a name: it can send, and receive only if it is one of a [`pair`](Self::pair).
    ///
    /// # Errors
    /// No descriptor could be had.
    pub fn unbound() -> io::Result<Self> {
        Self::around(net::UnixDatagram::unbound()?)
    }

    /// Two sockets without names, each the other's peer.
    ///
    /// # Errors
    /// No descriptors could be had.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixDatagram::pair()?;
        Ok((Self::around(a)?, Self::around(b)?))
    }

    fn around(io: net::UnixDatagram) -> io::Result<Self> {
        let socket = Socket::adopt(io)?;
        Ok(Self { socket })
    }

    /// Makes the socket at `path` the peer: that is where [`send`](Self::send) sends to, and whose datagrams are received.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.socket.open()?.connect(path)
    }

    /// As [`connect`](Self::connect), also to an abstract name.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        self.socket.open()?.connect_addr(addr)
    }

    #[inline]
    #[track_caller]
    fn receiving(&self) -> Call {
        self.socket.reading("receive from socket")
    }

    #[inline]
    #[track_caller]
    fn sending(&self) -> Call {
        self.socket.writing("send to socket")
    }

    /// Takes a datagram: its length, and where it came from. What does not fit into `buf` is lost.
    ///
    /// # Blocking
    /// Switches if none is there, and now and then if there always is one.
    ///
    /// # Errors
    /// See the type.
    #[track_caller]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.source.run(&self.receiving(), |socket| {
            Ok((socket.recv_from(buf)?, Left::Unknown))
        })
    }

    /// Takes a datagram: its length. What does not fit into `buf` is lost.
    ///
    /// # Blocking
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    /// See the type.
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.source.run(&self.receiving(), |socket| {
            Ok((socket.recv(buf)?, Left::Unknown))
        })
    }

    /// As [`recv`](Self::recv), but the datagram stays: the next call gets the same.
    ///
    /// # Blocking
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    /// See the type.
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.source.run(&self.receiving(), |socket| {
            Ok((raw::peek_from(socket.as_fd(), buf)?.0, Left::Unknown))
        })
    }

    /// As [`recv_from`](Self::recv_from), but the datagram stays: the next call gets the same.
    ///
    /// # Blocking
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    /// See the type.
    #[track_caller]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, addr) = self.socket.source.run(&self.receiving(), |socket| {
            Ok((raw::peek_from(socket.as_fd(), buf)?, Left::Unknown))
        })?;
        Ok((n, from_system(&addr)?))
    }

    /// Sends `buf` as one datagram to the socket at `path`. All of it, or nothing.
    ///
    /// If that has no room, it tries again, after 1 ms at first and 16 ms in the end: the system has no event for it. So
    /// several tasks may wait here at once.
    ///
    /// # Blocking
    /// Switches if there is no room, and now and then if there always is.
    ///
    /// # Errors
    /// See the type.
    #[track_caller]
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// As [`send_to`](Self::send_to), also to an abstract name.
    ///
    /// # Blocking
    /// As [`send_to`](Self::send_to).
    ///
    /// # Errors
    /// See the type.
    #[track_caller]
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        let addr = to_system(addr)?;
        self.socket.source.run_paced(&self.sending(), |socket| {
            SockRef::from(socket).send_to_with_flags(buf, &addr, libc::MSG_NOSIGNAL)
        })
    }

    /// Sends `buf` as one datagram to the [peer](Self::connect). All of it, or nothing.
    ///
    /// # Blocking
    /// Switches if the peer has no room, and now and then if it always has.
    ///
    /// # Errors
    /// See the type; `NotConnected` if there is no peer.
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.source.run(&self.sending(), |socket| {
            Ok((socket.send(buf)?, Left::Unknown))
        })
    }

    /// Ends one direction, or both, for every handle of this socket: nothing more comes in, or what is sent fails with
    /// `BrokenPipe`.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.open()?.shutdown(how)
    }

    /// Ends this handle, also under tasks and threads that receive or send: these and all later calls through it fail with
    /// [`Closed`](crate::io::Closed), those in a [`send_to`](Self::send_to) when they next try. Clones are not touched.
    ///
    /// From any thread, and again and again. The descriptor is closed by the drop.
    ///
    /// # Blocking
    /// Never switches.
    #[doc(alias = "cancel_wait")]
    pub fn close(&self) {
        self.socket.source.close(|_| ());
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// `NotConnected` if there is none; [`Closed`](crate::io::Closed).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.peer_addr()
    }
}

socket_methods!(UnixDatagram);
timeout_methods!(UnixDatagram);
socket_traits!(UnixDatagram, net::UnixDatagram);
