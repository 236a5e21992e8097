//! Helpers of the tests of what tasks share: which types may be shared, crowds of tasks on several threads, panics as text.
#![forbid(unsafe_code)]
#![allow(dead_code, unused_macros)] // each test binary uses its part

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use greenloom::task::JoinHandle;
use greenloom::{hub, spawn, yield_now};

/// Longer than any test: a wait that ends by it has failed.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Whether a type has a trait, without a bound: an inherent constant, where it applies, goes before that of the trait.
macro_rules! is {
    ($ty:ty: $bound:path) => {{
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code)] // where the inherent constant applies
        trait Otherwise {
            const IS: bool = false;
        }
        impl<T: ?Sized> Otherwise for Probe<T> {}
        #[allow(dead_code)]
        impl<T: ?Sized + $bound> Probe<T> {
            const IS: bool = true;
        }
        Probe::<$ty>::IS
    }};
}

/// Runs `f` and returns what it panicked with, as text.
#[track_caller]
pub(crate) fn panic_text<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("no panic came"),
        Err(payload) => text(payload),
    }
}

/// The text of a panic.
#[track_caller]
pub(crate) fn text(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(payload) => *payload.downcast::<String>().expect("a text"),
    }
}

/// Runs all that can run on this thread, until each waits.
pub(crate) fn settle() {
    for _ in 0..20 {
        yield_now();
    }
}

/// Keeps the thread busy, and its hub from running, until that much time has passed.
pub(crate) fn let_pass(d: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < d {
        std::hint::spin_loop();
    }
}

/// Runs `f(number)` in a crowd: `tasks` tasks on each of `hubs` threads, and `threads` threads without a hub. The calling
/// thread waits for them, for a long time at most.
#[track_caller]
pub(crate) fn crowd(
    hubs: usize,
    tasks: usize,
    threads: usize,
    f: impl Fn(usize) + Clone + Send + 'static,
) {
    let (tx, rx) = mpsc::channel();
    let mut handles = Vec::new();
    for h in 0..hubs {
        let (f, tx) = (f.clone(), tx.clone());
        handles.push(thread::spawn(move || {
            let all: Vec<_> = (0..tasks)
                .map(|t| {
                    let f = f.clone();
                    spawn(move || f(h * tasks + t))
                })
                .collect();
            for task in all {
                task.join().unwrap();
            }
            tx.send(()).unwrap();
        }));
    }
    for t in 0..threads {
        let (f, tx) = (f.clone(), tx.clone());
        handles.push(thread::spawn(move || {
            f(hubs * tasks + t);
            tx.send(()).unwrap();
        }));
    }
    drop(tx);
    for done in 0..hubs + threads {
        if let Err(e) = rx.recv_timeout(LONG) {
            panic!(
                "{done} of {} threads came to their end: {e}",
                hubs + threads
            );
        }
    }
    for handle in handles {
        handle.join().unwrap();
    }
}

/// A thread with a hub, on which one task runs `f` as far as it can, and which then ends when it is told: what the task waits
/// for is never had by it. Returns once the task waits.
pub(crate) fn doomed(f: impl FnOnce() + Send + 'static) -> Doomed {
    let (ready, is_ready) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    let thread = thread::spawn(move || {
        let task: JoinHandle<()> = spawn(f);
        settle();
        assert!(!task.is_finished(), "the task did not wait");
        ready.send(hub::current_handle()).unwrap();
        ends.recv().unwrap();
        // The task, parked, is leaked.
    });
    is_ready.recv().expect("a task that waits");
    Doomed { end, thread }
}

/// See [`doomed`].
pub(crate) struct Doomed {
    end: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Doomed {
    /// Ends the thread. Its hub does not run before.
    pub(crate) fn end(self) {
        self.end.send(()).unwrap();
        self.thread.join().unwrap();
    }
}
