//! Cooperative input and output: `std::io`, waiting for descriptors, and the errors that io of this crate adds.
//!
//! ```text
//! net …     sockets     ─┬─ each call is one `Source::run`       stdin, stdout   of the process: their mode is left alone
//! pipe      pipes       ─┘                                       poll            many descriptors
//!    │                                                           copy            both ways between two connections
//! source    the would-block loop ── parks, or polls on a plain thread
//! place     where it is registered, who waits       error    Closed, ConcurrentUse, TimeoutElapsed
//! ready     wait_readable, wait_writable            os       system calls, the only unsafe code
//! bell      wakes a plain thread when its handle is closed
//! select    readable, writable: arms of a select      offload  what has no readiness: a thread of the pool
//! ```
//!
//! Traits and plain types are std's own, so a program ports by its `use` line. Files are in [`fs`](mod@crate::fs).
//!
//! This module may not know what kind of descriptor it waits for.

mod bell;
mod copy;
mod error;
pub(crate) mod offload;
mod os;
mod pipe;
mod place;
mod poll;
mod ready;
mod select;
pub(crate) mod source;
mod stdin;
mod stdout;

pub use std::io::{
    BufRead, BufReader, BufWriter, Bytes, Chain, Cursor, Empty, Error, ErrorKind, IntoInnerError,
    IoSlice, IoSliceMut, IsTerminal, LineWriter, Lines, Read, Repeat, Result, Seek, SeekFrom, Sink,
    Split, Take, Write, WriterPanicked, copy, empty, prelude, read_to_string, repeat, sink,
};

pub use self::copy::{ShutdownWrite, copy_bidirectional};
pub(crate) use self::error::outcome;
pub use self::error::{Closed, ConcurrentUse, Direction, TimeoutElapsed};
pub use self::pipe::{PipeReader, PipeWriter, pipe};
pub use self::poll::{PollFd, poll};
pub use self::ready::{wait_readable, wait_writable};
pub use self::select::{Readiness, readable, writable};
pub use self::stdin::{Stdin, StdinLock, stdin};
pub use self::stdout::{Stderr, StderrLock, Stdout, StdoutLock, stderr, stdout};
