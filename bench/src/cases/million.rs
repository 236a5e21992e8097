//! `million`, first half: that many greenlets, parked and resumed by explicit switches.
//!
//! | row | what |
//! | --- | --- |
//! | bytes each | growth of the resident set and of the page tables, over n, all parked |
//! | mappings | lines of the process's memory map, all parked |
//! | create | `spawn` and the first switch there and back |
//! | resume in order | one switch there and back, in order of creation |
//! | resume in random order | the same in an order with nothing to predict, each prefetched four ahead |
//! | finish | the switch in which the body returns |
//!
//! The vector of handles counts as part of the greenlets: nobody can use them without one.
#![forbid(unsafe_code)]

use std::io;
use std::time::Instant;

use greenloom::greenlet::{self, Current};

use super::memory::{self, Memory};
use crate::report::Row;

/// The value that ends a body.
const STOP: u8 = 1;

/// Measures `n` greenlets.
pub(super) fn rows(n: usize) -> io::Result<Vec<Row>> {
    greenlet::scope(|s, me: &Current<u8>| {
        let order = memory::random_order(n);
        let before = Memory::now()?;
        let mut handles = Vec::with_capacity(n);

        let start = Instant::now();
        for _ in 0..n {
            let root = me.handle();
            let greenlet = s.spawn(me, move |me: &Current<u8, u8>, mut value: u8| {
                while value != STOP {
                    value = match me.switch(&root, value) {
                        Ok(value) => value,
                        Err(_) => break,
                    };
                }
                value
            });
            assert!(me.switch(&greenlet, 0).is_ok());
            handles.push(greenlet);
        }
        let create = start.elapsed();
        let parked = Memory::now()?;

        let start = Instant::now();
        for handle in &handles {
            assert!(me.switch(handle, 0).is_ok());
        }
        let in_order = start.elapsed();

        // The handles in that order, so that it is the greenlets that are at random places and not this table.
        let shuffled: Vec<_> = order.iter().map(|&i| handles[i as usize]).collect();
        let start = Instant::now();
        for (at, handle) in shuffled.iter().enumerate() {
            if let Some(ahead) = shuffled.get(at + 4) {
                ahead.prefetch();
            }
            assert!(me.switch(handle, 0).is_ok());
        }
        let at_random = start.elapsed();

        let start = Instant::now();
        for handle in &handles {
            assert!(me.switch(handle, STOP).is_ok());
        }
        let finish = start.elapsed();

        let row = |what: &str, unit: &str, value: f64| Row {
            bench: "million".to_owned(),
            case: format!("{n} greenlets, {what}"),
            unit: unit.to_owned(),
            value: Some(value),
            reference: None,
            peer: None,
        };
        let each = |time: std::time::Duration| time.as_nanos() as f64 / n as f64;
        Ok(vec![
            row(
                "memory",
                "bytes each",
                parked.bytes_since(&before) / n as f64,
            ),
            row("mappings", "mappings", parked.mappings as f64),
            row("create", "ns each", each(create)),
            row("resume in order", "ns each", each(in_order)),
            row("resume in random order", "ns each", each(at_random)),
            row("finish", "ns each", each(finish)),
        ])
    })
}
