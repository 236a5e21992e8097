//! Twenty tasks, of which no more than five are in the room at once.
//!
//! ```sh
//! cargo run --release --example semaphore_five
//! ```
//!
//! ```text
//! in the room at once: 5
//! have been there: 20
//! in the order in which they came: true
//! ```
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use greenloom::sync::Semaphore;
use greenloom::{join_all, sleep, spawn};

struct Room {
    places: Semaphore,
    inside: Cell<usize>,
    most: Cell<usize>,
    came: RefCell<Vec<usize>>,
}

fn main() {
    let room = Rc::new(Room {
        places: Semaphore::new(5),
        inside: Cell::new(0),
        most: Cell::new(0),
        came: RefCell::default(),
    });
    let tasks = (0..20).map(|i| {
        let room = Rc::clone(&room);
        spawn(move || {
            let _place = room.places.acquire();
            room.came.borrow_mut().push(i);
            room.inside.set(room.inside.get() + 1);
            room.most.set(room.most.get().max(room.inside.get()));
            sleep(Duration::from_millis(20));
            room.inside.set(room.inside.get() - 1);
        })
    });
    for outcome in join_all(tasks, None) {
        outcome.expect("no task panics");
    }
    println!("in the room at once: {}", room.most.get());
    println!("have been there: {}", room.came.borrow().len());
    println!(
        "in the order in which they came: {}",
        room.came.borrow().is_sorted()
    );
}
