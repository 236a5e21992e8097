//! `sync::Once`, `OnceLock` and `LazyLock`, as a user and as an enemy.
#![forbid(unsafe_code)]

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, LazyLock, Mutex, Once, OnceLock, OnceState};
use greenloom::{spawn, task, timeout, yield_now};
use sharing::{crowd, doomed, panic_text, settle};
use util::Drops;

const MS: Duration = Duration::from_millis(1);

#[test]
fn are_send_and_sync_as_in_std() {
    assert!(is!(Once: Send) && is!(Once: Sync));
    assert!(is!(Once: UnwindSafe) && is!(Once: RefUnwindSafe));
    assert!(is!(OnceLock<Cell<u8>>: Send) && !is!(OnceLock<Cell<u8>>: Sync));
    assert!(is!(OnceLock<u8>: Sync) && !is!(OnceLock<Rc<u8>>: Send));
    assert!(is!(LazyLock<u8>: Sync) && !is!(LazyLock<Cell<u8>>: Sync));
    assert!(!is!(LazyLock<u8, Rc<u8>>: Sync) && is!(LazyLock<u8, Cell<u8>>: Sync));
    assert!(is!(OnceLock<u8>: RefUnwindSafe) && is!(LazyLock<u8>: RefUnwindSafe));
    assert!(is!(OnceState: std::fmt::Debug));
}

#[test]
fn the_first_one_runs_the_others_wait_for_it() {
    let once = Arc::new(Once::new());
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|n| {
            let (once, log) = (Arc::clone(&once), Rc::clone(&log));
            spawn(move || {
                once.call_once(|| {
                    log.borrow_mut().push(format!("{n} begins"));
                    yield_now();
                    yield_now();
                    log.borrow_mut().push(format!("{n} ends"));
                });
                assert!(once.is_completed());
                log.borrow_mut().push(format!("{n} goes on"));
            })
        })
        .collect();
    let watcher = {
        let once = Arc::clone(&once);
        spawn(move || {
            once.wait();
            once.wait_force();
            once.is_completed()
        })
    };
    for t in tasks {
        t.join().unwrap();
    }
    assert!(watcher.join().unwrap());
    assert_eq!(
        *log.borrow(),
        ["0 begins", "0 ends", "0 goes on", "1 goes on", "2 goes on"]
    );
    assert_eq!(format!("{once:?}"), "Once { is_completed: true, .. }");
}

#[test]
fn a_failed_attempt_counts_for_nothing_and_the_next_one_tries() {
    for kill in [false, true] {
        let once = Arc::new(Once::new());
        let fails = {
            let once = Arc::clone(&once);
            spawn(move || {
                once.call_once(|| {
                    yield_now();
                    task::park();
                    resume_unwind(Box::new("on purpose"));
                });
            })
        };
        yield_now();
        let log = Rc::new(RefCell::new(Vec::new()));
        let others: Vec<_> = (0..3)
            .map(|n| {
                let (once, log) = (Arc::clone(&once), Rc::clone(&log));
                spawn(move || {
                    once.call_once_force(|state| {
                        assert!(state.is_poisoned());
                        log.borrow_mut().push(n);
                        yield_now();
                    });
                })
            })
            .collect();
        let watcher = {
            let once = Arc::clone(&once);
            spawn(move || once.wait())
        };
        settle();
        if kill {
            fails.kill();
        } else {
            fails.task().unpark();
        }
        let error = fails.join().unwrap_err();
        assert_eq!(error.is_killed(), kill);
        for t in others {
            t.join().unwrap();
        }
        watcher.join().unwrap();
        assert_eq!(*log.borrow(), [0], "the first that waited, and no other");
    }
}

#[test]
fn one_that_is_told_to_try_and_killed_passes_it_on() {
    let once = Arc::new(Once::new());
    let park = |once: &Arc<Once>| {
        let once = Arc::clone(once);
        spawn(move || once.call_once(task::park))
    };
    let tasks = [park(&once), park(&once), park(&once)];
    settle();
    tasks[0].kill();
    settle();
    // The second is at it now; the third waits.
    assert!(!once.is_completed());
    tasks[1].kill();
    settle();
    tasks[2].task().unpark();
    let ends = tasks.map(|t| t.join().is_ok());
    assert_eq!(ends, [false, false, true]);
    assert!(once.is_completed());
}

