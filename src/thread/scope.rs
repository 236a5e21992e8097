//! `scope`: scopes of tasks with std's results.
//!
//! ```text
//! &'scope task::Scope<'scope, 'env>  ══  &'scope Scope<'scope, 'env>       one field, its layout: the same thing
//! ```
//!
//! std hands out a reference that lives as long as the scope, so that a task of the scope may spawn into it. A wrapper made
//! here would live shorter than that; so the reference is turned into one of the wrapper instead. All that makes
//! borrowing sound is in `task::scope`.

use core::fmt;

use super::handle::{Result, to_std};
use super::{Builder, Thread};
use crate::task;

/// Spawns the tasks of a [`scope`](scope()): [`std::thread::Scope`].
#[repr(transparent)]
pub struct Scope<'scope, 'env: 'scope>(task::Scope<'scope, 'env>);

/// Runs `f`, which may spawn tasks that borrow from outside of it; waits for all of them: [`std::thread::scope`].
///
/// Unlike std's threads, these may borrow what is not `Sync`.
///
/// ```
/// use greenloom::thread;
/// use std::cell::Cell;
///
/// let count = Cell::new(0);
/// thread::scope(|s| {
///     s.spawn(|| {
///         count.set(count.get() + 1);
///         s.spawn(|| count.set(count.get() + 10));
///     });
/// });
/// assert_eq!(count.get(), 11);
/// ```
///
/// # Blocking
/// As [`task::scope`].
///
/// # Panics
/// As [`task::scope`]: as `f`; if a task panicked that was not joined; on main, if the tasks can never end.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    task::scope(|inner| f(Scope::of(inner)))
}

impl<'scope, 'env> Scope<'scope, 'env> {
    fn of(inner: &'scope task::Scope<'scope, 'env>) -> &'scope Self {
        let outer = core::ptr::from_ref(inner).cast::<Self>();
        // SAFETY: field `0` is all there is of a `Scope`, which has its layout (`repr(transparent)`); the lifetimes are
        // those of the reference it was made from, which is shared like this one.
        unsafe { &*outer }
    }

    /// Spawns a task of the scope. It runs when the caller gives way.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// If no stack can be had; [`Builder::spawn_scoped`] returns the error.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        match Builder::new().spawn_scoped(self, f) {
            Ok(handle) => handle,
            Err(e) => panic!("failed to spawn a task: {e}"),
        }
    }

    #[track_caller]
    pub(super) fn spawn_with<T: 'scope>(
        &'scope self,
        settings: task::Builder,
        f: impl FnOnce() -> T + 'scope,
    ) -> std::io::Result<ScopedJoinHandle<'scope, T>> {
        let task = settings.spawn_scoped(&self.0, f)?;
        let thread = task.task();
        Ok(ScopedJoinHandle { task, thread })
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task spawned in a [`scope`](scope()): joins it, asks after it. [`std::thread::ScopedJoinHandle`].
///
/// Dropping it detaches the task from the handle, not from the scope.
pub struct ScopedJoinHandle<'scope, T> {
    task: task::ScopedJoinHandle<'scope, T>,
    thread: Thread,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the task has ended and returns its value. A panic that is returned here is not the scope's any more.
    ///
    /// # Blocking
    /// Switches, unless the task has ended.
    ///
    /// # Errors
    /// See [`Result`].
    pub fn join(self) -> Result<T> {
        to_std(self.task.join())
    }

    /// The task: its name and id, and [`unpark`](Thread::unpark).
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Whether the task has ended.
    #[doc(alias = "is_alive")]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends the task, as [`task::JoinHandle::kill`](crate::task::JoinHandle::kill). Not in std.
    ///
    /// # Blocking
    /// Never switches.
    pub fn kill(&self) {
        self.task.kill();
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}
