//! Deadlines in order, however many: a heap for what comes soon, and a calendar for the rest.
//!
//! ```text
//!          today and before        the next 256 days                    after that
//!   near  [heap, sorted out]   days [heap][heap][heap] … [heap]   far  [heap]
//!                          first_day ┘                      └ first_day + DAYS
//! ```
//!
//! With few entries `near` is all there is. When it grows beyond a limit, what is not due on the day of the earliest goes to the days; when it
//! runs empty, the next day that has any takes its place. So of very many deadlines only those of one day, some
//! milliseconds, are ever sorted, in a heap that fits into the cache: in one heap of a hundred thousand, each step down is a miss.
//! (After R. Brown's calendar queue, CACM 31/10, 1988, with days that are heaps, and a length of the day that does not change.)
//!
//! An entry whose timer is cancelled stays behind, dead. Holds between calls: the first of `near` is alive, if any is; of all entries at most
//! half are dead, or `SPARE`. So to cancel costs O(1), amortised.
//!
//! A day that ends far in the future, because nothing came before, makes all that is set for before it go to `near`. Beyond a
//! limit that doubles, everything is sorted out anew.
//!
//! A pure data structure: whether an entry is alive is asked of the caller.
#![forbid(unsafe_code)]

use super::heap::{Entry, Heap};

/// Dead entries that are not worth clearing away.
pub(super) const SPARE: usize = 64;

/// Entries of `near` from which on it is split. Fewer in the tests, whose models are slow.
pub(super) const MANY: usize = if cfg!(test) { 128 } else { 2048 };

/// Entries in all below which everything goes back to `near`.
const FEW: usize = MANY / 8;

/// Days that have a heap of their own.
const DAYS: i64 = 256;

/// A day is 2^22 ns, about four milliseconds.
const DAY: u32 = 22;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Calendar {
    near: Heap,
    later: Option<Box<Later>>,
    /// Entries, and how many of them are dead.
    len: usize,
    dead: usize,
    /// The length of `near` that it is split at.
    limit: usize,
}

#[derive(Debug)]
struct Later {
    /// All before this day is in `near`.
    first_day: i64,
    /// Day `d` is at `d` modulo `DAYS`, from `first_day` on.
    days: Vec<Heap>,
    /// A bit for each that may have entries.
    used: [u64; DAYS as usize / 64],
    /// Where the last entry went.
    last: usize,
    far: Heap,
}

fn day(entry: &Entry) -> i64 {
    entry.deadline.as_nanos() >> DAY
}

fn place(day: i64) -> usize {
    day.rem_euclid(DAYS) as usize
}

impl Later {
    fn new() -> Box<Self> {
        Box::new(Self {
            first_day: 0,
            days: (0..DAYS).map(|_| Heap::new()).collect(),
            used: [0; DAYS as usize / 64],
            last: 0,
            far: Heap::new(),
        })
    }

    /// Takes an entry of `first_day` or later.
    fn push(&mut self, entry: Entry) {
        let day = day(&entry);
        if day.saturating_sub(self.first_day) >= DAYS {
            self.far.push(entry);
            return;
        }
        let at = place(day);
        self.days[at].push(entry);
        self.used[at / 64] |= 1 << (at % 64);
        self.last = at;
    }

    /// The next day that may have entries.
    fn next_day(&self) -> Option<i64> {
        let first = place(self.first_day);
        // The word of the first day is looked at twice: for its upper bits first, then for its lower ones.
        for step in 0..=self.used.len() {
            let word = (first / 64 + step) % self.used.len();
            let from = if step == 0 { first % 64 } else { 0 };
            let bits = self.used[word] & !0 << from;
            if bits != 0 {
                let at = word as i64 * 64 + i64::from(bits.trailing_zeros());
                return Some(self.first_day + (at - first as i64).rem_euclid(DAYS));
            }
        }
        None
    }

    /// Makes `near`, which is empty, the next day. False if there is none. What is far and has come into reach gets a day.
    /// Counts the dead that it finds.
    fn turn(&mut self, near: &mut Heap, alive: impl Fn(&Entry) -> bool) -> (bool, usize) {
        let next = self.next_day().or_else(|| self.far.first().map(day));
        let Some(next) = next else {
            return (false, 0);
        };
        let mut dead = 0;
        self.first_day = next;
        while let Some(first) = self.far.first()
            && day(first) - next < DAYS
        {
            match self.far.pop() {
                Some(entry) if alive(&entry) => self.push(entry),
                _ => dead += 1,
            }
        }
        let at = place(next);
        core::mem::swap(near, &mut self.days[at]);
        self.used[at / 64] &= !(1 << (at % 64));
        self.first_day = next.saturating_add(1);
        (true, dead)
    }

