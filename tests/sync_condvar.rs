//! `sync::Condvar`, as a user and as an enemy.
#![forbid(unsafe_code)]

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;

use std::cell::{Cell, RefCell};
use std::panic::{RefUnwindSafe, UnwindSafe, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use greenloom::sync::{Arc, Condvar, Mutex, WaitTimeoutResult};
use greenloom::task::JoinHandle;
use greenloom::{sleep, spawn, timeout, yield_now};
use sharing::{LONG, crowd, doomed, let_pass, panic_text, settle};

const MS: Duration = Duration::from_millis(1);

type Pair = Arc<(Mutex<usize>, Condvar)>;

fn pair() -> Pair {
    Arc::new((Mutex::new(0), Condvar::new()))
}

#[test]
fn is_send_and_sync() {
    assert!(is!(Condvar: Send) && is!(Condvar: Sync));
    assert!(is!(Condvar: UnwindSafe) && is!(Condvar: RefUnwindSafe));
    assert!(is!(WaitTimeoutResult: Copy) && is!(WaitTimeoutResult: Eq));
    static GLOBAL: Condvar = Condvar::new();
    GLOBAL.notify_all();
    Condvar::default().notify_one();
}

/// Tasks that wait, and log the order in which they go on.
fn waiters(p: &Pair, count: usize) -> (Rc<RefCell<Vec<usize>>>, Vec<JoinHandle<()>>) {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks = (0..count)
        .map(|n| {
            let (p, log) = (Arc::clone(p), Rc::clone(&log));
            spawn(move || {
                let guard = p.0.lock().unwrap();
                drop(p.1.wait(guard).unwrap());
                log.borrow_mut().push(n);
            })
        })
        .collect();
    settle();
    (log, tasks)
}

#[test]
fn notify_wakes_in_order_one_several_or_all() {
    let p = pair();
    let (log, tasks) = waiters(&p, 10);
    p.1.notify_one();
    settle();
    assert_eq!(*log.borrow(), [0]);
    p.1.notify_n(3);
    settle();
    assert_eq!(*log.borrow(), [0, 1, 2, 3]);
    p.1.notify_n(0);
    settle();
    assert_eq!(log.borrow().len(), 4);
    p.1.notify_all();
    settle();
    assert_eq!(*log.borrow(), (0..10).collect::<Vec<_>>());
    for t in tasks {
        t.join().unwrap();
    }
    // Nobody is there: nothing is kept.
    p.1.notify_n(usize::MAX);
    p.1.notify_all();
    let guard = p.0.lock().unwrap();
    assert!(p.1.wait_timeout(guard, MS).unwrap().1.timed_out());
}

#[test]
fn waiting_lets_the_mutex_go_and_notifying_does_not() {
    let p = pair();
    let (log, tasks) = waiters(&p, 1);
    let guard = p.0.try_lock().expect("who waits does not hold it");
    p.1.notify_one();
    settle();
    assert_eq!(*log.borrow(), [], "the notifier still holds it");
    drop(guard);
    settle();
    assert_eq!(*log.borrow(), [0]);
    for t in tasks {
        t.join().unwrap();
    }
}

#[test]
fn wait_while_asks_before_and_after_each_wait() {
    let p = pair();
    let asked = Rc::new(Cell::new(0));
    let t = {
        let (p, asked) = (Arc::clone(&p), Rc::clone(&asked));
        spawn(move || {
            let guard = p.0.lock().unwrap();
            let guard = p.1.wait_while(guard, |n| {
                asked.set(asked.get() + 1);
                *n < 3
            });
            *guard.unwrap()
        })
    };
    settle();
    for n in 1..=3 {
        assert!(!t.is_finished());
        *p.0.lock().unwrap() = n;
        p.1.notify_one();
        settle();
    }
    assert_eq!(t.join().unwrap(), 3);
    assert_eq!(asked.get(), 4);
    // Not at all.
    let guard = p.0.lock().unwrap();
    assert_eq!(*p.1.wait_while(guard, |_| false).unwrap(), 3);
}

#[test]
fn a_panicking_condition_unlocks() {
    let p = pair();
    let guard = p.0.lock().unwrap();
    let text = panic_text(|| p.1.wait_while(guard, |_| panic!("on purpose")).is_ok());
    assert_eq!(text, "on purpose");
    assert!(p.0.try_lock().is_ok());
}

#[test]
fn timed_waits_end_by_time_never_early_and_lock_again() {
    let p = pair();
    let begin = Instant::now();
    let guard = p.0.lock().unwrap();
    let (guard, told) = p.1.wait_timeout(guard, 5 * MS).unwrap();
    assert!(told.timed_out() && begin.elapsed() >= 5 * MS);
    assert!(p.0.try_lock().is_err());
    let (guard, told) = p.1.wait_timeout(guard, Duration::ZERO).unwrap();
    assert!(told.timed_out());
    let (guard, told) = p.1.wait_timeout_while(guard, 2 * MS, |_| true).unwrap();
    assert!(told.timed_out());
    let (guard, told) =
        p.1.wait_timeout_while(guard, Duration::ZERO, |_| false)
            .unwrap();
    assert!(!told.timed_out());
    drop(guard);
    for limit in [LONG, Duration::MAX] {
        let t = {
            let p = Arc::clone(&p);
            spawn(move || {
                let guard = p.0.lock().unwrap();
                p.1.wait_timeout(guard, limit).unwrap().1.timed_out()
            })
        };
        settle();
        p.1.notify_one();
        assert!(!t.join().unwrap());
    }
}

#[test]
fn wait_timeout_while_counts_its_time_over_all_its_waits() {
    let p = pair();
    let t = {
        let p = Arc::clone(&p);
        spawn(move || {
            let guard = p.0.lock().unwrap();
            let (guard, told) = p.1.wait_timeout_while(guard, 20 * MS, |_| true).unwrap();
            (*guard, told.timed_out())
        })
    };
    let begin = Instant::now();
    let mut notified = 0;
    while !t.is_finished() {
        p.1.notify_one();
        notified += 1;
        sleep(MS / 2);
    }
    assert_eq!(t.join().unwrap(), (0, true));
    assert!(begin.elapsed() >= 20 * MS && notified > 1);
}

#[test]
fn a_waiter_killed_before_the_notification_takes_none() {
    let p = pair();
    let (log, tasks) = waiters(&p, 3);
    tasks[0].kill();
    settle();
    assert!(tasks[0].is_finished());
    assert!(p.0.try_lock().is_ok(), "it did not lock again");
    p.1.notify_one();
    settle();
    assert_eq!(*log.borrow(), [1]);
    p.1.notify_one();
    settle();
    assert_eq!(*log.borrow(), [1, 2]);
}

#[test]
fn a_waiter_killed_after_the_notification_has_it() {
    let p = pair();
    let got = Rc::new(Cell::new(false));
    let t = {
        let (p, got) = (Arc::clone(&p), Rc::clone(&got));
        spawn(move || {
            let guard = p.0.lock().unwrap();
            let guard = p.1.wait(guard).unwrap();
            got.set(true);
            drop(guard);
            yield_now();
            unreachable!("the kill is delivered at the next wait");
        })
    };
    settle();
    // Locked, so that it has to wait for the mutex, killed.
    let guard = p.0.lock().unwrap();
    p.1.notify_one();
    settle();
    t.kill();
    settle();
    assert!(!t.is_finished() && !got.get());
    drop(guard);
    assert!(t.join().unwrap_err().is_killed());
    assert!(got.get());
    assert!(p.0.try_lock().is_ok());
}

#[test]
fn an_enclosing_timeout_does_not_take_a_notification_along() {
    let p = pair();
    let guard = p.0.lock().unwrap();
    let t = {
        let p = Arc::clone(&p);
        spawn(move || {
            let mut returned = false;
            let late = timeout(3 * MS, || {
                let guard = p.0.lock().unwrap();
                drop(p.1.wait(guard).unwrap());
                returned = true;
                yield_now();
            });
            (late.is_err(), returned)
        })
    };
    drop(guard);
    settle();
    let guard = p.0.lock().unwrap();
    p.1.notify_one();
    settle();
    let_pass(5 * MS);
    settle();
    drop(guard);
    assert_eq!(
        t.join().unwrap(),
        (true, true),
        "it returned, the next wait unwound"
    );
}

#[test]
fn an_enclosing_timeout_unwinds_a_wait_and_ends_a_timed_one() {
    let p = pair();
    let q = Arc::clone(&p);
    spawn(move || {
        assert!(timeout(MS, || drop(q.1.wait(q.0.lock().unwrap()))).is_err());
        assert!(q.0.try_lock().is_ok());
        let late = timeout(MS, || {
            let (guard, told) = q.1.wait_timeout(q.0.lock().unwrap(), LONG).unwrap();
            assert!(q.0.try_lock().is_err());
            drop(guard);
            told.timed_out()
        });
        assert_eq!(late.unwrap_err().into_value(), Some(true));
    })
    .join()
    .unwrap();
    assert!(p.0.try_lock().is_ok());
}

#[test]
fn notified_at_the_instant_its_time_ran_out_it_is_not_timed_out() {
    let p = pair();
    let t = {
        let p = Arc::clone(&p);
        spawn(move || {
            let guard = p.0.lock().unwrap();
            p.1.wait_timeout(guard, 2 * MS).unwrap().1.timed_out()
        })
    };
    yield_now();
    let_pass(5 * MS);
    p.1.notify_one();
    assert!(!t.join().unwrap());
}

#[test]
fn one_that_timed_out_takes_no_notification() {
    let p = pair();
    let t = {
        let p = Arc::clone(&p);
        spawn(move || {
            let guard = p.0.lock().unwrap();
            p.1.wait_timeout(guard, MS).unwrap().1.timed_out()
        })
    };
    let (log, tasks) = waiters(&p, 1);
    assert!(t.join().unwrap());
    p.1.notify_one();
    settle();
    assert_eq!(*log.borrow(), [0]);
    for t in tasks {
        t.join().unwrap();
    }
}

#[test]
fn several_mutexes_may_share_one_condvar() {
    let c = Arc::new(Condvar::new());
    let (a, b) = (Arc::new(Mutex::new('a')), Arc::new(Mutex::new('b')));
    let tasks = [a, b].map(|m| {
        let c = Arc::clone(&c);
        spawn(move || *c.wait(m.lock().unwrap()).unwrap())
    });
    settle();
    c.notify_all();
    assert_eq!(tasks.map(|t| t.join().unwrap()), ['a', 'b']);
}

#[test]
fn one_that_unwinds_waits_and_a_timed_wait_of_it_does_not() {
    struct Waits(Pair, bool);
    impl Drop for Waits {
        fn drop(&mut self) {
            let guard = self.0.0.lock().unwrap();
            if self.1 {
                assert!(self.0.1.wait_timeout(guard, LONG).unwrap().1.timed_out());
            } else {
                *self.0.1.wait(guard).unwrap() += 1;
            }
        }
    }
    let p = pair();
    // One after the other: of two that unwind at a time, the second cannot be told from one that does not.
    for timed in [true, false] {
        let waits = Waits(Arc::clone(&p), timed);
        let t = spawn(move || {
            let _waits = waits;
            resume_unwind(Box::new("on purpose"));
        });
        settle();
        assert_eq!(t.is_finished(), timed);
        p.1.notify_one();
        assert!(t.join().unwrap_err().is_panic());
    }
    assert_eq!(*p.0.lock().unwrap(), 1);
}

#[test]
fn where_nothing_can_wait_the_mutex_is_let_go() {
    let p = pair();
    let (tx, rx) = mpsc::channel();
    let t = spawn(|| ());
    let q = Arc::clone(&p);
    t.on_done(move |_| {
        let guard = q.0.lock().unwrap();
        tx.send(panic_text(|| drop(q.1.wait(guard)))).unwrap();
    });
    t.join().unwrap();
    settle();
    assert!(rx.try_recv().unwrap().contains("cannot wait here"));
    assert!(p.0.try_lock().is_ok());
}

#[test]
fn a_notification_of_a_task_whose_thread_ends_goes_to_the_next() {
    let p = pair();
    let q = Arc::clone(&p);
    let doomed = doomed(move || {
        drop(q.1.wait(q.0.lock().unwrap()));
        unreachable!("its thread ends first");
    });
    let (tx, rx) = mpsc::channel();
    let q = Arc::clone(&p);
    let next = thread::spawn(move || {
        let guard = q.0.lock().unwrap();
        tx.send(()).unwrap();
        drop(q.1.wait(guard).unwrap());
    });
    rx.recv().unwrap();
    // Free, so it waits.
    drop(p.0.lock().unwrap());
    p.1.notify_one();
    doomed.end();
    next.join().unwrap();
}

#[test]
fn hubs_and_threads_pass_every_item_on_once() {
    const EACH: usize = 2_000;
    const LIMIT: usize = 4;
    struct Shared {
        items: Mutex<Vec<usize>>,
        not_empty: Condvar,
        not_full: Condvar,
        sum: Mutex<(usize, usize)>,
    }
    let shared = Arc::new(Shared {
        items: Mutex::new(Vec::new()),
        not_empty: Condvar::new(),
        not_full: Condvar::new(),
        sum: Mutex::new((0, 0)),
    });
    let s = Arc::clone(&shared);
    // Half of them produce, half consume: 2 hubs of 4 tasks and 4 threads.
    crowd(2, 4, 4, move |n| {
        for round in 0..EACH {
            let items = s.items.lock().unwrap();
            if n % 2 == 0 {
                let mut items = s.not_full.wait_while(items, |i| i.len() >= LIMIT).unwrap();
                items.push(round);
                s.not_empty.notify_one();
            } else {
                let mut items = s.not_empty.wait_while(items, |i| i.is_empty()).unwrap();
                let item = items.pop().unwrap();
                s.not_full.notify_one();
                drop(items);
                let mut sum = s.sum.lock().unwrap();
                *sum = (sum.0 + 1, sum.1 + item);
            }
        }
    });
    let producers = 6;
    assert_eq!(
        *shared.sum.lock().unwrap(),
        (producers * EACH, producers * (EACH * (EACH - 1) / 2))
    );
}

#[test]
fn no_notification_is_lost_to_kills_and_time_limits() {
    // Tokens are put down one by one, each with one notification; takers are killed and time out at any moment.
    const TOKENS: usize = 500;
    let p = pair();
    let taken = Arc::new(Mutex::new(0_usize));
    let producer = {
        let p = Arc::clone(&p);
        thread::spawn(move || {
            for _ in 0..TOKENS {
                *p.0.lock().unwrap() += 1;
                p.1.notify_one();
                thread::yield_now();
            }
        })
    };
    // One that stays, and would hang if a notification were lost with all tokens there.
    let stays = {
        let (p, taken) = (Arc::clone(&p), Arc::clone(&taken));
        thread::spawn(move || {
            loop {
                let guard = p.0.lock().unwrap();
                let (mut n, told) = p.1.wait_timeout_while(guard, LONG, |n| *n == 0).unwrap();
                assert!(!told.timed_out(), "a notification was lost");
                *n -= 1;
                let mut taken = taken.lock().unwrap();
                *taken += 1;
                if *taken == TOKENS {
                    return;
                }
                // To end the other one, if that took the last.
                if *n > 0 {
                    p.1.notify_one();
                }
            }
        })
    };
    let mut round = 0;
    while !stays.is_finished() {
        round += 1;
        let q = Arc::clone(&p);
        let taker = spawn(move || {
            let guard = q.0.lock().unwrap();
            let limit = Duration::from_micros(round % 40);
            let (n, _) = q.1.wait_timeout_while(guard, limit, |n| *n == 0).unwrap();
            // Whatever it was notified of it leaves to the other.
            let some = *n > 0;
            drop(n);
            if some {
                q.1.notify_one();
            }
        });
        for _ in 0..round % 3 {
            yield_now();
        }
        if round % 2 == 0 {
            taker.kill();
        }
        if let Err(e) = taker.join() {
            assert!(e.is_killed());
        }
    }
    stays.join().unwrap();
    producer.join().unwrap();
    assert_eq!(*taken.lock().unwrap(), TOKENS);
}
