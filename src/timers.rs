//! Deadlines in order: any number of timers, any of which can be cancelled, by forgetting it.
//!
//! ```text
//!   TimerId {slot, generation}          8 bytes, Copy, stale ids are recognised
//!        │
//!        ▼
//!   nodes[slot] = {key, sequence, flags}        the generation is the sequence's
//!                          ▲
//!   coarse: calendar of {deadline, sequence, slot}    fine timers apart from the others,
//!   fine:   calendar of {deadline, sequence, slot}    so that the earliest of each kind is known at once
//! ```
//!
//! A timer is *pending* from `insert` to the one `cancel` or `pop_expired` that returns its key; afterwards
//! its id means nothing, also once its slot has been used again. Timers leave in the order of their deadlines,
//! those of one deadline in the order they came, across both calendars. A fine one asks to be woken for more
//! exactly than by the millisecond; a daemon does not keep its hub alive.
//!
//! A timer that is cancelled leaves its entry behind: dead, as its slot's node is gone or is another's. So to cancel costs O(1), amortised,
//! and sorting touches nothing but entries: in a heap of a hundred thousand, noting where each entry went
//! would cost more than all the rest. `calendar.rs` sees to it that the dead do not pile up.
//!
//! `insert` is O(1) for deadlines that grow, as those of equal timeouts do, and O(log n) at worst, as is
//! `pop_expired`.
//!
//! A pure data structure: it never reads the time, and calls no one. It allocates only
//! where more timers are pending than ever before, or than were reserved, for the dead among them, or when very many are
//! first sorted by days.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;

use self::calendar::{Calendar, SPARE};
use self::heap::Entry;
use crate::clock::Instant;

mod calendar;
mod heap;

/// What a timer asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimerFlags {
    /// Worth a wake that is more exact than a millisecond.
    pub(crate) fine: bool,
    /// Does not count as something that the hub must live for.
    pub(crate) daemon: bool,
}

/// A handle to one pending timer; once that is cancelled or popped, to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimerId {
    slot: u32,
    generation: NonZeroU32,
}

impl TimerId {
    /// The id as a number, never 0.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(self.slot)
    }

    /// The inverse of [`to_bits`](Self::to_bits); `None` for 0.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        let generation = NonZeroU32::new((bits >> 32) as u32)?;
        Some(Self {
            slot: bits as u32,
            generation,
        })
    }
}

/// A timer, or a place for one. Half a cache line with the hub's key: it is read when the timer goes off, cold.
#[derive(Debug)]
struct Node<K> {
    /// Stays as it was when the timer is gone.
    key: K,
    /// The timer's sequence above two bits for its flags; or, with `FREE`, the next free place.
    word: u64,
}

const FINE: u64 = 1;
const DAEMON: u64 = 1 << 1;
const FLAG_BITS: u32 = 2;
/// No sequence comes near it.
const FREE: u64 = 1 << 63;
/// No next free place.
const NONE: u32 = u32::MAX;

impl<K> Node<K> {
    /// Its sequence, unless the place is free.
    #[inline]
    fn sequence(&self) -> Option<u64> {
        (self.word & FREE == 0).then_some(self.word >> FLAG_BITS)
    }

    fn flags(&self) -> TimerFlags {
        TimerFlags {
            fine: self.word & FINE != 0,
            daemon: self.word & DAEMON != 0,
        }
    }
}

/// The generation of the timer with this sequence. They wrap: an id is mistaken for another only if that other came into the
/// same place exactly 2^32 - 1 timers later, and ids are kept no longer than a wait.
fn generation(sequence: u64) -> NonZeroU32 {
    let turn = (sequence % u64::from(u32::MAX)) as u32;
    NonZeroU32::MIN.saturating_add(turn)
}

/// The pending timers of a hub; `K` is whatever the hub wakes.
#[derive(Debug)]
pub(crate) struct Timers<K: Copy> {
    nodes: Vec<Node<K>>,
    /// The first free place, and how many places are taken.
    free: u32,
    pending: usize,
    coarse: Calendar,
    fine: Calendar,
    /// Of the next timer. Orders those of one deadline; 61 bits do not wrap within any uptime.
    sequence: u64,
    /// How many pending timers are no daemons.
    live: usize,
}

