//! `Semaphore` and `BoundedSemaphore`: permits, handed from who gives them back to who has waited longest.
//!
//! ```text
//! total = available + held by guards        ≤ limit, so that no guard's drop can overflow
//!
//! acquire n   available ≥ n and nobody waits ──► available - n
//!             otherwise: into the queue, behind all who wait, whatever they want
//! give back   available + n; then, while the first in the queue can have what it wants: available - that, Given
//! ```
//!
//! | call | available | total |
//! | --- | --- | --- |
//! | acquire n | - n | |
//! | drop of a guard for n | + n | |
//! | `forget` of a guard for n | | - n |
//! | `release(n)` | + n | + n, or an error above the limit |
//!
//! All of it happens in the lock of the state, the grant among it: what is given is taken away there on the waiter's behalf,
//! so nobody can come in between. A first waiter who wants many stops those behind it, and when it leaves they are looked at
//! again (`left`). What was given to one that will never run again comes back (`refund`).
#![forbid(unsafe_code)]

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::TIMED;
use crate::clock::{Instant, deadline_after};
use crate::park::{
    Blocked, Board, Grant, How, Lock, Notice, Place, Reason, Report, Ticket, Turn, Unparker,
    WaitQueue, block,
};

#[derive(Debug)]
pub(crate) struct State {
    pub(super) available: usize,
    total: usize,
    /// What each waiter wants.
    pub(super) queue: WaitQueue<usize>,
    /// Of those who watch until a permit could be had: none is left here while that is so.
    notices: Vec<Notice>,
}

/// Who is to hear of a change, once the lock was let go.
enum Hearer {
    /// It was given what it wants; there may be more who can be.
    Waiter(Unparker),
    Watchers(Vec<Notice>),
}

impl State {
    /// Takes `n`, if they are there and nobody waits.
    #[inline]
    fn take(&mut self, n: usize) -> bool {
        let free = self.available >= n && self.queue.is_empty();
        if free {
            self.available -= n;
        }
        free
    }

    /// Whether somebody who wants one would have it at once.
    fn is_ready(&self) -> bool {
        self.available > 0 && self.queue.is_empty()
    }

    /// Gives the first waiter what it wants, if that is there. If there is none, those who watch hear of what is left.
    #[inline]
    fn next(&mut self) -> Option<Hearer> {
        let available = self.available;
        if let Some((wanted, who)) = self.queue.give_if(|wanted| *wanted <= available) {
            self.available -= wanted;
            return Some(Hearer::Waiter(who));
        }
        let watched = !self.notices.is_empty() && self.is_ready();
        watched.then(|| Hearer::Watchers(core::mem::take(&mut self.notices)))
    }
}

/// Both semaphores, without their limits.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) state: Lock<State>,
}

impl Core {
    const fn new(permits: usize) -> Self {
        Self {
            state: Lock::new(State {
                available: permits,
                total: permits,
                queue: WaitQueue::new(),
                notices: Vec::new(),
            }),
        }
    }

