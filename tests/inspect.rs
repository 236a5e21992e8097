//! Dumps: who is there, what everybody waits for, since when, and where; and that nobody notices being looked at.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use greenloom::event::Event;

use greenloom::greenlet::{self, Current, Generator};
use greenloom::inspect::{self, Dump, Kind, TaskDump};
use greenloom::queue::Queue;
use greenloom::signal::{self, SignalKind};
use greenloom::sync::Mutex;
use greenloom::task::{self, Builder, TaskState};

/// Runs `f` on a thread with no tasks of other tests.
fn alone(f: impl FnOnce() + Send + 'static) {
    std::thread::spawn(f).join().unwrap();
}

fn named<'a>(dump: &'a Dump, name: &str) -> &'a TaskDump {
    dump.tasks
        .iter()
        .find(|t| t.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("no task '{name}' in the dump:\n{dump}"))
}

fn stack_of(dump: &Dump, t: &TaskDump) -> String {
    dump.stacks[t.stack.expect("it has a stack")].to_string()
}

fn spawn(name: &str, f: impl FnOnce() + 'static) -> task::JoinHandle<()> {
    Builder::new().name(name).spawn(f).unwrap()
}

#[inline(never)]
fn a_function_that_parks() {
    task::park();
    std::hint::black_box(());
}

#[test]
fn a_dump_is_send_and_sync() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Dump>();
    check::<inspect::Counters>();
}

#[test]
fn every_task_is_there_with_what_it_does() {
    alone(|| {
        let parker = spawn("parker", a_function_that_parks);
        let sleeper = spawn("sleeper", || greenloom::sleep(Duration::from_secs(3600)));
        let later = Builder::new()
            .name("later")
            .daemon()
            .spawn_later(Duration::from_secs(3600), || {})
            .unwrap();
        greenloom::yield_now();
        let fresh = spawn("fresh", || {});
        let dump = inspect::dump();

        assert_eq!(dump.tasks[0].kind, Kind::Main);
        assert_eq!(dump.tasks[0].state, TaskState::Running);
        let t = named(&dump, "parker");
        assert_eq!((t.kind, t.state), (Kind::Task, TaskState::Parked));
        assert_eq!(t.waits_for[0].what, "park");
        assert!(t.waits_since.is_some());
        assert!(t.spawned_at.unwrap().file().ends_with("inspect.rs"));
        assert_eq!(t.id, parker.id());
        let stack = stack_of(&dump, t);
        assert!(stack.contains("a_function_that_parks"), "{stack}");
        assert!(!stack.contains("probe::"), "{stack}");
        let t = named(&dump, "sleeper");
        assert_eq!(t.waits_for[0].what, "sleep");
        let t = named(&dump, "later");
        assert_eq!((t.kind, t.state), (Kind::Daemon, TaskState::New));
        assert_eq!(t.stack, None);
        assert_eq!(named(&dump, "fresh").state, TaskState::Runnable);
        assert_eq!(dump.hub.tasks, 4);
        assert_eq!(dump.hub.parked, 2);
        assert!(dump.hub.turns > 0 && dump.hub.timers >= 2);

        let text = dump.to_string();
        for part in [
            "task 'parker' (id ",
            "waits: park",
            "waits for its start",
            "runnable",
            "spawned at ",
            "a_function_that_parks",
            "main: running",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        parker.task().unpark();
        parker.join().unwrap();
        fresh.join().unwrap();
        for t in [sleeper, later] {
            t.kill_and_join(None).unwrap().unwrap_err();
        }
        assert_eq!(inspect::counters().tasks, 0);
    });
}

#[test]
fn equal_stacks_are_folded() {
    alone(|| {
        let tasks: Vec<_> = (0..50)
            .map(|_| greenloom::spawn(a_function_that_parks))
            .collect();
        greenloom::yield_now();
        let dump = inspect::dump();
        assert_eq!(dump.stacks.len(), 1, "{dump}");
        assert_eq!(dump.tasks.iter().filter(|t| t.stack == Some(0)).count(), 50);
        assert!(dump.to_string().contains("stack 0, of 50:"));
        for t in tasks {
            t.task().unpark();
            t.join().unwrap();
        }
    });
}

#[test]
fn nobody_notices_being_looked_at() {
    alone(|| {
        let turns = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|i| {
                let turns = Rc::clone(&turns);
                greenloom::spawn(move || {
                    for n in 0..3 {
                        turns.borrow_mut().push((n, i));
                        greenloom::yield_now();
                    }
                    task::park();
                    i
                })
            })
            .collect();
        greenloom::yield_now();
        let runnable = inspect::counters().runnable;
        let _ = inspect::dump();
        // Nobody ran meanwhile, nobody lost its place.
        assert_eq!(turns.borrow().len(), 3);
        assert_eq!(inspect::counters().runnable, runnable);
        while turns.borrow().len() < 9 {
            greenloom::yield_now();
        }
        greenloom::yield_now();
        let dump = inspect::dump();
        assert!(dump.tasks[1..].iter().all(|t| t.state == TaskState::Parked));
        assert_eq!(
            *turns.borrow(),
            (0..3)
                .flat_map(|n| (0..3).map(move |i| (n, i)))
                .collect::<Vec<_>>()
        );
        for (i, t) in tasks.into_iter().enumerate() {
            t.task().unpark();
            assert_eq!(t.join().unwrap(), i);
        }
    });
}

