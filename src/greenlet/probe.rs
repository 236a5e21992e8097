//! Looking at the stack of a greenlet that waits: it is visited, walks its own frames, and waits on as before.
//!
//! ```text
//! prober ── PROBE, its state put aside ──► the waiter, inside its wait: walks its stack
//!        ◄── state back, straight away ──   and has never been away, for all others
//! ```
//!
//! Only the waiter itself can walk its frames, as the machine's registers are needed for it. Nothing else runs in between: no hub's turn,
//! no other greenlet, no user code. Where the wait began is not disturbed: wakes, timers and grants cannot come meanwhile
//! on this thread, and what other threads grant is seen when the wait looks next.
//!
//! What is walked is addresses only; names are found for them elsewhere, on a stack with room for that.
#![forbid(unsafe_code)]

use super::control::{ControlRef, INBOX_KILLING, State, attention};
use super::engine;
use super::hot::Hot;

/// Frames of a stack that are kept at most.
pub(crate) const MAX_FRAMES: usize = 128;

/// What walking a stack needs of it.
const ROOM: usize = 12 * 1024;

/// A look at a stack, under way.
pub(super) struct Probe {
    by: ControlRef,
    state: State,
    waiting: u64,
    frames: Vec<usize>,
}

/// Why a stack could not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// It does not wait where it could answer: it runs, is queued, or never ran.
    NotWaiting,
    /// There is not enough left of it to walk it.
    Full,
}

/// The return addresses on the stack of `c`, the innermost first. `me` runs.
///
/// # Errors
/// See [`Unseen`].
pub(crate) fn look(hot: &'static Hot, me: ControlRef, c: ControlRef) -> Result<Vec<usize>, Unseen> {
    let waits = match c.state.get() {
        State::Parked => true,
        State::Live => c.waiting.get() > INBOX_KILLING,
        _ => false,
    };
    if !waits || c == me || me == hot.hub() {
        return Err(Unseen::NotWaiting);
    }
    hot.probe.set(Some(Probe {
        by: me,
        state: c.state.get(),
        waiting: c.waiting.get(),
        // Here, so that the waiter's stack need not hold an allocator's frames.
        frames: Vec::with_capacity(MAX_FRAMES),
    }));
    c.attend(attention::PROBE);
    c.state.set(State::Live);
    c.waiting.set(0);
    hot.current.set(Some(c));
    engine::transfer_counted(hot, me, c);
    match hot.probe.take() {
        Some(probe) if !probe.frames.is_empty() => Ok(probe.frames),
        _ => Err(Unseen::Full),
    }
}

/// The waiter's part, for every wait to call when control comes back to it: before it looks at anything else. The wait
/// is as it was before, and this returns when it ends.
#[inline]
pub(crate) fn answer_all(hot: &'static Hot, me: ControlRef) {
    while me.attention.get() & attention::PROBE != 0 {
        answer(hot, me);
    }
}

#[cold]
#[inline(never)]
fn answer(hot: &'static Hot, me: ControlRef) {
    me.ignore(attention::PROBE);
    let Some(mut probe) = hot.probe.take() else {
        return;
    };
    if room(me) > ROOM {
        walk(me, &mut probe.frames);
    }
    let by = probe.by;
    me.state.set(probe.state);
    me.waiting.set(probe.waiting);
    hot.probe.set(Some(probe));
    hot.current.set(Some(by));
    engine::transfer_counted(hot, me, by);
}

/// How much of its stack is left below the caller.
fn room(me: ControlRef) -> usize {
    let here = &raw const me as usize;
    match me.slot() {
        Some(slot) if (slot.lowest()..slot.top()).contains(&here) => here - slot.lowest(),
        // The thread's own stack has megabytes, one that was lent is large.
        _ => usize::MAX,
    }
}

#[inline(never)]
fn walk(me: ControlRef, frames: &mut Vec<usize>) {
    let own = match me.slot() {
        Some(slot) => slot.lowest()..slot.top(),
        None => 0..usize::MAX,
    };
    let mut there = false;
    backtrace::trace(|frame| {
        // It may begin on a larger stack that was lent to it. After its own it would go on to that of whoever resumed
        // it, which is no part of it.
        let inside = own.contains(&(frame.sp() as usize));
        let ip = frame.ip() as usize;
        if ip == 0 || (there && !inside) {
            return false;
        }
        there |= inside;
        frames.push(ip);
        frames.len() < MAX_FRAMES
    });
}
