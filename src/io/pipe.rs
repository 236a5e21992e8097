//! Pipes: `std::io::pipe`, cooperative.
//!
//! ```text
//!   pipe ──► (PipeReader, PipeWriter)      both ends in non-blocking mode
//!               │ close                    this handle's calls fail; the other end sees it when the handle is dropped
//! ```
//!
//! A read that is short says nothing about what comes behind it, so a pipe is empty when the system says so, and not
//! before. Its calls are [`Source::run`]; this file parks nowhere else.
#![forbid(unsafe_code)]

use core::fmt;
use core::panic::Location;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use super::source::{Call, Left, Source, Until, set_nonblocking};
use crate::reactor::Direction;

/// The end of a [`pipe`] that is read: [`std::io::PipeReader`], cooperative.
///
/// The errors of its calls: the system's; `TimedOut` if an enclosing [`timeout`](crate::timeout) expires;
/// [`Closed`](super::Closed) after [`close`](Self::close); [`ConcurrentUse`](super::ConcurrentUse) if another task
/// waits to read; where nothing can wait, [`InCallback`](crate::hub::InCallback), [`Unwinding`](crate::hub::Unwinding) or
/// [`Forked`](crate::hub::Forked).
pub struct PipeReader {
    source: Source<io::PipeReader>,
}

/// The end of a [`pipe`] that is written to: [`std::io::PipeWriter`], cooperative.
///
/// Its errors are those of [`PipeReader`], and `BrokenPipe` when nobody is left to read.
pub struct PipeWriter {
    source: Source<io::PipeWriter>,
}

/// A pipe: what is written to the one end is read from the other. The read ends when all writers are dropped.
///
/// ```
/// use std::io::{Read, Write};
///
/// let (mut reader, mut writer) = greenloom::io::pipe()?;
/// let task = greenloom::spawn(move || writer.write_all(b"through the pipe"));
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?; // the task runs meanwhile, and drops the writer
/// assert_eq!(text, "through the pipe");
/// # task.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// An end that is turned into a descriptor, or into a child's [`Stdio`], is put back into blocking mode.
///
/// # Errors
/// No descriptors could be had.
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.try_into()?, writer.try_into()?))
}

#[inline]
#[track_caller]
fn call(direction: Direction, kind: &'static str) -> Call {
    Call {
        direction,
        kind,
        until: Until::Ever,
        site: Location::caller(),
    }
}

/// # Blocking
/// Switches if there is nothing to read, and now and then if there always is.
impl Read for &PipeReader {
    #[inline]
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let call = call(Direction::Read, "read of pipe");
        self.source
            .run(&call, |mut pipe| Ok((pipe.read(buf)?, Left::Unknown)))
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let call = call(Direction::Read, "read of pipe");
        self.source.run(&call, |mut pipe| {
            Ok((pipe.read_vectored(bufs)?, Left::Unknown))
        })
    }
}

/// # Blocking
/// Switches if the pipe is full, and now and then if it never is.
impl Write for &PipeWriter {
    #[inline]
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let call = call(Direction::Write, "write to pipe");
        self.source
            .run(&call, |mut pipe| Ok((pipe.write(buf)?, Left::Unknown)))
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let call = call(Direction::Write, "write to pipe");
        self.source.run(&call, |mut pipe| {
            Ok((pipe.write_vectored(bufs)?, Left::Unknown))
        })
    }

    /// Nothing is held back here: does nothing.
    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As of a reference to it.
impl Read for PipeReader {
    #[inline]
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

/// As of a reference to it.
impl Write for PipeWriter {
    #[inline]
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What both ends have, each for itself.
macro_rules! end {
    ($End:ident) => {
        impl $End {
            /// Another handle to the same end.
            ///
            /// # Errors
            /// No descriptor could be had; [`Closed`](super::Closed).
            pub fn try_clone(&self) -> io::Result<Self> {
                let source = Source::new(self.source.open()?.try_clone()?);
                Ok(Self { source })
            }

            /// Ends this handle, also under tasks and threads that wait with it: these and all later calls through it fail
            /// with [`Closed`](super::Closed). Clones are not touched, and the other end sees it when the handle is
            /// dropped.
            ///
            /// From any thread, and again and again.
            ///
            /// # Blocking
            /// Never switches.
            #[doc(alias = "cancel_wait")]
            pub fn close(&self) {
                self.source.close(|_| ());
            }

            fn into_fd(self) -> OwnedFd {
                // It fails only for a descriptor that is none; its next call says so.
                let (pipe, _) = self.source.release();
                pipe.into()
            }
        }

        impl fmt::Debug for $End {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.source.io().fmt(f)
            }
        }

        impl AsFd for $End {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.source.io().as_fd()
            }
        }

        impl AsRawFd for $End {
            fn as_raw_fd(&self) -> RawFd {
                self.source.io().as_raw_fd()
            }
        }

        /// The descriptor is put back into blocking mode.
        impl IntoRawFd for $End {
            fn into_raw_fd(self) -> RawFd {
                self.into_fd().into_raw_fd()
            }
        }

        /// The descriptor is put back into blocking mode.
        impl From<$End> for OwnedFd {
            fn from(end: $End) -> Self {
                end.into_fd()
            }
        }

        /// For a child process. The descriptor is put back into blocking mode.
        impl From<$End> for Stdio {
            fn from(end: $End) -> Self {
                end.into_fd().into()
            }
        }

        /// The descriptor is put into non-blocking mode.
        impl From<OwnedFd> for $End {
            fn from(fd: OwnedFd) -> Self {
                // Fails only for a descriptor that is none; its next call says so.
                let _ = set_nonblocking(fd.as_fd(), true);
                let source = Source::new(fd.into());
                Self { source }
            }
        }

        /// The descriptor is put into non-blocking mode.
        impl TryFrom<io::$End> for $End {
            type Error = io::Error;

            fn try_from(end: io::$End) -> io::Result<Self> {
                Source::adopt(end).map(|source| Self { source })
            }
        }

        /// The descriptor is put back into blocking mode.
        impl TryFrom<$End> for io::$End {
            type Error = io::Error;

            fn try_from(end: $End) -> io::Result<Self> {
                let (pipe, restored) = end.source.release();
                restored.map(|()| pipe)
            }
        }
    };
}

end!(PipeReader);
end!(PipeWriter);
