//! The models: each runs in every schedule, as far as `model` says.
//!
//! What is true of all: nothing that was given is lost or there twice, nobody sleeps beside what it waits for, and what was
//! written before a wait was ended is seen after it.

use std::time::Duration;

use crate::event::{AsyncResult, Event};
use crate::park::{Board, How, Report, vanish};
use crate::queue::{self, Queue, channel};
use crate::sync::{self, Barrier, Semaphore, WaitGroup};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Checks `f` in every schedule with at most three involuntary switches of thread; the mistakes listed above all show within.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// Any limit: a wait that has one gives up at any moment.
const SOON: Duration = Duration::ZERO;

/// Written by one thread, and read by those that were told so; loom reports a race.
struct Published(UnsafeCell<usize>);

// SAFETY: that accesses to it are ordered is what is checked here; loom does.
unsafe impl Sync for Published {}
// SAFETY: it is a number.
unsafe impl Send for Published {}

impl Published {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn write(&self) {
        self.0.with_mut(|value| {
            // SAFETY: nobody else is there yet; loom checks it.
            unsafe { *value += 1 };
        });
    }

    fn read(&self) -> usize {
        self.0.with(|value| {
            // SAFETY: whoever wrote it is done; loom checks it.
            unsafe { *value }
        })
    }
}

/// Waits until something is told.
fn told(board: &Board) {
    let how = How {
        reasons: &[],
        deadline: None,
        report: Report::ALL,
    };
    match board.wait(&how).unwrap() {
        Ok(_) => {}
        Err(end) => panic!("a wait without an end: {end:?}"),
    }
}

// ---- semaphores ----

#[test]
fn permits_go_to_all_that_acquire() {
    model(|| {
        let s = Arc::new(Semaphore::new(0));
        let others = [(); 2].map(|()| {
            let s = Arc::clone(&s);
            thread::spawn(move || s.acquire().forget())
        });
        s.release(1);
        s.release(1);
        for t in others {
            t.join().unwrap();
        }
        assert_eq!(s.available(), 0);
    });
}

#[test]
fn a_release_and_a_timeout_at_once_lose_no_permit() {
    model(|| {
        let s = Arc::new(Semaphore::new(0));
        let hasty = {
            let s = Arc::clone(&s);
            thread::spawn(move || s.acquire_timeout(SOON).map(|p| p.forget()).is_some())
        };
        let patient = {
            let s = Arc::clone(&s);
            thread::spawn(move || s.acquire().forget())
        };
        s.release(2);
        patient.join().unwrap();
        let taken = usize::from(hasty.join().unwrap());
        assert_eq!(s.available() + taken, 1);
    });
}

#[test]
fn who_wants_many_and_leaves_lets_others_pass() {
    model(|| {
        let s = Arc::new(Semaphore::new(1));
        let many = {
            let s = Arc::clone(&s);
            thread::spawn(move || assert!(s.acquire_many_timeout(2, SOON).is_none()))
        };
        s.acquire().forget();
        many.join().unwrap();
        assert_eq!(s.available(), 0);
    });
}

#[test]
fn a_permit_given_to_nobody_goes_to_the_next() {
    model(|| {
        let s = Arc::new(Semaphore::new(0));
        let gone = {
            let s = Arc::clone(&s);
            thread::spawn(move || {
                let mut taken = false;
                vanish(|| {
                    s.acquire().forget();
                    taken = true;
                });
                taken
            })
        };
        let waits = {
            let s = Arc::clone(&s);
            thread::spawn(move || s.acquire().forget())
        };
        s.release(1);
        if gone.join().unwrap() {
            // It had it without a wait, and kept it.
            s.release(1);
        }
        waits.join().unwrap();
    });
}

#[test]
fn a_semaphore_that_is_ready_is_never_slept_beside() {
    model(|| {
        let s = Arc::new(Semaphore::new(0));
        let releases = {
            let s = Arc::clone(&s);
            thread::spawn(move || s.release(1))
        };
        let board = Board::new();
        sync::watch(&s, &board);
        told(&board);
        s.try_acquire().expect("nobody else takes it").forget();
        releases.join().unwrap();
    });
}

