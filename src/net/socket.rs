//! What all sockets of this module are made of: a std socket in the would-block loop, its timeouts, and std's conversions.
//!
//! ```text
//!   std's socket, OwnedFd, RawFd ──► non-blocking ──► Socket { source, read_timeout, write_timeout } ──► mode put back ──► std's
//!                                                       │
//!                              socket_methods!    try_clone, take_error, set_nonblocking
//!                              timeout_methods!   set_read_timeout, …
//!                              socket_traits!     AsFd, From<OwnedFd>, TryFrom<std's>, Debug, …
//! ```
//!
//! The macros write the methods that are the same for every type, each with its documentation, into that type: a user of
//! std looks for them there. `FromRawFd` is in `raw`, as it is unsafe to call. Nothing here waits.
#![forbid(unsafe_code)]

use core::panic::Location;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::{SockAddr, SockRef};

use super::timeouts::Timeout;
use crate::io::source::{Call, Left, Source, Until, set_nonblocking};
use crate::reactor::Direction;

/// A socket of std's type `S`, in non-blocking mode, whose calls park.
pub(super) struct Socket<S> {
    pub(super) source: Source<S>,
    pub(super) read_timeout: Timeout,
    pub(super) write_timeout: Timeout,
}

impl<S: AsFd> Socket<S> {
    /// `io` is non-blocking.
    pub(super) fn of(io: S) -> Self {
        Self::around(Source::new(io))
    }

    fn around(source: Source<S>) -> Self {
        Self {
            source,
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
        }
    }

    /// Puts `io` into non-blocking mode.
    pub(super) fn adopt(io: S) -> io::Result<Self> {
        Source::adopt(io).map(Self::around)
    }

    /// What is inside, for calls that never block.
    pub(super) fn open(&self) -> io::Result<&S> {
        self.source.open()
    }

    /// What is inside, for options that std has not.
    pub(super) fn options(&self) -> io::Result<SockRef<'_>> {
        self.source.open().map(SockRef::from)
    }

    /// A call that may wait to read; for dumps, `kind`.
    #[inline]
    #[track_caller]
    pub(super) fn reading(&self, kind: &'static str) -> Call {
        call(Direction::Read, kind, self.read_timeout.until())
    }

    /// A call that may wait to write; for dumps, `kind`.
    #[inline]
    #[track_caller]
    pub(super) fn writing(&self, kind: &'static str) -> Call {
        call(Direction::Write, kind, self.write_timeout.until())
    }

    /// Takes the oldest connection that waits at this listener. The new socket is non-blocking.
    ///
    /// Those that were given up before are passed over.
    pub(super) fn accept(&self, call: &Call) -> io::Result<(socket2::Socket, SockAddr)> {
        self.source.run(call, |listener| {
            let listener = SockRef::from(listener);
            loop {
                match listener.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
                    Ok(accepted) => return Ok((accepted, Left::Unknown)),
                    Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(e) => return Err(e),
                }
            }
        })
    }

    /// Another handle, made by `duplicate`.
    pub(super) fn try_clone(
        &self,
        duplicate: impl FnOnce(&S) -> io::Result<S>,
    ) -> io::Result<Self> {
        let clone = Self {
            source: Source::new(duplicate(self.open()?)?),
            read_timeout: self.read_timeout.copy(),
            write_timeout: self.write_timeout.copy(),
        };
        clone.source.set_nonblocking(self.source.is_nonblocking());
        Ok(clone)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.open()?;
        self.source.set_nonblocking(nonblocking);
        Ok(())
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.open()?;
        self.read_timeout.set(timeout)
    }

    pub(super) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.open()?;
        self.write_timeout.set(timeout)
    }

    /// A socket of std's: its timeouts are taken over.
    pub(super) fn from_std(io: S) -> io::Result<Self> {
        let options = SockRef::from(&io);
        let (read, write) = (options.read_timeout()?, options.write_timeout()?);
        let socket = Self::adopt(io)?;
        socket.read_timeout.set(read)?;
        socket.write_timeout.set(write)?;
        Ok(socket)
    }

    /// Out of the poll, with mode and timeouts of the descriptor as the user set them.
    pub(super) fn into_std(self) -> io::Result<S> {
        let (read, write) = (self.read_timeout.get(), self.write_timeout.get());
        let (io, restored) = self.source.release();
        restored?;
        let options = SockRef::from(&io);
        options.set_read_timeout(read)?;
        options.set_write_timeout(write)?;
        Ok(io)
    }
}

impl<S: AsFd + From<OwnedFd> + Into<OwnedFd>> Socket<S> {
    pub(super) fn from_fd(fd: OwnedFd) -> Self {
        // Fails only for a descriptor that is none; its next call says so.
        let _ = set_nonblocking(fd.as_fd(), true);
        Self::of(fd.into())
    }

