//! Deadlines in order: an indexed heap from which any timer can be cancelled.
//!
//! ```text
//!   TimerId {slot, generation}          8 bytes, Copy, stale ids are recognised
//!        │
//!        ▼
//!   nodes[slot] = {key, generation, flags}
//!   places[slot] = index in the heap ──────┐     (apart from the nodes: sifting touches nothing else)
//!                                          ▼
//!   coarse: [ {deadline, sequence, slot}, … ]     two 4-ary heaps: fine timers apart from the others,
//!   fine:   [ {deadline, sequence, slot}, … ]     so that the earliest of each kind is known at once
//! ```
//!
//! A timer is *pending* from `insert` to the one `cancel` or `pop_expired` that returns its key; afterwards
//! its id means nothing, also once its slot has been used again. Timers leave in the order of their deadlines,
//! those of one deadline in the order they came, across both heaps. A fine one asks to be woken for more
//! exactly than by the millisecond; a daemon does not keep its hub alive.
//!
//! `insert` is O(1) for deadlines that grow, as those of equal timeouts do, and O(log n) at worst, as are
//! `cancel` and `pop_expired`. Four children to a node halve the depth, and lie side by side.
//!
//! A pure data structure: it never reads the time, calls no one, and gives no memory back. It allocates only
//! where more timers are pending than ever before, or than were reserved.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;

use slab::Slab;

use crate::clock::Instant;

/// Children per heap node.
const ARITY: usize = 4;

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

#[derive(Debug)]
struct Node<K> {
    key: K,
    generation: NonZeroU32,
    flags: TimerFlags,
}

/// The pending timers of a hub; `K` is whatever the hub wakes.
#[derive(Debug)]
pub(crate) struct Timers<K: Copy> {
    nodes: Slab<Node<K>>,
    /// By slot, where in its heap the timer is. Holds rubbish for vacant slots.
    places: Vec<u32>,
    coarse: Heap,
    fine: Heap,
    /// Of the next timer. Orders those of one deadline; 64 bits do not wrap within any uptime.
    sequence: u64,
    /// Of the next timer. Wraps: an id is mistaken for another only if that other came into the same slot
    /// exactly 2^32 - 1 timers later, and ids are kept no longer than a wait.
    generation: NonZeroU32,
    /// How many pending timers are no daemons.
    live: usize,
}

impl<K: Copy> Timers<K> {
    /// None pending, nothing allocated.
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Slab::new(),
            places: Vec::new(),
            coarse: Heap(Vec::new()),
            fine: Heap(Vec::new()),
            sequence: 0,
            generation: NonZeroU32::MIN,
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
        let slots = self.nodes.capacity();
        self.places.reserve(slots.saturating_sub(self.places.len()));
        self.coarse.0.reserve(additional);
        self.fine.0.reserve(additional);
    }

    /// How many are pending.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none is pending.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
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
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let sequence = self.sequence;
        self.sequence += 1;
        self.live += usize::from(!flags.daemon);

        let slot = self.nodes.insert(Node {
            key,
            generation,
            flags,
        });
        // A slab hands out a vacant slot or the one behind the last.
        if slot == self.places.len() {
            self.places.push(0);
        }
        let slot = u32::try_from(slot).expect("fewer timers than 2^32 fit into memory");
        let heap = if flags.fine {
            &mut self.fine
        } else {
            &mut self.coarse
        };
        let entry = Entry {
            deadline,
            sequence,
            slot,
        };
        heap.push(entry, &mut self.places);
        TimerId { slot, generation }
    }

    /// Takes a timer back: its key if it was still pending, `None` if it expired or was cancelled before.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<K> {
        let node = self.nodes.get(id.slot as usize)?;
        if node.generation != id.generation {
            return None;
        }
        let place = self.places[id.slot as usize] as usize;
        let heap = if node.flags.fine {
            &mut self.fine
        } else {
            &mut self.coarse
        };
        heap.remove(place, &mut self.places);
        Some(self.release(id.slot))
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
        self.fine.0.first().map(|entry| entry.deadline)
    }

    /// The earliest deadline of the timers that are not fine.
    pub(crate) fn next_coarse(&self) -> Option<Instant> {
        self.coarse.0.first().map(|entry| entry.deadline)
    }

    /// Takes out the first timer, if its deadline is not after `now`.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(Instant, K)> {
        let (entry, fine) = self.first().filter(|(entry, _)| entry.deadline <= now)?;
        let heap = if fine {
            &mut self.fine
        } else {
            &mut self.coarse
        };
        heap.remove(0, &mut self.places);
        Some((entry.deadline, self.release(entry.slot)))
    }

    /// The first timer of both heaps, and whether it is the fine one's.
    fn first(&self) -> Option<(Entry, bool)> {
        match (self.coarse.0.first(), self.fine.0.first()) {
            (Some(coarse), Some(fine)) if fine < coarse => Some((*fine, true)),
            (Some(coarse), _) => Some((*coarse, false)),
            (None, Some(fine)) => Some((*fine, true)),
            (None, None) => None,
        }
    }

    /// Gives up the slot of a timer that has left its heap.
    fn release(&mut self, slot: u32) -> K {
        let node = self.nodes.remove(slot as usize);
        self.live -= usize::from(!node.flags.daemon);
        node.key
    }
}

/// What a heap orders. The derived order is that of the fields: deadline, then sequence, which is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    deadline: Instant,
    sequence: u64,
    slot: u32,
}

/// A 4-ary min-heap that notes in `places` where each slot's entry is.
///
/// Holds between calls: no entry is smaller than its parent, and `places[heap[i].slot] == i` for every `i`.
#[derive(Debug)]
struct Heap(Vec<Entry>);

impl Heap {
    fn push(&mut self, entry: Entry, places: &mut [u32]) {
        self.0.push(entry);
        self.sift_up(self.0.len() - 1, entry, places);
    }

    /// Takes out the entry at `place`.
    fn remove(&mut self, place: usize, places: &mut [u32]) {
        let last = self.0.pop().expect("a place that is noted is occupied");
        if place == self.0.len() {
            return;
        }
        // The last entry fills the hole. It belongs above only if it comes from another branch.
        if place > 0 && last < self.0[(place - 1) / ARITY] {
            self.sift_up(place, last, places);
        } else {
            self.sift_down(place, last, places);
        }
    }

    /// Moves the hole at `place` up to where `entry` belongs, and fills it.
    fn sift_up(&mut self, mut place: usize, entry: Entry, places: &mut [u32]) {
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.0[parent] < entry {
                break;
            }
            self.set(place, self.0[parent], places);
            place = parent;
        }
        self.set(place, entry, places);
    }

    /// Moves the hole at `place` down to where `entry` belongs, and fills it.
    fn sift_down(&mut self, mut place: usize, entry: Entry, places: &mut [u32]) {
        loop {
            let first = place * ARITY + 1;
            let children = first..self.0.len().min(first + ARITY);
            let Some(least) = children.min_by_key(|&child| self.0[child]) else {
                break;
            };
            if entry < self.0[least] {
                break;
            }
            self.set(place, self.0[least], places);
            place = least;
        }
        self.set(place, entry, places);
    }

    fn set(&mut self, place: usize, entry: Entry, places: &mut [u32]) {
        self.0[place] = entry;
        // In range: there are no more entries than slots, and slots fit into 32 bits.
        places[entry.slot as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests;
