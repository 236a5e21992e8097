//! Model checks of the mutex's word and the queue behind it: one holder at a time, and nobody sleeps beside a free lock.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom_sync
//! ```
//!
//! Without that flag this file is empty. `hand_over.rs` is included as it is, with the list of waiters and the word of a
//! wait; the lock of the queue is loom's (`loom_park` checks ours). A waiter is a thread with a word of its own, and its park
//! a `Notify`. The value behind the lock is a loom cell, so that two holders at a time, or one that does not see what
//! the last one did, are a race; a waiter that is forgotten is a deadlock.
//!
//! To see these checks fail, do one of the following in `hand_over.rs`; each was tried.
//!
//! | change | what fails |
//! | --- | --- |
//! | `take` or `lock_at_once` with Relaxed, or the Release in `unlock_at_once` or of the last store in `pass_on` to Relaxed | race on the value |
//! | `enter` does not set `W` | deadlock |
//! | `pass_on` stores 0 though the queue is not empty | deadlock |
//! | `pass_on` tells nobody | deadlock |
//! | `pass_on` stores 0 in place of `ON_ITS_WAY` | race on the value |
//! | `arrived` drops `W` | deadlock |
//! | `forgo` does nothing | deadlock in `who_was_told_and_never_comes_is_replaced` |
#![cfg(loom)]

#[allow(dead_code)] // the models do not use everything
#[path = "../src/park"]
mod park {
    pub(crate) mod wait_queue;
    pub(crate) mod word;

    pub(crate) use claim::Unparker;
    pub(crate) use wait_queue::WaitQueue;

    pub(crate) use crate::primitives;

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Turn {
        Last,
        First,
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
        pub(crate) struct Unparker(pub(crate) Arc<Waiter>);

        impl Unparker {
            pub(crate) fn new() -> Self {
                let unparker = Self(Arc::new(Waiter {
                    word: AtomicU64::new(0),
                    bell: Notify::new(),
                }));
                word::open(&unparker.0.word, 1);
                unparker
            }

            pub(crate) fn grant(&self, grant: Grant) -> bool {
                word::grant(&self.0.word, 1, grant)
            }

            pub(crate) fn granted(&self) -> Option<Grant> {
                word::granted(&self.0.word, 1)
            }

            pub(crate) fn shut(&self) -> bool {
                word::shut(&self.0.word, 1)
            }

            pub(crate) fn grant_alone(&self, grant: Grant) -> Option<Self> {
                self.grant(grant).then(|| self.clone())
            }

            pub(crate) fn unpark(&self) {
                self.0.bell.notify();
            }

            pub(crate) fn is(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0)
            }

            pub(crate) fn is_here(&self) -> bool {
                false
            }
        }
    }

    /// Stands for the file of that name. Three threads are at work, and of two that spin beside a third that never runs there
    /// is no end.
    #[derive(Debug)]
    pub(crate) struct Lock<T>(loom::sync::Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock().unwrap())
        }
    }
}

#[allow(dead_code)]
#[path = "../src/sync"]
mod sync {
    pub(crate) mod hand_over;

    pub(crate) use crate::primitives;
}

mod primitives {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

    macro_rules! const_in_library {
        ($($all:tt)*) => { $($all)* };
    }
    pub(crate) use const_in_library;
}

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use park::word::Grant;
use park::{Turn, Unparker};
use sync::hand_over::{HandOver, Since};

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// What a waiter does once it is queued.
#[derive(Clone, Copy, PartialEq)]
enum Will {
    /// It waits.
    Wait,
    /// Its time has run out.
    Leave,
    /// It is never heard of again, once it was granted: its hub has ended.
    Vanish,
}

struct Locked {
    lock: HandOver,
    value: UnsafeCell<usize>,
    /// Whether waiters are handed the lock, and not told.
    direct: bool,
}

// SAFETY: that the lock keeps accesses to the value apart is what is checked here; loom does.
unsafe impl Sync for Locked {}
// SAFETY: all fields are.
unsafe impl Send for Locked {}

