//! The pool itself: its workers, its queue, and who waits for what.
//!
//! ```text
//!  a job arrives                                          a worker has done its job
//!    a worker is idle?   ──► handed to the one that          queue not empty?  ──► takes the oldest; who waited
//!                            was idle last, woken                                  longest for room gets the place
//!    fewer than max?     ──► a thread is made for it         somebody waits for room? ──► takes their job (bound 0)
//!    room in the queue?  ──► queued                          closed?           ──► ends
//!    else                ──► the caller waits for room       else              ──► idle; after a while, ends
//! ```
//!
//! | while open | idle | queued | wait for room |
//! | --- | --- | --- | --- |
//! | some are idle | > 0 | 0 | 0 |
//! | all at work | 0 | ≤ bound, but for jobs of the pool's own workers | any, if queued ≥ bound |
//!
//! Whoever waits for room has left the job with the pool, in the wait's own entry: the place is handed over with it, first come,
//! first served, and nobody overtakes.
//!
//! A worker that is idle sleeps on its seat. Its job is handed over there, so that the lock of the pool is taken once on each
//! side. The last to become idle is the first to work: its stack is warm, and the others get old enough to end.
//!
//! A worker says that it is idle *before* it wakes who waits for its result. So who hands in one job after the other finds the
//! same worker again, instead of one more being made.
//!
//! No user code runs under the lock (invariant 4): jobs are run and dropped outside.
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::fmt;
use core::mem;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use super::slot::{Run, drop_quietly};
use crate::clock::{Instant, deadline_after};
use crate::greenlet::engine;
use crate::greenlet::hot::hot;
use crate::greenlet::report;
use crate::hub::{self, deadlock, fork, sched};
use crate::park::{
    Blocked, How, Lock, Place, Reason, Report, Ticket, Turn, Unparker, WaitQueue, block,
};

/// A job whose types are known to its handle only.
pub(super) type AnyJob = Arc<dyn Run>;

/// How a pool was set up.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) threads: usize,
    pub(super) name: String,
    /// `None`: idle threads stay.
    pub(super) expiry: Option<Duration>,
    /// `None`: any number of jobs.
    pub(super) bound: Option<usize>,
    pub(super) stack_size: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing new comes in.
    Closed,
    /// Nothing new begins.
    Terminated,
}

pub(super) struct State {
    phase: Phase,
    queue: VecDeque<AnyJob>,
    /// The last one has been idle for the shortest time.
    idle: Vec<Arc<Seat>>,
    /// Alive, or about to be made.
    threads: usize,
    /// Who waits for room, with the job.
    room: WaitQueue<AnyJob>,
    /// Who waits for the pool to be done.
    joiners: WaitQueue,
}

/// See the file's head.
pub(super) struct Pool {
    config: Config,
    /// Of the process that made it: in a forked child its workers do not exist.
    generation: u64,
    state: Lock<State>,
    /// How many threads were made so far.
    made: AtomicUsize,
}

/// What happened to a job that arrived.
enum Arrived {
    /// It is this worker's.
    For(Arc<Seat>, AnyJob),
    /// A thread is to be made for it.
    Start(AnyJob),
    Queued,
    Full(AnyJob),
    Closed(AnyJob),
}

/// Why a job was not accepted.
#[derive(Debug)]
pub(super) enum Refused {
    Full,
    Closed,
    NoThread(io::Error),
    /// The wait for room ended otherwise.
    Ended(crate::park::End),
    CannotWait(io::Error),
}

/// Whether to wait for room, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum IfFull {
    Refuse,
    Wait(Option<Instant>, Report),
}

