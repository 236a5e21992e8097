//! Simulated hubs: a run is a matter of its seed, time is exact and costs nothing, deadlocks are told at once.
//!
//! No real time is asserted anywhere: a simulation that took some would sleep for the hours that these tests sleep.

#[path = "simulate/ties.rs"]
mod ties;
mod util;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use greenloom::greenlet::Generator;
use greenloom::hub::{self, Hub};
use greenloom::net::TcpListener;
use greenloom::task::{self, Builder, JoinError};
use greenloom::time::{self, Instant, MissedTicks};
use greenloom::{io, join_all, sleep, spawn, spawn_later, timeout, yield_now};
use util::{Drops, describe};

const HOUR: Duration = Duration::from_secs(3600);
const SEC: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

/// What `f` returns under each of the seeds.
fn under<R: Send>(seeds: std::ops::Range<u64>, f: impl Fn() -> R + Sync) -> Vec<R> {
    seeds.map(|seed| hub::simulate(seed, &f)).collect()
}

/// The different results of `f` under the seeds.
fn outcomes<R: Send + Ord>(seeds: std::ops::Range<u64>, f: impl Fn() -> R + Sync) -> BTreeSet<R> {
    under(seeds, f).into_iter().collect()
}

/// Three tasks that wait in different ways, and what happened when, in nanoseconds.
fn trace() -> Vec<(u32, u32, u128)> {
    let start = Instant::now();
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..5)
        .map(|n| {
            let log = Rc::clone(&log);
            let note = move |step| log.borrow_mut().push((n, step, start.elapsed().as_nanos()));
            spawn(move || {
                for step in 0..3 {
                    note(step);
                    yield_now();
                    note(10 + step);
                    sleep(NANO * (n % 2 + 1));
                    let child = spawn(yield_now);
                    let late = timeout(NANO, || child.join()).is_err();
                    note(20 + step + u32::from(late));
                }
            })
        })
        .collect();
    tasks[4].kill();
    let ends = join_all(tasks, None);
    let killed = ends.iter().filter(|end| end.is_err()).count();
    let mut log = log.take();
    log.push((9, killed as u32, start.elapsed().as_nanos()));
    log
}

// ---- order ----

#[test]
fn the_same_seed_gives_the_same_run_and_others_give_others() {
    let first = under(0..20, trace);
    let second = under(0..20, trace);
    assert_eq!(first, second);
    let different: BTreeSet<_> = first.into_iter().collect();
    assert!(different.len() > 15, "only {} runs", different.len());
}

#[test]
fn every_order_of_three_tasks_occurs() {
    let mut orders: BTreeMap<String, u32> = BTreeMap::new();
    for order in under(0..200, || {
        let log = RefCell::new(String::new());
        task::scope(|s| {
            for name in ["a", "b", "c"] {
                let log = &log;
                s.spawn(move || log.borrow_mut().push_str(name));
            }
        });
        log.into_inner()
    }) {
        *orders.entry(order).or_default() += 1;
    }
    assert_eq!(orders.len(), 6, "{orders:?}");
    assert!(
        orders.values().all(|n| (10..70).contains(n)),
        "each about as likely as the others: {orders:?}"
    );
}

#[test]
fn every_interleaving_of_two_tasks_that_yield_occurs() {
    let interleavings = outcomes(0..200, || {
        let log = RefCell::new(Vec::new());
        task::scope(|s| {
            for name in ["A", "B"] {
                let log = &log;
                s.spawn(move || {
                    log.borrow_mut().push(format!("1{name}"));
                    yield_now();
                    log.borrow_mut().push(format!("2{name}"));
                });
            }
        });
        log.into_inner().concat()
    });
    assert_eq!(interleavings.len(), 6, "{interleavings:?}");
}

