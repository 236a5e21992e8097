//! `task::current`, `park`, `unpark`, `list`: std's token, from anywhere.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use greenloom::task::{self, Builder, Task, TaskState};
use greenloom::{current, spawn, spawn_later, timeout, yield_now};
use util::Drops;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_task_handle_is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone + std::fmt::Debug>() {}
    check::<Task>();
}

#[test]
fn current_names_task_main_and_thread() {
    let builder = Builder::new().name("worker");
    let t = builder
        .spawn(|| (current(), task::id(), task::name()))
        .unwrap();
    let (id, handle_task) = (t.id(), t.task());
    let (seen, seen_id, seen_name) = t.join().unwrap();
    assert_eq!(seen.id(), id);
    assert_eq!(seen_id, id);
    assert_eq!(seen, handle_task);
    assert_eq!(seen.name(), Some("worker"));
    assert_eq!(seen_name.as_deref(), Some("worker"));
    assert_ne!(current(), seen);
    assert_eq!(current(), current());
    assert!(format!("{seen:?}").contains("worker"));
    thread::Builder::new()
        .name("os thread".into())
        .spawn(|| {
            assert_eq!(current().name(), Some("os thread"));
            assert!(current().hub().is_alive());
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn the_token_is_one_and_is_kept_until_the_next_park() {
    spawn(|| {
        let me = current();
        me.unpark();
        me.unpark();
        task::park();
        // The second one is gone: nothing but the time ends this.
        assert!(
            timeout(Duration::from_millis(2), task::park).is_err(),
            "two unparks before a park are one"
        );
    })
    .join()
    .unwrap();
}

#[test]
fn unpark_wakes_a_parked_task_in_order() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|n| {
            let log = log.clone();
            spawn(move || {
                task::park();
                log.borrow_mut().push(n);
            })
        })
        .collect();
    yield_now();
    for n in [2, 0, 1] {
        tasks[n].task().unpark();
    }
    for t in tasks {
        t.join().unwrap();
    }
    assert_eq!(*log.borrow(), [2, 0, 1]);
}

#[test]
fn an_unpark_does_not_disturb_another_wait() {
    let slept = spawn(|| {
        assert!(timeout(Duration::from_millis(5), || greenloom::sleep(LONG)).is_err());
        // The token that came meanwhile is still there.
        task::park();
    });
    yield_now();
    slept.task().unpark();
    yield_now();
    assert!(!slept.is_finished());
    slept.join().unwrap();
}

#[test]
fn an_unpark_does_not_start_a_task_before_its_time() {
    let later = spawn_later(LONG, || ());
    later.task().unpark();
    for _ in 0..3 {
        yield_now();
    }
    assert!(!later.is_finished());
    later.kill();
    assert!(later.join().unwrap_err().is_killed());
}

#[test]
fn park_timeout_ends_by_itself_or_by_a_token() {
    task::park_timeout(Duration::ZERO);
    task::park_timeout(Duration::from_millis(1));
    let t = spawn(|| task::park_timeout(LONG));
    yield_now();
    t.task().unpark();
    t.join().unwrap();
    // Out of every clock's reach: no limit.
    let t = spawn(|| task::park_timeout(Duration::MAX));
    yield_now();
    t.task().unpark();
    t.join().unwrap();
}

#[test]
fn an_enclosing_timeout_ends_park_timeout_like_its_own_time() {
    let went_on = Cell::new(false);
    let late = timeout(Duration::from_millis(2), || {
        task::park_timeout(LONG);
        went_on.set(true);
    });
    assert!(late.is_err());
    assert!(went_on.get());
}

#[test]
fn a_killed_parker_unwinds_and_a_later_unpark_is_harmless() {
    let drops = Drops::new();
    let guard = drops.guard();
    let t = spawn(move || {
        let _guard = guard;
        task::park();
    });
    let handle = t.task();
    yield_now();
    t.kill();
    assert!(t.join().unwrap_err().is_killed());
    assert_eq!(drops.alive(), 0);
    // The slot lives on in another task, which must not get this token.
    let next = spawn(|| timeout(Duration::from_millis(2), task::park).is_err());
    handle.unpark();
    assert!(next.join().unwrap());
}

#[test]
fn a_kill_ends_a_task_that_catches_the_unwinding_and_parks_again() {
    let t = spawn(|| {
        for _ in 0..3 {
            let caught = std::panic::catch_unwind(task::park);
            assert!(caught.is_err());
        }
        current().unpark();
        task::park();
        "finished all the same"
    });
    yield_now();
    t.kill();
    assert_eq!(t.join().unwrap(), "finished all the same");
}

#[test]
fn main_of_a_plain_thread_parks() {
    let (tx, rx) = mpsc::channel();
    let parked = thread::spawn(move || {
        tx.send(current()).unwrap();
        task::park();
    });
    rx.recv().unwrap().unpark();
    parked.join().unwrap();
}

#[test]
fn unparking_what_ended_with_its_thread_does_nothing() {
    let gone = thread::spawn(current).join().unwrap();
    gone.unpark();
    assert!(!gone.hub().is_alive());
}

/// A handshake for each: if one token were lost, both sides would wait for ever.
#[test]
fn a_hundred_thousand_unparks_from_another_thread_and_none_is_lost() {
    const N: usize = 100_000;
    let seen = Arc::new(AtomicUsize::new(0));
    let sleeper = {
        let seen = Arc::clone(&seen);
        spawn(move || {
            for _ in 0..N {
                task::park();
                seen.fetch_add(1, Ordering::Release);
            }
        })
    };
    let target = sleeper.task();
    let waker = thread::spawn(move || {
        for n in 0..N {
            target.unpark();
            while seen.load(Ordering::Acquire) <= n {
                thread::yield_now();
            }
        }
    });
    sleeper.join().unwrap();
    waker.join().unwrap();
}

/// No handshake: what was announced before an unpark is seen after the park that it ends.
#[test]
fn a_flood_of_unparks_ends_in_the_last_state() {
    const N: usize = 100_000;
    let count = Arc::new(AtomicUsize::new(0));
    let sleeper = {
        let count = Arc::clone(&count);
        spawn(move || {
            while count.load(Ordering::Acquire) < N {
                task::park();
            }
        })
    };
    let target = sleeper.task();
    let waker = thread::spawn(move || {
        for _ in 0..N {
            count.fetch_add(1, Ordering::Release);
            target.unpark();
        }
    });
    sleeper.join().unwrap();
    waker.join().unwrap();
}

#[test]
fn list_and_count_tell_who_is_there() {
    thread::spawn(|| {
        assert_eq!(task::count(), 0);
        assert!(task::list().is_empty());
        let parked = Builder::new()
            .name("sleeper")
            .daemon()
            .spawn(task::park)
            .unwrap();
        let later = spawn_later(LONG, || ());
        yield_now();
        let fresh = spawn(task::list);
        assert_eq!(task::count(), 3);
        let ids: Vec<_> = task::list().iter().map(|t| t.id).collect();
        assert_eq!(ids, [parked.id(), later.id(), fresh.id()]);
        let fresh_id = fresh.id();
        let seen = fresh.join().unwrap();
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[0].state, TaskState::Parked);
        assert_eq!(seen[0].name.as_deref(), Some("sleeper"));
        assert_eq!(seen[0].waits_for.as_deref(), Some("park"));
        assert!(seen[0].daemon && !seen[1].daemon);
        assert_eq!(seen[1].state, TaskState::New);
        assert_eq!((seen[2].state, seen[2].id), (TaskState::Running, fresh_id));
        assert!(seen[2].spawned_at.unwrap().file().ends_with("task_park.rs"));
        parked.kill();
        later.kill();
        parked.join().unwrap_err();
        later.join().unwrap_err();
        assert_eq!(task::count(), 0);
    })
    .join()
    .unwrap();
}

#[test]
fn a_callback_of_the_hub_has_a_stand_in() {
    let (tx, rx) = mpsc::channel();
    let t = spawn(|| ());
    t.on_done(move |_| {
        let me = current();
        me.unpark();
        tx.send(me.name().map(str::to_owned)).unwrap();
    });
    t.join().unwrap();
    yield_now();
    yield_now();
    assert_eq!(rx.recv().unwrap().as_deref(), Some("hub"));
}
