//! Scopes: what makes greenlets of a greenlet, and ends them.
//!
//! A scope owns the greenlets spawned in it and kills what is left at its end, also when it ends by a panic; that is what
//! lets their bodies borrow from outside of it. It lives in one frame and cannot be leaked. It opens an inbox on the
//! greenlet that called it.

use core::cell::Cell;
use core::marker::PhantomData;
use core::panic::Location;
use std::io;
use std::panic::resume_unwind;

use super::control::{ControlRef, FIRST_SERIAL, OpenInbox, State, flag};
use super::current::Current;
use super::engine::{self, Birth};
use super::error::Deadlock;
use super::generator::{Generator, Yield};
use super::handle::Greenlet;
use super::hot::{Hot, hot};
use super::{body, ending, family, interrupt, report};
use crate::stack::StackSize;

/// What the engine knows of a scope.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) opener: ControlRef,
    /// Its living greenlets, youngest first.
    pub(crate) first: Cell<Option<ControlRef>>,
}

/// Owner of the greenlets spawned in a [`scope`].
pub struct Scope<'s, 'env: 's> {
    core: Core,
    scope: PhantomData<Cell<&'s ()>>,
    env: PhantomData<Cell<&'env ()>>,
}

impl core::fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

mod sealed {
    /// Where an inbox is; without content for anybody else.
    #[derive(Debug)]
    pub struct Address(pub(super) super::ControlRef, pub(super) u64);

    pub trait Sealed {
        fn address(&self) -> Address;
    }
}

use sealed::Address;

/// An inbox that takes `T`: a [`Current`] or a [`Greenlet`]. Sealed.
pub trait Inbox<T>: sealed::Sealed {}

impl<In, Out> sealed::Sealed for Current<In, Out> {
    fn address(&self) -> Address {
        Address(self.control(), self.inbox())
    }
}

impl<In, Out> Inbox<In> for Current<In, Out> {}

impl<T> sealed::Sealed for Greenlet<T> {
    fn address(&self) -> Address {
        Address(self.control, self.inbox)
    }
}

impl<T> Inbox<T> for Greenlet<T> {}

/// Opens an inbox of type `In` on the calling greenlet and a scope for greenlets, runs `f`, and ends what is left.
///
/// The caller may be anything: a thread's main stack, a task, a greenlet. Bodies may borrow whatever outlives the scope.
/// At the end, greenlets that are still alive are killed, the youngest first, and their destructors run; that wait is
/// shielded from kills and deadlines. Outcomes that were not received are dropped, panics among them reported.
///
/// ```
/// use greenloom::greenlet::{scope, Current};
///
/// let sum = scope(|s, me: &Current<u32>| {
///     let double = s.spawn(me, |_me: &Current<u32, u32>, x: u32| x * 2);
///     me.switch(&double, 21).unwrap()
/// });
/// assert_eq!(sum, 42);
/// ```
///
/// # Blocking
/// Switches as `f` does, and while greenlets are ended.
///
/// # Panics
/// As `f`; and if called while the hub runs a callback. Under `panic = "abort"`, a scope that ends with greenlets started
/// and unfinished aborts the process, naming one.
///
/// ```compile_fail
/// // A body cannot borrow what lives inside the scope.
/// greenloom::greenlet::scope(|s, me: &greenloom::greenlet::Current<()>| {
///     let inside = String::from("short-lived");
///     s.spawn(me, |_me: &greenloom::greenlet::Current<(), ()>, _: ()| println!("{inside}"));
/// });
/// ```
#[track_caller]
pub fn scope<'env, In: 'env, R>(
    f: impl for<'s> FnOnce(&'s Scope<'s, 'env>, &Current<In>) -> R,
) -> R {
    let (hot, me) = engine::enter();
    assert!(
        me != hot.hub(),
        "a scope cannot be opened in a callback of the hub"
    );
    let inbox = OpenInbox {
        id: hot.serial(),
        type_id: typeid::of::<In>(),
        published: Cell::new(false),
        outer: me.open.get(),
    };
    me.open.set(&raw const inbox);
    let current = Current::new(me, inbox.id);
    let scope = Scope {
        core: Core {
            opener: me,
            first: Cell::new(None),
        },
        scope: PhantomData,
        env: PhantomData,
    };
    let result = engine::caught(|| f(&scope, &current));
    close(hot, &scope.core);
    me.open.set(inbox.outer);
    family::drop_pending(hot, me, inbox.id);
    match result {
        Ok(r) => r,
        Err(payload) => resume_unwind(payload),
    }
}

