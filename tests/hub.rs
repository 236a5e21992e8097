//! The hub: order, fairness, limits, idleness, shutdown.

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use greenloom::hub::{self, Hub, HubHandle, LimitReached};
use greenloom::stack::StackSize;
use greenloom::task::{self, Builder, JoinError};
use greenloom::{sleep, spawn, spawn_later, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// Runs `f` on a thread that has no hub yet.
#[track_caller]
fn fresh<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match std::thread::spawn(f).join() {
        Ok(value) => value,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

#[test]
fn handles_are_send_and_sync() {
    fn plain<T: Send + Sync + Copy + Eq + std::hash::Hash + std::fmt::Debug>() {}
    plain::<HubHandle>();
}

// ---- order ----

#[test]
fn tasks_run_in_the_order_they_were_spawned_and_not_before_the_caller_gives_way() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let log = Rc::clone(&log);
            spawn(move || {
                log.borrow_mut().push(n);
                yield_now();
                log.borrow_mut().push(100 + n);
            })
        })
        .collect();
    assert!(log.borrow().is_empty());
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), (0..200).collect::<Vec<_>>());
}

#[test]
fn sleepers_with_one_deadline_wake_in_the_order_they_slept() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let deadline = greenloom::time::Instant::now() + 3 * MS;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let log = Rc::clone(&log);
            spawn(move || {
                greenloom::time::sleep_until(deadline);
                log.borrow_mut().push(n);
            })
        })
        .collect();
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), (0..200).collect::<Vec<_>>());
}

#[test]
fn a_sleep_is_never_early() {
    for d in [
        Duration::from_nanos(1),
        Duration::from_micros(300),
        Duration::from_micros(999),
        Duration::from_micros(1001),
        3 * MS,
    ] {
        for _ in 0..20 {
            let begin = Instant::now();
            spawn(move || sleep(d)).join().unwrap();
            assert!(begin.elapsed() >= d);
            let begin = Instant::now();
            sleep(d);
            assert!(begin.elapsed() >= d);
        }
    }
}

#[test]
fn a_crowd_that_only_yields_starves_nobody() {
    let stop = Rc::new(Cell::new(false));
    let crowd: Vec<_> = (0..2000)
        .map(|_| {
            let stop = Rc::clone(&stop);
            spawn(move || {
                while !stop.get() {
                    yield_now();
                }
            })
        })
        .collect();
    let slept = spawn(|| sleep(MS));
    let (hub, (tx, rx)) = (hub::current_handle(), mpsc::channel());
    let other = std::thread::spawn(move || {
        tx.send(task::spawn_on(&hub, || 5).unwrap().join().unwrap())
            .unwrap();
    });
    slept.join().unwrap();
    while rx.try_recv() != Ok(5) {
        yield_now();
    }
    stop.set(true);
    other.join().unwrap();
    for task in crowd {
        task.join().unwrap();
    }
}

#[test]
fn a_batch_of_one_still_runs_everybody() {
    fresh(|| {
        Hub::builder().batch(0).io_budget(0).start().unwrap();
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                spawn(move || {
                    yield_now();
                    n
                })
            })
            .collect();
        let sum: u32 = tasks.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(sum, 1225);
    });
}

// ---- limits ----

#[test]
fn limits_refuse_with_a_typed_error_and_drop_the_body() {
    fresh(|| {
        Hub::builder().max_tasks(2).start().unwrap();
        assert_eq!(
            Hub::builder().start().unwrap_err().kind(),
            std::io::ErrorKind::AlreadyExists
        );
        let (a, b) = (spawn(|| 1), spawn_later(HOUR, || 2));
        let drops = Drops::new();
        let guard = drops.guard();
        let refused = task::try_spawn(move || drop(guard)).unwrap_err();
        let inner = refused.get_ref().and_then(|e| e.downcast_ref());
        assert_eq!(inner, Some(&LimitReached::Tasks(2)));
        assert_eq!(drops.dropped(), 1);
        assert!(catch_unwind(|| spawn(|| ())).is_err());
        assert_eq!(a.join().unwrap(), 1);
        let c = task::try_spawn(|| 3).unwrap();
        b.kill();
        assert!(matches!(b.join(), Err(JoinError::Killed)));
        assert_eq!(c.join().unwrap(), 3);
    });
    fresh(|| {
        Hub::builder().max_stack_bytes(320 << 10).start().unwrap();
        let big = || Builder::new().stack_size(StackSize::K256).spawn(|| ());
        let first = big().unwrap();
        let refused = big().unwrap_err();
        let inner = refused.get_ref().and_then(|e| e.downcast_ref());
        assert_eq!(inner, Some(&LimitReached::StackBytes(320 << 10)));
        let small = spawn(|| ());
        first.join().unwrap();
        small.join().unwrap();
        big().unwrap().join().unwrap();
    });
}

#[test]
fn a_refused_remote_spawn_is_lost() {
    let (tx, rx) = mpsc::channel();
    let (end_tx, end_rx) = mpsc::channel::<()>();
    let owner = std::thread::spawn(move || {
        tx.send(Hub::builder().max_tasks(0).start().unwrap())
            .unwrap();
        while end_rx.try_recv().is_err() {
            sleep(MS);
        }
    });
    let hub = rx.recv().unwrap();
    let drops = Drops::new();
    let guard = drops.guard();
    let task = task::spawn_on(&hub, move || drop(guard)).unwrap();
    assert!(matches!(task.join(), Err(JoinError::Lost)));
    assert_eq!(drops.dropped(), 1);
    end_tx.send(()).unwrap();
    owner.join().unwrap();
    assert!(!hub.is_alive());
    let guard = drops.guard();
    let back = task::spawn_on(&hub, move || drop(guard)).unwrap_err();
    assert_eq!(drops.alive(), 1);
    back.into_inner()();
    assert_eq!(drops.alive(), 0);
}

