//! `DatagramServer`: a task per datagram, on the same lanes as connections.
//!
//! ```text
//!   receiver ──recv_from──► bytes, peer ──► task: handler(reply, bytes, peer)
//!   sender   ◄──────────────────────────────────── reply.send        one at a time waits for room in the socket
//! ```
//!
//! The two are handles to one socket. Closing the server closes the receiver; the handlers that are left may still reply.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use socket2::{Domain, Socket, Type};

use super::builder::{Builder, Here, StreamServer, Threads};
use super::handle::ServerHandle;
use super::listen::{Bound, Listen, Listener, Opening, Sealed, all_at, first_of, shared};
use crate::net::UdpSocket;
use crate::stack::StackSize;
use crate::sync;

/// No datagram is longer.
const LONGEST: usize = 64 << 10;

/// A server of datagrams, each in a task of its own. See the [module](super), which says `connection` for both.
///
/// ```
/// use std::time::Duration;
/// use greenloom::net::UdpSocket;
/// use greenloom::server::DatagramServer;
///
/// let server = DatagramServer::builder("127.0.0.1:0").serve(|reply, bytes, _peer| {
///     // A reply that cannot be sent is lost, as any datagram may be.
///     let _ = reply.send(&bytes.to_ascii_uppercase());
/// })?;
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", server.local_addr())?;
/// let mut buffer = [0; 16];
/// let (n, from) = client.recv_from(&mut buffer)?;
/// assert_eq!((&buffer[..n], from), (&b"HELLO"[..], server.local_addr()));
/// server.stop(Duration::from_secs(1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DatagramServer(());

impl DatagramServer {
    /// Begins one: at an address, of which several may be tried; or with a socket.
    ///
    /// The address is bound by [`serve`](DatagramBuilder::serve).
    pub fn builder<S: Receive>(at: S) -> DatagramBuilder<S> {
        DatagramBuilder(StreamServer::builder(At(at)))
    }
}

/// What [`DatagramServer::builder`] takes: an address, as whatever [`ToSocketAddrs`] is for, or a [`UdpSocket`].
///
/// Implemented by this crate only.
pub trait Receive: Sealed {
    /// The sockets, one for each lane.
    #[doc(hidden)]
    fn sockets(self, how: Opening) -> io::Result<Vec<UdpSocket>>;
}

impl Sealed for UdpSocket {}

impl Receive for UdpSocket {
    fn sockets(self, how: Opening) -> io::Result<Vec<UdpSocket>> {
        shared(self, how.lanes, Self::try_clone)
    }
}

impl<A: ToSocketAddrs> Receive for A {
    fn sockets(self, how: Opening) -> io::Result<Vec<UdpSocket>> {
        first_of(self, |addr| {
            all_at(addr, how.lanes, |addr| bind(addr, how.lanes))
        })
    }
}

