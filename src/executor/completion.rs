//! `as_completed` and `wait`: many futures.
#![forbid(unsafe_code)]

use core::fmt;
use core::iter::FusedIterator;
use std::time::Duration;

use super::error::FutureError;
use super::future::{Future, FutureState, Place, await_notice};
use crate::clock::{Instant, deadline_after};
use crate::park::{Board, Report, cannot_wait};
use crate::select::Waitable;

/// The futures, each when it is done: see [`AsCompleted`]. With a `timeout`, for so long, counted from now.
///
/// ```
/// use greenloom::executor::{TaskExecutor, as_completed};
/// use std::time::Duration;
///
/// let executor = TaskExecutor::new(3);
/// let futures = [30, 10, 20].map(|n| {
///     let job = move || {
///         greenloom::sleep(Duration::from_millis(n));
///         n
///     };
///     executor.submit(job).unwrap()
/// });
/// let order: Vec<u64> = as_completed(futures, None)
///     .map(|future| future.unwrap().result().unwrap())
///     .collect();
/// assert_eq!(order, [10, 20, 30]);
/// ```
pub fn as_completed<T>(
    futures: impl IntoIterator<Item = Future<T>>,
    timeout: Option<Duration>,
) -> AsCompleted<T> {
    let futures: Vec<_> = futures.into_iter().map(Some).collect();
    let board = Board::new();
    for (number, future) in futures.iter().enumerate() {
        if let Some(future) = future {
            future.watch(board.notice(number));
        }
    }
    AsCompleted {
        left: futures.len(),
        place: if futures.iter().flatten().any(|f| f.place() == Place::Pool) {
            Place::Pool
        } else {
            Place::Hub
        },
        futures,
        board,
        limited: timeout.is_some(),
        deadline: timeout.and_then(deadline_after),
    }
}

/// Yields futures as they are done; those that are done already first, in the order given. Made by [`as_completed`].
///
/// If the time passes, or nothing can be waited for, it yields the [error](FutureError) once, and that is the end;
/// [`into_pending`](Self::into_pending) gives back those that are left. What is done by then still comes first.
///
/// # Blocking
/// `next` switches if nothing is done. Kills and deadlines are delivered there; with a timeout, an enclosing
/// [`timeout`](crate::timeout()) that expires first ends it like its own time.
#[must_use = "an iterator does nothing until it is asked"]
pub struct AsCompleted<T> {
    futures: Vec<Option<Future<T>>>,
    /// How many will be yielded; 0 after an error.
    left: usize,
    /// Where the jobs run: `Pool` if one of them does there.
    place: Place,
    board: Board,
    limited: bool,
    deadline: Option<Instant>,
}

impl<T> AsCompleted<T> {
    /// The futures that have not come, in the order given.
    pub fn into_pending(mut self) -> Vec<Future<T>> {
        self.unwatch();
        let futures = core::mem::take(&mut self.futures);
        futures.into_iter().flatten().collect()
    }

    fn unwatch(&self) {
        for future in self.futures.iter().flatten() {
            future.unwatch(&self.board);
        }
    }

    fn report(&self) -> Report {
        if self.limited {
            Report::ALL
        } else {
            Report::ERRORS
        }
    }
}

impl<T> Iterator for AsCompleted<T> {
    type Item = Result<Future<T>, FutureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        match await_notice(&self.board, self.place, self.deadline, self.report()) {
            Ok(number) => {
                self.left -= 1;
                self.futures[number].take().map(Ok)
            }
            Err(e) => {
                self.left = 0;
                Some(Err(e))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.min(1), Some(self.left))
    }
}

impl<T> FusedIterator for AsCompleted<T> {}

impl<T> Drop for AsCompleted<T> {
    fn drop(&mut self) {
        self.unwatch();
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// When [`wait`] returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReturnWhen {
    /// When one is done.
    FirstCompleted,
    /// When one has failed, by a panic or because its worker was killed; or all are done. A cancelled one has not failed.
    FirstFailed,
    /// When all are done.
    #[default]
    All,
}

/// Waits until the futures are done, as far as `when` says, or `timeout` has passed. Returns those that are done, in the order in
/// which they were, and the others, in the order given.
///
/// ```
/// use greenloom::executor::{ReturnWhen, TaskExecutor, wait};
/// use greenloom::task;
///
/// let executor = TaskExecutor::new(2);
/// let quick = executor.submit(|| ()).unwrap();
/// let slow = executor.submit(task::park).unwrap();
/// let (done, not_done) = wait([quick, slow], None, ReturnWhen::FirstCompleted);
/// assert_eq!((done.len(), not_done.len()), (1, 1));
/// ```
///
/// # Blocking
/// Switches, unless enough are done. Kills and deadlines are delivered here. With a `timeout`, an enclosing
/// [`timeout`](crate::timeout()) that expires first ends it like its own time. While the caller unwinds it does not wait, and
/// returns what there is.
///
/// # Panics
/// Where nothing can wait: in a callback of the hub, in a forked child; on main with the deadlock, if nothing can happen
/// any more.
#[track_caller]
pub fn wait<T>(
    futures: impl IntoIterator<Item = Future<T>>,
    timeout: Option<Duration>,
    when: ReturnWhen,
) -> (Vec<Future<T>>, Vec<Future<T>>) {
    let mut coming = as_completed(futures, timeout);
    let mut done = Vec::with_capacity(coming.left);
    let mut enough = false;
    // What is done already is done, also beyond what is enough.
    while coming.left > 0 {
        let number = match coming.board.take() {
            Some(number) => number,
            None if enough => break,
            None => match await_notice(
                &coming.board,
                coming.place,
                coming.deadline,
                coming.report(),
            ) {
                Ok(number) => number,
                Err(FutureError::Deadlock(d)) => panic!("{d}"),
                Err(FutureError::CannotWait(e)) => cannot_wait(&e),
                Err(_) => break,
            },
        };
        coming.left -= 1;
        if let Some(future) = coming.futures[number].take() {
            enough |= match when {
                ReturnWhen::FirstCompleted => true,
                ReturnWhen::FirstFailed => {
                    matches!(future.state(), FutureState::Panicked | FutureState::Lost)
                }
                ReturnWhen::All => false,
            };
            done.push(future);
        }
    }
    (done, coming.into_pending())
}
