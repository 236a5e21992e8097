//! `UdpSocket`: std's, cooperative.
//!
//! ```text
//!   bind ──► bound ──connect──► bound, one peer
//!              │ close             │ close
//!              └──────► closed ◄───┘        all calls fail; the descriptor lives until the drop
//! ```
//!
//! A datagram that is smaller than the buffer says nothing about the next one, so the socket counts as empty only when
//! the system says so: [`Left::Unknown`] throughout.
//!
//! Its calls are [`Source::run`](crate::io::source::Source::run); this file parks nowhere else.
#![forbid(unsafe_code)]

use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::addr;
use super::socket::{Socket, socket_methods, socket_traits, timeout_methods};
use crate::io::source::{Call, Left};

/// A UDP socket: [`std::net::UdpSocket`], cooperative.
///
/// See the [module](super) for what differs. All calls take `&self`, so one task can receive while another sends.
///
/// ```
/// use greenloom::net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// greenloom::spawn(move || -> std::io::Result<()> {
///     let mut buf = [0; 512];
///     loop {
///         let (n, from) = server.recv_from(&mut buf)?;
///         server.send_to(&buf[..n].to_ascii_uppercase(), from)?;
///     }
/// });
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(addr)?;
/// client.send(b"hello")?;
/// let mut buf = [0; 512];
/// let n = client.recv(&mut buf)?; // the server runs meanwhile
/// assert_eq!(&buf[..n], b"HELLO");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The errors of all calls that wait: the system's, among them `ConnectionRefused` on a connected socket whose peer has said
/// so; `TimedOut` after a timeout of the socket's own or an enclosing [`timeout`](crate::timeout)
/// ([`TimeoutElapsed`](crate::io::TimeoutElapsed) inside); [`Closed`](crate::io::Closed) after [`close`](Self::close);
/// [`ConcurrentUse`](crate::io::ConcurrentUse); where nothing can wait, [`InCallback`](crate::hub::InCallback),
/// [`Unwinding`](crate::hub::Unwinding) or [`Forked`](crate::hub::Forked).
pub struct UdpSocket {
    socket: Socket<net::UdpSocket>,
}

impl UdpSocket {
    /// Binds to `addr`; of several, to the first that can be had. Port 0 lets the system choose.
    ///
    /// # Blocking
    /// As [`TcpListener::bind`](super::TcpListener::bind).
    ///
    /// # Errors
    /// The system's for the last address tried; `InvalidInput` if there is none.
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        addr::each(addr, |addr| {
            let socket = Socket::adopt(net::UdpSocket::bind(addr)?)?;
            Ok(Self { socket })
        })
    }

    /// Makes `addr` the peer: that is where [`send`](Self::send) sends to, and whose datagrams are received. Of several, the
    /// first that can be had.
    ///
    /// # Blocking
    /// Nothing is sent, so there is nothing to wait for, unless a host name has to be looked up.
    ///
    /// # Errors
    /// The system's for the last address tried; `InvalidInput` if there is none; [`Closed`](crate::io::Closed).
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        addr::each(addr, |addr| self.socket.open()?.connect(addr))
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

    /// As [`recv_from`](Self::recv_from), but the datagram stays: the next call gets the same.
    ///
    /// # Blocking
    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    /// See the type.
    #[track_caller]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.source.run(&self.receiving(), |socket| {
            Ok((socket.peek_from(buf)?, Left::Unknown))
        })
    }

    /// Takes a datagram of the [peer](Self::connect): its length. What does not fit into `buf` is lost.
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
            Ok((socket.peek(buf)?, Left::Unknown))
        })
    }

    /// Sends `buf` as one datagram to `addr`; of several, to the first that it can be sent to. All of it, or nothing.
    ///
    /// # Blocking
    /// Switches if the system does not take it yet, and now and then if it always does; and if a host name has to be
    /// looked up.
    ///
    /// # Errors
    /// See the type; `InvalidInput` if there is no address.
    #[track_caller]
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let call = self.sending();
        addr::each(addr, |addr| {
            self.socket.source.run(&call, |socket| {
                Ok((socket.send_to(buf, addr)?, Left::Unknown))
            })
        })
    }

    /// Sends `buf` as one datagram to the [peer](Self::connect). All of it, or nothing.
    ///
    /// # Blocking
    /// Switches if the system does not take it yet, and now and then if it always does.
    ///
    /// # Errors
    /// See the type; the system's `EDESTADDRREQ` if there is no peer.
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.source.run(&self.sending(), |socket| {
            Ok((socket.send(buf)?, Left::Unknown))
        })
    }

    /// Ends this handle, also under tasks and threads that receive or send: these and all later calls through it fail with
    /// [`Closed`](crate::io::Closed). Clones are not touched.
    ///
    /// From any thread, and again and again. The descriptor is closed by the drop.
    ///
    /// # Blocking
    /// Never switches.
    #[doc(alias = "cancel_wait")]
    pub fn close(&self) {
        self.socket.source.close(|_| ());
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// `NotConnected` if there is none; [`Closed`](crate::io::Closed).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.peer_addr()
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.open()?.local_addr()
    }

    /// With `true`, datagrams may be sent to a broadcast address.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket.open()?.set_broadcast(broadcast)
    }

    /// Whether datagrams may be sent to a broadcast address.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket.open()?.broadcast()
    }

    /// With `true`, as at first, what this socket sends to IPv4 groups comes back to members on this machine.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_multicast_loop_v4(&self, multicast_loop: bool) -> io::Result<()> {
        self.socket.open()?.set_multicast_loop_v4(multicast_loop)
    }

    /// What [`set_multicast_loop_v4`](Self::set_multicast_loop_v4) set.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket.open()?.multicast_loop_v4()
    }

    /// Sets the time to live of what is sent to IPv4 groups. 1, as at first, stays in the local network.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.socket.open()?.set_multicast_ttl_v4(ttl)
    }

    /// What [`set_multicast_ttl_v4`](Self::set_multicast_ttl_v4) set.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket.open()?.multicast_ttl_v4()
    }

    /// With `true`, as at first, what this socket sends to IPv6 groups comes back to members on this machine.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_multicast_loop_v6(&self, multicast_loop: bool) -> io::Result<()> {
        self.socket.open()?.set_multicast_loop_v6(multicast_loop)
    }

    /// What [`set_multicast_loop_v6`](Self::set_multicast_loop_v6) set.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket.open()?.multicast_loop_v6()
    }

    /// Joins the IPv4 group `group`, on the interface with the address `interface`; `0.0.0.0` lets the system choose one.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.open()?.join_multicast_v4(group, interface)
    }

    /// Joins the IPv6 group `group`, on the interface of that number; 0 lets the system choose one.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.open()?.join_multicast_v6(group, interface)
    }

    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.open()?.leave_multicast_v4(group, interface)
    }

    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.open()?.leave_multicast_v6(group, interface)
    }

    /// Sets the time to live of the datagrams sent.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.open()?.set_ttl(ttl)
    }

    /// The time to live of the datagrams sent.
    ///
    /// # Errors
    /// The system's; [`Closed`](crate::io::Closed).
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.open()?.ttl()
    }
}

socket_methods!(UdpSocket);
timeout_methods!(UdpSocket);
socket_traits!(UdpSocket, net::UdpSocket);
