//! `JoinHandle`: a task as others see it, on its own thread or on another.
//!
//! A handle is plain data: the hub's name, the control block's address, the id. On the task's own thread it looks at the
//! control block; from another thread everything is a message to the hub (remote.rs), and only `is_finished` reads one
//! atomic, inside the hub's gate (invariant 1).
#![forbid(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::current::Task;
use super::future::Polled;
use super::record::{DETACHED, Joiner, Link, OBSERVED, Outcome, peek_ext, settle, with_ext};
use super::remote;
use crate::clock::{Instant, deadline_after};
use crate::greenlet::body;
use crate::greenlet::control::{ControlRef, State};
use crate::greenlet::error::Deadlock;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::hub::error;
use crate::hub::sched::{self, Hub, Message, Ref};
use crate::hub::{HubHandle, lifecycle};
use crate::park::{End, HeldBy, How, LinkId, Reason, Report, Ticket, Waiting, park_until};

/// How long `try_join` gives another thread's hub to hand over a result that is there.
const HAND_OVER: Duration = Duration::from_millis(1);

/// Names a task, or any greenlet, in this process; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(super) u64);

impl TaskId {
    pub(crate) fn from_raw(id: u64) -> Self {
        Self(id)
    }

    /// The number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a join brought no value.
#[non_exhaustive]
pub enum JoinError {
    /// The task panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// The task was killed.
    Killed,
    /// The task's thread ended before it, or its hub could not start it ([`spawn_on`](super::spawn_on)).
    Lost,
    /// Main waits, and the task can never end. The task goes on, detached.
    Deadlock(Deadlock),
    /// The caller is unwinding and does not wait then; the task goes on, detached.
    Unwinding,
    /// No wait is possible here: in a callback of the hub, or in a forked child. The task goes on, detached.
    CannotWait(io::Error),
}

impl JoinError {
    /// Whether the task was killed.
    pub fn is_killed(&self) -> bool {
        matches!(self, Self::Killed)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// The payload of the panic, if it was one: for [`std::panic::resume_unwind`].
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        match self {
            Self::Panicked(payload) => Some(payload),
            _ => None,
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(p) => f
                .debug_tuple("Panicked")
                .field(&crate::greenlet::report::message(&**p).unwrap_or("(payload is no string)"))
                .finish(),
            Self::Killed => f.write_str("Killed"),
            Self::Lost => f.write_str("Lost"),
            Self::Deadlock(d) => f.debug_tuple("Deadlock").field(d).finish(),
            Self::Unwinding => f.write_str("Unwinding"),
            Self::CannotWait(e) => f.debug_tuple("CannotWait").field(e).finish(),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(p) => {
                write!(f, "the task panicked")?;
                match crate::greenlet::report::message(&**p) {
                    Some(text) => write!(f, ": {text}"),
                    None => Ok(()),
                }
            }
            Self::Killed => f.write_str("the task was killed"),
            Self::Lost => f.write_str("the task's thread ended before it"),
            Self::Deadlock(d) => d.fmt(f),
            Self::Unwinding => f.write_str("join while unwinding"),
            Self::CannotWait(e) => write!(f, "cannot join here: {e}"),
        }
    }
}

impl std::error::Error for JoinError {}

/// Where the control block is.
#[derive(Clone)]
pub(super) enum Place {
    /// The task was spawned by the thread that made the handle.
    Known(usize),
    /// It is spawned by another thread's hub, which fills this in: 0 until then, 1 if it failed.
    Born(Arc<AtomicUsize>),
}

impl Place {
    pub(super) const FAILED: usize = 1;

    /// The address; `None` if it is not known, or never will be.
    pub(super) fn address(&self) -> Option<usize> {
        match self {
            Self::Known(a) => Some(*a),
            Self::Born(cell) => Some(cell.load(Ordering::Acquire)).filter(|a| *a > Self::FAILED),
        }
    }

    fn failed(&self) -> bool {
        matches!(self, Self::Born(cell) if cell.load(Ordering::Acquire) == Self::FAILED)
    }
}

/// Everything that finds the task again, but for the type of its result.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) hub: Ref,
    pub(super) place: Place,
    pub(super) id: u64,
}

/// Where the task is, seen from here.
pub(super) enum Seen {
    /// On this thread: its control block, which is the task's as long as the handle is attached.
    Here(&'static Hot, &'static Hub, ControlRef),
    /// On another thread.
    There,
    /// Its hub has ended, or belongs to the parent of this forked process; or it was never spawned.
    Gone,
}

