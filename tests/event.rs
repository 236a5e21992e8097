//! `Event`: set and clear, waiters in order, kills and times, other threads.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::hub;
use greenloom::task::{JoinHandle, finally, shield};
use greenloom::{spawn, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// Tasks that wait for `event` in the order of their numbers, and note them when they go on.
fn waiters(
    event: &Rc<Event>,
    numbers: std::ops::Range<u32>,
    log: &Rc<RefCell<Vec<u32>>>,
) -> Vec<JoinHandle<()>> {
    let tasks = numbers
        .map(|n| {
            let (event, log) = (event.clone(), log.clone());
            spawn(move || {
                event.wait();
                log.borrow_mut().push(n);
            })
        })
        .collect();
    yield_now();
    tasks
}

#[test]
fn is_send_sync_and_shows_its_state() {
    fn check<T: Send + Sync + Default + std::fmt::Debug + std::panic::RefUnwindSafe>() {}
    check::<Event>();
    let event = Event::new();
    assert_eq!(format!("{event:?}"), "Event { set: false }");
    event.set();
    assert_eq!(format!("{event:?}"), "Event { set: true }");
}

#[test]
fn a_static_event_needs_no_pointer() {
    static READY: Event = Event::new();
    let task = spawn(|| READY.wait());
    yield_now();
    assert!(!task.is_finished());
    READY.set();
    task.join().unwrap();
}

#[test]
fn set_and_clear_at_once_wakes_all_who_waited_in_order() {
    let (event, log) = (Rc::new(Event::new()), Rc::default());
    let tasks = waiters(&event, 0..100, &log);
    event.set();
    event.clear();
    assert!(!event.is_set());
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), (0..100).collect::<Vec<_>>());
    assert!(!event.wait_timeout(MS));
}

#[test]
fn who_comes_after_the_clear_waits_for_the_next_set() {
    let (event, log) = (Rc::new(Event::new()), Rc::default());
    let early = waiters(&event, 0..2, &log);
    event.set();
    event.clear();
    let late = waiters(&event, 2..4, &log);
    for task in early {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), [0, 1]);
    event.set();
    for task in late {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), [0, 1, 2, 3]);
}

#[test]
fn a_set_event_is_no_wait_and_delivers_nothing() {
    let event = Event::new();
    event.set();
    event.set();
    let other = Rc::new(Cell::new(false));
    let seen = other.clone();
    let task = spawn(move || seen.set(true));
    timeout(Duration::ZERO, || event.wait()).unwrap();
    assert!(event.wait_timeout(Duration::ZERO));
    assert!(!other.get(), "a set event gave way");
    task.join().unwrap();
}

#[test]
fn a_killed_waiter_leaves_and_the_others_go_on_in_order() {
    let (event, log) = (Rc::new(Event::new()), Rc::default());
    let mut tasks = waiters(&event, 0..5, &log);
    let killed = tasks.remove(2);
    killed.kill();
    assert!(killed.join().unwrap_err().is_killed());
    event.set();
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), [0, 1, 3, 4]);
}

#[test]
fn a_kill_after_the_set_comes_at_the_next_wait() {
    let event = Rc::new(Event::new());
    let passed = Rc::new(Cell::new(false));
    let (e, p) = (event.clone(), passed.clone());
    let task = spawn(move || {
        e.wait();
        p.set(true);
        yield_now();
        unreachable!("a killed task went on after its next wait");
    });
    yield_now();
    event.set();
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
    assert!(passed.get(), "the grant came first");
}

#[test]
fn times_out_alone_and_by_an_enclosing_timeout() {
    let event = Event::new();
    assert!(!event.wait_timeout(MS));
    assert!(!event.wait_timeout(Duration::ZERO));
    // The form without a time of its own unwinds, that with one reports once.
    assert!(timeout(MS, || event.wait()).is_err());
    let late = timeout(MS, || event.wait_timeout(HOUR)).unwrap_err();
    assert_eq!(late.into_value(), Some(false));
    // Nothing is left behind.
    event.set();
    assert!(event.wait_timeout(HOUR));
}

#[test]
fn a_shielded_wait_is_not_broken_off() {
    let event = Rc::new(Event::new());
    let e = event.clone();
    let task = spawn(move || {
        shield(|| e.wait());
        7
    });
    yield_now();
    task.kill();
    yield_now();
    assert!(!task.is_finished());
    event.set();
    assert_eq!(task.join().unwrap(), 7);
}

#[test]
fn a_cleanup_may_wait_after_a_kill() {
    let event = Rc::new(Event::new());
    let (e, after) = (event.clone(), Rc::new(Cell::new(false)));
    let a = after.clone();
    let task = spawn(move || {
        finally(greenloom::task::park, || {
            e.wait();
            a.set(true);
        });
    });
    yield_now();
    task.kill();
    yield_now();
    event.set();
    assert!(task.join().unwrap_err().is_killed());
    assert!(after.get());
}

#[test]
fn a_wait_in_a_destructor_parks_even_while_unwinding() {
    struct Waits(Rc<Event>, Rc<Cell<bool>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.wait();
            self.1.set(true);
        }
    }
    let (event, dropped) = (Rc::new(Event::new()), Rc::new(Cell::new(false)));
    let waits = Waits(event.clone(), dropped.clone());
    let task = spawn(move || {
        let _waits = waits;
        greenloom::task::park();
    });
    yield_now();
    task.kill();
    yield_now();
    assert!(!dropped.get() && !task.is_finished());
    event.set();
    assert!(task.join().unwrap_err().is_killed());
    assert!(dropped.get());
}

