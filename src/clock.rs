//! Time: the [`Instant`] that all deadlines are written in, and the one [`Clock`] it is read from.
//!
//! ```text
//!   std::time::Instant   (opaque, the kernel's monotonic clock)
//!          │  minus ANCHOR, taken once per process, on first use
//!          ▼
//!   Instant(i64)         nanoseconds since ANCHOR; before it: negative
//! ```
//!
//! A signed 64-bit count reaches 292 years to either side of the anchor. It makes a deadline one integer:
//! the timer heap compares it in one instruction, and simulated time can start where it likes.
//!
//! Every reading goes through [`source`], the only function of the crate that may ask the operating system
//! for the time. On the thread of a seeded simulation it answers with that thread's simulated time instead:
//!
//! ```text
//!   SIMULATED   false: no thread ever had simulated time, all time is real      one load, all that real time pays
//!      │ true
//!      ▼
//!   HERE        this thread's simulated time, if it has one: it stands still until `advance` moves it
//! ```
//!
//! Nothing else may know whether time is real. This file knows no timers, greenlets or hubs, and nothing here ever
//! waits.
#![forbid(unsafe_code)]
// Until the layers above land: `time` re-exports `Instant`, the hub uses the rest.
#![allow(dead_code, unreachable_pub)]

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// The moment all instants count from. It is only ever compared against, so when it is taken does not matter.
static ANCHOR: OnceLock<std::time::Instant> = OnceLock::new();

fn anchor() -> std::time::Instant {
    *ANCHOR.get_or_init(std::time::Instant::now)
}

/// Whether any thread ever had simulated time. What a thread reads of it matters only after its own store.
static SIMULATED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// This thread's simulated time. Without a destructor, so that it can be read to the thread's very end.
    static HERE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Reads the time. The seam for simulated time: see the file's head.
#[inline]
fn source() -> Instant {
    if SIMULATED.load(Ordering::Relaxed)
        && let Some(simulated) = here()
    {
        return simulated;
    }
    Instant::from(std::time::Instant::now())
}

/// Kept out of the way of those who read real time.
#[cold]
fn here() -> Option<Instant> {
    HERE.get()
}

/// Time is real again on this thread: its hub has ended.
pub(crate) fn end_simulation() {
    HERE.set(None);
}

/// `duration` in nanoseconds, or `None` beyond 584 years, which no two instants are apart.
#[inline]
fn nanos(duration: Duration) -> Option<u64> {
    let whole = duration.as_secs().checked_mul(NANOS_PER_SEC)?;
    whole.checked_add(u64::from(duration.subsec_nanos()))
}

/// A moment in time: [`std::time::Instant`] with the same methods, operators and panics.
///
/// It differs from std's type in two ways. It is an integer of nanoseconds within, so it reaches 292 years to
/// either side of the program's start and not further; arithmetic beyond that is an overflow, reported as std
/// reports its own. And it is what this crate's simulated clock runs on: in a simulation (`hub::simulate`)
/// [`Instant::now`] gives simulated time. To compare that with an instant of another thread says nothing, and does no
/// harm: differences are zero where they would be negative.
///
/// Conversion [from](From) and [into](Into) std's type is exact within that reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// The moment of the call.
    #[inline]
    #[must_use]
    pub fn now() -> Self {
        source()
    }

    /// The time that passed from `earlier` to `self`; zero if `earlier` is later, as in std.
    #[inline]
    #[must_use]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }

    /// The time that passed from `earlier` to `self`, or `None` if `earlier` is later.
    #[inline]
    #[must_use]
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        (self.0 >= earlier.0).then(|| Duration::from_nanos(self.0.abs_diff(earlier.0)))
    }

    /// The time that passed from `earlier` to `self`; zero if `earlier` is later.
    #[inline]
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.checked_duration_since(earlier).unwrap_or_default()
    }

    /// The time that has passed since `self`; zero if `self` is yet to come.
    #[inline]
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::now().saturating_duration_since(*self)
    }

    /// `self + duration`, or `None` if that is out of reach.
    #[inline]
    #[must_use]
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add_unsigned(nanos(duration)?).map(Self)
    }

    /// `self - duration`, or `None` if that is out of reach.
    #[inline]
    #[must_use]
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub_unsigned(nanos(duration)?).map(Self)
    }

    /// `self + duration`, or the last instant there is.
    #[inline]
    pub(crate) fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self(i64::MAX))
    }

    /// Nanoseconds since the process's anchor; only differences mean anything.
    #[inline]
    pub(crate) const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The inverse of [`as_nanos`](Self::as_nanos).
    #[inline]
    pub(crate) const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }
}

/// The deadline of a wait of `duration` that starts now, or `None`, which is to say never, where that is out
/// of an instant's reach (as with [`Duration::MAX`]).
#[inline]
pub(crate) fn deadline_after(duration: Duration) -> Option<Instant> {
    Instant::now().checked_add(duration)
}

