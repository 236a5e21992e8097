//! Simulations: a hub whose order comes from a seed and whose time is simulated, for tests that reproduce.
//!
//! ```text
//!                     real hub                        simulated hub
//! who is next         the oldest runnable             any of them, by the seed       `choose`, before every pick
//! a batch             256 greenlets                   one                            `bound`
//! nothing runnable    polls until the first deadline  `idle`:
//!
//!   descriptors, polled without waiting ── one is ready ─────────► go on
//!   mail ───────────────────────────────── there is some ────────► go on
//!   work of other threads for us ───────── some is under way ────► poll for real
//!   timers ─────────────────────────────── one is pending ───────► move time there, go on
//!   descriptors are waited for, mail or signals are expected ────► poll for real
//!   nothing of all this ─────────────────────────────────────────► deadlock, at once
//! ```
//!
//! Timers of one moment go off together and only enqueue (invariant 4), so that the order of what they wake is the
//! seed's as well. Everything else is the real hub: the same turn, the same waits.
//!
//! This file wakes nobody and decides nothing by itself: the scheduler asks it. It may not read a source of chance other
//! than the seed, nor order anything by address.
#![forbid(unsafe_code)]

use core::cell::Cell;
use std::env;
use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use super::builder::Hub as Public;
use super::lifecycle::run;
use super::sched::{Hub, Limits};
use crate::clock::Instant;
use crate::greenlet::control::Payload;
use crate::greenlet::hot::Hot;
use crate::greenlet::report;
use crate::greenlet::run_queue::RunQueue;
use crate::reactor::Wait;

/// The variable that makes [`simulate_seeds`] run one seed only.
const SEED_VARIABLE: &str = "GREENLOOM_SEED";

/// What a simulated hub does that has nothing to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// It may have something now.
    Over,
    /// It waits for what is not simulated.
    Real,
    /// Nothing will ever happen, and why other threads do not count.
    Deadlock(&'static str),
}

/// What a hub has that is simulated: see the file's head.
#[derive(Debug)]
pub(crate) struct Simulation {
    random: Random,
    /// Other threads were given a way to send.
    expects_mail: Cell<bool>,
}

impl Simulation {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random(Cell::new(seed)),
            expects_mail: Cell::new(false),
        }
    }

    /// Every greenlet is picked in a turn of its own, and every call on a descriptor that succeeds is a place to yield. Nothing
    /// is gained by a spin, in which no time passes.
    pub(super) fn bound(&self, limits: Limits) -> Limits {
        Limits {
            batch: 1,
            io_budget: 1,
            spin: Duration::ZERO,
            ..limits
        }
    }

    /// Brings one of the runnable greenlets forward, each as likely as the others.
    pub(super) fn choose(&self, queue: &RunQueue) {
        let n = queue.len();
        if n > 1 {
            queue.bring_forward(self.random.below(n));
        }
    }

    /// Nothing is runnable; `next` is the first deadline. Moves time there, if that is what happens next.
    pub(super) fn idle(&self, hot: &'static Hot, hub: &Hub, next: Option<Instant>) -> Idle {
        let waiting = hub.reactor.borrow().waiting() > 0;
        if waiting {
            hub.poll(hot, Wait::Now);
            if hot.queue.len() > 0 {
                return Idle::Over;
            }
        }
        if !hub.owner().inbox().is_empty() {
            return Idle::Over;
        }
        // What was handed out comes back whatever the clock says: a deadline may not overtake it.
        if hub.outside.get() > 0 {
            return Idle::Real;
        }
        match next {
            Some(deadline) => {
                hub.clock.advance(deadline);
                Idle::Over
            }
            None if waiting || self.expects_mail.get() || hub.listeners.get() > 0 => Idle::Real,
            None => Idle::Deadlock("no other thread was given a handle of this simulated hub"),
        }
    }
}

impl Hub {
    /// Other threads have a way to send to this hub from now on: a simulated one may not despair while they could.
    pub(crate) fn expect_mail(&self) {
        if let Some(simulation) = &self.simulation {
            simulation.expects_mail.set(true);
        }
    }

    /// A number below `n`, which is not 0, by the seed; `None` if the hub is real.
    pub(crate) fn draw(&self, n: u32) -> Option<u32> {
        self.simulation.as_ref().map(|s| s.random.below(n))
    }
}

/// A small generator of numbers that look like chance: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014). Neighbouring seeds give unlike sequences.
#[derive(Debug)]
struct Random(Cell<u64>);

