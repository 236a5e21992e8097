//! `timeout`, `shield`, `finally`, kills, and waits in destructors.

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread::panicking;
use std::time::{Duration, Instant};

use greenloom::greenlet::{self, Current, SwitchError};
use greenloom::task::{JoinError, JoinHandle, finally, shield};
use greenloom::{sleep, spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

fn killed<T: std::fmt::Debug>(result: Result<T, JoinError>) -> bool {
    matches!(result, Err(JoinError::Killed))
}

// ---- timeout ----

#[test]
fn the_inner_timeout_ends_only_the_inner_call() {
    let outer = timeout(HOUR, || {
        let inner = timeout(MS, || sleep(HOUR));
        assert_eq!(inner.unwrap_err().after(), MS);
        sleep(MS);
        5
    });
    assert_eq!(outer.unwrap(), 5);
}

#[test]
fn the_outer_timeout_goes_through_the_inner_one() {
    let went_on = Cell::new(false);
    let outer = timeout(MS, || {
        let _ = timeout(HOUR, || sleep(HOUR));
        went_on.set(true);
    });
    assert_eq!(outer.unwrap_err().after(), MS);
    assert!(!went_on.get());
}

#[test]
fn of_two_that_are_due_the_earlier_one_counts_and_the_outer_one_if_equal() {
    // Zero is due at the first wait, and its deadline was set first: the outer one's is the earlier.
    let went_on = Cell::new(false);
    let outer = timeout(Duration::ZERO, || {
        let _ = timeout(Duration::ZERO, yield_now);
        went_on.set(true);
    });
    assert!(outer.is_err() && !went_on.get());
}

#[test]
fn a_zero_timeout_spares_what_does_not_wait() {
    assert_eq!(timeout(Duration::ZERO, || 3).unwrap(), 3);
    assert_eq!(timeout(Duration::MAX, || 4).unwrap(), 4);
    timeout(Duration::MAX, || sleep(MS)).unwrap();
}

#[test]
fn what_never_waits_is_not_interrupted_by_a_deadline_that_passed() {
    let value = timeout(MS, || {
        let begin = Instant::now();
        while begin.elapsed() < 3 * MS {
            std::hint::spin_loop();
        }
        8
    });
    assert_eq!(value.unwrap(), 8);
}

#[test]
fn a_reported_expiry_leaves_the_value() {
    let task = spawn(|| sleep(HOUR));
    let mut back = None;
    let elapsed = timeout(MS, || {
        back = Some(task.join_timeout(HOUR).unwrap_err());
        "cleaned up"
    })
    .unwrap_err();
    assert_eq!(elapsed.into_value(), Some("cleaned up"));
    let task = back.unwrap();
    task.kill();
    assert!(killed(task.join()));
}

#[test]
fn an_expiry_is_reported_once_and_unwinds_the_next_wait() {
    let mut task = Some(spawn(|| sleep(HOUR)));
    let reported = Cell::new(0);
    let elapsed = timeout(MS, || {
        for _ in 0..3 {
            let back = task.take().unwrap().join_timeout(HOUR).unwrap_err();
            reported.set(reported.get() + 1);
            task = Some(back);
        }
    });
    assert!(elapsed.unwrap_err().into_value().is_none());
    assert_eq!(reported.get(), 1);
}

#[test]
fn an_expiry_that_was_swallowed_comes_again() {
    let deliveries = Cell::new(0);
    let elapsed = timeout(MS, || {
        for _ in 0..5 {
            if catch_unwind(AssertUnwindSafe(|| sleep(HOUR))).is_err() {
                deliveries.set(deliveries.get() + 1);
            }
        }
        9
    });
    assert_eq!(deliveries.get(), 5);
    assert_eq!(elapsed.unwrap_err().into_value(), Some(9));
}

#[test]
fn a_timeout_reaches_an_explicit_switch() {
    greenlet::scope(|s, me: &Current<()>| {
        let silent = s.spawn(me, |me: &Current<(), ()>, ()| {
            let _ = me.receive();
        });
        assert!(timeout(MS, || me.switch(&silent, ())).is_err());
        // Due before the switch begins: the value does not arrive.
        let main = me.handle();
        let arrived = Rc::new(Cell::new(0));
        let counts = {
            let arrived = Rc::clone(&arrived);
            s.spawn(me, move |me: &Current<(), ()>, ()| {
                loop {
                    arrived.set(arrived.get() + 1);
                    me.switch(&main, ()).unwrap();
                }
            })
        };
        assert!(timeout(Duration::ZERO, || me.switch(&counts, ())).is_err());
        assert_eq!(arrived.get(), 0);
        me.switch(&counts, ()).unwrap();
        assert_eq!(arrived.get(), 1);
    });
}

#[test]
fn timeouts_that_did_not_expire_leave_no_stray_wake() {
    let task = spawn(|| {
        for _ in 0..10_000 {
            timeout(2 * MS, || ()).unwrap();
            let _ = timeout(Duration::from_nanos(1), || ());
        }
        // The deadlines above pass during this sleep. It must be neither cut short nor broken off.
        let begin = Instant::now();
        sleep(20 * MS);
        begin.elapsed()
    });
    assert!(task.join().unwrap() >= 20 * MS);
}

// ---- shield and finally ----

#[test]
fn a_timeout_inside_a_shield_counts() {
    let r = shield(|| timeout(MS, || sleep(HOUR)));
    assert!(r.is_err());
}

#[test]
fn a_shield_holds_back_the_timeout_around_it() {
    let shielded = Cell::new(false);
    let r = timeout(MS, || {
        shield(|| sleep(10 * MS));
        shielded.set(true);
        sleep(HOUR);
    });
    assert!(r.is_err() && shielded.get());
    // Nothing waits behind the shield: the expiry is not delivered.
    assert!(timeout(MS, || shield(|| sleep(10 * MS))).is_ok());
}

#[test]
fn a_shield_holds_back_a_kill_until_the_next_wait() {
    let step = Rc::new(Cell::new(0));
    let task = {
        let step = Rc::clone(&step);
        spawn(move || {
            shield(|| {
                step.set(1);
                sleep(5 * MS);
                shield(yield_now);
                sleep(5 * MS);
                step.set(2);
            });
            step.set(3);
            yield_now();
            step.set(4);
        })
    };
    yield_now();
    task.kill();
    assert_eq!(step.get(), 1);
    assert!(killed(task.join()));
    assert_eq!(step.get(), 3);
}

#[test]
fn finally_cleans_up_after_every_end() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let run = |name: &'static str, body: Box<dyn FnOnce()>| {
        let log = Rc::clone(&log);
        spawn(move || {
            finally(body, || {
                // It may wait: it is neither unwinding nor interrupted.
                assert!(!panicking());
                sleep(MS);
                assert_eq!(spawn(|| 1).join().unwrap(), 1);
                log.borrow_mut().push(name);
            });
        })
    };
    run("return", Box::new(|| ())).join().unwrap();
    assert!(
        run("panic", Box::new(|| panic!("on purpose")))
            .join()
            .unwrap_err()
            .is_panic()
    );
    let task = run("kill", Box::new(|| sleep(HOUR)));
    yield_now();
    task.kill();
    task.kill();
    assert!(killed(task.join()));
    let timed = {
        let log = Rc::clone(&log);
        timeout(MS, move || {
            finally(
                || sleep(HOUR),
                || {
                    sleep(2 * MS);
                    log.borrow_mut().push("timeout");
                },
            )
        })
    };
    assert!(timed.is_err());
    assert_eq!(*log.borrow(), ["return", "panic", "kill", "timeout"]);
}

