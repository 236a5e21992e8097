//! gevent's `test__semaphore.py`.

use super::*;

#[test]
fn acquire_returns_false_after_timeout() {
    assert!(Semaphore::new(0).acquire_timeout(10 * MS).is_none());
}

#[test]
fn release_twice() {
    let s = Rc::new(Semaphore::new(0));
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks = ["a", "b"].map(|name| {
        let (s, log) = (Rc::clone(&s), Rc::clone(&log));
        spawn(move || {
            s.acquire().forget();
            log.borrow_mut().push(name);
        })
    });
    settle();
    s.release(1);
    s.release(1);
    join(tasks.into());
    // Theirs leaves the order open.
    assert_eq!(*log.borrow(), ["a", "b"]);
}

#[test]
fn semaphore_in_class_with_del() {
    struct X(Semaphore);
    impl Drop for X {
        fn drop(&mut self) {
            self.0.acquire().forget();
        }
    }
    drop(X(Semaphore::new(1)));
}

#[test]
fn acquire_in_one_then_another() {
    let s = Arc::new(Semaphore::new(1));
    let permit = s.acquire();
    let q = Arc::clone(&s);
    let other = thread::spawn(move || q.acquire_timeout(LONG).is_some());
    drop(permit);
    assert!(other.join().unwrap());
}

#[test]
fn acquire_in_one_then_another_timed() {
    let s = Arc::new(Semaphore::new(1));
    let permit = s.acquire();
    let q = Arc::clone(&s);
    assert!(
        !thread::spawn(move || q.acquire_timeout(MS).is_some())
            .join()
            .unwrap()
    );
    // Nobody is notified: the waiter has given up.
    drop(permit);
    assert_eq!(s.available(), 1);
}

#[test]
fn acquire_in_one_wait_greenlet_wait_thread_gives_up() {
    let s = Arc::new(Semaphore::new(1));
    let permit = s.acquire();
    let q = Arc::clone(&s);
    let task = spawn(move || {
        let _permit = q.acquire();
        let other = Arc::clone(&q);
        let other = thread::spawn(move || other.acquire_timeout(10 * MS).is_some());
        while !other.is_finished() {
            sleep(MS);
        }
        other.join().unwrap()
    });
    settle();
    drop(permit);
    assert!(!task.join().unwrap());
    assert_eq!(s.available(), 1);
}

#[test]
fn fair_or_hangs() {
    // Two that pass the permit to and fro must not keep it from the third.
    let s = Rc::new(Semaphore::new(1));
    let done = Rc::new(Cell::new(false));
    let (q, d) = (Rc::clone(&s), Rc::clone(&done));
    let greedy = bunch(2, move || {
        while !d.get() {
            let _permit = q.acquire();
            yield_now();
        }
    });
    let (q, d) = (Rc::clone(&s), Rc::clone(&done));
    let third = spawn(move || {
        let _permit = q.acquire();
        d.set(true);
    });
    third.join().unwrap();
    join(greedy);
    assert_eq!(s.available(), 1);
}
