//! What the lock of a queue guards, and the steps that one section of it takes.
//!
//! `core.rs` says how they make up the calls. Nothing here waits, makes a system call or runs code of the user: who is to be
//! woken, and what is to be dropped, comes out.
#![forbid(unsafe_code)]

use core::mem;
use std::collections::VecDeque;

use super::store::{Popped, Store};
use crate::greenlet::hot::hot;
use crate::park::{Address, Board, Handed, Lands, Notice, Unparker, WaitQueue, hand};

/// A value beside a putter that waits; the number finds it again if it is returned.
#[derive(Debug)]
pub(crate) struct Parcel<T> {
    pub(super) number: u64,
    pub(super) value: T,
}

/// What a getter that waits is to be given goes into its frame, or, if it waits for several things at once, into `handed` under its
/// number.
#[derive(Debug)]
pub(crate) enum Getter<T> {
    Frame(Address<T>),
    Number(u64),
}

impl<T> Lands for Getter<T> {
    type Value = T;

    #[inline]
    fn address(&self) -> Option<&Address<T>> {
        match self {
            Self::Frame(address) => Some(address),
            Self::Number(_) => None,
        }
    }
}

/// Who has a turn: a thread, and a greenlet on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    thread: usize,
    greenlet: usize,
}

impl Holder {
    pub(super) fn me() -> Self {
        let hot = hot();
        let current = hot.current.get().unwrap_or_else(|| hot.root());
        Self {
            thread: core::ptr::from_ref(hot).addr(),
            greenlet: current.address(),
        }
    }

    /// Whether it is on another thread, so that it goes on while this one looks on.
    ///
    /// # Panics
    /// It is the caller.
    #[track_caller]
    pub(super) fn is_elsewhere(self) -> bool {
        let me = Self::me();
        assert!(
            self != me,
            "a queue was read from within a comparison or a look at its own items, which would wait for itself"
        );
        self.thread != me.thread
    }
}

/// What the lock guards. In this order, so that with the lock and the queue of items all that the plainest put and get touch
/// lies in one cache line: between two threads that line goes to and fro.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct State<T, S> {
    /// False: nobody waits or watches, no turn is on, it is not closed. True: look.
    pub(super) eventful: bool,
    pub(super) capacity: usize,
    /// Items that were put and not yet reported done.
    pub(super) unfinished: usize,
    pub(super) store: S,
    /// Given to selects, one for each that was granted and has not come for it.
    pub(super) handed: VecDeque<Parcel<T>>,
    pub(super) getters: WaitQueue<Getter<T>>,
    pub(super) putters: WaitQueue<Parcel<T>>,
    pub(super) joiners: WaitQueue<()>,
    /// Of those who watch until something can be got: none is left here while that is so.
    pub(super) notices: Vec<Notice>,
    /// Values of putters that were told.
    returned: Vec<Parcel<T>>,
    next_number: u64,
    /// Whose turn it is, and how many items it has in hand.
    pub(super) busy: Option<Holder>,
    pub(super) in_hand: usize,
    pub(super) closed: bool,
    /// At the end of the turn everything goes.
    pub(super) purge: bool,
}

/// Who is to hear that something was put, once the lock was let go.
#[derive(Debug)]
pub(crate) enum Hearer {
    Nobody,
    /// It was given it.
    Getter(Unparker),
    /// They may look for it.
    Watchers(Vec<Notice>),
}

/// How an attempt to put went.
#[derive(Debug)]
pub(crate) enum Offered<T> {
    Done(Hearer),
    Full(T),
    Closed(T),
}

/// How an attempt to get went.
#[derive(Debug)]
pub(crate) enum Taken<T, W> {
    Item(T, Option<Unparker>),
    Empty,
    Closed,
    /// Another has its turn.
    Busy(Holder),
    /// This is the caller's.
    Turn(W),
}

