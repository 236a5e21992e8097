//! `AsyncResult`: a value that comes later, once, for all who wait for it.
//!
//! ```text
//! handle ─┐
//! handle ─┼─► Shared { latch, value: empty ── set, set_error ──► Ok(T) | Err(Arc<E>), for good }
//! handle ─┘            └─ links: run when it is set
//! ```
//!
//! The value is stored under the latch's lock, before the latch is up, so one call alone can win. It never changes after
//! that: whoever waited reads it in place, and nothing that a waiter does takes it from another.
#![forbid(unsafe_code)]

use core::fmt;
use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::latch::Latch;
use super::links::{Links, run_soon};
use crate::clock::{Instant, deadline_after};
use crate::greenlet::error::Deadlock;
use crate::park::{End, How, LinkId, Reason, Report};

pub(super) const WAIT: &str = "wait for a result";

/// A call of the user with the result, made when that is there.
type Call = Box<dyn FnOnce()>;

/// Knows the types of the result as `'static`, which `set` does not.
type Link<T, E> = Box<dyn FnOnce(&Arc<Shared<T, E>>) -> Call + Send>;

pub(super) struct Shared<T, E> {
    pub(super) latch: Latch,
    value: OnceLock<Result<T, Arc<E>>>,
    links: Links<Link<T, E>>,
}

impl<T, E> Shared<T, E> {
    pub(super) fn peek(&self) -> Option<Result<&T, &E>> {
        self.value.get().map(|r| r.as_ref().map_err(|e| &**e))
    }
}

/// A value, or an error, that is set once, and that any number of tasks wait for: gevent's `AsyncResult`.
///
/// A handle: clones are the same result. `Send` and `Sync` if `T` and `E` are both.
///
/// ```
/// use greenloom::event::AsyncResult;
///
/// let answer: AsyncResult<u32> = AsyncResult::new();
/// let setter = answer.clone();
/// greenloom::spawn(move || setter.set(42));
/// assert_eq!(answer.get().unwrap(), 42);
///
/// let refused: AsyncResult<u32> = AsyncResult::new();
/// refused.set_error("no such thing").unwrap();
/// assert_eq!(refused.get().unwrap_err().to_string(), "no such thing");
/// ```
///
/// # If it is never set
/// A waiter holds a handle itself, so nobody can tell that no other one is left: waiters are not told when the other
/// handles are dropped. Main's wait then ends with the deadlock, if nothing else can happen; other waits do not end. Use a
/// [`get_timeout`](Self::get_timeout), or a [`CancelToken`](super::CancelToken) beside it.
///
/// # Differences from gevent's type
/// - It is set once: a second `set` is an error that hands the value back.
/// - [`wait`](Self::wait) lends the value, [`get`](Self::get) clones it.
pub struct AsyncResult<T, E = Box<dyn Error + Send + Sync>> {
    pub(super) shared: Arc<Shared<T, E>>,
}