#[test]
fn a_neighbours_panic_is_not_a_waiters() {
    let (event, log) = (Rc::new(Event::new()), Rc::default());
    let tasks = waiters(&event, 0..1, &log);
    let e = event.clone();
    let panics = spawn(move || {
        e.set();
        panic!("on purpose");
    });
    assert!(panics.join().unwrap_err().is_panic());
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), [0]);
}

#[test]
fn a_callback_of_the_hub_cannot_wait_and_says_so() {
    let event = Arc::new(Event::new());
    let (tx, rx) = mpsc::channel();
    let e = event.clone();
    let task = spawn(|| ());
    task.on_done(move |_| {
        let caught = catch_unwind(AssertUnwindSafe(|| e.wait())).unwrap_err();
        tx.send(caught.downcast::<String>().unwrap()).unwrap();
        e.set();
    });
    event.wait();
    let message = rx.recv().unwrap();
    assert!(message.contains("cannot wait here"), "{message}");
    assert!(message.contains("event.rs"), "{message}");
}

#[test]
fn plain_threads_without_a_hub_wait_and_are_woken() {
    let event = Arc::new(Event::new());
    let (ready, waiting) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (event, ready) = (event.clone(), ready.clone());
            thread::spawn(move || {
                assert!(!event.wait_timeout(MS));
                ready.send(()).unwrap();
                event.wait();
            })
        })
        .collect();
    for _ in 0..4 {
        waiting.recv().unwrap();
    }
    event.set();
    for t in threads {
        t.join().unwrap();
    }
}

#[test]
fn a_thread_sets_and_a_task_of_another_goes_on() {
    for _ in 0..200 {
        let event = Arc::new(Event::new());
        let e = event.clone();
        let t = thread::spawn(move || e.set());
        spawn(move || event.wait()).join().unwrap();
        t.join().unwrap();
    }
}

#[test]
fn a_destructor_of_a_thread_local_may_wait() {
    struct Waits(Arc<Event>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.wait();
        }
    }
    thread_local! {
        static LAST: RefCell<Option<Waits>> = const { RefCell::new(None) };
    }
    for with_hub in [false, true] {
        let event = Arc::new(Event::new());
        let e = event.clone();
        let (tx, rx) = mpsc::channel();
        let t = thread::spawn(move || {
            LAST.set(Some(Waits(e)));
            if with_hub {
                spawn(|| ()).join().unwrap();
            }
            tx.send(()).unwrap();
        });
        rx.recv().unwrap();
        event.set();
        t.join().unwrap();
    }
}

#[test]
fn a_waiter_whose_hub_ended_is_no_waiter() {
    let event = Arc::new(Event::new());
    let e = event.clone();
    thread::spawn(move || {
        let task = spawn(move || e.wait());
        yield_now();
        // The thread ends under its task, which is leaked.
        std::mem::forget(task);
    })
    .join()
    .unwrap();
    let e = event.clone();
    let task = spawn(move || e.wait());
    yield_now();
    event.set();
    task.join().unwrap();
}

#[test]
fn a_hub_that_shuts_down_takes_its_waiters_out() {
    let event = Arc::new(Event::new());
    let e = event.clone();
    thread::spawn(move || {
        for _ in 0..3 {
            let e = e.clone();
            drop(spawn(move || e.wait()));
        }
        yield_now();
        hub::shutdown(Duration::ZERO);
        assert_eq!(greenloom::task::count(), 0);
    })
    .join()
    .unwrap();
    event.set();
    assert!(event.is_set());
}

#[test]
fn sets_and_clears_from_many_threads_lose_no_waiter() {
    const ROUNDS: usize = if cfg!(feature = "sanitizer") {
        300
    } else {
        3000
    };
    let event = Arc::new(Event::new());
    let over = Arc::new(AtomicBool::new(false));
    let passed = Arc::new(AtomicUsize::new(0));
    let setter = {
        let (event, over) = (event.clone(), over.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                event.set();
                event.clear();
                thread::yield_now();
            }
            event.set();
        })
    };
    let threads: Vec<_> = (0..2)
        .map(|n| {
            let (event, passed) = (event.clone(), passed.clone());
            thread::spawn(move || {
                let tasks: Vec<_> = (0..3)
                    .map(|m| {
                        let (event, passed) = (event.clone(), passed.clone());
                        spawn(move || {
                            for i in 0..ROUNDS {
                                if (i + m + n) % 3 == 0 {
                                    // Both ends of the race: too early, or just in time.
                                    event.wait_timeout(Duration::from_micros(1));
                                } else {
                                    event.wait();
                                }
                                passed.fetch_add(1, Ordering::Relaxed);
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.join().unwrap();
                }
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    over.store(true, Ordering::Relaxed);
    setter.join().unwrap();
    assert_eq!(passed.load(Ordering::Relaxed), 6 * ROUNDS);
}

#[test]
fn kills_and_sets_at_once_leave_the_event_usable() {
    let event = Rc::new(Event::new());
    for round in 0..300u32 {
        let (log, e) = (Rc::default(), event.clone());
        let tasks = waiters(&event, 0..4, &log);
        for (n, task) in tasks.iter().enumerate() {
            if round >> n & 1 == 1 {
                task.kill();
            }
            if round as usize % 5 == n {
                e.set();
                e.clear();
            }
        }
        event.set();
        let survived = tasks.into_iter().filter_map(|t| t.join().ok()).count();
        assert_eq!(survived, log.borrow().len());
        event.clear();
    }
}
