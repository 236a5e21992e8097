//! The references of `locks` and `select`: std's mutex, an atomic's load, crossbeam-channel's select.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Select;

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

/// Selects from so many channels, of which one has something.
pub(super) fn select(n: usize) -> impl FnMut(u64) -> Sample {
    move |operations| {
        let channels: Vec<_> = (0..n)
            .map(|_| crossbeam_channel::unbounded::<u64>())
            .collect();
        let meter = Meter::start();
        for i in 0..operations {
            assert!(channels[(i as usize * 7) % n].0.send(i).is_ok());
            let mut select = Select::new();
            for (_, receive) in &channels {
                select.recv(receive);
            }
            let chosen = select.select();
            let at = chosen.index();
            black_box(chosen.recv(&channels[at].1).ok());
        }
        meter.stop(operations)
    }
}
