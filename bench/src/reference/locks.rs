//! The references of `locks`: std's mutex, an atomic's load.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::measure::{Meter, Sample};

/// Locks and unlocks std's mutex.
pub(super) fn mutex() -> impl FnMut(u64) -> Sample {
    |operations| {
        let mutex = Mutex::new(0_u64);
        let meter = Meter::start();
        for _ in 0..operations {
            if let Ok(mut n) = black_box(&mutex).lock() {
                *n += 1;
            }
        }
        meter.stop(operations)
    }
}

/// Loads a flag.
pub(super) fn flag() -> impl FnMut(u64) -> Sample {
    |operations| {
        let flag = AtomicBool::new(false);
        let meter = Meter::start();
        for _ in 0..operations {
            black_box(black_box(&flag).load(Ordering::Acquire));
        }
        meter.stop(operations)
    }
}
