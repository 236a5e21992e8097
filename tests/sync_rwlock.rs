//! `sync::RwLock`, as a user and as an enemy.
#![forbid(unsafe_code)]

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;

use std::cell::{Cell, RefCell};
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use greenloom::sync::{
    Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, atomic,
};
use greenloom::task::JoinHandle;
use greenloom::{spawn, timeout, yield_now};
use sharing::{LONG, crowd, doomed, let_pass, panic_text, settle};

const MS: Duration = Duration::from_millis(1);

#[test]
fn is_sync_only_if_its_value_is() {
    assert!(is!(RwLock<Cell<u8>>: Send) && !is!(RwLock<Cell<u8>>: Sync));
    assert!(is!(RwLock<u8>: Sync) && !is!(RwLock<Rc<u8>>: Send));
    assert!(!is!(RwLockReadGuard<'static, u8>: Send) && is!(RwLockReadGuard<'static, u8>: Sync));
    assert!(!is!(RwLockWriteGuard<'static, u8>: Send) && is!(RwLockWriteGuard<'static, u8>: Sync));
    assert!(is!(RwLock<Rc<u8>>: UnwindSafe) && is!(RwLock<Cell<u8>>: RefUnwindSafe));
}

#[test]
fn has_the_methods_of_std() {
    static GLOBAL: RwLock<u32> = RwLock::new(7);
    assert_eq!(*GLOBAL.read().unwrap(), 7);
    let mut l = RwLock::from(1);
    *l.get_mut().unwrap() += 1;
    let (a, b) = (l.read().unwrap(), l.try_read().unwrap());
    assert!(matches!(l.try_write(), Err(TryLockError::WouldBlock)));
    assert_eq!(format!("{a:?} {b}"), "2 2");
    assert_eq!(format!("{l:?}"), "RwLock { data: 2, poisoned: false, .. }");
    drop((a, b));
    let w = l.write().unwrap();
    assert!(matches!(l.try_read(), Err(TryLockError::WouldBlock)));
    assert_eq!(format!("{w:?} {w}"), "2 2");
    assert_eq!(
        format!("{l:?}"),
        "RwLock { data: <locked>, poisoned: false, .. }"
    );
    drop(w);
    l.clear_poison();
    assert!(!l.is_poisoned());
    assert_eq!(l.into_inner().unwrap(), 2);
    assert_eq!(*RwLock::<String>::default().read().unwrap(), "");
    let unsized_: Arc<RwLock<[u8]>> = Arc::new(RwLock::new([1, 2]));
    assert_eq!(unsized_.read().unwrap().len(), 2);
}

