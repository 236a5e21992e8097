//! `LifoQueue`: the suite of all queues, and its order.
#![forbid(unsafe_code)]

mod queue_suite;
mod util;

use std::sync::Arc;

use greenloom::queue::LifoQueue;
use greenloom::{spawn, yield_now};

queue_suite!(LifoQueue);

#[test]
fn last_in_first_out() {
    let q = LifoQueue::from_iter(0..5);
    q.close();
    assert_eq!(q.iter().collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
}

#[test]
fn a_put_that_waited_is_the_last_in() {
    let q = Arc::new(LifoQueue::bounded(2));
    q.put(1).unwrap();
    q.put(2).unwrap();
    let put = spawn({
        let q = Arc::clone(&q);
        move || q.put(3).unwrap()
    });
    yield_now();
    assert_eq!(q.get().unwrap(), 2);
    put.join().unwrap();
    assert_eq!([q.get().unwrap(), q.get().unwrap()], [3, 1]);
}

#[test]
fn a_peek_keeps_the_order() {
    let q = LifoQueue::from_iter([1, 2]);
    q.peek_with(|last| {
        assert_eq!(*last, 2);
        q.put(3).unwrap();
    });
    q.close();
    assert_eq!(q.iter().collect::<Vec<_>>(), [3, 2, 1]);
}

#[test]
fn what_comes_back_from_a_hub_that_ended_is_the_oldest() {
    let q = Arc::new(LifoQueue::bounded(2));
    let waits = {
        let q = Arc::clone(&q);
        move || drop(q.get())
    };
    queue_suite::granted_and_then_the_hub_ends(waits, || {
        q.put(1).unwrap(); // given to the task that waits
        q.put(2).unwrap();
        assert_eq!(q.len(), 1);
    });
    assert_eq!([q.get().unwrap(), q.get().unwrap()], [2, 1]);
}
