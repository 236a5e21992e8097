//! A hundred tasks each add one to a counter, and give way between reading and writing it: without a lock all but one of the
//! additions are lost, with one none is.
//!
//! ```sh
//! cargo run --release --example lost_update
//! ```
//!
//! ```text
//! without a lock: 1
//! with a lock: 100
//! ```
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use greenloom::sync::Mutex;
use greenloom::{join_all, spawn, yield_now};

const TASKS: usize = 100;

fn without_a_lock() -> u32 {
    let counter = Rc::new(Cell::new(0));
    let tasks = (0..TASKS).map(|_| {
        let counter = Rc::clone(&counter);
        spawn(move || {
            let read = counter.get();
            yield_now();
            counter.set(read + 1);
        })
    });
    join_all(tasks, None);
    counter.get()
}

fn with_a_lock() -> u32 {
    let counter = Rc::new(Mutex::new(0));
    let tasks = (0..TASKS).map(|_| {
        let counter = Rc::clone(&counter);
        spawn(move || {
            let mut counter = counter.lock().unwrap();
            let read = *counter;
            yield_now();
            *counter = read + 1;
        })
    });
    join_all(tasks, None);
    *counter.lock().unwrap()
}

fn main() {
    println!("without a lock: {}", without_a_lock());
    println!("with a lock: {}", with_a_lock());
}
