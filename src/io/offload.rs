//! Calls that block and have no readiness to wait for (files, lookups): on the pool of blocking threads, with errors of io.
//!
//! ```text
//! fs, net ──► offloaded(f) ──► blocking: parks ──► what f returned
//!                                  └─ expiry, unwinding, no thread, pool closed ──► io::Error
//! ```
//!
//! The closure owns what it works on (invariant 13). This file decides nothing.
#![forbid(unsafe_code)]

use std::io;

use super::error::outcome;
use crate::blocking::{Failed, offload_io};

/// Runs `f` on the default pool and waits for it.
///
/// # Errors
/// `TimedOut` if an enclosing `timeout` expired; the system's if there is no thread; where nothing can wait.
pub(crate) fn offloaded<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    match offload_io(f) {
        Ok(value) => Ok(value),
        Err(Failed::Error(e)) => Err(e.into()),
        Err(Failed::Ended(end)) => match outcome(end) {
            Err(e) => Err(e),
            Ok(()) => unreachable!("a wait that was granted failed"),
        },
    }
}
