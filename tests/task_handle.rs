//! `JoinHandle`: join, kill, links, drop; on the task's thread and from another one.

mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::greenlet::{self, Current};
use greenloom::task::{self, Builder, JoinError, JoinHandle, Outcome};
use greenloom::{hub, sleep, spawn, spawn_later, timeout, yield_now};
use util::{Drops, describe};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

fn killed<T: std::fmt::Debug>(result: Result<T, JoinError>) -> bool {
    matches!(result, Err(JoinError::Killed))
}

#[test]
fn is_send_and_sync_if_its_result_is_send() {
    fn send_sync<T: Send + Sync>() {}
    send_sync::<JoinHandle<u8>>();
    // Sync without `T: Sync`: a handle gives the value away, never a reference to it.
    send_sync::<JoinHandle<Cell<u8>>>();
}

// ---- join ----

#[test]
fn a_join_with_a_limit_hands_the_handle_back() {
    let task = spawn(|| {
        sleep(20 * MS);
        5
    });
    let task = task.join_timeout(MS).unwrap_err();
    let task = task.join_timeout(Duration::ZERO).unwrap_err();
    assert!(!task.is_finished());
    assert_eq!(task.join_timeout(HOUR).unwrap().unwrap(), 5);
    // Out of a clock's reach: no limit.
    assert_eq!(spawn(|| 6).join_timeout(Duration::MAX).unwrap().unwrap(), 6);
}

#[test]
fn try_join_never_waits() {
    let task = spawn(|| 5);
    let task = task.try_join().unwrap_err();
    yield_now();
    assert!(task.is_finished());
    assert_eq!(task.try_join().unwrap().unwrap(), 5);
}

#[test]
fn a_value_that_is_not_fetched_is_dropped_once() {
    let drops = Drops::new();
    let (a, b) = (drops.local_guard(), drops.local_guard());
    drop(spawn(move || a));
    let ended = spawn(move || b);
    yield_now();
    yield_now();
    assert_eq!(drops.dropped(), 1);
    drop(ended);
    yield_now();
    assert_eq!(drops.alive(), 0);
}

#[test]
fn large_and_aligned_values_come_through() {
    #[repr(align(256))]
    struct Aligned([u8; 1500]);
    let input = Aligned([7; 1500]);
    let out = spawn(move || {
        yield_now();
        assert_eq!((&raw const input).addr() % 256, 0);
        input
    });
    let out = out.join().unwrap();
    assert!(out.0.iter().all(|b| *b == 7));
}

#[test]
fn a_join_whose_task_is_killed_meanwhile_sees_it() {
    let task = spawn(|| sleep(HOUR));
    let shared = Rc::new(RefCell::new(None));
    let joiner = {
        let shared = Rc::clone(&shared);
        spawn(move || {
            let task: JoinHandle<()> = shared.borrow_mut().take().unwrap();
            killed(task.join())
        })
    };
    let link = task.on_done(|_| ());
    *shared.borrow_mut() = Some(task);
    yield_now();
    assert!(!joiner.is_finished());
    let _ = link;
    // The joiner is killed instead: the task is detached and goes on.
    joiner.kill();
    assert!(killed(joiner.join()));
}

// ---- kill ----

#[test]
fn a_task_killed_before_it_runs_never_runs() {
    for later in [false, true] {
        let drops = Drops::new();
        let guard = drops.local_guard();
        let body = move || {
            let _guard = guard;
            unreachable!("it was killed");
        };
        let task: JoinHandle<()> = if later {
            spawn_later(HOUR, body)
        } else {
            spawn(body)
        };
        let seen = Arc::new(Mutex::new(Vec::new()));
        for n in 0..3 {
            let seen = Arc::clone(&seen);
            task.on_done(move |outcome| seen.lock().unwrap().push((n, outcome)));
        }
        task.kill();
        task.kill();
        assert_eq!(drops.dropped(), 0, "not in the killer's own frame");
        assert!(killed(task.join()));
        assert_eq!(drops.dropped(), 1);
        yield_now();
        let k = Outcome::Killed;
        assert_eq!(*seen.lock().unwrap(), [(0, k), (1, k), (2, k)]);
    }
}

