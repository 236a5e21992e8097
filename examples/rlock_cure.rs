//! The cure for two locks that are taken in any order: one reentrant lock for both, which its owner may take again.
//!
//! ```sh
//! cargo run --release --example rlock_cure
//! ```
//!
//! ```text
//! left: has the lock twice
//! right: has the lock twice
//! both are done
//! ```
#![forbid(unsafe_code)]

use std::rc::Rc;

use greenloom::sync::ReentrantMutex;
use greenloom::task::Builder;
use greenloom::{join_all, yield_now};

fn main() {
    let a = Rc::new(ReentrantMutex::new(()));
    let b = Rc::clone(&a);
    let take =
        |name: &'static str, first: &Rc<ReentrantMutex<()>>, second: &Rc<ReentrantMutex<()>>| {
            let (first, second) = (Rc::clone(first), Rc::clone(second));
            Builder::new()
                .name(name)
                .spawn(move || {
                    let _one = first.lock();
                    // The other task runs now, and waits until both of these are given back.
                    yield_now();
                    let _two = second.lock();
                    println!("{name}: has the lock twice");
                })
                .expect("a stack")
        };
    let tasks = [take("left", &a, &b), take("right", &b, &a)];
    for outcome in join_all(tasks, None) {
        outcome.expect("no task panics");
    }
    println!("both are done");
}
