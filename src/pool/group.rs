//! `Group`: tasks that are joined, killed and counted together.
#![forbid(unsafe_code)]

use core::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::call::{AsyncCall, OnError, inline};
use super::imap::{Feed, Imap, ImapUnordered};
use super::members::Members;
use crate::task::{self, JoinError, JoinHandle, Task, TaskId};

/// Tasks that are joined, killed and counted together: gevent's `Group`.
///
/// A handle: clones are the same group. A task leaves the group when its closure has ended, however it did.
///
/// ```
/// use greenloom::pool::Group;
/// use greenloom::task;
///
/// let group = Group::new();
/// for _ in 0..3 {
///     group.spawn(task::park);
/// }
/// let other = greenloom::spawn(task::park);
/// group.add(&other);
/// assert_eq!(group.len(), 4);
/// group.kill();
/// assert!(group.is_empty());
/// assert!(other.join().unwrap_err().is_killed());
/// ```
#[derive(Clone)]
pub struct Group {
    pub(super) members: Arc<Members>,
}

impl Group {
    /// With nobody in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            members: Members::new(None),
        }
    }

    /// Spawns a task of the group, on the hub of the calling thread. It runs when the caller gives way.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        let permit = self.members.slot();
        self.members.spawn(permit, f, ())
    }

    /// Makes a task that exists one of the group; nothing if it is one or has ended.
    ///
    /// It leaves the group a turn after its end.
    ///
    /// # Blocking
    /// Never switches.
    #[track_caller]
    pub fn add<T>(&self, task: &JoinHandle<T>) {
        if self.members.contains(task.id()) {
            return;
        }
        let permit = self.members.slot();
        let member = self.members.enter(permit);
        self.members.name(member.key(), task.task());
        task.keep_until_end(member);
    }

    /// Takes a task out of the group, which goes on; false if it was not in it.
    ///
    /// # Blocking
    /// Never switches.
    pub fn discard(&self, task: TaskId) -> bool {
        self.members.discard(task)
    }

    /// Whether a task is in the group.
    pub fn contains(&self, task: TaskId) -> bool {
        self.members.contains(task)
    }

    /// How many tasks are in the group.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is in the group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tasks that are in the group now, the oldest first.
    pub fn iter(&self) -> Tasks {
        Tasks(self.members.tasks().into_iter())
    }

    /// Waits until nobody is in the group: also for those that come meanwhile.
    ///
    /// # Blocking
    /// Switches, unless it is empty. Kills and the deadlines of enclosing `timeout` calls are delivered then.
    ///
    /// # Panics
    /// In a task of the group, which would wait for itself. In a callback of the hub; on main, with the deadlock, if the
    /// tasks can never end.
    #[track_caller]
    pub fn join(&self) {
        self.refuse_own();
        self.members.empty.wait();
    }

    /// As [`join`](Self::join), for at most `d`. False if the time passed first.
    ///
    /// # Blocking
    /// As [`join`](Self::join). An enclosing `timeout` that expires first ends it like its own time.
    ///
    /// # Panics
    /// As [`join`](Self::join).
    #[track_caller]
    pub fn join_timeout(&self, d: Duration) -> bool {
        self.refuse_own();
        self.members.empty.wait_timeout(d)
    }

    #[track_caller]
    fn refuse_own(&self) {
        assert!(
            self.is_empty() || !self.members.is_own(),
            "a task of a group would wait for itself to join the group"
        );
    }

    /// Kills all, then waits until they have ended. All are told before the first is waited for; a task that comes
    /// meanwhile is killed as well.
    ///
    /// In a task of the group, it kills that too: at the wait in this call.
    ///
    /// # Blocking
    /// As [`join`](Self::join).
    ///
    /// # Panics
    /// In a callback of the hub, unless the group is empty; on main, with the deadlock, if the tasks can never end.
    #[track_caller]
    pub fn kill(&self) {
        let _killing = self.members.kill();
        self.members.empty.wait();
    }

    /// As [`kill`](Self::kill), but waits for at most `d`. False if the time passed first.
    ///
    /// # Blocking
    /// As [`join_timeout`](Self::join_timeout).
    ///
    /// # Panics
    /// As [`kill`](Self::kill).
    #[track_caller]
    pub fn kill_timeout(&self, d: Duration) -> bool {
        let _killing = self.members.kill();
        self.members.empty.wait_timeout(d)
    }

    /// Calls `f` in a task of the group and waits for its result. In a task of the group, calls it there.
    ///
    /// # Blocking
    /// Switches. Kills and deadlines of the caller are delivered here; a task that was spawned then goes on, detached.
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    #[track_caller]
    pub fn apply<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> Result<T, JoinError> {
        if self.members.is_own() {
            return inline(f);
        }
        self.spawn(f).join()
    }

    /// Calls `f` in a task of the group, then one of the callbacks: `callback` with its value, or `error_callback` with why
    /// there is none. The value itself goes to the handle.
    ///
    /// Exactly one of the two is called. They run in the task, after `f`, and may wait; one that panics is reported as a
    /// callback's panic. What `error_callback` was told of is not reported otherwise. A task that is killed while it is in
    /// `callback` loses its value.
    ///
    /// ```
    /// use greenloom::pool::Pool;
    /// use std::{cell::RefCell, rc::Rc};
    ///
    /// let log = Rc::new(RefCell::new(Vec::new()));
    /// let (fine, bad) = (Rc::clone(&log), Rc::clone(&log));
    /// let pool = Pool::new(1);
    /// let result = pool.apply_async(
    ///     || 6 * 7,
    ///     move |value| fine.borrow_mut().push(format!("done: {value}")),
    ///     move |error| bad.borrow_mut().push(format!("failed: {error}")),
    /// );
    /// assert_eq!(result.join().unwrap(), 42);
    /// assert_eq!(*log.borrow(), ["done: 42"]);
    /// ```
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
        let member = self.members.enter(None);
        let key = member.key();
        let call = AsyncCall {
            f,
            callback,
            on_error: OnError::new(error_callback),
            member,
        };
        let handle = task::spawn(move || call.run());
        self.members.name(key, handle.task());
        // A link observes: a panic is the error callback's.
        handle.on_done(|_| ());
        handle
    }

    /// Calls `f` with each item, each in a task of its own, and returns the results in the order of the items. One that
    /// fails is an `Err` at its place.
    ///
    /// # Blocking
    /// Switches. If the caller is killed or its time expires, the tasks that were started go on, detached.
    ///
    /// # Errors
    /// Each item's own, as from [`JoinHandle::join`].
    #[doc(alias = "starmap")]
    #[track_caller]
    pub fn map<I, R, F>(&self, items: I, f: F) -> Vec<Result<R, JoinError>>
    where
        I: IntoIterator,
        I::Item: 'static,
        R: 'static,
        F: Fn(I::Item) -> R + 'static,
    {
        enum Started<R> {
            There(JoinHandle<R>),
            Here(Result<R, JoinError>),
        }
        let own = self.members.is_own();
        let f = Rc::new(f);
        let mut started = Vec::new();
        for item in items {
            let permit = match self.members.try_slot() {
                Ok(permit) => permit,
                // A task of the pool that waited for a slot of it might wait for itself.
                Err(_) if own => {
                    started.push(Started::Here(inline(|| f(item))));
                    continue;
                }
                Err(_) => self.members.slot(),
            };
            let f = Rc::clone(&f);
            let task = self.members.spawn(permit, move || f(item), ());
            started.push(Started::There(task));
        }
        let results = started.into_iter().map(|one| match one {
            Started::There(task) => task.join(),
            Started::Here(result) => result,
        });
        results.collect()
    }

    /// As [`map`](Self::map), lazily: see [`Imap`].
    #[track_caller]
    pub fn imap<I, R, F>(&self, items: I, f: F) -> Imap<I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
        R: 'static,
        F: Fn(I::Item) -> R + 'static,
    {
        Imap(Feed::new(Arc::clone(&self.members), items.into_iter(), f))
    }

    /// As [`imap`](Self::imap), with the results in the order in which they come: see [`ImapUnordered`].
    #[track_caller]
    pub fn imap_unordered<I, R, F>(&self, items: I, f: F) -> ImapUnordered<I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::IntoIter: 'static,
        I::Item: 'static,
        R: 'static,
        F: Fn(I::Item) -> R + 'static,
    {
        ImapUnordered(Feed::new(Arc::clone(&self.members), items.into_iter(), f))
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish()
    }
}

impl IntoIterator for &Group {
    type Item = Task;
    type IntoIter = Tasks;

    fn into_iter(self) -> Tasks {
        self.iter()
    }
}

/// The tasks that were in a group when it was asked: made by [`Group::iter`].
#[derive(Clone, Debug)]
#[must_use = "an iterator does nothing until it is asked"]
pub struct Tasks(std::vec::IntoIter<Task>);

impl Iterator for Tasks {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Tasks {}
