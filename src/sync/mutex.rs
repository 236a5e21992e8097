//! `Mutex`: std's, cooperative.
//!
//! The waiting is in `raw_mutex.rs`, the protocol in `hand_over.rs`, the value in `cell.rs`, what it has in common
//! with `RwLock` in `shell.rs`; this file has the public face.
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::{Deref, DerefMut};
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

use super::cell::{Hold, Locked};
use super::raw_mutex::{Held, RawMutex};
use super::shell::{guard_shell, lock_shell};
use crate::clock::deadline_after;

/// A lock around a value: who holds it has the value to itself.
///
/// ```
/// use greenloom::spawn;
/// use greenloom::sync::{Arc, Mutex};
///
/// let total = Arc::new(Mutex::new(0));
/// let tasks: Vec<_> = (0..100)
///     .map(|_| {
///         let total = Arc::clone(&total);
///         spawn(move || {
///             let mut total = total.lock().unwrap();
///             let seen = *total;
///             greenloom::yield_now(); // all others run here, and none gets in between
///             *total = seen + 1;
///         })
///     })
///     .collect();
/// for task in tasks {
///     task.join().unwrap();
/// }
/// assert_eq!(*total.lock().unwrap(), 100);
/// ```
///
/// Tasks of one thread have it in the order in which they asked. Between threads whoever is faster may have it first, until
/// the one that waits longest has waited a millisecond: that one has it next.
///
/// # Differences from the standard library
///
/// * A wait parks the task, not the thread.
/// * It is never poisoned: [`lock`](Self::lock) never returns `Err`, [`is_poisoned`](Self::is_poisoned) is false.
/// * There is [`lock_timeout`](Self::lock_timeout).
/// * Locking it twice is reported as a deadlock where main waits for it, and panics at once on a thread that has no
///   greenlets. A task that does it is parked for good, until it is killed.
/// * A guard may be moved to another task of the thread, which then unlocks. Reports of deadlocks name who locked.
#[doc(alias = "Lock")]
pub struct Mutex<T: ?Sized> {
    inner: Locked<RawMutex, T>,
}

/// The value of a [`Mutex`], for as long as it is locked. Dropping it unlocks, and never switches.
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized>(Hold<'a, RawMutex, Held<'a>, T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    #[inline]
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            inner: Locked::new(RawMutex::new(), value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, sooner or later.
    ///
    /// # Blocking
    /// Switches if the lock is held by another. Kills and the deadlines of enclosing `timeout` calls are delivered then; who is
    /// unwinding waits all the same.
    ///
    /// # Errors
    /// Never: nothing poisons.
    ///
    /// # Panics
    /// If it would have to wait where nothing can: in a callback of the hub, in a forked child. On main, with the deadlock, if
    /// the lock can never come free; on a thread without greenlets, if that holds it itself.
    #[inline]
    #[doc(alias = "acquire")]
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        Ok(MutexGuard(self.inner.lock()))
    }

    /// Locks if nobody holds it.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `WouldBlock` if it is held; never `Poisoned`.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        match self.inner.try_lock() {
            Some(hold) => Ok(MutexGuard(hold)),
            None => Err(TryLockError::WouldBlock),
        }
    }

    /// Locks within `d`, or gives up: `None`.
    ///
    /// ```
    /// # use greenloom::sync::Mutex;
    /// # use std::time::Duration;
    /// let m = Mutex::new(1);
    /// let first = m.lock_timeout(Duration::ZERO).unwrap();
    /// assert!(m.lock_timeout(Duration::from_millis(1)).is_none());
    /// # drop(first);
    /// ```
    ///
    /// # Blocking
    /// As [`lock`](Self::lock). An enclosing `timeout` that expires first ends it like its own time; who is unwinding does not
    /// wait and gives up at once.
    ///
    /// # Panics
    /// As [`lock`](Self::lock), but for a thread that holds it itself.
    #[inline]
    #[track_caller]
    pub fn lock_timeout(&self, d: Duration) -> Option<MutexGuard<'_, T>> {
        self.inner.lock_until(|| deadline_after(d)).map(MutexGuard)
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The lock, for a condition variable, which lets it go and takes it again.
    pub(super) fn into_hold(self) -> Hold<'a, RawMutex, Held<'a>, T> {
        self.0
    }

    pub(super) fn from_hold(hold: Hold<'a, RawMutex, Held<'a>, T>) -> Self {
        Self(hold)
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

lock_shell!(Mutex, try_lock);
guard_shell!(MutexGuard);
