//! `Future`: the result of a job, to come; and the other end of it, which the job holds.
//!
//! | stage | result | callbacks, notices | who moves on |
//! | --- | --- | --- | --- |
//! | Pending | – | any | who runs the job: Running; who cancels it: Lent |
//! | Running | – | any | who runs it: Lent |
//! | Lent | with who calls the callbacks, or looks at it | those that came since | the same: Done, when no callback is left |
//! | Done | here | **none** | who adds a callback or looks at it: Lent; who takes it: Taken |
//! | Taken | gone, and so is the handle | none | |
//!
//! The result is lent out and not shared, so that a value need not be `Sync`. Nothing of a user's runs, and nothing is
//! dropped, in the lock (invariant 4). Waiting is a notice on a board, the same for one future or many.
#![forbid(unsafe_code)]

use core::any::Any;
use core::fmt;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use super::error::FutureError;
use crate::blocking::Outside;
use crate::clock::{Instant, deadline_after};
use crate::greenlet::hot::{Phase, hot};
use crate::greenlet::interrupt::is_interrupt;
use crate::greenlet::{engine, report};
use crate::hub::sched;
use crate::park::{Board, End, How, Lock, Notice, Reason, Report, Ticket};
use crate::select::Waitable;

type Outcome<T> = Result<T, FutureError>;

type Callback<T> = Box<dyn FnOnce(&Outcome<T>) + Send>;

enum Stage<T> {
    Pending,
    Running,
    Lent,
    Done(Outcome<T>),
    Taken,
}

/// What is known of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FutureState {
    /// It has not begun.
    Pending,
    /// It runs.
    Running,
    /// It returned.
    Returned,
    /// It panicked.
    Panicked,
    /// It was cancelled before it began.
    Cancelled,
    /// It had begun when its worker was killed.
    Lost,
}

struct State<T> {
    stage: Stage<T>,
    known: FutureState,
    callbacks: Vec<Callback<T>>,
    notices: Vec<Notice>,
}

struct Shared<T> {
    state: Lock<State<T>>,
    place: Place,
}

/// Where a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a task.
    Hub,
    /// On a thread of a pool: no hub takes a wait for it for hopeless, nor lets simulated time pass meanwhile.
    Pool,
}

impl<T> Shared<T> {
    /// Runs the callbacks with the outcome, leaves it here, and tells those who wait. The stage is Lent.
    ///
    /// A kill that arrives in a callback goes on when that is done.
    fn settle(&self, outcome: Outcome<T>, known: FutureState) {
        let mut outcome = Some(outcome);
        let mut killed = None;
        loop {
            let (callbacks, notices) = self.state.with(|s| {
                s.known = known;
                let callbacks = core::mem::take(&mut s.callbacks);
                if callbacks.is_empty()
                    && let Some(outcome) = outcome.take()
                {
                    s.stage = Stage::Done(outcome);
                    return (callbacks, core::mem::take(&mut s.notices));
                }
                (callbacks, Vec::new())
            });
            let Some(outcome) = &outcome else {
                notices.iter().for_each(Notice::tell);
                break;
            };
            for callback in callbacks {
                if let Err(payload) = engine::caught(|| callback(outcome)) {
                    if is_interrupt(&*payload) {
                        killed = Some(payload);
                    } else {
                        callback_panicked(payload);
                    }
                }
            }
        }
        if let Some(payload) = killed {
            resume_unwind(payload);
        }
    }
}

/// Reports the panic of a callback, or of a drop, that nobody else will see.
pub(super) fn callback_panicked(payload: Box<dyn Any + Send>) {
    let hot = hot();
    match sched::get(hot) {
        Some(_) if hot.phase.get() == Phase::Active => report::unobserved(hot.hub(), payload),
        // std's hook has told of it.
        _ => report::drop_payload(payload),
    }
}

/// The job's end: settled exactly once. Dropped before that, it was cancelled, or is lost.
pub(super) struct Promise<T>(Arc<Shared<T>>);

impl<T> Promise<T> {
    /// A job that has not begun, and its future.
    pub(super) fn new(place: Place) -> (Self, Future<T>) {
        let shared = Arc::new(Shared {
            state: Lock::new(State {
                stage: Stage::Pending,
                known: FutureState::Pending,
                callbacks: Vec::new(),
                notices: Vec::new(),
            }),
            place,
        });
        (Self(Arc::clone(&shared)), Future { shared })
    }

