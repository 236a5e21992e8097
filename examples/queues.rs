//! The three queues, and a cook and two guests around one of them: the cook waits until all has been eaten.
//!
//! ```sh
//! cargo run --release --example queues
//! ```
//!
//! ```text
//! first in, first out: 3 1 2
//! last in, first out: 2 1 3
//! smallest first: 1 2 3
//! cook: made dumpling 1
//! cook: made dumpling 2
//! cook: made dumpling 3
//! guest A: ate dumpling 1
//! guest B: ate dumpling 2
//! cook: made dumpling 4
//! guest A: ate dumpling 3
//! guest B: ate dumpling 4
//! cook: all are eaten
//! ```
#![forbid(unsafe_code)]

use std::rc::Rc;

use greenloom::queue::{LifoQueue, PriorityQueue, Queue};
use greenloom::{join_all, spawn, yield_now};

fn shown(numbers: impl Iterator<Item = u32>) -> String {
    numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
}

macro_rules! through {
    ($queue:expr) => {{
        let queue = $queue;
        for n in [3, 1, 2] {
            queue.put(n).expect("it is open");
        }
        queue.close();
        shown(queue.iter())
    }};
}

fn main() {
    println!("first in, first out: {}", through!(Queue::unbounded()));
    println!("last in, first out: {}", through!(LifoQueue::unbounded()));
    println!("smallest first: {}", through!(PriorityQueue::unbounded()));

    let table = Rc::new(Queue::bounded(3));
    let guest = |name: &'static str| {
        let table = Rc::clone(&table);
        spawn(move || {
            for n in table.iter() {
                println!("guest {name}: ate dumpling {n}");
                table.task_done().expect("one was taken");
                yield_now();
            }
        })
    };
    let cook = spawn({
        let table = Rc::clone(&table);
        move || {
            for n in 1..=4 {
                table.put(n).expect("it is open");
                println!("cook: made dumpling {n}");
            }
            table.join();
            println!("cook: all are eaten");
            table.close();
        }
    });
    for outcome in join_all([cook, guest("A"), guest("B")], None) {
        outcome.expect("no task panics");
    }
}
