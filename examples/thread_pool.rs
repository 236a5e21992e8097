//! Ten jobs on four threads, each with a callback that prints how it went; then one that fails. The hub runs on meanwhile.
//!
//! ```sh
//! cargo run --release --example thread_pool
//! ```
//!
//! The first ten lines come in the order in which the jobs end.
//!
//! ```text
//! job 0: Ok, the square is 0
//! job 1: Ok, the square is 1
//! job 2: Ok, the square is 4
//! job 3: Ok, the square is 9
//! job 4: Ok, the square is 16
//! job 5: Ok, the square is 25
//! job 6: Ok, the square is 36
//! job 7: Ok, the square is 49
//! job 8: Ok, the square is 64
//! job 9: Ok, the square is 81
//! 10 jobs ran on 4 threads at most, and a task ran beside them
//! job 10: Err, a square of what?
//! closed: 0 threads are left
//! ```
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use greenloom::blocking::ThreadPool;
use greenloom::spawn;

/// Blocks its thread, as a call into a library might.
fn square(n: u64) -> u64 {
    thread::sleep(Duration::from_millis(5));
    n * n
}

fn print(n: u64, outcome: thread::Result<u64>) {
    match outcome {
        Ok(square) => println!("job {n}: Ok, the square is {square}"),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().unwrap_or(&"no text");
            println!("job {n}: Err, {text}");
        }
    }
}

fn main() {
    let pool = ThreadPool::new(4);
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let beside = spawn(|| "a task ran beside them");
    for n in 0..10 {
        let threads = Arc::clone(&threads);
        let job = pool.spawn_with(
            move || square(n),
            move |outcome| {
                threads
                    .lock()
                    .expect("no panic under it")
                    .insert(thread::current().id());
                print(n, outcome);
            },
        );
        // Its callback says all there is to say.
        drop(job.expect("the pool is open"));
    }
    pool.join();
    assert!(threads.lock().expect("no panic under it").len() <= 4);
    let said = beside.join().expect("it returned");
    println!("10 jobs ran on 4 threads at most, and {said}");

    let fails = pool.spawn_with(|| panic!("a square of what?"), |outcome| print(10, outcome));
    let told = fails.expect("the pool is open").join();
    told.expect("the callback did not panic");

    pool.close();
    pool.join();
    println!("closed: {} threads are left", pool.threads());
}
