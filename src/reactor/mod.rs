//! Readiness: one epoll instance, what is registered with it, and what each descriptor can do.
//!
//! ```text
//!   layer above                      Reactor<W>                                  kernel
//!   ───────────                      ──────────                                  ──────
//!   register(fd) ───────────────►    slab of Registration<W>  ──── ctl ADD ───►  epoll (edge-triggered)
//!   call → WouldBlock                  slot: {generation,                          │
//!   clear(token, dir)                         read  {ready, closed, waiter},       │
//!   set_waiter(token, dir, W)                 write {ready, closed, waiter}}       │
//!        … parked …                          ▲                                     │
//!   wake(W)  ◄────────── poll ───────────────┴───────── events by Token ───────────┤
//!                          ├── woken ◄────────────────── WAKER: other threads ─────┤
//!                          └── (re-arms, never reads) ── TIMER: timerfd, lazily ───┘
//! ```
//!
//! A descriptor is registered once, for both directions, and never modified. The kernel is not asked whether a
//! descriptor is ready: the bits remember what the events said and what system calls found out since. Rules
//! and proof are in [`registration`]; how long a poll lasts is decided in [`wait`].
//!
//! `W` names a waiter and means nothing here. The reactor knows no greenlets and no hub; it owns no descriptor
//! that is registered and does no IO on one; `wake` is called in the middle of a poll and may only enqueue
//! (invariant 4).
//!
//! # Closing, duplicating, forking
//!
//! The kernel's entry belongs to the *open file*, not to the number. It survives a `close` while a duplicate
//! lives, and can then no longer be removed. So: [`deregister`](Reactor::deregister) first, close afterwards.
//! Where that went wrong the events of the left-over entry carry a stale token and are counted, not delivered.
//!
//! After `fork`, the child shares the epoll instance with its parent: a removal there would be the parent's
//! loss. The child uses [`forget`](Reactor::forget), and [`close`](Reactor::close) when it gets a reactor of its own.
//! Dropping or closing one closes what it made and does nothing else, so it is right in the child.
// `forbid` would reach the timerfd, which has system calls of its own to make.
#![deny(unsafe_code)]

mod registration;
mod timerfd;
mod wait;

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use slab::Slab;

pub(crate) use self::registration::{Direction, Emptied, Refused, Token, Waiters};
pub(crate) use self::wait::Wait;

use self::registration::{Registration, Side};
use self::timerfd::TimerFd;
use crate::clock::Instant;

/// The waker's mark on its events. Its slot and the timer's are beyond any registration's.
const WAKER: mio::Token = mio::Token(usize::MAX);
const TIMER: mio::Token = mio::Token(usize::MAX - 1);

/// Events taken in one poll, at first and at most. A poll that fills its buffer doubles the next one's.
const MIN_EVENTS: usize = 1024;
const MAX_EVENTS: usize = 16 * 1024;

/// What epoll can round to; the fallback where no timerfd can be had.
const COARSE: Duration = Duration::from_millis(1);

/// What a poll found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Polled {
    /// Events of registrations that live.
    pub(crate) events: usize,
    /// Another thread used the waker, since the last poll that said so.
    pub(crate) woken: bool,
    /// A signal ended the poll early.
    pub(crate) interrupted: bool,
}

/// What the reactor has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// `epoll_wait` calls.
    pub(crate) polls: u64,
    /// Events of registrations that lived.
    pub(crate) events: u64,
    /// Events of registrations that had ended: somebody closed before deregistering.
    pub(crate) stale: u64,
    /// `epoll_ctl` calls for registrations.
    pub(crate) ctls: u64,
    /// `timerfd_settime` calls.
    pub(crate) arms: u64,
}

/// A thread's readiness; `W` names a waiter of the layer above.
pub(crate) struct Reactor<W: Copy + Eq> {
    /// `None` once it was closed.
    poll: Option<Poll>,
    events: Events,
    registrations: Slab<Registration<W>>,
    /// Of the next registration.
    generation: NonZeroU32,
    /// How many waiters are parked.
    waiting: usize,
    waker: OnceCell<Arc<mio::Waker>>,
    timer: Option<TimerFd>,
    counters: Counters,
}

