//! `FromRawFd` for the sockets: the one piece of std's socket API that is unsafe to call.
//!
//! A file of its own so that the others need no unsafe code. It only goes by way of `OwnedFd`.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{TcpListener, TcpStream, UdpSocket};

/// For types that are made from an `OwnedFd`.
macro_rules! from_raw_fd {
    ($($Socket:ty),*) => {$(
        /// The descriptor is put into non-blocking mode.
        impl FromRawFd for $Socket {
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the caller's promise is the same: `fd` is open and owned by nobody else.
                unsafe { OwnedFd::from_raw_fd(fd) }.into()
            }
        }
    )*};
}

from_raw_fd!(TcpListener, TcpStream, UdpSocket);
