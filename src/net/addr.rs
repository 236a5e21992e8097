//! From what a user calls an address to the socket addresses to try, one after the other.
//!
//! Names are looked up by `lookup`.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use super::lookup::ToSocketAddrs;

/// Calls `f` with each address until one succeeds. The last error otherwise.
///
/// What ended a wait (a timeout, an unwinding) is no property of the address: it ends the whole.
pub(super) fn each<A: ToSocketAddrs, T>(
    addr: A,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match f(addr) {
            Err(e) if e.raw_os_error().is_some() => last = Some(e),
            other => return other,
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the name has no address to try",
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    fn addrs(n: u16) -> Vec<SocketAddr> {
        (0..n)
            .map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())
            .collect()
    }

    fn refused() -> io::Error {
        io::Error::from_raw_os_error(libc::ECONNREFUSED)
    }

    #[test]
    fn tries_the_next_one_and_tells_the_last_error() {
        let second = each(&addrs(3)[..], |a| {
            (a.port() == 1).then_some(a.port()).ok_or_else(refused)
        });
        assert_eq!(second.unwrap(), 1);
        let error = each(&addrs(3)[..], |_| Err::<(), _>(refused())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let none = each(&addrs(0)[..], |_| Ok(())).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn stops_at_an_error_of_the_wait() {
        let mut tried = 0;
        let error = each(&addrs(3)[..], |_| {
            tried += 1;
            Err::<(), _>(io::ErrorKind::TimedOut.into())
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(tried, 1);
    }
}
