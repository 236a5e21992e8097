//! What a server is made of: lanes with their slots, and the count of what has not ended.
//!
//! ```text
//! Core ── lanes: [Lane]         one per hub
//!           listener
//!           state: Mutex ─ slots: key ─► the task of a connection
//!           nudge              the accepting task waits here for a slot, or out a shortage
//!           quiet              who stops the server waits here for the connections
//! ```
//!
//! | state of a lane | accepting | slots | may become |
//! | --- | --- | --- | --- |
//! | open | yes | any | closing |
//! | closing: `closed` is set | until its task has noticed | fewer and fewer | over |
//! | over | no | none | – |
//! | closed with a connection added | – | – | forbidden: `enter` looks at `closed` under the lock |
//!
//! A slot is taken before the task is spawned and given back by a guard that lives in the task's closure, so also if the
//! task never starts or cannot be had. The handle in the slot is what ends the task; it is dropped by the same guard,
//! inside the task, which makes a panic one that nobody joins.
//!
//! The lock is held for a few instructions, by the lane's own tasks and by who stops the server from wherever. Nothing
//! waits under it, and no code of the user runs there (invariants 4 and 5): what is in a slot are handles to tasks without
//! a value.
#![forbid(unsafe_code)]

use core::panic::Location;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;

use super::listen::Listener;
use crate::clock::{Instant, deadline_after};
use crate::event::Event;
use crate::stack::StackSize;
use crate::task::{JoinHandle, Outcome, TaskId};

/// What is said at the end of a connection, and how long that may take.
pub(super) type Farewell<L> = (
    Duration,
    Arc<dyn Fn(&<L as Listener>::Stream, Outcome) + Send + Sync>,
);

/// Who is told of errors that the server goes on after.
pub(super) type OnError = Arc<dyn Fn(&io::Error) + Send + Sync>;

/// What was set before the start.
pub(super) struct Settings<L: Listener> {
    pub(super) name: Arc<str>,
    /// Connections at a time, in each lane.
    pub(super) pool: usize,
    pub(super) stack: StackSize,
    pub(super) farewell: Option<Farewell<L>>,
    pub(super) on_error: Option<OnError>,
    /// Where the server was started: the site of all its tasks.
    pub(super) site: &'static Location<'static>,
}

/// A server that was started.
pub(super) struct Core<L: Listener> {
    pub(super) settings: Settings<L>,
    pub(super) addr: L::Addr,
    pub(super) lanes: Box<[Lane<L>]>,
    /// Set when all of it has ended.
    pub(super) ended: Event,
    /// Lanes, or their threads if they have some, that have not ended.
    left: AtomicUsize,
    threads: bool,
    accepted: AtomicU64,
    error: Mutex<Option<io::Error>>,
}

impl<L: Listener> Core<L> {
    pub(super) fn new(
        settings: Settings<L>,
        addr: L::Addr,
        listeners: Vec<L>,
        threads: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings,
            addr,
            left: AtomicUsize::new(listeners.len()),
            lanes: listeners.into_iter().map(Lane::new).collect(),
            ended: Event::new(),
            threads,
            accepted: AtomicU64::new(0),
            error: Mutex::new(None),
        })
    }

    /// Refuses connections from now on.
    pub(super) fn close(&self) {
        for lane in &self.lanes {
            lane.close();
        }
    }

    /// One lane has ended, or the thread it had.
    pub(super) fn retire(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ended.set();
        }
    }

    /// Ends the server by an error of one of its listeners; the first one is kept.
    pub(super) fn fail(&self, error: io::Error) {
        lock(&self.error).get_or_insert(error);
        self.close();
    }

    /// A copy of the error that has ended it, if one has.
    pub(super) fn error(&self) -> Option<io::Error> {
        lock(&self.error).as_ref().map(|e| match e.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(e.kind(), e.to_string()),
        })
    }

    pub(super) fn active(&self) -> usize {
        self.lanes.iter().map(|lane| lane.lock().slots.len()).sum()
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that a stop has to wait for.
    pub(super) fn awaited(&self) -> usize {
        self.lanes.iter().map(Lane::awaited).sum()
    }

    /// Waits until there are none such, until the deadline at most.
    pub(super) fn wait_quiet(&self, limit: Duration) {
        let deadline = deadline_after(limit);
        for lane in &self.lanes {
            let left = deadline.map_or(limit, |d| d.saturating_duration_since(Instant::now()));
            lane.quiet.wait_timeout(left);
        }
    }

    /// Kills the tasks of all connections that a stop has to wait for, and says how many these were.
    pub(super) fn kill_all(&self) -> usize {
        self.lanes.iter().map(Lane::kill_all).sum()
    }

    /// Has stops not wait for the connection whose task this is, if it is one. True if it is.
    pub(super) fn excuse(&self, task: TaskId) -> bool {
        self.lanes
            .iter()
            .fold(false, |found, lane| lane.excuse(task) | found)
    }
}

