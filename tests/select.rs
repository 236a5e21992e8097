//! `Select`: one arm is chosen, the others are as if they had never been asked.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use greenloom::event::{AsyncResult, CancelToken, Event};
use greenloom::hub;
use greenloom::io::{readable, writable};
use greenloom::select::Select;
use greenloom::task::{self, JoinHandle, scope, spawn_on};
use greenloom::{join_all, sleep, spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

#[test]
fn the_ready_arm_is_chosen_without_a_wait() {
    let (a, b) = (Event::new(), AsyncResult::<u8>::new());
    b.set(4).unwrap();
    let n = timeout(Duration::ZERO, || {
        Select::new()
            .event(&a, || 0)
            .result(&b, |v| *v.unwrap())
            .wait()
    });
    assert_eq!(n.unwrap(), 4);
}

#[test]
fn the_first_to_become_ready_ends_the_wait() {
    let (events, token) = ([(); 3].map(|()| Rc::new(Event::new())), CancelToken::new());
    for chosen in 0..4 {
        let (e, t) = (events.clone(), token.clone());
        let task = spawn(move || {
            Select::new()
                .event(&e[0], || 0)
                .event(&e[1], || 1)
                .cancelled(&t, || 3)
                .event(&e[2], || 2)
                .wait()
        });
        yield_now();
        assert!(!task.is_finished());
        match events.get(chosen) {
            Some(event) => {
                // The grant counts, though it is not set any more when the task looks.
                event.set();
                event.clear();
            }
            None => token.cancel(),
        }
        assert_eq!(task.join().unwrap(), chosen);
    }
}

#[test]
fn arms_that_are_ready_at_once_are_all_chosen_now_and_then() {
    let events = [(); 3].map(|()| Event::new());
    events.iter().for_each(Event::set);
    let mut seen = [0; 3];
    for _ in 0..3000 {
        let n = Select::new()
            .event(&events[0], || 0)
            .event(&events[1], || 1)
            .event(&events[2], || 2)
            .wait();
        seen[n] += 1;
    }
    // A thousand each is the mean; a hundred is beyond any chance.
    assert!(seen.iter().all(|n| *n > 100), "{seen:?}");
}

#[test]
fn default_and_try_wait_do_not_wait() {
    let event = Event::new();
    let other = Rc::new(Cell::new(false));
    let o = other.clone();
    let task = spawn(move || o.set(true));
    let n = Select::new().event(&event, || 1).default(|| 2).wait();
    assert_eq!(n, 2);
    assert_eq!(Select::new().event(&event, || 1).try_wait(), None);
    assert!(Select::<()>::new().try_wait().is_none());
    event.set();
    let n = Select::new().default(|| 2).event(&event, || 1).wait();
    assert_eq!(n, 1);
    assert_eq!(Select::new().event(&event, || 1).try_wait(), Some(1));
    assert!(!other.get(), "one of them gave way");
    task.join().unwrap();
}

#[test]
fn after_gives_up_and_the_shortest_counts() {
    let event = Event::new();
    let n = Select::new()
        .after(HOUR, || 1)
        .event(&event, || 2)
        .after(MS, || 3)
        .after(Duration::MAX, || 4)
        .wait();
    assert_eq!(n, 3);
    assert_eq!(Select::new().event(&event, || 1).wait_timeout(MS), None);
    // The shorter of the limit and the arm.
    let limited = |d| {
        Select::new()
            .event(&event, || 1)
            .after(5 * MS, || 2)
            .wait_timeout(d)
    };
    assert_eq!(limited(MS), None);
    assert_eq!(limited(HOUR), Some(2));
    event.set();
    let n = Select::new()
        .after(Duration::ZERO, || 1)
        .event(&event, || 2);
    assert_eq!(n.wait(), 2, "what is ready goes before what is over");
}

#[test]
fn arms_may_return_what_never_returns() {
    let event = Event::new();
    event.set();
    let n: u8 = Select::new()
        .after(HOUR, || panic!("the wrong arm"))
        .event(&event, || 5)
        .wait();
    assert_eq!(n, 5);
}

#[test]
fn the_chosen_closure_runs_after_the_others_are_gone_and_may_wait() {
    let (drops, ready, other) = (Drops::new(), Event::new(), Event::new());
    ready.set();
    let (g1, g2, g3) = (drops.guard(), drops.guard(), drops.guard());
    let alive = Select::new()
        .event(&other, move || {
            let _g = g1;
            0
        })
        .event(&ready, || {
            let _g = g2;
            yield_now();
            // The same things again: nothing is registered any more.
            other.set();
            other.wait();
            drops.alive()
        })
        .after(HOUR, move || {
            let _g = g3;
            0
        })
        .wait();
    assert_eq!(alive, 1);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_panic_of_the_closure_is_the_callers() {
    let event = Event::new();
    event.set();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        Select::new().event(&event, || panic!("mine")).wait()
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "mine");
    assert!(event.wait_timeout(HOUR));
}

#[test]
fn one_event_may_be_at_several_arms() {
    let event = Rc::new(Event::new());
    let e = event.clone();
    let task = spawn(move || Select::new().event(&e, || ()).event(&e, || ()).wait());
    yield_now();
    event.set();
    task.join().unwrap();
}

#[test]
fn any_number_of_arms_can_be_made_at_run_time() {
    for count in [1, 7, 8, 9, 64, 1000] {
        let events: Rc<Vec<Event>> = Rc::new((0..count).map(|_| Event::new()).collect());
        let stop = Rc::new(Event::new());
        for chosen in [0, count / 2, count - 1] {
            let (e, s) = (events.clone(), stop.clone());
            let task = spawn(move || {
                Select::new()
                    .event(&s, || usize::MAX)
                    .any(e.iter(), |i, ()| i)
                    .after(HOUR, || usize::MAX)
                    .wait()
            });
            yield_now();
            events[chosen].set();
            assert_eq!(task.join().unwrap(), chosen);
            // Ready at once.
            assert_eq!(Select::new().any(&*events, |i, ()| i).wait(), chosen);
            events[chosen].clear();
        }
    }
    let none: [&Event; 0] = [];
    assert_eq!(Select::new().any(none, |i, ()| i).wait_timeout(MS), None);
}

#[test]
fn kills_and_deadlines_end_the_wait_and_leave_nothing_behind() {
    let (a, b) = (Rc::new(Event::new()), Rc::new(Event::new()));
    let both = |a: Rc<Event>, b: Rc<Event>| Select::new().event(&a, || 1).event(&b, || 2).wait();
    let (x, y) = (a.clone(), b.clone());
    let task = spawn(move || both(x, y));
    yield_now();
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
    assert!(timeout(MS, || both(a.clone(), b.clone())).is_err());
    // With a time of its own, an enclosing expiry is reported like that.
    let late = timeout(MS, || {
        Select::new().event(&a, || 1).after(HOUR, || 2).wait()
    });
    assert_eq!(late.unwrap_err().into_value(), Some(2));
    a.set();
    b.set();
    assert_ne!(both(a, b), 0);
}

#[test]
fn a_kill_that_comes_with_the_grant_is_delivered_later() {
    let (event, chosen) = (Rc::new(Event::new()), Rc::new(Cell::new(false)));
    let (e, c) = (event.clone(), chosen.clone());
    let task = spawn(move || {
        Select::new().event(&e, || c.set(true)).wait();
        yield_now();
        unreachable!("a killed task went on");
    });
    yield_now();
    event.set();
    event.clear();
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
    assert!(chosen.get());
}

#[test]
fn a_callback_of_the_hub_cannot_wait_and_says_so() {
    let (tx, rx) = mpsc::channel();
    let done = Arc::new(Event::new());
    let d = done.clone();
    spawn(|| ()).on_done(move |_| {
        let event = Event::new();
        assert_eq!(Select::new().event(&event, || 1).try_wait(), None);
        let wait = || Select::new().event(&event, || 1).wait();
        let message = catch_unwind(AssertUnwindSafe(wait)).unwrap_err();
        tx.send(message.downcast::<String>().unwrap()).unwrap();
        d.set();
    });
    done.wait();
    let message = rx.recv().unwrap();
    assert!(message.contains("cannot wait here"), "{message}");
    assert!(message.contains("tests/select.rs"), "{message}");
}

// ---- tasks ----

#[test]
fn an_arm_of_a_task_takes_the_handle_only_if_it_is_chosen() {
    let gate = Rc::new(Event::new());
    let g = gate.clone();
    let mut slow = Some(spawn(move || {
        g.wait();
        "slow"
    }));
    let mut fast = Some(spawn(|| "fast"));
    let mut none: Option<JoinHandle<&str>> = None;
    let mut first = || {
        Select::new()
            .join(&mut none, |_| unreachable!("no task has ended"))
            .join(&mut slow, |r| r.unwrap())
            .join(&mut fast, |r| r.unwrap())
            .wait()
    };
    assert_eq!(first(), "fast");
    gate.set();
    assert_eq!(first(), "slow");
    assert!(slow.is_none() && fast.is_none());
}

#[test]
fn an_arm_of_a_task_brings_kills_and_panics() {
    let mut stuck = Some(spawn(task::park));
    let gave_up = Select::new()
        .join(&mut stuck, |_| false)
        .after(MS, || true)
        .wait();
    assert!(gave_up);
    stuck.as_ref().unwrap().kill();
    let killed = Select::new().join(&mut stuck, |r| r.unwrap_err().is_killed());
    assert!(killed.wait());
    let mut panics = Some(spawn(|| panic!("on purpose")));
    let r = Select::new().join(&mut panics, |r: Result<(), _>| r.unwrap_err().is_panic());
    assert!(r.wait());
}

#[test]
fn a_killed_select_leaves_the_task_and_its_handle() {
    let handle = Rc::new(RefCell::new(None));
    let gate = Rc::new(Event::new());
    let g = gate.clone();
    let mut worker = Some(spawn(move || {
        g.wait();
        11
    }));
    let h = handle.clone();
    let selects = spawn(move || {
        struct Back<'a>(
            &'a RefCell<Option<JoinHandle<i32>>>,
            Option<JoinHandle<i32>>,
        );
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                *self.0.borrow_mut() = self.1.take();
            }
        }
        let mut back = Back(&h, worker.take());
        Select::new().join(&mut back.1, |_| ()).wait();
    });
    yield_now();
    selects.kill();
    assert!(selects.join().unwrap_err().is_killed());
    gate.set();
    let worker = handle.take().unwrap();
    assert_eq!(worker.join().unwrap(), 11);
}