    /// Runs `f`, unless the job was cancelled, and settles with what becomes of it. A kill goes on.
    pub(super) fn run(self, f: impl FnOnce() -> T) {
        let begun = self.0.state.with(|s| {
            let pending = matches!(s.stage, Stage::Pending);
            if pending {
                s.stage = Stage::Running;
                s.known = FutureState::Running;
            }
            pending
        });
        if !begun {
            return;
        }
        let (outcome, known, killed) = match engine::caught(f) {
            Ok(value) => (Ok(value), FutureState::Returned, None),
            Err(payload) if is_interrupt(&*payload) => {
                (Err(FutureError::Lost), FutureState::Lost, Some(payload))
            }
            Err(payload) => (
                Err(FutureError::Panicked(payload)),
                FutureState::Panicked,
                None,
            ),
        };
        self.0.state.with(|s| s.stage = Stage::Lent);
        self.0.settle(outcome, known);
        if let Some(payload) = killed {
            resume_unwind(payload);
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let known = self.0.state.with(|s| {
            let known = match s.stage {
                Stage::Pending => FutureState::Cancelled,
                // A kill that left `run` in the middle.
                Stage::Running => FutureState::Lost,
                _ => return None,
            };
            s.stage = Stage::Lent;
            Some(known)
        });
        match known {
            Some(FutureState::Cancelled) => self
                .0
                .settle(Err(FutureError::Cancelled), FutureState::Cancelled),
            Some(known) => self.0.settle(Err(FutureError::Lost), known),
            None => {}
        }
    }
}

/// The result of a job, to come. Made by [`Executor::submit`](super::Executor::submit).
///
/// `Send` and `Sync` if and only if `T` is `Send`. Dropping it lets the job go on.
///
/// ```
/// use greenloom::executor::{FutureState, TaskExecutor};
///
/// let executor = TaskExecutor::new(1);
/// let first = executor.submit(|| 1).unwrap();
/// let second = executor.submit(|| 2).unwrap();
/// assert_eq!(second.state(), FutureState::Pending);
/// assert!(second.cancel());
/// assert_eq!(first.result().unwrap(), 1);
/// assert!(second.result().unwrap_err().is_cancelled());
/// ```
///
/// # Differences from Python's `Future`
/// - [`result`](Self::result) gives the value away, and the future with it. [`with_result`](Self::with_result) lends it.
/// - Callbacks run before those who wait for the future go on, and are given the result.
#[must_use = "a future that is dropped loses the result"]
pub struct Future<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Future<T> {
    /// What is known of the job.
    pub fn state(&self) -> FutureState {
        self.shared.state.with(|s| s.known)
    }

    /// Whether the job runs.
    pub fn running(&self) -> bool {
        self.state() == FutureState::Running
    }

    /// Whether the job has ended or was cancelled. Its callbacks may not have.
    pub fn done(&self) -> bool {
        !matches!(self.state(), FutureState::Pending | FutureState::Running)
    }

    /// Whether the job was cancelled.
    pub fn cancelled(&self) -> bool {
        self.state() == FutureState::Cancelled
    }

    /// Cancels the job if it has not begun; its closure is dropped when its turn comes. True if it is cancelled, by this or
    /// before.
    ///
    /// # Blocking
    /// As the callbacks, which run here.
    pub fn cancel(&self) -> bool {
        let now = self.shared.state.with(|s| {
            let pending = matches!(s.stage, Stage::Pending);
            if pending {
                s.stage = Stage::Lent;
            }
            pending
        });
        if now {
            let error = Err(FutureError::Cancelled);
            self.shared.settle(error, FutureState::Cancelled);
        }
        now || self.cancelled()
    }

    /// Calls `f` with the result when it is there: in the job's worker, after the callbacks that were added before, or in
    /// whoever cancels it; here and now, if the job is done.
    ///
    /// A callback that panics is reported and does not stop the rest.
    ///
    /// # Blocking
    /// If the job is done, as `f`; otherwise never.
    pub fn add_done_callback(&self, f: impl FnOnce(&Result<T, FutureError>) + Send + 'static) {
        let callback: Callback<T> = Box::new(f);
        let now = self.shared.state.with(|s| {
            s.callbacks.push(callback);
            lend(s)
        });
        if let Some((outcome, known)) = now {
            self.shared.settle(outcome, known);
        }
    }

