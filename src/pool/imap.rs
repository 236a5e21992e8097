//! `imap`, `imap_unordered`: results as they are taken, items as there is room.
//!
//! ```text
//!            room: max_pending permits                      flight: number → Work { outcome, room }
//!   source ─────► feeder ── slot, spawn ──► tasks ──told──► board ─────► next: joins, drops the room
//!                   │ ends                                   ▲
//!                   └────────────────────────────────────────┘ told as well
//! ```
//!
//! The source runs in a task of its own, the feeder, so that one which waits for its next item holds up no result. From the
//! moment the feeder asks the source until the result is taken, an item holds a permit of `room`: the source is pulled that far
//! and not further.
//!
//! | the feeder | means |
//! | --- | --- |
//! | not begun | nothing was pulled: `next` was not called yet |
//! | waits for room | as many results as may be are under way, or there to be taken |
//! | waits in the source, or for a slot | the same as in any task |
//! | over | the source has ended, panicked, or the feeder was killed; what is in flight still comes |
//!
//! All of it is on one thread. A drop of the iterator kills the feeder; the tasks go on, detached.
#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use core::fmt;
use core::iter::FusedIterator;
use core::panic::Location;
use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

use super::call::inline;
use super::members::Members;
use crate::park::{Board, End, How, Notice, Reason, Report};
use crate::sync::{OwnedPermit, Semaphore};
use crate::task::{Builder, JoinError, JoinHandle};

/// The feeder's number on the board.
const FEEDER: usize = usize::MAX;

/// Where the result of an item is.
enum Outcome<R> {
    Task(JoinHandle<R>),
    /// It ran in the feeder.
    Here(Result<R, JoinError>),
}

/// An item under way.
struct Work<R> {
    outcome: Outcome<R>,
    done: bool,
    room: OwnedPermit,
}

type Flight<R> = Rc<RefCell<BTreeMap<usize, Work<R>>>>;

/// Tells the board when it is dropped.
struct Told(Notice);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// What the feeder works with.
struct Feeder<I, F, R> {
    source: I,
    f: Rc<F>,
    site: &'static Location<'static>,
    members: Arc<Members>,
    /// Called for by a task of the pool: that one's slot may be the one that would be waited for.
    own: bool,
    room: Arc<Semaphore>,
    flight: Flight<R>,
    board: Rc<Board>,
    /// Nobody takes results any more. The kill that comes with it may be behind a permit that was granted before.
    closed: Rc<Cell<bool>>,
}

impl<I, F, R> Feeder<I, F, R>
where
    I: Iterator,
    I::Item: 'static,
    F: Fn(I::Item) -> R + 'static,
    R: 'static,
{
    fn run(mut self) {
        for number in 0.. {
            let room = self.room.acquire_owned();
            if self.closed.get() {
                return;
            }
            let Some(item) = self.source.next() else {
                return;
            };
            let told = Told(self.board.notice(number));
            let permit = match self.members.try_slot() {
                Ok(permit) => Some(permit),
                Err(_) if self.own => None,
                Err(_) => Some(self.members.slot()),
            };
            if self.closed.get() {
                return;
            }
            let outcome = match permit {
                Some(permit) => {
                    let f = Rc::clone(&self.f);
                    let body = move || f(item);
                    Outcome::Task(self.members.spawn_from(self.site, permit, body, told))
                }
                None => {
                    let result = inline(|| (self.f)(item));
                    drop(told);
                    Outcome::Here(result)
                }
            };
            let work = Work {
                outcome,
                done: false,
                room,
            };
            self.flight.borrow_mut().insert(number, work);
        }
    }
}

/// The feeder's body. The order of the fields is the order of their drop: it is told when all else is gone.
struct Feeding<I, F, R> {
    feeder: Feeder<I, F, R>,
    told: Told,
}

impl<I, F, R> Feeding<I, F, R>
where
    I: Iterator,
    I::Item: 'static,
    F: Fn(I::Item) -> R + 'static,
    R: 'static,
{
    fn run(self) {
        let Self { feeder, told } = self;
        let _told = told;
        feeder.run();
    }
}

