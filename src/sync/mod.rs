//! What tasks share: locks, one-time initialisation, semaphores. The shape of [`std::sync`], cooperative.
//!
//! A wait here parks the calling task, and the thread's other tasks go on. Everything works alike between the tasks of one
//! hub, between hubs on several threads, and with plain threads that run no hub, where a wait is the operating system's.
//!
//! A program written for `std::sync` ports by its `use` line: names, methods and return types are std's, `lock()` returns a
//! [`LockResult`], and [`Arc`], [`Weak`] and [`atomic`] are std's own.
//!
//! ```
//! use greenloom::sync::{Arc, Condvar, Mutex};
//!
//! let pair = Arc::new((Mutex::new(false), Condvar::new()));
//! let other = Arc::clone(&pair);
//! let task = greenloom::spawn(move || {
//!     *other.0.lock().unwrap() = true;
//!     other.1.notify_one();
//! });
//! let ready = pair.1.wait_while(pair.0.lock().unwrap(), |ready| !*ready).unwrap();
//! assert!(*ready);
//! # drop(ready);
//! # task.join().unwrap();
//! ```
//!
//! | type | is |
//! | --- | --- |
//! | [`Mutex`], [`RwLock`], [`Condvar`], [`Barrier`] | std's, without poisoning and with timed forms |
//! | [`Once`], [`OnceLock`], [`LazyLock`] | std's, without poisoning |
//! | [`ReentrantMutex`] | a lock that its owner may take again |
//! | [`Semaphore`], [`BoundedSemaphore`] | permits, handed over in order |
//! | [`WaitGroup`] | waits until a count is down to zero |
//! | [`mpsc`] | std's channels |
//!
//! # What all have in common
//!
//! * **Nothing poisons.** A guard that is dropped by a panic or a kill unlocks like any other. The results that std's
//!   signatures want are always `Ok`.
//! * **First come, first served.** Within one thread a lock goes from who lets it go straight to who has waited longest.
//!   Only a [`Mutex`] shared between threads may be taken by who is faster, until the first waiter has waited a
//!   millisecond.
//! * **Nothing is lost.** Who is killed, or whose time runs out, before it was its turn gets nothing, and the next one is
//!   served. Once it was its turn, the call succeeds, and a kill is delivered at the next wait.
//! * **What does not wait does not switch.** A lock that is free, every `try_` method and every drop go on at once.
//! * **In a callback of the hub** nothing can wait: what would have to panics, and says where. So it is in a forked child until
//!   [`hub::reinit`](crate::hub::reinit).
//! * **Leaked with its task.** A thread that ends while tasks of its own hold locks leaks them, locked (see
//!   [`hub`](crate::hub)).
//! * **Deadlocks are reported** to a main greenlet that waits in vain; see [`hub::Deadlock`](crate::hub::Deadlock). They
//!   know who holds a mutex or a lock for writing, and who initialises; not who reads, or has a permit.
//!
//! ```text
//!  mutex  reentrant   rwlock    once_lock ◄─ lazy_lock      what users see
//!       │               │          │
//!      cell ────────────┴──────────┘                        the only unsafe: values behind the locks
//!       │
//!  raw_mutex      raw_rwlock    once                        who waits, and how
//!       │
//!  hand_over                                                the word and the queue; model-checked
//!
//!  condvar  barrier  semaphore  wait_group                  straight on the waist
//! ```

mod barrier;
mod cell;
mod condvar;
mod hand_over;
mod lazy_lock;
pub mod mpsc;
mod mutex;
mod once;
mod once_lock;
mod raw_mutex;
mod raw_rwlock;
mod reentrant;
mod rwlock;
mod select;
mod semaphore;
mod shell;
#[cfg(test)]
mod tests;
mod wait_group;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use self::barrier::{Barrier, BarrierWaitResult, BrokenBarrier};
pub use self::condvar::{Condvar, WaitTimeoutResult};
pub use self::lazy_lock::LazyLock;
pub use self::mutex::{Mutex, MutexGuard};
pub use self::once::{Once, OnceState};
pub use self::once_lock::OnceLock;
pub use self::reentrant::{ReentrantMutex, ReentrantMutexGuard};
pub use self::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use self::semaphore::{BoundedSemaphore, OverRelease, OwnedPermit, Permit, Semaphore};
pub use self::wait_group::WaitGroup;

use crate::hub::primitives;
use crate::park::Report;

/// What timed forms report that can only say "not in time": main's deadlock is no matter of time, so it panics.
const TIMED: Report = Report {
    deadlock: false,
    ..Report::ALL
};
