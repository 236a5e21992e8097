//! Scopes of tasks: tasks that borrow from the caller's stack.
//!
//! ```text
//! scope(|s| …)          frame of `scope`: Core { alive, panicked, waiter, children }
//!    s.spawn(f) ──────► task: Body { f, packet, done }        f and its value may borrow 'env and 's
//!                          │         │       └─ dropped last: alive − 1, the last wakes the scope
//!                          │         └─ Rc, shared with the handle: the value lives here, never in the task's slot
//!                          └─ run or dropped before that
//! end: waits, shielded, until alive = 0
//! ```
//!
//! # Why borrowing is sound
//!
//! A task's body is handed to the hub with its lifetime forgotten (one `unsafe`, in `spawn_with`). So everything that may
//! borrow has to be gone when `scope` returns, however it returns:
//!
//! - *the closure*: `Body` drops it, or has run it, before `done`; this holds for a body that returns, panics, is killed,
//!   is dropped because it never started, or because no stack could be had (drop order of the fields; of locals in `run`);
//! - *the value*: it is in the packet. The task's share of that goes before `done`; the other is the handle's, which cannot
//!   leave `'s`, and `'s` ends before `scope` returns (a handle that is leaked leaks its value, which nobody can reach);
//! - *what the dead task keeps*: a `()`, or the payload of a panic, which is `'static`. Task-locals are `'static` too.
//!
//! And `scope` does not return, nor unwind, before `alive` is 0: the wait at its end is shielded (invariant 13), cannot be
//! skipped since it is not in a destructor of the user's, and aborts the process if the hub fails under it. Tasks that
//! cannot run any more (their thread ended: invariant 9; the copies in a forked child) touch nothing: then the scope's
//! frame is leaked with them, or is the child's own.
//!
//! All of this is on one thread (invariant 1); `Core` is Cells.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;

use super::handle::{JoinError, JoinHandle, TaskId};
use super::record::{OBSERVED, SCOPED};
use super::{Builder, create_borrowing, handle_of};
use crate::greenlet::control::{ControlRef, State, attention};
use crate::greenlet::error::Deadlock;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::greenlet::interrupt::{KillPayload, shielded};
use crate::greenlet::wake;
use crate::greenlet::{engine, report};
use crate::hub::lifecycle::kill_task;
use crate::hub::sched::{self, Ref, Waiter};
use crate::park::{End, HeldBy, How, Reason, Report, Ticket, Waiting, park_until};

/// What a scope and its tasks share. Lives in the frame of `scope`.
struct Core {
    hub: Ref,
    /// Tasks whose body is not gone yet.
    alive: Cell<usize>,
    /// Tasks that panicked and were not joined.
    panicked: Cell<usize>,
    /// Who waits at the end.
    waiter: Cell<Option<Waiter>>,
    /// All tasks that may be alive, by control block and id; swept now and then.
    children: RefCell<Vec<(ControlRef, u64)>>,
}

/// One task fewer, when dropped. The scope may not be touched any more after that.
struct Done<'s>(&'s Core);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let left = self.0.alive.get() - 1;
        self.0.alive.set(left);
        if left == 0
            && let Some(w) = self.0.waiter.get()
        {
            // Only enqueues (invariant 4): the scope cannot go on before this task gives way.
            wake::unpark(hot(), w.control, w.epoch);
        }
    }
}

struct Packet<T> {
    value: Cell<Option<T>>,
}

/// What a scoped task consists of. The order of the fields is the order of their drop.
struct Body<'s, F, T> {
    f: F,
    packet: Rc<Packet<T>>,
    done: Done<'s>,
}

impl<F: FnOnce() -> T, T> Body<'_, F, T> {
    fn run(self) {
        // Declared first, hence dropped last on every way out.
        let done = self.done;
        let (f, packet) = (self.f, self.packet);
        // With the packet moved in: if nobody holds the other share, the value is dropped in there.
        let ended = engine::caught(move || packet.value.set(Some(f())));
        if let Err(payload) = ended {
            if !payload.is::<KillPayload>() {
                done.0.panicked.set(done.0.panicked.get() + 1);
            }
            resume_unwind(payload);
        }
    }
}

