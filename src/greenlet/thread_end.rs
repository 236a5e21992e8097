//! What happens to a thread's greenlets when the thread ends (invariant 9).
//!
//! Live greenlets are leaked: no destructor runs, their stacks stay mapped. Everything else is given back. The hot data
//! itself has no destructor and stays readable, `Phase::Ended`, for thread-locals of the user's that come later.

use core::cell::Cell;

use super::hot::{Phase, hot};

struct Watch {
    armed: Cell<bool>,
}

thread_local! {
    static WATCH: Watch = const { Watch { armed: Cell::new(false) } };
}

/// Sees to it that the thread's end is noticed.
pub(super) fn watch() {
    // In a thread whose destructors run already the runtime is leaked as a whole: nothing would ever free it.
    let _ = WATCH.try_with(|w| w.armed.set(true));
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.armed.get() {
            return;
        }
        let hot = hot();
        hot.drop_ext_of(hot.root());
        if let Some(at_end) = hot.at_end.take() {
            at_end(hot);
        }
        let forked = hot.phase.replace(Phase::Ended) == Phase::Forked;
        let on_own_stack = hot.current.replace(None) == Some(hot.root());
        if forked || !on_own_stack {
            // `exit` was called from a greenlet, or this is a forked copy: the process ends anyway.
            return;
        }
        hot.queue.release();
        // SAFETY: invariant 9: once, here; `Phase::Ended` keeps handles from looking at control blocks, and the arena
        // itself keeps the slabs that hold live greenlets.
        unsafe { core::ptr::drop_in_place(hot.arena.get()) };
        // SAFETY: as above; what is somebody's stays mapped.
        unsafe { core::ptr::drop_in_place(hot.seeds.get()) };
    }
}
