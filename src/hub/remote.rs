//! The part of a hub that outlives it in the hands of other threads.
//!
//! ```text
//! HubRef { shared, generation } ─┐                       ┌─ Owner: on the hub's thread; its end closes
//!   Copy, any thread             ▼                       ▼
//!                 Shared { gate, generation, notifier, inbox }  ◄── Pool: those without an owner
//! ```
//!
//! A hub ends while join handles and wakers that name it are still about. They hold no reference count: a `Shared`
//! is never freed, only used again by a later hub, and a [`HubRef`] is plain data that says which use it means. So a
//! handle costs nothing to make, copy or drop, and memory is bounded by the greatest number of hubs alive at once.
//!
//! # The gate
//!
//! One word: bit 0 is `CLOSED`, the rest counts who is inside, in steps of two.
//!
//! | `CLOSED` | inside | state | who may do what |
//! | --- | --- | --- | --- |
//! | set | 0 | without an owner, or being opened | the owner writes `notifier` and `generation` |
//! | clear | any | open | whoever is inside reads them; nobody writes them |
//! | set | > 0 | closing | as open, for those inside; nobody new gets in; the owner waits |
//!
//! Entering and closing are both read-modify-writes of this word, so one comes first: an entry that comes first is
//! waited for, one that comes second is turned away. A stale handle adds itself, finds another generation, and takes
//! itself back: it disturbs nobody. It takes a look before it adds itself, so that a crowd of stale handles cannot
//! keep the count from ever being seen at zero.
//!
//! What follows (`README.md` has the proof): a message is handed to the hub that it was meant for, or comes back from
//! [`HubRef::send`]; it is never lost and never reaches a later hub. While an [`Entered`] lives the owner cannot get
//! past `close`, so what the notifier refers to in the owner's memory may be read.
//!
//! What this file may not do: block anyone but an owner that closes, who waits for a few instructions of others; run
//! a message; know what a notifier is.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ptr;
use std::sync::TryLockError;

use super::inbox::Inbox;
use super::primitives::{AtomicU64, AtomicUsize, Mutex, Ordering, UnsafeCell, relax};

/// Bit 0 of the gate: nobody new gets in.
const CLOSED: usize = 1;
/// What one who is inside adds to the gate.
const USER: usize = 2;

/// What ends the owner's poll, from any thread.
pub(crate) trait Notify: Send + Sync {
    /// Makes the owner's present or next poll return. Does not block.
    fn notify(&self);
}

/// The `Shared`s without an owner, ready for the next hub.
///
/// Only owners lock it, for a push or a pop. If it cannot be had for long, they do without it and a `Shared` is
/// leaked: in a forked child the thread that held it no longer exists.
pub(crate) type Pool<M, N> = Mutex<Vec<&'static Shared<M, N>>>;

/// See the [module](self).
pub(crate) struct Shared<M, N> {
    /// See the table in the [module](self).
    gate: AtomicUsize,
    /// The number of times this was opened. Written by the owner while the gate is closed and nobody is inside.
    generation: AtomicU64,
    /// `Some` from open to close. Written as `generation` is; read by those inside.
    notifier: UnsafeCell<Option<N>>,
    inbox: Inbox<M>,
}

// SAFETY: the atomics are Sync and so is `inbox` for `M: Send`. `notifier` is written only by the owner while field
// `gate` keeps everyone out, and otherwise shared by reference, which `N: Sync` allows; the owner that drops it may be
// on another thread than the next one that fills the cell, but each takes out only what it put in itself.
unsafe impl<M: Send, N: Send + Sync> Sync for Shared<M, N> {}

