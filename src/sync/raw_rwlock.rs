//! The waiting part of [`RwLock`](super::RwLock): who reads, who writes, who is next.
//!
//! ```text
//! queue   R R W R R …          in the order of asking
//! ```
//!
//! | `readers` | `writing` | meaning | who is let in from the queue |
//! | --- | --- | --- | --- |
//! | 0 | no | free | the first; if that one reads, those too that follow it and read |
//! | n | no | n read | those at its head that read |
//! | 0 | yes | one writes | nobody |
//! | n | yes | **forbidden** | |
//!
//! Nobody who asks goes past the queue, so a writer that waits stops new readers. All counts change in the lock of the
//! state, the grant among them: what is let in is counted in before it is woken (a grant is a hand-over).
//!
//! This file knows no value. Only `writer` is read from outside of the lock, for reports.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use super::TIMED;
use super::raw_mutex::on_plain_thread;
use crate::clock::Instant;
use crate::greenlet::hot::running_id;
use crate::park::{
    Blocked, Grant, HeldBy, How, Lock, Place, Reason, Report, Ticket, Turn, Unparker, WaitQueue,
    block,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Read,
    Write,
}

#[derive(Debug)]
pub(crate) struct State {
    readers: usize,
    writing: bool,
    queue: WaitQueue<Wants>,
}

/// A read-write lock of nothing.
#[derive(Debug)]
pub(super) struct RawRwLock {
    state: Lock<State>,
    /// The id of who writes: 0 if nobody does, or does not run yet that was let in, so that no report sees somebody wait for
    /// what it has. Written by the writer only.
    writer: AtomicU64,
}

/// It is locked for reading. Made in this file only, one for each that `readers` counts.
#[derive(Debug)]
pub(super) struct ReadHeld<'a>(&'a RawRwLock);

/// It is locked for writing. Made in this file only, while `writing`.
#[derive(Debug)]
pub(super) struct WriteHeld<'a>(&'a RawRwLock);

impl RawRwLock {
    /// Free.
    pub(super) const fn new() -> Self {
        Self {
            state: Lock::new(State {
                readers: 0,
                writing: false,
                queue: WaitQueue::new(),
            }),
            writer: AtomicU64::new(0),
        }
    }

    /// In the lock: lets the caller in, if that is possible and nobody waits.
    #[inline]
    fn enter(state: &mut State, wants: Wants) -> bool {
        let free = state.queue.is_empty() && state.fits(wants);
        if free {
            state.admit(wants);
        }
        free
    }