#[test]
fn a_task_looks_at_main_and_at_its_neighbours() {
    alone(|| {
        let neighbour = spawn("neighbour", a_function_that_parks);
        let seen = greenloom::spawn(|| {
            let dump = inspect::dump();
            let main = &dump.tasks[0];
            assert_eq!(main.kind, Kind::Main);
            assert!(main.waits_for[0].what.starts_with("join of task"));
            assert_eq!(main.waits_for[0].held_by, Some(task::id()));
            assert!(stack_of(&dump, main).contains("a_task_looks_at_main"));
            assert!(stack_of(&dump, named(&dump, "neighbour")).contains("a_function_that_parks"));
            dump.to_string()
        })
        .join()
        .unwrap();
        assert!(seen.contains("main: waits: join of task"), "{seen}");
        neighbour.task().unpark();
        neighbour.join().unwrap();
    });
}

#[test]
fn main_that_waits_for_the_hub_to_be_idle_is_looked_at_too() {
    alone(|| {
        let found = Rc::new(Cell::new(false));
        let f = Rc::clone(&found);
        drop(greenloom::spawn(move || {
            greenloom::yield_now();
            let dump = inspect::dump();
            f.set(dump.tasks[0].waits_for[0].what == "the hub to be idle");
            let _ = inspect::dump();
        }));
        assert!(greenloom::hub::run_until_idle(None));
        assert!(found.get());
    });
}

#[test]
fn greenlets_and_generators_that_wait_for_a_switch_are_seen_and_go_on() {
    alone(|| {
        let looked = Cell::new(0);
        let look = || {
            let dump = inspect::dump();
            looked.set(looked.get() + dump.tasks.len());
            dump
        };
        let mut numbers = Generator::new(|y| {
            for i in 0..5 {
                y.yield_(i);
            }
        });
        assert_eq!(numbers.next(), Some(0));
        let sum = greenlet::scope(|s, me: &Current<u32>| {
            let root = me.handle();
            let inner = s.spawn(me, move |me: &Current<u32, u32>, first: u32| {
                let dump = inspect::dump();
                let main = dump.tasks[0].clone();
                assert_eq!(main.state, TaskState::Parked);
                assert!(main.waits_for.is_empty());
                assert!(stack_of(&dump, &main).contains("go_on"));
                let second = me.switch(&root, first + 1).unwrap();
                first + second
            });
            let two = me.switch(&inner, 1).unwrap();
            let dump = look();
            assert!(
                dump.tasks
                    .iter()
                    .any(|t| t.kind == Kind::Greenlet && t.stack.is_some())
            );
            assert!(dump.to_string().contains("waits for a switch"), "{dump}");
            let three = me.switch(&inner, two).unwrap();
            look();
            three
        });
        assert_eq!(sum, 3);
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(looked.get() > 0);
    });
}

#[test]
fn a_dump_from_the_middle_of_a_chain_comes_back_there() {
    alone(|| {
        let parked = spawn("parked", a_function_that_parks);
        let result = greenloom::spawn(|| {
            greenlet::scope(|s, me: &Current<String>| {
                let a = s.spawn(me, |me: &Current<(), String>, ()| {
                    greenlet::scope(|s, inner: &Current<String>| {
                        let b = s.spawn(inner, |_: &Current<(), String>, ()| {
                            inspect::dump().to_string()
                        });
                        inner.switch(&b, ()).unwrap()
                    }) + if me.parent().is_some() { "" } else { "?" }
                });
                me.switch(&a, ()).unwrap()
            })
        })
        .join()
        .unwrap();
        assert!(
            result.contains("'parked'") && result.contains("a_function_that_parks"),
            "{result}"
        );
        parked.task().unpark();
        parked.join().unwrap();
    });
}

