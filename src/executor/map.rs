//! `Map`: the results of many jobs, in order.
#![forbid(unsafe_code)]

use core::fmt;
use core::iter::FusedIterator;
use std::collections::VecDeque;
use std::time::Duration;

use super::error::FutureError;
use super::future::Future;
use crate::clock::{Instant, deadline_after};

/// The results of the jobs of an [`Executor::map`](super::Executor::map), in the order of the items.
///
/// All jobs were handed in at once. A job that fails is an `Err` at its place, and the iteration goes on. Dropping this, for
/// instance by leaving its loop, cancels the jobs that have not begun.
///
/// # Blocking
/// `next` switches, unless its result is there. Kills and deadlines are delivered there: the result it waited for is lost
/// then.
#[must_use = "a map that is dropped cancels its jobs"]
pub struct Map<T> {
    futures: VecDeque<Future<T>>,
    /// `Some(None)`: a limit out of a clock's reach.
    limit: Option<Option<Instant>>,
}

impl<T> Map<T> {
    pub(super) fn new() -> Self {
        Self {
            futures: VecDeque::new(),
            limit: None,
        }
    }

    pub(super) fn push(&mut self, future: Future<T>) {
        self.futures.push_back(future);
    }

    /// Ends the iteration with [`TimedOut`](FutureError::TimedOut) when `d` has passed, counted from now, and cancels the jobs
    /// that have not begun by then. Results that are there still come before it.
    pub fn timeout(mut self, d: Duration) -> Self {
        self.limit = Some(deadline_after(d));
        self
    }

    fn cancel(&mut self) {
        for future in core::mem::take(&mut self.futures) {
            future.cancel();
        }
    }
}

impl<T> Iterator for Map<T> {
    type Item = Result<T, FutureError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.futures.pop_front()?;
        let Some(deadline) = self.limit else {
            return Some(next.result());
        };
        match next.result_until(deadline) {
            Ok(result) => Some(result),
            Err(next) => {
                self.futures.push_front(next);
                self.cancel();
                Some(Err(FutureError::TimedOut))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (
            usize::from(!self.futures.is_empty()),
            Some(self.futures.len()),
        )
    }
}

impl<T> FusedIterator for Map<T> {}

impl<T> Drop for Map<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<T> fmt::Debug for Map<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("left", &self.futures.len())
            .finish_non_exhaustive()
    }
}
