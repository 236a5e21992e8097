//! The control block: what the crate knows about one greenlet, in the top page of its stack's slot.
//!
//! ```text
//!  slot                                                          high addresses
//!  | guard | stack  …  frames | body or value | Control | SlotHeader | colour |
//! ```
//!
//! The state (invariant 3: this byte, `waiting` and the run queue together are the one state; every row not listed
//! is forbidden):
//!
//! | state    | `waiting` | in run queue | meaning                                                              |
//! | -------- | --------- | ------------ | -------------------------------------------------------------------- |
//! | Free     | 0         | no           | nobody lives here (also what a page of zeros says)                     |
//! | New      | inbox     | no           | never ran; a switch to its inbox starts it                            |
//! | New      | 0         | no           | a task that waits for its start time, or an unbound greenlet          |
//! | Runnable | 0         | yes          | will run (or start)                                                   |
//! | Live     | 0         | no           | runs: it is `Hot::current` (or main under the trampoline)             |
//! | Live     | 0         | no           | `ENDING`: never ran, its captures are being dropped                   |
//! | Live     | inbox     | no           | suspended in `switch`, `receive` or one of the engine's own waits     |
//! | Parked   | 0         | no           | waits for a wake with the current `park_epoch`                        |
//! | Dead     | 0         | no           | ended; its outcome may still be fetched                               |
//!
//! Numbers in `waiting` are never reused on a thread, so one comparison tells that the handle's greenlet is alive,
//! suspended, and waiting for just that kind of message. Every field is a `Cell` and valid as zeros: a control block
//! may be read through a stale handle at any time while its thread lives, and what is read then matches nothing.
//!
//! This file may not switch, and takes no decision about who runs next.

use core::any::Any;
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::num::NonZeroU64;
use core::panic::Location;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::Arc;

use corosensei::{Coroutine, Yielder};

use super::interrupt::Deadlines;
use crate::stack::{Slot, SlotStack, StackSize};

/// The coroutine type that all greenlets use: values travel beside it. A suspension yields whom control is for;
/// `None` is the hub.
pub(super) type Co = Coroutine<(), Option<ControlRef>, (), SlotStack>;

/// Payload of a panic, of a `throw`, of a kill.
pub(crate) type Payload = Box<dyn Any + Send>;

/// `waiting`: in `kill`, until the victim is dead. No handle names it.
pub(crate) const INBOX_KILLING: u64 = 1;
/// `waiting`: in `Generator::next`.
pub(crate) const INBOX_GENERATOR: u64 = 2;
/// `waiting`: in `Yield::yield_`.
pub(crate) const INBOX_YIELD: u64 = 3;
/// The first number handed out.
pub(crate) const FIRST_SERIAL: u64 = 16;

/// See the table at the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free = 0,
    New,
    Runnable,
    Live,
    Parked,
    Dead,
}

/// How a greenlet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ending {
    /// It has not, or the outcome was fetched.
    None = 0,
    /// The value lies in the body's place.
    Returned,
    /// The payload lies in `payload`.
    Panicked,
    /// Killed.
    Exited,
}

/// What lies in `attention`. All zero: nothing to look at, the fast path goes on.
pub(crate) mod attention {
    /// What control arrived with; 0 is an ordinary value at `Hot::message`.
    pub(crate) const KIND: u32 = 0b111;
    /// A child ended: `Hot::dead` holds it and its outcome.
    pub(crate) const CHILD: u32 = 1;
    /// An exception: `Hot::message` is the address of an `Option<Payload>`.
    pub(crate) const THROWN: u32 = 2;
    /// The hub resumed a wait in `switch`: look at pending outcomes, kills, deadlines.
    pub(crate) const WOKEN: u32 = 3;
    /// The victim of this greenlet's `kill` is dead.
    pub(crate) const KILLED: u32 = 4;
    /// Control was handed on because nobody was there to take a value (a dead parent's scope opener).
    pub(crate) const ORPHAN: u32 = 5;

