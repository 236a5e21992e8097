//! The peers: what one would use instead of greenloom, each doing the same work in the way of its own authors.
//!
//! | peer | file | plays |
//! | --- | --- | --- |
//! | generator | `generator.rs` | switch, values, spawn, memory |
//! | may | `may.rs` | yield, spawn, memory, timers, queues, echo |
//! | tokio, current thread | `tokio.rs` | yield, spawn, memory, timers, queues, offload, echo |
//! | smol | `smol.rs` | yield, spawn, memory, timers, queues, echo |
//! | std: threads and their channels | `threads.rs` | yield, spawn, memory, timers, queues, echo |
//! | crossbeam-channel | `crossbeam.rs` | queues and select, between threads |
//! | corosensei | [`crate::reference`] | memory; elsewhere it is the limit |
//! | go, greenlet, gevent, boost-context | `programs.rs` | see there: programs of other languages |
//!
//! A peer whose way of doing the work is not the fastest that its authors know makes greenloom look better than it is,
//! which is a defect: each file says after what it is written. All run on one thread, but for what exists only between
//! threads, and stacks have the size that greenloom's have.
#![forbid(unsafe_code)]

mod crossbeam;
mod generator;
mod may;
pub(crate) mod programs;
mod smol;
mod threads;
mod tokio;

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::measure::{Case, Meter, Sample, Side};
use crate::reference::{self, MOST_STACKS};
use crate::timers::Slept;

/// What one would use instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The crate generator: stackful generators.
    Generator,
    /// The crate may: stackful coroutines on one worker thread.
    May,
    /// tokio's current-thread runtime.
    Tokio,
    /// smol's executor on one thread.
    Smol,
    /// Threads of the operating system, and std's channels.
    Threads,
    /// crossbeam-channel, between threads.
    Crossbeam,
    /// Bare coroutines; in most benchmarks they are the limit.
    Corosensei,
    /// Go with one processor.
    Go,
    /// Python's greenlet.
    Greenlet,
    /// Python's gevent.
    Gevent,
    /// Boost.Context, C++.
    BoostContext,
}

impl Peer {
    /// In the order of the tables.
    pub(crate) const ALL: [Peer; 11] = [
        Peer::Generator,
        Peer::May,
        Peer::Tokio,
        Peer::Smol,
        Peer::Threads,
        Peer::Crossbeam,
        Peer::Corosensei,
        Peer::Go,
        Peer::Greenlet,
        Peer::Gevent,
        Peer::BoostContext,
    ];

    /// The name in rows and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Generator => "generator",
            Peer::May => "may",
            Peer::Tokio => "tokio",
            Peer::Smol => "smol",
            Peer::Threads => "std",
            Peer::Crossbeam => "crossbeam",
            Peer::Corosensei => "corosensei",
            Peer::Go => "go",
            Peer::Greenlet => "greenlet",
            Peer::Gevent => "gevent",
            Peer::BoostContext => "boost-context",
        }
    }

    /// The one of this name.
    pub(crate) fn from_name(name: &str) -> Option<Peer> {
        Peer::ALL.into_iter().find(|peer| peer.name() == name)
    }

    /// Whether it has a part in benchmark `bench`, beside the rows that are there without being asked for.
    pub(crate) fn plays(self, bench: &str) -> bool {
        let benches: &[&str] = match self {
            Peer::Generator => &["switch", "values", "spawn", "memory"],
            Peer::May | Peer::Smol | Peer::Threads | Peer::Go | Peer::Gevent => {
                &["yield", "spawn", "memory", "timers", "queues", "echo"]
            }
            Peer::Tokio => &["yield", "spawn", "memory", "echo"],
            Peer::Crossbeam => &["queues"],
            Peer::Corosensei => &["memory"],
            Peer::Greenlet => &["switch"],
            Peer::BoostContext => &["switch", "spawn"],
        };
        benches.contains(&bench)
    }

    /// Whether it is a program of another language.
    pub(crate) fn is_program(self) -> bool {
        matches!(
            self,
            Peer::Go | Peer::Greenlet | Peer::Gevent | Peer::BoostContext
        )
    }

    /// The most coroutines, tasks or threads it can have at once.
    pub(crate) fn most(self) -> usize {
        match self {
            // A stack is two or more mappings, of which a process has 65,530.
            Peer::Generator | Peer::May | Peer::Corosensei | Peer::BoostContext => MOST_STACKS,
            // What systems allow by default lies not far above.
            Peer::Threads => 10_000,
            _ => usize::MAX,
        }
    }

    /// Whether everything it needs is here; if not, what is missing and how to get it.
    pub(crate) fn ready(self) -> Result<(), String> {
        programs::ready(self)
    }
}

