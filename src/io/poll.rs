//! Waiting for the first of many descriptors: `poll(2)`, cooperative.
//!
//! ```text
//!   poll ──► poll(2) without waiting ──► some are ready: how many
//!                 │ none
//!                 ▼
//!            an epoll instance of its own with all of them ──► one descriptor, which is readable when any is ready
//!                 └── Source::run on that: the hub sees one registration, whatever their number
//! ```
//!
//! So the descriptors themselves are registered nowhere, and others may use them and wait for them at the same time. What is
//! reported is what `poll(2)` says in the end.
#![forbid(unsafe_code)]

use core::panic::Location;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use super::os;
use super::source::{Call, Left, Source, Until, budgeted};
use crate::reactor::Direction;

/// A descriptor, what [`poll`] waits for on it, and what that found.
#[derive(Clone, Copy, Debug)]
pub struct PollFd<'fd> {
    fd: BorrowedFd<'fd>,
    interest: libc::c_short,
    found: libc::c_short,
}

impl<'fd> PollFd<'fd> {
    fn new<F: AsFd + ?Sized>(fd: &'fd F, interest: libc::c_short) -> Self {
        Self {
            fd: fd.as_fd(),
            interest,
            found: 0,
        }
    }

    /// Waits until a read would not block: there is data, the end of it, or a connection to accept.
    pub fn readable<F: AsFd + ?Sized>(fd: &'fd F) -> Self {
        Self::new(fd, os::interest(Direction::Read))
    }

    /// Waits until a write would not block.
    pub fn writable<F: AsFd + ?Sized>(fd: &'fd F) -> Self {
        Self::new(fd, os::interest(Direction::Write))
    }

    /// Waits until either would not block.
    pub fn both<F: AsFd + ?Sized>(fd: &'fd F) -> Self {
        Self::new(
            fd,
            os::interest(Direction::Read) | os::interest(Direction::Write),
        )
    }

    /// The descriptor.
    pub fn fd(&self) -> BorrowedFd<'fd> {
        self.fd
    }

    /// Whether the last [`poll`] found anything: what was waited for, the end of the other side, or an error.
    pub fn is_ready(&self) -> bool {
        self.found != 0
    }

    /// Whether a read would not block: also at the end of the stream. False if that was not asked for.
    pub fn is_readable(&self) -> bool {
        self.found & (libc::POLLIN | libc::POLLRDHUP) != 0
            || self.interest & libc::POLLIN != 0 && (self.is_hung_up() || self.is_error())
    }

    /// Whether a write would not block: also if it would fail. False if that was not asked for.
    pub fn is_writable(&self) -> bool {
        self.found & libc::POLLOUT != 0
            || self.interest & libc::POLLOUT != 0 && (self.is_hung_up() || self.is_error())
    }

    /// Whether the other side is gone, or has shut down both directions. Found whatever was asked for; there may still be data
    /// to read.
    pub fn is_hung_up(&self) -> bool {
        self.found & libc::POLLHUP != 0
    }

    /// Whether an error is pending, or nobody is left to read from a pipe. Found whatever was asked for.
    pub fn is_error(&self) -> bool {
        self.found & libc::POLLERR != 0
    }
}

/// Waits until one of `fds` is ready, for at most `timeout`; how many are, 0 if the time has passed. Each says what it found.
///
/// The mode of the descriptors does not matter. A regular file always is ready. One may be there several times, and others
/// may wait for it meanwhile.
///
/// ```
/// use greenloom::io::{PollFd, pipe, poll};
/// use std::io::Write;
/// use std::time::Duration;
///
/// let ((first, mut to_first), (second, _to_second)) = (pipe()?, pipe()?);
/// let mut fds = [PollFd::readable(&first), PollFd::readable(&second)];
/// assert_eq!(poll(&mut fds, Some(Duration::ZERO))?, 0);
///
/// greenloom::spawn(move || to_first.write_all(b"x"));
/// assert_eq!(poll(&mut fds, None)?, 1); // the task runs meanwhile
/// assert!(fds[0].is_readable() && !fds[1].is_ready());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Each call that waits hands all of them to the system. For many descriptors again and again, one task for each is cheaper.
///
/// # Blocking
/// Switches unless one is ready, and now and then if one always is.
///
/// # Errors
/// `TimedOut` only if an enclosing [`timeout`](crate::timeout) expired ([`TimeoutElapsed`](super::TimeoutElapsed)); the
/// system's, if no descriptor can be had for the wait; where nothing can wait, [`InCallback`](crate::hub::InCallback),
/// [`Unwinding`](crate::hub::Unwinding) or [`Forked`](crate::hub::Forked).
#[doc(alias = "select")]
#[track_caller]
pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let call = Call {
        direction: Direction::Read,
        kind: "poll of descriptors",
        until: timeout.map_or(Until::Ever, Until::within),
        site: Location::caller(),
    };
    let mut entries: Vec<_> = fds
        .iter()
        .map(|f| libc::pollfd {
            fd: f.fd.as_raw_fd(),
            events: f.interest,
            revents: 0,
        })
        .collect();
    let ready = match budgeted(|| ask(&mut entries)) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            if timeout == Some(Duration::ZERO) {
                Ok(0)
            } else {
                let all = Source::new(os::epoll_of(&entries)?);
                match all.run(&call, |_| Ok((ask(&mut entries)?, Left::Unknown))) {
                    // Its own time has passed.
                    Err(e) if e.kind() == io::ErrorKind::TimedOut && e.get_ref().is_none() => Ok(0),
                    other => other,
                }
            }
        }
        other => other,
    }?;
    for (fd, entry) in fds.iter_mut().zip(&entries) {
        fd.found = entry.revents;
    }
    Ok(ready)
}

/// How many are ready; `WouldBlock` if none is.
fn ask(entries: &mut [libc::pollfd]) -> io::Result<usize> {
    match os::poll_all(entries, Some(Duration::ZERO))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ if entries.iter().any(|e| e.revents & libc::POLLNVAL != 0) => {
            Err(io::Error::from_raw_os_error(libc::EBADF))
        }
        n => Ok(n),
    }
}