    /// A kill was asked for and is to be delivered at the next wait.
    pub(crate) const KILL: u32 = 1 << 3;
    /// Outcomes of children are pending.
    pub(crate) const PENDING: u32 = 1 << 4;
    /// A trace function is set on this thread.
    pub(crate) const TRACE: u32 = 1 << 5;
    /// There are `timeout` scopes to look at.
    pub(crate) const DEADLINE: u32 = 1 << 6;
    /// The hub itself, or the greenlet that forked in the child: only the slow paths are right.
    pub(crate) const UNUSUAL: u32 = 1 << 8;
    /// The hub found that main's wait can never end.
    pub(crate) const DEADLOCK: u32 = 1 << 7;
    /// Somebody looks at its stack: it answers and waits on (probe.rs).
    pub(crate) const PROBE: u32 = 1 << 10;
    /// Was unwinding when that was last known for certain (invariant 7).
    pub(crate) const UNWINDS: u32 = 1 << 9;
}

/// Bits of `Control::flags`.
pub(crate) mod flag {
    /// Something lies in the cold part that is to be cleared at the end.
    pub(crate) const COLD: u16 = 1 << 8;
    /// Where the class of the slot begins: two bits.
    pub(crate) const CLASS: u32 = 9;
    /// The body has begun (a Runnable greenlet may still be unstarted).
    pub(crate) const STARTED: u16 = 1;
    /// Never ran and never will: its captures are being dropped (ending.rs).
    pub(crate) const ENDING: u16 = 1 << 1;
    /// Its scope is ending: a body that swallows a hundred kills aborts the process.
    pub(crate) const CLOSING: u16 = 1 << 2;
    /// Made by `unbound` and not bound yet.
    pub(crate) const UNBOUND: u16 = 1 << 3;
    /// Ends in the hub, like a task.
    pub(crate) const TASK: u16 = 1 << 4;
    /// A generator: ends at whoever asks for the next item.
    pub(crate) const GENERATOR: u16 = 1 << 5;
    /// Does not keep the hub alive.
    pub(crate) const DAEMON: u16 = 1 << 6;
    /// The type of its own inbox is `'static` for certain (`Current::publish`).
    pub(crate) const PUBLISHED: u16 = 1 << 7;
    /// May have begun to unwind before it was suspended last (unwinding.rs).
    pub(crate) const UNSURE: u16 = 1 << 11;
    /// Grown from a seed, in which its body lies and its outcome goes (seed.rs).
    pub(crate) const SEEDED: u16 = 1 << 12;
}

/// What the layers above keep in a control block, without its type.
#[derive(Debug)]
pub(crate) struct Upper {
    /// park: the wait in progress (`park::Frame`).
    pub(crate) wait: Cell<*const ()>,
    /// task: the node of who joins.
    pub(crate) joiner: Cell<*const ()>,
    /// task: locals, links; boxed, made when first needed.
    pub(crate) ext: Cell<*mut ()>,
    /// task: state of the handle.
    pub(crate) handle: Cell<u8>,
}

impl Upper {
    const fn new() -> Self {
        Self {
            wait: Cell::new(ptr::null()),
            joiner: Cell::new(ptr::null()),
            ext: Cell::new(ptr::null_mut()),
            handle: Cell::new(0),
        }
    }
}

/// The typed operations on what lies in the body's place.
#[derive(Debug)]
pub(crate) struct BodyTable {
    /// Runs the body to its end and records the outcome. Never unwinds.
    pub(super) run: unsafe fn(ControlRef),
    /// Drops a body that never ran, in its place.
    pub(super) drop_body: unsafe fn(*mut u8),
    /// Drops a value that nobody fetched, in the body's place.
    pub(super) drop_value: unsafe fn(*mut u8),
    /// Whether dropping the value does anything (it may lie in a box).
    pub(super) value_needs_drop: bool,
    /// The type of the own inbox, lifetimes erased.
    pub(super) inbox_type: fn() -> core::any::TypeId,
    /// Called last on the dying greenlet's own stack: names the successor in `Hot::current`.
    pub(super) finish: fn(ControlRef),
}

/// An inbox that a scope opened on an existing greenlet; lives in the scope's frame.
#[derive(Debug)]
pub(crate) struct OpenInbox {
    pub(crate) id: u64,
    /// Its type, lifetimes erased.
    pub(crate) type_id: core::any::TypeId,
    /// Its type is `'static` for certain (`Current::publish`).
    pub(crate) published: Cell<bool>,
    pub(crate) outer: *const OpenInbox,
}

