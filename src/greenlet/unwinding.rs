//! Who is unwinding (invariant 7).
//!
//! `std::thread::panicking` is the thread's: while one greenlet is suspended in the middle of its unwinding, it says so
//! for all. So each that is suspended while the thread panics is counted, and what is known of it is kept:
//!
//! | suspended while                              | then it                | `UNWINDS` | `UNSURE` | at its resumption     |
//! | -------------------------------------------- | ---------------------- | --------- | -------- | --------------------- |
//! | the thread does not panic                    | does not unwind        | no        | no       | may be interrupted    |
//! | the thread panics, and no other is counted   | unwinds                | yes       | no       | may not               |
//! | the thread panics, others are counted: park  | may have begun to      | no        | yes      | may not, see below    |
//! | the same, in a switch or a `yield_`          | hardly unwinds         | no        | no       | may be interrupted    |
//!
//! A payload raised in a destructor that runs in an unwinding aborts the process, and destructors may park: hence the row
//! before the last. They may not switch, which is the last one's reason. When the thread is seen not to panic, nobody
//! unwinds: [`recover`] then wipes the slate, and wakes those whose interruption had to wait. Who is killed by one that
//! waits for its end is not spared: the killer may be the one that unwinds, and then nothing else would ever end the wait.
//!
//! This file may not switch.
#![forbid(unsafe_code)]

use std::thread::panicking;

use super::control::{ControlRef, attention, flag};
use super::engine;
use super::hot::Hot;
use super::interrupt;
use super::wake;

/// Runs `f`, in which `me` is suspended while the thread panics.
#[cold]
pub(super) fn counted(hot: &'static Hot, me: ControlRef, f: impl FnOnce()) {
    // Notes what is known of `me` now: once it is counted itself, less is.
    if !unwinds(hot, me) && me.waiting.get() == 0 {
        me.set_flag(flag::UNSURE);
    } else {
        me.clear_flag(flag::UNSURE);
    }
    let slate = hot.slate.get();
    hot.unwinding.set(hot.unwinding.get() + 1);
    f();
    // Otherwise it was wiped away meanwhile.
    if hot.slate.get() == slate {
        hot.unwinding.set(hot.unwinding.get() - 1);
    }
}

/// Notes that `me`, about to be suspended while the thread does not panic, does not unwind.
#[inline]
pub(super) fn calm(me: ControlRef) {
    me.ignore(attention::UNWINDS);
    me.clear_flag(flag::UNSURE);
}

/// Whether `me`, which runs, unwinds, as far as can be told.
pub(super) fn unwinds(hot: &Hot, me: ControlRef) -> bool {
    if !panicking() {
        me.ignore(attention::UNWINDS);
        return false;
    }
    if hot.unwinding.get() == 0 {
        me.attend(attention::UNWINDS);
    }
    me.attention.get() & attention::UNWINDS != 0
}

/// Whether the running greenlet itself unwinds, as far as can be told.
#[inline]
pub(crate) fn unwinding(hot: &Hot) -> bool {
    match hot.current.get() {
        Some(me) => unwinds(hot, me),
        None => panicking(),
    }
}

/// Whether something may be raised in `me`, which was just resumed or is about to wait.
#[inline]
pub(crate) fn may_raise(hot: &Hot, me: ControlRef, just_resumed: bool) -> bool {
    if cfg!(panic = "abort") {
        return false;
    }
    // What was known when `me` was suspended counts only until it runs on.
    !panicking()
        || (just_resumed
            && !unwinds(hot, me)
            && (!me.has(flag::UNSURE) || me.killer.get().is_some()))
}

/// The hub's turn found somebody counted: if the thread does not panic any more, none of them unwinds.
#[cold]
pub(crate) fn recover(hot: &'static Hot) {
    if panicking() {
        return;
    }
    hot.slate.set(hot.slate.get().wrapping_add(1));
    hot.unwinding.set(0);
    let release = |c: ControlRef| {
        calm(c);
        if interrupt::due(&c).is_some() {
            wake::wake_for_interrupt(hot, c);
        }
    };
    engine::for_each(hot, release);
    release(hot.root());
}
