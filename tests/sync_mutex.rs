//! `sync::Mutex`, as a user and as an enemy.
#![forbid(unsafe_code)]

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use greenloom::sync::{Arc, Mutex, MutexGuard, TryLockError, atomic};
use greenloom::{hub, sleep, spawn, task, timeout, yield_now};
use sharing::{LONG, crowd, doomed, let_pass, panic_text, settle};
use util::Drops;

const MS: Duration = Duration::from_millis(1);

#[test]
fn is_send_and_sync_if_its_value_is_send() {
    assert!(is!(Mutex<Cell<u8>>: Send) && is!(Mutex<Cell<u8>>: Sync));
    assert!(!is!(Mutex<Rc<u8>>: Send) && !is!(Mutex<Rc<u8>>: Sync));
    assert!(!is!(MutexGuard<'static, u8>: Send) && is!(MutexGuard<'static, u8>: Sync));
    assert!(!is!(MutexGuard<'static, Cell<u8>>: Sync));
    assert!(is!(Mutex<Rc<u8>>: UnwindSafe) && is!(Mutex<Cell<u8>>: RefUnwindSafe));
}

#[test]
fn has_the_methods_of_std() {
    static GLOBAL: Mutex<u32> = Mutex::new(7);
    assert_eq!(*GLOBAL.lock().unwrap(), 7);
    let mut m = Mutex::from(1);
    *m.get_mut().unwrap() += 1;
    let guard = m.lock().unwrap();
    assert!(matches!(m.try_lock(), Err(TryLockError::WouldBlock)));
    assert_eq!(format!("{guard:?} {guard}"), "2 2");
    assert_eq!(
        format!("{m:?}"),
        "Mutex { data: <locked>, poisoned: false, .. }"
    );
    drop(guard);
    assert_eq!(format!("{m:?}"), "Mutex { data: 2, poisoned: false, .. }");
    m.clear_poison();
    assert!(!m.is_poisoned());
    assert_eq!(m.into_inner().unwrap(), 2);
    assert_eq!(*Mutex::<String>::default().lock().unwrap(), "");
    // Unsized values too.
    let shapes: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2, 3]));
    shapes.lock().unwrap()[0] = 9;
    assert_eq!(*shapes.lock().unwrap(), [9, 2, 3]);
}

#[test]
fn the_value_is_dropped_once() {
    let drops = Drops::new();
    let m = Mutex::new(drops.guard());
    drop(m.lock().unwrap());
    assert_eq!(drops.dropped(), 0);
    drop(m);
    assert_eq!(drops.dropped(), 1);
    drop(Mutex::new(drops.guard()).into_inner());
    assert_eq!(drops.dropped(), 2);
}

/// Tasks that log the order in which they get `m`.
fn queue_up(
    m: &Arc<Mutex<()>>,
    names: &[usize],
) -> (Rc<RefCell<Vec<usize>>>, Vec<task::JoinHandle<()>>) {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks = names
        .iter()
        .map(|&n| {
            let (m, log) = (Arc::clone(m), Rc::clone(&log));
            spawn(move || {
                let _guard = m.lock().unwrap();
                log.borrow_mut().push(n);
                yield_now();
            })
        })
        .collect();
    settle();
    (log, tasks)
}

#[test]
fn tasks_have_it_in_the_order_of_asking() {
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let (log, tasks) = queue_up(&m, &[0, 1, 2, 3, 4]);
    assert_eq!(*log.borrow(), []);
    drop(guard);
    // It is handed over: who unlocks does not get in again before those that wait.
    assert!(m.try_lock().is_err());
    let (m2, log2) = (Arc::clone(&m), Rc::clone(&log));
    let again = spawn(move || {
        let _guard = m2.lock().unwrap();
        log2.borrow_mut().push(99);
    });
    for t in tasks {
        t.join().unwrap();
    }
    again.join().unwrap();
    assert_eq!(*log.borrow(), [0, 1, 2, 3, 4, 99]);
    assert!(m.try_lock().is_ok());
}

