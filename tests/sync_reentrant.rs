//! `sync::ReentrantMutex`, as a user and as an enemy.
#![forbid(unsafe_code)]

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;

use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use greenloom::sync::{Arc, ReentrantMutex, ReentrantMutexGuard};
use greenloom::{spawn, timeout, yield_now};
use sharing::{LONG, crowd, doomed, let_pass, panic_text, settle};

const MS: Duration = Duration::from_millis(1);

#[test]
fn is_sync_if_its_value_is_send_and_its_guards_stay_on_their_thread() {
    assert!(is!(ReentrantMutex<Cell<u8>>: Send) && is!(ReentrantMutex<Cell<u8>>: Sync));
    assert!(!is!(ReentrantMutex<Rc<u8>>: Send) && !is!(ReentrantMutex<Rc<u8>>: Sync));
    type Guard<T> = ReentrantMutexGuard<'static, T>;
    assert!(!is!(Guard<u8>: Send) && is!(Guard<u8>: Sync) && !is!(Guard<Cell<u8>>: Sync));
    assert!(is!(ReentrantMutex<u8>: UnwindSafe) && is!(ReentrantMutex<u8>: RefUnwindSafe));
}

#[test]
fn the_owner_may_lock_again_and_others_wait_until_it_has_unlocked_as_often() {
    let m = Arc::new(ReentrantMutex::new(Cell::new(0)));
    let guards: Vec<_> = (1..=3)
        .map(|n| {
            let guard = match n {
                1 => m.lock(),
                2 => m.try_lock().unwrap(),
                _ => m.lock_timeout(Duration::ZERO).unwrap(),
            };
            assert_eq!(m.count(), n);
            guard.set(n);
            guard
        })
        .collect();
    let other = {
        let m = Arc::clone(&m);
        spawn(move || {
            assert_eq!(m.count(), 0);
            assert!(m.try_lock().is_none());
            let guard = m.lock();
            let inner = m.lock();
            assert_eq!(m.count(), 2);
            // Dropped in any order.
            drop(guard);
            inner.get()
        })
    };
    settle();
    for (left, guard) in [2, 1, 0].into_iter().zip(guards) {
        assert!(!other.is_finished());
        drop(guard);
        assert_eq!(m.count(), left);
        settle();
    }
    assert_eq!(other.join().unwrap(), 3);
    assert_eq!(m.count(), 0);
}

#[test]
fn has_the_usual_rest() {
    static GLOBAL: ReentrantMutex<u8> = ReentrantMutex::new(1);
    let guard = GLOBAL.lock();
    assert_eq!(format!("{guard:?} {guard}"), "1 1");
    assert_eq!(format!("{GLOBAL:?}"), "ReentrantMutex { data: 1, .. }");
    spawn(|| {
        assert_eq!(
            format!("{GLOBAL:?}"),
            "ReentrantMutex { data: <locked>, .. }"
        )
    })
    .join()
    .unwrap();
    drop(guard);
    let mut m = ReentrantMutex::from(2);
    *m.get_mut() += 1;
    assert_eq!(m.into_inner(), 3);
    assert_eq!(*ReentrantMutex::<String>::default().lock(), "");
}

#[test]
fn tasks_of_one_thread_exclude_each_other_and_so_does_main() {
    let m = Arc::new(ReentrantMutex::new(Cell::new(0)));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let m = Arc::clone(&m);
            spawn(move || {
                for _ in 0..10 {
                    let outer = m.lock();
                    let seen = outer.get();
                    yield_now();
                    let inner = m.lock();
                    yield_now();
                    inner.set(seen + 1);
                }
            })
        })
        .collect();
    for t in tasks {
        t.join().unwrap();
    }
    assert_eq!(m.lock().get(), 500);
}

#[test]
fn a_killed_or_panicking_owner_gives_all_levels_back() {
    for kill in [false, true] {
        let m = Arc::new(ReentrantMutex::new(()));
        let q = Arc::clone(&m);
        let owner = spawn(move || {
            let _a = q.lock();
            let _b = q.lock();
            yield_now();
            yield_now();
            resume_unwind(Box::new("on purpose"));
        });
        yield_now();
        let q = Arc::clone(&m);
        let waiter = spawn(move || q.lock_timeout(LONG).is_some());
        yield_now();
        if kill {
            owner.kill();
        }
        assert_eq!(owner.join().unwrap_err().is_killed(), kill);
        assert!(waiter.join().unwrap());
        assert!(m.try_lock().is_some());
    }
}

