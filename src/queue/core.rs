//! What all queues and channels are made of: the state, and how things change hands.
//!
//! ```text
//!            putters ──► store ──► (get)            a getter waits only while the store is empty, a putter only
//!               │                     ▲              while it is full
//!               │  a getter waits     │
//!               └────────► handed ────┘              what a getter was given and has not come for yet
//! ```
//!
//! One section of the lock per operation. Who frees something hands it on in the same section:
//!
//! | operation | finds | does |
//! | --- | --- | --- |
//! | put | a getter that waits (then the store is empty) | the value into `handed`, grants it |
//! | put | room | the value into the store |
//! | put | neither | waits, with the value beside it in the wait queue |
//! | get | an item | takes it; the first putter that waits is granted, its value moves into the freed place |
//! | get | no item, but a putter (a rendezvous) | grants it, takes its value |
//! | get | neither | waits |
//!
//! # Nothing is lost, nothing is there twice
//!
//! A value is at each moment in one place: with its owner, beside a putter that waits, in the store, or in `handed`. It moves
//! together with the grant of the wait it belongs to, in one section of the lock, and a wait has one end (invariant 14). So
//!
//! - killed or timed out before the grant: the wait queue gives the value back to the putter, a getter was given nothing;
//! - after the grant: the call succeeds. A getter takes its own from `handed`, which it finds by its number, before it can wait
//!   again: were it another's, one that is older than what it got last would come out of order;
//! - granted, and then its hub ends: [`Place::refund`] takes what it was given back for the next getter, or into the store as
//!   the oldest there.
//!
//! `close` tells all who wait. A putter's value comes out with that, and is left in `returned` under the putter's number; the
//! putter fetches it when it runs.
//!
//! # Turns
//!
//! What runs code of the user (`Ord`, `peek`) works on a part of the store that was taken out, in a *turn*; see `store.rs`.
//! Meanwhile puts go on; a get waits for the turn's end like for an item, and is told then. A `try_` form that meets the
//! turn of another thread waits for it in the way of a spin lock; one that meets the turn of another task of its own
//! thread finds nothing. Who meets its own turn would wait for itself: that is a panic.
#![forbid(unsafe_code)]

use core::mem;
use std::cell::Cell;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::state::{Getter, Hearer, Offered, Parcel, State, Taken};
use super::store::Store;
use crate::clock::{Instant, deadline_after};
use crate::greenlet::error::Deadlock;
use crate::hub::primitives::relax;
use crate::park::{
    Blocked, Board, Came, End, Grant, How, Lock, Notice, Place, Reason, Report, Ticket,
    Turn as Rank, Unparker, WaitQueue, block, block_after, block_for, budget,
};

/// Rounds of waiting for another thread's turn: before a get queues up, and before a `try_` form gives up.
const SPIN: u32 = 32;
const PATIENCE: u32 = 300;

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Fail {
    Closed,
    TimedOut,
    Deadlock(Deadlock),
    Unwinding,
    CannotWait(io::Error),
}

impl From<End> for Fail {
    fn from(end: End) -> Self {
        match end {
            End::TimedOut | End::Elapsed => Self::TimedOut,
            End::Deadlock(deadlock) => Self::Deadlock(deadlock),
            End::Unwinding => Self::Unwinding,
            End::Granted => unreachable!("a wait that was granted has not failed"),
        }
    }
}

/// Why a call that does not wait failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No item, or no room.
    NotNow,
    Closed,
}

/// How long a call waits, and what it tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) limit: Option<Duration>,
    pub(crate) report: Report,
}

impl Patience {
    /// Until it is done; errors are reported.
    pub(crate) const ERRORS: Self = Self {
        limit: None,
        report: Report::ERRORS,
    };
    /// Until it is done; nothing can be reported.
    pub(crate) const MUTE: Self = Self {
        limit: None,
        report: Report::NOTHING,
    };

    /// For as long as `d`.
    pub(crate) const fn timed(d: Duration) -> Self {
        Self {
            limit: Some(d),
            report: Report::ALL,
        }
    }

    #[inline]
    fn deadline(&self) -> Option<Instant> {
        match self.limit {
            None => None,
            Some(limit) => deadline_after(limit),
        }
    }
}