#[test]
fn kills_and_deadlines_are_not_delivered_by_a_look() {
    alone(|| {
        let shielded = spawn("shielded", || {
            task::shield(task::park);
            task::park();
        });
        let timed = greenloom::spawn(|| {
            task::timeout(Duration::from_millis(1), || {
                greenloom::sleep(Duration::from_secs(3600))
            })
            .is_err()
        });
        greenloom::yield_now();
        shielded.kill();
        let dump = inspect::dump();
        assert_eq!(named(&dump, "shielded").state, TaskState::Parked);
        assert!(timed.join().unwrap());
        shielded.task().unpark();
        shielded.join().unwrap_err();
    });
}

#[test]
fn a_greenlet_parked_in_its_unwinding_is_looked_at() {
    struct ParksInDrop;
    impl Drop for ParksInDrop {
        fn drop(&mut self) {
            task::park();
        }
    }
    alone(|| {
        let unwinding = spawn("unwinding", || {
            let _parks = ParksInDrop;
            std::panic::panic_any("on purpose");
        });
        greenloom::yield_now();
        for _ in 0..2 {
            let dump = inspect::dump();
            assert_eq!(named(&dump, "unwinding").waits_for[0].what, "park");
        }
        unwinding.task().unpark();
        assert!(matches!(
            unwinding.join(),
            Err(task::JoinError::Panicked(_))
        ));
        greenloom::spawn(|| assert!(!std::thread::panicking()))
            .join()
            .unwrap();
    });
}

#[test]
fn in_a_callback_of_the_hub_the_stacks_are_left_out() {
    alone(|| {
        let parked = spawn("parked", a_function_that_parks);
        greenloom::yield_now();
        let (send, receive) = std::sync::mpsc::channel();
        let done = greenloom::spawn(|| {});
        done.on_done(move |_| send.send(inspect::dump()).unwrap());
        done.join().unwrap();
        greenloom::yield_now();
        let dump = receive.recv().unwrap();
        let t = named(&dump, "parked");
        assert_eq!((t.state, t.stack), (TaskState::Parked, None));
        parked.task().unpark();
        parked.join().unwrap();
    });
}

// AddressSanitizer touches more of a stack than the program does.
#[cfg(not(feature = "sanitizer"))]
#[test]
fn the_high_water_mark_grows_with_what_a_task_has_used() {
    #[inline(never)]
    fn deep(n: u32) -> u32 {
        let room = std::hint::black_box([n as u8; 1024]);
        match n {
            0 => u32::from(room[0]),
            _ => deep(n - 1) + u32::from(room[17]),
        }
    }
    alone(|| {
        let shallow = spawn("shallow", task::park);
        let used = spawn("deep", || {
            std::hint::black_box(deep(20));
            task::park();
        });
        greenloom::yield_now();
        let dump = inspect::dump();
        let mark = |name| named(&dump, name).high_water.unwrap();
        assert!(mark("deep") >= 20 * 1024, "{}", mark("deep"));
        assert!(mark("shallow") <= named(&dump, "shallow").stack_size.unwrap());
        for t in [shallow, used] {
            t.task().unpark();
            t.join().unwrap();
        }
    });
}

// AddressSanitizer's runtime stands between the two stacks.
#[cfg(not(feature = "sanitizer"))]
#[test]
fn who_waits_on_a_big_stack_is_seen_there() {
    #[inline(never)]
    fn on_the_big_one() {
        a_function_that_parks();
        std::hint::black_box(());
    }
    alone(|| {
        let big = spawn("big", || {
            task::on_big_stack(on_the_big_one);
        });
        greenloom::yield_now();
        let dump = inspect::dump();
        let stack = stack_of(&dump, named(&dump, "big"));
        let at = |part| {
            stack
                .find(part)
                .unwrap_or_else(|| panic!("no {part} in:\n{stack}"))
        };
        assert!(at("a_function_that_parks") < at("on_the_big_one"));
        let spawned = stack.rfind("who_waits_on_a_big_stack").unwrap();
        assert!(stack.rfind("on_the_big_one").unwrap() < spawned, "{stack}");
        big.task().unpark();
        big.join().unwrap();
    });
}

#[test]
fn a_thread_that_has_nothing_has_a_dump() {
    alone(|| {
        let dump = inspect::dump();
        assert_eq!(dump.tasks.len(), 1);
        assert_eq!(dump.tasks[0].kind, Kind::Main);
        assert_eq!(inspect::counters().tasks, 0);
    });
}

#[test]
fn tasks_that_have_no_stack_yet_are_dumped_too() {
    alone(|| {
        let line = line!() + 1;
        let waits = greenloom::spawn(|| 5);
        let dump = inspect::dump();
        assert_eq!(dump.tasks.len(), 2);
        let seen = &dump.tasks[1];
        assert_eq!((seen.id, seen.kind), (waits.id(), Kind::Task));
        assert_eq!(seen.state, task::TaskState::Runnable);
        assert_eq!(seen.spawned_at.unwrap().line(), line);
        assert_eq!((seen.stack_size, seen.stack), (None, None));
        assert_eq!((dump.hub.tasks, dump.hub.runnable), (1, 1));
        assert_eq!(waits.join().unwrap(), 5);
    });
}

