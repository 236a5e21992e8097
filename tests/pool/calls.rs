//! `apply` and `apply_async`.
#![forbid(unsafe_code)]

use super::*;
use greenloom::sync::Semaphore;
use std::cell::RefCell;

type Log = Rc<RefCell<Vec<String>>>;

/// Callbacks that write down what they were told.
fn callbacks(log: &Log) -> (impl FnOnce(&i32) + use<>, impl FnOnce(&JoinError) + use<>) {
    let (fine, bad) = (Rc::clone(log), Rc::clone(log));
    (
        move |value: &i32| fine.borrow_mut().push(format!("value {value}")),
        move |error: &JoinError| bad.borrow_mut().push(error.to_string()),
    )
}

#[test]
fn apply_returns_what_the_call_returned() {
    let pool = Pool::new(1);
    assert_eq!(pool.apply(|| 5).unwrap(), 5);
    assert_eq!(why(&pool.apply(|| fail::<()>("no"))), "no");
    assert_eq!(Group::new().apply(|| "group").unwrap(), "group");
    assert_eq!(pool.free_count(), 1);
}

#[test]
fn apply_in_a_task_of_the_pool_runs_there() {
    let pool = Pool::new(1);
    let inner = pool.clone();
    let nested = pool.apply(move || {
        let id = task::id();
        let same = inner.apply(move || task::id() == id).unwrap();
        let failed = inner.apply(|| fail::<()>("inside"));
        (same, why(&failed), inner.map([1, 2], |n| n * 2).len())
    });
    assert_eq!(nested.unwrap(), (true, "inside", 2));
    assert_eq!(pool.free_count(), 1);
}

#[test]
fn a_kill_goes_through_a_call_in_place() {
    let pool = Pool::new(1);
    let inner = pool.clone();
    let task = pool.spawn(move || inner.apply(task::park).is_err());
    yield_now();
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
}

#[test]
fn one_of_the_callbacks_is_called_once() {
    let (pool, log) = (Pool::new(1), Log::default());
    let (fine, bad) = callbacks(&log);
    let ok = pool.apply_async(|| 0, fine, bad);
    let (fine, bad) = callbacks(&log);
    let failed = pool.apply_async(|| fail("broken"), fine, bad);
    // Neither has a slot yet, and nobody waited for one.
    assert_eq!((pool.len(), pool.free_count()), (2, 1));
    assert_eq!(ok.join().unwrap(), 0);
    assert_eq!(why(&failed.join()), "broken");
    assert_eq!(*log.borrow(), ["value 0", "the task panicked: broken"]);
}

#[test]
fn a_killed_call_tells_its_error_callback() {
    let (pool, log) = (Pool::new(1), Log::default());
    let holder = pool.spawn(task::park);
    let mut calls = Vec::new();
    for _ in 0..3 {
        let (fine, bad) = callbacks(&log);
        calls.push(pool.apply_async(
            || {
                task::park();
                1
            },
            fine,
            bad,
        ));
    }
    // Before it began; while it waits for a slot; in the call.
    calls[0].kill();
    yield_now();
    calls[1].kill();
    yield_now();
    holder.task().unpark();
    holder.join().unwrap();
    yield_now();
    assert_eq!((log.borrow().len(), pool.free_count()), (2, 0));
    calls[2].kill();
    for call in calls {
        assert!(call.join().unwrap_err().is_killed());
    }
    assert_eq!(*log.borrow(), ["the task was killed"; 3]);
    assert_eq!((pool.len(), pool.free_count()), (0, 1));
}

#[test]
fn callbacks_may_wait_and_take_a_slot() {
    let pool = Pool::new(1);
    let gate = Rc::new(Semaphore::new(0));
    let (inner, opens) = (pool.clone(), Rc::clone(&gate));
    let call = pool.apply_async(
        || 2,
        move |n| {
            let n = *n;
            assert_eq!(inner.spawn(move || n * 2).join().unwrap(), 4);
            opens.release(1);
        },
        |_| (),
    );
    gate.acquire().forget();
    assert_eq!(call.join().unwrap(), 2);
    // A killed one as well: its error callback is shielded.
    let (inner, seen) = (pool.clone(), Rc::new(Cell::new(0)));
    let sees = Rc::clone(&seen);
    let call = pool.apply_async(
        task::park,
        |()| (),
        move |_| sees.set(inner.spawn(|| 3).join().unwrap()),
    );
    yield_now();
    call.kill();
    assert!(call.join().unwrap_err().is_killed());
    assert_eq!(seen.get(), 3);
}

/// A panic in a callback does not take the value away, and is reported.
#[test]
fn a_callback_that_panics_is_reported() {
    const NAME: &str = "calls::a_callback_that_panics_is_reported";
    if util::is_child(NAME) {
        let pool = Pool::new(1);
        let call = pool.apply_async(|| 7, |_| fail("in the callback"), |_| ());
        assert_eq!(call.join().unwrap(), 7);
        let call = pool.apply_async(|| fail::<()>("told"), |()| (), |_| fail("in the other"));
        drop(call);
        pool.join();
        yield_now();
        return;
    }
    let output = util::run(&mut util::child(NAME));
    assert!(output.status.success(), "{}", util::describe(&output));
    let errors = String::from_utf8_lossy(&output.stderr);
    for text in ["in the callback", "in the other"] {
        assert_eq!(errors.matches(text).count(), 1, "{errors}");
    }
    assert!(!errors.contains("told"), "it was told already: {errors}");
}
