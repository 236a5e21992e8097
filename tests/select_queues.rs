//! Selects over queues, channels and semaphores: what is chosen is taken once, and what is not is left alone.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use greenloom::queue::{Closed, LifoQueue, PriorityQueue, Queue, channel};
use greenloom::select::Select;
use greenloom::sync::{BoundedSemaphore, Semaphore};
use greenloom::task::JoinError;
use greenloom::{hub, spawn, timeout, yield_now};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(2);

fn alone(f: impl FnOnce() + Send + 'static) {
    std::thread::spawn(f).join().unwrap();
}

#[test]
fn every_kind_of_queue_and_end_can_be_an_arm() {
    let (fifo, lifo, first) = (
        Queue::unbounded(),
        LifoQueue::unbounded(),
        PriorityQueue::unbounded(),
    );
    let (tx, rx) = channel(1);
    let get = || {
        Select::new()
            .get(&fifo, |n| ("fifo", n.unwrap()))
            .get(&lifo, |n| ("lifo", n.unwrap()))
            .get(&first, |n| ("priority", n.unwrap()))
            .recv(&rx, |n| ("channel", n.unwrap()))
            .try_wait()
    };
    assert_eq!(get(), None);
    for n in [2, 1] {
        lifo.put(n).unwrap();
        assert_eq!(get(), Some(("lifo", n)));
        first.put(n).unwrap();
        assert_eq!(get(), Some(("priority", n)));
        fifo.put(n).unwrap();
        assert_eq!(get(), Some(("fifo", n)));
        tx.send(n).unwrap();
        assert_eq!(get(), Some(("channel", n)));
    }
    assert_eq!(get(), None);
    let mut value = Some(7);
    assert!(
        Select::new()
            .send(&tx, &mut value, |sent| sent.is_ok())
            .wait()
    );
    assert_eq!((value, rx.recv().unwrap()), (None, 7));
}

#[test]
fn an_arm_that_is_not_chosen_keeps_its_value() {
    alone(|| {
        let (full, empty) = (Queue::bounded(1), Queue::<u8>::unbounded());
        full.put(1).unwrap();
        let mut value = Some(2);
        let chosen = Select::new()
            .put(&full, &mut value, |_| "put")
            .get(&empty, |_| "get")
            .after(SHORT, || "after")
            .wait();
        assert_eq!((chosen, value.take()), ("after", Some(2)));
        let mut none = None;
        assert_eq!(Select::new().put(&full, &mut none, |_| ()).try_wait(), None);
        assert_eq!(full.get().unwrap(), 1);
        assert!(full.is_empty() && empty.is_empty());
    });
}

#[test]
fn a_put_that_waits_goes_in_when_there_is_room() {
    alone(|| {
        let (full, never) = (
            Rc::new(Queue::bounded(1)),
            Rc::new(Queue::<u8>::unbounded()),
        );
        full.put(1).unwrap();
        let putter = spawn({
            let (full, never) = (Rc::clone(&full), Rc::clone(&never));
            move || {
                let mut value = Some(2);
                let put = Select::new()
                    .put(&full, &mut value, |put| put.is_ok())
                    .get(&never, |_| false)
                    .wait();
                (put, value)
            }
        });
        yield_now();
        assert_eq!(full.get().unwrap(), 1);
        assert_eq!(full.get().unwrap(), 2);
        assert_eq!(putter.join().unwrap(), (true, None));
    });
}

#[test]
fn a_closed_queue_is_told_and_a_value_stays() {
    alone(|| {
        let queue = Rc::new(Queue::bounded(1));
        queue.put(1).unwrap();
        let putter = spawn({
            let queue = Rc::clone(&queue);
            move || {
                let mut value = Some(2);
                let put = Select::new().put(&queue, &mut value, |put| put).wait();
                (put, value)
            }
        });
        yield_now();
        queue.close();
        assert_eq!(putter.join().unwrap(), (Err(Closed), Some(2)));
        assert_eq!(Select::new().get(&queue, |n| n).wait(), Ok(1));
        assert_eq!(Select::new().get(&queue, |n| n).wait(), Err(Closed));
    });
}

#[test]
fn both_ends_of_one_channel_of_capacity_zero_do_not_meet_in_one_select() {
    alone(|| {
        let (tx, rx) = channel(0);
        let mut value = Some(1);
        let chosen = Select::new()
            .send(&tx, &mut value, |_| "sent")
            .recv(&rx, |_| "received")
            .after(SHORT, || "neither")
            .wait();
        assert_eq!((chosen, value), ("neither", Some(1)));

        // Two such selects meet: one sends, the other receives.
        let both = |n: u32| {
            let (tx, rx) = (tx.clone(), rx.clone());
            spawn(move || {
                let mut value = Some(n);
                let got = Select::new()
                    .send(&tx, &mut value, |sent| sent.map(|()| 0).unwrap())
                    .recv(&rx, |got| got.unwrap())
                    .wait();
                (got, value)
            })
        };
        let (a, b) = (both(1), both(2));
        let mut ends = [a.join().unwrap(), b.join().unwrap()];
        ends.sort_unstable();
        let (sender, receiver) = (ends[0], ends[1]);
        assert_eq!((sender.0, sender.1), (0, None));
        assert!(
            receiver.1 == Some(3 - receiver.0),
            "it kept its own: {receiver:?}"
        );
    });
}

