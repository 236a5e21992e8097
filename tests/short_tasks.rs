//! Tasks that wait for their turn, or have ended: they need no stack then, and behave as those that have one.

mod util;

use std::cell::{Cell, RefCell};
#[cfg(not(feature = "sanitizer"))]
use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use greenloom::hub::{self, Hub, LimitReached};
use greenloom::stack::StackSize;
use greenloom::task::{self, Builder, JoinError, Outcome, TaskState};
use greenloom::{join_all, sleep, spawn, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs `f` on a thread of its own, so that its hub is a fresh one, and ends its tasks.
fn on_a_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|s| s.spawn(|| hub::run(f)).join().unwrap())
}

#[cfg(not(feature = "sanitizer"))]
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The address of something on the running task's stack.
#[cfg(not(feature = "sanitizer"))]
#[inline(never)]
fn on_the_stack() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here).addr()
}

// ---- stacks ----

#[test]
#[cfg(not(feature = "sanitizer"))] // which puts frames elsewhere, and holds back what is freed
fn tasks_that_wait_for_their_turn_take_no_page_each() {
    const TASKS: usize = 20_000;
    util::alone("tasks_that_wait_for_their_turn_take_no_page_each", || {
        spawn(|| ()).join().unwrap();
        let before = resident_bytes();
        let tasks: Vec<_> = (0..TASKS).map(|n| spawn(move || n)).collect();
        let each = (resident_bytes() - before) / TASKS;
        assert!(each < 1024, "{each} bytes for each task that never ran");
        yield_now();
        while !tasks[TASKS - 1].is_finished() {
            yield_now();
        }
        let each = (resident_bytes() - before) / TASKS;
        assert!(each < 1024, "{each} bytes for each task that has ended");
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join().unwrap(), n);
        }
    });
}

