//! A scope that ends at its first failure.
//!
//! ```text
//! try_scope ── scope(|s| f(TryScope { s, failure }))
//!    task: Ok(v) ──► Some(v)      Err(e) or panic ──► failure, if it is the first; the siblings are killed ──► None
//!    f:    Ok(r)                  Err(e) or panic ──► the same
//! end of the scope, all tasks gone: failure? returned, or its panic resumed : Ok(r)
//! ```
//!
//! It is a [`scope`](super::scope()) with a rule, so all that makes borrowing sound is there. This file waits for nothing itself.
#![forbid(unsafe_code)]

use core::any::Any;
use core::cell::Cell;
use core::fmt;
use core::panic::Location;
use std::panic::resume_unwind;
use std::rc::Rc;

use super::Builder;
use super::scope::{Scope, ScopedJoinHandle, scope};
use crate::greenlet::engine;
use crate::greenlet::interrupt::is_interrupt;

/// Why the scope ends early.
enum Why<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

/// What the scope and its tasks share.
struct Failure<E> {
    first: Cell<Option<Why<E>>>,
    failed: Cell<bool>,
}

impl<E> Failure<E> {
    /// Notes a failure, unless it is not the first. What is not noted is dropped.
    fn note(&self, why: Why<E>, scope: &Scope<'_, '_>) {
        if !self.failed.replace(true) {
            self.first.set(Some(why));
            scope.kill_others();
        }
    }
}

/// A scope of tasks that ends at its first failure: see [`try_scope`].
pub struct TryScope<'s, 'env: 's, E: 'env> {
    scope: &'s Scope<'s, 'env>,
    failure: Rc<Failure<E>>,
}

/// As [`scope`](super::scope()), for tasks that may fail: the first failure kills the other tasks and is what this returns.
///
/// A failure is an `Err` or a panic, of a task or of `f`. An `Err` is returned, a panic goes on here. A task that was killed
/// is none: who killed it knows. `f` itself is not interrupted: its joins return, as the tasks have ended; and what it
/// spawns after a failure is killed before it starts.
///
/// ```
/// use greenloom::task::try_scope;
/// use greenloom::sleep;
/// use std::time::Duration;
///
/// let result: Result<(), String> = try_scope(|s| {
///     s.spawn(|| {
///         sleep(Duration::from_secs(3600));
///         Ok(())
///     });
///     s.spawn(|| Err::<(), _>("disk full".to_string()));
///     Ok(())
/// });
/// assert_eq!(result, Err("disk full".to_string()));
/// ```
///
/// # Blocking
/// Switches until all tasks have ended; that wait is shielded.
///
/// # Errors
/// The first `Err`, once all tasks have ended.
///
/// # Panics
/// With the first panic, once all tasks have ended; otherwise as [`scope`](super::scope()).
///
/// # Aborts
/// As [`scope`](super::scope()). Under `panic = "abort"` a task that has started cannot be killed: then the scope waits for it.
#[track_caller]
pub fn try_scope<'env, R, E: 'env>(
    f: impl for<'s> FnOnce(&TryScope<'s, 'env, E>) -> Result<R, E>,
) -> Result<R, E> {
    let failure = Rc::new(Failure {
        first: Cell::new(None),
        failed: Cell::new(false),
    });
    let shared = Rc::clone(&failure);
    let result = scope(move |s| {
        let within = TryScope {
            scope: s,
            failure: shared,
        };
        match engine::caught(|| f(&within)) {
            Ok(Ok(r)) => Some(r),
            Ok(Err(e)) => {
                within.failure.note(Why::Error(e), s);
                None
            }
            Err(payload) if is_interrupt(&*payload) => {
                // Not a failure of anything in here: it goes on outside.
                s.kill_others();
                resume_unwind(payload)
            }
            Err(payload) => {
                within.failure.note(Why::Panic(payload), s);
                None
            }
        }
    });
    match (failure.first.take(), result) {
        (Some(Why::Error(e)), _) => Err(e),
        (Some(Why::Panic(payload)), _) => resume_unwind(payload),
        (None, Some(r)) => Ok(r),
        (None, None) => unreachable!("a scope without its result has failed"),
    }
}

impl<'s, 'env, E: 'env> TryScope<'s, 'env, E> {
    /// Spawns a task of the scope. It runs when the caller gives way; not at all if the scope has failed.
    ///
    /// Joined, it is `Ok(Some(value))`; `Ok(None)` if it failed itself, its failure being the scope's; or why it has no
    /// value, mostly that it was killed for another's failure.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Panics
    /// If no stack can be had.
    #[track_caller]
    pub fn spawn<T: 's>(
        &self,
        f: impl FnOnce() -> Result<T, E> + 's,
    ) -> ScopedJoinHandle<'s, Option<T>>
    where
        E: 's,
    {
        let (scope, failure) = (self.scope, Rc::clone(&self.failure));
        let body = move || match engine::caught(f) {
            Ok(Ok(value)) => Some(value),
            Ok(Err(e)) => {
                failure.note(Why::Error(e), scope);
                None
            }
            Err(payload) if is_interrupt(&*payload) => resume_unwind(payload),
            Err(payload) => {
                failure.note(Why::Panic(payload), scope);
                None
            }
        };
        match scope.spawn_with(Builder::new(), Location::caller(), body) {
            Ok(task) => {
                if self.failure.failed.get() {
                    task.kill();
                }
                task
            }
            Err(e) => panic!("failed to spawn a task: {e}"),
        }
    }

    /// Whether something has failed.
    pub fn has_failed(&self) -> bool {
        self.failure.failed.get()
    }
}

impl<E> fmt::Debug for TryScope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope")
            .field("failed", &self.has_failed())
            .finish_non_exhaustive()
    }
}
