//! The reference of `timers`: a heap of moments, and a raw coroutine for each, resumed when its moment has come.
//!
//! ```text
//! heap: (nanoseconds, number) ── the first is due? ── yes ─► resume coroutine `number`
//!                                 └─ no ─► clock_nanosleep until it is, and SLACK
//! ```
//!
//! Those that are due together are popped some at a time, and their stacks prefetched, before the first of them is resumed: by
//! the time a sleeper is due, nothing of it is in a cache.
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

use crate::slots::{Slot, Slots, prefetch_value};
use crate::sys;
use crate::timers::{LEAD, Slept, moments};

/// How much longer than to the next moment it sleeps, so that those that are due soon are resumed together: as the hub does.
/// Without it this would spend most of its time with falling asleep.
const SLACK: Duration = Duration::from_micros(200);

/// How many are popped before the first of them is resumed.
const TOGETHER: usize = 16;

/// Runs `n` sleepers.
pub(super) fn sleep(n: usize) -> io::Result<Slept> {
    let late = Rc::new(RefCell::new(Vec::with_capacity(n)));
    let before = sys::cpu_time()?;
    let first = Instant::now() + LEAD;
    let mut sleepers: Vec<Coroutine<(), (), (), Slot>> = Vec::with_capacity(n);
    let mut due = BinaryHeap::with_capacity(n);
    let (nearer, slots) = Slots::new(n)?.deal();
    for (moment, slot) in moments(n).zip(slots) {
        let late = Rc::clone(&late);
        let mut sleeper = Coroutine::with_stack(slot, move |yielder, ()| {
            yielder.suspend(());
            late.borrow_mut().push(Instant::now() - (first + moment));
        });
        sleeper.resume(());
        due.push(Reverse((moment.as_nanos() as u64, sleepers.len() as u32)));
        sleepers.push(sleeper);
    }
    let parked = sys::cpu_time()?;
    let mut together = Vec::with_capacity(TOGETHER);
    while let Some(&Reverse((next, _))) = due.peek() {
        let mut now = Instant::now();
        let next = first + Duration::from_nanos(next);
        if next > now {
            thread::sleep(next + SLACK - now);
            now = Instant::now();
        }
        let passed = now.saturating_duration_since(first).as_nanos() as u64;
        // Until nobody is due by the time that was just read.
        loop {
            while together.len() < TOGETHER
                && let Some(&Reverse((moment, number))) = due.peek()
                && moment <= passed
            {
                due.pop();
                nearer.prefetch(number as usize);
                prefetch_value(&sleepers[number as usize]);
                together.push(number);
            }
            if together.is_empty() {
                break;
            }
            for number in together.drain(..) {
                sleepers[number as usize].resume(());
            }
        }
    }
    Ok(Slept::new([before, parked, sys::cpu_time()?], late.take()))
}
