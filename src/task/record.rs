//! What a task is beyond a greenlet: its handle's state, who joins it, its links and locals; and how it ends.
//!
//! ```text
//! handle   DETACHED  nobody will fetch the outcome      OBSERVED  a link saw it, or a join will
//! joiner   the Joiner of who joins (one: a handle is not Clone)
//!
//! upper.handle   TOKEN  left by `unpark`                   IN_PARK   parked in `task::park`
//! upper.ext      Ext: links, watchers, locals; boxed, made when first needed
//! ```
//!
//! The first two lie in the seed of a task that has one, else in its control block, with the others.
//!
//! The end, in this order: locals are dropped (on the task's own stack) → dead → joiner told → links and watchers handed
//! to the hub, in the order of registration → an outcome that nobody fetches goes to the hub to be dropped there.
//!
//! The unsafe code here is two typed pointers that the control block keeps without their type.

use core::any::Any;
use core::cell::RefCell;
use std::rc::Rc;

use crate::greenlet::body::{self, Finish};
use crate::greenlet::control::{ControlRef, Ending, flag};
use crate::greenlet::hot::{Hot, hot};
use crate::greenlet::interrupt::shielded;
use crate::greenlet::seed::{self, Subject};
use crate::greenlet::wake;
use crate::greenlet::{engine, report};
use crate::hub::fork;
use crate::hub::sched::{self, Hub, Waiter};
use crate::park::LinkId;

/// Bits of the handle's state.
pub(super) const DETACHED: u8 = 1;
pub(super) const OBSERVED: u8 = 1 << 1;
/// In the control block: a token left by `unpark`.
pub(super) const TOKEN: u8 = 1 << 2;
/// Parked in `task::park`: an `unpark` wakes it.
pub(super) const IN_PARK: u8 = 1 << 3;

/// Spawned in a `task::scope`.
pub(super) const SCOPED: u8 = 1 << 4;

/// How a task ended, without the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It returned.
    Returned,
    /// It panicked.
    Panicked,
    /// It was killed.
    Killed,
}

impl Outcome {
    pub(super) fn of(ending: Ending) -> Self {
        match ending {
            Ending::Returned => Self::Returned,
            Ending::Panicked => Self::Panicked,
            Ending::Exited | Ending::None => Self::Killed,
        }
    }
}

pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) call: Box<dyn FnOnce(Outcome) + Send>,
}

/// Gets the task when it is dead, to fetch the outcome; `None` if its hub ended first.
pub(super) trait Watch {
    /// The task is dead, or its hub ends.
    fn tell(self: Box<Self>, task: Option<Subject>);

    /// Whether nobody waits for it any more.
    fn gone(&self) -> bool;
}

/// A watcher of any result type.
pub(super) type Watcher = Box<dyn Watch>;

/// Adds a watcher to a task that lives.
pub(super) fn add_watcher(c: ControlRef, watcher: Watcher) {
    with_ext(c, |e| {
        if e.watchers.len() == e.watchers.capacity() {
            // Before it grows: who joins with a limit, again and again, leaves one each time. They hold no value, so
            // their drop runs no user code.
            e.watchers.retain(|w| !w.gone());
        }
        e.watchers.push(watcher);
    });
}

/// One value of a task-local key.
pub(super) struct Local {
    /// The address of the key.
    pub(super) key: usize,
    /// `None` once it has been dropped, or while it is: the key is not made a second time in one life.
    pub(super) value: Option<Rc<dyn Any>>,
}

/// Who joins a task of its own thread; lives in the joiner's frame.
pub(super) struct Joiner<'a> {
    pub(super) waiter: Waiter,
    /// For a `join_all`: the list of those that have ended, and this task's number in it. Only the one that makes them
    /// enough wakes the joiner.
    pub(super) list: Option<(&'a Finished, usize)>,
}

/// The tasks that have ended, by number, in that order. With room for all from the start.
pub(super) struct Finished {
    pub(super) order: RefCell<Vec<usize>>,
    /// How many the joiner waits for.
    pub(super) enough: usize,
}

impl Finished {
    /// Notes that a task has ended. True if that makes them enough.
    pub(super) fn note(&self, number: usize) -> bool {
        let mut order = self.order.borrow_mut();
        order.push(number);
        order.len() == self.enough
    }
}

/// What few tasks have.
#[derive(Default)]
pub(super) struct Ext {
    pub(super) links: Vec<Link>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) locals: Vec<Local>,
}

/// Calls `f` with what few tasks have, made if need be. `f` may not run user code.
pub(super) fn with_ext<R>(c: ControlRef, f: impl FnOnce(&mut Ext) -> R) -> R {
    if c.upper.ext.get().is_null() {
        let ext = Box::into_raw(Box::new(RefCell::new(Ext::default())));
        c.upper.ext.set(ext.cast());
        hot().drop_ext.set(Some(drop_ext));
    }
    // SAFETY: invariant 1; the field `ext` is null or the box made above, until `take_ext` clears it.
    let ext = unsafe { &*c.upper.ext.get().cast::<RefCell<Ext>>() };
    f(&mut ext.borrow_mut())
}

/// As [`with_ext`], if there is any.
pub(super) fn peek_ext<R>(c: ControlRef, f: impl FnOnce(&mut Ext) -> R) -> Option<R> {
    (!c.upper.ext.get().is_null()).then(|| with_ext(c, f))
}

