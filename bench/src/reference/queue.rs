//! The reference of `yield`: the smallest round-robin scheduler there is.
//!
//! Coroutines that only suspend, in a queue: take the first, resume it, put it back if it has yielded. It
//! has no timers, no readiness, no wakes and no way to end a task early; what a real scheduler costs above
//! it is the price of those.
//!
//! The coroutines are moved in and out by value, 48 bytes each way, because that is what one would write. It
//! is not the fastest form everywhere: with two tasks, on a CPU that stalls when it loads in one piece what was
//! stored in several, boxing them makes the loop faster. A ratio below one is to be read with that in mind.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use corosensei::{Coroutine, CoroutineResult};

use crate::measure::{Meter, Sample};

/// One operation is one resume and the suspend that ends it.
pub(super) fn round_robin(tasks: usize) -> impl FnMut(u64) -> Sample {
    let mut queue: VecDeque<Coroutine<(), (), ()>> = (0..tasks)
        .map(|_| {
            Coroutine::with_stack(super::stack(), |yielder, ()| {
                loop {
                    yielder.suspend(());
                }
            })
        })
        .collect();
    move |operations| {
        let meter = Meter::start();
        for _ in 0..operations {
            let mut task = queue.pop_front().expect("no task ever ends");
            if let CoroutineResult::Yield(()) = task.resume(()) {
                queue.push_back(task);
            }
        }
        meter.stop(operations)
    }
}
