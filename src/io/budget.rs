//! How much io a task may do without ever waiting (invariant 11).
//!
//! ```text
//!   Run { turn, who, calls, all }      of this thread's present turn
//!     same turn, same task   calls + 1          at the hub's io_budget: it yields before the next call
//!     same turn, other task  calls = 1
//!     all calls of the turn                     at SHARE budgets: whoever calls next yields
//!     another turn           all over again
//! ```
//!
//! Counted by task, so that a turn with many tasks that do a little each goes on undisturbed. The second limit is for
//! greenlets that hand control to one another by `switch`, all within one turn of the hub.
//!
//! Only this file yields for fairness in io. It never does so after a call that succeeded, whose result a kill would lose.
#![forbid(unsafe_code)]

use core::cell::Cell;
use std::io;
use std::thread;
use std::time::Duration;

use super::error::outcome;
use crate::greenlet::control::attention;
use crate::greenlet::hot::{Hot, Phase};
use crate::greenlet::{engine, interrupt};
use crate::hub::sched;
use crate::park::{self, How, Reason, Report, Ticket, park_until};

/// How many tasks' worth of calls fit in a turn.
const SHARE: u32 = 256;

#[derive(Clone, Copy)]
struct Run {
    turn: u64,
    /// The address of its control block; only compared.
    who: usize,
    calls: u32,
    all: u32,
}

thread_local! {
    static RUN: Cell<Run> = const {
        Cell::new(Run { turn: 0, who: 0, calls: 0, all: 0 })
    };
}

/// The turn, the running task and the limit, where there are such.
#[inline]
fn present(hot: &'static Hot) -> Option<(u64, usize, u32)> {
    let hub = sched::get(hot)?;
    let me = hot.current.get()?;
    Some((hub.turns.get(), me.address(), hub.io_budget.get()))
}

/// A call succeeded without waiting, or after it.
#[inline]
pub(super) fn spend(hot: &'static Hot) {
    let Some((turn, who, _)) = present(hot) else {
        return;
    };
    let mut run = RUN.get();
    if run.turn != turn {
        run = Run {
            turn,
            who,
            calls: 0,
            all: 0,
        };
    } else if run.who != who {
        run.who = who;
        run.calls = 0;
    }
    run.calls += 1;
    run.all = run.all.saturating_add(1);
    RUN.set(run);
}

/// Whether the running task is to yield before its next call.
#[inline]
pub(super) fn is_spent(hot: &'static Hot) -> bool {
    let Some((turn, who, limit)) = present(hot) else {
        return false;
    };
    let run = RUN.get();
    run.turn == turn
        && (run.who == who && run.calls >= limit || run.all >= limit.saturating_mul(SHARE))
}

/// Yields. Kills are delivered, and enclosing timeouts as the error that io reports them by.
///
/// Does nothing where nothing may wait: in an unwinding, in a callback of the hub, in a forked child.
#[cold]
pub(super) fn breathe(hot: &'static Hot) -> io::Result<()> {
    let Some(me) = hot.current.get() else {
        return Ok(());
    };
    if thread::panicking() || me == hot.hub() || hot.phase.get() != Phase::Active {
        return Ok(());
    }
    RUN.set(Run {
        calls: 0,
        all: 0,
        ..RUN.get()
    });
    if me.attention.get() & (attention::KILL | attention::DEADLINE) == 0 {
        park::yield_now();
        return Ok(());
    }
    engine::yield_turn(hot, me);
    if interrupt::due(&me).is_none() {
        return Ok(());
    }
    // A wait in name only: what is due ends it at once. Should it be held back after all, it is a short one.
    let ticket = Ticket::new()?;
    let how = How {
        reasons: &[Reason::new("its next turn", 0)],
        deadline: crate::clock::deadline_after(Duration::from_millis(1)),
        report: Report::ALL,
    };
    match park_until(ticket, &how, &()) {
        park::End::TimedOut | park::End::Unwinding => Ok(()),
        end => outcome(end),
    }
}
