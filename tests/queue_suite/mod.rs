//! What holds for every kind of queue, as one suite that each kind's file makes its own.
//!
//! ```text
//! suite!(Queue) ──> the tests below for Queue<Item>
//! ```
//!
//! Each park point is tried with everything that can end a wait: before it waits, while it waits, and after the grant but
//! before the waiter ran. "After the grant" is had by not giving the waiter's thread a turn in between.
#![forbid(unsafe_code)]
#![allow(dead_code, unused_macros)] // each test binary uses its part

mod rest;
mod waits;

use std::cmp::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use greenloom::hub::{self, HubHandle};
use greenloom::task::{self, JoinHandle};

use crate::util::{Counted, Drops};

/// Out of every test's reach.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Soon, for what is waited for in vain.
pub(crate) const SOON: Duration = Duration::from_millis(2);

/// A value whose drop is counted, ordered by its number.
#[derive(Debug)]
pub(crate) struct Item(pub(crate) u32, Counted);

impl Item {
    pub(crate) fn new(n: u32, drops: &Drops) -> Self {
        Self(n, drops.guard())
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// Keeps the thread, and so its hub, from running anything until `d` has passed.
pub(crate) fn hold_the_thread_for(d: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < d {
        std::hint::spin_loop();
    }
}

/// A thread whose hub runs until the value is dropped.
pub(crate) struct Elsewhere {
    pub(crate) hub: HubHandle,
    stop: task::Task,
    thread: Option<thread::JoinHandle<()>>,
}

impl Elsewhere {
    pub(crate) fn new() -> Self {
        let (tx, rx) = mpsc::channel();
        let thread = thread::spawn(move || {
            tx.send((hub::current_handle(), greenloom::current()))
                .unwrap();
            task::park();
            hub::shutdown(Duration::ZERO);
        });
        let (hub, stop) = rx.recv().unwrap();
        Self {
            hub,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        task::spawn_on(&self.hub, f).unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.stop.unpark();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Runs `wait` in a task of another thread's hub until it waits, then `grant` here, then ends that thread before the task
/// runs again: its grant goes to nobody who could take it.
pub(crate) fn granted_and_then_the_hub_ends(
    wait: impl FnOnce() + Send + 'static,
    grant: impl FnOnce(),
) {
    let (parked, is_parked) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let waiter = greenloom::spawn(wait);
        greenloom::yield_now();
        assert!(!waiter.is_finished(), "it does not wait");
        parked.send(()).unwrap();
        // Blocks the thread: its hub has no turn any more.
        ends.recv().unwrap_err();
        drop(waiter);
    });
    is_parked.recv().unwrap();
    grant();
    drop(end);
    thread.join().unwrap();
}

/// The suite for the queue of that name. Its constructors are called with items of type [`Item`].
#[macro_export]
macro_rules! queue_suite {
    ($Queue:ident) => {
        $crate::queue_suite_waits!($Queue);
        $crate::queue_suite_rest!($Queue);
    };
}
