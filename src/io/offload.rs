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
use std::time::Duration;

use super::error::outcome;
use crate::blocking::{Failed, offload_io};
use crate::clock::deadline_after;
use crate::greenlet::hot::{Phase, hot};
use crate::park::{End, How, Reason, Report, Ticket, park_until};

/// Runs `f` on the default pool and waits for it. On a thread without a hub there is nobody to spare: `f` runs at once.
///
/// # Errors
/// `TimedOut` if an enclosing `timeout` expired; the system's if there is no thread; where nothing can wait.
pub(crate) fn offloaded<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if matches!(hot().phase.get(), Phase::Fresh | Phase::Ended) {
        return Ok(f());
    }
    match offload_io(f) {
        Ok(value) => Ok(value),
        Err(Failed::Error(e)) => Err(e.into()),
        Err(Failed::Ended(end)) => match outcome(end) {
            Err(e) => Err(e),
            Ok(()) => unreachable!("a wait that was granted failed"),
        },
    }
}

/// Waits for `d`, between two attempts at something that tells nobody when it is worth another one.
///
/// # Errors
/// `TimedOut` if an enclosing `timeout` expired; where nothing can wait.
pub(crate) fn pause(kind: &'static str, d: Duration) -> io::Result<()> {
    let how = How {
        reasons: &[Reason::new(kind, 0)],
        deadline: deadline_after(d),
        report: Report::ALL,
    };
    match park_until(Ticket::new()?, &how, &()) {
        End::TimedOut => Ok(()),
        end => outcome(end),
    }
}
