//! The hot thread-local: everything a switch, a yield or a wake touches that is not in a control block.
//!
//! ```text
//! Hot (one per thread, const-initialised, no destructor: invariant 12)
//!   redirect ── null on real threads; a patched coroutine's private copy points to its owner's
//!   current  ── who runs: a greenlet, the root, or the hub (null: this thread has no greenlets yet)
//!   message  ── address of the value in flight, in the sender's frame
//!   queue    ── the run queue (a ring of control blocks)
//!   next     ── what the trampoline calls when the queue's batch is used up: the hub's turn
//!   root/hub ── control blocks of the thread's own stack and of its hub
//! ```
//!
//! No reference obtained here may be kept across a thread: `Hot` is `!Sync`, so the compiler sees to it.
//! This file may not resume or suspend anything, and knows nothing of hubs but a function pointer.

use core::cell::{Cell, UnsafeCell};
use core::mem::ManuallyDrop;
use core::num::NonZeroU64;
use core::ptr;

use super::control::{Control, ControlRef, State};
use super::error::Deadlock;
use super::probe::Probe;
use super::run_queue::RunQueue;
use super::seed::Seeds;
use crate::stack::Arena;

/// What stage of its life the thread's runtime is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// No greenlet was ever made here.
    Fresh,
    /// In use.
    Active,
    /// The copy that a forked child got, until it asks for a fresh one.
    Forked,
    /// The thread's destructors have begun: nothing may start any more.
    Ended,
}

