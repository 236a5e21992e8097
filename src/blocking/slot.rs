//! One job: its closure until it runs, its result afterwards, and who waits for that.
//!
//! ```text
//!            worker: run           worker: store          who waits: take
//!  Queued(f) ───────────► Running ───────────► Done(r) ───────────────────► Taken
//!     │  │
//!     │  └── cancel, or taken back by who found no room ──► Withdrawn
//!     └───── the pool is terminated ──────────────────────► Terminated
//! ```
//!
//! | stage | waiter | |
//! | --- | --- | --- |
//! | Queued, Running | none or one | |
//! | Done, Withdrawn, Terminated | none | **over**: whoever brought it there took the waiter out, and wakes it |
//!
//! Each change is one step under the lock, so a job has one end: who cancels and who runs it never both win. Closures and
//! results are moved in and out under it, and dropped outside (invariant 4). Worker and waiter share the slot by `Arc`, not by
//! reference: who gives up just leaves (invariant 13). A result that comes after that is dropped by the worker, and by nobody else:
//! who was killed is unwinding, and is not to run the destructors of others.
#![forbid(unsafe_code)]

use core::mem;

use super::error::OffloadError;
use crate::greenlet::control::Payload;
use crate::greenlet::engine;
use crate::park::{Lock, Unparker};

enum Stage<F, T> {
    Queued(F),
    Running,
    Done(Result<T, Payload>),
    Taken,
    Withdrawn,
    Terminated,
}

struct State<F, T> {
    stage: Stage<F, T>,
    waiter: Option<Unparker>,
    /// Nobody will ask for the result.
    abandoned: bool,
}

/// See the file's head.
pub(super) struct Slot<F, T>(Lock<State<F, T>>);

/// A job as the pool knows it.
pub(super) trait Run: Send + Sync {
    /// Runs it, unless it was withdrawn. Returns who waits for it, who is to be woken.
    fn run(&self) -> Option<Unparker>;

    /// It will never run. The closure is dropped here. Returns who is to be woken.
    fn terminate(&self) -> Option<Unparker>;
}

/// A job as its handle knows it.
pub(super) trait Outcome<T>: Run {
    /// Whether it is over: whether [`take`](Self::take) returns something.
    fn is_over(&self) -> bool;

    /// What it came to, if it is over.
    fn take(&self) -> Option<Result<T, OffloadError>>;

    /// Has `who` woken when it is over. False if it is.
    fn watch(&self, who: Unparker) -> bool;

    /// Wakes nobody any more. False if it is over.
    fn unwatch(&self) -> bool;

    /// Withdraws it, if it has not begun. The closure is dropped here.
    fn cancel(&self) -> bool;

    /// Leaves it for good. A result that is there stays where it is.
    fn detach(&self);

    /// Leaves it for good. A result that is there is dropped here.
    fn abandon(&self) {
        self.detach();
        // Looked for after that: one that comes later is the worker's to drop.
        drop_quietly(self.take());
    }
}

impl<F, T> Slot<F, T> {
    pub(super) const fn new(f: F) -> Self {
        Self(Lock::new(State {
            stage: Stage::Queued(f),
            waiter: None,
            abandoned: false,
        }))
    }

    /// Takes the closure out, if it has not begun, and leaves `stage`.
    fn end_unbegun(&self, stage: Stage<F, T>) -> Option<F> {
        self.0.with(|s| match mem::replace(&mut s.stage, stage) {
            Stage::Queued(f) => Some(f),
            other => {
                // What is overwritten carries nothing to drop: callers pass no `Done`.
                s.stage = other;
                None
            }
        })
    }

    /// Takes back a closure that was not accepted.
    pub(super) fn withdraw(&self) -> Option<F> {
        self.end_unbegun(Stage::Withdrawn)
    }
}

impl<F, T> Run for Slot<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self) -> Option<Unparker> {
        let f = self.end_unbegun(Stage::Running)?;
        let result = engine::caught(f);
        let (unwanted, waiter) = self.0.with(|s| {
            if s.abandoned {
                s.stage = Stage::Taken;
                return (Some(result), None);
            }
            s.stage = Stage::Done(result);
            (None, s.waiter.take())
        });
        drop_quietly(unwanted);
        waiter
    }

    fn terminate(&self) -> Option<Unparker> {
        let f = self.end_unbegun(Stage::Terminated)?;
        let waiter = self.0.with(|s| s.waiter.take());
        drop_quietly(f);
        waiter
    }
}

impl<F, T> Outcome<T> for Slot<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    #[inline]
    fn is_over(&self) -> bool {
        self.0.with(|s| s.is_over())
    }

    fn take(&self) -> Option<Result<T, OffloadError>> {
        self.0.with(|s| match s.stage {
            Stage::Queued(_) | Stage::Running => None,
            Stage::Withdrawn => Some(Err(OffloadError::Cancelled)),
            Stage::Terminated => Some(Err(OffloadError::Terminated)),
            Stage::Done(_) | Stage::Taken => match mem::replace(&mut s.stage, Stage::Taken) {
                Stage::Done(result) => Some(result.map_err(OffloadError::Panicked)),
                _ => None,
            },
        })
    }

    fn watch(&self, who: Unparker) -> bool {
        self.0.with(|s| {
            let wait = !s.is_over();
            if wait {
                s.waiter = Some(who);
            }
            wait
        })
    }

    fn unwatch(&self) -> bool {
        self.0.with(|s| {
            s.waiter = None;
            !s.is_over()
        })
    }

    fn cancel(&self) -> bool {
        self.end_unbegun(Stage::Withdrawn)
            .map(drop_quietly)
            .is_some()
    }

    fn detach(&self) {
        self.0.with(|s| {
            s.waiter = None;
            s.abandoned = true;
        });
    }
}

impl<F, T> State<F, T> {
    fn is_over(&self) -> bool {
        !matches!(self.stage, Stage::Queued(_) | Stage::Running)
    }
}

/// Drops what is the user's; a panic in that has been told by std's hook, and stops nothing.
pub(super) fn drop_quietly<V>(value: V) {
    if let Err(payload) = engine::caught(|| drop(value)) {
        crate::greenlet::report::drop_payload(payload);
    }
}