impl<M: Send, N: Notify> Shared<M, N> {
    /// Opens a new generation, whose owner is the calling thread, of a `Shared` from `pool` or of a new one.
    pub(crate) fn open(pool: &'static Pool<M, N>, notifier: N) -> Owner<M, N> {
        let shared: &'static Self = match with_pool(pool, Vec::pop).flatten() {
            Some(shared) => shared,
            None => Box::leak(Box::new(Self {
                gate: AtomicUsize::new(CLOSED),
                generation: AtomicU64::new(0),
                notifier: UnsafeCell::new(None),
                inbox: Inbox::new(),
            })),
        };
        shared.notifier.with_mut(|cell| {
            // SAFETY: field `gate`: closed, and the last owner waited until nobody was inside; who has come since was
            // turned away. This call is the only owner, as it made `shared` or took it out of the pool.
            unsafe { *cell = Some(notifier) };
        });
        let generation = shared.generation.load(Ordering::Relaxed) + 1;
        shared.generation.store(generation, Ordering::Relaxed);
        shared.inbox.awake();
        // Release: who gets in from now on sees the stores above. Not a store, because a stale handle may be adding
        // and removing itself at this moment.
        shared.gate.fetch_and(!CLOSED, Ordering::Release);
        Owner {
            handle: HubRef { shared, generation },
            pool,
            not_send: PhantomData,
        }
    }
}

impl<M, N> fmt::Debug for Shared<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gate = self.gate.load(Ordering::Relaxed);
        f.debug_struct("Shared")
            .field("generation", &self.generation.load(Ordering::Relaxed))
            .field("closed", &(gate & CLOSED != 0))
            .field("inside", &(gate / USER))
            .field("inbox", &self.inbox)
            .finish_non_exhaustive()
    }
}

/// A generation as its own hub holds it; not Send, because a hub is pinned (invariant 1).
///
/// The hub calls [`close`](Self::close) and disposes of what is left. Dropping it closes it, if that has not been
/// done, drops what is left, and makes the `Shared` available to the next hub. Both wait for those who are inside, so
/// the owner must not hold an [`Entered`] of its own.
pub(crate) struct Owner<M: Send + 'static, N: Notify + 'static> {
    handle: HubRef<M, N>,
    pool: &'static Pool<M, N>,
    not_send: PhantomData<*const ()>,
}

impl<M: Send, N: Notify> Owner<M, N> {
    /// A handle to this generation.
    pub(crate) fn handle(&self) -> HubRef<M, N> {
        self.handle
    }

    /// The inbox, of whose `drain`, `prepare_sleep` and `awake` this thread is the one caller.
    pub(crate) fn inbox(&self) -> &Inbox<M> {
        &self.handle.shared.inbox
    }

    /// Lets nobody in any more, waits until nobody is inside, and hands every message left to `rest`, to be dropped
    /// or answered. From then on every `send` returns its message.
    ///
    /// `rest` may send to this hub (the message comes back) and to others. If it panics, the messages it has not been
    /// given stay for the next call or the drop. To call it again is harmless.
    pub(crate) fn close(&self, rest: impl FnMut(M)) {
        self.await_leave();
        self.handle.shared.inbox.drain(rest);
        self.drop_notifier();
    }

    /// Lets nobody in any more, and waits until nobody is inside.
    fn await_leave(&self) {
        let shared = self.handle.shared;
        shared.gate.fetch_or(CLOSED, Ordering::Relaxed);
        let mut round = 0;
        // Acquire: pairs with the Release of each who leaves, so what they did inside is done.
        while shared.gate.load(Ordering::Acquire) != CLOSED {
            relax(round);
            round = round.saturating_add(1);
        }
    }

    /// After [`await_leave`](Self::await_leave).
    fn drop_notifier(&self) {
        let notifier = self.handle.shared.notifier.with_mut(|cell| {
            // SAFETY: field `gate`: closed and nobody inside, which the callers have waited for; only the owner gets here,
            // and it is one.
            unsafe { (*cell).take() }
        });
        drop(notifier);
    }

    /// For the child of a fork, before it does anything else: whoever was inside does not exist here.
    ///
    /// Not this thread: it is inside for a few instructions, which do not fork.
    pub(crate) fn alone(&self) {
        self.handle.shared.gate.fetch_and(CLOSED, Ordering::Relaxed);
    }

