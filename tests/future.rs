//! `block_on`, and join handles as futures.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::future::block_on;
use greenloom::hub;
use greenloom::select::Select;
use greenloom::task::{self, JoinError, JoinHandle, Outcome, spawn_on};
use greenloom::{join_all, sleep, spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// A future that is ready when it is told, from wherever.
#[derive(Clone, Default)]
struct Flag(Arc<Mutex<(bool, Option<Waker>)>>);

impl Flag {
    fn set(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Future for Flag {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Gives way once, by waking itself.
fn again() -> impl Future<Output = ()> {
    let mut first = true;
    poll_fn(move |cx| {
        if !std::mem::take(&mut first) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn others_run_while_a_task_blocks_on_a_future() {
    let (flag, log) = (Flag::default(), Rc::new(RefCell::new(vec![])));
    let (f, l) = (flag.clone(), log.clone());
    let task = spawn(move || {
        l.borrow_mut().push("blocks");
        block_on(f);
        l.borrow_mut().push("goes on");
        7
    });
    yield_now();
    log.borrow_mut().push("runs");
    flag.set();
    assert_eq!(task.join().unwrap(), 7);
    assert_eq!(*log.borrow(), ["blocks", "runs", "goes on"]);
}

#[test]
fn what_is_ready_does_not_switch() {
    let ran = Rc::new(Cell::new(false));
    let r = ran.clone();
    let task = spawn(move || r.set(true));
    assert_eq!(block_on(async { ready(3).await + 1 }), 4);
    assert!(!ran.get());
    task.join().unwrap();
}

#[test]
fn one_that_wakes_itself_gives_way_and_can_be_killed() {
    let turns = Rc::new(Cell::new(0));
    let t = turns.clone();
    let endless = spawn(move || {
        block_on(async {
            loop {
                t.set(t.get() + 1);
                again().await;
            }
        })
    });
    for _ in 0..10 {
        yield_now();
    }
    assert!(turns.get() >= 5);
    endless.kill();
    assert!(endless.join().unwrap_err().is_killed());
}

#[test]
fn a_kill_and_a_deadline_drop_the_future() {
    let drops = Drops::new();
    let guard = drops.guard();
    let waits = |guard| {
        block_on(async move {
            let _guard = guard;
            pending::<()>().await
        })
    };
    let task = spawn(move || waits(guard));
    yield_now();
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
    assert_eq!(drops.dropped(), 1);
    let guard = drops.guard();
    assert!(timeout(MS, || waits(guard)).is_err());
    assert_eq!(drops.dropped(), 2);
}

#[test]
fn wakers_work_from_other_threads_and_outlive_the_call() {
    for with_hub in [true, false] {
        let flag = Flag::default();
        let f = flag.clone();
        let waits = move || {
            let mut kept = None;
            let mut f = pin!(f);
            block_on(poll_fn(|cx| {
                kept = Some(cx.waker().clone());
                f.as_mut().poll(cx)
            }));
            kept.unwrap()
        };
        let waiter = thread::spawn(move || {
            if with_hub {
                spawn(waits).join().unwrap()
            } else {
                waits()
            }
        });
        thread::yield_now();
        flag.set();
        let waker = waiter.join().unwrap();
        waker.wake_by_ref();
        waker.wake();
    }
}

#[test]
fn a_future_may_use_blocking_calls_and_nest() {
    let n = block_on(async {
        sleep(MS);
        let inner = block_on(async { spawn(|| 2).await.unwrap() });
        again().await;
        inner + 1
    });
    assert_eq!(n, 3);
}

#[test]
fn a_panic_of_the_future_is_the_callers() {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        block_on(async {
            again().await;
            panic!("mine");
        })
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "mine");
}

#[test]
fn many_wakes_between_threads_lose_none() {
    const ROUNDS: usize = if cfg!(feature = "sanitizer") {
        500
    } else {
        20_000
    };
    let (tx, rx) = mpsc::channel::<Flag>();
    let sets = thread::spawn(move || rx.iter().for_each(|flag| flag.set()));
    spawn(move || {
        for _ in 0..ROUNDS {
            let flag = Flag::default();
            tx.send(flag.clone()).unwrap();
            block_on(flag);
        }
    })
    .join()
    .unwrap();
    sets.join().unwrap();
}

// ---- join handles ----

#[test]
fn a_join_handle_is_a_future_and_unpin() {
    fn check<F: Future<Output = Result<T, JoinError>> + Unpin, T>(_: &F) {}
    let task = spawn(Rc::<u8>::default);
    check(&task);
    assert_eq!(*block_on(task).unwrap(), 0);
    fn send<F: Send + Sync>(_: &F) {}
    let task = spawn(|| 1);
    send(&task);
    assert_eq!(block_on(task).unwrap(), 1);
}

#[test]
fn it_brings_values_panics_and_kills() {
    let gate = Rc::new(Event::new());
    let g = gate.clone();
    let value = spawn(move || {
        g.wait();
        5
    });
    let panics: JoinHandle<()> = spawn(|| panic!("on purpose"));
    let stuck = spawn(task::park);
    let task = spawn(move || {
        block_on(async {
            stuck.kill();
            assert!(stuck.await.unwrap_err().is_killed());
            let e: JoinError = panics.await.unwrap_err();
            assert!(e.is_panic());
            value.await.unwrap()
        })
    });
    for _ in 0..5 {
        yield_now();
    }
    assert!(!task.is_finished());
    gate.set();
    assert_eq!(task.join().unwrap(), 5);
}

/// Counts its wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<T: 'static>(task: &mut JoinHandle<T>, wakes: &Arc<Wakes>) -> Poll<Result<T, JoinError>> {
    let waker = Waker::from(wakes.clone());
    Pin::new(task).poll(&mut Context::from_waker(&waker))
}

#[test]
fn the_latest_waker_is_woken_once() {
    let gate = Rc::new(Event::new());
    let g = gate.clone();
    let mut task = spawn(move || {
        g.wait();
        3
    });
    let (old, new) = (Arc::<Wakes>::default(), Arc::<Wakes>::default());
    assert!(poll(&mut task, &old).is_pending());
    for _ in 0..1000 {
        assert!(poll(&mut task, &new).is_pending());
    }
    assert!(!task.is_finished());
    gate.set();
    while !task.is_finished() {
        yield_now();
    }
    yield_now();
    assert_eq!((old.count(), new.count()), (0, 1));
    assert!(matches!(poll(&mut task, &new), Poll::Ready(Ok(3))));
    assert!(matches!(
        poll(&mut task, &new),
        Poll::Ready(Err(JoinError::Lost))
    ));
    assert!(task.is_finished());
    task.kill();
}

#[test]
fn a_handle_that_was_polled_is_as_good_as_before() {
    let wakes = Arc::<Wakes>::default();
    let polled = |n: u32| {
        let mut task = spawn(move || {
            yield_now();
            n
        });
        assert!(poll(&mut task, &wakes).is_pending());
        task
    };
    assert_eq!(polled(1).join().unwrap(), 1);
    assert_eq!(polled(2).join_timeout(HOUR).unwrap().unwrap(), 2);
    let results = join_all([polled(3), polled(4)], None);
    assert_eq!(
        results.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [3, 4]
    );
    let mut five = Some(polled(5));
    let n = Select::new().join(&mut five, |r| r.unwrap()).wait();
    assert_eq!(n, 5);
    // Dropped, it is detached.
    let drops = Drops::new();
    let guard = drops.guard();
    let mut task = spawn(move || {
        yield_now();
        guard
    });
    assert!(poll(&mut task, &wakes).is_pending());
    drop(task);
    for _ in 0..4 {
        yield_now();
    }
    assert_eq!(drops.alive(), 0);
}

/// A thread whose hub serves until `stop` is set.
fn server() -> (hub::HubHandle, Arc<Event>, thread::JoinHandle<()>) {
    let (tx, rx) = mpsc::channel();
    let stop = Arc::new(Event::new());
    let s = stop.clone();
    let thread = thread::spawn(move || {
        tx.send(hub::current_handle()).unwrap();
        s.wait();
    });
    (rx.recv().unwrap(), stop, thread)
}

/// An executor of a few lines, on a thread without a hub.
fn run<F: Future + Send + 'static>(future: F) -> F::Output
where
    F::Output: Send,
{
    struct Unparks(thread::Thread);
    impl Wake for Unparks {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    thread::spawn(move || {
        let waker = Waker::from(Arc::new(Unparks(thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => return value,
                Poll::Pending => thread::park(),
            }
        }
    })
    .join()
    .unwrap()
}

#[test]
fn tasks_of_another_thread_in_any_executor() {
    let (hub, stop, server) = server();
    for n in 0..200 {
        let gate = Arc::new(Event::new());
        let g = gate.clone();
        let waits = spawn_on(&hub, move || {
            g.wait();
            n
        })
        .unwrap();
        let sets = spawn_on(&hub, move || gate.set()).unwrap();
        let panics = spawn_on(&hub, || panic!("on purpose")).unwrap();
        let all = async move {
            sets.await.unwrap();
            let e: Result<(), _> = panics.await;
            assert!(e.unwrap_err().is_panic());
            waits.await.unwrap()
        };
        let got = if n % 2 == 0 { run(all) } else { block_on(all) };
        assert_eq!(got, n);
    }
    let lost = spawn_on(&hub, task::park).unwrap();
    let ends = spawn_on(&hub, || ()).unwrap();
    run(async { ends.await.unwrap() });
    stop.set();
    assert!(run(lost).is_err());
    server.join().unwrap();
}

#[test]
fn an_outcome_that_is_under_way_is_found_by_every_other_use() {
    let (hub, stop, server) = server();
    // Polled, woken, and not polled again: the outcome has left its task.
    let under_way = |n: u32| {
        let wakes = Arc::<Wakes>::default();
        let gate = Arc::new(Event::new());
        let g = gate.clone();
        let mut task = spawn_on(&hub, move || {
            g.wait();
            n
        })
        .unwrap();
        assert!(poll(&mut task, &wakes).is_pending());
        gate.set();
        while wakes.count() == 0 {
            yield_now();
        }
        task
    };
    assert!(under_way(0).is_finished());
    assert_eq!(under_way(1).join().unwrap(), 1);
    assert_eq!(under_way(2).try_join().unwrap().unwrap(), 2);
    let results = join_all([under_way(3), under_way(4)], None);
    assert_eq!(
        results.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [3, 4]
    );
    let mut five = Some(under_way(5));
    assert_eq!(Select::new().join(&mut five, |r| r.unwrap()).wait(), 5);
    let task = under_way(6);
    let (tx, rx) = mpsc::channel();
    task.on_done(move |outcome| tx.send(outcome).unwrap());
    assert_eq!(rx.recv().unwrap(), Outcome::Returned);
    assert_eq!(block_on(task).unwrap(), 6);
    // And a poll that is taken back before.
    let wakes = Arc::<Wakes>::default();
    let gate = Arc::new(Event::new());
    let g = gate.clone();
    let mut task = spawn_on(&hub, move || {
        g.wait();
        7
    })
    .unwrap();
    assert!(poll(&mut task, &wakes).is_pending());
    let task = task.join_timeout(MS).unwrap_err();
    gate.set();
    assert_eq!(task.join().unwrap(), 7);
    assert_eq!(wakes.count(), 0);
    stop.set();
    server.join().unwrap();
}

#[test]
fn a_polled_handle_that_is_dropped_detaches_its_task() {
    let (hub, stop, server) = server();
    let drops = Drops::new();
    for ended in [false, true] {
        let wakes = Arc::<Wakes>::default();
        let gate = Arc::new(Event::new());
        let (g, guard) = (gate.clone(), drops.guard());
        let mut task = spawn_on(&hub, move || {
            g.wait();
            guard
        })
        .unwrap();
        assert!(poll(&mut task, &wakes).is_pending());
        if ended {
            gate.set();
            while wakes.count() == 0 {
                yield_now();
            }
        }
        drop(task);
        gate.set();
        // What the task's hub does about its end is done when this has run.
        for _ in 0..3 {
            spawn_on(&hub, yield_now).unwrap().join().unwrap();
        }
        assert_eq!(wakes.count(), usize::from(ended));
        assert_eq!(drops.alive(), 0);
    }
    stop.set();
    server.join().unwrap();
}

#[test]
fn a_handle_polled_elsewhere_can_be_joined_at_home() {
    let gate = Arc::new(Event::new());
    for ended in [false, true] {
        gate.clear();
        let g = gate.clone();
        let task = spawn(move || {
            g.wait();
            8
        });
        let wakes = Arc::<Wakes>::default();
        let w = wakes.clone();
        let task = thread::spawn(move || {
            let mut task = task;
            assert!(poll(&mut task, &w).is_pending());
            task
        })
        .join()
        .unwrap();
        // The request of the other thread arrives.
        yield_now();
        gate.set();
        if ended {
            while wakes.count() == 0 {
                yield_now();
            }
            assert!(task.is_finished());
        }
        assert_eq!(task.join().unwrap(), 8);
    }
}
