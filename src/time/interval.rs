//! `Interval`: ticks at a fixed distance, and what becomes of those that were missed.
//!
//! ```text
//! due       1         2         3         4         5         6         (period 1, the work after tick 1 takes 2.5)
//! Burst     1 ─ work ───────────────── 2 3         4         5         the missed ones at once, then the grid again
//! Delay     1 ─ work ───────────────── 2         .         .           a new grid from the late tick on
//! Skip      1 ─ work ───────────────── 2      4         5         6    the grid, without the missed ones
//! ```
//!
//! The only state is when the next tick is due: nothing runs between two calls, and an interval that is dropped, or whose
//! wait is broken off, leaves nothing behind.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::sleep_until;
use crate::clock::Instant;
use crate::park;

/// What [`Interval::tick`] does when ticks were missed, because the task did something else for more than a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissedTicks {
    /// Ticks once at once, then at the next moment that is a multiple of the period away from the first. The default, since
    /// it neither drifts nor puts more load on a thread that is late already; an event loop's repeating timer does the same.
    #[default]
    Skip,
    /// Ticks at once as often as was missed. For what must happen a certain number of times.
    Burst,
    /// Ticks at once, then a period after that: ticks are never closer than a period, and the grid drifts.
    Delay,
}

/// Ticks again and again. Made by [`interval`] or [`interval_at`].
///
/// As an iterator it never ends: each item is waited for like [`tick`](Self::tick).
#[derive(Clone, Debug)]
#[must_use = "an interval does nothing until it is asked to tick"]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTicks,
}

/// Ticks every `period`, for the first time one period from now.
///
/// ```
/// use std::time::Duration;
/// use greenloom::time::{self, Instant};
///
/// let start = Instant::now();
/// for tick in time::interval(Duration::from_millis(5)).take(3) {
///     assert!(Instant::now() >= tick);
/// }
/// assert!(start.elapsed() >= Duration::from_millis(15));
/// ```
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now().saturating_add(period), period)
}

/// Ticks at `start` and then every `period`.
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "`period` must be non-zero");
    Interval {
        next: start,
        period,
        missed: MissedTicks::default(),
    }
}

impl Interval {
    /// Sets what becomes of missed ticks.
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// Waits for the next tick and returns when it was due; never early. If that has passed, yields once.
    ///
    /// If the wait is broken off by a kill or an enclosing `timeout`, the tick is not lost: the next call waits for it.
    ///
    /// # Blocking
    /// Switches. Kills and deadlines are delivered here.
    ///
    /// # Panics
    /// As [`sleep`](super::sleep).
    pub fn tick(&mut self) -> Instant {
        let due = self.next;
        if due > Instant::now() {
            sleep_until(due);
        } else {
            // A task that is always late must let others run, and hear of its kill.
            park::yield_now();
        }
        self.next = following(due, self.period, Instant::now(), self.missed);
        due
    }

    /// When the next tick is due.
    #[must_use]
    pub fn next_tick(&self) -> Instant {
        self.next
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Begins anew: the next tick is due one period from now.
    pub fn reset(&mut self) {
        self.next = Instant::now().saturating_add(self.period);
    }
}

impl Iterator for Interval {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        Some(self.tick())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

/// When the tick after `due` is due, if that one was given at `now`.
fn following(due: Instant, period: Duration, now: Instant, missed: MissedTicks) -> Instant {
    let next = due.saturating_add(period);
    if next > now {
        return next;
    }
    match missed {
        MissedTicks::Burst => next,
        MissedTicks::Delay => now.saturating_add(period),
        MissedTicks::Skip => {
            // Both differences fit: an instant is 64 bits of nanoseconds.
            let late = now.saturating_duration_since(due).as_nanos();
            let past = Duration::from_nanos((late % period.as_nanos()) as u64);
            now.checked_sub(past).unwrap_or(now).saturating_add(period)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds on a grid whose zero is some moment.
    fn at(zero: Instant, seconds: f64) -> Instant {
        zero + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_tick_in_time_is_followed_by_the_next_of_the_grid_whatever_the_policy() {
        let zero = Instant::now();
        for missed in [MissedTicks::Skip, MissedTicks::Burst, MissedTicks::Delay] {
            let next = following(zero, Duration::from_secs(1), at(zero, 0.75), missed);
            assert_eq!(next, at(zero, 1.0), "{missed:?}");
        }
    }

    #[test]
    fn missed_ticks_follow_the_policy() {
        let zero = Instant::now();
        let next = |missed| following(zero, Duration::from_secs(1), at(zero, 2.5), missed);
        assert_eq!(next(MissedTicks::Burst), at(zero, 1.0));
        assert_eq!(next(MissedTicks::Delay), at(zero, 3.5));
        assert_eq!(next(MissedTicks::Skip), at(zero, 3.0));
    }

    #[test]
    fn a_tick_that_is_late_by_whole_periods_skips_to_a_later_moment() {
        let zero = Instant::now();
        let next = following(
            zero,
            Duration::from_secs(1),
            at(zero, 2.0),
            MissedTicks::Skip,
        );
        assert_eq!(next, at(zero, 3.0));
    }

    #[test]
    fn a_period_out_of_reach_is_no_overflow() {
        let zero = Instant::now();
        for missed in [MissedTicks::Skip, MissedTicks::Burst, MissedTicks::Delay] {
            assert!(following(zero, Duration::MAX, at(zero, 1.0), missed) > at(zero, 1e9));
        }
    }
}