#[test]
fn a_kill_goes_before_a_timeout_of_the_same_moment() {
    let task = spawn(|| timeout(MS, || sleep(HOUR)).is_err());
    yield_now();
    // Its deadline passes while nothing else runs, and then it is killed before it can look.
    let begin = Instant::now();
    while begin.elapsed() < 3 * MS {
        std::hint::spin_loop();
    }
    task.kill();
    assert!(killed(task.join()));
}

// ---- kill ----

#[test]
fn a_kill_reaches_every_kind_of_wait() {
    type Body = fn();
    let waits: [(&str, Body); 8] = [
        ("sleep", || sleep(HOUR)),
        ("yield", || {
            loop {
                yield_now()
            }
        }),
        ("join", || drop(spawn(|| sleep(HOUR)).join())),
        ("join_timeout", || {
            drop(spawn(|| sleep(HOUR)).join_timeout(HOUR))
        }),
        ("timeout", || drop(timeout(HOUR, || sleep(HOUR)))),
        ("run_until_idle", || {
            let _other = spawn(|| sleep(HOUR));
            greenloom::hub::run_until_idle(None);
        }),
        ("switch", || {
            greenlet::scope(|s, me: &Current<()>| {
                let parked = s.spawn(me, |_: &Current<(), ()>, ()| sleep(HOUR));
                let _ = me.switch(&parked, ());
            });
        }),
        ("generator", || {
            let mut g = greenlet::Generator::new(|y: &greenlet::Yield<u32>| {
                sleep(HOUR);
                y.yield_(1);
            });
            g.next();
        }),
    ];
    greenloom::hub::run(|| {
        for (name, wait) in waits {
            let drops = Drops::new();
            let guard = drops.guard();
            let task = spawn(move || {
                let _guard = guard;
                wait();
            });
            yield_now();
            yield_now();
            task.kill();
            task.kill();
            assert!(killed(task.join()), "{name}");
            assert_eq!(drops.dropped(), 1, "{name}");
        }
    });
}

