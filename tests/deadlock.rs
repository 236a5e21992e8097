//! Main waits, and nothing can ever wake it.
//!
//! Whether anything could is a question to the whole process, so these run in a child whose only other thread, the
//! harness's own, is not there: `lonely` forks once more, and a fork has one thread.

#[path = "util/lonely.rs"]
mod lonely;
mod util;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::event::{self, AsyncResult, Event};
use greenloom::future::block_on;
use greenloom::greenlet::{self, Current, SwitchError};
use greenloom::hub::Deadlock;
use greenloom::queue::{GetError, PutError, Queue, channel};
use greenloom::select::{Select, wait};
use greenloom::sync::mpsc;
use greenloom::task::{Builder, JoinError};
use greenloom::{sleep, spawn, spawn_later, timeout, yield_now};
use lonely::lonely;

const HOUR: Duration = Duration::from_secs(3600);

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
fn a_get_and_a_put_that_can_never_end_are_errors_and_the_value_comes_back() {
    lonely(
        "a_get_and_a_put_that_can_never_end_are_errors_and_the_value_comes_back",
        || {
            // A thread without a hub waits like one of std: for ever.
            spawn(|| ()).join().unwrap();
            let q = Queue::bounded(1);
            match q.get() {
                Err(GetError::Deadlock(d)) => told(&d, &["get from queue"]),
                other => panic!("{other:?}"),
            }
            q.put(1).unwrap();
            match q.put(2) {
                Err(PutError::Deadlock(2, d)) => told(&d, &["put into queue"]),
                other => panic!("{other:?}"),
            }
            // It has left: the queue works on.
            assert_eq!(q.get().unwrap(), 1);
            assert!(q.try_get().unwrap_err().is_empty());
            let (tx, rx) = channel::<u32>(0);
            assert!(rx.recv().unwrap_err().to_string().contains("deadlock"));
            assert_eq!(tx.send(3).unwrap_err().into_inner(), 3);
        },
    );
}

#[test]
fn mute_waits_of_queues_panic_with_the_deadlock() {
    lonely("mute_waits_of_queues_panic_with_the_deadlock", || {
        fn panics<R>(f: impl FnOnce() -> R) {
            let payload = catch_unwind(AssertUnwindSafe(f)).map(|_| ()).unwrap_err();
            let text = payload.downcast_ref::<String>().expect("a text");
            assert!(text.contains("deadlock"), "{text}");
        }
        spawn(|| ()).join().unwrap();
        let (tx, rx) = mpsc::channel::<u32>();
        panics(|| rx.recv());
        drop(tx);
        let (tx, rx) = mpsc::sync_channel(0);
        panics(|| tx.send(1));
        assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Empty));
        let q = Queue::unbounded();
        panics(|| q.iter().next());
        q.put(1).unwrap();
        panics(|| q.join());
        assert_eq!(q.unfinished(), 1);
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
                event::GetError::Deadlock(d) => told(&d, &["main waits: wait for a result"]),
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
