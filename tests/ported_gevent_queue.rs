//! What gevent's own tests of its queues (`test__queue.py`) ask for, asked of this crate.
//!
//! `README.md` beside this file says which tests have no counterpart here, and why.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use greenloom::queue::{LifoQueue, PriorityQueue, Queue, Sink, Source, TryPutError, channel};
use greenloom::{spawn, timeout, yield_now};

const SOON: Duration = Duration::from_millis(2);
const HOUR: Duration = Duration::from_secs(3600);

fn queue<T>(capacity: usize) -> Arc<Queue<T>> {
    Arc::new(Queue::bounded(capacity))
}

/// Runs `f` as a callback of the hub.
fn in_the_hub(f: impl FnOnce() + Send + 'static) {
    let _ = spawn(|| ()).on_done(move |_| f());
    // The task, then the callbacks.
    yield_now();
    yield_now();
}

#[test]
fn send_first() {
    let q = Queue::unbounded();
    q.put("hi").unwrap();
    assert_eq!(q.peek(), Some("hi"));
    assert_eq!(q.get().unwrap(), "hi");
}

#[test]
fn send_last() {
    let q = queue(usize::MAX);
    let waiter = spawn({
        let q = Arc::clone(&q);
        move || q.get().unwrap()
    });
    yield_now();
    q.put("hi2").unwrap();
    assert_eq!(waiter.join().unwrap(), "hi2");
}

#[test]
fn max_size() {
    let q = queue(2);
    let results = Rc::new(RefCell::new(Vec::new()));
    let putter = spawn({
        let (q, results) = (Arc::clone(&q), Rc::clone(&results));
        move || {
            for letter in ["a", "b", "c"] {
                q.put(letter).unwrap();
                results.borrow_mut().push(letter);
            }
        }
    });
    yield_now();
    assert_eq!(*results.borrow(), ["a", "b"]);
    assert_eq!(q.get().unwrap(), "a");
    yield_now();
    assert_eq!(*results.borrow(), ["a", "b", "c"]);
    assert_eq!((q.get().unwrap(), q.get().unwrap()), ("b", "c"));
    putter.join().unwrap();
}

#[test]
fn zero_max_size() {
    let q = queue(0);
    let sender = spawn({
        let q = Arc::clone(&q);
        move || q.put("hi").unwrap()
    });
    yield_now();
    assert!(!sender.is_finished());
    let receiver = spawn({
        let q = Arc::clone(&q);
        move || q.get().unwrap()
    });
    assert_eq!(receiver.join().unwrap(), "hi");
    sender.join().unwrap();
}

#[test]
fn multiple_waiters() {
    let q = queue(usize::MAX);
    let count = Rc::new(Cell::new(0));
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let (q, count) = (Arc::clone(&q), Rc::clone(&count));
            spawn(move || {
                let got = q.get().unwrap();
                count.set(count.get() + 1);
                got
            })
        })
        .collect();
    yield_now();
    for (puts, sum) in [(&[1][..], 1), (&[2], 2), (&[3, 4], 4)] {
        for n in puts {
            q.put(*n).unwrap();
        }
        yield_now();
        assert_eq!(count.get(), sum);
    }
    let got: Vec<_> = waiters.into_iter().map(|w| w.join().unwrap()).collect();
    assert_eq!(got, [1, 2, 3, 4]);
}

#[test]
fn waiters_that_cancel() {
    let q = queue(usize::MAX);
    let cancelled = spawn({
        let q = Arc::clone(&q);
        move || timeout(Duration::ZERO, || q.get()).is_err()
    });
    assert!(cancelled.join().unwrap());
    q.put("hi").unwrap();
    assert_eq!(q.get().unwrap(), "hi");
}

#[test]
fn senders_that_die() {
    let q = queue(usize::MAX);
    spawn({
        let q = Arc::clone(&q);
        move || q.put("sent").unwrap()
    });
    assert_eq!(q.get().unwrap(), "sent");
}

#[test]
fn two_waiters_one_dies() {
    let q = queue(usize::MAX);
    let dies = spawn({
        let q = Arc::clone(&q);
        move || timeout(Duration::ZERO, || q.get()).is_err()
    });
    let waits = spawn({
        let q = Arc::clone(&q);
        move || q.get().unwrap()
    });
    yield_now();
    q.put("hi").unwrap();
    assert!(dies.join().unwrap());
    assert_eq!(waits.join().unwrap(), "hi");
}

#[test]
fn two_bogus_waiters() {
    let q = queue(usize::MAX);
    let bogus = [(); 2].map(|()| {
        let q = Arc::clone(&q);
        spawn(move || timeout(Duration::ZERO, || q.get()).is_err())
    });
    yield_now();
    q.put("sent").unwrap();
    for b in bogus {
        assert!(b.join().unwrap());
    }
    assert_eq!(q.get().unwrap(), "sent");
}

