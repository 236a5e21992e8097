//! The reference of `offload`: the two system calls it cannot do without.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::measure::{Meter, Sample};
use crate::sys::{EventFd, futex_wait, futex_wake};

/// The worker is to end.
const END: u32 = u32::MAX;

/// One thread sleeps on a futex until a number is there, and rings an eventfd for it.
pub(super) fn futex_and_eventfd() -> impl FnMut(u64) -> Sample {
    |operations| {
        let word = Arc::new(AtomicU32::new(0));
        let bell = Arc::new(EventFd::new().expect("an eventfd"));
        let (theirs, ringer) = (Arc::clone(&word), Arc::clone(&bell));
        let worker = std::thread::spawn(move || {
            let mut seen = 0;
            loop {
                match theirs.load(Ordering::Acquire) {
                    END => return,
                    now if now == seen => futex_wait(&theirs, seen),
                    now => {
                        seen = black_box(now);
                        ringer.ring().expect("an eventfd that can be written");
                    }
                }
            }
        });
        let meter = Meter::start();
        for i in 0..operations {
            word.store((i as u32 % (END - 1)) + 1, Ordering::Release);
            futex_wake(&word);
            bell.wait().expect("an eventfd that can be read");
        }
        let sample = meter.stop(operations);
        word.store(END, Ordering::Release);
        futex_wake(&word);
        worker.join().expect("it ends");
        sample
    }
}
