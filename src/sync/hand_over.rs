//! The word of a mutex and the queue behind it: who holds it, who is next.
//!
//! ```text
//! 63          62                 0
//! │ W       │ id of the holder   │     0: free; the id is that of a task, or of a thread's own stack
//! │ waiters │                    │     all ones: on its way to a waiter that was granted it
//! ```
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | `0`, `W` | `me`, `W me` | anybody who wants it: one compare-and-swap |
//! | `id` | `0` | the holder: one compare-and-swap, which fails if somebody waits |
//! | `id` | `W id` | who is about to queue up, in the queue's lock |
//! | `W id` | `W ones`, `ones` | the holder, in the queue's lock: handed over, the first waiter was granted it |
//! | `ones` | `me`, `W` as it is | who was granted it, before it goes on |
//! | `W id` | `W`, `0` | the holder, in the queue's lock: free; the first waiter was told so |
//! | `W`, `W id` | the same without `W` while somebody is queued | **forbidden**: the holder would wake nobody |
//!
//! Handed over: to who waits on the unlocking thread, because nothing is gained by letting somebody else in first, and to
//! who has waited for a millisecond. Everybody else is told, and whoever comes first has the lock: handing it to a thread
//! that has to be woken first would leave it unused for as long as that takes, at every unlocking (a convoy).
//! Whoever is told, and too late, queues up again as the first, with the time it has waited since.
//!
//! **Nobody is forgotten.** Who queues up has seen a holder, or makes one see `W`, in the queue's lock; so that holder's
//! compare-and-swap fails, it takes the queue's lock, and finds the entry. While the word is free and the queue is not
//! empty, somebody who was told is on its way: it takes the lock, and unlocks by way of the queue since `W` is set; or it
//! finds a holder, for whom the same holds; or its hub has ended, and [`forgo`](HandOver::forgo) tells the next. It has to look
//! in the queue's lock ([`enter`](HandOver::enter)) before it gives up: it may have been told before the word was free.
//!
//! **Only one holds it.** A hand-over leaves the word held all the time: `ones` is written before the grant. Not the id of who
//! is granted, because that one may be parked for a while yet, and a report would see it wait for what it holds itself, a
//! deadlock.
//!
//! This file waits for nothing and wakes nobody: who is to be unparked comes out. It is included by the model tests as it is.
#![forbid(unsafe_code)]

use super::primitives::{AtomicU64, Ordering, const_in_library};
use crate::park::{Lock, Turn, Unparker, WaitQueue};

/// Somebody may be queued.
const WAITERS: u64 = 1 << 63;

/// The holder.
const ID: u64 = WAITERS - 1;

/// Nobody's id: it is on its way.
const ON_ITS_WAY: u64 = ID;

/// What a waiter leaves in the queue: since when it waits, on the clock that the unlocking thread compares it with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since(pub(crate) i64);

/// See the file's head.
#[derive(Debug)]
pub(crate) struct HandOver {
    word: AtomicU64,
    queue: Lock<WaitQueue<Since>>,
}

impl HandOver {
    const_in_library! {
        /// Free.
        pub(crate) fn new() -> Self {
            Self {
                word: AtomicU64::new(0),
                queue: Lock::new(WaitQueue::new()),
            }
        }
    }

    /// The word, for reports: the top bit is no part of the holder's id.
    #[inline]
    pub(crate) fn word(&self) -> &AtomicU64 {
        &self.word
    }

    /// The queue, for who leaves it.
    pub(crate) fn queue(&self) -> &Lock<WaitQueue<Since>> {
        &self.queue
    }

    /// Whether `me`, who asks, holds it.
    #[inline]
    pub(crate) fn is_held_by(&self, me: u64) -> bool {
        // Relaxed: nobody but the asker writes its id.
        self.word.load(Ordering::Relaxed) & ID == me
    }

    /// Takes it if it is free and nobody waits.
    #[inline(always)]
    pub(crate) fn lock_at_once(&self, me: u64) -> bool {
        // Acquire: pairs with the Release of the unlocking.
        self.word
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes it if it is free.
    pub(crate) fn try_lock(&self, me: u64) -> bool {
        let now = self.word.load(Ordering::Relaxed);
        now & ID == 0 && self.take(now, me)
    }

    /// Takes it if the word is `now`, which says that it is free.
    fn take(&self, now: u64, me: u64) -> bool {
        self.word
            .compare_exchange(now, now | me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// In the queue's lock: takes it, or sees to it that its holder will look into the queue. False in the second case: then
    /// the caller queues up, before it lets that lock go.
    pub(crate) fn enter(&self, me: u64) -> bool {
        loop {
            let now = self.word.load(Ordering::Relaxed);
            if now & ID == 0 {
                if self.take(now, me) {
                    return true;
                }
            } else if now & WAITERS != 0
                || self
                    .word
                    .compare_exchange(now, now | WAITERS, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                return false;
            }
        }
    }

    /// Where the next attempt queues up.
    pub(crate) fn turn(told: bool) -> Turn {
        if told { Turn::First } else { Turn::Last }
    }

    /// Lets it go, if nobody waits. False if somebody may: then [`pass_on`](Self::pass_on) is to be called.
    #[inline(always)]
    pub(crate) fn unlock_at_once(&self) -> bool {
        let now = self.word.load(Ordering::Relaxed);
        // Release: the next holder sees what this one did.
        now & WAITERS == 0
            && self
                .word
                .compare_exchange(now, 0, Ordering::Release, Ordering::Relaxed)
                .is_ok()
    }

    /// Lets it go where somebody may wait. `overdue` says whether one that has waited since then is not to be passed over.
    /// Who comes out is to be unparked.
    pub(crate) fn pass_on(&self, overdue: impl Fn(i64) -> bool) -> Option<Unparker> {
        self.queue.with(|queue| {
            let direct = match (queue.front_waiter(), queue.front()) {
                (Some(who), Some(since)) => who.is_here() || overdue(since.0),
                _ => false,
            };
            // Plain stores: where the word is held and has `W`, it is written in this lock only, until the grant.
            if direct {
                // Relaxed, both: what the holder did goes with the grant.
                self.word.store(ON_ITS_WAY | WAITERS, Ordering::Relaxed);
                if let Some((_, who)) = queue.give() {
                    if queue.is_empty() {
                        self.word.fetch_and(!WAITERS, Ordering::Relaxed);
                    }
                    return Some(who);
                }
            }
            let told = queue.tell();
            let waiters = if queue.is_empty() { 0 } else { WAITERS };
            // Release: as in `unlock_at_once`.
            self.word.store(waiters, Ordering::Release);
            told.map(|(_, who)| who)
        })
    }

    /// `me`, who calls, was granted it.
    pub(crate) fn arrived(&self, me: u64) {
        // Relaxed: the grant was the hand-over. `W` may go meanwhile, never come: who queues up sees a holder.
        let mut now = self.word.load(Ordering::Relaxed);
        while let Err(other) = self.word.compare_exchange(
            now,
            now & WAITERS | me,
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            now = other;
        }
    }

    /// Somebody who was told that it is free will never come: another one is told. Who comes out is to be unparked.
    pub(crate) fn forgo(&self) -> Option<Unparker> {
        self.queue.with(|queue| {
            if self.word.load(Ordering::Relaxed) & ID != 0 {
                // Its holder looks into the queue.
                return None;
            }
            queue.tell().map(|(_, who)| who)
        })
    }
}
