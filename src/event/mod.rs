//! What tasks wait for that is no lock and no queue: an [`Event`] that is set and cleared, an [`AsyncResult`] that is set
//! once, a [`CancelToken`] that asks politely.
//!
//! ```text
//! event    set, clear      ┐
//! result   a value, once   ├─ latch: one flag, the waiters, the notices     select: the arms of all three
//! cancel   a tree of tokens┘
//! ```
//!
//! All three are for tasks of one hub, for hubs of several threads, and for plain threads. Waiters go on in the order in
//! which they came. A waiter that is killed or late takes nothing from the others.
//!
//! This module may not know what a task is.
#![forbid(unsafe_code)]

mod cancel;
mod latch;
mod links;
mod result;
mod select;

use core::fmt;
use std::time::Duration;

pub use self::cancel::{CancelToken, Cancelled};
pub use self::result::{AlreadySet, AsyncResult, GetError};
pub use crate::park::LinkId;

use self::latch::Latch;
use crate::clock::{Instant, deadline_after};
use crate::park::{End, How, Reason, Report, cannot_wait};

const WAIT: &str = "wait for an event";

/// A flag that tasks wait for: Python's `threading.Event`.
///
/// ```
/// use std::rc::Rc;
/// use greenloom::event::Event;
///
/// let ready = Rc::new(Event::new());
/// let gate = Rc::clone(&ready);
/// let task = greenloom::spawn(move || {
///     gate.wait();
///     "go"
/// });
/// ready.set();
/// assert_eq!(task.join().unwrap(), "go");
/// ```
///
/// # Differences from Python's type
/// - `set(); clear();` with nothing in between wakes all who waited, in order. With Python's threads some may miss it.
/// - It works between threads as well, with a hub or without; and in a `static`.
///
/// It is an arm of a [`Select`](crate::select::Select), and one of the things that [`wait`](crate::select::wait) takes.
pub struct Event {
    latch: Latch,
}

impl Event {
    /// An event that is not set.
    pub const fn new() -> Self {
        Self {
            latch: Latch::new(),
        }
    }

    /// Sets it and wakes all who wait, in the order in which they came. Who waits from now on goes on at once.
    ///
    /// # Blocking
    /// Never switches.
    pub fn set(&self) {
        self.latch.raise(|| ());
    }

    /// Clears it: who waits from now on waits for the next [`set`](Self::set).
    ///
    /// # Blocking
    /// Never switches.
    pub fn clear(&self) {
        self.latch.lower();
    }

    /// Whether it is set.
    #[doc(alias = "isSet")]
    #[doc(alias = "ready")]
    #[inline]
    pub fn is_set(&self) -> bool {
        self.latch.is_up()
    }

    /// Waits until it is set; not at all if it is.
    ///
    /// # Blocking
    /// Switches, unless it is set. Kills and deadlines are delivered here.
    ///
    /// # Panics
    /// Where nothing can wait: in a callback of the hub, in a forked child; on main with the deadlock, if nobody is left
    /// to set it (and the thread has a hub: otherwise the wait is the OS's, which does not tell).
    #[track_caller]
    #[inline]
    pub fn wait(&self) {
        wait(&self.latch, WAIT, None);
    }

    /// Waits until it is set, for at most `d`. False if it was not.
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::event::Event;
    ///
    /// let event = Event::new();
    /// assert!(!event.wait_timeout(Duration::from_millis(1)));
    /// event.set();
    /// assert!(event.wait_timeout(Duration::ZERO));
    /// ```
    ///
    /// # Blocking
    /// Switches, unless it is set. An enclosing [`timeout`](crate::timeout) that expires first ends it like its own time.
    /// While the caller unwinds, it does not wait.
    ///
    /// # Panics
    /// In a callback of the hub, in a forked child.
    #[track_caller]
    pub fn wait_timeout(&self, d: Duration) -> bool {
        wait(&self.latch, WAIT, Some(deadline_after(d)))
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .finish()
    }
}

/// A wait that has no error to return. Without a limit (`None`; `Some(None)` is one out of a clock's reach) it ends when
/// the latch is up; with one, false if it is not by then.
#[track_caller]
#[inline]
fn wait(latch: &Latch, kind: &'static str, limit: Option<Option<Instant>>) -> bool {
    let how = How {
        reasons: &[Reason::at(kind, latch)],
        deadline: limit.flatten(),
        report: match limit {
            Some(Some(_)) => Report::ALL,
            // Without an end of its own it may wait in vain, which `false` would not tell.
            _ => Report::NOTHING,
        },
    };
    match latch.wait(&how) {
        Ok(end) => matches!(end, End::Granted),
        Err(e) => cannot_wait(&e),
    }
}
