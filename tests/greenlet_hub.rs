//! Greenlets together with the hub: they park like tasks, and control goes on elsewhere meanwhile.

mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use greenloom::greenlet::{self, Current, Generator, Greenlet, SwitchError, Traced, Yield, scope};
use greenloom::task::{JoinError, shield};
use greenloom::{sleep, spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// Starts a greenlet from a task, so that the caller need not wait for it, and returns when it has parked.
fn start(child: &Greenlet<()>) {
    let child = *child;
    drop(spawn(move || {
        scope(|_, me: &Current<()>| {
            // Nobody ever answers: this task is left suspended.
            let _ = me.switch(&child, ());
        });
    }));
    yield_now();
    assert!(child.is_started());
}

#[test]
fn a_greenlet_that_sleeps_answers_when_it_wakes() {
    let answer = scope(|s, me: &Current<u32>| {
        let slow = s.spawn(me, |_: &Current<u32, u32>, n| {
            sleep(2 * MS);
            n * 2
        });
        me.switch(&slow, 21).unwrap()
    });
    assert_eq!(answer, 42);
}

#[test]
fn tasks_run_while_a_greenlets_caller_waits_for_it() {
    let ran = Rc::new(Cell::new(0));
    let other = {
        let ran = Rc::clone(&ran);
        spawn(move || {
            for _ in 0..5 {
                ran.set(ran.get() + 1);
                yield_now();
            }
        })
    };
    scope(|s, me: &Current<()>| {
        let slow = s.spawn(me, |_: &Current<(), ()>, ()| sleep(2 * MS));
        me.switch(&slow, ()).unwrap();
    });
    assert_eq!(ran.get(), 5);
    other.join().unwrap();
}

#[test]
fn outcomes_of_children_that_end_while_the_parent_is_parked_are_received_in_order() {
    scope(|s, me: &Current<u32>| {
        let main: Greenlet<u32> = me.handle();
        let children: Vec<_> = [3u32, 1, 2]
            .into_iter()
            .map(|n| {
                s.spawn(me, move |inner: &Current<(), u32>, ()| {
                    // Tells the parent that it has begun, and parks.
                    inner.parent().unwrap();
                    sleep(n * 2 * MS);
                    n
                })
            })
            .collect();
        for child in &children {
            // Comes back by the expiry, not by an answer.
            start(child);
        }
        sleep(15 * MS);
        assert!(matches!(me.switch(&main, 9), Err(SwitchError::Pending(9))));
        let got: Vec<_> = (0..3).map(|_| me.receive().unwrap()).collect();
        assert_eq!(got, [1, 2, 3]);
        assert!(children.iter().all(Greenlet::is_dead));
    });
}

#[test]
fn a_panic_of_a_child_waits_for_its_parent() {
    scope(|s, me: &Current<()>| {
        let child = s.spawn(me, |_: &Current<(), ()>, ()| {
            sleep(MS);
            std::panic::resume_unwind(Box::new("child"));
        });
        start(&child);
        sleep(5 * MS);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| me.receive()));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"child"));
    });
}

#[test]
fn the_end_of_a_scope_kills_a_sleeper_and_waits_for_its_destructors() {
    let drops = Drops::new();
    let begin = Instant::now();
    scope(|s, me: &Current<()>| {
        let sleeper = s.spawn(me, |_: &Current<(), ()>, ()| {
            let _guard = drops.local_guard();
            shield(|| sleep(5 * MS));
            sleep(HOUR);
        });
        start(&sleeper);
        assert_eq!(drops.alive(), 1);
    });
    assert_eq!(drops.alive(), 0);
    assert!(begin.elapsed() >= 5 * MS);
}

