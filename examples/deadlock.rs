//! Two tasks take two locks in opposite order. Neither ever gets its second one; main, which waits for them, is told who
//! waits for whom, and goes on.
//!
//! ```sh
//! cargo run --release --example deadlock
//! ```
//!
//! ```text
//! left has A, right has B
//! a cycle: main waits for left, left for right, right for left
//! the hub works on: 42
//! ```
//!
//! The whole report goes to stderr.
#![forbid(unsafe_code)]

use std::rc::Rc;

use greenloom::sync::Mutex;
use greenloom::task::{Builder, JoinError};
use greenloom::{spawn, yield_now};

fn main() {
    let a = Rc::new(Mutex::new(()));
    let b = Rc::new(Mutex::new(()));
    let take = |name: &str, first: &Rc<Mutex<()>>, second: &Rc<Mutex<()>>| {
        let (first, second) = (Rc::clone(first), Rc::clone(second));
        Builder::new().name(name).spawn(move || {
            let _one = first.lock();
            // The other task takes its first lock now.
            yield_now();
            let _two = second.lock();
        })
    };
    let left = take("left", &a, &b).expect("a stack");
    let right = take("right", &b, &a).expect("a stack");
    yield_now();
    println!("left has A, right has B");
    match left.join() {
        Err(JoinError::Deadlock(deadlock)) => {
            eprintln!("{deadlock}");
            let report = deadlock.to_string();
            let named = |text| report.lines().any(|line: &str| line.contains(text));
            if report.contains("cycle") && named("'left'") && named("'right'") {
                println!("a cycle: main waits for left, left for right, right for left");
            }
        }
        other => println!("no deadlock: {other:?}"),
    }
    right.kill();
    println!(
        "the hub works on: {}",
        spawn(|| 42).join().expect("it returns")
    );
}
