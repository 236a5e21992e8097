//! The three queues: one set of methods over three stores.
//!
//! This file decides nothing: `core.rs` does.
#![forbid(unsafe_code)]

use core::fmt;
use std::time::Duration;

use super::core::{Core, Patience};
use super::error::{
    GetError, GetTimeoutError, PutError, PutTimeoutError, TaskDoneError, TryGetError, TryPutError,
};
use super::heap::Heap;
use super::store::{Fifo, Lifo};

/// First in, first out, for any number of tasks and threads at both ends.
///
/// ```
/// use greenloom::{queue::Queue, spawn};
/// use std::sync::Arc;
///
/// let jobs = Arc::new(Queue::bounded(2));
/// let worker = {
///     let jobs = Arc::clone(&jobs);
///     spawn(move || jobs.iter().sum::<u32>())
/// };
/// for job in 1..=10 {
///     jobs.put(job)?; // waits whenever there are two that nobody took
/// }
/// jobs.close();
/// assert_eq!(worker.join().unwrap(), 55);
/// # Ok::<(), greenloom::queue::PutError<u32>>(())
/// ```
///
/// Who waits is served in the order of arrival, and what was given to a waiter is its own: one that comes later and finds
/// the queue free does not get it. A call that is killed or times out has put and got nothing.
///
/// # Differences from Python's type
/// - [`unbounded`](Self::unbounded) is Python's size 0. [`bounded(0)`](Self::bounded) is a rendezvous: a put waits until a
///   get has taken the value.
/// - [`close`](Self::close) is its `shutdown`, [`close_now`](Self::close_now) its `shutdown(immediate=True)`.
/// - [`len`](Self::len) does not count what was given to a get that has not run since.
/// - A put that fails hands the value back.
///
/// # Differences from the standard library
/// It has no such type; [`mpsc`](crate::sync::mpsc) has the shape of std's channels.
#[doc(alias = "JoinableQueue")]
pub struct Queue<T> {
    core: Core<T, Fifo<T>>,
}

/// Last in, first out: a stack, for any number of tasks and threads at both ends.
///
/// ```
/// use greenloom::queue::LifoQueue;
///
/// let stack = LifoQueue::unbounded();
/// for n in 1..=3 {
///     stack.put(n)?;
/// }
/// stack.close();
/// assert_eq!(stack.iter().collect::<Vec<_>>(), [3, 2, 1]);
/// # Ok::<(), greenloom::queue::PutError<u32>>(())
/// ```
///
/// # Differences from Python's type
/// As for [`Queue`].
#[doc(alias = "stack")]
pub struct LifoQueue<T> {
    core: Core<T, Lifo<T>>,
}

/// Smallest first, equals in the order in which they were put; for any number of tasks and threads at both ends.
///
/// ```
/// use greenloom::queue::PriorityQueue;
/// use std::cmp::Reverse;
///
/// let queue = PriorityQueue::unbounded();
/// for n in [2, 3, 1] {
///     queue.put(Reverse(n))?;
/// }
/// // The largest, because of `Reverse`.
/// assert_eq!(queue.get().unwrap(), Reverse(3));
/// # Ok::<(), greenloom::queue::PutError<Reverse<u32>>>(())
/// ```
///
/// A put compares nothing. A get does, while no lock is held: other puts go on meanwhile, other gets wait for it. `Ord`
/// may use this queue's `put`, `len` and `close`, and may even wait.
///
/// # Panics
/// A get or peek panics if `Ord` does. No item is lost by that, and the next call goes on: an item whose comparison
/// panicked comes out after all others. A get or peek from within a comparison of the same queue would wait for itself, and
/// panics.
///
/// # Differences from Python's type
/// - Equals come out in order, with no counter in a tuple.
/// - What a put hands to a get that waits is compared with nothing: there is nothing else then.
/// - Otherwise as for [`Queue`].
#[doc(alias = "heap")]
pub struct PriorityQueue<T: Ord> {
    core: Core<T, Heap<T>>,
}