impl<K: Copy> Timers<K> {
    /// None pending, nothing allocated.
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            pending: 0,
            coarse: Calendar::new(),
            fine: Calendar::new(),
            sequence: 0,
            live: 0,
        }
    }

    /// Makes room, so that `additional` more timers of each kind can be pending without an allocation.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for dumps, and watched by the tests")
    )]
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.nodes.reserve(additional);
        for calendar in [&mut self.coarse, &mut self.fine] {
            calendar.reserve(2 * additional + SPARE + 1);
        }
    }

    /// How many are pending.
    pub(crate) fn len(&self) -> usize {
        self.pending
    }

    /// Whether none is pending.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// How many are pending that are no daemons.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for dumps, and watched by the tests")
    )]
    pub(crate) fn live_refs(&self) -> usize {
        self.live
    }

    /// Adds a timer; a deadline in the past is fine and expires at once.
    pub(crate) fn insert(&mut self, deadline: Instant, flags: TimerFlags, key: K) -> TimerId {
        let sequence = self.sequence;
        self.sequence += 1;
        self.live += usize::from(!flags.daemon);
        self.pending += 1;

        let flag_bits = (u64::from(flags.fine) * FINE) | (u64::from(flags.daemon) * DAEMON);
        let node = Node {
            key,
            word: sequence << FLAG_BITS | flag_bits,
        };
        let slot = self.free;
        let slot = match self.nodes.get_mut(slot as usize) {
            Some(place) => {
                self.free = place.word as u32;
                *place = node;
                slot
            }
            None => {
                let slot = u32::try_from(self.nodes.len());
                let slot = slot.expect("fewer timers than 2^32 fit into memory");
                self.nodes.push(node);
                slot
            }
        };
        let calendar = if flags.fine {
            &mut self.fine
        } else {
            &mut self.coarse
        };
        let entry = Entry {
            deadline,
            sequence,
            slot,
        };
        calendar.push(entry, is_alive(&self.nodes));
        TimerId {
            slot,
            generation: generation(sequence),
        }
    }

    /// Takes a timer back: its key if it was still pending, `None` if it expired or was cancelled before.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<K> {
        let node = self.nodes.get(id.slot as usize)?;
        let sequence = node.sequence()?;
        if generation(sequence) != id.generation {
            return None;
        }
        let fine = node.flags().fine;
        let key = self.release(id.slot);
        let calendar = if fine {
            &mut self.fine
        } else {
            &mut self.coarse
        };
        calendar.forget(sequence, is_alive(&self.nodes));
        Some(key)
    }

    /// The earliest deadline, and whether the timer that it belongs to is fine.
    ///
    /// To wait for it takes [`next_fine`](Self::next_fine) too: a coarse wake may come so late that the fine
    /// timer behind it would miss its own.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for dumps, and watched by the tests")
    )]
    pub(crate) fn peek(&self) -> Option<(Instant, bool)> {
        self.first().map(|(entry, fine)| (entry.deadline, fine))
    }

    /// The earliest deadline of the fine timers.
    pub(crate) fn next_fine(&self) -> Option<Instant> {
        self.fine.first().map(|entry| entry.deadline)
    }

    /// The earliest deadline of the timers that are not fine.
    pub(crate) fn next_coarse(&self) -> Option<Instant> {
        self.coarse.first().map(|entry| entry.deadline)
    }

    /// Takes out the first timer, if its deadline is not after `now`.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the hub takes several, the tests one")
    )]
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(Instant, K)> {
        let deadline = self.first()?.0.deadline;
        let mut one = [None];
        self.pop_all_expired(now, &mut one);
        one[0].map(|key| (deadline, key))
    }

    /// Takes out as many of the first timers as there is room for in `out`, if their deadlines are not after `now`, and says how
    /// many: fewer than there is room for are all.
    ///
    /// In two steps, because the nodes of many timers lie far apart: the memory is asked for all of them at once.
    pub(crate) fn pop_all_expired(&mut self, now: Instant, out: &mut [Option<K>]) -> usize {
        const STEP: usize = 16;
        let mut slots = [0u32; STEP];
        let room = out.len().min(STEP);
        let mut n = 0;
        while n < room
            && let Some((entry, fine)) = self.first().filter(|(entry, _)| entry.deadline <= now)
        {
            let calendar = if fine {
                &mut self.fine
            } else {
                &mut self.coarse
            };
            calendar.pop(is_alive(&self.nodes));
            slots[n] = entry.slot;
            n += 1;
        }
        for (slot, key) in slots[..n].iter().zip(out) {
            *key = Some(self.release(*slot));
        }
        n
    }

    /// The first timer of both calendars, and whether it is the fine one's.
    fn first(&self) -> Option<(Entry, bool)> {
        match (self.coarse.first(), self.fine.first()) {
            (Some(coarse), Some(fine)) if fine < coarse => Some((*fine, true)),
            (Some(coarse), _) => Some((*coarse, false)),
            (None, Some(fine)) => Some((*fine, true)),
            (None, None) => None,
        }
    }

    /// Gives up the place of a timer that has left its calendar.
    fn release(&mut self, slot: u32) -> K {
        let node = &mut self.nodes[slot as usize];
        self.pending -= 1;
        self.live -= usize::from(!node.flags().daemon);
        node.word = FREE | u64::from(self.free);
        self.free = slot;
        node.key
    }
}

/// Whether an entry is that of a pending timer.
fn is_alive<K>(nodes: &[Node<K>]) -> impl Fn(&Entry) -> bool + '_ {
    |entry| {
        nodes
            .get(entry.slot as usize)
            .is_some_and(|node| node.sequence() == Some(entry.sequence))
    }
}

#[cfg(test)]
mod tests;