impl Core {
    fn adopt(&self, c: ControlRef) {
        let mut children = self.children.borrow_mut();
        if children.len() == children.capacity() {
            // Sweeping before each growth keeps the list within twice the number of living tasks.
            children.retain(is_alive);
            let room = children.len().max(8);
            children.reserve(room);
        }
        children.push((c, c.id.get()));
    }

    /// Asks for the end of every task of the scope; if all were asked before, of the tasks of all scopes of this thread: one
    /// of them may be what ours wait for, shielded, at the end of a scope of their own. True if there was one.
    fn kill_all(&self, hot: &'static Hot) -> bool {
        let own: Vec<_> = {
            let children = self.children.borrow();
            children
                .iter()
                .filter(|c| is_alive(c))
                .map(|c| c.0)
                .collect()
        };
        if kill_each(hot, own) {
            return true;
        }
        let mut scoped = Vec::new();
        engine::for_each(hot, |c| {
            if c.upper.handle.get() & SCOPED != 0 && c.state.get() != State::Dead {
                scoped.push(c);
            }
        });
        kill_each(hot, scoped)
    }

    /// Asks for the end of every task of the scope but the running one.
    fn kill_others(&self) {
        let hot = hot();
        let others = {
            let children = self.children.borrow();
            let others = children.iter().filter(|c| is_alive(c)).map(|c| c.0);
            others.filter(|c| hot.current.get() != Some(*c)).collect()
        };
        kill_each(hot, others);
    }

    /// Whether this is still the process and the hub that the tasks belong to.
    fn is_here(&self, hot: &'static Hot) -> bool {
        hot.phase.get() == Phase::Active
            && sched::get(hot).is_some_and(|hub| hub.handle() == self.hub)
    }

    /// Why it waits: for the oldest task that is left, as far as is known. A circle through any of them is a deadlock.
    fn reason(&self) -> Reason<'static> {
        let children = self.children.borrow();
        let oldest = children.iter().find(|c| is_alive(c)).map(|c| c.1);
        Reason::new(
            "end of a scope, and so of task",
            oldest.unwrap_or(0) as usize,
        )
        .held_by(oldest.map_or(HeldBy::Nobody, HeldBy::Known))
    }

    /// Waits until no task is left. Returns the deadlock for which they were killed, if they were.
    fn wait(&self, hot: &'static Hot, me: ControlRef) -> Option<Deadlock> {
        let mut told = None;
        while self.alive.get() > 0 {
            if !self.is_here(hot) {
                // A forked child: the tasks are the parent's and never run here.
                return told;
            }
            let ticket = match Ticket::new() {
                Ok(ticket) => ticket,
                Err(e) => report::abort_scope(&e),
            };
            let Ticket::Greenlet(_, _, waiter) = ticket else {
                unreachable!("a thread with tasks has a hub")
            };
            let how = How {
                reasons: &[self.reason()],
                deadline: None,
                report: Report {
                    deadlock: true,
                    ..Report::NOTHING
                },
            };
            self.waiter.set(Some(waiter));
            let end = shielded(me, || park_until(ticket, &how, &Gone(self)));
            self.waiter.set(None);
            if let End::Deadlock(deadlock) = end {
                if !self.kill_all(hot) {
                    report::abort_scope(&deadlock);
                }
                told.get_or_insert(deadlock);
            }
        }
        told
    }
}

/// Asks for the end of those that were not asked yet; true if there was one.
fn kill_each(hot: &'static Hot, tasks: Vec<ControlRef>) -> bool {
    let mut some = false;
    for c in tasks {
        if c.attention.get() & attention::KILL == 0 && !cfg!(panic = "abort") {
            some = true;
            kill_task(hot, c);
        }
    }
    some
}

fn is_alive((c, id): &(ControlRef, u64)) -> bool {
    c.id.get() == *id && c.state.get() != State::Dead
}

/// Waits for the end of all tasks.
struct Gone<'a>(&'a Core);

