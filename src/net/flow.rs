//! What every stream socket does: read, write, all of it by one deadline, shut down, close, come apart.
//!
//! ```text
//!   stream_traits!(Type, left)       Read and Write for Type and &Type; read_exact_timeout, write_all_timeout,
//!                                    shutdown, close, into_split
//!   left(n, wanted)                  what a transfer of `n` bytes of `wanted` says: `short` or `unknown`
//! ```
//!
//! The kind of socket decides what a short transfer proves. On TCP: that the queue is empty, or full, so the call that
//! would only say so is saved. On a Unix socket nothing: a read stops at the bound of a message with credentials or
//! descriptors, and there may be more.
//!
//! Each call is one [`Source::run`](crate::io::source::Source::run).
#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;

use super::socket::Socket;
use crate::io::source::{Call, Left};

/// TCP: short is empty, or full. None at all of some is the end of the stream, which stays.
#[inline]
pub(super) fn short(n: usize, wanted: usize) -> Left {
    if n > 0 && n < wanted {
        Left::Nothing
    } else {
        Left::Unknown
    }
}

/// All others wait for the system's word.
#[inline]
pub(super) fn unknown(_n: usize, _wanted: usize) -> Left {
    Left::Unknown
}

/// See the file's head.
pub(super) type Judge = fn(usize, usize) -> Left;

impl<S: AsFd> Socket<S>
where
    for<'a> &'a S: Read + Write,
{
    #[inline]
    pub(super) fn read(
        &self,
        call: &Call,
        buf: &mut [u8],
        left: impl Fn(usize, usize) -> Left,
    ) -> io::Result<usize> {
        self.source.run(call, |mut stream| {
            let n = stream.read(buf)?;
            Ok((n, left(n, buf.len())))
        })
    }

    #[inline]
    pub(super) fn write(
        &self,
        call: &Call,
        buf: &[u8],
        left: impl Fn(usize, usize) -> Left,
    ) -> io::Result<usize> {
        self.source.run(call, |mut stream| {
            let n = stream.write(buf)?;
            Ok((n, left(n, buf.len())))
        })
    }

    pub(super) fn read_vectored(
        &self,
        call: &Call,
        bufs: &mut [IoSliceMut<'_>],
        left: Judge,
    ) -> io::Result<usize> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        self.source.run(call, |mut stream| {
            let n = stream.read_vectored(bufs)?;
            Ok((n, left(n, wanted)))
        })
    }

    pub(super) fn write_vectored(
        &self,
        call: &Call,
        bufs: &[IoSlice<'_>],
        left: Judge,
    ) -> io::Result<usize> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        self.source.run(call, |mut stream| {
            let n = stream.write_vectored(bufs)?;
            Ok((n, left(n, wanted)))
        })
    }

    pub(super) fn read_exact(
        &self,
        call: &Call,
        mut buf: &mut [u8],
        left: Judge,
    ) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(call, buf, left)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => buf = &mut buf[n..],
            }
        }
        Ok(())
    }

    pub(super) fn write_all(&self, call: &Call, mut buf: &[u8], left: Judge) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write(call, buf, left)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => buf = &buf[n..],
            }
        }
        Ok(())
    }
}

/// See the file's head. For a type with a field `socket`.
macro_rules! stream_traits {
    ($Stream:ident, $left:path) => {
        impl $Stream {
            #[inline]
            #[track_caller]
            fn reading(&self) -> $crate::io::source::Call {
                self.socket.reading("read of socket")
            }

            #[inline]
            #[track_caller]
            fn writing(&self) -> $crate::io::source::Call {
                self.socket.writing("write to socket")
            }

            /// Fills `buf` within `timeout`, which is for the whole of it. The socket's own read timeout does not count.
            ///
            /// With zero it takes what is there and does not wait.
            ///
            /// # Blocking
            /// Switches.
            ///
            /// # Errors
            /// `TimedOut`; `UnexpectedEof`. How much was read is then unknown, as with
            /// [`Read::read_exact`](std::io::Read::read_exact).
            #[track_caller]
            pub fn read_exact_timeout(
                &self,
                buf: &mut [u8],
                timeout: std::time::Duration,
            ) -> std::io::Result<()> {
                let until = $crate::io::source::Until::within(timeout);
                let call = $crate::io::source::Call {
                    until,
                    ..self.reading()
                };
                self.socket.read_exact(&call, buf, $left)
            }

            /// Writes all of `buf` within `timeout`, which is for the whole of it. The socket's own write timeout does not
            /// count.
            ///
            /// With zero it gives the system what that takes at once and does not wait.
            ///
            /// # Blocking
            /// Switches.
            ///
            /// # Errors
            /// `TimedOut`. How much was written is then unknown, as with
            /// [`Write::write_all`](std::io::Write::write_all).
            #[track_caller]
            pub fn write_all_timeout(
                &self,
                buf: &[u8],
                timeout: std::time::Duration,
            ) -> std::io::Result<()> {
                let until = $crate::io::source::Until::within(timeout);
                let call = $crate::io::source::Call {
                    until,
                    ..self.writing()
                };
                self.socket.write_all(&call, buf, $left)
            }

            /// Ends one direction of the connection, or both. Tasks that wait there, also through a clone, find the end of
            /// the stream or `BrokenPipe`.
            ///
            /// # Errors
            /// The system's; `NotConnected`.
            pub fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                self.socket.open()?.shutdown(how)
            }

            /// Ends the connection, also under tasks and threads that read or write: these and all later calls through
            /// this handle fail with [`Closed`](crate::io::Closed). Clones find the connection shut down.
            ///
            /// From any thread, and again and again. The descriptor is closed by the drop.
            ///
            /// # Blocking
            /// Never switches.
            #[doc(alias = "cancel_wait")]
            pub fn close(&self) {
                self.socket.source.close(|stream| {
                    // Fails if the peer has reset it: then it is shut already.
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                });
            }

            /// Two handles, one to read and one to write, for two tasks: see [`OwnedWriteHalf`](crate::net::OwnedWriteHalf).
            ///
            /// Since a stream can be read and written through `&` as well, an `Rc` or `Arc` of it does the same, without the
            /// shutdown.
            pub fn into_split(
                self,
            ) -> (
                $crate::net::OwnedReadHalf<Self>,
                $crate::net::OwnedWriteHalf<Self>,
            ) {
                $crate::net::split::halves(self)
            }
        }

        /// # Blocking
        /// Switches if there is nothing to read, and now and then if there always is.
        impl std::io::Read for &$Stream {
            #[inline]
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.socket.read(&self.reading(), buf, $left)
            }

            #[track_caller]
            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                self.socket.read_vectored(&self.reading(), bufs, $left)
            }
        }

        /// # Blocking
        /// Switches if the peer does not take what was written before, and now and then if it always does.
        impl std::io::Write for &$Stream {
            #[inline]
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.socket.write(&self.writing(), buf, $left)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.socket.write_vectored(&self.writing(), bufs, $left)
            }

            /// Nothing is held back here: does nothing.
            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        /// As for a reference to it.
        impl std::io::Read for $Stream {
            #[inline]
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            #[track_caller]
            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        /// As for a reference to it.
        impl std::io::Write for $Stream {
            #[inline]
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl $crate::io::ShutdownWrite for $Stream {
            fn shutdown_write(&self) -> std::io::Result<()> {
                self.shutdown(std::net::Shutdown::Write)
            }
        }
    };
}

pub(super) use stream_traits;