impl Pool {
    pub(super) fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config,
            generation: fork::generation(),
            state: Lock::new(State {
                phase: Phase::Open,
                queue: VecDeque::new(),
                idle: Vec::new(),
                threads: 0,
                room: WaitQueue::new(),
                joiners: WaitQueue::new(),
            }),
            made: AtomicUsize::new(0),
        })
    }

    /// # Errors
    /// The pool is that of the parent of this forked process. Its locks may be held for ever here: nothing may be asked of it.
    #[inline]
    pub(super) fn check_process(&self) -> io::Result<()> {
        if self.generation == fork::generation() {
            Ok(())
        } else {
            Err(hub::error::forked())
        }
    }

    /// Whether the caller is one of its workers.
    #[inline]
    pub(super) fn is_mine(&self) -> bool {
        WORKS_FOR.get() == core::ptr::from_ref(self).addr()
    }

    /// Threads in all, those of them that are idle, jobs in the queue and those that wait for room.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        if self.check_process().is_err() {
            return (0, 0, 0);
        }
        self.state
            .with(|s| (s.threads, s.idle.len(), s.queue.len() + s.room.len()))
    }

    /// Hands in a job.
    ///
    /// # Errors
    /// It was not accepted: `job` is the caller's again.
    pub(super) fn submit(self: &Arc<Self>, job: AnyJob, if_full: IfFull) -> Result<(), Refused> {
        self.check_process().map_err(Refused::CannotWait)?;
        let arrived = self.state.with(|s| self.arrive(s, job));
        match arrived {
            Arrived::For(seat, job) => {
                seat.give(Order::Run(job));
                Ok(())
            }
            Arrived::Queued => Ok(()),
            Arrived::Start(job) => self.start(job),
            Arrived::Closed(job) => {
                drop(job);
                Err(Refused::Closed)
            }
            Arrived::Full(job) => match if_full {
                IfFull::Refuse => Err(Refused::Full),
                IfFull::Wait(deadline, report) => self.wait_for_room(job, deadline, report),
            },
        }
    }

    fn arrive(&self, s: &mut State, job: AnyJob) -> Arrived {
        if s.phase != Phase::Open {
            return Arrived::Closed(job);
        }
        if let Some(seat) = s.idle.pop() {
            deadlock::helper_works();
            return Arrived::For(seat, job);
        }
        if s.threads < self.config.threads {
            s.threads += 1;
            return Arrived::Start(job);
        }
        let has_room = |bound| s.queue.len() < bound && s.room.is_empty();
        // A worker that waited for room might wait for itself.
        if self.config.bound.is_none_or(has_room) || self.is_mine() {
            s.queue.push_back(job);
            return Arrived::Queued;
        }
        Arrived::Full(job)
    }

    #[cold]
    fn wait_for_room(
        self: &Arc<Self>,
        job: AnyJob,
        deadline: Option<Instant>,
        report: Report,
    ) -> Result<(), Refused> {
        let ticket = Ticket::new().map_err(Refused::CannotWait)?;
        let _outside = Outside::of(&ticket);
        let how = How {
            reasons: &[Reason::new("room in a thread pool", 0)],
            deadline,
            report,
        };
        let enter = |s: &mut State| match self.arrive(s, job) {
            Arrived::Full(job) => Err((job, Turn::Last)),
            arrived => Ok(arrived),
        };
        match block(&Room(self), ticket, &how, enter) {
            Blocked::Now(Arrived::For(seat, job)) => {
                seat.give(Order::Run(job));
                Ok(())
            }
            Blocked::Now(Arrived::Start(job)) => self.start(job),
            Blocked::Now(Arrived::Closed(job)) => {
                drop(job);
                Err(Refused::Closed)
            }
            Blocked::Now(_) | Blocked::Granted(crate::park::Grant::Given(_)) => Ok(()),
            // It was closed meanwhile.
            Blocked::Granted(crate::park::Grant::Told(_)) => Err(Refused::Closed),
            Blocked::Ended(end, job) => {
                drop(job);
                Err(Refused::Ended(end))
            }
        }
    }

    /// Makes a thread, which is counted already, and whose first job this is.
    #[cold]
    fn start(self: &Arc<Self>, job: AnyJob) -> Result<(), Refused> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut builder = thread::Builder::new().name(format!("{}-{number}", self.config.name));
        if let Some(size) = self.config.stack_size {
            builder = builder.stack_size(size);
        }
        let (pool, first) = (Arc::clone(self), Arc::clone(&job));
        // Without the hook on forks a child would take the parent's workers for its own.
        let made = fork::watch().and_then(|()| builder.spawn(move || work(&pool, first)));
        let e = match made {
            // It ends by itself: its handle is not needed.
            Ok(_) => return Ok(()),
            Err(e) => e,
        };
        // Those that there are will come to it.
        let (seat, left, joiners) = self.state.with(|s| {
            s.threads -= 1;
            if s.threads == 0 || s.phase == Phase::Terminated {
                return (None, Some(job), s.finished());
            }
            match s.idle.pop() {
                Some(seat) => {
                    deadlock::helper_works();
                    (Some((seat, job)), None, Vec::new())
                }
                None => {
                    s.queue.push_back(job);
                    (None, None, Vec::new())
                }
            }
        });
        wake_all(joiners);
        if let Some((seat, job)) = seat {
            seat.give(Order::Run(job));
        }
        match left {
            Some(job) => {
                drop(job);
                Err(Refused::NoThread(e))
            }
            None => Ok(()),
        }
    }

    /// What a worker does next that has done its job.
    fn next(&self, seat: &Arc<Seat>) -> Next {
        let (next, joiners) = self.state.with(|s| {
            let (oldest, waiter) = match s.queue.pop_front() {
                Some(oldest) => (Some(oldest), s.room_for_one(self.config.bound)),
                None => match s.room.give() {
                    Some((job, who)) => (Some(job), Some(who)),
                    None => (None, None),
                },
            };
            if let Some(job) = oldest {
                return (Next::Run(job, waiter), Vec::new());
            }
            if s.phase != Phase::Open {
                s.threads -= 1;
                return (Next::End, s.finished());
            }
            s.idle.push(Arc::clone(seat));
            deadlock::helper_is_idle();
            (Next::Wait, s.finished())
        });
        wake_all(joiners);
        next
    }

    /// A worker was idle for long enough. False if it has just been given something.
    fn retire(&self, seat: &Arc<Seat>) -> bool {
        let joiners = self.state.with(|s| {
            let at = s.idle.iter().position(|other| Arc::ptr_eq(other, seat))?;
            let seat = s.idle.remove(at);
            deadlock::helper_works();
            s.threads -= 1;
            Some((seat, s.finished()))
        });
        match joiners {
            Some((_, joiners)) => {
                wake_all(joiners);
                true
            }
            None => false,
        }
    }

    /// A worker that was told to end does.
    fn ended(&self) {
        let joiners = self.state.with(|s| {
            s.threads -= 1;
            s.finished()
        });
        wake_all(joiners);
    }

    /// Takes a cancelled job out of the queue, so that another gets its place.
    pub(super) fn forget(&self, is_it: impl Fn(&AnyJob) -> bool) {
        if self.check_process().is_err() {
            return;
        }
        let found = self.state.with(|s| {
            let at = s.queue.iter().position(is_it)?;
            let job = s.queue.remove(at);
            Some((job, s.room_for_one(self.config.bound)))
        });
        if let Some((job, waiter)) = found {
            drop(job);
            wake_all(waiter);
        }
    }

    pub(super) fn close(&self) {
        self.shut(Phase::Closed);
    }

    pub(super) fn terminate(&self) {
        for job in self.shut(Phase::Terminated) {
            wake_all(job.terminate());
            drop_quietly(job);
        }
    }

    /// Nothing new comes in. Returns what was in the queue, if that is to be dropped.
    fn shut(&self, phase: Phase) -> VecDeque<AnyJob> {
        if self.check_process().is_err() {
            return VecDeque::new();
        }
        let (idle, refused, dropped, joiners) = self.state.with(|s| {
            if s.phase != Phase::Terminated {
                s.phase = phase;
            }
            let idle = mem::take(&mut s.idle);
            for _ in &idle {
                deadlock::helper_works();
            }
            let dropped = if phase == Phase::Terminated {
                mem::take(&mut s.queue)
            } else {
                VecDeque::new()
            };
            let refused = if s.room.is_empty() {
                Vec::new()
            } else {
                s.room.tell_all()
            };
            (idle, refused, dropped, s.finished())
        });
        for seat in idle {
            seat.give(Order::End);
        }
        for (job, who) in refused {
            who.unpark();
            // Theirs, too, unless they were leaked with their hub.
            drop_quietly(job);
        }
        wake_all(joiners);
        dropped
    }

    /// Waits until nothing is queued or runs; and, once it is closed, until its threads have ended. False if the time passed.
    pub(super) fn join(&self, ticket: Ticket, deadline: Option<Instant>, report: Report) -> bool {
        let _outside = Outside::of(&ticket);
        let how = How {
            reasons: &[Reason::new("the end of a thread pool's work", 0)],
            deadline,
            report,
        };
        let enter = |s: &mut State| {
            if s.is_finished() {
                Ok(())
            } else {
                Err(((), Turn::Last))
            }
        };
        !matches!(
            block(&Joiners(self), ticket, &how, enter),
            Blocked::Ended(..)
        )
    }
}