/// One hub's part.
pub(super) struct Lane<L> {
    /// Until nothing accepts any more: then its descriptor is closed, whoever still has a handle to the server.
    listener: Mutex<Option<Arc<L>>>,
    state: Mutex<State>,
    nudge: Event,
    quiet: Event,
    /// Set when nothing accepts and no connection is left.
    pub(super) over: Event,
}

#[derive(Debug)]
struct State {
    slots: Slab<Slot>,
    accepting: bool,
    closed: bool,
    killing: bool,
    /// The accepting task waits for a slot.
    wants_room: bool,
    /// How many slots are excused.
    excused: usize,
}

#[derive(Debug, Default)]
struct Slot {
    /// `None` for the moment between taking the slot and spawning the task.
    task: Option<JoinHandle<()>>,
    /// It is stopping the server itself: nobody waits for it.
    excused: bool,
}

impl State {
    fn is_quiet(&self) -> bool {
        self.closed && self.slots.len() == self.excused
    }

    fn is_over(&self) -> bool {
        !self.accepting && self.slots.is_empty()
    }
}

impl<L: Listener> Lane<L> {
    fn new(listener: L) -> Self {
        Self {
            listener: Mutex::new(Some(Arc::new(listener))),
            state: Mutex::new(State {
                slots: Slab::new(),
                accepting: true,
                closed: false,
                killing: false,
                wants_room: false,
                excused: 0,
            }),
            nudge: Event::new(),
            quiet: Event::new(),
            over: Event::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What accepts, if it still does.
    pub(super) fn listener(&self) -> Option<Arc<L>> {
        lock(&self.listener).clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn close(&self) {
        let quiet = {
            let mut state = self.lock();
            state.closed = true;
            state.is_quiet()
        };
        if let Some(listener) = self.listener() {
            listener.close();
        }
        self.nudge.set();
        if quiet {
            self.quiet.set();
        }
    }

    /// Waits until there are fewer than `most` connections. False if the lane is closed.
    pub(super) fn wait_for_room(&self, most: usize) -> bool {
        loop {
            {
                let mut state = self.lock();
                if state.closed {
                    return false;
                }
                if state.slots.len() < most {
                    return true;
                }
                // Both under the lock: who gives a slot back after this sees that it is wanted, and sets it again.
                state.wants_room = true;
                self.nudge.clear();
            }
            self.nudge.wait();
        }
    }

    /// Waits for that long; less if the lane is closed.
    pub(super) fn wait_out(&self, d: Duration) {
        {
            let state = self.lock();
            if state.closed {
                return;
            }
            self.nudge.clear();
        }
        self.nudge.wait_timeout(d);
    }

    /// Puts a connection's task into its slot. It has not run yet.
    pub(super) fn assign(&self, key: usize, task: JoinHandle<()>) {
        let mut state = self.lock();
        if state.killing {
            task.kill();
        }
        state.slots[key].task = Some(task);
    }

    fn awaited(&self) -> usize {
        let (gone, awaited) = {
            let mut state = self.lock();
            let gone = state.take_gone();
            (gone, state.slots.len() - state.excused)
        };
        drop(gone);
        awaited
    }

    fn kill_all(&self) -> usize {
        let mut state = self.lock();
        state.killing = true;
        let mut killed = 0;
        for (_, slot) in &state.slots {
            if !slot.excused {
                killed += 1;
                // Only enqueues: the task unwinds when its turn comes.
                if let Some(task) = &slot.task {
                    task.kill();
                }
            }
        }
        killed
    }

    fn excuse(&self, task: TaskId) -> bool {
        let quiet = {
            let mut state = self.lock();
            let state = &mut *state;
            let mut slots = state.slots.iter_mut().map(|(_, slot)| slot);
            let is_own = |slot: &&mut Slot| slot.task.as_ref().is_some_and(|t| t.id() == task);
            let Some(own) = slots.find(is_own) else {
                return false;
            };
            if !own.excused {
                own.excused = true;
                state.excused += 1;
            }
            state.is_quiet()
        };
        if quiet {
            self.quiet.set();
        }
        true
    }
}

impl State {
    /// Takes out the slots of tasks whose hub has ended under them: no guard of theirs will ever run.
    fn take_gone(&mut self) -> Vec<Slot> {
        let gone: Vec<usize> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.task.as_ref().is_some_and(JoinHandle::is_finished))
            .map(|(key, _)| key)
            .collect();
        gone.into_iter().map(|key| self.remove(key)).collect()
    }

    fn remove(&mut self, key: usize) -> Slot {
        let slot = self.slots.remove(key);
        self.excused -= usize::from(slot.excused);
        slot
    }
}

/// The claim of a connection on its slot. Dropped at the end of its task, or with its closure.
pub(super) struct Seat<L: Listener> {
    pub(super) core: Arc<Core<L>>,
    lane: usize,
    pub(super) key: usize,
}

impl<L: Listener> Seat<L> {
    /// Takes a slot of a lane. `None` if that is closed.
    pub(super) fn take(door: &Door<L>) -> Option<Self> {
        let Door { core, lane } = door;
        let mut state = core.lanes[*lane].lock();
        if state.closed {
            return None;
        }
        let key = state.slots.insert(Slot::default());
        drop(state);
        core.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            core: Arc::clone(core),
            lane: *lane,
            key,
        })
    }
}

