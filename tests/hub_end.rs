//! A thread ends while tasks of its own wait: what one was given and never ran to take goes to others, and a wait that was
//! not granted takes nothing (invariants 9 and 14).
//!
//! Each test makes its tasks on a thread that then ends without ever giving them another turn.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use greenloom::queue::{PriorityQueue, Queue, channel};
use greenloom::select::Select;
use greenloom::sync::{BoundedSemaphore, Mutex, RwLock, Semaphore};
use greenloom::{spawn, yield_now};

const LONG: Duration = Duration::from_secs(60);

/// Runs `wait` as a task up to its wait, then `then`, and ends the thread before the task has another turn.
fn leaked(wait: impl FnOnce() + Send + 'static, then: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        drop(spawn(wait));
        yield_now();
        then();
    })
    .join()
    .unwrap();
}

#[test]
fn a_permit_comes_back() {
    let permits = Arc::new(Semaphore::new(0));
    let (waiter, giver) = (Arc::clone(&permits), Arc::clone(&permits));
    leaked(move || drop(waiter.acquire()), move || giver.release(1));
    assert_eq!(permits.available(), 1);

    // Its first waiter wanted more than there was; the next one can have what there is.
    let permits = Arc::new(Semaphore::new(1));
    let waiter = Arc::clone(&permits);
    leaked(move || drop(waiter.acquire_many(2)), || ());
    assert!(permits.try_acquire().is_some());

    let bounded = Arc::new(BoundedSemaphore::new(1));
    let (waiter, holder) = (Arc::clone(&bounded), Arc::clone(&bounded));
    thread::spawn(move || {
        let held = holder.acquire();
        drop(spawn(move || drop(waiter.acquire())));
        yield_now();
        drop(held);
    })
    .join()
    .unwrap();
    assert_eq!(bounded.available(), 1);
}

#[test]
fn an_item_comes_back_in_front_of_later_ones() {
    let queue = Arc::new(Queue::unbounded());
    let (getter, putter) = (Arc::clone(&queue), Arc::clone(&queue));
    leaked(
        move || drop(getter.get()),
        move || {
            putter.put(1).unwrap();
            putter.put(2).unwrap();
        },
    );
    assert_eq!((queue.get().unwrap(), queue.get().unwrap()), (1, 2));

    let heap = Arc::new(PriorityQueue::unbounded());
    let (getter, putter) = (Arc::clone(&heap), Arc::clone(&heap));
    leaked(move || drop(getter.get()), move || putter.put(3).unwrap());
    assert_eq!(heap.try_get().unwrap(), 3);
}

#[test]
fn an_item_goes_on_to_a_getter_of_another_thread() {
    let queue = Arc::new(Queue::unbounded());
    let (getter, putter, other) = (Arc::clone(&queue), Arc::clone(&queue), Arc::clone(&queue));
    let (ready, go) = std::sync::mpsc::channel();
    let next = thread::spawn(move || {
        let () = go.recv().unwrap();
        other.get_timeout(LONG).unwrap()
    });
    leaked(
        move || drop(getter.get()),
        move || {
            putter.put(1).unwrap();
            ready.send(()).unwrap();
        },
    );
    assert_eq!(next.join().unwrap(), 1);
}

#[test]
fn a_value_that_waited_for_room_is_not_put() {
    let queue = Arc::new(Queue::bounded(1));
    queue.put(1).unwrap();
    let putter = Arc::clone(&queue);
    leaked(move || drop(putter.put(2)), || ());
    assert_eq!(queue.get().unwrap(), 1);
    assert!(queue.try_get().is_err());

    let (tx, rx) = channel(0);
    leaked(move || drop(tx.send(1)), || ());
    assert!(rx.try_recv().is_err());
}

#[test]
fn a_lock_that_was_on_its_way_goes_to_the_next() {
    let mutex = Arc::new(Mutex::new(7));
    let (waiter, holder) = (Arc::clone(&mutex), Arc::clone(&mutex));
    thread::spawn(move || {
        let held = holder.lock().unwrap();
        drop(spawn(move || drop(waiter.lock())));
        yield_now();
        drop(held);
    })
    .join()
    .unwrap();
    assert_eq!(*mutex.lock_timeout(LONG).expect("nobody has it"), 7);

    let lock = Arc::new(RwLock::new(7));
    let (waiter, holder) = (Arc::clone(&lock), Arc::clone(&lock));
    thread::spawn(move || {
        let held = holder.read().unwrap();
        drop(spawn(move || drop(waiter.write())));
        yield_now();
        drop(held);
    })
    .join()
    .unwrap();
    assert_eq!(*lock.read_timeout(LONG).expect("nobody has it"), 7);
}

#[test]
fn what_the_arm_of_a_select_was_given_comes_back() {
    let (queue, permits) = (Arc::new(Queue::unbounded()), Arc::new(Semaphore::new(0)));
    for first in [true, false] {
        let waits = (Arc::clone(&queue), Arc::clone(&permits));
        let gives = (Arc::clone(&queue), Arc::clone(&permits));
        leaked(
            move || {
                Select::new()
                    .get(&waits.0, |_| ())
                    .acquire(&waits.1, |_| ())
                    .wait();
            },
            move || match first {
                true => gives.0.put(1).unwrap(),
                false => gives.1.release(1),
            },
        );
        match first {
            true => assert_eq!(queue.try_get().unwrap(), 1),
            false => assert_eq!(permits.available(), 1),
        }
    }
    // The arms that were not chosen have left nothing behind.
    queue.put(2).unwrap();
    assert_eq!((queue.len(), permits.available()), (1, 1));
}