// ---- events, results, wait groups, barriers ----

#[test]
fn a_set_event_lets_everybody_pass() {
    model(|| {
        let all = Arc::new((Event::new(), Published::new()));
        let waiters = [(); 2].map(|()| {
            let all = Arc::clone(&all);
            thread::spawn(move || {
                assert!(all.0.wait(true));
                assert_eq!(all.1.read(), 1);
            })
        });
        all.1.write();
        all.0.set();
        for t in waiters {
            t.join().unwrap();
        }
    });
}

#[test]
fn set_and_clear_wake_who_waited_and_nobody_is_left_behind() {
    model(|| {
        let event = Arc::new(Event::new());
        let waits = {
            let event = Arc::clone(&event);
            thread::spawn(move || assert!(event.wait(true)))
        };
        let hasty = {
            let event = Arc::clone(&event);
            thread::spawn(move || event.wait(false))
        };
        event.set();
        event.clear();
        // For whoever came after that.
        event.set();
        waits.join().unwrap();
        hasty.join().unwrap();
        assert!(event.wait(false));
    });
}

#[test]
fn a_result_is_set_once_for_all() {
    model(|| {
        let result = AsyncResult::<usize, ()>::new();
        assert!(!result.is_set());
        let waiters = [(); 2].map(|()| {
            let result = result.clone();
            thread::spawn(move || *result.wait().unwrap())
        });
        let first = result.set(1).is_ok();
        assert!(first && result.set(2).is_err());
        for t in waiters {
            assert_eq!(t.join().unwrap(), 1);
        }
    });
}

#[test]
fn of_two_that_set_a_result_one_succeeds() {
    model(|| {
        let result = AsyncResult::<usize, ()>::new();
        assert!(!result.is_set());
        let other = {
            let result = result.clone();
            thread::spawn(move || result.set(2).is_ok())
        };
        let hasty = {
            let result = result.clone();
            thread::spawn(move || result.wait_timeout(SOON).ok().copied())
        };
        let (first, other) = (result.set(1).is_ok(), other.join().unwrap());
        assert!(first != other);
        let value = if first { 1 } else { 2 };
        assert!(hasty.join().unwrap().is_none_or(|v| v == value));
        assert_eq!(result.peek(), Some(Ok(&value)));
    });
}

#[test]
fn the_last_one_done_lets_all_pass() {
    model(|| {
        let all = Arc::new((WaitGroup::new(), [Published::new(), Published::new()]));
        all.0.add(2);
        let workers = [0, 1].map(|n| {
            let all = Arc::clone(&all);
            thread::spawn(move || {
                all.1[n].write();
                all.0.done();
            })
        });
        all.0.wait();
        assert_eq!(all.1[0].read() + all.1[1].read(), 2);
        for t in workers {
            t.join().unwrap();
        }
    });
}

#[test]
fn nobody_passes_a_barrier_alone() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let come = |resets: bool| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                if resets {
                    barrier.reset();
                }
                let passed = barrier.wait_timeout(SOON);
                passed.map(|result| usize::from(result.is_leader()))
            })
        };
        let others = [come(false), come(true)];
        let own = barrier.wait_timeout(SOON);
        let mut all = vec![own.map(|result| usize::from(result.is_leader()))];
        all.extend(others.map(|t| t.join().unwrap()));
        let passed: Vec<usize> = all.into_iter().flatten().collect();
        assert_eq!(
            passed.len(),
            2 * passed.iter().sum::<usize>(),
            "each leads one"
        );
    });
}

// ---- queues and channels ----

#[test]
fn the_last_sender_ends_the_wait_of_a_receiver() {
    model(|| {
        let (tx, rx) = channel(1);
        let other = {
            let tx = tx.clone();
            thread::spawn(move || drop(tx))
        };
        let sends = thread::spawn(move || tx.send(7).unwrap());
        assert_eq!(
            rx.recv().unwrap(),
            7,
            "what was sent before the end comes first"
        );
        assert!(rx.recv().is_err());
        other.join().unwrap();
        sends.join().unwrap();
    });
}

