//! Tasks as arms of a select, and as things of a `wait`.
//!
//! ```text
//! arm      of this thread   its `joiner` ─► Joiner in the arm             its end unparks
//!          of another       Told ◄── a watcher of the task, at its hub     its end, or its hub's, tells and unparks
//! notice   either           a watcher of the task, with the notice
//! ```
//!
//! None of these takes the outcome: that stays with the task until the arm was chosen, so an arm that was not chosen
//! leaves its handle as it was. Who waits is woken without a grant, and looks ([`Selectable::ready`]).
#![forbid(unsafe_code)]

use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::handle::{JoinError, JoinHandle, Seen, join_reason};
use super::record::{Joiner, Watch, add_watcher};
use super::remote;
use super::scope::ScopedJoinHandle;
use crate::greenlet::hot::Hot;
use crate::greenlet::seed::Subject;
use crate::park::{
    self, Board, End, How, Notice, Reason, Report, Selectable, Ticket, Unparker, Waiting,
    park_until,
};
use crate::select::sealed::{Arm, Slot};
use crate::select::{Arms, Select, Source, Waitable};

/// Ready when the task has ended; then the handle is used up, and `None` in its place. `None` is never ready.
impl<'a, T: 'static> Source for &'a mut Option<JoinHandle<T>> {
    type Output = Result<T, JoinError>;
    type Arm = JoinArm<'a, T>;

    fn into_arm(self) -> JoinArm<'a, T> {
        JoinArm {
            handle: self,
            here: None,
            there: None,
        }
    }
}

impl<R, A: Arms<R>> Select<R, A> {
    /// Waits for the end of a task; `f` gets what a [`join`](JoinHandle::join) returns, and the handle is gone then. If the
    /// arm is not chosen, the handle stays. An arm with `None` is never ready.
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::select::Select;
    /// use greenloom::{sleep, spawn};
    ///
    /// let mut slow = Some(spawn(|| sleep(Duration::from_secs(3600))));
    /// let mut fast = Some(spawn(|| 7));
    /// let n = Select::new()
    ///     .join(&mut slow, |_| 0)
    ///     .join(&mut fast, |n| n.unwrap())
    ///     .wait();
    /// assert_eq!(n, 7);
    /// assert!(slow.is_some() && fast.is_none());
    /// # slow.unwrap().kill();
    /// ```
    ///
    /// # Blocking
    /// The result of a task of another thread is handed over by that thread's hub: the select waits for that once the arm
    /// is chosen. A kill or a deadline in that moment leaves the handle in its place.
    pub fn join<T: 'static>(
        self,
        task: &mut Option<JoinHandle<T>>,
        f: impl FnOnce(Result<T, JoinError>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(task, f)
    }
}

/// The arm of a task.
pub struct JoinArm<'a, T> {
    handle: &'a mut Option<JoinHandle<T>>,
    /// While it is registered with a task of this thread, which points to the joiner.
    here: Option<(Subject, u64, Joiner<'static>)>,
    /// Once it was registered with a task of another thread: for the whole select.
    there: Option<Arc<Told>>,
}

impl<T> JoinArm<'_, T> {
    fn is_finished(&self) -> bool {
        self.there.as_deref().is_some_and(Told::told)
            || self.handle.as_ref().is_some_and(JoinHandle::is_finished)
    }

    fn leave(&self) {
        if let Some((task, id, _)) = &self.here
            && task.id() == *id
        {
            task.joiner().set(ptr::null());
        }
    }
}

impl<T: 'static> Selectable for JoinArm<'_, T> {
    fn reason(&self) -> Reason<'_> {
        match &*self.handle {
            Some(handle) => join_reason(handle.id().as_u64()),
            None => Reason::new("no task", 0),
        }
    }

    fn attempt(&mut self) -> bool {
        self.is_finished()
    }

    fn register(&mut self, who: &Unparker, _arm: park::Arm) -> bool {
        if self.is_finished() {
            return true;
        }
        let Some(handle) = &*self.handle else {
            return false;
        };
        match (handle.address.look(), who.local()) {
            (Seen::Here(_, _, task), Some((_, waiter))) => {
                let joiner = Joiner { waiter, list: None };
                let (_, _, joiner) = self.here.insert((task, handle.address.id, joiner));
                // The arm does not move before `unregister`: the select that registers it borrows it until then.
                task.joiner().set(ptr::from_ref(joiner).cast());
                false
            }
            (Seen::There, _) => {
                // Each park of one select has the same unparker, so this one lasts.
                if self.there.is_none() {
                    self.there = Some(Told::watch(handle, who));
                }
                false
            }
            _ => true,
        }
    }

    fn unregister(&mut self) {
        self.leave();
        self.here = None;
    }

    fn commit(&mut self) {
        unreachable!("a task grants nothing")
    }

    fn ready(&self) -> bool {
        (self.here.is_some() || self.there.is_some()) && self.is_finished()
    }

    fn abandon(&self) {
        self.leave();
    }
}