impl<T, S: Store<T>> State<T, S> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            eventful: false,
            capacity,
            unfinished: 0,
            store: S::new(),
            handed: VecDeque::new(),
            getters: WaitQueue::new(),
            putters: WaitQueue::new(),
            joiners: WaitQueue::new(),
            notices: Vec::new(),
            returned: Vec::new(),
            next_number: 0,
            busy: None,
            in_hand: 0,
            closed: false,
            purge: false,
        }
    }

    /// How many items a get could have.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.store.len() + self.in_hand
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.len() < self.capacity
    }

    /// Whether a value put now would go to a getter at once, if one waits.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.busy.is_none() && self.store.len() == 0
    }

    /// Whether a get would not have to wait. During a turn it would.
    fn is_ready(&self) -> bool {
        let something = self.store.len() > 0 || self.closed || !self.putters.is_empty();
        self.busy.is_none() && something
    }

    /// Those who watch, if it has become ready: for whoever may have made it so, to tell them.
    pub(super) fn watchers(&mut self) -> Vec<Notice> {
        if self.notices.is_empty() || !self.is_ready() {
            return Vec::new();
        }
        mem::take(&mut self.notices)
    }

    /// Keeps `notice`. It comes back if it is to be told at once.
    pub(super) fn watch(&mut self, notice: Notice) -> Option<Notice> {
        if self.is_ready() {
            return Some(notice);
        }
        self.eventful = true;
        self.notices.push(notice);
        None
    }

    /// Takes back what `board` has here; to be dropped after the lock.
    pub(super) fn unwatch(&mut self, board: &Board) -> Vec<Notice> {
        self.notices.extract_if(.., |n| n.is_of(board)).collect()
    }

    #[inline]
    pub(super) fn offer(&mut self, value: T) -> Offered<T> {
        if !self.eventful && self.store.len() < self.capacity {
            self.unfinished += 1;
            self.store.push(value);
            return Offered::Done(Hearer::Nobody);
        }
        let offered = self.offer_eventfully(value);
        self.calm();
        offered
    }

    /// Looks whether there still is anything to look at.
    #[inline]
    fn calm(&mut self) {
        self.eventful = !self.getters.is_empty()
            || !self.putters.is_empty()
            || !self.notices.is_empty()
            || self.busy.is_some()
            || self.closed;
    }

    #[inline]
    fn offer_eventfully(&mut self, value: T) -> Offered<T> {
        if self.closed {
            return Offered::Closed(value);
        }
        let mut value = value;
        if !self.getters.is_empty() && self.is_idle() {
            match self.hand(value) {
                Ok(who) => {
                    self.unfinished += 1;
                    return Offered::Done(Hearer::Getter(who));
                }
                Err(back) => value = back,
            }
        }
        if self.has_room() {
            self.unfinished += 1;
            self.store.push(value);
            return Offered::Done(match self.notices.is_empty() {
                true => Hearer::Nobody,
                false => Hearer::Watchers(self.watchers()),
            });
        }
        Offered::Full(value)
    }

    /// Gives a value to the first getter that still waits, who is to be woken. The value back: none does.
    #[inline]
    pub(super) fn hand(&mut self, value: T) -> Result<Unparker, T> {
        match hand(&mut self.getters, value) {
            Handed::Landed(who) => Ok(who),
            Handed::Keep(who, Getter::Number(number), value) => {
                self.handed.push_back(Parcel { number, value });
                Ok(who)
            }
            Handed::Keep(_, Getter::Frame(_), _) => unreachable!("a value did not land"),
            Handed::Nobody(value) => Err(value),
        }
    }

    #[inline]
    pub(super) fn take(&mut self) -> Taken<T, S::Work> {
        if !self.eventful {
            return match self.store.pop() {
                Popped::Item(item) => Taken::Item(item, None),
                Popped::Empty => Taken::Empty,
                Popped::Turn => Taken::Turn(self.begin_turn()),
            };
        }
        let taken = self.take_eventfully();
        self.calm();
        taken
    }

    #[inline]
    fn take_eventfully(&mut self) -> Taken<T, S::Work> {
        if let Some(holder) = self.busy {
            return Taken::Busy(holder);
        }
        match self.store.pop() {
            Popped::Item(item) => {
                let admitted = self.admit();
                Taken::Item(item, admitted)
            }
            Popped::Empty => match self.putters.give() {
                Some((parcel, who)) => {
                    self.unfinished += 1;
                    Taken::Item(parcel.value, Some(who))
                }
                None if self.closed => Taken::Closed,
                None => Taken::Empty,
            },
            Popped::Turn => Taken::Turn(self.begin_turn()),
        }
    }

    pub(super) fn begin_turn(&mut self) -> S::Work {
        self.eventful = true;
        self.busy = Some(Holder::me());
        let work = self.store.take_out();
        self.in_hand = S::in_hand(&work);
        work
    }

    /// A place has become free: the first who waits for one gets it.
    #[inline]
    pub(super) fn admit(&mut self) -> Option<Unparker> {
        if self.putters.is_empty() || !self.has_room() {
            return None;
        }
        let (parcel, who) = self.putters.give()?;
        self.unfinished += 1;
        self.store.push(parcel.value);
        Some(who)
    }

    /// The number of a putter or a select that is about to wait.
    #[inline]
    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// The payload of a putter that is about to wait.
    pub(super) fn parcel(&mut self, value: T) -> Parcel<T> {
        Parcel {
            number: self.number(),
            value,
        }
    }

    /// What the select with this number was given.
    #[inline]
    pub(super) fn take_handed(&mut self, number: u64) -> Option<T> {
        // Nearly always the first: who was granted first runs first, on one hub.
        if self.handed.front().is_some_and(|p| p.number == number) {
            return self.handed.pop_front().map(|p| p.value);
        }
        let at = self.handed.iter().position(|p| p.number == number)?;
        Some(self.handed.remove(at)?.value)
    }

    /// The value of a putter that was told.
    pub(super) fn take_returned(&mut self, number: u64) -> Option<T> {
        let at = self.returned.iter().position(|p| p.number == number)?;
        Some(self.returned.swap_remove(at).value)
    }

    /// Closes. All who wait are told, and to be woken.
    pub(super) fn close(&mut self) -> Vec<Unparker> {
        self.closed = true;
        self.eventful = true;
        let mut woken: Vec<_> = self.getters.tell_all().into_iter().map(|w| w.1).collect();
        for (parcel, who) in self.putters.tell_all() {
            self.returned.push(parcel);
            woken.push(who);
        }
        woken
    }

    /// Takes out all items but those in a turn's hand; they count as done. Who waited for that is to be woken.
    pub(super) fn drain(&mut self) -> (S, Vec<Unparker>) {
        let store = mem::replace(&mut self.store, S::new());
        self.unfinished = self.unfinished.saturating_sub(store.len());
        (store, self.finished())
    }

    /// Grants the joiners, if there is nothing left to wait for.
    pub(super) fn finished(&mut self) -> Vec<Unparker> {
        if self.unfinished > 0 || self.joiners.is_empty() {
            return Vec::new();
        }
        self.joiners.give_all().into_iter().map(|w| w.1).collect()
    }
}
