//! The end of threads and of the process, with tasks that still live.

mod util;

use std::cell::RefCell;
use std::panic::catch_unwind;
use std::process::Output;
use std::sync::mpsc;
use std::time::Duration;

use greenloom::greenlet::{self, Current, Generator, Greenlet, Yield};
use greenloom::task::{self, JoinError, JoinHandle};
use greenloom::{hub, sleep, spawn, spawn_later, timeout, yield_now};
use util::{Drops, describe};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// Prints when it is dropped.
struct Noisy;

impl Drop for Noisy {
    fn drop(&mut self) {
        println!("dropped");
    }
}

/// Runs `body` in a process of its own and returns its output; `None` in that process, where `body` comes back.
fn output_of(test_name: &str, body: impl FnOnce()) -> Option<Output> {
    if util::is_child(test_name) {
        body();
        return None;
    }
    Some(util::run(&mut util::child(test_name)))
}

#[test]
fn a_process_that_ends_runs_no_destructor_of_live_tasks() {
    let out = output_of(
        "a_process_that_ends_runs_no_destructor_of_live_tasks",
        || {
            for _ in 0..10 {
                let noisy = Noisy;
                drop(spawn(move || {
                    let _noisy = noisy;
                    sleep(HOUR);
                }));
            }
            let noisy = Noisy;
            drop(spawn_later(HOUR, move || drop(noisy)));
            yield_now();
            let noisy = Noisy;
            drop(spawn(move || drop(noisy)));
        },
    );
    if let Some(output) = out {
        assert!(output.status.success(), "{}", describe(&output));
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(!told.contains("dropped"), "{}", describe(&output));
    }
}

#[test]
fn exit_from_inside_a_task_ends_the_process() {
    for (name, place) in [("task", 0), ("generator", 1), ("greenlet", 2)] {
        const NAME: &str = "exit_from_inside_a_task_ends_the_process";
        if util::is_child(NAME) {
            let place: u32 = std::env::var("PLACE").unwrap().parse().unwrap();
            let _others: Vec<_> = (0..3).map(|_| spawn(|| sleep(HOUR))).collect();
            yield_now();
            let task = spawn(move || {
                let _noisy = Noisy;
                match place {
                    0 => std::process::exit(33),
                    1 => {
                        let mut g = Generator::new(|_: &Yield<u8>| std::process::exit(33));
                        g.next();
                    }
                    _ => greenlet::scope(|s, me: &Current<()>| {
                        let g = s.spawn(me, |_: &Current<(), ()>, ()| {
                            sleep(MS);
                            std::process::exit(33)
                        });
                        me.switch(&g, ()).unwrap();
                    }),
                }
            });
            task.join().unwrap();
            return;
        }
        let output = util::run(util::child(NAME).env("PLACE", place.to_string()));
        assert_eq!(
            output.status.code(),
            Some(33),
            "{name}: {}",
            describe(&output)
        );
        assert!(
            !String::from_utf8_lossy(&output.stdout).contains("dropped"),
            "{name}"
        );
    }
}

#[test]
fn a_thread_that_ends_leaks_its_tasks_and_cancels_their_waits() {
    let drops = Drops::new();
    let guard = drops.guard();
    let (tx, rx) = mpsc::channel();
    let other = {
        let (ready_tx, ready_rx) = mpsc::channel();
        let (end_tx, end_rx) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            ready_tx.send(spawn_later(30 * MS, || 5)).unwrap();
            while end_rx.try_recv().is_err() {
                sleep(MS);
            }
        });
        (ready_rx.recv().unwrap(), end_tx, thread)
    };
    let (far, end_tx, thread) = other;
    std::thread::spawn(move || {
        let borrowed = [1u8; 64];
        // Waits for a task of a third thread when its own thread ends.
        let waits = spawn(move || {
            let _guard = guard;
            let sum: u32 = borrowed.iter().map(|b| u32::from(*b)).sum();
            sum + far.join().unwrap()
        });
        yield_now();
        tx.send(waits).unwrap();
    })
    .join()
    .unwrap();
    assert!(matches!(rx.recv().unwrap().join(), Err(JoinError::Lost)));
    // The far task ends, and finds nobody to tell.
    sleep(50 * MS);
    end_tx.send(()).unwrap();
    thread.join().unwrap();
    assert_eq!(drops.dropped(), 0, "a leaked task ran a destructor");
}

