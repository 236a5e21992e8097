//! Tasks: greenlets that the hub runs.
//!
//! A task is spawned with a plain closure, runs in turn with the others of its thread, and gives way whenever it waits.
//! It never leaves its thread, so its closure need not be `Send`.
//!
//! A task whose closure and result are small (80 bytes) takes a stack only while it runs: not while it waits for its first
//! turn, nor when it has ended. So a batch of short tasks costs little, however large. The stack is sure to be there: if
//! none can be had, that is an error of the spawn.
//!
//! ```
//! use std::cell::RefCell;
//! use std::rc::Rc;
//!
//! let log = Rc::new(RefCell::new(Vec::new()));
//! let tasks = ["A", "B"].map(|name| {
//!     let log = Rc::clone(&log);
//!     greenloom::spawn(move || {
//!         log.borrow_mut().push(format!("1{name}"));
//!         greenloom::yield_now();
//!         log.borrow_mut().push(format!("2{name}"));
//!     })
//! });
//! for task in tasks {
//!     task.join().unwrap();
//! }
//! assert_eq!(*log.borrow(), ["1A", "1B", "2A", "2B"]);
//! ```

mod big;
mod current;
mod future;
mod handle;
mod inherit;
mod interrupt;
mod join_all;
mod local;
mod record;
mod remote;
mod scope;
mod select;
mod several;
mod try_scope;

use core::num::NonZeroU64;
use core::panic::Location;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use self::big::{on_big_stack, try_on_big_stack};
pub use self::current::{
    Task, TaskInfo, TaskState, count, current, id, list, name, park, park_timeout,
};
pub use self::handle::{JoinError, JoinHandle, TaskId};
pub use self::interrupt::{Elapsed, finally, shield, timeout};
pub use self::join_all::{join_all, join_n};
pub use self::local::{AccessError, LocalKey};
pub use self::record::Outcome;
pub use self::remote::{HubGone, spawn_on};
pub use self::scope::{Scope, ScopedJoinHandle, scope};
pub use self::several::{kill_all, try_join_all};
pub use self::try_scope::{TryScope, try_scope};
pub use crate::local;
pub use crate::park::{LinkId, yield_now};

use self::handle::{Address, Place};
use self::inherit::{Inherit, Inherited};
use self::record::TaskEnd;
use crate::clock::deadline_after;
use crate::greenlet::body;
use crate::greenlet::control::{ControlRef, flag};
use crate::greenlet::engine::Birth;
use crate::greenlet::hot::Hot;
use crate::greenlet::seed::Subject;
use crate::greenlet::wake;
use crate::hub::sched::{self, Alarm, Hub};
use crate::stack::StackSize;
use crate::timers::TimerFlags;

/// Settings of a task before it is spawned.
///
/// ```
/// use greenloom::stack::StackSize;
/// use greenloom::task::Builder;
///
/// let task = Builder::new().name("worker").stack_size(StackSize::K256).spawn(|| 6 * 7)?;
/// assert_eq!(task.name(), Some("worker"));
/// assert_eq!(task.join().unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    name: Option<Arc<str>>,
    size: StackSize,
    daemon: bool,
    inherit: Inherit,
    site: Option<&'static Location<'static>>,
}

impl Builder {
    /// The default: no name, a stack of 64 KiB, no daemon, nothing inherited.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the task, for reports, dumps and `Debug`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// The size class of its stack.
    pub fn stack_size(mut self, size: StackSize) -> Self {
        self.size = size;
        self
    }

    /// Makes it a daemon: [`run_until_idle`](crate::hub::run_until_idle) does not wait for it.
    pub fn daemon(mut self) -> Self {
        self.daemon = true;
        self
    }

    /// Where it counts as spawned: for layers above, that spawn tasks on behalf of a call made earlier.
    pub(crate) fn site(mut self, site: &'static Location<'static>) -> Self {
        self.site = Some(site);
        self
    }

