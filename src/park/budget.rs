//! How much a task may do without ever waiting (invariant 11): io, queues and channels all spend one budget.
//!
//! ```text
//!   Run { pick, left }     since the hub picked somebody to run for the last time
//!     the same pick        left - 1          at zero: whoever calls yields before that
//!     another pick         left = the limit
//! ```
//!
//! So each task has the whole of it whenever it gets the thread, and a turn with many tasks that do a little each goes on undisturbed.
//! Greenlets that hand control to one another by `switch` share what the one had that was picked, as may a task with the one
//! that it ended for: nothing has to be done on a switch.
//!
//! The budget is looked at before a call, never after one that succeeded: a kill that comes with the yield would lose its
//! result. On a thread without a hub there is nothing to be fair to.
#![forbid(unsafe_code)]

use core::cell::Cell;
use std::io;
use std::thread;
use std::time::Duration;

use super::{End, How, Reason, Report, Ticket, park_until, yield_now};
use crate::greenlet::control::attention;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::greenlet::{engine, interrupt};
use crate::hub::sched;

struct Run {
    /// [`RunQueue::picks`](crate::greenlet::run_queue::RunQueue::picks) at the first call since.
    pick: Cell<u32>,
    left: Cell<u32>,
}

thread_local! {
    static RUN: Run = const {
        Run {
            pick: Cell::new(u32::MAX),
            left: Cell::new(0),
        }
    };
}

impl Run {
    /// What is left in the present pick.
    #[inline]
    fn left(&self, hot: &'static Hot) -> u32 {
        let pick = hot.queue.picks();
        if self.pick.get() == pick {
            return self.left.get();
        }
        let Some(hub) = sched::get(hot) else {
            // Not to be remembered: the thread may have one in a moment.
            return u32::MAX;
        };
        let left = hub.io_budget.get();
        self.pick.set(pick);
        self.left.set(left);
        left
    }

    /// Counts a call. False if there was nothing left to count it against.
    #[inline]
    fn count(&self, hot: &'static Hot) -> bool {
        let left = self.left(hot);
        if left == 0 {
            return false;
        }
        self.left.set(left - 1);
        true
    }

    /// The next call has all of it again.
    fn renew(&self, hot: &'static Hot) {
        self.pick.set(hot.queue.picks().wrapping_sub(1));
    }
}

/// A call is about to be made: counts it, whether it succeeds at once or not. True if the task is to
/// [`breathe`] before.
#[inline]
pub(crate) fn charge() -> bool {
    !RUN.with(|run| run.count(hot()))
}

/// As [`spend`], on the calling thread.
pub(crate) fn spend_here() {
    spend(hot());
}

/// A call has succeeded, at once or after a wait.
#[inline]
pub(crate) fn spend(hot: &'static Hot) {
    RUN.with(|run| run.count(hot));
}

/// Whether the running task is to [`breathe`] before its next call.
#[inline]
pub(crate) fn is_spent(hot: &'static Hot) -> bool {
    RUN.with(|run| run.left(hot) == 0)
}

/// Yields. Kills are delivered, and enclosing timeouts: as an `End` if `report` has a word for them.
///
/// Does nothing where nothing may wait: in an unwinding, in a callback of the hub, in a forked child.
///
/// # Errors
/// No wait is possible here.
#[cold]
#[inline(never)]
pub(crate) fn breathe(report: Report) -> io::Result<Option<End>> {
    let hot = hot();
    let Some(me) = hot.current.get() else {
        return Ok(None);
    };
    if thread::panicking() || me == hot.hub() || hot.phase.get() != Phase::Active {
        return Ok(None);
    }
    RUN.with(|run| run.renew(hot));
    if me.attention.get() & (attention::KILL | attention::DEADLINE) == 0 {
        yield_now();
        return Ok(None);
    }
    engine::yield_turn(hot, me);
    if interrupt::due(&me).is_none() {
        return Ok(None);
    }
    // A wait in name only: what is due ends it at once. Should it be held back after all, it is a short one.
    let ticket = Ticket::new()?;
    let how = How {
        reasons: &[Reason::new("its next turn", 0)],
        deadline: crate::clock::deadline_after(Duration::from_millis(1)),
        report,
    };
    match park_until(ticket, &how, &()) {
        End::TimedOut | End::Unwinding => Ok(None),
        end => Ok(Some(end)),
    }
}
