//! `Current`: the running greenlet as its own body sees it, typed by one of its inboxes.
//!
//! This file only types what the engine does; it decides nothing.

use core::any::Any;
use core::fmt;
use core::marker::PhantomData;

use super::control::{ControlRef, FIRST_SERIAL, attention};
use super::error::{KillError, ParentError, SwitchError};
use super::handle::{Greenlet, describe};
use super::hot::hot;
use super::{ending, engine, family, interrupt, switching};

/// The running greenlet: what its body gets, and what [`scope`](super::scope) gives to its closure.
///
/// `In` is what others send here, `Out` what the body returns to its parent. Both are invariant: a `Current` that could
/// be shrunk would hand out handles that take too short a borrow.
///
/// ```compile_fail
/// use greenloom::greenlet::{scope, Current, Greenlet};
/// // Shrinking a `Current` and taking its handle: refused.
/// fn shrink<'short>(me: &'short Current<&'static str>) -> Greenlet<&'short str> {
///     let me: &Current<&'short str> = me;
///     me.handle()
/// }
/// ```
#[doc(alias = "getcurrent")]
pub struct Current<In, Out = ()> {
    control: ControlRef,
    inbox: u64,
    takes: PhantomData<fn(In) -> In>,
    returns: PhantomData<fn(Out) -> Out>,
}

impl<In, Out> Current<In, Out> {
    pub(super) fn new(control: ControlRef, inbox: u64) -> Self {
        Self {
            control,
            inbox,
            takes: PhantomData,
            returns: PhantomData,
        }
    }

    pub(super) fn control(&self) -> ControlRef {
        self.control
    }

    pub(super) fn inbox(&self) -> u64 {
        self.inbox
    }

    /// Sends `value` to `to` and waits; returns what **anyone** next sends to this inbox, which need not be `to`'s answer.
    ///
    /// If `to` never ran, `value` is the argument of its body; otherwise its own pending `switch` or `receive` returns it.
    /// The value of a child that ends is a message like any other. A switch to oneself returns `value` at once.
    ///
    /// # Blocking
    /// Switches. Kills and deadlines are delivered here.
    ///
    /// # Errors
    /// See [`SwitchError`]; where it can, it hands `value` back, and control has not moved then.
    ///
    /// # Panics
    /// With what is thrown at this wait, or the panic of a child.
    ///
    /// ```compile_fail
    /// // The message must be what the greenlet takes.
    /// greenloom::greenlet::scope(|s, me: &greenloom::greenlet::Current<()>| {
    ///     let g = s.spawn(me, |_me, _first: u32| ());
    ///     let _ = me.switch(&g, "text");
    /// });
    /// ```
    #[inline(always)]
    pub fn switch<T>(&self, to: &Greenlet<T>, value: T) -> Result<In, SwitchError<T>> {
        // SAFETY: `self` and `to` are typed by their inboxes since these were made.
        unsafe { switching::switch(self.control, self.inbox, to.control, to.inbox, value) }
    }

    /// Waits for the next message to this inbox, with control in the hub: other tasks run meanwhile.
    ///
    /// Returns the oldest pending outcome at once, if a child left one.
    ///
    /// # Blocking
    /// Switches, unless an outcome is pending.
    ///
    /// # Errors
    /// [`SwitchError::Exited`] if a child was killed, [`SwitchError::Deadlock`] on main if nothing can ever come.
    ///
    /// # Panics
    /// With what is thrown at this wait, or the panic of a child.
    pub fn receive(&self) -> Result<In, SwitchError<()>> {
        // SAFETY: `self` is typed by its inbox.
        unsafe { switching::receive(self.control, self.inbox) }
    }

    /// Raises `payload` at the pending wait of `to`, as if it panicked there (without the panic hook), and waits here.
    ///
    /// Into a greenlet that never ran: its body never runs, it dies, and the exception goes on to its parent. At oneself:
    /// at once.
    ///
    /// # Blocking
    /// Switches.
    ///
    /// # Errors
    /// See [`SwitchError`]; where it can, it hands `payload` back.
    ///
    /// # Panics
    /// With what comes back, as [`switch`](Self::switch).
    pub fn throw<T>(
        &self,
        to: &Greenlet<T>,
        payload: Box<dyn Any + Send>,
    ) -> Result<In, SwitchError<Box<dyn Any + Send>>> {
        // SAFETY: `self` is typed by its inbox.
        unsafe { switching::throw(self.control, self.inbox, to.control, to.inbox, payload) }
    }

