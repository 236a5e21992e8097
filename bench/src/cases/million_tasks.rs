//! `million`, second half: that many tasks, parked on an event and woken through the run queue.
//!
//! ```text
//! spawn n tasks; each waits on gate 0          create (until all are parked), memory
//! open gate 0; each waits on gate 1            wake in order
//! open gate 1; each sleeps a random while      not measured: shuffles them
//! …           each waits on gate 2             (so gate 2's waiters are in a random order)
//! open gate 2; each ends                       wake in random order, and finish
//! ```
//!
//! An event wakes its waiters in the order of their waits, so the third gate resumes stacks all over the
//! memory, which is where a run queue that prefetches is told from one that does not.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use greenloom::event::Event;

use super::memory::{self, Memory};
use crate::report::Row;

/// What all tasks share.
struct Course {
    gates: [Event; 3],
    /// Tasks that have passed the latest step.
    passed: Cell<usize>,
}

impl Course {
    /// Lets the hub run until all `n` tasks have passed, and starts the next count.
    fn until_passed(&self, n: usize) {
        while self.passed.get() < n {
            greenloom::yield_now();
        }
        self.passed.set(0);
    }

    /// Counts the task that runs as passed.
    fn pass(&self) {
        self.passed.set(self.passed.get() + 1);
    }
}

/// Measures `n` tasks.
pub(super) fn rows(n: usize) -> io::Result<Vec<Row>> {
    let course = Rc::new(Course {
        gates: [Event::new(), Event::new(), Event::new()],
        passed: Cell::new(0),
    });
    let order = memory::random_order(n);
    let before = Memory::now()?;

    let start = Instant::now();
    for &position in &order {
        let course = Rc::clone(&course);
        drop(greenloom::spawn(move || {
            course.pass();
            course.gates[0].wait();
            course.pass();
            course.gates[1].wait();
            // A second for each million tasks: far apart enough to keep the order, not to take long.
            greenloom::sleep(Duration::from_micros(u64::from(position)));
            course.pass();
            course.gates[2].wait();
            course.pass();
        }));
    }
    course.until_passed(n);
    let create = start.elapsed();
    let parked = Memory::now()?;

    let start = Instant::now();
    course.gates[0].set();
    course.until_passed(n);
    let in_order = start.elapsed();

    course.gates[1].set();
    course.until_passed(n);

    let start = Instant::now();
    course.gates[2].set();
    course.until_passed(n);
    let at_random = start.elapsed();

    let row = |what: &str, unit: &str, value: f64| Row {
        bench: "million".to_owned(),
        case: format!("{n} tasks, {what}"),
        unit: unit.to_owned(),
        value: Some(value),
        reference: None,
    };
    let each = |time: Duration| time.as_nanos() as f64 / n as f64;
    Ok(vec![
        row(
            "memory",
            "bytes each",
            parked.bytes_since(&before) / n as f64,
        ),
        row("mappings", "mappings", parked.mappings as f64),
        row("create and park", "ns each", each(create)),
        row("wake in order", "ns each", each(in_order)),
        row(
            "wake in random order and finish",
            "ns each",
            each(at_random),
        ),
    ])
}
