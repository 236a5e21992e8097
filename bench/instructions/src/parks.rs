//! What a park costs, counted in instructions: by itself, and below a read that found nothing.
//!
//! ```text
//! park   a: unpark b, park        b: park, unpark a        a round is both tasks' parks and wakes
//! read   a: write, read (parks)   b: read (parks), write   an operation is one read that had to park
//! ```
//!
//! Nobody but these tasks is runnable, so that each park goes to where it is woken by the shortest way, and each read
//! that parks is woken by a poll. Neither has a reference: they are watched for growth, and compared with nothing.
#![forbid(unsafe_code)]

use std::io::{Read, Write};

use greenloom::net::unix::UnixStream;
use greenloom::task::{self, Task};

use crate::measure::{Meter, Sample};

/// Rounds of two tasks that wake each other.
pub(super) fn rounds() -> impl FnMut(u64) -> Sample {
    |operations| {
        let first = greenloom::spawn(move || {
            let me = task::current();
            let partner = greenloom::spawn(move || wake_each(&me, operations));
            let meter = Meter::start();
            park_each(&partner.task(), operations);
            let sample = meter.stop(operations);
            assert!(partner.join().is_ok());
            sample
        });
        first.join().expect("it ends")
    }
}

/// Wakes the other and parks, so many times.
fn park_each(other: &Task, operations: u64) {
    for _ in 0..operations {
        other.unpark();
        task::park();
    }
}

/// Parks and wakes the other, so many times.
fn wake_each(other: &Task, operations: u64) {
    for _ in 0..operations {
        task::park();
        other.unpark();
    }
}

/// Reads of one byte on a pair of sockets, each of which has to park.
pub(super) fn reads() -> impl FnMut(u64) -> Sample {
    |operations| {
        let trips = operations.div_ceil(2);
        let (near, far) = UnixStream::pair().expect("two more descriptors");
        let echo = greenloom::spawn(move || {
            for _ in 0..trips {
                read_one(&far);
                write_one(&far);
            }
        });
        let asker = greenloom::spawn(move || {
            let meter = Meter::start();
            for _ in 0..trips {
                write_one(&near);
                read_one(&near);
            }
            meter.stop(2 * trips)
        });
        let sample = asker.join().expect("it ends");
        assert!(echo.join().is_ok());
        sample
    }
}

fn read_one(mut stream: &UnixStream) {
    let read = stream.read(&mut [0]);
    assert!(read.is_ok_and(|bytes| bytes == 1));
}

fn write_one(mut stream: &UnixStream) {
    let written = stream.write(&[1]);
    assert!(written.is_ok_and(|bytes| bytes == 1));
}
