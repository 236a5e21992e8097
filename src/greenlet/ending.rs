//! How a greenlet ends: by itself, by a kill, by an exception before it started; and who gets control then.
//!
//! An end runs code of others: captures of bodies that never ran, results that nobody will take, reports. That code may
//! do anything: spawn, switch away, kill, end a scope. So each end has two parts, and only the first runs such code:
//!
//! ```text
//! settle     on the stack of the dying greenlet, or of who ends an unstarted one. The greenlet is still Live and in
//!            its scope, so that the scope waits for it and its slot is not given away.
//!              pending outcomes of its children are dropped
//!              the outcome climbs over unstarted parents that die of it: their captures are dropped (`ENDING`)
//!              an outcome that nobody will take is dropped, a panic reported
//! conclude   no code of others from here on: out of the scope, Dead, outcome delivered, slots given back
//! ```
//!
//! A kill waits for the end of its victim. Whom a greenlet waits for so is in `waits_for`; the links never close a circle:
//!
//! | the victim waits, directly or not, for the killer's end | what happens                                      |
//! | -------------------------------------------------------- | ------------------------------------------------- |
//! | in a `kill` that is not shielded                         | that wait is broken off: the victim unwinds there |
//! | behind another such `kill`                               | that one is broken off, with `KillError::Deadlock` |
//! | only in shielded ones                                    | the kill stays asked for; `KillError::Deadlock`   |
//!
//! This file never resumes or suspends but through the engine.
#![forbid(unsafe_code)]

use super::body;
use super::control::{
    ControlRef, Ending, FIRST_SERIAL, INBOX_KILLING, Payload, State, attention, flag,
};
use super::engine;
use super::error::Deadlock;
use super::family;
use super::hot::{Hot, hot};
use super::wake;

// ---------------------------------------------------------------------------------------------------------------------
// The two parts

/// What is left to do when all code of others has run.
struct Settled {
    /// The first that dies.
    first: ControlRef,
    /// In whose name the outcome goes on: `first`, or the last of the unstarted ancestors that died of it.
    last: ControlRef,
    /// Who gets it.
    heir: Option<ControlRef>,
}

/// Who takes the outcome of `c`, if anybody. If the killer is the parent itself, its `kill` that returns says enough.
fn heir(c: ControlRef, killer: Option<ControlRef>) -> Option<ControlRef> {
    let killed = matches!(c.ending.get(), Ending::Exited | Ending::None);
    if killed && killer.is_some() && c.parent.get() == killer {
        return None;
    }
    family::living_parent(c)
}

/// The first part, see the file's head. `me` is who runs.
fn settle(
    hot: &'static Hot,
    me: ControlRef,
    first: ControlRef,
    killer: Option<ControlRef>,
) -> Settled {
    let mut last = first;
    loop {
        // The code of others that ran so far may have made locals, and left outcomes, anew.
        if drop_pending(hot, first, last) || hot.drop_ext_of(first) {
            continue;
        }
        let heir = heir(last, killer.or(first.killer.get()));
        match heir {
            None if body::discard_runs_code(last) => body::discard(last),
            Some(parent)
                if parent.state.get() == State::New
                    && parent.waiting.get() == last.parent_inbox.get()
                    && last.ending.get() != Ending::Returned =>
            {
                drop_captures(me, parent);
                parent.ending.set(last.ending.replace(Ending::None));
                if let Some(payload) = last.take_payload() {
                    parent.set_payload(payload);
                }
                last = parent;
            }
            _ => return Settled { first, last, heir },
        }
    }
}

/// Drops what is pending for the dying `first` and its ancestors up to `last`. Says whether there was anything.
fn drop_pending(hot: &'static Hot, first: ControlRef, last: ControlRef) -> bool {
    let mut any = false;
    let mut at = first;
    loop {
        while let Some(child) = family::take_any_pending(at) {
            any = true;
            body::discard(child);
            engine::release(hot, child);
        }
        match at.parent.get() {
            Some(parent) if at != last => at = parent,
            _ => return any,
        }
    }
}