#[test]
fn two_that_wait_for_one_thing_are_seen_to_do_so() {
    alone(|| {
        let (first, other) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let (a, b) = (first.lock().unwrap(), other.lock().unwrap());
        let waits = |name, lock: &Rc<Mutex<()>>| {
            let lock = Rc::clone(lock);
            spawn(name, move || drop(lock.lock().unwrap()))
        };
        let tasks = [
            waits("one", &first),
            waits("two", &first),
            waits("three", &other),
        ];
        let queue = Rc::new(Queue::<u8>::unbounded());
        let q = Rc::clone(&queue);
        let gets = spawn("gets", move || drop(q.get()));
        greenloom::yield_now();
        let dump = inspect::dump();
        let wait = |name| named(&dump, name).waits_for[0].clone();
        assert_eq!(wait("one").what, "lock of a mutex");
        assert!(wait("one").object.is_some());
        assert_eq!(wait("one").object, wait("two").object);
        assert_ne!(wait("one").object, wait("three").object);
        assert_eq!(wait("gets").what, "get from queue");
        let text = dump.to_string();
        let place = format!("lock of a mutex at {:#x}", wait("one").object.unwrap());
        assert_eq!(text.matches(&place).count(), 2, "{text}");
        drop((a, b));
        queue.close();
        for task in tasks {
            task.join().unwrap();
        }
        gets.join().unwrap();
    });
}

/// The hub looks at its mail and its timers.
fn a_turn() {
    greenloom::sleep(Duration::from_nanos(1));
}

#[test]
fn a_turn_that_took_long_is_remembered() {
    alone(|| {
        // While a timer is set each turn is measured for itself.
        let timer = task::spawn_later(Duration::from_secs(3600), || ());
        a_turn();
        // Keeps the thread for itself, as a task should not.
        greenloom::spawn(|| std::thread::sleep(Duration::from_millis(20)))
            .join()
            .unwrap();
        a_turn();
        assert!(inspect::counters().longest_turn >= Duration::from_millis(20));
        assert!(inspect::dump().to_string().contains("turns, the longest"));
        timer.kill();
    });
}

#[test]
fn a_wake_that_comes_too_late_is_counted() {
    alone(|| {
        let event = Arc::new(Event::new());
        let e = Arc::clone(&event);
        let waits = greenloom::spawn(move || {
            e.wait();
            true
        });
        greenloom::yield_now();
        assert_eq!(inspect::counters().late_wakes, 0);
        // It is granted on another thread, and woken by a kill before that one's message is read.
        std::thread::spawn(move || event.set()).join().unwrap();
        waits.kill();
        assert!(waits.join().unwrap(), "the grant came first");
        a_turn();
        assert_eq!(inspect::counters().late_wakes, 1);
    });
}

#[test]
fn a_signal_that_was_chosen_for_it_writes_a_dump_to_stderr() {
    const NAME: &str = "a_signal_that_was_chosen_for_it_writes_a_dump_to_stderr";
    if util::is_child(NAME) {
        let registration = inspect::dump_on(SignalKind::USER1).unwrap();
        let signals = signal::stream(SignalKind::USER1).unwrap();
        let _parked = spawn("parked", a_function_that_parks);
        let lock = Rc::new(Mutex::new(()));
        let _held = lock.lock().unwrap();
        let l = Rc::clone(&lock);
        let _waits = spawn("locks", move || drop(l.lock()));
        let own = std::process::id().to_string();
        for _ in 0..2 {
            let kill = std::process::Command::new("kill")
                .args(["-USR1", &own])
                .status();
            assert!(kill.unwrap().success());
            signals.recv().unwrap();
            // The task that writes was made before.
            while task::list()
                .iter()
                .any(|t| t.name.as_deref() == Some("on SIGUSR1"))
            {
                greenloom::yield_now();
            }
        }
        drop(registration);
        return;
    }
    let output = util::run(&mut util::child(NAME));
    assert!(output.status.success(), "{}", util::describe(&output));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        text.matches("greenloom: SIGUSR1, thread ").count(),
        2,
        "{text}"
    );
    for part in [
        "hub: 3 tasks",
        "task 'parked' (id ",
        "waits: lock of a mutex at 0x",
        "task 'on SIGUSR1'",
    ] {
        assert_eq!(text.matches(part).count(), 2, "{part:?} in:\n{text}");
    }
    // How often it is named in one stack is the compiler's business.
    assert!(text.matches("a_function_that_parks").count() >= 2, "{text}");
}