    /// Ends `g`: unwinds it where it is suspended or parked, runs its destructors, and returns when it is dead.
    ///
    /// Killing a dead greenlet does nothing. One that never ran drops its captures. A `shield` in `g` is waited for. The
    /// parent of `g` sees [`SwitchError::Exited`], through the hub, after this call has returned; if this greenlet is
    /// the parent itself, the `Ok` says it.
    ///
    /// # Blocking
    /// Switches. Not interrupted by kills or deadlines.
    ///
    /// # Errors
    /// See [`KillError`].
    ///
    /// # Panics
    /// If `g` is the running greenlet: unwinds at once.
    #[doc(alias = "GreenletExit")]
    pub fn kill<T>(&self, g: &Greenlet<T>) -> Result<(), KillError> {
        let hot = hot();
        if hot.current.get() != Some(self.control) {
            return Err(KillError::NotCurrent);
        }
        if g.is_dead() {
            return Ok(());
        }
        let victim = g.control;
        if victim == hot.root() {
            return Err(KillError::Main);
        }
        if cfg!(panic = "abort") && g.is_started() {
            return Err(KillError::PanicAbort);
        }
        if victim == self.control {
            if engine::unwinding(hot) {
                return Err(KillError::Unwinding);
            }
            victim.attend(attention::KILL);
            if victim.shield.get() > 0 {
                return Ok(());
            }
            interrupt::raise(victim, &interrupt::Interrupt::Kill);
        }
        ending::kill(hot, self.control, victim).map_err(KillError::Deadlock)
    }

    /// A handle to this inbox.
    pub fn handle(&self) -> Greenlet<In> {
        Greenlet::new(self.control, self.inbox)
    }

    /// The parent: where the result of the body goes. Main, and an inbox opened by a scope, have none.
    pub fn parent(&self) -> Option<Greenlet<Out>> {
        if self.control.own_inbox.get() != self.inbox {
            return None;
        }
        let inbox = self.control.parent_inbox.get();
        self.control
            .parent
            .get()
            .filter(|_| inbox >= FIRST_SERIAL)
            .map(|p| Greenlet::new(p, inbox))
    }

    /// Makes `to` the parent: what the body returns goes there.
    ///
    /// # Errors
    /// See [`ParentError`]; nothing is changed then.
    pub fn set_parent(&self, to: &Greenlet<Out>) -> Result<(), ParentError> {
        if hot().current.get() != Some(self.control) {
            return Err(ParentError::NotCurrent);
        }
        if self.control.own_inbox.get() != self.inbox {
            return Err(ParentError::NoParent);
        }
        if to.is_dead() {
            return Err(ParentError::Dead);
        }
        if family::would_cycle(self.control, to.control) {
            return Err(ParentError::Cycle);
        }
        self.control.parent.set(Some(to.control));
        self.control.parent_inbox.set(to.inbox);
        Ok(())
    }

    /// The greenlet's id, unique in the process.
    pub fn id(&self) -> u64 {
        self.control.id.get()
    }

    /// Names the greenlet, for `Debug`, reports and dumps.
    pub fn set_name(&self, name: &str) {
        self.control.set_name(Some(name.into()));
    }
}

impl<In: 'static, Out> Current<In, Out> {
    /// Lets [`Greenlet::switch`] be used in this greenlet for a message type of your own.
    ///
    /// That method compares types at run time, where lifetimes do not exist; this call, which demands `In: 'static`,
    /// is the proof that the inbox has none.
    pub fn publish(&self) {
        family::publish(&self.control, self.inbox);
    }
}

impl<In, Out> fmt::Debug for Current<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(")?;
        describe(self.control, f)?;
        f.write_str(")")
    }
}