/// Both iterators, but for which result is next.
pub(super) struct Feed<I, F, R> {
    /// Until the first `next`.
    parts: Option<(I, F)>,
    /// Where the iterator was made: the site of its tasks.
    site: &'static Location<'static>,
    members: Arc<Members>,
    max_pending: usize,
    board: Rc<Board>,
    flight: Flight<R>,
    /// The numbers of what is done, in that order.
    done: VecDeque<usize>,
    feeder: Option<JoinHandle<()>>,
    closed: Rc<Cell<bool>>,
    /// The feeder is over.
    over: bool,
}

impl<I, F, R> Feed<I, F, R> {
    #[track_caller]
    pub(super) fn new(members: Arc<Members>, source: I, f: F) -> Self {
        Self {
            parts: Some((source, f)),
            site: Location::caller(),
            members,
            max_pending: usize::MAX,
            board: Rc::new(Board::new()),
            flight: Rc::default(),
            done: VecDeque::new(),
            feeder: None,
            closed: Rc::default(),
            over: false,
        }
    }

    #[track_caller]
    fn set_max_pending(&mut self, n: usize) {
        assert!(n > 0, "an imap that may start nothing would never end");
        self.max_pending = n;
    }

    /// Notes what was told.
    fn note(&mut self, number: usize) {
        if number == FEEDER {
            self.over = true;
        } else if let Some(work) = self.flight.borrow_mut().get_mut(&number) {
            work.done = true;
            self.done.push_back(number);
        }
    }

    /// The oldest item, if it is done.
    fn oldest(&mut self) -> Option<usize> {
        self.done.clear();
        let flight = self.flight.borrow();
        let (number, work) = flight.first_key_value()?;
        work.done.then_some(*number)
    }

    /// The item that was done first.
    fn earliest(&mut self) -> Option<usize> {
        self.done.pop_front()
    }

