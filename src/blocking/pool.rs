//! `ThreadPool` and its builder, the default pool, `offload`.
//!
//! ```text
//! offload ─► call: ticket, slot, submit, park ─► take          one allocation: the slot, with closure and result
//! spawn   ─► submit ─► Job
//! ```
//!
//! What is shared with the workers is in `core`.
#![forbid(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::core::{Config, IfFull, Pool, Refused};
use super::error::{OffloadError, SpawnError, SpawnTimeoutError, TrySpawnError};
use super::job::{Job, await_slot, ended, unwinding};
use super::slot::{Outcome, Slot};
use crate::clock::{Instant, deadline_after};
use crate::greenlet::hot::hot;
use crate::greenlet::{engine, interrupt};
use crate::hub::fork;
use crate::park::{End, Report, Ticket, budget};

/// How long an idle thread stays, unless it is said otherwise.
const EXPIRY: Duration = Duration::from_secs(10);

/// At least so many threads may the default pool have, and so many for each processor.
const LEAST: usize = 8;
const PER_CPU: usize = 4;

/// Forks of forks of forks that each get a default pool of their own.
const GENERATIONS: usize = 64;

/// One for each process that comes from the others by a fork. A lock of a parent's may be held for ever in its child, so
/// nothing is used by two.
static DEFAULT: [OnceLock<ThreadPool>; GENERATIONS] = [const { OnceLock::new() }; GENERATIONS];

fn default_place() -> &'static OnceLock<ThreadPool> {
    let generation = usize::try_from(fork::generation()).unwrap_or(usize::MAX);
    // The last one may be that of an ancestor: then it answers with `Forked`.
    &DEFAULT[generation.min(GENERATIONS - 1)]
}

/// The pool that [`offload`], files and name lookups use. Its threads are made when they are needed.
///
/// It may be given other work, too. Who closes it ends file access for the whole process.
pub fn default_pool() -> &'static ThreadPool {
    default_place().get_or_init(|| {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Builder::new(LEAST.max(PER_CPU * cpus)).build()
    })
}

/// Runs `f` on a thread of the [default pool](default_pool) and waits for what it returns, while the hub runs other tasks.
///
/// For what would block the thread: files, C libraries, long computations. On a thread without a hub, it blocks the thread.
///
/// ```
/// use greenloom::offload;
///
/// // Keeps a thread of the pool busy, and this task waiting; others run.
/// let sum: u64 = offload(|| (1..=1000).sum()).unwrap();
/// assert_eq!(sum, 500_500);
///
/// let error = offload(|| -> u32 { panic!("of the closure") }).unwrap_err();
/// assert_eq!(error.to_string(), "the job panicked: of the closure");
/// ```
///
/// # If the wait is broken off
/// By a kill or an enclosing [`timeout`](crate::timeout): if that came before the call, `f` is dropped unrun; later, `f` runs
/// all the same, and what it returns is dropped. So let it own what it works on.
///
/// # Blocking
/// Switches, unless `f` has returned before the wait begins. Kills and deadlines are delivered here. A wait for `f` is never taken for a deadlock. Called by a thread of the same
/// pool, it runs `f` at once.
///
/// # Errors
/// See [`OffloadError`].
#[doc(alias = "spawn_blocking")]
#[doc(alias = "apply")]
pub fn offload<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, OffloadError> {
    default_pool().offload(f)
}

/// Why an [`offload_io`] brought nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The wait ended so.
    Ended(End),
    Error(OffloadError),
}

/// As [`offload`], for calls that report the expiry of an enclosing `timeout` themselves.
pub(crate) fn offload_io<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failed> {
    call(&default_pool().pool, f, Report::ALL)
}

