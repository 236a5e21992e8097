//! Sockets of the Unix family, shaped as `std::os::unix::net`: what would block the thread parks the task instead.
//!
//! ```text
//! stream     UnixStream      ─┐
//! listener   UnixListener     ├─► net::socket: a std socket in io::source, the would-block loop
//! datagram   UnixDatagram    ─┘
//! ```
//!
//! ```
//! use greenloom::net::unix::UnixStream;
//! use std::io::{Read, Write};
//!
//! let (mut a, mut b) = UnixStream::pair()?;
//! let echo = greenloom::spawn(move || {
//!     let mut byte = [0];
//!     b.read_exact(&mut byte)?;
//!     b.write_all(&byte)
//! });
//! a.write_all(b"!")?;
//! let mut byte = [0];
//! a.read_exact(&mut byte)?;
//! assert_eq!(&byte, b"!");
//! # echo.join().unwrap()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The differences from std are those of [`net`](super), and one more. The system tells nobody when a listener takes a
//! connection off its full queue, nor, unless the two are connected, when a datagram socket makes room. Who waits for that
//! tries again, after 1 ms at first and 16 ms in the end: see [`UnixStream::connect`] and [`UnixDatagram::send_to`].
#![forbid(unsafe_code)]

mod datagram;
mod listener;
mod stream;

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;

use socket2::SockAddr;

pub use std::os::unix::net::SocketAddr;

pub use self::datagram::UnixDatagram;
pub use self::listener::{Incoming, UnixListener};
pub use self::stream::{UCred, UnixStream};

/// As the system takes it.
fn to_system(addr: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = addr.as_pathname() {
        return SockAddr::unix(path);
    }
    // Abstract names begin with a zero; no name at all is nothing.
    let name = addr.as_abstract_name();
    let bytes = name.map_or_else(Vec::new, |name| [&[0], name].concat());
    SockAddr::unix(OsString::from_vec(bytes))
}

/// As std has it.
fn from_system(addr: &SockAddr) -> io::Result<SocketAddr> {
    if let Some(path) = addr.as_pathname() {
        SocketAddr::from_pathname(path)
    } else if let Some(name) = addr.as_abstract_namespace() {
        SocketAddr::from_abstract_name(name)
    } else {
        SocketAddr::from_pathname("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_to_the_system_and_back() {
        let path = SocketAddr::from_pathname("/run/some.sock").unwrap();
        let back = from_system(&to_system(&path).unwrap()).unwrap();
        assert_eq!(back.as_pathname(), path.as_pathname());
        let name = SocketAddr::from_abstract_name(b"a\0name").unwrap();
        let back = from_system(&to_system(&name).unwrap()).unwrap();
        assert_eq!(back.as_abstract_name(), Some(&b"a\0name"[..]));
        let none = SocketAddr::from_pathname("").unwrap();
        assert!(none.is_unnamed());
        assert!(
            from_system(&to_system(&none).unwrap())
                .unwrap()
                .is_unnamed()
        );
    }
}
