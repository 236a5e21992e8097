//! The inbox of a hub: a lock-free queue from many producers to one owner, and the protocol by which the owner goes
//! to sleep without missing a message.
//!
//! ```text
//!             push: compare-and-swap                     drain: one swap, then reverse
//! producers ─────────► head ─► newest ─► … ─► oldest ─► 0 ─────────► oldest, …, newest ─► owner
//! ```
//!
//! The state of the owner is the flag `sleeping` together with what the owner is about to do:
//!
//! | `sleeping` | owner | a push |
//! | --- | --- | --- |
//! | false | runs | enqueues only: the owner looks at the queue before it sleeps |
//! | true | looks at the queue for the last time, or polls | enqueues, claims the wake (true → false), notifies |
//! | false | polls, a producer has the claim | enqueues only: the claimant's notification ends this poll |
//! | false | polls, nobody has the claim | **forbidden**: a message would lie there unseen |
//!
//! `README.md` has the interleaving that leads to the forbidden state and why it cannot occur (invariant 6).
//!
//! What may be relied on: messages come out in the order in which their pushes took effect, thus in order per
//! producer. A push never blocks, and calls `notify` at most once per `prepare_sleep` that returned true or was under
//! way.
//!
//! What this file may not do: know what a message is, what polling is, or whether the hub still lives (`remote`
//! knows that).
//!
//! The list holds *addresses*, not pointers. A push may store the address of a node that the owner freed meanwhile
//! and that the allocator gave out again as a newer head; as an address this is right, whereas a pointer would still
//! be one to the freed node. Each node's pointer is exposed before its address is published.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ptr;

use super::primitives::{AtomicBool, AtomicUsize, Ordering, fence};

/// A queue with many producers and one owner, see the [module](self).
///
/// Every method may be called by any thread without harm to memory. The order of messages and the absence of lost
/// wakes are promised if one thread, the owner, is the only caller of `drain`, `prepare_sleep` and `awake`.
pub(crate) struct Inbox<T> {
    /// Address of the newest node, or 0. What it leads to belongs to whoever swaps it out.
    head: AtomicUsize,
    /// See the table in the [module](self).
    sleeping: AtomicBool,
    /// The inbox owns messages and passes them between threads, which is what a mutex does: `Send` and `Sync` if and
    /// only if `T: Send`. Without it, a word would make it so for every `T`.
    owns: PhantomData<std::sync::Mutex<T>>,
}

impl<T> Inbox<T> {
    /// An empty inbox whose owner is awake.
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicUsize::new(0),
            sleeping: AtomicBool::new(false),
            owns: PhantomData,
        }
    }

    /// Enqueues `value` and, if the owner sleeps and nobody else has taken it upon himself to wake it, calls
    /// `notify`, which must make the owner's present or next poll return.
    pub(crate) fn push(&self, value: T, notify: impl FnOnce()) {
        let node = Box::into_raw(Box::new(Node { next: 0, value }));
        let address = node.expose_provenance();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: `node` came from `Box::into_raw` above and is not published before the exchange below
            // succeeds, so it is this call's alone.
            unsafe { (*node).next = head };
            // Release: whoever takes the list sees the node's contents. A later push continues this release
            // sequence, so taking the newest node is enough to see the older ones.
            match self.head.compare_exchange_weak(
                head,
                address,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // Pairs with the fence in `prepare_sleep`: of a push and a sleep, at least one sees the other.
        fence(Ordering::SeqCst);
        // The load keeps the common case, an owner that is awake, free of a write to a line that all producers share.
        if self.sleeping.load(Ordering::Relaxed) && self.claim() {
            notify();
        }
    }

    /// Hands every message that is there now to `f`, oldest first. Owner only.
    ///
    /// Messages that come meanwhile, also those that `f` itself pushes, wait for the next call, so this ends. If `f`
    /// panics, the messages it has not been given go back in front of those that came meanwhile.
    pub(crate) fn drain(&self, mut f: impl FnMut(T)) {
        let mut batch = Batch {
            chain: self.take().reversed(),
            inbox: self,
        };
        while let Some(value) = batch.chain.pop() {
            f(value);
        }
    }

    /// Takes the one wake of a sleep that was announced. Of all producers who saw the flag, one gets it.
    ///
    /// An exchange and not a swap: a claim that comes too late leaves no trace, so every write of false is either the
    /// owner's own or followed by a notification.
    fn claim(&self) -> bool {
        self.sleeping
            .compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether nothing is there at this moment.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == 0
    }

    /// Announces that the owner is about to sleep. Owner only.
    ///
    /// True: from now on a push notifies, and the owner may poll; it calls [`awake`](Self::awake) afterwards. False:
    /// there is mail, do not sleep; the announcement is already withdrawn. A notification may then still come: it
    /// ends one later poll early, which does no harm.
    #[must_use = "when false, there is mail and the owner must not sleep"]
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::Relaxed);
        // Pairs with the fence in `push`.
        fence(Ordering::SeqCst);
        let sleep = self.is_empty();
        if !sleep {
            self.awake();
        }
        sleep
    }

    /// Withdraws the announcement: after the poll, or instead of it. Owner only.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Takes the whole list, newest first.
    fn take(&self) -> Chain<T> {
        // Mostly there is nothing, and a load does not take the line away from the producers.
        if self.is_empty() {
            return Chain::EMPTY;
        }
        // Acquire: pairs with the Release in `push` and in `put_back`.
        Chain::new(self.head.swap(0, Ordering::Acquire))
    }

    /// Puts `older`, newest first, back beneath what has come since it was taken.
    fn put_back(&self, older: Chain<T>) {
        let mut chain = older;
        loop {
            let first = chain.first;
            if first == 0 {
                return;
            }
            // Release: as in `push`, should anyone but the owner take it.
            match self
                .head
                .compare_exchange(0, first, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return mem::forget(chain), // the list owns the nodes now
                Err(_) => chain = self.take().above(chain),
            }
        }
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("is_empty", &self.is_empty())
            .field("sleeping", &self.sleeping.load(Ordering::Relaxed))
            .finish()
    }
}

