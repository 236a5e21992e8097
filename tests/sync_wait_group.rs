//! `sync::WaitGroup`, as a user and as an enemy.
#![forbid(unsafe_code)]

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;

use std::cell::RefCell;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::time::{Duration, Instant};

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, WaitGroup};
use greenloom::{spawn, timeout, yield_now};
use sharing::{LONG, crowd, let_pass, panic_text, settle};

const MS: Duration = Duration::from_millis(1);

#[test]
fn is_send_and_sync() {
    assert!(is!(WaitGroup: Send) && is!(WaitGroup: Sync));
    assert!(is!(WaitGroup: UnwindSafe) && is!(WaitGroup: RefUnwindSafe));
    static GLOBAL: WaitGroup = WaitGroup::new();
    GLOBAL.wait();
    WaitGroup::default().wait();
}

#[test]
fn all_waiters_go_on_in_order_when_the_count_is_zero() {
    let g = Arc::new(WaitGroup::new());
    let log = Rc::new(RefCell::new(Vec::new()));
    for round in 0..3 {
        g.add(2);
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let (g, log) = (Arc::clone(&g), Rc::clone(&log));
                spawn(move || {
                    g.wait();
                    log.borrow_mut().push(n);
                })
            })
            .collect();
        settle();
        g.done();
        settle();
        assert_eq!((log.borrow().len(), g.count()), (round * 3, 1));
        g.done();
        // Used again before the waiters have run: they saw zero.
        g.add(1);
        for t in tasks {
            t.join().unwrap();
        }
        g.done();
        assert_eq!(log.borrow()[round * 3..], [0, 1, 2]);
    }
    g.add(1);
    assert_eq!(format!("{g:?}"), "WaitGroup { count: 1, .. }");
}

#[test]
fn a_count_below_zero_and_one_beyond_counting_are_refused() {
    let g = WaitGroup::new();
    assert!(panic_text(|| g.done()).contains("more often than there was to do"));
    assert_eq!(g.count(), 0);
    g.add(usize::MAX);
    assert!(panic_text(|| g.add(1)).contains("cannot count 1 more"));
    g.done();
    assert_eq!(g.count(), usize::MAX - 1);
}

#[test]
fn time_limits_are_kept_and_not_early() {
    let g = Arc::new(WaitGroup::new());
    assert!(g.wait_timeout(Duration::ZERO));
    g.add(1);
    let begin = Instant::now();
    assert!(!g.wait_timeout(5 * MS));
    assert!(begin.elapsed() >= 5 * MS);
    assert!(!g.wait_timeout(Duration::ZERO));
    let spawn_wait = |d| {
        let g = Arc::clone(&g);
        spawn(move || g.wait_timeout(d))
    };
    let (long, late) = (spawn_wait(Duration::MAX), spawn_wait(2 * MS));
    yield_now();
    let_pass(5 * MS);
    g.done();
    assert!(long.join().unwrap());
    assert!(late.join().unwrap(), "done before it looked at its time");
}

#[test]
fn kills_and_timeouts_end_a_wait_and_nothing_else() {
    let g = Arc::new(WaitGroup::new());
    g.add(1);
    let q = Arc::clone(&g);
    let killed = spawn(move || q.wait());
    let q = Arc::clone(&g);
    let late = spawn(move || {
        assert!(timeout(MS, || q.wait()).is_err());
        timeout(MS, || q.wait_timeout(LONG))
            .unwrap_err()
            .into_value()
    });
    let q = Arc::clone(&g);
    let stays = spawn(move || q.wait());
    settle();
    killed.kill();
    assert!(killed.join().unwrap_err().is_killed());
    assert_eq!(late.join().unwrap(), Some(false));
    assert!(!stays.is_finished());
    g.done();
    stays.join().unwrap();
}

#[test]
fn hubs_and_threads_wait_for_all() {
    for _ in 0..50 {
        let (g, sum) = (Arc::new(WaitGroup::new()), Arc::new(AtomicUsize::new(0)));
        const ALL: usize = 2 * 4 + 2;
        g.add(ALL);
        crowd(2, 4, 2, move |n| {
            if n % 2 == 0 {
                yield_now();
            }
            sum.fetch_add(n, Ordering::SeqCst);
            g.done();
            if n % 3 == 0 {
                assert!(g.wait_timeout(LONG));
            } else {
                g.wait();
            }
            assert_eq!(sum.load(Ordering::SeqCst), ALL * (ALL - 1) / 2);
        });
    }
}