fn call<T: Send + 'static>(
    pool: &Arc<Pool>,
    f: impl FnOnce() -> T + Send + 'static,
    report: Report,
) -> Result<T, Failed> {
    if unwinding() {
        return Err(Failed::Ended(End::Unwinding));
    }
    let cannot = |e| Failed::Error(OffloadError::CannotWait(e));
    // A kill that has come is delivered before the work begins, and not after. So is the turn of others given up, if the last
    // calls were all over before the wait (invariant 11).
    if let Some(me) = hot().current.get()
        && (interrupt::due(&me).is_some() || budget::is_spent(hot()))
        && let Some(end) = budget::breathe(report).map_err(cannot)?
    {
        return Err(Failed::Ended(end));
    }
    let ticket = Ticket::new().map_err(cannot)?;
    pool.check_process().map_err(cannot)?;
    if pool.is_mine() && matches!(ticket, Ticket::Thread) {
        return engine::caught(f).map_err(|p| Failed::Error(OffloadError::Panicked(p)));
    }
    let slot = Arc::new(Slot::new(f));
    match pool.submit(slot.clone(), IfFull::Wait(None, report)) {
        Ok(()) => {}
        Err(Refused::Ended(end)) => return Err(Failed::Ended(end)),
        Err(Refused::NoThread(e)) => return Err(Failed::Error(OffloadError::NoThread(e))),
        Err(Refused::CannotWait(e)) => return Err(cannot(e)),
        Err(Refused::Full | Refused::Closed) => {
            return Err(Failed::Error(OffloadError::Terminated));
        }
    }
    let slot = Abandoned(&*slot, PhantomData);
    match await_slot(slot.0, ticket, None, report) {
        Ok(result) => {
            budget::spend(hot());
            result.map_err(Failed::Error)
        }
        Err(end) => Err(Failed::Ended(end)),
    }
}

/// A slot that is left for good on every way out.
struct Abandoned<'a, T, S: Outcome<T>>(&'a S, PhantomData<fn() -> T>);

impl<T, S: Outcome<T>> Drop for Abandoned<'_, T, S> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// A pool of OS threads, for work that blocks or computes: gevent's `ThreadPool`.
///
/// `Send` and `Sync`: tasks of all hubs and plain threads may hand in jobs, and wait for them. Threads are made when there is
/// more work than idle threads, up to the maximum, and end after some time without work. The one that was idle last
/// works first.
///
/// ```
/// use greenloom::blocking::ThreadPool;
///
/// let pool = ThreadPool::new(4);
/// let jobs: Vec<_> = (0..10u64).map(|n| pool.spawn(move || n * n).unwrap()).collect();
/// let squares: Vec<u64> = jobs.into_iter().map(|job| job.join().unwrap()).collect();
/// assert_eq!(squares[9], 81);
/// assert!(pool.threads() <= 4);
///
/// pool.close();
/// pool.join();
/// assert!(pool.spawn(|| ()).unwrap_err().is_closed());
/// ```
///
/// Dropping it closes it: what was accepted is done. No destructor waits for that; [`join`](Self::join) does.
pub struct ThreadPool {
    pool: Arc<Pool>,
}

impl ThreadPool {
    /// A pool of up to `threads` threads, with a queue without a bound.
    ///
    /// # Panics
    /// If `threads` is zero.
    #[track_caller]
    pub fn new(threads: usize) -> Self {
        Builder::new(threads).build()
    }

    /// Settings for a pool of up to `threads` threads.
    ///
    /// # Panics
    /// If `threads` is zero.
    #[track_caller]
    pub fn builder(threads: usize) -> Builder {
        Builder::new(threads)
    }

    /// Runs `f` on a thread of this pool and waits for what it returns. Otherwise as [`offload`].
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// See [`OffloadError`].
    #[doc(alias = "apply")]
    pub fn offload<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OffloadError> {
        call(&self.pool, f, Report::ERRORS).map_err(|failed| match failed {
            Failed::Error(e) => e,
            Failed::Ended(end) => ended(end),
        })
    }

