//! Signals: tasks for them, streams of them, and what was there before.
//!
//! Dispositions belong to the process, so every test runs in one of its own. `raise` runs the handler before it returns.

#[path = "util/lonely.rs"]
mod lonely;
mod util;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::hub::{self, Hub};
use greenloom::select::{Select, Waitable, wait};
use greenloom::signal::{self, Refused, SignalKind};
use greenloom::task::{self, JoinError};
use greenloom::time::Instant;
use greenloom::{sleep, spawn, timeout, yield_now};
use lonely::lonely;
use util::{Drops, alone, child, describe, is_child, run};

const HOUR: Duration = Duration::from_secs(3600);

fn raise(kind: SignalKind) {
    // SAFETY: plain numbers; what the handler may do is the library's business.
    assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0);
}

/// Gives the hub a turn, and lets all tasks run until each waits or has ended.
fn settle() {
    sleep(Duration::from_nanos(1));
    for _ in 0..10 {
        yield_now();
    }
}

/// Sends it to the process, for any thread.
fn send_to_process(kind: SignalKind) {
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::kill(libc::getpid(), kind.as_raw()) }, 0);
}

/// What is installed, as a number.
fn disposition(kind: SignalKind) -> usize {
    // SAFETY: a null action only asks; the answer is written to this frame, which is plain data.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        let asked = libc::sigaction(kind.as_raw(), std::ptr::null(), &raw mut now);
        assert_eq!(asked, 0);
        now.sa_sigaction
    }
}

/// Whether one was sent to the process that no thread has taken yet. (`sigpending` tells of blocked signals only.)
fn is_pending(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let shared = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let set = u64::from_str_radix(shared.unwrap().trim(), 16).unwrap();
    set >> (kind.as_raw() - 1) & 1 == 1
}

fn install(kind: SignalKind, handler: usize) {
    // SAFETY: `handler` is SIG_DFL, SIG_IGN, or a function of this file that takes a number.
    let before = unsafe { libc::signal(kind.as_raw(), handler) };
    assert_ne!(before, libc::SIG_ERR);
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_calls(_: libc::c_int) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

/// Runs the test `name` in a child, which is to be ended by the signal.
#[track_caller]
fn ended_by(name: &str, kind: SignalKind, body: impl FnOnce()) {
    if is_child(name) {
        // A shell starts what runs in its background with some signals ignored, and that is inherited.
        install(kind, libc::SIG_DFL);
        return body();
    }
    let output = run(&mut child(name));
    assert_eq!(
        output.status.signal(),
        Some(kind.as_raw()),
        "{}",
        describe(&output)
    );
}

#[test]
fn streams_and_registrations_are_documented_types() {
    fn debug<T: std::fmt::Debug>(_: &T) {}
    alone("streams_and_registrations_are_documented_types", || {
        let stream = signal::stream(SignalKind::USER1).unwrap();
        let registration = signal::on(SignalKind::USER2, || ()).unwrap();
        debug(&stream);
        debug(&registration);
        assert_eq!(
            (stream.kind(), registration.kind()),
            (SignalKind::USER1, SignalKind::USER2)
        );
        assert_eq!(format!("{:?}", SignalKind::USER1), "SignalKind(SIGUSR1)");
    });
}

#[test]
fn each_signal_is_a_fresh_task_for_each_registration_in_order() {
    alone(
        "each_signal_is_a_fresh_task_for_each_registration_in_order",
        || {
            let log = Rc::new(RefCell::new(Vec::new()));
            let register = |name: &'static str| {
                let log = Rc::clone(&log);
                signal::on(SignalKind::USER1, move || {
                    assert_eq!(task::name().as_deref(), Some("on SIGUSR1"));
                    let id = task::id();
                    log.borrow_mut().push(name);
                    yield_now(); // a task may wait, and is the same one afterwards
                    assert_eq!(task::id(), id);
                })
                .unwrap()
            };
            let (_a, b) = (register("a"), register("b"));
            raise(SignalKind::USER1);
            assert!(
                log.borrow().is_empty(),
                "nothing of the program's runs in a handler"
            );
            settle();
            assert_eq!(log.take(), ["a", "b"]);

            // One task for each: they were told apart.
            raise(SignalKind::USER1);
            raise(SignalKind::USER1);
            settle();
            assert_eq!(log.take(), ["a", "a", "b", "b"]);

            drop(b);
            raise(SignalKind::USER1);
            settle();
            assert_eq!(log.take(), ["a"]);
        },
    );
}

