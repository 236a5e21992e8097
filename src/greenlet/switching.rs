//! Switches: a value from one greenlet's inbox to another's, and everything else that can arrive instead.
//!
//! ```text
//!  me: waits at `inbox`           to: waits at `to_inbox`
//!    value in my frame ──address in Hot::message──► moved out, first thing
//!                                └─ attention: an outcome, an exception, an exit … has come instead
//! ```
//!
//! The checks come first, so that a refusal hands the value back before control moves. Control itself moves in `engine.rs`: this
//! file resumes and suspends nothing, and holds no borrow across a switch (invariant 5).

use core::mem::{ManuallyDrop, MaybeUninit};
use std::thread::panicking;

use super::control::{ControlRef, Payload, State, attention};
use super::engine::{deliver, to_hub_counted, transfer, transfer_counted, unwind, unwinding};
use super::error::{Deadlock, SwitchError};
use super::hot::{Hot, here, hot};
use super::{body, ending, family, probe, trace};

/// Sends `value` to the inbox `to_inbox` of `to` and waits at `inbox` of `me`. See `Current::switch`.
///
/// # Safety
/// `In` is the type of `inbox`, `T` that of `to_inbox`.
#[inline(always)]
pub(super) unsafe fn switch<In, T>(
    me: ControlRef,
    inbox: u64,
    to: ControlRef,
    to_inbox: u64,
    value: T,
) -> Result<In, SwitchError<T>> {
    let hot = here();
    if hot.current.get() != Some(me)
        || to.waiting.get() != to_inbox
        || me.attention.get() != 0
        || panicking()
    {
        let mut why = MaybeUninit::uninit();
        // SAFETY: as here; nothing received means that `why` is filled in.
        return unsafe {
            switch_slowly(me, inbox, to, to_inbox, value, &mut why).ok_or_else(|| why.assume_init())
        };
    }
    let mut value = ManuallyDrop::new(value);
    depart(hot, me, inbox, to, (&raw mut value).cast());
    transfer(hot, me, to);
    if me.attention.get() & !attention::KILL != 0 {
        let mut why = MaybeUninit::uninit();
        // SAFETY: `In` is the type of `inbox`; nothing received means that `why` is filled in.
        return unsafe { arrive_slowly(me, inbox, &mut why).ok_or_else(|| why.assume_init()) };
    }
    // SAFETY: `attention` announced nothing else, so whoever switched to `inbox` did it through `switch` with a value of
    // the inbox's type at `message`, in a frame that is suspended since; it is moved out exactly once, here.
    Ok(unsafe { hot.message.get().cast::<In>().read() })
}

/// [`arrive`] for the slow way out of a switch, shaped so that the usual way's result needs no memory: the address of
/// the error goes around, not that of the result.
///
/// # Safety
/// `In` is the type of `inbox`.
#[cold]
#[inline(never)]
unsafe fn arrive_slowly<In, T>(
    me: ControlRef,
    inbox: u64,
    why: &mut MaybeUninit<SwitchError<T>>,
) -> Option<In> {
    // SAFETY: the caller's promise.
    match unsafe { arrive(hot(), me, inbox) } {
        Ok(received) => Some(received),
        Err(arrival) => {
            why.write(SwitchError::from_arrival(arrival));
            None
        }
    }
}

/// What is noted before control goes from `me` to `to` with a value at `message`.
#[inline(always)]
fn depart(hot: &'static Hot, me: ControlRef, inbox: u64, to: ControlRef, message: *mut u8) {
    hot.message.set(message);
    to.waiting.set(0);
    me.waiting.set(inbox);
    hot.current.set(Some(to));
}

/// The switch when something is not as usual. The whole of it, so that the usual one carries nothing of this along.
/// If nothing is received, says why.
///
/// # Safety
/// As [`switch`].
#[cold]
#[inline(never)]
unsafe fn switch_slowly<In, T>(
    me: ControlRef,
    inbox: u64,
    to: ControlRef,
    to_inbox: u64,
    value: T,
    why: &mut MaybeUninit<SwitchError<T>>,
) -> Option<In> {
    let hot = hot();
    // A kill that is delivered in here drops the value.
    let counted = match slow_switch(hot, me, inbox, to, to_inbox) {
        Slow::Go => false,
        Slow::GoCounted => true,
        // SAFETY: the two inboxes are one and the same, so `T` is `In`.
        Slow::ToSelf => return Some(unsafe { cast(value) }),
        Slow::Refused(refusal) => {
            why.write(refusal.with(value));
            return None;
        }
    };
    let mut value = ManuallyDrop::new(value);
    depart(hot, me, inbox, to, (&raw mut value).cast());
    if counted {
        transfer_counted(hot, me, to);
    } else {
        transfer(hot, me, to);
    }
    // SAFETY: `In` is the type of `inbox`, and control came back to it.
    unsafe { arrive_slowly(me, inbox, why) }
}

