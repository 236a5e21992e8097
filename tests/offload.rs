//! `offload`: one call on a thread of the default pool, while the hub goes on.

#[path = "util/sharing.rs"]
mod sharing;
mod util;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use greenloom::blocking::{OffloadError, ThreadPool};
use greenloom::event::Event;
use greenloom::hub::{self, InCallback};
use greenloom::task::JoinError;
use greenloom::{join_all, offload, sleep, spawn, timeout, yield_now};
use util::Drops;

const LONG: Duration = Duration::from_secs(60);

/// A closure that blocks its thread until it is let go, and tells when it has begun.
fn blocked<T: Send + 'static>(
    value: T,
) -> (
    impl FnOnce() -> T + Send + 'static,
    mpsc::Receiver<()>,
    mpsc::Sender<()>,
) {
    let (begun, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let f = move || {
        begun.send(()).expect("the test waits for it");
        // Also if the test has ended.
        let _ = may_go.recv();
        value
    };
    (f, has_begun, go)
}

#[test]
fn it_runs_on_another_thread_while_others_run_here() {
    let (f, begun, go) = blocked(7);
    let log = Rc::new(Cell::new(0));
    let task = spawn(move || (offload(f).unwrap(), thread::current().id()));
    let counter = Rc::clone(&log);
    let other = spawn(move || {
        counter.set(1);
        // Only now can the closure end: had it blocked this thread, nobody would get here.
        begun.recv().unwrap();
        go.send(()).unwrap();
    });
    let (value, here) = task.join().unwrap();
    other.join().unwrap();
    assert_eq!((value, log.get()), (7, 1));
    assert_eq!(here, thread::current().id());
    assert_ne!(offload(|| thread::current().id()).unwrap(), here);
}

#[test]
fn it_works_on_a_plain_thread() {
    let id = thread::spawn(|| {
        (
            offload(|| thread::current().id()).unwrap(),
            thread::current().id(),
        )
    });
    let (there, here) = id.join().unwrap();
    assert_ne!(there, here);
}

#[test]
fn tasks_of_several_hubs_and_plain_threads_use_it_at_once() {
    sharing::crowd(3, 20, 4, |n| {
        for i in 0..20 {
            assert_eq!(offload(move || n * i).unwrap(), n * i);
        }
    });
}

#[test]
fn a_panic_comes_back_with_its_payload_and_hurts_nobody() {
    let error = offload(|| -> u8 { panic_any(42_u32) }).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(*error.into_panic().unwrap().downcast::<u32>().unwrap(), 42);
    assert_eq!(offload(|| 1).unwrap(), 1);
}

#[test]
fn a_killed_call_leaves_its_work_to_the_worker() {
    /// Tells of its drop, and where that was.
    struct Tells(mpsc::Sender<thread::ThreadId>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
        }
    }
    let (tx, dropped) = mpsc::channel();
    let (f, begun, go) = blocked(Tells(tx));
    let task = spawn(move || drop(offload(f)));
    yield_now();
    begun.recv_timeout(LONG).unwrap();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    assert!(dropped.try_recv().is_err(), "the closure has it still");
    go.send(()).unwrap();
    assert_ne!(dropped.recv_timeout(LONG).unwrap(), thread::current().id());
}

#[test]
fn a_timeout_unwinds_out_of_it() {
    let (f, _begun, go) = blocked(1);
    let late = timeout(Duration::from_millis(1), || offload(f).unwrap());
    assert!(late.is_err_and(|e| e.into_value().is_none()));
    // If the time had passed before the call, the closure was dropped unrun.
    let _ = go.send(());
}

#[test]
fn a_kill_that_came_before_keeps_the_closure_from_running() {
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    let task = spawn(move || {
        // It goes on from here with the kill waiting for it.
        greenloom::task::shield(yield_now);
        offload(move || flag.store(true, Ordering::SeqCst)).unwrap();
    });
    yield_now();
    task.kill();
    assert!(matches!(task.join(), Err(JoinError::Killed)));
    // One after the other on one thread of the same pool: it would have run by now, or would run next to these.
    assert_eq!(Arc::strong_count(&ran), 1, "the closure was dropped");
    assert!(!ran.load(Ordering::SeqCst));
}

