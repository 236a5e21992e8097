//! `TcpListener`: std's, cooperative.
//!
//! ```text
//!   bind ──► listening ──accept──► TcpStream, TcpStream, …
//!                │ close
//!                ▼
//!             closed       new connections are refused by the system, accepts fail; the descriptor lives until the drop
//! ```
//!
//! Its calls are [`Source::run`](crate::io::source::Source::run); this file parks nowhere else.
#![forbid(unsafe_code)]

use core::iter::FusedIterator;
use std::io;
use std::net::{self, SocketAddr, ToSocketAddrs};

use socket2::{Domain, SockRef, Type};

use super::addr;
use super::socket::{Socket, socket_methods, socket_traits};
use super::stream::TcpStream;

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
    socket: Socket<net::TcpListener>,
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
    /// Never switches. A host name, unlike an address in numbers, is looked up by std, which blocks the thread.
    ///
    /// # Errors
    /// The system's for the last address tried; `InvalidInput` if there is none.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        addr::each(addr, |addr| {
            let kind = Type::STREAM.nonblocking();
            let socket = socket2::Socket::new(Domain::for_address(addr), kind, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            // The system takes what is beyond its limit for the limit.
            socket.listen(i32::MAX)?;
            Ok(Self {
                socket: Socket::of(socket.into()),
            })
        })
    }

    /// The address it listens at.
    ///
    /// # Errors
    /// As of every other call: [`Closed`](crate::io::Closed) after [`close`](Self::close).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.local_addr()
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
        let call = self.socket.reading("accept of socket");
        let (socket, addr) = self.socket.accept(&call)?;
        let addr = addr.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok((TcpStream::of(socket.into()), addr))
    }

    /// The connections, one after the other, without end: `accept` in a loop.
    ///
    /// It goes on after an error, so a loop over a [closed](Self::close) listener must end itself.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// As [`incoming`](Self::incoming), and owns the listener.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
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
        self.socket.source.close(|listener| {
            // Fails for one that does not listen: then there is nothing to refuse.
            let _ = SockRef::from(listener).shutdown(net::Shutdown::Both);
        });
    }

    /// Sets the time to live of the packets sent.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.open()?.set_ttl(ttl)
    }

    /// The time to live of the packets sent.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.open()?.ttl()
    }
}

socket_methods!(TcpListener);
socket_traits!(TcpListener, net::TcpListener);

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

/// The connections of a [`TcpListener`] that it owns: see [`into_incoming`](TcpListener::into_incoming).
#[must_use = "iterators are lazy and do nothing unless consumed"]
#[derive(Debug)]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for IntoIncoming {}
