//! `AsyncResult`: set once, read by many, links, errors.
#![forbid(unsafe_code)]

mod util;

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use greenloom::event::{AlreadySet, AsyncResult, Event, GetError};
use greenloom::hub;
use greenloom::task::scope;
use greenloom::{spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

#[test]
fn is_send_and_sync_with_what_is_in_it() {
    fn check<T: Send + Sync + Clone + Default + fmt::Debug>() {}
    check::<AsyncResult<String>>();
    check::<AsyncResult<u8, String>>();
    fn error<T: Error + Send + Sync>() {}
    error::<AlreadySet<u8>>();
    error::<GetError<String>>();
    // A result of what is no error, and of what is not Send, is fine on one thread.
    let here: AsyncResult<Rc<u8>, Rc<u8>> = AsyncResult::new();
    here.set_error(Rc::new(1)).unwrap();
    assert_eq!(here.wait().unwrap_err().failure(), Some(&Rc::new(1)));
}

#[test]
fn the_first_set_wins_and_later_ones_get_their_value_back() {
    let r: AsyncResult<String, String> = AsyncResult::new();
    assert!(!r.is_set() && r.peek().is_none() && r.try_get().is_none());
    assert_eq!(format!("{r:?}"), r#"AsyncResult("pending")"#);
    r.set("first".into()).unwrap();
    assert_eq!(r.set("second".into()).unwrap_err().into_inner(), "second");
    assert_eq!(r.set_error("third").unwrap_err().into_inner(), "third");
    let back = r.set_result(Err("fourth".into())).unwrap_err();
    assert_eq!(back.to_string(), "the result was set already");
    assert_eq!(back.into_inner(), Err("fourth".to_string()));
    assert_eq!(r.get().unwrap(), "first");
    assert_eq!(r.try_get().unwrap().unwrap(), "first");
    assert_eq!(r.peek(), Some(Ok(&"first".to_string())));
    assert_eq!(format!("{r:?}"), r#"AsyncResult("value")"#);
}

#[test]
fn an_error_is_shared_by_all_who_wait() {
    let r: AsyncResult<u8> = AsyncResult::new();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let r = r.clone();
            spawn(move || r.get().unwrap_err().to_string())
        })
        .collect();
    yield_now();
    r.set_error("refused").unwrap();
    for task in tasks {
        assert_eq!(task.join().unwrap(), "refused");
    }
    let io: AsyncResult<u8, std::io::Error> = AsyncResult::new();
    io.set_error(std::io::ErrorKind::NotFound).unwrap();
    let e = io.get_timeout(HOUR).unwrap_err();
    assert_eq!(e.failure().unwrap().kind(), std::io::ErrorKind::NotFound);
    assert!(!e.is_timed_out());
}

#[test]
fn waiters_go_on_in_order_and_read_in_place() {
    struct NotClone(u32);
    let (r, log) = (
        AsyncResult::<NotClone>::new(),
        Rc::new(RefCell::new(vec![])),
    );
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let (r, log) = (r.clone(), log.clone());
            spawn(move || {
                let value = r.wait().unwrap().0;
                log.borrow_mut().push((n, value));
            })
        })
        .collect();
    yield_now();
    assert!(r.set(NotClone(9)).is_ok());
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), (0..50).map(|n| (n, 9)).collect::<Vec<_>>());
}

#[test]
fn times_out_and_can_be_waited_for_again() {
    let r: AsyncResult<u8> = AsyncResult::new();
    assert!(r.get_timeout(MS).unwrap_err().is_timed_out());
    assert!(r.get_timeout(Duration::ZERO).unwrap_err().is_timed_out());
    assert!(timeout(MS, || r.get()).unwrap_err().into_value().is_none());
    let late = timeout(MS, || r.get_timeout(HOUR)).unwrap_err();
    assert!(late.into_value().unwrap().unwrap_err().is_timed_out());
    let setter = r.clone();
    spawn(move || setter.set(1).unwrap());
    assert_eq!(r.get_timeout(HOUR).unwrap(), 1);
}

#[test]
fn a_killed_waiter_takes_nothing() {
    let r: AsyncResult<u8> = AsyncResult::new();
    let (a, b) = (r.clone(), r.clone());
    let killed = spawn(move || a.get().unwrap());
    let other = spawn(move || b.get().unwrap());
    yield_now();
    killed.kill();
    assert!(killed.join().unwrap_err().is_killed());
    r.set(3).unwrap();
    assert_eq!(other.join().unwrap(), 3);
}