impl Random {
    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `n`. The error in its evenness is `n` in 2^64.
    fn below(&self, n: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u32
    }
}

/// Runs `f` as the main greenlet of a simulated hub, on a thread of its own; then ends its tasks as [`run`] does.
///
/// In a simulation the same program runs by the same calls, with two differences:
///
/// - **Order.** Whenever several greenlets are runnable, the next one is chosen by the seed, not by age. Every wait is a
///   place where another may run, [`yield_now`] too; if nobody else is runnable it goes on. (So is every read, write or
///   accept: after one that succeeded, the task yields before its next.) What is specified beyond the order in which
///   runnable greenlets run, such as who of those that wait is granted something next, stays as it is.
/// - **Time.** [`time::Instant::now`], sleeps, deadlines, intervals and timeouts go by a clock that stands still while
///   anything is runnable, and jumps to the next deadline when nothing is: a thousand sleeps of two seconds take no real
///   time, and [`sleep`] takes exactly as long as it was told. It begins at the same moment in every run. Timers of the
///   same moment are ties: whom they wake runs in an order chosen by the seed.
///
/// The same seed gives the same run, other seeds give others; [`simulate_seeds`] tries many. That holds as long as the
/// program does not depend on real io, other threads, `std::time`, or numbers that differ from run to run by themselves:
/// addresses, the ids of tasks, the hash seeds of std.
///
/// ```
/// use std::cell::Cell;
/// use std::time::Duration;
/// use greenloom::time::Instant;
/// use greenloom::{hub, join_all, sleep, spawn, task, yield_now};
///
/// // A day is over at once, and exactly.
/// let passed = hub::simulate(7, || {
///     let start = Instant::now();
///     join_all((0..24).map(|h| spawn(move || sleep(Duration::from_secs(3600 * h)))), None);
///     start.elapsed()
/// });
/// assert_eq!(passed, Duration::from_secs(3600 * 23));
///
/// // Two tasks that both add one, with a wait between reading and writing.
/// let race = || {
///     let counter = Cell::new(0);
///     task::scope(|s| {
///         for _ in 0..2 {
///             s.spawn(|| {
///                 let read = counter.get();
///                 yield_now();
///                 counter.set(read + 1);
///             });
///         }
///     });
///     counter.get()
/// };
/// // Most seeds lose an update, some do not; each one always does the same.
/// let ends: Vec<i32> = (0..20).map(|seed| hub::simulate(seed, race)).collect();
/// assert!(ends.contains(&1) && ends.contains(&2));
/// assert_eq!(ends, (0..20).map(|seed| hub::simulate(seed, race)).collect::<Vec<_>>());
/// ```
///
/// # What is not simulated
///
/// - **Descriptors** are the system's. They are looked at before the clock jumps, without waiting; only when no timer is
///   pending either does the hub wait for them. So a read with a timeout gives no time to a peer that is elsewhere.
/// - **Other threads** have real time and an order of their own. While a timer is pending nobody waits for them.
/// - **A loop that yields until some time has passed**, or that does io which is always ready until a timeout ends it, never
///   ends, since time passes only when nothing can run: sleep in it.
///
/// # Deadlock
///
/// If main waits and nothing is runnable, no timer is pending, no descriptor is waited for, that is a
/// [`Deadlock`](super::Deadlock), told at once: main's wait returns it or panics with it. Other threads of the process are
/// no reason to go on waiting, unless the program has given them a way to send: it asked for a handle of this hub, by
/// [`current_handle`](super::current_handle), [`Task::hub`] or [`JoinHandle::hub`], or it joined a task of another hub. From
/// then on a deadlock is told only where a real hub would tell it. So a simulation that waits for a thread which is to wake
/// it by a [`Task`] or a [`JoinHandle`] must ask for a handle first.
///
/// # Blocking
/// Does not switch: blocks the calling thread until it is over. The thread it runs on has the name of the calling one.
///
/// # Panics
/// As `f`. Before, it writes one line to stderr, where no test harness captures it:
///
/// ```text
/// greenloom: simulation failed with seed 0x7; run it again with the same seed
/// ```
///
/// (Not under `panic = "abort"`, where nothing is left to write it.) A task's panic that nobody joins is reported like any
/// other and fails nothing. Also panics if the system has no thread or no descriptor left.
///
/// [`JoinHandle`]: crate::task::JoinHandle
/// [`Task`]: struct@crate::task::Task
/// [`Task::hub`]: crate::task::Task::hub
/// [`JoinHandle::hub`]: crate::task::JoinHandle::hub
/// [`sleep`]: crate::time::sleep
/// [`time::Instant::now`]: crate::time::Instant::now
/// [`yield_now`]: crate::task::yield_now
#[track_caller]
pub fn simulate<R: Send>(seed: u64, f: impl FnOnce() -> R + Send) -> R {
    match attempt(seed, f) {
        Ok(Ok(value)) => value,
        Ok(Err(e)) => panic!("failed to make a simulated hub: {e}"),
        Err(payload) => {
            report::simulation_failed(seed, "");
            resume_unwind(payload)
        }
    }
}

