//! The waist's own tests: claims, lists of waiters, and the two ways to block on them, from greenlets, hubs and threads.
//! What becomes of a grant whose waiter is killed, or whose hub ends, is tested with the objects above: that takes tasks.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::claim::Claim;
use super::*;
use crate::greenlet::{self, Current};

fn how(deadline: Option<Instant>) -> How<'static> {
    How {
        reasons: const { &[Reason::new("a test", 0)] },
        deadline,
        report: Report::ALL,
    }
}

fn soon() -> Option<Instant> {
    crate::clock::deadline_after(Duration::from_millis(1))
}

/// Runs `f` on a thread of its own: on its root with a hub, in a greenlet, and on a plain thread.
fn everywhere(f: impl Fn() + Send + Copy + 'static) {
    for kind in 0..3 {
        let f = move || match kind {
            0 => f(),
            1 => {
                sched::ensure().unwrap();
                f();
            }
            _ => greenlet::scope(|s, me: &Current<()>| {
                let g = s.spawn(me, |_: &Current<(), ()>, ()| f());
                me.switch(&g, ()).unwrap();
            }),
        };
        std::thread::spawn(f).join().unwrap();
    }
}

// ---- claims ----

#[test]
fn of_a_grant_and_a_cancel_one_wins() {
    everywhere(|| {
        let ticket = Ticket::must();
        let claim = Claim::new(&ticket);
        let other = *claim.unparker();
        assert_eq!(claim.grant(), None);
        assert!(other.grant(Grant::Given(7)) && !other.grant(Grant::Given(8)));
        assert!(!claim.shut());
        assert_eq!(claim.grant(), Some(Grant::Given(7)));
        drop(claim);

        let claim = Claim::new(&Ticket::must());
        assert!(!other.grant(Grant::Told(0)), "a stale name grants nothing");
        assert!(claim.shut() && claim.shut());
        assert!(!claim.unparker().grant(Grant::Given(0)));
        assert_eq!(claim.grant(), None);
    });
}

#[test]
fn a_claim_that_is_dropped_has_given_up() {
    everywhere(|| {
        let other = *Claim::new(&Ticket::must()).unparker();
        assert!(!other.grant(Grant::Given(0)));
        other.unpark();
    });
}

#[test]
fn every_arm_and_kind_comes_through() {
    let highest = (word::MAX_ARMS - 1) as Arm;
    for grant in [
        Grant::Given(0),
        Grant::Told(0),
        Grant::Given(highest),
        Grant::Told(highest),
    ] {
        let claim = Claim::stand_in();
        assert!(claim.unparker().grant(grant));
        assert_eq!(claim.grant(), Some(grant));
    }
}

#[test]
fn a_grant_of_another_thread_ends_the_park() {
    everywhere(|| {
        let ticket = Ticket::must();
        let claim = Claim::new(&ticket);
        let other = *claim.unparker();
        let granter = std::thread::spawn(move || {
            assert!(other.grant(Grant::Given(1)));
            other.unpark();
        });
        assert!(matches!(
            park_until(ticket, &how(None), &claim),
            End::Granted
        ));
        granter.join().unwrap();
    });
}

#[test]
fn a_deadline_ends_it_and_who_grants_later_is_told() {
    everywhere(|| {
        let ticket = Ticket::must();
        let claim = Claim::new(&ticket);
        assert!(matches!(
            park_until(ticket, &how(soon()), &claim),
            End::TimedOut
        ));
        assert!(!claim.unparker().grant(Grant::Given(0)));
    });
}

#[test]
fn a_grant_for_a_hub_that_has_ended_fails() {
    let other = std::thread::spawn(|| {
        sched::ensure().unwrap();
        let claim = Claim::new(&Ticket::must());
        let other = *claim.unparker();
        std::mem::forget(claim);
        other
    })
    .join()
    .unwrap();
    assert!(!other.grant(Grant::Given(0)));
    other.unpark();
}

// ---- lists of waiters ----