    /// Hands in a job. If the queue is full, waits for room; those that wait get it in order.
    ///
    /// A job of the pool that hands in another one never waits: that could be for itself. It goes over the bound.
    ///
    /// # Blocking
    /// Switches if the queue is full. A kill or the deadline of an enclosing [`timeout`](crate::timeout) then takes the job back.
    ///
    /// # Errors
    /// `f`, in a [`SpawnError`].
    pub fn spawn<T, F>(&self, f: F) -> Result<Job<T>, SpawnError<F>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.submit(f, || IfFull::Wait(None, Report::ERRORS))
            .map_err(|(f, refused)| match refused {
                Refused::NoThread(e) => SpawnError::NoThread(f, e),
                Refused::CannotWait(e) => SpawnError::CannotWait(f, e),
                Refused::Ended(End::Unwinding) => SpawnError::Unwinding(f),
                Refused::Ended(End::Deadlock(d)) => SpawnError::CannotWait(f, io::Error::other(d)),
                Refused::Full | Refused::Closed | Refused::Ended(_) => SpawnError::Closed(f),
            })
    }

    /// As [`spawn`](Self::spawn), waiting for room for at most `d`.
    ///
    /// # Blocking
    /// As `spawn`. An enclosing [`timeout`](crate::timeout) that expires first ends it like its own time.
    ///
    /// # Errors
    /// `f`, in a [`SpawnTimeoutError`].
    pub fn spawn_timeout<T, F>(&self, f: F, d: Duration) -> Result<Job<T>, SpawnTimeoutError<F>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.submit(f, || IfFull::Wait(deadline_after(d), Report::ALL))
            .map_err(|(f, refused)| match refused {
                Refused::NoThread(e) => SpawnTimeoutError::NoThread(f, e),
                Refused::CannotWait(e) => SpawnTimeoutError::CannotWait(f, e),
                Refused::Ended(End::Unwinding) => SpawnTimeoutError::Unwinding(f),
                Refused::Ended(End::Deadlock(d)) => {
                    SpawnTimeoutError::CannotWait(f, io::Error::other(d))
                }
                Refused::Ended(_) => SpawnTimeoutError::Timeout(f),
                Refused::Full | Refused::Closed => SpawnTimeoutError::Closed(f),
            })
    }

    /// Hands in a job if there is room at once.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `f`, in a [`TrySpawnError`].
    pub fn try_spawn<T, F>(&self, f: F) -> Result<Job<T>, TrySpawnError<F>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.submit(f, || IfFull::Refuse)
            .map_err(|(f, refused)| match refused {
                Refused::NoThread(e) | Refused::CannotWait(e) => TrySpawnError::NoThread(f, e),
                Refused::Full | Refused::Ended(_) => TrySpawnError::Full(f),
                Refused::Closed => TrySpawnError::Closed(f),
            })
    }

    /// Hands in a job, whose outcome is given to `callback`: what it returned, or the payload of its panic.
    ///
    /// `callback` runs on the worker, right after the job and as a part of it: it needs no hub, nobody waits for it unasked, and
    /// the pool is not done before it. If it is to run in a task, let it put the outcome into a [queue](crate::queue). If the job
    /// never runs, `callback` is dropped uncalled. The handle is for both: it tells of a panic of `callback`.
    ///
    /// ```
    /// use greenloom::blocking::ThreadPool;
    /// use greenloom::queue::Queue;
    /// use std::sync::Arc;
    ///
    /// let pool = ThreadPool::new(2);
    /// let outcomes = Arc::new(Queue::unbounded());
    /// for n in [3u32, 0] {
    ///     let to = Arc::clone(&outcomes);
    ///     let job = pool.spawn_with(move || 12 / n, move |outcome| to.put(outcome.ok()).unwrap());
    ///     drop(job.unwrap());
    /// }
    /// let both = [outcomes.get().unwrap(), outcomes.get().unwrap()];
    /// assert!(both.contains(&Some(4)) && both.contains(&None));
    /// ```
    ///
    /// # Blocking
    /// As [`spawn`](Self::spawn).
    ///
    /// # Errors
    /// Closure and callback in one, in a [`SpawnError`].
    #[doc(alias = "apply_async")]
    pub fn spawn_with<T, F, C>(
        &self,
        f: F,
        callback: C,
    ) -> Result<Job<()>, SpawnError<impl FnOnce() + Send + 'static>>
    where
        T: 'static,
        F: FnOnce() -> T + Send + 'static,
        C: FnOnce(thread::Result<T>) + Send + 'static,
    {
        self.spawn(move || callback(engine::caught(f)))
    }

    fn submit<T, F>(&self, f: F, if_full: impl FnOnce() -> IfFull) -> Result<Job<T>, (F, Refused)>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let slot = Arc::new(Slot::new(f));
        match self.pool.submit(slot.clone(), if_full()) {
            Ok(()) => Ok(Job::new(slot, Arc::clone(&self.pool))),
            Err(refused) => match slot.withdraw() {
                Some(f) => Err((f, refused)),
                // Nobody runs what was not accepted.
                None => unreachable!("a job that was refused has begun"),
            },
        }
    }

    /// Refuses new jobs from now on, and those that wait for room. What was accepted is done; then the threads end.
    ///
    /// # Blocking
    /// Never switches.
    pub fn close(&self) {
        self.pool.close();
    }

    /// As [`close`](Self::close), and drops what is in the queue, here: who waits for that gets
    /// [`Terminated`](OffloadError::Terminated). What has begun goes on to its end, which no thread can be spared.
    ///
    /// # Blocking
    /// Never switches.
    pub fn terminate(&self) {
        self.pool.terminate();
    }

    /// Waits until no job is queued or runs; if the pool was closed or terminated, until its threads have ended.
    ///
    /// # Blocking
    /// Switches, unless that is so. Kills and deadlines of enclosing [`timeout`](crate::timeout) calls are delivered here.
    ///
    /// # Panics
    /// In a job of this pool, which would wait for itself; where nothing can wait: in a callback of the hub; in a forked child.
    #[track_caller]
    pub fn join(&self) {
        self.wait(None, Report::NOTHING);
    }

    /// As [`join`](Self::join), for at most `d`. False if the time passed first.
    ///
    /// # Blocking
    /// As `join`. An enclosing `timeout` that expires first ends it like its own time; who is unwinding does not wait.
    ///
    /// # Panics
    /// As `join`.
    #[track_caller]
    pub fn join_timeout(&self, d: Duration) -> bool {
        let report = Report {
            deadlock: false,
            ..Report::ALL
        };
        self.wait(deadline_after(d), report)
    }

    #[track_caller]
    fn wait(&self, deadline: Option<Instant>, report: Report) -> bool {
        assert!(
            !self.pool.is_mine(),
            "a job of a thread pool waits for the end of all its jobs"
        );
        if let Err(e) = self.pool.check_process() {
            panic!("cannot wait for a thread pool: {e}");
        }
        self.pool.join(Ticket::must(), deadline, report)
    }

    /// How many threads there are. In a forked child, none.
    pub fn threads(&self) -> usize {
        self.pool.counts().0
    }

    /// How many of them have nothing to do.
    pub fn idle(&self) -> usize {
        self.pool.counts().1
    }

    /// How many jobs have been handed in and have no thread yet, those included for which there is no room.
    pub fn queued(&self) -> usize {
        self.pool.counts().2
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

/// Settings for a [`ThreadPool`].
///
/// ```
/// use greenloom::blocking::ThreadPool;
/// use std::time::Duration;
///
/// let pool = ThreadPool::builder(2)
///     .name("disk")
///     .queue_bound(100)
///     .idle_expiry(Duration::from_secs(60))
///     .build();
/// let name = pool.offload(|| std::thread::current().name().map(str::to_owned)).unwrap();
/// assert_eq!(name.as_deref(), Some("disk-0"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    config: Config,
}