/// Ends every greenlet of the scope. Returns only when none is left: their borrows end here.
fn close(hot: &'static Hot, core: &Core) {
    let me = core.opener;
    while let Some(victim) = core.first.get() {
        end(hot, me, victim);
    }
}

/// Ends one greenlet, before which the scope cannot end.
fn end(hot: &'static Hot, me: ControlRef, victim: ControlRef) {
    if let Err(deadlock) = try_end(hot, me, victim) {
        report::abort_hopeless(victim, &deadlock);
    }
}

/// Ends one greenlet for its owner.
///
/// # Errors
/// It cannot end while this waits; it was asked to end all the same.
pub(super) fn try_end(
    hot: &'static Hot,
    me: ControlRef,
    victim: ControlRef,
) -> Result<(), Deadlock> {
    if cfg!(panic = "abort") && victim.has(flag::STARTED) && victim.state.get() != State::Dead {
        report::abort_unfinished(victim);
    }
    victim.set_flag(flag::CLOSING);
    interrupt::shielded(me, || ending::kill(hot, me, victim))
}

impl<'s, 'env> Scope<'s, 'env> {
    /// Makes a greenlet that will run `body` when the first message comes; what `body` returns goes to `parent`.
    ///
    /// # Panics
    /// If no stack can be had; [`try_spawn`](Self::try_spawn) returns the error.
    #[track_caller]
    pub fn spawn<In: 's, Out: 's>(
        &'s self,
        parent: &impl Inbox<Out>,
        body: impl FnOnce(&Current<In, Out>, In) -> Out + 's,
    ) -> Greenlet<In> {
        match self.try_spawn(parent, body) {
            Ok(g) => g,
            Err(e) => panic!("failed to spawn a greenlet: {e}"),
        }
    }

    /// Like [`spawn`](Self::spawn), on a stack of the default size.
    ///
    /// # Errors
    /// No stack could be had: the system's limits, or this crate's (the error says which).
    #[track_caller]
    pub fn try_spawn<In: 's, Out: 's>(
        &'s self,
        parent: &impl Inbox<Out>,
        body: impl FnOnce(&Current<In, Out>, In) -> Out + 's,
    ) -> io::Result<Greenlet<In>> {
        self.try_spawn_sized(StackSize::default(), parent, body)
    }

    /// Like [`try_spawn`](Self::try_spawn), on a stack of a size of your choice.
    ///
    /// # Errors
    /// As [`try_spawn`](Self::try_spawn).
    #[track_caller]
    pub fn try_spawn_sized<In: 's, Out: 's>(
        &'s self,
        size: StackSize,
        parent: &impl Inbox<Out>,
        body: impl FnOnce(&Current<In, Out>, In) -> Out + 's,
    ) -> io::Result<Greenlet<In>> {
        let hot = hot();
        let birth = Birth {
            size,
            site: Location::caller(),
            flags: 0,
        };
        // SAFETY: what `body` borrows outlives `'s`, and the scope ends the greenlet before `'s` does; the parent inbox
        // is of type `Out` by the trait.
        let c = unsafe { body::create_switching::<_, In, Out>(hot, birth, body)? };
        Ok(self.adopt(c, parent.address()))
    }

