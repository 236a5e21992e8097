//! What events, results and tokens have in common: something is up or it is not, and some wait for it.
//!
//! ```text
//!            raise: grants all who wait, in order, in one go
//!   down ─────────────────────────────────────────────► up      wait, select: go on at once
//!    ▲                                                   │
//!    └──────────────────── lower (events only) ──────────┘
//! ```
//!
//! | `up` | waiters and notices | |
//! | --- | --- | --- |
//! | false | any | |
//! | true | none | who comes now need not wait |
//! | true | some | **forbidden**, once the lock is let go |
//!
//! Who waits is granted inside `raise`, so that it does not matter whether the latch is up when it runs.
//!
//! [`Links`] keeps callbacks beside a latch. This file runs none of them under a lock (invariant 4).
#![forbid(unsafe_code)]

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;

use crate::greenlet::engine;
use crate::greenlet::hot::{Phase, hot};
use crate::greenlet::report;
use crate::hub::sched;
use crate::park::{
    Arm, Blocked, Board, End, How, Key, LinkId, Lock, Notice, Place, Reason, Selectable, Ticket,
    Turn, Unparker, WaitQueue, block,
};

pub(super) struct State {
    waiters: WaitQueue,
    notices: Vec<Notice>,
}

/// See the file's head.
pub(super) struct Latch {
    /// Written under the lock only.
    up: AtomicBool,
    state: Lock<State>,
}

impl Latch {
    pub(super) const fn new() -> Self {
        Self {
            up: AtomicBool::new(false),
            state: Lock::new(State {
                waiters: WaitQueue::new(),
                notices: Vec::new(),
            }),
        }
    }

    #[inline]
    pub(super) fn is_up(&self) -> bool {
        // Acquire: what was done before `raise` is seen by who sees its store.
        self.up.load(Ordering::Acquire)
    }

    /// Raises it and wakes all who wait, in order. `store` is called under the lock, before anybody can see it up, and only
    /// if it was down. False if it was up.
    pub(super) fn raise(&self, store: impl FnOnce()) -> bool {
        let (raised, first, rest, notices) = self.state.with(|s| {
            let raised = !self.up.load(Ordering::Relaxed);
            if raised {
                store();
            }
            // Also if it was up: who raises it again has done something that others are to see.
            self.up.store(true, Ordering::Release);
            // Mostly there is one at most: a list for one would be an allocation.
            let first = s.waiters.give();
            let rest = if s.waiters.is_empty() {
                Vec::new()
            } else {
                s.waiters.give_all()
            };
            (raised, first, rest, core::mem::take(&mut s.notices))
        });
        for ((), who) in first.into_iter().chain(rest) {
            who.unpark();
        }
        for notice in notices {
            notice.tell();
        }
        raised
    }

    pub(super) fn lower(&self) {
        self.state.with(|_| self.up.store(false, Ordering::Relaxed));
    }

    /// Waits until it is raised; not at all if it is up.
    ///
    /// # Errors
    /// Nothing can wait here.
    #[inline]
    pub(super) fn wait(&self, how: &How<'_>) -> io::Result<End> {
        if self.is_up() {
            return Ok(End::Granted);
        }
        let enter = |_: &mut State| {
            if self.is_up() {
                Ok(())
            } else {
                Err(((), Turn::Last))
            }
        };
        Ok(match block(self, Ticket::new()?, how, enter) {
            Blocked::Now(()) | Blocked::Granted(_) => End::Granted,
            Blocked::Ended(end, _) => end,
        })
    }

    /// Tells `notice` once it is raised; at once if it is up.
    pub(super) fn watch(&self, notice: Notice) {
        let now = self.state.with(|s| {
            if self.is_up() {
                return Some(notice);
            }
            s.notices.push(notice);
            None
        });
        if let Some(notice) = now {
            notice.tell();
        }
    }

    /// Takes back the notices of `board`.
    pub(super) fn unwatch(&self, board: &Board) {
        self.state.with(|s| s.notices.retain(|n| !n.is_of(board)));
    }
}

impl Place for Latch {
    type State = State;
    type Payload = ();

    fn lock(&self) -> &Lock<State> {
        &self.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue {
        &mut state.waiters
    }
}

impl fmt::Debug for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Latch").field(&self.is_up()).finish()
    }
}

/// The arm of a select that waits for a latch.
#[derive(Debug)]
pub struct Rise<'a> {
    latch: &'a Latch,
    kind: &'static str,
    key: Option<Key>,
}

impl<'a> Rise<'a> {
    pub(super) fn new(latch: &'a Latch, kind: &'static str) -> Self {
        Self {
            latch,
            kind,
            key: None,
        }
    }
}

impl Selectable for Rise<'_> {
    fn reason(&self) -> Reason<'_> {
        Reason::new(self.kind, 0)
    }

    fn attempt(&mut self) -> bool {
        self.latch.is_up()
    }

    fn register(&mut self, who: &Unparker, arm: Arm) -> bool {
        self.key = self
            .latch
            .state
            .with(|s| (!self.latch.is_up()).then(|| s.waiters.push_back(*who, arm, ())));
        self.key.is_none()
    }

    fn unregister(&mut self) {
        if let Some(key) = self.key.take() {
            self.latch.state.with(|s| s.waiters.remove(key));
        }
    }

    // It was up, which is all that there is to have.
    fn commit(&mut self) {}

    fn abandon(&self) {
        if let Some(key) = self.key {
            self.latch.state.with(|s| s.waiters.remove(key));
        }
    }
}

/// Callbacks that wait for a latch, in the order of their registration.
pub(super) struct Links<L>(Lock<Vec<(LinkId, L)>>);

impl<L> Links<L> {
    pub(super) const fn new() -> Self {
        Self(Lock::new(Vec::new()))
    }

    /// Keeps `link`. Comes back if `latch` is up: then it is to run at once.
    pub(super) fn add(&self, latch: &Latch, link: L) -> (LinkId, Option<L>) {
        let id = LinkId(hot().unique_id().get());
        // Who raises the latch does that first and takes the links then. So either it is seen to be up here, or the link
        // is there when they are taken.
        let late = self.0.with(|links| {
            if latch.is_up() {
                return Some(link);
            }
            links.push((id, link));
            None
        });
        (id, late)
    }

    /// The link, if it was not taken to be run; to be dropped by the caller.
    pub(super) fn remove(&self, id: LinkId) -> Option<L> {
        self.0.with(|links| {
            let at = links.iter().position(|link| link.0 == id)?;
            Some(links.remove(at).1)
        })
    }

    /// All of them, for the one who has raised the latch.
    pub(super) fn take(&self) -> Vec<(LinkId, L)> {
        self.0.with(core::mem::take)
    }
}

/// Runs callbacks of users: from this thread's hub, in this turn or the next; at once if it has none. One that panics is
/// reported, and stops nothing.
pub(super) fn run_soon<C: FnOnce() + 'static>(calls: impl IntoIterator<Item = C>) {
    let hot = hot();
    // Asked once: a callback may give the thread a hub, and then the others would run in another way.
    let hub = sched::get(hot).filter(|_| hot.phase.get() == Phase::Active);
    for call in calls {
        match hub {
            Some(hub) => hub.call_soon(hot, call),
            // std's hook has told of a panic.
            None => {
                if let Err(payload) = engine::caught(call) {
                    report::drop_payload(payload);
                }
            }
        }
    }
}