    /// The guard of `n` permits that were taken.
    #[inline]
    pub(super) fn permit(&self, n: usize) -> Permit<'_> {
        Permit { core: self, n }
    }

    #[inline]
    pub(super) fn try_take(&self, n: usize) -> bool {
        self.state.with(|state| state.take(n))
    }

    /// Takes `n`, sooner or later, or until the deadline (`Some(None)`: one out of the clock's reach). False if that passed.
    #[inline]
    #[track_caller]
    fn take(&self, n: usize, deadline: impl FnOnce() -> Option<Option<Instant>>) -> bool {
        self.try_take(n) || self.take_slowly(n, deadline())
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn take_slowly(&self, n: usize, deadline: Option<Option<Instant>>) -> bool {
        let how = How {
            reasons: &[self.reason()],
            deadline: deadline.flatten(),
            report: if deadline.is_some() {
                TIMED
            } else {
                Report::NOTHING
            },
        };
        let place = Acquiring { core: self, n };
        let blocked = block(&place, Ticket::must(), &how, |state| {
            if state.take(n) {
                Ok(())
            } else {
                Err((n, Turn::Last))
            }
        });
        // Nobody is told: a grant here is a hand-over.
        !matches!(blocked, Blocked::Ended(..))
    }

    /// A guard gives back what it held.
    #[inline]
    fn give_back(&self, n: usize) {
        self.change(|state| state.available += n);
    }

    /// Adds permits, if there are then no more than `limit`.
    fn add(&self, n: usize, limit: usize) -> bool {
        let mut fits = false;
        self.change(|state| {
            if let Some(total) = state.total.checked_add(n).filter(|t| *t <= limit) {
                state.total = total;
                state.available += n;
                fits = true;
            }
        });
        fits
    }

    /// A guard is forgotten: its permits are gone.
    fn lose(&self, n: usize) {
        self.state.with(|state| state.total -= n);
    }

    /// Changes the state, and then gives to those that wait, one after the other: what another thread asks for meanwhile
    /// queues up behind them.
    #[inline]
    pub(super) fn change(&self, f: impl FnOnce(&mut State)) {
        let next = self.state.with(|state| {
            f(state);
            state.next()
        });
        if let Some(next) = next {
            self.wake(next);
        }
    }

    #[cold]
    fn wake(&self, first: Hearer) {
        let mut next = Some(first);
        while let Some(hearer) = next {
            match hearer {
                Hearer::Waiter(who) => who.unpark(),
                Hearer::Watchers(watchers) => watchers.iter().for_each(Notice::tell),
            }
            next = self.state.with(State::next);
        }
    }

    /// Has `notice` told once a permit could be had; at once if that is so.
    pub(super) fn watch(&self, notice: Notice) {
        let now = self.state.with(|state| {
            if state.is_ready() {
                return Some(notice);
            }
            state.notices.push(notice);
            None
        });
        if let Some(notice) = now {
            notice.tell();
        }
    }

    /// Takes back the notices of `board`.
    pub(super) fn unwatch(&self, board: &Board) {
        let own: Vec<_> = self
            .state
            .with(|state| state.notices.extract_if(.., |n| n.is_of(board)).collect());
        drop(own);
    }

    pub(super) fn reason(&self) -> Reason<'static> {
        Reason::at("permit of a semaphore", self)
    }

    fn available(&self) -> usize {
        self.state.with(|state| state.available)
    }
}

/// The semaphore as one sees it that waits for `n`.
#[derive(Debug)]
pub(super) struct Acquiring<'a> {
    pub(super) core: &'a Core,
    pub(super) n: usize,
}

impl Place for Acquiring<'_> {
    type State = State;
    type Payload = usize;

    fn lock(&self) -> &Lock<State> {
        &self.core.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue<usize> {
        &mut state.queue
    }

    fn left(&self) {
        self.core.change(|_| ());
    }

    fn refund(&self, _: Grant) {
        self.core.give_back(self.n);
    }
}

/// Permits of a semaphore; dropping it gives them back, and never switches.
#[must_use = "if unused the permits are given back at once"]
pub struct Permit<'a> {
    core: &'a Core,
    n: usize,
}

impl Permit<'_> {
    /// How many permits these are.
    pub fn count(&self) -> usize {
        self.n
    }

    /// Keeps them for good: they are given back by nobody, unless by `release`.
    pub fn forget(self) {
        self.core.lose(self.n);
        core::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.core.give_back(self.n);
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.n).finish()
    }
}

/// Permits of a [`Semaphore`] that it is kept alive by; otherwise a [`Permit`].
#[must_use = "if unused the permits are given back at once"]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
    n: usize,
}

impl OwnedPermit {
    /// How many permits these are.
    pub fn count(&self) -> usize {
        self.n
    }

    /// Keeps them for good: they are given back by nobody, unless by `release`.
    pub fn forget(mut self) {
        self.semaphore.core.lose(self.n);
        self.n = 0;
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.semaphore.core.give_back(self.n);
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit")
            .field("count", &self.n)
            .finish()
    }
}

/// More permits were released than had been taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRelease {
    released: usize,
    bound: usize,
}

impl OverRelease {
    /// How many were to be released.
    #[must_use]
    pub fn released(&self) -> usize {
        self.released
    }

    /// The semaphore's bound.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.bound
    }
}

impl fmt::Display for OverRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (released, bound) = (self.released, self.bound);
        write!(
            f,
            "releasing {released} more permits would exceed the bound of {bound}"
        )
    }
}

impl std::error::Error for OverRelease {}