/// See the file's head.
#[repr(C, align(64))]
pub(crate) struct Control {
    // First line: all that a switch touches.
    pub(crate) waiting: Cell<u64>,
    pub(crate) attention: Cell<u32>,
    /// Place in the chain of nested resumes when it last ran: 0 for what lives on the thread's own stack.
    pub(crate) depth: Cell<u8>,
    pub(crate) state: StateCell,
    pub(crate) ending: Cell<Ending>,
    /// Deliveries of its kill so far; stays at the maximum.
    pub(crate) kills: Cell<u8>,
    pub(crate) shield: Cell<u32>,
    pub(crate) flags: Cell<u16>,
    /// The low bits of the address that its frames reached when it gave way to the hub last, or will at first.
    frames_end: Cell<u16>,
    pub(super) yielder: Cell<*const Yielder<(), Option<ControlRef>>>,
    pub(super) co: UnsafeCell<MaybeUninit<Co>>,

    // Second line: wakes and identity; with the header, all else that a plain task touches.
    pub(crate) park_epoch: Cell<u64>,
    /// Also read by other threads, inside the hub's gate.
    pub(crate) id: IdCell,
    pub(super) table: Cell<Option<&'static BodyTable>>,
    pub(super) body: Cell<*mut u8>,
    pub(crate) upper: Upper,

    // The cold part: whoever fills anything in here that does not go by itself sets `flag::COLD`.
    /// park: the word on which a wait is granted or given up, by one compare-and-swap (invariant 14). Other threads reach
    /// it inside the hub's gate. Never cleared: it names one wait for all time.
    pub(crate) grant: AtomicU64,
    pub(crate) parent: Cell<Option<ControlRef>>,
    pub(crate) parent_inbox: Cell<u64>,
    /// The inbox it was born with (0 for tasks and the root).
    pub(crate) own_inbox: Cell<u64>,
    /// Inboxes that scopes opened here, innermost first.
    pub(crate) open: Cell<*const OpenInbox>,
    /// Who waits in `kill` for its end; more of them through `next_killer` of each.
    pub(super) killer: Cell<Option<ControlRef>>,
    pub(super) next_killer: Cell<Option<ControlRef>>,
    /// The victim of its own `kill`, while it waits there; of an `ENDING` one, who drops its captures.
    pub(super) waits_for: Cell<Option<ControlRef>>,
    /// Dead children whose outcome was not fetched, oldest first, through their `next_pending`.
    pub(super) pending: Cell<Option<ControlRef>>,
    pub(super) next_pending: Cell<Option<ControlRef>>,
    /// The scope that owns it: its core, and its neighbours there.
    pub(super) scope: Cell<*const super::scope::Core>,
    pub(super) scope_prev: Cell<Option<ControlRef>>,
    pub(super) scope_next: Cell<Option<ControlRef>>,
    pub(crate) deadlines: Deadlines,
    name: UnsafeCell<Option<Arc<str>>>,
    payload: UnsafeCell<Option<Payload>>,
}

#[cfg(not(feature = "sanitizer"))]
const _: () = assert!(core::mem::offset_of!(Control, park_epoch) == 64);
#[cfg(not(feature = "sanitizer"))]
const _: () = assert!(core::mem::offset_of!(Control, grant) == 128);

/// The state, as a `Cell` would hold it; other threads read it inside the hub's gate.
pub(crate) struct StateCell(AtomicU8);

impl StateCell {
    #[inline(always)]
    pub(crate) fn get(&self) -> State {
        match self.0.load(Ordering::Acquire) {
            0 => State::Free,
            1 => State::New,
            2 => State::Runnable,
            3 => State::Live,
            4 => State::Parked,
            _ => State::Dead,
        }
    }

    #[inline(always)]
    pub(crate) fn set(&self, state: State) {
        self.0.store(state as u8, Ordering::Release);
    }
}

/// The id, as a `Cell` would hold it; other threads read it inside the hub's gate.
pub(crate) struct IdCell(AtomicU64);

impl IdCell {
    pub(super) const fn new(id: u64) -> Self {
        Self(AtomicU64::new(id))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn set(&self, id: u64) {
        self.0.store(id, Ordering::Relaxed);
    }
}

/// A control block of this thread. Copy, one word, `!Send`; may be stale (see the file's head).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct ControlRef(&'static Control);

impl core::ops::Deref for ControlRef {
    type Target = Control;
    #[inline(always)]
    fn deref(&self) -> &Control {
        self.0
    }
}

impl PartialEq for ControlRef {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Eq for ControlRef {}

impl ControlRef {
    /// For the two control blocks that live in `Hot`.
    #[inline(always)]
    pub(super) fn of(c: &'static Control) -> Self {
        Self(c)
    }

