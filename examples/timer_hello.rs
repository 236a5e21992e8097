//! A timer: a task that starts later, and another that is called off before its time.
//!
//! ```sh
//! cargo run --release --example timer_hello
//! ```
//!
//! ```text
//! main: goes on
//! hello after 1.0 s
//! the other was called off
//! ```
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use greenloom::spawn_later;
use greenloom::task::JoinError;

fn main() {
    let start = Instant::now();
    let hello = spawn_later(Duration::from_secs(1), move || {
        println!("hello after {:.1} s", start.elapsed().as_secs_f64());
    });
    let other = spawn_later(Duration::from_secs(60), || println!("too late"));
    println!("main: goes on");
    hello.join().expect("it does not panic");
    other.kill();
    if let Err(JoinError::Killed) = other.join() {
        println!("the other was called off");
    }
}
