//! The blocking call of one object: look, queue up, park, leave. What locks, queues and events all do.
//!
//! ```text
//! enter (under the lock): done → Now      │ not yet: the payload goes into the wait queue
//! queued: what the caller still has to do now that it cannot miss a grant (a mutex is let go)
//! park  ── granted ──► Granted(kind)         the granter has the payload; the entry is gone
//!       ── anything else ──► leave: entry and payload come back → Ended(end, payload)
//!       ── unwinds ──► leave: the payload is dropped outside of the lock
//! ```
//!
//! Who leaves ungranted may have stood in the way of others (a semaphore's first waiter, who wanted many): the object is told, by
//! [`Place::left`]. A waiter that was granted and whose hub then ends never runs again: [`Place::refund`] gives on what it got.
#![forbid(unsafe_code)]

use super::claim::{Unparker, Wait};
use super::lock::Lock;
use super::wait_queue::{Key, WaitQueue};
use super::word::Grant;
use super::{End, How, Ticket, Waiting, park_until};

/// An object with one list of waiters.
pub(crate) trait Place {
    /// What its lock guards.
    type State;
    /// What a waiter leaves there while it waits.
    type Payload;

    /// Its lock.
    fn lock(&self) -> &Lock<Self::State>;

    /// The list, in the state.
    fn waiters(state: &mut Self::State) -> &mut WaitQueue<Self::Payload>;

    /// A waiter has left that was not granted.
    fn left(&self) {}

    /// A waiter that was granted will never run again: its hub has ended.
    fn refund(&self, _grant: Grant) {}
}

/// How a blocking call went.
#[derive(Debug)]
pub(crate) enum Blocked<R, E> {
    /// It did not have to wait.
    Now(R),
    /// It waited, and was granted.
    Granted(Grant),
    /// It waited in vain. The payload is there, unless the wait never began.
    Ended(End, Option<E>),
}

/// Waits at `place`. `enter` looks once more, under the lock: `Ok` if there is nothing to wait for, else the payload; with
/// true, it queues up before all others.
#[inline]
pub(crate) fn block<P: Place, R>(
    place: &P,
    ticket: Ticket,
    how: &How<'_>,
    enter: impl FnOnce(&mut P::State) -> Result<R, (P::Payload, Turn)>,
) -> Blocked<R, P::Payload> {
    block_after(place, ticket, how, enter, || ())
}

/// As [`block`]. `queued` runs once the caller is in the list, and before it parks: what lets others end the wait (a
/// condition variable's mutex goes there). It may neither wait nor unwind, and runs no user code.
#[inline]
pub(crate) fn block_after<P: Place, R>(
    place: &P,
    ticket: Ticket,
    how: &How<'_>,
    enter: impl FnOnce(&mut P::State) -> Result<R, (P::Payload, Turn)>,
    queued: impl FnOnce(),
) -> Blocked<R, P::Payload> {
    let (wait, who) = Wait::open(&ticket);
    let key = match queue_up(place, who, enter) {
        // Nobody knows of the wait: it needs no shutting.
        Ok(r) => return Blocked::Now(r),
        Err(key) => key,
    };
    let mut waiter = Waiter::new(place, wait, key);
    queued();
    match park_until(ticket, how, &waiter) {
        End::Granted => {
            waiter.done();
            match wait.grant() {
                Some(grant) => Blocked::Granted(grant),
                None => unreachable!("a wait that ended granted was not"),
            }
        }
        end => {
            let payload = waiter.leave();
            Blocked::Ended(end, payload)
        }
    }
}

/// Looks, and queues up if there is something to wait for.
#[inline]
pub(super) fn queue_up<P: Place, R>(
    place: &P,
    who: Unparker,
    enter: impl FnOnce(&mut P::State) -> Result<R, (P::Payload, Turn)>,
) -> Result<R, Key> {
    place.lock().with(|state| match enter(state) {
        Ok(r) => Ok(r),
        Err((payload, turn)) => {
            let waiters = P::waiters(state);
            Err(match turn {
                Turn::Last => waiters.push_alone(who, payload),
                Turn::First => waiters.push_front(who, payload),
            })
        }
    })
}

/// Where a waiter queues up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// Behind all others.
    Last,
    /// Before all others.
    First,
}

pub(super) struct Waiter<'a, P: Place> {
    place: &'a P,
    wait: Wait,
    /// `None` once the entry is not its own any more.
    key: Option<Key>,
}

impl<'a, P: Place> Waiter<'a, P> {
    /// The waiter of an entry that was just made.
    #[inline(always)]
    pub(super) fn new(place: &'a P, wait: Wait, key: Key) -> Self {
        let key = Some(key);
        Self { place, wait, key }
    }

    /// It was granted: the entry is gone.
    #[inline(always)]
    pub(super) fn done(mut self) {
        self.key = None;
    }

    /// It unwinds, so it was not granted: `park_until` cancels before it raises anything.
    #[cold]
    fn unwound(&mut self) {
        self.wait.shut();
        drop(self.leave());
    }

    /// Takes the entry back; the payload too, if nobody has it.
    #[cold]
    pub(super) fn leave(&mut self) -> Option<P::Payload> {
        let key = self.key.take()?;
        let payload = self
            .place
            .lock()
            .with(|state| P::waiters(state).remove(key));
        self.place.left();
        payload
    }
}

impl<P: Place> Waiting for Waiter<'_, P> {
    fn granted(&self) -> bool {
        self.wait.grant().is_some()
    }

    #[inline]
    fn granted_before(&self) -> bool {
        // It has just been opened.
        false
    }

    fn cancel(&self) -> bool {
        self.wait.shut()
    }

    fn abandon(&self) {
        if self.wait.shut() {
            if let Some(key) = self.key {
                let payload = self
                    .place
                    .lock()
                    .with(|state| P::waiters(state).remove(key));
                // It is the waiter's, whose stack is leaked: no destructor runs (invariant 9).
                core::mem::forget(payload);
            }
            self.place.left();
        } else if let Some(grant) = self.wait.grant() {
            self.place.refund(grant);
        }
    }
}

impl<P: Place> Drop for Waiter<'_, P> {
    #[inline]
    fn drop(&mut self) {
        if self.key.is_some() {
            self.unwound();
        }
    }
}