impl<T, E> AsyncResult<T, E> {
    /// A result that is not set.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                latch: Latch::new(),
                value: OnceLock::new(),
                links: Links::new(),
            }),
        }
    }

    /// Sets the value and wakes all who wait, in the order in which they came.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// It was set already: `value` comes back.
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        self.fill(Ok(value)).map_err(|back| match back {
            Ok(value) => AlreadySet(value),
            Err(_) => unreachable!("a value came back as an error"),
        })
    }

    /// Sets an error in place of a value. Otherwise as [`set`](Self::set).
    ///
    /// # Errors
    /// It was set already: the error comes back.
    #[doc(alias = "set_exception")]
    pub fn set_error(&self, error: impl Into<E>) -> Result<(), AlreadySet<E>> {
        self.set_result(Err(error.into()))
            .map_err(|back| match back.0 {
                Err(error) => AlreadySet(error),
                Ok(_) => unreachable!("an error came back as a value"),
            })
    }

    /// Sets the value or the error. Otherwise as [`set`](Self::set).
    ///
    /// # Errors
    /// It was set already: `result` comes back.
    pub fn set_result(&self, result: Result<T, E>) -> Result<(), AlreadySet<Result<T, E>>> {
        self.fill(result.map_err(Arc::new)).map_err(|back| {
            AlreadySet(back.map_err(|e| match Arc::into_inner(e) {
                Some(e) => e,
                None => unreachable!("an error that was not stored is shared"),
            }))
        })
    }

    fn fill(&self, result: Result<T, Arc<E>>) -> Result<(), Result<T, Arc<E>>> {
        let shared = &self.shared;
        let mut result = Some(result);
        let raised = shared.latch.raise(|| {
            if let Some(result) = result.take() {
                // Only who raises the latch comes here, under its lock: the cell is empty.
                let stored = shared.value.set(result);
                debug_assert!(stored.is_ok(), "a value without its latch");
            }
        });
        if let Some(back) = result {
            return Err(back);
        }
        debug_assert!(raised);
        run_soon(
            shared
                .links
                .take()
                .into_iter()
                .map(|(_, link)| link(shared)),
        );
        Ok(())
    }

    /// Whether it is set, to a value or an error.
    #[doc(alias = "ready")]
    #[inline]
    pub fn is_set(&self) -> bool {
        self.shared.latch.is_up()
    }

    /// The value or the error, if it is set.
    ///
    /// # Blocking
    /// Never switches.
    pub fn peek(&self) -> Option<Result<&T, &E>> {
        self.shared.peek()
    }

    /// Waits until it is set, and lends the value.
    ///
    /// # Blocking
    /// Switches, unless it is set. Kills and deadlines are delivered here.
    ///
    /// # Errors
    /// [`Failed`](GetError::Failed) with the error it was set to; or why it cannot wait.
    pub fn wait(&self) -> Result<&T, GetError<E>> {
        self.await_it(None, Report::ERRORS)
    }

    /// As [`wait`](Self::wait), for at most `d`.
    ///
    /// # Blocking
    /// Switches, unless it is set. An enclosing [`timeout`](crate::timeout) that expires first ends it like its own time.
    ///
    /// # Errors
    /// [`TimedOut`](GetError::TimedOut), or as `wait`.
    pub fn wait_timeout(&self, d: Duration) -> Result<&T, GetError<E>> {
        self.await_it(deadline_after(d), Report::ALL)
    }

    /// Waits until it is set, and clones the value.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn get(&self) -> Result<T, GetError<E>>
    where
        T: Clone,
    {
        self.wait().cloned()
    }

    /// As [`get`](Self::get), for at most `d`.
    ///
    /// # Blocking
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    pub fn get_timeout(&self, d: Duration) -> Result<T, GetError<E>>
    where
        T: Clone,
    {
        self.wait_timeout(d).cloned()
    }

    /// A clone of the value, if it is set.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// [`Failed`](GetError::Failed), inside the `Some`.
    #[doc(alias = "get_nowait")]
    pub fn try_get(&self) -> Option<Result<T, GetError<E>>>
    where
        T: Clone,
    {
        self.now().map(|now| now.cloned())
    }

    /// The result as `wait` returns it, if it is set.
    fn now(&self) -> Option<Result<&T, GetError<E>>> {
        let result = self.shared.value.get()?.as_ref();
        Some(result.map_err(|e| GetError::Failed(Arc::clone(e))))
    }

    fn await_it(&self, deadline: Option<Instant>, report: Report) -> Result<&T, GetError<E>> {
        if let Some(now) = self.now() {
            return now;
        }
        let how = How {
            reasons: &[Reason::at(WAIT, &self.shared.latch)],
            deadline,
            report,
        };
        match self.shared.latch.wait(&how) {
            Ok(End::Granted) => match self.now() {
                Some(now) => now,
                None => unreachable!("a latch without its value"),
            },
            Ok(End::TimedOut | End::Elapsed) => Err(GetError::TimedOut),
            Ok(End::Deadlock(d)) => Err(GetError::Deadlock(d)),
            Ok(End::Unwinding) => Err(GetError::Unwinding),
            Err(e) => Err(GetError::CannotWait(e)),
        }
    }

    /// Calls `f` with the result when it is set; soon, if it is.
    ///
    /// It runs where it is set: from the hub of the thread that calls `set`, in the turn after, or within `set` if that
    /// thread has no hub. If it is set already, the calling thread's. Links run in the order of their registration; one
    /// that panics is reported and does not stop the rest. They cannot wait.
    ///
    /// A link that holds a handle of the result it waits for keeps it alive until it is set: it gets the value anyway.
    #[doc(alias = "rawlink")]
    #[doc(alias = "link")]
    pub fn on_done(&self, f: impl FnOnce(Result<&T, &E>) + Send + 'static) -> LinkId
    where
        T: 'static,
        E: 'static,
    {
        let link: Link<T, E> = Box::new(move |shared| {
            let shared = Arc::clone(shared);
            Box::new(move || {
                if let Some(result) = shared.peek() {
                    f(result);
                }
            })
        });
        let (id, late) = self.shared.links.add(&self.shared.latch, link);
        run_soon(late.map(|link| link(&self.shared)));
        id
    }

    /// Removes a link, unless it is set already. The closure is dropped here.
    pub fn unlink(&self, id: LinkId) {
        drop(self.shared.links.remove(id));
    }
}

