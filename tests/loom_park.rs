//! Model checks of waiting: the word on which a wait is granted or given up, the lock inside every object, and the list of
//! waiters behind it.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom_park
//! ```
//!
//! Without that flag this file is empty. The three files under test are included here as they are; a waiter is a thread
//! with a word of its own, and its park a `Notify`. The object is a pot of tokens: whatever happens, every token that was
//! added is in the pot or was taken by somebody, and nobody sleeps beside a token.
//!
//! To see these checks fail, do one of the following; each was tried.
//!
//! | change | what fails |
//! | --- | --- |
//! | `word.rs`: Release in `grant` to Relaxed, or Acquire in `granted` to Relaxed | race on what was handed over |
//! | `word.rs`: `shut` stores instead of comparing | `a_grant_and_a_giving_up_at_once_lose_nothing` |
//! | `wait_queue.rs`: `give` takes the first whether its grant won or not | a token lost, or a deadlock |
//! | `wait_queue.rs`: the payload of one that has gone is released | `a_payload_has_one_taker` |
//! | `lock.rs`: Acquire in `with`, or Release in `Held`, to Relaxed | race on the value |
#![cfg(loom)]

#[allow(dead_code)] // the models do not use everything
#[path = "../src/park"]
mod park {
    pub(crate) mod lock;
    pub(crate) mod wait_queue;
    pub(crate) mod word;

    pub(crate) mod primitives {
        pub(crate) use loom::cell::UnsafeCell;
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};

        macro_rules! const_in_library {
            ($($all:tt)*) => { $($all)* };
        }
        pub(crate) use const_in_library;

        pub(crate) fn relax(_round: u32) {
            loom::thread::yield_now();
        }
    }

    /// Stands for the file of that name: a waiter is a word and a bell.
    pub(crate) mod claim {
        use super::word::{self, Grant};
        use loom::sync::atomic::AtomicU64;
        use loom::sync::{Arc, Notify};

        #[derive(Debug)]
        pub(crate) struct Waiter {
            pub(crate) word: AtomicU64,
            pub(crate) bell: Notify,
        }

        #[derive(Clone, Debug)]
        pub(crate) struct Unparker(pub(crate) Arc<Waiter>, pub(crate) u64);

        impl Unparker {
            pub(crate) fn grant(&self, grant: Grant) -> bool {
                word::grant(&self.0.word, self.1, grant)
            }

            pub(crate) fn grant_alone(&self, grant: Grant) -> Option<Self> {
                self.grant(grant).then(|| self.clone())
            }

            pub(crate) fn unpark(&self) {
                self.0.bell.notify();
            }

            pub(crate) fn is(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) && self.1 == other.1
            }
        }
    }
}

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;
use park::claim::{Unparker, Waiter};
use park::lock::Lock;
use park::wait_queue::WaitQueue;
use park::word::{self, Grant};

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

fn waiter() -> Unparker {
    Unparker(
        Arc::new(Waiter {
            word: AtomicU64::new(0),
            bell: Notify::new(),
        }),
        1,
    )
}

/// Stands for the lock where three threads are at work: two that spin beside a third that never runs have no end.
struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

struct Pot {
    state: Guarded<Tokens>,
}

struct Tokens {
    there: usize,
    waiters: WaitQueue<()>,
}

impl Pot {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Guarded(Mutex::new(Tokens {
                there: 0,
                waiters: WaitQueue::new(),
            })),
        })
    }

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

    /// Waits for a token; with `patience` false it gives up at once if there is none. True: taken.
    fn take(&self, patience: bool) -> bool {
        let me = waiter();
        word::open(&me.0.word, me.1);
        let key = self.state.with(|s| {
            if s.there > 0 {
                s.there -= 1;
                return None;
            }
            Some(s.waiters.push_alone(me.clone(), ()))
        });
        let Some(key) = key else { return true };
        if patience {
            while word::granted(&me.0.word, me.1).is_none() {
                me.0.bell.wait();
            }
            return true;
        }
        if !word::shut(&me.0.word, me.1) {
            return true;
        }
        self.state.with(|s| s.waiters.remove(key));
        false
    }

    fn left(&self) -> usize {
        self.state.with(|s| {
            assert!(s.waiters.is_empty());
            s.there
        })
    }
}

