//! Where a waiter is given a value: a place in its own frame, which whoever grants its wait fills first.
//!
//! ```text
//!  waiter: Landing ◄──── Address, beside the wait in the queue ◄──── hand: writes the value, grants; lost? takes it back
//!  (frame of `block_for`)                                            all of it inside the object's lock
//! ```
//!
//! | the wait | the landing | who may touch it |
//! | --- | --- | --- |
//! | lasts | empty | who holds the lock of the queue that the address lies in |
//! | granted | the value | the waiter, after it has seen the grant |
//! | given up | empty | the waiter |
//!
//! So the waiter need not come back to the lock for what it was given.
//!
//! # Why an address in a queue is good
//!
//! [`block_for`] alone makes one. It goes into the queue of the place waited at, and `block` takes the entry out again, under the same lock,
//! on every way out but a grant, before the frame goes: also when it unwinds. A grant takes it out of the queue. A stack that is
//! leaked stays mapped (invariant 9), and its hub's end takes its waits out of all queues. An address that came out of a queue does nothing.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use super::block::{Blocked, Place, Turn, Waiter, queue_up};
use super::claim::{Unparker, Wait};
use super::lock::Lock;
use super::primitives::UnsafeCell;
use super::wait_queue::{Key, WaitQueue};
use super::word::Grant;
use super::{End, How, Ticket, park_until};

/// See the file's head.
struct Landing<T>(UnsafeCell<Option<T>>);

/// Names a landing to who may fill it.
pub(crate) struct Address<T>(NonNull<Landing<T>>);

// SAFETY: it is used inside the lock of the queue that it lies in, by one thread at a time, to move a `T` there.
unsafe impl<T: Send> Send for Address<T> {}

impl<T> fmt::Debug for Address<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

/// What a waiter leaves in a queue, which may have an address in it.
pub(crate) trait Lands {
    /// What is given there.
    type Value;

    /// The address; `None` for a waiter that comes for the value itself.
    fn address(&self) -> Option<&Address<Self::Value>>;
}

/// A value that was handed on.
#[derive(Debug)]
pub(crate) enum Handed<L, T> {
    /// It is with the waiter, who is to be woken.
    Landed(Unparker),
    /// The waiter, who is to be woken, will come for it: the caller keeps it for whom `L` names.
    Keep(Unparker, L, T),
    /// Nobody waits.
    Nobody(T),
}

/// Gives `value` to the first in `queue` that still waits. The caller holds the lock of the object.
#[inline]
pub(crate) fn hand<L: Lands>(queue: &mut WaitQueue<L>, value: L::Value) -> Handed<L, L::Value> {
    let in_hand = Cell::new(Some(value));
    let given = queue.give_with(
        |waiter| {
            if let Some(Address(landing)) = waiter.address() {
                // SAFETY: the address lies in a queue whose lock the caller holds, so the frame is there and nobody else
                // looks at the landing; see the file's head.
                unsafe { landing.as_ref().0.with_mut(|cell| *cell = in_hand.take()) };
            }
        },
        |waiter, ()| {
            if let Some(Address(landing)) = waiter.address() {
                // SAFETY: as above: the entry leaves the queue's list only with the owner, who needs the lock for it.
                in_hand.set(unsafe { landing.as_ref().0.with_mut(|cell| (*cell).take()) });
            }
        },
    );
    let value = in_hand.into_inner();
    match (given, value) {
        (Some((_, who)), None) => Handed::Landed(who),
        (Some((waiter, who)), Some(value)) => Handed::Keep(who, waiter, value),
        (None, Some(value)) => Handed::Nobody(value),
        (None, None) => unreachable!("a value that nobody was given is gone"),
    }
}

/// How [`block_for`] went.
#[derive(Debug)]
pub(crate) enum Came<R, T, E> {
    /// It was given this.
    Value(T),
    /// Anything else.
    Else(Blocked<R, E>),
}

/// As [`block`](super::block), for a waiter that is to be given a `T`. `enter` gets the address to put into its payload. What was given
/// to a waiter that will never run again goes to `hand_back`.
///
/// Inlined into whoever waits, down to where the coroutine gives way, as one frame: a return whose call the processor has not seen,
/// because other coroutines ran in between, is one that it predicts wrongly. What comes before and after the wait is apart.
#[inline(always)]
pub(crate) fn block_for<P: Place, R, T>(
    place: &P,
    ticket: Ticket,
    how: &How<'_>,
    enter: impl FnOnce(&mut P::State, Address<T>) -> Result<R, (P::Payload, Turn)>,
    hand_back: impl Fn(T),
) -> Came<R, T, P::Payload> {
    let landed = Landed {
        place,
        landing: Landing(UnsafeCell::new(None)),
        hand_back,
    };
    let (wait, who) = Wait::open(&ticket);
    let key = match queue_up_for(place, who, &landed.landing, enter) {
        Ok(r) => return Came::Else(Blocked::Now(r)),
        Err(key) => key,
    };
    let mut waiter = Waiter::new(&landed, wait, key);
    match park_until(ticket, how, &waiter) {
        End::Granted => {
            waiter.done();
            match landed.take() {
                Some(value) => Came::Value(value),
                None => Came::Else(Blocked::Granted(told(wait))),
            }
        }
        end => {
            let payload = waiter.leave();
            Came::Else(Blocked::Ended(end, payload))
        }
    }
}

#[inline(never)]
fn queue_up_for<P: Place, R, T>(
    place: &P,
    who: Unparker,
    landing: &Landing<T>,
    enter: impl FnOnce(&mut P::State, Address<T>) -> Result<R, (P::Payload, Turn)>,
) -> Result<R, Key> {
    let address = Address(NonNull::from(landing));
    queue_up(place, who, |state| enter(state, address))
}

/// What it was granted, to which nothing was handed: that can only be news.
#[cold]
fn told(wait: Wait) -> Grant {
    match wait.grant() {
        Some(grant @ Grant::Told(_)) => grant,
        other => unreachable!("a waiter was granted {other:?}, and nothing was handed to it"),
    }
}

struct Landed<'a, P, T, F> {
    place: &'a P,
    landing: Landing<T>,
    hand_back: F,
}

impl<P, T, F> Landed<'_, P, T, F> {
    /// What was given. Only after the wait has ended.
    fn take(&self) -> Option<T> {
        self.landing.0.with_mut(|cell| {
            // SAFETY: the table in the file's head: the wait has ended, so the landing is the waiter's alone.
            unsafe { (*cell).take() }
        })
    }
}

impl<P: Place, T, F: Fn(T)> Place for Landed<'_, P, T, F> {
    type State = P::State;
    type Payload = P::Payload;

    #[inline]
    fn lock(&self) -> &Lock<P::State> {
        self.place.lock()
    }

    #[inline]
    fn waiters(state: &mut P::State) -> &mut WaitQueue<P::Payload> {
        P::waiters(state)
    }

    fn left(&self) {
        self.place.left();
    }

    fn refund(&self, grant: Grant) {
        match (grant, self.take()) {
            (Grant::Given(_), Some(value)) => (self.hand_back)(value),
            (grant, _) => self.place.refund(grant),
        }
    }
}
