//! Why a future has no value, and why a job was not accepted.
#![forbid(unsafe_code)]

use core::any::Any;
use core::fmt;
use std::io;

use crate::greenlet::error::Deadlock;
use crate::greenlet::report::message;

/// Why a [`Future`](super::Future) brought no value.
#[non_exhaustive]
pub enum FutureError {
    /// The job panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// It was cancelled before it began: by [`cancel`](super::Future::cancel), by a shutdown, or because its worker's hub ended.
    Cancelled,
    /// It had begun when its worker was killed, with its hub.
    Lost,
    /// The time has passed: only from [`Map::timeout`](super::Map::timeout) and [`AsCompleted`](super::AsCompleted).
    TimedOut,
    /// Main waits, and nobody is left to do the job.
    Deadlock(Deadlock),
    /// The caller is unwinding and does not wait then.
    Unwinding,
    /// No wait is possible here: in a callback of the hub, or in a forked child.
    CannotWait(io::Error),
}

impl FutureError {
    /// Whether the job panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Whether the job was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Whether the time has passed.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut)
    }

    /// The payload of the panic, if it was one: for [`std::panic::resume_unwind`].
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        match self {
            Self::Panicked(payload) => Some(payload),
            _ => None,
        }
    }
}

impl fmt::Debug for FutureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(p) => f
                .debug_tuple("Panicked")
                .field(&message(&**p).unwrap_or("(payload is no string)"))
                .finish(),
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Lost => f.write_str("Lost"),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::Deadlock(d) => f.debug_tuple("Deadlock").field(d).finish(),
            Self::Unwinding => f.write_str("Unwinding"),
            Self::CannotWait(e) => f.debug_tuple("CannotWait").field(e).finish(),
        }
    }
}

impl fmt::Display for FutureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(p) => match message(&**p) {
                Some(text) => write!(f, "the job panicked: {text}"),
                None => f.write_str("the job panicked"),
            },
            Self::Cancelled => f.write_str("the job was cancelled"),
            Self::Lost => f.write_str("the job's worker ended before it"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Deadlock(d) => d.fmt(f),
            Self::Unwinding => f.write_str("wait for a future while unwinding"),
            Self::CannotWait(e) => write!(f, "cannot wait for a future here: {e}"),
        }
    }
}

impl std::error::Error for FutureError {}

/// Why a job was not accepted. Hands the closure back.
#[non_exhaustive]
pub enum SubmitError<F> {
    /// The executor was shut down.
    ShutDown(F),
    /// The executor has no worker, and the system gave it none.
    NoWorker(F, io::Error),
}

impl<F> SubmitError<F> {
    /// The closure, which was not run.
    pub fn into_inner(self) -> F {
        match self {
            Self::ShutDown(f) | Self::NoWorker(f, _) => f,
        }
    }

    /// Whether the executor was shut down.
    pub fn is_shut_down(&self) -> bool {
        matches!(self, Self::ShutDown(_))
    }

    /// The same, without the closure, which is dropped.
    pub(super) fn without(self) -> SubmitError<()> {
        match self {
            Self::ShutDown(_) => SubmitError::ShutDown(()),
            Self::NoWorker(_, e) => SubmitError::NoWorker((), e),
        }
    }
}

impl<F> fmt::Debug for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutDown(_) => f.write_str("ShutDown(..)"),
            Self::NoWorker(_, e) => write!(f, "NoWorker(.., {e:?})"),
        }
    }
}

impl<F> fmt::Display for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutDown(_) => f.write_str("the executor was shut down"),
            Self::NoWorker(_, e) => write!(f, "the executor has no worker: {e}"),
        }
    }
}

impl<F> std::error::Error for SubmitError<F> {}
