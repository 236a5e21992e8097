//! `task::scope`: tasks that borrow, and a scope that no task outlives.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenloom::stack::StackSize;
use greenloom::task::{self, Builder, ScopedJoinHandle, scope};
use greenloom::{sleep, spawn, timeout, yield_now};
use util::{Counted, Drops};

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(s), _) => s,
        (_, Some(s)) => s,
        _ => "",
    }
}

#[test]
fn tasks_borrow_and_return_borrowed_values() {
    let words = ["eat".to_owned(), "play".to_owned()];
    let count = Cell::new(0);
    let longest: &str = scope(|s| {
        let tasks: Vec<ScopedJoinHandle<'_, &str>> = words
            .iter()
            .map(|w| {
                let count = &count;
                s.spawn(move || {
                    yield_now();
                    count.set(count.get() + 1);
                    w.as_str()
                })
            })
            .collect();
        tasks
            .into_iter()
            .map(|t| t.join().unwrap())
            .max_by_key(|w| w.len())
            .unwrap()
    });
    assert_eq!((longest, count.get()), ("play", 2));
}

#[test]
fn the_scope_waits_for_what_was_not_joined() {
    let mut done = vec![false; 10];
    scope(|s| {
        for (n, flag) in (0..).zip(&mut done) {
            s.spawn(move || {
                sleep(Duration::from_micros(100 * n));
                *flag = true;
            });
        }
    });
    assert!(done.iter().all(|d| *d));
}

#[test]
fn an_empty_scope_and_one_in_a_scope() {
    assert_eq!(scope(|_| 5), 5);
    let log = RefCell::new(Vec::new());
    scope(|outer| {
        outer.spawn(|| {
            scope(|inner| {
                inner.spawn(|| log.borrow_mut().push("inner"));
            });
            // A task of the scope may spawn into it, too.
            outer.spawn(|| log.borrow_mut().push("sibling"));
            log.borrow_mut().push("outer");
        });
    });
    assert_eq!(*log.borrow(), ["inner", "outer", "sibling"]);
}

#[test]
fn handles_tell_name_id_and_end() {
    let drops = Drops::new();
    scope(|s| {
        let builder = Builder::new().name("helper").stack_size(StackSize::K256);
        let t = builder.spawn_scoped(s, || task::current().id()).unwrap();
        assert_eq!(t.name(), Some("helper"));
        assert!(!t.is_finished());
        assert!(format!("{t:?} {s:?}").contains("helper"));
        let id = t.id();
        yield_now();
        assert!(t.is_finished());
        assert_eq!(t.join().unwrap(), id);

        let guard = drops.guard();
        let t = s.spawn(move || {
            let _guard = guard;
            task::park();
        });
        yield_now();
        t.kill();
        assert!(t.join().unwrap_err().is_killed());
        assert_eq!(drops.alive(), 0);

        let t = s.spawn(|| {
            task::park();
            "unparked"
        });
        yield_now();
        t.task().unpark();
        assert_eq!(t.join().unwrap(), "unparked");
    });
}

#[test]
fn a_panic_that_is_joined_is_the_joiner_s() {
    let joined = scope(|s| {
        let t = s.spawn(|| -> u32 { resume_unwind(Box::new("on purpose")) });
        t.join()
    });
    assert_eq!(
        message(&*joined.unwrap_err().into_panic().unwrap()),
        "on purpose"
    );
}

#[test]
fn a_panic_that_is_not_joined_is_the_scope_s() {
    let finished = Cell::new(false);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            s.spawn(|| resume_unwind(Box::new("on purpose")));
            // The others are not disturbed.
            s.spawn(|| {
                sleep(Duration::from_micros(100));
                finished.set(true);
            });
        })
    }));
    assert_eq!(message(&*caught.unwrap_err()), "a scoped task panicked");
    assert!(finished.get());
}

#[test]
fn a_kill_is_no_panic() {
    scope(|s| {
        let t = s.spawn(task::park);
        yield_now();
        t.kill();
    });
}

#[test]
fn the_scope_waits_when_its_closure_panics() {
    let finished = Cell::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    sleep(Duration::from_micros(100));
                    finished.set(finished.get() + 1);
                });
            }
            resume_unwind(Box::new("the closure's own"));
        })
    }));
    assert_eq!(message(&*caught.unwrap_err()), "the closure's own");
    assert_eq!(finished.get(), 3);
}

#[test]
fn the_scope_waits_inside_an_unwinding() {
    struct Late<'a>(&'a Cell<bool>);
    impl Drop for Late<'_> {
        fn drop(&mut self) {
            scope(|s| {
                s.spawn(|| {
                    yield_now();
                    self.0.set(true);
                });
            });
        }
    }
    let finished = Cell::new(false);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _late = Late(&finished);
        resume_unwind(Box::new("x"));
    }));
    assert!(caught.is_err());
    assert!(finished.get());
}

