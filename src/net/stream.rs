//! `TcpStream`: std's, cooperative.
//!
//! ```text
//!   connect ──► non-blocking connect, wait to write, ask how it went ──► connected ──close──► closed
//!   read    ──► Source::run(Read,  recv)     short? then the stream is empty, as the kernel would say at the next call
//!   write   ──► Source::run(Write, send)     short? then it is full
//!   peek    ──► Source::run(Read,  recv)     takes nothing out, so being short proves nothing
//! ```
//!
//! Every call that may wait is one [`Source::run`]; this file parks nowhere else.
#![forbid(unsafe_code)]

use core::panic::Location;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, SockRef, Type};

use super::addr;
use super::socket::{Socket, socket_methods, socket_traits, timeout_methods};
use super::timeouts::not_zero;
use crate::io::source::{Call, Left, Until};
use crate::reactor::Direction;

/// A TCP connection: [`std::net::TcpStream`], cooperative.
///
/// See the [module](super) for what differs. Reading and writing take `&self` too (`&TcpStream` is [`Read`] and [`Write`]),
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

    #[inline]
    #[track_caller]
    fn reading(&self, kind: &'static str) -> Call {
        self.socket.reading(kind)
    }

    #[inline]
    #[track_caller]
    fn writing(&self) -> Call {
        self.socket.writing("write to socket")
    }

    #[inline]
    fn read_call(&self, call: &Call, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.source.run(call, |mut stream| {
            let n = stream.read(buf)?;
            Ok((n, short(n, buf.len())))
        })
    }

    #[inline]
    fn write_call(&self, call: &Call, buf: &[u8]) -> io::Result<usize> {
        self.socket.source.run(call, |mut stream| {
            let n = stream.write(buf)?;
            Ok((n, short(n, buf.len())))
        })
    }

    /// Fills `buf` within `timeout`, which is for the whole of it. The socket's own read timeout does not count.
    ///
    /// With zero it takes what is there and does not wait.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// `TimedOut`; `UnexpectedEof`. How much was read is then unknown, as with [`Read::read_exact`].
    #[track_caller]
    pub fn read_exact_timeout(&self, mut buf: &mut [u8], timeout: Duration) -> io::Result<()> {
        let call = Call {
            until: Until::within(timeout),
            ..self.reading("read of socket")
        };
        while !buf.is_empty() {
            match self.read_call(&call, buf)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => buf = &mut buf[n..],
            }
        }
        Ok(())
    }

    /// Writes all of `buf` within `timeout`, which is for the whole of it. The socket's own write timeout does not count.
    ///
    /// With zero it gives the system what that takes at once and does not wait.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// `TimedOut`. How much was written is then unknown, as with [`Write::write_all`].
    #[track_caller]
    pub fn write_all_timeout(&self, mut buf: &[u8], timeout: Duration) -> io::Result<()> {
        let call = Call {
            until: Until::within(timeout),
            ..self.writing()
        };
        while !buf.is_empty() {
            match self.write_call(&call, buf)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => buf = &buf[n..],
            }
        }
        Ok(())
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
        let call = self.reading("peek at socket");
        self.socket
            .source
            .run(&call, |stream| Ok((stream.peek(buf)?, Left::Unknown)))
    }

    /// Ends one direction of the connection, or both. Tasks that wait there, also through a clone, find the end of the
    /// stream or `BrokenPipe`.
    ///
    /// # Errors
    /// The system's; `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.open()?.shutdown(how)
    }

    /// Ends the connection, also under tasks and threads that read or write: these and all later calls through this
    /// handle fail with [`Closed`](crate::io::Closed). Clones find the connection shut down.
    ///
    /// From any thread, and again and again. The descriptor is closed by the drop.
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
    /// # Blocking
    /// Never switches.
    #[doc(alias = "cancel_wait")]
    pub fn close(&self) {
        self.socket.source.close(|stream| {
            // Fails if the peer has reset it: then it is shut already.
            let _ = stream.shutdown(Shutdown::Both);
        });
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
}

socket_methods!(TcpStream);
timeout_methods!(TcpStream);
socket_traits!(TcpStream, net::TcpStream);

/// `n` of `wanted` were transferred. None at all of some is the end of the stream, which stays.
#[inline]
fn short(n: usize, wanted: usize) -> Left {
    if n > 0 && n < wanted {
        Left::Nothing
    } else {
        Left::Unknown
    }
}

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

/// # Blocking
/// Switches if there is nothing to read, and now and then if there always is.
impl Read for &TcpStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let call = self.reading("read of socket");
        self.read_call(&call, buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let call = self.reading("read of socket");
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        self.socket.source.run(&call, |mut stream| {
            let n = stream.read_vectored(bufs)?;
            Ok((n, short(n, wanted)))
        })
    }
}

/// # Blocking
/// Switches if the peer does not take what was written before, and now and then if it always does.
impl Write for &TcpStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let call = self.writing();
        self.write_call(&call, buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let call = self.writing();
        let wanted: usize = bufs.iter().map(|buf| buf.len()).sum();
        self.socket.source.run(&call, |mut stream| {
            let n = stream.write_vectored(bufs)?;
            Ok((n, short(n, wanted)))
        })
    }

    /// Nothing is held back here: does nothing.
    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See [`Read for &TcpStream`](#impl-Read-for-%26TcpStream).
impl Read for TcpStream {
    #[inline]
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

/// See [`Write for &TcpStream`](#impl-Write-for-%26TcpStream).
impl Write for TcpStream {
    #[inline]
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
