//! A pool of tasks: results in order, results as they come, callbacks, and a result that is waited for only so long.
//!
//! ```sh
//! cargo run --release --example pool_map
//! ```
//!
//! It prints
//!
//! ```text
//! map: 1 4 9 16 25
//! most at once: 3
//! imap_unordered: 10 20 30
//! starmap: 10 6 failed: the task panicked: no 0th power here
//! callback: 42
//! error callback: the task panicked: broken
//! get(timeout): not yet
//! get: done
//! ```
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use greenloom::pool::Pool;
use greenloom::sleep;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn main() {
    let pool = Pool::new(3);

    // In order, whoever is faster. Never more than three at a time.
    let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let seen = Rc::clone(&most);
    let results = pool.map([1, 2, 3, 4, 5], move |n: u64| {
        now.set(now.get() + 1);
        seen.set(seen.get().max(now.get()));
        sleep(ms(10 - n));
        now.set(now.get() - 1);
        n * n
    });
    let squares = results.into_iter().map(|r| r.unwrap().to_string());
    println!("map: {}", squares.collect::<Vec<_>>().join(" "));
    println!("most at once: {}", most.get());

    // As they come; the items are taken as there is room, so an endless iterator would do as well.
    let waited = pool.imap_unordered([30, 10, 20], |n| {
        sleep(ms(n));
        n
    });
    let waited: Vec<_> = waited.map(|r| r.unwrap().to_string()).collect();
    println!("imap_unordered: {}", waited.join(" "));

    // Several arguments are a tuple. What fails, fails at its place.
    print!("starmap:");
    for result in pool.imap([(10_u32, 1), (6, 1), (7, 0)], |(n, power)| match power {
        0 => resume_unwind(Box::new("no 0th power here")),
        _ => n.pow(power),
    }) {
        match result {
            Ok(n) => print!(" {n}"),
            Err(e) => println!(" failed: {e}"),
        }
    }

    // Nobody waits here: the callbacks run when the calls are done.
    let fine = |n: &i32| println!("callback: {n}");
    pool.apply_async(|| 6 * 7, fine, |_| {});
    let broken = || -> i32 { resume_unwind(Box::new("broken")) };
    pool.apply_async(broken, fine, |e| println!("error callback: {e}"));
    pool.join();

    let slow = pool.spawn(|| {
        sleep(ms(50));
        "done"
    });
    match slow.join_timeout(ms(1)) {
        Ok(_) => println!("get(timeout): at once"),
        Err(slow) => {
            println!("get(timeout): not yet");
            println!("get: {}", slow.join().unwrap());
        }
    }
}