/// The peers that a case is measured beside in any case, with or without a limit.
pub(crate) fn stand_ins(case: Case) -> &'static [Peer] {
    match case {
        Case::Items128 | Case::Items | Case::RoundTrip | Case::Offload => &[Peer::Tokio],
        Case::TwoThreads => &[Peer::Tokio, Peer::Crossbeam],
        Case::Select(_) => &[Peer::Crossbeam],
        Case::Ring(_) => &[Peer::Corosensei],
        _ => &[],
    }
}

/// Calls `body` with the side of `peer`, which is no program, of `case`, or with `None` where it has none.
pub(crate) fn with_side<R>(peer: Peer, case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    if let Case::Yield(n) | Case::Spawn(n) = case
        && n > peer.most()
    {
        return body(None);
    }
    match peer {
        Peer::Generator => generator::with_side(case, body),
        Peer::May => may::with_side(case, body),
        Peer::Tokio => tokio::with_side(case, body),
        Peer::Smol => smol::with_side(case, body),
        Peer::Threads => threads::with_side(case, body),
        Peer::Crossbeam => crossbeam::with_side(case, body),
        Peer::Corosensei => reference::with_ring(case, body),
        _ => body(None),
    }
}

/// Bytes of each of `n` that are parked, in this process; `None` if the peer cannot have so many.
pub(crate) fn memory(peer: Peer, n: usize) -> io::Result<Option<f64>> {
    if n > peer.most() {
        return Ok(None);
    }
    match peer {
        Peer::Generator => generator::memory(n).map(Some),
        Peer::May => may::memory(n).map(Some),
        Peer::Tokio => tokio::memory(n).map(Some),
        Peer::Smol => smol::memory(n).map(Some),
        Peer::Threads => threads::memory(n).map(Some),
        Peer::Corosensei => reference::memory(n),
        program => programs::memory(program, n),
    }
}

/// `n` sleepers of the peer's.
pub(crate) fn sleep(peer: Peer, n: usize) -> io::Result<Option<Slept>> {
    match peer {
        Peer::May => may::sleep(n).map(Some),
        Peer::Tokio => tokio::sleep(n).map(Some),
        Peer::Smol => smol::sleep(n).map(Some),
        Peer::Threads => threads::sleep(n).map(Some),
        program => programs::sleep(program, n),
    }
}

/// Serves echoes on loopback, with buffers of so many bytes, until a signal ends the process.
pub(crate) fn serve(peer: Peer, port: u16, buffer: usize) -> io::Result<()> {
    match peer {
        Peer::May => may::serve(port, buffer),
        Peer::Tokio => tokio::serve(port, buffer),
        Peer::Smol => smol::serve(port, buffer),
        Peer::Threads => threads::serve(port, buffer),
        other => Err(io::Error::other(format!("{} serves nothing", other.name()))),
    }
}

/// The stopwatch of `yield`, held by all tasks: from the first that has started to the last that is through.
///
/// Not every scheduler is first in, first out, so no one task can measure for all. Every task yields once after
/// [`Laps::begin`], so that all have begun before most of the laps.
#[derive(Debug)]
struct Laps {
    left: AtomicUsize,
    operations: u64,
    meter: Mutex<Option<Meter>>,
    sample: Mutex<Option<Sample>>,
}

impl Laps {
    /// For `tasks` tasks that yield about `operations` times in all; each so often as the second number says.
    fn new(tasks: usize, operations: u64) -> (Laps, u64) {
        let each = operations.div_ceil(tasks as u64);
        let laps = Laps {
            left: AtomicUsize::new(tasks),
            operations: each * tasks as u64,
            meter: Mutex::new(None),
            sample: Mutex::new(None),
        };
        (laps, each)
    }

    /// A task has started, and will yield once before it counts.
    fn begin(&self) {
        let mut meter = self.meter.lock().expect("nobody panics with it");
        meter.get_or_insert_with(Meter::start);
    }

    /// A task has yielded so often as it should.
    fn end(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let meter = self.meter.lock().expect("nobody panics with it").take();
            let sample = meter.expect("it was started").stop(self.operations);
            *self.sample.lock().expect("nobody panics with it") = Some(sample);
        }
    }

    /// What was measured, once all are through.
    fn sample(&self) -> Sample {
        let sample = *self.sample.lock().expect("nobody panics with it");
        sample.expect("all are through")
    }
}
