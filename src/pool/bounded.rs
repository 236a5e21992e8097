//! `Pool`: a group of which only so many run at a time.
#![forbid(unsafe_code)]

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::group::{Group, Tasks};
use super::imap::{Imap, ImapUnordered};
use super::members::Members;
use crate::sync::{OwnedPermit, Semaphore};
use crate::task::{JoinError, JoinHandle, TaskId};

/// A [`Group`] with a number of slots: gevent's `Pool`.
///
/// What a group does at once waits for a slot here. A handle: clones are the same pool.
///
/// ```
/// use greenloom::pool::Pool;
/// use greenloom::task;
///
/// let pool = Pool::new(2);
/// let first = pool.spawn(task::park);
/// pool.spawn(task::park);
/// let refused = pool.try_spawn(|| 7).unwrap_err();
/// first.task().unpark();
/// let late = pool.spawn(refused.into_inner()); // waits until `first` has ended
/// assert_eq!(late.join().unwrap(), 7);
/// assert_eq!((pool.len(), pool.free_count()), (1, 1));
/// pool.kill();
/// ```
///
/// A task of the pool that waits for a slot of the same pool may wait for itself, if all do it. So `apply` and `map`, called
/// in a task of the pool, do their work in place where there is no slot, and so does what feeds an `imap`.
/// [`spawn`](Self::spawn) does not.
#[derive(Clone)]
pub struct Pool {
    group: Group,
    slots: Arc<Semaphore>,
    size: usize,
}

/// There was no slot. Hands the closure back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<F>(F);

impl<F> Full<F> {
    /// The closure that was not spawned.
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> fmt::Debug for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<F> fmt::Display for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pool is full")
    }
}

impl<F> std::error::Error for Full<F> {}

impl Pool {
    /// With `size` slots.
    ///
    /// # Panics
    /// If that is zero: nothing could ever run.
    #[must_use]
    #[track_caller]
    pub fn new(size: usize) -> Self {
        assert!(size > 0, "a pool without slots cannot run anything");
        let members = Members::new(Some(size));
        let Some(slots) = members.slots.clone() else {
            unreachable!("made with slots")
        };
        Self {
            group: Group { members },
            slots,
            size,
        }
    }

    fn members(&self) -> &Arc<Members> {
        &self.group.members
    }

    /// How many slots it has.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many slots are free now.
    pub fn free_count(&self) -> usize {
        self.slots.available()
    }

    /// Whether no slot is free now.
    #[doc(alias = "full")]
    pub fn is_full(&self) -> bool {
        self.free_count() == 0
    }

    /// Waits until a slot is free, behind those who wait for one to use it. Returns how many are; somebody may take them
    /// before the caller does.
    ///
    /// # Blocking
    /// Switches, unless one is free. Kills and the deadlines of enclosing `timeout` calls are delivered then.
    ///
    /// # Panics
    /// In a callback of the hub; on main, with the deadlock, if none can come.
    #[track_caller]
    pub fn wait_available(&self) -> usize {
        drop(self.slots.acquire());
        self.free_count()
    }

    /// As [`wait_available`](Self::wait_available), for at most `d`. False if the time passed first.
    ///
    /// # Blocking
    /// As [`wait_available`](Self::wait_available). An enclosing `timeout` that expires first ends it like its own time.
    ///
    /// # Panics
    /// As [`wait_available`](Self::wait_available).
    #[track_caller]
    pub fn wait_available_timeout(&self, d: Duration) -> bool {
        self.slots.acquire_timeout(d).is_some()
    }

