//! How long a poll may take: which deadlines the kernel is asked to keep, and by which of its clocks.
//!
//! ```text
//!   coarse │ far:  epoll's timeout, whole milliseconds, rounded up: never early, up to 1 ms late
//!          │ near: the timerfd, a little later than asked, so that the many sleepers who would wake one by one wake
//!          │       together
//!   fine   │ far:  epoll's timeout for the whole milliseconds before it, rounded down; the poll ends early,
//!          │       and the next one is near
//!          │ near: a timerfd, to the microsecond, at the price of a system call
//! ```
//!
//! Far fine deadlines go without the timerfd because most of them are never reached: they are cancelled, or
//! another wake comes first. This file only computes.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::clock::Instant;

const MILLI: Duration = Duration::from_millis(1);

/// By how much epoll's timeout may overshoot on an idle machine: timer slack (50 us by default), and again as
/// much for the wake. A fine deadline is near already when it would fall into that.
const OVERSHOOT: Duration = Duration::from_micros(100);

/// How much later than asked a near coarse deadline is kept. Half of it is what the sleepers of a busy hub are late on the
/// average; its inverse bounds their hub's wakes in a second.
const SLACK: Duration = Duration::from_micros(200);

/// Until when to wait for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Take what has come, do not wait.
    Now,
    /// Until an event, or the first of the deadlines given. None given: until an event.
    Until {
        /// To be kept to the millisecond.
        coarse: Option<Instant>,
        /// To be kept as exactly as the system can.
        fine: Option<Instant>,
    },
}

/// What the kernel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// For epoll, which rounds it up to whole milliseconds.
    pub(super) timeout: Option<Duration>,
    /// For the timerfd.
    pub(super) arm: Option<Instant>,
}

impl Wait {
    /// Until an event.
    pub(crate) const FOREVER: Self = Self::Until {
        coarse: None,
        fine: None,
    };

    /// The first deadline that ends the wait; none if it does not wait.
    pub(crate) fn first(self) -> Option<Instant> {
        match self {
            Self::Now => None,
            Self::Until { coarse, fine } => coarse.into_iter().chain(fine).min(),
        }
    }

    pub(super) fn plan(self, now: Instant) -> Plan {
        let at_once = Plan {
            timeout: Some(Duration::ZERO),
            arm: None,
        };
        let Self::Until { coarse, fine } = self else {
            return at_once;
        };
        let left = |deadline: Instant| deadline.saturating_duration_since(now);
        let mut plan = Plan {
            timeout: None,
            arm: None,
        };
        if let Some(deadline) = coarse {
            let left = left(deadline);
            if left.is_zero() {
                return at_once;
            }
            if left + SLACK < MILLI {
                plan.arm = Some(deadline + SLACK);
            } else {
                plan.timeout = Some(left);
            }
        }
        if let Some(deadline) = fine {
            let left = left(deadline);
            if left.is_zero() {
                return at_once;
            }
            let before = left.saturating_sub(OVERSHOOT);
            if before >= MILLI {
                let part = Duration::from_nanos(u64::from(before.subsec_nanos() % 1_000_000));
                let whole = before - part;
                plan.timeout = Some(plan.timeout.map_or(whole, |coarse| coarse.min(whole)));
            } else {
                plan.arm = Some(plan.arm.map_or(deadline, |coarse| coarse.min(deadline)));
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(7_000_000_123);

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn plan(coarse: Option<u64>, fine: Option<u64>) -> Plan {
        let deadline = |micros| NOW + us(micros);
        Wait::Until {
            coarse: coarse.map(deadline),
            fine: fine.map(deadline),
        }
        .plan(NOW)
    }

    fn expect(timeout: Option<u64>, arm: Option<u64>) -> Plan {
        Plan {
            timeout: timeout.map(us),
            arm: arm.map(|micros| NOW + us(micros)),
        }
    }

    #[test]
    fn without_deadlines_it_is_now_or_never() {
        assert_eq!(Wait::Now.plan(NOW), expect(Some(0), None));
        assert_eq!(Wait::FOREVER.plan(NOW), expect(None, None));
    }

    #[test]
    fn a_past_deadline_does_not_wait_and_arms_nothing() {
        let past = Some(NOW - us(5));
        for (coarse, fine) in [
            (past, None),
            (None, past),
            (Some(NOW), Some(NOW + us(3))),
            (Some(NOW + us(3)), Some(NOW)),
        ] {
            assert_eq!(
                Wait::Until { coarse, fine }.plan(NOW),
                expect(Some(0), None)
            );
        }
    }

    #[test]
    fn a_far_coarse_deadline_is_left_to_epoll_in_full() {
        assert_eq!(plan(Some(800), None), expect(Some(800), None));
        assert_eq!(plan(Some(5_300), None), expect(Some(5_300), None));
    }

    #[test]
    fn a_near_coarse_deadline_is_kept_a_little_later() {
        assert_eq!(plan(Some(1), None), expect(None, Some(201)));
        assert_eq!(plan(Some(799), None), expect(None, Some(999)));
    }

    #[test]
    fn a_near_fine_deadline_is_the_timerfds() {
        assert_eq!(plan(None, Some(1)), expect(None, Some(1)));
        assert_eq!(plan(None, Some(999)), expect(None, Some(999)));
        assert_eq!(plan(None, Some(1_099)), expect(None, Some(1_099)));
    }

    #[test]
    fn a_far_fine_deadline_takes_whole_milliseconds_first() {
        assert_eq!(plan(None, Some(1_100)), expect(Some(1_000), None));
        assert_eq!(plan(None, Some(5_300)), expect(Some(5_000), None));
        assert_eq!(
            plan(None, Some(5_050)),
            expect(Some(4_000), None),
            "too close to 5 ms"
        );
        assert_eq!(plan(None, Some(2_000_400)), expect(Some(2_000_000), None));
    }

    #[test]
    fn of_both_kinds_the_earlier_ends_the_poll() {
        assert_eq!(plan(Some(400), Some(5_300)), expect(Some(5_000), Some(600)));
        assert_eq!(plan(Some(9_000), Some(5_300)), expect(Some(5_000), None));
        // Rounded up to 6 ms, the coarse wait alone would miss the fine deadline.
        assert_eq!(plan(Some(5_100), Some(5_300)), expect(Some(5_000), None));
        assert_eq!(plan(Some(200), Some(700)), expect(None, Some(400)));
        assert_eq!(plan(Some(700), Some(200)), expect(None, Some(200)));
        assert_eq!(plan(Some(900), Some(200)), expect(Some(900), Some(200)));
    }

    #[test]
    fn the_last_instant_there_is_can_be_waited_for() {
        let never = Some(Instant::from_nanos(i64::MAX));
        let plan = Wait::Until {
            coarse: never,
            fine: never,
        }
        .plan(NOW);
        assert_eq!(plan.arm, None);
        assert!(plan.timeout > Some(Duration::from_secs(1 << 33)));
    }
}