#[test]
fn a_hundred_tasks_lose_no_update() {
    let total = Arc::new(Mutex::new(0));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let total = Arc::clone(&total);
            spawn(move || {
                for _ in 0..10 {
                    let mut total = total.lock().unwrap();
                    let seen = *total;
                    yield_now();
                    *total = seen + 1;
                }
            })
        })
        .collect();
    for t in tasks {
        t.join().unwrap();
    }
    assert_eq!(*total.lock().unwrap(), 1000);
}

#[test]
fn what_is_free_does_not_switch() {
    let m = Arc::new(Mutex::new(()));
    let ran = Rc::new(Cell::new(false));
    let other = {
        let ran = Rc::clone(&ran);
        spawn(move || ran.set(true))
    };
    for _ in 0..1000 {
        drop(m.lock().unwrap());
        drop(m.try_lock().unwrap());
        drop(m.lock_timeout(LONG).unwrap());
    }
    let guard = m.lock().unwrap();
    assert!(m.try_lock().is_err());
    drop(guard);
    assert!(!ran.get());
    other.join().unwrap();
}

#[test]
fn a_waiter_killed_before_its_turn_gets_nothing() {
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let (log, tasks) = queue_up(&m, &[0, 1, 2]);
    tasks[1].kill();
    // Not even scheduled yet: its wait has ended all the same when its turn comes, or it is skipped.
    drop(guard);
    let ends: Vec<_> = tasks.into_iter().map(|t| t.join().is_ok()).collect();
    assert_eq!(ends, [true, false, true]);
    assert_eq!(*log.borrow(), [0, 2]);
    assert!(m.try_lock().is_ok());
}

#[test]
fn a_waiter_killed_after_the_hand_over_has_the_lock() {
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let got = Rc::new(Cell::new(false));
    let waiter = {
        let (m, got) = (Arc::clone(&m), Rc::clone(&got));
        spawn(move || {
            let _guard = m.lock().unwrap();
            got.set(true);
            yield_now();
            unreachable!("the kill is delivered at the next wait");
        })
    };
    settle();
    drop(guard);
    waiter.kill();
    assert!(waiter.join().unwrap_err().is_killed());
    assert!(got.get());
    assert!(m.try_lock().is_ok(), "the guard's drop unlocked");
}

#[test]
fn all_waiters_killed_leave_it_free() {
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let (log, tasks) = queue_up(&m, &[0, 1, 2]);
    for t in &tasks {
        t.kill();
    }
    settle();
    assert!(tasks.iter().all(|t| t.is_finished()));
    drop(guard);
    assert_eq!(*log.borrow(), []);
    assert!(m.try_lock().is_ok());
}

#[test]
fn lock_timeout_gives_up_in_time_and_never_early() {
    let m = Mutex::new(());
    let guard = m.lock().unwrap();
    let begin = std::time::Instant::now();
    assert!(m.lock_timeout(5 * MS).is_none());
    assert!(begin.elapsed() >= 5 * MS);
    assert!(m.lock_timeout(Duration::ZERO).is_none());
    drop(guard);
    assert!(m.lock_timeout(Duration::ZERO).is_some());
    assert!(m.lock_timeout(Duration::MAX).is_some());
}

#[test]
fn lock_timeout_without_end_waits_as_lock_does() {
    let m = Arc::new(Mutex::new(0));
    let guard = m.lock().unwrap();
    let waiter = {
        let m = Arc::clone(&m);
        spawn(move || m.lock_timeout(Duration::MAX).is_some())
    };
    settle();
    assert!(!waiter.is_finished());
    drop(guard);
    assert!(waiter.join().unwrap());
}

#[test]
fn handed_over_at_the_instant_its_time_ran_out_it_is_had() {
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let waiter = {
        let m = Arc::clone(&m);
        spawn(move || m.lock_timeout(2 * MS).is_some())
    };
    yield_now();
    // Its time passes, then it is handed over, then it runs: the grant was first.
    let_pass(5 * MS);
    drop(guard);
    assert!(waiter.join().unwrap());
    assert!(m.try_lock().is_ok());
}