impl Address {
    #[inline]
    pub(super) fn look(&self) -> Seen {
        let hot = hot();
        match sched::get(hot) {
            Some(hub) if hub.handle() == self.hub => {
                if hot.phase.get() != Phase::Active {
                    return Seen::Gone;
                }
                match self.place.address() {
                    Some(a) => Seen::Here(hot, hub, sched::local(hub, a)),
                    // Spawned onto this hub by another thread, and the message was not read yet.
                    None if self.place.failed() => Seen::Gone,
                    None => Seen::There,
                }
            }
            _ if self.place.failed() || !self.hub.is_open() => Seen::Gone,
            _ => Seen::There,
        }
    }

    /// Whether `c` is this task, alive or dead with its outcome there.
    pub(super) fn is(&self, c: ControlRef) -> bool {
        c.id.get() == self.id
    }

    /// The task's hub is about to be asked for something that this thread's hub waits for.
    pub(super) fn expect_answer(&self) {
        if let Some(own) = sched::get(hot())
            && own.handle() != self.hub
        {
            own.expect_mail();
        }
    }

    /// Runs `f` with the task's control block, in its hub. Dropped uncalled if there is none any more.
    pub(super) fn call(
        &self,
        f: impl FnOnce(&'static Hot, &'static Hub, ControlRef) + Send + 'static,
    ) {
        let address = self.clone();
        let call = move || {
            if let Seen::Here(hot, hub, c) = address.look()
                && address.is(c)
            {
                f(hot, hub, c);
            }
        };
        // Comes back if the hub has ended, and is dropped.
        drop(self.hub.send(Message::Call(Box::new(call))));
    }
}

/// A spawned task: joins it, kills it, asks after it.
///
/// Dropping the handle detaches the task: it goes on, its result is dropped when it ends, and a panic is reported once on
/// stderr. `Send` and `Sync` if and only if `T` is `Send`.
#[doc(alias = "Greenlet")]
pub struct JoinHandle<T> {
    pub(super) address: Address,
    pub(super) name: Option<Arc<str>>,
    /// As a future it was polled, and was not ready then.
    pub(super) polled: Option<Box<Polled<T>>>,
    result: PhantomData<Mutex<T>>,
}

/// Waits for the end of a task of this thread.
struct Joining {
    c: ControlRef,
    id: u64,
}

impl Waiting for Joining {
    fn granted(&self) -> bool {
        self.c.id.get() != self.id || self.c.state.get() == State::Dead
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if self.c.id.get() == self.id {
            self.c.upper.joiner.set(core::ptr::null());
        }
    }
}

/// A reason whose object is a task that could end the wait.
pub(super) fn join_reason(id: u64) -> Reason<'static> {
    Reason::new("join of task", id as usize).held_by(HeldBy::Known(id))
}

impl<T> JoinHandle<T> {
    pub(super) fn new(address: Address, name: Option<Arc<str>>) -> Self {
        Self {
            address,
            name,
            polled: None,
            result: PhantomData,
        }
    }
}