/// Ends a body that never ran: its captures are dropped on the stack of `me`. It is not dead before `conclude`.
fn drop_captures(me: ControlRef, c: ControlRef) {
    c.waiting.set(0);
    c.state.set(State::Live);
    c.set_flag(flag::ENDING);
    c.waits_for.set(Some(me));
    if c.has(flag::UNBOUND) {
        c.clear_flag(flag::UNBOUND);
    } else {
        body::drop_unstarted(c);
    }
    c.ending.set(Ending::Exited);
}

/// The second part: everything of the chain is dead but for its outcome, and who waited in `kill` for one of them goes
/// on through the hub. Says where the greenlet that opened the scope of the last is.
fn bury(hot: &'static Hot, s: &Settled) -> Option<ControlRef> {
    let opener = family::opener(s.last);
    let mut at = s.first;
    loop {
        family::leave_scope(at);
        at.end();
        if at.killer.get().is_some() {
            family::release_killers(hot, at.killer.take());
        }
        if at == s.last {
            return opener;
        }
        let parent = at.parent.get();
        engine::release(hot, at);
        match parent {
            Some(parent) => at = parent,
            None => return opener,
        }
    }
}

/// `bury`, and control goes where the outcome goes.
fn conclude(hot: &'static Hot, s: &Settled) -> ControlRef {
    let opener = bury(hot, s);
    let Some(parent) = s.heir else {
        engine::release(hot, s.last);
        return match opener {
            Some(o) if o.is_suspended() && o.waiting.get() >= FIRST_SERIAL => {
                o.waiting.set(0);
                o.attend(attention::ORPHAN);
                o
            }
            _ => hot.hub(),
        };
    };
    if parent.waiting.get() != s.last.parent_inbox.get() {
        family::append_pending(parent, s.last);
        return hot.hub();
    }
    deliver_to(hot, parent, s.last)
}

/// Control goes to `parent`, which waits for the outcome of the dead `child`.
#[inline]
fn deliver_to(hot: &'static Hot, parent: ControlRef, child: ControlRef) -> ControlRef {
    parent.waiting.set(0);
    parent.attend(attention::CHILD);
    hot.dead.set(Some(child));
    parent
}

