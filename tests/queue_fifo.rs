//! `Queue`: the suite of all queues, and its order.
#![forbid(unsafe_code)]

mod queue_suite;
mod util;

use std::sync::Arc;

use greenloom::queue::Queue;
use greenloom::{spawn, yield_now};

queue_suite!(Queue);

#[test]
fn first_in_first_out() {
    let q = Queue::from_iter(0..5);
    q.close();
    assert_eq!(q.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn puts_that_wait_keep_their_order() {
    for capacity in [0, 1, 3] {
        let q = Arc::new(Queue::bounded(capacity));
        let puts: Vec<_> = (0..8)
            .map(|n| {
                let q = Arc::clone(&q);
                spawn(move || q.put(n).unwrap())
            })
            .collect();
        yield_now();
        for n in 0..8 {
            assert_eq!(q.get().unwrap(), n);
        }
        for put in puts {
            put.join().unwrap();
        }
    }
}

#[test]
fn a_peek_keeps_the_order() {
    let q = Queue::from_iter([1, 2]);
    q.peek_with(|first| {
        assert_eq!(*first, 1);
        q.put(3).unwrap();
    });
    q.close();
    assert_eq!(q.iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn what_comes_back_from_a_hub_that_ended_is_the_oldest() {
    let q = Arc::new(Queue::bounded(2));
    let waits = {
        let q = Arc::clone(&q);
        move || drop(q.get())
    };
    queue_suite::granted_and_then_the_hub_ends(waits, || {
        q.put(1).unwrap(); // given to the task that waits
        q.put(2).unwrap();
        assert_eq!(q.len(), 1);
    });
    assert_eq!([q.get().unwrap(), q.get().unwrap()], [1, 2]);
}
