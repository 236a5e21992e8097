//! `sync::Semaphore` and `sync::BoundedSemaphore`, as a user and as an enemy.
#![forbid(unsafe_code)]

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;

use std::cell::{Cell, RefCell};
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, BoundedSemaphore, OverRelease, OwnedPermit, Permit, Semaphore};
use greenloom::task::JoinHandle;
use greenloom::{sleep, spawn, timeout, yield_now};
use sharing::{LONG, crowd, doomed, let_pass, panic_text, settle};

const MS: Duration = Duration::from_millis(1);

#[test]
fn semaphores_and_permits_are_send_and_sync() {
    assert!(is!(Semaphore: Send) && is!(Semaphore: Sync));
    assert!(is!(BoundedSemaphore: Send) && is!(BoundedSemaphore: Sync));
    // A permit is no lock: another thread may give it back.
    assert!(is!(Permit<'static>: Send) && is!(OwnedPermit: Send));
    assert!(is!(Semaphore: UnwindSafe) && is!(Semaphore: RefUnwindSafe));
    static GLOBAL: Semaphore = Semaphore::new(1);
    static BOUNDED: BoundedSemaphore = BoundedSemaphore::new(1);
    assert_eq!(GLOBAL.acquire().count() + BOUNDED.acquire().count(), 2);
}

/// Tasks that each want so many permits, log when they have them, and hold them for a turn.
fn want(s: &Arc<Semaphore>, many: &[usize]) -> (Rc<RefCell<Vec<usize>>>, Vec<JoinHandle<()>>) {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks = many
        .iter()
        .map(|&n| {
            let (s, log) = (Arc::clone(s), Rc::clone(&log));
            spawn(move || {
                let _permit = s.acquire_many(n);
                log.borrow_mut().push(n);
                yield_now();
            })
        })
        .collect();
    settle();
    (log, tasks)
}

fn join_all(tasks: Vec<JoinHandle<()>>) {
    for t in tasks {
        t.join().unwrap();
    }
}

#[test]
fn permits_are_counted() {
    let s = Arc::new(Semaphore::new(3));
    let a = s.acquire();
    let b = s.try_acquire_many(2).unwrap();
    assert_eq!((a.count(), b.count(), s.available()), (1, 2, 0));
    assert!(s.try_acquire().is_none() && s.try_acquire_owned().is_none());
    assert_eq!(
        format!("{a:?} {b:?}"),
        "Permit { count: 1 } Permit { count: 2 }"
    );
    drop(b);
    assert_eq!(s.available(), 2);
    a.forget();
    let owned = s.try_acquire_owned().unwrap();
    assert_eq!((owned.count(), s.available()), (1, 1));
    assert_eq!(format!("{owned:?}"), "OwnedPermit { count: 1 }");
    owned.forget();
    s.release(5);
    assert_eq!(s.available(), 6);
    // None at all take no turn.
    assert_eq!(Semaphore::new(0).acquire_many(0).count(), 0);
    assert!(Semaphore::new(0).try_acquire_many(0).is_some());
    assert!(Semaphore::new(0).acquire_many_timeout(0, MS).is_some());
}

#[test]
fn an_owned_permit_keeps_its_semaphore() {
    let s = Arc::new(Semaphore::new(1));
    let weak = Arc::downgrade(&s);
    let owned = s.acquire_owned();
    drop(s);
    assert_eq!(weak.upgrade().unwrap().available(), 0);
    let s = weak.upgrade().unwrap();
    assert!(s.acquire_owned_timeout(MS).is_none());
    drop(owned);
    assert!(s.acquire_owned_timeout(MS).is_some());
    drop(s);
    assert!(weak.upgrade().is_none());
}

#[test]
fn permits_are_handed_over_in_the_order_of_asking() {
    let s = Arc::new(Semaphore::new(1));
    let permit = s.acquire();
    let (log, tasks) = want(&s, &[1, 1, 1]);
    assert_eq!(*log.borrow(), []);
    drop(permit);
    assert_eq!(s.available(), 0, "it is the first waiter's already");
    assert!(s.try_acquire().is_none());
    join_all(tasks);
    assert_eq!(log.borrow().len(), 3);
    assert_eq!(s.available(), 1);
}

#[test]
fn one_who_wants_many_is_not_passed_over() {
    let s = Arc::new(Semaphore::new(2));
    let permit = s.acquire();
    let (log, tasks) = want(&s, &[3, 1]);
    assert!(s.try_acquire().is_none(), "one is there, but others wait");
    assert!(s.acquire_timeout(MS).is_none());
    s.release(1);
    settle();
    assert_eq!(*log.borrow(), []);
    drop(permit);
    join_all(tasks);
    assert_eq!(*log.borrow(), [3, 1]);
    assert_eq!(s.available(), 3);
}

#[test]
fn one_who_wanted_many_and_gives_up_lets_the_others_go_on() {
    for kill in [false, true] {
        let s = Arc::new(Semaphore::new(1));
        let wants = {
            let s = Arc::clone(&s);
            spawn(move || {
                s.acquire_many_timeout(2, if kill { LONG } else { MS })
                    .is_some()
            })
        };
        yield_now();
        let (log, tasks) = want(&s, &[1, 1]);
        assert_eq!(*log.borrow(), []);
        if kill {
            wants.kill();
            assert!(wants.join().unwrap_err().is_killed());
        } else {
            assert!(!wants.join().unwrap());
        }
        join_all(tasks);
        assert_eq!((log.borrow().len(), s.available()), (2, 1));
    }
}

#[test]
fn release_of_many_serves_as_many_as_it_can_in_order() {
    let s = Arc::new(Semaphore::new(0));
    let (log, tasks) = want(&s, &[1, 2, 3, 1]);
    s.release(4);
    settle();
    // 1 and 2 had theirs and gave them back, 4 are there for 3, then 1.
    assert_eq!(*log.borrow(), [1, 2, 3, 1]);
    join_all(tasks);
    assert_eq!(s.available(), 4);
}

#[test]
fn what_is_there_does_not_switch() {
    let s = Semaphore::new(1);
    let ran = Rc::new(Cell::new(false));
    let other = {
        let ran = Rc::clone(&ran);
        spawn(move || ran.set(true))
    };
    for _ in 0..1000 {
        drop(s.acquire());
        drop(s.acquire_timeout(LONG));
        drop(s.try_acquire());
    }
    assert!(!ran.get());
    other.join().unwrap();
}

#[test]
fn time_limits_are_kept_and_not_early() {
    let s = Arc::new(Semaphore::new(0));
    let begin = Instant::now();
    assert!(s.acquire_timeout(5 * MS).is_none());
    assert!(begin.elapsed() >= 5 * MS);
    assert!(s.acquire_timeout(Duration::ZERO).is_none());
    let t = {
        let s = Arc::clone(&s);
        spawn(move || s.acquire_timeout(Duration::MAX).is_some())
    };
    settle();
    s.release(1);
    assert!(t.join().unwrap());
    assert_eq!(s.available(), 1);
}

#[test]
fn one_killed_before_its_turn_takes_nothing_and_one_after_gives_back() {
    let s = Arc::new(Semaphore::new(0));
    let (log, tasks) = want(&s, &[1, 1]);
    tasks[0].kill();
    settle();
    s.release(1);
    tasks[1].kill();
    for t in tasks {
        assert!(t.join().unwrap_err().is_killed());
    }
    assert_eq!(
        log.borrow().len(),
        1,
        "the second had it, until its next wait"
    );
    assert_eq!(s.available(), 1);
}

#[test]
fn given_at_the_instant_its_time_ran_out_it_is_had() {
    let s = Arc::new(Semaphore::new(0));
    let t = {
        let s = Arc::clone(&s);
        spawn(move || s.acquire_timeout(2 * MS).is_some())
    };
    yield_now();
    let_pass(5 * MS);
    s.release(1);
    assert!(t.join().unwrap());
    assert_eq!(s.available(), 1);
}

#[test]
fn an_enclosing_timeout_takes_no_permit_along() {
    let s = Arc::new(Semaphore::new(0));
    let q = Arc::clone(&s);
    spawn(move || {
        assert!(timeout(MS, || q.acquire().forget()).is_err());
        let late = timeout(MS, || q.acquire_timeout(LONG).is_none());
        assert_eq!(late.unwrap_err().into_value(), Some(true));
    })
    .join()
    .unwrap();
    s.release(1);
    assert_eq!(s.available(), 1);
}

#[test]
fn a_panicking_holder_gives_back() {
    let s = Arc::new(Semaphore::new(1));
    let q = Arc::clone(&s);
    let t = spawn(move || {
        let _permit = q.acquire();
        yield_now();
        resume_unwind(Box::new("on purpose"));
    });
    yield_now();
    let (log, tasks) = want(&s, &[1]);
    assert!(t.join().unwrap_err().is_panic());
    join_all(tasks);
    assert_eq!((log.borrow().len(), s.available()), (1, 1));
}

#[test]
fn permits_beyond_counting_are_refused_and_change_nothing() {
    let s = Semaphore::new(usize::MAX - 1);
    let held = s.acquire_many(10);
    assert!(panic_text(|| s.release(2)).contains("cannot have 2 more permits"));
    s.release(1);
    // Those that a guard holds count: it can always be dropped.
    assert!(panic_text(|| s.release(1)).contains("cannot have 1 more permits"));
    drop(held);
    assert_eq!(s.available(), usize::MAX);
    s.acquire_many(usize::MAX).forget();
    assert_eq!(s.available(), 0);
}

#[test]
fn a_bounded_one_takes_back_only_what_was_forgotten() {
    let s = BoundedSemaphore::new(2);
    let error: OverRelease = s.release(1).unwrap_err();
    assert_eq!((error.released(), error.bound()), (1, 2));
    assert_eq!(
        error.to_string(),
        "releasing 1 more permits would exceed the bound of 2"
    );
    let a = s.acquire();
    assert!(s.release(1).is_err(), "the guard's is the guard's");
    s.try_acquire().unwrap().forget();
    assert!(s.release(2).is_err());
    assert_eq!(s.available(), 0);
    assert_eq!(s.release(1), Ok(()));
    drop(a);
    assert_eq!((s.available(), s.bound()), (2, 2));
    assert!(s.release(usize::MAX).is_err());
    assert!(s.acquire_many_timeout(2, LONG).is_some());
    assert!(s.try_acquire_many(3).is_none());
    assert!(panic_text(|| s.acquire_many(3)).contains("has 2 at most"));
}

#[test]
fn a_bounded_one_hands_over_as_the_other() {
    let s = Arc::new(BoundedSemaphore::new(1));
    let permit = s.acquire();
    let t = {
        let s = Arc::clone(&s);
        spawn(move || s.acquire_timeout(LONG).map(Permit::forget))
    };
    settle();
    drop(permit);
    assert_eq!(t.join().unwrap(), Some(()));
    let t = {
        let s = Arc::clone(&s);
        spawn(move || drop(s.acquire()))
    };
    settle();
    s.release(1).unwrap();
    t.join().unwrap();
    assert_eq!(s.available(), 1);
}

#[test]
fn what_a_task_of_an_ended_thread_was_given_comes_back() {
    let s = Arc::new(Semaphore::new(0));
    let q = Arc::clone(&s);
    let given = doomed(move || q.acquire_many(2).forget());
    s.release(2);
    let q = Arc::clone(&s);
    let next = thread::spawn(move || q.acquire().forget());
    given.end();
    next.join().unwrap();
    assert_eq!(s.available(), 1);
    // One that wants too much and whose thread ends stands in nobody's way.
    let q = Arc::clone(&s);
    let wants = doomed(move || q.acquire_many(5).forget());
    assert!(s.try_acquire().is_none());
    wants.end();
    assert!(s.try_acquire().is_some());
}

#[test]
fn never_more_inside_than_permits_over_hubs_and_threads() {
    const PERMITS: usize = 3;
    let s = Arc::new(Semaphore::new(PERMITS));
    let inside = Arc::new(AtomicUsize::new(0));
    let (q, i) = (Arc::clone(&s), Arc::clone(&inside));
    crowd(2, 8, 2, move |n| {
        for round in 0..1_000 {
            let many = 1 + (n + round) % 2;
            let permit = match round % 3 {
                0 => Some(q.acquire_many(many)),
                1 => q.acquire_many_timeout(many, Duration::from_micros(30)),
                _ => q.try_acquire_many(many),
            };
            let Some(permit) = permit else { continue };
            let now = i.fetch_add(many, Ordering::SeqCst) + many;
            assert!(now <= PERMITS, "{now} inside");
            if round % 5 == 0 {
                yield_now();
            }
            i.fetch_sub(many, Ordering::SeqCst);
            drop(permit);
        }
    });
    assert_eq!(s.available(), PERMITS);
}

#[test]
fn no_permit_is_lost_to_kills() {
    let s = Arc::new(Semaphore::new(2));
    let q = Arc::clone(&s);
    crowd(2, 6, 0, move |n| {
        for round in 0..300 {
            let s = Arc::clone(&q);
            let victim = spawn(move || {
                for turn in 0..10 {
                    let _permit = s.acquire_many(1 + (n + turn) % 2);
                    yield_now();
                }
            });
            for _ in 0..(n + round) % 5 {
                yield_now();
            }
            victim.kill();
            let _ = victim.join();
        }
    });
    assert_eq!(s.available(), 2);
}

#[test]
fn twenty_tasks_five_at_a_time() {
    let s = Arc::new(Semaphore::new(5));
    let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (s, inside, most) = (Arc::clone(&s), Rc::clone(&inside), Rc::clone(&most));
            spawn(move || {
                let _permit = s.acquire();
                inside.set(inside.get() + 1);
                most.set(most.get().max(inside.get()));
                sleep(MS);
                inside.set(inside.get() - 1);
            })
        })
        .collect();
    join_all(tasks);
    assert_eq!((inside.get(), most.get(), s.available()), (0, 5, 5));
}
