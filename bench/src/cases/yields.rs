//! `yield`: what one `yield_now` costs among so many runnable tasks.
//!
//! ```text
//! main       spawns all, joins all (so it is parked, not runnable, meanwhile)
//! every task yields once: now all have started
//! task 0     starts the meter, yields `laps` times, stops the meter
//! others     yield `laps` times
//! ```
//!
//! The run queue is first in, first out, so when task 0 comes back from its last yield each task has yielded
//! exactly `laps` times since the meter started. Neither starts nor ends of tasks are counted.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use crate::measure::{Meter, Sample};

/// One operation is one yield, and so one resume of the next task.
pub(super) fn among(tasks: usize) -> impl FnMut(u64) -> Sample {
    let mut handles = Vec::with_capacity(tasks);
    move |operations| {
        let laps = operations.div_ceil(tasks as u64);
        let result = Rc::new(Cell::new(None));
        let report = Rc::clone(&result);
        handles.push(greenloom::spawn(move || {
            greenloom::yield_now();
            let meter = Meter::start();
            for _ in 0..laps {
                greenloom::yield_now();
            }
            report.set(Some(meter.stop(laps * tasks as u64)));
        }));
        handles.extend((1..tasks).map(|_| {
            greenloom::spawn(move || {
                for _ in 0..=laps {
                    greenloom::yield_now();
                }
            })
        }));
        for handle in handles.drain(..) {
            assert!(handle.join().is_ok());
        }
        result.get().expect("task 0 has reported")
    }
}
