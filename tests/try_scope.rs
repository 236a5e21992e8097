//! `task::try_scope`: the first failure kills the siblings and is returned.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::task::{self, JoinError, park, shield, try_scope};
use greenloom::{sleep, spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

#[test]
fn without_a_failure_it_is_a_scope() {
    let words = [String::from("eat"), String::from("play")];
    let lengths: Result<[usize; 2], String> = try_scope(|s| {
        let tasks = words.each_ref().map(|w| s.spawn(|| Ok(w.len())));
        assert!(!s.has_failed());
        Ok(tasks.map(|t| t.join().unwrap().unwrap()))
    });
    assert_eq!(lengths, Ok([3, 4]));
}

#[test]
fn the_first_error_kills_the_others_and_is_returned() {
    let drops = Drops::new();
    let (first, second) = (Event::new(), Event::new());
    let result: Result<(), &str> = try_scope(|s| {
        let endless = s.spawn(|| {
            let _guard = drops.guard();
            sleep(HOUR);
            Ok(())
        });
        let fails = s.spawn(|| {
            first.wait();
            Err::<(), _>("first")
        });
        s.spawn(|| {
            // Fails too, while it unwinds nothing: it holds the kill back.
            shield(|| second.wait());
            Err::<(), _>("second")
        });
        yield_now();
        first.set();
        assert_eq!(fails.join().unwrap(), None);
        assert!(s.has_failed());
        assert!(matches!(endless.join(), Err(JoinError::Killed)));
        assert_eq!(drops.alive(), 0);
        second.set();
        let late = s.spawn(|| -> Result<(), _> { unreachable!("it ran after the failure") });
        assert!(late.join().unwrap_err().is_killed());
        Ok(())
    });
    assert_eq!(result, Err("first"));
    assert_eq!(task::count(), 0);
}

#[test]
fn an_error_of_the_closure_kills_the_tasks() {
    let result: Result<(), String> = try_scope(|s| {
        s.spawn(|| {
            park();
            Ok(())
        });
        yield_now();
        Err("closure".into())
    });
    assert_eq!(result.unwrap_err(), "closure");
}

#[test]
fn a_panic_of_a_task_goes_on_outside_after_all_have_ended() {
    let log = RefCell::new(vec![]);
    struct Notes<'a>(&'a RefCell<Vec<&'static str>>);
    impl Drop for Notes<'_> {
        fn drop(&mut self) {
            shield(yield_now);
            self.0.borrow_mut().push("unwound");
        }
    }
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _: Result<(), ()> = try_scope(|s| {
            s.spawn(|| {
                let _notes = Notes(&log);
                park();
                Ok(())
            });
            let panics = s.spawn(|| -> Result<(), ()> {
                yield_now();
                panic!("mine")
            });
            assert_eq!(panics.join().unwrap(), None);
            Ok(())
        });
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "mine");
    assert_eq!(*log.borrow(), ["unwound"]);
}

#[test]
fn a_panic_of_the_closure_kills_the_tasks_too() {
    let caught = catch_unwind(|| {
        let _: Result<(), ()> = try_scope(|s| {
            s.spawn(|| {
                park();
                Ok(())
            });
            panic!("closure")
        });
    });
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "closure");
    assert_eq!(task::count(), 0);
}

#[test]
fn a_task_that_was_killed_is_no_failure() {
    let result: Result<&str, ()> = try_scope(|s| {
        let stuck = s.spawn(|| {
            park();
            Ok(())
        });
        yield_now();
        stuck.kill();
        assert!(stuck.join().unwrap_err().is_killed());
        assert!(!s.has_failed());
        Ok("fine")
    });
    assert_eq!(result, Ok("fine"));
}

#[test]
fn a_kill_or_a_deadline_of_the_caller_ends_all() {
    let drops = Drops::new();
    let guard = drops.guard();
    let body = |guard| {
        let _: Result<(), ()> = try_scope(move |s| {
            s.spawn(move || {
                let _guard = guard;
                park();
                Ok(())
            });
            yield_now();
            park();
            Ok(())
        });
    };
    let task = spawn(move || body(guard));
    yield_now();
    yield_now();
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
    assert_eq!(drops.alive(), 0);
    let guard = drops.guard();
    assert!(timeout(MS, || body(guard)).is_err());
    assert_eq!(drops.alive(), 0);
}

#[test]
fn errors_may_borrow_and_scopes_nest() {
    let name = String::from("inner");
    let seen = Cell::new(0);
    let result: Result<(), &str> = try_scope(|outer| {
        outer.spawn(|| {
            try_scope(|inner| {
                inner.spawn(|| {
                    yield_now();
                    Err::<(), _>(&*name)
                });
                inner.spawn(|| {
                    park();
                    Ok(())
                });
                Ok(())
            })
        });
        let sibling = outer.spawn(|| {
            seen.set(1);
            park();
            Ok(())
        });
        assert!(sibling.join().unwrap_err().is_killed());
        Ok(())
    });
    assert_eq!(result, Err("inner"));
    assert_eq!(seen.get(), 1);
}

#[test]
fn values_and_errors_are_dropped_once() {
    let drops = Drops::new();
    let result: Result<(), Rc<util::Counted>> = try_scope(|s| {
        let fine = s.spawn(|| Ok(drops.guard()));
        s.spawn(|| Err::<(), _>(drops.local_guard()));
        s.spawn(|| Err::<(), _>(drops.local_guard()));
        drop(fine.join());
        Ok(())
    });
    assert_eq!(drops.alive(), 1);
    drop(result.unwrap_err());
    assert_eq!(drops.alive(), 0);
}
