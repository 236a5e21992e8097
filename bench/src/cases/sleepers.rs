//! `sleepers`: many tasks that each sleep until a random moment of one second.
//!
//! ```text
//! spawn n tasks; each sleeps until T0 + (0..1 s)    create: until all are parked, before T0
//! T0 … T0 + 1 s: all wake                           CPU from all parked; how late each was
//! ```
//!
//! The reference does the same on tokio's current-thread runtime. The moments come from one seed, the same for both.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::reference;
use crate::report::Row;
use crate::sys;

/// What a run of sleepers showed.
#[derive(Debug)]
pub(crate) struct Slept {
    /// CPU time of the process from the first spawn to the last wake.
    pub(crate) cpu: Duration,
    /// The part of it from when all were parked.
    pub(crate) cpu_parked: Duration,
    /// How late each was.
    pub(crate) late: Vec<Duration>,
}

/// When the first may wake, counted from the first spawn: all are parked by then.
pub(crate) const LEAD: Duration = Duration::from_millis(1500);

/// The moments, counted from the first of them: uniform over a second.
pub(crate) fn moments(n: usize) -> impl Iterator<Item = Duration> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    (0..n).map(move |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        Duration::from_nanos(x % 1_000_000_000)
    })
}

/// Measures `n` sleeping tasks, and `n` of tokio's.
pub(super) fn rows(n: usize) -> io::Result<Vec<Row>> {
    let own = sleep(n)?;
    let peer = reference::sleepers(n)?;
    let row = |what: &str, unit: &str, of: &dyn Fn(&Slept) -> f64| Row {
        bench: "sleepers".to_owned(),
        case: format!("{n} of 0-1 s, {what}"),
        unit: unit.to_owned(),
        value: Some(of(&own)),
        reference: Some(of(&peer)),
    };
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let late = |slept: &Slept, of_1000: usize| {
        let mut late = slept.late.clone();
        late.sort_unstable();
        late[(late.len() - 1) * of_1000 / 1000].as_secs_f64() * 1e6
    };
    Ok(vec![
        row("CPU with creation", "ms", &|s| ms(s.cpu)),
        row("CPU from all parked", "ms", &|s| ms(s.cpu_parked)),
        row("late, median", "us", &|s| late(s, 500)),
        row("late, 99th of 100", "us", &|s| late(s, 990)),
    ])
}

fn sleep(n: usize) -> io::Result<Slept> {
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
    let after = sys::cpu_time()?;
    Ok(Slept {
        cpu: after - before,
        cpu_parked: after - parked,
        late: late.take(),
    })
}
