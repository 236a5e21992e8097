//! Model checks of the things that are waited for: semaphores, events, results, wait groups, barriers, queues and channels, a
//! select of them, and waits until they are ready.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom_objects
//! ```
//!
//! Without that flag this file is empty. The files under test are included here as they are, with the list of waiters, the blocking
//! call, the select and the notices of `park`. What stands below them is replaced: a waiter is a thread with a word of its own
//! and its park a `Notify`; a wait with a deadline gives up at once, which in a model is at any moment; the lock is loom's
//! (`loom_park` checks ours). This file holds these stand-ins, `models.rs` the models.
//!
//! To see these checks fail, do one of the following; each was tried.
//!
//! | change | what fails |
//! | --- | --- |
//! | `semaphore.rs`: `left` does nothing | deadlock in `who_wants_many_and_leaves_lets_others_pass` |
//! | `semaphore.rs`: `refund` does nothing | deadlock in `a_permit_given_to_nobody_goes_to_the_next` |
//! | `semaphore.rs`: `watch` does not look whether it is ready | deadlock in `a_semaphore_that_is_ready_is_never_slept_beside` |
//! | `latch.rs`: `enter` in `wait` does not look again | deadlock in `a_set_event_lets_everybody_pass` |
//! | `latch.rs`: the Release in `raise`, or the Acquire in `is_up`, to Relaxed | race in `a_set_event_lets_everybody_pass` |
//! | `latch.rs`: `raise` grants the first only | deadlock in `a_result_is_set_once_for_all` |
//! | `wait_group.rs`: `enter` in `wait_until` does not look again | deadlock in `the_last_one_done_lets_all_pass` |
//! | `barrier.rs`: `passed` is always false; `late` is not kept; `rounds` does not count those that broke | `nobody_passes_a_barrier_alone` |
//! | `channel.rs`: the end of the senders, or of the receivers, closes nothing | deadlock in `the_last_sender_ends_the_wait_of_a_receiver`, `the_receiver_ends_the_wait_of_a_sender` |
//! | `state.rs`: `close` does not keep what putters offered | panic in `the_receiver_ends_the_wait_of_a_sender` |
//! | `core.rs`: `hand_back` drops the item | `an_item_given_to_nobody_is_still_there` |
//! | `state.rs`: `take` admits nobody | deadlock in `a_freed_place_goes_to_who_waits_for_it` |
//! | `select.rs` of `park`: `round` commits nothing that was granted while it registered | a lost item in `a_select_takes_one_and_leaves_the_other` |
//! | `block.rs`: `cancel` does not tell that the grant came first | a lost permit in `a_release_and_a_timeout_at_once_lose_no_permit` |
//! | `landing.rs`: a value is not taken back from who turns out not to wait | panic in `a_send_and_a_timeout_at_once_lose_nothing` |
//! | `word.rs`: the Release of `grant` to Relaxed | race in `a_freed_place_goes_to_who_waits_for_it` |
//! | `state.rs`: `watchers` is always empty | deadlock in `a_queue_that_is_ready_is_never_slept_beside` |
#![cfg(loom)]
#![allow(dead_code, unreachable_pub)] // the models do not use everything

#[path = "../src/park"]
mod park {
    pub(crate) mod block;
    pub(crate) mod landing;
    pub(crate) mod notice;
    pub(crate) mod select;
    pub(crate) mod wait_queue;
    pub(crate) mod word;

    use core::cell::Cell;
    use core::fmt;
    use std::io;

    pub(crate) use self::block::{Blocked, Place, Turn, block, block_after};
    pub(crate) use self::claim::Unparker;
    pub(crate) use self::landing::{Address, Came, Handed, Lands, block_for, hand};
    pub(crate) use self::lock::Lock;
    pub(crate) use self::notice::{Board, LinkId, Notice};
    pub(crate) use self::select::{Selectable, Selected, select};
    pub(crate) use self::wait_queue::{Key, WaitQueue};
    pub(crate) use self::word::{Arm, Grant};
    pub(crate) use crate::hub::primitives;

    use crate::clock::Instant;
    use crate::greenlet::error::Deadlock;

