//! Many wakes, spawns and joins between threads, none of them lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use greenloom::hub::{self, HubHandle};
use greenloom::task::{self, JoinError};
use greenloom::{sleep, spawn, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

/// Fewer rounds where every access is checked.
const ROUNDS: u64 = if cfg!(feature = "sanitizer") {
    2_000
} else {
    20_000
};

/// A thread whose hub runs until the task that it sends is killed.
fn server() -> (HubHandle, task::JoinHandle<()>, std::thread::JoinHandle<()>) {
    let (tx, rx) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        tx.send((hub::current_handle(), spawn(|| sleep(HOUR))))
            .unwrap();
        hub::run_until_idle(None);
    });
    let (hub, stay) = rx.recv().unwrap();
    (hub, stay, thread)
}

#[test]
fn every_spawn_on_another_hub_runs_and_can_be_joined() {
    let (hub, stay, thread) = server();
    let ran = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let ran = Arc::clone(&ran);
            std::thread::spawn(move || {
                let mut sum = 0;
                for n in 0..ROUNDS {
                    let ran = Arc::clone(&ran);
                    let task = task::spawn_on(&hub, move || {
                        if n % 3 == 0 {
                            yield_now();
                        }
                        ran.fetch_add(1, Ordering::Relaxed);
                        n
                    });
                    let task = task.unwrap();
                    // Some are let go.
                    if n % 4 == 0 {
                        drop(task);
                    } else {
                        sum += task.join().unwrap();
                    }
                }
                sum
            })
        })
        .collect();
    let expected: u64 = (0..ROUNDS).filter(|n| n % 4 != 0).sum();
    for client in clients {
        assert_eq!(client.join().unwrap(), expected);
    }
    stay.kill();
    thread.join().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 3 * ROUNDS);
}

#[test]
fn hubs_join_each_others_tasks_from_tasks() {
    let (a, stay_a, thread_a) = server();
    let (b, stay_b, thread_b) = server();
    // A task of each hub that spawns on the other and joins, many at once.
    let go = |here: HubHandle, there: HubHandle| {
        task::spawn_on(&here, move || {
            let tasks: Vec<_> = (0..50)
                .map(|_| {
                    spawn(move || {
                        (0..ROUNDS / 100)
                            .map(|n| task::spawn_on(&there, move || n).unwrap().join().unwrap())
                            .sum::<u64>()
                    })
                })
                .collect();
            tasks.into_iter().map(|t| t.join().unwrap()).sum::<u64>()
        })
        .unwrap()
    };
    let (x, y) = (go(a, b), go(b, a));
    let each = ROUNDS / 100;
    assert_eq!(x.join().unwrap(), 50 * (each * (each - 1) / 2));
    assert_eq!(y.join().unwrap(), 50 * (each * (each - 1) / 2));
    for (stay, thread) in [(stay_a, thread_a), (stay_b, thread_b)] {
        stay.kill();
        thread.join().unwrap();
    }
}

#[test]
fn kills_that_race_with_the_end_end_every_task_once() {
    let (hub, stay, thread) = server();
    let (mut returned, mut killed) = (0, 0);
    for n in 0..ROUNDS / 4 {
        let task = task::spawn_on(&hub, move || {
            for _ in 0..n % 4 {
                yield_now();
            }
        });
        let task = task.unwrap();
        task.kill();
        match task.join() {
            Ok(()) => returned += 1,
            Err(JoinError::Killed) => killed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(returned + killed, ROUNDS / 4);
    stay.kill();
    thread.join().unwrap();
}

#[test]
fn threads_that_end_while_others_reach_for_them_hang_nobody() {
    for round in 0..200 {
        let (tx, rx) = mpsc::channel();
        let start = Arc::new(Barrier::new(2));
        let begin = Arc::clone(&start);
        let thread = std::thread::spawn(move || {
            let tasks: Vec<_> = (0..8).map(|n| spawn(move || n)).collect();
            tx.send((hub::current_handle(), tasks)).unwrap();
            begin.wait();
            for _ in 0..round % 4 {
                yield_now();
            }
        });
        let (hub, tasks) = rx.recv().unwrap();
        start.wait();
        for (n, task) in tasks.into_iter().enumerate() {
            match n % 4 {
                0 => drop(task),
                1 => task.kill(),
                2 => drop(task.on_done(|_| ())),
                _ => match task.join() {
                    Ok(value) => assert_eq!(value, n),
                    Err(e) => assert!(matches!(e, JoinError::Lost), "{e:?}"),
                },
            }
        }
        match task::spawn_on(&hub, || 5) {
            Ok(task) => assert!(matches!(task.join(), Ok(5) | Err(JoinError::Lost))),
            Err(back) => assert_eq!(back.into_inner()(), 5),
        }
        thread.join().unwrap();
        assert!(!hub.is_alive());
    }
}
