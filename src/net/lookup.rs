//! `ToSocketAddrs` and `lookup_host`: from a name to its addresses, without blocking the hub.
//!
//! ```text
//! SocketAddr, (IpAddr, u16), slices          as they are
//! str, String, (str, u16), (String, u16) ──► written in numbers? ── yes ──► as they are
//!                                                 │ no
//!                                                 └──► the system's resolver, on a thread of the default pool
//! ```
//!
//! std's trait resolves inside its one method, on the calling thread, and nothing can be done about that from outside. So
//! this module has a trait of its own with the same name, method and implementations: a call is written as with std.
#![forbid(unsafe_code)]

use core::iter::Cloned;
use core::slice;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::option;
use std::vec;

use crate::io::offload::offloaded;

/// What can be turned into socket addresses: [`std::net::ToSocketAddrs`], cooperative.
///
/// It is for the same types, and is used in the same way. Addresses written in numbers never wait. A host name is given to the
/// system's resolver on a thread of the [default pool](crate::blocking::default_pool), while the task is parked.
///
/// ```
/// use greenloom::net::ToSocketAddrs;
///
/// let numbers = "127.0.0.1:80".to_socket_addrs()?.next().unwrap();
/// assert!(("localhost", 80).to_socket_addrs()?.any(|addr| addr == numbers || addr.is_ipv6()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Differences from std's trait
/// What implements only std's is not accepted by this crate: implement this one too, or hand on what
/// [`lookup_host`] returns.
pub trait ToSocketAddrs {
    /// The addresses, one after the other.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses.
    ///
    /// # Blocking
    /// Switches, if a host name is to be looked up. Kills are delivered there; the lookup then goes on by itself, and what it
    /// finds is dropped.
    ///
    /// # Errors
    /// `InvalidInput` for what is not "host:port"; the resolver's, with std's kinds; `TimedOut` if an enclosing
    /// [`timeout`](crate::timeout) expired ([`TimeoutElapsed`](crate::io::TimeoutElapsed) inside); where nothing can wait, as
    /// for sockets; the system's if there is no thread.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Looks up the addresses of a host, given with a port: `"example.org:80"`, `("example.org", 80)`, or whatever else
/// `connect` takes.
///
/// ```
/// let mut addrs = greenloom::net::lookup_host(("localhost", 8080))?;
/// assert!(addrs.all(|addr| addr.port() == 8080 && addr.ip().is_loopback()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Blocking
/// Switches, unless the address is written in numbers; see [`ToSocketAddrs`].
///
/// # Errors
/// As [`ToSocketAddrs::to_socket_addrs`].
#[doc(alias = "getaddrinfo")]
#[doc(alias = "gethostbyname")]
pub fn lookup_host<A: ToSocketAddrs>(
    host: A,
) -> io::Result<impl Iterator<Item = SocketAddr> + use<A>> {
    host.to_socket_addrs()
}

/// Asks the system's resolver. `host` is no address in numbers.
fn resolve(host: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    let host = host.to_owned();
    offloaded(move || std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port)))?
}

fn one(addr: SocketAddr) -> io::Result<vec::IntoIter<SocketAddr>> {
    Ok(vec![addr].into_iter())
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => one(SocketAddr::new(ip, port)),
            Err(_) => resolve(host, port),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(addr) = self.parse() {
            return one(addr);
        }
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("invalid socket address"))?;
        let port = port.parse().map_err(|_| invalid("invalid port value"))?;
        (host, port).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// What is an address already.
macro_rules! addresses {
    ($($ty:ty),+ $(,)?) => {
        $(impl ToSocketAddrs for $ty {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                std::net::ToSocketAddrs::to_socket_addrs(self)
            }
        })+
    };
}

addresses!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16),
);