impl Waiting for Gone<'_> {
    fn granted(&self) -> bool {
        self.0.alive.get() == 0
    }
}

/// A wait that must not be left by unwinding.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        report::abort_scope(&"the hub failed");
    }
}

/// Spawns the tasks of a [`scope`](scope()).
pub struct Scope<'s, 'env: 's> {
    core: Core,
    // Invariant: a scope must not pass for one that ends earlier.
    scope: PhantomData<Cell<&'s ()>>,
    env: PhantomData<Cell<&'env ()>>,
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("alive", &self.core.alive.get())
            .finish_non_exhaustive()
    }
}

/// Runs `f`, which may spawn tasks that borrow from outside of it; waits for all of them.
///
/// [`std::thread::scope`] with tasks. Since they never leave the thread, they may borrow what is not `Sync`:
///
/// ```
/// use std::cell::RefCell;
///
/// let words = ["eat", "play"];
/// let log = RefCell::new(Vec::new());
/// let lengths = greenloom::task::scope(|s| {
///     let tasks = words.each_ref().map(|w| {
///         s.spawn(|| {
///             log.borrow_mut().push(*w);
///             w.len()
///         })
///     });
///     tasks.map(|t| t.join().unwrap())
/// });
/// assert_eq!(lengths, [3, 4]);
/// assert_eq!(*log.borrow(), ["eat", "play"]);
/// ```
///
/// # Blocking
/// Switches as `f` does, then until the last task has ended, also if `f` panicked. That wait is shielded: kills, deadlines
/// and deadlocks are held back. To end early, kill the tasks.
///
/// # Panics
/// As `f`; otherwise with "a scoped task panicked", if one did that was not joined. On main, if the tasks can never end:
/// they are killed and waited for, then it panics with the deadlock. In a callback of the hub; if the thread needs a hub
/// and cannot get one.
///
/// ```standalone_crate
/// // Nobody will ever unpark these, and there is no other thread.
/// let caught = std::panic::catch_unwind(|| {
///     greenloom::task::scope(|s| {
///         s.spawn(greenloom::task::park);
///         s.spawn(|| {
///             greenloom::task::scope(|inner| {
///                 inner.spawn(greenloom::task::park);
///             })
///         });
///     })
/// });
/// let message = caught.unwrap_err().downcast::<String>().unwrap();
/// assert!(message.starts_with("deadlock"));
/// assert_eq!(greenloom::task::count(), 0);
/// ```
///
/// # Aborts
/// If the tasks can never end though they were killed (they swallow it, or hold it back; or the program aborts on panic,
/// where a task that has started cannot be killed): the tasks borrow from the caller's frame, which therefore cannot be
/// left.
///
/// # What does not compile
/// A task cannot borrow what lives inside the closure:
/// ```compile_fail,E0373
/// greenloom::task::scope(|s| {
///     let inside = String::from("short-lived");
///     s.spawn(|| println!("{inside}"));
/// });
/// ```
/// ```compile_fail,E0597
/// greenloom::task::scope(|s| {
///     let inside = String::from("short-lived");
///     let borrowed = &inside;
///     s.spawn(move || println!("{borrowed}"));
/// });
/// ```
/// A handle cannot leave the scope:
/// ```compile_fail
/// let handle = greenloom::task::scope(|s| s.spawn(|| 1));
/// ```
/// Nor can a result outlive what it borrows:
/// ```compile_fail,E0505
/// let text = String::from("gone");
/// let borrowed: &str = greenloom::task::scope(|s| s.spawn(|| text.as_str()).join().unwrap());
/// drop(text);
/// println!("{borrowed}");
/// ```
#[track_caller]
pub fn scope<'env, R>(f: impl for<'s> FnOnce(&'s Scope<'s, 'env>) -> R) -> R {
    let hub = match sched::ensure() {
        Ok((_, hub)) => hub.handle(),
        Err(e) => panic!("a scope of tasks needs a hub: {e}"),
    };
    let (hot, me) = engine::enter();
    assert!(
        me != hot.hub(),
        "a scope of tasks cannot be opened in a callback of the hub"
    );
    let scope = Scope {
        core: Core {
            hub,
            alive: Cell::new(0),
            panicked: Cell::new(0),
            waiter: Cell::new(None),
            children: RefCell::new(Vec::new()),
        },
        scope: PhantomData,
        env: PhantomData,
    };
    let result = engine::caught(|| f(&scope));
    let guard = AbortOnUnwind;
    let told = scope.core.wait(hot, me);
    core::mem::forget(guard);
    let result = match result {
        Ok(r) => r,
        Err(payload) => resume_unwind(payload),
    };
    if let Some(deadlock) = told {
        panic!("{deadlock}");
    }
    assert!(scope.core.panicked.get() == 0, "a scoped task panicked");
    result
}