#[test]
fn the_end_of_a_scope_is_not_broken_off() {
    let drops = Drops::new();
    let there = drops.clone();
    let task = spawn(move || {
        // The deadline passes, and the kill comes, while the scope ends.
        timeout(2 * MS, || {
            scope(|s, me: &Current<()>| {
                let child = s.spawn(me, |_: &Current<(), ()>, ()| {
                    let _guard = there.local_guard();
                    shield(|| sleep(20 * MS));
                });
                start(&child);
            });
            assert_eq!(there.alive(), 0);
            // Now it is delivered.
            sleep(HOUR);
        })
        .is_err()
    });
    sleep(5 * MS);
    task.kill();
    assert_eq!(drops.alive(), 1);
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_switch_to_who_is_parked_or_runs_is_refused() {
    scope(|s, me: &Current<()>| {
        let main = me.handle();
        let parked = s.spawn(me, |_: &Current<(), ()>, ()| sleep(HOUR));
        start(&parked);
        assert!(matches!(
            me.switch(&parked, ()),
            Err(SwitchError::NotWaiting(()))
        ));
        assert!(!parked.is_waiting() && !parked.is_dead());
        // Main is parked in a join while a task tries to reach it.
        let result = Rc::new(RefCell::new(None));
        let task = {
            let result = Rc::clone(&result);
            spawn(move || {
                scope(|_, me: &Current<()>| {
                    *result.borrow_mut() = Some(matches!(
                        me.switch(&main, ()),
                        Err(SwitchError::NotWaiting(()))
                    ));
                });
            })
        };
        task.join().unwrap();
        assert_eq!(*result.borrow(), Some(true));
    });
}

#[test]
fn a_generator_may_park_between_items() {
    let task = spawn(|| {
        scope(|s, me: &Current<u32>| {
            let sums = s.spawn(me, |_: &Current<u32, u32>, from| {
                let numbers = Generator::new(move |y: &Yield<u32>| {
                    for n in from..from + 4 {
                        sleep(Duration::from_micros(200));
                        y.yield_(n);
                    }
                });
                numbers.sum()
            });
            me.switch(&sums, 10).unwrap()
        })
    });
    assert_eq!(task.join().unwrap(), 46);
}

#[test]
fn a_generator_whose_caller_left_keeps_its_item_for_the_next() {
    let generator = Rc::new(RefCell::new(Some(Generator::new(|y: &Yield<u32>| {
        sleep(3 * MS);
        y.yield_(1);
        y.yield_(2);
    }))));
    let leaver = {
        let generator = Rc::clone(&generator);
        spawn(move || {
            let mut g = generator.borrow_mut().take().unwrap();
            let _ = timeout(Duration::from_micros(1), || g.next());
            *generator.borrow_mut() = Some(g);
            sleep(HOUR);
        })
    };
    sleep(10 * MS);
    leaver.kill();
    assert!(matches!(leaver.join(), Err(JoinError::Killed)));
    let mut g = generator.borrow_mut().take().unwrap();
    assert_eq!(
        (g.next(), g.next(), g.next(), g.next()),
        (Some(1), Some(2), None, None)
    );
}

#[test]
fn the_kill_of_a_generators_caller_ends_the_generator_too() {
    let drops = Drops::new();
    let guard = drops.local_guard();
    let task = spawn(move || {
        let mut g = Generator::new(move |y: &Yield<u32>| {
            let _guard = guard;
            sleep(HOUR);
            y.yield_(1);
        });
        g.next()
    });
    yield_now();
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert_eq!(drops.alive(), 0);
}

#[test]
fn the_trace_sees_what_the_hub_switches() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    greenlet::set_trace(Some(Rc::new(move |_, from: &Traced, to: &Traced| {
        seen.borrow_mut().push((from.to_string(), to.to_string()));
    })));
    let task = greenloom::task::Builder::new()
        .name("t")
        .spawn(|| {
            yield_now();
            sleep(MS);
        })
        .unwrap();
    let ended = greenloom::task::Builder::new()
        .name("e")
        .spawn(|| ())
        .unwrap();
    yield_now();
    task.join().unwrap();
    ended.join().unwrap();
    greenlet::set_trace(None);
    let log = log.borrow();
    let log: Vec<_> = log.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        log,
        [
            ("main", "t"),
            ("t", "e"),
            ("e", "main"),
            ("main", "t"),
            ("t", "main")
        ]
    );
}

#[test]
fn a_killer_waits_while_its_victim_is_shielded_and_others_run() {
    let turns = Rc::new(Cell::new(0));
    let ticking = {
        let turns = Rc::clone(&turns);
        spawn(move || {
            loop {
                turns.set(turns.get() + 1);
                sleep(MS);
            }
        })
    };
    scope(|s, me: &Current<()>| {
        let victim = s.spawn(me, |_: &Current<(), ()>, ()| {
            shield(|| sleep(10 * MS));
            sleep(HOUR);
        });
        start(&victim);
        let before = turns.get();
        me.kill(&victim).unwrap();
        assert!(victim.is_dead() && turns.get() > before);
    });
    ticking.kill();
    assert!(matches!(ticking.join(), Err(JoinError::Killed)));
}
