//! Futures in blocking code: [`block_on`] parks the task, not the thread.
//!
//! ```text
//! poll ── Ready ──► returned
//!   │ Pending
//!   ├─ woken meanwhile? yields, and polls again
//!   └─ parks ◄── wake, from any thread: woken = true, unpark
//! ```
//!
//! There is no executor here and no reactor for futures: who wakes them is their own business. What they spawn or register
//! with, a runtime say, has to run somewhere else. [`JoinHandle`](crate::task::JoinHandle) is a future itself.
#![forbid(unsafe_code)]

use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;

use crate::park::{
    self, End, How, Lock, Reason, Report, Ticket, Unparker, Waiting, cannot_wait, park_until,
};

/// What the waker of one `block_on` wakes.
struct Signal {
    woken: AtomicBool,
    /// The park, while there is one.
    parked: Lock<Option<Unparker>>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the park is looked for: one that begins now sees it.
        if !self.woken.swap(true, Ordering::AcqRel)
            && let Some(parked) = self.parked.with(Option::take)
        {
            parked.unpark();
        }
    }
}

/// A park until the signal.
struct Parked<'a>(&'a Signal);

impl Waiting for Parked<'_> {
    fn granted(&self) -> bool {
        self.0.woken.load(Ordering::Acquire)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.parked.with(Option::take);
    }
}

/// Runs a future to its end, and returns its value. Other tasks run while it is not ready.
///
/// The future stays on this task's stack and need be neither `Send` nor `'static`. A kill, or the deadline of an enclosing
/// [`timeout`](crate::timeout), drops it at its present `await`, as a dropped future always is.
///
/// ```
/// use greenloom::future::block_on;
///
/// let task = greenloom::spawn(|| block_on(async { 6 * 7 }));
/// assert_eq!(task.join().unwrap(), 42);
/// ```
///
/// # Blocking
/// Switches while the future is not ready; one that wakes itself at once gives way to other tasks before it is polled again.
/// On a thread without a hub, it parks the thread.
///
/// # Panics
/// As the future. If it has to wait: where nothing can, in a callback of the hub or in a forked child; on main with the
/// deadlock, if nobody is left to wake it.
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let signal = Arc::new(Signal {
        woken: AtomicBool::new(false),
        parked: Lock::new(None),
    });
    let waker = Waker::from(Arc::clone(&signal));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        if signal.woken.swap(false, Ordering::AcqRel) {
            park::yield_now();
            continue;
        }
        let ticket = match Ticket::new() {
            Ok(ticket) => ticket,
            Err(e) => cannot_wait(&e),
        };
        let unparker = ticket.unparker();
        signal.parked.with(|parked| *parked = Some(unparker));
        let how = How {
            reasons: &[Reason::new("a future", 0)],
            deadline: None,
            report: Report::NOTHING,
        };
        match park_until(ticket, &how, &Parked(&signal)) {
            // Whoever woke it meanwhile has done so before this, and the poll sees what that was for.
            End::Granted => drop(signal.woken.swap(false, Ordering::AcqRel)),
            // It asked for no reports.
            end => unreachable!("a future's wait ended with {end:?}"),
        }
    }
}
