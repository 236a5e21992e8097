//! `switch`: what one call of `Current::switch` costs.
//!
//! An operation is one call, that is one transfer of control: on a round trip between two greenlets each of
//! them makes one. The reference is a raw `resume` + `suspend` *pair*, which is two transfers.
#![forbid(unsafe_code)]

use std::hint::black_box;

use greenloom::greenlet::{self, Current};

use crate::measure::{Meter, Side};

/// The thread's root and one greenlet send a number to and fro.
pub(super) fn root_greenlet<R>(body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    greenlet::scope(|s, me: &Current<u64>| {
        let root = me.handle();
        let echo = s.spawn(me, move |me: &Current<u64, u64>, mut value: u64| {
            while let Ok(next) = me.switch(&root, value) {
                value = next;
            }
            value
        });
        body(Some(&mut |operations| {
            let trips = operations.div_ceil(2);
            let meter = Meter::start();
            for trip in 0..trips {
                let Ok(back) = me.switch(&echo, black_box(trip)) else {
                    panic!("the greenlet has ended");
                };
                black_box(back);
            }
            meter.stop(2 * trips)
        }))
    })
}

/// `size` greenlets (two or more) send a number around; the root only starts and ends each round.
///
/// The first one is the leader: the root sends it a number of laps, and it answers when they are done. The
/// two switches of that are two among millions.
pub(super) fn ring<R>(size: usize, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    greenlet::scope(|s, me: &Current<u64>| {
        // Unbound, because each must name the next one and the last names the first.
        let members: Vec<_> = (0..size).map(|_| s.unbound::<u64, u64>(me)).collect();
        let leader = members[0].handle();
        let nexts: Vec<_> = (1..=size).map(|i| members[i % size].handle()).collect();
        for (index, (member, next)) in members.into_iter().zip(nexts).enumerate() {
            if index == 0 {
                let root = me.handle();
                member.bind(move |me: &Current<u64, u64>, mut laps: u64| {
                    loop {
                        for lap in 0..laps {
                            let Ok(_) = me.switch(&next, black_box(lap)) else {
                                return lap;
                            };
                        }
                        laps = match me.switch(&root, laps) {
                            Ok(laps) => laps,
                            Err(_) => return laps,
                        };
                    }
                });
            } else {
                member.bind(move |me: &Current<u64, u64>, mut value: u64| {
                    while let Ok(sent) = me.switch(&next, value) {
                        value = sent;
                    }
                    value
                });
            }
        }
        body(Some(&mut |operations| {
            let laps = operations.div_ceil(size as u64);
            let meter = Meter::start();
            let Ok(_) = me.switch(&leader, laps) else {
                panic!("the leader has ended");
            };
            meter.stop(laps * size as u64)
        }))
    })
}
