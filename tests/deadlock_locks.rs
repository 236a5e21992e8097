//! Deadlocks through locks: cycles that main waits on, and waits that nothing is left to end.
//!
//! A cycle is found while other threads live. Whether nothing is left is a question to the whole process: those tests
//! run in a child that has one thread.

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;
#[path = "util/lonely.rs"]
mod lonely;

use std::time::Duration;

use greenloom::hub::Deadlock;
use greenloom::sync::{
    Arc, Barrier, BrokenBarrier, Condvar, LazyLock, Mutex, Once, ReentrantMutex, RwLock, Semaphore,
    WaitGroup,
};
use greenloom::task::{self, Builder, JoinError, JoinHandle};
use greenloom::{sleep, spawn, spawn_later, yield_now};
use lonely::lonely;
use sharing::{panic_text, settle};

const HOUR: Duration = Duration::from_secs(3600);

#[track_caller]
fn told(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[track_caller]
fn deadlock<T: std::fmt::Debug>(result: Result<T, JoinError>) -> Deadlock {
    match result {
        Err(JoinError::Deadlock(d)) => d,
        other => panic!("no deadlock, but {other:?}"),
    }
}

fn named(name: &str, f: impl FnOnce() + 'static) -> JoinHandle<()> {
    Builder::new().name(name).spawn(f).unwrap()
}

/// The hub does what a hub does.
fn works_on() {
    assert_eq!(spawn(|| 7).join().unwrap(), 7);
    sleep(Duration::from_millis(1));
}

#[test]
fn two_tasks_that_lock_two_mutexes_crosswise_are_named() {
    // What could happen elsewhere does not matter: a timer is pending.
    let other = spawn_later(HOUR, || ());
    let locks = Arc::new((Mutex::new('a'), Mutex::new('b')));
    let l = Arc::clone(&locks);
    let left = named("left", move || {
        let _a = l.0.lock();
        yield_now();
        let _b = l.1.lock();
    });
    let l = Arc::clone(&locks);
    let right = named("right", move || {
        let _b = l.1.lock();
        yield_now();
        let _a = l.0.lock();
    });
    let d = deadlock(left.join());
    told(
        &d.to_string(),
        &[
            "deadlock: main waits on a cycle:",
            "'left'",
            "'right'",
            "waits: lock of a mutex",
            "and so in a circle",
            "deadlock_locks.rs:",
        ],
    );
    works_on();
    // To kill one sets the other free.
    assert!(!right.is_finished());
    for info in task::list() {
        if info.name.as_deref() == Some("left") {
            assert_eq!(info.waits_for.as_deref(), Some("lock of a mutex"));
        }
    }
    right.kill();
    assert!(right.join().unwrap_err().is_killed());
    settle();
    assert!(locks.0.try_lock().is_ok() && locks.1.try_lock().is_ok());
    other.kill();
}

#[test]
fn main_that_joins_who_waits_for_its_lock_is_told() {
    let m = Arc::new(Mutex::new(0));
    let guard = m.lock().unwrap();
    let q = Arc::clone(&m);
    let t = named("needs it", move || *q.lock().unwrap() += 1);
    let d = deadlock(t.join());
    told(
        &d.to_string(),
        &["main waits: join of task", "'needs it'", "lock of a mutex"],
    );
    works_on();
    // The task waits on, and has it when it is free.
    drop(guard);
    settle();
    assert_eq!(*m.lock().unwrap(), 1);
}

#[test]
fn a_lock_that_main_took_before_it_had_a_hub_is_known_to_be_its_own() {
    std::thread::spawn(|| {
        let m: &'static Mutex<()> = Box::leak(Box::new(Mutex::new(())));
        let guard = m.lock().unwrap();
        let t = spawn(|| drop(m.lock()));
        deadlock(t.join());
        drop(guard);
    })
    .join()
    .unwrap();
}

#[test]
fn main_that_locks_twice_is_told() {
    spawn(|| ()).join().unwrap();
    let m = Mutex::new(());
    let guard = m.lock().unwrap();
    let text = panic_text(|| drop(m.lock()));
    told(
        &text,
        &[
            "deadlock: main waits on a cycle",
            "main waits: lock of a mutex",
        ],
    );
    drop(guard);
    assert!(m.try_lock().is_ok());
    let l = RwLock::new(());
    let guard = l.write().unwrap();
    told(&panic_text(|| drop(l.read())), &["main waits: read lock"]);
    told(&panic_text(|| drop(l.write())), &["main waits: write lock"]);
    drop(guard);
    assert!(l.try_write().is_ok());
    works_on();
}

#[test]
fn a_task_that_locks_twice_is_found_by_who_joins_it_and_can_be_killed() {
    let m = Arc::new(Mutex::new(()));
    let q = Arc::clone(&m);
    let t = named("twice", move || {
        let _first = q.lock();
        let _second = q.lock();
    });
    settle();
    assert!(!t.is_finished());
    let waits: Vec<_> = task::list()
        .into_iter()
        .filter_map(|i| i.waits_for)
        .collect();
    assert_eq!(waits, ["lock of a mutex"]);
    let task = t.task();
    told(
        &deadlock(t.join()).to_string(),
        &["'twice'", "lock of a mutex"],
    );
    assert_eq!(task.name(), Some("twice"));
}

#[test]
fn a_reentrant_lock_is_the_cure() {
    let locks = Arc::new((ReentrantMutex::new(()), ReentrantMutex::new(())));
    let l = Arc::clone(&locks);
    let t = spawn(move || {
        let _a = (l.0.lock(), l.0.lock());
        let _b = (l.1.lock(), l.1.lock());
    });
    t.join().unwrap();
    // Crosswise it is none.
    let l = Arc::clone(&locks);
    let guard = locks.0.lock();
    let t = named("reentrant", move || drop(l.0.lock()));
    told(
        &deadlock(t.join()).to_string(),
        &["main waits: join", "'reentrant'"],
    );
    drop(guard);
}

#[test]
fn initialisations_that_need_each_other_are_a_cycle() {
    let onces = Arc::new((Once::new(), Once::new()));
    let o = Arc::clone(&onces);
    let a = named("first", move || {
        o.0.call_once(|| {
            yield_now();
            o.1.call_once(|| ());
        });
    });
    let o = Arc::clone(&onces);
    let _b = named("second", move || {
        o.1.call_once(|| {
            yield_now();
            o.0.call_once(|| ());
        });
    });
    told(
        &deadlock(a.join()).to_string(),
        &["'first'", "'second'", "waits: initialisation"],
    );
}

#[test]
fn a_lock_on_its_way_to_a_waiter_is_no_deadlock() {
    // The holder is another thread, which hands over to a task that its hub has not run yet, again and again.
    let m = Arc::new(Mutex::new(0_u32));
    let q = Arc::clone(&m);
    let other = std::thread::spawn(move || {
        for _ in 0..60 {
            let mut n = q.lock().unwrap();
            *n += 1;
            // Long enough that the waiter is given the lock.
            sharing::let_pass(Duration::from_micros(1500));
        }
    });
    for _ in 0..40 {
        let q = Arc::clone(&m);
        spawn(move || *q.lock().unwrap() += 1).join().unwrap();
    }
    other.join().unwrap();
    assert_eq!(*m.lock().unwrap(), 100);
}

#[test]
fn waits_that_nothing_is_left_to_end_say_so() {
    lonely("waits_that_nothing_is_left_to_end_say_so", || {
        // Without a hub a wait would be the thread's own.
        works_on();
        let (m, c) = (Mutex::new(()), Condvar::new());
        let guard = m.lock().unwrap();
        told(
            &panic_text(|| drop(c.wait(guard))),
            &[
                "deadlock: main waits, no timer",
                "main waits: notification of a condition variable",
            ],
        );
        assert!(m.try_lock().is_ok());

        let s = Semaphore::new(0);
        told(
            &panic_text(|| s.acquire().forget()),
            &["main waits: permit of a semaphore"],
        );
        s.release(1);
        assert_eq!(s.available(), 1, "it does not wait any more");

        let g = WaitGroup::new();
        g.add(1);
        told(
            &panic_text(|| g.wait()),
            &["main waits: wait for a wait group"],
        );
        // No time limit is no prospect.
        told(
            &panic_text(|| g.wait_timeout(Duration::MAX)),
            &["main waits"],
        );

        let b = Barrier::new(2);
        match b.checked_wait() {
            Err(BrokenBarrier::Deadlock(d)) => told(&d.to_string(), &["the others at a barrier"]),
            other => panic!("{other:?}"),
        }
        assert!(b.is_broken());
        b.reset();
        told(&panic_text(|| b.wait()), &["the others at a barrier"]);

        let l = RwLock::new(());
        let r = l.read().unwrap();
        told(&panic_text(|| drop(l.write())), &["main waits: write lock"]);
        drop(r);
        assert!(l.try_write().is_ok());

        let lazy: &'static LazyLock<()> = Box::leak(Box::new(LazyLock::new(task::park as fn())));
        let stuck = named("stuck", || **lazy);
        yield_now();
        told(
            &panic_text(|| **lazy),
            &["main waits: initialisation", "'stuck'", "waits: park"],
        );
        stuck.task().unpark();
        stuck.join().unwrap();
        works_on();
    });
}
