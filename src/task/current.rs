//! The running task as a handle; `park` and `unpark`; who else is there.
//!
//! ```text
//! unpark ── on the task's thread ──► TOKEN set; IN_PARK and parked? runnable
//!    └───── elsewhere: a message ──► the same, in the task's hub
//! park   ── TOKEN? cleared, on at once : IN_PARK, parks until TOKEN
//! ```
//!
//! There is one token (std's rule): any number of `unpark` calls before a `park` are one. The bits lie in the control block
//! and are touched by its own thread only (invariant 1), so none of this is atomic.
//!
//! This file wakes nothing but a `park`: an `unpark` that comes during another wait leaves its token and that wait alone.
#![forbid(unsafe_code)]

use core::fmt;
use core::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::handle::{Address, Place, Seen, TaskId};
use super::record::{IN_PARK, TOKEN};
use crate::clock::{Instant, deadline_after};
use crate::greenlet::control::{ControlRef, State, flag};
use crate::greenlet::engine;
use crate::greenlet::hot::{Hot, hot};
use crate::greenlet::seed::Subject;
use crate::greenlet::wake;
use crate::hub::HubHandle;
use crate::hub::frame::with_wait;
use crate::hub::sched::{self, Hub};
use crate::park::{End, How, Reason, Report, Ticket, Waiting, park_until};

/// A task as others may name it: for [`unpark`](Self::unpark), messages and logs.
///
/// It may also be a greenlet, or a thread's main greenlet. It keeps nothing alive, may be sent to any thread, and has no
/// claim on the result: that is [`JoinHandle`](super::JoinHandle)'s.
#[derive(Clone)]
#[doc(alias = "Thread")]
pub struct Task {
    address: Address,
    name: Option<Arc<str>>,
}

impl Task {
    pub(super) fn new(address: Address, name: Option<Arc<str>>) -> Self {
        Self { address, name }
    }

    /// Its id.
    pub fn id(&self) -> TaskId {
        TaskId(self.address.id)
    }

    /// Its name, if it has one. A thread's main greenlet has that of the thread, "main" on the first.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The hub that runs it.
    pub fn hub(&self) -> HubHandle {
        HubHandle::of(self.address.hub)
    }

    /// Leaves the task a token, which ends its [`park`], or the next one. From any thread; nothing if it has ended.
    ///
    /// # Blocking
    /// Never switches.
    pub fn unpark(&self) {
        match self.address.look() {
            Seen::Here(hot, _, task) => {
                if self.address.is(task) {
                    unpark_here(hot, task);
                }
            }
            Seen::There => self.address.call(|hot, _, task| unpark_here(hot, task)),
            Seen::Gone => {}
        }
    }

    /// As [`JoinHandle::kill`](super::JoinHandle::kill), for who keeps account of tasks whose handles others have.
    pub(crate) fn kill(&self) {
        self.address.kill();
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.address.id == other.address.id
    }
}

impl Eq for Task {}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.address.id)
            .field("name", &self.name)
            .finish()
    }
}

fn unpark_here(hot: &'static Hot, task: Subject) {
    // Ended: nobody will ever look for the token.
    let Some(c) = task.control(hot) else { return };
    let bits = c.upper.handle.get();
    c.upper.handle.set(bits | TOKEN);
    // Not New: a task whose start time has not come has an epoch too, and is not started by this.
    if bits & IN_PARK != 0 && c.state.get() == State::Parked {
        wake::unpark(hot, c, c.park_epoch.get());
    }
}

/// The running greenlet and its hub, which is made if there is none.
#[track_caller]
fn running() -> (&'static Hot, &'static Hub, ControlRef) {
    match sched::ensure() {
        Ok((hot, hub)) => (hot, hub, engine::enter().1),
        Err(e) => panic!("failed to make a hub: {e}"),
    }
}

fn name_of(hot: &'static Hot, c: ControlRef) -> Option<Arc<str>> {
    if c == hot.hub() {
        return Some("hub".into());
    }
    match c.name() {
        None if c.is_native() => std::thread::current().name().map(Into::into),
        name => name,
    }
}

/// The running task, greenlet or main greenlet. In a callback of the hub, a stand-in named "hub".
///
/// ```
/// use greenloom::task;
///
/// let sleeper = greenloom::spawn(task::park);
/// sleeper.task().unpark();
/// sleeper.join().unwrap();
/// assert_eq!(greenloom::current().name(), Some("main"));
/// ```
///
/// # Panics
/// If the thread has no hub and cannot get one: no descriptor for its poll, or the thread is ending.
#[doc(alias = "getcurrent")]
#[doc(alias = "current_thread")]
#[must_use]
#[track_caller]
pub fn current() -> Task {
    let (hot, hub, me) = running();
    let address = Address {
        hub: hub.handle(),
        place: Place::Known(me.address()),
        id: me.id.get(),
    };
    Task::new(address, name_of(hot, me))
}

