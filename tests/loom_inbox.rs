//! Model checks of the hub's inbox and of the gate in front of it: loom runs each model in very many orders and with
//! every stale value that the memory model allows (see `model` for the bound).
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom_inbox
//! ```
//!
//! Without that flag this file is empty. The two files under test are included here as they are, under a parent whose
//! `primitives` are loom's. A poll is a `Notify`: it keeps a notification given before the wait, as an eventfd does,
//! and may end for no reason. An owner that waits for a notification that never comes is a deadlock, which loom
//! reports.
//!
//! To see these checks fail, do one of the following; each was tried. (A failing model may end in an abort after its
//! report, because a hub that cannot close is then dropped while unwinding.)
//!
//! | change | what fails |
//! | --- | --- |
//! | `inbox.rs`: remove the fence in `push`, or that in `prepare_sleep`, or the re-check after it | deadlock: a lost wake |
//! | `inbox.rs`: Release in `push` or Acquire in `take` to Relaxed | race on a message's body |
//! | `inbox.rs`: notify without `claim` | `one_sleep_is_notified_once` |
//! | `inbox.rs`: hang `chain` above what came later in `put_back` | `what_a_failed_drain_puts_back_stays_in_order` |
//! | `remote.rs`: do not wait in `close`, or wait with Relaxed, or leave with Relaxed | race on a notifier or its memory |
//! | `remote.rs`: Release in `open`, or Acquire in `enter`, to Relaxed | `a_message_never_reaches_a_later_hub` |
//! | `remote.rs`: `enter` without the look at the generation, or at `CLOSED`, after the addition | the same |
//! | `remote.rs`: `open` stores 0 instead of clearing the bit | the same |

#![cfg(loom)]

#[allow(dead_code)] // the models do not use everything
#[path = "../src/hub"]
mod hub {
    pub(crate) mod inbox;
    pub(crate) mod remote;

    pub(crate) mod primitives {
        pub(crate) use loom::cell::UnsafeCell;
        pub(crate) use loom::sync::Mutex;
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

        pub(crate) fn relax(_round: u32) {
            loom::thread::yield_now();
        }
    }
}

use hub::inbox::Inbox;
use hub::remote::{HubRef, Notify, Owner, Pool, Shared};
use loom::alloc::Track;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// A message whose body must have been published (loom reports a read that races with the write) and must be dropped
/// exactly once (loom reports a leak).
struct Mail {
    from: usize,
    number: usize,
    body: Track<UnsafeCell<usize>>,
}

impl Mail {
    fn new(from: usize, number: usize) -> Self {
        let mail = Self {
            from,
            number,
            body: Track::new(UnsafeCell::new(0)),
        };
        mail.body.get_ref().with_mut(|body| {
            // SAFETY: not shared yet; loom checks it.
            unsafe { *body = number };
        });
        mail
    }

    fn open(self) -> (usize, usize) {
        let body = self.body.get_ref().with(|body| {
            // SAFETY: received, so nobody else's; loom checks it.
            unsafe { *body }
        });
        assert_eq!(body, self.number);
        (self.from, self.number)
    }
}

/// Checks `f` in every schedule with at most two involuntary switches of thread, and with every value that a load may
/// return there. Without the bound a model of three threads does not end within minutes; the mistakes it is here
/// to find, listed above, all show within it.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(f);
}

/// What the owner has got from each of two senders, who number their messages from 0.
#[derive(Default)]
struct Got([usize; 2]);

impl Got {
    fn take(&mut self, mail: Mail) {
        let (from, number) = mail.open();
        assert_eq!(number, self.0[from], "lost, doubled or out of order");
        self.0[from] += 1;
    }

    fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

/// Drains and sleeps, as a hub does, until `total` messages are here.
fn run_owner(inbox: &Inbox<Mail>, poll: &loom::sync::Notify, got: &mut Got, total: usize) {
    loop {
        inbox.drain(|mail| got.take(mail));
        if got.total() == total {
            return;
        }
        if inbox.prepare_sleep() {
            poll.wait();
            inbox.awake();
        }
    }
}

fn producer(
    inbox: &Arc<Inbox<Mail>>,
    poll: &Arc<loom::sync::Notify>,
    from: usize,
    count: usize,
) -> thread::JoinHandle<()> {
    let (inbox, poll) = (Arc::clone(inbox), Arc::clone(poll));
    thread::spawn(move || {
        for number in 0..count {
            inbox.push(Mail::new(from, number), || poll.notify());
        }
    })
}

#[test]
fn a_sleeping_owner_is_woken_for_every_message() {
    model(|| {
        let inbox = Arc::new(Inbox::new());
        let poll = Arc::new(loom::sync::Notify::new());
        let producers = [producer(&inbox, &poll, 0, 2), producer(&inbox, &poll, 1, 1)];
        let mut got = Got::default();
        run_owner(&inbox, &poll, &mut got, 3);
        for thread in producers {
            thread.join().unwrap();
        }
        assert_eq!(got.0, [2, 1]);
        assert!(inbox.is_empty());
    });
}

#[test]
fn a_sleep_ended_by_other_means_costs_no_message() {
    model(|| {
        let inbox = Arc::new(Inbox::new());
        let poll = Arc::new(loom::sync::Notify::new());
        let producers = [producer(&inbox, &poll, 0, 1), producer(&inbox, &poll, 1, 1)];
        // A poll that a timer ended at once. A producer may hold the claim on this sleep for as long as it likes.
        if inbox.prepare_sleep() {
            inbox.awake();
        }
        let mut got = Got::default();
        run_owner(&inbox, &poll, &mut got, 2);
        for thread in producers {
            thread.join().unwrap();
        }
        assert_eq!(got.0, [1, 1]);
    });
}

#[test]
fn one_sleep_is_notified_once() {
    model(|| {
        let inbox = Arc::new(Inbox::new());
        let wakes = Arc::new(AtomicUsize::new(0));
        assert!(inbox.prepare_sleep());
        let producers = [0, 1].map(|from| {
            let (inbox, wakes) = (Arc::clone(&inbox), Arc::clone(&wakes));
            thread::spawn(move || {
                inbox.push(Mail::new(from, 0), || {
                    wakes.fetch_add(1, Ordering::Relaxed);
                });
            })
        });
        for thread in producers {
            thread.join().unwrap();
        }
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        let mut got = Got::default();
        inbox.drain(|mail| got.take(mail));
        assert_eq!(got.0, [1, 1]);
    });
}

/// A panic in the receiver puts the rest back while the same sender's later messages come from
/// another thread.
#[test]
fn what_a_failed_drain_puts_back_stays_in_order() {
    model(|| {
        let inbox = Arc::new(Inbox::new());
        inbox.push(Mail::new(0, 0), || {});
        inbox.push(Mail::new(0, 1), || {});
        let other = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || {
                inbox.push(Mail::new(0, 2), || {});
                inbox.push(Mail::new(0, 3), || {});
            })
        };
        let mut got = Got::default();
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            inbox.drain(|mail| {
                got.take(mail);
                std::panic::resume_unwind(Box::new(()));
            });
        }));
        assert!(failed.is_err());
        inbox.drain(|mail| got.take(mail));
        other.join().unwrap();
        inbox.drain(|mail| got.take(mail));
        assert_eq!(got.0, [4, 0]);
    });
}

/// A piece of a hub's memory that guests may read until the hub has closed.
struct Memory(UnsafeCell<bool>);

// SAFETY: that no write overlaps a read is what the gate is for; loom checks it.
unsafe impl Sync for Memory {}

impl Memory {
    fn is_alive(&self) -> bool {
        self.0.with(|alive| {
            // SAFETY: the owner writes it only after `close`; loom checks it.
            unsafe { *alive }
        })
    }

    fn end(&self) {
        self.0.with_mut(|alive| {
            // SAFETY: nobody is inside after `close`; loom checks it.
            unsafe { *alive = false };
        });
    }
}

