//! `JoinHandle`: a task's handle with std's results.
//!
//! ```text
//! task ends by      join gives
//! return        ──► Ok(value)
//! panic         ──► Err(the payload)
//! kill, or lost ──► Err(Box<JoinError>)       told apart by `downcast_ref::<JoinError>`
//! ```
#![forbid(unsafe_code)]

use core::fmt;
use std::time::Duration;

use super::Thread;
use crate::task::{self, JoinError};

/// What a join gives: [`std::thread::Result`].
///
/// The `Err` is the payload of the task's panic, as std has it. Anything else that kept the value from coming is a
/// [`JoinError`]: that the task was killed, is lost, or cannot be waited for.
///
/// ```
/// use greenloom::task::JoinError;
/// use greenloom::thread;
///
/// let idle = thread::spawn(thread::park);
/// idle.kill();
/// let payload = idle.join().unwrap_err();
/// assert!(matches!(payload.downcast_ref(), Some(JoinError::Killed)));
/// ```
pub type Result<T> = std::thread::Result<T>;

/// The panic's payload, or the error as one.
pub(super) fn to_std<T>(joined: core::result::Result<T, JoinError>) -> Result<T> {
    joined.map_err(|e| match e {
        JoinError::Panicked(payload) => payload,
        other => Box::new(other),
    })
}

/// A spawned task: joins it, asks after it. [`std::thread::JoinHandle`].
///
/// Dropping the handle detaches the task, as in std; a panic is reported once on stderr then. `Send` and `Sync` if and only
/// if `T` is `Send`.
pub struct JoinHandle<T> {
    task: task::JoinHandle<T>,
    thread: Thread,
}

impl<T: 'static> JoinHandle<T> {
    /// Waits until the task has ended and returns its value.
    ///
    /// # Blocking
    /// Switches, unless the task has ended.
    ///
    /// # Errors
    /// See [`Result`]: the payload of its panic, or a [`JoinError`].
    pub fn join(self) -> Result<T> {
        to_std(self.task.join())
    }

    /// Waits for at most `d`. If the task has not ended by then, hands the handle back. Not in std.
    ///
    /// # Blocking
    /// Switches, unless the task has ended. An enclosing `timeout` that expires first is reported like `d`'s own expiry.
    ///
    /// # Errors
    /// The handle, if the task lives on; inside the `Ok`, as [`join`](Self::join).
    pub fn join_timeout(self, d: Duration) -> core::result::Result<Result<T>, Self> {
        let Self { task, thread } = self;
        match task.join_timeout(d) {
            Ok(joined) => Ok(to_std(joined)),
            Err(task) => Err(Self { task, thread }),
        }
    }
}

impl<T> JoinHandle<T> {
    /// The task: its name and id, and [`unpark`](Thread::unpark).
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Whether the task has ended.
    #[doc(alias = "is_alive")]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends the task, as [`task::JoinHandle::kill`]. Not in std.
    ///
    /// # Blocking
    /// Never switches.
    pub fn kill(&self) {
        self.task.kill();
    }
}

impl<T> From<task::JoinHandle<T>> for JoinHandle<T> {
    fn from(task: task::JoinHandle<T>) -> Self {
        let thread = task.task();
        Self { task, thread }
    }
}

/// For what this type has not: links, futures, `join_all`.
impl<T> From<JoinHandle<T>> for task::JoinHandle<T> {
    fn from(handle: JoinHandle<T>) -> Self {
        handle.task
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}