#[test]
fn channel_wait() {
    let (tx, rx) = channel(0);
    let events = Rc::new(RefCell::new(vec![]));
    let other = spawn({
        let events = Rc::clone(&events);
        move || {
            events.borrow_mut().push("sending hello");
            tx.send("hello").unwrap();
            events.borrow_mut().push("sending world");
            tx.send("world").unwrap();
            events.borrow_mut().push("sent world");
        }
    });
    events.borrow_mut().push("waiting");
    for _ in 0..2 {
        let got = rx.recv().unwrap();
        events.borrow_mut().push(got);
    }
    let so_far = [
        "waiting",
        "sending hello",
        "sending world",
        "hello",
        "world",
    ];
    // Who waits is served by the put itself, which goes on: the receiver runs when that waits.
    assert_eq!(*events.borrow(), so_far);
    yield_now();
    assert_eq!(events.borrow().last(), Some(&"sent world"));
    other.join().unwrap();
}

#[test]
fn channel_iterable() {
    let (tx, rx) = channel::<u32>(0);
    spawn(move || drop(tx));
    assert_eq!(rx.iter().collect::<Vec<_>>(), []);
}

#[test]
fn task_done() {
    let q = queue(usize::MAX);
    spawn({
        let q = Arc::clone(&q);
        move || q.put(7).unwrap()
    });
    assert_eq!(q.get().unwrap(), 7);
    assert_eq!(q.unfinished(), 1);
    q.task_done().unwrap();
    assert_eq!(q.unfinished(), 0);
}

#[test]
fn put_and_get_nowait_in_the_hub() {
    let q = queue(1);
    in_the_hub({
        let q = Arc::clone(&q);
        move || {
            assert_eq!(q.try_put(2), Ok(()));
            assert_eq!(q.try_put(3), Err(TryPutError::Full(3)));
        }
    });
    assert_eq!(q.len(), 1);
    let seen = queue(usize::MAX);
    in_the_hub({
        let (q, seen) = (Arc::clone(&q), Arc::clone(&seen));
        move || seen.put((q.try_get().ok(), q.try_get().ok())).unwrap()
    });
    assert_eq!(seen.try_get().unwrap(), (Some(2), None));
}

#[test]
fn get_nowait_unlocks_a_putter() {
    for capacity in [0, 1] {
        let q = queue(capacity);
        if capacity == 1 {
            q.put(4).unwrap();
        }
        let putter = spawn({
            let q = Arc::clone(&q);
            move || q.put(5).unwrap()
        });
        yield_now();
        assert!(q.is_full() && !putter.is_finished());
        let seen = queue(usize::MAX);
        in_the_hub({
            let (q, seen) = (Arc::clone(&q), Arc::clone(&seen));
            move || seen.put(q.try_get().unwrap()).unwrap()
        });
        assert_eq!(seen.try_get().unwrap(), if capacity == 0 { 5 } else { 4 });
        putter.join().unwrap();
        assert_eq!(q.len(), capacity);
    }
}

#[test]
fn put_nowait_unlocks_a_getter() {
    let q = queue(usize::MAX);
    let getter = spawn({
        let q = Arc::clone(&q);
        move || q.get().unwrap()
    });
    yield_now();
    assert!(q.is_empty() && !q.is_full());
    in_the_hub({
        let q = Arc::clone(&q);
        move || q.try_put(10).unwrap()
    });
    assert_eq!(getter.join().unwrap(), 10);
    assert!(q.is_empty());
}

#[test]
fn join_of_an_empty_queue() {
    queue::<u32>(1).join();
}

/// The generic tests of what a timeout does to a wait, for every kind.
#[test]
fn timeouts_interrupt_gets_and_puts() {
    fn gets<S: Source<Item = u32>>(q: &S) {
        assert!(q.get_timeout(SOON).unwrap_err().is_timeout());
        assert!(timeout(SOON, || q.get()).is_err());
        // The outer one is not lost when the inner expires first, nor the inner when the outer does.
        let outer = timeout(HOUR, || q.get_timeout(SOON).unwrap_err().is_timeout());
        assert!(outer.unwrap());
        let outer = timeout(SOON, || q.get_timeout(HOUR).unwrap_err().is_timeout());
        assert!(outer.unwrap_err().into_value().unwrap());
    }
    fn puts<S: Sink<Item = u32>>(q: &S) {
        while q.try_put(1).is_ok() {}
        assert!(q.put_timeout(2, SOON).unwrap_err().is_timeout());
        assert!(timeout(SOON, || q.put(2)).is_err());
        let outer = timeout(HOUR, || q.put_timeout(2, SOON).unwrap_err().is_timeout());
        assert!(outer.unwrap());
    }
    gets(&Queue::unbounded());
    gets(&LifoQueue::unbounded());
    gets(&PriorityQueue::unbounded());
    let (tx, rx) = channel(0);
    gets(&rx);
    puts(&tx);
    puts(&Queue::bounded(1));
    puts(&LifoQueue::bounded(1));
    puts(&PriorityQueue::bounded(1));
}
