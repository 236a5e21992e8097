//! Where a descriptor is registered, and who waits on it: one word for everybody who asks, a lock for who changes it.
//!
//! ```text
//!   state:  [ hub's number: 56 | … | NONBLOCKING | CLOSED | WRITE_THREAD | READ_THREAD | WRITE_HUB | READ_HUB ]
//!
//!                       first wait, at hub A                      a wait at hub B, nobody waiting at A
//!   number 0, no token ───────────────────► number A, A's token ──────────────────────► number B, B's token
//!            ▲                                      │ close, drop, conversion
//!            └──────────────────────────────────────┘
//! ```
//!
//! | bits                      | who may do what                                                                    |
//! | ------------------------- | ---------------------------------------------------------------------------------- |
//! | number A, no `_HUB` bit   | A's thread sets a `_HUB` bit, by exchange of the whole word; any thread moves it   |
//! | number A, a `_HUB` bit    | one task of A waits in that direction; the registration stays at A until it is off |
//! | number 0, no `_HUB` bit   | nobody waits by a hub; whoever holds the lock may register it                      |
//! | a `_THREAD` bit           | a plain thread polls in that direction; it does not mind a move                    |
//! | both bits of a direction  | forbidden: two waiters                                                             |
//! | CLOSED                    | nobody sets a bit of a waiter any more; never cleared                              |
//!
//! # Why a token read here is of the hub that reads it
//!
//! A token means something only to the reactor that made it, and another thread may replace it at any moment while no
//! `_HUB` bit is set. Who moves the registration first takes the number out of the state, then writes the token, then puts
//! in the new number. A's thread reads number, token, number. If it got the token of B, then (release and acquire of the
//! token) the second look at the number finds A gone, and only A's own thread could bring it back. A token that was A's when
//! it was read stays known to A's reactor, or stale, until A's next turn, which cannot begin in the middle of a call.
//!
//! # Number
//!
//! The id of the thread's main greenlet, which no other thread ever has, and the count of forks: in a forked child nothing
//! is registered, although memory says so. There the kernel's entry is the parent's and is left alone.
//!
//! The lock is held for a few system calls at most, never across a switch (invariant 5), and not at all by calls that find
//! the registration at their own hub.
#![forbid(unsafe_code)]

use core::fmt;
use core::panic::Location;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bell::Bell;
use super::error::{closed, concurrent};
use super::os::{self, SiteCell, TokenCell};
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::greenlet::wake;
use crate::hub::sched::{self, Hub, Message, Ref, Waiter};
use crate::reactor::{Direction, Token, Waiters};

const READ_HUB: u64 = 1;
const WRITE_HUB: u64 = 1 << 1;
const READ_THREAD: u64 = 1 << 2;
const WRITE_THREAD: u64 = 1 << 3;
const CLOSED: u64 = 1 << 4;
const NONBLOCKING: u64 = 1 << 5;

const HUBS: u64 = READ_HUB | WRITE_HUB;
const NUMBER: u64 = !0xff;

fn hub_bit(direction: Direction) -> u64 {
    match direction {
        Direction::Read => READ_HUB,
        Direction::Write => WRITE_HUB,
    }
}

fn thread_bit(direction: Direction) -> u64 {
    match direction {
        Direction::Read => READ_THREAD,
        Direction::Write => WRITE_THREAD,
    }
}

/// The number of this thread's hub, at its place in the state. 48 bits of id outlast centuries of spawning.
#[inline]
fn number(hot: &'static Hot) -> u64 {
    (hot.root().id.get() << 8 | os::forks() & 0xff) << 8
}

/// Whether the number in a state is from before a fork.
fn is_of_parent(state: u64) -> bool {
    state & NUMBER != 0 && state >> 8 & 0xff != os::forks() & 0xff
}

/// A registration, for who has to end it from afar.
struct Home {
    hub: Ref,
    token: Token,
    forks: u64,
}

impl Home {
    /// Ends it, and wakes who waits there.
    fn leave(self, fd: RawFd) {
        if self.forks != os::forks() {
            return;
        }
        let hot = hot();
        let token = self.token;
        match sched::get(hot) {
            Some(own) if own.handle() == self.hub && hot.phase.get() == Phase::Active => {
                let waiters = own.reactor.borrow_mut().deregister(token, fd);
                wake(hot, waiters);
            }
            _ => {
                // A hub that has ended has taken its epoll instance with it, or never looks at it again.
                let Some(inside) = self.hub.enter() else {
                    return;
                };
                inside.with_notifier(|door| door.deregister(fd));
                inside.push(Message::Call(Box::new(move || forgotten(token))));
            }
        }
    }
}