#[inline(always)]
pub(super) fn wake(who: Option<Unparker>) {
    if let Some(who) = who {
        who.unpark();
    }
}

fn wake_all(all: Vec<Unparker>) {
    for who in all {
        who.unpark();
    }
}

#[inline]
fn tell(who: Hearer) {
    match who {
        Hearer::Nobody => {}
        Hearer::Getter(who) => who.unpark(),
        Hearer::Watchers(watchers) => tell_all(watchers),
    }
}

#[cold]
pub(super) fn tell_all(watchers: Vec<Notice>) {
    for notice in watchers {
        notice.tell();
    }
}

/// See the file's head.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Core<T, S> {
    pub(super) lock: Lock<State<T, S>>,
    /// The last get had to wait: a guess that the next will, which saves it a look at the start.
    waits: AtomicBool,
}

// A panic cannot leave the state half changed: no code of the user runs under the lock.
impl<T, S> UnwindSafe for Core<T, S> {}
impl<T, S> RefUnwindSafe for Core<T, S> {}

impl<T, S: Store<T>> Core<T, S> {
    /// For so many items; `usize::MAX` is no limit, 0 a rendezvous.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            lock: Lock::new(State::new(capacity)),
            waits: AtomicBool::new(false),
        }
    }

    // ---- put ----

    #[inline]
    pub(crate) fn put(&self, value: T, patience: Patience) -> Result<(), (T, Fail)> {
        if budget::charge()
            && let Some(fail) = breathe(patience)
        {
            return Err((value, fail));
        }
        match self.lock.with(|state| state.offer(value)) {
            Offered::Done(who) => {
                tell(who);
                Ok(())
            }
            Offered::Full(value) => self.put_slowly(value, patience),
            Offered::Closed(value) => Err((value, Fail::Closed)),
        }
    }

    #[inline(never)]
    fn put_slowly(&self, value: T, patience: Patience) -> Result<(), (T, Fail)> {
        let deadline = patience.deadline();
        let mut value = value;
        loop {
            let ticket = match Ticket::new() {
                Ok(ticket) => ticket,
                Err(e) => return Err((value, Fail::CannotWait(e))),
            };
            let how = How {
                reasons: &[self.reason_to_put()],
                deadline,
                report: patience.report,
            };
            let mut number = 0;
            let watched = Cell::new(false);
            let enter = |state: &mut State<T, S>| match state.offer(value) {
                Offered::Done(who) => Ok(Ok(who)),
                Offered::Closed(value) => Ok(Err(value)),
                Offered::Full(value) => {
                    watched.set(!state.notices.is_empty());
                    let parcel = state.parcel(value);
                    number = parcel.number;
                    Err((parcel, Rank::Last))
                }
            };
            // At a rendezvous, who waits to put is what can be got.
            let queued = || {
                if watched.get() {
                    tell_all(self.lock.with(State::watchers));
                }
            };
            let blocked = block_after(&Putting(self), ticket, &how, enter, queued);
            match blocked {
                Blocked::Now(Ok(who)) => {
                    tell(who);
                    return Ok(());
                }
                Blocked::Now(Err(value)) => return Err((value, Fail::Closed)),
                Blocked::Granted(Grant::Given(_)) => return Ok(()),
                Blocked::Granted(Grant::Told(_)) => {
                    match self.lock.with(|state| state.take_returned(number)) {
                        Some(returned) => value = returned,
                        None => unreachable!("a putter was told without its value"),
                    }
                }
                Blocked::Ended(end, Some(parcel)) => return Err((parcel.value, end.into())),
                Blocked::Ended(end, None) => {
                    unreachable!("a putter that ended with {end:?} has lost its value")
                }
            }
        }
    }

    #[inline]
    pub(crate) fn try_put(&self, value: T) -> Result<(), (T, Refusal)> {
        match self.lock.with(|state| state.offer(value)) {
            Offered::Done(who) => {
                tell(who);
                Ok(())
            }
            Offered::Full(value) => Err((value, Refusal::NotNow)),
            Offered::Closed(value) => Err((value, Refusal::Closed)),
        }
    }

    // ---- get ----

    #[inline]
    #[track_caller]
    pub(crate) fn get(&self, patience: Patience) -> Result<T, Fail> {
        // Relaxed: it is a guess. Whoever waits looks under the lock first. A wait is no call to count.
        if !self.waits.load(Ordering::Relaxed) {
            if budget::charge()
                && let Some(fail) = breathe(patience)
            {
                return Err(fail);
            }
            match self.lock.with(State::take) {
                Taken::Item(item, who) => {
                    wake(who);
                    return Ok(item);
                }
                Taken::Empty => {}
                taken => return self.get_slowly(taken, patience),
            }
        }
        self.wait_for_item(patience)
    }

    /// The getter's wait when nothing is in the way: the short form of the loop in `get_slowly`. Not inlined further: whoever gets
    /// and need not wait would pay for the registers that a wait takes.
    #[inline(never)]
    #[track_caller]
    fn wait_for_item(&self, patience: Patience) -> Result<T, Fail> {
        let Some(ticket) = Ticket::usual() else {
            return self.look_and_get_slowly(patience);
        };
        let how = How {
            reasons: &[self.reason_to_get()],
            deadline: patience.deadline(),
            report: patience.report,
        };
        let came = block_for(
            &Getting(self),
            ticket,
            &how,
            |state, address| match state.take() {
                Taken::Empty => {
                    self.waits.store(true, Ordering::Relaxed);
                    Err((Getter::Frame(address), Rank::Last))
                }
                taken => {
                    self.waits.store(false, Ordering::Relaxed);
                    Ok(taken)
                }
            },
            |item| self.hand_back(item),
        );
        match came {
            Came::Value(item) => Ok(item),
            Came::Else(other) => self.did_not_land(other, how.deadline, patience),
        }
    }

    #[inline(never)]
    #[track_caller]
    fn did_not_land(
        &self,
        blocked: Blocked<Taken<T, S::Work>, Getter<T>>,
        deadline: Option<Instant>,
        patience: Patience,
    ) -> Result<T, Fail> {
        match blocked {
            Blocked::Now(taken) => {
                // Not counted yet, in the hope for a wait.
                budget::spend_here();
                self.get_slowly(taken, patience)
            }
            Blocked::Granted(_) => {
                let left = Patience {
                    limit: deadline.map(|d| d.saturating_duration_since(Instant::now())),
                    ..patience
                };
                self.look_and_get_slowly(left)
            }
            Blocked::Ended(end, _) => Err(end.into()),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn look_and_get_slowly(&self, patience: Patience) -> Result<T, Fail> {
        self.get_slowly(self.lock.with(State::take), patience)
    }

    #[inline(never)]
    #[track_caller]
    fn get_slowly(&self, first: Taken<T, S::Work>, patience: Patience) -> Result<T, Fail> {
        let mut deadline = None;
        let mut taken = first;
        let mut round = 0;
        loop {
            match taken {
                Taken::Item(item, who) => {
                    wake(who);
                    return Ok(item);
                }
                Taken::Closed => return Err(Fail::Closed),
                Taken::Turn(work) => {
                    if let Some(item) = self.turn(work, S::choose) {
                        return Ok(item);
                    }
                    taken = self.lock.with(State::take);
                    continue;
                }
                Taken::Busy(holder) if holder.is_elsewhere() && round < SPIN => {
                    relax(round);
                    round += 1;
                    taken = self.lock.with(State::take);
                    continue;
                }
                Taken::Busy(_) | Taken::Empty => {}
            }
            let ticket = Ticket::new().map_err(Fail::CannotWait)?;
            let how = How {
                reasons: &[self.reason_to_get()],
                // Read once, by the first wait.
                deadline: *deadline.get_or_insert_with(|| patience.deadline()),
                report: patience.report,
            };
            let came = block_for(
                &Getting(self),
                ticket,
                &how,
                |state, address| match state.take() {
                    Taken::Empty | Taken::Busy(_) => Err((Getter::Frame(address), Rank::Last)),
                    taken => Ok(taken),
                },
                |item| self.hand_back(item),
            );
            taken = match came {
                Came::Value(item) => return Ok(item),
                Came::Else(Blocked::Now(taken)) => taken,
                Came::Else(Blocked::Granted(_)) => self.lock.with(State::take),
                Came::Else(Blocked::Ended(end, _)) => return Err(end.into()),
            };
        }
    }

    /// Takes what the caller, a select, was given.
    #[inline]
    pub(super) fn fetch(&self, number: u64) -> T {
        match self.lock.with(|state| state.take_handed(number)) {
            Some(item) => item,
            None => unreachable!("a select was granted, and nothing was handed to it"),
        }
    }

    #[inline]
    #[track_caller]
    pub(crate) fn try_get(&self) -> Result<T, Refusal> {
        match self.lock.with(State::take) {
            Taken::Item(item, who) => {
                wake(who);
                Ok(item)
            }
            Taken::Empty => Err(Refusal::NotNow),
            taken => self.try_get_slowly(taken),
        }
    }

    #[inline(never)]
    #[track_caller]
    fn try_get_slowly(&self, first: Taken<T, S::Work>) -> Result<T, Refusal> {
        let mut taken = first;
        let mut round = 0;
        loop {
            match taken {
                Taken::Item(item, who) => {
                    wake(who);
                    return Ok(item);
                }
                Taken::Turn(work) => {
                    if let Some(item) = self.turn(work, S::choose) {
                        return Ok(item);
                    }
                }
                Taken::Busy(holder) if holder.is_elsewhere() && round < PATIENCE => {
                    relax(round);
                    round += 1;
                }
                Taken::Closed => return Err(Refusal::Closed),
                Taken::Busy(_) | Taken::Empty => return Err(Refusal::NotNow),
            }
            taken = self.lock.with(State::take);
        }
    }

    /// What was given to a select that will never come for it goes to the next getter, or back.
    pub(super) fn hand_back_of(&self, number: u64) {
        if let Some(value) = self.lock.with(|state| state.take_handed(number)) {
            self.hand_back(value);
        }
    }

    /// The same with what was given.
    fn hand_back(&self, value: T) {
        let who = self.lock.with(|state| {
            let value = if state.is_idle() {
                match state.hand(value) {
                    Ok(who) => return Hearer::Getter(who),
                    Err(value) => value,
                }
            } else {
                value
            };
            state.store.restore(value);
            Hearer::Watchers(state.watchers())
        });
        tell(who);
    }

    // ---- turns ----

    /// Shows the next item to `f`, if there is one.
    #[track_caller]
    pub(crate) fn peek<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let mut round = 0;
        loop {
            let begun = self.lock.with(|state| match state.busy {
                Some(holder) => Err(holder),
                None if state.store.len() == 0 => Ok(None),
                None => Ok(Some(state.begin_turn())),
            });
            match begun {
                Ok(work) => return self.turn(work?, |work| S::peek(work).map(f)),
                Err(holder) if holder.is_elsewhere() && round < PATIENCE => {
                    relax(round);
                    round += 1;
                }
                Err(_) => return None,
            }
        }
    }

    /// Runs `f`, which may be or call code of the user, with what the turn has in hand.
    fn turn<R>(&self, work: S::Work, f: impl FnOnce(&mut S::Work) -> R) -> R {
        let mut turn = Turn {
            core: self,
            work: Some(work),
        };
        match &mut turn.work {
            Some(work) => f(work),
            None => unreachable!("a turn without its work"),
        }
    }

    fn end_turn(&self, work: S::Work) {
        let (admitted, told, drained, watchers) = self.lock.with(|state| {
            state.busy = None;
            state.in_hand = 0;
            state.store.put_back(work);
            let admitted = state.admit();
            let drained = mem::take(&mut state.purge).then(|| state.drain());
            let told = state.getters.tell_all();
            (admitted, told, drained, state.watchers())
        });
        wake(admitted);
        tell_all(watchers);
        wake_all(told.into_iter().map(|w| w.1).collect());
        if let Some((store, joiners)) = drained {
            wake_all(joiners);
            drop(store);
        }
    }

    // ---- the end ----

    /// Puts fail from now on, gets take what is left; all who wait look again.
    pub(crate) fn close(&self) {
        let (told, watchers) = self.lock.with(|state| (state.close(), state.watchers()));
        wake_all(told);
        tell_all(watchers);
    }

    /// The same, and drops what is left.
    pub(crate) fn close_now(&self) {
        let (told, watchers, (store, joiners)) = self.lock.with(|state| {
            let told = state.close();
            state.purge = state.busy.is_some();
            (told, state.watchers(), state.drain())
        });
        wake_all(told);
        tell_all(watchers);
        wake_all(joiners);
        drop(store);
    }

    // ---- watching ----

    /// Has `notice` told once a get would not have to wait; at once if that is so.
    pub(crate) fn watch(&self, notice: Notice) {
        if let Some(notice) = self.lock.with(|state| state.watch(notice)) {
            notice.tell();
        }
    }

    /// Takes back the notices of `board`.
    pub(crate) fn unwatch(&self, board: &Board) {
        drop(self.lock.with(|state| state.unwatch(board)));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock.with(|state| state.closed)
    }

    // ---- what is done with the items ----

    /// False if all were done before.
    pub(crate) fn task_done(&self) -> bool {
        let joiners = self.lock.with(|state| {
            state.unfinished = state.unfinished.checked_sub(1)?;
            Some(state.finished())
        });
        joiners.map(wake_all).is_some()
    }

    /// False if `patience` ended before all were done.
    #[track_caller]
    pub(crate) fn join(&self, patience: Patience) -> bool {
        if self.lock.with(|state| state.unfinished == 0) {
            return true;
        }
        let how = How {
            reasons: &[Reason::at("join of queue", self)],
            deadline: patience.deadline(),
            report: patience.report,
        };
        let blocked = block(&Joining(self), Ticket::must(), &how, |state| {
            if state.unfinished == 0 {
                Ok(())
            } else {
                Err(((), Rank::Last))
            }
        });
        !matches!(blocked, Blocked::Ended(..))
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.lock.with(|state| state.unfinished)
    }

    // ---- what there is ----

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.lock.with(|state| state.len())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lock.with(|state| !state.has_room())
    }

    /// `usize::MAX` is no limit.
    pub(crate) fn capacity(&self) -> usize {
        self.lock.with(|state| state.capacity)
    }

    pub(super) fn reason_to_get(&self) -> Reason<'static> {
        Reason::at("get from queue", self)
    }

    pub(super) fn reason_to_put(&self) -> Reason<'static> {
        Reason::at("put into queue", self)
    }
}