#[test]
fn a_permit_is_taken_by_the_arm_that_is_chosen() {
    alone(|| {
        let (semaphore, bounded) = (Rc::new(Semaphore::new(0)), BoundedSemaphore::new(1));
        let held = bounded.acquire();
        let waiter = spawn({
            let semaphore = Rc::clone(&semaphore);
            move || {
                Select::new()
                    .acquire(&semaphore, |permit| permit.count())
                    .after(LONG, || 0)
                    .wait()
            }
        });
        yield_now();
        semaphore.release(1);
        assert_eq!(waiter.join().unwrap(), 1);
        assert_eq!(semaphore.available(), 1);
        let got = Select::new()
            .acquire_bounded(&bounded, |_| "bounded")
            .acquire(&semaphore, |_| "semaphore")
            .wait();
        assert_eq!(got, "semaphore");
        drop(held);
        assert_eq!((bounded.available(), semaphore.available()), (1, 1));
    });
}

#[test]
fn killed_or_out_of_time_in_a_select_nothing_is_taken() {
    alone(|| {
        let queue = Rc::new(Queue::<u8>::unbounded());
        let semaphore = Rc::new(Semaphore::new(0));
        let waiter = |limit: Option<Duration>| {
            let (queue, semaphore) = (Rc::clone(&queue), Rc::clone(&semaphore));
            spawn(move || {
                let select = || {
                    Select::new()
                        .get(&queue, |_| ())
                        .acquire(&semaphore, |_| ())
                        .wait()
                };
                match limit {
                    Some(d) => drop(timeout(d, select)),
                    None => select(),
                }
            })
        };
        let killed = waiter(None);
        let late = waiter(Some(SHORT));
        yield_now();
        killed.kill();
        assert!(matches!(killed.join(), Err(JoinError::Killed)));
        late.join().unwrap();
        queue.put(1).unwrap();
        semaphore.release(1);
        assert_eq!((queue.len(), semaphore.available()), (1, 1));
    });
}

#[test]
fn under_every_seed_what_is_put_is_got_once_or_left() {
    hub::simulate_seeds(0..300, |seed| {
        let (a, b) = (Rc::new(Queue::unbounded()), Rc::new(Queue::bounded(1)));
        let got = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::new(Cell::new(0));
        let tick = Duration::from_millis(1);
        let takers: Vec<_> = (0..4)
            .map(|i| {
                let (a, b, got) = (Rc::clone(&a), Rc::clone(&b), Rc::clone(&got));
                spawn(move || {
                    for _ in 0..3 {
                        let n = Select::new()
                            .get(&a, |n| n.ok())
                            .get(&b, |n| n.ok())
                            .after(tick * (1 + (seed as u32 + i) % 3), || None)
                            .wait();
                        got.borrow_mut().extend(n);
                    }
                })
            })
            .collect();
        let putters: Vec<_> = (0..4_u32)
            .map(|i| {
                let (a, b, kept) = (Rc::clone(&a), Rc::clone(&b), Rc::clone(&kept));
                spawn(move || {
                    greenloom::sleep(tick * (i % 3));
                    a.put(i).unwrap();
                    let mut value = Some(10 + i);
                    Select::new()
                        .put(&b, &mut value, |put| put.unwrap())
                        .after(tick, || ())
                        .wait();
                    kept.set(kept.get() + usize::from(value.is_some()));
                })
            })
            .collect();
        greenloom::sleep(tick);
        takers[0].kill();
        greenloom::join_all(takers, None);
        greenloom::join_all(putters, None);
        let mut all = got.take();
        a.close();
        b.close();
        all.extend(a.iter());
        all.extend(b.iter());
        assert_eq!(all.len() + kept.get(), 8, "{all:?}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len() + kept.get(), 8, "none is there twice: {all:?}");
    });
}

/// Real clock, real threads: two producers with a hub and a thread of their own each, two consumers that select.
#[test]
fn a_million_messages_through_a_select_of_two_queues() {
    const EACH: u64 = 500_000;
    let queues = Arc::new([Queue::bounded(100), Queue::bounded(100)]);
    let producers: Vec<_> = (0..2)
        .map(|i| {
            let queues = Arc::clone(&queues);
            std::thread::spawn(move || {
                for n in 0..EACH {
                    queues[i].put(2 * n + i as u64).unwrap();
                }
                queues[i].close();
            })
        })
        .collect();
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let queues = Arc::clone(&queues);
            std::thread::spawn(move || {
                spawn(move || {
                    let mut got = Vec::new();
                    let mut open = [true, true];
                    while open != [false, false] {
                        match (open[0], open[1]) {
                            (true, true) => {
                                let (i, n) = Select::new()
                                    .get(&queues[0], |n| (0, n))
                                    .get(&queues[1], |n| (1, n))
                                    .wait();
                                match n {
                                    Ok(n) => got.push(n),
                                    Err(Closed) => open[i] = false,
                                }
                            }
                            (first, _) => {
                                let i = usize::from(!first);
                                got.extend(queues[i].iter());
                                open[i] = false;
                            }
                        }
                    }
                    got
                })
                .join()
                .unwrap()
            })
        })
        .collect();
    for p in producers {
        p.join().unwrap();
    }
    let mut seen = vec![false; 2 * EACH as usize];
    for c in consumers {
        let got = c.join().unwrap();
        for i in 0..2 {
            let from: Vec<_> = got.iter().filter(|n| *n % 2 == i).collect();
            assert!(from.is_sorted(), "each consumer sees a producer's order");
        }
        for n in got {
            assert!(
                !std::mem::replace(&mut seen[n as usize], true),
                "{n} came twice"
            );
        }
    }
    assert!(seen.iter().all(|s| *s), "none is lost");
}
