//! Who gets what when a greenlet ends: parents, killers, pending outcomes, scopes.
//!
//! A dead greenlet's outcome is addressed to an inbox of its parent, as the parent is at that moment:
//!
//! | the parent                                   | a value, a panic, an exit                                     |
//! | -------------------------------------------- | -------------------------------------------------------------- |
//! | waits at that inbox                          | goes there, and control with it                                |
//! | never started                                | a value starts it; anything else kills it and goes to *its* parent |
//! | waits elsewhere, is parked, or is queued     | stays on its pending list; control goes to the hub              |
//! | is dead, or the inbox's scope has ended      | is dropped (a panic is reported); control goes to the scope's opener |
//!
//! After a kill control goes to the killer first, and the parent is woken through the hub. The order of all that is
//! in ending.rs.
//!
//! This file moves control blocks between lists; it never switches.

use super::body;
use super::control::{Control, ControlRef, FIRST_SERIAL, OpenInbox, State, attention, flag};
use super::engine;
use super::hot::Hot;
use super::wake;

/// What has become of an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InboxState {
    /// Its greenlet is dead, or the scope that opened it has ended.
    Gone,
    /// Its greenlet has no body yet.
    Unbound,
    /// Somebody may wait there, now or later.
    Open,
}

/// The inboxes that scopes opened on `c`, innermost first.
fn open_inboxes(c: &Control) -> impl Iterator<Item = &OpenInbox> {
    let mut at = c.open.get();
    core::iter::from_fn(move || {
        // SAFETY: a frame is on the list exactly while its scope runs on `c`'s own stack, and nothing here runs code
        // that could end that scope meanwhile (invariant 1).
        let inbox = unsafe { at.as_ref() }?;
        at = inbox.outer;
        Some(inbox)
    })
}

/// What has become of the inbox `inbox` that `c`, perhaps stale, had.
pub(crate) fn inbox_state(c: ControlRef, inbox: u64) -> InboxState {
    if matches!(c.state.get(), State::Free | State::Dead) {
        return InboxState::Gone;
    }
    if c.own_inbox.get() == inbox {
        return if c.has(flag::UNBOUND) {
            InboxState::Unbound
        } else {
            InboxState::Open
        };
    }
    if open_inboxes(&c).any(|open| open.id == inbox) {
        InboxState::Open
    } else {
        InboxState::Gone
    }
}

/// The innermost inbox of `c`, its type with lifetimes erased, and whether that was published as `'static`.
pub(crate) fn innermost(c: &Control) -> (u64, Option<core::any::TypeId>, bool) {
    match open_inboxes(c).next() {
        Some(open) => (open.id, Some(open.type_id), open.published.get()),
        None => (
            c.own_inbox.get(),
            c.table.get().map(|t| (t.inbox_type)()),
            c.has(flag::PUBLISHED),
        ),
    }
}

/// Notes that the type of an inbox of `c` is `'static`.
pub(crate) fn publish(c: &Control, inbox: u64) {
    match open_inboxes(c).find(|open| open.id == inbox) {
        Some(open) => open.published.set(true),
        None => c.set_flag(flag::PUBLISHED),
    }
}

/// Whether an outcome for `inbox` is pending.
pub(crate) fn has_pending(me: ControlRef, inbox: u64) -> bool {
    let mut at = me.pending.get();
    while let Some(child) = at {
        if child.parent_inbox.get() == inbox {
            return true;
        }
        at = child.next_pending.get();
    }
    false
}

/// Takes the oldest outcome for `inbox`.
pub(crate) fn take_pending(me: ControlRef, inbox: u64) -> Option<ControlRef> {
    let mut before: Option<ControlRef> = None;
    let mut at = me.pending.get();
    while let Some(child) = at {
        let next = child.next_pending.get();
        if child.parent_inbox.get() == inbox {
            match before {
                Some(b) => b.next_pending.set(next),
                None => me.pending.set(next),
            }
            child.next_pending.set(None);
            if me.pending.get().is_none() {
                me.ignore(attention::PENDING);
            }
            return Some(child);
        }
        before = Some(child);
        at = next;
    }
    None
}

