//! `RwLock`: std's, cooperative and fair.
//!
//! The waiting is in `raw_rwlock.rs`, the value in `cell.rs`, what it has in common
//! with `Mutex` in `shell.rs`; this file has the public face.
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::{Deref, DerefMut};
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

use super::cell::{Hold, Locked};
use super::raw_rwlock::{RawRwLock, ReadHeld, WriteHeld};
use super::shell::{guard_shell, lock_shell};
use crate::clock::deadline_after;

/// A lock around a value that many may read at a time, or one may write.
///
/// ```
/// use greenloom::sync::RwLock;
///
/// let lock = RwLock::new(5);
/// {
///     let (a, b) = (lock.read().unwrap(), lock.read().unwrap());
///     assert_eq!(*a + *b, 10);
///     assert!(lock.try_write().is_err());
/// }
/// *lock.write().unwrap() += 1;
/// assert_eq!(*lock.read().unwrap(), 6);
/// ```
///
/// It is fair: all wait in one queue, in the order in which they asked. A writer that waits stops new readers, so writers are not
/// starved; readers that wait side by side are let in together. Hence who reads already and asks to read again may wait
/// for a writer that waits for it: a deadlock.
///
/// # Differences from the standard library
///
/// * A wait parks the task, not the thread.
/// * The order is defined, see above; std leaves it open.
/// * It is never poisoned: `read` and `write` never return `Err`.
/// * There are [`read_timeout`](Self::read_timeout) and [`write_timeout`](Self::write_timeout).
/// * A guard may be moved to another task of the thread, which then unlocks.
#[doc(alias = "RWLock")]
pub struct RwLock<T: ?Sized> {
    inner: Locked<RawRwLock, T>,
}

/// The value of an [`RwLock`], for reading. Dropping it never switches.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized>(Hold<'a, RawRwLock, ReadHeld<'a>, T>);

/// The value of an [`RwLock`], for writing. Dropping it never switches.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized>(Hold<'a, RawRwLock, WriteHeld<'a>, T>);

impl<T> RwLock<T> {
    /// An unlocked one.
    #[inline]
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            inner: Locked::new(RawRwLock::new(), value),
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading, sooner or later.
    ///
    /// # Blocking
    /// Switches if somebody writes, or waits. Kills and the deadlines of enclosing `timeout` calls are delivered then; who is
    /// unwinding waits all the same.
    ///
    /// # Errors
    /// Never: nothing poisons.
    ///
    /// # Panics
    /// If it would have to wait where nothing can: in a callback of the hub, in a forked child. On main, with the deadlock, if
    /// the lock can never come free; on a thread without greenlets, if that writes already.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        match self.inner.read(None) {
            Some(hold) => Ok(RwLockReadGuard(hold)),
            None => unreachable!("a wait without a deadline came to one"),
        }
    }

    /// Locks for reading, if nobody writes or waits.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `WouldBlock`; never `Poisoned`.
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        match self.inner.try_read() {
            Some(hold) => Ok(RwLockReadGuard(hold)),
            None => Err(TryLockError::WouldBlock),
        }
    }

    /// Locks for reading within `d`, or gives up: `None`.
    ///
    /// # Blocking
    /// As [`read`](Self::read). An enclosing `timeout` that expires first ends it like its own time; who is unwinding does not
    /// wait and gives up at once.
    ///
    /// # Panics
    /// As [`read`](Self::read), but for a thread that writes already.
    #[track_caller]
    pub fn read_timeout(&self, d: Duration) -> Option<RwLockReadGuard<'_, T>> {
        let deadline = Some(deadline_after(d));
        self.inner.read(deadline).map(RwLockReadGuard)
    }

    /// Locks for writing, sooner or later.
    ///
    /// # Blocking
    /// Switches if somebody reads or writes, or waits; otherwise as [`read`](Self::read).
    ///
    /// # Errors
    /// Never: nothing poisons.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    #[inline]
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        match self.inner.write(None) {
            Some(hold) => Ok(RwLockWriteGuard(hold)),
            None => unreachable!("a wait without a deadline came to one"),
        }
    }

    /// Locks for writing, if nobody reads, writes or waits.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `WouldBlock`; never `Poisoned`.
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        match self.inner.try_write() {
            Some(hold) => Ok(RwLockWriteGuard(hold)),
            None => Err(TryLockError::WouldBlock),
        }
    }

    /// Locks for writing within `d`, or gives up: `None`. Readers that waited behind it go on then.
    ///
    /// # Blocking
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// # Panics
    /// As [`read_timeout`](Self::read_timeout).
    #[track_caller]
    pub fn write_timeout(&self, d: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        let deadline = Some(deadline_after(d));
        self.inner.write(deadline).map(RwLockWriteGuard)
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader. No writer comes in between; other readers may from here on.
    ///
    /// # Blocking
    /// Never switches.
    pub fn downgrade(s: Self) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard(s.0.downgrade())
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

lock_shell!(RwLock, try_read);
guard_shell!(RwLockReadGuard);
guard_shell!(RwLockWriteGuard);
