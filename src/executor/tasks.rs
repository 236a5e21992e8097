//! `TaskExecutor`: jobs in tasks of this thread's hub.
//!
//! ```text
//! submit ── queue ──► worker task: job, yield, job, yield, … until the queue is empty, then it ends
//!    └── fewer workers than may be: one more
//! ```
//!
//! A worker that finds nothing to do ends: a task costs little, and one that waits for work would keep a hub from being idle.
//! What is left in the queue when the last worker was killed, by the end of the hub, is cancelled.
#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use core::fmt;
use std::collections::{BTreeSet, VecDeque};
use std::panic::resume_unwind;
use std::rc::Rc;

use super::future::{Place, Promise, callback_panicked};
use super::{Executor, Future, Shutdown, SubmitError};
use crate::greenlet::engine;
use crate::greenlet::interrupt::is_interrupt;
use crate::sync::WaitGroup;
use crate::task::{self, TaskId};

type Job = Box<dyn FnOnce()>;

struct Inner {
    most: usize,
    queue: RefCell<VecDeque<Job>>,
    workers: Cell<usize>,
    /// Those of the workers that have begun.
    ids: RefCell<BTreeSet<TaskId>>,
    /// Counts the workers, for those who wait for the last.
    ended: WaitGroup,
    shut_down: Cell<bool>,
}

impl Inner {
    /// The next job. Not held in a `match` or a `while`: it is run without a borrow.
    fn next(&self) -> Option<Job> {
        self.queue.borrow_mut().pop_front()
    }

    /// Cancels what has not begun, by dropping it.
    fn cancel_pending(&self) {
        let jobs = self.queue.take();
        for job in jobs {
            run_reported(|| drop(job));
        }
    }
}

/// Runs what may panic by a drop of the user's. A kill goes on.
fn run_reported(f: impl FnOnce()) {
    if let Err(payload) = engine::caught(f) {
        if is_interrupt(&*payload) {
            resume_unwind(payload);
        }
        callback_panicked(payload);
    }
}

/// A worker, from its spawn to its end, however that comes.
struct Worker(Rc<Inner>);

impl Worker {
    fn new(inner: &Rc<Inner>) -> Self {
        inner.workers.set(inner.workers.get() + 1);
        inner.ended.add(1);
        Self(Rc::clone(inner))
    }

    fn work(self) {
        self.0.ids.borrow_mut().insert(task::id());
        while let Some(job) = self.0.next() {
            run_reported(job);
            // Other tasks get their turn between jobs that never wait.
            task::yield_now();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let inner = &self.0;
        inner.ids.borrow_mut().remove(&task::id());
        inner.workers.set(inner.workers.get() - 1);
        if inner.workers.get() == 0 {
            inner.cancel_pending();
        }
        inner.ended.done();
    }
}

/// Runs jobs in up to so many tasks of this thread's hub. For what waits.
///
/// It stays on its thread, so its jobs need not be `Send`, nor need what they return; a future whose value is `Send` may go
/// anywhere. The workers are ordinary tasks: jobs begin when the thread's other tasks, or main, wait.
///
/// ```
/// use greenloom::executor::TaskExecutor;
/// use std::rc::Rc;
///
/// let executor = TaskExecutor::new(4);
/// let name = Rc::new("local");
/// let job = executor.submit({
///     let name = Rc::clone(&name);
///     move || name.len()
/// });
/// assert_eq!(job.unwrap().result().unwrap(), 5);
/// ```
pub struct TaskExecutor {
    inner: Rc<Inner>,
}

impl TaskExecutor {
    /// With up to `most` workers, none of which is there yet.
    ///
    /// # Panics
    /// If `most` is zero.
    #[must_use]
    #[track_caller]
    pub fn new(most: usize) -> Self {
        assert!(most > 0, "an executor without workers cannot run anything");
        Self {
            inner: Rc::new(Inner {
                most,
                queue: RefCell::default(),
                workers: Cell::new(0),
                ids: RefCell::default(),
                ended: WaitGroup::new(),
                shut_down: Cell::new(false),
            }),
        }
    }

    /// Hands in a job, which need not be `Send`. Otherwise as [`Executor::submit`].
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// As [`Executor::submit`].
    #[track_caller]
    pub fn submit<T: 'static, F: FnOnce() -> T + 'static>(
        &self,
        f: F,
    ) -> Result<Future<T>, SubmitError<F>> {
        let inner = &self.inner;
        if inner.shut_down.get() {
            return Err(SubmitError::ShutDown(f));
        }
        if inner.workers.get() < inner.most {
            let worker = Worker::new(inner);
            // With others at work the job waits for one of them.
            if let Err(e) = task::try_spawn(move || worker.work())
                && inner.workers.get() == 0
            {
                return Err(SubmitError::NoWorker(f, e));
            }
        }
        let (promise, future) = Promise::new(Place::Hub);
        let job: Job = Box::new(move || promise.run(f));
        inner.queue.borrow_mut().push_back(job);
        Ok(future)
    }
}

impl Executor for TaskExecutor {
    #[track_caller]
    fn submit<T, F>(&self, f: F) -> Result<Future<T>, SubmitError<F>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.submit(f)
    }

    fn shutdown(&self, how: Shutdown) {
        let inner = &self.inner;
        inner.shut_down.set(true);
        if how.cancels() {
            inner.cancel_pending();
        }
        if how.waits() {
            assert!(
                !inner.ids.borrow().contains(&task::id()),
                "a job of an executor waits for the end of all its jobs"
            );
            inner.ended.wait();
        }
    }
}

/// Refuses new jobs; those it has are done.
impl Drop for TaskExecutor {
    fn drop(&mut self) {
        self.inner.shut_down.set(true);
    }
}

impl fmt::Debug for TaskExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskExecutor")
            .field("workers", &self.inner.workers.get())
            .field("queued", &self.inner.queue.borrow().len())
            .field("shut_down", &self.inner.shut_down.get())
            .finish()
    }
}