#[test]
fn time_limits_and_kills_of_waiters() {
    let m = Arc::new(ReentrantMutex::new(()));
    let guard = m.lock();
    let spawn_with = |f: fn(&ReentrantMutex<()>) -> bool| {
        let m = Arc::clone(&m);
        spawn(move || f(&m))
    };
    assert!(spawn_with(|m| m.lock_timeout(MS).is_none()).join().unwrap());
    assert!(
        spawn_with(|m| timeout(MS, || drop(m.lock())).is_err())
            .join()
            .unwrap()
    );
    let killed = spawn_with(|m| m.lock_timeout(Duration::MAX).is_some());
    let late = spawn_with(|m| m.lock_timeout(2 * MS).is_some());
    yield_now();
    killed.kill();
    yield_now();
    let_pass(5 * MS);
    drop(guard);
    assert!(killed.join().unwrap_err().is_killed());
    assert!(late.join().unwrap(), "handed over before it looked");
    assert!(m.try_lock().is_some());
}

#[test]
fn a_guard_dropped_by_another_task_is_a_panic_that_says_so() {
    let m: &'static ReentrantMutex<u8> = Box::leak(Box::new(ReentrantMutex::new(1)));
    let (a, b) = (m.lock(), m.lock());
    let text = spawn(move || panic_text(|| drop(a))).join().unwrap();
    assert!(text.contains("does not own the lock"), "{text}");
    // Its level is back all the same.
    assert_eq!(m.count(), 1);
    drop(b);
    assert!(spawn(|| m.try_lock().is_some()).join().unwrap());
    // In an unwinding there is no second panic.
    let a = m.lock();
    let t = spawn(move || {
        let _a = a;
        resume_unwind(Box::new("on purpose"));
    });
    assert!(t.join().unwrap_err().is_panic());
    assert_eq!(m.count(), 0);
}

#[test]
fn a_callback_of_the_hub_is_not_the_task_that_waits() {
    let m = Arc::new(ReentrantMutex::new(()));
    let guard = m.lock();
    let (tx, rx) = mpsc::channel();
    let t = spawn(|| ());
    let q = Arc::clone(&m);
    t.on_done(move |_| {
        tx.send((q.count(), q.try_lock().is_some())).unwrap();
    });
    t.join().unwrap();
    settle();
    assert_eq!(rx.try_recv().unwrap(), (0, false));
    drop(guard);
}

#[test]
fn a_thread_without_greenlets_owns_it_too_and_keeps_it_as_it_gets_its_hub() {
    let m = Arc::new(ReentrantMutex::new(()));
    let q = Arc::clone(&m);
    thread::spawn(move || {
        let a = q.lock();
        let b = q.lock();
        assert_eq!(q.count(), 2);
        spawn(|| ()).join().unwrap();
        assert_eq!(q.count(), 2);
        let c = q.lock();
        drop((a, b));
        let other = Arc::clone(&q);
        let t = spawn(move || drop(other.lock()));
        yield_now();
        assert!(!t.is_finished());
        drop(c);
        t.join().unwrap();
    })
    .join()
    .unwrap();
    assert!(m.try_lock().is_some());
}

#[test]
fn what_a_task_of_an_ended_thread_was_handed_goes_on() {
    let m = Arc::new(ReentrantMutex::new(()));
    let guard = m.lock();
    let q = Arc::clone(&m);
    let doomed = doomed(move || drop(q.lock()));
    let_pass(3 * MS);
    drop(guard);
    doomed.end();
    let guard = m.lock_timeout(LONG).unwrap();
    assert_eq!(m.count(), 1);
    drop(guard);
}

#[test]
fn hubs_and_threads_lose_no_update() {
    const ROUNDS: usize = 1_000;
    let m = Arc::new(ReentrantMutex::new(Cell::new(0)));
    let q = Arc::clone(&m);
    crowd(2, 6, 2, move |n| {
        for round in 0..ROUNDS {
            let outer = q.lock();
            let seen = outer.get();
            if (n + round) % 9 == 0 {
                yield_now();
            }
            let inner = q.lock();
            assert_eq!(q.count(), 2);
            drop(outer);
            inner.set(seen + 1);
        }
    });
    assert_eq!(m.lock().get(), (2 * 6 + 2) * ROUNDS);
}
