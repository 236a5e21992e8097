//! Who is in a group, and who has which slot.
//!
//! ```text
//!   enter ──► entry { task: None, permit }     a key, never used again
//!   name  ──► entry { task: Some, permit }     as soon as the task exists; killed, if a kill of the group is under way
//!   remove (the member is dropped, or discarded, whichever is first) ──► no entry: slot back, then count down
//! ```
//!
//! | entry | member | |
//! | --- | --- | --- |
//! | there | alive | counts |
//! | gone | alive | was discarded: the task goes on outside of the group |
//! | gone | dropped | the end |
//! | there | dropped | **forbidden** |
//!
//! The slot lies in the entry and not with the member, so that a discarded task can leave it behind. Everything here may be
//! used by several threads; no code of users runs in the lock.
#![forbid(unsafe_code)]

use core::panic::Location;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::park::Lock;
use crate::sync::{OwnedPermit, Semaphore, WaitGroup};
use crate::task::{self, JoinHandle, Task, TaskId};

/// One task of the group.
struct Entry {
    task: Option<Task>,
    /// Its slot, if the group has any and it has got one.
    permit: Option<OwnedPermit>,
}

struct State {
    next_key: u64,
    /// By age.
    entries: BTreeMap<u64, Entry>,
    /// Calls of `kill` that wait.
    killers: usize,
}

/// See the file's head.
pub(super) struct Members {
    state: Lock<State>,
    /// Counts the entries, for those who wait until there are none.
    pub(super) empty: WaitGroup,
    pub(super) slots: Option<Arc<Semaphore>>,
}

impl Members {
    pub(super) fn new(slots: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            state: Lock::new(State {
                next_key: 0,
                entries: BTreeMap::new(),
                killers: 0,
            }),
            empty: WaitGroup::new(),
            slots: slots.map(|n| Arc::new(Semaphore::new(n))),
        })
    }

    /// A slot, sooner or later; none at all if there is no limit.
    #[track_caller]
    pub(super) fn slot(&self) -> Option<OwnedPermit> {
        self.slots.as_ref().map(Semaphore::acquire_owned)
    }

    /// As [`slot`](Self::slot), if it can be had at once.
    pub(super) fn try_slot(&self) -> Result<Option<OwnedPermit>, NoSlot> {
        match &self.slots {
            None => Ok(None),
            Some(slots) => slots.try_acquire_owned().map(Some).ok_or(NoSlot),
        }
    }

    /// A new member, not named yet.
    pub(super) fn enter(self: &Arc<Self>, permit: Option<OwnedPermit>) -> Member {
        self.empty.add(1);
        let entry = Entry { task: None, permit };
        let key = self.state.with(|s| {
            let key = s.next_key;
            s.next_key += 1;
            s.entries.insert(key, entry);
            key
        });
        Member {
            members: Arc::clone(self),
            key,
        }
    }

    /// Says which task the member is.
    pub(super) fn name(&self, key: u64, task: Task) {
        let doomed = self.state.with(|s| {
            let killed = s.killers > 0;
            let entry = s.entries.get_mut(&key)?;
            entry.task = Some(task.clone());
            killed.then_some(task)
        });
        if let Some(task) = doomed {
            task.kill();
        }
    }

    /// Takes the member off the list. False if it was off it.
    fn remove(&self, key: u64) -> bool {
        let Some(entry) = self.state.with(|s| s.entries.remove(&key)) else {
            return false;
        };
        // First: who waits for the end of all finds the slots free.
        drop(entry);
        self.empty.done();
        true
    }

    /// Takes the task off the list, by its id.
    pub(super) fn discard(&self, id: TaskId) -> bool {
        let key = self.state.with(|s| {
            let mut entries = s.entries.iter();
            entries.find(|(_, e)| e.is(id)).map(|(key, _)| *key)
        });
        key.is_some_and(|key| self.remove(key))
    }

    pub(super) fn contains(&self, id: TaskId) -> bool {
        self.state.with(|s| s.entries.values().any(|e| e.is(id)))
    }

    /// Whether the running task is one of the members.
    pub(super) fn is_own(&self) -> bool {
        self.contains(task::id())
    }

    pub(super) fn len(&self) -> usize {
        self.state.with(|s| s.entries.len())
    }

    /// All tasks, the oldest first.
    pub(super) fn tasks(&self) -> Vec<Task> {
        self.state
            .with(|s| s.entries.values().filter_map(|e| e.task.clone()).collect())
    }

    /// Asks for the end of all, and of those that come while the guard lives.
    pub(super) fn kill(&self) -> Killing<'_> {
        self.state.with(|s| s.killers += 1);
        let killing = Killing(self);
        for task in self.tasks() {
            task.kill();
        }
        killing
    }

    /// Spawns a member that has its slot.
    #[track_caller]
    pub(super) fn spawn<T: 'static>(
        self: &Arc<Self>,
        permit: Option<OwnedPermit>,
        f: impl FnOnce() -> T + 'static,
        after: impl Sized + 'static,
    ) -> JoinHandle<T> {
        self.spawn_from(Location::caller(), permit, f, after)
    }

    /// As [`spawn`](Self::spawn), on behalf of a call that was made at `site`.
    #[track_caller]
    pub(super) fn spawn_from<T: 'static>(
        self: &Arc<Self>,
        site: &'static Location<'static>,
        permit: Option<OwnedPermit>,
        f: impl FnOnce() -> T + 'static,
        after: impl Sized + 'static,
    ) -> JoinHandle<T> {
        let member = self.enter(permit);
        let key = member.key;
        let body = Body { f, member, after };
        let handle = task::spawn_from(site, move || body.run());
        self.name(key, handle.task());
        handle
    }
}

impl Entry {
    fn is(&self, id: TaskId) -> bool {
        self.task.as_ref().is_some_and(|task| task.id() == id)
    }
}

/// All slots are taken.
pub(super) struct NoSlot;

/// A kill of the group is under way.
pub(super) struct Killing<'a>(&'a Members);

impl Drop for Killing<'_> {
    fn drop(&mut self) {
        self.0.state.with(|s| s.killers -= 1);
    }
}

/// The membership of one task; ends when it is dropped.
pub(super) struct Member {
    members: Arc<Members>,
    key: u64,
}

impl Member {
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Waits for a slot, if there is a limit.
    #[track_caller]
    pub(super) fn take_slot(&self) {
        let permit = self.members.slot();
        // One that was discarded meanwhile has no entry: it needs none, and the slot goes back at once.
        let unneeded = self.members.state.with(|s| {
            let Some(entry) = s.entries.get_mut(&self.key) else {
                return permit;
            };
            entry.permit = permit;
            None
        });
        drop(unneeded);
    }

    /// Gives the slot back, and stays a member.
    pub(super) fn give_back(&self) {
        let permit = self
            .members
            .state
            .with(|s| s.entries.get_mut(&self.key)?.permit.take());
        drop(permit);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.members.remove(self.key);
    }
}

/// What a member consists of. The order of the fields is the order of their drop.
struct Body<F, A> {
    f: F,
    member: Member,
    after: A,
}

impl<T, F: FnOnce() -> T, A> Body<F, A> {
    fn run(self) -> T {
        let Self { f, member, after } = self;
        // On every way out of `f`: first the member goes, then the rest.
        let _after = after;
        let _member = member;
        f()
    }
}
