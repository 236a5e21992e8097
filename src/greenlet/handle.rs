//! Handles: names of inboxes. They keep nothing alive and may be stale; see control.rs for why that is harmless.
//!
//! This file may not change a control block but through the engine.

use core::any::TypeId;
use core::fmt;
use core::marker::PhantomData;

use super::control::{ControlRef, State, flag};
use super::error::SwitchError;
use super::hot::{Phase, hot};
use super::{engine, family, run_queue, switching};

/// A handle to an inbox of a greenlet: what [`Current::switch`](super::Current::switch) sends to.
///
/// A handle is two words and `Copy`-cheap to clone. It keeps nothing alive: dropping it does nothing, and it may outlive
/// its greenlet, which a switch then reports as [`SwitchError::Dead`]. It is neither `Send` nor `Sync`, since greenlets
/// never leave their thread, and contravariant in `T`: who accepts a `&'short str` accepts a `&'static str`.
///
/// ```compile_fail
/// // A handle cannot go to another thread.
/// greenloom::greenlet::scope(|_, me: &greenloom::greenlet::Current<()>| {
///     let handle = me.handle();
///     std::thread::spawn(move || drop(handle));
/// });
/// ```
#[doc(alias = "greenlet")]
pub struct Greenlet<T> {
    pub(super) control: ControlRef,
    pub(super) inbox: u64,
    takes: PhantomData<fn(T)>,
}

impl<T> Greenlet<T> {
    pub(super) fn new(control: ControlRef, inbox: u64) -> Self {
        Self {
            control,
            inbox,
            takes: PhantomData,
        }
    }

    fn state(&self) -> family::InboxState {
        if hot().phase.get() == Phase::Ended {
            // The stacks may be gone.
            return family::InboxState::Gone;
        }
        family::inbox_state(self.control, self.inbox)
    }

    /// Whether the greenlet has ended, or the scope that opened this inbox has. One that never started is not dead.
    #[doc(alias = "dead")]
    pub fn is_dead(&self) -> bool {
        self.state() == family::InboxState::Gone
    }

    /// Whether its body has begun.
    #[doc(alias = "bool")]
    pub fn is_started(&self) -> bool {
        self.is_dead() || self.control.has(flag::STARTED)
    }

    /// Whether a switch to this inbox would be accepted now: the greenlet waits there, or is new.
    pub fn is_waiting(&self) -> bool {
        !self.is_dead() && self.control.waiting.get() == self.inbox
    }

    /// Whether this is the running greenlet.
    pub fn is_current(&self) -> bool {
        !self.is_dead() && hot().current.get() == Some(self.control)
    }

    /// Brings the greenlet's control block and the top of its stack near, for a switch a little later: four switches
    /// ahead is a good distance.
    ///
    /// Worth it for who switches among so many greenlets that caches and page tables do not hold them: the hub does it
    /// for its runnable tasks by itself. A hint: it changes nothing, and may be given for a dead greenlet.
    #[inline]
    pub fn prefetch(&self) {
        run_queue::prefetch_top(self.control);
    }

    /// The id of the greenlet, unique in the process; `None` once it is dead.
    pub fn id(&self) -> Option<u64> {
        (!self.is_dead()).then(|| self.control.id.get())
    }
}

impl<M: 'static> Greenlet<M> {
    /// Sends `v` from the running greenlet, which waits at its innermost inbox, and returns what is next sent there.
    ///
    /// For places where no [`Current`](super::Current) is at hand, deep in a call stack or in a callback. The innermost
    /// inbox of the running greenlet must take `M` too. As types are compared at run time, and lifetimes do not exist
    /// there, the inbox must be known to be free of them: plain owned types of std (integers, floats, `()`, `bool`,
    /// `char`, `String`, `Vec` and `Option` of those) are; for others call [`Current::publish`](super::Current::publish)
    /// where the `Current` is.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// As [`Current::switch`](super::Current::switch); also [`SwitchError::InboxType`], before control moves.
    ///
    /// # Panics
    /// With what is thrown at this wait, or the panic of a child.
    pub fn switch(&self, v: M) -> Result<M, SwitchError<M>> {
        if self.is_dead() {
            return Err(SwitchError::Dead(v));
        }
        let (hot, me) = engine::enter();
        if me == hot.hub() {
            return Err(SwitchError::NotCurrent(v));
        }
        let (inbox, type_id, published) = family::innermost(&me);
        if type_id != Some(TypeId::of::<M>()) || !(published || is_plain::<M>()) {
            return Err(SwitchError::InboxType(v));
        }
        // SAFETY: the innermost inbox has a type that is `M` up to lifetimes, and it has none: `M` is plain, or the
        // inbox was published by a caller with a `'static` type.
        unsafe { switching::switch::<M, M>(me, inbox, self.control, self.inbox, v) }
    }
}

/// Whether `M` is one of the owned types that certainly hold no lifetime.
fn is_plain<M: 'static>() -> bool {
    macro_rules! plain {
        ($($t:ty),* $(,)?) => {
            [$(
                TypeId::of::<$t>(), TypeId::of::<Option<$t>>(), TypeId::of::<Vec<$t>>(),
                TypeId::of::<Option<Vec<$t>>>(), TypeId::of::<Box<$t>>(),
            )*]
        };
    }
    plain![
        (),
        bool,
        char,
        u8,
        u16,
        u32,
        u64,
        u128,
        usize,
        i8,
        i16,
        i32,
        i64,
        i128,
        isize,
        f32,
        f64,
        String,
        (i32, i32),
        (u32, u32),
        (u64, u64),
        (usize, usize),
        (i64, i64),
        (String, String),
    ]
    .contains(&TypeId::of::<M>())
}

impl<T> Clone for Greenlet<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Greenlet<T> {}

impl<T> PartialEq for Greenlet<T> {
    /// Whether both name the same inbox.
    fn eq(&self, other: &Self) -> bool {
        self.control == other.control && self.inbox == other.inbox
    }
}

impl<T> Eq for Greenlet<T> {}

impl<T> fmt::Debug for Greenlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Greenlet(")?;
        if self.is_dead() {
            return f.write_str("dead)");
        }
        describe(self.control, f)?;
        f.write_str(")")
    }
}

/// `'name' suspended`, `7 running, current`, `main parked`.
pub(super) fn describe(c: ControlRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hot = hot();
    let current = hot.current.get() == Some(c);
    if c == hot.root() {
        f.write_str("main")?;
    } else {
        match c.name() {
            Some(name) => write!(f, "'{name}'")?,
            None => write!(f, "{}", c.id.get())?,
        }
    }
    f.write_str(match c.state.get() {
        State::Free | State::Dead => " dead",
        State::New if c.has(flag::UNBOUND) => " unbound",
        State::New => " new",
        State::Runnable if !c.has(flag::STARTED) => " new, runnable",
        State::Runnable => " runnable",
        State::Parked => " parked",
        State::Live if c.waiting.get() != 0 => " suspended",
        State::Live => " running",
    })?;
    if current {
        f.write_str(", current")?;
    }
    Ok(())
}