/// A message on the heap.
struct Node<T> {
    /// Address of the next node of the same list, or 0.
    next: usize,
    value: T,
}

/// A list that has been taken out of an inbox.
///
/// `first` is 0 or the exposed address of a node made by `Box`, and so is the `next` of each node. This chain alone
/// owns all of them: every SAFETY comment below leans on that.
struct Chain<T> {
    first: usize,
    owns: PhantomData<Box<Node<T>>>,
}

impl<T> Chain<T> {
    const EMPTY: Self = Self::new(0);

    /// The chain that starts at `first`, which the caller has the sole right to.
    const fn new(first: usize) -> Self {
        Self {
            first,
            owns: PhantomData,
        }
    }

    /// Removes the first value.
    fn pop(&mut self) -> Option<T> {
        if self.first == 0 {
            return None;
        }
        // SAFETY: field `first`: a node made by `Box` that only this chain owns, and gives up in the next line.
        let node =
            unsafe { Box::from_raw(ptr::with_exposed_provenance_mut::<Node<T>>(self.first)) };
        let Node { next, value } = *node;
        self.first = next;
        Some(value)
    }

    /// The same values in the opposite order.
    fn reversed(mut self) -> Self {
        let mut done = 0;
        let mut rest = mem::take(&mut self.first);
        while rest != 0 {
            let node = ptr::with_exposed_provenance_mut::<Node<T>>(rest);
            // SAFETY: field `first`: `rest` leads to nodes that were this chain's and that nothing else reaches.
            rest = unsafe { mem::replace(&mut (*node).next, done) };
            done = node.addr();
        }
        Self::new(done)
    }

    /// This chain with `below` hung onto its end.
    fn above(self, mut below: Self) -> Self {
        if self.first == 0 {
            return below;
        }
        let mut last = ptr::with_exposed_provenance_mut::<Node<T>>(self.first);
        // SAFETY: field `first`: all these nodes are this chain's alone, and so are, by now, those of `below`.
        unsafe {
            while (*last).next != 0 {
                last = ptr::with_exposed_provenance_mut((*last).next);
            }
            (*last).next = mem::take(&mut below.first);
        }
        self
    }
}

impl<T> Drop for Chain<T> {
    fn drop(&mut self) {
        while let Some(value) = self.pop() {
            drop(value);
        }
    }
}

/// What one `drain` has taken and not yet handed out, oldest first. Dropped with something in it, which happens only
/// when the receiver panics, it gives that back.
struct Batch<'a, T> {
    chain: Chain<T>,
    inbox: &'a Inbox<T>,
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        let rest = mem::replace(&mut self.chain, Chain::EMPTY);
        self.inbox.put_back(rest.reversed());
    }
}

