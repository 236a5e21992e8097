//! Jobs and their futures, by tasks of this thread and by a pool of threads: the same program for both.
//!
//! ```sh
//! cargo run --release --example executors
//! ```
//!
//! It prints
//!
//! ```text
//! tasks: callback says 42
//! tasks: submit gives 42
//! tasks: map gives 0 1 4 9 failed: the job panicked: four is too much
//! tasks: as_completed gives 0 1 2
//! tasks: after the shutdown: the executor was shut down
//! threads: callback says 42
//! threads: submit gives 42
//! threads: map gives 0 1 4 9 failed: the job panicked: four is too much
//! threads: as_completed gives 0 1 2
//! threads: after the shutdown: the executor was shut down
//! ```
#![forbid(unsafe_code)]

use std::panic::resume_unwind;

use greenloom::executor::{Executor, Shutdown, TaskExecutor, ThreadPoolExecutor, as_completed};
use greenloom::sync::{Arc, Semaphore};

fn run(name: &'static str, executor: &impl Executor) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let waits = move || {
        closed.acquire().forget();
        6 * 7
    };
    let answer = executor.submit(waits).unwrap();
    answer.add_done_callback(move |result| match result {
        Ok(n) => println!("{name}: callback says {n}"),
        Err(e) => println!("{name}: callback hears: {e}"),
    });
    gate.release(1);
    println!("{name}: submit gives {}", answer.result().unwrap());

    let squares = executor.map(0..5, |n| match n {
        4 => resume_unwind(Box::new("four is too much")),
        _ => n * n,
    });
    print!("{name}: map gives");
    for result in squares.unwrap() {
        match result {
            Ok(n) => print!(" {n}"),
            Err(e) => println!(" failed: {e}"),
        }
    }

    // Handed in last, done first: only the door of 0 is open, and each opens the next one's.
    let doors = Arc::new([1, 0, 0].map(Semaphore::new));
    let futures = [2, 1, 0].map(|n: usize| {
        let doors = Arc::clone(&doors);
        let job = move || {
            doors[n].acquire().forget();
            n
        };
        executor.submit(job).unwrap()
    });
    print!("{name}: as_completed gives");
    for future in as_completed(futures, None) {
        let n = future.unwrap().result().unwrap();
        print!(" {n}");
        if let Some(next) = doors.get(n + 1) {
            next.release(1);
        }
    }
    println!();

    executor.shutdown(Shutdown::Wait);
    match executor.submit(|| ()) {
        Ok(_) => println!("{name}: after the shutdown: accepted"),
        Err(e) => println!("{name}: after the shutdown: {e}"),
    }
}

fn main() {
    run("tasks", &TaskExecutor::new(4));
    run("threads", &ThreadPoolExecutor::new(4));
}