/// `bury`, and control stays: a parent that waits is woken through the hub.
fn conclude_for_killer(hot: &'static Hot, s: &Settled) {
    bury(hot, s);
    let Some(parent) = s.heir else {
        engine::release(hot, s.last);
        return;
    };
    family::append_pending(parent, s.last);
    if parent.waiting.get() == s.last.parent_inbox.get() {
        parent.waiting.set(0);
        parent.attend(attention::WOKEN);
        wake::make_runnable(hot, parent);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The ways to end

/// Ends a greenlet whose parent, or killer, is on this thread: the `finish` of greenlets and generators.
pub(super) fn finish(c: ControlRef) {
    let hot = hot();
    hot.drop_ext_of(c);
    if c.pending.get().is_none()
        && c.killer.get().is_none()
        && let Some(parent) = family::living_parent(c)
        && parent.waiting.get() == c.parent_inbox.get()
        && (parent.state.get() != State::New || c.ending.get() == Ending::Returned)
    {
        // What nearly always happens: there is no code of others to run, and control goes where the outcome goes.
        family::leave_scope(c);
        c.end();
        return hot.current.set(Some(deliver_to(hot, parent, c)));
    }
    finish_slowly(hot, c);
}

#[cold]
#[inline(never)]
fn finish_slowly(hot: &'static Hot, c: ControlRef) {
    let settled = settle(hot, c, c, None);
    let next = match c.killer.take() {
        Some(killer) => {
            family::release_killers(hot, killer.next_killer.take());
            conclude_for_killer(hot, &settled);
            killer.waiting.set(0);
            killer.attend(attention::KILLED);
            killer
        }
        None => conclude(hot, &settled),
    };
    hot.current.set(Some(next));
}

/// Ends `to`, which never ran, by an exception that goes on to its parent. `me`, who runs, waits at `inbox` from then
/// on; says who gets control.
pub(super) fn throw_into_new(
    hot: &'static Hot,
    me: ControlRef,
    inbox: u64,
    to: ControlRef,
    payload: Payload,
) -> ControlRef {
    drop_captures(me, to);
    to.ending.set(Ending::Panicked);
    to.set_payload(payload);
    let settled = settle(hot, me, to, None);
    me.waiting.set(inbox);
    conclude(hot, &settled)
}

/// Ends `victim` and returns when it is dead. The caller has checked that it may be killed.
///
/// Parks without being interrupted, but by the end of a scope that the killer itself lives in.
///
/// # Errors
/// The victim can never end while this waits: see the file's head. Or the hub found that it can never end at all (it is
/// parked for ever in a shield, or in a destructor).
pub(super) fn kill(hot: &'static Hot, me: ControlRef, victim: ControlRef) -> Result<(), Deadlock> {
    match victim.state.get() {
        State::Free | State::Dead => return Ok(()),
        State::New => {
            drop_captures(me, victim);
            let settled = settle(hot, me, victim, Some(me));
            conclude_for_killer(hot, &settled);
            return Ok(());
        }
        State::Live if victim.has(flag::ENDING) && victim.waits_for.get() == Some(me) => {
            // One of its captures, or whom that called, asks for what is being done.
            return Ok(());
        }
        State::Live | State::Runnable | State::Parked => {}
    }
    victim.attend(attention::KILL);
    let broken_off = match break_circle(hot, me, victim) {
        Circle::None => false,
        Circle::Broken(who) => who == victim,
        Circle::Shielded => return Err(Deadlock::circle()),
    };
    me.next_killer.set(victim.killer.get());
    victim.killer.set(Some(me));
    victim.set_flag(flag::COLD);
    me.waits_for.set(Some(victim));
    me.waiting.set(INBOX_KILLING);
    let held_back =
        victim.shield.get() > 0 || (victim.waiting.get() == INBOX_KILLING && !broken_off);
    if victim.is_suspended() && !held_back {
        victim.waiting.set(0);
        victim.attend(attention::WOKEN);
        hot.current.set(Some(victim));
        engine::transfer_counted(hot, me, victim);
    } else {
        if !held_back {
            wake::wake_for_interrupt(hot, victim);
        }
        engine::to_hub_counted(hot, me);
    }
    me.waits_for.set(None);
    let bits = me.attention.get();
    me.ignore(attention::KIND);
    if bits & attention::KIND == attention::KILLED {
        return Ok(());
    }
    me.ignore(attention::DEADLOCK);
    if bits & attention::DEADLOCK != 0 {
        // The victim lives, and must not return to us later.
        family::forget_killer(victim, me);
        return Err(hot.take_deadlock());
    }
    // Broken off: this greenlet's own end comes first, or somebody's in between.
    engine::deliver(hot, me, true);
    Err(Deadlock::circle())
}

enum Circle {
    /// The victim does not wait for the killer.
    None,
    /// It did; the wait of this one was broken off.
    Broken(ControlRef),
    /// It does, and no wait on the way may be broken off.
    Shielded,
}

/// Whom `c` waits for without any other way to go on.
fn stuck_on(c: ControlRef) -> Option<ControlRef> {
    let stuck = c.waiting.get() == INBOX_KILLING || c.has(flag::ENDING);
    c.waits_for.get().filter(|_| stuck)
}

/// Sees to it that `victim` does not wait for the end of `me`.
fn break_circle(hot: &'static Hot, me: ControlRef, victim: ControlRef) -> Circle {
    let mut at = victim;
    let mut breakable = None;
    while at != me {
        let Some(next) = stuck_on(at) else {
            return Circle::None;
        };
        if breakable.is_none() && at.waiting.get() == INBOX_KILLING && at.shield.get() == 0 {
            breakable = Some((at, next));
        }
        at = next;
    }
    let Some((who, waits_for)) = breakable else {
        return Circle::Shielded;
    };
    family::forget_killer(waits_for, who);
    if who != victim {
        who.waiting.set(0);
        who.attend(attention::WOKEN);
        wake::make_runnable(hot, who);
    }
    Circle::Broken(who)
}