    /// Calls `f` with the result, if it is there: `None` if it is not, or a callback looks at it right now.
    ///
    /// # Blocking
    /// As `f`.
    ///
    /// # Panics
    /// As `f`.
    #[doc(alias = "exception")]
    pub fn with_result<R>(&self, f: impl FnOnce(&Result<T, FutureError>) -> R) -> Option<R> {
        let (outcome, known) = self.shared.state.with(lend)?;
        let seen = engine::caught(|| f(&outcome));
        self.shared.settle(outcome, known);
        match seen {
            Ok(r) => Some(r),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Waits until the job is done.
    ///
    /// # Blocking
    /// Switches, unless it is. Kills and deadlines are delivered here.
    ///
    /// # Errors
    /// Why it cannot wait: [`Deadlock`](FutureError::Deadlock), [`Unwinding`](FutureError::Unwinding),
    /// [`CannotWait`](FutureError::CannotWait). What became of the job is no error here.
    pub fn wait(&self) -> Result<FutureState, FutureError> {
        self.settled(None, Report::ERRORS)?;
        Ok(self.state())
    }

    /// As [`wait`](Self::wait), for at most `d`.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait). An enclosing [`timeout`](crate::timeout()) that expires first ends it like its own time.
    ///
    /// # Errors
    /// [`TimedOut`](FutureError::TimedOut), or as [`wait`](Self::wait).
    pub fn wait_timeout(&self, d: Duration) -> Result<FutureState, FutureError> {
        self.settled(deadline_after(d), Report::ALL)?;
        Ok(self.state())
    }

    /// Waits until the job is done and returns its result.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait).
    ///
    /// # Errors
    /// See [`FutureError`].
    pub fn result(self) -> Result<T, FutureError> {
        self.settled(None, Report::ERRORS)?;
        self.take()
    }

    /// Waits for at most `d`. If the job is not done by then, hands the future back.
    ///
    /// # Blocking
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Errors
    /// The future, if the job goes on; inside the `Ok`, as [`result`](Self::result).
    pub fn result_timeout(self, d: Duration) -> Result<Result<T, FutureError>, Self> {
        self.result_until(deadline_after(d))
    }

    /// As [`result_timeout`](Self::result_timeout), with a deadline: `None` is never.
    pub(super) fn result_until(
        self,
        deadline: Option<Instant>,
    ) -> Result<Result<T, FutureError>, Self> {
        match self.settled(deadline, Report::ALL) {
            Ok(()) => Ok(self.take()),
            Err(FutureError::TimedOut) => Err(self),
            Err(e) => Ok(Err(e)),
        }
    }

    fn take(self) -> Result<T, FutureError> {
        let stage = self.shared.state.with(|s| match s.stage {
            Stage::Done(_) => core::mem::replace(&mut s.stage, Stage::Taken),
            _ => Stage::Taken,
        });
        match stage {
            Stage::Done(outcome) => outcome,
            // Lent by this very handle, which nobody else has.
            _ => unreachable!("a result was lent while its future was given away"),
        }
    }

    fn settled(&self, deadline: Option<Instant>, report: Report) -> Result<(), FutureError> {
        struct Unwatch<'a, T>(&'a Future<T>, Board);
        impl<T> Drop for Unwatch<'_, T> {
            fn drop(&mut self) {
                self.0.unwatch(&self.1);
            }
        }
        if self
            .shared
            .state
            .with(|s| matches!(s.stage, Stage::Done(_)))
        {
            return Ok(());
        }
        let watching = Unwatch(self, Board::new());
        self.watch(watching.1.notice(0));
        await_notice(&watching.1, self.place(), deadline, report).map(drop)
    }

    pub(super) fn place(&self) -> Place {
        self.shared.place
    }
}

/// Takes the result out, if it is there.
fn lend<T>(s: &mut State<T>) -> Option<(Outcome<T>, FutureState)> {
    match core::mem::replace(&mut s.stage, Stage::Lent) {
        Stage::Done(outcome) => Some((outcome, s.known)),
        other => {
            s.stage = other;
            None
        }
    }
}

/// Waits for the next notice on a board of futures.
pub(super) fn await_notice(
    board: &Board,
    place: Place,
    deadline: Option<Instant>,
    report: Report,
) -> Result<usize, FutureError> {
    let ticket = match place {
        Place::Hub => None,
        Place::Pool => Ticket::new().ok(),
    };
    let _outside = ticket.as_ref().map(Outside::of);
    let how = How {
        reasons: &[Reason::new("result of a future", 0)],
        deadline,
        report,
    };
    let cannot: io::Error = match board.wait(&how) {
        Ok(Ok(number)) => return Ok(number),
        Ok(Err(End::Deadlock(d))) => return Err(FutureError::Deadlock(d)),
        Ok(Err(End::Unwinding)) => return Err(FutureError::Unwinding),
        Ok(Err(_)) => return Err(FutureError::TimedOut),
        Err(e) => e,
    };
    Err(FutureError::CannotWait(cannot))
}

/// Ready when the job is done. Its result stays with the future.
impl<T> Waitable for Future<T> {
    fn watch(&self, notice: Notice) {
        let now = self.shared.state.with(|s| {
            if matches!(s.stage, Stage::Done(_)) {
                return Some(notice);
            }
            s.notices.push(notice);
            None
        });
        if let Some(notice) = now {
            notice.tell();
        }
    }

    fn unwatch(&self, board: &Board) {
        self.shared
            .state
            .with(|s| s.notices.retain(|n| !n.is_of(board)));
    }
}

impl<T> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Future").field(&self.state()).finish()
    }
}