/// Prints the distance from the anchor, with its sign.
impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(
            f,
            "Instant({sign}{:?})",
            Duration::from_nanos(self.0.unsigned_abs())
        )
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// # Panics
    ///
    /// If the result is out of reach; see [`Instant::checked_add`].
    #[track_caller]
    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration)
            .expect("overflow when adding duration to instant")
    }
}

impl AddAssign<Duration> for Instant {
    #[track_caller]
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// # Panics
    ///
    /// If the result is out of reach; see [`Instant::checked_sub`].
    #[track_caller]
    fn sub(self, duration: Duration) -> Self {
        self.checked_sub(duration)
            .expect("overflow when subtracting duration from instant")
    }
}

impl SubAssign<Duration> for Instant {
    #[track_caller]
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time from `earlier` to `self`; zero if `earlier` is later, as in std.
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl From<std::time::Instant> for Instant {
    /// Exact within 292 years of the program's start; beyond that, the nearest instant there is.
    #[inline]
    fn from(instant: std::time::Instant) -> Self {
        let anchor = anchor();
        match instant.checked_duration_since(anchor) {
            Some(after) => Self(0).saturating_add(after),
            None => Self(0)
                .checked_sub(anchor.duration_since(instant))
                .unwrap_or(Self(i64::MIN)),
        }
    }
}

impl From<Instant> for std::time::Instant {
    /// Exact.
    ///
    /// # Panics
    ///
    /// As std's own arithmetic does, for an instant that std cannot express on this platform. There is none
    /// on Linux; some systems cannot express times before their boot.
    #[inline]
    fn from(instant: Instant) -> Self {
        let distance = Duration::from_nanos(instant.0.unsigned_abs());
        if instant.0 < 0 {
            anchor() - distance
        } else {
            anchor() + distance
        }
    }
}

/// A hub's view of time: a fresh reading when asked, and the last one for those whom a turn's precision
/// serves, at the price of a load.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Cell<Instant>,
}

impl Clock {
    /// A clock that has been read once.
    pub(crate) fn new() -> Self {
        Self {
            last: Cell::new(source()),
        }
    }

    /// A clock that makes this thread's time simulated, until [`end_simulation`]. It begins where the process's count of
    /// time does, so that it reads the same in every run; in a forked child it goes on.
    pub(crate) fn simulated() -> Self {
        SIMULATED.store(true, Ordering::Relaxed);
        HERE.set(HERE.get().or(Some(Instant(0))));
        Self::new()
    }

    /// Moves this thread's simulated time on to `to`; never back.
    pub(crate) fn advance(&self, to: Instant) {
        debug_assert!(HERE.get().is_some(), "real time moves by itself");
        HERE.set(HERE.get().map(|now| now.max(to)));
    }