#[test]
fn a_kill_and_a_timeout_are_held_back_at_the_end_and_delivered_after_it() {
    let finished = Rc::new(Cell::new(0));
    let went_on = Rc::new(Cell::new(false));
    let theirs = (finished.clone(), went_on.clone());
    let t = spawn(move || {
        scope(|s| {
            s.spawn(|| {
                for _ in 0..10 {
                    yield_now();
                }
                theirs.0.set(1);
            });
        });
        yield_now();
        theirs.1.set(true);
    });
    yield_now();
    yield_now();
    t.kill();
    assert!(t.join().unwrap_err().is_killed());
    assert_eq!((finished.get(), went_on.get()), (1, false));

    let late = timeout(Duration::ZERO, || {
        scope(|s| {
            s.spawn(|| {
                yield_now();
                finished.set(2);
            });
        });
        yield_now();
    });
    assert!(late.is_err());
    assert_eq!(finished.get(), 2);
}

#[test]
fn a_kill_inside_the_closure_waits_for_the_tasks_too() {
    let finished = Rc::new(Cell::new(false));
    let theirs = finished.clone();
    let t = spawn(move || {
        let local = Cell::new(0);
        scope(|s| {
            s.spawn(|| {
                for _ in 0..10 {
                    yield_now();
                    local.set(local.get() + 1);
                }
                theirs.set(local.get() == 10);
            });
            task::park();
        });
    });
    yield_now();
    t.kill();
    assert!(t.join().unwrap_err().is_killed());
    assert!(finished.get());
}

/// Panics if it is dropped after its scope has ended.
struct MustDie<'a>(&'a Cell<bool>, #[allow(dead_code)] Counted);

impl Drop for MustDie<'_> {
    fn drop(&mut self) {
        assert!(!self.0.get(), "dropped after the scope");
    }
}

#[test]
fn captures_and_values_are_gone_when_the_scope_returns_however_the_tasks_end() {
    let drops = Drops::new();
    let over = Cell::new(false);
    let over = &over;
    let make = || MustDie(over, drops.guard());
    scope(|s| {
        // Killed before the start.
        let captured = make();
        let t = s.spawn(move || drop(captured));
        t.kill();
        // Killed while parked.
        let captured = make();
        let parked = s.spawn(move || {
            let _captured = captured;
            task::park();
        });
        // A value that nobody joins, with and without a handle.
        drop(s.spawn(make));
        let kept = s.spawn(make);
        // A value that holds another task's handle.
        let nested = s.spawn(|| s.spawn(make));
        // A value whose join was given up.
        let t = s.spawn(|| {
            yield_now();
            yield_now();
            make()
        });
        assert!(timeout(Duration::ZERO, || t.join()).is_err());
        yield_now();
        parked.kill();
        drop((kept, nested));
    });
    assert_eq!(drops.alive(), 0);
    over.set(true);
}

#[test]
fn the_drop_of_a_value_that_panics_is_the_task_s_panic() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            resume_unwind(Box::new("in a destructor"));
        }
    }
    let caught = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| drop(s.spawn(|| Bad)));
    }));
    assert_eq!(message(&*caught.unwrap_err()), "a scoped task panicked");
}

#[test]
fn a_value_whose_destructor_waits_is_waited_for() {
    struct Slow<'a>(&'a Cell<bool>);
    impl Drop for Slow<'_> {
        fn drop(&mut self) {
            for _ in 0..10 {
                yield_now();
            }
            self.0.set(true);
        }
    }
    let dropped = Cell::new(false);
    scope(|s| drop(s.spawn(|| Slow(&dropped))));
    assert!(dropped.get());
}

#[test]
fn a_leaked_handle_leaks_its_value_and_nothing_else() {
    let drops = Drops::new();
    scope(|s| {
        let guard = drops.guard();
        std::mem::forget(s.spawn(move || guard));
    });
    assert_eq!(drops.alive(), 1);
}

#[test]
fn many_tasks_come_and_go_in_one_scope() {
    let sum = Cell::new(0u64);
    scope(|s| {
        for n in 0..10_000 {
            let sum = &sum;
            s.spawn(move || sum.set(sum.get() + n));
            if n % 64 == 0 {
                yield_now();
            }
        }
    });
    assert_eq!(sum.get(), 9999 * 10_000 / 2);
}

#[test]
fn a_join_among_the_tasks_of_a_scope() {
    let total = scope(|s| {
        let first = s.spawn(|| {
            sleep(Duration::from_micros(50));
            20
        });
        let second = s.spawn(move || first.join().unwrap() + 1);
        second.join().unwrap() * 2
    });
    assert_eq!(total, 42);
}

