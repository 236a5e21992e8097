//! The behaviour that gevent's `test__greenlet.py` and `test__order.py` check of links, joins and kills, with this crate's
//! means. `tests/README.md` has the table.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::event::{AsyncResult, Event};
use greenloom::task::{JoinHandle, Outcome, join_n, kill_all, park, try_join_all};
use greenloom::{join_all, sleep, spawn, spawn_later, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// Has the outcome of a task put into a result of its own.
fn linked<T>(task: &JoinHandle<T>) -> AsyncResult<Outcome> {
    let (result, link) = (AsyncResult::new(), AsyncResult::clone);
    let setter = link(&result);
    task.on_done(move |outcome| setter.set(outcome).unwrap());
    result
}

/// `TestLink`, `TestReturn_link`, `TestRaise_link`: before the start, while it runs, and after the end.
#[test]
fn a_link_fires_whenever_it_was_added_and_however_the_task_ended() {
    let gate = Rc::new(Event::new());
    let (a, b) = (gate.clone(), gate.clone());
    let tasks = [
        spawn(move || a.wait()),
        spawn(move || {
            b.wait();
            panic!("on purpose");
        }),
        spawn(park),
    ];
    let mut results: Vec<_> = tasks.iter().map(linked).collect();
    yield_now();
    results.extend(tasks.iter().map(linked));
    gate.set();
    tasks[2].kill();
    let expected = [Outcome::Returned, Outcome::Panicked, Outcome::Killed];
    for _ in 0..3 {
        for (n, result) in results.iter().enumerate() {
            assert_eq!(result.get().unwrap(), expected[n % 3]);
        }
        // The tasks have ended; again.
        results = tasks.iter().map(linked).collect();
    }
}

/// `TestUnlink`.
#[test]
fn a_link_that_was_removed_does_not_fire() {
    let task = spawn(|| ());
    let fired = Arc::new(Event::new());
    let f = fired.clone();
    let id = task.on_done(move |_| f.set());
    task.unlink(id);
    task.unlink(id);
    assert_eq!(linked(&task).get().unwrap(), Outcome::Returned);
    assert!(!fired.is_set());
}

/// `test_greenlet_link` of `test__order.py`, with its counts.
#[test]
fn links_run_in_the_order_in_which_they_were_added() {
    for count in [2, 3, 4, 1000] {
        let log = Arc::new(Mutex::new(vec![]));
        let task = spawn(|| ());
        for n in 0..count {
            let log = log.clone();
            task.on_done(move |_| log.lock().unwrap().push(n));
        }
        linked(&task).get().unwrap();
        assert_eq!(*log.lock().unwrap(), (0..count).collect::<Vec<_>>());
    }
}

/// `test_multiple_listeners_error`: for a task that returned and one that panicked.
#[test]
fn a_link_that_panics_does_not_stop_the_others() {
    for panics in [false, true] {
        let log = Arc::new(Mutex::new(vec![]));
        let task = spawn(move || assert!(!panics, "on purpose"));
        for n in [10, 20] {
            let log = log.clone();
            task.on_done(move |_| {
                log.lock().unwrap().push(n);
                panic!("a link that panics on purpose");
            });
        }
        linked(&task).get().unwrap();
        assert_eq!(*log.lock().unwrap(), [10, 20]);
    }
}

/// `test_wait_noerrors`.
#[test]
fn try_join_all_without_errors() {
    let tasks = [1, 2, 3].map(|n| spawn(move || n));
    assert_eq!(try_join_all(tasks).unwrap(), [1, 2, 3]);
}

/// `test_wait_error`, `test_joinall_exception_order`: the earliest failure counts, wherever it stands.
#[test]
fn try_join_all_returns_the_earliest_error() {
    let slow = spawn(|| {
        sleep(HOUR);
        panic!("first in the list")
    });
    let kill = slow.task();
    let fast: JoinHandle<()> = spawn(|| panic!("second in the list"));
    let e = try_join_all([slow, fast]).unwrap_err();
    let payload = e.into_panic().unwrap();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "second in the list");
    drop(kill);
}

/// `test_joinall_count_raise_error`.
#[test]
fn join_n_counts_a_failure_too() {
    let sleeper = spawn(|| {
        loop {
            sleep(HOUR);
        }
    });
    let raiser: JoinHandle<()> = spawn(|| panic!("on purpose"));
    let (done, rest) = join_n([sleeper, raiser], 1, None);
    assert!(done.into_iter().all(|r| r.unwrap_err().is_panic()));
    assert!(!rest[0].is_finished());
    assert!(kill_all(&rest, None));
}

/// `TestJoin`, `TestGet`, `TestJoinAll`.
#[test]
fn joins_give_up_in_time_and_can_be_broken_off() {
    let task = spawn(park);
    let task = task.join_timeout(MS).unwrap_err();
    let late = timeout(MS, || task.join_timeout(HOUR)).unwrap_err();
    let task = late.into_value().unwrap().unwrap_err();
    assert!(join_all([task], Some(MS)).is_empty());
    let task = spawn(park);
    assert!(timeout(MS, || task.join()).is_err());
    let none: [JoinHandle<()>; 0] = [];
    assert!(join_all(none, Some(HOUR)).is_empty());
}

/// `TestKill`, `TestKillAfterStart`, `TestKillAfterStartLater`, `TestKillWhileRunning`; alone and by `kill_all`.
#[test]
fn killed_before_and_after_the_start_it_is_over_and_its_links_fire() {
    for together in [false, true] {
        for kind in ["spawned", "later", "running"] {
            let ran = Rc::new(RefCell::new(vec![]));
            let r = ran.clone();
            let body = move || {
                if kind == "running" {
                    sleep(HOUR);
                }
                r.borrow_mut().push(1);
            };
            let task = match kind {
                "later" => spawn_later(HOUR, body),
                _ => spawn(body),
            };
            if kind == "running" {
                yield_now();
            }
            let link = linked(&task);
            let tasks = [task];
            for _ in 0..2 {
                if together {
                    assert!(kill_all(&tasks, None));
                } else {
                    tasks[0].kill();
                    assert_eq!(linked(&tasks[0]).get().unwrap(), Outcome::Killed);
                }
                assert!(tasks[0].is_finished());
            }
            assert_eq!(link.get().unwrap(), Outcome::Killed);
            let [task] = tasks;
            assert!(task.join().unwrap_err().is_killed());
            assert!(ran.borrow().is_empty());
        }
    }
}

/// `test_simple_exit`, `test_error_exit`: what can be asked before, while and after it runs.
#[test]
fn what_a_handle_says_along_the_way() {
    let gate = Rc::new(Event::new());
    let g = gate.clone();
    let task = spawn(move || {
        g.wait();
        5
    });
    let link = linked(&task);
    assert!(!task.is_finished() && !link.is_set());
    yield_now();
    assert!(!task.is_finished() && !link.is_set());
    gate.set();
    assert_eq!(link.get().unwrap(), Outcome::Returned);
    assert!(task.is_finished());
    assert_eq!(task.join().unwrap(), 5);
}