#[test]
fn a_task_can_kill_itself_and_goes_on_to_its_next_wait() {
    let slot: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
    let after = Rc::new(Cell::new(0));
    let task = {
        let (slot, after) = (Rc::clone(&slot), Rc::clone(&after));
        spawn(move || {
            slot.borrow().as_ref().unwrap().kill();
            after.set(1);
            yield_now();
            after.set(2);
        })
    };
    *slot.borrow_mut() = Some(task);
    yield_now();
    yield_now();
    let task = slot.take().unwrap();
    assert!(killed(task.join()));
    assert_eq!(after.get(), 1);
}

#[test]
fn a_swallowed_kill_comes_again_after_a_turn() {
    let swallowed = Rc::new(Cell::new(0));
    let task = {
        let swallowed = Rc::clone(&swallowed);
        spawn(move || {
            while swallowed.get() < 20 {
                if catch_unwind(|| sleep(HOUR)).is_err() {
                    swallowed.set(swallowed.get() + 1);
                }
            }
            "lived"
        })
    };
    yield_now();
    task.kill();
    let turns = Rc::new(Cell::new(0));
    let other = {
        let (turns, swallowed) = (Rc::clone(&turns), Rc::clone(&swallowed));
        spawn(move || {
            while swallowed.get() < 20 {
                turns.set(turns.get() + 1);
                yield_now();
            }
        })
    };
    assert_eq!(task.join().unwrap(), "lived");
    other.join().unwrap();
    assert!(turns.get() >= 15, "{}", turns.get());
}

// ---- invariant 7: waits in destructors ----

/// Runs its closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Ends a task that holds `on_drop`, by a panic or by a kill, and joins it.
fn unwind_with(kill: bool, on_drop: impl FnMut() + 'static) {
    let task = spawn(move || {
        let _on_drop = OnDrop(on_drop);
        if !kill {
            panic!("on purpose");
        }
        sleep(HOUR);
    });
    yield_now();
    task.kill();
    assert!(task.join().is_err());
}

#[test]
fn a_sleep_in_a_destructor_sleeps() {
    for kill in [false, true] {
        let slept = Rc::new(Cell::new(None));
        let slot = Rc::clone(&slept);
        unwind_with(kill, move || {
            let begin = Instant::now();
            sleep(3 * MS);
            yield_now();
            slot.set(Some(begin.elapsed()));
        });
        assert!(slept.get().unwrap() >= 3 * MS, "kill: {kill}");
    }
}

#[test]
fn a_join_in_a_destructor_reports_unwinding() {
    for kill in [false, true] {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let slot = Rc::clone(&seen);
        unwind_with(kill, move || {
            slot.borrow_mut().push(match spawn(|| 1).join() {
                Err(JoinError::Unwinding) => "unwinding",
                Ok(_) => "joined",
                Err(_) => "another error",
            });
            // A task that has ended needs no wait.
            let ended = spawn(|| 2);
            sleep(MS);
            slot.borrow_mut().push(if matches!(ended.join(), Ok(2)) {
                "value"
            } else {
                "no value"
            });
        });
        assert_eq!(*seen.borrow(), ["unwinding", "value"], "kill: {kill}");
    }
}

#[test]
fn a_switch_in_a_destructor_reports_unwinding() {
    for kill in [false, true] {
        let refused = Rc::new(Cell::new(false));
        let slot = Rc::clone(&refused);
        let task = spawn(move || {
            greenlet::scope(|s, me: &Current<()>| {
                let other = s.spawn(me, |_: &Current<(), ()>, ()| ());
                let _on_drop = OnDrop(|| {
                    slot.set(matches!(
                        me.switch(&other, ()),
                        Err(SwitchError::Unwinding(()))
                    ));
                });
                if !kill {
                    panic!("on purpose");
                }
                sleep(HOUR);
            });
        });
        yield_now();
        task.kill();
        assert!(task.join().is_err());
        assert!(refused.get(), "kill: {kill}");
    }
}