#[test]
fn a_scope_works_on_a_plain_thread_and_in_a_greenlet() {
    std::thread::spawn(|| {
        let x = Cell::new(1);
        scope(|s| {
            s.spawn(|| x.set(2));
        });
        assert_eq!(x.get(), 2);
    })
    .join()
    .unwrap();
    let got = greenloom::greenlet::scope(|s, me: &greenloom::greenlet::Current<u32>| {
        let g = s.spawn(me, |_: &greenloom::greenlet::Current<(), u32>, ()| {
            let x = Cell::new(0);
            scope(|s| {
                s.spawn(|| x.set(7));
            });
            x.get()
        });
        me.switch(&g, ()).unwrap()
    });
    assert_eq!(got, 7);
}

#[test]
fn a_callback_of_the_hub_cannot_open_one() {
    let (tx, rx) = std::sync::mpsc::channel();
    let t = spawn(|| ());
    t.on_done(move |_| {
        let caught = catch_unwind(|| scope(|_| ()));
        tx.send(message(&*caught.unwrap_err()).to_owned()).unwrap();
    });
    t.join().unwrap();
    yield_now();
    assert!(rx.recv().unwrap().contains("callback of the hub"));
}

/// Two tasks of the scope that join each other. `hold` runs each wait.
fn deadlock<'s>(s: &'s task::Scope<'s, '_>, hold: fn(&mut dyn FnMut())) {
    type Slot<'s> = Rc<RefCell<Option<ScopedJoinHandle<'s, ()>>>>;
    let slots: [Slot<'s>; 2] = Default::default();
    for n in [0, 1] {
        let other = slots[1 - n].clone();
        let builder = Builder::new().name(["first", "second"][n]);
        let task = builder.spawn_scoped(s, move || {
            let mut other = other.take();
            hold(&mut || {
                let _ = other.take().unwrap().join();
            });
        });
        slots[n].replace(Some(task.unwrap()));
    }
}

#[test]
fn tasks_that_can_never_end_are_killed_then_the_scope_panics_with_the_deadlock() {
    let drops = Drops::new();
    let over = Cell::new(false);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            deadlock(s, |wait| wait());
            let captured = MustDie(&over, drops.guard());
            s.spawn(move || {
                let _captured = captured;
                task::park();
            });
            // One that waits at the end of a scope of its own, where it is shielded.
            s.spawn(|| {
                let inner = MustDie(&over, drops.guard());
                scope(|s| {
                    let inner = &inner;
                    s.spawn(move || {
                        let _inner = inner;
                        sleep(Duration::from_millis(5));
                    });
                });
            });
        })
    }));
    over.set(true);
    let payload = caught.unwrap_err();
    let said = message(&*payload);
    assert!(said.starts_with("deadlock"), "{said}");
    assert!(said.contains("first") && said.contains("second"), "{said}");
    assert_eq!((drops.alive(), drops.dropped()), (0, 2));
    // The hub works on.
    assert_eq!(scope(|s| s.spawn(|| 3).join().unwrap()), 3);
}

#[test]
fn the_closure_s_panic_comes_before_the_deadlock() {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            deadlock(s, |wait| wait());
            resume_unwind(Box::new("the closure's own"));
        })
    }));
    assert_eq!(message(&*caught.unwrap_err()), "the closure's own");
}

#[test]
fn tasks_that_cannot_even_be_killed_abort_the_process() {
    const NAME: &str = "tasks_that_cannot_even_be_killed_abort_the_process";
    if util::is_child(NAME) {
        scope(|s| deadlock(s, |wait| task::shield(wait)));
        return;
    }
    let output = util::run(&mut util::child(NAME));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{}", util::describe(&output));
    assert!(
        said.contains("a scope cannot wait for its tasks"),
        "{}",
        util::describe(&output)
    );
}

#[test]
fn scopes_leave_nothing_behind() {
    util::alone("scopes_leave_nothing_behind", || {
        util::assert_no_leak(|| {
            for _ in 0..50 {
                let text = "x".repeat(4096);
                scope(|s| {
                    let t = s.spawn(|| text.clone());
                    s.spawn(|| text.len());
                    let killed = s.spawn(task::park);
                    yield_now();
                    killed.kill();
                    assert_eq!(t.join().unwrap().len(), 4096);
                });
            }
        });
    });
}

#[test]
fn a_join_that_times_out_leaves_the_task_to_the_scope() {
    let finished = Cell::new(false);
    scope(|s| {
        let t = s.spawn(|| {
            for _ in 0..5 {
                yield_now();
            }
            finished.set(true);
        });
        assert!(timeout(Duration::ZERO, || t.join()).is_err());
        assert!(!finished.get());
    });
    assert!(finished.get());
}
