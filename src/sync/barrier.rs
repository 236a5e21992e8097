//! `Barrier`: std's, with the broken state of Python's.
//!
//! ```text
//! whole ── a party arrives, and waits ──► whole, arrived + 1
//!       ── the last one arrives ────────► all are given way; whole, arrived 0
//!       ── a party that waits leaves ───► all that wait are told; broken
//! broken ── reset ──► whole
//! ```
//!
//! A waiting party leaves by its time, a kill, an enclosing `timeout`, main's deadlock. The others would then wait for good, or
//! go on short of one: hence the broken state.
//!
//! `arrived` counts the entries in the queue while the barrier is whole. So the queue being shorter says that somebody left
//! (`left`), also where nothing can run in the name of who did (its hub has ended).
//!
//! Who gives up at the very moment the last party arrives may already be counted in: the others go on, so it does too
//! ([`Barrier::passed`]).
#![forbid(unsafe_code)]

use core::fmt;
use std::time::Duration;

use crate::clock::{Instant, deadline_after};
use crate::greenlet::error::Deadlock;
use crate::park::{
    Blocked, End, Grant, How, Lock, Place, Reason, Report, Ticket, Turn, Unparker, WaitQueue, block,
};

/// Lets a number of parties go on only when all of them have come.
///
/// ```
/// use greenloom::spawn;
/// use greenloom::sync::{Arc, Barrier};
///
/// let barrier = Arc::new(Barrier::new(3));
/// let tasks: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = Arc::clone(&barrier);
///         spawn(move || barrier.wait().is_leader())
///     })
///     .collect();
/// let leads: Vec<bool> = tasks.into_iter().map(|t| t.join().unwrap()).collect();
/// assert_eq!(leads, [false, false, true]);
/// ```
///
/// It can be used again at once. It breaks when a party that has come goes away before all are there (by its timeout, or
/// killed), and by [`abort`](Self::abort): all that wait, and all that come, are told so, until [`reset`](Self::reset).
///
/// # Differences from the standard library
///
/// * A wait parks the task, not the thread.
/// * It can break. [`wait`](Self::wait), which has no error to return, panics then; [`checked_wait`](Self::checked_wait) and
///   [`wait_timeout`](Self::wait_timeout) return [`BrokenBarrier`]. Programs without timeouts and kills never see it.
///
/// # Differences from Python's `Barrier`
///
/// `wait` says who came last, and not everybody's number; there is no action to run, which the leader does after `wait`.
pub struct Barrier {
    parties: usize,
    state: Lock<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    /// How many have come and wait.
    arrived: usize,
    broken: bool,
    /// How often all have come, or those that waited were turned away.
    rounds: u64,
    /// The rounds that were completed with somebody counted in who was giving up: the last `LATE` of them.
    late: Vec<u64>,
    queue: WaitQueue,
}

/// Far more than can be between a wait that gives up and its look whether it had been counted in.
const LATE: usize = 16;

/// What [`Barrier::wait`] returns.
pub struct BarrierWaitResult {
    leader: bool,
}

impl BarrierWaitResult {
    /// True for one of the parties: that which came last.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult")
            .field("is_leader", &self.leader)
            .finish()
    }
}

/// Not all parties came. The barrier is broken, for all others too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "BrokenBarrierError")]
#[non_exhaustive]
pub enum BrokenBarrier {
    /// Another party went away, or the barrier was aborted or reset.
    Aborted,
    /// The time of this wait passed, or that of an enclosing `timeout`.
    TimedOut,
    /// The caller is unwinding, where this call does not wait.
    Unwinding,
    /// Main waits, and nothing can ever wake it.
    Deadlock(Deadlock),
}

impl BrokenBarrier {
    /// Whether it was this wait whose time passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut)
    }
}

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted => f.write_str("the barrier is broken"),
            Self::TimedOut => f.write_str("timed out, which broke the barrier"),
            Self::Unwinding => f.write_str("unwinding, which broke the barrier"),
            Self::Deadlock(d) => write!(f, "{d}"),
        }
    }
}

impl std::error::Error for BrokenBarrier {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Deadlock(d) => Some(d),
            _ => None,
        }
    }
}

/// What a party finds as it comes.
enum Arrival {
    Broken,
    Last(Vec<((), Unparker)>),
}

