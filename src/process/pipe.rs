//! Our ends of a child's pipes: `ChildStdin`, `ChildStdout`, `ChildStderr`.
//!
//! Non-blocking within. That is our end's mode alone: the child has the other end, which is an open file of its own. An end
//! that is given away, as a `Stdio` of another child or as a descriptor, is put back into blocking mode.
//!
//! Every call is one [`Source::run`]; this file parks nowhere else.
#![forbid(unsafe_code)]

use core::fmt;
use core::panic::Location;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::{self, Stdio};

use super::os::{self, Mode};
use crate::io::source::{Call, Left, Source, Until};
use crate::reactor::Direction;

#[track_caller]
fn call(direction: Direction, kind: &'static str) -> Call {
    Call {
        direction,
        kind,
        until: Until::Ever,
        site: Location::caller(),
    }
}

fn open<S: AsFd>(end: S) -> io::Result<Source<S>> {
    os::set_mode(end.as_fd(), Mode::Nonblocking)?;
    Ok(Source::new(end))
}

fn give_away<S: AsFd>(source: Source<S>) -> S {
    let end = source.into_io();
    // Fails only for a descriptor that is none; its next call says so.
    let _ = os::set_mode(end.as_fd(), Mode::Blocking);
    end
}

macro_rules! end {
    ($name:ident, $end:ident, $std:ty) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("fd", &self.as_raw_fd())
                    .finish()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.io().as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.io().as_raw_fd()
            }
        }

        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        /// The descriptor is put back into blocking mode.
        impl From<$name> for OwnedFd {
            fn from(end: $name) -> Self {
                give_away(end.0).into()
            }
        }

        /// For another child. The descriptor is put back into blocking mode.
        impl From<$name> for Stdio {
            fn from(end: $name) -> Self {
                give_away(end.0).into()
            }
        }

        /// The descriptor is put into non-blocking mode.
        impl TryFrom<$std> for $name {
            type Error = io::Error;

            fn try_from(end: $std) -> io::Result<Self> {
                open($end::from(OwnedFd::from(end))).map(Self)
            }
        }

        /// The descriptor is put back into blocking mode.
        impl From<$name> for $std {
            fn from(end: $name) -> Self {
                OwnedFd::from(end).into()
            }
        }
    };
}

macro_rules! reader {
    ($name:ident, $std:ty, $kind:literal) => {
        end!($name, PipeReader, $std);

        /// # Blocking
        /// Switches if there is nothing to read, and now and then if there always is.
        impl Read for &$name {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let call = call(Direction::Read, $kind);
                self.0
                    .run(&call, |mut end| Ok((end.read(buf)?, Left::Unknown)))
            }

            #[track_caller]
            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let call = call(Direction::Read, $kind);
                self.0.run(&call, |mut end| {
                    Ok((end.read_vectored(bufs)?, Left::Unknown))
                })
            }
        }

        impl Read for $name {
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            #[track_caller]
            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }
    };
}

/// What a child reads as its standard input: [`std::process::ChildStdin`], cooperative.
///
/// Dropping it is the end of the child's input. Writing to a child that does not read any more fails with `BrokenPipe`.
/// Errors of a write besides the system's: `TimedOut` if an enclosing [`timeout`](crate::timeout) expired
/// ([`TimeoutElapsed`](crate::io::TimeoutElapsed) inside); [`ConcurrentUse`](crate::io::ConcurrentUse); where nothing can
/// wait, [`InCallback`](crate::hub::InCallback), [`Unwinding`](crate::hub::Unwinding) or [`Forked`](crate::hub::Forked).
pub struct ChildStdin(Source<PipeWriter>);

/// What a child has written to its standard output: [`std::process::ChildStdout`], cooperative.
///
/// Errors of a read as those of a write to [`ChildStdin`].
pub struct ChildStdout(Source<PipeReader>);

/// What a child has written to its standard error: [`std::process::ChildStderr`], cooperative.
///
/// Errors of a read as those of a write to [`ChildStdin`].
pub struct ChildStderr(Source<PipeReader>);

end!(ChildStdin, PipeWriter, process::ChildStdin);
reader!(
    ChildStdout,
    process::ChildStdout,
    "read of a child's output"
);
reader!(
    ChildStderr,
    process::ChildStderr,
    "read of a child's errors"
);

const WRITE: &str = "write to a child's input";

/// # Blocking
/// Switches if the child does not take what was written before, and now and then if it always does.
impl Write for &ChildStdin {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let call = call(Direction::Write, WRITE);
        self.0
            .run(&call, |mut end| Ok((end.write(buf)?, Left::Unknown)))
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let call = call(Direction::Write, WRITE);
        self.0.run(&call, |mut end| {
            Ok((end.write_vectored(bufs)?, Left::Unknown))
        })
    }

    /// Nothing is held back here: does nothing.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ChildStdin {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
