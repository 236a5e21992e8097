//! The hub: one thread's scheduler, and the way other threads reach it.
//!
//! A thread's tasks are run by its hub, in turns: mail from other threads, timers, descriptors that became ready, then
//! the runnable tasks in order, a bounded batch of them. The hub needs no starting: it runs whenever the thread's main
//! greenlet waits (in `join`, `sleep`, a read, …), on the thread's own stack. Tasks never leave their thread; several
//! threads have a hub each, and talk by handles that are `Send`.
//!
//! ```text
//! sched     Hub, turn, pick                                  this thread's
//! frame     why a greenlet is parked
//! deadlock  main waits in vain
//! lifecycle run_until_idle, shutdown, run, the thread's end
//! simulation order by a seed, simulated time
//! spin      what a hub looks at before it sleeps
//! fork      a forked child
//! bell      what a signal handler may ring
//! builder   limits; HubHandle
//! remote    HubRef ── gate ── Shared { inbox, notifier }     what other threads hold
//! inbox     push ──► newest-first list ──► drain             the messages and the sleep/wake protocol
//! ```
//!
//! `README.md` beside this file has the cross-thread protocols in prose, with the interleavings that they exclude.
//! `tests/loom_inbox.rs` checks them by model.
//!
//! ## What ends tasks, and what leaks them
//!
//! Tasks are ended, with their destructors run, by [`shutdown`] and at the end of [`run`]. A thread's main greenlet (or
//! `main`) that returns leaks the tasks that are still alive: no destructor runs, their stacks stay mapped until the
//! process ends.

pub(crate) mod bell;
mod builder;
pub(crate) mod deadlock;
pub(crate) mod error;
pub(crate) mod fork;
pub(crate) mod frame;
pub(crate) mod inbox;
pub(crate) mod lifecycle;
pub(crate) mod remote;
pub(crate) mod sched;
mod simulation;
mod spin;

pub use self::builder::{Builder, Hub, HubHandle, current_handle};
pub use self::error::{Forked, InCallback, LimitReached, ThreadEnded, Unwinding};
pub use self::fork::reinit;
pub use self::lifecycle::{Shutdown, run, run_until_idle, shutdown};
pub use self::simulation::{simulate, simulate_seeds};
pub use crate::greenlet::error::Deadlock;

/// What the protocol files (here and in `park`) are built from.
///
/// They name this module as `super::primitives` and nothing else, so that the model tests can include the same files
/// under a parent whose `primitives` come from loom. This is not done by `cfg(loom)` in the files, because loom is a
/// dependency of the tests only: the library itself is built without it, also under that flag.
pub(crate) mod primitives {
    pub(crate) use std::sync::Mutex;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

    use std::time::Duration;

    /// A constructor that is `const` here; a model's atomics cannot be.
    macro_rules! const_in_library {
        ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
            $(#[$meta])* $vis const fn $($rest)*
        };
    }
    pub(crate) use const_in_library;

    /// std's cell behind the two access methods that loom's cell has, which checks there that no access overlaps
    /// another.
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Calls `f` with a pointer that it may read through.
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Calls `f` with a pointer that it may write through.
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }

    /// One round of waiting for another thread to finish a few instructions.
    ///
    /// After the first rounds it sleeps: a thread of higher priority that only yields would keep the one it waits for
    /// from ever running.
    pub(crate) fn relax(round: u32) {
        match round {
            0..16 => std::hint::spin_loop(),
            16..256 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}
