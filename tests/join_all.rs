//! `join_all`: results in the order of completion, nothing lost, nothing left behind.
#![forbid(unsafe_code)]

mod util;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use greenloom::task::{self, JoinError, JoinHandle};
use greenloom::{hub, join_all, sleep, spawn, timeout, yield_now};
use util::{Counted, Drops};

/// A thread whose hub runs until the value is dropped.
struct Elsewhere {
    hub: hub::HubHandle,
    stop: task::Task,
    thread: Option<thread::JoinHandle<()>>,
}

impl Elsewhere {
    fn new() -> Self {
        let (tx, rx) = mpsc::channel();
        let thread = thread::spawn(move || {
            tx.send((hub::current_handle(), greenloom::current()))
                .unwrap();
            task::park();
            hub::shutdown(Duration::ZERO);
        });
        let (hub, stop) = rx.recv().unwrap();
        Self {
            hub,
            stop,
            thread: Some(thread),
        }
    }

    fn spawn<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        task::spawn_on(&self.hub, f).unwrap()
    }

    fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.unpark();
            thread.join().unwrap();
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.stop();
    }
}

fn values<T>(results: Vec<Result<T, JoinError>>) -> Vec<T> {
    results.into_iter().map(Result::unwrap).collect()
}

/// Tasks that end when their number is given to the returned function.
fn on_call(n: usize) -> (Vec<JoinHandle<usize>>, Vec<task::Task>) {
    let handles: Vec<_> = (0..n)
        .map(|i| {
            spawn(move || {
                task::park();
                i
            })
        })
        .collect();
    let tasks = handles.iter().map(JoinHandle::task).collect();
    (handles, tasks)
}

#[test]
fn none_at_all() {
    assert!(join_all(Vec::<JoinHandle<()>>::new(), None).is_empty());
    assert!(join_all(Vec::<JoinHandle<()>>::new(), Some(Duration::ZERO)).is_empty());
}

#[test]
fn results_come_in_the_order_of_completion() {
    let (handles, tasks) = on_call(5);
    spawn(move || {
        for n in [3, 0, 4, 1, 2] {
            tasks[n].unpark();
            yield_now();
        }
    });
    assert_eq!(values(join_all(handles, None)), [3, 0, 4, 1, 2]);
}

#[test]
fn ready_ones_come_first_in_the_order_given() {
    let (handles, tasks) = on_call(4);
    tasks[3].unpark();
    yield_now();
    tasks[1].unpark();
    yield_now();
    assert!(handles[3].is_finished() && handles[1].is_finished());
    spawn(move || {
        tasks[2].unpark();
        yield_now();
        tasks[0].unpark();
    });
    assert_eq!(values(join_all(handles, None)), [1, 3, 2, 0]);
}

#[test]
fn all_ready_needs_no_switch() {
    let handles = [1, 2, 3].map(|n| spawn(move || n));
    yield_now();
    let switched = Rc::new(RefCell::new(false));
    let other = {
        let switched = switched.clone();
        spawn(move || *switched.borrow_mut() = true)
    };
    assert_eq!(values(join_all(handles, None)), [1, 2, 3]);
    assert!(!*switched.borrow());
    other.join().unwrap();
}

#[test]
fn each_task_s_failure_is_its_own() {
    let killed = spawn(task::park);
    killed.kill();
    let panicked = spawn(|| std::panic::resume_unwind(Box::new("on purpose")));
    let results = join_all([killed, panicked, spawn(|| ())], None);
    assert!(matches!(results[0], Err(JoinError::Killed)));
    assert!(matches!(results[1], Err(JoinError::Panicked(_))));
    assert!(results[2].is_ok());
}

#[test]
fn at_the_timeout_it_returns_what_there_is_and_the_others_go_on() {
    // Where time passes only when nobody has anything to do: who was woken has run by then, in whatever order.
    hub::simulate_seeds(0..20, |_| timed_out_with_two_of_four());
}

fn timed_out_with_two_of_four() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let (handles, tasks) = on_call(3);
    let late = {
        let log = log.clone();
        spawn(move || {
            task::park();
            log.borrow_mut().push("went on");
            9
        })
    };
    let (id, wake_late) = (late.id(), late.task());
    yield_now();
    tasks[2].unpark();
    tasks[0].unpark();
    let all = handles.into_iter().chain([late]);
    let mut there = values(join_all(all, Some(Duration::from_millis(2))));
    there.sort_unstable();
    assert_eq!(there, [0, 2]);
    assert!(task::list().iter().any(|t| t.id == id));
    wake_late.unpark();
    tasks[1].unpark();
    hub::run_until_idle(None);
    assert_eq!(*log.borrow(), ["went on"]);
}

#[test]
fn no_time_at_all_takes_what_is_ready() {
    let handles = [spawn(|| 1), spawn(|| 2)];
    assert!(join_all(handles, Some(Duration::ZERO)).is_empty());
    let done = spawn(|| 1);
    let parked = spawn(|| {
        task::park();
        2
    });
    let wake = parked.task();
    yield_now();
    assert_eq!(values(join_all([parked, done], Some(Duration::ZERO))), [1]);
    wake.unpark();
}

