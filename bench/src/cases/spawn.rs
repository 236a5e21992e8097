//! `spawn`: what a task costs from `spawn` to the return of its `join`, when it does nothing.
//!
//! The tasks of a batch all exist before the first of them runs, as they do whenever a program spawns
//! without waiting in between.
#![forbid(unsafe_code)]

use crate::measure::{Meter, Sample};

/// One operation is one task.
pub(super) fn batches_of(batch: usize) -> impl FnMut(u64) -> Sample {
    let mut handles = Vec::with_capacity(batch);
    move |operations| {
        let batches = operations.div_ceil(batch as u64);
        let meter = Meter::start();
        for _ in 0..batches {
            handles.extend((0..batch).map(|_| greenloom::spawn(|| ())));
            for handle in handles.drain(..) {
                assert!(handle.join().is_ok());
            }
        }
        meter.stop(batches * batch as u64)
    }
}
