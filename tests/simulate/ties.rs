//! What happens at one moment happens in either order, and in exactly one.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use greenloom::hub;
use greenloom::task::{self, JoinError};
use greenloom::time::Instant;
use greenloom::{sleep, spawn, timeout};

use super::util::Drops;
use super::{HOUR, SEC, outcomes};

#[test]
fn a_kill_at_the_moment_of_the_deadline_is_one_or_the_other() {
    let ends = outcomes(0..100, || {
        let drops = Drops::new();
        let guard = drops.guard();
        let woke = Rc::new(Cell::new(false));
        let victim = {
            let woke = Rc::clone(&woke);
            spawn(move || {
                let _guard = guard;
                sleep(SEC);
                woke.set(true);
            })
        };
        sleep(SEC);
        victim.kill();
        let killed = match victim.join() {
            Ok(()) => false,
            Err(JoinError::Killed) => true,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(drops.dropped(), 1);
        assert_ne!(killed, woke.get());
        killed
    });
    assert_eq!(ends.len(), 2, "both occur");
}

#[test]
fn a_kill_at_the_moment_of_a_timeout_is_one_or_the_other() {
    let ends = outcomes(0..100, || {
        let elapsed = Rc::new(Cell::new(false));
        let victim = {
            let elapsed = Rc::clone(&elapsed);
            spawn(move || {
                let late = timeout(SEC, task::park);
                elapsed.set(late.is_err());
            })
        };
        sleep(SEC);
        victim.kill();
        let killed = matches!(victim.join(), Err(JoinError::Killed));
        assert_ne!(killed, elapsed.get());
        killed
    });
    assert_eq!(ends.len(), 2, "both occur");
}

#[test]
fn a_wake_at_the_moment_of_the_deadline_is_never_lost() {
    let ends = outcomes(0..100, || {
        let sleeper = spawn(|| {
            task::park_timeout(SEC);
            let at_once = Instant::now();
            // If the first wait ended by its deadline, the token is there for the next.
            task::park_timeout(HOUR);
            at_once.elapsed()
        });
        let waker = sleeper.task();
        sleep(SEC);
        waker.unpark();
        sleeper.join().unwrap()
    });
    assert_eq!(ends, BTreeSet::from([Duration::ZERO, HOUR]));
}

#[test]
fn a_task_that_ends_at_the_moment_of_a_limit_is_joined_or_given_back() {
    let ends = outcomes(0..100, || {
        let task = spawn(|| {
            sleep(SEC);
            7
        });
        match task.join_timeout(SEC) {
            Ok(value) => (value.unwrap(), true),
            Err(handle) => (handle.join().unwrap(), false),
        }
    });
    // The end that came first or meanwhile counts, so whichever seed: never lost, and never twice.
    assert!(ends.iter().all(|end| end.0 == 7), "{ends:?}");
    assert!(ends.contains(&(7, true)), "{ends:?}");
}

#[test]
fn a_sleep_within_a_timeout_of_the_same_length_is_over_in_time() {
    hub::simulate_seeds(0..50, |_| {
        let task = spawn(|| timeout(SEC, || sleep(SEC)));
        let outer = timeout(2 * SEC, || timeout(2 * SEC, task::park));
        // Of two that end together, the outer one is told.
        assert!(outer.is_err());
        assert_eq!(task.join().unwrap(), Ok(()));
    });
}