#[test]
fn a_waiter_that_gave_up_is_passed_over() {
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let gives_up = {
        let m = Arc::clone(&m);
        spawn(move || m.lock_timeout(MS).is_none())
    };
    let stays = {
        let m = Arc::clone(&m);
        spawn(move || drop(m.lock().unwrap()))
    };
    assert!(gives_up.join().unwrap());
    assert!(!stays.is_finished());
    drop(guard);
    stays.join().unwrap();
    assert!(m.try_lock().is_ok());
}

#[test]
fn an_enclosing_timeout_unwinds_a_lock_and_ends_a_lock_timeout() {
    let m = Mutex::new(());
    let guard = m.lock().unwrap();
    task::scope(|s| {
        s.spawn(|| {
            assert!(timeout(MS, || drop(m.lock())).is_err());
            let reported = Cell::new(false);
            assert!(timeout(MS, || reported.set(m.lock_timeout(LONG).is_none())).is_err());
            assert!(reported.get(), "reported like its own expiry");
        })
        .join()
        .unwrap();
    });
    drop(guard);
    assert!(m.try_lock().is_ok());
}

#[test]
fn a_panicking_holder_unlocks_and_poisons_nothing() {
    let m = Arc::new(Mutex::new(1));
    let holder = {
        let m = Arc::clone(&m);
        spawn(move || {
            let mut guard = m.lock().unwrap();
            yield_now();
            *guard = 2;
            resume_unwind(Box::new("on purpose"));
        })
    };
    let waiter = {
        let m = Arc::clone(&m);
        spawn(move || *m.lock().unwrap())
    };
    assert!(holder.join().unwrap_err().is_panic());
    assert_eq!(waiter.join().unwrap(), 2);
    assert!(!m.is_poisoned());
}

#[test]
fn one_that_unwinds_waits_for_a_lock_all_the_same() {
    struct Locks(Arc<Mutex<u32>>);
    impl Drop for Locks {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
            assert!(self.0.lock_timeout(Duration::ZERO).is_some());
        }
    }
    let m = Arc::new(Mutex::new(0));
    let guard = m.lock().unwrap();
    let unwinds = {
        let m = Arc::clone(&m);
        spawn(move || {
            let _locks = Locks(m);
            resume_unwind(Box::new("on purpose"));
        })
    };
    settle();
    assert!(!unwinds.is_finished(), "it waits in its unwinding");
    // A kill is held back there.
    unwinds.kill();
    settle();
    assert!(!unwinds.is_finished());
    drop(guard);
    assert!(unwinds.join().unwrap_err().is_panic());
    assert_eq!(*m.lock().unwrap(), 1);
}

#[test]
fn one_that_unwinds_does_not_wait_with_a_time_limit() {
    struct Tries(Arc<Mutex<()>>, Rc<Cell<Option<bool>>>);
    impl Drop for Tries {
        fn drop(&mut self) {
            self.1.set(Some(self.0.lock_timeout(LONG).is_some()));
        }
    }
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let got = Rc::new(Cell::new(None));
    let tries = Tries(Arc::clone(&m), Rc::clone(&got));
    let t = spawn(move || {
        let _tries = tries;
        resume_unwind(Box::new("on purpose"));
    });
    assert!(t.join().unwrap_err().is_panic());
    assert_eq!(got.get(), Some(false));
    drop(guard);
}

#[test]
fn a_shutdown_of_the_hub_frees_what_its_tasks_held() {
    let m = Arc::new(Mutex::new(0));
    let theirs = Arc::clone(&m);
    thread::spawn(move || {
        for _ in 0..3 {
            let m = Arc::clone(&theirs);
            drop(spawn(move || {
                *m.lock().unwrap() += 1;
                let _guard = m.lock().unwrap();
                sleep(LONG);
            }));
        }
        settle();
        let told = hub::shutdown(Duration::ZERO);
        assert_eq!((told.killed, told.left), (3, 0));
    })
    .join()
    .unwrap();
    assert!(m.try_lock().is_ok());
}

