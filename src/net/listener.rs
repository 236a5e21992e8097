//! `TcpListener`: std's, cooperative.
//!
//! ```text
//!   bind ──► listening ──accept──► TcpStream, TcpStream, …
//!                │ close
//!                ▼
//!             closed       new connections are refused by the system, accepts fail; the descriptor lives until the drop
//! ```
//!
//! Its calls are [`Source::run`]; this file parks nowhere else.
#![forbid(unsafe_code)]

use core::fmt;
use core::iter::FusedIterator;
use core::panic::Location;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use socket2::{Domain, SockRef, Socket, Type};

use super::addr;
use super::lookup::ToSocketAddrs;
use super::stream::TcpStream;
use crate::io::source::{Call, Left, Source, Until};
use crate::reactor::Direction;

/// A TCP socket that waits for connections: [`std::net::TcpListener`], cooperative.
///
/// See the [module](super) for what differs.
///
/// ```no_run
/// use greenloom::net::TcpListener;
/// use std::io::Write;
///
/// let listener = TcpListener::bind("127.0.0.1:7000")?;
/// for stream in listener.incoming() {
///     let mut stream = stream?;
///     greenloom::spawn(move || stream.write_all(b"welcome\n"));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    source: Source<net::TcpListener>,
}

impl TcpListener {
    /// Listens at `addr`; of several, at the first that can be had. Port 0 lets the system choose.
    ///
    /// As std does, it allows the address of a socket that has just been closed (`SO_REUSEADDR`). As many connections may
    /// wait to be accepted as the system allows (`net.core.somaxconn`).
    ///
    /// ```
    /// use greenloom::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// let taken = TcpListener::bind(listener.local_addr()?).unwrap_err();
    /// assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Blocking
    /// Switches only for a host name, which is looked up on a thread of the [default pool](crate::blocking::default_pool).
    ///
    /// # Errors
    /// The system's for the last address tried; `InvalidInput` if there is none.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        addr::each(addr, |addr| {
            let kind = Type::STREAM.nonblocking();
            let socket = Socket::new(Domain::for_address(addr), kind, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            // The system takes what is beyond its limit for the limit.
            socket.listen(i32::MAX)?;
            Ok(Self::of(socket.into()))
        })
    }

    /// `listener` is non-blocking.
    fn of(listener: net::TcpListener) -> Self {
        Self {
            source: Source::new(listener),
        }
    }

    /// The address it listens at.
    ///
    /// # Errors
    /// As of every other call: [`Closed`](crate::io::Closed) after [`close`](Self::close).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.open()?.local_addr()
    }

    /// Another handle to the same socket. Each connection is accepted through one of them.
    ///
    /// # Errors
    /// No descriptor could be had; [`Closed`](crate::io::Closed).
    pub fn try_clone(&self) -> io::Result<Self> {
        let clone = Self::of(self.source.open()?.try_clone()?);
        clone.source.set_nonblocking(self.source.is_nonblocking());
        Ok(clone)
    }

    /// Takes the oldest connection that waits; waits for one if there is none.
    ///
    /// Connections that were given up before they could be accepted are passed over. Without a descriptor for the new one
    /// (`EMFILE`, `ENFILE`) the connection goes on waiting, and a later call gets it.
    ///
    /// # Blocking
    /// Switches if no connection waits, and now and then if there always are some.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed), also if it is closed meanwhile;
    /// [`ConcurrentUse`](crate::io::ConcurrentUse) if another task waits here; `TimedOut` if an enclosing
    /// [`timeout`](crate::timeout) expires.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let call = Call {
            direction: Direction::Read,
            kind: "accept of socket",
            until: Until::Ever,
            site: Location::caller(),
        };
        let (socket, addr) = self.source.run(&call, |listener| {
            let listener = SockRef::from(listener);
            loop {
                match listener.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
                    Ok(accepted) => return Ok((accepted, Left::Unknown)),
                    Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(e) => return Err(e),
                }
            }
        })?;
        let addr = addr.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok((TcpStream::of(socket.into()), addr))
    }

    /// The connections, one after the other, without end: `accept` in a loop.
    ///
    /// It goes on after an error, so a loop over a [closed](Self::close) listener must end itself.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Ends it, also under tasks and threads that wait in `accept`: these and all later calls fail with
    /// [`Closed`](crate::io::Closed). New connections are refused at once, and those not yet accepted are reset.
    ///
    /// From any thread, and again and again. The descriptor is closed by the drop.
    ///
    /// # Blocking
    /// Never switches.
    #[doc(alias = "cancel_wait")]
    pub fn close(&self) {
        self.source.close(|listener| {
            // Fails for one that does not listen: then there is nothing to refuse.
            let _ = SockRef::from(listener).shutdown(net::Shutdown::Both);
        });
    }

    /// Sets the time to live of the packets sent.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.source.open()?.set_ttl(ttl)
    }

    /// The time to live of the packets sent.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn ttl(&self) -> io::Result<u32> {
        self.source.open()?.ttl()
    }

    /// Takes the error that is pending on the socket, if there is one.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.open()?.take_error()
    }

    /// With `true`, `accept` through this handle returns `WouldBlock` where it would wait.
    ///
    /// # Errors
    /// [`Closed`](crate::io::Closed).
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.open()?;
        self.source.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Out of the poll, with the mode of the descriptor as the user set it.
    fn into_std(self) -> io::Result<net::TcpListener> {
        let nonblocking = self.source.is_nonblocking();
        let listener = self.source.into_io();
        listener.set_nonblocking(nonblocking)?;
        Ok(listener)
    }

    /// As [`into_std`](Self::into_std), for conversions that cannot fail.
    fn into_fd(self) -> OwnedFd {
        let nonblocking = self.source.is_nonblocking();
        let listener = self.source.into_io();
        // Fails only for a descriptor that is none; its next call says so.
        let _ = listener.set_nonblocking(nonblocking);
        listener.into()
    }
}

/// As std's: address and descriptor.
impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.io().fmt(f)
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.io().as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.source.io().as_raw_fd()
    }
}

impl IntoRawFd for TcpListener {
    fn into_raw_fd(self) -> RawFd {
        self.into_fd().into_raw_fd()
    }
}

impl From<TcpListener> for OwnedFd {
    fn from(listener: TcpListener) -> Self {
        listener.into_fd()
    }
}

/// The descriptor is put into non-blocking mode.
impl From<OwnedFd> for TcpListener {
    fn from(fd: OwnedFd) -> Self {
        let listener = net::TcpListener::from(fd);
        // Fails only for a descriptor that is none; its next call says so.
        let _ = listener.set_nonblocking(true);
        Self::of(listener)
    }
}

/// The descriptor is put into non-blocking mode.
impl TryFrom<net::TcpListener> for TcpListener {
    type Error = io::Error;

    fn try_from(listener: net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::of(listener))
    }
}

/// The descriptor is put back into blocking mode, unless `set_nonblocking(true)` was asked for.
impl TryFrom<TcpListener> for net::TcpListener {
    type Error = io::Error;

    fn try_from(listener: TcpListener) -> io::Result<Self> {
        listener.into_std()
    }
}

/// The connections of a [`TcpListener`]: see [`incoming`](TcpListener::incoming).
#[must_use = "iterators are lazy and do nothing unless consumed"]
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
