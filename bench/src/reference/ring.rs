//! What stands beside the rings of `switch`: so many raw coroutines that are resumed in turn.
//!
//! One coroutine that is always the same stays in the nearest cache, whatever it is compared with. With many of them, each
//! resume touches a stack that the others have driven out, and a page that the processor has to look up again: this says how
//! much of a ring's cost is that. It knows whom it resumes next, and so may begin before the last one is done, which a
//! greenlet that is told by another whom to switch to cannot.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io;

use corosensei::{Coroutine, CoroutineResult};

use crate::measure::{Meter, Sample};
use crate::slots::Slots;

/// One operation is one resume and the suspend that ends it.
pub(super) fn of(size: usize) -> io::Result<impl FnMut(u64) -> Sample> {
    let (_, slots) = Slots::new(size)?.deal();
    let mut members: Vec<_> = slots
        .map(|slot| {
            Coroutine::<u64, u64, (), _>::with_stack(slot, |yielder, mut value| {
                loop {
                    value = yielder.suspend(value);
                }
            })
        })
        .collect();
    Ok(move |operations: u64| {
        let laps = operations.div_ceil(size as u64);
        let mut value = 0;
        let meter = Meter::start();
        for _ in 0..laps {
            for member in &mut members {
                if let CoroutineResult::Yield(back) = member.resume(black_box(value)) {
                    value = back;
                }
            }
        }
        meter.stop(laps * size as u64)
    })
}