    /// The control block below a slot's header.
    ///
    /// # Safety
    /// The slot must belong to this thread's arena and be mapped; it is never unmapped while the thread can still run
    /// code that holds the result (invariant 9; `Phase::Ended` refuses handles after that).
    #[inline(always)]
    pub(crate) unsafe fn in_slot(slot: Slot) -> Self {
        // SAFETY: the caller's promise; `top` is 64-aligned, and all bytes are valid as a Control, zeros included.
        Self(unsafe { &*(slot.top() as *const Control).sub(1) })
    }

    /// A control block whose address went through another thread.
    ///
    /// # Safety
    /// `address` came from `as_ptr` on this same thread, whose arena still stands (the hub's generation was checked).
    #[inline(always)]
    pub(crate) unsafe fn from_address(address: usize) -> Self {
        // SAFETY: the caller's promise (invariant 1).
        Self(unsafe { &*(address as *const Control) })
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *const Control {
        self.0
    }

    /// The word on which its waits are granted.
    #[inline(always)]
    pub(crate) fn grant_word(self) -> &'static AtomicU64 {
        &self.0.grant
    }

    /// The address, for messages that travel through other threads.
    #[inline(always)]
    pub(crate) fn address(self) -> usize {
        ptr::from_ref(self.0) as usize
    }
}

impl Control {
    /// The control block of a stack that the engine did not make.
    pub(super) const fn new_native(state: State) -> Self {
        Self {
            waiting: Cell::new(0),
            attention: Cell::new(0),
            depth: Cell::new(0),
            state: StateCell(AtomicU8::new(state as u8)),
            ending: Cell::new(Ending::None),
            kills: Cell::new(0),
            shield: Cell::new(0),
            flags: Cell::new(flag::STARTED),
            frames_end: Cell::new(0),
            yielder: Cell::new(ptr::null()),
            co: UnsafeCell::new(MaybeUninit::uninit()),
            park_epoch: Cell::new(0),
            id: IdCell::new(0),
            table: Cell::new(None),
            body: Cell::new(ptr::null_mut()),
            upper: Upper::new(),
            grant: AtomicU64::new(0),
            parent: Cell::new(None),
            parent_inbox: Cell::new(0),
            own_inbox: Cell::new(0),
            open: Cell::new(ptr::null()),
            killer: Cell::new(None),
            next_killer: Cell::new(None),
            waits_for: Cell::new(None),
            pending: Cell::new(None),
            next_pending: Cell::new(None),
            scope: Cell::new(ptr::null()),
            scope_prev: Cell::new(None),
            scope_next: Cell::new(None),
            deadlines: Deadlines::new(),
            name: UnsafeCell::new(None),
            payload: UnsafeCell::new(None),
        }
    }

    /// Fills in what a native stack has from birth.
    pub(super) fn begin_native(&self, id: u64) {
        self.id.set(id);
    }

    /// Fills in the parts that a fresh or reused slot does not hold as zeros already.
    #[inline(always)]
    pub(super) fn begin(&self, slot: Slot, id: NonZeroU64, flags: u16) {
        self.flags.set(flags | (slot.size() as u16) << flag::CLASS);
        self.id.set(id.get());
        self.depth.set(1);
    }

    /// Gives it another id, before anybody has seen the first.
    pub(crate) fn rename(&self, id: NonZeroU64) {
        self.id.set(id.get());
        if let Some((slot, site)) = self.slot().zip(self.site()) {
            slot.open(id, site);
        }
    }

    /// The id while alive, else 0. May be called by another thread inside the hub's gate.
    #[inline]
    pub(crate) fn alive(&self) -> u64 {
        match self.state.get() {
            State::Free | State::Dead => 0,
            _ => self.id.get(),
        }
    }

    /// It has ended.
    #[inline(always)]
    pub(super) fn end(&self) {
        self.waiting.set(0);
        self.state.set(State::Dead);
    }

    #[inline(always)]
    pub(crate) fn has(&self, bits: u16) -> bool {
        self.flags.get() & bits != 0
    }

    #[inline(always)]
    pub(crate) fn set_flag(&self, bits: u16) {
        self.flags.set(self.flags.get() | bits);
    }

    #[inline(always)]
    pub(crate) fn clear_flag(&self, bits: u16) {
        self.flags.set(self.flags.get() & !bits);
    }

    #[inline(always)]
    pub(crate) fn attend(&self, bits: u32) {
        self.attention.set(self.attention.get() | bits);
    }