#[test]
#[cfg(not(feature = "sanitizer"))] // which puts frames elsewhere, and holds back what is freed
fn a_batch_of_short_tasks_runs_on_few_stacks() {
    on_a_thread(|| {
        let pages = Rc::new(RefCell::new(HashSet::new()));
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let pages = Rc::clone(&pages);
                spawn(move || {
                    pages.borrow_mut().insert(on_the_stack() >> 16);
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        assert!(pages.borrow().len() <= 2, "{} stacks", pages.borrow().len());
    });
}

#[test]
fn those_that_wait_keep_their_stacks_while_short_ones_come_and_go() {
    on_a_thread(|| {
        let long: Vec<_> = (0..50)
            .map(|n| {
                spawn(move || {
                    let mine = [n; 100];
                    task::park();
                    mine.iter().sum::<usize>()
                })
            })
            .collect();
        yield_now();
        for round in 0..20 {
            let short: Vec<_> = (0..50).map(|n| spawn(move || vec![n; round])).collect();
            for (n, task) in short.into_iter().enumerate() {
                assert_eq!(task.join().unwrap(), vec![n; round]);
            }
        }
        for (n, task) in long.into_iter().enumerate() {
            task.task().unpark();
            assert_eq!(task.join().unwrap(), 100 * n);
        }
    });
}

/// A stack that is not there yet counts: it must be there when it is needed.
#[test]
fn a_limit_on_stacks_refuses_the_spawn_and_not_the_start() {
    on_a_thread(|| {
        const STACKS: usize = 8;
        Hub::builder()
            .max_stack_bytes(STACKS * StackSize::K64.bytes())
            .start()
            .unwrap();
        for _ in 0..3 {
            let tasks: Vec<_> = (0..STACKS).map(|n| spawn(move || n)).collect();
            let drops = Drops::new();
            let guard = drops.guard();
            let refused = task::try_spawn(move || drop(guard)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
            let why = refused.get_ref().unwrap().downcast_ref::<LimitReached>();
            assert!(matches!(why, Some(LimitReached::StackBytes(_))));
            assert_eq!(drops.dropped(), 1);
            let sum: usize = tasks.into_iter().map(|t| t.join().unwrap()).sum();
            assert_eq!(sum, STACKS * (STACKS - 1) / 2);
        }
    });
}

// ---- order ----

#[test]
fn order_is_that_of_spawning_whatever_was_asked_of_them_before() {
    on_a_thread(|| {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                let ran = Rc::clone(&ran);
                let body = move || ran.borrow_mut().push(n);
                if n == 3 {
                    Builder::new().name("three").spawn(body).unwrap()
                } else {
                    spawn(body)
                }
            })
            .collect();
        // Each of these needs more of a task than its place in the queue.
        tasks[4].on_done(|_| ());
        tasks[1].task().unpark();
        tasks[5].on_done(|_| ());
        tasks[2].kill();
        yield_now();
        assert_eq!(*ran.borrow(), [0, 1, 3, 4, 5]);
        let ended: Vec<_> = tasks.into_iter().map(|t| t.join().is_ok()).collect();
        assert_eq!(ended, [true, true, false, true, true, true]);
    });
}

#[test]
fn links_run_before_who_joins_goes_on() {
    on_a_thread(|| {
        let log = Arc::new(AtomicUsize::new(0));
        let task = spawn(|| 5);
        let seen = Arc::clone(&log);
        task.on_done(move |outcome| {
            assert_eq!(outcome, Outcome::Returned);
            seen.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(task.join().unwrap(), 5);
        assert_eq!(log.load(Ordering::Relaxed), 1);
    });
}

/// A task that ends names its joiner the next to run, but only if nobody else is.
#[test]
fn who_joins_goes_on_after_those_that_were_runnable_before() {
    on_a_thread(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let note = |what: &'static str| {
            let log = Rc::clone(&log);
            move || log.borrow_mut().push(what)
        };
        let first = spawn(note("first"));
        let second = spawn(note("second"));
        first.join().unwrap();
        note("main")();
        second.join().unwrap();
        assert_eq!(*log.borrow(), ["first", "second", "main"]);
    });
}

// ---- before the start ----

#[test]
fn a_token_and_a_link_given_before_the_start_are_there_at_the_start() {
    on_a_thread(|| {
        let told = Arc::new(AtomicUsize::new(0));
        let task = spawn(|| {
            task::park();
            task::park_timeout(Duration::from_millis(1));
            7
        });
        task.task().unpark();
        task.task().unpark();
        let counted = Arc::clone(&told);
        let kept = task.on_done(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let drops = Drops::new();
        let guard = drops.guard();
        let removed = task.on_done(move |_| drop(guard));
        task.unlink(removed);
        assert_eq!(drops.dropped(), 1);
        assert_ne!(kept, removed);
        assert_eq!(task.join().unwrap(), 7);
        yield_now();
        assert_eq!(told.load(Ordering::Relaxed), 1);
    });
}

/// Drops where it may wait.
struct Waits(mpsc::Sender<task::TaskId>);

impl Drop for Waits {
    fn drop(&mut self) {
        yield_now();
        sleep(Duration::from_millis(1));
        self.0.send(task::id()).unwrap();
    }
}

#[test]
fn killed_before_the_start_it_drops_its_captures_once_where_they_may_wait() {
    on_a_thread(|| {
        let (tx, rx) = mpsc::channel();
        let task = spawn({
            let waits = Waits(tx.clone());
            move || drop(waits)
        });
        // The second with its stack already there, the third detached.
        let second = spawn({
            let waits = Waits(tx.clone());
            move || drop(waits)
        });
        second.on_done(|outcome| assert_eq!(outcome, Outcome::Killed));
        let third = spawn({
            let waits = Waits(tx);
            move || drop(waits)
        });
        let ids = [task.id(), second.id(), third.id()];
        for t in [&task, &second, &third] {
            t.kill();
            t.kill();
        }
        drop(third);
        assert!(matches!(task.join(), Err(JoinError::Killed)));
        assert!(matches!(second.join(), Err(JoinError::Killed)));
        assert!(hub::run_until_idle(None));
        let told: Vec<_> = rx.iter().collect();
        assert_eq!(told, ids, "each was dropped once, by its own task");
    });
}

#[test]
fn they_are_listed_and_counted_before_they_start() {
    on_a_thread(|| {
        let line = line!() + 1;
        let tasks = [1, 2].map(|n| spawn(move || n));
        let list = task::list();
        assert_eq!(task::count(), 2);
        assert_eq!(list.len(), 2);
        for (info, task) in list.iter().zip(&tasks) {
            assert_eq!(info.id, task.id());
            assert_eq!(info.state, TaskState::Runnable);
            assert!(info.name.is_none() && !info.daemon && info.waits_for.is_none());
            let site = info.spawned_at.unwrap();
            assert_eq!((site.file(), site.line()), (file!(), line));
        }
        // Once more with a stack.
        tasks[0].on_done(|_| ());
        assert_eq!(task::list().len(), 2);
        yield_now();
        assert!(task::list().is_empty());
        assert_eq!(task::count(), 0);
        assert_eq!(tasks.map(|t| t.join().unwrap()), [1, 2]);
    });
}

#[test]
fn a_shutdown_ends_them_before_they_start() {
    let drops = Drops::new();
    let ran = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|s| {
        s.spawn(|| {
            let tasks: Vec<_> = (0..10)
                .map(|_| {
                    let (guard, ran) = (drops.guard(), Arc::clone(&ran));
                    spawn(move || {
                        let _guard = guard;
                        ran.fetch_add(1, Ordering::Relaxed);
                    })
                })
                .collect();
            let done = hub::shutdown(Duration::ZERO);
            assert_eq!((done.finished, done.killed, done.left), (0, 10, 0));
            for task in tasks {
                assert!(matches!(task.join(), Err(JoinError::Killed)));
            }
            // The hub goes on.
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
        });
    });
    assert_eq!((drops.alive(), ran.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn a_thread_that_ends_before_they_start_drops_nothing_of_theirs() {
    let drops = Drops::new();
    let (tx, rx) = mpsc::channel();
    let guards = [drops.guard(), drops.guard()];
    std::thread::spawn(move || {
        for guard in guards {
            tx.send(spawn(move || drop(guard))).unwrap();
        }
    })
    .join()
    .unwrap();
    for task in rx {
        assert!(task.is_finished());
        assert!(matches!(task.join(), Err(JoinError::Lost)));
    }
    assert_eq!(drops.dropped(), 0);
}

// ---- closures and values ----

/// Spawns a task with a closure and a value of `N` bytes, aligned as `A`.
fn round_trip<A: Copy + Default + 'static, const N: usize>(at_once: bool) {
    let sent = [(); N].map(|()| std::hint::black_box(N as u8));
    let align = A::default();
    let task = spawn(move || {
        assert_eq!((&raw const align).addr() % align_of::<A>(), 0);
        if !at_once {
            yield_now();
        }
        assert!(sent.iter().all(|b| *b == N as u8));
        (align, sent)
    });
    let (_, got) = task.join().unwrap();
    assert_eq!(got, [N as u8; N]);
}

#[test]
fn closures_and_values_of_all_sizes_and_alignments_arrive() {
    #[derive(Clone, Copy, Default)]
    #[repr(align(16))]
    struct A16;
    #[derive(Clone, Copy, Default)]
    #[repr(align(64))]
    struct A64;
    on_a_thread(|| {
        for at_once in [true, false] {
            round_trip::<(), 0>(at_once);
            round_trip::<(), 1>(at_once);
            round_trip::<u64, 16>(at_once);
            round_trip::<u64, 72>(at_once);
            round_trip::<(), 79>(at_once);
            round_trip::<(), 80>(at_once);
            round_trip::<(), 81>(at_once);
            round_trip::<A16, 64>(at_once);
            round_trip::<A16, 80>(at_once);
            round_trip::<A64, 0>(at_once);
            round_trip::<A64, 64>(at_once);
            round_trip::<(), 1000>(at_once);
            round_trip::<(), 5000>(at_once);
        }
        // A small closure with a large value, and the other way round.
        assert_eq!(spawn(|| [7u64; 100]).join().unwrap(), [7; 100]);
        let large = [7u64; 100];
        assert_eq!(
            spawn(move || large.iter().sum::<u64>()).join().unwrap(),
            700
        );
    });
}

#[test]
fn results_wait_for_their_handles_while_others_use_the_stacks() {
    on_a_thread(|| {
        let first: Vec<_> = (0..300).map(|n| spawn(move || vec![n; 3])).collect();
        let panics = spawn(|| std::panic::resume_unwind(Box::new("kept")));
        let panics: task::JoinHandle<()> = panics;
        yield_now();
        for _ in 0..3 {
            let other: Vec<_> = (0..300).map(|n| spawn(move || n)).collect();
            let sum: usize = join_all(other, None).into_iter().map(Result::unwrap).sum();
            assert_eq!(sum, 300 * 299 / 2);
        }
        for (n, task) in first.into_iter().enumerate().rev() {
            assert!(task.is_finished());
            assert_eq!(task.join().unwrap(), vec![n; 3]);
        }
        let payload = panics.join().unwrap_err().into_panic().unwrap();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "kept");
    });
}

#[test]
fn what_nobody_fetches_is_dropped_once() {
    on_a_thread(|| {
        let drops = Drops::new();
        let value = |guard| spawn(move || guard);
        // Before it starts, after it has ended, while it runs.
        drop(value(drops.guard()));
        let ended = value(drops.guard());
        let guard = drops.guard();
        let running = spawn(move || {
            yield_now();
            guard
        });
        yield_now();
        assert_eq!(drops.dropped(), 1);
        drop(ended);
        drop(running);
        assert!(hub::run_until_idle(None));
        yield_now();
        assert_eq!(drops.alive(), 0);
    });
}

#[test]
fn a_panicking_capture_of_a_killed_task_is_contained() {
    struct Panics(Rc<Cell<u32>>);
    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            std::panic::resume_unwind(Box::new("dropped"));
        }
    }
    on_a_thread(|| {
        let dropped = Rc::new(Cell::new(0));
        let bad = Panics(Rc::clone(&dropped));
        let task = spawn(move || {
            let _bad = bad;
        });
        task.kill();
        assert!(matches!(task.join(), Err(JoinError::Killed)));
        // And one that runs: its panic is the task's.
        let bad = Panics(Rc::clone(&dropped));
        let task = spawn(move || drop(bad));
        assert!(task.join().unwrap_err().is_panic());
        assert_eq!(dropped.get(), 2);
        assert!(catch_unwind(AssertUnwindSafe(|| spawn(|| 3).join().unwrap())).is_ok());
    });
}

