//! Generators: a body that hands out items one by one, as an iterator.
//!
//! ```text
//! caller ── next(): waits at INBOX_GENERATOR ──► body runs
//! caller ◄── yield_(v): waits at INBOX_YIELD ─── v in flight, `message` is its address
//! ```
//!
//! The body may park; control then goes to the hub and the caller stays suspended. A caller that is interrupted meanwhile
//! leaves: the body then has nobody to hand its item to, and waits in the hub until somebody asks.

use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;

use super::body::{self, Finish};
use super::control::{ControlRef, INBOX_GENERATOR, INBOX_YIELD, State, attention, flag};
use super::ending;
use super::engine::{self, Birth};
use super::hot::{Phase, hot};
use super::scope::{self, Core};
use super::switching::{self, Arrival, Came};
use super::wake;
use super::{family, probe, trace};
use crate::stack::StackSize;

/// An iterator over what its body yields.
///
/// Made by [`Scope::generator`](super::Scope::generator), whose body may borrow, or by [`Generator::new`]. `next` returns
/// `None` once the body has returned, and ever after. Dropping the generator ends the body: its destructors run, on its
/// own stack.
///
/// ```
/// use greenloom::greenlet::Generator;
///
/// let squares = Generator::new(|y| {
///     for n in 1.. {
///         y.yield_(n * n);
///     }
/// });
/// assert_eq!(squares.take(4).collect::<Vec<u32>>(), [1, 4, 9, 16]);
/// ```
///
/// # Blocking
/// `next` switches to the body, and parks while the body does.
///
/// # Panics
/// `next` panics with what the body panics with; after that it returns `None`. It also panics if it is called from the
/// generator's own body.
pub struct Generator<'s, T> {
    control: ControlRef,
    id: u64,
    item: PhantomData<fn() -> T>,
    scope: PhantomData<core::cell::Cell<&'s ()>>,
}

/// What a generator's body hands its items to.
pub struct Yield<T> {
    control: ControlRef,
    takes: PhantomData<fn(T) -> T>,
}

struct EndsAtCaller;

impl Finish for EndsAtCaller {
    fn finish(c: ControlRef) {
        ending::finish(c);
    }
}

impl<T: 'static> Generator<'static, T> {
    /// Makes a generator that borrows nothing and may live anywhere on its thread.
    ///
    /// # Panics
    /// If no stack can be had.
    #[track_caller]
    pub fn new(body: impl FnOnce(&Yield<T>) + 'static) -> Self {
        // SAFETY: the body borrows nothing.
        unsafe { Self::make(body) }
    }
}

impl<'s, T: 's> Generator<'s, T> {
    #[track_caller]
    pub(super) fn scoped(core: &Core, body: impl FnOnce(&Yield<T>) + 's) -> Self {
        // SAFETY: the scope ends the body before `'s` does.
        let generator = unsafe { Self::make(body) };
        family::join_scope(core, generator.control);
        generator
    }

    /// # Safety
    /// What `body` borrows outlives the greenlet.
    #[track_caller]
    unsafe fn make(body: impl FnOnce(&Yield<T>) + 's) -> Self {
        let (hot, _) = engine::enter();
        let birth = Birth {
            size: StackSize::default(),
            site: Location::caller(),
            flags: flag::GENERATOR,
        };
        let body = move || {
            let (_, me) = engine::enter();
            body(&Yield {
                control: me,
                takes: PhantomData,
            });
        };
        // SAFETY: the caller's promise; its result `()` is fetched by `next` as such.
        match unsafe { body::create_plain::<_, (), EndsAtCaller>(hot, birth, body) } {
            Ok(c) => {
                c.waiting.set(INBOX_YIELD);
                c.set_flag(flag::COLD);
                Self {
                    control: c,
                    id: c.id.get(),
                    item: PhantomData,
                    scope: PhantomData,
                }
            }
            Err(e) => panic!("failed to make a generator: {e}"),
        }
    }

    /// Whether the body is still there: a slot's greenlet has the id, and has not ended.
    fn is_alive(&self) -> bool {
        hot().phase.get() != Phase::Ended
            && self.control.id.get() == self.id
            && !matches!(self.control.state.get(), State::Free | State::Dead)
    }

    fn ask(&mut self) -> Option<T> {
        if !self.is_alive() {
            return None;
        }
        let (hot, me) = engine::enter();
        let c = self.control;
        assert!(
            me != hot.hub(),
            "a generator cannot be asked in a callback of the hub"
        );
        assert!(
            c.parent.get().is_none() && c != me,
            "a generator was asked for an item by its own body"
        );
        engine::deliver(hot, me, false);
        c.parent.set(Some(me));
        c.parent_inbox.set(INBOX_GENERATOR);
        let _leave = Leave(c, self.id);
        if c.waiting.get() == INBOX_YIELD {
            // SAFETY: a body at `INBOX_YIELD`, and one that starts, expects no message.
            unsafe { switching::hand(hot, me, INBOX_GENERATOR, c, core::ptr::null_mut()) };
        } else {
            // An interrupted caller left it parked: it will find us.
            me.waiting.set(INBOX_GENERATOR);
            engine::to_hub_counted(hot, me);
        }
        // What comes is an item in flight, the body's end, or an interruption of this wait. Not `arrive`: the body's
        // result, unlike what it yields, is `()`.
        match switching::came(hot, me, INBOX_GENERATOR) {
            Came::Value => {
                // SAFETY: only `yield_` of this body's `Yield<T>` sends to this wait: a `T`.
                let item = unsafe { switching::take_message::<T>(hot) };
                trace::woken(me);
                Some(item)
            }
            Came::Child(child) => {
                // SAFETY: the body returns `()`, and nobody else's end is addressed to this wait.
                let outcome = unsafe { body::fetch::<()>(hot, child) };
                trace::woken(me);
                match outcome {
                    body::Outcome::Panicked(payload) => engine::unwind(me, payload),
                    body::Outcome::Returned(()) | body::Outcome::Exited => None,
                }
            }
            Came::Thrown(payload) => engine::unwind(me, payload),
            Came::Nothing(Arrival::Deadlock(d)) => panic!("{d}"),
            Came::Nothing(Arrival::Exited) => None,
        }
    }
}

