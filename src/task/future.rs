//! A join handle as a future: for code that is written for `async`, on whatever executor, on any thread.
//!
//! ```text
//! a task of this thread   polled: Here { waker }  ◄── a watcher of the task wakes it; the outcome stays with the task
//! of another thread       polled: There(Mailbox)  ◄── its hub fills it and wakes; as a join, with a waker for the park
//! ```
//!
//! An outcome that is in a mailbox is nowhere else. So every other use of a handle that was polled looks there first
//! ([`end_polling`](JoinHandle::end_polling)), and dropping the state takes the request back.
#![forbid(unsafe_code)]

use core::pin::Pin;
use core::sync::atomic::AtomicUsize;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, LazyLock};

use super::handle::{JoinError, JoinHandle, Place, Seen};
use super::record::{Outcome, Watch, add_watcher};
use super::remote::{self, Mailbox};
use crate::greenlet::hot::{Phase, hot};
use crate::greenlet::seed::Subject;
use crate::hub::error;
use crate::park::{Lock, Waiting};

/// The place of a task whose outcome was taken from a handle that is still there.
static TAKEN: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| Arc::new(Place::FAILED.into()));

/// How a handle that was polled hears of the end.
pub(super) enum Polled<T> {
    Here(Arc<Lock<Option<Waker>>>),
    There(Arc<Mailbox<T>>),
}

impl<T> Polled<T> {
    /// How the task ended, if its outcome has left it.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Here(_) => None,
            Self::There(mailbox) => mailbox.outcome(),
        }
    }
}

impl<T> Drop for Polled<T> {
    fn drop(&mut self) {
        match self {
            // The watcher that stays behind wakes nobody: it may be dropped where no code of others may run.
            Self::Here(waker) => drop(waker.with(Option::take)),
            Self::There(mailbox) => drop(mailbox.cancel()),
        }
    }
}

/// Wakes the future when it is dropped: told, or because the hub ends.
struct Wakes(Arc<Lock<Option<Waker>>>);

impl Watch for Wakes {
    fn tell(self: Box<Self>, _: Option<Subject>) {}

    fn gone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        if let Some(waker) = self.0.with(Option::take) {
            waker.wake();
        }
    }
}

impl<T> JoinHandle<T> {
    /// Takes back what polling has begun; returns the outcome if it has come already. The handle is to be used up then.
    pub(super) fn end_polling(&mut self) -> Option<Result<T, JoinError>> {
        match *self.polled.take()? {
            Polled::There(ref mailbox) if !mailbox.cancel() => Some(mailbox.take()),
            _ => None,
        }
    }

    /// Takes back what polling has begun, unless the outcome has come: true if so, and then it stays there.
    pub(super) fn is_polled_out(&mut self) -> bool {
        let out = match self.polled.as_deref() {
            Some(Polled::There(mailbox)) => !mailbox.cancel(),
            _ => false,
        };
        if !out {
            drop(self.polled.take());
        }
        out
    }

    /// The outcome was taken, and the handle is still there: it is that of nothing now. Of a task that is lost, it is what
    /// that has left.
    fn taken(&mut self, result: Result<T, JoinError>) -> Poll<Result<T, JoinError>>
    where
        T: 'static,
    {
        let result = match result {
            Err(JoinError::Lost) => remote::left_behind(self).unwrap_or(Err(JoinError::Lost)),
            result => result,
        };
        self.address.place = Place::Born(Arc::clone(&TAKEN));
        Poll::Ready(result)
    }
}

// It is not the `T`, and nothing of it is pinned.
impl<T> Unpin for JoinHandle<T> {}

/// Ready when the task has ended, with what [`join`](JoinHandle::join) returns.
///
/// For `async` code, in [`block_on`](crate::future::block_on) or in any other executor, on any thread. Being dropped as a
/// future detaches the task, as everywhere. Polled again after it was ready, it is [`JoinError::Lost`].
///
/// ```
/// let task = greenloom::spawn(|| 6 * 7);
/// let answer = greenloom::future::block_on(async { task.await.unwrap() });
/// assert_eq!(answer, 42);
/// ```
impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.address.look() {
            Seen::There => {
                let ready = match this.polled.as_deref() {
                    Some(Polled::There(mailbox)) => mailbox.poll(cx.waker()),
                    _ => {
                        let mailbox = remote::watch_by_waker(this, cx.waker());
                        this.polled = Some(Box::new(Polled::There(mailbox)));
                        false
                    }
                };
                if ready && let Some(result) = this.end_polling() {
                    return this.taken(result);
                }
                Poll::Pending
            }
            Seen::Here(hot, _, task) => {
                // Polled on another thread before: the outcome may be on the way there.
                if let Some(Polled::There(_)) = this.polled.as_deref()
                    && let Some(result) = this.end_polling()
                {
                    return this.taken(result);
                }
                if !this.address.is(task) {
                    return this.taken(Err(JoinError::Lost));
                }
                if task.is_dead() {
                    drop(this.polled.take());
                    return this.taken(remote::outcome::<T>(hot, task));
                }
                let fresh = Some(cx.waker().clone());
                if let Some(Polled::Here(waker)) = this.polled.as_deref() {
                    drop(waker.with(|waker| core::mem::replace(waker, fresh)));
                } else {
                    let waker = Arc::new(Lock::new(fresh));
                    let wakes = Wakes(Arc::clone(&waker));
                    // It lives, so it has one or gets one.
                    if let Some(c) = task.control(hot) {
                        add_watcher(c, Box::new(wakes));
                    }
                    this.polled = Some(Box::new(Polled::Here(waker)));
                }
                Poll::Pending
            }
            Seen::Gone => {
                if let Some(result) = this.end_polling() {
                    return this.taken(result);
                }
                this.taken(Err(match hot().phase.get() {
                    Phase::Forked => JoinError::CannotWait(error::forked()),
                    _ => JoinError::Lost,
                }))
            }
        }
    }
}
