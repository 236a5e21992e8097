//! What greenloom does where nothing can unwind: one case per run, named by the argument.
//!
//! `tests/panic_abort.rs` builds this with `panic = "abort"` and looks at the output and the exit status. The
//! harness of `cargo test` always unwinds, which is why these cases need a program of their own.
#![forbid(unsafe_code)]

use std::env;
use std::time::Duration;

use greenloom::greenlet::{self, Current, Generator, KillError, Yield};
use greenloom::{sleep, spawn, timeout, yield_now};

/// Prints when it is dropped.
struct Noisy(&'static str);

impl Drop for Noisy {
    fn drop(&mut self) {
        println!("dropped {}", self.0);
    }
}

fn main() {
    if cfg!(panic = "unwind") {
        panic!("build with --profile rel-abort");
    }
    let case = env::args().nth(1).unwrap_or_default();
    match case.as_str() {
        "switch" => switch(),
        "kill-started" => kill_started(),
        "kill-unstarted" => kill_unstarted(),
        "timeout" => expired_timeout(),
        "scope-leftover" => scope_leftover(),
        "generator-run-out" => generator_run_out(),
        "panic" => panic_in_task(),
        _ => panic!("no such case: {case:?}"),
    }
    println!("end of main");
}

/// What needs no unwinding works as ever.
fn switch() {
    let answer = greenlet::scope(|s, me: &Current<u32>| {
        let double = s.spawn(me, |_: &Current<u32, u32>, n| n * 2);
        me.switch(&double, 21).expect("it returns")
    });
    println!("answer {answer}");
    let task = spawn(|| {
        yield_now();
        "task"
    });
    println!("joined {}", task.join().expect("it returns"));
}

/// A started greenlet cannot be killed, and goes on.
fn kill_started() {
    greenlet::scope(|s, me: &Current<()>| {
        let main = me.handle();
        let suspended = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let _noisy = Noisy("local");
            me.switch(&main, ()).expect("main waits");
            println!("went on");
        });
        me.switch(&suspended, ()).expect("it comes back");
        match me.kill(&suspended) {
            Err(KillError::PanicAbort) => println!("kill refused"),
            other => println!("unexpected: {other:?}"),
        }
        me.switch(&suspended, ()).expect("it returns");
    });
}

/// One that never ran has nothing to unwind.
fn kill_unstarted() {
    let noisy = Noisy("capture");
    let task = spawn(move || {
        // All of it: a closure that used only the field would capture a copy of that.
        let noisy = noisy;
        println!("ran {}", noisy.0);
    });
    task.kill();
    let outcome = task.join();
    println!("join is an error: {}", outcome.is_err());
}

/// A wait that cannot report an expiry goes on, and the result is not lost.
fn expired_timeout() {
    let result = timeout(Duration::from_millis(1), || {
        sleep(Duration::from_millis(50));
        "slept on"
    });
    match result {
        Ok(value) => println!("ok: {value}"),
        Err(_) => println!("unexpected: expired"),
    }
}

/// A greenlet that borrows must not outlive its scope and cannot be unwound: the process ends instead.
fn scope_leftover() {
    greenlet::scope(|s, me: &Current<()>| {
        let main = me.handle();
        let suspended = s.spawn(me, move |me: &Current<(), ()>, ()| {
            me.switch(&main, ()).expect("main waits");
        });
        me.switch(&suspended, ()).expect("it comes back");
    });
}

/// A generator that has ended can be dropped.
fn generator_run_out() {
    let numbers = Generator::new(|out: &Yield<u32>| (1..=3).for_each(|n| out.yield_(n)));
    println!("sum {}", numbers.sum::<u32>());
}

/// A panic in a task ends the process, as it does in a thread.
fn panic_in_task() {
    let _ = spawn(|| panic!("on purpose")).join();
}
