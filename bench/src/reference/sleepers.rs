//! The reference of `sleepers`: the same on tokio's current-thread runtime.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use crate::cases::{LEAD, Slept, moments};
use crate::sys;

/// Runs `n` sleepers.
pub(super) fn sleep(n: usize) -> io::Result<Slept> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let late = Rc::new(RefCell::new(Vec::with_capacity(n)));
        let before = sys::cpu_time()?;
        let first = Instant::now() + LEAD;
        let tasks: Vec<_> = moments(n)
            .map(|moment| {
                let late = Rc::clone(&late);
                tokio::task::spawn_local(async move {
                    let due = first + moment;
                    tokio::time::sleep_until(due.into()).await;
                    late.borrow_mut().push(Instant::now() - due);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let parked = sys::cpu_time()?;
        for task in tasks {
            task.await.map_err(io::Error::other)?;
        }
        let after = sys::cpu_time()?;
        Ok(Slept {
            cpu: after - before,
            cpu_parked: after - parked,
            late: late.take(),
        })
    })
}