    #[inline]
    pub(super) fn try_read(&self) -> Option<ReadHeld<'_>> {
        let free = self.state.with(|state| Self::enter(state, Wants::Read));
        free.then(|| ReadHeld(self))
    }

    #[inline]
    pub(super) fn try_write(&self) -> Option<WriteHeld<'_>> {
        let free = self.state.with(|state| Self::enter(state, Wants::Write));
        free.then(|| self.written())
    }

    /// Reads; `None` as deadline: sooner or later. Without one it always succeeds.
    #[inline]
    #[track_caller]
    pub(super) fn read(&self, deadline: Option<Option<Instant>>) -> Option<ReadHeld<'_>> {
        let here = || ReadHeld(self);
        self.try_read().or_else(|| {
            self.contend(&Reading(self), Wants::Read, deadline)
                .then(here)
        })
    }

    /// Writes; as [`read`](Self::read).
    #[inline]
    #[track_caller]
    pub(super) fn write(&self, deadline: Option<Option<Instant>>) -> Option<WriteHeld<'_>> {
        let here = || self.written();
        self.try_write().or_else(|| {
            self.contend(&Writing(self), Wants::Write, deadline)
                .then(here)
        })
    }

    /// It is locked for writing, and the caller runs.
    #[inline]
    fn written(&self) -> WriteHeld<'_> {
        self.writer.store(running_id(), Ordering::Relaxed);
        WriteHeld(self)
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn contend<P>(&self, place: &P, wants: Wants, deadline: Option<Option<Instant>>) -> bool
    where
        P: Place<State = State, Payload = Wants>,
    {
        let ticket = Ticket::must();
        assert!(
            deadline.is_some()
                || !on_plain_thread()
                || self.writer.load(Ordering::Relaxed) != running_id(),
            "deadlock: the thread locks a read-write lock that it has locked for writing already"
        );
        let kind = match wants {
            Wants::Read => "read lock",
            Wants::Write => "write lock",
        };
        let how = How {
            reasons: &[Reason::at(kind, self).held_by(HeldBy::Cell(&self.writer))],
            deadline: deadline.flatten(),
            report: if deadline.is_some() {
                TIMED
            } else {
                Report::NOTHING
            },
        };
        let blocked = block(place, ticket, &how, |state| {
            if Self::enter(state, wants) {
                Ok(())
            } else {
                Err((wants, Turn::Last))
            }
        });
        match blocked {
            // Nobody is told: a grant here is a hand-over.
            Blocked::Now(()) | Blocked::Granted(_) => true,
            Blocked::Ended(..) => false,
        }
    }

    /// Changes the state, and then lets in who may be.
    #[inline]
    fn change(&self, f: impl FnOnce(&mut State)) {
        let next = self.state.with(|state| {
            f(state);
            Self::next(state)
        });
        if let Some(next) = next {
            self.wake(next);
        }
    }

    /// Unparks one, and all those that may come in with it.
    #[cold]
    fn wake(&self, first: Unparker) {
        first.unpark();
        while let Some(next) = self.state.with(Self::next) {
            next.unpark();
        }
    }

    /// In the lock: lets the first one in, if it can be.
    #[inline]
    fn next(state: &mut State) -> Option<Unparker> {
        if state.queue.is_empty() {
            return None;
        }
        let (readers, writing) = (state.readers, state.writing);
        let given = state.queue.give_if(|w| fits(readers, writing, *w));
        let (wants, who) = given?;
        state.admit(wants);
        Some(who)
    }

    fn end_read(&self) {
        self.change(|state| state.readers -= 1);
    }

    fn end_write(&self) {
        self.writer.store(0, Ordering::Relaxed);
        self.change(|state| state.writing = false);
    }
}

#[inline]
fn fits(readers: usize, writing: bool, wants: Wants) -> bool {
    !writing && (wants == Wants::Read || readers == 0)
}

impl State {
    /// Counts one in.
    fn admit(&mut self, wants: Wants) {
        match wants {
            Wants::Read => match self.readers.checked_add(1) {
                Some(n) => self.readers = n,
                None => unreachable!("more readers than bytes in memory"),
            },
            Wants::Write => self.writing = true,
        }
    }

    #[inline]
    fn fits(&self, wants: Wants) -> bool {
        fits(self.readers, self.writing, wants)
    }
}

impl<'a> WriteHeld<'a> {
    /// Goes on as a reader, with no writer in between; readers that wait at the head of the queue come in too.
    pub(super) fn downgrade(self) -> ReadHeld<'a> {
        let lock = self.0;
        core::mem::forget(self);
        lock.writer.store(0, Ordering::Relaxed);
        lock.change(|state| {
            state.writing = false;
            state.readers = 1;
        });
        ReadHeld(lock)
    }
}

impl Drop for ReadHeld<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.end_read();
    }
}

impl Drop for WriteHeld<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.end_write();
    }
}

/// The lock as who waits to read sees it.
struct Reading<'a>(&'a RawRwLock);

/// The lock as who waits to write sees it.
struct Writing<'a>(&'a RawRwLock);

impl Place for Reading<'_> {
    type State = State;
    type Payload = Wants;

    fn lock(&self) -> &Lock<State> {
        &self.0.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue<Wants> {
        &mut state.queue
    }

    fn left(&self) {
        self.0.change(|_| ());
    }

    fn refund(&self, _: Grant) {
        self.0.end_read();
    }
}

impl Place for Writing<'_> {
    type State = State;
    type Payload = Wants;

    fn lock(&self) -> &Lock<State> {
        &self.0.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue<Wants> {
        &mut state.queue
    }

    fn left(&self) {
        self.0.change(|_| ());
    }

    fn refund(&self, _: Grant) {
        self.0.end_write();
    }
}