    /// For the child of a fork, which was [`alone`](Self::alone): closes, as [`close`](Self::close) does, but leaves the
    /// messages where they are, as they are the parent's. The owner is to be leaked.
    pub(crate) fn abandon(&self) {
        self.await_leave();
        self.drop_notifier();
    }
}

impl<M: Send, N: Notify> Drop for Owner<M, N> {
    fn drop(&mut self) {
        self.close(drop);
        // Without the pool there is no next use: leaked.
        with_pool(self.pool, |pool| pool.push(self.handle.shared));
    }
}

impl<M: Send, N: Notify> fmt::Debug for Owner<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(self.handle.shared).finish()
    }
}

/// Names one generation of one `Shared`, thus one hub for all time, whether it lives or not. Plain data.
pub(crate) struct HubRef<M: 'static, N: 'static> {
    shared: &'static Shared<M, N>,
    generation: u64,
}

impl<M: Send, N: Notify> HubRef<M, N> {
    /// Gets inside, unless the hub has closed. Does not block.
    pub(crate) fn enter(&self) -> Option<Entered<'_, M, N>> {
        // Without this look, who is turned away would keep the closing owner waiting. It turns nobody away wrongly:
        // this handle was made after its generation was opened, so anything else seen here came later.
        if !self.is_open() {
            return None;
        }
        // Acquire: pairs with the Release in `open`. It also keeps what follows from moving before the entry.
        let before = self.shared.gate.fetch_add(USER, Ordering::Acquire);
        // From here on the guard takes the entry back, on every way out.
        let entered = Entered {
            shared: self.shared,
            pinned: PhantomData,
        };
        // If the gate was open, the generation cannot change while we are counted, so this is the one we are in.
        let mine = before & CLOSED == 0
            && self.shared.generation.load(Ordering::Relaxed) == self.generation;
        mine.then_some(entered)
    }

    /// Hands `message` to the hub and wakes it if it sleeps. Does not block.
    ///
    /// # Errors
    ///
    /// The message comes back if the hub has closed.
    pub(crate) fn send(&self, message: M) -> Result<(), M> {
        match self.enter() {
            Some(entered) => {
                entered.push(message);
                Ok(())
            }
            None => Err(message),
        }
    }

    /// Whether the hub was open at this moment.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.gate.load(Ordering::Relaxed) & CLOSED == 0
            && self.shared.generation.load(Ordering::Relaxed) == self.generation
    }
}

impl<M, N> Clone for HubRef<M, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, N> Copy for HubRef<M, N> {}

impl<M, N> PartialEq for HubRef<M, N> {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.shared, other.shared) && self.generation == other.generation
    }
}

impl<M, N> Eq for HubRef<M, N> {}

impl<M, N> Hash for HubRef<M, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::hash(self.shared, state);
        self.generation.hash(state);
    }
}

impl<M, N> fmt::Debug for HubRef<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubRef")
            .field("generation", &self.generation)
            .field("shared", self.shared)
            .finish()
    }
}

/// Proof of being inside: as long as it lives, the hub has not closed and its notifier is there.
///
/// Made for a few instructions. The closing owner waits for it, so it is never held across a switch (invariant 5) or
/// while anything is waited for; it is not Send.
pub(crate) struct Entered<'a, M, N> {
    shared: &'a Shared<M, N>,
    pinned: PhantomData<*const ()>,
}

impl<M: Send, N: Notify> Entered<'_, M, N> {
    /// Hands `message` to the hub and wakes it if it sleeps.
    pub(crate) fn push(&self, message: M) {
        self.shared
            .inbox
            .push(message, || self.with_notifier(N::notify));
    }

    /// Calls `f` with what the hub gave to [`Shared::open`].
    pub(crate) fn with_notifier<R>(&self, f: impl FnOnce(&N) -> R) -> R {
        self.shared.notifier.with(|cell| {
            // SAFETY: field `gate` counts this guard, made while it was open, so nobody writes the cell.
            let notifier = unsafe { (*cell).as_ref() };
            f(notifier.expect("an open gate has a notifier"))
        })
    }
}

