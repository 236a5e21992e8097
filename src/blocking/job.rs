//! `Job`: the handle of one job, by which its result is waited for.
//!
//! ```text
//! Job ──► Slot ◄── queue or worker          dropped: the job goes on, its result goes with the worker
//! ```
#![forbid(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::core::{AnyJob, Outside, Pool};
use super::error::OffloadError;
use super::slot::Outcome;
use crate::clock::{Instant, deadline_after};
use crate::greenlet::engine;
use crate::greenlet::hot::hot;
use crate::park::{End, How, Reason, Report, Ticket, Waiting, park_until};

/// A job of a [`ThreadPool`](super::ThreadPool): waits for its result, from any task or thread.
///
/// Dropping it detaches the job, which goes on; its result is dropped by the worker, or here if it is there already. A panic in
/// that is told by std's hook and stops nothing.
#[must_use = "a job that is dropped goes on, and its result is lost"]
pub struct Job<T> {
    slot: Arc<dyn Outcome<T>>,
    pool: Arc<Pool>,
}

impl<T> Job<T> {
    pub(super) fn new(slot: Arc<dyn Outcome<T>>, pool: Arc<Pool>) -> Self {
        Self { slot, pool }
    }

    /// Waits until the job is over, and takes its result.
    ///
    /// A worker that joins a job of its own pool which has not begun runs it there: it would wait for itself otherwise.
    ///
    /// # Blocking
    /// Switches, unless it is over. Kills and deadlines are delivered here; the job then goes on without the caller.
    ///
    /// # Errors
    /// See [`OffloadError`]. After `Unwinding` and `CannotWait`, the job goes on, detached.
    #[doc(alias = "get")]
    #[doc(alias = "result")]
    pub fn join(self) -> Result<T, OffloadError> {
        match self.wait(None, Report::ERRORS) {
            Ok(result) => result,
            Err((end, _)) => Err(ended(end)),
        }
    }

    /// As [`join`](Self::join), for at most `d`.
    ///
    /// # Blocking
    /// As `join`. An enclosing [`timeout`](crate::timeout) that expires first ends it like its own time.
    ///
    /// # Errors
    /// The handle, if the job is not over in time; inside the `Ok`, see [`OffloadError`].
    pub fn join_timeout(self, d: Duration) -> Result<Result<T, OffloadError>, Self> {
        match self.wait(deadline_after(d), Report::ALL) {
            Ok(result) => Ok(result),
            Err((End::TimedOut | End::Elapsed, job)) => Err(job),
            Err((end, _)) => Ok(Err(ended(end))),
        }
    }

    /// Takes the result, if the job is over.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// The handle, if the job is not over; inside the `Ok`, see [`OffloadError`].
    pub fn try_join(self) -> Result<Result<T, OffloadError>, Self> {
        if let Err(e) = self.pool.check_process() {
            return Ok(Err(OffloadError::CannotWait(e)));
        }
        self.slot.take().ok_or(self)
    }

    /// Whether the job is over: it has returned or panicked, or will never run.
    ///
    /// In a forked child, that is not known: false.
    #[doc(alias = "ready")]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.pool.check_process().is_ok() && self.slot.is_over()
    }

    /// Takes the job back, if it has not begun: true, if it will never run. A join then says
    /// [`Cancelled`](OffloadError::Cancelled). The closure is dropped here.
    ///
    /// # Blocking
    /// Never switches. Takes time in proportion to the length of the queue.
    pub fn cancel(&self) -> bool {
        if self.pool.check_process().is_err() || !self.slot.cancel() {
            return false;
        }
        self.forget();
        true
    }

    /// Takes it out of the queue: it will not run from there.
    fn forget(&self) {
        let slot = Arc::as_ptr(&self.slot).cast::<()>();
        self.pool
            .forget(|job: &AnyJob| Arc::as_ptr(job).cast::<()>() == slot);
    }

    fn wait(
        self,
        deadline: Option<Instant>,
        report: Report,
    ) -> Result<Result<T, OffloadError>, (End, Self)> {
        if let Err(e) = self.pool.check_process() {
            return Ok(Err(OffloadError::CannotWait(e)));
        }
        if let Some(result) = self.slot.take() {
            return Ok(result);
        }
        let ticket = match Ticket::new() {
            Ok(ticket) => ticket,
            Err(e) => return Ok(Err(OffloadError::CannotWait(e))),
        };
        if self.pool.is_mine() && matches!(ticket, Ticket::Thread) {
            // It is not the queue's any more; if it has begun elsewhere, that goes on.
            let _ = self.slot.run();
            self.forget();
        }
        await_slot(&*self.slot, ticket, deadline, report).map_err(|end| (end, self))
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        // In a forked child the lock may be held for ever.
        if self.pool.check_process().is_ok() {
            self.slot.abandon();
        }
    }
}

/// The error of a wait that ended without a result and without a limit of its own.
pub(super) fn ended(end: End) -> OffloadError {
    OffloadError::CannotWait(match end {
        End::Unwinding => return OffloadError::Unwinding,
        // While a job is under way main is not taken for lost.
        End::Deadlock(deadlock) => io::Error::other(deadlock),
        End::Granted | End::TimedOut | End::Elapsed => io::ErrorKind::TimedOut.into(),
    })
}

/// Waits until the job in `slot` is over.
///
/// # Errors
/// How the wait ended otherwise. The slot knows the caller no more.
#[inline]
pub(super) fn await_slot<T, S: Outcome<T> + ?Sized>(
    slot: &S,
    ticket: Ticket,
    deadline: Option<Instant>,
    report: Report,
) -> Result<Result<T, OffloadError>, End> {
    if !slot.watch(ticket.unparker()) {
        return slot.take().ok_or(End::TimedOut);
    }
    let _outside = Outside::of(&ticket);
    let how = How {
        reasons: &[Reason::new("a job of a thread pool", 0)],
        deadline,
        report,
    };
    let watching = Watching::<T, S>(slot, PhantomData);
    match park_until(ticket, &how, &watching) {
        End::Granted => slot.take().ok_or(End::TimedOut),
        end => Err(end),
    }
}

/// A wait for a slot, taken back on every way out.
struct Watching<'a, T, S: Outcome<T> + ?Sized>(&'a S, PhantomData<fn() -> T>);

impl<T, S: Outcome<T> + ?Sized> Waiting for Watching<'_, T, S> {
    fn granted(&self) -> bool {
        self.0.is_over()
    }

    fn cancel(&self) -> bool {
        self.0.unwatch()
    }

    // A result that has come already is leaked with the waiter.
    fn abandon(&self) {
        self.0.detach();
    }
}

impl<T, S: Outcome<T> + ?Sized> Drop for Watching<'_, T, S> {
    fn drop(&mut self) {
        self.0.unwatch();
    }
}

/// Whether the caller unwinds, so that it does not wait.
pub(super) fn unwinding() -> bool {
    std::thread::panicking() && hot().current.get().is_some() && engine::unwinding(hot())
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
