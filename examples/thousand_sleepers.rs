//! A thousand tasks sleep for two seconds each: all of it takes about two, on one thread.
//!
//! ```sh
//! cargo run --release --example thousand_sleepers
//! ```
//!
//! ```text
//! 1000 tasks slept 2 s each on 1 thread
//! total: 2.0 s
//! ```
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use greenloom::{join_all, sleep, spawn};

const TASKS: usize = 1000;
const NAP: Duration = Duration::from_secs(2);

fn main() {
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            spawn(|| {
                let start = Instant::now();
                sleep(NAP);
                assert!(start.elapsed() >= NAP, "a sleep never ends early");
                // The OS thread, not the task: greenloom has a module `thread` of its own for tasks.
                thread::current().id()
            })
        })
        .collect();
    let outcomes = join_all(tasks, None);
    let total = start.elapsed();

    let slept = outcomes.len();
    let threads: HashSet<_> = outcomes
        .into_iter()
        .map(|id| id.expect("no task panics"))
        .collect();
    println!(
        "{slept} tasks slept {} s each on {} thread",
        NAP.as_secs(),
        threads.len()
    );
    println!("total: {:.1} s", total.as_secs_f64());
}