impl Bound for UdpSocket {
    fn addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

fn bind(addr: SocketAddr, lanes: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
    if lanes > 1 {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    Ok(OwnedFd::from(socket).into())
}

/// Where datagrams are received, before it is opened.
#[derive(Debug)]
pub(super) struct At<S>(S);

impl<S: Receive> Sealed for At<S> {}

impl<S: Receive> Listen for At<S> {
    type Listener = Datagrams;

    fn open(self, how: Opening) -> io::Result<Vec<Datagrams>> {
        let sockets = self.0.sockets(how)?;
        sockets.into_iter().map(Datagrams::new).collect()
    }
}

/// What a [`DatagramServer`] receives with.
#[derive(Debug)]
pub struct Datagrams {
    receiver: UdpSocket,
    sender: Arc<Sender>,
    /// Not there while a receive has it.
    buffer: Mutex<Vec<u8>>,
}

#[derive(Debug)]
struct Sender {
    socket: UdpSocket,
    /// Who sends: two tasks may not wait in one direction of a socket.
    turn: sync::Mutex<()>,
}

impl Datagrams {
    fn new(receiver: UdpSocket) -> io::Result<Self> {
        let sender = Arc::new(Sender {
            socket: receiver.try_clone()?,
            turn: sync::Mutex::new(()),
        });
        Ok(Self {
            receiver,
            sender,
            buffer: Mutex::default(),
        })
    }

    fn buffer(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A datagram that has come.
#[derive(Debug)]
pub struct Datagram {
    bytes: Box<[u8]>,
    sender: Arc<Sender>,
}

impl Sealed for Datagrams {}

impl Listener for Datagrams {
    type Stream = Datagram;
    type Addr = SocketAddr;

    fn accept(&self) -> io::Result<(Datagram, SocketAddr)> {
        let mut buffer = core::mem::take(&mut *self.buffer());
        buffer.resize(LONGEST, 0);
        let received = self.receiver.recv_from(&mut buffer);
        let received = received.map(|(n, peer)| (Box::from(&buffer[..n]), peer));
        *self.buffer() = buffer;
        let (bytes, peer) = received?;
        let sender = Arc::clone(&self.sender);
        Ok((Datagram { bytes, sender }, peer))
    }

    fn close(&self) {
        self.receiver.close();
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.receiver.local_addr()
    }

    fn again(datagram: &Datagram) -> io::Result<Datagram> {
        Ok(Datagram {
            bytes: datagram.bytes.clone(),
            sender: Arc::clone(&datagram.sender),
        })
    }
}

/// The way back to where a datagram came from.
#[derive(Debug)]
pub struct Reply {
    sender: Arc<Sender>,
    peer: SocketAddr,
}

impl Reply {
    /// Sends a datagram back, from the server's address.
    ///
    /// Tasks that reply at the same time take turns.
    ///
    /// # Blocking
    /// Switches if the socket has no room, or another task waits for some.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.send_to(bytes, self.peer)
    }

    /// Sends a datagram to anybody, from the server's address.
    ///
    /// # Blocking
    /// As [`send`](Self::send).
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    #[track_caller]
    pub fn send_to(&self, bytes: &[u8], peer: SocketAddr) -> io::Result<usize> {
        // The lock is this crate's own: waiting for it, and with it, parks the task.
        let _turn = self
            .sender
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.sender.socket.send_to(bytes, peer)
    }
}

/// Settings of a [`DatagramServer`] before it starts.
#[must_use = "a builder does nothing until `serve`"]
pub struct DatagramBuilder<S: Receive, H = Here>(Builder<At<S>, H>);

impl<S: Receive, H> DatagramBuilder<S, H> {
    /// Names the server, for reports of panics in its handlers. `server` at first.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self(self.0.name(name))
    }

    /// Handles at most `n` datagrams at a time, in each hub. At first there is no limit.
    ///
    /// A full server receives nothing: datagrams wait in the socket, and are lost when that is full.
    ///
    /// # Panics
    /// If `n` is zero.
    #[track_caller]
    pub fn pool(self, n: usize) -> Self {
        Self(self.0.pool(n))
    }

    /// The size class of the handlers' stacks.
    pub fn stack_size(self, size: StackSize) -> Self {
        Self(self.0.stack_size(size))
    }

    /// Has `f` told of every error that the server waits out: no memory, no stack for a task.
    ///
    /// `f` runs in the receiving task, before the wait.
    pub fn on_receive_error(self, f: impl Fn(&io::Error) + Send + Sync + 'static) -> Self {
        Self(self.0.on_accept_error(f))
    }
}

impl<S: Receive> DatagramBuilder<S, Here> {
    /// Gives the server `n` threads of its own, as [`Builder::hubs`] does.
    pub fn hubs(self, n: NonZeroUsize) -> DatagramBuilder<S, Threads> {
        DatagramBuilder(self.0.hubs(n))
    }

    /// Starts the server on this thread's hub: binds, and returns. Datagrams are handled while the thread waits, by `handler`:
    /// the way back, the datagram, and whose it is.
    ///
    /// A stop ends the receiving at once. Datagrams that are not received then are lost.
    ///
    /// # Blocking
    /// Never switches. A host name, unlike an address in numbers, is looked up first, which may take a while.
    ///
    /// # Errors
    /// As [`Builder::serve`].
    #[doc(alias = "start")]
    #[track_caller]
    pub fn serve(
        self,
        handler: impl Fn(&Reply, &[u8], SocketAddr) + 'static,
    ) -> io::Result<ServerHandle<Datagrams>> {
        self.0.serve(move |datagram, peer| {
            handle(&handler, datagram, peer);
        })
    }

    /// [`serve`](Self::serve)s until the server has ended, as [`Builder::run`].
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// As [`Builder::run`].
    #[doc(alias = "serve_forever")]
    #[track_caller]
    pub fn run(self, handler: impl Fn(&Reply, &[u8], SocketAddr) + 'static) -> io::Result<()> {
        self.0.run(move |datagram, peer| {
            handle(&handler, datagram, peer);
        })
    }
}

impl<S: Receive> DatagramBuilder<S, Threads> {
    /// Starts the server on threads of its own: binds, and returns.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// As [`Builder::serve`].
    #[track_caller]
    pub fn serve(
        self,
        handler: impl Fn(&Reply, &[u8], SocketAddr) + Send + Sync + 'static,
    ) -> io::Result<ServerHandle<Datagrams>> {
        self.0.serve(move |datagram, peer| {
            handle(&handler, datagram, peer);
        })
    }

    /// [`serve`](Self::serve)s until the server has ended, as [`Builder::run`].
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// As [`Builder::run`].
    #[doc(alias = "serve_forever")]
    #[track_caller]
    pub fn run(
        self,
        handler: impl Fn(&Reply, &[u8], SocketAddr) + Send + Sync + 'static,
    ) -> io::Result<()> {
        self.0.run(move |datagram, peer| {
            handle(&handler, datagram, peer);
        })
    }
}

fn handle(handler: &impl Fn(&Reply, &[u8], SocketAddr), datagram: Datagram, peer: SocketAddr) {
    let Datagram { bytes, sender } = datagram;
    handler(&Reply { sender, peer }, &bytes, peer);
}

impl<S: Receive, H> fmt::Debug for DatagramBuilder<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatagramBuilder").field(&self.0).finish()
    }
}
