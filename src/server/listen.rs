//! What a server can listen at, and the seam between its lanes and their sockets.
//!
//! ```text
//!   addr ────────┐ Listen::open(n lanes)
//!   TcpListener ─┤──► n listeners ──► Listener: accept, close, …      one per lane
//!   UnixListener ┘                       datagrams: datagram.rs
//! ```
//!
//! An address gives every lane a socket of its own, all bound to it by `SO_REUSEPORT`: the system deals connections out
//! among them. A listener that is there already is shared by all lanes.
//!
//! Both traits are this crate's to implement.
#![forbid(unsafe_code)]

use core::fmt::Debug;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;

use socket2::{Domain, SockRef, Socket, Type};

use crate::net::unix::{self, UnixListener, UnixStream};
use crate::net::{TcpListener, TcpStream};

mod sealed {
    /// What may implement the public traits.
    pub trait Sealed {}
}

pub(super) use sealed::Sealed;

/// How listeners are to be opened.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// How many are wanted; at least one.
    pub(super) lanes: usize,
    /// How many connections may wait to be accepted; `None` for as many as the system allows, or as was set before.
    pub(super) backlog: Option<u32>,
    /// Whether what is written is sent at once.
    pub(super) nodelay: bool,
}

impl Opening {
    fn backlog(self) -> i32 {
        // The system takes what is beyond its limit for the limit.
        self.backlog
            .map_or(i32::MAX, |n| i32::try_from(n).unwrap_or(i32::MAX))
    }
}

/// What [`StreamServer::builder`](super::StreamServer::builder) takes: an address, as whatever
/// [`ToSocketAddrs`] is for, or a listener.
///
/// Implemented by this crate only.
pub trait Listen: Sealed {
    /// What it listens with.
    type Listener: Listener;

    /// The listeners, one for each lane.
    #[doc(hidden)]
    fn open(self, how: Opening) -> io::Result<Vec<Self::Listener>>;
}

/// What a server accepts connections with: [`TcpListener`], and the like.
///
/// Implemented by this crate only.
pub trait Listener: Sealed + Send + Sync + Sized + 'static {
    /// A connection.
    type Stream: 'static;
    /// The address of one end.
    type Addr: Clone + Debug + Send + Sync + 'static;

    /// The next connection; waits for it.
    #[doc(hidden)]
    fn accept(&self) -> io::Result<(Self::Stream, Self::Addr)>;

    /// Refuses connections from now on, and ends an `accept` that waits.
    #[doc(hidden)]
    fn close(&self);

    /// Where it listens.
    #[doc(hidden)]
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// Another handle to the connection, for what is said at its end.
    #[doc(hidden)]
    fn again(stream: &Self::Stream) -> io::Result<Self::Stream>;
}

impl Sealed for TcpListener {}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self)
    }

    fn close(&self) {
        Self::close(self);
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn again(stream: &TcpStream) -> io::Result<TcpStream> {
        stream.try_clone()
    }
}

impl Listen for TcpListener {
    type Listener = Self;

    fn open(self, how: Opening) -> io::Result<Vec<Self>> {
        let socket = SockRef::from(&self);
        if how.backlog.is_some() {
            socket.listen(how.backlog())?;
        }
        if how.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        shared(self, how.lanes, Self::try_clone)
    }
}

impl Sealed for UnixListener {}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Addr = unix::SocketAddr;

    fn accept(&self) -> io::Result<(UnixStream, unix::SocketAddr)> {
        Self::accept(self)
    }

    fn close(&self) {
        Self::close(self);
    }

    fn local_addr(&self) -> io::Result<unix::SocketAddr> {
        Self::local_addr(self)
    }

    fn again(stream: &UnixStream) -> io::Result<UnixStream> {
        stream.try_clone()
    }
}

impl Listen for UnixListener {
    type Listener = Self;

    fn open(self, how: Opening) -> io::Result<Vec<Self>> {
        if how.backlog.is_some() {
            SockRef::from(&self).listen(how.backlog())?;
        }
        shared(self, how.lanes, Self::try_clone)
    }
}

impl<A: ToSocketAddrs> Sealed for A {}

impl<A: ToSocketAddrs> Listen for A {
    type Listener = TcpListener;

    fn open(self, how: Opening) -> io::Result<Vec<TcpListener>> {
        first_of(self, |addr| all_at(addr, how.lanes, |addr| bind(addr, how)))
    }
}

/// What `f` makes of the first address by which it succeeds; its last error otherwise.
pub(super) fn first_of<T>(
    addrs: impl ToSocketAddrs,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addrs.to_socket_addrs()? {
        match f(addr) {
            Ok(value) => return Ok(value),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the name has no address to try",
        )
    }))
}

/// A socket made by `bind`.
pub(super) trait Bound {
    /// Where it is.
    fn addr(&self) -> io::Result<SocketAddr>;
}

impl Bound for TcpListener {
    fn addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

/// `n` sockets at one address.
pub(super) fn all_at<T: Bound>(
    addr: SocketAddr,
    n: usize,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<Vec<T>> {
    let first = bind(addr)?;
    // With port 0 the system has chosen: the others go where the first is.
    let addr = first.addr()?;
    let mut all = vec![first];
    while all.len() < n {
        all.push(bind(addr)?);
    }
    Ok(all)
}

fn bind(addr: SocketAddr, how: Opening) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if how.lanes > 1 {
        socket.set_reuse_port(true)?;
    }
    if how.nodelay {
        // What it accepts inherits this, which saves a call for each connection.
        socket.set_tcp_nodelay(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(how.backlog())?;
    Ok(OwnedFd::from(socket).into())
}

/// `n` handles to one listener.
pub(super) fn shared<L>(
    listener: L,
    n: usize,
    again: fn(&L) -> io::Result<L>,
) -> io::Result<Vec<L>> {
    let mut listeners = Vec::with_capacity(n);
    for _ in 1..n {
        listeners.push(again(&listener)?);
    }
    listeners.push(listener);
    Ok(listeners)
}
