//! What a queue keeps its items in, and what of it can be done under the queue's lock.
//!
//! ```text
//! under the lock            push  pop  restore  take_out  put_back       moves only
//! out of it, in a turn      peek  choose                                 may run code of the user: Ord, Clone, closures
//! ```
//!
//! No code of the user may run while a lock of ours is held (invariant 4). So what has to be shown to the user is taken
//! out of the store first, for the length of a *turn*, of which a queue has one at a time; `core.rs` hands them out.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

/// What [`Store::pop`] found.
#[derive(Debug)]
pub(crate) enum Popped<T> {
    /// The next item.
    Item(T),
    /// There is none.
    Empty,
    /// Which one is next can only be found out in a turn.
    Turn,
}

/// See the file's head.
pub(crate) trait Store<T> {
    /// What a turn has in hand.
    type Work;

    fn new() -> Self;

    /// How many items are here, without those in a turn's hand.
    fn len(&self) -> usize;

    /// Adds an item, the newest of all.
    fn push(&mut self, item: T);

    /// Adds an item that is older than all others: it was given to somebody who never came for it.
    fn restore(&mut self, item: T);

    /// Takes the next item, if it is known without comparing any.
    fn pop(&mut self) -> Popped<T>;

    /// Begins a turn; there is at least one item.
    fn take_out(&mut self) -> Self::Work;

    /// How many items a turn has in hand.
    fn in_hand(work: &Self::Work) -> usize;

    /// The next item. Runs code of the user.
    fn peek(work: &mut Self::Work) -> Option<&T>;

    /// Takes the next item. Runs code of the user.
    fn choose(work: &mut Self::Work) -> Option<T>;

    /// Ends a turn. Items may have been pushed and restored meanwhile, but none was taken.
    fn put_back(&mut self, work: Self::Work);
}

/// First in, first out.
#[derive(Debug)]
pub(crate) struct Fifo<T> {
    items: VecDeque<T>,
    /// How many lie before the place of the item that a turn has in hand.
    ahead: usize,
}

impl<T> Store<T> for Fifo<T> {
    type Work = Option<T>;

    fn new() -> Self {
        Self {
            items: VecDeque::new(),
            ahead: 0,
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.items.len()
    }

    #[inline]
    fn push(&mut self, item: T) {
        self.items.push_back(item);
    }

    fn restore(&mut self, item: T) {
        self.items.push_front(item);
        self.ahead += 1;
    }

    #[inline]
    fn pop(&mut self) -> Popped<T> {
        match self.items.pop_front() {
            Some(item) => Popped::Item(item),
            None => Popped::Empty,
        }
    }

    fn take_out(&mut self) -> Self::Work {
        self.ahead = 0;
        self.items.pop_front()
    }

    fn in_hand(work: &Self::Work) -> usize {
        usize::from(work.is_some())
    }

    fn peek(work: &mut Self::Work) -> Option<&T> {
        work.as_ref()
    }

    fn choose(work: &mut Self::Work) -> Option<T> {
        work.take()
    }

    fn put_back(&mut self, work: Self::Work) {
        if let Some(item) = work {
            // A store that was emptied meanwhile has fewer than that.
            let at = self.ahead.min(self.items.len());
            self.items.insert(at, item);
        }
    }
}

/// Last in, first out.
#[derive(Debug)]
pub(crate) struct Lifo<T> {
    items: Vec<T>,
    /// How many lie below the place of the item that a turn has in hand.
    below: usize,
}

impl<T> Store<T> for Lifo<T> {
    type Work = Option<T>;

    fn new() -> Self {
        Self {
            items: Vec::new(),
            below: 0,
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.items.len()
    }

    #[inline]
    fn push(&mut self, item: T) {
        self.items.push(item);
    }

    fn restore(&mut self, item: T) {
        self.items.insert(0, item);
        self.below += 1;
    }

    #[inline]
    fn pop(&mut self) -> Popped<T> {
        match self.items.pop() {
            Some(item) => Popped::Item(item),
            None => Popped::Empty,
        }
    }

    fn take_out(&mut self) -> Self::Work {
        let item = self.items.pop();
        self.below = self.items.len();
        item
    }

    fn in_hand(work: &Self::Work) -> usize {
        usize::from(work.is_some())
    }

    fn peek(work: &mut Self::Work) -> Option<&T> {
        work.as_ref()
    }

    fn choose(work: &mut Self::Work) -> Option<T> {
        work.take()
    }

    fn put_back(&mut self, work: Self::Work) {
        if let Some(item) = work {
            // A store that was emptied meanwhile has fewer than that.
            let at = self.below.min(self.items.len());
            self.items.insert(at, item);
        }
    }
}