/// A number of permits that tasks take and give back.
///
/// ```
/// use greenloom::sync::{Arc, Semaphore};
/// use greenloom::{sleep, spawn};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// let five = Arc::new(Semaphore::new(5));
/// let inside = Rc::new(Cell::new(0));
/// let tasks: Vec<_> = (0..20)
///     .map(|_| {
///         let (five, inside) = (Arc::clone(&five), Rc::clone(&inside));
///         spawn(move || {
///             let _permit = five.acquire();
///             inside.set(inside.get() + 1);
///             assert!(inside.get() <= 5);
///             sleep(Duration::from_millis(1));
///             inside.set(inside.get() - 1);
///         })
///     })
///     .collect();
/// for task in tasks {
///     task.join().unwrap();
/// }
/// assert_eq!(five.available(), 5);
/// ```
///
/// Permits are handed over in the order of asking, between threads too: nobody takes one that somebody waits for, the `try_`
/// forms included. Who wants several waits until all are there, and so do those behind it.
///
/// # Differences from Python's `Semaphore`
///
/// [`acquire`](Self::acquire) returns a guard that gives the permit back; [`Permit::forget`] makes it Python's bare `acquire`, to be
/// followed by [`release`](Self::release). A non-blocking acquire does not go past those that wait.
pub struct Semaphore {
    core: Core,
}

impl Semaphore {
    /// With `permits` permits.
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        Self {
            core: Core::new(permits),
        }
    }

    /// Takes a permit, sooner or later.
    ///
    /// # Blocking
    /// Switches if there is none. Kills and the deadlines of enclosing `timeout` calls are delivered then; who is unwinding waits
    /// all the same.
    ///
    /// # Panics
    /// If it would have to wait where nothing can: in a callback of the hub, in a forked child. On main, with the deadlock, if no
    /// permit can come.
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
    }

    /// Takes `n` permits, all at once, sooner or later. None at all are taken without a wait.
    ///
    /// # Blocking
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[inline]
    #[track_caller]
    pub fn acquire_many(&self, n: usize) -> Permit<'_> {
        let taken = n == 0 || self.core.take(n, || None);
        debug_assert!(taken, "a wait without a deadline came to one");
        self.permit(n)
    }

    /// Takes a permit within `d`, or gives up: `None`.
    ///
    /// # Blocking
    /// As [`acquire`](Self::acquire). An enclosing `timeout` that expires first ends it like its own time; who is unwinding does
    /// not wait and gives up at once.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[inline]
    #[track_caller]
    pub fn acquire_timeout(&self, d: Duration) -> Option<Permit<'_>> {
        self.acquire_many_timeout(1, d)
    }

    /// Takes `n` permits, all at once, within `d`, or gives up: `None`.
    ///
    /// # Blocking
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many_timeout(&self, n: usize, d: Duration) -> Option<Permit<'_>> {
        let taken = n == 0 || self.core.take(n, || Some(deadline_after(d)));
        taken.then(|| self.permit(n))
    }

    /// Takes a permit if there is one and nobody waits.
    ///
    /// # Blocking
    /// Never switches.
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if they are there and nobody waits.
    ///
    /// # Blocking
    /// Never switches.
    #[inline]
    pub fn try_acquire_many(&self, n: usize) -> Option<Permit<'_>> {
        let taken = n == 0 || self.core.try_take(n);
        taken.then(|| self.permit(n))
    }

    /// As [`acquire`](Self::acquire), with a guard that keeps the semaphore alive.
    ///
    /// # Blocking
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned(self: &Arc<Self>) -> OwnedPermit {
        self.acquire().into_owned(self)
    }

    /// As [`acquire_timeout`](Self::acquire_timeout), with a guard that keeps the semaphore alive.
    ///
    /// # Blocking
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned_timeout(self: &Arc<Self>, d: Duration) -> Option<OwnedPermit> {
        self.acquire_timeout(d).map(|p| p.into_owned(self))
    }

    /// As [`try_acquire`](Self::try_acquire), with a guard that keeps the semaphore alive.
    ///
    /// # Blocking
    /// Never switches.
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedPermit> {
        self.try_acquire().map(|p| p.into_owned(self))
    }

    /// Adds `n` permits, and hands them to those that wait.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX`, those included that guards hold; nothing is added then.
    #[track_caller]
    pub fn release(&self, n: usize) {
        let fits = self.core.add(n, usize::MAX);
        assert!(fits, "a semaphore cannot have {n} more permits");
    }

    /// How many permits there are now. Another thread may change that at any time.
    #[doc(alias = "counter")]
    pub fn available(&self) -> usize {
        self.core.available()
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    #[inline]
    fn permit(&self, n: usize) -> Permit<'_> {
        self.core.permit(n)
    }
}

