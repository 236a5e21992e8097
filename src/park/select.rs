//! Waiting for the first of several things: register all, commit one.
//!
//! ```text
//! attempt each arm ── one has it ──► that one
//!        │ none
//! register each ── one has become ready meanwhile ──► shut the claim, take all back, attempt again
//!        │                                            (shut fails: it was granted, see below)
//! park   ── Given(arm) ──► take the others back, commit that one
//!        ── Told(arm), or an arm that wakes without a grant is ready ──► take all back, attempt again
//!        ── anything else ──► take all back, report it
//! ```
//!
//! One claim is registered with all arms, so its word decides (invariant 14): of any number of granters, on any threads, one wins,
//! and those that lose still have what they wanted to give. An arm that is not chosen is as if it had never been asked.
//! That is crossbeam-channel's way of selecting, with the claim in the greenlet instead of the thread.
//!
//! This file knows no object; the layers above implement [`Selectable`].
#![forbid(unsafe_code)]

use std::io;

use super::claim::{Claim, Unparker};
use super::word::{Arm, Grant, MAX_ARMS};
use super::{End, How, Reason, Report, Ticket, Waiting, park_until};
use crate::clock::Instant;

/// Up to so many reasons are listed without an allocation.
const FEW: usize = 8;

/// One arm of a select. Sealed by being private to the crate.
pub(crate) trait Selectable {
    /// What is waited for, for reports.
    fn reason(&self) -> Reason<'_>;

    /// Takes what is there now, and keeps it. False if there is nothing.
    fn attempt(&mut self) -> bool;

    /// Makes the wait known to whoever could end it. True if there is nothing to wait for any more (then nothing is
    /// registered). Things that the same select offers at its other arms do not count.
    fn register(&mut self, who: &Unparker, arm: Arm) -> bool;

    /// Takes the registration back, if there is one.
    fn unregister(&mut self);

    /// It was given what it registered for: takes it, and keeps it.
    fn commit(&mut self);

    /// It was given it, but will never run again: its hub has ended. The thing goes to others.
    fn refund(&self) {}

    /// Whether it is ready, for an arm that is woken without a grant (a task, a descriptor).
    fn ready(&self) -> bool {
        false
    }

    /// Its hub ends while it is registered: as `unregister`, but it may not drop anything.
    fn abandon(&self) {}
}

/// How a select ended.
#[derive(Debug)]
pub(crate) enum Selected {
    /// This arm has what it wants.
    Arm(usize),
    /// None has.
    Ended(End),
}

/// Waits until one of `arms` has what it wants; the search begins at `first`, so that none is always preferred. With no
/// arms only a deadline ends it. `begin` says how to wait; it is asked only if there is nothing at once.
///
/// # Errors
/// Those of `begin`.
pub(crate) fn select(
    arms: &mut [&mut dyn Selectable],
    first: usize,
    begin: impl FnOnce() -> io::Result<(Ticket, Option<Instant>, Report)>,
) -> io::Result<Selected> {
    assert!(
        arms.len() < MAX_ARMS,
        "a select of more than {MAX_ARMS} things"
    );
    if let Some(i) = attempt(arms, first) {
        return Ok(Selected::Arm(i));
    }
    let (ticket, deadline, report) = begin()?;
    let mut few = [Reason::new("select of nothing", 0); FEW];
    let many: Vec<_>;
    let reasons = if arms.len() <= FEW {
        for (reason, arm) in few.iter_mut().zip(&*arms) {
            *reason = arm.reason().detached();
        }
        &few[..arms.len().max(1)]
    } else {
        many = arms.iter().map(|a| a.reason().detached()).collect();
        &many
    };
    let how = How {
        reasons,
        deadline,
        report,
    };
    loop {
        match round(arms, ticket, &how) {
            Some(end) => return Ok(end),
            None => {
                if let Some(i) = attempt(arms, first) {
                    return Ok(Selected::Arm(i));
                }
            }
        }
    }
}

/// The first arm, in a circle from `first`, that has what it wants now.
pub(crate) fn attempt(arms: &mut [&mut dyn Selectable], first: usize) -> Option<usize> {
    let n = arms.len();
    (0..n)
        .map(|i| {
            if first + i < n {
                first + i
            } else {
                first + i - n
            }
        })
        .find(|&i| arms[i].attempt())
}

/// Registers, parks, takes back. `None`: look again.
fn round(arms: &mut [&mut dyn Selectable], ticket: Ticket, how: &How<'_>) -> Option<Selected> {
    let mut registered = Registered {
        claim: Claim::new(&ticket),
        arms,
        count: 0,
    };
    if registered.all() {
        let shut = registered.claim.shut();
        let grant = registered.claim.grant();
        registered.take_back();
        return match grant {
            Some(Grant::Given(arm)) if !shut => Some(registered.commit(arm)),
            _ => None,
        };
    }
    let end = park_until(ticket, how, &registered);
    let grant = registered.claim.grant();
    // Shut, before anything is taken back: what wakes without a grant has left the word open.
    let grant = match grant {
        None if !registered.claim.shut() => registered.claim.grant(),
        grant => grant,
    };
    registered.take_back();
    match (end, grant) {
        (_, Some(Grant::Given(arm))) => Some(registered.commit(arm)),
        (End::Granted, _) | (_, Some(Grant::Told(_))) => None,
        (end, None) => Some(Selected::Ended(end)),
    }
}

/// The arms while they are registered: taken back on every way out.
struct Registered<'a, 'b> {
    claim: Claim,
    arms: &'a mut [&'b mut dyn Selectable],
    count: usize,
}

impl Registered<'_, '_> {
    /// True if one need not be waited for.
    fn all(&mut self) -> bool {
        for i in 0..self.arms.len() {
            if self.arms[i].register(self.claim.unparker(), i as Arm) {
                return true;
            }
            self.count = i + 1;
        }
        false
    }

    fn take_back(&mut self) {
        while self.count > 0 {
            self.count -= 1;
            self.arms[self.count].unregister();
        }
    }

    fn commit(&mut self, arm: Arm) -> Selected {
        self.arms[usize::from(arm)].commit();
        Selected::Arm(usize::from(arm))
    }
}

impl Waiting for Registered<'_, '_> {
    fn granted(&self) -> bool {
        self.claim.granted() || self.arms.iter().any(|a| a.ready())
    }

    /// Says only how the wait has ended: what was granted, `round` sees by the word, whatever is said here.
    fn cancel(&self) -> bool {
        self.claim.shut()
    }

    fn abandon(&self) {
        if !self.claim.shut()
            && let Some(Grant::Given(arm)) = self.claim.grant()
        {
            self.arms[usize::from(arm)].refund();
        }
        for arm in &self.arms[..self.count] {
            arm.abandon();
        }
    }
}

impl Drop for Registered<'_, '_> {
    fn drop(&mut self) {
        self.claim.shut();
        self.take_back();
    }
}
