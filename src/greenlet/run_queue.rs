//! The run queue: a ring of pointers with room for every greenlet of the thread.
//!
//! A greenlet is in the queue at most once (invariant 3), and the ring is grown when greenlets are made, so `push`
//! needs no check and never allocates. A ring, not a list through the control blocks: the entry a few ahead can be
//! prefetched, which at a million greenlets is worth more than anything else here.
//!
//! ```text
//! slots   [ . . A B C D . . ]     head -> A, tail -> first free
//!               ^head   ^tail     counters only grow; `& mask` finds the place
//! ```
//!
//! An entry is a control block, or the seed of a task that had none when it was queued (seed.rs).
//!
//! `budget` counts down the picks left in this turn; at zero the hub gets its turn even if entries are left
//! (invariant 11). This file may not look into a control block, but for the hint of how deep its frames are.

use core::cell::Cell;
use core::ptr;

use super::control::ControlRef;
use super::seed::{Entry, Subject};

/// How many entries ahead of the one picked the control block is fetched into the cache.
const CONTROL_AHEAD: u32 = 8;

/// How many entries ahead the frames are: later, since the control block says where they are.
const FRAMES_AHEAD: u32 = 4;

/// The mask of a ring that serves so many greenlets that their frames are prefetched too. With fewer, the caches hold
/// most of them, and prefetching them costs more than it spares.
const MANY: u32 = (1 << 15) - 1;

/// See the file's head.
pub(crate) struct RunQueue {
    slots: Cell<*mut Option<Entry>>,
    mask: Cell<u32>,
    head: Cell<u32>,
    tail: Cell<u32>,
    budget: Cell<u32>,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Cell::new(ptr::null_mut()),
            mask: Cell::new(0),
            head: Cell::new(0),
            tail: Cell::new(0),
            budget: Cell::new(0),
        }
    }

    /// Makes room for `n` entries in all. Allocates when it has to grow.
    #[inline]
    pub(crate) fn reserve(&self, n: u32) {
        // Without a ring, the mask is 0.
        if n > self.mask.get() {
            self.grow(n);
        }
    }

    #[cold]
    fn grow(&self, n: u32) {
        let capacity = (n + 1).next_power_of_two().max(64);
        let new: Box<[Option<Entry>]> = (0..capacity).map(|_| None).collect();
        let new = Box::into_raw(new).cast::<Option<Entry>>();
        let (head, tail) = (self.head.get(), self.tail.get());
        let mut i = head;
        while i != tail {
            // SAFETY: both indices are masked by their ring's size; the field `slots` owns a ring of `mask + 1`.
            unsafe {
                *new.add((i & (capacity - 1)) as usize) =
                    *self.slots.get().add((i & self.mask.get()) as usize);
            }
            i = i.wrapping_add(1);
        }
        self.release();
        self.slots.set(new);
        self.mask.set(capacity - 1);
    }

    /// Frees the ring. What is queued is forgotten.
    pub(crate) fn release(&self) {
        let old = self.slots.replace(ptr::null_mut());
        if !old.is_null() {
            let len = self.mask.replace(0) as usize + 1;
            // SAFETY: `grow` made it from a boxed slice of exactly this length, and the field was cleared first.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(old, len)) });
        }
    }

    /// Forgets what is queued (a forked child, the thread's end).
    pub(crate) fn clear(&self) {
        self.head.set(self.tail.get());
        self.budget.set(0);
    }

    /// Appends a greenlet that is not queued yet.
    #[inline(always)]
    pub(crate) fn push(&self, c: impl Into<Entry>) {
        let tail = self.tail.get();
        debug_assert!(tail.wrapping_sub(self.head.get()) <= self.mask.get());
        // SAFETY: invariant 3: each live greenlet is queued at most once and `reserve` made room for all of them.
        unsafe { *self.slots.get().add((tail & self.mask.get()) as usize) = Some(c.into()) };
        self.tail.set(tail.wrapping_add(1));
    }

    /// Takes the oldest entry, if the turn's budget allows another and there is one.
    #[inline(always)]
    pub(crate) fn pop_in_budget(&self) -> Option<Subject> {
        let head = self.head.get();
        let budget = self.budget.get();
        if head == self.tail.get() || budget == 0 {
            return None;
        }
        self.budget.set(budget - 1);
        self.head.set(head.wrapping_add(1));
        // SAFETY: masked indices into the ring that the field owns; entries between head and tail are filled. What lies
        // beyond the tail is none, or a greenlet that was queued once, whose control block may be read for a hint.
        unsafe {
            let slots = self.slots.get();
            let mask = self.mask.get();
            let ahead = |n: u32| *slots.add((head.wrapping_add(n) & mask) as usize);
            prefetch_control(ahead(CONTROL_AHEAD));
            if mask >= MANY {
                ahead(FRAMES_AHEAD).inspect(|e| prefetch_rest(*e));
            }
            ahead(0).map(Entry::subject)
        }
    }

    /// Lets the entry that is `n` behind the oldest change places with it: it is taken next. For a scheduler that does
    /// not go by age.
    pub(crate) fn bring_forward(&self, n: u32) {
        assert!(n < self.len(), "only {} are queued", self.len());
        let (head, mask) = (self.head.get(), self.mask.get());
        // SAFETY: masked indices into the ring that the field owns; both lie between head and tail.
        unsafe {
            let slots = self.slots.get();
            ptr::swap(
                slots.add((head & mask) as usize),
                slots.add((head.wrapping_add(n) & mask) as usize),
            );
        }
    }

    /// If there is no entry and the turn's budget allows a pick, uses that up: the caller has picked another way.
    #[inline]
    pub(super) fn spend_if_empty(&self) -> bool {
        let budget = self.budget.get();
        let empty = self.head.get() == self.tail.get() && budget != 0;
        if empty {
            self.budget.set(budget - 1);
        }
        empty
    }

    /// A number that changes whenever an entry is taken.
    #[inline(always)]
    pub(crate) fn picks(&self) -> u32 {
        self.head.get()
    }

    /// Entries waiting.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.tail.get().wrapping_sub(self.head.get())
    }

    /// Sets how many picks the turn may still make; zero makes the next pick a turn of the hub.
    #[inline]
    pub(crate) fn set_budget(&self, n: u32) {
        self.budget.set(n);
    }
}