#[test]
fn an_initialisation_that_needs_itself_panics() {
    let once = Once::new();
    let text = panic_text(|| once.call_once(|| once.call_once(|| ())));
    assert!(text.contains("needs its own result"), "{text}");
    let text = panic_text(|| once.call_once(|| once.wait()));
    assert!(text.contains("needs its own result"), "{text}");
    once.call_once(|| ());
    assert!(once.is_completed());
    let cell = OnceLock::new();
    let text = panic_text(|| *cell.get_or_init(|| *cell.get_or_init(|| 1) + 1));
    assert!(text.contains("needs its own result"), "{text}");
    assert_eq!(*cell.get_or_init(|| 5), 5);
}

#[test]
fn an_enclosing_timeout_ends_the_wait_of_who_is_not_at_it() {
    let once = Arc::new(Once::new());
    let at_it = {
        let once = Arc::clone(&once);
        spawn(move || once.call_once(task::park))
    };
    yield_now();
    let q = Arc::clone(&once);
    let late = spawn(move || timeout(MS, || q.call_once(|| unreachable!())).is_err());
    assert!(late.join().unwrap());
    at_it.task().unpark();
    at_it.join().unwrap();
    assert!(once.is_completed());
}

#[test]
fn a_task_that_was_told_and_whose_thread_ends_passes_it_on() {
    let once = Arc::new(Once::new());
    let at_it = {
        let once = Arc::clone(&once);
        spawn(move || once.call_once(task::park))
    };
    yield_now();
    let q = Arc::clone(&once);
    let told = doomed(move || q.call_once(|| unreachable!("its thread ends first")));
    let q = Arc::clone(&once);
    let (tx, rx) = std::sync::mpsc::channel();
    let next = thread::spawn(move || {
        tx.send(()).unwrap();
        q.call_once(|| ());
    });
    rx.recv().unwrap();
    at_it.kill();
    assert!(at_it.join().unwrap_err().is_killed());
    told.end();
    next.join().unwrap();
    assert!(once.is_completed());
}

