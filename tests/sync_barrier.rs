//! `sync::Barrier`, as a user and as an enemy.
#![forbid(unsafe_code)]

mod util;
#[macro_use]
#[path = "util/sharing.rs"]
mod sharing;

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::thread;
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, Barrier, BarrierWaitResult, BrokenBarrier};
use greenloom::task::JoinHandle;
use greenloom::{spawn, timeout, yield_now};
use sharing::{LONG, crowd, doomed, let_pass, panic_text, settle};

const MS: Duration = Duration::from_millis(1);

type Passed = Result<BarrierWaitResult, BrokenBarrier>;

#[test]
fn is_send_and_sync() {
    assert!(is!(Barrier: Send) && is!(Barrier: Sync));
    assert!(is!(Barrier: UnwindSafe) && is!(Barrier: RefUnwindSafe));
    assert!(is!(BrokenBarrier: Send) && is!(BrokenBarrier: std::error::Error));
    static GLOBAL: Barrier = Barrier::new(1);
    assert!(GLOBAL.wait().is_leader());
}

fn come(b: &Arc<Barrier>, n: usize) -> Vec<JoinHandle<Passed>> {
    let tasks = (0..n)
        .map(|_| {
            let b = Arc::clone(b);
            spawn(move || b.checked_wait())
        })
        .collect();
    settle();
    tasks
}

#[track_caller]
fn turned_away(tasks: Vec<JoinHandle<Passed>>) {
    for t in tasks {
        assert_eq!(t.join().unwrap().unwrap_err(), BrokenBarrier::Aborted);
    }
}

#[test]
fn nobody_passes_before_all_are_there_and_the_last_one_leads() {
    let b = Arc::new(Barrier::new(4));
    for _ in 0..3 {
        let tasks = come(&b, 3);
        assert!(tasks.iter().all(|t| !t.is_finished()));
        assert_eq!((b.n_waiting(), b.parties(), b.is_broken()), (3, 4, false));
        assert!(b.wait().is_leader());
        assert_eq!(b.n_waiting(), 0);
        for t in tasks {
            assert!(!t.join().unwrap().unwrap().is_leader());
        }
    }
    assert!(format!("{b:?}").contains("parties: 4"));
}

#[test]
fn none_and_one_party_never_wait() {
    for n in [0, 1] {
        let b = Barrier::new(n);
        for _ in 0..3 {
            assert!(b.wait().is_leader());
            assert!(b.wait_timeout(Duration::ZERO).unwrap().is_leader());
        }
    }
}

#[test]
fn a_party_whose_time_runs_out_breaks_it_for_all() {
    let b = Arc::new(Barrier::new(3));
    let others = come(&b, 1);
    let error = b.wait_timeout(MS).unwrap_err();
    assert!(error.is_timeout() && error == BrokenBarrier::TimedOut);
    turned_away(others);
    assert!(b.is_broken());
    assert_eq!(b.n_waiting(), 0);
    // Whoever comes now is told at once.
    assert_eq!(b.checked_wait().unwrap_err(), BrokenBarrier::Aborted);
    assert_eq!(b.wait_timeout(LONG).unwrap_err(), BrokenBarrier::Aborted);
    assert_eq!(panic_text(|| b.wait()), "the barrier is broken");
    b.reset();
    let others = come(&b, 2);
    assert!(b.wait().is_leader());
    assert!(others.into_iter().all(|t| t.join().unwrap().is_ok()));
}

#[test]
fn zero_is_no_time_to_wait() {
    let b = Barrier::new(2);
    assert!(b.wait_timeout(Duration::ZERO).unwrap_err().is_timeout());
    assert!(b.is_broken());
}

#[test]
fn a_party_that_is_killed_or_timed_out_from_outside_breaks_it() {
    let b = Arc::new(Barrier::new(3));
    let mut tasks = come(&b, 2);
    let victim = tasks.remove(0);
    victim.kill();
    assert!(victim.join().unwrap_err().is_killed());
    turned_away(tasks);
    assert!(b.is_broken());

    b.reset();
    let tasks = come(&b, 1);
    let q = Arc::clone(&b);
    let late = spawn(move || timeout(MS, || q.wait().is_leader()).is_err());
    assert!(late.join().unwrap());
    turned_away(tasks);

    b.reset();
    let q = Arc::clone(&b);
    let late = spawn(move || timeout(MS, || q.wait_timeout(LONG)).unwrap_err());
    let told = late.join().unwrap().into_value().unwrap();
    assert!(told.unwrap_err().is_timeout());
}