impl Permit<'_> {
    fn into_owned(self, semaphore: &Arc<Semaphore>) -> OwnedPermit {
        let n = self.n;
        core::mem::forget(self);
        OwnedPermit {
            semaphore: Arc::clone(semaphore),
            n,
        }
    }
}

/// A [`Semaphore`] that never has more permits than it began with: one release too many is an error, where it happens.
///
/// ```
/// use greenloom::sync::BoundedSemaphore;
///
/// let two = BoundedSemaphore::new(2);
/// assert!(two.release(1).is_err());
/// two.acquire().forget();
/// assert_eq!(two.available(), 1);
/// two.release(1).unwrap();
/// drop(two.acquire()); // a guard gives its own back
/// assert_eq!(two.available(), 2);
/// ```
///
/// The permit that a guard holds is the guard's to give back: `release` can give back only what was
/// [forgotten](Permit::forget).
pub struct BoundedSemaphore {
    core: Core,
    bound: usize,
}

impl BoundedSemaphore {
    /// With `permits` permits, now and at most.
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        Self {
            core: Core::new(permits),
            bound: permits,
        }
    }

    /// Takes a permit, sooner or later.
    ///
    /// # Blocking
    /// As [`Semaphore::acquire`].
    ///
    /// # Panics
    /// As [`Semaphore::acquire`]; if the bound is zero.
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
    }

    /// Takes `n` permits, all at once, sooner or later.
    ///
    /// # Blocking
    /// As [`Semaphore::acquire`].
    ///
    /// # Panics
    /// As [`Semaphore::acquire`]; if `n` is above the bound: there will never be so many.
    #[track_caller]
    pub fn acquire_many(&self, n: usize) -> Permit<'_> {
        self.assert_possible(n);
        let taken = n == 0 || self.core.take(n, || None);
        debug_assert!(taken, "a wait without a deadline came to one");
        self.permit(n)
    }

    /// Takes a permit within `d`, or gives up: `None`.
    ///
    /// # Blocking
    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_timeout(&self, d: Duration) -> Option<Permit<'_>> {
        self.acquire_many_timeout(1, d)
    }

    /// Takes `n` permits, all at once, within `d`, or gives up: `None`.
    ///
    /// # Blocking
    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Panics
    /// As [`acquire_many`](Self::acquire_many).
    #[track_caller]
    pub fn acquire_many_timeout(&self, n: usize, d: Duration) -> Option<Permit<'_>> {
        self.assert_possible(n);
        let taken = n == 0 || self.core.take(n, || Some(deadline_after(d)));
        taken.then(|| self.permit(n))
    }

    /// Takes a permit if there is one and nobody waits.
    ///
    /// # Blocking
    /// Never switches.
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if they are there and nobody waits.
    ///
    /// # Blocking
    /// Never switches.
    pub fn try_acquire_many(&self, n: usize) -> Option<Permit<'_>> {
        let taken = n == 0 || self.core.try_take(n);
        taken.then(|| self.permit(n))
    }

    /// Gives back `n` permits that were forgotten, and hands them to those that wait.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// [`OverRelease`] if that many were not forgotten; nothing is given back then.
    pub fn release(&self, n: usize) -> Result<(), OverRelease> {
        if self.core.add(n, self.bound) {
            Ok(())
        } else {
            Err(OverRelease {
                released: n,
                bound: self.bound,
            })
        }
    }

    /// How many permits there are now. Another thread may change that at any time.
    #[doc(alias = "counter")]
    pub fn available(&self) -> usize {
        self.core.available()
    }

    /// How many there are at most.
    pub fn bound(&self) -> usize {
        self.bound
    }

    #[track_caller]
    fn assert_possible(&self, n: usize) {
        let bound = self.bound;
        assert!(
            n <= bound,
            "{n} permits of a BoundedSemaphore that has {bound} at most"
        );
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    #[inline]
    fn permit(&self, n: usize) -> Permit<'_> {
        self.core.permit(n)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("available", &self.available())
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}