/// At the hub where it was, after another thread has taken it out of the epoll instance.
fn forgotten(token: Token) {
    let hot = hot();
    if let Some(hub) = sched::get(hot) {
        let waiters = hub.reactor.borrow_mut().forget(token);
        wake(hot, waiters);
    }
}

fn wake(hot: &'static Hot, waiters: Waiters<Waiter>) {
    for w in waiters {
        wake::unpark(hot, w.control, w.epoch);
    }
}

/// What the lock guards.
#[derive(Default)]
struct Shared {
    home: Option<Home>,
    /// Of the plain threads that wait in each direction.
    bells: [Option<Arc<Bell>>; 2],
}

/// See the file's head.
pub(super) struct Place {
    fd: RawFd,
    state: AtomicU64,
    token: TokenCell,
    /// Where the waiter of each direction waits, or waited last.
    sites: [SiteCell; 2],
    shared: Mutex<Shared>,
}

impl Place {
    pub(super) fn new(fd: RawFd) -> Self {
        Self {
            fd,
            state: AtomicU64::new(0),
            token: TokenCell::new(),
            sites: [const { SiteCell::new() }; 2],
            shared: Mutex::default(),
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Whether the user wants `WouldBlock` instead of waiting.
    #[inline]
    pub(super) fn is_nonblocking(&self) -> bool {
        self.state.load(Ordering::Relaxed) & NONBLOCKING != 0
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        if nonblocking {
            self.state.fetch_or(NONBLOCKING, Ordering::Relaxed);
        } else {
            self.state.fetch_and(!NONBLOCKING, Ordering::Relaxed);
        }
    }

    /// This thread's hub and the token there, if it is registered there.
    #[inline]
    pub(super) fn here(&self, hot: &'static Hot) -> Option<(&'static Hub, Token)> {
        let mine = number(hot);
        if mine == 0 || self.state.load(Ordering::Acquire) & NUMBER != mine {
            return None;
        }
        let token = self.token.get()?;
        // The second look: see the file's head.
        if self.state.load(Ordering::Relaxed) & NUMBER != mine {
            return None;
        }
        sched::get(hot).map(|hub| (hub, token))
    }

    /// Makes a task of this thread's hub the one that waits in `direction`. Registers or moves what is not here.
    pub(super) fn claim(
        &self,
        hot: &'static Hot,
        hub: &'static Hub,
        direction: Direction,
        site: &'static Location<'static>,
    ) -> io::Result<Token> {
        let mine = number(hot);
        loop {
            let state = self.state.load(Ordering::Acquire);
            self.check(state, direction)?;
            if state & NUMBER != mine {
                self.come_here(hub, mine)?;
                continue;
            }
            if self.exchange(state, state | hub_bit(direction)) {
                self.sites[direction as usize].set(site);
                // No other thread replaces it while the bit is set.
                return Ok(self.token.get().expect("a number comes with a token"));
            }
        }
    }

    /// Makes this plain thread the one that waits in `direction`.
    pub(super) fn claim_for_thread(
        &self,
        direction: Direction,
        site: &'static Location<'static>,
    ) -> io::Result<ThreadClaim<'_>> {
        loop {
            let state = self.state.load(Ordering::Acquire);
            self.check(state, direction)?;
            if self.exchange(state, state | thread_bit(direction)) {
                self.sites[direction as usize].set(site);
                break;
            }
        }
        let bell = Bell::of_thread();
        let claim = ThreadClaim {
            place: self,
            direction,
            bell: bell.clone(),
        };
        // The order matters: see `bell`.
        self.lock().bells[direction as usize] = bell;
        if self.is_closed() {
            return Err(closed());
        }
        Ok(claim)
    }

    /// Ends the claim of this hub's task.
    #[inline]
    pub(super) fn release(&self, direction: Direction) {
        self.state.fetch_and(!hub_bit(direction), Ordering::Release);
    }

    fn check(&self, state: u64, direction: Direction) -> io::Result<()> {
        if state & CLOSED != 0 {
            return Err(closed());
        }
        if state & thread_bit(direction) != 0
            || state & hub_bit(direction) != 0 && !is_of_parent(state)
        {
            return Err(self.busy(direction));
        }
        Ok(())
    }

    #[cold]
    pub(super) fn busy(&self, direction: Direction) -> io::Error {
        concurrent(direction, self.sites[direction as usize].get())
    }

    #[inline]
    fn exchange(&self, from: u64, to: u64) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Registers with this thread's hub, after taking it out of the one where it is.
    #[cold]
    fn come_here(&self, hub: &'static Hub, mine: u64) -> io::Result<()> {
        os::watch_forks()?;
        let mut shared = self.lock();
        let state = self.state.load(Ordering::Acquire);
        if state & CLOSED != 0 {
            return Err(closed());
        }
        if state & NUMBER == mine {
            return Ok(());
        }
        let waiting = if is_of_parent(state) {
            // Tasks of the parent: here nobody waits.
            0
        } else {
            state & HUBS
        };
        if waiting != 0 {
            let other = if waiting & READ_HUB != 0 {
                Direction::Read
            } else {
                Direction::Write
            };
            return Err(self.busy(other));
        }
        // From here on nobody can claim it for a hub: that takes a number in the state.
        if !self.exchange(state, state & !(NUMBER | HUBS)) {
            return Ok(());
        }
        if let Some(old) = shared.home.take() {
            old.leave(self.fd);
        }
        let token = hub.reactor.borrow_mut().register(self.fd)?;
        shared.home = Some(Home {
            hub: hub.handle(),
            token,
            forks: os::forks(),
        });
        self.token.set(token);
        self.state.fetch_or(mine, Ordering::AcqRel);
        Ok(())
    }

    /// Marks it closed: later waits fail. True the first time.
    pub(super) fn mark_closed(&self) -> bool {
        self.state.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }

    /// Ends the registration and wakes who waits there, on whichever thread.
    pub(super) fn withdraw(&self) {
        let mut shared = self.lock();
        self.state.fetch_and(!NUMBER, Ordering::AcqRel);
        if let Some(home) = shared.home.take() {
            home.leave(self.fd);
        }
        for bell in shared.bells.iter().flatten() {
            bell.ring();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing that could panic leaves it half done.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Out of the epoll instance first, closed afterwards: the other way round a duplicate would keep it in there.
impl Drop for Place {
    fn drop(&mut self) {
        let shared = self
            .shared
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = shared.home.take() {
            home.leave(self.fd);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load(Ordering::Relaxed);
        f.debug_struct("Place")
            .field("fd", &self.fd)
            .field("registered", &(state & NUMBER != 0))
            .field("closed", &(state & CLOSED != 0))
            .field("waiting", &(state & (HUBS | READ_THREAD | WRITE_THREAD)))
            .finish_non_exhaustive()
    }
}

/// Without a bell, a plain thread looks so often whether the handle it waits with was closed.
const UNTOLD: Duration = Duration::from_millis(100);

/// The wait of a plain thread; ends when dropped.
pub(super) struct ThreadClaim<'a> {
    place: &'a Place,
    direction: Direction,
    bell: Option<Arc<Bell>>,
}

impl ThreadClaim<'_> {
    /// Waits for at most `left`. True if the call is worth trying again: the descriptor is ready, or the handle closed.
    ///
    /// # Errors
    /// Of the poll.
    pub(super) fn poll(&self, fd: BorrowedFd<'_>, left: Option<Duration>) -> io::Result<bool> {
        let Some(bell) = &self.bell else {
            let slice = left.map_or(UNTOLD, |left| left.min(UNTOLD));
            return Ok(os::poll(fd, self.direction, Some(slice))? || self.place.is_closed());
        };
        let entry = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let mut entries = [
            entry(fd.as_raw_fd(), os::interest(self.direction)),
            entry(bell.fd(), libc::POLLIN),
        ];
        let ready = os::poll_all(&mut entries, left)?;
        if entries[0].revents & libc::POLLNVAL != 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        if entries[1].revents != 0 {
            bell.hush();
        }
        Ok(ready > 0)
    }
}

impl Drop for ThreadClaim<'_> {
    fn drop(&mut self) {
        self.place.lock().bells[self.direction as usize] = None;
        self.place
            .state
            .fetch_and(!thread_bit(self.direction), Ordering::Release);
    }
}
