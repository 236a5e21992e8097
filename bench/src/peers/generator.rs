//! The crate generator: stackful generators, resumed by whoever holds them.
//!
//! With the plainest loop of its documentation. It has no benchmarks of its own.
//! A round trip of `send` and `yield_` counts as two transfers, as greenloom's does.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io;

use generator::{Generator, Gn};

use crate::cases::Memory;
use crate::measure::{Case, Meter, Sample, Side};
use crate::reference::STACK;

/// Words of a stack: it counts by them.
const WORDS: usize = STACK / size_of::<usize>();

/// Its side of `case`.
pub(super) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::RootGreenlet => body(Some(&mut switches(7_u64))),
        Case::Values(0) => body(Some(&mut switches([7_u8; 0]))),
        Case::Values(8) => body(Some(&mut switches([7_u8; 8]))),
        Case::Values(64) => body(Some(&mut switches([7_u8; 64]))),
        Case::Values(1024) => body(Some(&mut switches([7_u8; 1024]))),
        Case::Spawn(batch) => body(Some(&mut spawns(batch))),
        _ => body(None),
    }
}

/// To and fro with a value.
fn switches<T: Copy + Send + 'static>(value: T) -> impl FnMut(u64) -> Sample {
    let mut identity: Generator<'static, T, T> = Gn::new_scoped_opt(WORDS, move |mut scope| {
        let mut back = value;
        loop {
            match scope.yield_(back) {
                Some(next) => back = next,
                None => return back,
            }
        }
    });
    // The first resume runs to the first `yield_`, which nothing was sent for.
    black_box(identity.raw_send(None).is_some());
    move |operations| {
        let trips = operations.div_ceil(2);
        let meter = Meter::start();
        for _ in 0..trips {
            black_box(identity.send(black_box(value)));
        }
        meter.stop(2 * trips)
    }
}

/// All are made, then each runs to its end. It keeps no stacks: each is mapped anew.
fn spawns(batch: usize) -> impl FnMut(u64) -> Sample {
    move |operations| {
        let batches = operations.div_ceil(batch as u64);
        let mut made: Vec<Generator<'static, (), ()>> = Vec::with_capacity(batch);
        let meter = Meter::start();
        for _ in 0..batches {
            made.extend((0..batch).map(|_| Gn::new_scoped_opt(WORDS, |_| black_box(()))));
            for mut generator in made.drain(..) {
                black_box(generator.resume());
            }
        }
        meter.stop(batches * batch as u64)
    }
}

/// Bytes of each of `n` that have yielded.
pub(super) fn memory(n: usize) -> io::Result<f64> {
    let before = Memory::now()?;
    let mut made: Vec<Generator<'static, (), ()>> = Vec::with_capacity(n);
    for _ in 0..n {
        let mut generator = Gn::new_scoped_opt(WORDS, |mut scope| {
            black_box(scope.yield_(()).is_some());
        });
        black_box(generator.resume());
        made.push(generator);
    }
    Ok(Memory::now()?.bytes_since(&before) / n as f64)
}