fn names(queue: &mut WaitQueue<&'static str>) -> Vec<&'static str> {
    std::iter::from_fn(|| queue.give())
        .map(|(p, _)| p)
        .collect()
}

#[test]
fn waiters_are_granted_in_order_and_those_that_have_gone_are_passed_over() {
    let claims: Vec<Claim> = (0..5).map(|_| Claim::stand_in()).collect();
    let mut queue = WaitQueue::new();
    let keys: Vec<Key> = ["a", "b", "c", "d"]
        .iter()
        .zip(&claims)
        .map(|(name, claim)| queue.push_back(*claim.unparker(), 0, *name))
        .collect();
    let first = queue.push_front(*claims[4].unparker(), "first");
    assert_eq!((queue.len(), queue.front()), (5, Some(&"first")));
    assert_eq!(queue.remove(first), Some("first"));
    assert!(claims[1].shut());
    assert_eq!(names(&mut queue), ["a", "c", "d"]);
    assert!(queue.is_empty());
    // The payload of the one that lost is its owner's; of those that were granted nothing is left.
    assert_eq!(queue.remove(keys[1]), Some("b"));
    assert_eq!(queue.remove(keys[0]), None);
    assert_eq!(queue.remove(keys[1]), None, "there is one taker");
}

#[test]
fn a_stale_key_does_not_touch_who_has_the_entry_now() {
    let (one, two) = (Claim::stand_in(), Claim::stand_in());
    let mut queue = WaitQueue::new();
    let stale = queue.push_back(*one.unparker(), 0, 1);
    assert_eq!(queue.give().map(|(p, _)| p), Some(1));
    let key = queue.push_back(*two.unparker(), 0, 2);
    assert_eq!(queue.remove(stale), None);
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.remove(key), Some(2));
    assert!(queue.is_empty());
}

#[test]
fn a_middle_waiter_leaves_and_the_others_keep_their_order() {
    let claims: Vec<Claim> = (0..4).map(|_| Claim::stand_in()).collect();
    let mut queue = WaitQueue::new();
    let keys: Vec<Key> = (0..4)
        .map(|i| queue.push_back(*claims[i].unparker(), 0, i))
        .collect();
    assert_eq!(queue.remove(keys[2]), Some(2));
    assert_eq!(queue.remove(keys[0]), Some(0));
    assert_eq!(
        queue
            .tell_all()
            .into_iter()
            .map(|(i, _)| i)
            .collect::<Vec<_>>(),
        [1, 3]
    );
    assert_eq!(claims[1].grant(), Some(Grant::Told(0)));
    assert_eq!(claims[2].grant(), None);
}

#[test]
fn the_own_entry_is_no_other_waiter() {
    let (me, other) = (Claim::stand_in(), Claim::stand_in());
    let mut queue = WaitQueue::new();
    let _mine = queue.push_back(*me.unparker(), 0, ());
    assert!(!queue.has_other(me.unparker()));
    let _other = queue.push_back(*other.unparker(), 1, ());
    assert!(queue.has_other(me.unparker()));
}

// ---- a pot of tokens: the smallest object with waiters ----

#[derive(Default)]
struct Pot {
    state: Lock<Tokens>,
    refunds: AtomicUsize,
}

#[derive(Default)]
struct Tokens {
    there: usize,
    waiters: WaitQueue<()>,
}

impl Default for Lock<Tokens> {
    fn default() -> Self {
        Self::new(Tokens::default())
    }
}

impl Place for Pot {
    type State = Tokens;
    type Payload = ();

    fn lock(&self) -> &Lock<Tokens> {
        &self.state
    }

    fn waiters(state: &mut Tokens) -> &mut WaitQueue<()> {
        &mut state.waiters
    }

    fn refund(&self, _: Grant) {
        self.refunds.fetch_add(1, Ordering::Relaxed);
        self.add();
    }
}

impl Pot {
    fn add(&self) {
        let woken = self.state.with(|s| {
            let granted = s.waiters.give();
            if granted.is_none() {
                s.there += 1;
            }
            granted
        });
        if let Some(((), who)) = woken {
            who.unpark();
        }
    }

    fn try_take(&self) -> bool {
        self.state.with(|s| {
            let there = s.there > 0;
            s.there -= usize::from(there);
            there
        })
    }

    fn take(&self, deadline: Option<Instant>) -> bool {
        let blocked = block(self, Ticket::must(), &how(deadline), |s| {
            if s.there > 0 {
                s.there -= 1;
                return Ok(());
            }
            Err(((), Turn::Last))
        });
        !matches!(blocked, Blocked::Ended(..))
    }

    fn left(&self) -> (usize, usize) {
        self.state.with(|s| (s.there, s.waiters.len()))
    }
}

#[test]
fn what_is_there_is_taken_at_once_and_what_is_not_is_waited_for() {
    everywhere(|| {
        let pot = Arc::new(Pot::default());
        pot.add();
        assert!(pot.take(None));
        assert!(!pot.take(soon()));
        let giver = std::thread::spawn({
            let pot = Arc::clone(&pot);
            move || pot.add()
        });
        assert!(pot.take(None));
        giver.join().unwrap();
        assert_eq!(pot.left(), (0, 0));
    });
}

