//! The dump that a signal asks for: a registration with `signal`, whose task looks and writes.
//!
//! ```text
//! kill -USR1 ──► handler: counts, wakes the hub ──► the hub's next turn: a task ──► dump ──► stderr
//! ```
//!
//! Nothing of this runs in the handler. This file decides neither what a dump says nor when a signal is delivered.
#![forbid(unsafe_code)]

use std::io;
use std::thread;

use super::dump;
use crate::greenlet::report;
use crate::signal::{self, Registration, SignalKind};

/// Writes this thread's [`dump`] to stderr each time such a signal comes, as long as the registration lives.
///
/// ```no_run
/// use greenloom::inspect;
/// use greenloom::signal::SignalKind;
///
/// inspect::dump_on(SignalKind::USER1)?.forever();
/// // From a shell: kill -USR1 PID
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Each thread that is to be looked into asks for it itself. A line with the signal and the thread's name goes before the
/// report, both in one write. The report is made by a task, named after the signal, which is in it: so it comes in the hub's
/// next turn, and not at all while some task keeps the thread for itself. That one is found by its stack in a debugger, and
/// afterwards by [`longest_turn`](super::Counters::longest_turn).
///
/// The hub does not count on such a signal to come: main may be told of a deadlock while it waits for nothing else.
///
/// # Blocking
/// Never switches. Later the task blocks the thread for as long as the dump and the write to stderr take.
///
/// # Errors
/// As [`signal::on`].
#[doc(alias = "print_run_info")]
#[doc(alias = "faulthandler")]
pub fn dump_on(kind: SignalKind) -> io::Result<Registration> {
    let write = move || {
        let dump = dump().to_string();
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        report::line(format_args!("{kind}, thread {name}\n{}", dump.trim_end()));
    };
    Ok(signal::on(kind, write)?.daemon())
}