#[test]
fn handles_in_thread_locals_outlive_the_hub() {
    struct Held {
        task: Option<JoinHandle<String>>,
        done: Option<JoinHandle<String>>,
        generator: Option<Generator<'static, u32>>,
        greenlet: Option<Greenlet<u32>>,
        hub: Option<hub::HubHandle>,
        tell: Option<mpsc::Sender<Vec<bool>>>,
    }
    impl Drop for Held {
        fn drop(&mut self) {
            let task = self.task.take().unwrap();
            let mut generator = self.generator.take().unwrap();
            let greenlet = self.greenlet.take().unwrap();
            let told = vec![
                task.is_finished(),
                format!("{task:?} {greenlet:?} {generator:?}").contains("dead"),
                {
                    task.kill();
                    task.on_done(|_| ());
                    matches!(task.join(), Err(JoinError::Lost))
                },
                matches!(greenlet.switch(1), Err(greenlet::SwitchError::Dead(1))),
                generator.next().is_none(),
                !self.hub.unwrap().is_alive(),
                task::try_spawn(|| ()).is_err(),
                task::spawn_on(&self.hub.unwrap(), || ()).is_err(),
                hub::run_until_idle(None),
                {
                    sleep(MS);
                    yield_now();
                    true
                },
            ];
            drop((generator, self.done.take()));
            self.tell.take().unwrap().send(told).unwrap();
        }
    }
    thread_local! {
        static HELD: RefCell<Held> = const {
            RefCell::new(Held { task: None, done: None, generator: None, greenlet: None, hub: None, tell: None })
        };
    }
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        // Before the hub, so that it is dropped after it.
        HELD.with_borrow_mut(|h| h.tell = Some(tx));
        let mut g = Generator::new(|y: &Yield<u32>| {
            y.yield_(1);
            y.yield_(2);
        });
        assert_eq!(g.next(), Some(1));
        let task = spawn(|| {
            sleep(HOUR);
            String::new()
        });
        let done = spawn(|| String::from("not fetched"));
        yield_now();
        HELD.with_borrow_mut(|h| {
            h.task = Some(task);
            h.done = Some(done);
            h.generator = Some(g);
            h.greenlet = Some(greenlet::scope(|_, me: &Current<u32>| me.handle()));
            h.hub = Some(hub::current_handle());
        });
    })
    .join()
    .unwrap();
    assert_eq!(rx.recv().unwrap(), [true; 10]);
}

#[test]
fn a_thread_local_whose_destructor_uses_the_hub_first_works() {
    struct Late(Option<mpsc::Sender<u32>>);
    impl Drop for Late {
        fn drop(&mut self) {
            // This thread had no hub so far.
            let value = spawn(|| {
                sleep(MS);
                6
            });
            let value = value.join().unwrap();
            assert!(timeout(MS, || sleep(HOUR)).is_err());
            drop(spawn(|| sleep(HOUR)));
            yield_now();
            self.0.take().unwrap().send(value).unwrap();
        }
    }
    thread_local! {
        static LATE: RefCell<Late> = const { RefCell::new(Late(None)) };
    }
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || LATE.with_borrow_mut(|l| l.0 = Some(tx)))
        .join()
        .unwrap();
    assert_eq!(rx.recv().unwrap(), 6);
}

#[test]
fn what_cannot_be_after_the_end_panics_with_a_reason() {
    struct Late(Option<mpsc::Sender<Vec<String>>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let calls: [fn(); 5] = [
                || drop(spawn(|| ())),
                || drop(timeout(HOUR, || ())),
                || drop(Generator::new(|_: &Yield<u8>| ())),
                || greenlet::scope(|_, _: &Current<()>| ()),
                || _ = hub::current_handle(),
            ];
            let told = calls.map(|call| match catch_unwind(call) {
                Ok(()) => String::from("no panic"),
                Err(payload) => payload
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                    .unwrap(),
            });
            self.0.take().unwrap().send(told.into()).unwrap();
        }
    }
    thread_local! {
        static LATE: RefCell<Late> = const { RefCell::new(Late(None)) };
    }
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        LATE.with_borrow_mut(|l| l.0 = Some(tx));
        spawn(|| ()).join().unwrap();
    })
    .join()
    .unwrap();
    for text in rx.recv().unwrap() {
        assert!(text.contains("runtime has ended"), "{text}");
    }
}

#[test]
fn hubs_that_come_and_go_leave_nothing_behind() {
    util::alone("hubs_that_come_and_go_leave_nothing_behind", || {
        util::assert_no_leak(|| {
            let threads: Vec<_> = (0..20)
                .map(|n| {
                    std::thread::spawn(move || {
                        let tasks: Vec<_> = (0..5)
                            .map(|m| {
                                spawn(move || {
                                    sleep(MS);
                                    n + m
                                })
                            })
                            .collect();
                        let sum: u32 = tasks.into_iter().map(|t| t.join().unwrap()).sum();
                        assert_eq!(sum, 5 * n + 10);
                        assert!(timeout(Duration::from_micros(300), || sleep(HOUR)).is_err());
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        });
    });
}

#[test]
fn hubs_that_go_with_live_tasks_leave_no_descriptors() {
    util::alone("hubs_that_go_with_live_tasks_leave_no_descriptors", || {
        let round = || {
            std::thread::spawn(|| {
                drop(spawn(|| sleep(HOUR)));
                yield_now();
            })
            .join()
            .unwrap();
        };
        round();
        let fds = util::open_fds();
        for _ in 0..200 {
            round();
        }
        assert_eq!(util::open_fds(), fds);
    });
}
