//! Seeing inside: what every task of a thread does, what it waits for, since when, and where in its code.
//!
//! ```
//! use greenloom::task::Builder;
//!
//! let sleeper = Builder::new().name("sleeper").spawn(|| greenloom::task::park())?;
//! greenloom::yield_now();
//! let dump = greenloom::inspect::dump();
//! let seen = dump.tasks.iter().find(|t| t.name.as_deref() == Some("sleeper")).unwrap();
//! assert_eq!(seen.waits_for[0].what, "park");
//! println!("{dump}"); // the report, for people
//! # sleeper.task().unpark();
//! # sleeper.join().unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Nothing here is kept up to date in passing: it costs nothing until it is asked for. [`dump_on`] writes the report when a
//! signal comes.
//!
//! This module reads; it wakes nobody and changes nothing that a program could notice.
#![forbid(unsafe_code)]

mod dump;
mod on_signal;
mod stacks;

pub use self::dump::{Dump, Kind, TaskDump, Wait, dump};
pub use self::on_signal::dump_on;
pub use self::stacks::Stack;

use std::time::Duration;

use crate::greenlet::control::State;
use crate::greenlet::engine;
use crate::greenlet::hot::hot;
use crate::hub::sched;

/// Counts of one thread's hub: see [`counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Turns of the hub so far: looks at mail, timers and descriptors.
    pub turns: u64,
    /// So long one turn took at least: nobody else ran then, nothing was read from a socket, no timer went off. Measured while
    /// timers are set, when the hub reads the time anyway; zero before.
    pub longest_turn: Duration,
    /// Wakes that came from other threads when the wait they were for had ended already, by a kill, a deadline or another
    /// thread: races, harmless, that cost a message each.
    pub late_wakes: u64,
    /// Spins: how often the hub looked out before it would have blocked. Only with
    /// [`Builder::spin`](crate::hub::Builder::spin).
    pub spins: u64,
    /// Those of them in which nothing came, so that it blocked after all.
    pub spins_in_vain: u64,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Tasks that have ended so far.
    pub ended: u64,
    /// Greenlets, tasks and main that will run when their turn comes.
    pub runnable: usize,
    /// Those that wait.
    pub parked: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Waits for a descriptor.
    pub descriptors: usize,
    /// Stacks in use.
    pub stacks: usize,
    /// Their size together, in bytes of address space: what they have not touched costs no memory.
    pub stack_bytes: usize,
}

/// Counts of this thread's hub; all zero if it has none. It looks at every stack that the thread ever used: not for a hot
/// path.
#[must_use]
pub fn counters() -> Counters {
    let hot = hot();
    let stats = hot.with_arena(|a| a.stats());
    let mut counters = Counters {
        runnable: hot.queue.len() as usize,
        stacks: stats.live,
        stack_bytes: stats.live_bytes,
        ..Counters::default()
    };
    let mut parked = usize::from(hot.root().state.get() == State::Parked);
    engine::for_each(hot, |c| {
        parked += usize::from(c.state.get() == State::Parked || c.is_suspended());
    });
    counters.parked = parked;
    if let Some(hub) = sched::get(hot) {
        counters.turns = hub.turns.get();
        counters.longest_turn = hub.longest_turn.get();
        counters.late_wakes = hub.late_wakes.get();
        counters.spins = hub.spins.all.get();
        counters.spins_in_vain = hub.spins.in_vain.get();
        counters.tasks = hub.tasks.get();
        counters.ended = hub.ended.get();
        counters.timers = hub.timers_set();
        counters.descriptors = hub.reactor.borrow().waiting();
    }
    counters
}