#[test]
fn a_guard_may_be_dropped_by_another_task_of_the_thread() {
    let m: &'static Mutex<u8> = Box::leak(Box::new(Mutex::new(1)));
    let guard = m.lock().unwrap();
    let waiter = spawn(|| *m.lock().unwrap());
    yield_now();
    spawn(move || drop(guard)).join().unwrap();
    assert_eq!(waiter.join().unwrap(), 1);
}

#[test]
fn a_callback_of_the_hub_may_lock_what_is_free_and_not_wait() {
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let report = Arc::new(Mutex::new(None));
    let t = spawn(|| ());
    {
        let (m, report) = (Arc::clone(&m), Arc::clone(&report));
        t.on_done(move |_| {
            let text = panic_text(|| drop(m.lock()));
            *report.lock().unwrap() = Some(text);
        });
    }
    t.join().unwrap();
    settle();
    let text = report.lock().unwrap().take().unwrap();
    assert!(
        text.contains("cannot wait here") && text.contains("sync_mutex.rs"),
        "{text}"
    );
    drop(guard);
}

#[test]
fn a_thread_without_greenlets_that_locks_twice_is_told() {
    thread::spawn(|| {
        let m = Mutex::new(());
        let guard = m.lock().unwrap();
        let text = panic_text(|| drop(m.lock()));
        assert!(
            text.starts_with("deadlock: the thread locks a mutex"),
            "{text}"
        );
        // With a limit it is no deadlock.
        assert!(m.lock_timeout(MS).is_none());
        drop(guard);
        assert!(m.lock().is_ok());
    })
    .join()
    .unwrap();
}

#[test]
fn a_thread_may_get_its_hub_while_it_holds_a_lock() {
    thread::spawn(|| {
        let m = Arc::new(Mutex::new(1));
        let mut guard = m.lock().unwrap();
        let waiter = {
            let m = Arc::clone(&m);
            spawn(move || *m.lock().unwrap())
        };
        yield_now();
        *guard = 2;
        drop(guard);
        assert_eq!(waiter.join().unwrap(), 2);
    })
    .join()
    .unwrap();
}

#[test]
fn locks_work_in_the_destructors_of_a_threads_locals() {
    struct AtEnd(Arc<Mutex<u32>>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
            *self.0.lock_timeout(LONG).unwrap() += 1;
        }
    }
    thread_local! {
        static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    }
    let m = Arc::new(Mutex::new(0));
    for with_hub in [false, true] {
        let theirs = Arc::clone(&m);
        let guard = m.lock().unwrap();
        let (tx, rx) = mpsc::channel();
        let t = thread::spawn(move || {
            LAST.set(Some(AtEnd(theirs)));
            if with_hub {
                spawn(|| ()).join().unwrap();
            }
            tx.send(()).unwrap();
        });
        rx.recv().unwrap();
        // So that the destructor may find it locked.
        let_pass(2 * MS);
        drop(guard);
        t.join().unwrap();
    }
    assert_eq!(*m.lock().unwrap(), 4);
}

#[test]
fn what_a_task_of_an_ended_thread_was_given_goes_to_the_next() {
    for patience in [Duration::ZERO, 3 * MS] {
        let m = Arc::new(Mutex::new(()));
        let guard = m.lock().unwrap();
        let theirs = Arc::clone(&m);
        let doomed = doomed(move || {
            let _guard = theirs.lock().unwrap();
            unreachable!("its thread ends first");
        });
        // Told at once, handed over when it has waited for long.
        let_pass(patience);
        let theirs = Arc::clone(&m);
        let next = thread::spawn(move || drop(theirs.lock().unwrap()));
        drop(guard);
        doomed.end();
        next.join().unwrap();
        assert!(m.try_lock().is_ok());
    }
}

#[test]
fn who_waits_on_an_ended_thread_is_passed_over() {
    let m = Arc::new(Mutex::new(()));
    let guard = m.lock().unwrap();
    let theirs = Arc::clone(&m);
    let doomed = doomed(move || drop(theirs.lock()));
    doomed.end();
    drop(guard);
    assert!(m.try_lock().is_ok());
}