/// A thread whose hub serves until `stop` is set.
fn server() -> (hub::HubHandle, Arc<Event>, thread::JoinHandle<()>) {
    let (tx, rx) = mpsc::channel();
    let stop = Arc::new(Event::new());
    let s = stop.clone();
    let thread = thread::spawn(move || {
        tx.send(hub::current_handle()).unwrap();
        s.wait();
    });
    (rx.recv().unwrap(), stop, thread)
}

#[test]
fn tasks_of_another_thread_are_arms_too() {
    let (hub, stop, thread) = server();
    let selects = move || {
        for n in 0..100 {
            let gate = Arc::new(Event::new());
            let g = gate.clone();
            let remote = spawn_on(&hub, move || {
                g.wait();
                n
            });
            let mut slow = remote.ok();
            let mut fast = spawn_on(&hub, move || n + 1).ok();
            let mut first = || {
                Select::new()
                    .join(&mut slow, |r| r.unwrap())
                    .join(&mut fast, |r| r.unwrap())
                    .wait()
            };
            assert_eq!(first(), n + 1);
            gate.set();
            assert_eq!(first(), n);
        }
    };
    // From a task, and from a thread without a hub.
    spawn(selects).join().unwrap();
    thread::spawn(selects).join().unwrap();
    // Its hub ends under one that is waited for.
    let mut lost = spawn_on(&hub, task::park).ok();
    assert_eq!(Select::new().join(&mut lost, |_| 0).wait_timeout(MS), None);
    stop.set();
    let r = Select::new().join(&mut lost, |r| r).wait();
    assert!(r.is_err());
    thread.join().unwrap();
}

