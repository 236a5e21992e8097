//! Gets and puts as arms of a select: one is committed, and of all others nothing is left.
//!
//! On plain threads, which wait by the same claims as tasks; what needs tasks is tested from outside.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::arms::{Closed, GetArm, PutArm};
use super::ends::sealed::{GetFrom, PutInto};
use super::{LifoQueue, PriorityQueue, Queue, channel};
use crate::clock::deadline_after;
use crate::park::{Arm, End, Reason, Report, Selectable, Selected, Ticket, Unparker, select};

const SOON: Duration = Duration::from_millis(2);

fn wait(arms: &mut [&mut dyn Selectable], limit: Option<Duration>) -> Selected {
    let begin = || Ok((Ticket::new()?, limit.and_then(deadline_after), Report::ALL));
    select(arms, 0, begin).expect("a place where one can wait")
}

fn chosen(selected: &Selected) -> usize {
    match selected {
        Selected::Arm(i) => *i,
        Selected::Ended(end) => panic!("it ended with {end:?}"),
    }
}

/// Counts how often an arm is attempted.
struct Counting<A>(A, u32);

impl<A: Selectable> Selectable for Counting<A> {
    fn reason(&self) -> Reason<'_> {
        self.0.reason()
    }
    fn attempt(&mut self) -> bool {
        self.1 += 1;
        self.0.attempt()
    }
    fn register(&mut self, who: &Unparker, arm: Arm) -> bool {
        self.0.register(who, arm)
    }
    fn unregister(&mut self) {
        self.0.unregister();
    }
    fn commit(&mut self) {
        self.0.commit();
    }
}

#[test]
fn a_select_at_both_ends_of_a_rendezvous_does_not_meet_itself() {
    let (tx, rx) = channel(0);
    let mut slot = Some(1);
    for put_first in [true, false] {
        let mut get = Counting(GetArm::new(rx.gets()), 0);
        let mut put = Counting(PutArm::new(tx.puts(), &mut slot), 0);
        let mut arms: [&mut dyn Selectable; 2] = [&mut get, &mut put];
        if put_first {
            arms.swap(0, 1);
        }
        let selected = wait(&mut arms, Some(SOON));
        assert!(matches!(selected, Selected::Ended(End::TimedOut)));
        assert!(get.1 + put.1 <= 4, "it looked {} times", get.1 + put.1);
        assert!(get.0.into_got().is_none() && put.0.into_put().is_none());
        assert_eq!(slot, Some(1));
    }
    // Nothing of it is left in the channel.
    assert!(tx.try_send(2).is_err() && rx.try_recv().is_err());
}

#[test]
fn an_arm_that_is_not_chosen_is_as_if_it_had_never_been_asked() {
    let (a, b) = (Queue::from_iter([1]), Queue::from_iter([2]));
    let full = LifoQueue::bounded(1);
    full.put(3).unwrap();
    let mut slot = Some(4);
    let mut put = PutArm::new(full.puts(), &mut slot);
    let (mut first, mut second) = (GetArm::new(a.gets()), GetArm::new(b.gets()));
    let selected = wait(&mut [&mut put, &mut first, &mut second], None);
    assert_eq!(chosen(&selected), 1);
    assert_eq!(first.into_got(), Some(Ok(1)));
    assert!(second.into_got().is_none() && put.into_put().is_none());
    assert_eq!((a.len(), b.len(), full.len(), slot), (0, 1, 1, Some(4)));
}

#[test]
fn without_a_value_a_put_is_never_chosen() {
    let q = Queue::<u8>::unbounded();
    let mut slot = None;
    let mut put = PutArm::new(q.puts(), &mut slot);
    assert!(matches!(
        wait(&mut [&mut put], Some(SOON)),
        Selected::Ended(End::TimedOut)
    ));
    assert!(q.is_empty());
}

#[test]
fn what_a_select_waited_for_is_its_own() {
    let q = Arc::new(PriorityQueue::unbounded());
    let full = Arc::new(Queue::bounded(0));
    let other = thread::spawn({
        let (q, full) = (Arc::clone(&q), Arc::clone(&full));
        move || {
            // Takes what the select offers, then gives it what it waits for.
            let got: u32 = full.get().unwrap();
            q.put(got + 1).unwrap();
        }
    });
    let mut slot = Some(1);
    let (mut get, mut put) = (GetArm::new(q.gets()), PutArm::new(full.puts(), &mut slot));
    assert_eq!(chosen(&wait(&mut [&mut get, &mut put], None)), 1);
    assert_eq!(put.into_put(), Some(Ok(())));
    assert_eq!(slot, None);
    // The same queue at two arms: one of them.
    let (mut a, mut b) = (GetArm::new(q.gets()), GetArm::new(q.gets()));
    let won = chosen(&wait(&mut [&mut a, &mut b], None));
    let got = [a.into_got(), b.into_got()];
    assert_eq!(got[won], Some(Ok(2)));
    assert_eq!(got[1 - won], None);
    assert!(q.is_empty());
    other.join().unwrap();
}