    fn parts(&mut self) -> impl Iterator<Item = &mut Heap> {
        self.days.iter_mut().chain([&mut self.far])
    }
}

impl Calendar {
    pub(super) const fn new() -> Self {
        Self {
            near: Heap::new(),
            later: None,
            len: 0,
            dead: 0,
            limit: MANY,
        }
    }

    pub(super) fn reserve(&mut self, additional: usize) {
        self.near.reserve(additional);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.near.capacity()
    }

    /// All entries, dead ones too, with how many are dead.
    #[cfg(test)]
    pub(super) fn all(&self) -> (Vec<Entry>, usize) {
        let mut all = self.near.entries().to_vec();
        if let Some(later) = &self.later {
            for heap in later.days.iter().chain([&later.far]) {
                all.extend(heap.entries());
                for (place, entry) in heap.entries().iter().enumerate() {
                    assert!(
                        place == 0 || heap.entries()[(place - 1) / super::heap::ARITY] < *entry
                    );
                    assert!(day(entry) >= later.first_day);
                }
            }
            assert!(self.near.entries().iter().all(|e| day(e) < later.first_day));
        }
        assert_eq!(all.len(), self.len);
        (all, self.dead)
    }

    /// The earliest entry; it is alive.
    #[inline]
    pub(super) fn first(&self) -> Option<&Entry> {
        self.near.first()
    }

    pub(super) fn push(&mut self, entry: Entry, alive: impl Fn(&Entry) -> bool) {
        self.len += 1;
        match &mut self.later {
            Some(later) if day(&entry) >= later.first_day => later.push(entry),
            _ => {
                self.near.push(entry);
                if self.near.len() > self.limit {
                    self.split(&alive);
                }
            }
        }
        if self.near.is_empty() {
            self.settle(alive);
        }
    }

    /// Takes out the first entry.
    pub(super) fn pop(&mut self, alive: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let entry = self.near.pop()?;
        self.len -= 1;
        if self.dead > 0 || self.near.is_empty() {
            self.settle(alive);
        }
        Some(entry)
    }

    /// The timer with this sequence is not pending any more, so its entry is dead.
    pub(super) fn forget(&mut self, sequence: u64, alive: impl Fn(&Entry) -> bool) {
        // Most that are cancelled were set last.
        let out = self.near.pop_if_last(sequence)
            || self
                .later
                .as_mut()
                .is_some_and(|later| later.days[later.last].pop_if_last(sequence));
        if out {
            self.len -= 1;
        } else {
            self.dead += 1;
        }
        self.settle(&alive);
        if self.dead > SPARE && self.dead > self.len / 2 {
            self.near.retain(&alive);
            self.len = self.near.len();
            if let Some(later) = &mut self.later {
                for heap in later.parts().filter(|heap| !heap.is_empty()) {
                    heap.retain(&alive);
                    self.len += heap.len();
                }
            }
            self.dead = 0;
            self.settle(alive);
        }
    }

    /// Sees to it that the first of `near` is alive.
    fn settle(&mut self, alive: impl Fn(&Entry) -> bool) {
        loop {
            while self.dead > 0 && self.near.first().is_some_and(|first| !alive(first)) {
                self.near.pop();
                self.len -= 1;
                self.dead -= 1;
            }
            if !self.near.is_empty() {
                return;
            }
            let Some(later) = &mut self.later else {
                return;
            };
            if self.len < FEW {
                for heap in later.parts() {
                    for entry in heap.drain() {
                        self.near.push(entry);
                    }
                }
                self.later = None;
                self.limit = MANY;
                continue;
            }
            let (turned, dead) = later.turn(&mut self.near, &alive);
            self.len -= dead;
            self.dead -= dead;
            if !turned {
                return;
            }
        }
    }

    /// Sorts out anew: `near` keeps what is due on the day of the earliest.
    #[cold]
    fn split(&mut self, alive: &impl Fn(&Entry) -> bool) {
        let Some(first) = self.near.first().map(day) else {
            return;
        };
        let later = self.later.get_or_insert_with(Later::new);
        // What is far stays that: the days only begin earlier.
        let mut all: Vec<Entry> = self.near.drain().collect();
        for heap in &mut later.days {
            all.extend(heap.drain());
        }
        later.used = [0; DAYS as usize / 64];
        later.first_day = first.saturating_add(1);
        for entry in all {
            if !alive(&entry) {
                self.len -= 1;
                self.dead -= 1;
            } else if day(&entry) < later.first_day {
                self.near.push(entry);
            } else {
                later.push(entry);
            }
        }
        self.limit = MANY.max(2 * self.near.len());
    }
}
