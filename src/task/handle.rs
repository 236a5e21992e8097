//! `JoinHandle`: a task as others see it, on its own thread or on another.
//!
//! A handle is plain data: the hub's name, the address of the task's seed or control block, the id. On the task's own
//! thread it looks there; from another thread everything is a message to the hub (remote.rs), and only `is_finished` reads
//! two atomics, inside the hub's gate (invariant 1).
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
use crate::greenlet::control::flag;
use crate::greenlet::error::Deadlock;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::greenlet::seed::Subject;
use crate::hub::error;
use crate::hub::sched::{self, Hub, Message, Ref, Waiter};
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
    /// The task's thread ended before it, or its hub could not start it ([`spawn_on`](super::spawn_on)). Or the task had
    /// ended, but nobody had asked for its result when its thread ended: such results are kept only if closure and value
    /// are small (80 bytes) and the task was spawned without a [`Builder`](super::Builder)'s settings.
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

/// Where the seed or the control block is.
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
    #[inline]
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
    /// On this thread: its seed or control block, which is the task's as long as the handle is attached.
    Here(&'static Hot, &'static Hub, Subject),
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
                    Some(a) => Seen::Here(hot, hub, sched::local_subject(hub, a)),
                    // Spawned onto this hub by another thread, and the message was not read yet.
                    None if self.place.failed() => Seen::Gone,
                    None => Seen::There,
                }
            }
            _ if self.place.failed() || !self.hub.is_open() => Seen::Gone,
            _ => Seen::There,
        }
    }

    /// Whether `task` is this task, alive or dead with its outcome there.
    #[inline]
    pub(super) fn is(&self, task: Subject) -> bool {
        task.id() == self.id
    }

    /// The task's hub is about to be asked for something that this thread's hub waits for.
    pub(super) fn expect_answer(&self) {
        if let Some(own) = sched::get(hot())
            && own.handle() != self.hub
        {
            own.expect_mail();
        }
    }

    /// Asks for the end of the task.
    pub(super) fn kill(&self) {
        match self.look() {
            Seen::Here(hot, _, task) => {
                if self.is(task) {
                    kill_here(hot, task);
                }
            }
            Seen::There => self.call(|hot, _, task| kill_here(hot, task)),
            Seen::Gone => {}
        }
    }

    /// Runs `f` with the task, in its hub. Dropped uncalled if it is gone.
    pub(super) fn call(
        &self,
        f: impl FnOnce(&'static Hot, &'static Hub, Subject) + Send + 'static,
    ) {
        let address = self.clone();
        let call = move || {
            if let Seen::Here(hot, hub, task) = address.look()
                && address.is(task)
            {
                f(hot, hub, task);
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
///
/// To detach it on purpose write `drop(spawn(…))`. `let _ = spawn(…)` does the same, but as the handle is a [`Future`] too, it
/// is what clippy's `let_underscore_future` warns of: a future that is dropped before it did anything. This one has begun.
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
    task: Subject,
    id: u64,
}

impl Waiting for Joining {
    fn granted(&self) -> bool {
        self.task.id() != self.id || self.task.is_dead()
    }

    #[inline]
    fn granted_before(&self) -> bool {
        // Who joins has looked.
        false
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if self.task.id() == self.id {
            self.task.joiner().set(core::ptr::null());
        }
    }
}

/// A reason whose object is a task that could end the wait.
pub(super) fn join_reason(id: u64) -> Reason<'static> {
    Reason::new("join of task", id as usize).held_by(HeldBy::Known(id))
}

/// Why a wait for the end of a task is over before that.
enum Stopped {
    CannotWait(io::Error),
    End(End),
}

impl Stopped {
    /// For a join that does not hand the handle back.
    #[cold]
    fn into_error(self) -> JoinError {
        match self {
            Self::CannotWait(e) => JoinError::CannotWait(e),
            Self::End(End::Deadlock(d)) => JoinError::Deadlock(d),
            Self::End(_) => JoinError::Unwinding,
        }
    }
}

/// Parks until `task`, which has the given id and is not dead, is.
///
/// The one place that waits for a task of this thread: not generic, and with a result of one word, for the usual way.
///
/// # Errors
/// See [`Stopped`].
#[inline(never)]
fn await_end(
    hot: &'static Hot,
    hub: &'static Hub,
    task: Subject,
    id: u64,
    deadline: Option<Instant>,
    report: Report,
) -> Result<(), Box<Stopped>> {
    let me = match hot.current.get() {
        // As `Ticket::new` has it, with what is known already.
        Some(me) if me != hot.hub() => me,
        _ => return Err(Box::new(no_greenlet())),
    };
    let waiter = Waiter {
        control: me,
        epoch: hot.serial(),
    };
    let joiner = Joiner { waiter, list: None };
    // After `joiner`, so that it is dropped, and clears the field, before that.
    let joining = Joining { task, id };
    task.joiner()
        .set(core::ptr::from_ref::<Joiner<'_>>(&joiner).cast());
    let how = How {
        reasons: &[join_reason(id)],
        deadline,
        report,
    };
    match park_until(Ticket::Greenlet(hot, hub, waiter), &how, &joining) {
        End::Granted => Ok(()),
        end => Err(Box::new(Stopped::End(end))),
    }
}

/// Why nobody could wait here who is no greenlet.
#[cold]
fn no_greenlet() -> Stopped {
    match Ticket::new() {
        Err(e) => Stopped::CannotWait(e),
        // Cannot be: the hub's thread has a greenlet that runs, if it is not the hub.
        Ok(_) => Stopped::End(End::Unwinding),
    }
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
    #[inline]
    pub fn join(self) -> Result<T, JoinError> {
        // The usual way, apart so that it carries nothing of the others: a task of this thread, without a limit.
        match self.address.look() {
            Seen::Here(hot, hub, task) if self.polled.is_none() && self.address.is(task) => {
                if !task.is_dead()
                    && let Err(stopped) =
                        await_end(hot, hub, task, self.address.id, None, Report::ERRORS)
                {
                    return Err(stopped.into_error());
                }
                self.fetch(hot, task)
            }
            _ => self.join_elsewhere(),
        }
    }

    #[cold]
    #[inline(never)]
    fn join_elsewhere(self) -> Result<T, JoinError> {
        match self.wait(None, Report::ERRORS) {
            Ok(result) => result,
            Err((end, _)) => Err(Stopped::End(end).into_error()),
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
            return Ok(remote::or_left(self, result));
        }
        match self.address.look() {
            Seen::Here(hot, hub, task) if self.address.is(task) => {
                if !task.is_dead()
                    && let Err(stopped) =
                        await_end(hot, hub, task, self.address.id, deadline, report)
                {
                    return match *stopped {
                        Stopped::CannotWait(e) => Ok(Err(JoinError::CannotWait(e))),
                        Stopped::End(end) => Err((end, self)),
                    };
                }
                Ok(self.fetch(hot, task))
            }
            Seen::Here(..) | Seen::Gone => Ok(match hot().phase.get() {
                Phase::Forked => {
                    self.used_up();
                    Err(JoinError::CannotWait(error::forked()))
                }
                _ => remote::or_left(self, Err(JoinError::Lost)),
            }),
            Seen::There => remote::join(self, deadline, report),
        }
    }

    /// The outcome was fetched, or never will be: dropping the handle has nothing left to do.
    #[inline]
    pub(super) fn used_up(self) {
        let mut this = ManuallyDrop::new(self);
        if this.name.is_some()
            || this.polled.is_some()
            || !matches!(this.address.place, Place::Known(_))
        {
            this.dismantle();
        }
    }

    /// Drops what it holds, all but itself.
    #[cold]
    #[inline(never)]
    fn dismantle(&mut self) {
        drop(self.polled.take());
        drop(self.name.take());
        self.address.place = Place::Known(0);
    }

    /// Takes the outcome of the dead task.
    #[inline]
    pub(super) fn fetch(self, hot: &'static Hot, task: Subject) -> Result<T, JoinError> {
        self.used_up();
        remote::outcome::<T>(hot, task)
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
        self.address.kill();
    }

    /// Whether the task has ended.
    #[doc(alias = "ready")]
    pub fn is_finished(&self) -> bool {
        match self.address.look() {
            Seen::Here(_, _, task) => !self.address.is(task) || task.is_dead(),
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
            Seen::Here(hot, hub, task) if self.address.is(task) => link(
                hot,
                hub,
                task,
                Link {
                    id,
                    call: Box::new(cb),
                },
            ),
            Seen::Here(..) | Seen::Gone => {}
            Seen::There => {
                self.address.call(move |hot, hub, task| {
                    link(
                        hot,
                        hub,
                        task,
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
            Seen::Here(_, _, task) if self.address.is(task) => unlink(task, id),
            Seen::Here(..) | Seen::Gone => {}
            Seen::There => self.address.call(move |_, _, task| unlink(task, id)),
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

fn kill_here(hot: &'static Hot, task: Subject) {
    if cfg!(panic = "abort") && task.grown().is_some_and(|c| c.has(flag::STARTED)) {
        return;
    }
    lifecycle::kill_task(hot, task);
}

fn link(hot: &'static Hot, hub: &'static Hub, task: Subject, link: Link) {
    if task.is_dead() {
        task.handle().set(task.handle().get() | OBSERVED);
        let outcome = Outcome::of(task.ending());
        hub.call_soon(hot, move || (link.call)(outcome));
    } else if let Some(c) = task.control(hot) {
        with_ext(c, |e| e.links.push(link));
    }
}

fn unlink(task: Subject, id: LinkId) {
    let removed = task.grown().and_then(|c| {
        peek_ext(c, |e| {
            e.links
                .iter()
                .position(|l| l.id == id)
                .map(|i| e.links.remove(i))
        })
    });
    // Dropped here, outside of the borrow: it is user code.
    drop(removed);
}

/// Gives up the handle's claim on the outcome.
fn detach(hot: &'static Hot, hub: &'static Hub, task: Subject) {
    task.handle().set(task.handle().get() | DETACHED);
    if task.is_dead() {
        settle(hot, hub, task);
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // First: an outcome that is fetched for a future is not to be settled as well.
        if self.polled.is_some() {
            drop(self.polled.take());
        }
        match self.address.look() {
            Seen::Here(hot, hub, task) => {
                if self.address.is(task) {
                    detach(hot, hub, task);
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
#[inline]
pub(super) fn to_result<T>(outcome: body::Outcome<T>) -> Result<T, JoinError> {
    match outcome {
        body::Outcome::Returned(v) => Ok(v),
        body::Outcome::Panicked(payload) => Err(JoinError::Panicked(payload)),
        body::Outcome::Exited => Err(JoinError::Killed),
    }
}
