//! Sleeping and ticking, by the hub's clock.
#![forbid(unsafe_code)]

mod interval;

pub use std::time::{Duration, SystemTime, SystemTimeError, TryFromFloatSecsError, UNIX_EPOCH};

pub use self::interval::{Interval, MissedTicks, interval, interval_at};
pub use crate::clock::Instant;
use crate::clock::deadline_after;
use crate::park::{self, End, How, Reason, Report, Ticket, park_until};

/// Sleeps for at least `d`; other tasks run meanwhile. Zero yields once.
///
/// On a thread without a hub it is [`std::thread::sleep`].
///
/// # Blocking
/// Switches. Kills and deadlines are delivered here.
///
/// # Panics
/// In a callback of the hub; on main with the deadlock, if `d` is out of a clock's reach and nothing else can happen.
#[track_caller]
pub fn sleep(d: Duration) {
    if d.is_zero() {
        park::yield_now();
        return;
    }
    let deadline = deadline_after(d);
    sleep_to(deadline);
}

/// Sleeps until `deadline`; if that has passed, yields once.
///
/// # Blocking
/// As [`sleep`].
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    sleep_to(Some(deadline));
}

#[track_caller]
fn sleep_to(deadline: Option<Instant>) {
    let how = How {
        reasons: &[Reason::new("sleep", 0)],
        deadline,
        report: Report::NOTHING,
    };
    match park_until(Ticket::must(), &how, &()) {
        End::TimedOut => {}
        // Nothing grants it, and it asked for no reports.
        end => unreachable!("a sleep ended with {end:?}"),
    }
}