    /// Makes a greenlet without a body, so that two can name each other: give it one with [`Unbound::bind`].
    ///
    /// # Panics
    /// If no stack can be had; [`try_unbound`](Self::try_unbound) returns the error.
    #[doc(alias = "run")]
    #[track_caller]
    pub fn unbound<In: 's, Out: 's>(&'s self, parent: &impl Inbox<Out>) -> Unbound<'s, In, Out> {
        match self.try_unbound(parent) {
            Ok(u) => u,
            Err(e) => panic!("failed to spawn a greenlet: {e}"),
        }
    }

    /// Like [`unbound`](Self::unbound).
    ///
    /// # Errors
    /// As [`try_spawn`](Self::try_spawn).
    #[track_caller]
    pub fn try_unbound<In: 's, Out: 's>(
        &'s self,
        parent: &impl Inbox<Out>,
    ) -> io::Result<Unbound<'s, In, Out>> {
        let hot = hot();
        let birth = Birth {
            size: StackSize::default(),
            site: Location::caller(),
            flags: flag::UNBOUND,
        };
        let c = body::create_unbound::<Out>(hot, birth)?;
        Ok(Unbound {
            handle: self.adopt(c, parent.address()),
            scope: PhantomData,
            takes: PhantomData,
            returns: PhantomData,
        })
    }

    fn adopt<In>(&self, c: ControlRef, Address(parent, inbox): Address) -> Greenlet<In> {
        c.set_flag(flag::COLD);
        c.parent.set(Some(parent));
        c.parent_inbox.set(inbox);
        family::join_scope(&self.core, c);
        Greenlet::new(c, c.own_inbox.get())
    }

    /// Makes a generator: `body` runs a little further each time an item is asked for.
    ///
    /// # Panics
    /// If no stack can be had.
    #[track_caller]
    pub fn generator<T: 's>(&'s self, body: impl FnOnce(&Yield<T>) + 's) -> Generator<'s, T> {
        Generator::scoped(&self.core, body)
    }

    /// Ends `g` now instead of at the end of the scope: destructors run, its parent sees nothing but
    /// [`Exited`](super::SwitchError::Exited). Does nothing if it is dead, or not of this scope. If it cannot end while
    /// this waits, because it waits for this greenlet's end itself, it ends later.
    ///
    /// # Blocking
    /// Switches if it was started. Not interrupted by kills or deadlines.
    pub fn reap<T>(&self, g: &Greenlet<T>) {
        let (hot, me) = engine::enter();
        if g.is_dead() || g.inbox < FIRST_SERIAL || g.control == me {
            return;
        }
        if core::ptr::eq(g.control.scope.get(), &raw const self.core) {
            // Refused, the kill stays asked for, and the scope's own end is still to come.
            let _ = try_end(hot, me, g.control);
        }
    }
}

/// A greenlet that has no body yet.
#[must_use = "an unbound greenlet never runs"]
pub struct Unbound<'s, In, Out> {
    handle: Greenlet<In>,
    scope: PhantomData<Cell<&'s ()>>,
    takes: PhantomData<fn(In) -> In>,
    returns: PhantomData<fn(Out) -> Out>,
}

impl<In, Out> core::fmt::Debug for Unbound<'_, In, Out> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Unbound").field(&self.handle).finish()
    }
}

impl<'s, In: 's, Out: 's> Unbound<'s, In, Out> {
    /// The handle by which others will reach it. Switching to it before it is bound is an error.
    pub fn handle(&self) -> Greenlet<In> {
        self.handle
    }

    /// Gives the greenlet its body. It starts when the first message comes.
    ///
    /// A greenlet that was killed before it was bound stays dead; its body is dropped.
    pub fn bind(self, body: impl FnOnce(&Current<In, Out>, In) -> Out + 's) -> Greenlet<In> {
        if !self.handle.is_dead() {
            // SAFETY: `Unbound` is made by `unbound` with this `Out`, is used up here, and so binds once; borrows as in
            // `spawn`.
            unsafe { body::bind(self.handle.control, body) };
        }
        self.handle
    }
}
