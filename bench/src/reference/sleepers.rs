//! The reference of `timers`: a heap of moments, and a raw coroutine for each, resumed when its moment has come.
//!
//! ```text
//! heap: (moment, number) ── the first is due? ── yes ─► resume coroutine `number`
//!                                 └─ no ─► clock_nanosleep until it is, and SLACK
//! ```
//!
//! Nothing can be cancelled, and nothing else waits for anything. Stacks are slots of one mapping ([`crate::slots`]).
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use corosensei::Coroutine;

use crate::slots::{Slot, Slots};
use crate::sys;
use crate::timers::{LEAD, Slept, moments};

/// How much longer than to the next moment it sleeps, so that those that are due soon are resumed together: as the hub does.
/// Without it this would spend most of its time with falling asleep.
const SLACK: Duration = Duration::from_micros(200);

/// Runs `n` sleepers.
pub(super) fn sleep(n: usize) -> io::Result<Slept> {
    let late = Rc::new(RefCell::new(Vec::with_capacity(n)));
    let before = sys::cpu_time()?;
    let first = Instant::now() + LEAD;
    let mut sleepers: Vec<Coroutine<(), (), (), Slot>> = Vec::with_capacity(n);
    let mut due = BinaryHeap::with_capacity(n);
    for (moment, slot) in moments(n).zip(Slots::new(n)?.into_iter()) {
        let late = Rc::clone(&late);
        let mut sleeper = Coroutine::with_stack(slot, move |yielder, ()| {
            yielder.suspend(());
            late.borrow_mut().push(Instant::now() - (first + moment));
        });
        sleeper.resume(());
        due.push(Reverse((moment, sleepers.len() as u32)));
        sleepers.push(sleeper);
    }
    let parked = sys::cpu_time()?;
    // The time is read when nobody is due by what was read last, and after each sleep.
    let mut now = first;
    while let Some(&Reverse((moment, number))) = due.peek() {
        let moment = first + moment;
        if moment > now {
            now = Instant::now();
            if moment > now {
                thread::sleep(moment + SLACK - now);
                now = Instant::now();
            }
            continue;
        }
        due.pop();
        sleepers[number as usize].resume(());
    }
    Ok(Slept::new([before, parked, sys::cpu_time()?], late.take()))
}