#[test]
fn an_enclosing_timeout_unwinds_it_and_leaves_nothing_registered() {
    let drops = Drops::new();
    let tasks: Vec<_> = {
        let handles: Vec<JoinHandle<Counted>> = (0..3)
            .map(|_| {
                let guard = drops.guard();
                spawn(move || {
                    task::park();
                    guard
                })
            })
            .collect();
        let tasks = handles.iter().map(JoinHandle::task).collect();
        assert!(timeout(Duration::from_millis(1), || join_all(handles, None)).is_err());
        tasks
    };
    assert_eq!(drops.alive(), 3);
    // They end with nobody there; their values are dropped.
    for t in tasks {
        t.unpark();
    }
    yield_now();
    yield_now();
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_joiner_that_is_killed_detaches_its_tasks_here_and_elsewhere() {
    let elsewhere = Elsewhere::new();
    let (drops, remote_drops) = (Drops::new(), Drops::new());
    let (guard, remote_guard) = (drops.guard(), remote_drops.guard());
    let here = spawn(move || {
        task::park();
        guard
    });
    let there = elsewhere.spawn(move || {
        task::park();
        remote_guard
    });
    let (wake_here, wake_there) = (here.task(), there.task());
    let joiner = spawn(move || join_all([here, there], None).len());
    yield_now();
    joiner.kill();
    assert!(joiner.join().unwrap_err().is_killed());
    assert_eq!((drops.alive(), remote_drops.alive()), (1, 1));
    wake_here.unpark();
    wake_there.unpark();
    yield_now();
    yield_now();
    assert_eq!(drops.alive(), 0);
    // A message to the same hub after the others: what they caused is over when it is answered.
    while remote_drops.alive() > 0 {
        elsewhere.spawn(|| ()).join().unwrap();
    }
}

#[test]
fn tasks_of_several_threads() {
    let threads = [Elsewhere::new(), Elsewhere::new()];
    for _ in 0..50 {
        let here = spawn(|| {
            yield_now();
            0
        });
        let there = threads.each_ref().map(|t| t.spawn(|| 1));
        let lost = threads[0].spawn(|| -> i32 { std::panic::resume_unwind(Box::new("x")) });
        let results = join_all([here].into_iter().chain(there).chain([lost]), None);
        assert_eq!(results.len(), 4);
        assert_eq!(results.iter().flatten().sum::<i32>(), 2);
        assert_eq!(results.iter().filter(|r| r.is_err()).count(), 1);
    }
}

#[test]
fn elsewhere_in_the_order_of_completion_too() {
    let elsewhere = Elsewhere::new();
    let handles: Vec<_> = (0..3)
        .map(|n| {
            elsewhere.spawn(move || {
                task::park();
                n
            })
        })
        .collect();
    let tasks: Vec<_> = handles.iter().map(JoinHandle::task).collect();
    let joiner = spawn(move || values(join_all(handles, None)));
    // It has asked for all three, and messages are read in order: who ends them comes after.
    yield_now();
    elsewhere.spawn(move || {
        for n in [2, 0, 1] {
            tasks[n].unpark();
            yield_now();
            yield_now();
        }
    });
    assert_eq!(joiner.join().unwrap(), [2, 0, 1]);
}

#[test]
fn a_thread_without_a_hub_of_its_own_joins_those_of_another() {
    let elsewhere = Elsewhere::new();
    let handles = [1, 2].map(|n| elsewhere.spawn(move || n));
    let sum = thread::spawn(move || values(join_all(handles, None)).iter().sum::<i32>());
    assert_eq!(sum.join().unwrap(), 3);
}

#[test]
fn tasks_whose_thread_ends_are_lost() {
    let mut elsewhere = Elsewhere::new();
    let gone = elsewhere.spawn(|| ());
    let finished_late = thread::spawn(|| spawn(task::park)).join().unwrap();
    gone.task();
    elsewhere.stop();
    let results = join_all([finished_late], None);
    assert!(matches!(results[..], [Err(JoinError::Lost)]));
    drop(gone);
}

#[test]
fn results_given_up_at_the_same_moment_are_neither_lost_nor_doubled() {
    let elsewhere = Elsewhere::new();
    let drops = Drops::new();
    let mut got = 0;
    for round in 0..500u64 {
        let guard = drops.guard();
        let t = elsewhere.spawn(move || guard);
        got += join_all([t], Some(Duration::from_micros(round % 100))).len();
    }
    while drops.alive() > 0 {
        elsewhere.spawn(|| ()).join().unwrap();
    }
    assert_eq!(drops.dropped(), 500);
    assert!(got <= 500);
}

#[test]
fn in_a_callback_of_the_hub_only_what_is_ready_comes() {
    let (tx, rx) = mpsc::channel();
    let ready = Elsewhere::new();
    let pending = ready.spawn(task::park);
    let t = spawn(|| ());
    t.on_done(move |_| {
        let results = join_all([pending], None);
        tx.send(matches!(results[..], [Err(JoinError::CannotWait(_))]))
            .unwrap();
    });
    t.join().unwrap();
    yield_now();
    assert!(rx.recv().unwrap());
}

#[test]
fn ten_thousand_at_once() {
    let handles = (0..10_000u32).map(|n| {
        spawn(move || {
            if n % 3 == 0 {
                yield_now();
            }
            n
        })
    });
    let mut all = values(join_all(handles, None));
    assert_eq!(all[..3], [1, 2, 4]);
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..10_000));
}

#[test]
fn joins_leave_nothing_behind() {
    util::alone("joins_leave_nothing_behind", || {
        util::assert_no_leak(|| {
            for _ in 0..20 {
                let done = (0..10).map(|_| spawn(|| "x".repeat(1024)));
                assert_eq!(join_all(done, None).len(), 10);
                let handles: Vec<_> = (0..10)
                    .map(|_| spawn(|| sleep(Duration::from_secs(60))))
                    .collect();
                let tasks: Vec<_> = handles.iter().map(|h| h.hub()).collect();
                assert_eq!(tasks.len(), 10);
                assert!(timeout(Duration::ZERO, || join_all(handles, None)).is_err());
                hub::shutdown(Duration::ZERO);
            }
        });
    });
}
