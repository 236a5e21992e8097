//! The last look-out before a hub sleeps: what comes soon comes cheaper to a hub that is awake.
//!
//! ```text
//!   nothing runnable ──► look out ──┬─ something came ──► the next turn
//!                                   └─ nothing ─────────► `prepare_sleep` ──► the poll that blocks
//! ```
//!
//! | | by default | with `Builder::spin` |
//! | --- | --- | --- |
//! | when | the last sleep was ended by mail, within `LIVELY` | always |
//! | for how long | `LOOKS` looks, some microseconds | as long as was asked for, and not beyond the next deadline |
//! | looks at | mail | mail, the bell, and, if anybody waits for one, the descriptors |
//!
//! The hub is awake all the while: `sleeping` is not set, so who sends mail makes no system call, and the look at the inbox
//! that `prepare_sleep` takes comes after all of this (invariant 6). The bell is looked at after each poll, which may have
//! taken the event that it was rung with (`bell.rs`).
//!
//! Like every poll this only enqueues (invariant 4). A simulated hub does not get here with a spin: its time stands still.
#![forbid(unsafe_code)]

use core::cell::Cell;
use std::time::Duration;

use super::sched::Hub;
use crate::greenlet::hot::Hot;
use crate::reactor::Wait;

/// A sleep that mail ends sooner than this was not worth it: that is about what falling asleep and waking cost.
pub(super) const LIVELY: Duration = Duration::from_micros(50);

/// Looks at the inbox before a hub sleeps that mail comes to: some microseconds.
const LOOKS: u32 = 200;

/// The longest spin. Who would wait longer awake wants no hub that sleeps; and so long a deadlock may go unreported.
pub(super) const MAX_SPIN: Duration = Duration::from_millis(10);

/// How often a hub has spun.
#[derive(Debug, Default)]
pub(crate) struct Spins {
    /// All.
    pub(crate) all: Cell<u64>,
    /// Those that found nothing, and were followed by a sleep.
    pub(crate) in_vain: Cell<u64>,
}

fn one_more(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

impl Hub {
    /// Looks out for a moment, before a sleep that would last as long as `wait` says: whether there is something to do, so
    /// that the hub need not sleep.
    pub(super) fn comes_soon(&self, hot: &'static Hot, wait: Wait) -> bool {
        let spin = self.limits.get().spin;
        if !spin.is_zero() {
            return self.spin(hot, spin, wait);
        }
        self.lively.get() && self.simulation.is_none() && self.mail_comes_soon()
    }

    /// Two hubs that work through a queue would otherwise send each other to sleep and wake each other, at many times the cost
    /// of the work. A look in vain ends that.
    fn mail_comes_soon(&self) -> bool {
        let soon = (0..LOOKS).any(|_| {
            core::hint::spin_loop();
            !self.owner().inbox().is_empty()
        });
        self.lively.set(soon);
        soon
    }

    #[cold]
    fn spin(&self, hot: &'static Hot, spin: Duration, wait: Wait) -> bool {
        let begun = self.clock.now();
        // As before a sleep: a turn does not last longer for a spin in it.
        self.end_stretch(begun);
        one_more(&self.spins.all);
        let deadline = wait.first();
        let end = begun.saturating_add(spin);
        // Who registered a descriptor and does not wait for it needs no poll, and nobody registers one meanwhile.
        let descriptors = self.reactor.borrow().waiting() > 0;
        loop {
            if descriptors {
                self.poll(hot, Wait::Now);
            } else {
                core::hint::spin_loop();
            }
            if hot.queue.len() > 0 || !self.owner().inbox().is_empty() || self.bell_rung() {
                return true;
            }
            let now = self.clock.now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return true;
            }
            if now >= end {
                one_more(&self.spins.in_vain);
                return false;
            }
        }
    }
}
