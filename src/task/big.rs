//! `on_big_stack`: a closure of the running task on a larger stack, for deep recursion and C code.
//!
//! ```text
//! task's stack   … ─ on_big_stack ┐                       ┌─ … goes on
//! big stack                       └─ f … parks, resumes … ┘
//! ```
//!
//! The stack is a slot of the thread's arena, lent for the call. It is no greenlet: what runs there is still the caller, so
//! kills, deadlines and panics pass through the call as through any other.
//!
//! The slot is given back by a guard in the caller's frame, which is on another stack: on every way out.

use core::num::NonZeroU64;
use core::panic::Location;
use std::io;
use std::sync::Arc;

use crate::greenlet::engine;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::hub::error;
use crate::stack::{Slot, StackSize, run_on};

/// A slot in use by this call.
struct Lent {
    hot: &'static Hot,
    slot: Slot,
    /// Keeps the text that the slot's header points to.
    _name: Option<Arc<str>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: invariant 10: `run_on` has returned or unwound, so nothing runs or lies on the slot; only this guard
        // has it. `hot` is this thread's: a greenlet stays on its own (invariant 1).
        self.hot.with_arena(|a| unsafe { a.free(self.slot) });
    }
}

/// Runs `f` on a stack of 1 MiB of its own and returns what it returns.
///
/// It stays the same task: `f` may wait, borrow, panic. An overflow there is reported with the task's name and aborts the
/// process, like any other. Calls nest, each on a stack of its own.
///
/// ```
/// fn depth(n: u32) -> u32 {
///     let frame = std::hint::black_box([n; 256]);
///     if n == 0 { frame[0] } else { 1 + depth(n - 1) }
/// }
/// // 200 KiB and more: too much for the default stack.
/// let task = greenloom::spawn(|| greenloom::task::on_big_stack(|| depth(200)));
/// assert_eq!(task.join().unwrap(), 200);
/// ```
///
/// # Blocking
/// As `f`.
///
/// # Panics
/// As `f`; if no stack can be had ([`try_on_big_stack`] returns the error).
#[track_caller]
pub fn on_big_stack<R>(f: impl FnOnce() -> R) -> R {
    match try_on_big_stack(StackSize::M1, f) {
        Ok(r) => r,
        Err(e) => panic!("failed to get a big stack: {e}"),
    }
}

/// As [`on_big_stack`], on a stack of a size of your choice.
///
/// # Errors
/// No stack could be had, or the thread is ending. `f` did not run and is dropped.
///
/// # Panics
/// As `f`.
#[track_caller]
pub fn try_on_big_stack<R>(size: StackSize, f: impl FnOnce() -> R) -> io::Result<R> {
    if hot().phase.get() == Phase::Ended {
        return Err(error::ended());
    }
    let (hot, me) = engine::enter();
    let slot = hot.with_arena(|a| a.alloc(size))?;
    let name = me.name();
    let lent = Lent {
        hot,
        slot,
        _name: name.clone(),
    };
    // A callback of the hub has no id of its own: it runs on main's stack.
    if let Some(id) = NonZeroU64::new(me.id.get()).or(NonZeroU64::new(hot.root().id.get())) {
        slot.open_auxiliary(id, me.site().unwrap_or(Location::caller()));
    }
    if let Some(name) = &name {
        // SAFETY: the text lies in an `Arc` that `lent` keeps until it has freed the slot.
        unsafe { slot.set_name(name) };
    }
    // SAFETY: the slot was handed out for this call, and `lent` frees it after that.
    let result = unsafe { run_on(slot, f) };
    drop(lent);
    Ok(result)
}