impl Barrier {
    /// For `n` parties. 0 is as 1: nobody waits.
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self {
            parties: n,
            state: Lock::new(State {
                arrived: 0,
                broken: false,
                rounds: 0,
                late: Vec::new(),
                queue: WaitQueue::new(),
            }),
        }
    }

    /// Waits until all parties have come. One of them is the leader.
    ///
    /// # Blocking
    /// Switches, unless it is the last one. A kill, or the deadline of an enclosing `timeout`, unwinds and breaks the barrier. Who
    /// is unwinding waits all the same.
    ///
    /// # Panics
    /// If the barrier is or becomes broken. If it would have to wait where nothing can: in a callback of the hub, in a forked
    /// child. On main, with the deadlock, if the others can never come.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        match self.arrive(Report::NOTHING, || None) {
            Ok(result) => result,
            Err(e) => panic!("{e}"),
        }
    }

    /// As [`wait`](Self::wait), but a broken barrier is an error.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait), but who is unwinding does not wait.
    ///
    /// # Errors
    /// [`BrokenBarrier`]. Main's deadlock is one.
    ///
    /// # Panics
    /// If it would have to wait where nothing can.
    #[track_caller]
    pub fn checked_wait(&self) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.arrive(Report::ERRORS, || None)
    }

    /// As [`checked_wait`](Self::checked_wait), for at most `d`: then the barrier breaks.
    ///
    /// # Blocking
    /// As [`checked_wait`](Self::checked_wait). An enclosing `timeout` that expires first ends it like its own time.
    ///
    /// # Errors
    /// [`BrokenBarrier`].
    ///
    /// # Panics
    /// As [`checked_wait`](Self::checked_wait).
    #[track_caller]
    pub fn wait_timeout(&self, d: Duration) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.arrive(Report::ALL, || deadline_after(d))
    }

    /// Breaks the barrier: all that wait, and all that come, are told so, until it is reset.
    ///
    /// # Blocking
    /// Never switches.
    pub fn abort(&self) {
        self.turn_away(|_| true, |state| state.broken = true);
    }

    /// Makes the barrier whole and empty. Those that wait are told that it is broken.
    ///
    /// # Blocking
    /// Never switches.
    pub fn reset(&self) {
        self.turn_away(|_| true, |state| state.broken = false);
    }

    /// Whether it is broken.
    #[doc(alias = "broken")]
    pub fn is_broken(&self) -> bool {
        self.state.with(|state| state.broken)
    }

    /// How many parties have to come.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many have come, and wait for the others.
    pub fn n_waiting(&self) -> usize {
        self.state.with(|state| state.arrived)
    }

    #[track_caller]
    fn arrive(
        &self,
        report: Report,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<BarrierWaitResult, BrokenBarrier> {
        if let Some(arrival) = self.state.with(|state| self.count(state)) {
            return Self::at_once(arrival);
        }
        let ticket = Ticket::must();
        let how = How {
            reasons: &[Reason::at("the others at a barrier", self)],
            deadline: deadline(),
            report,
        };
        let mut round = 0;
        let blocked = block(self, ticket, &how, |state| match self.count(state) {
            Some(arrival) => Ok(arrival),
            None => {
                state.arrived += 1;
                round = state.rounds;
                Err(((), Turn::Last))
            }
        });
        let end = match blocked {
            Blocked::Now(arrival) => return Self::at_once(arrival),
            Blocked::Granted(Grant::Given(_)) => return Ok(BarrierWaitResult { leader: false }),
            Blocked::Granted(Grant::Told(_)) => return Err(BrokenBarrier::Aborted),
            Blocked::Ended(end, _) => end,
        };
        if self.passed(round) {
            return Ok(BarrierWaitResult { leader: false });
        }
        Err(match end {
            End::Deadlock(d) => BrokenBarrier::Deadlock(d),
            End::Unwinding => BrokenBarrier::Unwinding,
            End::TimedOut | End::Elapsed | End::Granted => BrokenBarrier::TimedOut,
        })
    }

    /// In the lock: the caller comes. `None` if it has to wait.
    fn count(&self, state: &mut State) -> Option<Arrival> {
        if state.broken {
            return Some(Arrival::Broken);
        }
        if state.arrived + 1 < self.parties {
            return None;
        }
        let waiting = core::mem::take(&mut state.arrived);
        let others = state.queue.give_all();
        if others.len() < waiting {
            if state.late.len() == LATE {
                state.late.remove(0);
            }
            state.late.push(state.rounds);
        }
        state.rounds += 1;
        Some(Arrival::Last(others))
    }

    fn at_once(arrival: Arrival) -> Result<BarrierWaitResult, BrokenBarrier> {
        match arrival {
            Arrival::Broken => Err(BrokenBarrier::Aborted),
            Arrival::Last(others) => {
                for ((), who) in others {
                    who.unpark();
                }
                Ok(BarrierWaitResult { leader: true })
            }
        }
    }

    /// Whether all have come in that round, with the caller counted in, which was giving up. What came after that round does not
    /// matter.
    fn passed(&self, round: u64) -> bool {
        self.state.with(|state| state.late.contains(&round))
    }

    /// Turns away those that wait, if `when` says so, and sets the state by `f`: all in one go, since the last party may come at
    /// any moment.
    fn turn_away(&self, when: impl FnOnce(&State) -> bool, f: impl FnOnce(&mut State)) {
        let waiting = self.state.with(|state| {
            if !when(state) {
                return Vec::new();
            }
            f(state);
            state.arrived = 0;
            state.rounds += 1;
            state.queue.tell_all()
        });
        for ((), who) in waiting {
            who.unpark();
        }
    }
}

impl Place for Barrier {
    type State = State;
    type Payload = ();

    fn lock(&self) -> &Lock<State> {
        &self.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue {
        &mut state.queue
    }

    fn left(&self) {
        // The last party may have come since the entry was taken back: it was counted in then, and nothing is missing.
        self.turn_away(
            |state| state.queue.len() < state.arrived,
            |state| state.broken = true,
        );
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiting, broken) = self.state.with(|state| (state.arrived, state.broken));
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("n_waiting", &waiting)
            .field("is_broken", &broken)
            .finish_non_exhaustive()
    }
}