    /// Waits for a slot and spawns a task with it, on the hub of the calling thread. It runs when the caller gives way.
    ///
    /// # Blocking
    /// Switches, unless a slot is free. Kills and the deadlines of enclosing `timeout` calls are delivered then: the closure
    /// is dropped, and no slot is lost.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn); in a callback of the hub, if it would have to wait; on main, with the deadlock, if no slot
    /// can come.
    #[track_caller]
    pub fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        self.group.spawn(f)
    }

    /// Spawns a task if a slot is free and nobody waits for one.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// [`Full`] with the closure.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn try_spawn<T, F>(&self, f: F) -> Result<JoinHandle<T>, Full<F>>
    where
        T: 'static,
        F: FnOnce() -> T + 'static,
    {
        self.spawn_with(self.slots.try_acquire_owned(), f)
    }

    /// As [`spawn`](Self::spawn), but waits for a slot for at most `d`.
    ///
    /// # Blocking
    /// As [`spawn`](Self::spawn). An enclosing `timeout` that expires first ends it like its own time.
    ///
    /// # Errors
    /// [`Full`] with the closure.
    ///
    /// # Panics
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_timeout<T, F>(&self, f: F, d: Duration) -> Result<JoinHandle<T>, Full<F>>
    where
        T: 'static,
        F: FnOnce() -> T + 'static,
    {
        self.spawn_with(self.slots.acquire_owned_timeout(d), f)
    }

    #[track_caller]
    fn spawn_with<T, F>(&self, permit: Option<OwnedPermit>, f: F) -> Result<JoinHandle<T>, Full<F>>
    where
        T: 'static,
        F: FnOnce() -> T + 'static,
    {
        match permit {
            Some(permit) => Ok(self.members().spawn(Some(permit), f, ())),
            None => Err(Full(f)),
        }
    }

    /// Waits for a slot and makes a task that exists one of the pool, with that slot; otherwise as [`Group::add`].
    ///
    /// # Blocking
    /// As [`spawn`](Self::spawn).
    ///
    /// # Panics
    /// As [`wait_available`](Self::wait_available).
    #[track_caller]
    pub fn add<T>(&self, task: &JoinHandle<T>) {
        self.group.add(task);
    }

    /// Takes a task out of the pool, which goes on; its slot is free. False if it was not in it.
    pub fn discard(&self, task: TaskId) -> bool {
        self.group.discard(task)
    }

    /// Whether a task is in the pool.
    pub fn contains(&self, task: TaskId) -> bool {
        self.group.contains(task)
    }

    /// How many tasks are in the pool: those that have a slot, and those of [`apply_async`](Self::apply_async) that wait for
    /// theirs.
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// Whether nobody is in the pool.
    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// The tasks that are in the pool now, the oldest first.
    pub fn iter(&self) -> Tasks {
        self.group.iter()
    }

    /// As [`Group::join`].
    ///
    /// # Blocking
    /// As [`Group::join`].
    ///
    /// # Panics
    /// As [`Group::join`].
    #[track_caller]
    pub fn join(&self) {
        self.group.join();
    }

    /// As [`Group::join_timeout`].
    ///
    /// # Blocking
    /// As [`Group::join_timeout`].
    ///
    /// # Panics
    /// As [`Group::join`].
    #[track_caller]
    pub fn join_timeout(&self, d: Duration) -> bool {
        self.group.join_timeout(d)
    }

    /// As [`Group::kill`]. Who waits for a slot meanwhile gets it, and what it spawns then is killed as well.
    ///
    /// # Blocking
    /// As [`Group::kill`].
    ///
    /// # Panics
    /// As [`Group::kill`].
    #[track_caller]
    pub fn kill(&self) {
        self.group.kill();
    }

    /// As [`Group::kill_timeout`].
    ///
    /// # Blocking
    /// As [`Group::kill_timeout`].
    ///
    /// # Panics
    /// As [`Group::kill`].
    #[track_caller]
    pub fn kill_timeout(&self, d: Duration) -> bool {
        self.group.kill_timeout(d)
    }

    /// As [`Group::apply`], after a wait for a slot. In a task of the pool, calls `f` there, without one.
    ///
    /// # Blocking
    /// As [`Group::apply`].
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    ///
    /// # Panics
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn apply<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> Result<T, JoinError> {
        self.group.apply(f)
    }

    /// As [`Group::apply_async`]: the task waits for its slot itself, and has given it back when a callback runs.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn apply_async<T: 'static>(
        &self,
        f: impl FnOnce() -> T + 'static,
        callback: impl FnOnce(&T) + 'static,
        error_callback: impl FnOnce(&JoinError) + 'static,
    ) -> JoinHandle<T> {
        self.group.apply_async(f, callback, error_callback)
    }

    /// As [`Group::map`], each task with a slot.
    ///
    /// # Blocking
    /// As [`Group::map`].
    ///
    /// # Errors
    /// Each item's own.
    ///
    /// # Panics
    /// As [`spawn`](Self::spawn).
    #[doc(alias = "starmap")]
    #[track_caller]
    pub fn map<I, R, F>(&self, items: I, f: F) -> Vec<Result<R, JoinError>>
    where
        I: IntoIterator,
        I::Item: 'static,
        R: 'static,
        F: Fn(I::Item) -> R + 'static,
    {
        self.group.map(items, f)
    }

    /// As [`map`](Self::map), lazily; see [`Imap`]. Unless told otherwise, it starts as many items as the pool has slots
    /// before a result is taken.
    #[track_caller]
    pub fn imap<I, R, F>(&self, items: I, f: F) -> Imap<I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
        R: 'static,
        F: Fn(I::Item) -> R + 'static,
    {
        self.group.imap(items, f).max_pending(self.size)
    }

    /// As [`imap`](Self::imap), with the results in the order in which they come; see [`ImapUnordered`].
    #[track_caller]
    pub fn imap_unordered<I, R, F>(&self, items: I, f: F) -> ImapUnordered<I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
        R: 'static,
        F: Fn(I::Item) -> R + 'static,
    {
        self.group.imap_unordered(items, f).max_pending(self.size)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.size)
            .field("free", &self.free_count())
            .field("len", &self.len())
            .finish()
    }
}

impl IntoIterator for &Pool {
    type Item = crate::task::Task;
    type IntoIter = Tasks;

    fn into_iter(self) -> Tasks {
        self.iter()
    }
}
