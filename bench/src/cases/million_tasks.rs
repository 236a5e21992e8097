//! `million`, second half: that many tasks, parked and woken through the run queue.
//!
//! ```text
//! spawn n tasks; each parks                    create (until all are parked), memory
//! unpark all, in order; each parks again       wake in order
//! unpark all, in random order; each ends       wake in random order, and finish
//! ```
//!
//! The random wakes resume stacks all over the memory, which is where a run queue that prefetches is told from one that
//! does not. Each wake looks at the task's control block first: that cost is in the figure.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use greenloom::task::{self, Task};

use super::memory::{self, Memory};
use crate::report::Row;

/// What all tasks share.
struct Course {
    tasks: RefCell<Vec<Task>>,
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
        tasks: RefCell::new(Vec::with_capacity(n)),
        passed: Cell::new(0),
    });
    let order = memory::random_order(n);
    // Our own tables are filled first, so that they do not count.
    for _ in 0..n {
        course.tasks.borrow_mut().push(task::current());
    }
    course.tasks.borrow_mut().clear();
    let before = Memory::now()?;

    let start = Instant::now();
    for _ in 0..n {
        let theirs = Rc::clone(&course);
        let handle = greenloom::spawn(move || {
            theirs.pass();
            task::park();
            theirs.pass();
            task::park();
            theirs.pass();
        });
        course.tasks.borrow_mut().push(handle.task());
    }
    course.until_passed(n);
    let create = start.elapsed();
    let parked = Memory::now()?;

    let start = Instant::now();
    course.tasks.borrow().iter().for_each(Task::unpark);
    course.until_passed(n);
    let in_order = start.elapsed();

    let shuffled: Vec<Task> = {
        let tasks = course.tasks.borrow();
        order.iter().map(|&i| tasks[i as usize].clone()).collect()
    };
    let start = Instant::now();
    shuffled.iter().for_each(Task::unpark);
    course.until_passed(n);
    let at_random = start.elapsed();

    let row = |what: &str, unit: &str, value: f64| Row {
        bench: "million".to_owned(),
        case: format!("{n} tasks, {what}"),
        unit: unit.to_owned(),
        value: Some(value),
        reference: None,
        peer: None,
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