    /// As [`into_std`](Self::into_std), for conversions that cannot fail: without the timeouts.
    pub(super) fn into_fd(self) -> OwnedFd {
        // It fails only for a descriptor that is none; its next call says so.
        let (io, _) = self.source.release();
        io.into()
    }
}

#[inline]
#[track_caller]
fn call(direction: Direction, kind: &'static str, until: Until) -> Call {
    Call {
        direction,
        kind,
        until,
        site: Location::caller(),
    }
}

/// The methods that every socket has, for a type with a field `socket`.
macro_rules! socket_methods {
    ($Socket:ident) => {
        impl $Socket {
            /// Another handle to the same socket. It has timeouts and a mode of its own, set to the same at first.
            ///
            /// # Errors
            /// No descriptor could be had; [`Closed`](crate::io::Closed).
            pub fn try_clone(&self) -> std::io::Result<Self> {
                let socket = self.socket.try_clone(|io| io.try_clone())?;
                Ok(Self { socket })
            }

            /// Takes the error that is pending on the socket, if there is one.
            ///
            /// # Errors
            /// The system's; [`Closed`](crate::io::Closed).
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.socket.open()?.take_error()
            }

            /// With `true`, calls through this handle return `WouldBlock` where they would wait.
            ///
            /// # Errors
            /// [`Closed`](crate::io::Closed).
            pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
                self.socket.set_nonblocking(nonblocking)
            }
        }
    };
}

/// The timeouts of a socket that reads and writes, for a type with a field `socket`.
macro_rules! timeout_methods {
    ($Socket:ident) => {
        impl $Socket {
            /// How long a read through this handle waits at most; `None`, as at first, for however long it takes.
            ///
            /// # Errors
            /// `InvalidInput` if it is zero; [`Closed`](crate::io::Closed).
            #[doc(alias = "settimeout")]
            pub fn set_read_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.socket.set_read_timeout(timeout)
            }

            /// How long a write through this handle waits at most; `None`, as at first, for however long it takes.
            ///
            /// # Errors
            /// `InvalidInput` if it is zero; [`Closed`](crate::io::Closed).
            pub fn set_write_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.socket.set_write_timeout(timeout)
            }

            /// What [`set_read_timeout`](Self::set_read_timeout) set. What is beyond 584 years has become that.
            ///
            /// # Errors
            /// [`Closed`](crate::io::Closed).
            pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                self.socket.open()?;
                Ok(self.socket.read_timeout.get())
            }

            /// What [`set_write_timeout`](Self::set_write_timeout) set. What is beyond 584 years has become that.
            ///
            /// # Errors
            /// [`Closed`](crate::io::Closed).
            pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                self.socket.open()?;
                Ok(self.socket.write_timeout.get())
            }
        }
    };
}

/// `Debug` and the conversions, for a type that is a field `socket` around the socket `$std`.
macro_rules! socket_traits {
    ($Socket:ident, $std:ty) => {
        /// As std's: addresses and descriptor.
        impl core::fmt::Debug for $Socket {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.socket.source.io().fmt(f)
            }
        }

        impl std::os::fd::AsFd for $Socket {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.socket.source.io().as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $Socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.socket.source.io().as_raw_fd()
            }
        }

        /// The descriptor is put back into blocking mode, unless `set_nonblocking(true)` was asked for.
        impl std::os::fd::IntoRawFd for $Socket {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                self.socket.into_fd().into_raw_fd()
            }
        }

        /// The descriptor is put back into blocking mode, unless `set_nonblocking(true)` was asked for.
        impl From<$Socket> for std::os::fd::OwnedFd {
            fn from(socket: $Socket) -> Self {
                socket.socket.into_fd()
            }
        }

        /// The descriptor is put into non-blocking mode.
        impl From<std::os::fd::OwnedFd> for $Socket {
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                let socket = $crate::net::socket::Socket::from_fd(fd);
                Self { socket }
            }
        }

        /// The descriptor is put into non-blocking mode; its timeouts are taken over.
        impl TryFrom<$std> for $Socket {
            type Error = std::io::Error;

            fn try_from(socket: $std) -> std::io::Result<Self> {
                let socket = $crate::net::socket::Socket::from_std(socket)?;
                Ok(Self { socket })
            }
        }

        /// The descriptor is put back into blocking mode, unless `set_nonblocking(true)` was asked for, and is given the
        /// timeouts.
        impl TryFrom<$Socket> for $std {
            type Error = std::io::Error;

            fn try_from(socket: $Socket) -> std::io::Result<Self> {
                socket.socket.into_std()
            }
        }
    };
}

pub(super) use {socket_methods, socket_traits, timeout_methods};