impl<T: 'static> Arm for JoinArm<'_, T> {
    type Output = Result<T, JoinError>;

    fn slot(&mut self) -> Slot<'_> {
        Slot(self)
    }

    fn take(self) -> Result<T, JoinError> {
        let place = self.handle;
        match place.as_ref().map(|handle| handle.address.look()) {
            Some(Seen::There) => take_over(place),
            // Has ended, or is gone: this does not wait.
            _ => place.take().map_or(Err(JoinError::Lost), JoinHandle::join),
        }
    }
}

/// Fetches the result of a task of another thread, which has ended. The handle stays in its place until it is there.
fn take_over<T: 'static>(place: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    let Some(handle) = place else {
        return Err(JoinError::Lost);
    };
    if let Some(result) = handle.end_polling() {
        return taken(place, result);
    }
    let ticket = match Ticket::new() {
        Ok(ticket) => ticket,
        Err(e) => return Err(JoinError::CannotWait(e)),
    };
    let how = How {
        reasons: &[join_reason(handle.address.id)],
        deadline: None,
        report: Report::ERRORS,
    };
    let asked = Asked(remote::watch(handle, &ticket, None));
    match park_until(ticket, &how, &asked.0) {
        End::Granted => taken(place, asked.0.take()),
        End::Deadlock(d) => Err(JoinError::Deadlock(d)),
        _ => Err(JoinError::Unwinding),
    }
}

/// The result has come, or what the task has left if that is lost. The handle is used up.
fn taken<T: 'static>(
    place: &mut Option<JoinHandle<T>>,
    result: Result<T, JoinError>,
) -> Result<T, JoinError> {
    match place.take() {
        Some(handle) => remote::or_left(handle, result),
        None => result,
    }
}

/// A result that was asked for. Taken back when dropped, so that it stays with the task.
struct Asked<T>(Arc<remote::Mailbox<T>>);

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl<T> fmt::Debug for JoinArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinArm").field(&self.handle).finish()
    }
}

/// Whether a task of another thread has ended, for who waits for it in a select.
struct Told {
    told: AtomicBool,
    unparker: Unparker,
}

impl Told {
    fn watch<T>(handle: &JoinHandle<T>, who: &Unparker) -> Arc<Self> {
        let told = Arc::new(Self {
            told: AtomicBool::new(false),
            unparker: *who,
        });
        let teller = Teller(Arc::clone(&told));
        handle.address.expect_answer();
        handle
            .address
            .call(move |hot, _, task| watch_end(hot, task, teller));
        told
    }

    fn told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }
}

/// Tells when it is dropped: the task has ended, or its hub.
struct Teller(Arc<Told>);

impl Watch for Teller {
    fn tell(self: Box<Self>, _: Option<Subject>) {}

    fn gone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.told.store(true, Ordering::Release);
        self.0.unparker.unpark();
    }
}

/// Leaves `watcher` with a task that lives; drops it, which tells, if that has ended.
fn watch_end(hot: &'static Hot, task: Subject, watcher: impl Watch + 'static) {
    if !task.is_dead()
        && let Some(c) = task.control(hot)
    {
        add_watcher(c, Box::new(watcher));
    }
}

/// A notice that is told when it is dropped: the task has ended, or its hub.
struct Noted(Notice);

impl Watch for Noted {
    fn tell(self: Box<Self>, _: Option<Subject>) {}

    fn gone(&self) -> bool {
        self.0.gone()
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// Ready when the task has ended. Its result stays with it.
impl<T> Waitable for JoinHandle<T> {
    fn watch(&self, notice: Notice) {
        let noted = Noted(notice);
        match self.address.look() {
            Seen::Here(hot, _, task) if self.address.is(task) => watch_end(hot, task, noted),
            Seen::There if !self.is_finished() => {
                self.address.expect_answer();
                self.address
                    .call(move |hot, _, task| watch_end(hot, task, noted));
            }
            _ => drop(noted),
        }
    }

    // The task drops what is not looked at any more when its list is full, or when it ends.
    fn unwatch(&self, _: &Board) {}
}

/// Ready when the task has ended. Its result stays with it.
impl<T> Waitable for ScopedJoinHandle<'_, T> {
    fn watch(&self, notice: Notice) {
        self.handle().watch(notice);
    }

    fn unwatch(&self, board: &Board) {
        self.handle().unwatch(board);
    }
}