/// [Simulates](simulate) `f` with each of the seeds in turn, as an argument to `f` too; stops at the first that fails.
///
/// If the environment variable `GREENLOOM_SEED` is set, to a number in decimal or after `0x` in hexadecimal, `f` runs with
/// that seed only, be it among `seeds` or not.
///
/// ```should_panic
/// use greenloom::{hub, join_all, spawn, yield_now};
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// hub::simulate_seeds(0..100, |_seed| {
///     let log = Rc::new(RefCell::new(Vec::new()));
///     let tasks = ["lock", "unlock"].map(|name| {
///         let log = Rc::clone(&log);
///         spawn(move || log.borrow_mut().push(name))
///     });
///     join_all(tasks, None);
///     assert_eq!(*log.borrow(), ["lock", "unlock"], "true by chance on a real hub");
/// });
/// ```
///
/// # Blocking
/// As [`simulate`].
///
/// # Panics
/// As `f`, at the first seed by which it does, after one line on stderr:
///
/// ```text
/// greenloom: simulation failed with seed 0x2; run it again with the same seed (GREENLOOM_SEED=0x2)
/// ```
///
/// Also if `GREENLOOM_SEED` is no number, and as [`simulate`].
#[track_caller]
pub fn simulate_seeds(seeds: impl IntoIterator<Item = u64>, mut f: impl FnMut(u64) + Send) {
    let mut one = |seed| match attempt(seed, || f(seed)) {
        Ok(Ok(())) => {}
        Ok(Err(e)) => panic!("failed to make a simulated hub: {e}"),
        Err(payload) => {
            report::simulation_failed(seed, &format!(" ({SEED_VARIABLE}={seed:#x})"));
            resume_unwind(payload)
        }
    };
    match env::var_os(SEED_VARIABLE) {
        Some(text) => match text.to_str().and_then(parse) {
            Some(seed) => one(seed),
            None => panic!(
                "{SEED_VARIABLE} is {text:?}, which is no seed: a number in decimal, or after 0x in hexadecimal"
            ),
        },
        None => seeds.into_iter().for_each(one),
    }
}

/// A seed as people write it.
fn parse(text: &str) -> Option<u64> {
    match text.trim().strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.trim().parse().ok(),
    }
}

/// Simulates once. The inner error is that there is no hub, or no thread, to do it on; the outer one is the panic of `f`.
fn attempt<R: Send>(seed: u64, f: impl FnOnce() -> R + Send) -> Result<io::Result<R>, Payload> {
    let mut builder = thread::Builder::new();
    if let Some(name) = thread::current().name() {
        // So that what is told of a panic names the test, as ever.
        builder = builder.name(name.to_owned());
    }
    thread::scope(|s| {
        let simulated = builder.spawn_scoped(s, || {
            Public::builder().simulate(seed).start()?;
            Ok(run(f))
        });
        match simulated {
            Ok(thread) => thread.join(),
            Err(e) => Ok(Err(e)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Random, parse};
    use core::cell::Cell;

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        let random = Random(Cell::new(1_234_567));
        let first: Vec<u64> = (0..5).map(|_| random.next()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn a_choice_is_in_range_and_each_is_made() {
        let random = Random(Cell::new(0));
        assert!((0..1000).all(|_| random.below(1) == 0));
        let mut seen = [0; 7];
        for _ in 0..7000 {
            seen[random.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
        assert!((0..1000).any(|_| random.below(u32::MAX) > u32::MAX / 2));
    }

    #[test]
    fn seeds_are_read_as_they_are_reported() {
        assert_eq!(parse("0x2a"), Some(42));
        assert_eq!(parse(" 42\n"), Some(42));
        assert_eq!(parse("0xffffffffffffffff"), Some(u64::MAX));
        assert_eq!(parse(&format!("{:#x}", u64::MAX)), Some(u64::MAX));
        for text in ["", "x", "0x", "-1", "0x1ffffffffffffffff", "2a"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
