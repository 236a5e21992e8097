//! `CancelToken`: the tree, its waits and callbacks, and what it leaves behind.
#![forbid(unsafe_code)]

mod util;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use greenloom::event::{CancelToken, Cancelled, Event};
use greenloom::hub;
use greenloom::{spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

#[test]
fn is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone + Default + std::fmt::Debug>() {}
    check::<CancelToken>();
    fn error<T: std::error::Error + Copy + Eq>() {}
    error::<Cancelled>();
    assert_eq!(Cancelled.to_string(), "cancelled");
}

#[test]
fn a_request_goes_down_and_never_up() {
    let root = CancelToken::new();
    let (left, right) = (root.child(), root.child());
    let leaf = left.child();
    left.cancel();
    assert!(left.is_cancelled() && leaf.is_cancelled());
    assert!(!root.is_cancelled() && !right.is_cancelled());
    root.cancel();
    root.cancel();
    assert!(right.is_cancelled());
    assert_eq!(right.check(), Err(Cancelled));
    assert!(root.child().is_cancelled(), "born cancelled");
    assert!(left.clone().is_cancelled());
}

#[test]
fn a_grandchild_is_reached_through_a_child_nobody_holds() {
    let root = CancelToken::new();
    let leaf = root.child().child();
    root.cancel();
    assert!(leaf.is_cancelled());
}

#[test]
fn waits_end_in_order() {
    let token = CancelToken::new();
    let log = Rc::new(RefCell::new(vec![]));
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (token, log) = (token.child(), log.clone());
            spawn(move || {
                token.wait();
                log.borrow_mut().push(n);
            })
        })
        .collect();
    yield_now();
    assert!(log.borrow().is_empty());
    token.cancel();
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_wait_may_be_limited_killed_or_timed_out() {
    let token = CancelToken::new();
    assert!(!token.wait_timeout(MS));
    assert!(timeout(MS, || token.wait()).is_err());
    let t = token.clone();
    let task = spawn(move || t.wait());
    yield_now();
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
    token.cancel();
    token.wait();
    assert!(token.wait_timeout(HOUR));
}

#[test]
fn a_check_is_for_the_question_mark() {
    fn work(token: &CancelToken) -> io::Result<()> {
        token.check()?;
        Ok(())
    }
    let token = CancelToken::new();
    work(&token).unwrap();
    token.cancel();
    let e = work(&token).unwrap_err();
    assert!(e.get_ref().unwrap().is::<Cancelled>());
}

#[test]
fn callbacks_run_once_in_order_and_can_be_removed() {
    let (token, log) = (CancelToken::new(), Arc::new(Mutex::new(vec![])));
    let note = |n| {
        let log = log.clone();
        move || log.lock().unwrap().push(n)
    };
    token.on_cancel(note(1));
    let two = token.on_cancel(note(2));
    token.on_cancel(note(3));
    token.unlink(two);
    assert!(hub::current_handle().is_alive());
    token.cancel();
    token.cancel();
    assert!(log.lock().unwrap().is_empty(), "a callback ran in `cancel`");
    let done = Arc::new(Event::new());
    let d = done.clone();
    // Registered late, it runs all the same; and after those before it.
    token.on_cancel(note(4));
    token.on_cancel(move || d.set());
    done.wait();
    assert_eq!(*log.lock().unwrap(), [1, 3, 4]);
}

#[test]
fn a_panicking_callback_stops_neither_the_others_nor_the_children() {
    let token = CancelToken::new();
    let (child, done) = (token.child(), Arc::new(Event::new()));
    token.on_cancel(|| panic!("a callback that panics on purpose"));
    let d = done.clone();
    token.on_cancel(move || d.set());
    let t = token.clone();
    // Without a hub, it runs within `cancel`.
    thread::spawn(move || t.cancel()).join().unwrap();
    assert!(child.is_cancelled());
    assert!(done.is_set());
}

#[test]
fn dropped_children_leave_nothing_with_their_parent() {
    util::alone("dropped_children_leave_nothing_with_their_parent", || {
        let root = CancelToken::new();
        util::assert_no_leak(|| {
            for _ in 0..100_000 {
                let child = root.child();
                assert!(!child.is_cancelled());
            }
        });
        root.cancel();
    });
}

#[test]
fn callbacks_of_a_token_nobody_holds_are_dropped() {
    let drops = Drops::new();
    let root = CancelToken::new();
    let child = root.child();
    let guard = drops.guard();
    child.on_cancel(move || drop(guard));
    drop(child);
    assert_eq!(drops.alive(), 0);
    root.cancel();
}

#[test]
fn a_tree_as_deep_as_one_likes_is_cancelled_and_dropped_on_a_small_stack() {
    const DEPTH: usize = 100_000;
    let chain = || {
        let root = CancelToken::new();
        let mut leaf = root.clone();
        for _ in 0..DEPTH {
            leaf = leaf.child();
        }
        (root, leaf)
    };
    spawn(move || {
        let (root, leaf) = chain();
        root.cancel();
        assert!(leaf.is_cancelled());
        drop((root, leaf));
        // And without having been cancelled, from either end.
        let (root, leaf) = chain();
        drop(root);
        drop(leaf);
        let (root, leaf) = chain();
        drop(leaf);
        assert!(!root.is_cancelled());
    })
    .join()
    .unwrap();
}

#[test]
fn children_born_while_another_thread_cancels_are_cancelled() {
    for _ in 0..300 {
        let root = CancelToken::new();
        let r = root.clone();
        let births = thread::spawn(move || {
            let mut all = vec![];
            while all.len() < 64 {
                let child = r.child();
                all.push(child.child());
                all.push(child);
                thread::yield_now();
            }
            all
        });
        thread::yield_now();
        root.cancel();
        for token in births.join().unwrap() {
            assert!(token.is_cancelled());
        }
    }
}

#[test]
fn callbacks_run_when_all_below_are_cancelled() {
    let token = CancelToken::new();
    let leaf = token.child().child();
    let seen = Arc::new(Mutex::new(vec![]));
    for t in [token.clone(), leaf.clone()] {
        let (leaf, seen) = (leaf.clone(), seen.clone());
        t.on_cancel(move || seen.lock().unwrap().push(leaf.is_cancelled()));
    }
    // On a thread without a hub, they run within `cancel`.
    thread::spawn(move || token.cancel()).join().unwrap();
    assert_eq!(*seen.lock().unwrap(), [true, true]);
}

#[test]
fn a_callback_may_use_its_own_token() {
    let (token, done) = (CancelToken::new(), Arc::new(Event::new()));
    let (t, d) = (token.clone(), done.clone());
    token.on_cancel(move || {
        assert!(t.is_cancelled() && t.child().is_cancelled());
        t.cancel();
        t.on_cancel(move || d.set());
    });
    token.cancel();
    done.wait();
}
