//! Main waits, and nothing can ever wake it.
//!
//! Whether anything could is a question to the whole process, so these run in a child whose only other thread, the
//! harness's own, is not there: `lonely` forks once more, and a fork has one thread.

mod util;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::event::{AsyncResult, Event, GetError};
use greenloom::future::block_on;
use greenloom::greenlet::{self, Current, SwitchError};
use greenloom::hub::Deadlock;
use greenloom::select::{Select, wait};
use greenloom::task::{Builder, JoinError};
use greenloom::{sleep, spawn, spawn_later, timeout, yield_now};
use util::describe;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs `body` in a process with one thread, and fails with its output if it fails or takes more than a minute.
#[track_caller]
fn lonely(test_name: &str, body: impl FnOnce()) {
    if !util::is_child(test_name) {
        let output = util::run(&mut util::child(test_name));
        assert!(output.status.success(), "{}", describe(&output));
        return;
    }
    // SAFETY: the child calls nothing that another thread could have left locked: the harness's thread waits for this
    // one without a lock.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: a plain system call. The signal's default ends the process.
            unsafe { libc::alarm(60) };
            let failed = catch_unwind(AssertUnwindSafe(body)).is_err();
            // SAFETY: ends the process; what else there is belongs to the parent.
            unsafe { libc::_exit(i32::from(failed)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is there for the call.
            let waited = unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!((waited, status), (child, 0), "pid and status of the child");
        }
    }
}

fn told(deadlock: &Deadlock, parts: &[&str]) {
    let text = deadlock.to_string();
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn a_join_that_can_never_end_is_an_error_and_names_who_is_parked() {
    lonely(
        "a_join_that_can_never_end_is_an_error_and_names_who_is_parked",
        || {
            let stuck = Builder::new()
                .name("stuck")
                .spawn(|| sleep(Duration::MAX))
                .unwrap();
            let id = stuck.id();
            let waits = Builder::new()
                .name("waits")
                .spawn(move || stuck.join())
                .unwrap();
            match waits.join() {
                Err(JoinError::Deadlock(d)) => told(
                    &d,
                    &[
                        "main waits: join",
                        "'stuck'",
                        "sleep",
                        "'waits'",
                        &format!("join of task {id}, which is up to task 'stuck'"),
                        "deadlock.rs:",
                    ],
                ),
                other => panic!("{other:?}"),
            }
            // The hub works on.
            assert_eq!(spawn(|| 7).join().unwrap(), 7);
            sleep(Duration::from_millis(1));
        },
    );
}

#[test]
fn a_wait_that_cannot_report_panics_with_the_deadlock() {
    lonely("a_wait_that_cannot_report_panics_with_the_deadlock", || {
        // Without a hub the sleep would be the thread's own.
        assert_eq!(spawn(|| 6).join().unwrap(), 6);
        let caught = catch_unwind(|| sleep(Duration::MAX)).unwrap_err();
        let text = caught.downcast_ref::<String>().expect("a text");
        assert!(text.starts_with("deadlock: main waits"), "{text}");
        assert_eq!(spawn(|| 7).join().unwrap(), 7);
    });
}

#[test]
fn a_switch_that_is_never_answered_is_an_error() {
    lonely("a_switch_that_is_never_answered_is_an_error", || {
        greenlet::scope(|s, me: &Current<()>| {
            let parked = s.spawn(me, |_me: &Current<(), ()>, ()| sleep(Duration::MAX));
            assert!(matches!(
                me.switch(&parked, ()),
                Err(SwitchError::Deadlock(_))
            ));
            assert!(matches!(me.receive(), Err(SwitchError::Deadlock(_))));
        });
        assert_eq!(spawn(|| 7).join().unwrap(), 7);
    });
}

#[test]
fn a_task_that_was_killed_before_its_time_keeps_nothing_pending() {
    lonely(
        "a_task_that_was_killed_before_its_time_keeps_nothing_pending",
        || {
            let later = spawn_later(HOUR, || 1);
            later.kill();
            assert!(matches!(later.join(), Err(JoinError::Killed)));
            // Its timer would be a prospect for an hour.
            let stuck = spawn(|| sleep(Duration::MAX));
            assert!(matches!(stuck.join(), Err(JoinError::Deadlock(_))));
        },
    );
}

#[test]
fn waits_that_ended_keep_nothing_pending() {
    lonely("waits_that_ended_keep_nothing_pending", || {
        for round in 0..10_000 {
            assert_eq!(timeout(HOUR, || round).unwrap(), round);
            if round % 10 == 0 {
                timeout(HOUR, yield_now).unwrap();
                let sleeper = spawn(|| timeout(HOUR, || sleep(HOUR)));
                let back = sleeper.join_timeout(Duration::from_nanos(1)).unwrap_err();
                yield_now();
                back.kill();
                assert!(matches!(back.join(), Err(JoinError::Killed)));
            }
        }
        let stuck = spawn(|| sleep(Duration::MAX));
        assert!(matches!(stuck.join(), Err(JoinError::Deadlock(_))));
    });
}

#[test]
fn a_timeout_around_the_wait_is_a_prospect() {
    lonely("a_timeout_around_the_wait_is_a_prospect", || {
        let stuck = spawn(|| sleep(Duration::MAX));
        assert!(timeout(Duration::from_millis(40), || stuck.join()).is_err());
    });
}

#[test]
fn events_results_and_selects_tell_main_what_it_waits_for_in_vain() {
    lonely(
        "events_results_and_selects_tell_main_what_it_waits_for_in_vain",
        || {
            // A thread without a hub waits in the OS, which tells nobody.
            assert!(greenloom::hub::current_handle().is_alive());
            let (event, result) = (Event::new(), AsyncResult::<u8>::new());
            let panics = |f: &dyn Fn(), parts: &[&str]| {
                let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
                let text = payload.downcast::<String>().expect("a message");
                for part in parts {
                    assert!(text.contains(part), "no {part:?} in: {text}");
                }
            };
            panics(&|| event.wait(), &["main waits: wait for an event"]);
            match result.get().unwrap_err() {
                GetError::Deadlock(d) => told(&d, &["main waits: wait for a result"]),
                e => panic!("{e}"),
            }
            let select = || {
                Select::new()
                    .event(&event, || ())
                    .result(&result, |_| ())
                    .wait();
            };
            panics(&select, &["wait for an event, or wait for a result"]);
            panics(&|| drop(wait([&event], None, None)), &["main waits"]);
            let pending = || block_on(std::future::pending::<()>());
            panics(&pending, &["main waits: a future"]);
            // The owner of its one arm is named.
            let stuck = Builder::new().name("stuck").spawn(greenloom::task::park);
            let mut stuck = Some(stuck.unwrap());
            let joins = AssertUnwindSafe(|| Select::new().join(&mut stuck, |_| ()).wait());
            let text = catch_unwind(joins)
                .unwrap_err()
                .downcast::<String>()
                .unwrap();
            assert!(text.contains("main waits: join of task"), "{text}");
            assert!(text.contains("'stuck'"), "{text}");
            assert!(stuck.is_some(), "the handle is where it was");
            // The hub works on, and so do they.
            event.set();
            event.wait();
            result.set(1).unwrap();
            assert_eq!(result.get().unwrap(), 1);
        },
    );
}
