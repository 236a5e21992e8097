//! `WaitGroup`: Go's. A count, and those that wait for it to be zero.
//!
//! ```text
//! count  0 ── add ──► n ── done … done ──► 0: all that wait are given way, in order
//! ```
#![forbid(unsafe_code)]

use core::fmt;
use std::time::Duration;

use super::TIMED;
use crate::clock::{Instant, deadline_after};
use crate::park::{Blocked, How, Lock, Place, Reason, Report, Ticket, Turn, WaitQueue, block};

/// Waits for a number of things to be done.
///
/// ```
/// use greenloom::spawn;
/// use greenloom::sync::{Arc, Mutex, WaitGroup};
///
/// let group = Arc::new(WaitGroup::new());
/// let done = Arc::new(Mutex::new(0));
/// for _ in 0..10 {
///     group.add(1);
///     let (group, done) = (Arc::clone(&group), Arc::clone(&done));
///     spawn(move || {
///         *done.lock().unwrap() += 1;
///         group.done();
///     });
/// }
/// group.wait();
/// assert_eq!(*done.lock().unwrap(), 10);
/// ```
///
/// It can be used again when the count is zero. [`add`](Self::add) before what is counted begins: a `wait` that comes first
/// finds nothing to wait for.
///
/// # Differences from Go's `sync.WaitGroup`
///
/// [`add`](Self::add) takes no negative numbers, and there is [`wait_timeout`](Self::wait_timeout). Reusing it while
/// earlier waiters have not gone on yet is fine: they saw zero.
pub struct WaitGroup {
    state: Lock<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    count: usize,
    queue: WaitQueue,
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitGroup {
    /// With a count of zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: Lock::new(State {
                count: 0,
                queue: WaitQueue::new(),
            }),
        }
    }

    /// Counts `n` more.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// If the count would be more than `usize::MAX`; it is as before then.
    #[track_caller]
    pub fn add(&self, n: usize) {
        let fits = self.state.with(|state| match state.count.checked_add(n) {
            Some(count) => {
                state.count = count;
                true
            }
            None => false,
        });
        assert!(fits, "a WaitGroup cannot count {n} more");
    }

    /// Counts one less. At zero, all that wait go on.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// If the count is zero already; it stays zero then.
    #[track_caller]
    pub fn done(&self) {
        let waiting = self.state.with(|state| {
            let rest = state.count.checked_sub(1)?;
            state.count = rest;
            Some(if rest == 0 {
                state.queue.give_all()
            } else {
                Vec::new()
            })
        });
        let Some(waiting) = waiting else {
            panic!("WaitGroup::done was called more often than there was to do")
        };
        for ((), who) in waiting {
            who.unpark();
        }
    }

    /// The count.
    pub fn count(&self) -> usize {
        self.state.with(|state| state.count)
    }

    /// Waits until the count is zero.
    ///
    /// # Blocking
    /// Switches, unless it is. Kills and the deadlines of enclosing `timeout` calls are delivered then; who is unwinding waits all
    /// the same.
    ///
    /// # Panics
    /// If it would have to wait where nothing can: in a callback of the hub, in a forked child. On main, with the deadlock, if
    /// nobody is left to count down.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(|| None, Report::NOTHING);
    }

    /// Waits until the count is zero, for at most `d`. False if the time passed first.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait). An enclosing `timeout` that expires first ends it like its own time; who is unwinding does not
    /// wait.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout(&self, d: Duration) -> bool {
        self.wait_until(|| deadline_after(d), TIMED)
    }

    #[track_caller]
    fn wait_until(&self, deadline: impl FnOnce() -> Option<Instant>, report: Report) -> bool {
        if self.count() == 0 {
            return true;
        }
        let how = How {
            reasons: &[Reason::at("wait for a wait group", self)],
            deadline: deadline(),
            report,
        };
        let blocked = block(self, Ticket::must(), &how, |state| {
            if state.count == 0 {
                Ok(())
            } else {
                Err(((), Turn::Last))
            }
        });
        !matches!(blocked, Blocked::Ended(..))
    }
}

impl Place for WaitGroup {
    type State = State;
    type Payload = ();

    fn lock(&self) -> &Lock<State> {
        &self.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue {
        &mut state.queue
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