// ---- from other threads ----

#[test]
fn another_thread_may_ask_anything_of_one_that_has_not_started() {
    let (tx, rx) = mpsc::channel();
    let (go_tx, go_rx) = mpsc::channel::<()>();
    let owner = std::thread::spawn(move || {
        let joined = spawn(|| String::from("joined"));
        let killed = spawn(|| ());
        let woken = spawn(|| {
            task::park();
            2
        });
        let dropped = spawn(|| String::from("dropped"));
        let linked = spawn(|| ());
        tx.send((joined, killed, woken, dropped, linked)).unwrap();
        // Nothing starts before all was asked: the messages are read first.
        go_rx.recv().unwrap();
        hub::run_until_idle(None);
    });
    let (joined, killed, woken, dropped, linked) = rx.recv().unwrap();
    assert!(!joined.is_finished() && !killed.is_finished());
    killed.kill();
    woken.task().unpark();
    drop(dropped);
    let (link_tx, link_rx) = mpsc::channel();
    linked.on_done(move |outcome| link_tx.send(outcome).unwrap());
    let joiner = std::thread::spawn(move || joined.join());
    go_tx.send(()).unwrap();
    assert_eq!(joiner.join().unwrap().unwrap(), "joined");
    assert!(matches!(killed.join(), Err(JoinError::Killed)));
    assert_eq!(woken.join().unwrap(), 2);
    assert_eq!(link_rx.recv().unwrap(), Outcome::Returned);
    linked.join().unwrap();
    owner.join().unwrap();
}

#[test]
fn a_handle_that_outlives_its_task_names_no_later_one() {
    on_a_thread(|| {
        let other = spawn(|| ());
        let stale = other.task();
        other.join().unwrap();
        // The place is used again.
        let next = spawn(|| {
            task::park_timeout(HOUR);
            1
        });
        yield_now();
        stale.unpark();
        yield_now();
        assert!(!next.is_finished());
        assert_ne!(stale.id(), next.id());
        next.task().unpark();
        assert_eq!(next.join().unwrap(), 1);
    });
}
