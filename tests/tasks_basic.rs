//! Tasks: the first things a user tries.

use std::time::Duration;

use greenloom::task::{self, JoinError};
use greenloom::{sleep, spawn, timeout, yield_now};

#[test]
fn a_task_returns_its_value() {
    assert_eq!(spawn(|| 6 * 7).join().unwrap(), 42);
}

#[test]
fn sleeping_tasks_wake_in_the_order_of_their_deadlines() {
    let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let tasks: Vec<_> = [30u64, 10, 20]
        .into_iter()
        .map(|ms| {
            let log = log.clone();
            spawn(move || {
                sleep(Duration::from_millis(ms));
                log.borrow_mut().push(ms);
            })
        })
        .collect();
    for t in tasks {
        t.join().unwrap();
    }
    assert_eq!(*log.borrow(), [10, 20, 30]);
}

#[test]
fn a_panic_comes_out_of_join() {
    match spawn(|| panic!("oops")).join() {
        Err(JoinError::Panicked(p)) => assert_eq!(*p.downcast::<&str>().unwrap(), "oops"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kill_unwinds_a_sleeper() {
    let dropped = std::rc::Rc::new(std::cell::Cell::new(false));
    struct D(std::rc::Rc<std::cell::Cell<bool>>);
    impl Drop for D {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let d = D(dropped.clone());
    let t = spawn(move || {
        let _d = d;
        sleep(Duration::from_secs(3600));
    });
    yield_now();
    t.kill();
    assert!(matches!(t.join(), Err(JoinError::Killed)));
    assert!(dropped.get());
}

#[test]
fn a_timeout_ends_a_sleep() {
    assert!(
        timeout(Duration::from_millis(3), || sleep(Duration::from_secs(
            3600
        )))
        .is_err()
    );
    assert!(timeout(Duration::ZERO, yield_now).is_err());
    assert_eq!(timeout(Duration::from_secs(3600), || 1).unwrap(), 1);
}

#[test]
fn join_across_threads() {
    let (tx, rx) = std::sync::mpsc::channel();
    let (done_tx, done_rx) = std::sync::mpsc::channel::<()>();
    let owner = std::thread::spawn(move || {
        tx.send(spawn(|| {
            sleep(Duration::from_millis(5));
            String::from("from afar")
        }))
        .unwrap();
        greenloom::hub::run_until_idle(None);
        sleep(Duration::from_millis(1));
        while done_rx.try_recv().is_err() {
            sleep(Duration::from_millis(1));
        }
    });
    let handle = rx.recv().unwrap();
    assert_eq!(handle.join().unwrap(), "from afar");
    done_tx.send(()).unwrap();
    owner.join().unwrap();
}

#[test]
fn spawn_on_another_hub() {
    let (tx, rx) = std::sync::mpsc::channel();
    let (done_tx, done_rx) = std::sync::mpsc::channel::<()>();
    let owner = std::thread::spawn(move || {
        tx.send(greenloom::hub::current_handle()).unwrap();
        while done_rx.try_recv().is_err() {
            sleep(Duration::from_millis(1));
        }
    });
    let hub = rx.recv().unwrap();
    let me = std::thread::current().id();
    let there = task::spawn_on(&hub, || std::thread::current().id())
        .unwrap()
        .join()
        .unwrap();
    assert_ne!(me, there);
    done_tx.send(()).unwrap();
    owner.join().unwrap();
    assert!(task::spawn_on(&hub, || ()).is_err());
}