// ---- idleness ----

#[test]
fn idle_is_when_no_task_but_daemons_is_left() {
    fresh(|| {
        assert!(hub::run_until_idle(None), "no hub");
        let daemon = Builder::new().daemon().spawn(|| sleep(HOUR)).unwrap();
        let drops = Drops::new();
        for n in 0..10 {
            let guard = drops.guard();
            drop(spawn(move || {
                sleep(n * MS);
                drop(guard);
            }));
        }
        let slow = spawn_later(HOUR, || ());
        assert!(!hub::run_until_idle(Some(Duration::ZERO)));
        assert!(!hub::run_until_idle(Some(40 * MS)));
        slow.kill();
        assert!(hub::run_until_idle(Some(HOUR)));
        assert_eq!(drops.alive(), 0);
        assert!(!daemon.is_finished());
        // A task does not wait for itself.
        let waits = spawn(|| {
            drop(spawn(|| sleep(MS)));
            hub::run_until_idle(None)
        });
        assert!(waits.join().unwrap());
    });
}

// ---- run and shutdown ----

#[test]
fn shutdown_lets_finish_what_does_in_time_and_kills_the_rest() {
    fresh(|| {
        assert_eq!(hub::shutdown(HOUR), hub::Shutdown::default());
        let drops = Drops::new();
        for _ in 0..3 {
            let guard = drops.guard();
            drop(spawn(move || {
                let _guard = guard;
                sleep(2 * MS);
            }));
        }
        for n in 0..4 {
            let guard = drops.guard();
            let body = move || {
                let _guard = guard;
                task::finally(|| sleep(HOUR), || sleep(n * MS));
            };
            drop(Builder::new().spawn(body));
        }
        let guard = drops.guard();
        drop(spawn_later(HOUR, move || drop(guard)));
        let done = hub::shutdown(60 * MS);
        assert_eq!((done.finished, done.killed, done.left), (3, 5, 0));
        assert_eq!(drops.alive(), 0);
        // The hub works on.
        assert_eq!(spawn(|| 7).join().unwrap(), 7);
    });
}

#[test]
fn a_grace_ends_early_if_nothing_is_left() {
    fresh(|| {
        drop(spawn(|| sleep(MS)));
        let done = hub::shutdown(HOUR);
        assert_eq!((done.finished, done.killed, done.left), (1, 0, 0));
    });
}

#[test]
fn run_unwinds_its_tasks_at_the_end_also_after_a_panic() {
    for panics in [false, true] {
        let drops = Drops::new();
        let there = drops.clone();
        fresh(move || {
            let result = catch_unwind(AssertUnwindSafe(|| {
                hub::run(|| {
                    for _ in 0..10 {
                        let guard = there.guard();
                        drop(spawn(move || {
                            let _guard = guard;
                            sleep(HOUR);
                        }));
                    }
                    yield_now();
                    assert_eq!(there.alive(), 10);
                    assert!(!panics);
                    3
                })
            }));
            assert_eq!(there.alive(), 0);
            assert_eq!(result.is_err(), panics);
        });
    }
}

#[test]
fn only_main_runs_and_ends_a_hub() {
    let refused = spawn(|| {
        catch_unwind(|| hub::shutdown(Duration::ZERO)).is_err()
            && catch_unwind(|| hub::run(|| ())).is_err()
    });
    assert!(refused.join().unwrap());
}

#[test]
fn a_task_that_ends_in_shutdown_can_still_be_joined() {
    fresh(|| {
        let (slain, done) = (spawn(|| sleep(HOUR)), spawn(|| 4));
        hub::shutdown(MS);
        assert!(slain.is_finished() && done.is_finished());
        assert!(matches!(slain.join(), Err(JoinError::Killed)));
        assert_eq!(done.join().unwrap(), 4);
    });
}

// ---- nothing is left behind ----

#[test]
fn no_way_to_end_a_wait_leaves_anything_behind() {
    util::alone("no_way_to_end_a_wait_leaves_anything_behind", || {
        let drops = Drops::new();
        let body = |drops: &Drops| {
            let guard = drops.local_guard();
            move || {
                let _guard = guard;
                sleep(HOUR);
            }
        };
        util::assert_no_leak(|| {
            for _ in 0..100 {
                // A kill, a timeout, a panic beside it, the end of a scope, a joiner that leaves.
                let (a, b) = (spawn(body(&drops)), spawn(body(&drops)));
                let timed = spawn({
                    let body = body(&drops);
                    move || greenloom::timeout(Duration::from_micros(50), body).is_err()
                });
                let panics: task::JoinHandle<()> = spawn(|| std::panic::resume_unwind(Box::new(1)));
                let scoped = spawn({
                    let body = body(&drops);
                    move || {
                        greenloom::greenlet::scope(|s, me: &greenloom::greenlet::Current<()>| {
                            let g =
                                s.spawn(me, |_: &greenloom::greenlet::Current<(), ()>, ()| body());
                            drop(greenloom::timeout(Duration::from_micros(50), || {
                                me.switch(&g, ())
                            }));
                        })
                    }
                });
                let joiner = spawn(move || b.join());
                yield_now();
                a.kill();
                joiner.kill();
                assert!(panics.join().unwrap_err().is_panic());
                assert!(matches!(a.join(), Err(JoinError::Killed)));
                assert!(matches!(joiner.join(), Err(JoinError::Killed)));
                assert!(timed.join().unwrap());
                scoped.join().unwrap();
            }
            hub::shutdown(Duration::ZERO);
            assert_eq!(drops.alive(), 0);
        });
    });
}
