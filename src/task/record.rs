//! What a task is beyond a greenlet: its handle's state, who joins it, its links and locals; and how it ends.
//!
//! ```text
//! upper.handle   DETACHED  nobody will fetch the outcome      OBSERVED  a link saw it, or a join will
//! upper.joiner   the park of who joins (one: a handle is not Clone)
//! upper.ext      Ext: links, watchers, locals; boxed, made when first needed
//! ```
//!
//! The end, in this order: locals are dropped (on the task's own stack) → dead → joiner woken → links and watchers handed
//! to the hub, in the order of registration → an outcome that nobody fetches goes to the hub to be dropped there.
//!
//! The unsafe code here is two typed pointers that the control block keeps without their type.

use core::any::Any;
use core::cell::RefCell;

use crate::greenlet::body::{self, Finish};
use crate::greenlet::control::{ControlRef, Ending, State, flag};
use crate::greenlet::hot::{Hot, hot};
use crate::greenlet::{engine, report};
use crate::hub::fork;
use crate::hub::sched::{self, Hub, Waiter};

/// Bits of `upper.handle`.
pub(super) const DETACHED: u8 = 1;
pub(super) const OBSERVED: u8 = 1 << 1;
/// A token left by `unpark`.
pub(super) const TOKEN: u8 = 1 << 2;

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

/// Names a link, to remove it: [`JoinHandle::unlink`](super::JoinHandle::unlink).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(pub(super) u64);

pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) call: Box<dyn FnOnce(Outcome) + Send>,
}

/// Gets the task when it is dead, to fetch the outcome; `None` if its hub ended first.
pub(super) type Watcher = Box<dyn FnOnce(Option<ControlRef>)>;

/// What few tasks have.
#[derive(Default)]
pub(super) struct Ext {
    pub(super) links: Vec<Link>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) locals: Vec<(usize, Box<dyn Any>)>,
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

fn take_ext(c: ControlRef) -> Option<Ext> {
    let ext = c.upper.ext.replace(core::ptr::null_mut());
    // SAFETY: as in `with_ext`; cleared first, so nobody takes it twice, and no borrow is alive between calls.
    (!ext.is_null()).then(|| unsafe { Box::from_raw(ext.cast::<RefCell<Ext>>()) }.into_inner())
}

/// Drops the locals of `c`, the latest first, while its own stack can still run code; more may be made meanwhile.
fn drop_locals(c: ControlRef) {
    // As for std's thread-locals: a destructor that makes new ones is served a few times, not for ever.
    for _ in 0..5 {
        let locals = peek_ext(c, |e| core::mem::take(&mut e.locals)).unwrap_or_default();
        if locals.is_empty() {
            return;
        }
        for local in locals.into_iter().rev() {
            if let Err(payload) = engine::caught(|| drop(local)) {
                report::unobserved(c, payload);
            }
        }
    }
}

/// A greenlet that is no task ends, or the thread of `c` does: then no destructor of `c` runs (invariant 9), but who joins
/// it from another thread is told.
fn drop_ext(c: ControlRef) {
    if hot().current.get() == Some(c) {
        drop_locals(c);
    }
    let Some(ext) = take_ext(c) else { return };
    core::mem::forget((ext.locals, ext.links));
    for watcher in ext.watchers {
        watcher(None);
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
        let mut ext = None;
        if !c.upper.ext.get().is_null() {
            drop_locals(c);
            ext = take_ext(c);
        }
        engine::retire(hot, c);
        hub.task_ended(hot, c.has(flag::DAEMON));
        let joiner = c.upper.joiner.get().cast::<Waiter>();
        // SAFETY: the field `joiner` is null or points into the frame of who joins, parked since (see `Joining`).
        if let Some(w) = unsafe { joiner.as_ref() } {
            engine::unpark(hot, w.control, w.epoch);
        }
        if let Some(ext) = ext {
            hand_out(hot, hub, c, ext);
        }
        if c.upper.handle.get() & DETACHED != 0 {
            settle(hot, hub, c);
        }
        hot.current.set(Some(hot.hub()));
    }
}

/// Hands links and watchers to the hub.
#[cold]
fn hand_out(hot: &'static Hot, hub: &'static Hub, c: ControlRef, ext: Ext) {
    let outcome = Outcome::of(c.ending.get());
    if !ext.links.is_empty() {
        c.upper.handle.set(c.upper.handle.get() | OBSERVED);
    }
    for link in ext.links {
        hub.call_soon(hot, move || (link.call)(outcome));
    }
    for watcher in ext.watchers {
        hub.call_soon(hot, move || watcher(Some(c)));
    }
}

/// Sees to the outcome of a dead task that nobody will fetch, and to its slot. What runs code of others runs in the hub.
pub(super) fn settle(hot: &'static Hot, hub: &'static Hub, c: ControlRef) {
    debug_assert_eq!(c.state.get(), State::Dead);
    if body::discard_runs_code(c) {
        hub.call_soon(hot, move || {
            let hot = self::hot();
            if c.upper.handle.get() & OBSERVED != 0
                && let Some(payload) = c.take_payload()
            {
                c.ending.set(Ending::None);
                let _ = engine::caught(|| drop(payload)).map_err(core::mem::forget);
            }
            body::discard(c);
            engine::release(hot, c);
        });
    } else {
        engine::release(hot, c);
    }
}
