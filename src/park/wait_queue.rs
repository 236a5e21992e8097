//! The waiters of one object, first come, first served, each with something of its own that lies here while it waits.
//!
//! ```text
//! entries   [ A · B · · C ]     head → A → B → C ← tail     free → · → ·
//! ```
//!
//! | an entry | linked | who ends that |
//! | --- | --- | --- |
//! | waits | yes | a grant that wins: unlinked and freed, its payload goes to the granter |
//! | waits | yes | its owner leaves: unlinked and freed, the payload goes back to it |
//! | its wait has ended | yes | a grant that loses: unlinked, kept with its payload for the owner |
//! | its wait has ended | no | its owner leaves: freed, the payload goes back to it |
//!
//! So a payload has exactly one taker, whoever wins: nothing is lost and nothing is there twice. An owner whose wait was
//! granted need not come back.
//!
//! The queue lies inside its object's [`Lock`](super::Lock). Who is to be woken comes out, to be woken after that lock was let
//! go; only a greenlet of the granter's own hub that waits here alone is runnable at once, which enqueues it and no more. It allocates when it grows, and keeps what it has. The model tests include this file as it is.
#![forbid(unsafe_code)]

use super::claim::Unparker;
use super::word::{Arm, Grant};

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Entry<E> {
    /// Who waits; `None` while the entry is free, and once a grant has lost.
    who: Option<Unparker>,
    payload: Option<E>,
    arm: Arm,
    /// It waits here and nowhere else.
    alone: bool,
    /// Of this use of the entry.
    stamp: u32,
    /// In the list of waiters; `next` alone in that of the free.
    prev: u32,
    next: u32,
}

