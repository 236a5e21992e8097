//! `ReentrantMutex`: a lock that its owner may take again.
//!
//! ```text
//! mutex free ── lock ──► mutex held, levels 1 ── lock by the owner ──► levels 2 ── a guard drops ──► levels 1 ── … ──► free
//! ```
//!
//! The owner is the id in the mutex's word. `levels` is touched by the owner's thread only, while the mutex is held; so it needs
//! no order of its own.
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::Deref;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::cell::{Hold, Locked};
use super::raw_mutex::RawMutex;
use crate::clock::{Instant, deadline_after};

/// The lock, without its value.
#[derive(Debug)]
pub(super) struct RawReentrant {
    mutex: RawMutex,
    /// How many [`Level`]s there are; 0 while the mutex is not held.
    levels: AtomicUsize,
}

/// One taking of the lock. Made in this file only: all that live at a time are on one thread, since they are of one owner and no
/// guard is `Send`.
#[derive(Debug)]
pub(super) struct Level<'a>(&'a RawReentrant);

impl RawReentrant {
    const fn new() -> Self {
        Self {
            mutex: RawMutex::new(),
            levels: AtomicUsize::new(0),
        }
    }

    #[inline]
    #[track_caller]
    pub(super) fn lock(&self) -> Level<'_> {
        match self.deeper() {
            Some(level) => level,
            None => {
                core::mem::forget(self.mutex.lock());
                self.first()
            }
        }
    }

    #[inline]
    #[track_caller]
    pub(super) fn try_lock(&self) -> Option<Level<'_>> {
        self.deeper().or_else(|| {
            core::mem::forget(self.mutex.try_lock()?);
            Some(self.first())
        })
    }

    #[inline]
    #[track_caller]
    pub(super) fn lock_until(
        &self,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Option<Level<'_>> {
        match self.deeper() {
            Some(level) => Some(level),
            None => {
                core::mem::forget(self.mutex.lock_until(deadline)?);
                Some(self.first())
            }
        }
    }

    /// Takes it once more, if it is the caller's.
    #[inline]
    #[track_caller]
    fn deeper(&self) -> Option<Level<'_>> {
        if !self.mutex.is_mine() {
            return None;
        }
        match self.levels.load(Ordering::Relaxed).checked_add(1) {
            Some(n) => self.levels.store(n, Ordering::Relaxed),
            None => panic!("a ReentrantMutex was locked {} times", usize::MAX),
        }
        Some(Level(self))
    }

    /// The mutex was taken, and its token forgotten: the last level lets it go.
    #[inline]
    fn first(&self) -> Level<'_> {
        self.levels.store(1, Ordering::Relaxed);
        Level(self)
    }
}

impl Drop for Level<'_> {
    #[inline]
    fn drop(&mut self) {
        let lock = self.0;
        let mine = lock.mutex.is_mine();
        let rest = lock.levels.load(Ordering::Relaxed) - 1;
        lock.levels.store(rest, Ordering::Relaxed);
        if rest == 0 {
            lock.mutex.release();
        }
        if !mine {
            strange();
        }
    }
}

#[cold]
fn strange() {
    // A second panic would abort, and the first one is the news.
    if !thread::panicking() {
        panic!("a ReentrantMutexGuard was dropped by a task that does not own the lock");
    }
}

/// A lock that its owner, a task or a thread without greenlets, may take again; it comes free when all of its guards are
/// dropped. The guards share the value: mutate it through a `Cell` or a `RefCell`.
///
/// ```
/// use greenloom::sync::ReentrantMutex;
/// use std::cell::RefCell;
///
/// let log = ReentrantMutex::new(RefCell::new(Vec::new()));
/// let outer = log.lock();
/// outer.borrow_mut().push("outer");
/// {
///     let inner = log.lock(); // with a Mutex this would be a deadlock
///     inner.borrow_mut().push("inner");
///     assert_eq!(log.count(), 2);
/// }
/// assert_eq!(log.count(), 1);
/// ```
///
/// Who waits for it waits as for a [`Mutex`](super::Mutex), in the same order.
///
/// # Differences from the standard library
///
/// std's `ReentrantLock` (not stable yet) is owned by threads, this one by tasks: two tasks of one thread exclude each other.
/// There are `lock_timeout` and `count`, and [`lock`](Self::lock) returns the guard itself.
///
/// # Differences from Python's `RLock`
///
/// There is no `release` that somebody else could call. A guard that was moved to another task of the thread and is dropped
/// there gives back its level, and panics to say so (not while that task unwinds).
#[doc(alias = "RLock")]
#[doc(alias = "ReentrantLock")]
pub struct ReentrantMutex<T: ?Sized> {
    inner: Locked<RawReentrant, T>,
}

/// One level of a [`ReentrantMutex`]; dropping it gives the level back, and never switches.
///
/// # Panics
/// Its drop, in a task that does not own the lock.
#[must_use = "if unused the ReentrantMutex will immediately unlock"]
pub struct ReentrantMutexGuard<'a, T: ?Sized>(Hold<'a, RawReentrant, Level<'a>, T>);

impl<T> ReentrantMutex<T> {
    /// An unlocked one.
    #[inline]
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            inner: Locked::new(RawReentrant::new(), value),
        }
    }

    /// The value, for good.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Locks; at once if it is the caller's already.
    ///
    /// # Blocking
    /// Switches if another owns it; as [`Mutex::lock`](super::Mutex::lock).
    ///
    /// # Panics
    /// If it would have to wait where nothing can. On main, with the deadlock, if the lock can never come free. At the
    /// `usize::MAX`th level.
    #[inline]
    #[doc(alias = "acquire")]
    #[track_caller]
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        ReentrantMutexGuard(self.inner.lock())
    }

    /// Locks if it is free, or the caller's. `None` if another owns it.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// At the `usize::MAX`th level.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        self.inner.try_lock().map(ReentrantMutexGuard)
    }

    /// Locks within `d`, or gives up: `None`.
    ///
    /// # Blocking
    /// As [`Mutex::lock_timeout`](super::Mutex::lock_timeout).
    ///
    /// # Panics
    /// As [`lock`](Self::lock).
    #[inline]
    #[track_caller]
    pub fn lock_timeout(&self, d: Duration) -> Option<ReentrantMutexGuard<'_, T>> {
        self.inner
            .lock_until(|| deadline_after(d))
            .map(ReentrantMutexGuard)
    }

    /// How many levels the calling task or thread has: 0 if it does not own the lock.
    #[doc(alias = "_is_owned")]
    #[doc(alias = "_recursion_count")]
    pub fn count(&self) -> usize {
        let raw = self.inner.raw();
        if raw.mutex.is_mine() {
            raw.levels.load(Ordering::Relaxed)
        } else {
            0
        }
    }

    /// The value, which nobody else can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }
}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for ReentrantMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("ReentrantMutex");
        match self.try_lock() {
            Some(guard) => d.field("data", &&*guard),
            None => d.field("data", &format_args!("<locked>")),
        };
        d.finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