#[test]
fn threads_and_greenlets_lose_no_token() {
    const EACH: usize = 500;
    let pot = Arc::new(Pot::default());
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let pot = Arc::clone(&pot);
            std::thread::spawn(move || {
                if i % 2 == 0 {
                    sched::ensure().unwrap();
                }
                for n in 0..EACH {
                    pot.add();
                    // Some come to nothing: then it is there for another, or was given and is taken.
                    if n % 3 == 0 && !pot.take(soon()) {
                        while !pot.try_take() && !pot.take(soon()) {}
                    } else if n % 3 != 0 {
                        assert!(pot.take(None));
                    }
                }
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    assert_eq!(pot.left(), (0, 0));
}

// ---- select ----

/// An arm that takes a token from a pot.
struct Take<'a> {
    pot: &'a Pot,
    key: Option<Key>,
    taken: bool,
}

impl<'a> Take<'a> {
    fn from(pot: &'a Pot) -> Self {
        Self {
            pot,
            key: None,
            taken: false,
        }
    }
}

impl Selectable for Take<'_> {
    fn reason(&self) -> Reason<'_> {
        Reason::new("a token", 0)
    }

    fn attempt(&mut self) -> bool {
        self.taken = self.pot.try_take();
        self.taken
    }

    fn register(&mut self, who: &Unparker, arm: Arm) -> bool {
        self.pot.state.with(|s| {
            if s.there > 0 {
                return true;
            }
            self.key = Some(s.waiters.push_back(*who, arm, ()));
            false
        })
    }

    fn unregister(&mut self) {
        if let Some(key) = self.key.take() {
            self.pot.state.with(|s| s.waiters.remove(key));
        }
    }

    fn commit(&mut self) {
        self.taken = true;
    }

    fn refund(&self) {
        self.pot.refund(Grant::Given(0));
    }
}

fn select_two(pots: [&Pot; 2], deadline: Option<Instant>) -> Option<usize> {
    let mut arms = pots.map(Take::from);
    let [a, b] = &mut arms;
    let mut all: [&mut dyn Selectable; 2] = [a, b];
    let begin = || Ok((Ticket::new()?, deadline, how(deadline).report));
    match select(&mut all, 0, begin).unwrap() {
        Selected::Arm(i) => {
            assert!(arms[i].taken && !arms[1 - i].taken);
            Some(i)
        }
        Selected::Ended(_) => None,
    }
}

#[test]
fn a_select_takes_from_one_and_leaves_the_other_alone() {
    everywhere(|| {
        let (a, b) = (Arc::new(Pot::default()), Arc::new(Pot::default()));
        a.add();
        b.add();
        assert_eq!(select_two([&a, &b], None), Some(0));
        assert_eq!(select_two([&a, &b], None), Some(1));
        assert_eq!(select_two([&a, &b], soon()), None);
        let giver = std::thread::spawn({
            let b = Arc::clone(&b);
            move || b.add()
        });
        assert_eq!(select_two([&a, &b], None), Some(1));
        giver.join().unwrap();
        assert_eq!((a.left(), b.left()), ((0, 0), (0, 0)));
    });
}

#[test]
fn selects_and_takers_of_many_threads_lose_no_token() {
    const EACH: usize = 400;
    let pots = Arc::new([Pot::default(), Pot::default()]);
    let takers: Vec<_> = (0..3)
        .map(|i| {
            let pots = Arc::clone(&pots);
            std::thread::spawn(move || {
                if i > 0 {
                    sched::ensure().unwrap();
                }
                for _ in 0..EACH {
                    while select_two([&pots[0], &pots[1]], soon()).is_none() {}
                }
            })
        })
        .collect();
    for i in 0..3 * EACH {
        pots[i % 2].add();
    }
    for t in takers {
        t.join().unwrap();
    }
    assert_eq!((pots[0].left(), pots[1].left()), ((0, 0), (0, 0)));
}

#[test]
fn the_lock_keeps_threads_apart() {
    let lock = Arc::new(Lock::new(VecDeque::new()));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let lock = Arc::clone(&lock);
            std::thread::spawn(move || {
                for i in 0..10_000 {
                    lock.with(|q| {
                        q.push_back(i);
                        if q.len() > 100 {
                            q.pop_front();
                        }
                    });
                }
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    assert_eq!(lock.with(|q| q.len()), 100);
}