#[test]
fn hubs_and_threads_run_it_once() {
    for _ in 0..20 {
        let (once, runs) = (Arc::new(Once::new()), Arc::new(AtomicUsize::new(0)));
        let attempts = Arc::new(AtomicUsize::new(0));
        let (o, r) = (Arc::clone(&once), Arc::clone(&runs));
        crowd(2, 4, 2, move |_| {
            loop {
                let attempt = catch_unwind(AssertUnwindSafe(|| {
                    o.call_once(|| {
                        // The first few fail.
                        if attempts.fetch_add(1, Ordering::SeqCst) < 3 {
                            resume_unwind(Box::new("on purpose"));
                        }
                        yield_now();
                        r.fetch_add(1, Ordering::SeqCst);
                    });
                }));
                if attempt.is_ok() {
                    assert!(o.is_completed());
                    assert_eq!(r.load(Ordering::SeqCst), 1);
                    return;
                }
            }
        });
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn once_lock_has_the_methods_of_std() {
    let mut cell = OnceLock::new();
    assert_eq!(cell.get(), None);
    assert_eq!(cell.get_mut(), None);
    assert_eq!(cell.take(), None);
    assert_eq!(format!("{cell:?}"), "OnceLock(<uninit>)");
    assert_eq!(cell.set(1), Ok(()));
    assert_eq!(cell.set(2), Err(2));
    assert_eq!(*cell.get_or_init(|| unreachable!()), 1);
    assert_eq!(*cell.wait(), 1);
    *cell.get_mut().unwrap() = 3;
    assert_eq!(format!("{cell:?}"), "OnceLock(3)");
    assert_eq!(cell.clone(), cell);
    assert_eq!(cell, OnceLock::from(3));
    assert_ne!(cell, OnceLock::default());
    assert_eq!(cell.take(), Some(3));
    assert_eq!(cell, OnceLock::new());
    assert_eq!(*cell.get_or_init(|| 4), 4);
    assert_eq!(cell.into_inner(), Some(4));
}

#[test]
fn once_lock_drops_its_value_once() {
    let drops = Drops::new();
    let cell = OnceLock::new();
    assert!(cell.set(drops.guard()).is_ok());
    drop(cell.set(drops.guard()));
    assert_eq!(drops.dropped(), 1);
    let text = panic_text(|| {
        OnceLock::new().get_or_init(|| -> util::Counted {
            let _made = drops.guard();
            panic!("on purpose")
        });
    });
    assert_eq!((text.as_str(), drops.dropped()), ("on purpose", 2));
    drop(cell);
    assert_eq!((drops.alive(), drops.dropped()), (0, 3));
}

#[test]
fn once_lock_waits_for_whoever_is_making_the_value() {
    let cell = Arc::new(OnceLock::new());
    let maker = {
        let cell = Arc::clone(&cell);
        spawn(move || {
            *cell.get_or_init(|| {
                task::park();
                1
            })
        })
    };
    yield_now();
    assert_eq!(cell.get(), None);
    let setter = {
        let cell = Arc::clone(&cell);
        spawn(move || cell.set(2))
    };
    let waiter = {
        let cell = Arc::clone(&cell);
        spawn(move || *cell.wait())
    };
    settle();
    assert!(!setter.is_finished() && !waiter.is_finished());
    maker.task().unpark();
    assert_eq!(maker.join().unwrap(), 1);
    assert_eq!(setter.join().unwrap(), Err(2));
    assert_eq!(waiter.join().unwrap(), 1);
}

#[test]
fn a_killed_maker_leaves_the_cell_to_the_next() {
    let cell = Arc::new(OnceLock::new());
    let maker = {
        let cell = Arc::clone(&cell);
        spawn(move || {
            cell.get_or_init(|| {
                task::park();
                1
            });
        })
    };
    yield_now();
    let waiter = {
        let cell = Arc::clone(&cell);
        spawn(move || *cell.wait())
    };
    let setter = {
        let cell = Arc::clone(&cell);
        spawn(move || cell.set(2))
    };
    settle();
    maker.kill();
    assert!(maker.join().unwrap_err().is_killed());
    assert_eq!(setter.join().unwrap(), Ok(()));
    assert_eq!(waiter.join().unwrap(), 2);
}

#[test]
fn lazy_lock_makes_its_value_at_the_first_use() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static LAZY: LazyLock<Mutex<u32>> = LazyLock::new(|| {
        RUNS.fetch_add(1, Ordering::SeqCst);
        Mutex::new(7)
    });
    assert!(LazyLock::get(&LAZY).is_none());
    assert_eq!(format!("{LAZY:?}"), "LazyLock(<uninit>)");
    *LAZY.lock().unwrap() += 1;
    assert_eq!(*LazyLock::force(&LAZY).lock().unwrap(), 8);
    assert_eq!(RUNS.load(Ordering::SeqCst), 1);
    let captured = "captured".to_owned();
    let mut lazy = LazyLock::new(move || captured);
    assert!(LazyLock::get_mut(&mut lazy).is_none());
    LazyLock::force_mut(&mut lazy).push('!');
    assert_eq!(
        (lazy.as_str(), LazyLock::get(&lazy).unwrap().len()),
        ("captured!", 9)
    );
    assert_eq!(*LazyLock::<u8>::default(), 0);
}

#[test]
fn lazy_lock_runs_its_initialiser_to_the_end_through_kills_and_timeouts() {
    let lazy = Arc::new(LazyLock::new(|| {
        task::park();
        yield_now();
        5
    }));
    let first = {
        let lazy = Arc::clone(&lazy);
        spawn(move || {
            timeout(MS, || {
                assert_eq!(**lazy, 5);
                yield_now();
                unreachable!("the kill comes here");
            })
        })
    };
    settle();
    first.kill();
    settle();
    let second = {
        let lazy = Arc::clone(&lazy);
        spawn(move || **lazy)
    };
    settle();
    assert!(!second.is_finished());
    first.task().unpark();
    assert_eq!(second.join().unwrap(), 5);
    assert!(first.join().unwrap_err().is_killed());
}

#[test]
fn a_lazy_lock_whose_initialiser_panicked_says_so_ever_after() {
    let lazy: LazyLock<u8> = LazyLock::new(|| panic!("on purpose"));
    assert_eq!(panic_text(|| *lazy), "on purpose");
    for _ in 0..2 {
        let text = panic_text(|| *LazyLock::force(&lazy));
        assert!(text.contains("has panicked before"), "{text}");
    }
    assert!(LazyLock::get(&lazy).is_none());
}

#[test]
fn threads_without_a_hub_share_a_lazy_lock() {
    let runs = Arc::new(AtomicUsize::new(0));
    let r = Arc::clone(&runs);
    let lazy = Arc::new(LazyLock::new(move || r.fetch_add(1, Ordering::SeqCst)));
    crowd(0, 0, 4, move |_| assert_eq!(**lazy, 0));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