/// The budget is spent: gives others a turn.
#[cold]
fn breathe(patience: Patience) -> Option<Fail> {
    match budget::breathe(patience.report) {
        Ok(end) => end.map(Fail::from),
        Err(e) => Some(Fail::CannotWait(e)),
    }
}

/// Ends a turn on every way out.
struct Turn<'a, T, S: Store<T>> {
    core: &'a Core<T, S>,
    work: Option<S::Work>,
}

impl<T, S: Store<T>> Drop for Turn<'_, T, S> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.core.end_turn(work);
        }
    }
}

/// Waits for an item.
struct Getting<'a, T, S>(&'a Core<T, S>);
/// Waits for room.
struct Putting<'a, T, S>(&'a Core<T, S>);
/// Waits until all is done.
struct Joining<'a, T, S>(&'a Core<T, S>);

// What it was given goes back by `block_for`; who was only told had nothing.
impl<T, S: Store<T>> Place for Getting<'_, T, S> {
    type State = State<T, S>;
    type Payload = Getter<T>;

    #[inline]
    fn lock(&self) -> &Lock<State<T, S>> {
        &self.0.lock
    }

    #[inline]
    fn waiters(state: &mut State<T, S>) -> &mut WaitQueue<Getter<T>> {
        state.eventful = true;
        &mut state.getters
    }
}

// A putter that was granted has put; one that was told, and never comes, leaves its value to the queue's end.
impl<T, S: Store<T>> Place for Putting<'_, T, S> {
    type State = State<T, S>;
    type Payload = Parcel<T>;

    #[inline]
    fn lock(&self) -> &Lock<State<T, S>> {
        &self.0.lock
    }

    #[inline]
    fn waiters(state: &mut State<T, S>) -> &mut WaitQueue<Parcel<T>> {
        state.eventful = true;
        &mut state.putters
    }
}

impl<T, S: Store<T>> Place for Joining<'_, T, S> {
    type State = State<T, S>;
    type Payload = ();

    #[inline]
    fn lock(&self) -> &Lock<State<T, S>> {
        &self.0.lock
    }

    #[inline]
    fn waiters(state: &mut State<T, S>) -> &mut WaitQueue<()> {
        &mut state.joiners
    }
}
