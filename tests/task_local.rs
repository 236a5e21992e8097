//! `local!`: a value for each task, dropped with it.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use greenloom::greenlet::{Current, Generator, scope};
use greenloom::task::{self, Builder, JoinError};
use greenloom::{local, sleep, spawn, timeout, yield_now};
use util::{Counted, Drops};

local! {
    static NUMBER: Cell<u32> = const { Cell::new(7) };
    static WORDS: RefCell<Vec<String>> = RefCell::new(vec!["first".to_owned()]);
    /// Not `Send`.
    static SHARED: Rc<Cell<u32>> = Rc::new(Cell::new(0));
    static KEPT: RefCell<Option<Counted>> = const { RefCell::new(None) };
}

fn keep(drops: &Drops) {
    KEPT.set(Some(drops.guard()));
}

#[test]
fn each_task_has_its_own_and_keeps_it_over_switches() {
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            spawn(move || {
                assert_eq!(NUMBER.get(), 7);
                NUMBER.set(n);
                SHARED.with(|s| s.set(n));
                yield_now();
                sleep(Duration::from_micros(10));
                assert_eq!(SHARED.with(|s| s.get()), n);
                NUMBER.get()
            })
        })
        .collect();
    NUMBER.set(99);
    for (n, t) in (0..).zip(tasks) {
        assert_eq!(t.join().unwrap(), n);
    }
    assert_eq!(NUMBER.get(), 99);
}