impl Builder {
    #[track_caller]
    fn new(threads: usize) -> Self {
        assert!(threads > 0, "a thread pool needs a thread at least");
        Self {
            config: Config {
                threads,
                name: "greenloom".to_owned(),
                expiry: Some(EXPIRY),
                bound: None,
                stack_size: None,
            },
        }
    }

    /// What its threads are called: this, with a number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// How long a thread stays that has nothing to do; ten seconds by default. `Duration::MAX` is for ever.
    pub fn idle_expiry(mut self, d: Duration) -> Self {
        self.config.expiry = Some(d);
        self
    }

    /// At most so many jobs wait in the queue for a thread; any number by default. With zero, a job is accepted when a
    /// thread takes it.
    pub fn queue_bound(mut self, n: usize) -> Self {
        self.config.bound = Some(n);
        self
    }

    /// The size of the threads' stacks in bytes; that of `std::thread` by default.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.config.stack_size = Some(bytes);
        self
    }

    /// Makes the pool. It has no threads yet.
    pub fn build(self) -> ThreadPool {
        ThreadPool {
            pool: Pool::new(self.config),
        }
    }

    /// Makes the pool the [default](default_pool) one of this process.
    ///
    /// # Errors
    /// There is one already, because it was used or installed before: `AlreadyExists`.
    pub fn install_default(self) -> io::Result<()> {
        default_place().set(self.build()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the default thread pool is there already",
            )
        })
    }
}
