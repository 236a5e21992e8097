//! Signals: a task for each that comes ([`on`]), or one that waits for them ([`ctrl_c`], [`stream`]).
//!
//! ```text
//! kind      SignalKind
//! stream    Signal: recv, an arm of a select        ┐
//! station   the registrations of one hub            ├─ forbid(unsafe_code)
//!           answers the hub's bell                  ┘
//! handler   the one signal handler, and what was there before it
//! ```
//!
//! ```
//! use greenloom::event::Event;
//! use greenloom::signal::{self, SignalKind};
//! use std::rc::Rc;
//!
//! let stop = Rc::new(Event::new());
//! let stopping = Rc::clone(&stop);
//! let registration = signal::on(SignalKind::TERMINATE, move || stopping.set())?;
//! # // As from another process.
//! # let kill = format!("kill -TERM {}", std::process::id());
//! # std::process::Command::new("sh").args(["-c", &kill]).status()?;
//! stop.wait(); // the server runs meanwhile
//! drop(registration);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What is promised
//!
//! - Nothing of the program's runs in a signal handler: that notes what has come and wakes the hubs that asked for it.
//! - Every registration of a signal gets it, on each hub that has one. A signal that came at least once is delivered
//!   at least once after that; how often, no one can promise: the system merges signals that are pending.
//! - A handler that was installed before by other means is called as well, first of all. The default action of a signal, and
//!   its being ignored, do not take place while there is a registration; with the last registration they come back:
//!   also for a signal that was sent before, and that no thread has taken yet.
//!   A handler that is installed over this one has to call what it found.
//! - Calls of other threads that a signal interrupts go on by themselves, where the system can do that (`SA_RESTART`).
//! - The registrations of a thread end with its hub, those of a process are not a forked child's: it has the dispositions
//!   that were there before the first. A program started by `exec` has the default ones.
//! - While there is a registration, its hub does not take waiting for a deadlock: the signal may still come. Only cycles of
//!   tasks that wait for each other are reported then. [`Registration::daemon`] takes one out of the count.
//!
//! Signals that a thread sends to itself and that all threads block are never seen.

mod handler;
mod kind;
mod station;
mod stream;

use core::panic::Location;
use std::io;
use std::rc::Rc;

pub use self::kind::{Refused, SignalKind};
pub use self::station::Registration;
pub use self::stream::{Signal, stream};

use self::station::Deliver;

/// Runs `f` for each signal of that kind that comes, as a fresh task of this thread's hub, which is made if there is none.
///
/// Several registrations of one signal run in the order in which they were made. Several signals that came before the hub
/// had its next turn are as many tasks, as far as the system told them apart. So `f` may be running when it is called
/// again, if it waits. A panic in it is reported like that of any task that nobody joins.
///
/// If a task cannot be made, since a limit of the hub is reached, it is made when another has ended.
///
/// # Blocking
/// Never switches.
///
/// # Errors
/// `InvalidInput`, with [`Refused`] inside, for `SIGKILL` and `SIGSTOP`, which nobody can handle, for `SIGSEGV`, `SIGBUS`,
/// `SIGFPE` and `SIGILL`, which are faults of the code that runs, and for numbers that are no signal; no descriptor could
/// be had; [`Forked`](crate::hub::Forked).
#[doc(alias = "signal_handler")]
#[track_caller]
pub fn on(kind: SignalKind, f: impl Fn() + 'static) -> io::Result<Registration> {
    station::register(kind, Deliver::Task(Rc::new(f), Location::caller()))
}

/// Waits for ctrl-C: for the next `SIGINT`.
///
/// Only while it waits: before and after, ctrl-C ends the program, unless there is another registration. In a loop,
/// [`stream`] misses none.
///
/// # Blocking
/// Switches. Kills are delivered here.
///
/// # Errors
/// As [`on`] and [`Signal::recv`].
#[doc(alias = "KeyboardInterrupt")]
pub fn ctrl_c() -> io::Result<()> {
    stream(SignalKind::INTERRUPT)?.recv()
}