impl Locked {
    fn new(direct: bool) -> Arc<Self> {
        Arc::new(Self {
            lock: HandOver::new(),
            value: UnsafeCell::new(0),
            direct,
        })
    }

    /// As `RawMutex::contend`. False if it left, or vanished.
    fn lock(&self, me: u64, will: Will) -> bool {
        if self.lock.lock_at_once(me) {
            return true;
        }
        let mut told = false;
        loop {
            let who = Unparker::new();
            let key = self.lock.queue().with(|queue| {
                if self.lock.enter(me) {
                    return None;
                }
                Some(match HandOver::turn(told) {
                    Turn::Last => queue.push_alone(who.clone(), Since(0)),
                    Turn::First => queue.push_front(who.clone(), Since(0)),
                })
            });
            let Some(key) = key else { return true };
            if will == Will::Leave && who.shut() {
                let _ = self.lock.queue().with(|queue| queue.remove(key));
                return false;
            }
            let grant = loop {
                match who.granted() {
                    Some(grant) => break grant,
                    None => who.0.bell.wait(),
                }
            };
            match grant {
                Grant::Given(_) if will == Will::Vanish => {
                    self.pass_on();
                    return false;
                }
                Grant::Told(_) if will == Will::Vanish => {
                    if let Some(next) = self.lock.forgo() {
                        next.unpark();
                    }
                    return false;
                }
                Grant::Given(_) => {
                    self.lock.arrived(me);
                    return true;
                }
                Grant::Told(_) => {
                    if self.lock.try_lock(me) {
                        return true;
                    }
                    told = true;
                }
            }
        }
    }

    fn pass_on(&self) {
        if let Some(next) = self.lock.pass_on(|_| self.direct) {
            next.unpark();
        }
    }

    fn unlock(&self) {
        if !self.lock.unlock_at_once() {
            self.pass_on();
        }
    }

    /// Adds one under the lock, if that is had. Returns what was added.
    fn add(&self, me: u64, will: Will) -> usize {
        if !self.lock(me, will) {
            return 0;
        }
        assert!(self.lock.is_held_by(me));
        self.value.with_mut(|value| {
            // SAFETY: it is locked; loom checks it.
            unsafe { *value += 1 };
        });
        self.unlock();
        1
    }

    /// All others are done: it is free, and has seen them all.
    fn check(&self, added: usize) {
        assert!(self.lock.lock_at_once(99), "it is not free, or has waiters");
        let value = self.value.with(|value| {
            // SAFETY: as in `add`.
            unsafe { *value }
        });
        assert_eq!(value, added);
    }
}

/// The main thread and one for each of `wills` add one each.
fn together(direct: bool, wills: &'static [Will]) {
    model(move || {
        let locked = Locked::new(direct);
        let threads: Vec<_> = wills
            .iter()
            .enumerate()
            .map(|(n, will)| {
                let locked = Arc::clone(&locked);
                thread::spawn(move || locked.add(n as u64 + 2, *will))
            })
            .collect();
        let mut added = locked.add(1, Will::Wait);
        for thread in threads {
            added += thread.join().unwrap();
        }
        // A free lock may keep the mark of waiters that left; the next unlocking wipes it.
        if !locked.lock.lock_at_once(98) {
            assert!(locked.lock.try_lock(98), "it is not free");
        }
        locked.unlock();
        locked.check(added);
    });
}

#[test]
fn two_take_turns() {
    together(false, &[Will::Wait]);
    together(true, &[Will::Wait]);
}

#[test]
fn three_take_turns_by_being_told() {
    together(false, &[Will::Wait, Will::Wait]);
}

#[test]
fn three_take_turns_by_being_handed_the_lock() {
    together(true, &[Will::Wait, Will::Wait]);
}

#[test]
fn who_leaves_at_any_moment_is_passed_over() {
    together(false, &[Will::Leave, Will::Wait]);
    together(true, &[Will::Leave, Will::Wait]);
}

#[test]
fn who_was_told_and_never_comes_is_replaced() {
    together(false, &[Will::Vanish, Will::Wait]);
}

#[test]
fn who_was_given_it_and_never_comes_gives_it_on() {
    together(true, &[Will::Vanish, Will::Wait]);
}