#[test]
fn a_lock_held_by_a_task_of_an_ended_thread_stays_locked() {
    let m = Arc::new(Mutex::new(()));
    let theirs = Arc::clone(&m);
    doomed(move || {
        let _guard = theirs.lock().unwrap();
        sleep(LONG);
    })
    .end();
    assert!(m.try_lock().is_err());
    assert!(m.lock_timeout(MS).is_none());
}

#[test]
fn hubs_and_threads_lose_no_update() {
    const ROUNDS: usize = 2_000;
    let m = Arc::new(Mutex::new(0_usize));
    let theirs = Arc::clone(&m);
    crowd(2, 8, 2, move |n| {
        for round in 0..ROUNDS {
            let mut total = theirs.lock().unwrap();
            *total += 1;
            if (round + n) % 7 == 0 {
                yield_now();
            }
        }
    });
    assert_eq!(*m.lock().unwrap(), (2 * 8 + 2) * ROUNDS);
}

#[test]
fn hubs_and_threads_lose_nothing_to_time_limits_and_kills() {
    const ROUNDS: usize = 500;
    let m = Arc::new(Mutex::new(0_usize));
    let got = Arc::new(atomic::AtomicUsize::new(0));
    let (m2, got2) = (Arc::clone(&m), Arc::clone(&got));
    crowd(2, 6, 2, move |n| {
        for round in 0..ROUNDS {
            let (m, got) = (Arc::clone(&m2), Arc::clone(&got2));
            let count = move |mut guard: MutexGuard<'_, usize>| {
                *guard += 1;
                got.fetch_add(1, atomic::Ordering::Relaxed);
            };
            match (n + round) % 3 {
                0 => count(m.lock().unwrap()),
                1 => {
                    let limit = Duration::from_micros(round as u64 % 50);
                    if let Some(guard) = m.lock_timeout(limit) {
                        count(guard);
                    }
                }
                // Plain threads have no tasks to kill.
                _ if n >= 12 => drop(m.try_lock().map(count)),
                _ => {
                    let theirs = Arc::clone(&m);
                    let victim = spawn(move || {
                        let guard = theirs.lock().unwrap();
                        count(guard);
                    });
                    yield_now();
                    victim.kill();
                    let _ = victim.join();
                }
            }
        }
    });
    // Every grant was taken or passed on: it is free, and the counts agree.
    assert_eq!(
        *m.lock_timeout(LONG).unwrap(),
        got.load(atomic::Ordering::Relaxed)
    );
}

#[test]
fn a_waiter_on_another_thread_is_not_starved() {
    let m = Arc::new(Mutex::new(()));
    let stop = Arc::new(atomic::AtomicBool::new(false));
    // One that has the lock almost all the time.
    let greedy = {
        let (m, stop) = (Arc::clone(&m), Arc::clone(&stop));
        thread::spawn(move || {
            while !stop.load(atomic::Ordering::Relaxed) {
                let _guard = m.lock().unwrap();
                let_pass(MS / 10);
            }
        })
    };
    // A thread without a hub, and a task.
    for _ in 0..20 {
        drop(m.lock_timeout(LONG).expect("its turn comes"));
        let theirs = Arc::clone(&m);
        spawn(move || drop(theirs.lock_timeout(LONG).expect("its turn comes")))
            .join()
            .unwrap();
    }
    stop.store(true, atomic::Ordering::Relaxed);
    greedy.join().unwrap();
}

#[test]
fn user_code_may_use_the_lock_from_drop_debug_and_default() {
    // None of the crate's own state is locked meanwhile.
    struct Nosy(Arc<Mutex<u32>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    impl std::fmt::Debug for Nosy {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}", self.0.lock().unwrap())
        }
    }
    let count = Arc::new(Mutex::new(0));
    let m = Mutex::new(Nosy(Arc::clone(&count)));
    assert!(format!("{m:?}").contains("data: 0"));
    *m.lock().unwrap() = Nosy(Arc::clone(&count));
    drop(m);
    assert_eq!(*count.lock().unwrap(), 2);
    assert!(catch_unwind(AssertUnwindSafe(|| count.lock())).is_ok());
}
