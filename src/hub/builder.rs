//! A hub with limits and budgets of one's own, and the handle by which other threads name a hub.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;
use std::time::Duration;

use super::sched::{self, Limits, Message, Ref};
use super::spin::MAX_SPIN;
use crate::greenlet::hot::hot;

/// The scheduler of one thread; see the [module](super). A thread gets one by its first spawn, or by [`Hub::builder`].
#[derive(Debug)]
pub struct Hub(());

impl Hub {
    /// Settings for this thread's hub, before it has one.
    pub fn builder() -> Builder {
        Builder {
            limits: Limits::default(),
        }
    }
}

/// Makes this thread's hub with limits and budgets; see [`Hub::builder`].
///
/// ```
/// use greenloom::hub::Hub;
///
/// std::thread::spawn(|| {
///     Hub::builder().max_tasks(1).start().unwrap();
///     let first = greenloom::spawn(|| 1);
///     let refused = greenloom::task::Builder::new().spawn(|| 2).unwrap_err();
///     assert_eq!(refused.to_string(), "the hub's limit of 1 tasks is reached");
///     assert_eq!(first.join().unwrap(), 1);
/// })
/// .join()
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    limits: Limits,
}

impl Builder {
    /// At most so many tasks alive at once; one more is refused with [`LimitReached`](super::LimitReached).
    pub fn max_tasks(mut self, n: usize) -> Self {
        self.limits.tasks = n;
        self
    }

    /// At most so many bytes of stacks, counted by their size classes; one more is refused with
    /// [`LimitReached`](super::LimitReached).
    pub fn max_stack_bytes(mut self, n: usize) -> Self {
        self.limits.stack_bytes = n;
        self
    }

    /// How many runnable tasks run between two looks at timers and descriptors; 256 by default, at least 1.
    pub fn batch(mut self, n: u32) -> Self {
        self.limits.batch = n.max(1);
        self
    }

    /// How many calls of a task may succeed at once, each time that it gets the thread, before it yields: reads, writes and
    /// accepts, and what it puts into queues and channels or gets from them. Greenlets that it switches to share it.
    /// 64 by default, at least 1.
    pub fn io_budget(mut self, n: u32) -> Self {
        self.limits.io_budget = n.max(1);
        self
    }

    /// Has the hub look out for so long before it blocks, whenever nothing is runnable: off (zero) by default, 10 ms at most,
    /// to which what is longer is cut.
    ///
    /// A thread that blocks takes some microseconds to fall asleep and to be woken, and its processor more to come out of
    /// a sleep of its own. A hub that is still awake is spared that, so a lone connection gets its answers, and a wake from
    /// another thread arrives, that much sooner. The price is a processor that burns for as long, each time there is
    /// nothing to do; one that is needed elsewhere makes everything later instead of sooner. So this is for threads that
    /// have a processor to themselves, and for what comes within the time: 20 to 100 us are usual, as much as a peer
    /// takes to answer. [`Counters::spins`](crate::inspect::Counters::spins) tells how often it was worth it.
    ///
    /// While it spins the hub polls its descriptors without waiting, looks for mail of other threads (who need no system call
    /// to wake it then), for signals, and for the next deadline, at which the spin ends. What is delivered, and in what
    /// order, does not change; nor does what is a deadlock, which is found later by a spin. A
    /// [simulated](Self::simulate) hub does not spin.
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::hub::Hub;
    ///
    /// std::thread::spawn(|| {
    ///     Hub::builder().spin(Duration::from_micros(50)).start().unwrap();
    ///     while greenloom::inspect::counters().spins == 0 {
    ///         greenloom::sleep(Duration::from_millis(1)); // nobody else is runnable
    ///     }
    /// })
    /// .join()
    /// .unwrap();
    /// ```
    #[doc(alias = "busy_poll")]
    pub fn spin(mut self, at_most: Duration) -> Self {
        self.limits.spin = at_most.min(MAX_SPIN);
        self
    }

    /// Makes the hub a simulated one: its order comes from the seed, its time is simulated. What that means, and what it
    /// does not cover, is with [`simulate`](super::simulate), which does this on a thread of its own and is what tests
    /// want. Batch and io budget are one then.
    ///
    /// Time is simulated on this thread until it ends; in a forked child that calls [`reinit`](super::reinit) it goes on,
    /// with the order beginning anew. The handle that [`start`](Self::start) returns is not one that was asked for, as far
    /// as deadlocks go: if other threads are to have it, take it from [`current_handle`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::hub::Hub;
    /// use greenloom::time::Instant;
    ///
    /// std::thread::spawn(|| {
    ///     Hub::builder().simulate(42).start().unwrap();
    ///     let before = Instant::now();
    ///     greenloom::sleep(Duration::from_secs(3600));
    ///     assert_eq!(before.elapsed(), Duration::from_secs(3600));
    /// })
    /// .join()
    /// .unwrap();
    /// ```
    pub fn simulate(mut self, seed: u64) -> Self {
        self.limits.seed = Some(seed);
        self
    }

    /// Makes the hub.
    ///
    /// # Errors
    /// The thread has one already (`AlreadyExists`), or no descriptor for the poll could be had.
    pub fn start(self) -> io::Result<HubHandle> {
        let hot = hot();
        if sched::get(hot).is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "this thread has a hub already",
            ));
        }
        sched::start(hot, self.limits).map(|hub| HubHandle { hub: hub.handle() })
    }
}

/// Names the hub of a thread, from any thread.
///
/// Keeps nothing alive: once the thread has ended, what is asked of the handle is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HubHandle {
    hub: Ref,
}

impl HubHandle {
    /// Whether the hub is still there, at this moment.
    pub fn is_alive(&self) -> bool {
        self.hub.is_open()
    }

    /// Hands a message to the hub.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        self.hub.send(message)
    }

    pub(crate) fn reference(&self) -> Ref {
        self.hub
    }

    /// A handle for a user who asked for one.
    pub(crate) fn of(hub: Ref) -> Self {
        if let Some(own) = sched::get(hot())
            && own.handle() == hub
        {
            own.expect_mail();
        }
        Self { hub }
    }
}

impl fmt::Debug for HubHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubHandle")
            .field("alive", &self.is_alive())
            .finish()
    }
}

/// A handle to this thread's hub, which is made if there is none.
///
/// # Panics
/// If a hub cannot be made: no descriptor for its poll, or the thread is ending.
#[doc(alias = "get_hub")]
#[track_caller]
pub fn current_handle() -> HubHandle {
    match sched::ensure() {
        Ok((_, hub)) => HubHandle::of(hub.handle()),
        Err(e) => panic!("failed to make a hub: {e}"),
    }
}