/// # Safety
/// `A` and `B` are the same type.
unsafe fn cast<A, B>(a: A) -> B {
    let a = ManuallyDrop::new(a);
    // SAFETY: the caller's promise; `a` is not used again.
    unsafe { (&raw const a).cast::<B>().read() }
}

enum Slow {
    Go,
    /// The thread panics: see unwinding.rs.
    GoCounted,
    ToSelf,
    Refused(Refusal),
}

#[cold]
#[inline(never)]
fn slow_switch(
    hot: &'static Hot,
    me: ControlRef,
    inbox: u64,
    to: ControlRef,
    to_inbox: u64,
) -> Slow {
    if let Err(why) = may_wait(hot, me, inbox) {
        return Slow::Refused(why);
    }
    if to == me && to_inbox == inbox {
        return Slow::ToSelf;
    }
    if to.waiting.get() == to_inbox {
        return if panicking() {
            Slow::GoCounted
        } else {
            Slow::Go
        };
    }
    Slow::Refused(match family::inbox_state(to, to_inbox) {
        family::InboxState::Gone => Refusal::Dead,
        family::InboxState::Unbound => Refusal::Unbound,
        family::InboxState::Open => Refusal::NotWaiting,
    })
}

/// Why a wait may not begin.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    Dead,
    Unbound,
    NotWaiting,
    NotCurrent,
    Unwinding,
    Pending,
}

impl Refusal {
    fn with<T>(self, value: T) -> SwitchError<T> {
        match self {
            Refusal::Dead => SwitchError::Dead(value),
            Refusal::Unbound => SwitchError::Unbound(value),
            Refusal::NotWaiting => SwitchError::NotWaiting(value),
            Refusal::NotCurrent => SwitchError::NotCurrent(value),
            Refusal::Unwinding => SwitchError::Unwinding(value),
            Refusal::Pending => SwitchError::Pending(value),
        }
    }
}

/// The checks before any wait at an inbox. Delivers kills and deadlines.
fn may_wait(hot: &'static Hot, me: ControlRef, inbox: u64) -> Result<(), Refusal> {
    if hot.current.get() != Some(me) {
        return Err(Refusal::NotCurrent);
    }
    if unwinding(hot) {
        return Err(Refusal::Unwinding);
    }
    deliver(hot, me, false);
    if me.attention.get() & attention::PENDING != 0 && family::has_pending(me, inbox) {
        return Err(Refusal::Pending);
    }
    Ok(())
}

/// How control came, when it came with no value.
pub(super) enum Arrival {
    Exited,
    Deadlock(Deadlock),
}

/// What control came with. Whoever asks takes it at once: it must not lie in flight while code of others runs.
pub(super) enum Came {
    /// An ordinary value, at `Hot::message`.
    Value,
    /// The outcome of a dead child.
    Child(ControlRef),
    /// An exception.
    Thrown(Payload),
    /// Nothing.
    Nothing(Arrival),
}

/// Looks at `attention` after a wait at `inbox`; waits on if it was for nothing. Delivers kills and deadlines.
pub(super) fn came(hot: &'static Hot, me: ControlRef, inbox: u64) -> Came {
    loop {
        probe::answer_all(hot, me);
        let bits = me.attention.get();
        me.ignore(attention::KIND);
        match bits & attention::KIND {
            attention::CHILD => match hot.dead.take() {
                Some(child) => return Came::Child(child),
                None => unreachable!("an outcome without its greenlet"),
            },
            attention::THROWN => {
                // SAFETY: the kind says that `message` is the address of an `Option<Payload>` in a suspended frame.
                let payload = unsafe { (*hot.message.get().cast::<Option<Payload>>()).take() };
                match payload {
                    Some(payload) => return Came::Thrown(payload),
                    None => unreachable!("an exception without a payload"),
                }
            }
            attention::ORPHAN => return Came::Nothing(Arrival::Exited),
            attention::WOKEN => {
                if bits & attention::DEADLOCK != 0 {
                    me.ignore(attention::DEADLOCK);
                    return Came::Nothing(Arrival::Deadlock(hot.take_deadlock()));
                }
                trace::woken(me);
                if let Some(child) = family::take_pending(me, inbox) {
                    return Came::Child(child);
                }
                deliver(hot, me, true);
                // Nothing for it after all (a shield): wait on.
                me.waiting.set(inbox);
                to_hub_counted(hot, me);
            }
            // Other bits are for the next wait.
            _ => return Came::Value,
        }
    }
}

