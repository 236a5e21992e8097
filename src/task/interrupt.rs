//! `timeout`, `shield`, `finally`: what breaks off a wait, and what holds that back.
#![forbid(unsafe_code)]

use core::fmt;
use std::panic::resume_unwind;
use std::time::Duration;

use crate::clock::{Instant, deadline_after};
use crate::greenlet::engine;
use crate::greenlet::interrupt::{DeadlineFrame, DeadlinePayload, Deadlines, shielded};
use crate::hub::sched::{self, Alarm, Hub};
use crate::timers::{TimerFlags, TimerId};

/// The time of a [`timeout`] passed, and something was broken off.
#[derive(Clone, PartialEq, Eq)]
pub struct Elapsed<T = ()> {
    after: Duration,
    value: Option<T>,
}

impl<T> Elapsed<T> {
    /// The time that was allowed.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// What the closure returned all the same, if a wait in it reported the expiry as an error and it went on to its end.
    pub fn into_value(self) -> Option<T> {
        self.value
    }
}

impl<T> fmt::Debug for Elapsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elapsed")
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Elapsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out after {:?}", self.after)
    }
}

impl<T> std::error::Error for Elapsed<T> {}

fn now_nanos() -> i64 {
    Instant::now().as_nanos()
}

/// Runs `f` with a time limit on the waits in it.
///
/// When `d` has passed, the wait in progress ends, once: if it can report a timeout (io, every `_timeout` form), it does,
/// so that `?` and destructors run normally; any other wait, and any later wait in `f`, unwinds to this call. What
/// never waits is not interrupted. Zero ends the first wait in `f`. Scopes nest; each call returns for its own expiry
/// only.
///
/// ```
/// use std::time::Duration;
///
/// let late = greenloom::timeout(Duration::from_millis(5), || greenloom::sleep(Duration::from_secs(60)));
/// assert!(late.is_err());
/// assert_eq!(greenloom::timeout(Duration::from_secs(60), || 7).unwrap(), 7);
/// ```
///
/// # Blocking
/// As `f`.
///
/// # Errors
/// [`Elapsed`], if and only if the expiry was delivered to a wait in `f`.
///
/// # Panics
/// As `f`; in a callback of the hub; if the thread needs a hub and cannot get one. Under `panic = "abort"` nothing
/// unwinds: waits that can report return their error each time, others go on.
#[doc(alias = "Timeout")]
#[doc(alias = "with_timeout")]
#[track_caller]
pub fn timeout<T>(d: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed<T>> {
    let Some(deadline) = deadline_after(d) else {
        return Ok(f());
    };
    let (hot, hub) = match sched::ensure() {
        Ok(x) => x,
        Err(e) => panic!("timeout needs a hub: {e}"),
    };
    let (_, me) = engine::enter();
    assert!(
        me != hot.hub(),
        "timeout was called in a callback of the hub, which cannot wait"
    );
    let frame = DeadlineFrame::new(hot.serial(), deadline.as_nanos(), now_nanos);
    let timer = (!d.is_zero()).then(|| {
        let flags = TimerFlags {
            fine: d < Duration::from_millis(1),
            daemon: true,
        };
        Cancel(
            hub,
            hub.set_timer(deadline, flags, Alarm::Interrupt(me, me.id.get())),
        )
    });
    let result = engine::caught(|| Deadlines::within(me, &frame, f));
    drop(timer);
    match result {
        Ok(value) if !frame.delivered.get() => Ok(value),
        Ok(value) => Err(Elapsed {
            after: d,
            value: Some(value),
        }),
        Err(payload) => match payload.downcast::<DeadlinePayload>() {
            Ok(own) if own.0 == frame.id => Err(Elapsed {
                after: d,
                value: None,
            }),
            Ok(other) => resume_unwind(other),
            Err(payload) => resume_unwind(payload),
        },
    }
}

struct Cancel(&'static Hub, TimerId);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.cancel_timer(self.1);
    }
}

/// Runs `f` with kills and the deadlines of enclosing `timeout` calls held back. They are delivered at the first wait after
/// it. A `timeout` inside `f` counts.
pub fn shield<R>(f: impl FnOnce() -> R) -> R {
    let (_, me) = engine::enter();
    shielded(me, f)
}

/// Runs `body`, then `cleanup`, whether `body` returned, panicked, was killed or timed out; then goes on with that.
///
/// Unlike a destructor, `cleanup` runs shielded and not unwinding: it may wait.
///
/// # Panics
/// As `body`, and as `cleanup`.
pub fn finally<R>(body: impl FnOnce() -> R, cleanup: impl FnOnce()) -> R {
    let result = engine::caught(body);
    shield(cleanup);
    match result {
        Ok(r) => r,
        Err(payload) => resume_unwind(payload),
    }
}