/// Lines below the control block in which the frames of a greenlet that switches lie, its outermost ones included.
const TOP_LINES: usize = 5;

/// Lines of frames that are fetched from where they end upwards: what a park returns through, and its caller.
const FRAME_LINES: usize = 9;

/// What suspending stores below the frame that says where the frames end.
const SAVED: usize = 40;

/// Brings the first line of a control block or a seed near, and with it the page's translation.
#[inline(always)]
fn prefetch_control(entry: Option<Entry>) {
    // None is the null pointer: to fetch it does nothing, and costs less than to look.
    prefetch_line(entry.map_or(ptr::null(), Entry::line));
}

/// Brings near what else is needed to run what an entry names.
#[inline]
fn prefetch_rest(entry: Entry) {
    match entry.subject() {
        Subject::Control(c) => prefetch_frames(c),
        // A stack that was used just now is near already.
        Subject::Seed(_) => prefetch_line(entry.line().wrapping_add(64)),
    }
}

/// Brings near what a wake touches: both lines of the control block, without reading them; and the header behind it, in which a
/// task's end notes that.
#[inline]
pub(crate) fn prefetch_for_wake(c: ControlRef) {
    let control = c.as_ptr();
    prefetch_line(control.cast());
    prefetch_line(control.cast::<i8>().wrapping_add(64));
    prefetch_line(control.wrapping_add(1).cast());
}

/// Brings near what it takes to run one that was just woken, and to end it: its frames, and the record of a seed. Reads the control
/// block.
#[inline]
pub(crate) fn prefetch_for_run(c: ControlRef) {
    prefetch_frames(c);
    prefetch_line(c.body.get().cast_const().cast());
}

/// Brings the frames near that run first. Reads the control block, which was prefetched a few picks before.
///
/// No more than those: lines that are not needed are fetched in place of others that are.
#[inline]
fn prefetch_frames(c: ControlRef) {
    let control = c.as_ptr().cast::<i8>();
    // Where the resumer's place is noted.
    prefetch_line(control.wrapping_sub(64));
    let lines = (c.frames_below() + SAVED).div_ceil(64);
    for n in 0..lines.min(FRAME_LINES) {
        prefetch_line(control.wrapping_sub(64 * (lines - n)));
    }
}

/// Brings the control block near and what lies right below it, without reading either.
#[inline]
pub(super) fn prefetch_top(c: ControlRef) {
    let control = c.as_ptr().cast::<i8>();
    for n in 0..=TOP_LINES {
        prefetch_line(control.wrapping_sub(64 * n));
    }
}

#[inline(always)]
fn prefetch_line(line: *const i8) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
