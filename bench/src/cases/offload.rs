//! `offload`: one call on another thread and its result back, in a task.
//!
//! | case | an operation | beside |
//! | --- | --- | --- |
//! | bare threads | `offload` of a closure that returns a number | a thread woken by a futex, which rings an eventfd; both look out as the hub does |
//! | tokio | the same | `spawn_blocking` on tokio's current-thread runtime |
#![forbid(unsafe_code)]

use std::hint::black_box;

use crate::measure::{Meter, Sample};

/// Calls one after the other.
pub(super) fn round_trips() -> impl FnMut(u64) -> Sample {
    |operations| {
        greenloom::spawn(move || {
            let meter = Meter::start();
            for i in 0..operations {
                black_box(greenloom::offload(move || black_box(i)).ok());
            }
            meter.stop(operations)
        })
        .join()
        .expect("it ends")
    }
}