/// What to do when `attention` says that no ordinary value arrived, or may have.
///
/// # Safety
/// `In` is the type of `inbox`, and of the results of the children that answer there.
#[cold]
#[inline(never)]
pub(super) unsafe fn arrive<In>(
    hot: &'static Hot,
    me: ControlRef,
    inbox: u64,
) -> Result<In, Arrival> {
    match came(hot, me, inbox) {
        Came::Value => {
            // SAFETY: as at the end of `switch`.
            let value = unsafe { take_message::<In>(hot) };
            trace::woken(me);
            Ok(value)
        }
        Came::Child(child) => {
            // SAFETY: an outcome is addressed to an inbox whose type is that of the child's result: here `In`.
            let outcome = unsafe { body::fetch::<In>(hot, child) };
            trace::woken(me);
            match outcome {
                body::Outcome::Returned(v) => Ok(v),
                body::Outcome::Panicked(payload) => unwind(me, payload),
                body::Outcome::Exited => Err(Arrival::Exited),
            }
        }
        Came::Thrown(payload) => {
            trace::thrown_at(me);
            unwind(me, payload)
        }
        Came::Nothing(arrival) => {
            trace::woken(me);
            Err(arrival)
        }
    }
}

/// Moves the value in flight out of its sender's frame.
///
/// # Safety
/// An ordinary value of type `T` has just arrived, and was not taken yet.
#[inline(always)]
pub(super) unsafe fn take_message<T>(hot: &'static Hot) -> T {
    // SAFETY: the caller's promise; the sender's frame is suspended until somebody switches to it.
    unsafe { hot.message.get().cast::<T>().read() }
}

/// Waits at `inbox` of `me` with control in the hub. See `Current::receive`.
///
/// # Safety
/// `In` is the type of `inbox`.
pub(super) unsafe fn receive<In>(me: ControlRef, inbox: u64) -> Result<In, SwitchError<()>> {
    let hot = hot();
    match may_wait(hot, me, inbox) {
        Ok(()) => {
            me.waiting.set(inbox);
            to_hub_counted(hot, me);
        }
        Err(Refusal::Pending) => me.attend(attention::WOKEN),
        Err(why) => return Err(why.with(())),
    }
    // SAFETY: `In` is the type of `inbox`.
    unsafe { arrive(hot, me, inbox) }.map_err(SwitchError::from_arrival)
}

/// Raises `payload` at the pending wait of `to`. See `Current::throw`.
///
/// # Safety
/// `In` is the type of `inbox`.
pub(super) unsafe fn throw<In>(
    me: ControlRef,
    inbox: u64,
    to: ControlRef,
    to_inbox: u64,
    payload: Payload,
) -> Result<In, SwitchError<Payload>> {
    let hot = hot();
    if let Err(why) = may_wait(hot, me, inbox) {
        return Err(why.with(payload));
    }
    if to == me {
        return match family::inbox_state(to, to_inbox) {
            family::InboxState::Open => unwind(me, payload),
            _ => Err(SwitchError::Dead(payload)),
        };
    }
    match family::inbox_state(to, to_inbox) {
        family::InboxState::Gone => return Err(SwitchError::Dead(payload)),
        family::InboxState::Unbound => return Err(SwitchError::Unbound(payload)),
        family::InboxState::Open if to.waiting.get() != to_inbox => {
            return Err(SwitchError::NotWaiting(payload));
        }
        family::InboxState::Open => {}
    }
    if to.state.get() == State::New {
        // Its body never runs: it dies with the exception, which goes on to its parent.
        let next = ending::throw_into_new(hot, me, inbox, to, payload);
        if next == me {
            // SAFETY: `In` is the type of `inbox`.
            return unsafe { arrive(hot, me, inbox) }.map_err(SwitchError::from_arrival);
        }
        hot.current.set(Some(next));
        transfer_counted(hot, me, next);
    } else {
        let mut message = Some(payload);
        hot.message.set((&raw mut message).cast());
        to.waiting.set(0);
        to.attend(attention::THROWN);
        me.waiting.set(inbox);
        hot.current.set(Some(to));
        transfer_counted(hot, me, to);
    }
    // SAFETY: `In` is the type of `inbox`.
    unsafe { arrive(hot, me, inbox) }.map_err(SwitchError::from_arrival)
}

/// Hands control to `to`, which waits at one of the engine's own inboxes or at `inbox`, with `message` as the address of
/// what it expects, and waits at `my_inbox`. For generators.
///
/// # Safety
/// What `to` does with `message` fits; `to.waiting` is not 0.
#[inline(always)]
pub(super) unsafe fn hand(
    hot: &'static Hot,
    me: ControlRef,
    my_inbox: u64,
    to: ControlRef,
    message: *mut u8,
) {
    hot.message.set(message);
    to.waiting.set(0);
    me.waiting.set(my_inbox);
    hot.current.set(Some(to));
    if panicking() {
        transfer_counted(hot, me, to);
    } else {
        transfer(hot, me, to);
    }
}