/// The notifier of a hub.
struct Bell {
    hub: usize,
    poll: Arc<loom::sync::Notify>,
    memory: Arc<Memory>,
}

impl Bell {
    fn new(hub: usize) -> Self {
        Self {
            hub,
            poll: Arc::new(loom::sync::Notify::new()),
            memory: Arc::new(Memory(UnsafeCell::new(true))),
        }
    }

    /// What a guest may do.
    fn visit(&self, hub: usize) {
        assert_eq!(self.hub, hub, "inside another hub");
        assert!(self.memory.is_alive(), "inside a hub that has ended");
    }
}

impl Notify for Bell {
    fn notify(&self) {
        self.visit(self.hub);
        self.poll.notify();
    }
}

fn pool() -> &'static Pool<Mail, Bell> {
    Box::leak(Box::new(Mutex::new(Vec::new())))
}

/// Ends a hub as its thread does: closes it, and from then on does with its memory what it likes.
fn end(owner: Owner<Mail, Bell>, memory: &Memory, rest: impl FnMut(Mail)) {
    owner.close(rest);
    memory.end();
}

/// Sends messages to `hub` until one comes back. Returns how many were taken.
fn sender(
    hub: usize,
    handle: HubRef<Mail, Bell>,
    from: usize,
    count: usize,
) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        for number in 0..count {
            if let Some(inside) = handle.enter() {
                inside.with_notifier(|bell| bell.visit(hub));
            }
            if let Err(mail) = handle.send(Mail::new(from, number)) {
                assert_eq!(mail.open(), (from, number));
                assert!(handle.enter().is_none(), "a closed hub has opened again");
                return number;
            }
        }
        count
    })
}

#[test]
fn a_hub_sleeps_behind_its_gate_and_misses_nothing() {
    model(|| {
        let bell = Bell::new(1);
        let (poll, memory) = (Arc::clone(&bell.poll), Arc::clone(&bell.memory));
        let owner = Shared::open(pool(), bell);
        let senders = [0, 1].map(|from| {
            let handle = owner.handle();
            thread::spawn(move || {
                assert!(handle.send(Mail::new(from, 0)).is_ok());
            })
        });
        let mut got = Got::default();
        run_owner(owner.inbox(), &poll, &mut got, 2);
        end(owner, &memory, |_| panic!("everything was drained"));
        for thread in senders {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_message_to_a_closing_hub_is_delivered_or_comes_back() {
    model(|| {
        let bell = Bell::new(1);
        let memory = Arc::clone(&bell.memory);
        let owner = Shared::open(pool(), bell);
        let senders = [
            sender(1, owner.handle(), 0, 1),
            sender(1, owner.handle(), 1, 1),
        ];
        let mut got = Got::default();
        owner.inbox().drain(|mail| got.take(mail));
        end(owner, &memory, |mail| got.take(mail));
        let taken = senders.map(|sender| sender.join().unwrap());
        assert_eq!(got.0, taken);
    });
}

#[test]
fn a_message_never_reaches_a_later_hub() {
    model(|| {
        let pool = pool();
        let bell = Bell::new(1);
        let memory = Arc::clone(&bell.memory);
        let first = Shared::open(pool, bell);
        let old = first.handle();
        let to_first = sender(1, old, 0, 2);
        let mut got_first = Got::default();
        end(first, &memory, |mail| got_first.take(mail));

        let bell = Bell::new(2);
        let memory = Arc::clone(&bell.memory);
        let second = Shared::open(pool, bell);
        assert_eq!(pool.lock().unwrap().len(), 0, "the place is used again");
        assert!(old != second.handle());
        let to_second = sender(2, second.handle(), 1, 1);
        let mut got_second = Got::default();
        end(second, &memory, |mail| got_second.take(mail));

        assert_eq!(got_first.0, [to_first.join().unwrap(), 0]);
        assert_eq!(got_second.0, [0, to_second.join().unwrap()]);
    });
}
