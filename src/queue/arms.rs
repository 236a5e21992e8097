//! Gets and puts as arms of a select.
//!
//! ```text
//! GetArm ── &dyn GetSide ──┐
//!                          ├── Core        any queue, any end of a channel
//! PutArm ── &dyn PutSide ──┘
//! ```
//!
//! | | the value of a put | what a get was given |
//! | --- | --- | --- |
//! | not registered | in the caller's `Option` | – |
//! | registered | in the wait queue, beside the wait | – |
//! | granted | the queue's, or a getter's | in `handed` |
//! | taken back ungranted | in the caller's `Option` again | – |
//! | committed | gone | in the arm |
//!
//! One select may get from a channel and put into it: its own offer at the other arm does not count as one
//! ([`WaitQueue::has_other`](crate::park::WaitQueue)), and while it attempts, nothing of its own is registered.
#![forbid(unsafe_code)]

use core::fmt;

use super::core::{Core, Refusal, tell_all};
use super::ends::sealed::{Gets, Puts};
use super::state::Getter;
use super::store::Store;
use crate::park::{Arm, Key, Reason, Selectable, Unparker};

/// What an arm of a select tells: the queue is closed, and for a get nothing is left in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is closed")
    }
}

impl std::error::Error for Closed {}

/// A queue, as an arm that gets from it sees it.
pub(crate) trait GetSide<T> {
    fn reason(&self) -> Reason<'static>;
    /// `None`: nothing at this moment.
    fn attempt(&self) -> Option<Result<T, Closed>>;
    /// `None`: there is no reason to wait.
    fn register(&self, who: &Unparker, arm: Arm) -> Option<Ticket>;
    fn unregister(&self, ticket: Ticket);
    fn fetch(&self, ticket: Ticket) -> T;
    fn hand_back(&self, ticket: Ticket);
}

/// A queue, as an arm that puts into it sees it.
pub(crate) trait PutSide<T> {
    fn reason(&self) -> Reason<'static>;
    /// The outcome, or the value back: no room at this moment.
    fn attempt(&self, value: T) -> Result<Result<(), (T, Closed)>, T>;
    /// The value back: there is no reason to wait.
    fn register(&self, who: &Unparker, arm: Arm, value: T) -> Result<Ticket, T>;
    /// The value, unless the wait was granted.
    fn unregister(&self, ticket: Ticket) -> Option<T>;
}

/// Finds a registered wait again, and its value: what it offers, or what it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    key: Key,
    number: u64,
}

impl<T, S: Store<T>> GetSide<T> for Core<T, S> {
    fn reason(&self) -> Reason<'static> {
        self.reason_to_get()
    }

    #[track_caller]
    fn attempt(&self) -> Option<Result<T, Closed>> {
        match self.try_get() {
            Ok(item) => Some(Ok(item)),
            Err(Refusal::Closed) => Some(Err(Closed)),
            Err(Refusal::NotNow) => None,
        }
    }

    fn register(&self, who: &Unparker, arm: Arm) -> Option<Ticket> {
        self.lock.with(|state| {
            // In somebody's turn nothing can be had; its end tells.
            let ready = state.busy.is_none()
                && (!state.is_idle() || state.closed || state.putters.has_other(who));
            if ready {
                return None;
            }
            let number = state.number();
            let getter = Getter::Number(number);
            state.eventful = true;
            let key = state.getters.push_back(*who, arm, getter);
            Some(Ticket { key, number })
        })
    }

    fn unregister(&self, ticket: Ticket) {
        self.lock.with(|state| state.getters.remove(ticket.key));
    }

    fn fetch(&self, ticket: Ticket) -> T {
        self.fetch(ticket.number)
    }

    fn hand_back(&self, ticket: Ticket) {
        self.hand_back_of(ticket.number);
    }
}

impl<T, S: Store<T>> PutSide<T> for Core<T, S> {
    fn reason(&self) -> Reason<'static> {
        self.reason_to_put()
    }

    fn attempt(&self, value: T) -> Result<Result<(), (T, Closed)>, T> {
        match self.try_put(value) {
            Ok(()) => Ok(Ok(())),
            Err((value, Refusal::Closed)) => Ok(Err((value, Closed))),
            Err((value, Refusal::NotNow)) => Err(value),
        }
    }

    fn register(&self, who: &Unparker, arm: Arm, value: T) -> Result<Ticket, T> {
        let (ticket, watchers) = self.lock.with(|state| {
            let taken = state.is_idle() && state.getters.has_other(who);
            if state.closed || state.has_room() || taken {
                return Err(value);
            }
            let parcel = state.parcel(value);
            let number = parcel.number;
            state.eventful = true;
            let key = state.putters.push_back(*who, arm, parcel);
            Ok((Ticket { key, number }, state.watchers()))
        })?;
        tell_all(watchers);
        Ok(ticket)
    }

    fn unregister(&self, ticket: Ticket) -> Option<T> {
        self.lock.with(|state| {
            let parcel = state.putters.remove(ticket.key);
            // Told by a close: then it lies there.
            parcel
                .map(|p| p.value)
                .or_else(|| state.take_returned(ticket.number))
        })
    }
}

