//! Three hundred customers order through a queue with room for fifty; three clerks serve them. Nothing is lost, nothing is
//! served twice.
//!
//! ```sh
//! cargo run --release --example orders
//! ```
//!
//! ```text
//! orders: 300, at most 50 waiting
//! served: 300, each once: true
//! clerks at work: 3
//! ```
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use greenloom::queue::Queue;
use greenloom::{join_all, spawn, yield_now};

const CUSTOMERS: u32 = 300;

fn main() {
    let orders = Rc::new(Queue::bounded(50));
    let most = Rc::new(Cell::new(0));
    let clerks: Vec<_> = (0..3)
        .map(|_| {
            let (orders, most) = (Rc::clone(&orders), Rc::clone(&most));
            spawn(move || {
                let mut served = Vec::new();
                most.set(most.get().max(orders.len()));
                for order in orders.iter() {
                    served.push(order);
                    yield_now();
                    most.set(most.get().max(orders.len()));
                }
                served
            })
        })
        .collect();
    let customers = (0..CUSTOMERS).map(|order| {
        let orders = Rc::clone(&orders);
        spawn(move || orders.put(order).expect("it is open"))
    });
    for outcome in join_all(customers, None) {
        outcome.expect("no customer panics");
    }
    orders.close();

    let served: Vec<Vec<u32>> = join_all(clerks, None)
        .into_iter()
        .map(|outcome| outcome.expect("no clerk panics"))
        .collect();
    let at_work = served.iter().filter(|orders| !orders.is_empty()).count();
    let mut all: Vec<u32> = served.concat();
    all.sort_unstable();
    println!("orders: {CUSTOMERS}, at most {} waiting", most.get());
    println!(
        "served: {}, each once: {}",
        all.len(),
        all.iter().copied().eq(0..CUSTOMERS)
    );
    println!("clerks at work: {at_work}");
}