    #[inline(always)]
    pub(crate) fn ignore(&self, bits: u32) {
        self.attention.set(self.attention.get() & !bits);
    }

    /// Notes how far down its frames reach, as it is made or gives way to the hub.
    #[inline(always)]
    pub(super) fn set_frames_end(&self, address: usize) {
        // The low bits tell the distance to the control block in all but the larger stacks: it is only a hint.
        self.frames_end.set(address as u16);
    }

    /// How many bytes below the control block its frames ended when it gave way to the hub last: a hint for
    /// prefetching, which may be wrong.
    #[inline(always)]
    pub(super) fn frames_below(&self) -> usize {
        let here = ptr::from_ref(self).addr() as u16;
        here.wrapping_sub(self.frames_end.get()).into()
    }

    /// Whether it is suspended in a switch-like wait.
    #[inline(always)]
    pub(crate) fn is_suspended(&self) -> bool {
        self.state.get() == State::Live && self.waiting.get() != 0
    }

    /// The thread's own stack (not the hub, not a slot).
    #[inline(always)]
    pub(crate) fn is_native(&self) -> bool {
        self.depth.get() == 0
    }

    /// The slot it lives in; native stacks have none.
    #[inline]
    pub(crate) fn slot(&self) -> Option<Slot> {
        if self.is_native() {
            return None;
        }
        let size = match self.flags.get() >> flag::CLASS & 0b11 {
            0 => StackSize::K64,
            1 => StackSize::K256,
            _ => StackSize::M1,
        };
        Some(self.slot_of(size))
    }

    /// As [`slot`](Self::slot), for one that lives in a slot of this class.
    #[inline]
    pub(super) fn slot_of(&self, size: StackSize) -> Slot {
        let header = ptr::from_ref(self)
            .cast::<u8>()
            .wrapping_add(size_of::<Self>())
            .cast_mut()
            .cast();
        // SAFETY: the header follows the control block (`in_slot`), so it is not at 0; the class was noted by `begin`, and
        // callers that name it know it. Whether the slot is live is the caller's concern as for every use of a control
        // block that may be stale (the file's head).
        unsafe { Slot::from_header(NonNull::new_unchecked(header), size) }
    }

    /// Where it was spawned.
    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        self.slot()?.site()
    }

    /// The name, if it has one.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        // SAFETY: invariant 1 (one thread) and invariant 4: cloning an Arc runs no user code, so the shared borrow
        // cannot overlap a `set_name`.
        unsafe { (*self.name.get()).clone() }
    }

    /// Replaces the name.
    pub(crate) fn set_name(&self, name: Option<Arc<str>>) {
        self.set_flag(flag::COLD);
        if let Some(slot) = self.slot() {
            // SAFETY: the text lies in the Arc that is kept in `name` until the next call, or `reset`.
            unsafe { slot.set_name(name.as_deref().unwrap_or("")) };
        }
        // SAFETY: as in `name`; dropping an `Arc<str>` runs no user code.
        unsafe { *self.name.get() = name };
    }

    /// Puts the payload of a panic away until somebody takes it.
    pub(crate) fn set_payload(&self, payload: Payload) {
        self.set_flag(flag::COLD);
        // SAFETY: invariant 1; the old value is always `None` here (a greenlet ends once), so nothing is dropped.
        unsafe { *self.payload.get() = Some(payload) };
    }

    /// Takes the payload.
    pub(crate) fn take_payload(&self) -> Option<Payload> {
        // SAFETY: invariant 1; moving out runs no user code.
        unsafe { (*self.payload.get()).take() }
    }

    /// Returns to zeros what a life may have left behind, so that `begin` need not.
    #[inline]
    pub(super) fn reset(&self) {
        self.state.set(State::Free);
        self.ending.set(Ending::None);
        self.attention.set(0);
        self.id.set(0);
        self.shield.set(0);
        self.kills.set(0);
        self.park_epoch.set(0);
        self.upper.handle.set(0);
        if self.has(flag::COLD) {
            self.reset_cold();
        }
    }

    #[cold]
    fn reset_cold(&self) {
        self.parent.set(None);
        self.own_inbox.set(0);
        self.waits_for.set(None);
        // The next one here may be of no scope at all.
        self.scope.set(ptr::null());
        self.set_name(None);
    }
}

impl core::fmt::Debug for ControlRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "greenlet {} ({:?})", self.id.get(), self.state.get())
    }
}
