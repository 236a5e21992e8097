//! Futures of jobs, and what runs the jobs: the shape of Python's `concurrent.futures`.
//!
//! ```
//! use greenloom::executor::{Executor, Shutdown, TaskExecutor, ThreadPoolExecutor};
//!
//! fn squares(executor: &impl Executor) -> Vec<u64> {
//!     let squares = executor.map(1..=4, |n: u64| n * n).unwrap();
//!     squares.map(Result::unwrap).collect()
//! }
//!
//! let tasks = TaskExecutor::new(2);
//! let threads = ThreadPoolExecutor::new(2);
//! assert_eq!(squares(&tasks), [1, 4, 9, 16]);
//! assert_eq!(squares(&threads), [1, 4, 9, 16]);
//!
//! let answer = threads.submit(|| 6 * 7).unwrap();
//! answer.add_done_callback(|result| assert!(result.is_ok()));
//! assert_eq!(answer.result().unwrap(), 42);
//!
//! threads.shutdown(Shutdown::Wait);
//! let refused = threads.submit(|| "late").unwrap_err();
//! assert_eq!((refused.into_inner())(), "late");
//! ```
//!
//! | executor | a job runs in | for |
//! | --- | --- | --- |
//! | [`TaskExecutor`] | one of so many tasks of this thread's hub | what waits: sockets, sleeps, locks |
//! | [`ThreadPoolExecutor`] | one of so many OS threads | what blocks or computes |
//!
//! ```text
//!             start            returned, panicked
//!   Pending ────────► Running ────────────────────► Finishing ──► Done        Finishing: the callbacks have the result
//!      │ cancel, or the job is dropped                  ▲
//!      └────────────────────────────────────────────────┘
//! ```
//!
//! # Dropping
//! No drop waits. An executor that is dropped refuses new jobs and does those it has, as [`Shutdown::Detach`]; a future that
//! is dropped lets its job go on and drops the result. (The queue of a [`TaskExecutor`] is done by the hub of its thread, as
//! all tasks are.)
#![forbid(unsafe_code)]

mod completion;
mod error;
mod future;
mod map;
mod tasks;
mod threads;

pub use self::completion::{AsCompleted, ReturnWhen, as_completed, wait};
pub use self::error::{FutureError, SubmitError};
pub use self::future::{Future, FutureState};
pub use self::map::Map;
pub use self::tasks::TaskExecutor;
pub use self::threads::ThreadPoolExecutor;

use std::sync::Arc;

/// Runs jobs, and gives a [`Future`] for each.
pub trait Executor {
    /// Hands in a job.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// [`SubmitError`] with the closure: the executor was shut down, or has no worker and cannot get one.
    fn submit<T, F>(&self, f: F) -> Result<Future<T>, SubmitError<F>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// Hands in one job for each item, now, and returns their results in the order of the items: see [`Map`].
    ///
    /// # Blocking
    /// Never switches; the iterator does.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), with nothing to hand back: what was handed in before is cancelled.
    fn map<I, T, F>(&self, items: I, f: F) -> Result<Map<T>, SubmitError<()>>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        T: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let mut map = Map::new();
        for item in items {
            let f = Arc::clone(&f);
            map.push(self.submit(move || f(item)).map_err(SubmitError::without)?);
        }
        Ok(map)
    }

    /// Refuses new jobs from now on. What becomes of the others, and whether this waits for them, says `how`. May be called
    /// again.
    ///
    /// # Blocking
    /// As `how` says.
    ///
    /// # Panics
    /// In a job of this executor, if it would wait for itself.
    fn shutdown(&self, how: Shutdown);
}

/// What a shutdown does with the jobs there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shutdown {
    /// Waits until all are done. Python's `shutdown()`.
    #[default]
    Wait,
    /// Does not wait; all will be done. Python's `shutdown(wait=False)`.
    Detach,
    /// Cancels those that have not begun, and waits for the others. Python's `shutdown(cancel_futures=True)`.
    CancelPending,
    /// Cancels those that have not begun, and does not wait. Python's `shutdown(wait=False, cancel_futures=True)`.
    CancelAndDetach,
}

impl Shutdown {
    fn cancels(self) -> bool {
        matches!(self, Self::CancelPending | Self::CancelAndDetach)
    }

    fn waits(self) -> bool {
        matches!(self, Self::Wait | Self::CancelPending)
    }
}
