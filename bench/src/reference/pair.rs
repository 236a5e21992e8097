//! The reference of every switch: one raw `resume` + `suspend` pair.
//!
//! A coroutine that hands back what it is sent. Each operation is one trip there and back, compiled into the
//! measuring loop, which is the least that corosensei can be made to cost.
#![forbid(unsafe_code)]

use std::hint::black_box;

use corosensei::Coroutine;

use crate::measure::{Meter, Sample};

/// One operation is one pair.
pub(super) fn resume_and_suspend() -> impl FnMut(u64) -> Sample {
    let mut identity = Coroutine::<usize, usize, (), _>::with_stack(
        super::stack(),
        |yielder, mut value: usize| loop {
            value = yielder.suspend(value);
        },
    );
    move |operations| {
        let meter = Meter::start();
        for _ in 0..operations {
            black_box(identity.resume(black_box(0)).as_yield());
        }
        meter.stop(operations)
    }
}

/// The same with `N` bytes there and as many back.
pub(super) fn carrying<const N: usize>() -> impl FnMut(u64) -> Sample {
    let mut identity = Coroutine::<[u8; N], [u8; N], (), _>::with_stack(
        super::stack(),
        |yielder, mut value: [u8; N]| loop {
            value = yielder.suspend(value);
        },
    );
    move |operations| {
        let meter = Meter::start();
        for _ in 0..operations {
            black_box(identity.resume(black_box([7; N])).as_yield());
        }
        meter.stop(operations)
    }
}
