//! `task::on_big_stack`: more room for one call, given back on every way out.
#![forbid(unsafe_code)]

mod util;

use std::cell::Cell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use greenloom::stack::StackSize;
use greenloom::task::{self, Builder, on_big_stack, try_on_big_stack};
use greenloom::{sleep, spawn, timeout, yield_now};
use util::Drops;

/// Uses at least a KiB for each level.
fn deep(levels: u32) -> u32 {
    let frame = black_box([levels; 256]);
    match levels {
        0 => frame[0],
        _ => deep(levels - 1) + black_box(frame)[0] / levels,
    }
}

/// More than the default stack holds, less than the big one, in any build.
const LEVELS: u32 = 150;

#[test]
fn a_task_recurses_deeply() {
    assert_eq!(
        spawn(|| on_big_stack(|| deep(LEVELS))).join().unwrap(),
        LEVELS
    );
}

#[test]
fn main_and_plain_threads_may_use_it() {
    assert_eq!(on_big_stack(|| deep(LEVELS)), LEVELS);
    std::thread::spawn(|| assert_eq!(on_big_stack(|| deep(LEVELS)), LEVELS))
        .join()
        .unwrap();
}

#[test]
fn a_callback_of_the_hub_may_too() {
    let (tx, rx) = std::sync::mpsc::channel();
    let t = spawn(|| ());
    t.on_done(move |_| tx.send(on_big_stack(|| deep(LEVELS))).unwrap());
    t.join().unwrap();
    yield_now();
    assert_eq!(rx.recv().unwrap(), LEVELS);
}

#[test]
fn it_is_the_same_task_and_may_borrow_wait_and_nest() {
    let t = spawn(|| {
        let count = Cell::new(0);
        let id = task::id();
        on_big_stack(|| {
            assert_eq!(task::id(), id);
            for _ in 0..3 {
                yield_now();
                count.set(count.get() + 1);
            }
            sleep(Duration::from_micros(10));
            try_on_big_stack(StackSize::K256, || {
                yield_now();
                count.set(count.get() + deep(20));
            })
            .unwrap();
        });
        count.get()
    });
    assert_eq!(t.join().unwrap(), 3 + 20);
}

#[test]
fn several_tasks_park_on_big_stacks_at_once_and_main_does() {
    let tasks: Vec<_> = (0..10u32)
        .map(|n| {
            spawn(move || {
                on_big_stack(|| {
                    let here = black_box([n; 4096]);
                    for _ in 0..5 {
                        yield_now();
                    }
                    here.iter().all(|x| *x == n)
                })
            })
        })
        .collect();
    on_big_stack(|| {
        for t in tasks {
            assert!(t.join().unwrap());
        }
    });
}

#[test]
fn greenlets_switch_on_a_big_stack() {
    use greenloom::greenlet::{Current, scope};
    let got = scope(|s, me: &Current<u32>| {
        let g = s.spawn(me, |me: &Current<u32, u32>, first: u32| {
            on_big_stack(|| me.switch(&me.parent().unwrap(), first + 1).unwrap() * 2)
        });
        let first = me.switch(&g, 1).unwrap();
        (first, me.switch(&g, 10).unwrap())
    });
    assert_eq!(got, (2, 20));
}

#[test]
fn panics_kills_and_timeouts_pass_through() {
    let drops = Drops::new();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _guard = drops.guard();
        on_big_stack(|| {
            let _inside = drops.guard();
            resume_unwind(Box::new("on purpose"));
        })
    }));
    assert_eq!(
        *caught.unwrap_err().downcast::<&str>().unwrap(),
        "on purpose"
    );
    assert_eq!(drops.alive(), 0);

    let guard = drops.guard();
    let t = spawn(move || {
        on_big_stack(|| {
            let _guard = guard;
            task::park();
        });
    });
    yield_now();
    assert_eq!(drops.alive(), 1);
    t.kill();
    assert!(t.join().unwrap_err().is_killed());
    assert_eq!(drops.alive(), 0);

    let late = timeout(Duration::from_millis(1), || on_big_stack(task::park));
    assert!(late.is_err());
    assert!(on_big_stack(|| timeout(Duration::from_millis(1), task::park)).is_err());
}

#[test]
fn stacks_are_given_back_on_every_way_out() {
    util::alone("stacks_are_given_back_on_every_way_out", || {
        util::assert_no_leak(|| {
            for _ in 0..20 {
                spawn(|| on_big_stack(yield_now)).join().unwrap();
                let caught = catch_unwind(|| on_big_stack(|| resume_unwind(Box::new(()))));
                assert!(caught.is_err());
                let t = spawn(|| on_big_stack(task::park));
                yield_now();
                t.kill();
                t.join().unwrap_err();
            }
        });
    });
}

#[test]
fn an_overflow_there_names_the_task() {
    const NAME: &str = "an_overflow_there_names_the_task";
    if util::is_child(NAME) {
        let builder = Builder::new().name("digger");
        let t = builder.spawn(|| on_big_stack(|| deep(1_000_000))).unwrap();
        let _ = t.join();
        return;
    }
    let output = util::run(&mut util::child(NAME));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("digger") && said.contains("on_big_stack.rs"),
        "{}",
        util::describe(&output)
    );
}