impl<T: 'static> JoinHandle<T> {
    /// Waits until the task has ended and returns its value.
    ///
    /// # Blocking
    /// Switches, unless the task has ended.
    ///
    /// # Errors
    /// See [`JoinError`].
    #[doc(alias = "get")]
    pub fn join(self) -> Result<T, JoinError> {
        match self.wait(None, Report::ERRORS) {
            Ok(result) => result,
            Err((End::Deadlock(d), _)) => Err(JoinError::Deadlock(d)),
            Err((_, _)) => Err(JoinError::Unwinding),
        }
    }

    /// Waits for at most `d`. If the task has not ended by then, hands the handle back.
    ///
    /// # Blocking
    /// Switches, unless the task has ended. An enclosing `timeout` that expires first is reported like `d`'s own expiry.
    ///
    /// # Errors
    /// The handle, if the task lives on; inside the `Ok`, see [`JoinError`].
    pub fn join_timeout(self, d: Duration) -> Result<Result<T, JoinError>, JoinHandle<T>> {
        match self.wait(deadline_after(d), Report::ALL) {
            Ok(result) => Ok(result),
            Err((End::Deadlock(d), _)) => Ok(Err(JoinError::Deadlock(d))),
            Err((_, handle)) => Err(handle),
        }
    }

    /// Takes the result if the task has ended.
    ///
    /// # Blocking
    /// Does not wait for a task of this thread. The result of one that ended on another thread is handed over by that
    /// thread's hub: this waits for it, for a millisecond at most.
    ///
    /// # Errors
    /// The handle, if the task lives on, or the other thread's hub was too busy to hand the result over.
    pub fn try_join(self) -> Result<Result<T, JoinError>, JoinHandle<T>> {
        if !self.is_finished() {
            return Err(self);
        }
        match self.wait(deadline_after(HAND_OVER), Report::ALL) {
            Ok(result) => Ok(result),
            Err((_, handle)) => Err(handle),
        }
    }

    /// [`kill`](Self::kill), then waits for the end, at most `limit`.
    ///
    /// # Blocking
    /// Switches, unless the task has ended.
    ///
    /// # Errors
    /// As [`join_timeout`](Self::join_timeout).
    pub fn kill_and_join(
        self,
        limit: Option<Duration>,
    ) -> Result<Result<T, JoinError>, JoinHandle<T>> {
        self.kill();
        match limit {
            Some(d) => self.join_timeout(d),
            None => Ok(self.join()),
        }
    }

    fn wait(
        mut self,
        deadline: Option<Instant>,
        report: Report,
    ) -> Result<Result<T, JoinError>, (End, Self)> {
        if self.polled.is_some()
            && let Some(result) = self.end_polling()
        {
            self.used_up();
            return Ok(result);
        }
        match self.address.look() {
            Seen::Here(hot, _, c) if self.address.is(c) => {
                if c.state.get() != State::Dead {
                    let ticket = match Ticket::new() {
                        Ok(t) => t,
                        Err(e) => return Ok(Err(JoinError::CannotWait(e))),
                    };
                    let end = Self::park(c, self.address.id, ticket, deadline, report);
                    if !matches!(end, End::Granted) {
                        return Err((end, self));
                    }
                }
                Ok(self.fetch(hot, c))
            }
            Seen::Here(..) | Seen::Gone => {
                self.used_up();
                Ok(Err(match hot().phase.get() {
                    Phase::Forked => JoinError::CannotWait(error::forked()),
                    _ => JoinError::Lost,
                }))
            }
            Seen::There => remote::join(self, deadline, report),
        }
    }

    /// Parks until `c` is dead.
    fn park(
        c: ControlRef,
        id: u64,
        ticket: Ticket,
        deadline: Option<Instant>,
        report: Report,
    ) -> End {
        let Ticket::Greenlet(_, _, waiter) = ticket else {
            return End::Unwinding;
        };
        let joiner = Joiner { waiter, list: None };
        // After `joiner`, so that it is dropped, and clears the field, before that.
        let joining = Joining { c, id };
        c.upper
            .joiner
            .set(core::ptr::from_ref::<Joiner<'_>>(&joiner).cast());
        let how = How {
            reasons: &[join_reason(id)],
            deadline,
            report,
        };
        park_until(ticket, &how, &joining)
    }

    /// The outcome was fetched, or never will be: dropping the handle has nothing left to do.
    pub(super) fn used_up(self) {
        let mut this = ManuallyDrop::new(self);
        if this.polled.is_some() {
            drop(this.polled.take());
        }
        drop(this.name.take());
        this.address.place = Place::Known(0);
    }

    /// Takes the outcome of the dead task.
    pub(super) fn fetch(self, hot: &'static Hot, c: ControlRef) -> Result<T, JoinError> {
        self.used_up();
        remote::outcome::<T>(hot, c)
    }
}

impl<T> JoinHandle<T> {
    /// Ends the task: it unwinds at its next wait, running its destructors; if it never started, its body is dropped.
    ///
    /// The task may be on another thread. Killing a task that has ended does nothing; killing one twice neither. A kill is
    /// held back while the task is in `shield` or unwinding. Under `panic = "abort"` a task that has started cannot be
    /// unwound: then this does nothing.
    ///
    /// # Blocking
    /// Never switches. Join the handle to wait for the end.
    pub fn kill(&self) {
        match self.address.look() {
            Seen::Here(hot, _, c) => {
                if self.address.is(c) {
                    kill_here(hot, c);
                }
            }
            Seen::There => self.address.call(|hot, _, c| kill_here(hot, c)),
            Seen::Gone => {}
        }
    }

