//! `values`: what one call of `Current::switch` costs that carries so many bytes.
//!
//! The thread's root and one greenlet hand the same bytes to and fro. An operation is one call, that is one transfer of
//! control with its value; the reference is a raw pair, as in `switch`, that carries the same both ways.
#![forbid(unsafe_code)]

use std::hint::black_box;

use greenloom::greenlet::{self, Current};

use crate::measure::{Meter, Side};

/// One operation is one switch with `N` bytes.
pub(super) fn carrying<const N: usize, R>(body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    greenlet::scope(|s, me: &Current<[u8; N]>| {
        let root = me.handle();
        let echo = s.spawn(
            me,
            move |me: &Current<[u8; N], [u8; N]>, mut value: [u8; N]| {
                while let Ok(next) = me.switch(&root, value) {
                    value = next;
                }
                value
            },
        );
        body(Some(&mut |operations| {
            let trips = operations.div_ceil(2);
            let meter = Meter::start();
            for _ in 0..trips {
                let Ok(back) = me.switch(&echo, black_box([7; N])) else {
                    panic!("the greenlet has ended");
                };
                black_box(back);
            }
            meter.stop(2 * trips)
        }))
    })
}