    /// Stands for the file of that name: a waiter is a word and a bell. It is leaked: who wakes it last may come after it.
    pub(crate) mod claim {
        use super::Ticket;
        use super::word::{self, Grant};
        use loom::sync::Notify;
        use loom::sync::atomic::AtomicU64;

        #[derive(Debug)]
        pub(crate) struct Waiter {
            pub(crate) word: AtomicU64,
            pub(crate) bell: Notify,
        }

        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Unparker(pub(crate) &'static Waiter);

        impl Unparker {
            pub(crate) fn grant(&self, grant: Grant) -> bool {
                word::grant(&self.0.word, 1, grant)
            }

            pub(crate) fn grant_alone(&self, grant: Grant) -> Option<Self> {
                self.grant(grant).then_some(*self)
            }

            pub(crate) fn unpark(&self) {
                self.0.bell.notify();
            }

            pub(crate) fn is(&self, other: &Self) -> bool {
                core::ptr::eq(self.0, other.0)
            }
        }

        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Wait(Unparker);

        impl Wait {
            pub(crate) fn open(ticket: &Ticket) -> (Self, Unparker) {
                word::open(&ticket.0.word, 1);
                let unparker = Unparker(ticket.0);
                (Self(unparker), unparker)
            }

            pub(crate) fn grant(self) -> Option<Grant> {
                word::granted(&self.0.0.word, 1)
            }

            pub(crate) fn shut(self) -> bool {
                word::shut(&self.0.0.word, 1)
            }
        }

        #[derive(Debug)]
        pub(crate) struct Claim(Unparker);

        impl Claim {
            pub(crate) fn new(ticket: &Ticket) -> Self {
                word::open(&ticket.0.word, 1);
                Self(Unparker(ticket.0))
            }

            pub(crate) fn unparker(&self) -> &Unparker {
                &self.0
            }

            pub(crate) fn grant(&self) -> Option<Grant> {
                word::granted(&self.0.0.word, 1)
            }

            pub(crate) fn granted(&self) -> bool {
                self.grant().is_some()
            }

            pub(crate) fn shut(&self) -> bool {
                word::shut(&self.0.0.word, 1)
            }
        }

        impl Drop for Claim {
            fn drop(&mut self) {
                self.shut();
            }
        }
    }

    /// Stands for the file of that name: loom's, made when it is first taken, as loom's are not made by `const` functions.
    pub(crate) mod lock {
        use core::fmt;
        use std::sync::{Mutex, OnceLock};

        pub(crate) struct Lock<T> {
            turn: OnceLock<loom::sync::Mutex<()>>,
            value: Mutex<T>,
        }

        impl<T> Lock<T> {
            pub(crate) const fn new(value: T) -> Self {
                Self {
                    turn: OnceLock::new(),
                    value: Mutex::new(value),
                }
            }

            pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
                let turn = self.turn.get_or_init(|| loom::sync::Mutex::new(()));
                let _turn = turn.lock().unwrap();
                f(&mut self.value.try_lock().unwrap())
            }
        }

