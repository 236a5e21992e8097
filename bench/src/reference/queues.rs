//! The references of `queues` and `select`: bare deques, and one raw coroutine that fills them.
//!
//! Nobody waits, nothing is closed, nothing is fair: what a queue costs above this is the price of those.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::rc::Rc;

use corosensei::Coroutine;

use crate::measure::{Meter, Sample};

/// Items between two switches.
const BATCH: u64 = 128;

/// A coroutine pushes 128 items into a deque and suspends; they are popped one by one, and it is resumed.
pub(super) fn items() -> impl FnMut(u64) -> Sample {
    |operations| {
        let queue = Rc::new(RefCell::new(VecDeque::with_capacity(BATCH as usize)));
        let theirs = Rc::clone(&queue);
        let batches = operations.div_ceil(BATCH);
        let mut producer =
            Coroutine::<(), (), (), _>::with_stack(super::stack(), move |yielder, ()| {
                for batch in 0..batches {
                    for i in 0..BATCH {
                        theirs.borrow_mut().push_back(black_box(batch * BATCH + i));
                    }
                    yielder.suspend(());
                }
            });
        let meter = Meter::start();
        for _ in 0..batches {
            producer.resume(());
            for _ in 0..BATCH {
                black_box(queue.borrow_mut().pop_front());
            }
        }
        let sample = meter.stop(batches * BATCH);
        producer.resume(());
        sample
    }
}

/// An item is pushed into one of so many deques, and found by a look at one after the other.
pub(super) fn scan(n: usize) -> impl FnMut(u64) -> Sample {
    move |operations| {
        let mut queues: Vec<VecDeque<u64>> = (0..n).map(|_| VecDeque::with_capacity(1)).collect();
        let meter = Meter::start();
        for i in 0..operations {
            // The one that our own side puts into.
            let at = if n == 2 { 1 } else { (i as usize * 7) % n };
            queues[at].push_back(black_box(i));
            let ready = black_box(&mut queues).iter_mut().find(|q| !q.is_empty());
            black_box(ready.and_then(VecDeque::pop_front));
        }
        meter.stop(operations)
    }
}