    /// Whether the task has ended.
    #[doc(alias = "ready")]
    pub fn is_finished(&self) -> bool {
        match self.address.look() {
            Seen::Here(_, _, c) => !self.address.is(c) || c.state.get() == State::Dead,
            Seen::There => match (self.address.hub.enter(), self.address.place.address()) {
                (Some(_inside), Some(address)) => remote::alive(address) != self.address.id,
                (Some(_), None) => false,
                (None, _) => true,
            },
            Seen::Gone => true,
        }
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        TaskId(self.address.id)
    }

    /// The task's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Calls `cb` with how the task ended, from its hub, when it has; at once in the next turn if it has ended already.
    ///
    /// Links run in the order of their registration; one that panics is reported and does not stop the rest. They run on
    /// the hub and cannot wait. A task with a link counts as observed: its panic is not reported.
    #[doc(alias = "link")]
    #[doc(alias = "rawlink")]
    pub fn on_done(&self, cb: impl FnOnce(Outcome) + Send + 'static) -> LinkId {
        let id = LinkId(hot().unique_id().get());
        if let Some(outcome) = self.polled.as_ref().and_then(|p| p.outcome()) {
            // The outcome is under way to a future of this handle, so the task's hub does not know the task any more.
            let call = move || cb(outcome);
            drop(self.address.hub.send(Message::Call(Box::new(call))));
            return id;
        }
        match self.address.look() {
            Seen::Here(hot, hub, c) if self.address.is(c) => link(
                hot,
                hub,
                c,
                Link {
                    id,
                    call: Box::new(cb),
                },
            ),
            Seen::Here(..) | Seen::Gone => {}
            Seen::There => {
                self.address.call(move |hot, hub, c| {
                    link(
                        hot,
                        hub,
                        c,
                        Link {
                            id,
                            call: Box::new(cb),
                        },
                    )
                });
            }
        }
        id
    }

    /// Removes a link that has not run. On another thread's task this happens when its hub reads the message.
    pub fn unlink(&self, id: LinkId) {
        match self.address.look() {
            Seen::Here(_, _, c) if self.address.is(c) => unlink(c, id),
            Seen::Here(..) | Seen::Gone => {}
            Seen::There => self.address.call(move |_, _, c| unlink(c, id)),
        }
    }

    /// The hub that runs the task.
    pub fn hub(&self) -> HubHandle {
        HubHandle::of(self.address.hub)
    }

    /// The task itself: for [`Task::unpark`](super::Task::unpark), or to keep its name without the claim on its result.
    #[doc(alias = "thread")]
    pub fn task(&self) -> Task {
        Task::new(self.address.clone(), self.name.clone())
    }
}

fn kill_here(hot: &'static Hot, c: ControlRef) {
    if cfg!(panic = "abort") && c.has(crate::greenlet::control::flag::STARTED) {
        return;
    }
    lifecycle::kill_task(hot, c);
}

fn link(hot: &'static Hot, hub: &'static Hub, c: ControlRef, link: Link) {
    if c.state.get() == State::Dead {
        c.upper.handle.set(c.upper.handle.get() | OBSERVED);
        let outcome = Outcome::of(c.ending.get());
        hub.call_soon(hot, move || (link.call)(outcome));
    } else {
        with_ext(c, |e| e.links.push(link));
    }
}

fn unlink(c: ControlRef, id: LinkId) {
    let removed = peek_ext(c, |e| {
        e.links
            .iter()
            .position(|l| l.id == id)
            .map(|i| e.links.remove(i))
    });
    // Dropped here, outside of the borrow: it is user code.
    drop(removed);
}

/// Gives up the handle's claim on the outcome.
fn detach(hot: &'static Hot, hub: &'static Hub, c: ControlRef) {
    c.upper.handle.set(c.upper.handle.get() | DETACHED);
    if c.state.get() == State::Dead {
        settle(hot, hub, c);
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // First: an outcome that is fetched for a future is not to be settled as well.
        if self.polled.is_some() {
            drop(self.polled.take());
        }
        match self.address.look() {
            Seen::Here(hot, hub, c) => {
                if self.address.is(c) {
                    detach(hot, hub, c);
                }
            }
            Seen::There => self.address.call(detach),
            Seen::Gone => {}
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.address.id)
            .field("name", &self.name)
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// The outcome of the dead `c`, fetched.
pub(super) fn to_result<T>(outcome: body::Outcome<T>) -> Result<T, JoinError> {
    match outcome {
        body::Outcome::Returned(v) => Ok(v),
        body::Outcome::Panicked(payload) => Err(JoinError::Panicked(payload)),
        body::Outcome::Exited => Err(JoinError::Killed),
    }
}
