//! Smallest first, equals in the order in which they came: the store of `PriorityQueue`.
//!
//! ```text
//! push ──► loose ──merge──► heap ──► out            merge and the choice compare: only in a turn
//!                   └─ its comparison panicked ──► aside ──► out, after all others
//! ```
//!
//! A put only adds to `loose`: it compares nothing, so it needs no turn and meets no panic of the user's `Ord`. The next
//! get moves what is loose into the heap, then takes the first.
//!
//! Comparisons come first and moves after them, so that a panic between two comparisons finds every item in its place:
//!
//! | the comparison of | panics in | then |
//! | --- | --- | --- |
//! | a loose item with the heap's | merge | that item goes aside: it will come out, but after all that can be compared |
//! | items of the heap with one another | choose | nothing has changed |
//!
//! Either way the get that met the panic panics, no item is lost, and the next get goes on.
#![forbid(unsafe_code)]

use core::cmp::Ordering;
use core::mem;
use std::collections::VecDeque;

use super::store::{Popped, Store};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Heap<T> {
    heap: Vec<Entry<T>>,
    loose: Vec<Entry<T>>,
    aside: VecDeque<Entry<T>>,
    /// The numbers of the next to come, and of the next that is to be older than all.
    next: i64,
    oldest: i64,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    number: i64,
}

impl<T: Ord> Entry<T> {
    fn comes_before(&self, other: &Self) -> bool {
        match self.item.cmp(&other.item) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => self.number < other.number,
        }
    }
}

/// All that a turn has in hand: everything.
#[derive(Debug)]
pub(crate) struct Work<T> {
    heap: Vec<Entry<T>>,
    loose: Vec<Entry<T>>,
    aside: VecDeque<Entry<T>>,
}

/// While a loose item is compared: if that panics, it goes aside.
struct Comparing<'a, T>(&'a mut Work<T>);

impl<T> Drop for Comparing<'_, T> {
    fn drop(&mut self) {
        if let Some(entry) = self.0.loose.pop() {
            self.0.aside.push_back(entry);
        }
    }
}

impl<T: Ord> Work<T> {
    /// Moves what is loose into the heap.
    fn merge(&mut self) {
        while !self.loose.is_empty() {
            let comparing = Comparing(self);
            let place = comparing.0.place_of_last();
            mem::forget(comparing);
            if let Some(entry) = self.loose.pop() {
                let mut at = self.heap.len();
                self.heap.push(entry);
                while at != place {
                    let above = (at - 1) / 2;
                    self.heap.swap(at, above);
                    at = above;
                }
            }
        }
    }

    /// Where in the heap the last of the loose belongs.
    fn place_of_last(&self) -> usize {
        let mut at = self.heap.len();
        if let Some(new) = self.loose.last() {
            while at > 0 {
                let above = (at - 1) / 2;
                if !new.comes_before(&self.heap[above]) {
                    break;
                }
                at = above;
            }
        }
        at
    }

    fn first(&mut self) -> Option<Entry<T>> {
        self.merge();
        if self.heap.is_empty() {
            return self.aside.pop_front();
        }
        // The last one fills the gap at the top: the way that it then goes down, a bit for each step, the first lowest.
        let end = self.heap.len() - 1;
        let (mut way, mut steps, mut at) = (0_u64, 0, 0);
        loop {
            let mut below = 2 * at + 1;
            if below >= end {
                break;
            }
            let right = below + 1 < end && self.heap[below + 1].comes_before(&self.heap[below]);
            below += usize::from(right);
            if !self.heap[below].comes_before(&self.heap[end]) {
                break;
            }
            way |= u64::from(right) << steps;
            steps += 1;
            at = below;
        }
        let first = self.heap.swap_remove(0);
        let mut at = 0;
        for step in 0..steps {
            let below = 2 * at + 1 + (way >> step & 1) as usize;
            self.heap.swap(at, below);
            at = below;
        }
        Some(first)
    }
}

impl<T: Ord> Store<T> for Heap<T> {
    type Work = Work<T>;