#[test]
fn a_task_that_was_spawned_for_later_runs_when_its_time_comes() {
    let begin = std::time::Instant::now();
    let task = spawn_later(5 * MS, move || begin.elapsed());
    assert!(task.join().unwrap() >= 5 * MS);
    assert_eq!(spawn_later(Duration::ZERO, || 1).join().unwrap(), 1);
    let never = spawn_later(Duration::MAX, || 1);
    let never = never.join_timeout(MS).unwrap_err();
    never.kill();
    assert!(matches!(never.join(), Err(JoinError::Killed)));
}

#[test]
fn killing_what_has_ended_does_nothing() {
    let task = spawn(|| 5);
    yield_now();
    task.kill();
    assert_eq!(task.join().unwrap(), 5);
}

#[test]
fn a_kill_of_who_runs_later_in_this_turn_comes_at_its_next_wait() {
    let step = Rc::new(Cell::new(0));
    let task = {
        let step = Rc::clone(&step);
        spawn(move || {
            yield_now();
            step.set(1);
            yield_now();
            step.set(2);
        })
    };
    yield_now();
    // Runnable, in the middle of its first yield.
    task.kill();
    assert!(killed(task.join()));
    assert_eq!(step.get(), 0);
}

#[test]
fn kill_and_join_waits_for_the_destructors() {
    let drops = Drops::new();
    let guard = drops.local_guard();
    let task = spawn(move || {
        let _guard = guard;
        task::finally(|| sleep(HOUR), || sleep(3 * MS));
    });
    yield_now();
    let task = task.kill_and_join(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(drops.dropped(), 0);
    assert!(killed(task.kill_and_join(None).unwrap()));
    assert_eq!(drops.dropped(), 1);
}

#[test]
fn a_kill_reaches_a_task_suspended_in_a_switch_and_in_a_generator() {
    let drops = Drops::new();
    let (a, b, c) = (
        drops.local_guard(),
        drops.local_guard(),
        drops.local_guard(),
    );
    let task = spawn(move || {
        let _a = a;
        greenlet::scope(|s, me: &Current<()>| {
            let inner = s.spawn(me, move |_: &Current<(), ()>, ()| {
                let _b = b;
                let mut g = greenlet::Generator::new(move |y: &greenlet::Yield<u32>| {
                    let _c = c;
                    y.yield_(1);
                    sleep(HOUR);
                });
                assert_eq!(g.next(), Some(1));
                g.next();
            });
            let _ = me.switch(&inner, ());
        });
    });
    yield_now();
    task.kill();
    assert!(killed(task.join()));
    assert_eq!(drops.dropped(), 3);
}

// ---- links ----

#[test]
fn links_run_in_the_order_of_their_registration() {
    let task = spawn(|| sleep(MS));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ids: Vec<_> = (0..1000)
        .map(|n| {
            let seen = Arc::clone(&seen);
            task.on_done(move |_| seen.lock().unwrap().push(n))
        })
        .collect();
    task.unlink(ids[500]);
    task.unlink(ids[500]);
    task.join().unwrap();
    yield_now();
    let expected: Vec<_> = (0..1000).filter(|n| *n != 500).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_link_after_the_end_fires_and_says_how_it_ended() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let link = |task: &JoinHandle<()>| {
        let seen = Arc::clone(&seen);
        task.on_done(move |outcome| seen.lock().unwrap().push(outcome));
    };
    let returned = spawn(|| ());
    let panicked = spawn(|| std::panic::resume_unwind(Box::new(1)));
    let slain = spawn(|| sleep(HOUR));
    yield_now();
    slain.kill();
    yield_now();
    for task in [&returned, &panicked, &slain] {
        link(task);
        assert!(task.is_finished());
    }
    assert!(
        seen.lock().unwrap().is_empty(),
        "not in the caller's own frame"
    );
    yield_now();
    assert_eq!(
        *seen.lock().unwrap(),
        [Outcome::Returned, Outcome::Panicked, Outcome::Killed]
    );
    returned.join().unwrap();
    assert!(panicked.join().unwrap_err().is_panic());
    assert!(killed(slain.join()));
}

#[test]
fn a_link_cannot_wait_and_may_spawn() {
    let (tx, rx) = mpsc::channel();
    let task = spawn(|| ());
    task.on_done(move |_| {
        let inner = spawn(|| 3);
        let id = inner.id();
        let waited = inner.join();
        let ok = matches!(waited, Err(JoinError::CannotWait(_)));
        tx.send((id, ok)).unwrap();
        yield_now();
    });
    task.join().unwrap();
    yield_now();
    assert!(rx.try_recv().unwrap().1);
}

#[test]
fn panics_are_reported_once_unless_somebody_observes_them() {
    const NAME: &str = "panics_are_reported_once_unless_somebody_observes_them";
    if util::is_child(NAME) {
        std::panic::set_hook(Box::new(|_| ()));
        let named = |name: &str, text: &'static str| {
            Builder::new()
                .name(name)
                .spawn(move || panic!("{text}"))
                .unwrap()
        };
        let joined: JoinHandle<()> = named("joined", "joined panic");
        let linked: JoinHandle<()> = named("linked", "linked panic");
        let detached: JoinHandle<()> = named("detached", "detached panic");
        let late: JoinHandle<()> = named("late", "late panic");
        linked.on_done(|_| ());
        drop((linked, detached));
        assert!(joined.join().unwrap_err().is_panic());
        yield_now();
        drop(late);
        let bad_link = spawn(|| ());
        let ran = Arc::new(Mutex::new(false));
        bad_link.on_done(|_| panic!("link panic"));
        let after = Arc::clone(&ran);
        bad_link.on_done(move |_| *after.lock().unwrap() = true);
        bad_link.join().unwrap();
        hub::run_until_idle(None);
        yield_now();
        assert!(*ran.lock().unwrap());
        return;
    }
    let output = util::run(&mut util::child(NAME));
    assert!(output.status.success(), "{}", describe(&output));
    let told = String::from_utf8_lossy(&output.stderr);
    for (text, times) in [
        ("joined panic", 0),
        ("linked panic", 0),
        ("detached panic", 1),
        ("late panic", 1),
        ("link panic", 1),
    ] {
        assert_eq!(told.matches(text).count(), times, "{text} in\n{told}");
    }
    for line in told.lines().filter(|l| l.contains("detached panic")) {
        assert!(
            line.contains("'detached'") && line.contains("task_handle.rs:"),
            "{line}"
        );
    }
    let link = told.lines().find(|l| l.contains("link panic")).unwrap();
    assert!(link.contains("callback"), "{link}");
}