impl<W: Copy + Eq> Reactor<W> {
    /// A reactor with nothing registered: one descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Some(Poll::new()?),
            events: Events::with_capacity(MIN_EVENTS),
            registrations: Slab::new(),
            generation: NonZeroU32::MIN,
            waiting: 0,
            waker: OnceCell::new(),
            timer: None,
            counters: Counters::default(),
        })
    }

    /// Closes what it made, in a forked child that lets go of its parent's. It is good for nothing then, but a wait in the
    /// parent's hub that ends in the child after all still finds its registration, and takes its waiter back.
    pub(crate) fn close(&mut self) {
        self.timer = None;
        self.waker.take();
        self.poll = None;
    }

    /// The instance, unless it was [closed](Self::close).
    fn open(&self) -> io::Result<&Poll> {
        self.poll.as_ref().ok_or_else(closed)
    }

    /// What other threads end a poll with; made by the first call, there is one only.
    pub(crate) fn waker(&self) -> io::Result<Arc<mio::Waker>> {
        if let Some(waker) = self.waker.get() {
            return Ok(Arc::clone(waker));
        }
        let waker = Arc::new(mio::Waker::new(self.open()?.registry(), WAKER)?);
        Ok(Arc::clone(self.waker.get_or_init(|| waker)))
    }

    /// A way for another thread to take out a descriptor that it is about to close. It then tells this
    /// reactor's thread, which calls [`forget`](Self::forget).
    pub(crate) fn registry(&self) -> io::Result<mio::Registry> {
        self.open()?.registry().try_clone()
    }

    /// Registers a descriptor, for both directions, taken for ready in both.
    ///
    /// # Errors
    ///
    /// The kernel's, with nothing kept: `EEXIST` if the descriptor is registered already, `EPERM` if it cannot
    /// be polled (a regular file is always ready), `ENOMEM`, `ENOSPC`, `EBADF`.
    pub(crate) fn register(&mut self, fd: RawFd) -> io::Result<Token> {
        // Not by `open`, which would borrow the other fields too.
        let Some(poll) = &self.poll else {
            return Err(closed());
        };
        let vacant = self.registrations.vacant_entry();
        let token = Token {
            slot: u32::try_from(vacant.key()).expect("fewer registrations than file descriptors"),
            generation: self.generation,
        };
        self.counters.ctls += 1;
        poll.registry().register(
            &mut SourceFd(&fd),
            token.to_mio(),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        vacant.insert(Registration::new(token.generation, fd));
        self.generation = token.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        Ok(token)
    }

    /// Ends a registration, whose descriptor must still be open: who was parked there.
    ///
    /// A stale token does nothing at all, as `fd` may be somebody else's by now.
    pub(crate) fn deregister(&mut self, token: Token, fd: RawFd) -> Waiters<W> {
        let Some(registration) = self.get(token) else {
            return Waiters::NONE;
        };
        debug_assert_eq!(registration.fd, fd, "deregistered by another number");
        self.counters.ctls += 1;
        // It fails only if the descriptor was closed before. Then its entry went with it, or, if a duplicate
        // lives, is out of reach and from now on stale. There is nothing that a caller could do about either.
        // A reactor that was closed has no say any more.
        if let Some(poll) = &self.poll {
            let _ = poll.registry().deregister(&mut SourceFd(&fd));
        }
        self.forget(token)
    }

    /// Ends a registration without telling the kernel: in a forked child, or if another thread has told it.
    /// Who was parked there.
    pub(crate) fn forget(&mut self, token: Token) -> Waiters<W> {
        if self.get(token).is_none() {
            return Waiters::NONE;
        }
        let registration = self.registrations.remove(token.slot as usize);
        let waiters = registration.into_waiters();
        self.waiting -= waiters.into_iter().count();
        waiters
    }

    /// Whether a system call is worth trying. A stale token's is: its error is the caller's answer.
    #[inline]
    pub(crate) fn is_ready(&self, token: Token, direction: Direction) -> bool {
        self.get(token)
            .is_none_or(|registration| registration.side(direction).is_ready())
    }

    /// Notes that a system call, made since the last poll, left nothing to do.
    #[inline]
    pub(crate) fn clear_ready(&mut self, token: Token, direction: Direction, emptied: Emptied) {
        if let Some(registration) = self.get_mut(token) {
            registration.side_mut(direction).clear(emptied);
        }
    }

    /// Parks `waiter` until the next event, which wakes it and forgets it.
    ///
    /// # Errors
    ///
    /// If another waits there, if there is nothing to wait for, if the registration has ended.
    #[inline]
    pub(crate) fn set_waiter(
        &mut self,
        token: Token,
        direction: Direction,
        waiter: W,
    ) -> Result<(), Refused<W>> {
        let registration = self.get_mut(token).ok_or(Refused::Stale)?;
        registration.side_mut(direction).set_waiter(waiter)?;
        self.waiting += 1;
        Ok(())
    }

    /// Takes `waiter` away again, on whichever way out. `false` if it is not there: woken before, or the
    /// registration has ended.
    #[inline]
    pub(crate) fn take_waiter(&mut self, token: Token, direction: Direction, waiter: W) -> bool {
        let taken = self
            .get_mut(token)
            .is_some_and(|registration| registration.side_mut(direction).take_waiter(waiter));
        self.waiting -= usize::from(taken);
        taken
    }

    /// The descriptor of a live registration.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for dumps, and watched by the tests")
    )]
    pub(crate) fn fd(&self, token: Token) -> Option<RawFd> {
        self.get(token).map(|registration| registration.fd)
    }

    /// How many descriptors are registered.
    pub(crate) fn len(&self) -> usize {
        self.registrations.len()
    }

    /// How many waiters are parked.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// What was done so far.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for dumps, and watched by the tests")
    )]
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes the events that have come, waiting for some as long as `wait` says, and calls `wake` for each
    /// waiter that one of them was for. `now` is the time that the deadlines are measured from.
    ///
    /// It may end early, with nothing found: for a signal, for a timer that was armed for an earlier deadline,
    /// or since a fine deadline has come near.
    ///
    /// # Errors
    ///
    /// The kernel's about the epoll instance itself, which is as good as gone then. A signal is none.
    pub(crate) fn poll(
        &mut self,
        wait: Wait,
        now: Instant,
        mut wake: impl FnMut(W),
    ) -> io::Result<Polled> {
        let plan = wait.plan(now);
        let mut timeout = plan.timeout;
        if let Some(deadline) = plan.arm
            && self.arm(deadline, now).is_err()
        {
            // No descriptors left, say. A millisecond late is better than never.
            timeout = Some(timeout.map_or(COARSE, |timeout| timeout.min(COARSE)));
        }

        let mut polled = Polled::default();
        self.counters.polls += 1;
        let Some(poll) = &mut self.poll else {
            return Err(closed());
        };
        match poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                polled.interrupted = true;
                return Ok(polled);
            }
            Err(error) => return Err(error),
        }

        let mut taken = 0;
        for event in &self.events {
            taken += 1;
            match event.token() {
                WAKER => polled.woken = true,
                TIMER => {
                    if let Some(timer) = &mut self.timer {
                        timer.fired();
                    }
                }
                token => {
                    let Some(registration) = find(&mut self.registrations, token) else {
                        self.counters.stale += 1;
                        continue;
                    };
                    polled.events += 1;
                    for waiter in dispatch(registration, event) {
                        self.waiting -= 1;
                        wake(waiter);
                    }
                }
            }
        }
        self.counters.events += polled.events as u64;
        if taken == self.events.capacity() && taken < MAX_EVENTS {
            self.events = Events::with_capacity(taken * 2);
        }
        Ok(polled)
    }

    /// Makes sure of an event at `deadline` or before.
    fn arm(&mut self, deadline: Instant, now: Instant) -> io::Result<()> {
        let timer = match &mut self.timer {
            Some(timer) => timer,
            none => {
                let timer = TimerFd::new()?;
                let fd = timer.as_raw_fd();
                self.poll.as_ref().ok_or_else(closed)?.registry().register(
                    &mut SourceFd(&fd),
                    TIMER,
                    Interest::READABLE,
                )?;
                none.insert(timer)
            }
        };
        if timer.arm(deadline, now)? {
            self.counters.arms += 1;
        }
        Ok(())
    }

    #[inline]
    fn get(&self, token: Token) -> Option<&Registration<W>> {
        self.registrations
            .get(token.slot as usize)
            .filter(|registration| registration.generation == token.generation)
    }

    #[inline]
    fn get_mut(&mut self, token: Token) -> Option<&mut Registration<W>> {
        get_mut(&mut self.registrations, token)
    }
}

