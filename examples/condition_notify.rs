//! Ten tasks wait for a condition; a coordinator lets through as many as it likes at a time.
//!
//! ```sh
//! cargo run --release --example condition_notify
//! ```
//!
//! ```text
//! 10 wait
//! let 1 through: 0
//! let 3 through: 1 2 3
//! let 6 through: 4 5 6 7 8 9
//! ```
#![forbid(unsafe_code)]

use std::rc::Rc;

use greenloom::sync::{Condvar, Mutex};
use greenloom::{join_all, spawn, yield_now};

struct Gate {
    through: Mutex<Vec<u32>>,
    open: Condvar,
}

fn main() {
    let gate = Rc::new(Gate {
        through: Mutex::new(Vec::new()),
        open: Condvar::new(),
    });
    let tasks: Vec<_> = (0..10)
        .map(|i| {
            let gate = Rc::clone(&gate);
            spawn(move || {
                let through = gate.through.lock().unwrap();
                let mut through = gate.open.wait(through).unwrap();
                through.push(i);
            })
        })
        .collect();
    yield_now();
    println!("10 wait");
    for n in [1, 3, 6] {
        gate.open.notify_n(n);
        while gate.through.lock().unwrap().len() < n {
            yield_now();
        }
        let through: Vec<u32> = gate.through.lock().unwrap().drain(..).collect();
        let names: Vec<String> = through.iter().map(u32::to_string).collect();
        println!("let {n} through: {}", names.join(" "));
    }
    for outcome in join_all(tasks, None) {
        outcome.expect("no task panics");
    }
}
