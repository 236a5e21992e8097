//! How a number is taken: two sides, alternate rounds, medians.
//!
//! A [`Side`] is a closure that performs about the asked number of operations and returns a [`Sample`]: what
//! it really did, how long that took and how often it allocated. It times itself with a [`Meter`], so that
//! what it must prepare for a round (tasks to spawn, connections to open) stays outside the measurement.
//!
//! ```text
//! duel:  calibrate each side (double the operations until a round lasts 20 ms; also the warm-up)
//!        value reference | reference value | value reference | …   (order swapped every round)
//!        median of each side's ns per operation
//! ```
//!
//! 20 ms is a million times the cost of reading the clock, and long enough to hold several timer ticks
//! of the machine instead of sometimes one. Nothing here prints or knows what it measures.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::alloc;

/// The least time one round takes.
const FLOOR: Duration = Duration::from_millis(20);

/// The benchmarks that are a duel of two sides in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// Switches between the thread's root and one greenlet.
    RootGreenlet,
    /// Switches between two greenlets.
    GreenletGreenlet,
    /// Switches around a ring of this many greenlets.
    Ring(usize),
    /// Switches between the thread's root and one greenlet that carry this many bytes.
    Values(usize),
    /// Yields among this many tasks.
    Yield(usize),
    /// Spawns and joins in batches of this many empty tasks.
    Spawn(usize),
    /// Locks and unlocks.
    Mutex,
    /// Looks at an event.
    Event,
    /// Selects over this many queues.
    Select(usize),
    /// Items through a queue of capacity 128.
    Items128,
    /// Items through an unbounded queue.
    Items,
    /// Round trips over two channels of capacity 0.
    RoundTrip,
    /// Items to another thread.
    TwoThreads,
    /// Calls on another thread.
    Offload,
}

/// One contestant: performs about the given number of operations.
pub(crate) type Side<'a> = &'a mut dyn FnMut(u64) -> Sample;

/// What one round of one side did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Operations performed; a side may round the number it was asked for.
    pub(crate) operations: u64,
    /// How long they took.
    pub(crate) elapsed: Duration,
    /// Allocations made by the measuring thread meanwhile.
    pub(crate) allocations: u64,
}

impl Sample {
    /// Nanoseconds per operation.
    fn ns(&self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.operations as f64
    }
}

/// A running stopwatch with the allocator's count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    allocations: u64,
    start: Instant,
}

impl Meter {
    /// Starts now.
    pub(crate) fn start() -> Meter {
        Meter {
            allocations: alloc::count(),
            start: Instant::now(),
        }
    }

    /// Stops now, having seen this many operations.
    pub(crate) fn stop(self, operations: u64) -> Sample {
        let elapsed = self.start.elapsed();
        Sample {
            operations,
            elapsed,
            allocations: alloc::count() - self.allocations,
        }
    }
}

/// The outcome of a duel.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// ns per operation of the measured side.
    pub(crate) value: Option<f64>,
    /// ns per operation of the reference.
    pub(crate) reference: Option<f64>,
    /// Allocations per operation of the measured side.
    pub(crate) allocations: Option<f64>,
}

/// One side's rounds so far.
struct Rounds<'a> {
    side: Side<'a>,
    operations: u64,
    ns: Vec<f64>,
    total_operations: u64,
    total_allocations: u64,
}

impl<'a> Rounds<'a> {
    /// Finds the number of operations that fills a round. These trial rounds are the warm-up as well.
    fn calibrate(side: Side<'a>) -> Rounds<'a> {
        let mut operations = 1;
        let operations = loop {
            let sample = side(operations);
            if sample.elapsed >= FLOOR {
                break sample.operations;
            }
            // One step too many costs less than many small ones: aim at the floor with a margin, but
            // never grow more than tenfold on the word of a round that was too short to be exact.
            let missing = FLOOR.as_nanos() as f64 / (sample.elapsed.as_nanos() as f64).max(1.0);
            let growth = (missing * 1.2).clamp(1.1, 10.0);
            operations = (sample.operations as f64 * growth).ceil() as u64;
        };
        Rounds {
            side,
            operations,
            ns: Vec::new(),
            total_operations: 0,
            total_allocations: 0,
        }
    }

    fn round(&mut self) {
        let sample = (self.side)(self.operations);
        self.ns.push(sample.ns());
        self.total_operations += sample.operations;
        self.total_allocations += sample.allocations;
    }
}

/// Measures both sides in alternate rounds. A side that is absent gives `None`.
pub(crate) fn duel(
    rounds: usize,
    value: Option<Side<'_>>,
    reference: Option<Side<'_>>,
) -> Measured {
    let mut value = value.map(Rounds::calibrate);
    let mut reference = reference.map(Rounds::calibrate);
    for round in 0..rounds {
        if round % 2 == 0 {
            value.iter_mut().for_each(Rounds::round);
            reference.iter_mut().for_each(Rounds::round);
        } else {
            reference.iter_mut().for_each(Rounds::round);
            value.iter_mut().for_each(Rounds::round);
        }
    }
    Measured {
        allocations: value
            .as_ref()
            .map(|side| side.total_allocations as f64 / side.total_operations as f64),
        value: value.and_then(|side| median(side.ns)),
        reference: reference.and_then(|side| median(side.ns)),
    }
}

/// The middle of the numbers (of an even count: the mean of the middle two), or `None` if there are none.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(numbers[middle]),
        _ => Some((numbers[middle - 1] + numbers[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A side that takes exactly `ns` per operation of a clock of its own, and logs its turns.
    fn side<'a>(
        name: char,
        ns: u64,
        log: &'a std::cell::RefCell<String>,
    ) -> impl FnMut(u64) -> Sample + 'a {
        move |operations| {
            log.borrow_mut().push(name);
            Sample {
                operations,
                elapsed: Duration::from_nanos(ns * operations),
                allocations: 3 * operations,
            }
        }
    }

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn a_duel_reports_each_side_by_its_own_rounds() {
        let log = Default::default();
        let measured = duel(
            3,
            Some(&mut side('v', 4, &log)),
            Some(&mut side('r', 8, &log)),
        );
        assert_eq!(measured.value, Some(4.0));
        assert_eq!(measured.reference, Some(8.0));
        assert_eq!(measured.allocations, Some(3.0));
        // After both calibrations the rounds alternate, and so does who goes first.
        assert!(log.borrow().ends_with("rvrrvvr"), "{}", log.borrow());
    }

    #[test]
    fn an_absent_side_is_none() {
        let log = Default::default();
        let measured = duel(1, None, Some(&mut side('r', 8, &log)));
        assert_eq!(measured.value, None);
        assert_eq!(measured.allocations, None);
        assert_eq!(measured.reference, Some(8.0));
    }
}