// ---- from another thread ----

/// A thread that runs its hub until it is told to end. `make` runs there first.
struct Owner<T> {
    made: T,
    thread: Option<std::thread::JoinHandle<()>>,
    hub: hub::HubHandle,
}

fn owner<T: Send + 'static>(make: impl FnOnce() -> T + Send + 'static) -> Owner<T> {
    let (tx, rx) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let hub = hub::current_handle();
        // Ends when it is killed.
        let stay = spawn(|| sleep(HOUR));
        let made = make();
        tx.send((made, hub, stay)).unwrap();
        hub::run_until_idle(None);
    });
    let (made, hub, stay) = rx.recv().unwrap();
    STAY.with_borrow_mut(|s| s.push((hub, stay)));
    Owner {
        made,
        thread: Some(thread),
        hub,
    }
}

thread_local! {
    static STAY: RefCell<Vec<(hub::HubHandle, JoinHandle<()>)>> = const { RefCell::new(Vec::new()) };
}

impl<T> Owner<T> {
    fn end(mut self) -> T {
        STAY.with_borrow_mut(|s| {
            s.retain(|(hub, stay)| {
                if *hub == self.hub {
                    stay.kill();
                }
                *hub != self.hub
            })
        });
        self.thread.take().unwrap().join().unwrap();
        self.made
    }
}

#[test]
fn a_remote_join_gets_values_panics_and_kills() {
    let o = owner(|| {
        (
            spawn(|| {
                sleep(2 * MS);
                String::from("value")
            }),
            spawn(|| {
                sleep(2 * MS);
                std::panic::resume_unwind(Box::new("payload"))
            }),
            spawn(|| sleep(HOUR)),
            spawn(|| 1),
        )
    });
    let Owner {
        made: (value, panic, slain, done),
        thread,
        hub,
    } = o;
    assert_eq!(value.join().unwrap(), "value");
    let panic: JoinHandle<()> = panic;
    let payload = panic.join().unwrap_err().into_panic().unwrap();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "payload");
    assert!(!slain.is_finished());
    let slain = slain.join_timeout(2 * MS).unwrap_err();
    slain.kill();
    slain.kill();
    assert!(killed(slain.join()));
    assert!(done.is_finished());
    assert_eq!(done.join().unwrap(), 1);
    Owner {
        made: (),
        thread,
        hub,
    }
    .end();
}

