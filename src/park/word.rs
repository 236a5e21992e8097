//! The word on which one wait ends: granted, or given up, by one compare-and-swap (invariant 14).
//!
//! ```text
//! 63            16 15              0
//! │ epoch of wait  │ 0: waiting     │   open(epoch)
//! │ epoch of wait  │ 1 + grant      │   grant: WAITING → this, by whoever was first, on any thread
//! │ 0              │ 0              │   shut: given up; or no wait
//! ```
//!
//! | from | to | by |
//! | --- | --- | --- |
//! | anything | waiting | `open`, the waiter only |
//! | waiting | granted | `grant`, anybody; `grant_alone`, where it cannot race with another |
//! | waiting | shut | `shut`, the waiter (or the end of its hub, on its thread) |
//! | granted, shut | anything but waiting | **forbidden**: one wait has one end |
//!
//! Epochs are not used again by one thread, and a word belongs to one thread: so a stale grant, for a wait that has ended,
//! fails whatever the word says now. (An epoch has 48 bits here: a thread that waits every 10 ns runs through them in a month, and
//! then a grant would have to be exactly so old.)
//!
//! This file knows nothing of who waits. It is included by the model tests as it is.
#![forbid(unsafe_code)]

use super::primitives::{AtomicU64, Ordering};

/// Which of several things that are waited for at once.
pub(crate) type Arm = u16;

/// What the waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// What it waited for is its own: taken on its behalf, or kept for it.
    Given(Arm),
    /// Something has changed: it is to look again.
    Told(Arm),
}

/// Arms are numbered below this.
pub(crate) const MAX_ARMS: usize = (1 << 15) - 1;

const BITS: u32 = 16;

fn waiting(epoch: u64) -> u64 {
    epoch << BITS
}

#[inline]
fn code(grant: Grant) -> u64 {
    1 + match grant {
        Grant::Given(arm) => u64::from(arm) << 1,
        Grant::Told(arm) => u64::from(arm) << 1 | 1,
    }
}

/// Begins the wait of `epoch`, which is not 0.
#[inline]
pub(crate) fn open(word: &AtomicU64, epoch: u64) {
    // Relaxed: nobody knows of the wait yet; it is made known under a lock, or by a Release.
    word.store(waiting(epoch), Ordering::Relaxed);
}

/// Ends the wait of `epoch` with a grant. False if it has ended.
#[inline]
pub(crate) fn grant(word: &AtomicU64, epoch: u64, grant: Grant) -> bool {
    let waiting = waiting(epoch);
    // Release: what the granter did before is seen by the waiter.
    word.compare_exchange(
        waiting,
        waiting | code(grant),
        Ordering::Release,
        Ordering::Relaxed,
    )
    .is_ok()
}

/// As [`grant`], for a waiter of the calling thread that can be granted only by who holds one lock, which the caller does:
/// nobody else changes the word meanwhile, so nothing needs to be exchanged.
#[inline]
pub(crate) fn grant_alone(word: &AtomicU64, epoch: u64, grant: Grant) -> bool {
    let waiting = waiting(epoch);
    let free = word.load(Ordering::Relaxed) == waiting;
    if free {
        // Relaxed: the waiter runs on this thread.
        word.store(waiting | code(grant), Ordering::Relaxed);
    }
    free
}

/// What the wait of `epoch` was granted, if it was.
#[inline]
pub(crate) fn granted(word: &AtomicU64, epoch: u64) -> Option<Grant> {
    // Acquire: pairs with the Release in `grant`.
    let code = word.load(Ordering::Acquire).wrapping_sub(waiting(epoch));
    // 0: it waits. What does not fit is of another wait, or of none.
    if code == 0 || code >> BITS != 0 {
        return None;
    }
    let arm = ((code - 1) >> 1) as Arm;
    Some(if (code - 1) & 1 == 0 {
        Grant::Given(arm)
    } else {
        Grant::Told(arm)
    })
}

/// Ends the wait of `epoch` without a grant. False if it was granted meanwhile.
#[inline]
pub(crate) fn shut(word: &AtomicU64, epoch: u64) -> bool {
    let waiting = waiting(epoch);
    // Usually it has ended: then nobody changes it any more, and a load tells as much as a failed exchange.
    (word.load(Ordering::Relaxed) == waiting
        && word
            .compare_exchange(waiting, 0, Ordering::Acquire, Ordering::Acquire)
            .is_ok())
        || granted(word, epoch).is_none()
}
