//! `pool`: groups and pools as a user sees them, and what gevent's `test__pool.py` asks of its own.
#![forbid(unsafe_code)]

mod util;

#[path = "pool/calls.rs"]
mod calls;
#[path = "pool/maps.rs"]
mod maps;
#[path = "pool/slots.rs"]
mod slots;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenloom::pool::{Full, Group, ImapUnordered, Pool};
use greenloom::task::{self, JoinError, JoinHandle};
use greenloom::{hub, spawn, yield_now};
use util::Drops;

/// A panic that the test's output is not full of.
fn fail<T>(why: &'static str) -> T {
    resume_unwind(Box::new(why))
}

/// Drops a handle; a panic of its task is no news.
fn unread<T>(task: JoinHandle<T>) {
    task.on_done(|_| ());
}

/// What a failure says.
fn why<T>(result: &Result<T, JoinError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(JoinError::Panicked(payload)) => payload.downcast_ref::<&str>().copied().unwrap_or("?"),
        Err(JoinError::Killed) => "killed",
        Err(_) => "another",
    }
}

#[test]
fn handles_may_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Group>();
    shared::<Pool>();
    shared::<Full<fn()>>();
}

#[test]
fn a_group_counts_joins_and_iterates() {
    let group = Group::new();
    group.join();
    let tasks: Vec<_> = (0..3).map(|n| group.spawn(move || n)).collect();
    assert_eq!((group.len(), group.is_empty()), (3, false));
    let ids: Vec<_> = group.iter().map(|task| task.id()).collect();
    assert_eq!(ids, tasks.iter().map(|task| task.id()).collect::<Vec<_>>());
    assert!(tasks.iter().all(|task| group.contains(task.id())));
    assert_eq!((&group).into_iter().len(), 3);
    group.join();
    assert_eq!((group.len(), group.is_empty()), (0, true));
    let values: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
    assert_eq!(values, [0, 1, 2]);
}

#[test]
fn join_waits_for_those_that_come_meanwhile() {
    let group = Group::new();
    let (inner, seen) = (group.clone(), Rc::new(Cell::new(0)));
    let count = Rc::clone(&seen);
    group.spawn(move || {
        yield_now();
        inner.spawn(move || {
            yield_now();
            count.set(1);
        });
    });
    group.join();
    assert_eq!(seen.get(), 1);
}

#[test]
fn join_with_a_time_says_whether_it_was_enough() {
    let group = Group::new();
    let parked = group.spawn(task::park);
    assert!(!group.join_timeout(Duration::from_millis(1)));
    parked.task().unpark();
    assert!(group.join_timeout(Duration::from_secs(3600)));
}

#[test]
fn a_task_may_not_join_its_own_group() {
    let group = Group::new();
    let inner = group.clone();
    let caught = move || {
        catch_unwind(AssertUnwindSafe(|| inner.join()))
            .unwrap_err()
            .downcast::<&str>()
            .is_ok_and(|text| text.contains("wait for itself"))
    };
    assert!(group.spawn(caught).join().unwrap());
}

#[test]
fn kill_ends_all_also_those_that_did_not_begin() {
    let drops = Drops::new();
    let group = Group::new();
    let mut tasks = Vec::new();
    for started in [true, false] {
        for _ in 0..3 {
            let guard = drops.guard();
            tasks.push(group.spawn(move || {
                task::park();
                drop(guard);
            }));
        }
        if started {
            yield_now();
        }
    }
    group.kill();
    assert_eq!((group.len(), drops.alive()), (0, 0));
    for task in tasks {
        assert!(task.join().unwrap_err().is_killed());
    }
    // Again, with nobody there.
    group.kill();
    assert!(group.kill_timeout(Duration::ZERO));
}

#[test]
fn a_task_that_comes_during_a_kill_is_killed() {
    let group = Group::new();
    let (inner, ran) = (group.clone(), Rc::new(Cell::new(false)));
    let flag = Rc::clone(&ran);
    struct SpawnsAnother(Group, Rc<Cell<bool>>);
    impl Drop for SpawnsAnother {
        fn drop(&mut self) {
            let flag = Rc::clone(&self.1);
            self.0.spawn(move || flag.set(true));
        }
    }
    group.spawn(move || {
        let _last = SpawnsAnother(inner, flag);
        task::park();
    });
    yield_now();
    group.kill();
    assert!(group.is_empty() && !ran.get());
    // That kill is over.
    assert_eq!(group.spawn(|| 3).join().unwrap(), 3);
}