#[test]
fn who_unwinds_or_runs_in_the_hub_gets_an_error_at_once() {
    struct Offloads(Rc<Cell<Option<OffloadError>>>);
    impl Drop for Offloads {
        fn drop(&mut self) {
            self.0.set(offload(|| 1).err());
        }
    }
    let seen = Rc::new(Cell::new(None));
    let guard = Offloads(Rc::clone(&seen));
    let task = spawn(move || {
        let _guard = guard;
        panic!("on purpose");
    });
    assert!(task.join().unwrap_err().is_panic());
    assert!(matches!(seen.take(), Some(OffloadError::Unwinding)));

    let (tx, rx) = mpsc::channel();
    let task = spawn(|| ());
    task.on_done(move |_| tx.send(offload(|| 1)).unwrap());
    task.join().unwrap();
    yield_now();
    match rx.recv_timeout(LONG).unwrap() {
        Err(OffloadError::CannotWait(e)) => assert!(e.get_ref().unwrap().is::<InCallback>()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_closure_may_offload_and_may_use_tasks() {
    assert_eq!(offload(|| offload(|| 3).unwrap() + 1).unwrap(), 4);
    let sum = offload(|| {
        let tasks: Vec<_> = (1..=10).map(|n| spawn(move || n)).collect();
        let all = join_all(tasks, None);
        all.into_iter().map(|r| r.unwrap()).sum::<u32>()
    });
    assert_eq!(sum.unwrap(), 55);
}

#[test]
fn tasks_that_a_closure_leaves_behind_are_ended() {
    let pool = ThreadPool::new(1);
    let drops = Drops::new();
    let guard = drops.guard();
    pool.offload(move || {
        drop(spawn(move || {
            let _guard = guard;
            sleep(Duration::MAX);
        }));
        yield_now();
    })
    .unwrap();
    pool.join();
    assert_eq!(drops.dropped(), 1);
}

#[test]
fn the_hub_may_end_under_it() {
    let (f, begun, go) = blocked(5);
    let doomed = sharing::doomed(move || drop(offload(f)));
    begun.recv_timeout(LONG).unwrap();
    doomed.end();
    go.send(()).unwrap();
    assert_eq!(offload(|| 2).unwrap(), 2);
}

#[test]
fn errors_convert_into_those_of_io() {
    let refused = ThreadPool::new(1);
    refused.close();
    let e = std::io::Error::from(refused.offload(|| 1).unwrap_err());
    assert_eq!(e.to_string(), "the pool ended before the job began");
    let e = std::io::Error::from(offload(|| panic!("oh")).unwrap_err());
    assert_eq!(e.to_string(), "the job panicked: oh");
}

#[test]
fn a_simulated_hub_waits_for_it_before_it_moves_time() {
    hub::simulate(1, || {
        let first = Rc::new(Event::new());
        let theirs = Rc::clone(&first);
        let task = spawn(move || {
            assert_eq!(offload(|| 6).unwrap(), 6);
            theirs.set();
        });
        assert!(
            first.wait_timeout(Duration::from_nanos(1)),
            "time has overtaken it"
        );
        task.join().unwrap();
    });
}

#[test]
fn a_panic_of_the_result_in_its_destructor_stays_with_the_worker() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("of a destructor");
        }
    }
    let pool = ThreadPool::new(1);
    drop(pool.spawn(|| Bad).unwrap());
    let done = pool.spawn(|| Bad).unwrap();
    pool.join();
    assert!(done.is_finished());
    drop(done);
    assert_eq!(pool.offload(|| 1).unwrap(), 1);
    assert_eq!(pool.threads(), 1);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(pool.offload(|| Bad))));
    assert!(dropped.is_err());
}

#[test]
fn kills_at_any_moment_lose_no_value_and_drop_none_twice() {
    let pool = Arc::new(ThreadPool::builder(2).queue_bound(1).build());
    let drops = Drops::new();
    let mut brought = 0;
    for round in 0..300 {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (pool, value) = (Arc::clone(&pool), drops.guard());
                // There and back, with some work on the way.
                let f = move || {
                    for _ in 0..round * 20 {
                        std::hint::spin_loop();
                    }
                    value
                };
                spawn(move || pool.offload(f))
            })
            .collect();
        for _ in 0..round % 7 {
            yield_now();
        }
        for task in tasks {
            task.kill();
            match task.join() {
                Ok(Ok(_value)) => brought += 1,
                Err(JoinError::Killed) => {}
                other => panic!("{:?}", other.map(|r| r.map(drop))),
            }
        }
    }
    pool.join();
    assert_eq!(drops.alive(), 0, "{brought} were brought");
    assert_eq!(drops.dropped(), 1200);
    assert_eq!((pool.queued(), pool.idle()), (0, pool.threads()));
}
