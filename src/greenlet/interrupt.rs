//! What may break off a wait: kills and the deadlines of `timeout` scopes, and what holds them back.
//!
//! A kill is a bit in the control block (`attention::KILL`); a deadline is a frame on a list that hangs off it, innermost
//! first, each frame living in the stack frame of its `timeout` call. `shield` hides both: it counts up `shield` and puts
//! the list aside, so that deadlines opened *inside* the shield still count.
//!
//! | asked for       | shielded, or unwinding | otherwise, at the next wait                                  |
//! | --------------- | ---------------------- | ------------------------------------------------------------ |
//! | kill            | held back              | unwinds; again at each later wait, a turn later (invariant 8) |
//! | deadline passed | held back              | reported once if the wait can report, else unwinds to its scope; |
//! |                 |                        | again at each later wait, a turn later                          |
//!
//! This file only decides and raises; it never switches, and wakes nobody.

use core::cell::Cell;
use core::ptr;

use super::control::{ControlRef, attention};
use super::report;

/// The payload that unwinds a killed greenlet. Private, so that nobody can forge or catch it by type.
#[derive(Debug)]
pub(crate) struct KillPayload;

/// The payload that unwinds to the `timeout` scope with this id.
#[derive(Debug)]
pub(crate) struct DeadlinePayload(pub(crate) u64);

/// Whether a payload is one of the two: no panic of anybody's.
pub(crate) fn is_interrupt(payload: &(dyn core::any::Any + Send)) -> bool {
    payload.is::<KillPayload>() || payload.is::<DeadlinePayload>()
}

/// Deliveries of one kill after which a body that swallows them is reported.
pub(crate) const MAX_SWALLOWED: u8 = 100;

/// One `timeout` scope; lives in its frame.
#[derive(Debug)]
pub(crate) struct DeadlineFrame {
    /// Unique on the thread.
    pub(crate) id: u64,
    /// In the clock's nanoseconds.
    pub(crate) deadline: i64,
    /// Reads the clock that `deadline` belongs to.
    pub(crate) now: fn() -> i64,
    /// A wait returned its error, or an unwinding began, because of this scope.
    pub(crate) delivered: Cell<bool>,
    outer: Cell<*const DeadlineFrame>,
}

impl DeadlineFrame {
    /// A scope that is not on any list yet.
    pub(crate) fn new(id: u64, deadline: i64, now: fn() -> i64) -> Self {
        Self {
            id,
            deadline,
            now,
            delivered: Cell::new(false),
            outer: Cell::new(ptr::null()),
        }
    }
}

/// The open `timeout` scopes of one greenlet, innermost first.
#[derive(Debug)]
pub(crate) struct Deadlines {
    innermost: Cell<*const DeadlineFrame>,
}

impl Deadlines {
    pub(super) const fn new() -> Self {
        Self {
            innermost: Cell::new(ptr::null()),
        }
    }

    /// Opens a scope for the duration of `f`.
    pub(crate) fn within<R>(me: ControlRef, frame: &DeadlineFrame, f: impl FnOnce() -> R) -> R {
        struct Restore(ControlRef, *const DeadlineFrame);
        impl Drop for Restore {
            fn drop(&mut self) {
                self.0.deadlines.put(self.0, self.1);
            }
        }
        let outer = me.deadlines.innermost.get();
        frame.outer.set(outer);
        let _restore = Restore(me, outer);
        me.deadlines.put(me, frame);
        f()
    }

    fn put(&self, me: ControlRef, innermost: *const DeadlineFrame) {
        self.innermost.set(innermost);
        if innermost.is_null() {
            me.ignore(attention::DEADLINE);
        } else {
            me.attend(attention::DEADLINE);
        }
    }

    /// The scope to deliver now: of those whose time has passed the one with the earliest deadline, the outer one if equal.
    fn due(&self) -> Option<&DeadlineFrame> {
        let mut found: Option<&DeadlineFrame> = None;
        let mut at = self.innermost.get();
        let mut now = None;
        // SAFETY: frames are on the list exactly while their `within` runs, on this greenlet's own stack (invariant 1).
        while let Some(frame) = unsafe { at.as_ref() } {
            let now = *now.get_or_insert_with(|| (frame.now)());
            if frame.deadline <= now && found.is_none_or(|f| frame.deadline <= f.deadline) {
                found = Some(frame);
            }
            at = frame.outer.get();
        }
        found
    }
}

/// What is to be delivered to a greenlet at this wait.
#[derive(Debug)]
pub(crate) enum Interrupt<'a> {
    /// Its kill.
    Kill,
    /// A `timeout` scope's expiry.
    Deadline(&'a DeadlineFrame),
}

/// Whether `c` would be interrupted at a wait (it may still be unwinding: the caller knows).
pub(crate) fn due(c: &ControlRef) -> Option<Interrupt<'_>> {
    let bits = c.attention.get();
    if bits & attention::KILL != 0 && c.shield.get() == 0 {
        return Some(Interrupt::Kill);
    }
    if bits & attention::DEADLINE != 0 {
        return c.deadlines.due().map(Interrupt::Deadline);
    }
    None
}

/// Whether what is due was delivered before, and swallowed. Then it comes only after a turn of the others, so that a body
/// that swallows it over and over does not keep the thread to itself.
pub(crate) fn delivered_before(me: ControlRef) -> bool {
    match due(&me) {
        Some(Interrupt::Kill) => me.kills.get() > 0,
        Some(Interrupt::Deadline(frame)) => frame.delivered.get(),
        None => false,
    }
}

/// Unwinds the running greenlet, counting the delivery.
pub(crate) fn raise(me: ControlRef, interrupt: &Interrupt<'_>) -> ! {
    me.attend(attention::UNWINDS);
    match interrupt {
        Interrupt::Kill => {
            let n = me.kills.get().saturating_add(1);
            me.kills.set(n);
            if n == MAX_SWALLOWED {
                report::swallowed_kills(me);
            }
            std::panic::resume_unwind(Box::new(KillPayload))
        }
        Interrupt::Deadline(frame) => {
            frame.delivered.set(true);
            std::panic::resume_unwind(Box::new(DeadlinePayload(frame.id)))
        }
    }
}

/// Runs `f` with kills and the deadlines outside it held back.
pub(crate) fn shielded<R>(me: ControlRef, f: impl FnOnce() -> R) -> R {
    struct Restore(ControlRef, *const DeadlineFrame);
    impl Drop for Restore {
        fn drop(&mut self) {
            let me = self.0;
            me.shield.set(me.shield.get() - 1);
            me.deadlines.put(me, self.1);
        }
    }
    let _restore = Restore(me, me.deadlines.innermost.get());
    me.shield.set(me.shield.get() + 1);
    me.deadlines.put(me, ptr::null());
    f()
}