    /// Reads the time, and remembers it for [`last`](Self::last).
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        let now = source();
        self.last.set(now);
        now
    }

    /// What [`now`](Self::now) returned last: never later than the present, and as old as the hub's turn.
    #[inline]
    pub(crate) fn last(&self) -> Instant {
        self.last.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::panic::catch_unwind;

    /// The same program over std's type and ours; each line is one a ported program could contain.
    macro_rules! std_program {
        ($name:ident, $instant:ty) => {
            #[test]
            fn $name() {
                fn shared<T: Send + Sync + Unpin + std::panic::UnwindSafe + 'static>() {}
                shared::<$instant>();
                let start = <$instant>::now();
                let second = Duration::from_secs(1);
                let later = start + second;
                assert!(later > start && start >= start);
                assert_eq!(later - start, second);
                assert_eq!(start - later, Duration::ZERO);
                assert_eq!(start.duration_since(later), Duration::ZERO);
                assert_eq!(start.checked_duration_since(later), None);
                assert_eq!(later.checked_duration_since(start), Some(second));
                assert_eq!(start.checked_duration_since(start), Some(Duration::ZERO));
                assert_eq!(start.saturating_duration_since(later), Duration::ZERO);
                assert_eq!(later.saturating_duration_since(start), second);
                assert_eq!(later - second, start);
                let mut moving = start;
                moving += second;
                assert_eq!(moving, later);
                moving -= second;
                assert_eq!(moving, start);
                assert_eq!(start.checked_add(Duration::MAX), None);
                assert_eq!(start.checked_sub(Duration::MAX), None);
                assert_eq!(start.checked_add(second), Some(later));
                assert_eq!(later.checked_sub(second), Some(start));
                let since_later = later.elapsed();
                assert!(since_later <= start.elapsed());
                assert_eq!(
                    (start + Duration::from_secs(3600)).elapsed(),
                    Duration::ZERO
                );
                assert!(<$instant>::now() >= start);
                assert_eq!(HashSet::from([start, later, moving]).len(), 2);
                assert_eq!(start.max(later), later);
                assert_eq!(start.clone(), start);
                assert!(format!("{start:?}").starts_with("Instant"));
                assert!(catch_unwind(|| start + Duration::MAX).is_err());
                assert!(catch_unwind(|| start - Duration::MAX).is_err());
            }
        };
    }
    #[allow(clippy::clone_on_copy)]
    mod programs {
        use super::*;
        std_program!(a_std_program_with_std, std::time::Instant);
        std_program!(a_std_program_with_ours, Instant);
    }

    #[test]
    fn conversion_is_exact_both_ways() {
        let base = std::time::Instant::now();
        // The anchor may be taken now or long ago: both sides of it must convert.
        for offset in [0, 1, 999, 1_000_000_007, 3_600_000_000_001, 1 << 60] {
            let offset = Duration::from_nanos(offset);
            let after = base + offset;
            assert_eq!(std::time::Instant::from(Instant::from(after)), after);
            assert_eq!(
                Instant::from(after) - Instant::from(base),
                offset,
                "distances survive"
            );
            let before = base - offset;
            assert_eq!(std::time::Instant::from(Instant::from(before)), before);
            assert_eq!(Instant::from(base) - Instant::from(before), offset);
        }
        for nanos in [0, 1, -1, i64::MAX, i64::MIN, 1 << 40, -(1 << 40)] {
            let ours = Instant::from_nanos(nanos);
            assert_eq!(Instant::from(std::time::Instant::from(ours)), ours);
        }
    }

    #[test]
    fn now_lies_between_two_readings_of_std() {
        let before = std::time::Instant::now();
        let ours = std::time::Instant::from(Instant::now());
        assert!(before <= ours && ours <= std::time::Instant::now());
    }

    #[test]
    fn std_instants_out_of_reach_become_the_ends() {
        let far = Duration::from_secs(400 * 365 * 86_400);
        let now = std::time::Instant::now();
        assert_eq!(Instant::from(now + far).as_nanos(), i64::MAX);
        assert_eq!(Instant::from(now - far).as_nanos(), i64::MIN);
    }

    #[test]
    fn arithmetic_reaches_from_end_to_end() {
        let first = Instant::from_nanos(i64::MIN);
        let last = Instant::from_nanos(i64::MAX);
        let all = Duration::from_nanos(u64::MAX);
        assert_eq!(last - first, all);
        assert_eq!(first + all, last);
        assert_eq!(last - all, first);
        assert_eq!(first.checked_add(all + Duration::from_nanos(1)), None);
        assert_eq!(last.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(first.checked_sub(Duration::from_nanos(1)), None);
        assert_eq!(last.saturating_add(Duration::from_nanos(1)), last);
        assert_eq!(last.saturating_add(Duration::MAX), last);
        assert_eq!(
            first.saturating_add(Duration::from_nanos(5)).as_nanos(),
            i64::MIN + 5
        );
    }

    #[test]
    fn a_deadline_out_of_reach_is_never() {
        assert_eq!(deadline_after(Duration::MAX), None);
        let before = Instant::now();
        let deadline = deadline_after(Duration::from_secs(9)).expect("within reach");
        assert!(deadline >= before + Duration::from_secs(9));
        assert!(deadline <= Instant::now() + Duration::from_secs(9));
    }

    #[test]
    fn debug_shows_the_sign() {
        assert_eq!(
            format!("{:?}", Instant::from_nanos(1_500_000_000)),
            "Instant(1.5s)"
        );
        assert_eq!(
            format!("{:?}", Instant::from_nanos(-3_000_000)),
            "Instant(-3ms)"
        );
    }

    #[test]
    fn the_clock_remembers_its_last_reading() {
        let clock = Clock::new();
        let first = clock.last();
        let now = clock.now();
        assert!(now >= first);
        assert_eq!(clock.last(), now);
        assert!(clock.now() >= now);
    }

    #[test]
    fn simulated_time_is_one_thread_s_own_and_moves_only_when_told() {
        let real = Instant::now();
        let thread = std::thread::spawn(move || {
            let clock = Clock::simulated();
            let start = Instant::now();
            assert_eq!((start.as_nanos(), clock.now()), (0, start));
            clock.advance(start + Duration::from_secs(9));
            clock.advance(start + Duration::from_secs(7));
            assert_eq!(clock.last(), start, "read before it was moved");
            assert_eq!(clock.now() - start, Duration::from_secs(9));
            assert_eq!(start.elapsed(), Duration::from_secs(9));
            assert!(std::thread::spawn(Instant::now).join().expect("a time") >= real);
            end_simulation();
            assert!(Instant::now() >= real);
        });
        thread.join().expect("no assertion failed");
        assert!(Instant::now() >= real);
    }
}
