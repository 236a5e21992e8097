//! Waiting for a descriptor of one's own: what to build a cooperative version of any foreign type from.
//!
//! Two calls over the [loop](super::source): the system is asked whether the descriptor is ready, which is the call that
//! would block. They read and write nothing. Standard input and output are built on the same, as other processes share their
//! mode.
#![forbid(unsafe_code)]

use core::panic::Location;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::os;
use super::source::{Call, Left, Source, Until, budgeted};
use crate::reactor::Direction;

/// Waits until a read from `fd` would not block: there is data, the end of it, a connection to accept, or an error.
///
/// A regular file always is ready. The descriptor's mode does not matter; a read from one in blocking mode may still
/// block if another reader is faster.
///
/// ```
/// use std::io::{Read, Write};
/// use std::os::fd::AsFd;
/// use std::time::Duration;
///
/// let (mut reader, mut writer) = std::io::pipe()?;
/// let late = greenloom::io::wait_readable(reader.as_fd(), Some(Duration::ZERO)).unwrap_err();
/// assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
///
/// let task = greenloom::spawn(move || writer.write_all(b"hello"));
/// greenloom::io::wait_readable(reader.as_fd(), None)?; // the task runs meanwhile
/// let mut text = [0; 5];
/// reader.read_exact(&mut text)?;
/// # task.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Blocking
/// Switches if it has to wait. On a thread without a hub it is `poll(2)`.
///
/// # Errors
/// `TimedOut` when `timeout` has passed, or an enclosing [`timeout`](crate::timeout) expired
/// ([`TimeoutElapsed`](super::TimeoutElapsed)); where nothing can wait, [`InCallback`](crate::hub::InCallback),
/// [`Unwinding`](crate::hub::Unwinding) or [`Forked`](crate::hub::Forked).
#[doc(alias = "wait_read")]
#[track_caller]
pub fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    wait_for(fd, Direction::Read, "readable descriptor", timeout)
}

/// Waits until a write to `fd` would not block: there is room, nobody is left to read, or an error.
///
/// # Blocking
/// As [`wait_readable`].
///
/// # Errors
/// As [`wait_readable`].
#[doc(alias = "wait_write")]
#[track_caller]
pub fn wait_writable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    wait_for(fd, Direction::Write, "writable descriptor", timeout)
}

#[track_caller]
fn wait_for(
    fd: BorrowedFd<'_>,
    direction: Direction,
    kind: &'static str,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let call = Call {
        direction,
        kind,
        until: timeout.map_or(Until::Ever, Until::within),
        site: Location::caller(),
    };
    run_shared(fd, &call, |_| Ok(()))
}

/// Does `op` on a descriptor whose mode is not ours to change, once the system says that it would not block.
///
/// # Errors
/// Those of `op` and of the [loop](super::source). `op` may say `WouldBlock`: somebody else was faster.
pub(super) fn run_shared<R>(
    fd: BorrowedFd<'_>,
    call: &Call,
    mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
) -> io::Result<R> {
    let mut attempt = || match os::poll(fd, call.direction, Some(Duration::ZERO)) {
        Ok(true) => op(fd),
        Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
        Err(e) => Err(e),
    };
    match budgeted(&mut attempt) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
        other => return other,
    }
    // Waits on a duplicate, which is an entry of its own in the hub's poll: the number itself may be there already, or come
    // there while this waits, as that of a socket or of another wait.
    let own = Source::new(fd.try_clone_to_owned()?);
    own.run(call, |_| Ok((attempt()?, Left::Unknown)))
}