/// What the kernel says of an instance that was closed.
fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

#[inline]
fn get_mut<W>(slab: &mut Slab<Registration<W>>, token: Token) -> Option<&mut Registration<W>> {
    slab.get_mut(token.slot as usize)
        .filter(|registration| registration.generation == token.generation)
}

/// The registration that an event is for, if that still lives.
#[inline]
fn find<W>(slab: &mut Slab<Registration<W>>, token: mio::Token) -> Option<&mut Registration<W>> {
    get_mut(slab, Token::from_mio(token)?)
}

/// Notes what an event says: whom to wake. An error concerns both sides, so each side's next call may fetch it.
#[inline]
fn dispatch<W: Copy + Eq>(
    registration: &mut Registration<W>,
    event: &mio::event::Event,
) -> Waiters<W> {
    fn notice<W: Copy + Eq>(side: &mut Side<W>, ready: bool, closed: bool) -> Option<W> {
        if ready || closed {
            side.notice(closed)
        } else {
            None
        }
    }
    let error = event.is_error();
    let read_closed = error || event.is_read_closed();
    let write_closed = error || event.is_write_closed();
    Waiters {
        read: notice(&mut registration.read, event.is_readable(), read_closed),
        write: notice(&mut registration.write, event.is_writable(), write_closed),
    }
}

impl<W: Copy + Eq> fmt::Debug for Reactor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("registered", &self.len())
            .field("waiting", &self.waiting)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
