//! The behaviour that gevent's `test__timeout.py` checks, with this crate's means. `tests/README.md` has the table.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::Duration;

use greenloom::event::{AsyncResult, CancelToken, Event};
use greenloom::select::{Select, iwait, wait};
use greenloom::task::{Elapsed, park};
use greenloom::{sleep, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// `test_expires`: it does, and does so again.
#[test]
fn it_expires_each_time() {
    for _ in 0..2 {
        let e: Elapsed = timeout(MS, park).unwrap_err();
        assert_eq!(e.after(), MS);
    }
}

/// `test_context_manager`, `test_context_manager_str`: the one who set it catches it, and it says what it is.
#[test]
fn it_is_told_by_its_time() {
    let outer = timeout(HOUR, || {
        let e = timeout(2 * MS, park).unwrap_err();
        assert_eq!(e.to_string(), "timed out after 2ms");
        "outer"
    });
    assert_eq!(outer.unwrap(), "outer");
}

/// `test_cancel`: once its scope is left, nothing comes of it.
#[test]
fn a_scope_that_was_left_does_not_expire() {
    timeout(MS, || ()).unwrap();
    sleep(3 * MS);
    yield_now();
    let event = Event::new();
    assert!(!event.wait_timeout(MS));
}

/// `test_with_timeout`: a value in its place, or the function's.
#[test]
fn a_value_in_place_of_the_expiry() {
    let with_timeout = |limit, d| timeout(limit, || sleep(d)).map_or("late", |()| "in time");
    assert_eq!(with_timeout(MS, HOUR), "late");
    assert_eq!(with_timeout(HOUR, MS), "in time");
}

/// Every wait of this crate's objects is one that it can break off; mute ones unwind.
#[test]
fn it_breaks_off_each_kind_of_wait() {
    let (event, result, token) = (Event::new(), AsyncResult::<u8>::new(), CancelToken::new());
    let went_on = Cell::new(0);
    let breaks_off = |f: &dyn Fn()| {
        let e = timeout(MS, || {
            f();
            went_on.set(went_on.get() + 1);
        });
        assert!(e.unwrap_err().into_value().is_none());
    };
    breaks_off(&|| event.wait());
    breaks_off(&|| drop(result.get()));
    breaks_off(&|| token.wait());
    breaks_off(&|| Select::new().event(&event, || ()).wait());
    breaks_off(&|| drop(wait([&event], None, None)));
    breaks_off(&|| assert!(iwait([&event]).next().is_none()));
    assert_eq!(went_on.get(), 0);
    // Nothing of them is left.
    event.set();
    token.cancel();
    result.set(1).unwrap();
    event.wait();
    token.wait();
    assert_eq!(result.get().unwrap(), 1);
}