impl<T, E> Clone for AsyncResult<T, E> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T, E> Default for AsyncResult<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows whether it is set, not what to: that may not be `Debug`.
impl<T, E> fmt::Debug for AsyncResult<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.peek() {
            None => "pending",
            Some(Ok(_)) => "value",
            Some(Err(_)) => "error",
        };
        f.debug_tuple("AsyncResult").field(&state).finish()
    }
}

/// An [`AsyncResult`] was set a second time. Hands back what it was not set to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AlreadySet<V>(V);

impl<V> AlreadySet<V> {
    /// What it was not set to.
    pub fn into_inner(self) -> V {
        self.0
    }
}

impl<V> fmt::Debug for AlreadySet<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlreadySet(..)")
    }
}

impl<V> fmt::Display for AlreadySet<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the result was set already")
    }
}

impl<V> Error for AlreadySet<V> {}

/// Why a wait for an [`AsyncResult`] brought no value.
#[non_exhaustive]
pub enum GetError<E> {
    /// It was set to this error, which all who wait share.
    Failed(Arc<E>),
    /// The time has passed, or that of an enclosing [`timeout`](crate::timeout): only from the `_timeout` forms.
    TimedOut,
    /// Main waits, and nobody is left to set it.
    Deadlock(Deadlock),
    /// The caller is unwinding and does not wait then.
    Unwinding,
    /// No wait is possible here: in a callback of the hub, or in a forked child.
    CannotWait(io::Error),
}

impl<E> GetError<E> {
    /// Whether the time has passed.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut)
    }

    /// The error it was set to, if that is it.
    pub fn failure(&self) -> Option<&E> {
        match self {
            Self::Failed(e) => Some(e),
            _ => None,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(e) => f.debug_tuple("Failed").field(e).finish(),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::Deadlock(d) => f.debug_tuple("Deadlock").field(d).finish(),
            Self::Unwinding => f.write_str("Unwinding"),
            Self::CannotWait(e) => f.debug_tuple("CannotWait").field(e).finish(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(e) => e.fmt(f),
            Self::TimedOut => f.write_str("timed out"),
            Self::Deadlock(d) => d.fmt(f),
            Self::Unwinding => f.write_str("wait while unwinding"),
            Self::CannotWait(e) => write!(f, "cannot wait here: {e}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for GetError<E> {}