#[test]
fn a_yield_with_nobody_else_runnable_goes_on_and_takes_no_time() {
    hub::simulate_seeds(0..3, |_| {
        let parked = spawn(task::park);
        let begin = Instant::now();
        for _ in 0..1000 {
            yield_now();
            sleep(Duration::ZERO);
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        parked.kill();
    });
}

#[test]
fn who_waits_for_a_condition_by_yielding_gets_there() {
    hub::simulate_seeds(0..20, |_| {
        let done = Rc::new(Cell::new(0));
        for _ in 0..50 {
            let done = Rc::clone(&done);
            spawn(move || done.set(done.get() + 1));
        }
        while done.get() < 50 {
            yield_now();
        }
    });
}

#[test]
fn a_race_is_found_by_some_seed_and_found_again_by_the_same() {
    let race = || {
        let counter = Cell::new(0);
        task::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    for _ in 0..3 {
                        let read = counter.get();
                        if read == 2 {
                            // The only place where somebody may come between.
                            yield_now();
                        }
                        counter.set(read + 1);
                    }
                });
            }
        });
        counter.get()
    };
    let found: Vec<u64> = (0..100)
        .filter(|seed| hub::simulate(*seed, race) != 6)
        .collect();
    assert!(!found.is_empty() && found.len() < 100, "{found:?}");
    for seed in found {
        assert_ne!(hub::simulate(seed, race), 6, "seed {seed}");
    }
}

#[test]
fn explicit_switches_are_the_programs_own_and_not_the_seeds() {
    let sums = outcomes(0..10, || {
        let tasks = (1..4).map(|n| {
            spawn(move || {
                let numbers = Generator::new(move |y| {
                    for i in 0..10 {
                        y.yield_(i * n);
                        yield_now();
                    }
                });
                numbers.collect::<Vec<u32>>()
            })
        });
        let mut all: Vec<_> = tasks
            .collect::<Vec<_>>()
            .into_iter()
            .map(|t| t.join().unwrap())
            .collect();
        all.sort();
        all
    });
    assert_eq!(sums.len(), 1);
    let times = |n: u32| (0..10).map(|i| i * n).collect::<Vec<u32>>();
    assert!(sums.contains(&vec![times(1), times(2), times(3)]));
}

// ---- time ----

#[test]
fn a_sleep_takes_exactly_as_long_as_it_was_told() {
    hub::simulate_seeds(0..3, |_| {
        for d in [
            NANO,
            Duration::from_micros(999),
            HOUR,
            24 * 365 * 200 * HOUR,
        ] {
            let begin = Instant::now();
            sleep(d);
            assert_eq!(Instant::now() - begin, d);
            // Nothing but sleeping takes time.
            assert_eq!(begin.elapsed(), d);
        }
    });
}

#[test]
fn a_thousand_sleep_at_the_same_time_and_the_clock_begins_alike() {
    let ends = outcomes(0..3, || {
        let begin = Instant::now();
        let tasks: Vec<_> = (0..1000).map(|_| spawn(|| sleep(2 * SEC))).collect();
        assert_eq!(join_all(tasks, None).len(), 1000);
        assert_eq!(begin.elapsed(), 2 * SEC);
        Instant::now()
    });
    assert_eq!(ends.len(), 1);
}

#[test]
fn sleepers_wake_by_deadline_and_those_of_one_moment_in_any_order() {
    let orders = outcomes(0..50, || {
        let begin = Instant::now();
        let log = Rc::new(RefCell::new(Vec::new()));
        // Fine and coarse timers, not set in the order of their deadlines.
        let tasks =
            [("last", HOUR), ("tie", SEC), ("first", NANO), ("TIE", SEC)].map(|(name, d)| {
                let log = Rc::clone(&log);
                spawn(move || {
                    sleep(d);
                    assert_eq!(begin.elapsed(), d);
                    log.borrow_mut().push(name);
                })
            });
        for end in join_all(tasks, None) {
            end.unwrap();
        }
        log.take()
    });
    assert_eq!(
        orders,
        BTreeSet::from([
            vec!["first", "tie", "TIE", "last"],
            vec!["first", "TIE", "tie", "last"],
        ])
    );
}

#[test]
fn a_deadline_that_is_never_does_not_move_the_clock() {
    hub::simulate(1, || {
        let begin = Instant::now();
        let asleep = spawn(|| sleep(Duration::MAX));
        sleep(SEC);
        assert_eq!(begin.elapsed(), SEC);
        asleep.kill();
        assert!(matches!(asleep.join(), Err(JoinError::Killed)));
        assert_eq!(begin.elapsed(), SEC);
    });
}