#[test]
fn a_panic_caught_inside_a_destructor_is_fine() {
    let caught = Rc::new(Cell::new(0));
    let slot = Rc::clone(&caught);
    unwind_with(true, move || {
        let r = catch_unwind(|| {
            sleep(MS);
            panic!("inner");
        });
        slot.set(slot.get() + u32::from(r.is_err()));
        sleep(MS);
    });
    assert_eq!(caught.get(), 1);
}

/// A neighbour that is parked in the middle of its unwinding, until told to end.
fn unwinding_neighbour(done: &Rc<Cell<bool>>) -> JoinHandle<()> {
    let done = Rc::clone(done);
    let neighbour = spawn(move || {
        let _on_drop = OnDrop(move || {
            while !done.get() {
                sleep(MS);
            }
        });
        resume_unwind(Box::new("on purpose"));
    });
    yield_now();
    assert!(panicking(), "the neighbour's unwinding is the thread's");
    neighbour
}

#[test]
fn a_neighbour_that_unwinds_does_not_disturb_switches_and_joins() {
    let done = Rc::new(Cell::new(false));
    let neighbour = unwinding_neighbour(&done);
    let sum = greenlet::scope(|s, me: &Current<u32>| {
        let double = s.spawn(me, |_: &Current<u32, u32>, n| {
            sleep(MS);
            n * 2
        });
        me.switch(&double, 21).unwrap()
    });
    assert_eq!(sum, 42);
    assert_eq!(spawn(|| spawn(|| 7).join().unwrap()).join().unwrap(), 7);
    assert!(spawn(|| sleep(HOUR)).join_timeout(MS).is_err());
    done.set(true);
    assert!(neighbour.join().unwrap_err().is_panic());
    assert!(!panicking());
}

#[test]
fn a_neighbour_that_unwinds_does_not_disturb_kills_of_who_was_parked() {
    let parked = spawn(|| sleep(HOUR));
    let timed = spawn(|| timeout(5 * MS, || sleep(HOUR)).is_err());
    yield_now();
    let done = Rc::new(Cell::new(false));
    let neighbour = unwinding_neighbour(&done);
    parked.kill();
    assert!(killed(parked.join()));
    assert!(timed.join().unwrap());
    done.set(true);
    assert!(neighbour.join().unwrap_err().is_panic());
}

#[test]
fn what_a_neighbours_unwinding_held_back_comes_when_it_is_over() {
    let done = Rc::new(Cell::new(false));
    let neighbour = unwinding_neighbour(&done);
    // Parked while the thread says that it unwinds.
    let later = spawn(|| sleep(HOUR));
    let timed = spawn(|| timeout(2 * MS, || sleep(HOUR)).is_err());
    yield_now();
    later.kill();
    yield_now();
    sleep(5 * MS);
    done.set(true);
    assert!(neighbour.join().unwrap_err().is_panic());
    let later = later.join_timeout(Duration::from_secs(20));
    assert!(killed(later.expect("it is killed in the end")));
    let timed = timed.join_timeout(Duration::from_secs(20));
    assert!(timed.expect("its time is over in the end").unwrap());
}

#[test]
fn a_kill_never_breaks_into_an_unwinding_that_began_under_a_neighbours() {
    // A payload raised in a destructor that runs in an unwinding would abort the process.
    util::alone(
        "a_kill_never_breaks_into_an_unwinding_that_began_under_a_neighbours",
        || {
            let done = Rc::new(Cell::new(false));
            let neighbour = unwinding_neighbour(&done);
            let slept = Rc::new(Cell::new(0));
            let victims: Vec<_> = (0..2)
                .map(|_| {
                    let slept = Rc::clone(&slept);
                    spawn(move || {
                        sleep(MS);
                        let _on_drop = OnDrop(move || {
                            sleep(10 * MS);
                            slept.set(slept.get() + 1);
                        });
                        resume_unwind(Box::new("on purpose"));
                    })
                })
                .collect();
            sleep(5 * MS);
            for victim in &victims {
                victim.kill();
            }
            done.set(true);
            assert!(neighbour.join().unwrap_err().is_panic());
            for victim in victims {
                assert!(victim.join().is_err());
            }
            assert_eq!(slept.get(), 2);
        },
    );
}
