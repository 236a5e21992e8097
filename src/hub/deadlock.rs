//! Finding out that main waits in vain, and saying why.
//!
//! (a) A cycle: main waits for something that one greenlet must do, that one waits for another, and so on in a circle.
//! (b) Nothing is left that could wake anybody: no timer, no descriptor, no work elsewhere, no signal that was asked for,
//! and no other thread.
//!
//! This file reads control blocks and wait frames; it wakes nobody.
#![forbid(unsafe_code)]

use core::fmt::Write as _;

use super::frame::with_wait;
use crate::greenlet::control::{ControlRef, State, attention};
use crate::greenlet::engine;
use crate::greenlet::error::Deadlock;
use crate::greenlet::hot::Hot;
use crate::greenlet::report::Who;

/// Longest chain of owners that is followed.
const MAX_CHAIN: usize = 1000;

/// Parked greenlets that a report names at most.
const MAX_NAMED: usize = 100;

/// Who must act for the park of `c` to end, if that is one greenlet and no deadline ends it otherwise: neither its own,
/// nor that of a `timeout` around it.
fn owner(c: ControlRef) -> Option<u64> {
    if c.attention.get() & attention::DEADLINE != 0 {
        return None;
    }
    with_wait(c, |frame| match frame.reasons {
        [reason] if !frame.timed => reason.owner(),
        _ => None,
    })
    .flatten()
}

/// Whether main waits for something that one greenlet must do.
pub(super) fn main_depends(hot: &'static Hot) -> bool {
    owner(hot.root()).is_some()
}

/// The cycle that main's wait leads into, if there is one.
pub(super) fn cycle_of_main(hot: &'static Hot) -> Option<Deadlock> {
    let mut chain: Vec<ControlRef> = vec![hot.root()];
    while chain.len() < MAX_CHAIN {
        let last = *chain.last()?;
        let next = find(hot, owner(last)?)?;
        if let Some(start) = chain.iter().position(|c| *c == next) {
            let mut text = String::from("deadlock: main waits on a cycle:");
            for c in &chain[start..] {
                text.push_str("\n  ");
                describe(hot, *c, &mut text);
            }
            text.push_str("\n  and so in a circle");
            return Some(Deadlock::new(text));
        }
        chain.push(next);
    }
    None
}

/// The greenlet with this id.
fn find(hot: &'static Hot, id: u64) -> Option<ControlRef> {
    if hot.root().id.get() == id {
        return Some(hot.root());
    }
    let mut found = None;
    engine::for_each(hot, |c| {
        if c.id.get() == id && c.state.get() != State::Dead {
            found = Some(c);
        }
    });
    found
}

/// The report that nothing is left which could wake anybody; `others` is why other threads could not.
pub(super) fn nothing_left(hot: &'static Hot, others: &str) -> Deadlock {
    let mut text =
        format!("deadlock: main waits, no timer or descriptor is pending and {others}\n  ");
    describe(hot, hot.root(), &mut text);
    let mut parked = Vec::new();
    let mut more = 0;
    engine::for_each(hot, |c| {
        if matches!(c.state.get(), State::Parked) || c.is_suspended() {
            if parked.len() < MAX_NAMED {
                parked.push(c);
            } else {
                more += 1;
            }
        }
    });
    for c in parked {
        text.push_str("\n  ");
        describe(hot, c, &mut text);
    }
    if more > 0 {
        let _ = write!(text, "\n  and {more} more");
    }
    Deadlock::new(text)
}

/// `main`, or `task 'worker' (id 7)`.
fn name(c: ControlRef, text: &mut String) {
    if c.is_native() {
        text.push_str("main");
    } else {
        let _ = write!(text, "task {}", Who(c.id.get(), c.name().as_deref()));
    }
}

/// `task 'worker' (id 7) waits: lock of a mutex, which is up to task 'other' (id 8) (spawned at src/main.rs:3:5)`.
fn describe(hot: &'static Hot, c: ControlRef, text: &mut String) {
    name(c, text);
    let told = with_wait(c, |frame| {
        for (i, reason) in frame.reasons.iter().enumerate() {
            let before = if i == 0 { " waits: " } else { ", or " };
            let _ = write!(text, "{before}{reason}");
            if let Some(owner) = reason.owner().and_then(|id| find(hot, id)) {
                text.push_str(", which is up to ");
                name(owner, text);
            }
        }
    });
    if told.is_none() && c.is_suspended() {
        text.push_str(" waits for a switch");
    }
    if let Some(site) = c.site() {
        let _ = write!(text, " (spawned at {site})");
    }
}

/// Whether this is the only thread of the process, our own idle helpers apart (there are none yet).
pub(super) fn only_thread() -> bool {
    // Without /proc nothing can be said: no deadlock is reported then.
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))
        .and_then(|n| n.trim().parse::<usize>().ok())
        .is_some_and(|n| n == 1)
}

#[cfg(test)]
mod tests {
    use super::super::frame::Reason;

    #[test]
    fn a_reason_names_kind_and_object() {
        assert_eq!(Reason::new("sleep", 0).to_string(), "sleep");
        assert_eq!(Reason::new("join of task", 7).to_string(), "join of task 7");
    }
}