#[test]
fn everything_with_a_deadline_goes_by_the_simulated_clock() {
    hub::simulate_seeds(0..10, |_| {
        let begin = Instant::now();
        let at = || begin.elapsed();

        let late = timeout(2 * HOUR, task::park).unwrap_err();
        assert_eq!((late.after(), at()), (2 * HOUR, 2 * HOUR));
        assert_eq!(timeout(HOUR, || task::shield(|| sleep(3 * HOUR))), Ok(()));
        assert_eq!(at(), 5 * HOUR);

        let later = spawn_later(HOUR, Instant::now);
        assert_eq!(later.join().unwrap() - begin, 6 * HOUR);
        let back = spawn(|| sleep(2 * HOUR)).join_timeout(HOUR).unwrap_err();
        assert_eq!(at(), 7 * HOUR);
        back.join().unwrap();
        assert_eq!(at(), 8 * HOUR);
        task::park_timeout(HOUR);
        assert_eq!(at(), 9 * HOUR);
        let slow = [1, 3].map(|n| spawn(move || sleep(n * HOUR)));
        assert_eq!(join_all(slow, Some(2 * HOUR)).len(), 1);
        assert_eq!(at(), 11 * HOUR);

        assert!(hub::run_until_idle(Some(2 * HOUR)));
        assert_eq!(at(), 12 * HOUR);
        let slow = spawn(|| sleep(3 * HOUR));
        assert!(!hub::run_until_idle(Some(2 * HOUR)));
        assert_eq!(at(), 14 * HOUR);
        drop(slow);

        task::scope(|s| {
            s.spawn(|| sleep(2 * HOUR));
        });
        assert_eq!(at(), 16 * HOUR);
    });
}

#[test]
fn an_interval_ticks_on_its_grid() {
    hub::simulate(5, || {
        let begin = Instant::now();
        let mut ticks = time::interval(HOUR).missed_ticks(MissedTicks::Skip);
        let mut due = Vec::new();
        for _ in 0..3 {
            due.push(ticks.tick() - begin);
            assert_eq!(begin.elapsed(), *due.last().unwrap());
        }
        sleep(5 * HOUR / 2);
        ticks.tick();
        due.push(ticks.tick() - begin);
        assert_eq!(due, [HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR]);
    });
}

#[test]
fn a_shutdown_gives_its_grace_in_simulated_time() {
    hub::simulate_seeds(0..10, |_| {
        let drops = Drops::new();
        let begin = Instant::now();
        for hours in [1, 2, 5] {
            let guard = drops.guard();
            spawn(move || {
                let _guard = guard;
                sleep(hours * HOUR);
            });
        }
        let done = hub::shutdown(3 * HOUR);
        assert_eq!((done.finished, done.killed, done.left), (2, 1, 0));
        assert_eq!((begin.elapsed(), drops.alive()), (3 * HOUR, 0));
    });
}

#[test]
fn other_threads_have_real_time_and_instants_of_both_kinds_mix() {
    let before = Instant::now();
    hub::simulate(1, || {
        sleep(24 * 365 * 100 * HOUR);
        let simulated = Instant::now();
        let real = std::thread::spawn(Instant::now).join().unwrap();
        assert!(before <= real && real < simulated);
        assert_eq!(real - simulated, Duration::ZERO);
        assert_eq!(real.checked_duration_since(simulated), None);
        assert!(simulated - real > Duration::ZERO);
        // A deadline of the other clock is a deadline all the same.
        time::sleep_until(real);
        assert_eq!(Instant::now(), simulated);
        assert_eq!(
            Instant::from(std::time::Instant::from(simulated)),
            simulated
        );
    });
    assert!(Instant::now() - before < 24 * 365 * HOUR);
}

#[test]
fn the_end_of_a_simulated_thread_has_real_time_again() {
    /// Waits when its thread ends.
    struct Late(mpsc::Sender<(Instant, Instant)>);
    impl Drop for Late {
        fn drop(&mut self) {
            let before = Instant::now();
            // By the thread: a clock that stands still would keep it for ever.
            sleep(Duration::from_millis(1));
            self.0.send((before, Instant::now())).unwrap();
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        // Before the hub's own, so that it ends after that.
        LATE.set(Some(Late(tx)));
        Hub::builder().simulate(1).start().unwrap();
        sleep(24 * 365 * 100 * HOUR);
    })
    .join()
    .unwrap();
    let (before, after) = rx.recv().unwrap();
    assert!(before < after && after <= Instant::now());
}

// ---- deadlock ----

