//! `queues`: one item through a queue, and one round trip over two channels.
//!
//! | case | an operation | beside |
//! | --- | --- | --- |
//! | capacity 128, unbounded | one item from a producer task to a consumer task of one hub | a bare deque; tokio's mpsc, one thread |
//! | round trip | a value there on one channel of capacity 0, and one back on another | a raw pair; tokio's mpsc of capacity 1 |
//! | two threads | one item from a task to one of another thread's hub, capacity 128 | tokio's mpsc, two worker threads; crossbeam-channel, two threads |
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use greenloom::queue::{Queue, channel};

use crate::measure::{Meter, Sample};

/// Items of one hub through a queue made by `make`.
pub(super) fn items(make: fn() -> Queue<u64>) -> impl FnMut(u64) -> Sample {
    move |operations| {
        let queue = Rc::new(make());
        let theirs = Rc::clone(&queue);
        let meter = Meter::start();
        let producer = greenloom::spawn(move || {
            for i in 0..operations {
                assert!(theirs.put(i).is_ok());
            }
        });
        for _ in 0..operations {
            black_box(queue.get().ok());
        }
        let sample = meter.stop(operations);
        assert!(producer.join().is_ok());
        sample
    }
}

/// Round trips over two channels of capacity 0.
pub(super) fn round_trips() -> impl FnMut(u64) -> Sample {
    |operations| {
        let (ping, pings) = channel::<u64>(0);
        let (pong, pongs) = channel::<u64>(0);
        let echo = greenloom::spawn(move || {
            for value in pings.iter() {
                if pong.send(value).is_err() {
                    return;
                }
            }
        });
        let meter_of = greenloom::spawn(move || {
            let meter = Meter::start();
            for i in 0..operations {
                assert!(ping.send(i).is_ok());
                black_box(pongs.recv().ok());
            }
            meter.stop(operations)
        });
        let sample = meter_of.join().expect("it ends");
        assert!(echo.join().is_ok());
        sample
    }
}

/// Items from this thread's hub to another's.
pub(super) fn two_threads() -> impl FnMut(u64) -> Sample {
    |operations| {
        let queue = Arc::new(Queue::<u64>::bounded(128));
        let theirs = Arc::clone(&queue);
        let meter = Meter::start();
        let producer = std::thread::spawn(move || {
            let task = greenloom::spawn(move || {
                for i in 0..operations {
                    assert!(theirs.put(i).is_ok());
                }
            });
            assert!(task.join().is_ok());
        });
        let consumer = greenloom::spawn(move || {
            for _ in 0..operations {
                black_box(queue.get().ok());
            }
        });
        assert!(consumer.join().is_ok());
        let sample = meter.stop(operations);
        assert!(producer.join().is_ok());
        sample
    }
}
