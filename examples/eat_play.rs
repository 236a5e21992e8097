//! Two tasks that sleep, one for two seconds and one for one: together they take two, on one thread.
//!
//! ```sh
//! cargo run --release --example eat_play
//! ```
//!
//! ```text
//! eat: begin
//! play: begin
//! play: end
//! eat: end
//! total: 2.0 s
//! ```
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use greenloom::{join_all, sleep, spawn};

fn activity(name: &str, seconds: u64) {
    println!("{name}: begin");
    sleep(Duration::from_secs(seconds));
    println!("{name}: end");
}

fn main() {
    let start = Instant::now();
    let tasks = vec![spawn(|| activity("eat", 2)), spawn(|| activity("play", 1))];
    for outcome in join_all(tasks, None) {
        outcome.expect("no task panics");
    }
    println!("total: {:.1} s", start.elapsed().as_secs_f64());
}