#[test]
fn a_close_ends_it_and_the_value_comes_back() {
    for wait_first in [false, true] {
        let (q, full) = (
            Arc::new(Queue::<u32>::unbounded()),
            Arc::new(Queue::bounded(0)),
        );
        let close = {
            let (q, full) = (Arc::clone(&q), Arc::clone(&full));
            move || {
                full.close();
                q.close();
            }
        };
        let closes = if wait_first {
            let full = Arc::clone(&full);
            Some(thread::spawn(move || {
                // The select waits when its offer is there, which a get would take.
                while full.core().lock.with(|state| state.putters.is_empty()) {
                    thread::yield_now();
                }
                close();
            }))
        } else {
            close();
            None
        };
        let mut slot = Some(1);
        let mut get = GetArm::new(q.gets());
        let mut put = PutArm::new(full.puts(), &mut slot);
        let won = chosen(&wait(&mut [&mut get, &mut put], None));
        let ends = [get.into_got().map(|r| r.map(|_| ())), put.into_put()];
        assert_eq!(ends[won], Some(Err(Closed)));
        assert_eq!(ends[1 - won], None);
        assert_eq!(slot, Some(1));
        if let Some(closes) = closes {
            closes.join().unwrap();
        }
    }
}

#[test]
fn a_select_waits_for_the_end_of_a_peek() {
    let q = Arc::new(Queue::from_iter([1]));
    let selects = q.peek_with(|_| {
        let selects = thread::spawn({
            let q = Arc::clone(&q);
            move || {
                let mut get = GetArm::new(q.gets());
                assert_eq!(chosen(&wait(&mut [&mut get], None)), 0);
                get.into_got()
            }
        });
        while q.core().lock.with(|state| state.getters.is_empty()) {
            thread::yield_now();
        }
        selects
    });
    assert_eq!(selects.unwrap().join().unwrap(), Some(Ok(1)));
}

#[test]
fn selects_at_all_ends_with_deadlines_lose_nothing_and_double_nothing() {
    const THREADS: u64 = 4;
    const EACH: u64 = 400;
    // Each thread offers its own values at one channel or the other, and takes from both.
    let channels = Arc::new([channel::<u64>(0), channel::<u64>(1)]);
    let (sum, left) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(THREADS * EACH)),
    );
    let threads: Vec<_> = (0..THREADS)
        .map(|t| {
            let (channels, sum, left) =
                (Arc::clone(&channels), Arc::clone(&sum), Arc::clone(&left));
            thread::spawn(move || {
                let [(tx0, rx0), (tx1, rx1)] = &*channels;
                let mut values = t * EACH + 1..=(t + 1) * EACH;
                let mut slot = values.next();
                while left.load(Ordering::SeqCst) > 0 {
                    let tx = if slot.is_some_and(|v| v % 2 == 0) {
                        tx0
                    } else {
                        tx1
                    };
                    let mut a = GetArm::new(rx0.gets());
                    let mut b = GetArm::new(rx1.gets());
                    let mut put = PutArm::new(tx.puts(), &mut slot);
                    let limit = Duration::from_micros(200);
                    let selected = wait(&mut [&mut put, &mut a, &mut b], Some(limit));
                    let (put, a, b) = (put.into_put(), a.into_got(), b.into_got());
                    let done = usize::from(put.is_some())
                        + usize::from(a.is_some())
                        + usize::from(b.is_some());
                    assert_eq!(done, usize::from(matches!(selected, Selected::Arm(_))));
                    for got in [a, b].into_iter().flatten() {
                        sum.fetch_add(got.unwrap(), Ordering::SeqCst);
                        left.fetch_sub(1, Ordering::SeqCst);
                    }
                    if put.is_some() {
                        assert_eq!(slot, None);
                        slot = values.next();
                    }
                }
                assert_eq!(slot, None);
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    let n = THREADS * EACH;
    assert_eq!(sum.load(Ordering::SeqCst), n * (n + 1) / 2);
}