impl<L: Listener> Drop for Seat<L> {
    fn drop(&mut self) {
        let lane = &self.core.lanes[self.lane];
        let (slot, wanted, quiet, over) = {
            let mut state = lane.lock();
            if !state.slots.contains(self.key) {
                // Taken out as one whose hub has ended, and whose thread is unwinding it after all.
                return;
            }
            let slot = state.remove(self.key);
            let wanted = core::mem::take(&mut state.wants_room);
            (slot, wanted, state.is_quiet(), state.is_over())
        };
        // Detaches the task.
        drop(slot);
        if wanted {
            lane.nudge.set();
        }
        if quiet {
            lane.quiet.set();
        }
        if over {
            over_now(&self.core, lane);
        }
    }
}

/// The claim of the accepting task on its lane. Dropped however that task ends, or with its closure.
pub(super) struct Door<L: Listener> {
    pub(super) core: Arc<Core<L>>,
    pub(super) lane: usize,
}

impl<L: Listener> Door<L> {
    pub(super) fn new(core: &Arc<Core<L>>, lane: usize) -> Self {
        Self {
            core: Arc::clone(core),
            lane,
        }
    }
}

impl<L: Listener> Drop for Door<L> {
    fn drop(&mut self) {
        let lane = &self.core.lanes[self.lane];
        lane.close();
        let listener = lock(&lane.listener).take();
        drop(listener);
        let over = {
            let mut state = lane.lock();
            state.accepting = false;
            state.is_over()
        };
        if over {
            over_now(&self.core, lane);
        }
    }
}

fn over_now<L: Listener>(core: &Core<L>, lane: &Lane<L>) {
    lane.over.set();
    if !core.threads {
        core.retire();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that could panic leaves it half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
