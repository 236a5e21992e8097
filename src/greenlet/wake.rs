//! Wakes: how a greenlet that waits becomes runnable (invariant 4: they only enqueue).
//!
//! | called               | for                                    | if not                     |
//! | -------------------- | -------------------------------------- | -------------------------- |
//! | `unpark`             | the park (or delayed start) of an epoch | does nothing: a stale wake |
//! | `hand_over`          | the park of an epoch, by who ends      | does nothing: a stale wake |
//! | `wake_for_interrupt` | any wait, to look at what is due        | does nothing               |
//! | `make_runnable`      | who is known to wait                    | forbidden                  |
//!
//! Nothing here switches or runs code of others.
#![forbid(unsafe_code)]

use super::control::{ControlRef, INBOX_KILLING, State, attention, flag};
use super::family;
use super::hot::Hot;

/// Asks for the end of a greenlet that nobody waits for: it ends when the hub lets it run.
pub(super) fn kill_later(hot: &'static Hot, c: ControlRef) {
    c.attend(attention::KILL);
    wake_for_interrupt(hot, c);
}

/// Makes `c` run so that it looks at what is due to it: at its park, or in its pending switch.
pub(crate) fn wake_for_interrupt(hot: &'static Hot, c: ControlRef) {
    match c.state.get() {
        State::Parked => make_runnable(hot, c),
        State::Live if c.waiting.get() > INBOX_KILLING && hot.current.get() != Some(c) => {
            c.waiting.set(0);
            c.attend(attention::WOKEN);
            make_runnable(hot, c);
        }
        _ => {}
    }
}

/// Appends a greenlet that is not runnable yet to the run queue.
#[inline(always)]
pub(crate) fn make_runnable(hot: &'static Hot, c: ControlRef) {
    debug_assert!(c.state.get() != State::Runnable && c.state.get() != State::Dead);
    c.state.set(State::Runnable);
    hot.queue.push(c);
}

/// The wake of a park: only if `c` is still in the park that `epoch` names (invariant 3).
#[inline]
pub(crate) fn unpark(hot: &'static Hot, c: ControlRef, epoch: u64) -> bool {
    if c.park_epoch.get() != epoch {
        return false;
    }
    match c.state.get() {
        State::Parked | State::New => {
            c.park_epoch.set(0);
            make_runnable(hot, c);
            true
        }
        _ => false,
    }
}

/// As [`unpark`], by a task that ends and then gives control to the hub. If the hub would run `c` next anyway, as nobody
/// else is runnable and its turn lasts, `c` is named the next at once.
///
/// That is no switch (invariant 4): it says who is next, as the hub does.
#[inline]
pub(crate) fn hand_over(hot: &'static Hot, c: ControlRef, epoch: u64) {
    if c.park_epoch.get() == epoch && c.state.get() == State::Parked && hot.queue.spend_if_empty() {
        c.park_epoch.set(0);
        c.state.set(State::Live);
        hot.current.set(Some(c));
    } else {
        unpark(hot, c, epoch);
    }
}

/// A task ends: it is dead from here on, and who waits in `kill` for that goes on through the hub.
#[inline]
pub(crate) fn retire(hot: &'static Hot, c: ControlRef) {
    c.end();
    if c.has(flag::COLD) {
        family::release_killers(hot, c.killer.take());
    }
}
