//! The trace function: called whenever control arrives in another greenlet of the thread.
//!
//! While none is set it costs nothing: a set one is a bit in every control block's `attention`, which each arrival looks
//! at anyway.
#![forbid(unsafe_code)]

use core::cell::RefCell;
use core::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::control::{ControlRef, attention};
use super::engine;
use super::hot::{Hot, hot};

/// How control moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceKind {
    /// By a switch, a return, or the hub.
    Switch,
    /// By a throw.
    Throw,
}

/// A greenlet in a trace event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    id: u64,
    name: Option<Arc<str>>,
    main: bool,
}

impl Traced {
    fn of(c: ControlRef) -> Self {
        Self {
            id: c.id.get(),
            name: c.name(),
            main: c.is_native(),
        }
    }

    /// The id, unique in the process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether it is the thread's main greenlet.
    pub fn is_main(&self) -> bool {
        self.main
    }
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            _ if self.main => f.write_str("main"),
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.id),
        }
    }
}

/// What [`set_trace`] sets: called with how control moved, from where, and to where.
pub type TraceFn = Rc<dyn Fn(TraceKind, &Traced, &Traced)>;

thread_local! {
    static TRACE: RefCell<Option<TraceFn>> = const { RefCell::new(None) };
    /// Who was traced last, if its slot has been given back since: it may be another's by now.
    static GONE: RefCell<Option<Traced>> = const { RefCell::new(None) };
}

/// Sets the trace function of this thread, and returns what was set before.
///
/// It runs in the greenlet that control arrived in, before that goes on; it must not switch or wait. A panic in it goes
/// on there.
#[doc(alias = "settrace")]
pub fn set_trace(f: Option<TraceFn>) -> Option<TraceFn> {
    let (hot, me) = engine::enter();
    let on = f.is_some();
    let old = TRACE.with(|t| t.replace(f));
    let mark = |c: ControlRef| {
        if on {
            c.attend(attention::TRACE)
        } else {
            c.ignore(attention::TRACE)
        }
    };
    engine::for_each(hot, mark);
    mark(hot.root());
    hot.traced.set(Some(me));
    old
}

/// Control has arrived in `me`, not by a throw. What it came with has been taken: this runs code of others.
#[inline]
pub(super) fn woken(me: ControlRef) {
    if me.attention.get() & attention::TRACE != 0 {
        arrived(me, false);
    }
}

/// The same, by a throw.
pub(super) fn thrown_at(me: ControlRef) {
    if me.attention.get() & attention::TRACE != 0 {
        arrived(me, true);
    }
}

/// Control has arrived in `me`.
#[cold]
pub(crate) fn arrived(me: ControlRef, thrown: bool) {
    let hot = hot();
    let from = match hot.traced.replace(Some(me)) {
        Some(from) if from == me => return,
        Some(from) => Some(Traced::of(from)),
        None => GONE.try_with(|g| g.take()).ok().flatten(),
    };
    let Some(from) = from else { return };
    // Cloned out: none of our cells is taken while the function runs (invariant 4).
    let f = TRACE.try_with(|t| t.borrow().clone()).ok().flatten();
    if let Some(f) = f {
        let kind = if thrown {
            TraceKind::Throw
        } else {
            TraceKind::Switch
        };
        f(kind, &from, &Traced::of(me));
    }
}

/// The slot of `c` is about to be given back.
#[cold]
pub(super) fn forget(hot: &Hot, c: ControlRef) {
    if hot.traced.get() == Some(c) {
        let gone = Traced::of(c);
        let _ = GONE.try_with(|g| g.replace(Some(gone)));
        hot.traced.set(None);
    }
}