        impl<T> fmt::Debug for Lock<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Lock(..)")
            }
        }
    }

    pub(crate) mod budget {
        use super::{End, Report};

        pub(crate) fn spend_here() {}

        pub(crate) fn charge() -> bool {
            false
        }

        pub(crate) fn breathe(_: Report) -> std::io::Result<Option<End>> {
            Ok(None)
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Report {
        pub(crate) elapsed: bool,
        pub(crate) deadlock: bool,
        pub(crate) unwinding: bool,
    }

    impl Report {
        pub(crate) const ALL: Self = Self {
            elapsed: true,
            deadlock: true,
            unwinding: true,
        };
        pub(crate) const ERRORS: Self = Self::ALL;
        pub(crate) const NOTHING: Self = Self::ALL;
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Reason<'a>(&'a str);

    impl Reason<'_> {
        pub(crate) const fn new(kind: &'static str, _: usize) -> Self {
            Self(kind)
        }

        pub(crate) fn at<T: ?Sized>(kind: &'static str, _: &T) -> Self {
            Self(kind)
        }

        pub(crate) const fn detached(self) -> Reason<'static> {
            Reason("one of several things")
        }
    }

    impl fmt::Display for Reason<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl fmt::Debug for Reason<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct How<'a> {
        pub(crate) reasons: &'a [Reason<'a>],
        pub(crate) deadline: Option<Instant>,
        pub(crate) report: Report,
    }

    #[derive(Debug)]
    pub(crate) enum End {
        Granted,
        TimedOut,
        Elapsed,
        Deadlock(Deadlock),
        Unwinding,
    }

    pub(crate) trait Waiting {
        fn granted(&self) -> bool;

        fn granted_before(&self) -> bool {
            self.granted()
        }

        fn cancel(&self) -> bool {
            true
        }

        fn abandon(&self) {
            self.cancel();
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Ticket(&'static claim::Waiter);

    impl Ticket {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self(Box::leak(Box::new(claim::Waiter {
                word: loom::sync::atomic::AtomicU64::new(0),
                bell: loom::sync::Notify::new(),
            }))))
        }

        pub(crate) fn usual() -> Option<Self> {
            Self::new().ok()
        }

        pub(crate) fn must() -> Self {
            Self::new().unwrap()
        }

        pub(crate) fn unparker(&self) -> Unparker {
            Unparker(self.0)
        }
    }

    loom::thread_local! {
        static VANISHES: Cell<bool> = Cell::new(false);
    }

    /// Runs `f` on a hub that ends as soon as it waits: it is never heard of again.
    pub(crate) fn vanish(f: impl FnOnce()) {
        VANISHES.with(|v| v.set(true));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        VANISHES.with(|v| v.set(false));
        if let Err(payload) = ended {
            assert!(payload.is::<Vanished>());
        }
    }

    struct Vanished;

    pub(crate) fn park_until<W: Waiting>(ticket: Ticket, how: &How<'_>, waiting: &W) -> End {
        loop {
            if waiting.granted() {
                return End::Granted;
            }
            if VANISHES.with(Cell::get) {
                waiting.abandon();
                std::panic::resume_unwind(Box::new(Vanished));
            }
            if how.deadline.is_some() {
                return match waiting.cancel() {
                    true => End::TimedOut,
                    false => End::Granted,
                };
            }
            ticket.0.bell.wait();
        }
    }
}

mod clock {
    use std::time::Duration;

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Instant;

    impl Instant {
        pub(crate) fn now() -> Self {
            Self
        }

        pub(crate) fn saturating_duration_since(&self, _: Self) -> Duration {
            Duration::ZERO
        }
    }

    pub(crate) fn deadline_after(_: Duration) -> Option<Instant> {
        Some(Instant)
    }
}

mod greenlet {
    pub(crate) mod error {
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Deadlock;

        impl core::fmt::Display for Deadlock {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("deadlock")
            }
        }

        impl std::error::Error for Deadlock {}
    }

    /// Stands for the hot thread-local, of which queues want to know who has a turn. There are no turns in these models.
    pub(crate) mod hot {
        #[derive(Clone, Copy)]
        pub(crate) struct Nobody;

        impl Nobody {
            pub(crate) fn get(&self) -> Option<Self> {
                None
            }

            pub(crate) fn address(&self) -> usize {
                0
            }
        }

        pub(crate) struct Hot {
            pub(crate) current: Nobody,
        }

        impl Hot {
            pub(crate) fn root(&self) -> Nobody {
                self.current
            }
        }

        pub(crate) fn hot() -> &'static Hot {
            &Hot { current: Nobody }
        }
    }
}

mod hub {
    pub(crate) mod primitives {
        pub(crate) use loom::cell::UnsafeCell;
        use std::sync::OnceLock;

        pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

        pub(crate) fn relax(_round: u32) {
            loom::thread::yield_now();
        }

        /// loom's, made when it is first used, as loom's are not made by `const` functions.
        #[derive(Debug)]
        pub(crate) struct AtomicBool(OnceLock<loom::sync::atomic::AtomicBool>, bool);

        impl AtomicBool {
            pub(crate) const fn new(value: bool) -> Self {
                Self(OnceLock::new(), value)
            }

            fn get(&self) -> &loom::sync::atomic::AtomicBool {
                let Self(cell, value) = self;
                cell.get_or_init(|| loom::sync::atomic::AtomicBool::new(*value))
            }

            pub(crate) fn load(&self, order: Ordering) -> bool {
                self.get().load(order)
            }