    /// Gives the task a copy of the spawner's value of a task-local, if it has one. Otherwise the task makes its own when it
    /// first uses the key, as without this.
    ///
    /// The value is cloned when the task is spawned, once for each call; the two are apart from then on. What is to be
    /// shared is put behind an `Rc`.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use greenloom::task::Builder;
    ///
    /// greenloom::local! {
    ///     static REQUEST: RefCell<String> = RefCell::new(String::new());
    /// }
    ///
    /// REQUEST.set("GET /".into());
    /// let inside = || REQUEST.with_borrow(String::clone);
    /// let task = Builder::new().inherit(&REQUEST).spawn(inside)?;
    /// assert_eq!(task.join().unwrap(), "GET /");
    /// assert_eq!(greenloom::spawn(inside).join().unwrap(), "");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "contextvars")]
    pub fn inherit<T: Clone + 'static>(mut self, key: &'static LocalKey<T>) -> Self {
        self.inherit.add(key);
        self
    }

    /// Without the keys to inherit, and the spawner's values of those.
    fn inherited(mut self) -> (Self, Inherited) {
        let inherit = core::mem::take(&mut self.inherit);
        (self, inherit.copy())
    }

    /// Spawns the task. It runs when the caller gives way.
    ///
    /// # Errors
    /// No stack, or no hub, could be had: the system's limits, or the hub's own
    /// ([`LimitReached`](crate::hub::LimitReached)). The closure is dropped.
    #[track_caller]
    pub fn spawn<T: 'static>(self, f: impl FnOnce() -> T + 'static) -> io::Result<JoinHandle<T>> {
        let site = self.site.unwrap_or(Location::caller());
        if self.is_plain() {
            return spawn_at(site, f);
        }
        let (this, inherited) = self.inherited();
        let body = move || {
            inherited.adopt();
            f()
        };
        let (hot, hub, c) = create(this.size, this.daemon, site, body)?;
        if this.name.is_some() {
            c.set_name(this.name.clone());
        }
        wake::make_runnable(hot, c);
        Ok(handle_of(hub, c.into(), c.id.get(), this.name))
    }

    /// Whether nothing was set: then a seed will do.
    fn is_plain(&self) -> bool {
        self.name.is_none()
            && !self.daemon
            && self.size == StackSize::default()
            && self.inherit.is_empty()
    }

    /// Spawns the task in a [`scope`](scope()): it may borrow what outlives the scope.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_scoped<'s, T: 's>(
        self,
        scope: &'s Scope<'s, '_>,
        f: impl FnOnce() -> T + 's,
    ) -> io::Result<ScopedJoinHandle<'s, T>> {
        scope.spawn_with(self, Location::caller(), f)
    }

    /// Spawns the task to start when `d` has passed. Killed before that, it never runs.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_later<T: 'static>(
        self,
        d: Duration,
        f: impl FnOnce() -> T + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let (this, inherited) = self.inherited();
        let body = move || {
            inherited.adopt();
            f()
        };
        let (hot, hub, c) = create(this.size, this.daemon, Location::caller(), body)?;
        if this.name.is_some() {
            c.set_name(this.name.clone());
        }
        let epoch = hot.serial();
        c.park_epoch.set(epoch);
        // A task has no parent, so the field is free for what a kill before the start needs.
        c.set_flag(flag::COLD);
        c.parent_inbox.set(0);
        if let Some(deadline) = deadline_after(d) {
            let flags = TimerFlags {
                fine: d < Duration::from_millis(1),
                daemon: this.daemon,
            };
            let timer = hub.set_timer(deadline, flags, Alarm::Wake(c, epoch));
            c.parent_inbox.set(timer.to_bits());
        }
        Ok(handle_of(hub, c.into(), c.id.get(), this.name))
    }
}

#[inline]
fn handle_of<T>(hub: &Hub, task: Subject, id: u64, name: Option<Arc<str>>) -> JoinHandle<T> {
    JoinHandle::new(
        Address {
            hub: hub.handle(),
            place: Place::Known(task.address()),
            id,
        },
        name,
    )
}

