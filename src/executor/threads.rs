//! `ThreadPoolExecutor`: jobs on OS threads.
#![forbid(unsafe_code)]

use core::fmt;
use std::sync::Arc;

use super::future::{Place, Promise};
use super::{Executor, Future, Shutdown, SubmitError};
use crate::blocking::{Builder, SpawnError, ThreadPool};
use crate::park::Lock;

/// Runs jobs on up to so many threads. For what blocks or computes.
///
/// A [`ThreadPool`] with futures. `Send` and `Sync`: any task of any hub may hand in jobs, and who waits for a result
/// parks its task only.
///
/// ```
/// use greenloom::executor::{Executor, ThreadPoolExecutor};
///
/// let executor = ThreadPoolExecutor::new(2);
/// let text = executor.submit(|| std::fs::read_to_string("/proc/self/comm")).unwrap();
/// assert!(text.result().unwrap().is_ok());
/// ```
pub struct ThreadPoolExecutor {
    pool: ThreadPool,
}

impl ThreadPoolExecutor {
    /// With up to `threads` threads, none of which is there yet.
    ///
    /// # Panics
    /// If `threads` is zero.
    #[must_use]
    #[track_caller]
    pub fn new(threads: usize) -> Self {
        Self {
            pool: ThreadPool::new(threads),
        }
    }

    /// With a pool of these settings. A bound of its queue does not hold here: a job that finds it full waits.
    #[must_use]
    pub fn from_builder(settings: Builder) -> Self {
        Self {
            pool: settings.build(),
        }
    }
}

/// A job, until the pool has accepted it and it is run.
struct Work<F, T>(Lock<Option<(F, Promise<T>)>>);

impl<F, T> Work<F, T> {
    fn take(&self) -> Option<(F, Promise<T>)> {
        self.0.with(Option::take)
    }
}

impl Executor for ThreadPoolExecutor {
    fn submit<T, F>(&self, f: F) -> Result<Future<T>, SubmitError<F>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (promise, future) = Promise::new(Place::Pool);
        let work = Arc::new(Work(Lock::new(Some((f, promise)))));
        let job = {
            let work = Arc::clone(&work);
            move || {
                if let Some((f, promise)) = work.take() {
                    promise.run(f);
                }
            }
        };
        let refused = match self.pool.spawn(job) {
            Ok(_job) => return Ok(future),
            Err(refused) => refused,
        };
        let Some((f, _promise)) = work.take() else {
            unreachable!("a job that was refused has begun")
        };
        Err(match refused {
            SpawnError::NoThread(_, e) | SpawnError::CannotWait(_, e) => {
                SubmitError::NoWorker(f, e)
            }
            _ => SubmitError::ShutDown(f),
        })
    }

    fn shutdown(&self, how: Shutdown) {
        if how.cancels() {
            self.pool.terminate();
        } else {
            self.pool.close();
        }
        if how.waits() {
            self.pool.join();
        }
    }
}

impl fmt::Debug for ThreadPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolExecutor")
            .field("threads", &self.pool.threads())
            .field("queued", &self.pool.queued())
            .finish()
    }
}
