//! Callbacks beside a latch: kept until it is raised, then run by the hub of who raised it.
//!
//! ```text
//! add ── latch down ──► kept ── take, once it is raised ──► run_soon
//!     └─ latch up ────────────────────────────────────────► run_soon
//! ```
//!
//! Nothing here runs one of them under a lock (invariant 4), or drops one there.
#![forbid(unsafe_code)]

use super::latch::Latch;
use crate::greenlet::engine;
use crate::greenlet::hot::{Phase, hot};
use crate::greenlet::report;
use crate::hub::sched;
use crate::park::{LinkId, Lock};

/// Callbacks that wait for a latch, in the order of their registration.
pub(super) struct Links<L>(Lock<Vec<(LinkId, L)>>);

impl<L> Links<L> {
    pub(super) const fn new() -> Self {
        Self(Lock::new(Vec::new()))
    }

    /// Keeps `link`. Comes back if `latch` is up: then it is to run at once.
    pub(super) fn add(&self, latch: &Latch, link: L) -> (LinkId, Option<L>) {
        let id = LinkId(hot().unique_id().get());
        // Who raises the latch does that first and takes the links then. So either it is seen to be up here, or the link
        // is there when they are taken.
        let late = self.0.with(|links| {
            if latch.is_up() {
                return Some(link);
            }
            links.push((id, link));
            None
        });
        (id, late)
    }

    /// The link, if it was not taken to be run; to be dropped by the caller.
    pub(super) fn remove(&self, id: LinkId) -> Option<L> {
        self.0.with(|links| {
            let at = links.iter().position(|link| link.0 == id)?;
            Some(links.remove(at).1)
        })
    }

    /// All of them, for the one who has raised the latch.
    pub(super) fn take(&self) -> Vec<(LinkId, L)> {
        self.0.with(core::mem::take)
    }
}

/// Runs callbacks of users: from this thread's hub, in this turn or the next; at once if it has none. One that panics is
/// reported, and stops nothing.
pub(super) fn run_soon<C: FnOnce() + 'static>(calls: impl IntoIterator<Item = C>) {
    let hot = hot();
    // Asked once: a callback may give the thread a hub, and then the others would run in another way.
    let hub = sched::get(hot).filter(|_| hot.phase.get() == Phase::Active);
    for call in calls {
        match hub {
            Some(hub) => hub.call_soon(hot, call),
            // std's hook has told of a panic.
            None => {
                if let Err(payload) = engine::caught(call) {
                    report::drop_payload(payload);
                }
            }
        }
    }
}
