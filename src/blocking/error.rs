//! Why a job brought no value, and why it was not accepted: the second kind hands the closure back.
//!
//! ```text
//! OffloadError                                 of a job, by whoever waits for it
//! SpawnError ──► SpawnTimeoutError             Closed NoThread Unwinding CannotWait      + Timeout
//! TrySpawnError                                Closed NoThread Full
//! ```
//!
//! This file decides nothing.
#![forbid(unsafe_code)]

use core::any::Any;
use core::fmt;
use std::io;

use crate::greenlet::report;

/// Why a job brought no value.
#[non_exhaustive]
pub enum OffloadError {
    /// The closure panicked, with this payload. The worker goes on.
    Panicked(Box<dyn Any + Send>),
    /// The pool was closed before the job was accepted, or terminated before it began.
    Terminated,
    /// It was cancelled before it began: [`Job::cancel`](super::Job::cancel).
    Cancelled,
    /// The pool has no thread, and the system gave it none.
    NoThread(io::Error),
    /// The caller is unwinding and does not wait then. What had not been accepted before is not done.
    Unwinding,
    /// No wait is possible here: in a callback of the hub, in a forked child.
    CannotWait(io::Error),
}

impl OffloadError {
    /// Whether the closure panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// The payload of the panic, if it was one: for [`std::panic::resume_unwind`].
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        match self {
            Self::Panicked(payload) => Some(payload),
            _ => None,
        }
    }
}

impl fmt::Debug for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(p) => f
                .debug_tuple("Panicked")
                .field(&report::message(&**p).unwrap_or("(payload is no string)"))
                .finish(),
            Self::Terminated => f.write_str("Terminated"),
            Self::Cancelled => f.write_str("Cancelled"),
            Self::NoThread(e) => f.debug_tuple("NoThread").field(e).finish(),
            Self::Unwinding => f.write_str("Unwinding"),
            Self::CannotWait(e) => f.debug_tuple("CannotWait").field(e).finish(),
        }
    }
}

impl fmt::Display for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(p) => {
                f.write_str("the job panicked")?;
                match report::message(&**p) {
                    Some(text) => write!(f, ": {text}"),
                    None => Ok(()),
                }
            }
            Self::Terminated => f.write_str("the pool ended before the job began"),
            Self::Cancelled => f.write_str("the job was cancelled"),
            Self::NoThread(e) => write!(f, "the pool cannot make a thread: {e}"),
            Self::Unwinding => f.write_str("the caller is unwinding and does not wait for a job"),
            Self::CannotWait(e) => write!(f, "cannot wait for a job here: {e}"),
        }
    }
}

impl std::error::Error for OffloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoThread(e) | Self::CannotWait(e) => Some(e),
            _ => None,
        }
    }
}

/// With the system's own error, or that of the place where nothing can wait, passed on as it is.
impl From<OffloadError> for io::Error {
    fn from(e: OffloadError) -> Self {
        match e {
            OffloadError::NoThread(e) | OffloadError::CannotWait(e) => e,
            OffloadError::Unwinding => io::Error::other(crate::hub::Unwinding),
            // A payload is not `Sync`, so that only its text can go into an error.
            e @ OffloadError::Panicked(_) => io::Error::other(e.to_string()),
            e => io::Error::other(Ended(e.to_string())),
        }
    }
}

/// A pool that has ended, inside an `io::Error`.
#[derive(Debug)]
struct Ended(String);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Ended {}

/// What an attempt that hands its closure back needs: `into_inner`, `Debug`, `Display`.
macro_rules! hands_back {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$why:meta])* $variant:ident $(($detail:ident))? => $text:literal),+ $(,)?
    }) => {
        $(#[$doc])*
        #[non_exhaustive]
        pub enum $name<F> {
            $($(#[$why])* $variant(F $(, hands_back!(@type $detail))?),)+
        }

        impl<F> $name<F> {
            /// The closure, which was not run.
            pub fn into_inner(self) -> F {
                match self {
                    $(Self::$variant(f $(, hands_back!(@ignore $detail))?) => f,)+
                }
            }
        }

        impl<F> fmt::Debug for $name<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(_ $(, $detail)?) => {
                        f.write_str(concat!(stringify!($variant), "(.."))?;
                        $(write!(f, ", {:?}", $detail)?;)?
                        f.write_str(")")
                    })+
                }
            }
        }

        impl<F> fmt::Display for $name<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(_ $(, $detail)?) => {
                        f.write_str($text)?;
                        $(write!(f, ": {}", $detail)?;)?
                        Ok(())
                    })+
                }
            }
        }

        impl<F> std::error::Error for $name<F> {}
    };
    (@type $detail:ident) => { io::Error };
    (@ignore $detail:ident) => { _ };
}

hands_back! {
    /// Why a job was not accepted. The closure is in it.
    SpawnError {
        /// The pool was closed or terminated.
        Closed => "the pool is closed",
        /// The pool has no thread, and the system gave it none.
        NoThread(e) => "the pool cannot make a thread",
        /// There was no room at once, and the caller is unwinding and does not wait then.
        Unwinding => "the pool is full, and the caller is unwinding",
        /// There was no room at once, and no wait is possible here: in a callback of the hub; or this is a forked child.
        CannotWait(e) => "the pool cannot be used or waited for here",
    }
}

hands_back! {
    /// Why a job was not accepted in time. The closure is in it.
    SpawnTimeoutError {
        /// There was no room in time, or an enclosing [`timeout`](crate::timeout) expired.
        Timeout => "the pool was full for too long",
        /// The pool was closed or terminated.
        Closed => "the pool is closed",
        /// The pool has no thread, and the system gave it none.
        NoThread(e) => "the pool cannot make a thread",
        /// There was no room at once, and the caller is unwinding and does not wait then.
        Unwinding => "the pool is full, and the caller is unwinding",
        /// There was no room at once, and no wait is possible here: in a callback of the hub; or this is a forked child.
        CannotWait(e) => "the pool cannot be used or waited for here",
    }
}

hands_back! {
    /// Why a job was not accepted at once. The closure is in it.
    TrySpawnError {
        /// All threads are at work, and the queue is full.
        Full => "the pool is full",
        /// The pool was closed or terminated.
        Closed => "the pool is closed",
        /// The pool has no thread, and the system gave it none; or this is a forked child.
        NoThread(e) => "the pool cannot make a thread",
    }
}

impl<F> SpawnTimeoutError<F> {
    /// Whether the time passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }
}

impl<F> TrySpawnError<F> {
    /// Whether there was no room.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the pool was closed or terminated.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl<F> SpawnError<F> {
    /// Whether the pool was closed or terminated.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}
