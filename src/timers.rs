//! Deadlines in order: a heap from which any timer can be cancelled, by forgetting it.
//!
//! ```text
//!   TimerId {slot, generation}          8 bytes, Copy, stale ids are recognised
//!        │
//!        ▼
//!   nodes[slot] = {key, sequence, generation, flags}
//!                          ▲
//!   coarse: [ {deadline, sequence, slot}, … ]     two 4-ary heaps: fine timers apart from the others,
//!   fine:   [ {deadline, sequence, slot}, … ]     so that the earliest of each kind is known at once
//! ```
//!
//! A timer is *pending* from `insert` to the one `cancel` or `pop_expired` that returns its key; afterwards
//! its id means nothing, also once its slot has been used again. Timers leave in the order of their deadlines,
//! those of one deadline in the order they came, across both heaps. A fine one asks to be woken for more
//! exactly than by the millisecond; a daemon does not keep its hub alive.
//!
//! A timer that is cancelled leaves its entry behind: dead, as its slot's node is gone or is another's. Holds between
//! calls: the first entry of each heap is alive, and of all its entries at most half are dead, or `SPARE`. So to cancel costs O(1),
//! amortised, and sifting touches nothing but the heap: in one of a hundred thousand, noting where each entry went
//! would cost more than all the rest.
//!
//! `insert` is O(1) for deadlines that grow, as those of equal timeouts do, and O(log n) at worst, as is
//! `pop_expired`. Four children to a node halve the depth, and lie side by side.
//!
//! A pure data structure: it never reads the time, calls no one, and gives no memory back. It allocates only
//! where more timers are pending than ever before, or than were reserved, or for the dead among them.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;

use slab::Slab;

use crate::clock::Instant;

/// Dead entries that are not worth clearing away.
const SPARE: usize = 64;

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
    sequence: u64,
    generation: NonZeroU32,
    flags: TimerFlags,
}

/// The pending timers of a hub; `K` is whatever the hub wakes.
#[derive(Debug)]
pub(crate) struct Timers<K: Copy> {
    nodes: Slab<Node<K>>,
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
            coarse: Heap::new(),
            fine: Heap::new(),
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
        for heap in [&mut self.coarse, &mut self.fine] {
            heap.entries.reserve(2 * additional + SPARE + 1);
        }
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
            sequence,
            generation,
            flags,
        });
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
        heap.push(entry);
        TimerId { slot, generation }
    }

    /// Takes a timer back: its key if it was still pending, `None` if it expired or was cancelled before.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<K> {
        let node = self.nodes.get(id.slot as usize)?;
        if node.generation != id.generation {
            return None;
        }
        let (fine, sequence) = (node.flags.fine, node.sequence);
        let key = self.release(id.slot);
        let heap = if fine {
            &mut self.fine
        } else {
            &mut self.coarse
        };
        heap.forget(sequence, &self.nodes);
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
        self.fine.entries.first().map(|entry| entry.deadline)
    }

    /// The earliest deadline of the timers that are not fine.
    pub(crate) fn next_coarse(&self) -> Option<Instant> {
        self.coarse.entries.first().map(|entry| entry.deadline)
    }

    /// Takes out the first timer, if its deadline is not after `now`.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(Instant, K)> {
        let (entry, fine) = self.first().filter(|(entry, _)| entry.deadline <= now)?;
        let heap = if fine {
            &mut self.fine
        } else {
            &mut self.coarse
        };
        heap.pop();
        let node = self.nodes.remove(entry.slot as usize);
        self.live -= usize::from(!node.flags.daemon);
        heap.bury(&self.nodes);
        Some((entry.deadline, node.key))
    }

    /// The first timer of both heaps, and whether it is the fine one's.
    fn first(&self) -> Option<(Entry, bool)> {
        match (self.coarse.entries.first(), self.fine.entries.first()) {
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

impl Entry {
    /// Whether it is that of a pending timer.
    fn is_alive<K>(&self, nodes: &Slab<Node<K>>) -> bool {
        nodes
            .get(self.slot as usize)
            .is_some_and(|node| node.sequence == self.sequence)
    }
}

/// A 4-ary min-heap, some of whose entries are dead; see the file's head.
#[derive(Debug)]
struct Heap {
    /// No entry is smaller than its parent.
    entries: Vec<Entry>,
    /// How many are dead.
    dead: usize,
}

impl Heap {
    const fn new() -> Self {
        Self {
            entries: Vec::new(),
            dead: 0,
        }
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.sift_up(self.entries.len() - 1, entry);
    }

    /// Takes out the first entry.
    fn pop(&mut self) {
        if let Some(last) = self.entries.pop()
            && !self.entries.is_empty()
        {
            self.sift_down(0, last);
        }
    }

    /// The timer with this sequence is not pending any more, so its entry is dead.
    fn forget<K>(&mut self, sequence: u64, nodes: &Slab<Node<K>>) {
        // Most that are cancelled were set last, or would have been next.
        if self.entries.last().is_some_and(|e| e.sequence == sequence) {
            self.entries.pop();
            return self.bury(nodes);
        }
        self.dead += 1;
        self.bury(nodes);
        if self.dead > SPARE && self.dead > self.entries.len() / 2 {
            self.entries.retain(|entry| entry.is_alive(nodes));
            self.dead = 0;
            for place in (0..self.entries.len().div_ceil(ARITY)).rev() {
                self.sift_down(place, self.entries[place]);
            }
        }
    }

    /// Removes the dead that have come first.
    fn bury<K>(&mut self, nodes: &Slab<Node<K>>) {
        while self.dead > 0
            && let Some(first) = self.entries.first()
            && !first.is_alive(nodes)
        {
            self.pop();
            self.dead -= 1;
        }
    }

    /// Moves the hole at `place` up to where `entry` belongs, and fills it.
    fn sift_up(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.entries[parent] < entry {
                break;
            }
            self.entries[place] = self.entries[parent];
            place = parent;
        }
        self.entries[place] = entry;
    }

    /// Moves the hole at `place` down to where `entry` belongs, and fills it.
    fn sift_down(&mut self, mut place: usize, entry: Entry) {
        loop {
            let first = place * ARITY + 1;
            let children = first..self.entries.len().min(first + ARITY);
            let Some(least) = children.min_by_key(|&child| self.entries[child]) else {
                break;
            };
            if entry < self.entries[least] {
                break;
            }
            self.entries[place] = self.entries[least];
            place = least;
        }
        self.entries[place] = entry;
    }
}

#[cfg(test)]
mod tests;
