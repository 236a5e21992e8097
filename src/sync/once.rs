//! `Once`: something that happens once, whoever comes first; a failed attempt counts for nothing.
//!
//! ```text
//! state:  0 ── somebody begins ──► its id ── the closure returns ──► DONE
//!         ▲                          │
//!         └── the closure unwinds ───┘      the first that waits to run its own is told
//! ```
//!
//! | who waits | queue | is granted |
//! | --- | --- | --- |
//! | `call_once` | `runners` | Given when it is done; Told when it may try |
//! | `wait` | `watchers` | Given when it is done |
//!
//! `state` changes in the lock of the queues, and is read outside of it: `DONE` there is all that a call on a completed one
//! looks at. One that is told, and comes too late to begin, queues up again as the first. One that is told and never comes,
//! its hub having ended, gives that on.
//!
//! No lock of this file is held while the closure runs.
#![forbid(unsafe_code)]

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::greenlet::hot::running_id;
use crate::park::{
    Blocked, Grant, HeldBy, How, Lock, Place, Reason, Report, Ticket, Turn, WaitQueue, block,
};

/// No greenlet has this id.
const DONE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Queues {
    runners: WaitQueue,
    watchers: WaitQueue,
    /// The last attempt unwound.
    failed: bool,
}

/// Runs something once, whoever comes first.
///
/// ```
/// use greenloom::sync::Once;
///
/// static START: Once = Once::new();
/// let mut runs = 0;
/// for _ in 0..3 {
///     START.call_once(|| runs += 1);
/// }
/// assert_eq!(runs, 1);
/// assert!(START.is_completed());
/// ```
///
/// # Differences from the standard library
///
/// * A wait parks the task, not the thread.
/// * It is never poisoned: if the closure panics, or its task is killed in it, the next call runs its own. So
///   [`wait`](Self::wait) waits on, and [`call_once_force`](Self::call_once_force) differs from `call_once` only in what the
///   closure is told.
/// * A closure that calls `call_once` on the same `Once` panics, which std leaves open.
/// * [`OnceState`] is a type of this crate, since std's cannot be made.
pub struct Once {
    state: AtomicU64,
    queues: Lock<Queues>,
}

/// What [`Once::call_once_force`] tells its closure.
#[derive(Debug)]
pub struct OnceState {
    failed: bool,
}

impl OnceState {
    /// Whether an earlier attempt panicked or was killed. That is for information: nothing poisons.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.failed
    }
}

impl Once {
    /// One that nothing has happened to.
    #[must_use]
    #[allow(clippy::new_without_default)] // std's has none
    pub const fn new() -> Self {
        Self::in_state(0)
    }

    /// One that has happened.
    pub(super) const fn completed() -> Self {
        Self::in_state(DONE)
    }

    const fn in_state(state: u64) -> Self {
        Self {
            state: AtomicU64::new(state),
            queues: Lock::new(Queues {
                runners: WaitQueue::new(),
                watchers: WaitQueue::new(),
                failed: false,
            }),
        }
    }

