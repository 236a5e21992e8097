//! Watching many things for as long as one likes, across any number of parks: a board, and a numbered notice for each thing.
//!
//! ```text
//!   things, any thread                     Board, its owner
//!   Notice 0 ── tell ──┐                     told: 2 · 0         take: the oldest first
//!   Notice 1           ├──► Inner { told, waiter, closed }       wait: parks until one is there
//!   Notice 2 ── tell ──┘
//! ```
//!
//! | a notice | means |
//! | --- | --- |
//! | lies with its thing | nothing has happened yet |
//! | told | its number is on the board, until its owner takes it: nothing is lost between two waits |
//! | board dropped | telling it does nothing; the thing may drop it at any time |
//!
//! A [`Claim`](super::Claim) is for one wait that is granted something, and dies with it. A notice grants nothing and
//! outlives any wait, so that a thousand things can be watched one after the other without registering a thousand times
//! for each.
#![forbid(unsafe_code)]

use core::fmt;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::claim::Unparker;
use super::lock::Lock;
use super::{End, How, Ticket, Waiting, park_until};

/// Names a callback, to remove it before it runs. Never used again in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(pub(crate) u64);

struct State {
    /// The numbers of the notices that were told, the oldest first.
    told: VecDeque<usize>,
    /// The owner's park, while there is one that was not woken yet.
    waiter: Option<Unparker>,
    /// The owner has gone.
    closed: bool,
}

type Inner = Arc<Lock<State>>;

/// The owner's end; see the file's head.
pub struct Board(Inner);

/// The end that a thing keeps until what it is watched for has happened.
pub struct Notice {
    board: Inner,
    number: usize,
}

impl Notice {
    /// It has happened.
    pub(crate) fn tell(&self) {
        let waiter = self.board.with(|s| {
            if s.closed {
                return None;
            }
            s.told.push_back(self.number);
            s.waiter.take()
        });
        if let Some(waiter) = waiter {
            waiter.unpark();
        }
    }

    /// Whether `board` is its own.
    pub(crate) fn is_of(&self, board: &Board) -> bool {
        Arc::ptr_eq(&self.board, &board.0)
    }

    /// Whether nobody looks at the board any more.
    pub(crate) fn gone(&self) -> bool {
        self.board.with(|s| s.closed)
    }
}

impl Board {
    /// A board with nothing on it.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Lock::new(State {
            told: VecDeque::new(),
            waiter: None,
            closed: false,
        })))
    }

    /// A notice for one thing.
    pub(crate) fn notice(&self, number: usize) -> Notice {
        Notice {
            board: Arc::clone(&self.0),
            number,
        }
    }

    /// The oldest number that was told and not taken.
    pub(crate) fn take(&self) -> Option<usize> {
        self.0.with(|s| s.told.pop_front())
    }

    /// As [`take`](Self::take), but waits for one.
    ///
    /// # Errors
    /// Nothing can wait here. Inside the `Ok`: how the wait ended otherwise.
    pub(crate) fn wait(&self, how: &How<'_>) -> io::Result<Result<usize, End>> {
        if let Some(number) = self.take() {
            return Ok(Ok(number));
        }
        let ticket = Ticket::new()?;
        let unparker = ticket.unparker();
        // Known before the park looks whether there is something, so one that is told meanwhile is seen.
        self.0.with(|s| s.waiter = Some(unparker));
        let looking = Looking(self);
        Ok(match park_until(ticket, how, &looking) {
            // Nobody else takes from this board.
            End::Granted => self.take().ok_or(End::TimedOut),
            end => Err(end),
        })
    }
}

/// Waits for something on the board.
struct Looking<'a>(&'a Board);

impl Waiting for Looking<'_> {
    fn granted(&self) -> bool {
        self.0.0.with(|s| !s.told.is_empty())
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.0.with(|s| s.waiter.take());
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        drop(self.0.with(|s| {
            s.closed = true;
            core::mem::take(&mut s.told)
        }));
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Board(..)")
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notice").field(&self.number).finish()
    }
}
