//! `executor`: what CPython's `test_concurrent_futures` asks, of both executors.
#![forbid(unsafe_code)]

mod util;

use std::collections::HashSet;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::executor::{
    AsCompleted, Executor, Future, FutureError, FutureState, Map, ReturnWhen, Shutdown,
    SubmitError, TaskExecutor, ThreadPoolExecutor, as_completed, wait,
};
use greenloom::sync::Semaphore;
use greenloom::{hub, sleep, spawn, task, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);

fn fail<T>(why: &'static str) -> T {
    resume_unwind(Box::new(why))
}

fn why<T>(result: &Result<T, FutureError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(FutureError::Panicked(payload)) => {
            payload.downcast_ref::<&str>().copied().unwrap_or("?")
        }
        Err(FutureError::Cancelled) => "cancelled",
        Err(FutureError::Lost) => "lost",
        Err(FutureError::TimedOut) => "timed out",
        Err(_) => "another",
    }
}

/// A gate that jobs of either executor wait at.
fn gate() -> (Arc<Semaphore>, impl Fn() + Clone + Send + Sync + 'static) {
    let gate = Arc::new(Semaphore::new(0));
    let inner = Arc::clone(&gate);
    (gate, move || inner.acquire().forget())
}

/// Each test once with tasks and once with threads.
macro_rules! for_both {
    ($($(#[$doc:meta])* fn $name:ident($new:ident) $body:block)*) => {
        mod tasks {
            use super::*;
            $($(#[$doc])* #[test] fn $name() { let $new = TaskExecutor::new; $body })*
        }
        mod threads {
            use super::*;
            $($(#[$doc])* #[test] fn $name() { let $new = ThreadPoolExecutor::new; $body })*
        }
    };
}

fn submit<T: Send + 'static>(
    executor: &impl Executor,
    f: impl FnOnce() -> T + Send + 'static,
) -> Future<T> {
    executor.submit(f).unwrap()
}

for_both! {
    fn results_and_panics_come_out(new) {
        let executor = new(2);
        let fine = submit(&executor, || 0);
        let bad = submit(&executor, || fail::<()>("on purpose"));
        assert_eq!(fine.wait().unwrap(), FutureState::Returned);
        assert_eq!(fine.result().unwrap(), 0);
        assert_eq!(bad.wait_timeout(HOUR).unwrap(), FutureState::Panicked);
        assert_eq!(bad.with_result(why), Some("on purpose"));
        let error = bad.result().unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled() && !error.is_timed_out());
        assert_eq!(error.to_string(), "the job panicked: on purpose");
        assert!(error.into_panic().unwrap().is::<&str>());
        // A worker outlives the panic of its job.
        assert_eq!(submit(&executor, || ()).result().unwrap(), ());
    }

    fn states_follow_the_job(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let begun = Arc::new(Semaphore::new(0));
        let tells = Arc::clone(&begun);
        let first = submit(&executor, move || { tells.release(1); pass() });
        let second = submit(&executor, || 2);
        begun.acquire().forget();
        assert!(first.running() && !first.done() && !first.cancelled());
        assert_eq!(second.state(), FutureState::Pending);
        assert!(first.with_result(|_| ()).is_none());
        assert!(!first.cancel(), "it has begun");
        assert!(second.cancel() && second.cancel() && second.cancelled() && second.done());
        assert_eq!(why(&second.result()), "cancelled");
        gate.release(1);
        first.result().unwrap();
    }

    fn a_time_limit_hands_the_future_back(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let slow = submit(&executor, pass);
        let error = slow.wait_timeout(Duration::from_millis(1)).unwrap_err();
        assert!(error.is_timed_out());
        let slow = slow.result_timeout(Duration::from_millis(1)).unwrap_err();
        assert!(timeout(Duration::from_millis(1), || slow.wait()).is_err());
        gate.release(1);
        slow.result_timeout(HOUR).unwrap().unwrap();
    }

    fn callbacks_run_in_order_and_at_once_when_done(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let log = Arc::new(Mutex::new(Vec::new()));
        let future = submit(&executor, move || { pass(); 5 });
        for n in 0..3 {
            let log = Arc::clone(&log);
            future.add_done_callback(move |r| log.lock().unwrap().push((n, *r.as_ref().unwrap())));
        }
        gate.release(1);
        future.wait().unwrap();
        assert_eq!(*log.lock().unwrap(), [(0, 5), (1, 5), (2, 5)]);
        let late = Arc::clone(&log);
        future.add_done_callback(move |r| late.lock().unwrap().push((3, *r.as_ref().unwrap())));
        assert_eq!(log.lock().unwrap().len(), 4);
        assert_eq!(future.result().unwrap(), 5);
    }

    fn callbacks_hear_of_a_cancel_in_the_canceller(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let first = submit(&executor, pass);
        let second = submit(&executor, || ());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let me = task::id();
        second.add_done_callback(move |r| hears.lock().unwrap().push((why(r), task::id() == me)));
        assert!(second.cancel());
        assert_eq!(*heard.lock().unwrap(), [("cancelled", true)]);
        gate.release(1);
        first.result().unwrap();
    }

    fn a_panic_in_a_callback_stops_nothing(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let ran = Arc::new(AtomicUsize::new(0));
        let future = submit(&executor, pass);
        for n in 0..4 {
            let ran = Arc::clone(&ran);
            future.add_done_callback(move |_| {
                ran.fetch_add(1, SeqCst);
                if n % 2 == 0 {
                    fail::<()>("in a callback");
                }
            });
        }
        gate.release(1);
        future.wait().unwrap();
        let after = Arc::clone(&ran);
        future.add_done_callback(move |_| {
            after.fetch_add(1, SeqCst);
            fail::<()>("in a late callback");
        });
        assert_eq!(ran.load(SeqCst), 5);
        future.result().unwrap();
    }

    fn map_is_in_order_and_goes_on_after_an_error(new) {
        let executor = new(3);
        let run = |n: u64| {
            sleep(Duration::from_millis(4 - n));
            if n == 1 { fail("one") } else { n }
        };
        let results: Vec<_> = executor.map(0..4, run).unwrap().collect();
        let texts: Vec<_> = results.iter().map(why).collect();
        assert_eq!(texts, ["ok", "one", "ok", "ok"]);
        assert_eq!(results.into_iter().flatten().collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(executor.map([0; 0], |n: u8| n).unwrap().count(), 0);
    }

    fn a_map_that_takes_too_long_says_so_once(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let run = move |n: i32| if n > 0 { pass() };
        let mut map = executor.map(0..9, run).unwrap().timeout(Duration::from_millis(20));
        let texts: Vec<_> = map.by_ref().map(|r| why(&r)).collect();
        assert_eq!(texts.last(), Some(&"timed out"));
        assert!(texts.len() <= 2 && map.next().is_none());
        // The rest was cancelled: one pass is enough for the shutdown.
        gate.release(1);
        executor.shutdown(Shutdown::Wait);
    }

    fn ten_jobs_on_four_workers(new) {
        let executor = new(4);
        let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let run = move |n: usize| {
            let now = inside.0.fetch_add(1, SeqCst) + 1;
            inside.1.fetch_max(now, SeqCst);
            sleep(Duration::from_millis(1));
            inside.0.fetch_sub(1, SeqCst);
            (n, inside.1.load(SeqCst), Worker::me())
        };
        let results: Vec<_> = executor.map(0..10, run).unwrap().map(Result::unwrap).collect();
        assert!(results.iter().enumerate().all(|(at, r)| at == r.0 && r.1 <= 4));
        let workers: HashSet<_> = results.iter().map(|r| r.2).collect();
        assert!(workers.len() <= 4, "{workers:?}");
        assert!(!workers.contains(&Worker::me()));
    }

    fn a_shut_down_executor_refuses_and_hands_back(new) {
        for how in [Shutdown::Wait, Shutdown::Detach, Shutdown::CancelPending, Shutdown::CancelAndDetach] {
            let (executor, drops) = (new(1), Drops::new());
            let before = submit(&executor, || 1);
            executor.shutdown(how);
            assert!(before.done() || how == Shutdown::Detach || how == Shutdown::CancelAndDetach);
            let guard = drops.guard();
            let refused = Executor::submit(&executor, move || drop(guard)).unwrap_err();
            assert!(refused.is_shut_down());
            assert_eq!(format!("{refused} {refused:?}"), "the executor was shut down ShutDown(..)");
            assert_eq!(drops.alive(), 1);
            (refused.into_inner())();
            assert_eq!(drops.alive(), 0);
            assert!(executor.map([1], |n: i32| n).is_err());
            executor.shutdown(Shutdown::Wait);
            assert!(matches!(why(&before.result()), "ok" | "cancelled"));
        }
    }

    fn shutdown_waits_or_cancels(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let begun = Arc::new(Semaphore::new(0));
        let tells = Arc::clone(&begun);
        let first = submit(&executor, move || { tells.release(1); pass(); 1 });
        let rest: Vec<_> = (0..3).map(|n| submit(&executor, move || n)).collect();
        begun.acquire().forget();
        executor.shutdown(Shutdown::CancelAndDetach);
        assert!(first.running() && rest.iter().all(Future::cancelled));
        gate.release(1);
        executor.shutdown(Shutdown::CancelPending);
        assert_eq!(first.result().unwrap(), 1);

        let executor = new(1);
        let (gate, pass) = self::gate();
        let all: Vec<_> = (0..3).map(|_| submit(&executor, pass.clone())).collect();
        executor.shutdown(Shutdown::Detach);
        gate.release(3);
        executor.shutdown(Shutdown::Wait);
        assert!(all.iter().all(|f| f.state() == FutureState::Returned));
    }

    fn a_dropped_executor_does_what_it_has(new) {
        let executor = new(1);
        let all: Vec<_> = (0..3).map(|n| submit(&executor, move || n)).collect();
        drop(executor);
        let all: Vec<i32> = all.into_iter().map(|f| f.result().unwrap()).collect();
        assert_eq!(all, [0, 1, 2]);
    }

    fn a_shutdown_may_be_repeated(new) {
        let executor = new(1);
        submit(&executor, || ()).result().unwrap();
        executor.shutdown(Shutdown::Wait);
        executor.shutdown(Shutdown::CancelPending);
    }

    fn dropped_futures_drop_their_results(new) {
        let (executor, drops) = (new(1), Drops::new());
        for _ in 0..3 {
            let guard = drops.guard();
            drop(submit(&executor, move || guard));
        }
        executor.shutdown(Shutdown::Wait);
        assert_eq!(drops.alive(), 0);
        let executor = new(1);
        let guard = drops.guard();
        let kept = submit(&executor, move || guard);
        executor.shutdown(Shutdown::Wait);
        assert_eq!(drops.alive(), 1);
        drop(kept);
        assert_eq!(drops.alive(), 0);
    }

    fn wait_returns_when_it_is_told_to(new) {
        let executor = new(4);
        let (gate, pass) = gate();
        let slow = submit(&executor, pass.clone());
        let bad = submit(&executor, || fail::<()>("bad"));
        let fine = submit(&executor, || ());
        fine.wait().unwrap();
        let (done, rest) = wait([slow, fine], None, ReturnWhen::FirstCompleted);
        assert_eq!((done.len(), rest.len()), (1, 1));
        let (done, rest) = wait(done.into_iter().chain(rest).chain([bad]), None, ReturnWhen::FirstFailed);
        assert_eq!((done.len(), rest.len()), (2, 1));
        let (none, rest) = wait(rest, Some(Duration::from_millis(1)), ReturnWhen::All);
        assert_eq!((none.len(), rest.len()), (0, 1));
        gate.release(1);
        let (done, rest) = wait(rest.into_iter().chain(done), None, ReturnWhen::All);
        assert_eq!((done.len(), rest.len()), (3, 0));
        let empty: [Future<()>; 0] = [];
        assert_eq!(wait(empty, None, ReturnWhen::FirstCompleted).0.len(), 0);
    }

    fn a_cancelled_one_is_done_and_has_not_failed(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let first = submit(&executor, pass);
        let second = submit(&executor, || ());
        second.cancel();
        let limit = Some(Duration::from_millis(1));
        let (done, rest) = wait([first, second], limit, ReturnWhen::FirstFailed);
        assert_eq!((done.len(), rest.len()), (1, 1));
        assert!(done[0].cancelled());
        gate.release(1);
    }

    fn as_completed_gives_what_is_done_first(new) {
        let executor = new(3);
        let (gate, pass) = gate();
        let slow = submit(&executor, move || { pass(); 1 });
        let quick = submit(&executor, || 2);
        let opens = Arc::clone(&gate);
        quick.wait().unwrap();
        let last = submit(&executor, || 3);
        last.wait().unwrap();
        // Those that are done come first, in the order given.
        let mut coming = as_completed([slow, last, quick], None);
        assert_eq!(coming.next().unwrap().unwrap().result().unwrap(), 3);
        assert_eq!(coming.next().unwrap().unwrap().result().unwrap(), 2);
        opens.release(1);
        assert_eq!(coming.next().unwrap().unwrap().result().unwrap(), 1);
        assert!(coming.next().is_none());
    }

    fn as_completed_says_when_time_is_up_and_gives_the_rest_back(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let first = submit(&executor, pass);
        let second = submit(&executor, || ());
        let mut coming = as_completed([first, second], Some(Duration::from_millis(1)));
        assert_eq!(why(&coming.next().unwrap()), "timed out");
        assert!(coming.next().is_none());
        let pending = coming.into_pending();
        assert_eq!(pending.len(), 2);
        gate.release(1);
        for future in pending {
            future.result().unwrap();
        }
    }

    fn futures_are_waited_for_beside_others(new) {
        let executor = new(1);
        let future = submit(&executor, || 4);
        let ready = greenloom::select::wait([&future], Some(HOUR), None);
        assert_eq!(ready.len(), 1);
        assert_eq!(future.result().unwrap(), 4);
    }

    /// A second wait on the same set: what the first left behind in the futures is gone.
    fn waits_may_be_repeated(new) {
        let executor = new(1);
        let (gate, pass) = gate();
        let mut left: Vec<_> = (0..3).map(|_| submit(&executor, pass.clone())).collect();
        while !left.is_empty() {
            gate.release(1);
            let (done, rest) = wait(left, None, ReturnWhen::FirstCompleted);
            assert!(!done.is_empty());
            left = rest;
        }
    }

    fn debug_tells_the_state(new) {
        let executor = new(1);
        assert!(format!("{executor:?}").contains("queued: 0"));
        let future = submit(&executor, || 1);
        future.wait().unwrap();
        assert_eq!(format!("{future:?}"), "Future(Returned)");
        assert!(format!("{:?}", as_completed([future], None)).contains("left: 1"));
        let map = executor.map([1], |n: i32| n).unwrap();
        assert_eq!(format!("{map:?}"), "Map { left: 1, .. }");
    }
}

/// Which worker this is, of either kind: on a thread of a pool every job has the thread's main greenlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Worker(std::thread::ThreadId, task::TaskId);

impl Worker {
    fn me() -> Self {
        Self(std::thread::current().id(), task::id())
    }
}

#[test]
fn what_is_send_and_what_is_sync() {
    fn shared<T: Send + Sync>() {}
    fn hashed<T: Copy + Eq + Hash>() {}
    shared::<Future<std::cell::Cell<u8>>>();
    shared::<Map<u8>>();
    shared::<AsCompleted<u8>>();
    shared::<ThreadPoolExecutor>();
    shared::<SubmitError<u8>>();
    hashed::<FutureState>();
    hashed::<ReturnWhen>();
    hashed::<Shutdown>();
}

#[test]
fn jobs_of_tasks_need_not_be_send() {
    let executor = TaskExecutor::new(1);
    let shared = Rc::new(5);
    let inner = Rc::clone(&shared);
    let future: Future<Rc<i32>> = executor.submit(move || inner).unwrap();
    assert!(Rc::ptr_eq(&future.result().unwrap(), &shared));
}

#[test]
fn a_task_executor_refuses_to_wait_for_itself() {
    let executor = Rc::new(TaskExecutor::new(1));
    let inner = Rc::clone(&executor);
    let job = move || catch_unwind(AssertUnwindSafe(|| inner.shutdown(Shutdown::Wait))).is_err();
    assert!(executor.submit(job).unwrap().result().unwrap());
}

#[test]
fn a_thread_of_a_pool_refuses_to_wait_for_itself() {
    let executor = Arc::new(ThreadPoolExecutor::new(1));
    let inner = Arc::clone(&executor);
    let job = move || catch_unwind(AssertUnwindSafe(|| inner.shutdown(Shutdown::Wait))).is_err();
    assert!(submit(&*executor, job).result().unwrap());
}

#[test]
fn an_idle_task_executor_keeps_no_hub_busy() {
    let executor = TaskExecutor::new(3);
    executor.map(0..9, |n: u8| n).unwrap().for_each(drop);
    assert!(hub::run_until_idle(Some(HOUR)));
    assert_eq!(task::count(), 0);
    assert_eq!(executor.submit(|| 1).unwrap().result().unwrap(), 1);
}

#[test]
fn a_hub_that_ends_loses_what_runs_and_cancels_the_rest() {
    let drops = Drops::new();
    let inner = drops.clone();
    let (running, pending) = std::thread::spawn(move || {
        let executor = TaskExecutor::new(1);
        let guards = [inner.guard(), inner.guard()];
        let [first, second] = guards.map(|guard| {
            let job = move || {
                task::park();
                drop(guard);
            };
            executor.submit(job).unwrap()
        });
        yield_now();
        hub::shutdown(Duration::ZERO);
        (first, second)
    })
    .join()
    .unwrap();
    assert_eq!(why(&running.result()), "lost");
    assert_eq!(why(&pending.result()), "cancelled");
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_deadlock_is_told() {
    hub::simulate(0, || {
        let executor = TaskExecutor::new(1);
        let never = executor.submit(task::park).unwrap();
        assert!(matches!(never.result(), Err(FutureError::Deadlock(_))));
    });
}

#[test]
fn a_simulation_waits_for_a_thread() {
    hub::simulate(0, || {
        let executor = ThreadPoolExecutor::new(1);
        let (gate, pass) = gate();
        let future = Executor::submit(&executor, pass).unwrap();
        let opens = std::thread::spawn(move || gate.release(1));
        future.result().unwrap();
        opens.join().unwrap();
        executor.shutdown(Shutdown::Wait);
    });
}

#[test]
fn a_future_of_a_task_is_waited_for_on_another_thread() {
    let (sender, receiver) = std::sync::mpsc::channel::<Future<u8>>();
    let other = std::thread::spawn(move || receiver.recv().unwrap().result().unwrap());
    let executor = TaskExecutor::new(1);
    sender.send(executor.submit(|| 8).unwrap()).unwrap();
    executor.shutdown(Shutdown::Wait);
    assert_eq!(other.join().unwrap(), 8);
}

#[test]
fn a_pool_of_threads_serves_many_tasks() {
    let executor = Rc::new(ThreadPoolExecutor::new(2));
    let tasks: Vec<_> = (0..20_u64)
        .map(|n| {
            let executor = Rc::clone(&executor);
            spawn(move || submit(&*executor, move || n * n).result().unwrap())
        })
        .collect();
    let squares: Vec<_> = tasks.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(squares[19], 361);
}

/// Jobs that end, fail, are cancelled, waiters that are killed or time out: each future is settled once, in every order.
#[test]
fn every_future_is_settled_once() {
    hub::simulate_seeds(0..800, |seed| {
        let executor = TaskExecutor::new(1 + seed as usize % 3);
        let settled = Arc::new(AtomicUsize::new(0));
        let drops = Drops::new();
        let mut waiters = Vec::new();
        let mut kept = Vec::new();
        for n in 0..8 {
            let guard = drops.guard();
            let job = move || {
                match (seed + n) % 4 {
                    0 => sleep(Duration::from_millis(1)),
                    1 => yield_now(),
                    2 => fail("on purpose"),
                    _ => {}
                }
                guard
            };
            let future = submit(&executor, job);
            let counts = Arc::clone(&settled);
            future.add_done_callback(move |_| {
                counts.fetch_add(1, SeqCst);
                yield_now();
            });
            match (seed / 3 + n) % 4 {
                0 => waiters.push(spawn(move || drop(future.result()))),
                1 => waiters.push(spawn(move || {
                    drop(future.result_timeout(Duration::from_millis(1)))
                })),
                2 => waiters.push(spawn(move || {
                    future.cancel();
                })),
                _ => kept.push(future),
            }
        }
        yield_now();
        waiters[seed as usize % waiters.len()].kill();
        if seed % 2 == 0 {
            executor.shutdown(Shutdown::CancelPending);
        }
        drop(wait(kept, None, ReturnWhen::All));
        for waiter in waiters {
            drop(waiter.join());
        }
        executor.shutdown(Shutdown::Wait);
        assert_eq!((settled.load(SeqCst), drops.alive()), (8, 0));
    });
}
