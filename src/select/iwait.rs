//! `wait` and `iwait`: many things, as they become ready.
//!
//! ```text
//! items   [ a · b · c · d ]         each has a notice with its number, from the first `next` on
//! board     told: 2 · 0       next ──► c, then a; then it parks until a notice is told
//! ```
//!
//! Each thing is registered once, so n things cost n registrations however they come. What has happened while nobody
//! waited is on the board.
#![forbid(unsafe_code)]

use core::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Instant, deadline_after};
use crate::park::{Board, How, Notice, Reason, Report, cannot_wait};

/// What [`wait`] and [`iwait`] can wait for: events, results, cancel tokens, tasks, semaphores, queues, receivers; references and
/// shared pointers to them.
///
/// For things of different types, take `&dyn Waitable`. Nothing is taken from a thing by waiting for it like this: of a
/// semaphore or a queue that was ready, somebody else may be faster to take, so take with a `try_` form and wait again if it
/// fails; or use a [`Select`](super::Select), which takes.
///
/// Implemented by this crate's types only.
pub trait Waitable {
    /// Has `notice` told once it is ready; at once if it is.
    #[doc(hidden)]
    fn watch(&self, notice: Notice);

    /// Lets go of what `watch` was given from this board.
    #[doc(hidden)]
    fn unwatch(&self, board: &Board);
}

macro_rules! by_pointer {
    ($($pointer:ty),*) => {$(
        impl<W: Waitable + ?Sized> Waitable for $pointer {
            fn watch(&self, notice: Notice) {
                (**self).watch(notice);
            }

            fn unwatch(&self, board: &Board) {
                (**self).unwatch(board);
            }
        }
    )*};
}

by_pointer!(&W, Box<W>, Rc<W>, Arc<W>);

/// Waits until all of `items` are ready, or `count` of them, or `timeout` has passed; returns those that are, in the order
/// in which they became so. Those that are ready already come first, in the order given.
///
/// ```
/// use std::time::Duration;
/// use greenloom::event::{AsyncResult, Event};
/// use greenloom::select::{Waitable, wait};
///
/// let (event, result) = (Event::new(), AsyncResult::<u8>::new());
/// let task = greenloom::spawn(|| ());
/// event.set();
/// let items: [&dyn Waitable; 3] = [&event, &result, &task];
/// assert_eq!(wait(items, Some(Duration::from_millis(5)), None).len(), 2);
/// assert_eq!(wait(items, None, Some(1)).len(), 1);
/// ```
///
/// # Blocking
/// Switches, unless enough are ready. Kills and deadlines are delivered here. With a `timeout`, an enclosing
/// [`timeout`](crate::timeout()) that expires first ends it like its own time, and while the caller unwinds it does not wait.
///
/// # Panics
/// Where nothing can wait: in a callback of the hub, in a forked child; on main with the deadlock, if there is no `timeout`
/// and nothing can happen any more.
#[track_caller]
pub fn wait<W: Waitable>(
    items: impl IntoIterator<Item = W>,
    timeout: Option<Duration>,
    count: Option<usize>,
) -> Vec<W> {
    let mut coming = iwait(items);
    if let Some(d) = timeout {
        coming = coming.timeout(d);
    }
    let enough = count.unwrap_or(usize::MAX).min(coming.waiting());
    let mut ready = Vec::with_capacity(enough);
    while ready.len() < enough {
        match coming.next_ready() {
            Some(item) => ready.push(item),
            None => break,
        }
    }
    ready
}

/// The items, each when it is ready: see [`Iwait`].
///
/// ```
/// use std::time::Duration;
/// use greenloom::select::iwait;
/// use greenloom::{sleep, spawn};
///
/// let tasks = [30, 10, 20].map(|n| {
///     spawn(move || {
///         sleep(Duration::from_millis(n));
///         n
///     })
/// });
/// let order: Vec<u64> = iwait(tasks).map(|task| task.join().unwrap()).collect();
/// assert_eq!(order, [10, 20, 30]);
/// ```
pub fn iwait<W: Waitable>(items: impl IntoIterator<Item = W>) -> Iwait<W> {
    let items: Vec<_> = items.into_iter().map(Some).collect();
    Iwait {
        waiting: items.len(),
        items,
        board: None,
        deadline: None,
        over: false,
    }
}

/// Yields items as they become ready; those that are ready already first, in the order given. Made by [`iwait`].
///
/// Dropping it, for instance by leaving its loop, ends the waiting for the rest.
///
/// # Blocking
/// `next` switches if nothing is ready. Kills and deadlines are delivered there.
///
/// # Panics
/// `next`, as [`wait`].
#[must_use = "an iterator does nothing until it is asked"]
pub struct Iwait<W: Waitable> {
    items: Vec<Option<W>>,
    /// How many of them are left.
    waiting: usize,
    /// From the first `next` on.
    board: Option<Board>,
    deadline: Option<Instant>,
    /// The time has passed, with nothing on the board.
    over: bool,
}

impl<W: Waitable> Iwait<W> {
    /// Ends the iteration when `d` has passed, counted from now. What is ready then still comes.
    pub fn timeout(mut self, d: Duration) -> Self {
        self.deadline = deadline_after(d);
        self
    }

    /// How many items have not come yet.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The items that have not come, in the order given.
    #[must_use = "they are dropped otherwise"]
    pub fn into_waiting(mut self) -> Vec<W> {
        self.unwatch();
        self.items.drain(..).flatten().collect()
    }

    fn unwatch(&mut self) {
        if let Some(board) = self.board.take() {
            for item in self.items.iter().flatten() {
                item.unwatch(&board);
            }
        }
    }

    #[track_caller]
    fn next_ready(&mut self) -> Option<W> {
        while self.waiting > 0 && !self.over {
            let number = self.next_number()?;
            // Told twice, if it has been set twice.
            if let Some(item) = self.items[number].take() {
                self.waiting -= 1;
                return Some(item);
            }
        }
        None
    }

    #[track_caller]
    fn next_number(&mut self) -> Option<usize> {
        let board = match &self.board {
            Some(board) => board,
            None => {
                // In place first: should one panic, or the wait unwind, all are taken back.
                let board = self.board.insert(Board::new());
                for (number, item) in self.items.iter().enumerate() {
                    if let Some(item) = item {
                        item.watch(board.notice(number));
                    }
                }
                board
            }
        };
        let how = How {
            reasons: &[Reason::new("the first of several things", 0)],
            deadline: self.deadline,
            report: match self.deadline {
                Some(_) => Report::ALL,
                None => Report::NOTHING,
            },
        };
        match board.wait(&how) {
            Ok(Ok(number)) => Some(number),
            Ok(Err(_)) => {
                self.over = true;
                None
            }
            Err(e) => cannot_wait(&e),
        }
    }
}

impl<W: Waitable> Iterator for Iwait<W> {
    type Item = W;

    #[track_caller]
    fn next(&mut self) -> Option<W> {
        self.next_ready()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let least = if self.deadline.is_some() {
            0
        } else {
            self.waiting
        };
        (least, Some(self.waiting))
    }
}

impl<W: Waitable> core::iter::FusedIterator for Iwait<W> {}

impl<W: Waitable> Drop for Iwait<W> {
    fn drop(&mut self) {
        self.unwatch();
    }
}

impl<W: Waitable> fmt::Debug for Iwait<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iwait")
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}
