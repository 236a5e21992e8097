//! `locks`: what a lock that is free costs, and a look at an event, in a task.
//!
//! | case | an operation | beside |
//! | --- | --- | --- |
//! | mutex | `lock` and the guard's drop | std's `Mutex` |
//! | event | `is_set` | the load of an `AtomicBool` |
#![forbid(unsafe_code)]

use std::hint::black_box;

use greenloom::event::Event;
use greenloom::sync::Mutex;

use crate::measure::{Meter, Sample};

/// Locks and unlocks.
pub(super) fn mutex() -> impl FnMut(u64) -> Sample {
    in_task(|operations| {
        let mutex = Mutex::new(0_u64);
        let meter = Meter::start();
        for _ in 0..operations {
            if let Ok(mut n) = black_box(&mutex).lock() {
                *n += 1;
            }
        }
        meter.stop(operations)
    })
}

/// Looks at an event.
pub(super) fn event() -> impl FnMut(u64) -> Sample {
    in_task(|operations| {
        let event = Event::new();
        let meter = Meter::start();
        for _ in 0..operations {
            black_box(black_box(&event).is_set());
        }
        meter.stop(operations)
    })
}

fn in_task(f: fn(u64) -> Sample) -> impl FnMut(u64) -> Sample {
    move |operations| {
        greenloom::spawn(move || f(operations))
            .join()
            .expect("it ends")
    }
}