    /// Runs `f`, unless such a call has returned before. If another one is running, waits for it: when this returns, one has
    /// run to its end.
    ///
    /// # Blocking
    /// Switches if another is running, and as `f` does. Kills and the deadlines of enclosing `timeout` calls are delivered to
    /// who waits; who is unwinding waits all the same.
    ///
    /// # Panics
    /// As `f`. If it is called in `f`. If it would have to wait where nothing can: in a callback of the hub, in a forked child.
    /// On main, with the deadlock, if the running one can never end.
    #[inline]
    #[track_caller]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            self.call(|_| f());
        }
    }

    /// As [`call_once`](Self::call_once), with word of earlier attempts that failed.
    ///
    /// # Blocking
    /// As [`call_once`](Self::call_once).
    ///
    /// # Panics
    /// As [`call_once`](Self::call_once).
    #[inline]
    #[track_caller]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            self.call(f);
        }
    }

    /// Whether a call has run to its end.
    #[inline]
    pub fn is_completed(&self) -> bool {
        // Acquire: pairs with the Release in `complete`; what the closure wrote is seen.
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Waits until a call has run to its end; runs nothing itself.
    ///
    /// # Blocking
    /// Switches, unless that is so already; as [`call_once`](Self::call_once).
    ///
    /// # Panics
    /// As [`call_once`](Self::call_once).
    #[track_caller]
    pub fn wait(&self) {
        if self.is_completed() {
            return;
        }
        self.assert_not_within(running_id());
        let reasons = [self.reason()];
        let how = waits_for(&reasons);
        let _ = block(&Watching(self), Ticket::must(), &how, |_| {
            if self.is_completed() {
                Ok(())
            } else {
                Err(((), Turn::Last))
            }
        });
    }

    /// As [`wait`](Self::wait): nothing poisons.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait();
    }

    #[cold]
    #[track_caller]
    fn call(&self, f: impl FnOnce(&OnceState)) {
        let me = running_id();
        if let Some(failed) = self.begin(me) {
            let attempt = Attempt(self);
            f(&OnceState { failed });
            core::mem::forget(attempt);
            self.complete();
        }
    }

    /// Makes the caller the one that runs its closure; waits for another that does. `None` if it has been done. Otherwise,
    /// whether the last attempt failed.
    #[track_caller]
    fn begin(&self, me: u64) -> Option<bool> {
        if let Ok(begun) = self.queues.with(|q| self.enter(q, me)) {
            return begun;
        }
        self.assert_not_within(me);
        let reasons = [self.reason()];
        let how = waits_for(&reasons);
        let mut turn = Turn::Last;
        loop {
            let blocked = block(self, Ticket::must(), &how, |q| {
                self.enter(q, me).map_err(|()| ((), turn))
            });
            match blocked {
                Blocked::Now(begun) => return begun,
                Blocked::Granted(Grant::Told(_)) => turn = Turn::First,
                Blocked::Granted(Grant::Given(_)) => return None,
                Blocked::Ended(..) => unreachable!("a wait that nothing ends was ended"),
            }
        }
    }

    /// In the lock: as [`begin`](Self::begin), or an error if another is at it.
    fn enter(&self, queues: &Queues, me: u64) -> Result<Option<bool>, ()> {
        match self.state.load(Ordering::Relaxed) {
            DONE => Ok(None),
            0 => {
                self.state.store(me, Ordering::Relaxed);
                Ok(Some(queues.failed))
            }
            _ => Err(()),
        }
    }

    fn complete(&self) {
        let (runners, watchers) = self.queues.with(|q| {
            self.state.store(DONE, Ordering::Release);
            (q.runners.give_all(), q.watchers.give_all())
        });
        for ((), who) in runners.into_iter().chain(watchers) {
            who.unpark();
        }
    }

    /// Lets another one try, if nobody does.
    fn pass_on(&self) {
        let next = self.queues.with(|q| {
            if self.state.load(Ordering::Relaxed) != 0 {
                return None;
            }
            q.runners.tell()
        });
        if let Some(((), who)) = next {
            who.unpark();
        }
    }

    fn reason(&self) -> Reason<'_> {
        Reason::at("initialisation", self).held_by(HeldBy::Cell(&self.state))
    }

    #[track_caller]
    fn assert_not_within(&self, me: u64) {
        assert!(
            self.state.load(Ordering::Relaxed) != me,
            "a one-time initialisation needs its own result"
        );
    }
}

fn waits_for<'a>(reasons: &'a [Reason<'a>]) -> How<'a> {
    How {
        reasons,
        deadline: None,
        report: Report::NOTHING,
    }
}

/// The closure runs. Dropped only if it unwinds.
struct Attempt<'a>(&'a Once);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let once = self.0;
        once.queues.with(|q| {
            q.failed = true;
            once.state.store(0, Ordering::Relaxed);
        });
        once.pass_on();
    }
}

/// Who waits to run its own.
impl Place for Once {
    type State = Queues;
    type Payload = ();

    fn lock(&self) -> &Lock<Queues> {
        &self.queues
    }

    fn waiters(state: &mut Queues) -> &mut WaitQueue {
        &mut state.runners
    }

    fn refund(&self, _: Grant) {
        self.pass_on();
    }
}

/// Who waits for others.
struct Watching<'a>(&'a Once);

impl Place for Watching<'_> {
    type State = Queues;
    type Payload = ();

    fn lock(&self) -> &Lock<Queues> {
        &self.0.queues
    }

    fn waiters(state: &mut Queues) -> &mut WaitQueue {
        &mut state.watchers
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("is_completed", &self.is_completed())
            .finish_non_exhaustive()
    }
}