#[test]
fn what_cannot_be_handled_is_refused() {
    alone("what_cannot_be_handled_is_refused", || {
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
        let never = [libc::SIGKILL, libc::SIGSTOP];
        let no_signals = [0, -1, 65, i32::MAX, i32::MIN];
        for number in [&faults[..], &never, &no_signals].concat() {
            let kind = SignalKind::from_raw(number);
            let before = (1..65).contains(&number).then(|| disposition(kind));
            for error in [
                signal::on(kind, || ()).unwrap_err(),
                signal::stream(kind).unwrap_err(),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                let refused = error.get_ref().unwrap().downcast_ref::<Refused>().unwrap();
                assert_eq!(refused.kind(), kind);
                assert!(refused.to_string().contains(&kind.to_string()), "{refused}");
            }
            assert_eq!(before, before.map(|_| disposition(kind)));
        }
        // The C library keeps these two.
        let own = signal::on(SignalKind::from_raw(32), || ()).unwrap_err();
        assert_eq!(own.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn the_last_registration_brings_back_what_was_there() {
    alone("the_last_registration_brings_back_what_was_there", || {
        for before in [
            libc::SIG_IGN,
            libc::SIG_DFL,
            count_calls as *const () as usize,
        ] {
            install(SignalKind::HANGUP, before);
            let first = signal::on(SignalKind::HANGUP, || ()).unwrap();
            let second = signal::stream(SignalKind::HANGUP).unwrap();
            assert_ne!(disposition(SignalKind::HANGUP), before);
            drop(first);
            assert_ne!(disposition(SignalKind::HANGUP), before);
            drop(second);
            assert_eq!(disposition(SignalKind::HANGUP), before);
        }
    });
}

#[test]
fn the_default_action_is_back_after_the_drop() {
    let name = "the_default_action_is_back_after_the_drop";
    ended_by(name, SignalKind::TERMINATE, || {
        let registration = signal::on(SignalKind::TERMINATE, || ()).unwrap();
        raise(SignalKind::TERMINATE);
        drop(registration);
        raise(SignalKind::TERMINATE);
    });
}

#[test]
fn a_handler_that_was_there_before_is_called_too() {
    alone("a_handler_that_was_there_before_is_called_too", || {
        install(SignalKind::USER1, count_calls as *const () as usize);
        let stream = signal::stream(SignalKind::USER1).unwrap();
        raise(SignalKind::USER1);
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
        stream.recv().unwrap();
        drop(stream);
        raise(SignalKind::USER1);
        assert_eq!(CALLS.load(Ordering::Relaxed), 2);
    });
}

static BELOW: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_and_call_below(signal: libc::c_int) {
    count_calls(signal);
    // SAFETY: what was installed: a function that takes what a handler with SA_SIGINFO does, and looks at the number only.
    let below: extern "C" fn(libc::c_int, usize, usize) =
        unsafe { std::mem::transmute(BELOW.load(Ordering::Relaxed)) };
    below(signal, 0, 0);
}

#[test]
fn a_handler_put_over_it_stays_and_nobody_calls_in_a_circle() {
    alone(
        "a_handler_put_over_it_stays_and_nobody_calls_in_a_circle",
        || {
            let first = signal::stream(SignalKind::USER1).unwrap();
            BELOW.store(disposition(SignalKind::USER1), Ordering::Relaxed);
            let over = count_and_call_below as *const () as usize;
            install(SignalKind::USER1, over);
            raise(SignalKind::USER1);
            first.recv().unwrap();
            drop(first);
            assert_eq!(
                disposition(SignalKind::USER1),
                over,
                "not ours to take away"
            );

            let second = signal::stream(SignalKind::USER1).unwrap();
            assert_eq!(disposition(SignalKind::USER1), over);
            raise(SignalKind::USER1);
            second.recv().unwrap();
            assert_eq!(CALLS.load(Ordering::Relaxed), 2);
            drop(second);

            // One that calls nobody: then ours has to go over it.
            install(SignalKind::USER1, libc::SIG_IGN);
            let third = signal::stream(SignalKind::USER1).unwrap();
            raise(SignalKind::USER1);
            third.recv().unwrap();
            drop(third);
            assert_eq!(disposition(SignalKind::USER1), libc::SIG_IGN);
        },
    );
}

#[test]
fn ctrl_c_waits_for_one_and_then_the_next_one_ends_the_program() {
    let name = "ctrl_c_waits_for_one_and_then_the_next_one_ends_the_program";
    ended_by(name, SignalKind::INTERRUPT, || {
        let waiter = spawn(signal::ctrl_c);
        yield_now();
        assert!(!waiter.is_finished());
        raise(SignalKind::INTERRUPT);
        waiter.join().unwrap().unwrap();
        raise(SignalKind::INTERRUPT);
    });
}

#[test]
fn a_stream_keeps_what_came_and_gives_each_to_one() {
    alone("a_stream_keeps_what_came_and_gives_each_to_one", || {
        let stream = Rc::new(signal::stream(SignalKind::USER1).unwrap());
        assert!(!stream.try_recv());
        assert!(!stream.recv_timeout(Duration::from_millis(1)).unwrap());
        raise(SignalKind::USER1);
        raise(SignalKind::USER1);
        stream.recv().unwrap();
        assert!(stream.recv_timeout(HOUR).unwrap());
        assert!(!stream.recv_timeout(Duration::ZERO).unwrap());

        // Of three that wait, two are served, the oldest first; one is killed meanwhile and takes none.
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks = [0, 1, 2].map(|n| {
            let (stream, order) = (Rc::clone(&stream), Rc::clone(&order));
            spawn(move || {
                stream.recv().unwrap();
                order.borrow_mut().push(n);
            })
        });
        yield_now();
        tasks[1].kill();
        raise(SignalKind::USER1);
        raise(SignalKind::USER1);
        let ends = tasks.map(|task| task.join().is_ok());
        assert_eq!((ends, order.take()), ([true, false, true], vec![0, 2]));
        assert!(!stream.try_recv());

        // Killed after it was handed over: received all the same, or kept for the next.
        let (other, seen) = (Rc::clone(&stream), Rc::new(Cell::new(false)));
        let saw = Rc::clone(&seen);
        let late = spawn(move || {
            other.recv().unwrap();
            saw.set(true);
            sleep(HOUR);
        });
        yield_now();
        raise(SignalKind::USER1);
        late.kill();
        assert!(matches!(late.join(), Err(JoinError::Killed)));
        settle();
        assert_ne!(seen.get(), stream.try_recv(), "received once");
    });
}

#[test]
fn an_enclosing_timeout_is_an_error_and_zero_is_not_waited_for() {
    alone(
        "an_enclosing_timeout_is_an_error_and_zero_is_not_waited_for",
        || {
            let stream = signal::stream(SignalKind::USER1).unwrap();
            let mut inside = None;
            let late = timeout(Duration::from_millis(1), || inside = Some(stream.recv()));
            assert!(late.is_err());
            assert_eq!(inside.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
            let refused = Rc::new(RefCell::new(None));
            let (tell, stream) = (Rc::clone(&refused), Rc::new(stream));
            let in_callback = Rc::clone(&stream);
            raise(SignalKind::USER1);
            stream.recv().unwrap();
            // Waits are refused in the hub, where the drop of a result nobody fetches runs.
            struct OnDrop<F: FnMut()>(F);
            impl<F: FnMut()> Drop for OnDrop<F> {
                fn drop(&mut self) {
                    (self.0)();
                }
            }
            drop(spawn(move || {
                OnDrop(move || *tell.borrow_mut() = Some(in_callback.recv()))
            }));
            yield_now();
            yield_now();
            let error = refused.take().expect("the drop ran").unwrap_err();
            assert!(error.get_ref().unwrap().is::<hub::InCallback>(), "{error}");
        },
    );
}

#[test]
fn selects_and_waits_take_streams() {
    alone("selects_and_waits_take_streams", || {
        let one = signal::stream(SignalKind::USER1).unwrap();
        let two = signal::stream(SignalKind::USER2).unwrap();
        let pick = || {
            Select::new()
                .signal(&one, || 1)
                .signal(&two, || 2)
                .after(HOUR, || 0)
                .wait()
        };
        raise(SignalKind::USER2);
        assert_eq!(pick(), 2);
        spawn(|| raise(SignalKind::USER1));
        assert_eq!(pick(), 1);
        assert!(
            !one.try_recv() && !two.try_recv(),
            "what was chosen is received"
        );

        spawn(|| raise(SignalKind::USER2));
        let event = Event::new();
        let items: [&dyn Waitable; 3] = [&one, &event, &two];
        assert_eq!(wait(items, Some(HOUR), Some(1)).len(), 1);
        assert!(two.try_recv(), "a wait takes nothing");
        assert!(wait([&one, &two], Some(Duration::ZERO), None).is_empty());
    });
}

#[test]
fn every_hub_that_asked_is_told_and_one_that_ended_is_not() {
    alone(
        "every_hub_that_asked_is_told_and_one_that_ended_is_not",
        || {
            let (ready, is_ready) = mpsc::channel();
            let (told, is_told) = mpsc::channel();
            let threads: Vec<_> = (0..3)
                .map(|n| {
                    let (ready, told) = (ready.clone(), told.clone());
                    std::thread::spawn(move || {
                        let stream = signal::stream(SignalKind::USER1).unwrap();
                        ready.send(()).unwrap();
                        // Thread n ends after its first n + 1 signals, with its registration.
                        for _ in 0..=n {
                            stream.recv().unwrap();
                            told.send(n).unwrap();
                        }
                        signal::on(SignalKind::USER1, || ()).unwrap().forever();
                    })
                })
                .collect();
            for _ in &threads {
                is_ready.recv().unwrap();
            }
            let mut threads = threads.into_iter();
            for left in [vec![0, 1, 2], vec![1, 2], vec![2]] {
                send_to_process(SignalKind::USER1);
                let mut got: Vec<_> = left.iter().map(|_| is_told.recv().unwrap()).collect();
                got.sort_unstable();
                assert_eq!(got, left);
                threads.next().unwrap().join().unwrap();
            }
            assert_eq!(disposition(SignalKind::USER1), libc::SIG_DFL);
        },
    );
}

#[test]
fn closures_are_dropped_with_the_registration_or_the_hub() {
    alone(
        "closures_are_dropped_with_the_registration_or_the_hub",
        || {
            let drops = Drops::new();
            let guard = drops.guard();
            let registration = signal::on(SignalKind::USER1, move || _ = &guard).unwrap();
            assert_eq!(drops.alive(), 1);
            drop(registration);
            assert_eq!(drops.alive(), 0);

            let guards = [drops.guard(), drops.guard()];
            std::thread::spawn(move || {
            let [a, b] = guards;
            signal::on(SignalKind::USER1, move || _ = &a).unwrap().forever();
            // Kept in a thread-local, which is dropped when the hub is gone.
            thread_local!(static KEPT: RefCell<Option<signal::Registration>> = const { RefCell::new(None) });
            KEPT.set(None);
            spawn(|| ()).join().unwrap();
            KEPT.set(Some(signal::on(SignalKind::USER1, move || _ = &b).unwrap()));
        })
        .join()
        .unwrap();
            assert_eq!(drops.alive(), 0);
            assert_eq!(disposition(SignalKind::USER1), libc::SIG_DFL);
        },
    );
}

#[test]
fn hubs_that_come_and_go_leave_nothing_behind() {
    alone("hubs_that_come_and_go_leave_nothing_behind", || {
        util::assert_no_leak(|| {
            std::thread::spawn(|| {
                let stream = signal::stream(SignalKind::USER1).unwrap();
                raise(SignalKind::USER1);
                stream.recv().unwrap();
                raise(SignalKind::USER1);
            })
            .join()
            .unwrap();
        });
    });
}

#[test]
fn a_panic_in_one_stops_no_other() {
    alone("a_panic_in_one_stops_no_other", || {
        let ran = Rc::new(Cell::new(0));
        let counter = Rc::clone(&ran);
        let _first = signal::on(SignalKind::USER1, || panic!("a panic of the test's")).unwrap();
        let _second =
            signal::on(SignalKind::USER1, move || counter.set(counter.get() + 1)).unwrap();
        for n in 1..=2 {
            raise(SignalKind::USER1);
            settle();
            assert_eq!(ran.get(), n);
        }
    });
}

#[test]
fn registrations_survive_a_shutdown_of_the_tasks() {
    alone("registrations_survive_a_shutdown_of_the_tasks", || {
        let event = Rc::new(Event::new());
        let setter = Rc::clone(&event);
        let _registration = signal::on(SignalKind::USER1, move || setter.set()).unwrap();
        spawn(|| sleep(HOUR));
        let done = hub::shutdown(Duration::ZERO);
        assert_eq!(
            (done.killed, done.left),
            (1, 0),
            "no task of the library's own"
        );
        raise(SignalKind::USER1);
        event.wait();
    });
}

#[test]
fn a_task_that_cannot_be_made_is_made_when_another_has_ended() {
    alone(
        "a_task_that_cannot_be_made_is_made_when_another_has_ended",
        || {
            std::thread::spawn(|| {
                Hub::builder().max_tasks(1).start().unwrap();
                let ran = Rc::new(Cell::new(0));
                let counter = Rc::clone(&ran);
                let _registration =
                    signal::on(SignalKind::USER1, move || counter.set(counter.get() + 1)).unwrap();
                let stay = Rc::new(Event::new());
                let gate = Rc::clone(&stay);
                let task = spawn(move || gate.wait());
                raise(SignalKind::USER1);
                raise(SignalKind::USER1);
                settle();
                assert_eq!(ran.get(), 0);
                stay.set();
                task.join().unwrap();
                // Both, one after the other: there is room for one.
                let end = Instant::now() + HOUR;
                while ran.get() < 2 && Instant::now() < end {
                    yield_now();
                }
                assert_eq!(ran.get(), 2);
            })
            .join()
            .unwrap();
        },
    );
}

/// However signals are merged, who waits for the last one sees what was done before it.
#[test]
fn the_last_of_a_storm_is_delivered() {
    alone("the_last_of_a_storm_is_delivered", || {
        const SIGNALS: usize = 20_000;
        static SENT: AtomicUsize = AtomicUsize::new(0);
        let stream = signal::stream(SignalKind::USER1).unwrap();
        let seen = Rc::new(Cell::new(0));
        let see = Rc::clone(&seen);
        let _registration = signal::on(SignalKind::USER1, move || {
            see.set(SENT.load(Ordering::SeqCst))
        })
        .unwrap();
        let sender = std::thread::spawn(|| {
            for n in 1..=SIGNALS {
                SENT.store(n, Ordering::SeqCst);
                send_to_process(SignalKind::USER1);
            }
        });
        let mut received = 0;
        // Ends only if no last signal is slept through.
        while seen.get() < SIGNALS {
            stream.recv().unwrap();
            received += 1;
            yield_now();
        }
        sender.join().unwrap();
        assert!((1..=SIGNALS).contains(&received), "{received}");
        // The last number may have been seen when an earlier signal came. The last one is pending then, and would end
        // the process if it found no registration any more.
        while is_pending(SignalKind::USER1) {
            std::thread::yield_now();
        }
    });
}

#[test]
fn who_waits_for_a_signal_is_no_deadlock() {
    lonely("who_waits_for_a_signal_is_no_deadlock", || {
        let event = Rc::new(Event::new());
        let setter = Rc::clone(&event);
        let registration = signal::on(SignalKind::ALARM, move || setter.set()).unwrap();
        // Long after a hub without any prospect would have looked for one, and it has no other thread.
        let soon = libc::itimerval {
            it_interval: libc::timeval {
                tv_sec: 0,
                tv_usec: 0,
            },
            it_value: libc::timeval {
                tv_sec: 0,
                tv_usec: 200_000,
            },
        };
        // SAFETY: `soon` is there for the call.
        let set =
            unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const soon, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        event.wait();
        event.clear();

        // One that the hub does not count on hides nothing.
        let _daemon = registration.daemon();
        let failed = catch_unwind(AssertUnwindSafe(|| event.wait())).unwrap_err();
        let text = failed.downcast::<String>().unwrap();
        assert!(text.contains("deadlock"), "{text}");
        assert!(
            signal::stream(SignalKind::USER1)
                .unwrap()
                .recv_timeout(Duration::ZERO)
                .is_ok()
        );
        // The stream is gone, and its prospect with it.
        assert!(catch_unwind(AssertUnwindSafe(|| event.wait())).is_err());
    });
}

#[test]
fn a_forked_child_has_the_dispositions_from_before() {
    alone("a_forked_child_has_the_dispositions_from_before", || {
        let stream = signal::stream(SignalKind::TERMINATE).unwrap();
        // SAFETY: this process's other thread, the harness's, only waits.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let ok = catch_unwind(AssertUnwindSafe(|| {
                assert_eq!(disposition(SignalKind::TERMINATE), libc::SIG_DFL);
                assert!(signal::on(SignalKind::USER1, || ()).is_err());
                hub::reinit().unwrap();
                let own = signal::stream(SignalKind::USER1).unwrap();
                raise(SignalKind::USER1);
                own.recv().unwrap();
                drop(own);
                // The parent's stream means nothing here; its drop takes nothing away.
                assert!(!stream.try_recv());
            }));
            if ok.is_err() {
                // SAFETY: ends the process.
                unsafe { libc::_exit(1) };
            }
            raise(SignalKind::TERMINATE);
            // SAFETY: as above.
            unsafe { libc::_exit(2) };
        }
        let mut status = 0;
        // SAFETY: `status` is there for the call.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert!(libc::WIFSIGNALED(status), "status {status:x}");
        assert_eq!(libc::WTERMSIG(status), libc::SIGTERM);
        assert!(
            !stream.try_recv(),
            "what the child was sent is not the parent's"
        );
        raise(SignalKind::TERMINATE);
        stream.recv().unwrap();
    });
}

#[test]
fn a_simulated_hub_still_moves_its_time() {
    alone("a_simulated_hub_still_moves_its_time", || {
        hub::simulate(1, || {
            let stream = signal::stream(SignalKind::USER1).unwrap();
            let before = Instant::now();
            sleep(HOUR);
            assert_eq!(before.elapsed(), HOUR);
            assert!(!stream.recv_timeout(HOUR).unwrap());
            spawn(|| raise(SignalKind::USER1));
            stream.recv().unwrap();
        });
    });
}

/// Any number of receivers, killed and late in any order: each signal is received once, or is there in the end.
#[test]
fn none_is_lost_to_a_kill_or_a_timeout() {
    alone("none_is_lost_to_a_kill_or_a_timeout", || {
        hub::simulate_seeds(0..400, |seed| {
            let stream = Rc::new(signal::stream(SignalKind::USER1).unwrap());
            let received = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..6)
                .map(|n| {
                    let (stream, received) = (Rc::clone(&stream), Rc::clone(&received));
                    let receive = move || {
                        let patience = Duration::from_millis((seed + n) % 3);
                        let got = match n % 3 {
                            0 => stream.recv().is_ok(),
                            1 => stream.recv_timeout(patience).unwrap(),
                            _ => Select::new()
                                .signal(&stream, || true)
                                .after(patience, || false)
                                .wait(),
                        };
                        received.set(received.get() + u64::from(got));
                    };
                    spawn(receive)
                })
                .collect();
            let signals = 1 + seed % 5;
            let raiser = spawn(move || {
                for n in 0..signals {
                    raise(SignalKind::USER1);
                    if (seed + n).is_multiple_of(2) {
                        sleep(Duration::from_millis(1));
                    } else {
                        yield_now();
                    }
                }
            });
            yield_now();
            for (n, task) in (0..).zip(&tasks) {
                if (seed >> 2) % 4 == n % 4 {
                    task.kill();
                }
            }
            raiser.join().unwrap();
            settle();
            for task in tasks {
                task.kill();
                drop(task.join());
            }
            let mut left = 0;
            while stream.try_recv() {
                left += 1;
            }
            assert_eq!(received.get() + left, signals);
        });
    });
}
