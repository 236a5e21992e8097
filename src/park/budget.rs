//! How much a task may do without ever waiting (invariant 11): io, queues and channels all spend one budget.
//!
//! ```text
//!   Run { turn, who, left, before }      of this thread's present turn
//!     same turn, same task   left - 1            at zero: it yields before the next call
//!     same turn, other task  left = the limit
//!     before, calls of tasks that had the thread in this turn before `who`:
//!                            at SHARE limits whoever calls next yields
//!     another turn           all over again
//! ```
//!
//! Counted by task, so that a turn with many tasks that do a little each goes on undisturbed. The second limit is for
//! greenlets that hand control to one another by `switch`, all within one turn of the hub.
//!
//! The budget is looked at before a call, never after one that succeeded: a kill that comes with the yield would lose its
//! result. On a thread without a hub there is nothing to be fair to.
#![forbid(unsafe_code)]

use core::cell::Cell;
use std::io;
use std::thread;
use std::time::Duration;

use super::{End, How, Reason, Report, Ticket, park_until, yield_now};
use crate::greenlet::control::{ControlRef, attention};
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::greenlet::{engine, interrupt};
use crate::hub::sched::{self, Hub};

/// How many tasks' worth of calls fit in a turn.
const SHARE: u32 = 256;

struct Run {
    turn: Cell<u64>,
    /// The address of its control block; only compared.
    who: Cell<usize>,
    left: Cell<u32>,
    before: Cell<u32>,
}

thread_local! {
    static RUN: Run = const {
        Run {
            turn: Cell::new(0),
            who: Cell::new(0),
            left: Cell::new(0),
            before: Cell::new(0),
        }
    };
}

impl Run {
    /// Counts a call of `me`. False if there was nothing left to count it against.
    #[inline]
    fn count(&self, hub: &Hub, me: ControlRef) -> bool {
        if self.who.get() != me.address() || self.turn.get() != hub.turns.get() {
            self.begin(hub, me);
        }
        let left = self.left.get();
        if left == 0 {
            return false;
        }
        self.left.set(left - 1);
        true
    }

    /// Another task, or another turn.
    fn begin(&self, hub: &Hub, me: ControlRef) {
        let limit = hub.io_budget.get();
        if self.turn.replace(hub.turns.get()) == hub.turns.get() {
            let calls = limit.saturating_sub(self.left.get());
            self.before.set(self.before.get().saturating_add(calls));
        } else {
            self.before.set(0);
        }
        self.who.set(me.address());
        let exhausted = self.before.get() >= limit.saturating_mul(SHARE);
        self.left.set(if exhausted { 0 } else { limit });
    }
}

/// The hub and the running task, where there are such.
#[inline]
fn present(hot: &'static Hot) -> Option<(&'static Hub, ControlRef)> {
    Some((sched::get(hot)?, hot.current.get()?))
}

/// A call is about to be made: counts it, whether it succeeds at once or not. True if the task is to
/// [`breathe`] before.
#[inline]
pub(crate) fn charge() -> bool {
    match present(hot()) {
        Some((hub, me)) => !RUN.with(|run| run.count(hub, me)),
        None => false,
    }
}

/// As [`spend`], on the calling thread.
pub(crate) fn spend_here() {
    spend(hot());
}

/// A call has succeeded, at once or after a wait.
#[inline]
pub(crate) fn spend(hot: &'static Hot) {
    if let Some((hub, me)) = present(hot) {
        RUN.with(|run| run.count(hub, me));
    }
}

/// Whether the running task is to [`breathe`] before its next call.
#[inline]
pub(crate) fn is_spent(hot: &'static Hot) -> bool {
    let Some((hub, me)) = present(hot) else {
        return false;
    };
    RUN.with(|run| {
        if run.who.get() != me.address() || run.turn.get() != hub.turns.get() {
            run.begin(hub, me);
        }
        run.left.get() == 0
    })
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
    RUN.with(|run| {
        run.who.set(0);
        run.before.set(0);
        run.left.set(u32::MAX);
    });
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
