//! `Condvar`: std's, cooperative; no notification is ever lost.
//!
//! ```text
//! wait: queue up ─ let the mutex go ─ park ── Given ────► lock again, shielded ──► returns
//!                                          ── expired ──► lock again, shielded ──► timed out
//!                                          ── killed ───► unwinds, without the mutex and without a notification
//! ```
//!
//! The caller is in the queue before the mutex is free, so a notification that is given with the mutex held cannot fall in
//! between. Once a waiter is granted, the notification is its own: kills and deadlines are held back until it has the mutex
//! again, and are delivered at its next wait. One whose hub ends before it ran gives the notification to the next.
//!
//! This file never looks at the value.
#![forbid(unsafe_code)]

use std::sync::LockResult;
use std::time::Duration;

use super::TIMED;
use super::cell::Locked;
use super::mutex::MutexGuard;
use super::raw_mutex::RawMutex;
use crate::clock::{Instant, deadline_after};
use crate::greenlet::hot::hot;
use crate::greenlet::interrupt::shielded;
use crate::park::{
    Blocked, End, Grant, How, Lock, Place, Reason, Report, Ticket, Turn, WaitQueue, block_after,
};

/// Waits, without a lock that it lets go meanwhile, until somebody says that something has changed.
///
/// ```
/// use greenloom::sync::{Arc, Condvar, Mutex};
/// use greenloom::{spawn, yield_now};
///
/// let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
/// let consumer = {
///     let shared = Arc::clone(&shared);
///     spawn(move || {
///         let items = shared.0.lock().unwrap();
///         let mut items = shared.1.wait_while(items, |items| items.is_empty()).unwrap();
///         items.pop()
///     })
/// };
/// yield_now();
/// shared.0.lock().unwrap().push("dish");
/// shared.1.notify_one();
/// assert_eq!(consumer.join().unwrap(), Some("dish"));
/// ```
///
/// Waiters are notified in the order in which they came. To notify does not let go of the mutex, nor does it need it.
///
/// # Differences from the standard library
///
/// * A wait parks the task, not the thread, and ends for no reason but those documented (use a loop or
///   [`wait_while`](Self::wait_while) all the same: others may lock first).
/// * [`notify_n`](Self::notify_n) notifies several.
/// * It may be used with several mutexes at a time: each waiter locks its own again. (std panics.)
/// * [`WaitTimeoutResult`] is a type of this crate, since std's cannot be made.
#[derive(Debug)]
#[doc(alias = "Condition")]
pub struct Condvar {
    queue: Lock<WaitQueue>,
}

/// Whether a timed wait on a [`Condvar`] ended by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult {
    timed_out: bool,
}

impl WaitTimeoutResult {
    /// True if the time passed without a notification.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl Condvar {
    /// With no waiters.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: Lock::new(WaitQueue::new()),
        }
    }

    /// Lets the mutex go, waits for a notification, and locks again.
    ///
    /// A task that is killed while it waits unwinds without the mutex, and takes no notification. Once notified it returns, and
    /// a kill is delivered at its next wait.
    ///
    /// # Blocking
    /// Switches. Kills and the deadlines of enclosing `timeout` calls are delivered while it waits for the notification; who is
    /// unwinding waits all the same. Locking again is shielded.
    ///
    /// # Errors
    /// Never: nothing poisons.
    ///
    /// # Panics
    /// Where nothing can wait: in a callback of the hub, in a forked child. On main, with the deadlock, if no notification can
    /// come.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        Ok(self.park(guard, None).0)
    }

    /// Waits, again and again, while `condition` says true of the value.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait); not at all if the condition is false to begin with.
    ///
    /// # Errors
    /// Never: nothing poisons.
    ///
    /// # Panics
    /// As [`wait`](Self::wait), and as `condition`, which unlocks.
    #[doc(alias = "wait_for")]
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.park(guard, None).0;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), for at most `d`. The mutex is locked again either way, which may take longer.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait). An enclosing `timeout` that expires first ends it like its own time; who is unwinding does not
    /// wait for a notification.
    ///
    /// # Errors
    /// Never: nothing poisons.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        d: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (guard, notified) = self.park(guard, Some(deadline_after(d)));
        let timed_out = !notified;
        Ok((guard, WaitTimeoutResult { timed_out }))
    }

    /// As [`wait_while`](Self::wait_while), for at most `d` in all. Timed out means that the condition was still true.
    ///
    /// # Blocking
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Errors
    /// Never: nothing poisons.
    ///
    /// # Panics
    /// As [`wait_while`](Self::wait_while).
    #[track_caller]
    pub fn wait_timeout_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        d: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = deadline_after(d);
        let mut in_time = true;
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult { timed_out: false }));
            }
            if !in_time {
                return Ok((guard, WaitTimeoutResult { timed_out: true }));
            }
            (guard, in_time) = self.park(guard, Some(deadline));
        }
    }

    /// Notifies the waiter that has waited longest, if there is one.
    ///
    /// # Blocking
    /// Never switches: the waiter goes on when it has its turn, and the mutex.
    #[doc(alias = "notify")]
    pub fn notify_one(&self) {
        self.notify_n(1);
    }

    /// Notifies the `n` waiters that have waited longest, or all if there are fewer.
    ///
    /// # Blocking
    /// Never switches.
    #[doc(alias = "notify")]
    pub fn notify_n(&self, n: usize) {
        for _ in 0..n {
            let Some(((), who)) = self.queue.with(WaitQueue::give) else {
                return;
            };
            who.unpark();
        }
    }

    /// Notifies all who wait at the moment of the call, in order.
    ///
    /// # Blocking
    /// Never switches.
    pub fn notify_all(&self) {
        for ((), who) in self.queue.with(WaitQueue::give_all) {
            who.unpark();
        }
    }

    /// Waits (`None`: without a limit), and has the lock again. False if the time passed.
    #[track_caller]
    fn park<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Option<Instant>>,
    ) -> (MutexGuard<'a, T>, bool) {
        // Before the mutex goes: where nothing can wait this panics.
        let ticket = Ticket::must();
        let how = How {
            reasons: &[Reason::at("notification of a condition variable", self)],
            deadline: deadline.flatten(),
            report: if deadline.is_some() {
                TIMED
            } else {
                Report::NOTHING
            },
        };
        let hold = guard.into_hold();
        let mutex = hold.cell();
        let enter = |_: &mut WaitQueue| Err::<(), _>(((), Turn::Last));
        let blocked = block_after(self, ticket, &how, enter, move || drop(hold));
        let notified = match blocked {
            Blocked::Now(()) | Blocked::Granted(_) => true,
            Blocked::Ended(End::Granted, _) => unreachable!("granted is no such end"),
            Blocked::Ended(..) => false,
        };
        (relock(mutex), notified)
    }
}

/// Locks again; kills and deadlines are held back.
#[track_caller]
fn relock<T: ?Sized>(mutex: &Locked<RawMutex, T>) -> MutexGuard<'_, T> {
    let hold = match (mutex.try_lock(), hot().current.get()) {
        (Some(hold), _) => hold,
        (None, Some(me)) => shielded(me, || mutex.lock()),
        (None, None) => mutex.lock(),
    };
    MutexGuard::from_hold(hold)
}

impl Place for Condvar {
    type State = WaitQueue;
    type Payload = ();

    fn lock(&self) -> &Lock<WaitQueue> {
        &self.queue
    }

    fn waiters(state: &mut WaitQueue) -> &mut WaitQueue {
        state
    }

    fn refund(&self, _: Grant) {
        self.notify_one();
    }
}
