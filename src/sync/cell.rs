//! The values behind the locks: the only `unsafe` of this module.
//!
//! ```text
//! Locked { raw, value }   raw.lock() ──► a token ──► Hold { cell, token }   derefs to the value; its drop drops the token
//! Slot   { once, value }  once completed ──► &value
//! ```
//!
//! | token | made by | while it lives | so a `Hold` with it gives |
//! | --- | --- | --- | --- |
//! | `Held` | `raw_mutex.rs` | no other `Held` of that lock does | `&mut T` |
//! | `WriteHeld` | `raw_rwlock.rs` | no other token of that lock does | `&mut T` |
//! | `ReadHeld` | `raw_rwlock.rs` | no `WriteHeld` does | `&T` |
//! | `Level` | `reentrant.rs` | all other levels are on the same thread | `&T` |
//!
//! The tokens have private fields and no other constructors, so the second column is all there is to read. A `Hold` is not
//! `Send`: its drop would look like that of another task's. It keeps the lock's address and not a reference to the value, which
//! would outlive its token by the rest of the call that drops it.
//!
//! No user code runs in here but the closure of [`Slot::get_or_init`], without any borrow of the value.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::once::Once;
use super::raw_mutex::{Held, RawMutex};
use super::raw_rwlock::{RawRwLock, ReadHeld, WriteHeld};
use super::reentrant::{Level, RawReentrant};
use crate::clock::Instant;

/// A value and what guards it.
pub(super) struct Locked<R, T: ?Sized> {
    raw: R,
    value: UnsafeCell<T>,
}

// SAFETY: the table in the file's head: one `Held` at a time, so sharing it passes the value from thread to thread, which
// `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for Locked<RawMutex, T> {}
// SAFETY: as for the mutex; and readers on several threads share the value, which `T: Sync` allows.
unsafe impl<T: ?Sized + Send + Sync> Sync for Locked<RawRwLock, T> {}
// SAFETY: as for the mutex: all levels that live at a time are on one thread.
unsafe impl<T: ?Sized + Send> Sync for Locked<RawReentrant, T> {}

// As std's locks are. What a panic leaves half changed the next holder sees: nothing is poisoned.
impl<R, T: ?Sized> UnwindSafe for Locked<R, T> {}
impl<R, T: ?Sized> RefUnwindSafe for Locked<R, T> {}

