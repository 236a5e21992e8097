//! `memory`: what so many parked greenlets, or tasks, take of the process's memory.
//!
//! Growth of the resident set and of the page tables, over n, all parked. The vector of handles counts: nobody could wake
//! them without one. What is measured leaves its stacks in the pool, so each number needs a process of its own.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use greenloom::greenlet::{self, Current};
use greenloom::task;

use super::Memory;

/// Bytes of each of `n` greenlets that have switched away.
pub(super) fn greenlets(n: usize) -> io::Result<f64> {
    greenlet::scope(|s, me: &Current<()>| {
        let before = Memory::now()?;
        let mut handles = Vec::with_capacity(n);
        for _ in 0..n {
            let root = me.handle();
            let greenlet = s.spawn(me, move |me: &Current<(), ()>, ()| {
                // Comes back when the scope ends it: with an error or not at all.
                drop(me.switch(&root, ()));
            });
            assert!(me.switch(&greenlet, ()).is_ok());
            handles.push(greenlet);
        }
        Ok(Memory::now()?.bytes_since(&before) / n as f64)
    })
}

/// Bytes of each of `n` tasks in `park`.
pub(super) fn tasks(n: usize) -> io::Result<f64> {
    let before = Memory::now()?;
    let parked = Rc::new(Cell::new(0));
    let mut handles = Vec::with_capacity(n);
    for _ in 0..n {
        let theirs = Rc::clone(&parked);
        handles.push(greenloom::spawn(move || {
            theirs.set(theirs.get() + 1);
            task::park();
        }));
    }
    while parked.get() < n {
        greenloom::yield_now();
    }
    // The last to count itself parks in the same turn.
    greenloom::yield_now();
    let each = Memory::now()?.bytes_since(&before) / n as f64;
    for handle in &handles {
        handle.task().unpark();
    }
    Ok(each)
}
