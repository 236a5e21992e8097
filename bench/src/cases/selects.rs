//! `select`: a select over so many queues, of which one has something.
//!
//! The limit is a look at as many deques. crossbeam-channel's `Select` is beside it, over as many channels, built anew each time
//! like ours.
#![forbid(unsafe_code)]

use std::hint::black_box;

use greenloom::queue::Queue;
use greenloom::select::Select;

use crate::measure::{Meter, Sample};

/// Over two, by the builder's methods.
pub(super) fn of_two() -> impl FnMut(u64) -> Sample {
    |operations| {
        let (a, b) = (Queue::<u64>::unbounded(), Queue::unbounded());
        let meter = Meter::start();
        for i in 0..operations {
            assert!(b.put(i).is_ok());
            let got = Select::new().get(&a, |n| n.ok()).get(&b, |n| n.ok()).wait();
            black_box(got);
        }
        meter.stop(operations)
    }
}

/// Over many, by `any`.
pub(super) fn of_many(n: usize) -> impl FnMut(u64) -> Sample {
    move |operations| {
        let queues: Vec<Queue<u64>> = (0..n).map(|_| Queue::unbounded()).collect();
        let meter = Meter::start();
        for i in 0..operations {
            assert!(queues[(i as usize * 7) % n].put(i).is_ok());
            black_box(Select::new().any(&queues, |i, n| (i, n.ok())).wait());
        }
        meter.stop(operations)
    }
}
