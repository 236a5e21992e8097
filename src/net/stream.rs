//! `TcpStream`: std's, cooperative.
//!
//! ```text
//!   connect ──► non-blocking connect, wait to write, ask how it went ──► connected ──close──► closed
//!   read    ──► Source::run(Read,  recv)     short? then the stream is empty, as the kernel would say at the next call
//!   write   ──► Source::run(Write, send)     short? then it is full
//!   peek    ──► Source::run(Read,  recv)     takes nothing out, so being short proves nothing
//! ```
//!
//! Every call that may wait is one [`Source::run`](crate::io::source::Source::run); this file parks nowhere else. What it
//! shares with other streams is in `flow`, what all sockets share in `socket`.
#![forbid(unsafe_code)]

use core::panic::Location;
use std::io;
use std::net::{self, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, SockRef, TcpKeepalive, Type};

use super::addr;
use super::flow::{short, stream_traits};
use super::socket::{Socket, socket_methods, socket_traits, timeout_methods};
use super::timeouts::not_zero;
use crate::io::source::{Call, Left, Until};
use crate::reactor::Direction;

/// A TCP connection: [`std::net::TcpStream`], cooperative.
///
/// See the [module](super) for what differs. Reading and writing take `&self` too (`&TcpStream` is `Read` and `Write`),
/// so one task can read while another writes.
///
/// ```
/// use greenloom::net::{TcpListener, TcpStream};
/// use std::{io::{ErrorKind, Read}, time::Duration};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut stream = TcpStream::connect(listener.local_addr()?)?;
/// stream.set_read_timeout(Some(Duration::from_millis(5)))?;
/// assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
///
/// let zero = stream.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
/// assert_eq!(zero.kind(), ErrorKind::InvalidInput);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// [`close`](Self::close) ends it under those who wait:
///
/// ```
/// use greenloom::net::{TcpListener, TcpStream};
/// use std::{io::Read, rc::Rc};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = Rc::new(TcpStream::connect(listener.local_addr()?)?);
/// let reader = Rc::clone(&stream);
/// let reader = greenloom::spawn(move || (&*reader).read(&mut [0; 64]));
/// greenloom::yield_now(); // the task waits now
///
/// stream.close();
/// let error = reader.join().unwrap().unwrap_err();
/// assert!(error.get_ref().unwrap().is::<greenloom::io::Closed>());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The errors of all calls that wait: the system's; `TimedOut` after a timeout of the socket's own or an enclosing
/// [`timeout`](crate::timeout) ([`TimeoutElapsed`](crate::io::TimeoutElapsed) inside); [`Closed`](crate::io::Closed) after
/// [`close`](Self::close); [`ConcurrentUse`](crate::io::ConcurrentUse); where nothing can wait,
/// [`InCallback`](crate::hub::InCallback), [`Unwinding`](crate::hub::Unwinding) or [`Forked`](crate::hub::Forked).
pub struct TcpStream {
    pub(super) socket: Socket<net::TcpStream>,
}

impl TcpStream {
    /// Connects to `addr`; of several, to the first that answers.
    ///
    /// ```
    /// use greenloom::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let addr = listener.local_addr()?;
    /// let stream = TcpStream::connect(addr)?;
    /// assert_eq!(stream.peer_addr()?, addr);
    ///
    /// drop(listener);
    /// let refused = TcpStream::connect(addr).unwrap_err();
    /// assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Blocking
    /// Switches. A host name, unlike an address in numbers, is looked up by std, which blocks the thread.
    ///
    /// # Errors
    /// The system's for the last address tried; `InvalidInput` if there is none.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let site = Location::caller();
        addr::each(addr, |addr| Self::connect_to(addr, Until::Ever, site))
    }

    /// Connects to `addr` within `timeout`.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` if `timeout` is zero; as [`connect`](Self::connect).
    #[track_caller]
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        let until = Until::within(not_zero(timeout)?);
        Self::connect_to(*addr, until, Location::caller())
    }

    fn connect_to(
        addr: SocketAddr,
        until: Until,
        site: &'static Location<'static>,
    ) -> io::Result<Self> {
        let kind = Type::STREAM.nonblocking();
        let socket = socket2::Socket::new(Domain::for_address(addr), kind, None)?;
        let stream = Self::of(socket.into());
        let call = Call {
            direction: Direction::Write,
            kind: "connect of socket",
            until,
            site,
        };
        let mut begun = false;
        stream.socket.source.run(&call, |socket| {
            let done = if begun {
                connected(socket)
            } else {
                begun = true;
                begin_connect(&SockRef::from(socket), addr)
            };
            done.map(|()| ((), Left::Unknown))
        })?;
        Ok(stream)
    }

    /// `stream` is non-blocking.
    pub(super) fn of(stream: net::TcpStream) -> Self {
        Self {
            socket: Socket::of(stream),
        }
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
        self.socket
            .source
            .run(&call, |stream| Ok((stream.peek(buf)?, Left::Unknown)))
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.local_addr()
    }

    /// With `true`, small writes are sent at once instead of being gathered.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.open()?.set_nodelay(nodelay)
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.open()?.nodelay()
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

    /// What the drop does with data that the peer has not taken yet. `None`, as at first: the system goes on sending it.
    /// With zero it is thrown away, and the peer finds the connection reset. With more, the drop blocks the thread for at
    /// most so long, in whole seconds: seldom what a task wants.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.options()?.set_linger(linger)
    }

    /// What [`set_linger`](Self::set_linger) set.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.options()?.linger()
    }

    /// Asks the peer whether it is still there when nothing has come for `idle`, in whole seconds; one that is not, ends the
    /// connection. `None`, as at first: never.
    ///
    /// # Errors
    /// The system's, among them `InvalidInput` if `idle` is less than a second; [`Closed`](crate::io::Closed).
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        let options = self.socket.options()?;
        match idle {
            None => options.set_keepalive(false),
            // Sets both.
            Some(idle) => options.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
        }
    }

    /// What [`set_keepalive`](Self::set_keepalive) set.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let options = self.socket.options()?;
        if options.keepalive()? {
            options.tcp_keepalive_time().map(Some)
        } else {
            Ok(None)
        }
    }
}

stream_traits!(TcpStream, short);
socket_methods!(TcpStream);
timeout_methods!(TcpStream);
socket_traits!(TcpStream, net::TcpStream);

/// Starts to connect. `WouldBlock` if it takes its time.
fn begin_connect(socket: &socket2::Socket, addr: SocketAddr) -> io::Result<()> {
    match socket.connect(&addr.into()) {
        // Interrupted, it goes on by itself: calling again would be wrong.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        // Not "later", but "no": the system has no local port left.
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))
        }
        other => other,
    }
}

/// How it went. `WouldBlock` if it goes on.
fn connected(socket: &net::TcpStream) -> io::Result<()> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
        Err(e) => Err(e),
    }
}
