//! Threads that are tasks: the shape of [`std::thread`], cooperative.
//!
//! A program written for `std::thread` ports by its `use` line. What it spawns are tasks of the calling thread's hub, so a
//! hundred thousand of them are fine, nothing runs at the same time as another, and what they share need not be `Sync`.
//!
//! ```
//! use greenloom::thread;
//! use std::time::Duration;
//!
//! let sleeper = thread::Builder::new().name("sleeper".into()).spawn(|| {
//!     thread::park();
//!     thread::current().name().map(str::to_owned)
//! })?;
//! thread::sleep(Duration::from_millis(1));
//! sleeper.thread().unpark();
//! assert_eq!(sleeper.join().unwrap().as_deref(), Some("sleeper"));
//!
//! let mut numbers = [1, 2, 3];
//! let total: i32 = thread::scope(|s| {
//!     let tasks = numbers.each_mut().map(|n| {
//!         s.spawn(move || {
//!             *n *= 10;
//!             *n
//!         })
//!     });
//!     tasks.map(|task| task.join().unwrap()).iter().sum()
//! });
//! assert_eq!((numbers, total), ([10, 20, 30], 60));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | here | is |
//! | --- | --- |
//! | [`spawn`], [`Builder`], [`JoinHandle`], [`scope`], [`Scope`], [`ScopedJoinHandle`] | this module's, over [`task`](crate::task) |
//! | [`Thread`], [`ThreadId`] | [`task::Task`](crate::task::Task), [`task::TaskId`](crate::task::TaskId) by std's names |
//! | [`current`], [`park`], [`park_timeout`], [`yield_now`], [`sleep`], [`sleep_until`] | the crate's |
//! | [`LocalKey`], [`AccessError`], [`local!`](crate::local), [`thread_local!`](crate::thread_local) | task-locals |
//! | [`available_parallelism`] | std's: how many threads with a hub each are worth while |
//!
//! # Differences from `std::thread`
//!
//! - A new task runs when the caller gives way, and only then: one that computes without ever waiting holds up the others.
//! - What is spawned need not be `Send`. It never leaves the thread.
//! - [`JoinHandle::join`] has one more kind of `Err`: if the task did not panic but was killed, or is lost, the payload is
//!   a [`JoinError`](crate::task::JoinError).
//! - A handle can [`kill`](JoinHandle::kill).
//! - Stacks come in classes ([`StackSize`](crate::stack::StackSize)); [`Builder::stack_size`] rounds up, and more than the
//!   largest is an error of the spawn.
//! - `park` returns for an `unpark` or its time only, never by chance.
//! - `park` and `current` make the hub of a thread that has none; `sleep` and `yield_now` are std's there.
//! - Tasks that are alive when a thread or `main` returns never run again, as std's threads at the end of `main`; see
//!   [`hub`](crate::hub).
//!
//! # From Python's `threading`
//!
//! | there | here |
//! | --- | --- |
//! | `Thread(target=f, name=…, daemon=True).start()` | [`Builder`] with [`name`](Builder::name), [`daemon`](Builder::daemon), [`spawn`](Builder::spawn) |
//! | `join(timeout)`, `is_alive()`, `name`, `ident` | [`JoinHandle::join_timeout`], [`is_finished`](JoinHandle::is_finished), and of its [`thread`](JoinHandle::thread) `name`, `id` |
//! | `current_thread()`, `get_ident()` | [`current`], [`current_id`] |
//! | `enumerate()`, `active_count()` | [`task::list`](crate::task::list), [`task::count`](crate::task::count) |
//! | `Timer(d, f)`, `cancel()` | [`spawn_later`](crate::spawn_later), [`task::JoinHandle::kill`](crate::task::JoinHandle::kill) |
//! | `local()` | [`local!`](crate::local) |

mod handle;
mod scope;

use std::io;

pub use std::thread::available_parallelism;

pub use self::handle::{JoinHandle, Result};
pub use self::scope::{Scope, ScopedJoinHandle, scope};
pub use crate::local;
/// [`local!`](crate::local) by the name of std's macro.
pub use crate::local as thread_local;
pub use crate::task::{
    AccessError, LocalKey, Task as Thread, TaskId as ThreadId, current, id as current_id, park,
    park_timeout, yield_now,
};
pub use crate::time::{sleep, sleep_until};

use crate::greenlet::engine;
use crate::greenlet::hot::hot;
use crate::stack::StackSize;
use crate::task;

/// Settings of a task before it is spawned: [`std::thread::Builder`].
///
/// ```
/// use greenloom::thread::Builder;
///
/// let task = Builder::new().name("deep".into()).stack_size(200_000).spawn(|| 6 * 7)?;
/// assert_eq!(task.thread().name(), Some("deep"));
/// assert_eq!(task.join().unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    settings: task::Builder,
    /// In bytes; 0: the default.
    stack_size: usize,
}

impl Builder {
    /// The default: no name, a stack of 64 KiB, no daemon.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the task, for reports, dumps and `Debug`.
    pub fn name(mut self, name: String) -> Self {
        self.settings = self.settings.name(name);
        self
    }

    /// The size of its stack in bytes, rounded up to a [class](crate::stack::StackSize).
    pub fn stack_size(mut self, size: usize) -> Self {
        self.stack_size = size;
        self
    }

    /// Makes it a daemon: [`run_until_idle`](crate::hub::run_until_idle) does not wait for it. Not in std.
    pub fn daemon(mut self) -> Self {
        self.settings = self.settings.daemon();
        self
    }

    fn settings(self) -> io::Result<task::Builder> {
        let size = StackSize::at_least(self.stack_size)?;
        Ok(self.settings.stack_size(size))
    }

    /// Spawns the task. It runs when the caller gives way.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `InvalidInput` if no stack is as large as was asked for; otherwise as [`task::Builder::spawn`].
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.settings()?.spawn(f).map(JoinHandle::from)
    }

    /// Spawns the task in a [`scope`](scope()): it may borrow what outlives the scope.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        scope.spawn_with(self.settings()?, f)
    }
}

/// Spawns a task on this thread's hub. It runs when the caller gives way.
///
/// # Blocking
/// Never switches.
///
/// # Panics
/// If no stack or no hub can be had; [`Builder::spawn`] returns the error.
#[doc(alias = "start_new_thread")]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    JoinHandle::from(task::spawn(f))
}

/// Whether the running task unwinds because of a panic, a kill or an expired [`timeout`](crate::timeout).
///
/// [`std::thread::panicking`] answers for the OS thread: while one task waits in a destructor that runs in its
/// unwinding, it is true for all. This is for the running task, as far as can be told: one that begins to unwind while
/// another waits like that passes for one that does not.
///
/// ```
/// use greenloom::{sleep, thread};
/// use std::time::Duration;
///
/// struct Slow;
/// impl Drop for Slow {
///     fn drop(&mut self) {
///         assert!(thread::panicking());
///         sleep(Duration::from_millis(5));
///     }
/// }
///
/// let failing = thread::spawn(|| {
///     let _slow = Slow;
///     std::panic::resume_unwind(Box::new("failed"));
/// });
/// greenloom::yield_now();
/// assert!(std::thread::panicking());
/// assert!(!thread::panicking());
/// assert!(failing.join().is_err());
/// ```
///
/// # Blocking
/// Never switches.
#[must_use]
pub fn panicking() -> bool {
    engine::unwinding(hot())
}
