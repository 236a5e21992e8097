//! The reference of `offload`: the two system calls it cannot do without, and the wits to do without them where it can.
//!
//! ```text
//! caller                                        worker
//! number, unpark ─────────────────────────────► parked: a futex, which is woken only if it sleeps
//! looks for the answer, if that pays            answer
//! asleep = true, fence, looks once more         fence, asleep? claims the wake and rings
//! sleeps on the eventfd ◄──────────────────────
//! ```
//!
//! A hub looks out for some microseconds before it sleeps if its last sleep was so short that it was not worth it. So does this
//! caller, with the same numbers: otherwise one side would sleep where the other catches the answer awake, and the ratio would
//! say how busy the machine was.
#![forbid(unsafe_code)]

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::{Meter, Sample};
use crate::sys::EventFd;

/// The worker is to end.
const END: u64 = u64::MAX;

/// Looks before a sleep.
const LOOKS: u32 = 200;

/// A sleep that is shorter was not worth it.
const LIVELY: Duration = Duration::from_micros(50);

/// What the two share.
struct Desk {
    question: AtomicU64,
    answer: AtomicU64,
    /// The caller sleeps, or is about to, and nobody has claimed its wake.
    asleep: AtomicBool,
    bell: EventFd,
}

impl Desk {
    /// The worker: answers each number with itself.
    fn work(&self) {
        let mut seen = 0;
        loop {
            match self.question.load(Ordering::Acquire) {
                END => return,
                now if now == seen => thread::park(),
                now => {
                    seen = black_box(now);
                    self.answer.store(seen, Ordering::Release);
                    // Pairs with the one in `wait`: at least one sees the other.
                    fence(Ordering::SeqCst);
                    if self.asleep.load(Ordering::Relaxed)
                        && self.asleep.swap(false, Ordering::Relaxed)
                    {
                        self.bell.ring().expect("an eventfd that can be written");
                    }
                }
            }
        }
    }

    fn is_answered(&self, number: u64) -> bool {
        self.answer.load(Ordering::Acquire) == number
    }

    /// The caller: until the answer is there. `lively`: whether the last sleep was not worth it.
    fn wait(&self, number: u64, lively: &mut bool) {
        if *lively {
            *lively = (0..LOOKS).any(|_| {
                spin_loop();
                self.is_answered(number)
            });
        }
        while !self.is_answered(number) {
            self.asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if !self.is_answered(number) {
                let before = Instant::now();
                // A ring for an earlier sleep ends this one early, once.
                self.bell.wait().expect("an eventfd that can be read");
                *lively = before.elapsed() < LIVELY;
            }
            self.asleep.store(false, Ordering::Relaxed);
        }
    }
}

/// One thread sleeps on a futex until a number is there, and rings an eventfd for it.
pub(super) fn futex_and_eventfd() -> impl FnMut(u64) -> Sample {
    |operations| {
        let desk = Arc::new(Desk {
            question: AtomicU64::new(0),
            answer: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            bell: EventFd::new().expect("an eventfd"),
        });
        let theirs = Arc::clone(&desk);
        let worker = thread::spawn(move || theirs.work());
        let mut lively = false;
        let meter = Meter::start();
        for number in 1..=operations {
            desk.question.store(number, Ordering::Release);
            worker.thread().unpark();
            desk.wait(number, &mut lively);
        }
        let sample = meter.stop(operations);
        desk.question.store(END, Ordering::Release);
        worker.thread().unpark();
        worker.join().expect("it ends");
        sample
    }
}