#[test]
fn the_receiver_ends_the_wait_of_a_sender() {
    model(|| {
        let item = std::sync::Arc::new(());
        let (tx, rx) = channel(0);
        let sends = {
            let item = std::sync::Arc::clone(&item);
            thread::spawn(move || tx.send(item).unwrap_err().into_inner())
        };
        drop(rx);
        let back = sends.join().unwrap();
        assert!(std::sync::Arc::ptr_eq(&back, &item));
    });
}

#[test]
fn a_send_and_a_timeout_at_once_lose_nothing() {
    model(|| {
        let (tx, rx) = channel(1);
        let hasty = {
            let rx = rx.clone();
            thread::spawn(move || rx.recv_timeout(SOON).is_ok())
        };
        let patient = {
            let rx = rx.clone();
            thread::spawn(move || rx.recv().is_ok())
        };
        tx.send(1).unwrap();
        tx.send(2).unwrap();
        assert!(patient.join().unwrap());
        let taken = 1 + usize::from(hasty.join().unwrap());
        assert_eq!(rx.len() + taken, 2);
    });
}

#[test]
fn a_freed_place_goes_to_who_waits_for_it() {
    model(|| {
        let q = Arc::new(Queue::bounded(1));
        q.put(1).unwrap();
        let puts = {
            let q = Arc::clone(&q);
            thread::spawn(move || q.put(2).unwrap())
        };
        let hasty = {
            let q = Arc::clone(&q);
            thread::spawn(move || q.put_timeout(3, SOON).is_ok())
        };
        assert_eq!(q.get().unwrap(), 1);
        let next = q.get().unwrap();
        puts.join().unwrap();
        let third = hasty.join().unwrap();
        assert!(next == 2 || (third && next == 3));
        assert_eq!(q.len(), usize::from(third));
    });
}

#[test]
fn an_item_given_to_nobody_is_still_there() {
    model(|| {
        let q = Arc::new(Queue::unbounded());
        let gone = {
            let q = Arc::clone(&q);
            thread::spawn(move || vanish(|| q.put(q.get().unwrap()).unwrap()))
        };
        q.put(1).unwrap();
        gone.join().unwrap();
        assert_eq!(q.try_get().unwrap(), 1);
    });
}

#[test]
fn a_select_takes_one_and_leaves_the_other() {
    model(|| {
        let queues = Arc::new([Queue::unbounded(), Queue::unbounded()]);
        let putters = [0, 1].map(|n| {
            let queues = Arc::clone(&queues);
            thread::spawn(move || queues[n].put(n).unwrap())
        });
        let got = queue::get_either(&queues[0], &queues[1], true).unwrap();
        for t in putters {
            t.join().unwrap();
        }
        assert!(queues[got].is_empty());
        assert_eq!(queues[1 - got].try_get().unwrap(), 1 - got);
    });
}

#[test]
fn a_select_that_gives_up_and_a_put_at_once_lose_nothing() {
    model(|| {
        let queues = Arc::new([Queue::unbounded(), Queue::unbounded()]);
        let putters = [0, 1].map(|n| {
            let queues = Arc::clone(&queues);
            thread::spawn(move || queues[n].put(n).unwrap())
        });
        let got = queue::get_either(&queues[0], &queues[1], false);
        for t in putters {
            t.join().unwrap();
        }
        for (n, queue) in queues.iter().enumerate() {
            assert_eq!(queue.try_get().is_ok(), got != Some(n));
        }
    });
}

#[test]
fn a_queue_that_is_ready_is_never_slept_beside() {
    model(|| {
        let q = Arc::new(Queue::bounded(0));
        let puts = {
            let q = Arc::clone(&q);
            thread::spawn(move || q.put(1).unwrap())
        };
        let board = Board::new();
        queue::watch(&q, &board);
        told(&board);
        assert_eq!(q.try_get().unwrap(), 1);
        puts.join().unwrap();
        // And the end.
        let closes = {
            let q = Arc::clone(&q);
            thread::spawn(move || q.close())
        };
        queue::watch(&q, &board);
        told(&board);
        assert!(q.is_closed());
        closes.join().unwrap();
    });
}