#[test]
fn while_unwinding_a_get_looks_once_and_says_so() {
    struct Gets(AsyncResult<u8>, mpsc::Sender<String>);
    impl Drop for Gets {
        fn drop(&mut self) {
            self.1.send(format!("{:?}", self.0.get())).unwrap();
        }
    }
    let (tx, rx) = mpsc::channel();
    let (empty, full) = (AsyncResult::new(), AsyncResult::new());
    full.set(1).unwrap();
    let task = spawn(move || {
        let _gets = (Gets(empty, tx.clone()), Gets(full, tx));
        panic!("on purpose");
    });
    assert!(task.join().unwrap_err().is_panic());
    assert_eq!(
        rx.try_iter().collect::<Vec<_>>(),
        ["Err(Unwinding)", "Ok(1)"]
    );
}

#[test]
fn a_result_may_borrow() {
    let text = String::from("borrowed");
    let r: AsyncResult<&str, String> = AsyncResult::new();
    let n = scope(|s| {
        let task = s.spawn(|| r.get().unwrap().len());
        s.spawn(|| r.set(&text).unwrap());
        task.join().unwrap()
    });
    assert_eq!(n, 8);
}

#[test]
fn links_run_from_the_hub_in_order_and_one_that_panics_stops_nothing() {
    let r: AsyncResult<u32, String> = AsyncResult::new();
    let (done, log) = (Arc::new(Event::new()), Arc::new(Mutex::new(vec![])));
    for n in 0..1000 {
        let log = log.clone();
        r.on_done(move |value| {
            assert_eq!(value, Ok(&5));
            assert_eq!(greenloom::current().name(), Some("hub"));
            log.lock().unwrap_or_else(|e| e.into_inner()).push(n);
            if n == 500 {
                panic!("a link that panics on purpose");
            }
        });
    }
    let d = done.clone();
    r.on_done(move |_| d.set());
    assert!(hub::current_handle().is_alive());
    r.set(5).unwrap();
    assert!(log.lock().unwrap().is_empty(), "a link ran within `set`");
    done.wait();
    let log = log.lock().unwrap_or_else(|e| e.into_inner());
    assert_eq!(*log, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_late_link_runs_soon_and_a_removed_one_never() {
    let r: AsyncResult<u32, String> = AsyncResult::new();
    let (drops, done) = (Drops::new(), Arc::new(Event::new()));
    let guard = drops.guard();
    let id = r.on_done(move |_| {
        let _guard = guard;
        unreachable!("a removed link ran");
    });
    r.unlink(id);
    assert_eq!(drops.dropped(), 1);
    r.unlink(id);
    r.set_error("late").unwrap();
    let d = done.clone();
    r.on_done(move |value| {
        assert_eq!(value, Err(&"late".to_string()));
        d.set();
    });
    done.wait();
}

#[test]
fn without_a_hub_links_run_within_set() {
    let r: AsyncResult<u32> = AsyncResult::new();
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let ran = ran.clone();
        r.on_done(move |_| {
            // That gives the thread a hub, which is too late for this `set`.
            let _ = greenloom::current();
            if ran.fetch_add(1, Ordering::Relaxed) == 0 {
                panic!("a link that panics on purpose");
            }
        });
    }
    let (setter, seen) = (r.clone(), ran.clone());
    thread::spawn(move || {
        setter.set(1).unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 3);
    })
    .join()
    .unwrap();
}

#[test]
fn values_errors_and_links_are_dropped_once() {
    let drops = Drops::new();
    let r: AsyncResult<util::Counted, util::Counted> = AsyncResult::new();
    let guard = drops.guard();
    r.on_done(move |_| drop(guard));
    let copy = r.clone();
    r.set(drops.guard()).unwrap();
    drop(r.set(drops.guard()).unwrap_err());
    drop(r.set_error(drops.guard()).unwrap_err());
    yield_now();
    yield_now();
    assert_eq!(drops.dropped(), 3, "the link and what came back");
    drop(r);
    assert_eq!(drops.alive(), 1);
    drop(copy);
    assert_eq!(drops.alive(), 0);
    // Never set: links go with the last handle.
    let r: AsyncResult<u8> = AsyncResult::new();
    let guard = drops.guard();
    r.on_done(move |_| drop(guard));
    drop(r);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn of_many_setters_on_many_threads_one_wins_and_all_see_it() {
    for _ in 0..200 {
        let r: AsyncResult<usize> = AsyncResult::new();
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let r = r.clone();
                thread::spawn(move || {
                    let won = r.set(n).is_ok();
                    // With a hub and without.
                    let seen = if n == 0 {
                        r.get().unwrap()
                    } else {
                        let r = r.clone();
                        spawn(move || r.get().unwrap()).join().unwrap()
                    };
                    assert_eq!(won, seen == n);
                    usize::from(won)
                })
            })
            .collect();
        let tasks = r.clone();
        let task = spawn(move || tasks.get().unwrap());
        let winners: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(winners, 1);
        assert_eq!(task.join().unwrap(), r.get().unwrap());
    }
}