impl<R, T> Locked<R, T> {
    /// Guards `value` with `raw`.
    pub(super) const fn new(raw: R, value: T) -> Self {
        Self {
            raw,
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub(super) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<R, T: ?Sized> Locked<R, T> {
    /// What guards it.
    #[inline]
    pub(super) fn raw(&self) -> &R {
        &self.raw
    }

    /// The value, which nobody else can reach.
    pub(super) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Private, because the token has to be one of this very lock's.
    #[inline(always)]
    fn hold<H>(&self, token: H) -> Hold<'_, R, H, T> {
        Hold {
            cell: self,
            token,
            _not_send: PhantomData,
        }
    }
}

impl<T: ?Sized> Locked<RawMutex, T> {
    #[inline]
    #[track_caller]
    pub(super) fn lock(&self) -> Hold<'_, RawMutex, Held<'_>, T> {
        self.hold(self.raw.lock())
    }

    #[inline]
    pub(super) fn try_lock(&self) -> Option<Hold<'_, RawMutex, Held<'_>, T>> {
        self.raw.try_lock().map(|held| self.hold(held))
    }

    #[inline]
    #[track_caller]
    pub(super) fn lock_until(
        &self,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Option<Hold<'_, RawMutex, Held<'_>, T>> {
        self.raw.lock_until(deadline).map(|held| self.hold(held))
    }
}

impl<T: ?Sized> Locked<RawReentrant, T> {
    #[inline]
    #[track_caller]
    pub(super) fn lock(&self) -> Hold<'_, RawReentrant, Level<'_>, T> {
        self.hold(self.raw.lock())
    }

    #[inline]
    #[track_caller]
    pub(super) fn try_lock(&self) -> Option<Hold<'_, RawReentrant, Level<'_>, T>> {
        self.raw.try_lock().map(|level| self.hold(level))
    }

    #[inline]
    #[track_caller]
    pub(super) fn lock_until(
        &self,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Option<Hold<'_, RawReentrant, Level<'_>, T>> {
        self.raw.lock_until(deadline).map(|level| self.hold(level))
    }
}

impl<T: ?Sized> Locked<RawRwLock, T> {
    #[inline]
    #[track_caller]
    pub(super) fn read(
        &self,
        deadline: Option<Option<Instant>>,
    ) -> Option<Hold<'_, RawRwLock, ReadHeld<'_>, T>> {
        self.raw.read(deadline).map(|held| self.hold(held))
    }

    #[inline]
    pub(super) fn try_read(&self) -> Option<Hold<'_, RawRwLock, ReadHeld<'_>, T>> {
        self.raw.try_read().map(|held| self.hold(held))
    }

    #[inline]
    #[track_caller]
    pub(super) fn write(
        &self,
        deadline: Option<Option<Instant>>,
    ) -> Option<Hold<'_, RawRwLock, WriteHeld<'_>, T>> {
        self.raw.write(deadline).map(|held| self.hold(held))
    }

    #[inline]
    pub(super) fn try_write(&self) -> Option<Hold<'_, RawRwLock, WriteHeld<'_>, T>> {
        self.raw.try_write().map(|held| self.hold(held))
    }
}

/// A borrow of the value under a lock, for as long as it lives.
pub(super) struct Hold<'a, R, H, T: ?Sized> {
    cell: &'a Locked<R, T>,
    /// Of `cell.raw`; see the table in the file's head.
    token: H,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: through a shared `Hold` nothing can be had but `&T`, which `T: Sync` allows to share; what else there is of it, the
// lock, is shared anyway.
unsafe impl<R, H, T: ?Sized + Sync> Sync for Hold<'_, R, H, T> {}

impl<'a, R, H, T: ?Sized> Hold<'a, R, H, T> {
    /// The lock, which is let go as `self` is dropped.
    #[inline]
    pub(super) fn cell(&self) -> &'a Locked<R, T> {
        self.cell
    }
}

impl<'a, T: ?Sized> Hold<'a, RawRwLock, WriteHeld<'a>, T> {
    /// Lets readers in, and is one.
    pub(super) fn downgrade(self) -> Hold<'a, RawRwLock, ReadHeld<'a>, T> {
        self.cell.hold(self.token.downgrade())
    }
}

impl<R, H, T: ?Sized> Deref for Hold<'_, R, H, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: field `token`: it is of the lock of this very cell (`hold` is called with such only), and by the table in
        // the file's head nobody has a `&mut T` while it lives, other than through `&mut self`.
        unsafe { &*self.cell.value.get() }
    }
}

/// The tokens that exclude all others.
pub(super) trait Exclusive {}
impl Exclusive for Held<'_> {}
impl Exclusive for WriteHeld<'_> {}

impl<R, H: Exclusive, T: ?Sized> DerefMut for Hold<'_, R, H, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and a token that is `Exclusive` is the only one: nobody else has any reference.
        unsafe { &mut *self.cell.value.get() }
    }
}

/// A value that is written once.
pub(super) struct Slot<T> {
    once: Once,
    /// Written in the closure of `once`, and never again by way of a shared reference.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: field `value`: one thread writes it, before `once` is completed; all others share it afterwards (`T: Sync`), and
// another thread may take or drop it (`T: Send`).
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

// As std's. An initialiser that unwinds leaves it empty.
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for Slot<T> {}

impl<T> Slot<T> {
    /// Empty.
    pub(super) const fn new() -> Self {
        Self {
            once: Once::new(),
            value: UnsafeCell::new(None),
        }
    }

    /// Full.
    pub(super) const fn full(value: T) -> Self {
        Self {
            once: Once::completed(),
            value: UnsafeCell::new(Some(value)),
        }
    }

    /// What decides who writes it.
    pub(super) fn once(&self) -> &Once {
        &self.once
    }

    /// The value, if it is there.
    #[inline]
    pub(super) fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: field `value`: `once` is completed, which is seen with what was written before.
        unsafe { (*self.value.get()).as_ref() }
    }

    /// The value, which `init` makes if it is not there and nobody else is at it.
    #[track_caller]
    pub(super) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        if self.get().is_none() {
            self.once.call_once(|| {
                let value = init();
                // SAFETY: field `value`: `once` runs one such closure at a time and none after one that returned; nobody
                // reads before that. What is overwritten is `None`.
                unsafe { *self.value.get() = Some(value) };
            });
        }
        match self.get() {
            Some(value) => value,
            None => unreachable!("completed without a value"),
        }
    }

    /// The value, which nobody else can reach.
    pub(super) fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Takes the value out, and begins anew.
    pub(super) fn take(&mut self) -> Option<T> {
        self.once = Once::new();
        self.value.get_mut().take()
    }

    /// The value.
    pub(super) fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }
}