// ---- descriptors ----

#[test]
fn descriptors_are_ready_when_a_call_would_not_block() {
    let (mut reader, mut writer) = io::pipe().unwrap();
    let idle = Event::new();
    let first = |r: &io::PipeReader| {
        Select::new()
            .event(&idle, || false)
            .readable(r, |r| r.is_ok())
            .after(MS, || false)
            .wait()
    };
    assert!(!first(&reader));
    let task = spawn(move || {
        writer.write_all(b"x").unwrap();
        writer
    });
    let ok = Select::new()
        .event(&idle, || false)
        .readable(&reader, |r| r.is_ok());
    assert!(ok.wait());
    // Level: it stays so until it is read, and then it is not.
    assert!(first(&reader));
    let mut byte = [0];
    reader.read_exact(&mut byte).unwrap();
    assert!(!first(&reader));
    let writer = task.join().unwrap();
    assert!(Select::new().writable(&writer, |r| r.is_ok()).wait());
    // The end is something to read.
    drop(writer);
    assert!(first(&reader));
}

#[test]
fn one_of_many_descriptors() {
    let pipes: Vec<_> = (0..20).map(|_| io::pipe().unwrap()).collect();
    let (readers, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
    let task = spawn(move || {
        (&writers[13]).write_all(b"x").unwrap();
        writers
    });
    let n = Select::new().any(readers.iter().map(readable), |i, r| {
        r.unwrap();
        i
    });
    assert_eq!(n.wait(), 13);
    let writers = task.join().unwrap();
    let n = Select::new().any(writers.iter().map(writable), |i, _| i);
    assert!(n.wait() < 20);
}

#[test]
fn a_neighbour_that_was_faster_is_no_event() {
    let ((a, mut fill_a), (b, mut fill_b)) = (io::pipe().unwrap(), io::pipe().unwrap());
    let both = Rc::new([a, b]);
    let tasks = [(); 2].map(|()| {
        let both = both.clone();
        spawn(move || {
            Select::new()
                .any(both.iter().map(readable), |i, r| {
                    r.unwrap();
                    let mut byte = [0];
                    (&both[i]).read_exact(&mut byte).unwrap();
                    i
                })
                .wait()
        })
    });
    yield_now();
    // Both are woken, one finds it.
    fill_a.write_all(b"x").unwrap();
    let (first, rest) = task::join_n(tasks, 1, None);
    assert_eq!(*first[0].as_ref().unwrap(), 0);
    for _ in 0..3 {
        yield_now();
    }
    assert!(!rest[0].is_finished());
    fill_b.write_all(b"x").unwrap();
    for task in rest {
        assert_eq!(task.join().unwrap(), 1);
    }
}

#[test]
fn a_descriptor_that_cannot_be_waited_for_is_an_error_of_its_arm() {
    // A regular file is always ready, and never fit for the poll.
    let file = std::fs::File::open("Cargo.toml").unwrap();
    assert!(Select::new().readable(&file, |r| r.is_ok()).wait());
}

#[test]
fn a_thread_without_a_hub_selects_descriptors() {
    let (reader, mut writer) = io::pipe().unwrap();
    let (ready, waits) = mpsc::channel();
    let t = thread::spawn(move || {
        let idle = Event::new();
        let late = Select::new()
            .readable(&reader, |_| 1)
            .event(&idle, || 2)
            .wait_timeout(MS);
        assert_eq!(late, None);
        ready.send(()).unwrap();
        Select::new().readable(&reader, |r| r).wait().unwrap();
    });
    waits.recv().unwrap();
    writer.write_all(b"x").unwrap();
    t.join().unwrap();
}

#[test]
fn selects_of_descriptors_leave_none_open() {
    util::alone("selects_of_descriptors_leave_none_open", || {
        let (reader, _writer) = io::pipe().unwrap();
        util::assert_no_leak(|| {
            for _ in 0..10 {
                assert_eq!(
                    Select::new()
                        .readable(&reader, |_| 1)
                        .wait_timeout(Duration::ZERO),
                    None
                );
                let task = Event::new();
                let late = timeout(Duration::ZERO, || {
                    Select::new()
                        .readable(&reader, |_| 1)
                        .event(&task, || 2)
                        .wait()
                });
                assert!(late.is_err());
            }
        });
    });
}

#[test]
fn selects_that_were_in_vain_leave_nothing_registered() {
    util::alone("selects_that_were_in_vain_leave_nothing_registered", || {
        let (event, result) = (Event::new(), AsyncResult::<u8>::new());
        let mut stuck = Some(spawn(task::park));
        util::assert_no_leak(|| {
            for _ in 0..20_000 {
                let n = Select::new()
                    .event(&event, || 1)
                    .result(&result, |_| 2)
                    .join(&mut stuck, |_| 3)
                    .wait_timeout(Duration::ZERO);
                assert_eq!(n, None);
            }
        });
        stuck.unwrap().kill();
    });
}

// ---- threads ----

#[test]
fn plain_threads_select_and_are_woken() {
    let (a, b) = (Arc::new(Event::new()), AsyncResult::<u8>::new());
    let (x, y) = (a.clone(), b.clone());
    let t = thread::spawn(move || {
        let first = Select::new()
            .event(&x, || 1)
            .result(&y, |v| *v.unwrap())
            .wait();
        x.clear();
        let then = Select::new()
            .event(&x, || 1)
            .result(&y, |v| *v.unwrap())
            .wait();
        (first, then)
    });
    a.set();
    thread::yield_now();
    let b2 = b.clone();
    spawn(move || {
        sleep(5 * MS);
        b2.set(7).unwrap();
    })
    .join()
    .unwrap();
    let (first, then) = t.join().unwrap();
    assert!(first == 1 || first == 7);
    assert_eq!(then, 7);
}

#[test]
fn each_signal_ends_one_select_or_more_and_none_is_lost() {
    const ROUNDS: usize = if cfg!(feature = "sanitizer") {
        1_000
    } else {
        100_000
    };
    // Ping-pong over two pairs of events, through selects that time out now and then at the same instant.
    let ping = Arc::new([Event::new(), Event::new()]);
    let pong = Arc::new([Event::new(), Event::new()]);
    let (p, q) = (ping.clone(), pong.clone());
    let echo = thread::spawn(move || {
        for _ in 0..ROUNDS {
            let i = loop {
                let i = Select::new()
                    .event(&p[0], || Some(0))
                    .event(&p[1], || Some(1))
                    .after(Duration::from_micros(20), || None)
                    .wait();
                if let Some(i) = i {
                    break i;
                }
            };
            p[i].clear();
            q[i].set();
        }
    });
    spawn(move || {
        for n in 0..ROUNDS {
            let i = n % 2;
            ping[i].set();
            let answered = Select::new().any(pong.iter(), |i, ()| i).wait();
            assert_eq!(answered, i);
            pong[i].clear();
        }
    })
    .join()
    .unwrap();
    echo.join().unwrap();
}

#[test]
fn a_selects_thread_may_end_under_it() {
    let event = Arc::new(Event::new());
    let e = event.clone();
    thread::spawn(move || {
        let (reader, writer) = io::pipe().unwrap();
        let task = spawn(move || {
            let mut child = Some(spawn(task::park));
            Select::new()
                .event(&e, || 1)
                .readable(&reader, |_| 2)
                .join(&mut child, |_| 3)
                .wait()
        });
        yield_now();
        yield_now();
        std::mem::forget((task, writer));
    })
    .join()
    .unwrap();
    event.set();
    assert!(event.wait_timeout(HOUR));
}

#[test]
fn in_a_simulation_the_seed_chooses_and_every_end_of_a_race_occurs() {
    let choices = || {
        let events = [(); 4].map(|()| Event::new());
        events.iter().for_each(Event::set);
        let choose = || Select::new().any(&events, |i, ()| i).wait();
        (0..20).map(|_| choose()).collect::<Vec<_>>()
    };
    let (one, same) = (hub::simulate(1, choices), hub::simulate(1, choices));
    assert_eq!(one, same);
    assert_ne!(one, hub::simulate(2, choices));

    // A signal, the end of its time and a kill, all at the same instant.
    let ends = (0..200).map(|seed| {
        hub::simulate(seed, || {
            let (a, b) = (Rc::new(Event::new()), AsyncResult::<u8>::new());
            let (x, y) = (a.clone(), b.clone());
            let selects = spawn(move || {
                let chosen = Select::new()
                    .event(&x, || "event")
                    .result(&y, |_| "result")
                    .after(MS, || "time")
                    .wait();
                yield_now();
                chosen
            });
            let kill = Rc::new(selects);
            let k = kill.clone();
            let others = [
                spawn(move || {
                    sleep(MS);
                    a.set();
                    a.clear();
                }),
                spawn(move || {
                    sleep(MS);
                    b.set(1).unwrap();
                }),
                spawn(move || {
                    sleep(MS);
                    k.kill();
                    drop(k);
                }),
            ];
            join_all(others, None);
            let selects = Rc::into_inner(kill).unwrap();
            selects.join().unwrap_or("killed")
        })
    });
    let ends: BTreeSet<_> = ends.collect();
    assert_eq!(
        ends.into_iter().collect::<Vec<_>>(),
        ["event", "killed", "result", "time"]
    );
}

#[test]
fn a_select_in_a_scope_borrows() {
    let (event, result) = (Event::new(), AsyncResult::<String>::new());
    let text = scope(|s| {
        let task = s.spawn(|| {
            Select::new()
                .event(&event, || "event")
                .result(&result, |v| v.unwrap().as_str())
                .wait()
        });
        s.spawn(|| result.set("result".into()).unwrap());
        task.join().unwrap()
    });
    assert_eq!(text, "result");
}

#[test]
fn a_storm_of_selects_kills_and_signals() {
    const ROUNDS: usize = if cfg!(feature = "sanitizer") {
        100
    } else {
        1000
    };
    let events = Arc::new([(); 4].map(|()| Event::new()));
    let over = Arc::new(AtomicBool::new(false));
    let chosen = Arc::new(AtomicUsize::new(0));
    let signals = {
        let (events, over) = (events.clone(), over.clone());
        thread::spawn(move || {
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                n += 1;
                events[n % 4].set();
                events[n % 4].clear();
                if n % 16 == 0 {
                    thread::yield_now();
                }
            }
        })
    };
    for round in 0..ROUNDS {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (events, chosen) = (events.clone(), chosen.clone());
                spawn(move || {
                    let n = Select::new()
                        .any(events.iter(), |i, ()| i)
                        .after(Duration::from_micros(50), || 4)
                        .wait();
                    assert!(n <= 4);
                    chosen.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        yield_now();
        tasks[round % 4].kill();
        for task in tasks {
            match task.join() {
                Ok(()) => {}
                Err(e) => assert!(e.is_killed()),
            }
        }
    }
    over.store(true, Ordering::Relaxed);
    signals.join().unwrap();
    assert!(chosen.load(Ordering::Relaxed) >= 3 * ROUNDS);
}