/// The caller does not wait any more, however its wait ended.
struct Leave(ControlRef, u64);

impl Drop for Leave {
    fn drop(&mut self) {
        // Dead and given back, the slot may be another greenlet's by now.
        if self.0.id.get() == self.1 {
            self.0.parent.set(None);
        }
    }
}

impl<'s, T: 's> Iterator for Generator<'s, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.ask()
    }
}

impl<'s, T: 's> core::iter::FusedIterator for Generator<'s, T> {}

impl<T> Yield<T> {
    /// Hands out an item, and waits until the next one is asked for.
    ///
    /// # Blocking
    /// Switches to the caller of `next`.
    ///
    /// # Panics
    /// Unwinds when the generator is dropped. Panics if it is called from another greenlet than the body's own, or
    /// while the body unwinds.
    #[doc(alias = "yield")]
    pub fn yield_(&self, item: T) {
        let (hot, me) = engine::enter();
        assert!(
            me == self.control,
            "yield_ was called outside of its generator's body"
        );
        assert!(
            !engine::unwinding(hot),
            "yield_ was called while its generator unwinds"
        );
        engine::deliver(hot, me, false);
        let mut item = Some(item);
        loop {
            let asking = me
                .parent
                .get()
                .filter(|c| c.waiting.get() == INBOX_GENERATOR);
            match (item.take(), asking) {
                (Some(value), Some(caller)) => {
                    let mut value = core::mem::ManuallyDrop::new(value);
                    // SAFETY: `next` waits for a `T` at `message`, and moves it out.
                    unsafe {
                        switching::hand(hot, me, INBOX_YIELD, caller, (&raw mut value).cast())
                    };
                }
                (rest, _) => {
                    item = rest;
                    me.waiting.set(INBOX_YIELD);
                    engine::to_hub_counted(hot, me);
                }
            }
            probe::answer_all(hot, me);
            let bits = me.attention.get();
            me.ignore(attention::KIND);
            if bits & attention::TRACE != 0 {
                trace::arrived(me, false);
            }
            let mut asked = true;
            if bits & attention::KIND == attention::WOKEN {
                engine::deliver(hot, me, true);
                // Nothing was raised (a shield); somebody may have asked meanwhile all the same.
                asked = me
                    .parent
                    .get()
                    .is_some_and(|c| c.waiting.get() == INBOX_GENERATOR);
            }
            if item.is_none() && asked {
                return;
            }
        }
    }
}

impl<T> Drop for Generator<'_, T> {
    fn drop(&mut self) {
        let hot = hot();
        if hot.phase.get() == Phase::Ended
            || self.control.id.get() != self.id
            || matches!(self.control.state.get(), State::Free | State::Dead)
        {
            return;
        }
        let (hot, me) = engine::enter();
        if me == self.control {
            // Its own body holds it: nobody else can, so it ends with the body.
            return;
        }
        if me == hot.hub() && self.control.has(flag::STARTED) {
            // A callback of the hub cannot wait for destructors: end it as soon as a greenlet can.
            wake::kill_later(hot, self.control);
            return;
        }
        // Refused (the body waits for this greenlet's end itself), the kill stays asked for: what borrows is owned by a
        // scope too, which waits for it.
        let _ = scope::try_end(hot, me, self.control);
    }
}

impl<T> fmt::Debug for Generator<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generator({})", self.id)
    }
}

impl<T> fmt::Debug for Yield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Yield")
    }
}