/// Takes the oldest outcome, whatever its inbox.
pub(super) fn take_any_pending(me: ControlRef) -> Option<ControlRef> {
    take_pending(me, me.pending.get()?.parent_inbox.get())
}

/// Puts the outcome of the dead `child` at the end of what is pending for `parent`.
pub(super) fn append_pending(parent: ControlRef, child: ControlRef) {
    child.next_pending.set(None);
    let mut last = parent.pending.get();
    match last {
        None => parent.pending.set(Some(child)),
        Some(mut c) => {
            while let Some(next) = c.next_pending.get() {
                c = next;
            }
            last = Some(c);
            if let Some(last) = last {
                last.next_pending.set(Some(child));
            }
        }
    }
    parent.attend(attention::PENDING);
}

/// The parent, if the inbox that the outcome is addressed to still exists.
pub(super) fn living_parent(c: ControlRef) -> Option<ControlRef> {
    let parent = c.parent.get()?;
    match c.parent_inbox.get() {
        // A generator's caller: it waits in `next`, or it is not its parent any more.
        inbox if inbox < FIRST_SERIAL => (parent.waiting.get() == inbox).then_some(parent),
        inbox => (inbox_state(parent, inbox) != InboxState::Gone).then_some(parent),
    }
}

/// Wakes killers, `first` and those behind it: their victim is dead.
pub(crate) fn release_killers(hot: &'static Hot, first: Option<ControlRef>) {
    let mut at = first;
    while let Some(killer) = at {
        at = killer.next_killer.take();
        killer.waiting.set(0);
        killer.attend(attention::KILLED);
        wake::make_runnable(hot, killer);
    }
}

/// `killer` does not wait for the end of `victim` any more.
pub(crate) fn forget_killer(victim: ControlRef, killer: ControlRef) {
    let next = killer.next_killer.take();
    if victim.killer.get() == Some(killer) {
        victim.killer.set(next);
        return;
    }
    let mut at = victim.killer.get();
    while let Some(k) = at {
        if k.next_killer.get() == Some(killer) {
            k.next_killer.set(next);
            return;
        }
        at = k.next_killer.get();
    }
}

/// Who opened the scope of `c`.
pub(super) fn opener(c: ControlRef) -> Option<ControlRef> {
    // SAFETY: the scope's core stays in its frame until every greenlet of the scope is dead, and `c` is only now dying.
    unsafe { c.scope.get().as_ref() }.map(|core| core.opener)
}

/// Makes `c` a member of a scope.
pub(crate) fn join_scope(core: &super::scope::Core, c: ControlRef) {
    let first = core.first.get();
    c.scope.set(core);
    c.scope_prev.set(None);
    c.scope_next.set(first);
    if let Some(f) = first {
        f.scope_prev.set(Some(c));
    }
    core.first.set(Some(c));
}

/// Takes `c` off its scope's list; it keeps knowing the scope until it is released.
pub(crate) fn leave_scope(c: ControlRef) {
    // SAFETY: as in `opener`.
    let Some(core) = (unsafe { c.scope.get().as_ref() }) else {
        return;
    };
    let (prev, next) = (c.scope_prev.take(), c.scope_next.take());
    match prev {
        Some(p) => p.scope_next.set(next),
        None if core.first.get() == Some(c) => core.first.set(next),
        None => {}
    }
    if let Some(n) = next {
        n.scope_prev.set(prev);
    }
}

/// Drops the outcomes pending for an inbox that closes.
pub(crate) fn drop_pending(hot: &'static Hot, me: ControlRef, inbox: u64) {
    while let Some(child) = take_pending(me, inbox) {
        body::discard(child);
        engine::release(hot, child);
    }
}

/// Whether making `parent` the parent of `c` would close a circle.
pub(crate) fn would_cycle(c: ControlRef, parent: ControlRef) -> bool {
    let mut at = Some(parent);
    while let Some(p) = at {
        if p == c {
            return true;
        }
        // Who asks a generator for items is nobody's parent: with that link there could be circles already.
        at = living_parent(p).filter(|_| p.parent_inbox.get() >= FIRST_SERIAL);
    }
    false
}
