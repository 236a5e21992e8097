//! A 4-ary min-heap of deadlines. Four children to a node halve the depth, and lie side by side.
//!
//! A pure data structure. It knows nothing of what is pending: who uses it says so.
#![forbid(unsafe_code)]

use crate::clock::Instant;

/// Children per node.
pub(super) const ARITY: usize = 4;

/// What is ordered. The derived order is that of the fields: deadline, then sequence, which is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) deadline: Instant,
    pub(super) sequence: u64,
    pub(super) slot: u32,
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Heap {
    /// No entry is smaller than its parent.
    entries: Vec<Entry>,
}

impl Heap {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn reserve(&mut self, additional: usize) {
        self.entries.reserve(additional);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// All entries; the first is the earliest.
    #[cfg(test)]
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    #[inline]
    pub(super) fn first(&self) -> Option<&Entry> {
        self.entries.first()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.sift_up(self.entries.len() - 1, entry);
    }

    /// Takes out the first entry.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let last = self.entries.pop()?;
        let Some(first) = self.entries.first().copied() else {
            return Some(last);
        };
        self.sift_down(0, last);
        Some(first)
    }

    /// Takes out the entry with this sequence if that costs nothing: it was set last, or moved to the end.
    pub(super) fn pop_if_last(&mut self, sequence: u64) -> bool {
        let last = self.entries.last().is_some_and(|e| e.sequence == sequence);
        if last {
            self.entries.pop();
        }
        last
    }

    /// Takes out all entries, in no order, and keeps the memory.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.drain(..)
    }

    /// Keeps the entries for which `keep` is true.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(keep);
        for place in (0..self.entries.len().div_ceil(ARITY)).rev() {
            self.sift_down(place, self.entries[place]);
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