#[test]
fn a_deadlock_is_told_at_once_although_the_process_has_other_threads() {
    hub::simulate_seeds(0..10, |_| {
        let begin = Instant::now();
        let stuck = Builder::new().name("stuck").spawn(task::park).unwrap();
        match stuck.join() {
            Err(JoinError::Deadlock(d)) => {
                let text = d.to_string();
                assert!(text.contains("'stuck'"), "{text}");
                assert!(
                    text.contains("given a handle of this simulated hub"),
                    "{text}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        // The hub works on, and a timer is a prospect.
        let waker = task::current();
        spawn_later(HOUR, move || waker.unpark());
        task::park();
        assert_eq!(begin.elapsed(), HOUR);
        let caught = catch_unwind(task::park).unwrap_err();
        let text = caught.downcast_ref::<String>().expect("a text");
        assert!(text.starts_with("deadlock: main waits"), "{text}");
    });
}

#[test]
fn a_scope_that_can_never_end_is_a_deadlock_too() {
    let drops = Drops::new();
    let guards = [drops.guard(), drops.guard()];
    let caught = catch_unwind(AssertUnwindSafe(|| {
        hub::simulate(3, || {
            task::scope(|s| {
                for guard in guards {
                    s.spawn(move || {
                        let _guard = guard;
                        task::park();
                    });
                }
            })
        })
    }));
    let message = caught.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("deadlock"), "{message}");
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_hub_whose_handle_was_asked_for_waits_for_other_threads() {
    hub::simulate_seeds(0..10, |_| {
        let me = task::current();
        let hub = hub::current_handle();
        let other = std::thread::spawn(move || {
            let doubled = task::spawn_on(&hub, || 21 * 2).unwrap().join().unwrap();
            me.unpark();
            doubled
        });
        task::park();
        assert_eq!(other.join().unwrap(), 42);
    });
}

#[test]
fn a_task_of_another_hub_can_be_joined() {
    let (tx, rx) = mpsc::channel();
    let server = std::thread::spawn(move || {
        tx.send((hub::current_handle(), task::current())).unwrap();
        task::park();
    });
    let (there, stay) = rx.recv().unwrap();
    hub::simulate_seeds(0..10, |_| {
        let one = || task::spawn_on(&there, || 7).unwrap();
        assert_eq!(one().join().unwrap(), 7);
        let all = join_all([one(), one()], None);
        assert!(all.iter().all(|end| matches!(end, Ok(7))));
    });
    stay.unpark();
    server.join().unwrap();
}

// ---- descriptors ----

#[test]
fn a_descriptor_that_is_ready_comes_before_the_next_deadline() {
    hub::simulate_seeds(0..10, |_| {
        let begin = Instant::now();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            io::wait_readable(near.as_fd(), Some(2 * HOUR)).unwrap();
            let mut byte = [0];
            near.read_exact(&mut byte).unwrap();
            (byte, begin.elapsed())
        });
        sleep(SEC);
        far.write_all(b"!").unwrap();
        sleep(HOUR);
        assert_eq!(reader.join().unwrap(), (*b"!", SEC));
    });
}

#[test]
fn without_a_timer_a_descriptor_is_waited_for_in_real_time() {
    hub::simulate_seeds(0..10, |_| {
        let begin = Instant::now();
        let (near, mut far) = UnixStream::pair().unwrap();
        let other = std::thread::spawn(move || far.write_all(b"!").map(|()| far));
        io::wait_readable(near.as_fd(), None).unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
        drop(other.join().unwrap());
    });
}

#[test]
fn a_descriptor_that_never_gets_ready_times_out_at_its_deadline() {
    hub::simulate(1, || {
        let begin = Instant::now();
        let (near, _far) = UnixStream::pair().unwrap();
        let late = io::wait_readable(near.as_fd(), Some(HOUR)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begin.elapsed(), HOUR);
    });
}

#[test]
fn between_two_calls_on_a_socket_that_succeed_another_task_may_run() {
    let interleaved = under(0..20, || {
        let log = RefCell::new(String::new());
        task::scope(|s| {
            for name in ["a", "b"] {
                let log = &log;
                s.spawn(move || {
                    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                    let mut far =
                        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                    let (mut near, _) = listener.accept().unwrap();
                    far.write_all(b"12345").unwrap();
                    for _ in 0..5 {
                        near.read_exact(&mut [0]).unwrap();
                        log.borrow_mut().push_str(name);
                    }
                });
            }
        });
        let log = log.into_inner();
        assert_eq!(log.len(), 10);
        log != "aaaaabbbbb" && log != "bbbbbaaaaa"
    });
    assert!(interleaved.contains(&true));
}

// ---- simulate and simulate_seeds ----

#[test]
fn a_simulation_may_borrow_and_ends_its_tasks_before_it_returns() {
    let drops = Drops::new();
    let mut log = Vec::new();
    let length = hub::simulate(1, || {
        let guard = drops.guard();
        spawn(move || {
            let _guard = guard;
            task::park();
        });
        yield_now();
        log.push("inside");
        log.len()
    });
    assert_eq!((length, log.len(), drops.dropped()), (1, 1, 1));
}

#[test]
fn a_panic_comes_out_with_its_payload_after_the_tasks_have_ended() {
    let drops = Drops::new();
    let guard = drops.guard();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        hub::simulate(1, || {
            spawn(move || {
                let _guard = guard;
                sleep(HOUR);
            });
            yield_now();
            std::panic::panic_any(17_u8);
        })
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&17_u8));
    assert_eq!(drops.alive(), 0);
}

