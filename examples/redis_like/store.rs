//! The keys and their values, in one hash table; and when they end, in a heap beside it.
//!
//! A key whose time has come is gone for whoever asks for it (lazily), and a task sweeps away those that nobody asks for.
//! The heap may hold times that are of no concern any more: what counts is the entry's own.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use greenloom::time::Instant;

/// What a key has.
pub(crate) struct Entry {
    pub(crate) value: Vec<u8>,
    pub(crate) ends: Option<Instant>,
}

impl Entry {
    fn is_over(&self) -> bool {
        self.ends.is_some_and(|at| at <= Instant::now())
    }
}

pub(crate) struct Store {
    entries: HashMap<Box<[u8]>, Entry, Seeded>,
    ends: BinaryHeap<Reverse<(Instant, Box<[u8]>)>>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            entries: HashMap::with_hasher(Seeded::new()),
            ends: BinaryHeap::new(),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| !entry.is_over())
    }

    /// Sets a key, for ever or for a time. Uses the memory of the old value if there is one.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], life: Option<Duration>) {
        let ends = life.and_then(|life| self.schedule(key, life));
        match self.entries.get_mut(key) {
            Some(entry) => {
                entry.value.clear();
                entry.value.extend_from_slice(value);
                entry.ends = ends;
            }
            None => {
                let value = value.to_vec();
                self.entries.insert(key.into(), Entry { value, ends });
            }
        }
    }

    /// Changes the value of a key, and leaves it the time it has.
    pub(crate) fn update(&mut self, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        match self.entries.get_mut(key).filter(|entry| !entry.is_over()) {
            Some(entry) => change(&mut entry.value),
            None => {
                let mut value = Vec::new();
                change(&mut value);
                self.entries.insert(key.into(), Entry { value, ends: None });
            }
        }
    }

    /// Whether there was such a key.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        self.entries
            .remove(key)
            .is_some_and(|entry| !entry.is_over())
    }

    /// Gives a key a time to live. Whether there is such a key.
    pub(crate) fn expire(&mut self, key: &[u8], life: Duration) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        let ends = self.schedule(key, life);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.ends = ends;
        }
        true
    }

    /// A time beyond the clock's reach is none.
    fn schedule(&mut self, key: &[u8], life: Duration) -> Option<Instant> {
        let at = Instant::now().checked_add(life)?;
        self.ends.push(Reverse((at, key.into())));
        Some(at)
    }

    /// Forgets what is over.
    pub(crate) fn sweep(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, _))) = self.ends.peek()
            && *at <= now
        {
            if let Some(Reverse((_, key))) = self.ends.pop()
                && self.entries.get(&key).is_some_and(Entry::is_over)
            {
                self.entries.remove(&key);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.ends.clear();
    }
}

/// A hash of eight bytes at a time: several times as fast as std's, which would be a good part of a command's cost.
/// Clients who try cannot choose keys that collide without knowing the seed.
#[derive(Clone, Copy)]
struct Seeded(u64);

impl Seeded {
    fn new() -> Self {
        Self(RandomState::new().hash_one(0_u64) | 1)
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding {
            state: self.0,
            seed: self.0,
        }
    }
}

struct Folding {
    state: u64,
    seed: u64,
}

impl Folding {
    /// Both halves of a product, so that every bit of the word has a part in every bit of the state.
    fn fold(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.state ^ word) * u128::from(ODD ^ self.seed << 1);
        self.state = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.fold(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_usize(&mut self, n: usize) {
        self.fold(n as u64);
    }

    fn finish(&self) -> u64 {
        self.state
    }
}