#[test]
fn the_lock_passes_its_value_on() {
    model(|| {
        let lock = Arc::new(Lock::new(0));
        let other = thread::spawn({
            let lock = lock.clone();
            move || lock.with(|n| *n += 1)
        });
        lock.with(|n| *n += 1);
        other.join().unwrap();
        assert_eq!(lock.with(|n| *n), 2);
    });
}

#[test]
fn two_takers_and_two_tokens() {
    model(|| {
        let pot = Pot::new();
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let pot = pot.clone();
                thread::spawn(move || assert!(pot.take(true)))
            })
            .collect();
        pot.add();
        pot.add();
        for t in takers {
            t.join().unwrap();
        }
        assert_eq!(pot.left(), 0);
    });
}

#[test]
fn a_grant_and_a_giving_up_at_once_lose_nothing() {
    model(|| {
        let pot = Pot::new();
        let hasty = thread::spawn({
            let pot = pot.clone();
            move || pot.take(false)
        });
        let patient = thread::spawn({
            let pot = pot.clone();
            move || pot.take(true)
        });
        pot.add();
        pot.add();
        let taken = usize::from(hasty.join().unwrap()) + usize::from(patient.join().unwrap());
        assert_eq!(pot.left() + taken, 2);
    });
}

#[test]
fn a_wait_for_either_of_two_takes_one() {
    model(|| {
        let pots = [Pot::new(), Pot::new()];
        let adders: Vec<_> = pots
            .iter()
            .map(|pot| {
                let pot = pot.clone();
                thread::spawn(move || pot.add())
            })
            .collect();
        let me = waiter();
        word::open(&me.0.word, me.1);
        // Registered with both; what is there already counts as found.
        let mut found = None;
        let mut keys = Vec::new();
        for (i, pot) in pots.iter().enumerate() {
            let there = pot.state.with(|s| {
                if s.there > 0 {
                    return true;
                }
                keys.push((i, s.waiters.push_back(me.clone(), i as u16, ())));
                false
            });
            if there {
                found = Some(i);
                break;
            }
        }
        let granted = match found {
            Some(_) if word::shut(&me.0.word, me.1) => None,
            Some(_) => word::granted(&me.0.word, me.1),
            None => loop {
                if let Some(grant) = word::granted(&me.0.word, me.1) {
                    break Some(grant);
                }
                me.0.bell.wait();
            },
        };
        for (i, key) in keys {
            pots[i].state.with(|s| s.waiters.remove(key));
        }
        if granted.is_none() {
            let taken = pots[found.unwrap()].state.with(|s| {
                s.there -= 1;
                true
            });
            assert!(taken);
        }
        for t in adders {
            t.join().unwrap();
        }
        assert_eq!(pots[0].left() + pots[1].left(), 1);
    });
}

#[test]
fn a_payload_has_one_taker() {
    model(|| {
        let queue = Arc::new(Lock::new(WaitQueue::new()));
        let me = waiter();
        word::open(&me.0.word, me.1);
        let key = queue.with(|q| q.push_alone(me.clone(), Box::new(7)));
        let granter = thread::spawn({
            let queue = queue.clone();
            move || queue.with(|q| q.give()).map(|(payload, _)| payload)
        });
        let shut = word::shut(&me.0.word, me.1);
        let back = queue.with(|q| q.remove(key));
        let theirs = granter.join().unwrap();
        assert!(back.is_some() != theirs.is_some());
        assert_eq!(shut, back.is_some());
    });
}

#[test]
fn what_a_granter_did_before_is_seen_by_the_waiter() {
    model(|| {
        let me = waiter();
        let value = Arc::new(UnsafeCell::new(0));
        word::open(&me.0.word, me.1);
        let granter = thread::spawn({
            let (me, value) = (me.clone(), value.clone());
            move || {
                // SAFETY: the waiter reads after the grant only; loom checks it.
                value.with_mut(|v| unsafe { *v = 7 });
                assert!(me.grant(Grant::Given(0)));
            }
        });
        while word::granted(&me.0.word, me.1).is_none() {
            thread::yield_now();
        }
        // SAFETY: as above.
        assert_eq!(value.with(|v| unsafe { *v }), 7);
        granter.join().unwrap();
    });
}
