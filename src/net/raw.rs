//! What the sockets need that is unsafe: `FromRawFd`, which is unsafe to call, and two system calls that std does not offer.
//!
//! A file of its own so that the others need no unsafe code. It knows nothing of waiting.

use core::mem::MaybeUninit;
use core::slice;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use socket2::{SockAddr, SockRef};

use super::unix::{UCred, UnixDatagram, UnixListener, UnixStream};
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
from_raw_fd!(UnixDatagram, UnixListener, UnixStream);

/// Receives, and leaves it there; where it came from, too.
///
/// # Errors
/// The system's.
pub(super) fn peek_from(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    let (start, len) = (buf.as_mut_ptr().cast::<MaybeUninit<u8>>(), buf.len());
    // SAFETY: the same bytes, lent for this call. socket2 promises to write only what was received into them, so that all
    // of `buf` is initialised afterwards as well.
    let buf = unsafe { slice::from_raw_parts_mut(start, len) };
    SockRef::from(&fd).peek_from(buf)
}

/// Who is at the other end of a Unix socket.
///
/// # Errors
/// The system's.
pub(super) fn peer_cred(fd: BorrowedFd<'_>) -> io::Result<UCred> {
    let mut cred = MaybeUninit::<libc::ucred>::uninit();
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: both are in this frame, and `len` is the size of what `cred` has room for.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            cred.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if len as usize != size_of::<libc::ucred>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the system has filled all of `cred`: field `len` says so. It is plain numbers.
    let cred = unsafe { cred.assume_init() };
    Ok(UCred {
        uid: cred.uid,
        gid: cred.gid,
        pid: (cred.pid > 0).then_some(cred.pid),
    })
}