/// Names an entry to its owner.
#[derive(Clone, Copy, Debug)]
#[must_use = "without it the entry cannot be taken back"]
pub(crate) struct Key {
    index: u32,
    stamp: u32,
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct WaitQueue<E = ()> {
    entries: Vec<Entry<E>>,
    free: u32,
    head: u32,
    tail: u32,
    len: u32,
    stamp: u32,
}

impl<E> Default for WaitQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> WaitQueue<E> {
    /// Nobody waits.
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NONE,
            head: NONE,
            tail: NONE,
            len: 0,
            stamp: 0,
        }
    }

    /// How many wait, those included whose wait has ended and who have not left yet.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether nobody waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Whether somebody else than `who` waits: one select may wait at both ends of one object.
    pub(crate) fn has_other(&self, who: &Unparker) -> bool {
        let mut at = self.head;
        while at != NONE {
            let entry = &self.entries[at as usize];
            if entry.who.as_ref().is_some_and(|w| !w.is(who)) {
                return true;
            }
            at = entry.next;
        }
        false
    }

    /// Puts a waiter behind all others. It may wait at other objects too.
    #[inline]
    pub(crate) fn push_back(&mut self, who: Unparker, arm: Arm, payload: E) -> Key {
        let key = self.take_entry(who, arm, false, payload);
        self.link_last(key.index);
        key
    }

    /// Puts a waiter behind all others that waits here and nowhere else.
    #[inline]
    pub(crate) fn push_alone(&mut self, who: Unparker, payload: E) -> Key {
        let key = self.take_entry(who, 0, true, payload);
        self.link_last(key.index);
        key
    }

    /// As [`push_alone`](Self::push_alone), before all others: it was the first already, and lost to one that was faster.
    pub(crate) fn push_front(&mut self, who: Unparker, payload: E) -> Key {
        let key = self.take_entry(who, 0, true, payload);
        let index = key.index;
        let head = self.head;
        self.entries[index as usize].next = head;
        match self.entries.get_mut(head as usize) {
            Some(e) => e.prev = index,
            None => self.tail = index,
        }
        self.head = index;
        self.len += 1;
        key
    }

    /// The payload of the first waiter.
    #[inline]
    pub(crate) fn front(&self) -> Option<&E> {
        self.entries
            .get(self.head as usize)
            .and_then(|e| e.payload.as_ref())
    }

    /// The first waiter itself.
    #[inline]
    pub(crate) fn front_waiter(&self) -> Option<&Unparker> {
        self.entries
            .get(self.head as usize)
            .and_then(|e| e.who.as_ref())
    }

    /// Gives the first waiter that still waits what it waits for. Its payload comes out, and it is to be woken once the
    /// object's lock was let go.
    #[inline]
    pub(crate) fn give(&mut self) -> Option<(E, Unparker)> {
        self.grant(Grant::Given)
    }

    /// As [`give`](Self::give), as long as `fits` says that of the payload of who is next; it is asked again for each that turns
    /// out not to wait any more, and whoever it is asked for last, and affirms, is the one that is given.
    #[inline]
    pub(crate) fn give_if(&mut self, mut fits: impl FnMut(&E) -> bool) -> Option<(E, Unparker)> {
        while self.front().is_some_and(&mut fits) {
            let head = self.head;
            if let Some(given) = self.grant_head(head, Grant::Given, |_| (), |_, ()| ()) {
                return Some(given);
            }
        }
        None
    }

    /// Tells the first waiter that still waits to look again. Otherwise as [`give`](Self::give).
    #[inline]
    pub(crate) fn tell(&mut self) -> Option<(E, Unparker)> {
        self.grant(Grant::Told)
    }

    /// Gives all who wait now what they wait for, in order.
    pub(crate) fn give_all(&mut self) -> Vec<(E, Unparker)> {
        let mut all = Vec::with_capacity(self.len());
        all.extend(core::iter::from_fn(|| self.give()));
        all
    }

    /// Tells all who wait now to look again, in order.
    pub(crate) fn tell_all(&mut self) -> Vec<(E, Unparker)> {
        let mut all = Vec::with_capacity(self.len());
        all.extend(core::iter::from_fn(|| self.tell()));
        all
    }

    /// As [`give`](Self::give). `before` runs for each that is about to be granted; if its wait turns out to have ended, `undo`
    /// gets what `before` returned.
    #[inline]
    pub(crate) fn give_with<B>(
        &mut self,
        mut before: impl FnMut(&E) -> B,
        mut undo: impl FnMut(&E, B),
    ) -> Option<(E, Unparker)> {
        while self.head != NONE {
            let granted = self.grant_head(self.head, Grant::Given, &mut before, &mut undo);
            if granted.is_some() {
                return granted;
            }
        }
        None
    }

    #[inline]
    fn grant(&mut self, kind: impl Fn(Arm) -> Grant) -> Option<(E, Unparker)> {
        if self.head == NONE {
            return None;
        }
        self.grant_first(kind)
    }

    fn grant_first(&mut self, kind: impl Fn(Arm) -> Grant) -> Option<(E, Unparker)> {
        while self.head != NONE {
            let granted = self.grant_head(self.head, &kind, |_| (), |_, ()| ());
            if granted.is_some() {
                return granted;
            }
        }
        None
    }

    /// Unlinks the first entry, and grants its wait. `None` if that had ended.
    #[inline]
    fn grant_head<B>(
        &mut self,
        index: u32,
        kind: impl FnOnce(Arm) -> Grant,
        before: impl FnOnce(&E) -> B,
        undo: impl FnOnce(&E, B),
    ) -> Option<(E, Unparker)> {
        let entry = self.entries.get_mut(index as usize)?;
        let next = entry.next;
        let mut granted = None;
        if let (Some(who), Some(payload)) = (entry.who.take(), &entry.payload) {
            let grant = kind(entry.arm);
            let noted = before(payload);
            let won = if entry.alone {
                who.grant_alone(grant)
            } else {
                who.grant(grant).then_some(who)
            };
            if let Some(who) = won {
                entry.stamp = 0;
                entry.next = self.free;
                self.free = index;
                granted = entry.payload.take().map(|payload| (payload, who));
            } else {
                undo(payload, noted);
            }
        }
        self.len -= 1;
        self.head = next;
        match self.entries.get_mut(next as usize) {
            Some(e) => e.prev = NONE,
            None => self.tail = NONE,
        }
        granted
    }

    /// The owner leaves; its payload comes back, unless its wait was granted.
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<E> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.stamp != key.stamp {
            return None;
        }
        let payload = entry.payload.take();
        if entry.who.take().is_some() {
            self.unlink(key.index);
        }
        self.release(key.index);
        payload
    }

    #[inline]
    fn take_entry(&mut self, who: Unparker, arm: Arm, alone: bool, payload: E) -> Key {
        // 0 is the stamp of a free entry.
        self.stamp = self.stamp.wrapping_add(1).max(1);
        let stamp = self.stamp;
        let index = self.free;
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return self.add_entry(who, arm, alone, payload);
        };
        self.free = entry.next;
        entry.who = Some(who);
        entry.payload = Some(payload);
        entry.arm = arm;
        entry.alone = alone;
        entry.stamp = stamp;
        entry.prev = NONE;
        entry.next = NONE;
        Key { index, stamp }
    }

    #[cold]
    fn add_entry(&mut self, who: Unparker, arm: Arm, alone: bool, payload: E) -> Key {
        let stamp = self.stamp;
        self.entries.push(Entry {
            who: Some(who),
            payload: Some(payload),
            arm,
            alone,
            stamp,
            prev: NONE,
            next: NONE,
        });
        Key {
            index: (self.entries.len() - 1) as u32,
            stamp,
        }
    }

    fn release(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.stamp = 0;
        entry.next = self.free;
        self.free = index;
    }

    #[inline]
    fn link_last(&mut self, index: u32) {
        let tail = self.tail;
        match self.entries.get_mut(tail as usize) {
            Some(e) => {
                e.next = index;
                self.entries[index as usize].prev = tail;
            }
            None => self.head = index,
        }
        self.tail = index;
        self.len += 1;
    }

    fn unlink(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (prev, next) = (entry.prev, entry.next);
        match self.entries.get_mut(prev as usize) {
            Some(e) => e.next = next,
            None => self.head = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(e) => e.prev = prev,
            None => self.tail = prev,
        }
        self.len -= 1;
    }
}
