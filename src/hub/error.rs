//! Why a hub cannot be used: errors that come as `io::Error`s, with a type inside that tells them apart.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;

/// This process is a forked child, and has not asked for a hub of its own yet ([`reinit`](super::reinit)).
///
/// Found inside an [`io::Error`] by [`io::Error::get_ref`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forked;

impl fmt::Display for Forked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the hub belongs to the parent of this forked process: call hub::reinit first")
    }
}

impl std::error::Error for Forked {}

/// The thread's runtime has ended: its destructors are running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadEnded;

impl fmt::Display for ThreadEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread's runtime has ended")
    }
}

impl std::error::Error for ThreadEnded {}

/// A limit set by [`Builder`](super::Builder) is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitReached {
    /// So many tasks live already.
    Tasks(usize),
    /// Another stack would exceed so many bytes.
    StackBytes(usize),
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tasks(n) => write!(f, "the hub's limit of {n} tasks is reached"),
            Self::StackBytes(n) => write!(f, "the hub's limit of {n} bytes of stacks is reached"),
        }
    }
}

impl std::error::Error for LimitReached {}

pub(crate) fn forked() -> io::Error {
    io::Error::other(Forked)
}

pub(crate) fn ended() -> io::Error {
    io::Error::other(ThreadEnded)
}

/// A wait was asked for where none can be: in a callback of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InCallback;

impl fmt::Display for InCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a callback of the hub cannot wait")
    }
}

impl std::error::Error for InCallback {}

/// A wait was broken off because its task is unwinding (invariant 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unwinding;

impl fmt::Display for Unwinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task is unwinding and cannot wait")
    }
}

impl std::error::Error for Unwinding {}