/// See the file's head.
pub(crate) struct Hot {
    redirect: Cell<*const Hot>,
    /// Who runs now. `None` until the first greenlet of the thread, and again after its end.
    pub(crate) current: Cell<Option<ControlRef>>,
    /// Address of the value in flight; it lies in the frame of the sender, which is suspended meanwhile.
    pub(crate) message: Cell<*mut u8>,
    /// Runnable greenlets in order.
    pub(crate) queue: RunQueue,
    /// The engine's one upward edge: the hub's turn. Returns who runs next, with state and `current` set.
    pub(crate) next: Cell<fn(&'static Hot) -> ControlRef>,
    /// Source of inbox names and park epochs; never repeats, so that a stale one matches nothing.
    serial: Cell<u64>,
    /// Greenlets that are suspended or parked in the middle of an unwinding (invariant 7).
    pub(crate) unwinding: Cell<u32>,
    /// How often that count was wiped.
    pub(super) slate: Cell<u32>,
    /// Slots in use on this thread, or promised.
    pub(crate) live: Cell<u32>,
    pub(crate) phase: Cell<Phase>,
    /// The dead greenlet whose outcome is in flight.
    pub(crate) dead: Cell<Option<ControlRef>>,
    /// Where process-unique ids are taken from: the rest of this thread's block.
    ids: Cell<(u64, u64)>,
    /// The hub's own data, typed there.
    pub(crate) hub_data: Cell<*const ()>,
    /// What main's hopeless wait is to report.
    deadlock: ManuallyDrop<Cell<Option<Deadlock>>>,
    /// Who looks at a stack, and what has been seen of it.
    pub(super) probe: ManuallyDrop<Cell<Option<Probe>>>,
    /// Called when the thread ends, before the arena goes: the hub's own end.
    pub(crate) at_end: Cell<Option<fn(&'static Hot)>>,
    /// Drops what the layers above hang on a greenlet that is no task of theirs.
    pub(crate) drop_ext: Cell<Option<fn(ControlRef)>>,
    /// Who was traced last.
    pub(crate) traced: Cell<Option<ControlRef>>,
    pub(crate) arena: ManuallyDrop<UnsafeCell<Arena>>,
    pub(super) seeds: ManuallyDrop<UnsafeCell<Seeds>>,
    /// The thread's own stack.
    pub(crate) root: ManuallyDrop<Control>,
    /// The hub: never resumed, it stands in `current` while the trampoline decides.
    pub(crate) hub: ManuallyDrop<Control>,
}

fn no_hub(_: &'static Hot) -> ControlRef {
    unreachable!("a thread without a hub parked a greenlet")
}

/// Ids handed to a thread at a time.
const ID_BLOCK: u64 = 1 << 12;

impl Hot {
    const fn new() -> Self {
        Self {
            redirect: Cell::new(ptr::null()),
            current: Cell::new(None),
            message: Cell::new(ptr::null_mut()),
            queue: RunQueue::new(),
            next: Cell::new(no_hub),
            // 0 means "no inbox"; the first few are names with a meaning of their own (control.rs).
            serial: Cell::new(super::control::FIRST_SERIAL),
            unwinding: Cell::new(0),
            slate: Cell::new(0),
            live: Cell::new(0),
            phase: Cell::new(Phase::Fresh),
            dead: Cell::new(None),
            ids: Cell::new((0, 0)),
            hub_data: Cell::new(ptr::null()),
            deadlock: ManuallyDrop::new(Cell::new(None)),
            probe: ManuallyDrop::new(Cell::new(None)),
            at_end: Cell::new(None),
            drop_ext: Cell::new(None),
            traced: Cell::new(None),
            arena: ManuallyDrop::new(UnsafeCell::new(Arena::new())),
            seeds: ManuallyDrop::new(UnsafeCell::new(Seeds::new())),
            root: ManuallyDrop::new(Control::new_native(State::Live)),
            hub: ManuallyDrop::new(Control::new_native(State::Live)),
        }
    }

    /// A number that this thread never gave out before.
    #[inline]
    pub(crate) fn serial(&self) -> u64 {
        let n = self.serial.get();
        self.serial.set(n + 1);
        n
    }

    /// A number that this process never gave out before.
    #[inline]
    pub(crate) fn unique_id(&self) -> NonZeroU64 {
        let (next, end) = self.ids.get();
        let id = if next != end {
            self.ids.set((next + 1, end));
            next
        } else {
            self.id_block()
        };
        // SAFETY: blocks begin at 1 and 2^64 ids are never used up.
        unsafe { NonZeroU64::new_unchecked(id) }
    }

    #[cold]
    fn id_block(&self) -> u64 {
        use core::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let first = NEXT.fetch_add(ID_BLOCK, Ordering::Relaxed);
        self.ids.set((first + 1, first + ID_BLOCK));
        first
    }

    /// The control block of the thread's own stack.
    #[inline]
    pub(crate) fn root(&'static self) -> ControlRef {
        ControlRef::of(&self.root)
    }

    /// The control block that stands for the hub.
    #[inline]
    pub(crate) fn hub(&'static self) -> ControlRef {
        ControlRef::of(&self.hub)
    }

    /// Leaves a deadlock for main to find.
    pub(crate) fn set_deadlock(&self, d: Deadlock) {
        self.deadlock.set(Some(d));
    }

    /// Takes it.
    pub(crate) fn take_deadlock(&self) -> Deadlock {
        self.deadlock.take().unwrap_or_else(Deadlock::alone)
    }

    /// Drops what the layers above hang on `c`, and says whether there was any. Runs user code if `c` runs.
    pub(crate) fn drop_ext_of(&self, c: ControlRef) -> bool {
        let Some(drop_ext) = self.drop_ext.get() else {
            return false;
        };
        let any = !c.upper.ext.get().is_null();
        if any {
            drop_ext(c);
        }
        any
    }

    /// Runs `f` on this thread's stacks.
    ///
    /// `f` may not call user code (no destructor, no closure of theirs): the borrow is exclusive.
    #[inline]
    pub(crate) fn with_arena<R>(&self, f: impl FnOnce(&mut Arena) -> R) -> R {
        // SAFETY: invariants 4 and 5: `Hot` is one thread's, every caller passes a closure of this crate that
        // neither switches nor runs user code, so no second borrow can begin before this one ends.
        f(unsafe { &mut *self.arena.get() })
    }

    /// Runs `f` on this thread's seeds. As for [`with_arena`](Self::with_arena), `f` may not call user code.
    #[inline]
    pub(crate) fn with_seeds<R>(&self, f: impl FnOnce(&mut Seeds) -> R) -> R {
        // SAFETY: as in `with_arena`.
        f(unsafe { &mut *self.seeds.get() })
    }
}

thread_local! {
    // `const` and free of drop glue, so that reaching it is one address computation.
    static HOT: Hot = const { Hot::new() };
}

/// This thread's hot data. Valid to the very end of the thread, also in thread-local destructors.
#[inline]
pub(crate) fn hot() -> &'static Hot {
    let hot = here();
    let to = hot.redirect.get();
    // SAFETY: invariant 12: null, or the hot data of the thread that this one's stack belongs to.
    unsafe { to.as_ref() }.unwrap_or(hot)
}

/// This thread-local's own copy, for the fast paths: a coroutine with thread-locals of its own has one in which nobody is
/// `current`, so that every fast path is refused, and the slow one asks [`hot`].
#[inline(always)]
pub(crate) fn here() -> &'static Hot {
    HOT.with(|h| {
        let h: *const Hot = h;
        // SAFETY: invariant 12: a thread-local without a destructor lives as long as its thread, and `Hot` is `!Sync` so
        // that the reference cannot leave it.
        unsafe { &*h }
    })
}

const _: () = assert!(!core::mem::needs_drop::<Hot>());