macro_rules! methods {
    ($name:ident, $store:ident $(, $bound:ident)?) => {
        impl<T $(: $bound)?> $name<T> {
            /// A queue without a limit: only memory bounds it, and a put never waits.
            pub fn unbounded() -> Self {
                Self {
                    core: Core::new(usize::MAX),
                }
            }

            /// A queue for at most `capacity` items; 0 makes a rendezvous, where a put waits until a get takes the value.
            pub fn bounded(capacity: usize) -> Self {
                Self {
                    core: Core::new(capacity),
                }
            }

            /// Adds an item. If there is no room, waits for it.
            ///
            /// # Blocking
            /// Switches if it has to wait, and now and then if it never has to
            /// ([`io_budget`](crate::hub::Builder::io_budget)). One that is killed drops the value with its task.
            ///
            /// # Errors
            /// See [`PutError`].
            #[inline]
            pub fn put(&self, value: T) -> Result<(), PutError<T>> {
                self.core.put(value, Patience::ERRORS).map_err(PutError::new)
            }

            /// As [`put`](Self::put), but waits for at most `d`.
            ///
            /// # Blocking
            /// As `put`. An enclosing `timeout` that expires first is reported like `d`'s own expiry.
            ///
            /// # Errors
            /// See [`PutTimeoutError`].
            #[inline]
            pub fn put_timeout(&self, value: T, d: Duration) -> Result<(), PutTimeoutError<T>> {
                self.core
                    .put(value, Patience::timed(d))
                    .map_err(PutTimeoutError::new)
            }

            /// Adds an item if there is room, or a get waits for it.
            ///
            /// # Blocking
            /// Never switches.
            ///
            /// # Errors
            /// See [`TryPutError`].
            #[doc(alias = "put_nowait")]
            #[inline]
            pub fn try_put(&self, value: T) -> Result<(), TryPutError<T>> {
                self.core.try_put(value).map_err(TryPutError::new)
            }

            /// Takes the next item. If there is none, waits for it.
            ///
            /// # Blocking
            /// Switches if it has to wait, and now and then if it never has to
            /// ([`io_budget`](crate::hub::Builder::io_budget)).
            ///
            /// # Errors
            /// See [`GetError`].
            #[inline(always)]
            #[track_caller]
            pub fn get(&self) -> Result<T, GetError> {
                self.core.get(Patience::ERRORS).map_err(GetError::new)
            }

            /// As [`get`](Self::get), but waits for at most `d`.
            ///
            /// # Blocking
            /// As `get`. An enclosing `timeout` that expires first is reported like `d`'s own expiry.
            ///
            /// # Errors
            /// See [`GetTimeoutError`].
            #[inline]
            #[track_caller]
            pub fn get_timeout(&self, d: Duration) -> Result<T, GetTimeoutError> {
                self.core
                    .get(Patience::timed(d))
                    .map_err(GetTimeoutError::new)
            }

            /// Takes the next item, if there is one.
            ///
            /// # Blocking
            /// Never switches. Waits for a comparison or a peek that another thread is in the middle of, for some
            /// milliseconds at most; one of another task of this thread makes the queue look empty.
            ///
            /// # Errors
            /// See [`TryGetError`].
            #[doc(alias = "get_nowait")]
            #[inline]
            #[track_caller]
            pub fn try_get(&self) -> Result<T, TryGetError> {
                self.core.try_get().map_err(TryGetError::new)
            }

            /// A clone of the next item, if there is one.
            ///
            /// # Blocking
            /// As [`try_get`](Self::try_get).
            #[track_caller]
            pub fn peek(&self) -> Option<T>
            where
                T: Clone,
            {
                self.core.peek(T::clone)
            }

            /// Shows the next item to `f`, if there is one. Meanwhile nobody else gets it: a get waits for `f`.
            ///
            /// # Blocking
            /// As [`try_get`](Self::try_get), and as `f`.
            ///
            /// # Panics
            /// As `f`; in a get or peek of the same queue within `f`, which would wait for itself.
            #[track_caller]
            pub fn peek_with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
                self.core.peek(f)
            }

            /// Makes every put fail from now on. What is in the queue can still be got; then gets fail too. All who wait
            /// are woken, and a put that waited has its value handed back. To close twice is harmless.
            ///
            /// # Blocking
            /// Never switches.
            #[doc(alias = "shutdown")]
            pub fn close(&self) {
                self.core.close();
            }

            /// As [`close`](Self::close), and drops what is in the queue. The dropped items count as done for
            /// [`join`](Self::join).
            ///
            /// # Blocking
            /// Never switches, unless the destructor of an item does.
            #[doc(alias = "shutdown")]
            pub fn close_now(&self) {
                self.core.close_now();
            }

            /// Whether it was closed.
            pub fn is_closed(&self) -> bool {
                self.core.is_closed()
            }

            /// Reports that the work on one item that was got is done.
            ///
            /// # Errors
            /// Called more often than items were put.
            pub fn task_done(&self) -> Result<(), TaskDoneError> {
                self.core.task_done().then_some(()).ok_or(TaskDoneError)
            }

            /// Waits until [`task_done`](Self::task_done) was called for every item that was put.
            ///
            /// # Blocking
            /// Switches, unless there is nothing to wait for.
            ///
            /// # Panics
            /// On main with the deadlock, if that can never be; in a callback of the hub.
            #[track_caller]
            pub fn join(&self) {
                self.core.join(Patience::MUTE);
            }

            /// As [`join`](Self::join), but waits for at most `d`. False if not all was done by then, or the caller is
            /// unwinding and does not wait.
            ///
            /// # Blocking
            /// As `join`. An enclosing `timeout` that expires first is reported like `d`'s own expiry.
            ///
            /// # Panics
            /// In a callback of the hub.
            #[track_caller]
            pub fn join_timeout(&self, d: Duration) -> bool {
                self.core.join(Patience::timed(d))
            }

            /// How many items were put for which `task_done` was not called yet.
            #[doc(alias = "unfinished_tasks")]
            pub fn unfinished(&self) -> usize {
                self.core.unfinished()
            }

            /// How many items are in the queue. What a put that waits has to offer, and what was given to a get that
            /// waited, is not in it.
            #[doc(alias = "qsize")]
            pub fn len(&self) -> usize {
                self.core.len()
            }

            /// Whether there is no item in the queue.
            #[doc(alias = "empty")]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether a put would have to wait for a get. Always so at a rendezvous.
            #[doc(alias = "full")]
            pub fn is_full(&self) -> bool {
                self.core.is_full()
            }

            /// How many items there is room for; `None` if there is no limit.
            #[doc(alias = "maxsize")]
            pub fn capacity(&self) -> Option<usize> {
                Some(self.core.capacity()).filter(|n| *n != usize::MAX)
            }

            /// Gets items until the queue is closed and empty.
            ///
            /// # Blocking
            /// Each step as [`get`](Self::get); it waits also while unwinding.
            ///
            /// # Panics
            /// A step that has to wait: on main with the deadlock, if nothing can ever come; in a callback of the hub.
            pub fn iter(&self) -> Iter<'_, Self> {
                Iter { queue: self }
            }

            pub(super) fn core(&self) -> &Core<T, $store<T>> {
                &self.core
            }
        }

        impl<T $(: $bound)?> Default for $name<T> {
            /// Without a limit.
            fn default() -> Self {
                Self::unbounded()
            }
        }

        impl<T $(: $bound)?> FromIterator<T> for $name<T> {
            /// A queue without a limit, with these items in it.
            fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
                let queue = Self::unbounded();
                for item in items {
                    // Neither full nor closed.
                    let _ = queue.core.try_put(item);
                }
                queue
            }
        }

        impl<T $(: $bound)?> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("closed", &self.is_closed())
                    .finish_non_exhaustive()
            }
        }

        impl<'a, T $(: $bound)?> IntoIterator for &'a $name<T> {
            type Item = T;
            type IntoIter = Iter<'a, $name<T>>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }

        impl<T $(: $bound)?> Iterator for Iter<'_, $name<T>> {
            type Item = T;

            #[inline(always)]
            #[track_caller]
            fn next(&mut self) -> Option<T> {
                get_mute(&self.queue.core)
            }
        }

        impl<T $(: $bound)?> core::iter::FusedIterator for Iter<'_, $name<T>> {}
    };
}

/// The next item, or `None` at the end: what iterators do, which have no room for another error.
#[inline(always)]
#[track_caller]
pub(super) fn get_mute<T, S: super::store::Store<T>>(core: &Core<T, S>) -> Option<T> {
    match core.get(Patience::MUTE) {
        Ok(item) => Some(item),
        Err(super::core::Fail::CannotWait(e)) => panic!("cannot wait here: {e}"),
        Err(_) => None,
    }
}

/// Gets the items of a queue until it is closed and empty.
#[derive(Debug)]
#[must_use = "an iterator does nothing unless it is asked for items"]
pub struct Iter<'a, Q> {
    queue: &'a Q,
}

methods!(Queue, Fifo);
methods!(LifoQueue, Lifo);
methods!(PriorityQueue, Heap, Ord);