            pub(crate) fn store(&self, value: bool, order: Ordering) {
                self.get().store(value, order);
            }
        }
    }
}

#[path = "../src/event"]
mod event {
    pub(crate) mod latch;
    pub(crate) mod result;

    /// Stands for the file of that name: there are no callbacks in these models.
    pub(crate) mod links {
        use super::latch::Latch;
        use crate::park::LinkId;

        pub(crate) struct Links<L>(core::marker::PhantomData<fn(L)>);

        impl<L> Links<L> {
            pub(crate) const fn new() -> Self {
                Self(core::marker::PhantomData)
            }

            pub(in crate::event) fn add(&self, _: &Latch, _: L) -> (LinkId, Option<L>) {
                unreachable!()
            }

            pub(crate) fn remove(&self, _: LinkId) -> Option<L> {
                None
            }

            pub(crate) fn take(&self) -> Vec<(LinkId, L)> {
                Vec::new()
            }
        }

        pub(crate) fn run_soon<C: FnOnce()>(calls: impl IntoIterator<Item = C>) {
            assert!(calls.into_iter().next().is_none());
        }
    }

    pub(crate) use result::AsyncResult;

    use crate::clock::Instant;
    use crate::park::{End, How, Report};

    /// What the type of that name does with a latch.
    pub(crate) struct Event(latch::Latch);

    impl Event {
        pub(crate) fn new() -> Self {
            let event = Self(latch::Latch::new());
            // By one thread, before others look at it.
            assert!(!event.0.is_up());
            event
        }

        pub(crate) fn set(&self) {
            self.0.raise(|| ());
        }

        pub(crate) fn clear(&self) {
            self.0.lower();
        }

        /// With `patience` false it gives up if it is not set.
        pub(crate) fn wait(&self, patience: bool) -> bool {
            let how = How {
                reasons: &[],
                deadline: (!patience).then_some(Instant),
                report: Report::ALL,
            };
            matches!(self.0.wait(&how).unwrap(), End::Granted)
        }
    }
}

#[path = "../src/queue"]
mod queue {
    pub(crate) mod arms;
    pub(crate) mod channel;
    pub(crate) mod core;
    pub(crate) mod ends;
    pub(crate) mod error;
    pub(crate) mod heap;
    pub(crate) mod kinds;
    pub(crate) mod state;
    pub(crate) mod store;

    pub(crate) use channel::channel;
    pub(crate) use kinds::Queue;

    use self::arms::GetArm;
    use self::ends::sealed::GetFrom;
    use crate::park::{Board, Selectable, Selected, Ticket, select};

    /// Gets from either, which is how a select of the user's works. With `patience` false it gives up if there is nothing.
    pub(crate) fn get_either<T>(a: &Queue<T>, b: &Queue<T>, patience: bool) -> Option<T> {
        let (mut a, mut b) = (GetArm::new(a.gets()), GetArm::new(b.gets()));
        let mut arms: [&mut dyn Selectable; 2] = [&mut a, &mut b];
        let deadline = (!patience).then_some(crate::clock::Instant);
        let begin = || Ok((Ticket::new()?, deadline, crate::park::Report::ALL));
        let got = match select(&mut arms, 0, begin).unwrap() {
            Selected::Arm(0) => a.into_got(),
            Selected::Arm(_) => b.into_got(),
            Selected::Ended(end) => {
                assert!(!patience, "a select without an end: {end:?}");
                return None;
            }
        };
        Some(got.unwrap().unwrap())
    }

    pub(crate) fn watch<T>(queue: &Queue<T>, board: &Board) {
        queue.core().watch(board.notice(0));
    }
}

#[path = "../src/sync"]
mod sync {
    pub(crate) mod barrier;
    pub(crate) mod semaphore;
    pub(crate) mod wait_group;

    pub(crate) use barrier::Barrier;
    pub(crate) use semaphore::Semaphore;
    pub(crate) use wait_group::WaitGroup;

    use crate::park::{Board, Report};

    const TIMED: Report = Report::ALL;

    pub(crate) fn watch(semaphore: &Semaphore, board: &Board) {
        semaphore.core().watch(board.notice(0));
    }
}

#[path = "loom_objects/models.rs"]
mod models;