#[test]
fn kill_with_a_time_gives_up_and_the_tasks_end_later() {
    let group = Group::new();
    let stubborn = group.spawn(|| task::shield(task::park));
    yield_now();
    assert!(!group.kill_timeout(Duration::from_millis(1)));
    assert_eq!(group.len(), 1);
    stubborn.task().unpark();
    group.join();
}

#[test]
fn kill_in_a_task_of_the_group_ends_that_as_well() {
    let group = Group::new();
    let inner = group.clone();
    let other = group.spawn(task::park);
    let killer = group.spawn(move || inner.kill());
    assert!(killer.join().unwrap_err().is_killed());
    assert!(other.join().unwrap_err().is_killed());
    assert!(group.is_empty());
}

#[test]
fn add_and_discard() {
    let group = Group::new();
    let parked = spawn(task::park);
    group.add(&parked);
    group.add(&parked);
    assert_eq!(group.len(), 1);
    assert!(group.discard(parked.id()) && !group.discard(parked.id()));
    assert!(group.is_empty());
    group.add(&parked);
    parked.task().unpark();
    group.join();
    assert!(parked.is_finished());
    // One that has ended is nobody.
    group.add(&parked);
    assert!(group.is_empty());
    parked.join().unwrap();
    // A discarded one is killed by nobody, and its end is no end of a member.
    let free = group.spawn(task::park);
    yield_now();
    assert!(group.discard(free.id()));
    group.kill();
    assert!(!free.is_finished());
    free.task().unpark();
    free.join().unwrap();
    assert_eq!(group.len(), 0);
}

#[test]
fn a_task_of_another_thread_may_be_added() {
    let group = Group::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let there = std::thread::spawn(move || {
        hub::run(|| {
            sender.send(spawn(task::park)).unwrap();
            task::park_timeout(Duration::from_secs(3600));
        });
    });
    let parked = receiver.recv().unwrap();
    group.add(&parked);
    assert_eq!(group.len(), 1);
    group.kill();
    assert!(group.is_empty() && parked.is_finished());
    assert!(parked.join().is_err());
    // The other thread waits an hour at most; nobody waits for it.
    drop(there);
}

#[test]
fn a_dropped_group_lets_its_tasks_go_on() {
    let group = Group::new();
    let task = group.spawn(|| {
        yield_now();
        5
    });
    drop(group);
    assert_eq!(task.join().unwrap(), 5);
}

#[test]
fn a_hub_that_is_shut_down_gives_the_slots_back() {
    let pool = Pool::new(2);
    let inner = pool.clone();
    std::thread::spawn(move || {
        inner.spawn(task::park);
        yield_now();
        inner.spawn(task::park);
        hub::shutdown(Duration::ZERO);
    })
    .join()
    .unwrap();
    assert_eq!((pool.len(), pool.free_count()), (0, 2));
}

#[test]
fn a_pool_is_shared_by_threads() {
    let pool = Pool::new(2);
    let most = std::sync::Arc::new(std::sync::Mutex::new((0, 0)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (pool, most) = (pool.clone(), most.clone());
            std::thread::spawn(move || {
                let count = move |()| {
                    {
                        let mut most = most.lock().unwrap();
                        most.0 += 1;
                        most.1 = most.1.max(most.0);
                    }
                    yield_now();
                    most.lock().unwrap().0 -= 1;
                };
                assert!(pool.map([(); 20], count).iter().all(Result::is_ok));
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let (now, most) = *most.lock().unwrap();
    assert!(now == 0 && most <= 2);
    assert_eq!((pool.len(), pool.free_count()), (0, 2));
}

#[test]
fn debug_and_errors_read_well() {
    let pool = Pool::new(1);
    pool.spawn(task::park);
    assert_eq!(format!("{pool:?}"), "Pool { size: 1, free: 0, len: 1 }");
    assert_eq!(format!("{:?}", Group::default()), "Group { len: 0 }");
    let full = pool.try_spawn(|| ()).unwrap_err();
    assert_eq!(format!("{full} {full:?}"), "the pool is full Full(..)");
    let coming = pool.imap([1], |n| n);
    assert!(format!("{coming:?}").starts_with("Imap {"));
    let coming: ImapUnordered<_, _, i32> = pool.imap_unordered([1], |n| n);
    assert!(format!("{coming:?}").starts_with("ImapUnordered {"));
    pool.kill();
    let none = catch_unwind(|| Pool::new(0)).unwrap_err();
    assert!(none.downcast_ref::<&str>().unwrap().contains("slots"));
}
