//! Tasks across threads: joining one from another thread, and spawning onto another thread's hub.
//!
//! ```text
//! joiner (any thread)                       the task's hub
//! Mailbox WAITING ── Call(watch) ─────────► task dead? now, or when it is:
//!    parks                                   WAITING → TAKING by CAS, fetch the value, store it
//!    FILLED  ◄──────── unpark ─────────────  TAKING → FILLED
//! gives up: WAITING → CANCELLED by CAS: the value stays with the task, the handle is handed back
//! ```
//!
//! A watcher that is dropped uncalled (the hub ended) says `Lost`. Then the handle looks for itself: a task that had ended
//! before its thread did may have left its outcome in its seed. `T` crosses threads here: a handle that is on another
//! thread is `Send`, so its `T` is.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use core::task::Waker;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handle::{Address, JoinError, JoinHandle, Place, join_reason, to_result};
use super::record::{Outcome, Watch, add_watcher};
use crate::clock::Instant;
use crate::greenlet::body;
use crate::greenlet::hot::{Hot, hot};
use crate::greenlet::seed::Subject;
use crate::hub::HubHandle;
use crate::hub::sched::Message;
use crate::park::{End, How, Lock, Report, Ticket, Unparker, Waiting, park_until};

const WAITING: u8 = 0;
const TAKING: u8 = 1;
const FILLED: u8 = 2;
const CANCELLED: u8 = 3;

/// The id of the task at an address of another thread, 0 if it has ended. The caller is inside that hub's gate.
pub(super) fn alive(address: usize) -> u64 {
    // SAFETY: inside the gate the owner's slabs and seeds stay mapped (invariant 9: `close` waits), and what is asked for
    // is atomic; the reference lives for this expression only and nothing else is touched (invariant 1).
    unsafe { Subject::from_address(address) }.alive()
}

/// Fetches the outcome of the dead `task`.
#[inline]
pub(super) fn outcome<T>(hot: &'static Hot, task: Subject) -> Result<T, JoinError> {
    debug_assert!(task.is_dead());
    // SAFETY: `T` is the type of the handle, which `spawn` made together with the task.
    to_result(unsafe {
        // Asked once which it is, not at each step.
        match task {
            Subject::Seed(seed) => body::fetch::<T>(hot, seed),
            Subject::Control(c) => body::fetch::<T>(hot, c),
        }
    })
}

/// Fetches what the task of `handle` ended with before its thread did, if that is still there.
pub(super) fn left_behind<T: 'static>(handle: &JoinHandle<T>) -> Option<Result<T, JoinError>> {
    let address = &handle.address;
    if address.hub.is_open() {
        return None;
    }
    // SAFETY: the hub has closed. The handle holds the claim on the outcome, alone: what it asked the hub for was answered,
    // with nothing. `T` is the handle's type; if this is not the task's thread, the handle was sent here, so `T` is `Send`.
    let outcome = unsafe { body::fetch_left::<T>(address.place.address()?, address.id) };
    outcome.map(to_result)
}

/// What a join returns that was told the task is lost: what it left, if it has.
pub(super) fn or_left<T: 'static>(
    handle: JoinHandle<T>,
    told: Result<T, JoinError>,
) -> Result<T, JoinError> {
    let result = match told {
        Err(JoinError::Lost) => left_behind(&handle).unwrap_or(Err(JoinError::Lost)),
        told => told,
    };
    handle.used_up();
    result
}

/// The numbers of the mailboxes of one `join_all` that were filled, in that order.
pub(super) type FilledList = Arc<Mutex<Vec<usize>>>;

pub(super) struct Mailbox<T> {
    state: AtomicU8,
    value: Mutex<Option<Result<T, JoinError>>>,
    /// For a `join_all`: where to note that this one was filled, and its number.
    list: Option<(FilledList, usize)>,
    to: To,
}

/// Whom the mailbox is for.
enum To {
    /// Who is parked.
    Park(Unparker),
    /// A future, by the waker of its last poll.
    Future(Lock<Option<Waker>>),
}

/// Locked for a few moves only, none of which can panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Mailbox<T> {
    fn fill(&self, value: Result<T, JoinError>) {
        *lock(&self.value) = Some(value);
        // Before FILLED: a joiner that gives up waits for that, and then finds the number.
        if let Some((list, number)) = &self.list {
            lock(list).push(*number);
        }
        self.state.store(FILLED, Ordering::Release);
        match &self.to {
            To::Park(unparker) => unparker.unpark(),
            To::Future(waker) => {
                if let Some(waker) = waker.with(Option::take) {
                    waker.wake();
                }
            }
        }
    }

    /// Makes `waker` the one that is woken when it is filled. True if it is filled.
    pub(super) fn poll(&self, waker: &Waker) -> bool {
        if let To::Future(place) = &self.to {
            let fresh = waker.clone();
            drop(place.with(|waker| waker.replace(fresh)));
        }
        // After the waker is there: who fills it since then has seen it.
        self.state.load(Ordering::Acquire) == FILLED
    }

    /// Whether there is something in it, and how the task ended; `None` if it is empty or that is not known.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match &*lock(&self.value) {
            Some(Ok(_)) => Some(Outcome::Returned),
            Some(Err(JoinError::Panicked(_))) => Some(Outcome::Panicked),
            Some(Err(JoinError::Killed)) => Some(Outcome::Killed),
            _ => None,
        }
    }

    /// What it was filled with.
    pub(super) fn take(&self) -> Result<T, JoinError> {
        lock(&self.value).take().unwrap_or(Err(JoinError::Lost))
    }

    /// Claims the mailbox for filling; false if the joiner gave up.
    fn claim(&self) -> bool {
        self.state
            .compare_exchange(WAITING, TAKING, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

impl<T> Waiting for Arc<Mailbox<T>> {
    fn granted(&self) -> bool {
        self.state.load(Ordering::Acquire) == FILLED
    }

    fn cancel(&self) -> bool {
        loop {
            match self.state.compare_exchange(
                WAITING,
                CANCELLED,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) | Err(CANCELLED) => return true,
                Err(FILLED) => return false,
                // The other thread moves the value at this very moment: a few instructions.
                Err(_) => std::hint::spin_loop(),
            }
        }
    }
}

/// The owner's end of a mailbox. Dropped unused, it says that the task is lost.
struct Post<T>(Arc<Mailbox<T>>);

// SAFETY: it carries a `T` from the task's thread to the joiner's. Posts are made by handles that are used off the task's
// thread; such a handle was sent there, so it is `Send`, and therefore `T` is (`JoinHandle` holds a `PhantomData<Mutex<T>>`).
unsafe impl<T> Send for Post<T> {}

impl<T> Post<T> {
    /// Runs in the task's hub when the task is dead. If the joiner gave up, the outcome stays there for its handle.
    fn deliver(self, task: Subject) {
        if self.0.claim() {
            self.0.fill(outcome::<T>(hot(), task));
        }
    }
}

impl<T> Watch for Post<T> {
    fn tell(self: Box<Self>, task: Option<Subject>) {
        if let Some(task) = task {
            self.deliver(task);
        }
    }

    fn gone(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) == CANCELLED
    }
}

