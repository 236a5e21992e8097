//! Why io of this crate failed, where the system has no word for it.
//!
//! Each comes inside a [`std::io::Error`], whose kind is what programs written for std look at. To tell apart what shares
//! a kind, look inside:
//!
//! | type               | kind            | inside which call                                            |
//! | ------------------ | --------------- | ------------------------------------------------------------ |
//! | [`Closed`]         | `NotConnected`  | any, after `close`, and those that waited when it was called |
//! | [`ConcurrentUse`]  | `ResourceBusy`  | one that would wait where another waits                      |
//! | [`TimeoutElapsed`] | `TimedOut`      | one that waited when an enclosing `timeout` expired          |
//!
//! This file decides nothing.
#![forbid(unsafe_code)]

use core::fmt;
use core::panic::Location;
use std::io;

use crate::park::End;
use crate::reactor;

/// Which way data goes. Accepting is reading, connecting is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards this process.
    Read,
    /// Out of this process.
    Write,
}

impl From<reactor::Direction> for Direction {
    fn from(direction: reactor::Direction) -> Self {
        match direction {
            reactor::Direction::Read => Self::Read,
            reactor::Direction::Write => Self::Write,
        }
    }
}

/// A call would have had to wait where another task or thread waits already.
///
/// One reader and one writer may wait at the same time, if both are of one hub. Two of a kind would get parts of the
/// stream each, in no order; the second one gets this error at once, and the first one is not disturbed.
///
/// ```
/// use greenloom::{io, net::{TcpListener, TcpStream}, spawn, yield_now};
/// use std::{io::Read, rc::Rc};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let _peer = TcpStream::connect(listener.local_addr()?)?;
/// let stream = Rc::new(listener.accept()?.0);
///
/// let first = Rc::clone(&stream);
/// let first = spawn(move || (&*first).read(&mut [0]));
/// yield_now(); // the task waits now
/// let error = (&*stream).read(&mut [0]).unwrap_err();
/// let busy = error.get_ref().unwrap().downcast_ref::<io::ConcurrentUse>().unwrap();
/// assert_eq!(busy.direction(), io::Direction::Read);
/// first.kill();
/// # let _ = first.join();
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "ConcurrentObjectUseError")]
#[derive(Clone, Copy, Debug)]
pub struct ConcurrentUse {
    direction: Direction,
    first: Option<&'static Location<'static>>,
}

impl ConcurrentUse {
    /// Where the other one waits.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The call in which the other one waits, as far as it is known.
    pub fn first(&self) -> Option<&'static Location<'static>> {
        self.first
    }
}

impl fmt::Display for ConcurrentUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.direction {
            Direction::Read => "read from",
            Direction::Write => "write to",
        };
        write!(f, "another task waits to {verb} this descriptor")?;
        match self.first {
            Some(site) => write!(f, ", at {site}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConcurrentUse {}

/// The socket was closed by `close`, in this task or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the socket was closed")
    }
}

impl std::error::Error for Closed {}

/// An enclosing [`timeout`](crate::timeout) expired while the call waited.
///
/// The kind of the error is `TimedOut`, as with a timeout of the socket's own, where this is not inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeoutElapsed;

impl fmt::Display for TimeoutElapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an enclosing timeout expired")
    }
}

impl std::error::Error for TimeoutElapsed {}

#[cold]
pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, Closed)
}

#[cold]
pub(super) fn concurrent(
    direction: reactor::Direction,
    first: Option<&'static Location<'static>>,
) -> io::Error {
    let busy = ConcurrentUse {
        direction: direction.into(),
        first,
    };
    io::Error::new(io::ErrorKind::ResourceBusy, busy)
}

/// What a wait that ended so returns from the call it was part of.
#[inline]
pub(crate) fn outcome(end: End) -> io::Result<()> {
    match end {
        End::Granted => Ok(()),
        End::TimedOut => Err(io::ErrorKind::TimedOut.into()),
        End::Elapsed => Err(io::Error::new(io::ErrorKind::TimedOut, TimeoutElapsed)),
        End::Deadlock(deadlock) => Err(io::Error::other(deadlock)),
        End::Unwinding => Err(io::Error::other(crate::hub::Unwinding)),
    }
}
