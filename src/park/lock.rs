//! The lock inside locks, queues and events: held for a few instructions of this crate, never for anything else.
//!
//! ```text
//! held: false ──exchange──► true ── the closure runs ── store ──► false
//! ```
//!
//! One read-modify-write to take it and a plain store to let go, which is half of what a lock costs that must know of
//! waiters. Who finds it held spins: on another thread, for the few instructions the holder needs, or, if that one was
//! preempted, with growing pauses.
//!
//! The closure may not run user code (no `Clone`, `Drop`, `Ord` or `Debug` of theirs: invariant 4), switch (invariant 5), or take
//! the same lock. Whatever has to be dropped is returned from it, and whoever has to be woken, unless that only
//! enqueues a greenlet of this thread. The model tests include this file as it is.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::primitives::{AtomicBool, Ordering, UnsafeCell, const_in_library, relax};

/// See the file's head. In this order: what the value begins with shares the lock's cache line.
#[repr(C)]
pub(crate) struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: field `held` lets one thread at a time reach the value, so sharing the lock passes the value between threads,
// which `T: Send` allows; no reference to it is shared.
unsafe impl<T: Send> Sync for Lock<T> {}

// No user code runs in the closures, so that no panic leaves the value half changed.
impl<T> UnwindSafe for Lock<T> {}
impl<T> RefUnwindSafe for Lock<T> {}

/// Lets go on every way out.
struct Held<'a>(&'a AtomicBool);

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: the next holder sees what this one did.
        self.0.store(false, Ordering::Release);
    }
}

impl<T> Lock<T> {
    const_in_library! {
        /// A lock on `value`.
        pub(crate) fn new(value: T) -> Self {
            Self {
                held: AtomicBool::new(false),
                value: UnsafeCell::new(value),
            }
        }
    }

    /// Runs `f` with the value; see the file's head for what it may do.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        if !self.try_take() {
            self.wait();
        }
        let _held = Held(&self.held);
        // SAFETY: field `held` was false and is true since: nobody else is between the exchange and the store.
        self.value.with_mut(|value| f(unsafe { &mut *value }))
    }

    #[inline]
    fn try_take(&self) -> bool {
        // Acquire: pairs with the Release in `Held`.
        self.held
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    fn wait(&self) {
        let mut round = 0;
        while !self.try_take() {
            relax(round);
            round = round.saturating_add(1);
        }
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock(..)")
    }
}