impl State {
    fn is_finished(&self) -> bool {
        let at_rest = if self.phase == Phase::Open {
            self.idle.len()
        } else {
            0
        };
        self.queue.is_empty() && self.threads == at_rest
    }

    /// Who waited for the end of the work, if this is it.
    fn finished(&mut self) -> Vec<((), Unparker)> {
        if self.joiners.is_empty() || !self.is_finished() {
            return Vec::new();
        }
        self.joiners.give_all()
    }

    /// A place in the queue became free: it goes to who waited longest.
    fn room_for_one(&mut self, bound: Option<usize>) -> Option<Unparker> {
        if bound.is_some_and(|bound| self.queue.len() >= bound) {
            return None;
        }
        let (job, who) = self.room.give()?;
        self.queue.push_back(job);
        Some(who)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, idle, queued) = self.counts();
        f.debug_struct("ThreadPool")
            .field("name", &self.config.name)
            .field("max_threads", &self.config.threads)
            .field("threads", &threads)
            .field("idle", &idle)
            .field("queued", &queued)
            .finish_non_exhaustive()
    }
}

/// Wakes those that were granted something.
fn wake_all(waiters: impl IntoIterator<Item = impl Into<Woken>>) {
    for waiter in waiters {
        waiter.into().0.unpark();
    }
}