#[test]
fn a_party_killed_after_all_have_come_has_passed() {
    let b = Arc::new(Barrier::new(2));
    let q = Arc::clone(&b);
    let victim = spawn(move || {
        q.wait();
        yield_now();
    });
    settle();
    assert!(b.wait().is_leader());
    victim.kill();
    assert!(victim.join().unwrap_err().is_killed());
    assert!(!b.is_broken());
}

#[test]
fn a_party_whose_time_ran_out_as_the_last_came_has_passed() {
    let b = Arc::new(Barrier::new(2));
    let q = Arc::clone(&b);
    let t = spawn(move || q.wait_timeout(2 * MS).map(|r| r.is_leader()));
    yield_now();
    let_pass(5 * MS);
    assert!(b.wait().is_leader());
    assert_eq!(t.join().unwrap(), Ok(false));
    assert!(!b.is_broken());
}

#[test]
fn abort_turns_all_away_until_reset() {
    let b = Arc::new(Barrier::new(4));
    let tasks = come(&b, 3);
    b.abort();
    assert!(b.is_broken());
    turned_away(tasks);
    turned_away(come(&b, 1));
    b.reset();
    assert!(!b.is_broken());
    let tasks = come(&b, 3);
    assert!(b.wait().is_leader());
    assert!(tasks.into_iter().all(|t| t.join().unwrap().is_ok()));
}

#[test]
fn reset_turns_away_those_that_wait_and_takes_others_in() {
    let b = Arc::new(Barrier::new(3));
    let old = come(&b, 2);
    b.reset();
    assert!(!b.is_broken());
    let new = come(&b, 2);
    assert!(b.wait().is_leader());
    turned_away(old);
    assert!(new.into_iter().all(|t| t.join().unwrap().is_ok()));
}

#[test]
fn a_broken_barrier_makes_the_waits_of_std_panic() {
    let b = Arc::new(Barrier::new(2));
    let q = Arc::clone(&b);
    let t = spawn(move || panic_text(|| q.wait()));
    settle();
    b.abort();
    assert_eq!(t.join().unwrap(), "the barrier is broken");
}

#[test]
fn a_party_whose_thread_ends_breaks_it() {
    let b = Arc::new(Barrier::new(3));
    let q = Arc::clone(&b);
    let gone = doomed(move || {
        q.wait();
    });
    let tasks = come(&b, 1);
    gone.end();
    assert!(b.is_broken());
    turned_away(tasks);
}

#[test]
fn hubs_and_threads_stay_in_step() {
    const PARTIES: usize = 2 * 3 + 2;
    const ROUNDS: usize = 300;
    let b = Arc::new(Barrier::new(PARTIES));
    let (count, leaders) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (c, l) = (Arc::clone(&count), Arc::clone(&leaders));
    crowd(2, 3, 2, move |_| {
        for round in 0..ROUNDS {
            c.fetch_add(1, Ordering::SeqCst);
            if b.wait().is_leader() {
                l.fetch_add(1, Ordering::SeqCst);
            }
            assert_eq!(c.load(Ordering::SeqCst), (round + 1) * PARTIES);
            b.wait_timeout(LONG).unwrap();
        }
    });
    assert_eq!(leaders.load(Ordering::SeqCst), ROUNDS);
}

#[test]
fn all_pass_or_none_at_whatever_moment_one_gives_up() {
    for round in 0..1000_u64 {
        let b = Arc::new(Barrier::new(3));
        let limit = Duration::from_micros(round % 60);
        let threads: Vec<_> = [limit, LONG, LONG]
            .map(|d| {
                let b = Arc::clone(&b);
                thread::spawn(move || b.wait_timeout(d).is_ok())
            })
            .into();
        let passed: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert!(passed.iter().all(|p| *p == passed[0]), "{passed:?}");
        assert_eq!(b.is_broken(), !passed[0]);
    }
}