impl<T> Drop for Post<T> {
    fn drop(&mut self) {
        if self.0.claim() {
            self.0.fill(Err(JoinError::Lost));
        }
    }
}

/// Has the outcome of a task of another thread sent to a mailbox of the park that `ticket` names.
pub(super) fn watch<T: 'static>(
    handle: &JoinHandle<T>,
    ticket: &Ticket,
    list: Option<(FilledList, usize)>,
) -> Arc<Mailbox<T>> {
    send_to(handle, To::Park(ticket.unparker()), list)
}

/// Has the outcome of a task of another thread sent to a mailbox that wakes `waker`.
pub(super) fn watch_by_waker<T: 'static>(handle: &JoinHandle<T>, waker: &Waker) -> Arc<Mailbox<T>> {
    send_to(handle, To::Future(Lock::new(Some(waker.clone()))), None)
}

fn send_to<T: 'static>(
    handle: &JoinHandle<T>,
    to: To,
    list: Option<(FilledList, usize)>,
) -> Arc<Mailbox<T>> {
    handle.address.expect_answer();
    let mailbox = Arc::new(Mailbox {
        state: AtomicU8::new(WAITING),
        value: Mutex::new(None),
        list,
        to,
    });
    let post = Post(Arc::clone(&mailbox));
    handle.address.call(move |hot, _, task| {
        if task.is_dead() {
            post.deliver(task);
        } else if let Some(c) = task.control(hot) {
            add_watcher(c, Box::new(post));
        }
    });
    mailbox
}

/// Joins a task of another thread.
pub(super) fn join<T: 'static>(
    handle: JoinHandle<T>,
    deadline: Option<Instant>,
    report: Report,
) -> Result<Result<T, JoinError>, (End, JoinHandle<T>)> {
    let ticket = match Ticket::new() {
        Ok(t) => t,
        Err(e) => return Ok(Err(JoinError::CannotWait(e))),
    };
    let mailbox = watch(&handle, &ticket, None);
    let how = How {
        reasons: &[join_reason(handle.address.id)],
        deadline,
        report,
    };
    match park_until(ticket, &how, &mailbox) {
        End::Granted => Ok(or_left(handle, mailbox.take())),
        end => Err((end, handle)),
    }
}

/// The hub has ended, or refused the task; the closure was not run.
pub struct HubGone<F>(pub(super) F);

impl<F> HubGone<F> {
    /// The closure.
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> core::fmt::Debug for HubGone<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HubGone(..)")
    }
}

impl<F> core::fmt::Display for HubGone<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the hub has ended")
    }
}

impl<F> std::error::Error for HubGone<F> {}

/// Spawns `f` as a task of another thread's hub (or of this one's).
///
/// The task starts when that thread's hub has its next turn; it lives and dies there. If that hub cannot make it (no stack,
/// a limit), the closure is dropped there and the join says [`JoinError::Lost`].
///
/// # Errors
/// The hub has ended: the closure comes back.
#[track_caller]
pub fn spawn_on<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
    hub: &HubHandle,
    f: F,
) -> Result<JoinHandle<T>, HubGone<F>> {
    let site = Location::caller();
    let born = Arc::new(AtomicUsize::new(0));
    let id = hot().unique_id();
    // The closure is kept apart from the message, so that it can be handed back.
    let body = Arc::new(Mutex::new(Some(f)));
    let message = {
        let (born, body) = (Arc::clone(&born), Arc::clone(&body));
        move || {
            let Some(f) = body.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                return;
            };
            let address = match super::spawn_with_id(site, id, f) {
                Ok(address) => address,
                Err(_) => Place::FAILED,
            };
            born.store(address, Ordering::Release);
        }
    };
    let handle = JoinHandle::new(
        Address {
            hub: hub.reference(),
            place: Place::Born(born),
            id: id.get(),
        },
        None,
    );
    if hub.send(Message::Call(Box::new(message))).is_err() {
        handle.used_up();
        let f = body.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(f) = f {
            return Err(HubGone(f));
        }
        unreachable!("a closure that was not sent is gone");
    }
    Ok(handle)
}