impl<M, N> Drop for Entered<'_, M, N> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `close`.
        self.shared.gate.fetch_sub(USER, Ordering::Release);
    }
}

impl<M, N> fmt::Debug for Entered<'_, M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entered").field(self.shared).finish()
    }
}

/// Calls `f` with the pool's list, or not at all if the lock cannot be had in many rounds.
fn with_pool<T, R>(pool: &Mutex<Vec<T>>, f: impl FnOnce(&mut Vec<T>) -> R) -> Option<R> {
    const ROUNDS: u32 = 512;

    for round in 0..ROUNDS {
        let mut list = match pool.try_lock() {
            Ok(list) => list,
            // The list is whole at every moment that could panic.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                relax(round);
                continue;
            }
        };
        return Some(f(&mut list));
    }
    None
}

// Under loom this file is part of a model test, where a test without a model cannot run.
#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::sync::{Arc, Mutex, RwLock};
    use std::thread::{self, Thread};

    use super::{HubRef, Notify, Owner, Pool, Shared};

    /// Counts its calls and unparks the owner.
    struct Unpark {
        owner: Thread,
        calls: Arc<AtomicU64>,
    }

    impl Unpark {
        fn new() -> Self {
            Self {
                owner: thread::current(),
                calls: Arc::default(),
            }
        }
    }

    impl Notify for Unpark {
        fn notify(&self) {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.owner.unpark();
        }
    }

    /// A pool of the calling test's own. Its leak is what the pool is for.
    fn pool<M, N>() -> &'static Pool<M, N> {
        Box::leak(Box::new(Mutex::new(Vec::new())))
    }

    fn closed<M: Send, N: Notify>(owner: &Owner<M, N>) -> Vec<M> {
        let mut rest = Vec::new();
        owner.close(|message| rest.push(message));
        rest
    }

    #[test]
    fn handles_are_plain_data_for_any_thread() {
        fn plain<T: Copy + Send + Sync + Eq + std::hash::Hash + std::fmt::Debug>() {}
        plain::<HubRef<String, Unpark>>();
        assert!(size_of::<HubRef<String, Unpark>>() <= 16);
        assert!(!std::mem::needs_drop::<HubRef<String, Unpark>>());
    }

    #[test]
    fn a_message_reaches_the_hub_until_it_closes_and_then_comes_back() {
        let owner = Shared::open(pool(), Unpark::new());
        let handle = owner.handle();
        assert!(handle.is_open());
        assert_eq!(handle.send("drained"), Ok(()));
        let mut got = Vec::new();
        owner.inbox().drain(|message| got.push(message));
        assert_eq!(got, ["drained"]);

        assert_eq!(handle.send("left"), Ok(()));
        assert_eq!(closed(&owner), ["left"]);
        assert!(!handle.is_open());
        assert_eq!(handle.send("late"), Err("late"));
        assert!(handle.enter().is_none());
        assert_eq!(closed(&owner), [""; 0], "closing again finds nothing");
    }

    #[test]
    fn a_message_sent_while_closing_comes_back_to_the_sender() {
        let owner = Shared::open(pool(), Unpark::new());
        let handle = owner.handle();
        handle.send(1).unwrap();
        let mut bounced = None;
        owner.close(|message| bounced = Some(handle.send(message + 1)));
        assert_eq!(bounced, Some(Err(2)));
    }

    #[test]
    fn an_old_handle_does_not_reach_a_later_hub_in_the_same_place() {
        let pool = pool();
        let first = Shared::open(pool, Unpark::new());
        let old = first.handle();
        drop(first);

        let second = Shared::open(pool, Unpark::new());
        let new = second.handle();
        assert!(ptr::eq(old.shared, new.shared), "the place is used again");
        assert_ne!(old, new);
        assert_eq!(old.send("old"), Err("old"));
        assert!(!old.is_open());
        assert_eq!(new.send("new"), Ok(()));
        assert_eq!(closed(&second), ["new"]);
    }

    #[test]
    fn places_are_as_many_as_hubs_alive_at_once() {
        let pool: &'static Pool<(), Unpark> = pool();
        let mut places = HashSet::new();
        for _ in 0..50 {
            let hubs = [(); 3].map(|()| Shared::open(pool, Unpark::new()));
            places.extend(hubs.iter().map(|hub| ptr::from_ref(hub.handle().shared)));
        }
        assert_eq!(places.len(), 3);
    }

    #[test]
    fn the_notifier_is_of_the_generation_and_ends_with_it() {
        let pool: &'static Pool<u8, Unpark> = pool();
        for _ in 0..2 {
            let notifier = Unpark::new();
            let calls = Arc::clone(&notifier.calls);
            let owner = Shared::open(pool, notifier);
            let handle = owner.handle();
            assert!(owner.inbox().prepare_sleep());
            handle.send(1).unwrap();
            handle.send(2).unwrap();
            assert_eq!(calls.load(Ordering::Relaxed), 1);
            let seen = handle
                .enter()
                .map(|inside| inside.with_notifier(|n| Arc::ptr_eq(&n.calls, &calls)));
            assert_eq!(seen, Some(true));
            drop(owner);
            assert_eq!(Arc::strong_count(&calls), 1, "the notifier is dropped");
        }
    }

    #[test]
    fn a_generation_starts_awake() {
        let pool: &'static Pool<u8, Unpark> = pool();
        let first = Shared::open(pool, Unpark::new());
        assert!(first.inbox().prepare_sleep());
        drop(first);

        let notifier = Unpark::new();
        let calls = Arc::clone(&notifier.calls);
        let second = Shared::open(pool, notifier);
        second.handle().send(1).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn messages_left_when_the_owner_is_dropped_are_dropped() {
        let token = Arc::new(());
        let owner = Shared::open(pool(), Unpark::new());
        owner.handle().send(Arc::clone(&token)).unwrap();
        drop(owner);
        assert_eq!(Arc::strong_count(&token), 1);
    }

    #[test]
    fn a_panic_while_closing_keeps_the_messages_not_yet_given() {
        let owner = Shared::open(pool(), Unpark::new());
        for i in 0..3 {
            owner.handle().send(i).unwrap();
        }
        let result = catch_unwind(AssertUnwindSafe(|| owner.close(|_| panic!("receiver"))));
        assert!(result.is_err());
        assert_eq!(closed(&owner), [1, 2]);
    }

    #[test]
    fn the_owner_cannot_close_while_somebody_is_inside() {
        let owner = Shared::open(pool(), Unpark::new());
        let handle = owner.handle();
        let left = AtomicBool::new(false);
        let (entered, wait_entered) = mpsc::channel();
        thread::scope(|s| {
            let left = &left;
            s.spawn(move || {
                let inside = handle.enter().expect("open");
                entered.send(()).unwrap();
                // Closing has begun, and it cannot end before the guard is gone.
                while handle.is_open() {
                    thread::yield_now();
                }
                inside.push("from inside");
                left.store(true, Ordering::Relaxed);
            });
            wait_entered.recv().unwrap();
            let rest = closed(&owner);
            assert!(left.load(Ordering::Relaxed), "closed with a guest inside");
            assert_eq!(rest, ["from inside"]);
        });
    }

    #[test]
    fn an_abandoned_place_is_closed_and_never_used_again() {
        let pool = pool();
        let token = Arc::new(());
        let unpark = Unpark::new();
        let calls = Arc::downgrade(&unpark.calls);
        let owner = std::mem::ManuallyDrop::new(Shared::open(pool, unpark));
        let handle = owner.handle();
        handle.send(Arc::clone(&token)).unwrap();
        // Who was inside at the fork never leaves.
        std::mem::forget(handle.enter());
        owner.alone();
        owner.abandon();
        assert!(calls.upgrade().is_none(), "the notifier was dropped");

        assert!(handle.send(Arc::clone(&token)).is_err());
        assert_eq!(
            Arc::strong_count(&token),
            2,
            "the message is not ours to drop"
        );
        let next = Shared::open(pool, Unpark::new());
        assert!(!ptr::eq(next.handle().shared, handle.shared));
    }

    #[test]
    fn a_pool_whose_lock_is_never_released_is_done_without() {
        let pool: &'static Pool<u8, Unpark> = pool();
        std::mem::forget(pool.lock()); // as a fork may leave it
        let owner = Shared::open(pool, Unpark::new());
        owner.handle().send(1).unwrap();
        assert_eq!(closed(&owner), [1]);
    }

    /// Hubs come and go in one place while four threads send without pause, each through whatever handle it has last
    /// seen, often an old one. A message says which hub it is for.
    #[test]
    fn close_under_fire_delivers_each_message_to_its_hub_or_returns_it() {
        const SENDERS: u64 = 4;
        const HUBS: u64 = 300;

        let pool: &'static Pool<(u64, u64, u64), Unpark> = pool();
        let latest = RwLock::new(None::<HubRef<_, _>>);
        let done = AtomicBool::new(false);
        let mut delivered = 0;
        let mut bounced_by_close = 0;

        let (accepted, refused) = thread::scope(|s| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|sender| {
                    let (latest, done) = (&latest, &done);
                    s.spawn(move || {
                        let (mut accepted, mut refused, mut i) = (0u64, 0u64, 0);
                        let mut last = false;
                        while !last {
                            // The last round meets nothing but closed hubs.
                            last = done.load(Ordering::Acquire);
                            let Some(handle) = *latest.read().unwrap() else {
                                continue;
                            };
                            // Use it until it is old, and a little longer.
                            for _ in 0..64 {
                                let message = (handle.generation, sender, i);
                                match handle.send(message) {
                                    Ok(()) => accepted += 1,
                                    Err(back) => {
                                        assert_eq!(back, message);
                                        refused += 1;
                                    }
                                }
                                i += 1;
                            }
                        }
                        (accepted, refused)
                    })
                })
                .collect();

            for _ in 0..HUBS {
                let owner = Shared::open(pool, Unpark::new());
                let generation = owner.handle().generation;
                let mut next = [0; SENDERS as usize];
                let mut check = |(meant, sender, i): (u64, u64, u64)| {
                    assert_eq!(meant, generation, "a message for another hub");
                    let next = &mut next[sender as usize];
                    assert!(i >= *next, "out of order from sender {sender}");
                    *next = i + 1;
                };
                *latest.write().unwrap() = Some(owner.handle());
                // Lives until it has had some mail, sleeping whenever it may.
                let mut mail = 0;
                while mail < 100 {
                    owner.inbox().drain(|message| {
                        check(message);
                        mail += 1;
                    });
                    if mail < 100 && owner.inbox().prepare_sleep() {
                        thread::park();
                        owner.inbox().awake();
                    }
                }
                delivered += mail;
                owner.close(|message| {
                    check(message);
                    bounced_by_close += 1;
                });
            }
            done.store(true, Ordering::Release);
            senders.into_iter().fold((0, 0), |sum, sender| {
                let (accepted, refused) = sender.join().unwrap();
                (sum.0 + accepted, sum.1 + refused)
            })
        });

        assert_eq!(accepted, delivered + bounced_by_close);
        assert!(refused >= SENDERS * 64, "a closed hub took messages");
        assert_eq!(pool.lock().unwrap().len(), 1, "one place served them all");
    }
}