    /// No result can be waited for: what is under way is let go.
    fn give_up(&mut self) {
        self.closed.set(true);
        if let Some(feeder) = self.feeder.take() {
            feeder.kill();
        }
        self.parts = None;
        self.over = true;
        let left = core::mem::take(&mut *self.flight.borrow_mut());
        self.done.clear();
        drop(left);
    }

    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("pending", &self.flight.borrow().len())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl<R: 'static, I, F> Feed<I, F, R>
where
    I: Iterator + 'static,
    I::Item: 'static,
    F: Fn(I::Item) -> R + 'static,
{
    /// Spawns the feeder, unless that was done.
    fn begin(&mut self) {
        let Some((source, f)) = self.parts.take() else {
            return;
        };
        let feeder = Feeder {
            source,
            f: Rc::new(f),
            site: self.site,
            members: Arc::clone(&self.members),
            own: self.members.is_own(),
            room: Arc::new(Semaphore::new(self.max_pending)),
            flight: Rc::clone(&self.flight),
            board: Rc::clone(&self.board),
            closed: Rc::clone(&self.closed),
        };
        let body = Feeding {
            feeder,
            told: Told(self.board.notice(FEEDER)),
        };
        let spawned = Builder::new()
            .name("imap")
            .site(self.site)
            .spawn(move || body.run());
        match spawned {
            Ok(feeder) => self.feeder = Some(feeder),
            Err(e) => panic!("failed to spawn a task: {e}"),
        }
    }

    fn next_by(&mut self, pick: fn(&mut Self) -> Option<usize>) -> Option<Result<R, JoinError>> {
        self.begin();
        let how = How {
            reasons: &[Reason::new("result of a pool", 0)],
            deadline: None,
            report: Report::ERRORS,
        };
        loop {
            while let Some(number) = self.board.take() {
                self.note(number);
            }
            if let Some(number) = pick(self) {
                return Some(self.take(number));
            }
            if self.over && self.flight.borrow().is_empty() {
                return self.end();
            }
            let error = match self.board.wait(&how) {
                Ok(Ok(number)) => {
                    self.note(number);
                    continue;
                }
                Ok(Err(End::Deadlock(d))) => JoinError::Deadlock(d),
                Ok(Err(_)) => JoinError::Unwinding,
                Err(e) => JoinError::CannotWait(e),
            };
            self.give_up();
            return Some(Err(error));
        }
    }

    /// The result of an item that is done.
    fn take(&mut self, number: usize) -> Result<R, JoinError> {
        let Some(work) = self.flight.borrow_mut().remove(&number) else {
            unreachable!("what is done is in flight until it is taken")
        };
        let Work { outcome, room, .. } = work;
        // There is room for the next one, whatever becomes of this.
        drop(room);
        match outcome {
            Outcome::Task(task) => task.join(),
            Outcome::Here(result) => result,
        }
    }

    /// Everything was taken. The source's panic, if it had one, is the caller's.
    fn end(&mut self) -> Option<Result<R, JoinError>> {
        match self.feeder.take()?.join() {
            Ok(()) => None,
            Err(JoinError::Panicked(payload)) => resume_unwind(payload),
            Err(e) => Some(Err(e)),
        }
    }
}

impl<I, F, R> Drop for Feed<I, F, R> {
    fn drop(&mut self) {
        self.give_up();
    }
}

macro_rules! imap {
    ($(#[$doc:meta])* $name:ident, $pick:ident) => {
        $(#[$doc])*
        ///
        /// Nothing happens before the first `next`. From then on the items are taken from their iterator in a task of its own,
        /// which is no member of the pool, whenever there is room ([`max_pending`](Self::max_pending)) and then a slot; so that
        /// iterator may wait, for instance in a queue.
        ///
        /// An item that fails is an `Err`, and the iteration goes on. If the iterator of the items panics, `next` panics like it,
        /// once all results were taken. Where nothing can be waited for, `next` says why
        /// ([`Deadlock`](JoinError::Deadlock), [`Unwinding`](JoinError::Unwinding), [`CannotWait`](JoinError::CannotWait)), and that is the end.
        ///
        /// # Dropping
        /// Nothing more is taken from the iterator of the items. The tasks that were started go on, detached: their results are
        /// dropped, and a panic is reported. [`Pool::kill`](super::Pool::kill) ends them.
        ///
        /// # Blocking
        /// `next` switches, unless its result is there. Kills and deadlines are delivered there; nothing is lost by that, and
        /// the iterator may be used again.
        #[must_use = "an iterator does nothing until it is asked"]
        pub struct $name<I, F, R>(pub(super) Feed<I, F, R>);

        impl<I, F, R> $name<I, F, R> {
            /// How many items may have been taken without their results having been: what runs, and what waits to be asked for. A pool's default
            /// is the number of its slots; a group has none, and so starts all.
            ///
            /// It has no effect once the iteration has begun.
            ///
            /// # Panics
            /// If `n` is zero.
            #[doc(alias = "maxsize")]
            #[track_caller]
            pub fn max_pending(mut self, n: usize) -> Self {
                self.0.set_max_pending(n);
                self
            }
        }

        impl<I, F, R> Iterator for $name<I, F, R>
        where
            I: Iterator + 'static,
            I::Item: 'static,
            F: Fn(I::Item) -> R + 'static,
            R: 'static,
        {
            type Item = Result<R, JoinError>;

            fn next(&mut self) -> Option<Self::Item> {
                self.0.next_by(Feed::$pick)
            }
        }

        impl<I, F, R> FusedIterator for $name<I, F, R>
        where
            I: Iterator + 'static,
            I::Item: 'static,
            F: Fn(I::Item) -> R + 'static,
            R: 'static,
        {
        }

        impl<I, F, R> fmt::Debug for $name<I, F, R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt_as(stringify!($name), f)
            }
        }
    };
}

imap! {
    /// The results of a function for many items, in the order of the items: made by [`Pool::imap`](super::Pool::imap) and
    /// [`Group::imap`](super::Group::imap).
    ///
    /// ```
    /// use greenloom::pool::Pool;
    ///
    /// let pool = Pool::new(2);
    /// let squares = pool.imap(1.., |n: u64| n * n); // an endless source is taken from as far as there is room
    /// let first: Vec<u64> = squares.take(4).map(Result::unwrap).collect();
    /// assert_eq!(first, [1, 4, 9, 16]);
    /// ```
    Imap, oldest
}

imap! {
    /// The results of a function for many items, in the order in which they come: made by
    /// [`Pool::imap_unordered`](super::Pool::imap_unordered) and [`Group::imap_unordered`](super::Group::imap_unordered).
    ///
    /// ```
    /// use greenloom::pool::Pool;
    /// use std::time::Duration;
    ///
    /// let pool = Pool::new(3);
    /// let waited = pool.imap_unordered([30, 10, 20], |n| {
    ///     greenloom::sleep(Duration::from_millis(n));
    ///     n
    /// });
    /// assert_eq!(waited.map(Result::unwrap).collect::<Vec<_>>(), [10, 20, 30]);
    /// ```
    ImapUnordered, earliest
}