/// Whoever is to be woken, whatever came with them.
struct Woken(Unparker);

impl From<Unparker> for Woken {
    fn from(who: Unparker) -> Self {
        Self(who)
    }
}

impl From<((), Unparker)> for Woken {
    fn from((_, who): ((), Unparker)) -> Self {
        Self(who)
    }
}

/// The pool as those see it who wait for room.
struct Room<'a>(&'a Pool);

impl Place for Room<'_> {
    type State = State;
    type Payload = AnyJob;

    fn lock(&self) -> &Lock<State> {
        &self.0.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue<AnyJob> {
        &mut state.room
    }
}

/// The pool as those see it who wait for its end.
struct Joiners<'a>(&'a Pool);

impl Place for Joiners<'_> {
    type State = State;
    type Payload = ();

    fn lock(&self) -> &Lock<State> {
        &self.0.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue {
        &mut state.joiners
    }
}

/// A wait that a worker will end: while it lasts, its hub does not take main for lost (and a simulated one waits for real).
pub(super) struct Outside(Option<&'static sched::Hub>);

impl Outside {
    pub(super) fn of(ticket: &Ticket) -> Self {
        let hub = match ticket {
            Ticket::Greenlet(_, hub, _) => Some(*hub),
            Ticket::Thread => None,
        };
        if let Some(hub) = hub {
            hub.outside.set(hub.outside.get() + 1);
        }
        Self(hub)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(hub) = self.0 {
            hub.outside.set(hub.outside.get() - 1);
        }
    }
}

// ---- workers ----

thread_local! {
    /// The address of the pool whose worker this thread is.
    static WORKS_FOR: Cell<usize> = const { Cell::new(0) };
}

/// What an idle worker is woken for.
enum Order {
    Run(AnyJob),
    End,
}

enum Next {
    /// Run this; who waited for room is to be woken.
    Run(AnyJob, Option<Unparker>),
    Wait,
    End,
}

/// Where one worker sleeps.
struct Seat {
    thread: Thread,
    order: Lock<Option<Order>>,
}

impl Seat {
    /// Wakes the worker, which was taken out of the list of those that are idle.
    fn give(&self, order: Order) {
        self.order.with(|o| *o = Some(order));
        self.thread.unpark();
    }

    /// Sleeps until there is an order, or it is time to end.
    fn wait(self: &Arc<Self>, pool: &Pool) -> Order {
        let deadline = pool.config.expiry.and_then(deadline_after);
        let mut expires = deadline.is_some();
        loop {
            if let Some(order) = self.order.with(Option::take) {
                if matches!(order, Order::End) {
                    pool.ended();
                }
                return order;
            }
            match deadline {
                Some(deadline) if expires => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if !left.is_zero() {
                        thread::park_timeout(left);
                    } else if pool.retire(self) {
                        return Order::End;
                    } else {
                        // An order is on its way.
                        expires = false;
                    }
                }
                _ => thread::park(),
            }
        }
    }
}

/// The life of a worker.
fn work(pool: &Arc<Pool>, first: AnyJob) {
    WORKS_FOR.set(Arc::as_ptr(pool).addr());
    let seat = Arc::new(Seat {
        thread: thread::current(),
        order: Lock::new(None),
    });
    let mut job = first;
    loop {
        let waiter = job.run();
        end_tasks();
        // The last one to hold it drops the result: this worker, if nobody waits any more.
        drop_quietly(job);
        let next = pool.next(&seat);
        wake_all(waiter);
        job = match next {
            Next::Run(job, freed) => {
                wake_all(freed);
                job
            }
            Next::Wait => match seat.wait(pool) {
                Order::Run(job) => job,
                Order::End => return,
            },
            Next::End => return,
        };
    }
}

/// What a job has spawned and left behind is not the next one's.
fn end_tasks() {
    let hot = hot();
    if sched::get(hot).is_none() {
        return;
    }
    if let Err(payload) = engine::caught(|| hub::shutdown(Duration::ZERO)) {
        report::drop_payload(payload);
    }
}
