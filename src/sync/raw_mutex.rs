//! The waiting part of a mutex: what [`Mutex`](super::Mutex) and [`ReentrantMutex`](super::ReentrantMutex) are made of.
//!
//! ```text
//! lock ── free ──► Held                                         one compare-and-swap, no ticket
//!   └─ a plain thread spins for a moment ─ queue up ─ park ── Given ──► Held
//!                                             ▲          └── Told ──► free? Held : the first in the queue again
//! ```
//!
//! `hand_over.rs` has the protocol; this file adds who waits, how, and for how long. It knows no value.
#![forbid(unsafe_code)]

use super::TIMED;
use super::hand_over::{HandOver, Since};
use crate::clock::Instant;
use crate::greenlet::hot::{hot, running_id};
use crate::park::{
    Blocked, Grant, HeldBy, How, Lock, Place, Reason, Report, Ticket, WaitQueue, block,
};

/// Who has waited for so long is not passed over any more, in nanoseconds.
const PATIENCE: i64 = 1_000_000;

/// How often a plain thread looks again before it parks.
const SPINS: u32 = 100;

/// A lock of nothing.
#[derive(Debug)]
pub(super) struct RawMutex(HandOver);

/// The lock is held, for as long as this lives. Made in this file only: who has one excludes everybody else.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a RawMutex);

impl RawMutex {
    /// Free.
    pub(super) const fn new() -> Self {
        Self(HandOver::new())
    }

    /// Whether the caller, task or thread, holds it.
    #[inline]
    pub(super) fn is_mine(&self) -> bool {
        self.0.is_held_by(running_id())
    }

    /// Takes it if it is free.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<Held<'_>> {
        self.0.try_lock(running_id()).then(|| Held(self))
    }

    /// Takes it, sooner or later.
    #[inline]
    #[track_caller]
    pub(super) fn lock(&self) -> Held<'_> {
        let me = running_id();
        if !self.0.lock_at_once(me) {
            let taken = self.contend(me, None);
            debug_assert!(taken, "a lock without a deadline was not taken");
        }
        Held(self)
    }

    /// Takes it until then (`None`: out of the clock's reach).
    #[inline]
    #[track_caller]
    pub(super) fn lock_until(
        &self,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Option<Held<'_>> {
        let me = running_id();
        (self.0.lock_at_once(me) || self.contend(me, Some(deadline()))).then(|| Held(self))
    }

    /// `None`: without a limit; then it always succeeds.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn contend(&self, me: u64, deadline: Option<Option<Instant>>) -> bool {
        if self.0.try_lock(me) {
            return true;
        }
        let how = How {
            reasons: &[Reason::at("lock of a mutex", self).held_by(HeldBy::Cell(self.0.word()))],
            deadline: deadline.flatten(),
            report: if deadline.is_some() {
                TIMED
            } else {
                Report::NOTHING
            },
        };
        let mut ticket = Ticket::must();
        if let Ticket::Thread = ticket {
            assert!(
                deadline.is_some() || !self.0.is_held_by(me),
                "deadlock: the thread locks a mutex that it holds already"
            );
            // The holder is on another thread, and may be about to let go.
            for _ in 0..SPINS {
                std::hint::spin_loop();
                if self.0.try_lock(me) {
                    return true;
                }
            }
        }
        let since = Since(Instant::now().as_nanos());
        let mut told = false;
        loop {
            let blocked = block(self, ticket, &how, |_| {
                if self.0.enter(me) {
                    Ok(())
                } else {
                    Err((since, HandOver::turn(told)))
                }
            });
            match blocked {
                Blocked::Now(()) => return true,
                Blocked::Granted(Grant::Given(_)) => {
                    self.0.arrived(me);
                    return true;
                }
                Blocked::Granted(Grant::Told(_)) => {}
                Blocked::Ended(..) => return false,
            }
            if self.0.try_lock(me) {
                return true;
            }
            told = true;
            ticket = Ticket::must();
        }
    }

    /// Lets it go: at the end of a [`Held`], or for one that was forgotten.
    #[inline(always)]
    pub(super) fn release(&self) {
        if !self.0.unlock_at_once() {
            self.pass_on();
        }
    }

    #[cold]
    #[inline(never)]
    fn pass_on(&self) {
        let overdue = |since: i64| Instant::now().as_nanos().saturating_sub(since) >= PATIENCE;
        if let Some(next) = self.0.pass_on(overdue) {
            next.unpark();
        }
    }
}

impl Drop for Held<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Place for RawMutex {
    type State = WaitQueue<Since>;
    type Payload = Since;

    fn lock(&self) -> &Lock<Self::State> {
        self.0.queue()
    }

    fn waiters(state: &mut Self::State) -> &mut WaitQueue<Since> {
        state
    }

    fn refund(&self, grant: Grant) {
        match grant {
            // It is locked for one that never runs again.
            Grant::Given(_) => self.pass_on(),
            Grant::Told(_) => {
                if let Some(next) = self.0.forgo() {
                    next.unpark();
                }
            }
        }
    }
}

/// Whether the caller is a thread that has no greenlets: a wait for what it holds itself would never end, and nobody is
/// there to report it.
pub(super) fn on_plain_thread() -> bool {
    hot().current.get().is_none()
}