/// The id of the running task, as [`current`] has it; needs no hub.
///
/// # Panics
/// If the thread is ending.
#[must_use]
pub fn id() -> TaskId {
    TaskId(engine::enter().1.id.get())
}

/// The name of the running task, as [`current`] has it; needs no hub.
///
/// # Panics
/// If the thread is ending.
#[must_use]
pub fn name() -> Option<Arc<str>> {
    let (hot, me) = engine::enter();
    name_of(hot, me)
}

/// Waits for the running task's token.
struct Token(ControlRef);

impl Waiting for Token {
    fn granted(&self) -> bool {
        self.0.upper.handle.get() & TOKEN != 0
    }
}

impl Token {
    fn put(&self, bits: u8) {
        self.0.upper.handle.set(self.0.upper.handle.get() | bits);
    }

    fn clear(&self, bits: u8) {
        self.0.upper.handle.set(self.0.upper.handle.get() & !bits);
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.clear(IN_PARK);
    }
}

/// Waits until somebody calls [`Task::unpark`] for this task; not at all if that has happened since the last `park`.
///
/// Returns for an `unpark` only, never by chance. Other tasks run meanwhile.
///
/// # Blocking
/// Switches, unless the token is there. Kills and deadlines are delivered here.
///
/// # Panics
/// In a callback of the hub; if the thread needs a hub and cannot get one; on main with the deadlock, if nothing can
/// happen any more.
#[track_caller]
pub fn park() {
    park_to(None);
}

/// As [`park`], for at most `d`. Does not tell which it was.
///
/// # Blocking
/// As [`park`]. An enclosing `timeout` that expires first ends it like its own time.
///
/// # Panics
/// As [`park`].
#[track_caller]
pub fn park_timeout(d: Duration) {
    park_to(Some(deadline_after(d)));
}

/// `None`: no limit; `Some(None)`: one out of a clock's reach.
#[track_caller]
fn park_to(limit: Option<Option<Instant>>) {
    let (_, _, me) = running();
    let token = Token(me);
    let how = How {
        reasons: &[Reason::new("park", 0)],
        deadline: limit.flatten(),
        report: Report {
            elapsed: limit.is_some(),
            ..Report::NOTHING
        },
    };
    let ticket = Ticket::must();
    token.put(IN_PARK);
    if let End::Granted = park_until(ticket, &how, &token) {
        token.clear(TOKEN);
    }
}

/// What a task does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It waits for its start time ([`spawn_later`](super::spawn_later)).
    New,
    /// It will run, or start, when its turn comes.
    Runnable,
    /// It runs: it is the one that asks.
    Running,
    /// It waits.
    Parked,
}

/// What is known of a task from outside: see [`list`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its id.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// What it does at the moment.
    pub state: TaskState,
    /// What it waits for, in a few words, if it does.
    pub waits_for: Option<String>,
    /// Where it was spawned.
    pub spawned_at: Option<&'static Location<'static>>,
    /// Whether it is a daemon: does not keep the hub alive.
    pub daemon: bool,
}

/// How many tasks of this thread have not ended. Main and greenlets do not count.
#[doc(alias = "active_count")]
#[must_use]
pub fn count() -> usize {
    sched::get(hot()).map_or(0, |hub| hub.tasks.get())
}

/// The tasks of this thread that have not ended, oldest id first. A snapshot, for people and logs.
///
/// It looks at every stack that the thread ever used: not for a hot path.
#[doc(alias = "enumerate")]
#[must_use]
pub fn list() -> Vec<TaskInfo> {
    let hot = hot();
    let mut tasks = Vec::new();
    engine::for_each(hot, |c| {
        if c.has(flag::TASK) && c.state.get() != State::Dead {
            tasks.push(c);
        }
    });
    let mut infos: Vec<_> = tasks.into_iter().map(|c| info(hot, c)).collect();
    hot.with_seeds(|seeds| {
        seeds.for_each(|seed| {
            if seed.is_unstarted() {
                infos.push(TaskInfo {
                    id: TaskId(seed.id()),
                    name: None,
                    state: TaskState::Runnable,
                    waits_for: None,
                    spawned_at: seed.site(),
                    daemon: false,
                });
            }
        });
    });
    infos.sort_unstable_by_key(|i| i.id);
    infos
}

fn info(hot: &'static Hot, c: ControlRef) -> TaskInfo {
    let state = match c.state.get() {
        State::New => TaskState::New,
        State::Runnable => TaskState::Runnable,
        State::Live if hot.current.get() == Some(c) => TaskState::Running,
        // A task that waits inside a greenlet scope of its own is suspended there.
        _ => TaskState::Parked,
    };
    let waits_for = (state == TaskState::Parked)
        .then(|| with_wait(c, |frame| frame.reasons.first().map(ToString::to_string)))
        .flatten()
        .flatten();
    TaskInfo {
        id: TaskId(c.id.get()),
        name: c.name(),
        state,
        waits_for,
        spawned_at: c.site(),
        daemon: c.has(flag::DAEMON),
    }
}
