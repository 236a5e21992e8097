//! The word of a mutex and the queue behind it: who holds it, who is next.
//!
//! ```text
//! 63          62                 0
//! │ waiters │ id of the holder   │     0: free. The id is that of a task, or of a thread's own stack.
//! ```
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | `0`, `W` | `me`, `W me` | anybody who wants it: one compare-and-swap |
//! | `id` | `0` | the holder: one compare-and-swap, which fails if somebody waits |
//! | `id` | `W id` | who is about to queue up, in the queue's lock |
//! | `W id` | `W next`, `next` | the holder, in the queue's lock: handed over, `next` was granted it |
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
//! finds a holder, for whom the same holds; or its hub has ended, and [`forgo`](HandOver::forgo) tells the next.
//!
//! **Only one holds it.** A hand-over leaves the word held all the time. It is written before the grant, so that who is
//! granted finds its own id there; its own unlocking sees `W` and waits for the queue's lock.
//!
//! This file waits for nothing and wakes nobody: who is to be unparked comes out. It is included by the model tests as it is.
#![forbid(unsafe_code)]

use super::primitives::{AtomicU64, Ordering};
use crate::park::{Lock, Turn, Unparker, WaitQueue};

/// Somebody may be queued.
const WAITERS: u64 = 1 << 63;

/// The holder.
const ID: u64 = WAITERS - 1;

/// What a waiter leaves in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// Who is to be the holder.
    pub(crate) id: u64,
    /// Since when, on the clock that the unlocking thread compares it with.
    pub(crate) since: i64,
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct HandOver {
    word: AtomicU64,
    queue: Lock<WaitQueue<Waits>>,
}

impl HandOver {
    /// Free.
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            queue: Lock::new(WaitQueue::new()),
        }
    }

    /// The word, for reports: the top bit is no part of the holder's id.
    #[inline]
    pub(crate) fn word(&self) -> &AtomicU64 {
        &self.word
    }

    /// The queue, for who leaves it.
    pub(crate) fn queue(&self) -> &Lock<WaitQueue<Waits>> {
        &self.queue
    }

    /// Whether `me`, who asks, holds it.
    #[inline]
    pub(crate) fn is_held_by(&self, me: u64) -> bool {
        // Relaxed: an own id was written by the asker, or before the grant that it has seen.
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
                (Some(who), Some(waits)) => who.is_here() || overdue(waits.since),
                _ => false,
            };
            let (who, holder) = if direct {
                let mut next = 0;
                let given = queue.give_if(|waits| {
                    next = waits.id;
                    // Release: as in `unlock_at_once`; the grant that follows is one too.
                    self.word.store(next | WAITERS, Ordering::Release);
                    true
                });
                match given {
                    Some((_, who)) => (Some(who), next),
                    None => (None, 0),
                }
            } else {
                (queue.tell().map(|(_, who)| who), 0)
            };
            let waiters = if queue.is_empty() { 0 } else { WAITERS };
            // A plain store: where the word is held and has `W`, it is written in this lock only.
            self.word.store(holder | waiters, Ordering::Release);
            who
        })
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