/// Spawns a task with no settings: as a seed, if it fits into one.
#[inline]
fn spawn_at<T: 'static, F: FnOnce() -> T + 'static>(
    site: &'static Location<'static>,
    f: F,
) -> io::Result<JoinHandle<T>> {
    if const { body::fits_seed::<F, T>() } {
        let (hot, hub) = sched::ensure()?;
        hub.admit(hot, StackSize::default())?;
        // SAFETY: neither the body nor its value borrows anything; the outcome is fetched by the handle made below.
        let seed = unsafe { body::sow::<F, T, TaskEnd>(hot, site, f)? };
        hub.task_began(false);
        return Ok(handle_of(hub, seed.into(), seed.id(), None));
    }
    let (hot, hub, c) = create(StackSize::default(), false, site, f)?;
    wake::make_runnable(hot, c);
    Ok(handle_of(hub, c.into(), c.id.get(), None))
}

#[inline]
fn create<T: 'static, F: FnOnce() -> T + 'static>(
    size: StackSize,
    daemon: bool,
    site: &'static Location<'static>,
    f: F,
) -> io::Result<(&'static Hot, &'static Hub, ControlRef)> {
    // SAFETY: neither the body nor its value borrows anything; the outcome is fetched by a handle of type `T`, made with it.
    unsafe { create_borrowing(size, daemon, site, f) }
}

/// Makes a task whose body may borrow. It is not runnable yet.
///
/// # Errors
/// As [`Builder::spawn`]; the body is dropped.
///
/// # Safety
/// What `f` borrows outlives the run of the body, or its drop if it never runs; what `T` borrows outlives the task. The
/// outcome is fetched as a `T`.
#[inline]
unsafe fn create_borrowing<T, F: FnOnce() -> T>(
    size: StackSize,
    daemon: bool,
    site: &'static Location<'static>,
    f: F,
) -> io::Result<(&'static Hot, &'static Hub, ControlRef)> {
    let (hot, hub) = sched::ensure()?;
    hub.admit(hot, size)?;
    let flags = if daemon {
        flag::TASK | flag::DAEMON
    } else {
        flag::TASK
    };
    // SAFETY: the caller's promise.
    let c = unsafe { body::create_plain::<F, T, TaskEnd>(hot, Birth { size, site, flags }, f)? };
    hub.task_began(daemon);
    Ok((hot, hub, c))
}

/// Spawns a detachable task with an id given out beforehand, and returns its control block's address.
fn spawn_with_id<T: 'static>(
    site: &'static Location<'static>,
    id: NonZeroU64,
    f: impl FnOnce() -> T + 'static,
) -> io::Result<usize> {
    let (hot, _, c) = create(StackSize::default(), false, site, f)?;
    c.rename(id);
    wake::make_runnable(hot, c);
    Ok(Subject::from(c).address())
}

/// Spawns a task on this thread's hub. It runs when the caller gives way, after those that are runnable already.
///
/// # Blocking
/// Never switches.
///
/// # Panics
/// If no stack or no hub can be had; [`Builder::spawn`] and [`try_spawn`] return the error.
#[track_caller]
#[inline]
pub fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    match try_spawn(f) {
        Ok(handle) => handle,
        Err(e) => spawn_failed(&e),
    }
}

/// As [`spawn`], for layers above that spawn on behalf of a call made earlier: `site` is where that was.
#[track_caller]
pub(crate) fn spawn_from<T: 'static>(
    site: &'static Location<'static>,
    f: impl FnOnce() -> T + 'static,
) -> JoinHandle<T> {
    match spawn_at(site, f) {
        Ok(handle) => handle,
        Err(e) => spawn_failed(&e),
    }
}

#[cold]
#[track_caller]
fn spawn_failed(e: &io::Error) -> ! {
    panic!("failed to spawn a task: {e}")
}

/// Like [`spawn`].
///
/// # Errors
/// As [`Builder::spawn`].
#[track_caller]
#[inline]
pub fn try_spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> io::Result<JoinHandle<T>> {
    spawn_at(Location::caller(), f)
}

/// Spawns a task that starts when `d` has passed. Killed before that, it never runs, and its captures are dropped once.
///
/// # Panics
/// As [`spawn`].
#[track_caller]
pub fn spawn_later<T: 'static>(d: Duration, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    match Builder::new().spawn_later(d, f) {
        Ok(handle) => handle,
        Err(e) => spawn_failed(&e),
    }
}