#[test]
fn a_remote_join_from_a_task_parks_only_the_task() {
    let o = owner(|| spawn_later(10 * MS, || 7));
    let Owner {
        made: far,
        thread,
        hub,
    } = o;
    let turns = Rc::new(Cell::new(0));
    let joiner = spawn(move || far.join().unwrap());
    while !joiner.is_finished() {
        turns.set(turns.get() + 1);
        yield_now();
    }
    assert_eq!(joiner.join().unwrap(), 7);
    assert!(turns.get() > 1);
    Owner {
        made: (),
        thread,
        hub,
    }
    .end();
}

#[test]
fn a_remote_link_runs_on_the_tasks_thread() {
    let o = owner(|| {
        (
            std::thread::current().id(),
            spawn(|| sleep(HOUR)),
            spawn(|| ()),
        )
    });
    let Owner {
        made: (there, task, ended),
        thread,
        hub,
    } = o;
    let (tx, rx) = mpsc::channel();
    for handle in [&task, &ended] {
        let tx = tx.clone();
        handle.on_done(move |outcome| tx.send((std::thread::current().id(), outcome)).unwrap());
    }
    let (unwanted_tx, unwanted_rx) = mpsc::channel();
    let unwanted = task.on_done(move |_| unwanted_tx.send(()).unwrap());
    task.unlink(unwanted);
    let said = rx.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(said, (there, Outcome::Returned));
    task.kill();
    let said = rx.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(said, (there, Outcome::Killed));
    assert!(killed(task.join()));
    assert_eq!(unwanted_rx.recv(), Err(mpsc::RecvError), "dropped uncalled");
    Owner {
        made: (),
        thread,
        hub,
    }
    .end();
}

#[test]
fn a_remote_drop_detaches_and_the_value_is_dropped_over_there() {
    struct Told(mpsc::Sender<std::thread::ThreadId>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }
    let (tx, rx) = mpsc::channel();
    let o = owner(move || {
        let told = Told(tx);
        (
            std::thread::current().id(),
            spawn_later(2 * MS, move || told),
        )
    });
    let Owner {
        made: (there, task),
        thread,
        hub,
    } = o;
    drop(task);
    assert_eq!(rx.recv_timeout(Duration::from_secs(20)).unwrap(), there);
    Owner {
        made: (),
        thread,
        hub,
    }
    .end();
}

#[test]
fn a_remote_join_of_a_task_whose_thread_ends_first_is_lost() {
    for from_task in [false, true] {
        let (tx, rx) = mpsc::channel();
        let (end_tx, end_rx) = mpsc::channel::<()>();
        let owner = std::thread::spawn(move || {
            tx.send((spawn(|| sleep(HOUR)), spawn(|| sleep(HOUR))))
                .unwrap();
            yield_now();
            // Neither its hub nor its tasks run any more.
            end_rx.recv().unwrap();
            sleep(3 * MS);
        });
        let (early, late) = rx.recv().unwrap();
        let ender = std::thread::spawn(move || {
            end_tx.send(()).unwrap();
            owner.join().unwrap();
        });
        if from_task {
            assert!(matches!(
                spawn(move || early.join()).join().unwrap(),
                Err(JoinError::Lost)
            ));
        } else {
            assert!(matches!(early.join(), Err(JoinError::Lost)));
        }
        ender.join().unwrap();
        assert!(late.is_finished());
        late.kill();
        late.on_done(|_| ());
        assert!(matches!(late.try_join(), Ok(Err(JoinError::Lost))));
    }
}

#[test]
fn a_joiner_that_times_out_or_is_killed_loses_nothing() {
    let o = owner(|| spawn_later(5 * MS, || vec![1, 2, 3]));
    let Owner {
        made: far,
        thread,
        hub,
    } = o;
    let mut far = far;
    let value = loop {
        match far.join_timeout(Duration::from_micros(50)) {
            Ok(value) => break value,
            Err(back) => far = back,
        }
    };
    assert_eq!(value.unwrap(), [1, 2, 3]);
    let far = task::spawn_on(&hub, || sleep(20 * MS)).unwrap();
    let far_id = far.id();
    let joiner = spawn(move || timeout(MS, || far.join()).is_err());
    assert!(
        joiner.join().unwrap(),
        "the join of task {far_id} timed out"
    );
    Owner {
        made: (),
        thread,
        hub,
    }
    .end();
}
