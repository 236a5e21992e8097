//! `timers`: tasks that each sleep until a moment of their own; see [`crate::timers`].
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use crate::sys;
use crate::timers::{LEAD, Slept, moments};

/// Runs `n` sleepers.
pub(super) fn sleep(n: usize) -> io::Result<Slept> {
    let late = Rc::new(RefCell::new(Vec::with_capacity(n)));
    let before = sys::cpu_time()?;
    let first = Instant::now() + LEAD;
    let tasks: Vec<_> = moments(n)
        .map(|moment| {
            let late = Rc::clone(&late);
            greenloom::spawn(move || {
                let due = first + moment;
                greenloom::sleep(due.saturating_duration_since(Instant::now()));
                late.borrow_mut().push(Instant::now() - due);
            })
        })
        .collect();
    greenloom::yield_now();
    let parked = sys::cpu_time()?;
    for task in tasks {
        assert!(task.join().is_ok());
    }
    Ok(Slept::new([before, parked, sys::cpu_time()?], late.take()))
}