// Under loom this file is part of a model test, where a test without a model cannot run.
#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::Inbox;

    fn drained<T>(inbox: &Inbox<T>) -> Vec<T> {
        let mut all = Vec::new();
        inbox.drain(|value| all.push(value));
        all
    }

    fn no_wake() {
        panic!("nobody sleeps, so nobody is to be woken");
    }

    /// Whether `T: Send`, without a bound: an inherent constant, where it applies, goes before that of the trait.
    macro_rules! is {
        ($ty:ty: $bound:path) => {{
            struct Probe<T>(std::marker::PhantomData<T>);
            #[allow(dead_code)] // where the inherent constant applies
            trait Otherwise {
                const IS: bool = false;
            }
            impl<T> Otherwise for Probe<T> {}
            #[allow(dead_code)]
            impl<T: $bound> Probe<T> {
                const IS: bool = true;
            }
            Probe::<$ty>::IS
        }};
    }

    #[test]
    fn is_send_and_sync_if_and_only_if_messages_are_send() {
        // A `Cell` is Send and not Sync, which is all that passing it on takes.
        assert!(is!(Inbox<Cell<u8>>: Send));
        assert!(is!(Inbox<Cell<u8>>: Sync));
        assert!(!is!(Inbox<Rc<u8>>: Send));
        assert!(!is!(Inbox<Rc<u8>>: Sync));
    }

    #[test]
    fn messages_come_out_in_the_order_of_their_pushes() {
        let inbox = Inbox::new();
        assert!(inbox.is_empty());
        for i in 0..5 {
            inbox.push(i, no_wake);
        }
        assert!(!inbox.is_empty());
        assert_eq!(drained(&inbox), [0, 1, 2, 3, 4]);
        assert!(inbox.is_empty());
        assert_eq!(drained(&inbox), []);
    }

    #[test]
    fn a_message_pushed_while_draining_waits_for_the_next_drain() {
        let inbox = Inbox::new();
        inbox.push(1, no_wake);
        let mut seen = Vec::new();
        inbox.drain(|i| {
            seen.push(i);
            inbox.push(i + 1, no_wake);
        });
        assert_eq!(seen, [1]);
        assert_eq!(drained(&inbox), [2]);
    }

    #[test]
    fn messages_never_taken_are_dropped_with_the_inbox() {
        let token = Rc::new(());
        let inbox = Inbox::new();
        for _ in 0..3 {
            inbox.push(Rc::clone(&token), no_wake);
        }
        assert_eq!(Rc::strong_count(&token), 4);
        drop(inbox);
        assert_eq!(Rc::strong_count(&token), 1);
    }

    #[test]
    fn a_panic_while_draining_loses_only_the_message_it_was_given() {
        let inbox = Inbox::new();
        for i in 0..4 {
            inbox.push(i, no_wake);
        }
        let result = catch_unwind(AssertUnwindSafe(|| {
            inbox.drain(|i| {
                inbox.push(10 + i, no_wake);
                assert!(i < 1, "the receiver fails at the second message");
            });
        }));
        assert!(result.is_err());
        assert_eq!(drained(&inbox), [2, 3, 10, 11]);
    }

    #[test]
    fn one_sleep_is_one_wake() {
        let inbox = Inbox::new();
        let wakes = Cell::new(0);
        let push = || inbox.push((), || wakes.set(wakes.get() + 1));

        push();
        assert_eq!(wakes.get(), 0, "awake: nothing to wake");
        assert!(!inbox.prepare_sleep(), "mail forbids sleep");
        push();
        assert_eq!(wakes.get(), 0, "the refused sleep is withdrawn");

        drained(&inbox);
        assert!(inbox.prepare_sleep());
        push();
        push();
        assert_eq!(wakes.get(), 1, "the first push wakes, the second need not");
        inbox.awake();

        drained(&inbox);
        assert!(inbox.prepare_sleep());
        inbox.awake();
        push();
        assert_eq!(wakes.get(), 1, "awake again by other means");
    }

    #[test]
    fn the_message_is_there_when_the_wake_is_given() {
        let inbox = Inbox::new();
        assert!(inbox.prepare_sleep());
        let mut found = Vec::new();
        inbox.push(7, || found = drained(&inbox));
        assert_eq!(found, [7]);
    }

    /// Four producers against an owner that sleeps whenever it may. A lost wake hangs this test, a lost, doubled or
    /// reordered message fails it.
    #[test]
    fn nothing_is_lost_between_producers_and_a_sleeping_owner() {
        const PRODUCERS: usize = 4;
        const EACH: u64 = 100_000;

        let inbox = Inbox::new();
        let owner = thread::current();
        let wakes = AtomicU64::new(0);
        let (mut announced, mut slept) = (0, 0);
        let mut next = [0; PRODUCERS];

        thread::scope(|s| {
            for producer in 0..PRODUCERS {
                let (inbox, owner, wakes) = (&inbox, &owner, &wakes);
                s.spawn(move || {
                    for i in 0..EACH {
                        inbox.push((producer, i), || {
                            wakes.fetch_add(1, Ordering::Relaxed);
                            owner.unpark();
                        });
                    }
                });
            }
            while next.iter().sum::<u64>() < EACH * PRODUCERS as u64 {
                inbox.drain(|(producer, i)| {
                    assert_eq!(i, next[producer], "out of order from producer {producer}");
                    next[producer] += 1;
                });
                announced += 1;
                if inbox.prepare_sleep() {
                    // If all is here, nobody would wake us. A park may end early, as a poll may.
                    if next.iter().sum::<u64>() < EACH * PRODUCERS as u64 {
                        slept += 1;
                        thread::park();
                    }
                    inbox.awake();
                }
            }
        });

        assert_eq!(next, [EACH; PRODUCERS]);
        assert!(inbox.is_empty());
        let wakes = wakes.into_inner();
        assert!(wakes <= announced, "{wakes} wakes for {announced} sleeps");
        assert!(slept == 0 || wakes > 0, "{slept} sleeps, nobody woke");
    }
}