fn take_ext(c: ControlRef) -> Option<Box<RefCell<Ext>>> {
    let ext = c.upper.ext.replace(core::ptr::null_mut());
    // SAFETY: as in `with_ext`; cleared first, so nobody takes it twice, and no borrow is alive between calls.
    (!ext.is_null()).then(|| unsafe { Box::from_raw(ext.cast::<RefCell<Ext>>()) })
}

/// Drops the locals of the running `c`, the latest first, while its own stack can still run code.
///
/// A destructor may use the locals that are still there, and make others, which are dropped too: each key at most once in
/// a life, so this comes to an end. Kills are held back, as they are while a stack unwinds (invariant 7).
fn drop_locals(c: ControlRef) {
    let next = || {
        peek_ext(c, |e| {
            e.locals.iter_mut().rev().find_map(|l| l.value.take())
        })
    };
    shielded(c, || {
        while let Some(local) = next().flatten() {
            if let Err(payload) = engine::caught(|| drop(local)) {
                report::unobserved(c, payload);
            }
        }
    });
}

/// A greenlet that is no task ends, or the thread of `c` does: then no destructor of `c` runs (invariant 9), but who joins
/// it from another thread is told.
fn drop_ext(c: ControlRef) {
    let running = hot().current.get() == Some(c);
    if running {
        drop_locals(c);
    }
    let Some(ext) = take_ext(c) else { return };
    let mut ext = ext.into_inner();
    if !running {
        core::mem::forget(core::mem::take(&mut ext.locals));
        core::mem::forget(core::mem::take(&mut ext.links));
    }
    for watcher in ext.watchers {
        watcher.tell(None);
    }
}

/// How tasks end.
pub(super) struct TaskEnd;

impl Finish for TaskEnd {
    fn finish(c: ControlRef) {
        let hot = hot();
        let Some(hub) = sched::get(hot) else {
            fork::abandoned(hot)
        };
        if fork::is_parents(hot, c) {
            fork::abandoned(hot);
        }
        // What few tasks have is kept out of the way of those that have not.
        let ext = if c.upper.ext.get().is_null() {
            None
        } else {
            end_ext(c)
        };
        wake::retire(hot, c);
        hub.task_ended(hot, c.has(flag::DAEMON));
        hot.current.set(Some(hot.hub()));
        // Asked once which it is, not at each step. Of a seed's `c` nothing is used after the harvest.
        if c.has(flag::SEEDED) {
            tell(hot, hub, seed::harvest(hot, c), ext);
        } else {
            tell(hot, hub, c, ext);
        }
    }
}

/// Tells those who wait for the end of `task`, which is dead.
#[inline(always)]
fn tell(
    hot: &'static Hot,
    hub: &'static Hub,
    task: impl Into<Subject>,
    ext: Option<Box<RefCell<Ext>>>,
) {
    let task = task.into();
    let joiner = task.joiner().get().cast::<Joiner<'_>>();
    // SAFETY: the field `joiner` is null or points into the frame of who joins, parked since: `Joining`,
    // `Watching` and the arm of a select clear it on every way out of that frame.
    if let Some(Joiner { waiter, list }) = unsafe { joiner.as_ref() }
        && list.is_none_or(|(list, number)| list.note(number))
    {
        if ext.is_none() {
            wake::hand_over(hot, waiter.control, waiter.epoch);
        } else {
            // Its links come first.
            wake::unpark(hot, waiter.control, waiter.epoch);
        }
    }
    if let Some(ext) = ext {
        hand_out(hot, hub, task, ext);
    }
    if task.handle().get() & DETACHED != 0 {
        settle(hot, hub, task);
    }
}

/// Drops the locals of `c` and takes the rest.
#[cold]
#[inline(never)]
fn end_ext(c: ControlRef) -> Option<Box<RefCell<Ext>>> {
    drop_locals(c);
    take_ext(c)
}

/// Hands links and watchers to the hub.
#[cold]
#[inline(never)]
#[expect(
    clippy::boxed_local,
    reason = "one word for the callers that have none"
)]
fn hand_out(hot: &'static Hot, hub: &'static Hub, task: Subject, ext: Box<RefCell<Ext>>) {
    let ext = ext.into_inner();
    let outcome = Outcome::of(task.ending());
    if !ext.links.is_empty() {
        task.handle().set(task.handle().get() | OBSERVED);
    }
    for link in ext.links {
        hub.call_soon(hot, move || (link.call)(outcome));
    }
    for watcher in ext.watchers {
        hub.call_soon(hot, move || watcher.tell(Some(task)));
    }
}

/// Sees to the outcome of a dead task that nobody will fetch, and to its memory. What runs code of others runs in the hub.
pub(super) fn settle(hot: &'static Hot, hub: &'static Hub, task: Subject) {
    debug_assert!(task.is_dead());
    if body::discard_runs_code(task) {
        hub.call_soon(hot, move || {
            if task.handle().get() & OBSERVED != 0
                && let Some(payload) = task.take_panic()
            {
                let _ = engine::caught(|| drop(payload)).map_err(core::mem::forget);
            }
            body::discard(task);
            task.release(self::hot());
        });
    } else {
        task.release(hot);
    }
}
