//! Workers wait at a gate until a server is up. Each looks again every half a second, gives up after three tries, and all
//! that still wait are let in at once.
//!
//! ```sh
//! cargo run --release --example event_gate
//! ```
//!
//! ```text
//! redis-1: try 1 of 3
//! redis-2: try 1 of 3
//! mysql: try 1 of 1
//! mysql: gives up
//! redis-1: try 2 of 3
//! redis-2: try 2 of 3
//! server: up
//! redis-1: connected
//! redis-2: connected
//! ```
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::{join_all, sleep, spawn};

fn connect(name: &str, tries: u32, up: &Event) {
    for n in 1..=tries {
        println!("{name}: try {n} of {tries}");
        if up.wait_timeout(Duration::from_millis(500)) {
            println!("{name}: connected");
            return;
        }
    }
    println!("{name}: gives up");
}

fn main() {
    let up = Rc::new(Event::new());
    let client = |name: &'static str, tries| {
        let up = Rc::clone(&up);
        spawn(move || connect(name, tries, &up))
    };
    let clients = [
        client("redis-1", 3),
        client("redis-2", 3),
        client("mysql", 1),
    ];
    let server = spawn({
        let up = Rc::clone(&up);
        move || {
            sleep(Duration::from_millis(750));
            println!("server: up");
            up.set();
        }
    });
    for outcome in join_all(clients, None) {
        outcome.expect("no client panics");
    }
    server.join().expect("the server does not panic");
}
