//! The reference of `spawn`: create a batch of coroutines on pooled stacks, run them, pool the stacks again.
//!
//! As with tasks, the whole batch exists before its first one runs. There is no handle and no result.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::hint::black_box;

use corosensei::Coroutine;

use crate::measure::{Meter, Sample};

/// One operation is one coroutine from its creation to the return of its stack.
pub(super) fn create_and_run(batch: usize) -> impl FnMut(u64) -> Sample {
    let mut pool: Vec<_> = (0..batch).map(|_| super::stack()).collect();
    let mut queue: VecDeque<Coroutine<(), (), ()>> = VecDeque::with_capacity(batch);
    move |operations| {
        let batches = operations.div_ceil(batch as u64);
        let meter = Meter::start();
        for _ in 0..batches {
            while let Some(stack) = pool.pop() {
                queue.push_back(Coroutine::with_stack(stack, |_, ()| {
                    black_box(());
                }));
            }
            while let Some(mut task) = queue.pop_front() {
                task.resume(());
                pool.push(task.into_stack());
            }
        }
        meter.stop(batches * batch as u64)
    }
}