/// Tasks that queue up as `r`eaders and `w`riters, hold the lock for a turn, and log what happens.
fn queue_up(l: &Arc<RwLock<()>>, kinds: &str) -> (Rc<RefCell<String>>, Vec<JoinHandle<()>>) {
    let log = Rc::new(RefCell::new(String::new()));
    let tasks = kinds
        .chars()
        .map(|kind| {
            let (l, log) = (Arc::clone(l), Rc::clone(&log));
            spawn(move || {
                let say = |what: &str| log.borrow_mut().push_str(what);
                if kind == 'r' {
                    let _guard = l.read().unwrap();
                    say("(");
                    yield_now();
                    say(")");
                } else {
                    let _guard = l.write().unwrap();
                    say("[");
                    yield_now();
                    say("]");
                }
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
fn all_come_in_the_order_of_asking_and_readers_together() {
    let l = Arc::new(RwLock::new(()));
    let w = l.write().unwrap();
    let (log, tasks) = queue_up(&l, "rrwrrrww");
    assert_eq!(*log.borrow(), "");
    drop(w);
    join_all(tasks);
    assert_eq!(*log.borrow(), "(())[]((()))[][]");
    assert!(l.try_write().is_ok());
}

#[test]
fn a_writer_that_waits_stops_new_readers() {
    let l = Arc::new(RwLock::new(()));
    let r = l.read().unwrap();
    let (log, tasks) = queue_up(&l, "wr");
    assert!(l.try_read().is_err(), "not past the writer");
    assert!(l.read_timeout(MS).is_none());
    drop(r);
    join_all(tasks);
    assert_eq!(*log.borrow(), "[]()");
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let l = Arc::new(RwLock::new(()));
    let r = l.read().unwrap();
    let writer = {
        let l = Arc::clone(&l);
        spawn(move || l.write_timeout(MS).is_none())
    };
    yield_now();
    let (log, tasks) = queue_up(&l, "rr");
    assert!(writer.join().unwrap());
    join_all(tasks);
    assert_eq!(*log.borrow(), "(())");
    drop(r);
    assert!(l.try_write().is_ok());
}

#[test]
fn a_writer_that_is_killed_lets_the_readers_behind_it_in() {
    let l = Arc::new(RwLock::new(()));
    let r = l.read().unwrap();
    let (log, mut tasks) = queue_up(&l, "wrr");
    let writer = tasks.remove(0);
    writer.kill();
    assert!(writer.join().unwrap_err().is_killed());
    join_all(tasks);
    assert_eq!(*log.borrow(), "(())");
    drop(r);
    assert!(l.try_write().is_ok());
}

#[test]
fn one_killed_after_it_was_let_in_has_the_lock() {
    for kind in ["r", "w"] {
        let l = Arc::new(RwLock::new(()));
        let w = l.write().unwrap();
        let (log, tasks) = queue_up(&l, kind);
        drop(w);
        for t in tasks {
            t.kill();
            assert!(t.join().unwrap_err().is_killed());
        }
        assert_eq!(log.borrow().len(), 1, "it got in, and no further");
        assert!(l.try_write().is_ok());
    }
}

#[test]
fn one_let_in_at_the_instant_its_time_ran_out_has_the_lock() {
    let l = Arc::new(RwLock::new(()));
    let w = l.write().unwrap();
    let tasks: Vec<_> = [true, false]
        .map(|reads| {
            let l = Arc::clone(&l);
            spawn(move || {
                if reads {
                    l.read_timeout(2 * MS).is_some()
                } else {
                    l.write_timeout(2 * MS).is_some()
                }
            })
        })
        .into();
    yield_now();
    let_pass(5 * MS);
    drop(w);
    let had: Vec<_> = tasks.into_iter().map(|t| t.join().unwrap()).collect();
    // Each was let in before it had looked at its time.
    assert_eq!(had, [true, true]);
    assert!(l.try_write().is_ok());
}

#[test]
fn time_limits_of_zero_and_for_ever() {
    let l = Arc::new(RwLock::new(()));
    assert!(l.read_timeout(Duration::ZERO).is_some());
    assert!(l.write_timeout(Duration::MAX).is_some());
    let w = l.write().unwrap();
    assert!(l.read_timeout(Duration::ZERO).is_none());
    assert!(l.write_timeout(MS).is_none());
    let reader = {
        let l = Arc::clone(&l);
        spawn(move || l.read_timeout(Duration::MAX).is_some())
    };
    settle();
    assert!(!reader.is_finished());
    drop(w);
    assert!(reader.join().unwrap());
}

#[test]
fn what_is_free_does_not_switch() {
    let l = RwLock::new(());
    let ran = Rc::new(Cell::new(false));
    let other = {
        let ran = Rc::clone(&ran);
        spawn(move || ran.set(true))
    };
    for _ in 0..1000 {
        drop((
            l.read().unwrap(),
            l.try_read().unwrap(),
            l.read_timeout(LONG),
        ));
        drop(l.write().unwrap());
        drop(RwLockWriteGuard::downgrade(l.try_write().unwrap()));
    }
    assert!(!ran.get());
    other.join().unwrap();
}

#[test]
fn a_downgraded_writer_reads_with_others_and_no_writer_comes_between() {
    let l = Arc::new(RwLock::new(()));
    let w = l.write().unwrap();
    let (log, tasks) = queue_up(&l, "rrwr");
    let r = RwLockWriteGuard::downgrade(w);
    settle();
    assert_eq!(*log.borrow(), "(())", "readers at the head come in");
    drop(r);
    join_all(tasks);
    assert_eq!(*log.borrow(), "(())[]()");
    assert!(l.try_write().is_ok());
}

#[test]
fn panicking_holders_unlock_and_poison_nothing() {
    let l = Arc::new(RwLock::new(1));
    for write in [false, true] {
        let theirs = Arc::clone(&l);
        let holder = spawn(move || {
            if write {
                *theirs.write().unwrap() = 2;
                let _w = theirs.write();
                resume_unwind(Box::new("on purpose"));
            } else {
                let _r = theirs.read();
                resume_unwind(Box::new("on purpose"));
            }
        });
        assert!(holder.join().unwrap_err().is_panic());
    }
    assert_eq!(*l.write().unwrap(), 2);
    assert!(!l.is_poisoned());
}

#[test]
fn an_enclosing_timeout_unwinds_or_is_reported() {
    let l = Arc::new(RwLock::new(()));
    let w = l.write().unwrap();
    let t = {
        let l = Arc::clone(&l);
        spawn(move || {
            assert!(timeout(MS, || drop(l.read())).is_err());
            assert!(timeout(MS, || drop(l.write())).is_err());
            let told = timeout(MS, || l.read_timeout(LONG).is_none());
            assert_eq!(told.unwrap_err().into_value(), Some(true));
        })
    };
    t.join().unwrap();
    drop(w);
    assert!(l.try_write().is_ok());
}

#[test]
fn a_thread_without_greenlets_that_locks_what_it_writes_is_told() {
    thread::spawn(|| {
        let l = RwLock::new(());
        let w = l.write().unwrap();
        assert!(panic_text(|| drop(l.read())).starts_with("deadlock: the thread locks"));
        assert!(panic_text(|| drop(l.write())).starts_with("deadlock: the thread locks"));
        drop(w);
        assert!(l.try_write().is_ok());
    })
    .join()
    .unwrap();
}

#[test]
fn what_a_task_of_an_ended_thread_was_let_into_is_let_go() {
    for write in [false, true] {
        let l = Arc::new(RwLock::new(()));
        let w = l.write().unwrap();
        let theirs = Arc::clone(&l);
        let doomed = doomed(move || {
            if write {
                drop(theirs.write());
            } else {
                drop(theirs.read());
            }
            unreachable!("its thread ends first");
        });
        drop(w);
        let theirs = Arc::clone(&l);
        let next = thread::spawn(move || drop(theirs.write().unwrap()));
        doomed.end();
        next.join().unwrap();
        assert!(l.try_write().is_ok());
    }
}

#[test]
fn hubs_and_threads_see_whole_writes_and_lose_none() {
    const ROUNDS: usize = 1_000;
    let l = Arc::new(RwLock::new([0_usize; 4]));
    let written = Arc::new(atomic::AtomicUsize::new(0));
    let (theirs, count) = (Arc::clone(&l), Arc::clone(&written));
    crowd(2, 6, 2, move |n| {
        for round in 0..ROUNDS {
            if (n + round) % 4 == 0 {
                let guard = if round % 8 < 4 {
                    Some(theirs.write().unwrap())
                } else {
                    theirs.write_timeout(Duration::from_micros(20))
                };
                if let Some(mut all) = guard {
                    for one in all.iter_mut() {
                        *one += 1;
                    }
                    count.fetch_add(1, atomic::Ordering::Relaxed);
                }
            } else {
                let all = theirs.read().unwrap();
                assert!(all.iter().all(|one| *one == all[0]));
                if round % 16 == 0 {
                    yield_now();
                }
                assert!(all.iter().all(|one| *one == all[0]));
            }
        }
    });
    let all = l.write_timeout(LONG).expect("nobody has it");
    assert_eq!(*all, [written.load(atomic::Ordering::Relaxed); 4]);
}

#[test]
fn kills_at_any_moment_leave_it_free() {
    let l = Arc::new(RwLock::new(()));
    let rounds = Arc::new(Mutex::new(0));
    let (theirs, r) = (Arc::clone(&l), Arc::clone(&rounds));
    crowd(2, 4, 0, move |n| {
        for round in 0..300 {
            let l = Arc::clone(&theirs);
            let victim = spawn(move || {
                for turn in 0..10 {
                    if (n + turn) % 3 == 0 {
                        let _w = l.write();
                        yield_now();
                    } else {
                        let _r = l.read();
                        yield_now();
                    }
                }
            });
            for _ in 0..round % 5 {
                yield_now();
            }
            victim.kill();
            let _ = victim.join();
        }
        *r.lock().unwrap() += 1;
    });
    assert_eq!(*rounds.lock().unwrap(), 8);
    assert!(l.try_write().is_ok());
}