#[test]
fn simulations_have_the_name_of_their_test_and_do_not_disturb_the_hub_around_them() {
    const NAME: &str =
        "simulations_have_the_name_of_their_test_and_do_not_disturb_the_hub_around_them";
    let outside = spawn(|| 1);
    let own = std::thread::current().name().map(str::to_owned);
    let inside = hub::simulate(1, || {
        assert_eq!(task::count(), 0);
        task::current().name().map(str::to_owned)
    });
    assert_eq!(inside, own);
    assert!(own.is_none_or(|name| name == NAME || name == "main"));
    assert_eq!(outside.join().unwrap(), 1);
}

#[test]
fn a_thread_that_has_a_hub_cannot_have_a_simulated_one() {
    std::thread::spawn(|| {
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
        let refused = Hub::builder().simulate(1).start().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    })
    .join()
    .unwrap();
}

#[test]
fn all_seeds_are_tried_in_order_until_one_fails() {
    let mut tried = Vec::new();
    hub::simulate_seeds(3..6, |seed| tried.push(seed));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        hub::simulate_seeds([8, 7, 9], |seed| {
            tried.push(seed);
            assert_ne!(seed, 7);
        });
    }));
    assert!(caught.is_err());
    assert_eq!(tried, [3, 4, 5, 8, 7]);
}

/// The lines of a child's stderr that are a simulation's report.
fn reports(output: &std::process::Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| line.contains("simulation failed"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_failure_is_reported_in_one_line_with_its_seed() {
    const NAME: &str = "a_failure_is_reported_in_one_line_with_its_seed";
    if util::is_child(NAME) {
        hub::simulate(0x00c0_ffee, || spawn(task::park).join().unwrap());
        return;
    }
    let output = util::run(&mut util::child(NAME));
    assert!(!output.status.success(), "{}", describe(&output));
    assert_eq!(
        reports(&output),
        ["greenloom: simulation failed with seed 0xc0ffee; run it again with the same seed"],
        "{}",
        describe(&output)
    );
}

#[test]
fn the_seed_that_failed_can_be_run_alone_by_the_environment() {
    const NAME: &str = "the_seed_that_failed_can_be_run_alone_by_the_environment";
    if util::is_child(NAME) {
        hub::simulate_seeds(0..100, |seed| {
            println!("tried {seed}");
            assert!(seed < 12, "{seed} is too much");
        });
        return;
    }
    let tried = |output: &std::process::Output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.matches("tried ").count()
    };
    let mut command = util::child(NAME);
    let output = util::run(command.env_remove("GREENLOOM_SEED"));
    assert!(!output.status.success(), "{}", describe(&output));
    let told = reports(&output);
    assert_eq!(
        told,
        [
            "greenloom: simulation failed with seed 0xc; run it again with the same seed (GREENLOOM_SEED=0xc)"
        ],
        "{}",
        describe(&output)
    );
    assert_eq!(tried(&output), 13);

    let output = util::run(command.env("GREENLOOM_SEED", "0xc"));
    assert_eq!((reports(&output), tried(&output)), (told, 1));
    let output = util::run(command.env("GREENLOOM_SEED", "3"));
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!((reports(&output).len(), tried(&output)), (0, 1));
    // Not taken for no seed at all.
    let output = util::run(command.env("GREENLOOM_SEED", "twelve"));
    assert!(!output.status.success(), "{}", describe(&output));
    assert_eq!(tried(&output), 0);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("GREENLOOM_SEED is \"twelve\""), "{text}");
    assert!(text.contains("simulate.rs"), "the caller is named: {text}");
}