impl<'s> Scope<'s, '_> {
    /// Spawns a task of the scope. It runs when the caller gives way.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// If no stack can be had; [`Builder::spawn_scoped`] returns the error.
    #[track_caller]
    pub fn spawn<T: 's>(&'s self, f: impl FnOnce() -> T + 's) -> ScopedJoinHandle<'s, T> {
        match self.spawn_with(Builder::new(), Location::caller(), f) {
            Ok(handle) => handle,
            Err(e) => panic!("failed to spawn a task: {e}"),
        }
    }

    pub(super) fn kill_others(&self) {
        self.core.kill_others();
    }

    pub(super) fn spawn_with<T: 's>(
        &'s self,
        settings: Builder,
        site: &'static Location<'static>,
        f: impl FnOnce() -> T + 's,
    ) -> io::Result<ScopedJoinHandle<'s, T>> {
        let core = &self.core;
        let (settings, inherited) = settings.inherited();
        let f = move || {
            inherited.adopt();
            f()
        };
        let packet = Rc::new(Packet {
            value: Cell::new(None),
        });
        core.alive.set(core.alive.get() + 1);
        let body = Body {
            f,
            packet: Rc::clone(&packet),
            done: Done(core),
        };
        // SAFETY: the body borrows for `'s`, and is run or dropped before its `done`, without which `scope` does not end
        // `'s` (see the file's head); its value `()` borrows nothing, and is what the handle below fetches.
        let created =
            unsafe { create_borrowing(settings.size, settings.daemon, site, move || body.run()) };
        let (hot, hub, c) = created?;
        // Its panic is the scope's, if it is not joined: not one that nobody observes.
        c.upper.handle.set(OBSERVED | SCOPED);
        if settings.name.is_some() {
            c.set_name(settings.name.clone());
        }
        core.adopt(c);
        wake::make_runnable(hot, c);
        Ok(ScopedJoinHandle {
            handle: handle_of(hub, c.into(), c.id.get(), settings.name),
            packet,
            core,
        })
    }
}

/// A task spawned in a [`scope`](scope()): joins it, kills it, asks after it.
///
/// Dropping it detaches the task from the handle, not from the scope.
pub struct ScopedJoinHandle<'s, T> {
    handle: JoinHandle<()>,
    packet: Rc<Packet<T>>,
    core: &'s Core,
}

impl<T> ScopedJoinHandle<'_, T> {
    pub(super) fn handle(&self) -> &JoinHandle<()> {
        &self.handle
    }

    /// Waits until the task has ended and returns its value. A panic that is returned here is not the scope's any more.
    ///
    /// # Blocking
    /// Switches, unless the task has ended.
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    pub fn join(self) -> Result<T, JoinError> {
        let ended = self.handle.join();
        if let Err(JoinError::Panicked(_)) = ended {
            self.core.panicked.set(self.core.panicked.get() - 1);
        }
        // A task that has returned has left its value, and this is the only handle.
        ended.and_then(|()| self.packet.value.take().ok_or(JoinError::Lost))
    }

    /// As [`JoinHandle::kill`].
    pub fn kill(&self) {
        self.handle.kill();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.handle.id()
    }

    /// The task's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.handle.name()
    }

    /// The task itself: for [`Task::unpark`](super::Task::unpark).
    pub fn task(&self) -> super::Task {
        self.handle.task()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("finished", &self.is_finished())
            .finish()
    }
}
