//! What a signal handler may ring, to have the hub look: the seam for things that can neither allocate nor lock.
//!
//! ```text
//! handler:  what happened ── rung = true ── an event of a descriptor that the hub polls
//! hub:      each turn: wanted? ──► answer, as a callback
//!           before it sleeps: rung? ──► does not
//! ```
//!
//! Why no ring is slept through: the flag is set before the event is caused. If the hub finds it down before it sleeps, the
//! event comes after that look, so the poll finds it. An event that an earlier poll has taken was caused after the flag
//! was set, and then the look sees that (invariant 6).
//!
//! A hub has one bell at most, made when it is first needed. It knows nothing of signals.
#![forbid(unsafe_code)]

use core::any::Any;

use super::sched::Hub;

/// See the file's head.
pub(crate) trait Bell: Any {
    /// Whether it was rung and not answered.
    fn rung(&self) -> bool;

    /// Whether there is something to do in this turn: it was rung, or the last answer has left something.
    fn wanted(&self) -> bool;

    /// Does it. Called in the hub; may run user code, and not wait.
    fn answer(&self);

    /// The hub ends: nothing is to be rung any more. Called in the hub; may run user code.
    fn end(&self);
}

impl Hub {
    pub(super) fn bell_wanted(&self) -> bool {
        self.bell.get().is_some_and(|bell| bell.wanted())
    }

    pub(super) fn bell_rung(&self) -> bool {
        self.bell.get().is_some_and(|bell| bell.rung())
    }
}
