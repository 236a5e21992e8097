//! The behaviour that gevent's `test__event.py` checks, with this crate's means. `tests/README.md` has the table.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use greenloom::event::{AsyncResult, Event};
use greenloom::select::{Waitable, wait};
use greenloom::task::JoinHandle;
use greenloom::{join_all, sleep, spawn, spawn_later, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// gevent's generic tests of anything with a timeout: it returns in time, and an enclosing timeout breaks it off.
fn waits_and_gives_up(wait: impl Fn(Duration)) {
    wait(MS);
    wait(Duration::ZERO);
    assert!(timeout(MS, || wait(HOUR)).is_err());
}

#[test]
fn each_kind_of_wait_gives_up_in_time() {
    let (event, result) = (Event::new(), AsyncResult::<u8>::new());
    waits_and_gives_up(|d| assert!(!event.wait_timeout(d)));
    waits_and_gives_up(|d| drop(wait([&event], Some(d), None)));
    waits_and_gives_up(|d| drop(result.wait_timeout(d)));
    waits_and_gives_up(|d| drop(result.get_timeout(d)));
    waits_and_gives_up(|d| drop(wait([&result], Some(d), None)));
}

/// `test_set_during_wait`.
#[test]
fn an_event_set_and_cleared_by_its_waiter_is_not_ready_for_the_next_wait() {
    let event = Rc::new(Event::new());
    let e = event.clone();
    spawn(move || {
        let setter = e.clone();
        let task = spawn(move || setter.set());
        e.wait();
        assert!(e.is_set());
        task.join().unwrap();
        e.clear();
        assert!(wait([&*e], Some(MS), None).is_empty());
        assert!(!e.is_set());
    })
    .join()
    .unwrap();
}

/// `test_set_exc`.
#[test]
fn a_waiter_catches_the_error_itself() {
    #[derive(Debug, PartialEq)]
    struct Mine(u8);
    let (result, log) = (
        AsyncResult::<u8, Mine>::new(),
        Rc::new(RefCell::new(vec![])),
    );
    let (r, l) = (result.clone(), log.clone());
    let task = spawn(move || {
        let e = r.get().unwrap_err();
        l.borrow_mut().push(e.failure().unwrap().0);
    });
    result.set_error(Mine(7)).unwrap();
    yield_now();
    assert_eq!(*log.borrow(), [7]);
    task.join().unwrap();
}

/// `test_set`, `test_set_with_timeout`.
#[test]
fn a_get_is_broken_off_before_a_later_set() {
    let result = AsyncResult::<&str>::new();
    let r = result.clone();
    let setter = spawn_later(HOUR, move || r.set("too late").unwrap());
    assert!(timeout(Duration::ZERO, || result.get()).is_err());
    assert!(timeout(MS, || result.get()).is_err());
    setter.kill();
}

/// `test_nonblocking_get`.
#[test]
fn a_get_that_does_not_wait_finds_nothing() {
    let result = AsyncResult::<u8>::new();
    assert!(result.try_get().is_none());
    assert!(result.peek().is_none());
}

/// `TestEvent_SetThenClear`, with 1, 100 and 1000.
#[test]
fn set_then_clear_wakes_all() {
    for n in [1, 100, 1000] {
        let event = Rc::new(Event::new());
        let waiters: Vec<_> = (0..n)
            .map(|_| {
                let event = event.clone();
                spawn(move || event.wait())
            })
            .collect();
        yield_now();
        event.set();
        event.clear();
        let ended = join_all(waiters, None);
        assert!(ended.iter().all(Result::is_ok) && ended.len() == n);
    }
}

/// `TestWait`, with and without a time and a count.
#[test]
fn events_and_results_that_come_one_by_one() {
    for (limit, count) in [
        (Some(HOUR), None),
        (None, None),
        (None, Some(1)),
        (None, Some(2)),
    ] {
        let events: Rc<[Event; 5]> = Rc::default();
        let results: Rc<[AsyncResult<u8>; 5]> = Rc::default();
        let (e, r) = (events.clone(), results.clone());
        let sender: JoinHandle<()> = spawn(move || {
            for i in (0..5).rev() {
                sleep(MS);
                e[i].set();
                sleep(MS);
                r[i].set(1).unwrap();
            }
        });
        let all = events.iter().map(|e| e as &dyn Waitable);
        let all = all.chain(results.iter().map(|r| r as &dyn Waitable));
        let ready = wait(all, limit, count);
        assert_eq!(ready.len(), count.unwrap_or(10));
        assert_eq!(events.iter().all(Event::is_set), count.is_none());
        sender.kill();
    }
}