#[test]
fn greenlets_and_generators_have_their_own_too() {
    let drops = Drops::new();
    NUMBER.set(1);
    scope(|s, me: &Current<u32>| {
        let g = s.spawn(me, |me: &Current<(), u32>, ()| {
            keep(&drops);
            NUMBER.set(2);
            let parent = me.parent().unwrap();
            me.switch(&parent, NUMBER.get()).unwrap();
            NUMBER.get()
        });
        assert_eq!(me.switch(&g, ()).unwrap(), 2);
        assert_eq!((NUMBER.get(), drops.alive()), (1, 1));
        assert_eq!(me.switch(&g, ()).unwrap(), 2);
        assert_eq!(drops.alive(), 0);
    });
    let guard = drops.clone();
    let mut numbers = Generator::new(move |y| {
        keep(&guard);
        NUMBER.set(3);
        y.yield_(NUMBER.get());
    });
    assert_eq!(numbers.next(), Some(3));
    assert_eq!((NUMBER.get(), drops.alive()), (1, 1));
    drop(numbers);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn std_s_conveniences() {
    assert_eq!(NUMBER.replace(8), 7);
    assert_eq!(NUMBER.take(), 8);
    assert_eq!(NUMBER.get(), 0);
    WORDS.with_borrow_mut(|w| w.push("second".to_owned()));
    assert_eq!(WORDS.with_borrow(Vec::len), 2);
    assert_eq!(WORDS.replace(Vec::new()).len(), 2);
    WORDS.set(vec!["x".to_owned()]);
    assert_eq!(WORDS.take(), ["x"]);
    assert!(WORDS.with_borrow(Vec::is_empty));
    assert_eq!(NUMBER.try_with(Cell::get), Ok(0));
}

#[test]
fn set_does_not_run_the_initialiser() {
    local! {
        static NEVER_MADE: Cell<u8> = panic!("the initialiser ran");
        static NEVER_FILLED: RefCell<u8> = panic!("the initialiser ran");
    }
    NEVER_MADE.set(1);
    NEVER_FILLED.set(2);
    assert_eq!((NEVER_MADE.get(), NEVER_FILLED.take()), (1, 2));
}

#[test]
fn values_are_dropped_at_the_end_of_the_task_however_it_ends_and_even_while_its_handle_lives() {
    let drops = Drops::new();
    let returned = spawn({
        let drops = drops.clone();
        move || keep(&drops)
    });
    let panicked = spawn({
        let drops = drops.clone();
        move || {
            keep(&drops);
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    });
    let killed = spawn({
        let drops = drops.clone();
        move || {
            keep(&drops);
            task::park();
        }
    });
    yield_now();
    assert_eq!((drops.alive(), drops.dropped()), (1, 2));
    killed.kill();
    yield_now();
    assert_eq!(drops.alive(), 0);
    assert!(returned.is_finished());
    returned.join().unwrap();
    assert!(panicked.join().unwrap_err().is_panic());
    assert!(killed.join().unwrap_err().is_killed());
}

#[test]
fn the_next_task_on_the_same_stack_starts_afresh() {
    for _ in 0..100 {
        spawn(|| {
            assert_eq!(NUMBER.get(), 7);
            NUMBER.set(1);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn main_s_values_are_dropped_with_its_thread() {
    let drops = Drops::new();
    let theirs = drops.clone();
    thread::spawn(move || keep(&theirs)).join().unwrap();
    assert_eq!((drops.dropped(), drops.alive()), (1, 0));
}

#[test]
fn a_callback_of_the_hub_sees_those_of_main() {
    thread::spawn(|| {
        NUMBER.set(41);
        let t = spawn(|| ());
        t.on_done(|_| NUMBER.set(NUMBER.get() + 1));
        t.join().unwrap();
        yield_now();
        assert_eq!(NUMBER.get(), 42);
    })
    .join()
    .unwrap();
}

#[test]
fn an_initialiser_may_use_its_own_key_and_others_and_may_wait() {
    local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
        static RECURSIVE: u32 = {
            DEPTH.set(DEPTH.get() + 1);
            yield_now();
            if DEPTH.get() < 3 { RECURSIVE.with(|v| v + 1) } else { 10 }
        };
    }
    spawn(|| {
        // The innermost is made first and stays.
        assert_eq!(RECURSIVE.with(|v| *v), 10);
        assert_eq!(RECURSIVE.with(|v| *v), 10);
        assert_eq!(DEPTH.get(), 3);
    })
    .join()
    .unwrap();
}

#[test]
fn a_closure_may_use_the_key_again_and_be_killed_inside() {
    let drops = Drops::new();
    let theirs = drops.clone();
    let t = spawn(move || {
        keep(&theirs);
        KEPT.with(|outer| {
            KEPT.with(|inner| assert!(std::ptr::eq(outer, inner)));
            WORDS.with_borrow_mut(|_| task::park());
        });
    });
    yield_now();
    assert_eq!(drops.alive(), 1);
    t.kill();
    assert!(t.join().unwrap_err().is_killed());
    assert_eq!(drops.alive(), 0);
}

#[test]
fn an_initialiser_that_panics_leaves_no_value() {
    local! {
        static TRIES: Cell<u32> = const { Cell::new(0) };
        static SHY: u32 = {
            TRIES.set(TRIES.get() + 1);
            if TRIES.get() == 1 { std::panic::resume_unwind(Box::new("not yet")) }
            TRIES.get()
        };
    }
    assert!(std::panic::catch_unwind(|| SHY.with(|_| ())).is_err());
    assert_eq!(SHY.with(|v| *v), 2);
}

/// Calls back when dropped.
struct OnDrop(Option<Box<dyn FnOnce()>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

local! {
    static EARLY: RefCell<Option<OnDrop>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<OnDrop>> = const { RefCell::new(None) };
}

#[test]
fn destructors_run_latest_first_see_what_is_left_and_not_what_is_gone() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let theirs = log.clone();
    spawn(move || {
        let log = theirs.clone();
        EARLY.set(Some(OnDrop(Some(Box::new(move || {
            let own = EARLY.try_with(|_| ()).is_ok();
            let gone = LATE.try_with(|_| ()).is_ok();
            log.borrow_mut().push(("early", own, gone));
        })))));
        let log = theirs;
        LATE.set(Some(OnDrop(Some(Box::new(move || {
            let own = LATE.try_with(|_| ()).is_ok();
            let left = EARLY.try_with(|_| ()).is_ok();
            log.borrow_mut().push(("late", own, left));
        })))));
    })
    .join()
    .unwrap();
    assert_eq!(
        *log.borrow(),
        [("late", false, true), ("early", false, false)]
    );
}

#[test]
fn with_on_a_value_that_is_gone_panics() {
    let said = Rc::new(RefCell::new(String::new()));
    let theirs = said.clone();
    spawn(move || {
        EARLY.set(Some(OnDrop(Some(Box::new(move || {
            let caught = std::panic::catch_unwind(|| EARLY.with(|_| ()));
            let message = caught.unwrap_err();
            *theirs.borrow_mut() = message
                .downcast_ref::<String>()
                .cloned()
                .unwrap_or_default();
        })))));
    })
    .join()
    .unwrap();
    assert!(
        said.borrow().contains("dropped already"),
        "{}",
        said.borrow()
    );
}

#[test]
fn a_destructor_may_make_new_values_which_are_dropped_too() {
    let drops = Drops::new();
    let theirs = drops.clone();
    spawn(move || EARLY.set(Some(OnDrop(Some(Box::new(move || keep(&theirs)))))))
        .join()
        .unwrap();
    assert_eq!((drops.dropped(), drops.alive()), (1, 0));
}

#[test]
fn a_destructor_may_wait_and_is_not_killed() {
    let finished = Rc::new(Cell::new(false));
    let theirs = finished.clone();
    let t = spawn(move || {
        EARLY.set(Some(OnDrop(Some(Box::new(move || {
            for _ in 0..3 {
                yield_now();
            }
            sleep(Duration::from_micros(10));
            theirs.set(true);
        })))));
        7
    });
    yield_now();
    assert!(!t.is_finished());
    t.kill();
    // The body had returned: the kill came too late.
    assert_eq!(t.join().unwrap(), 7);
    assert!(finished.get());
}

#[test]
fn a_destructor_that_panics_does_not_keep_the_others_from_running() {
    let drops = Drops::new();
    let theirs = drops.clone();
    let t = spawn(move || {
        keep(&theirs);
        EARLY.set(Some(OnDrop(Some(Box::new(|| {
            std::panic::resume_unwind(Box::new("in a destructor"))
        })))));
        "value"
    });
    assert_eq!(t.join().unwrap(), "value");
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_value_dropped_by_a_timeout_inside_with_is_not_lost() {
    let late = timeout(Duration::from_millis(1), || {
        WORDS.with_borrow_mut(|w| {
            w.push("kept".to_owned());
            task::park();
        });
    });
    assert!(late.is_err());
    assert_eq!(WORDS.take(), ["first", "kept"]);
}

#[test]
fn a_task_killed_before_it_starts_makes_no_value() {
    let drops = Drops::new();
    let theirs = drops.clone();
    let t = spawn(move || keep(&theirs));
    t.kill();
    assert!(matches!(t.join(), Err(JoinError::Killed)));
    assert_eq!(drops.dropped(), 0);
}

#[test]
fn values_leave_nothing_behind() {
    util::alone("values_leave_nothing_behind", || {
        util::assert_no_leak(|| {
            for _ in 0..100 {
                spawn(|| WORDS.with_borrow_mut(|w| w.push("x".repeat(4096))))
                    .join()
                    .unwrap();
            }
        });
    });
}

// ---- inheritance ----

#[test]
fn a_task_inherits_copies_of_the_keys_that_its_builder_names() {
    greenloom::local! {
        static REQUEST: RefCell<Vec<u32>> = RefCell::new(vec![0]);
        static OTHER: Cell<u32> = Cell::new(1);
    }
    REQUEST.set(vec![7]);
    OTHER.set(2);
    let inside = || {
        let seen = (REQUEST.with_borrow(Vec::clone), OTHER.get());
        REQUEST.with_borrow_mut(|v| v.push(8));
        seen
    };
    let both = Builder::new().inherit(&REQUEST).inherit(&OTHER);
    let both = both.inherit(&OTHER);
    let one = Builder::new().inherit(&REQUEST);
    let one_later = one.clone().spawn_later(Duration::from_millis(1), inside);
    let tasks = [
        both.spawn(inside).unwrap(),
        one.spawn(inside).unwrap(),
        one_later.unwrap(),
        greenloom::spawn(inside),
    ];
    // What was cloned is as it was at the spawn.
    REQUEST.set(vec![9]);
    OTHER.set(3);
    let seen = tasks.map(|t| t.join().unwrap());
    assert_eq!(
        seen,
        [(vec![7], 2), (vec![7], 1), (vec![7], 1), (vec![0], 1)]
    );
    assert_eq!(REQUEST.with_borrow(Vec::clone), [9]);
}

#[test]
fn a_scoped_task_inherits_too_and_what_is_not_there_is_made_fresh() {
    greenloom::local! {
        static NAME: RefCell<String> = RefCell::new("fresh".into());
    }
    let read = || NAME.with_borrow(String::clone);
    let builder = Builder::new().inherit(&NAME);
    greenloom::task::scope(|s| {
        let fresh = builder.clone().spawn_scoped(s, read).unwrap();
        assert_eq!(fresh.join().unwrap(), "fresh");
        NAME.set("mine".into());
        let mine = builder.clone().spawn_scoped(s, read).unwrap();
        assert_eq!(mine.join().unwrap(), "mine");
    });
}

#[test]
fn inherited_values_are_dropped_with_their_task_or_with_a_body_that_never_ran() {
    #[derive(Clone)]
    struct Shared(#[allow(dead_code)] Option<Rc<util::Counted>>);
    greenloom::local! {
        static SHARED: RefCell<Shared> = const { RefCell::new(Shared(None)) };
    }
    let drops = Drops::new();
    let counted = drops.local_guard();
    SHARED.set(Shared(Some(counted.clone())));
    let builder = Builder::new().inherit(&SHARED);
    let ran = builder.clone().spawn(|| ()).unwrap();
    let killed = builder.spawn(|| unreachable!("it was killed")).unwrap();
    assert_eq!(Rc::strong_count(&counted), 4);
    killed.kill();
    ran.join().unwrap();
    assert!(killed.join().unwrap_err().is_killed());
    SHARED.set(Shared(None));
    assert_eq!(Rc::strong_count(&counted), 1);
}