/// Gets one item.
pub struct GetArm<'a, T> {
    queue: &'a dyn GetSide<T>,
    /// Of the last registration, and whether it still stands.
    ticket: Option<Ticket>,
    registered: bool,
    got: Option<Result<T, Closed>>,
}

impl<T> fmt::Debug for GetArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GetArm({})", self.queue.reason())
    }
}

impl<T> fmt::Debug for PutArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PutArm({})", self.queue.reason())
    }
}

impl<'a, T> GetArm<'a, T> {
    pub(crate) fn new(queue: Gets<'a, T>) -> Self {
        Self {
            queue: queue.0,
            ticket: None,
            registered: false,
            got: None,
        }
    }

    /// What the select got, if it chose this arm.
    pub(crate) fn into_got(self) -> Option<Result<T, Closed>> {
        self.got
    }
}

impl<T> Selectable for GetArm<'_, T> {
    fn reason(&self) -> Reason<'_> {
        self.queue.reason()
    }

    fn attempt(&mut self) -> bool {
        self.got = self.queue.attempt();
        self.got.is_some()
    }

    fn register(&mut self, who: &Unparker, arm: Arm) -> bool {
        self.ticket = self.queue.register(who, arm);
        self.registered = self.ticket.is_some();
        !self.registered
    }

    fn unregister(&mut self) {
        if core::mem::take(&mut self.registered)
            && let Some(ticket) = self.ticket
        {
            self.queue.unregister(ticket);
        }
    }

    fn commit(&mut self) {
        if let Some(ticket) = self.ticket {
            self.got = Some(Ok(self.queue.fetch(ticket)));
        }
    }

    fn refund(&self) {
        if let Some(ticket) = self.ticket {
            self.queue.hand_back(ticket);
        }
    }

    fn abandon(&self) {
        if let (true, Some(ticket)) = (self.registered, self.ticket) {
            self.queue.unregister(ticket);
        }
    }
}

/// Puts the value that `slot` holds; without one it is never chosen.
pub(super) struct PutArm<'a, T> {
    queue: &'a dyn PutSide<T>,
    slot: &'a mut Option<T>,
    ticket: Option<Ticket>,
    put: Option<Result<(), Closed>>,
}

impl<'a, T> PutArm<'a, T> {
    pub(crate) fn new(queue: Puts<'a, T>, slot: &'a mut Option<T>) -> Self {
        Self {
            queue: queue.0,
            slot,
            ticket: None,
            put: None,
        }
    }

    /// How it went, if the select chose this arm. If the queue is closed the value is in the slot.
    pub(crate) fn into_put(self) -> Option<Result<(), Closed>> {
        self.put
    }
}

impl<T> Selectable for PutArm<'_, T> {
    fn reason(&self) -> Reason<'_> {
        self.queue.reason()
    }

    fn attempt(&mut self) -> bool {
        let Some(value) = self.slot.take() else {
            return false;
        };
        match self.queue.attempt(value) {
            Ok(Ok(())) => self.put = Some(Ok(())),
            Ok(Err((value, closed))) => {
                *self.slot = Some(value);
                self.put = Some(Err(closed));
            }
            Err(value) => *self.slot = Some(value),
        }
        self.put.is_some()
    }

    fn register(&mut self, who: &Unparker, arm: Arm) -> bool {
        let Some(value) = self.slot.take() else {
            return false;
        };
        match self.queue.register(who, arm, value) {
            Ok(ticket) => {
                self.ticket = Some(ticket);
                false
            }
            Err(value) => {
                *self.slot = Some(value);
                true
            }
        }
    }

    fn unregister(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            *self.slot = self.queue.unregister(ticket);
        }
    }

    fn commit(&mut self) {
        self.put = Some(Ok(()));
    }

    fn abandon(&self) {
        if let Some(ticket) = self.ticket {
            // Its owner's stack is leaked, and the value with it (invariant 9).
            core::mem::forget(self.queue.unregister(ticket));
        }
    }
}