    fn new() -> Self {
        Self {
            heap: Vec::new(),
            loose: Vec::new(),
            aside: VecDeque::new(),
            next: 0,
            oldest: -1,
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.heap.len() + self.loose.len() + self.aside.len()
    }

    #[inline]
    fn push(&mut self, item: T) {
        let number = self.next;
        self.next += 1;
        self.loose.push(Entry { item, number });
    }

    fn restore(&mut self, item: T) {
        let number = self.oldest;
        self.oldest -= 1;
        self.loose.push(Entry { item, number });
    }

    #[inline]
    fn pop(&mut self) -> Popped<T> {
        // One alone has nothing to be compared with.
        let alone = match (self.heap.len(), self.loose.len()) {
            (0, 0) => self.aside.pop_front(),
            (1, 0) => self.heap.pop(),
            (0, 1) => self.loose.pop(),
            _ => return Popped::Turn,
        };
        match alone {
            Some(entry) => Popped::Item(entry.item),
            None => Popped::Empty,
        }
    }

    fn take_out(&mut self) -> Work<T> {
        Work {
            heap: mem::take(&mut self.heap),
            loose: mem::take(&mut self.loose),
            aside: mem::take(&mut self.aside),
        }
    }

    fn in_hand(work: &Work<T>) -> usize {
        work.heap.len() + work.loose.len() + work.aside.len()
    }

    fn peek(work: &mut Work<T>) -> Option<&T> {
        work.merge();
        let first = work.heap.first().or_else(|| work.aside.front())?;
        Some(&first.item)
    }

    fn choose(work: &mut Work<T>) -> Option<T> {
        work.first().map(|entry| entry.item)
    }

    fn put_back(&mut self, mut work: Work<T>) {
        self.heap = work.heap;
        self.aside = work.aside;
        // Usually one of the two is empty; the larger keeps its room.
        if work.loose.capacity() > self.loose.capacity() {
            mem::swap(&mut self.loose, &mut work.loose);
        }
        self.loose.append(&mut work.loose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T: Ord>(store: &mut Heap<T>) -> Vec<T> {
        let mut work = store.take_out();
        let all = core::iter::from_fn(|| Heap::choose(&mut work)).collect();
        store.put_back(work);
        all
    }

    #[test]
    fn any_order_of_pushes_comes_out_sorted() {
        // Every permutation of up to seven, with a twin of one of them.
        fn permute(rest: &mut Vec<u8>, chosen: &mut Vec<u8>) {
            if rest.is_empty() {
                let mut store = Heap::new();
                for (i, c) in chosen.iter().enumerate() {
                    store.push((*c / 2, i));
                }
                let mut sorted: Vec<_> = chosen
                    .iter()
                    .enumerate()
                    .map(|(i, c)| (*c / 2, i))
                    .collect();
                sorted.sort_unstable();
                assert_eq!(all(&mut store), sorted);
            }
            for i in 0..rest.len() {
                chosen.push(rest.remove(i));
                permute(rest, chosen);
                if let Some(back) = chosen.pop() {
                    rest.insert(i, back);
                }
            }
        }
        for n in 0..7 {
            permute(&mut (0..n).collect(), &mut Vec::new());
        }
    }

    #[test]
    fn what_is_restored_is_the_oldest_of_its_equals() {
        #[derive(Debug)]
        struct Same(&'static str);
        impl PartialEq for Same {
            fn eq(&self, _: &Self) -> bool {
                true
            }
        }
        impl Eq for Same {}
        impl PartialOrd for Same {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for Same {
            fn cmp(&self, _: &Self) -> Ordering {
                Ordering::Equal
            }
        }
        let mut store = Heap::new();
        store.push(Same("third"));
        let work = store.take_out();
        store.push(Same("fourth"));
        // The later given one is restored first.
        store.restore(Same("second"));
        store.restore(Same("first"));
        store.put_back(work);
        let order: Vec<_> = all(&mut store).into_iter().map(|s| s.0).collect();
        assert_eq!(order, ["first", "second", "third", "fourth"]);
    }
}
