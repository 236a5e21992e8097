//! The engine: the only file that resumes or suspends a coroutine (invariant 2).
//!
//! ## The bounded chain
//!
//! A switch is symmetric for its users; corosensei's are not. A target is resumed *nested* on the greenlet that switches
//! while the chain of nested resumes is shallower than two; otherwise the greenlet suspends to its resumer, whose own
//! pending switch call forwards. `Control::depth` is the place in the chain:
//!
//! ```text
//! depth 0        1            2
//! root ──────► A ────────► B            root switched to A, A to B
//!              A ◄──────── B            B switches to A: suspends, A's resume returns, A is the target, goes on
//!              A ────────► C            B switches to C: suspends, A is not the target, resumes C in B's place
//! root ◄────── A                        C parks: suspends, A forwards by suspending, root runs the hub's next
//! ```
//!
//! Who is on the chain below matters to nobody else: `Hot::current` names the target, a suspension tells it too, and every
//! frame that gets control back compares it with itself. The root's frame is the trampoline: it alone asks the hub who is next.
//!
//! What goes along with control is the matter of `switching.rs`. The outcome of a dead greenlet lies in its slot until it is
//! fetched (invariant 10).
//!
//! This file holds no borrow across a switch (invariant 5), and knows the hub only as `Hot::next`.

use core::mem::MaybeUninit;
use core::num::{NonZeroU64, NonZeroUsize};
use core::panic::Location;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::panicking;

use corosensei::{CoroutineResult, Yielder};

use super::body;
use super::control::{BodyTable, Co, ControlRef, Ending, Payload, State, attention, flag};
use super::error::Deadlock;
use super::hot::{Hot, Phase, hot};
use super::interrupt;
use super::seed::embodied;
use super::unwinding::{self, counted};
pub(crate) use super::unwinding::{may_raise, recover, unwinding};
use super::{probe, trace};
use crate::stack::{Slot, SlotStack, StackSize};

// ---------------------------------------------------------------------------------------------------------------------
// Resume and suspend

/// Gives control to `c`, which is suspended or new. When control comes back to this stack, says whom it is for; `None` is
/// the hub.
///
/// `Hot::current` says the same. But the next resume begins with it, and would have to wait for that store.
#[inline(always)]
fn resume(hot: &'static Hot, c: ControlRef, depth: u8) -> Option<ControlRef> {
    c.depth.set(depth);
    // SAFETY: invariant 2: `c` is neither running nor on the chain (what is on the chain is reached by suspending, see
    // the file's head), so this is the only reference to its coroutine; `create` initialised it.
    unsafe {
        match (*c.co.get()).assume_init_mut().resume(()) {
            CoroutineResult::Yield(to) => to,
            CoroutineResult::Return(()) => Some(current(hot)).filter(|to| *to != hot.hub()),
        }
    }
}

/// Gives control back to whoever resumed `me`, for `to` (`None`: the hub), and returns when `me` is resumed.
#[inline(always)]
fn suspend(me: ControlRef, to: Option<ControlRef>) {
    // SAFETY: `me` runs (invariant 2) and is no native stack, so `entry` stored its yielder, which lives on its stack.
    unsafe { (*me.yielder.get()).suspend(to) }
}

/// The deepest place in the chain: from here a greenlet suspends.
const MAX_DEPTH: u8 = 2;

/// Control goes from `me`, whose state the caller has set, to `to`; returns when `Hot::current` is `me` again.
///
/// `Hot::current` is `to` already. `to` is not the hub, and not `me`.
#[inline(always)]
pub(super) fn transfer(hot: &'static Hot, me: ControlRef, to: ControlRef) {
    let mut to = to;
    // A native stack is below everybody on the chain.
    if me.depth.get() != MAX_DEPTH && !to.is_native() {
        loop {
            let next = resume(hot, to, me.depth.get() + 1);
            if next == Some(me) {
                return;
            }
            match next {
                Some(next) if !next.is_native() => to = next,
                // The root is the trampoline.
                None if me.is_native() => {
                    to = next_from_hub(hot);
                    if to == me {
                        return;
                    }
                }
                // Control came back for somebody below: forward it.
                next => return suspend(me, next),
            }
        }
    }
    suspend(me, Some(to));
}

#[inline(always)]
fn current(hot: &'static Hot) -> ControlRef {
    match hot.current.get() {
        Some(c) => c,
        // SAFETY: `current` is set by `enter` before anything is resumed, and cleared only at the thread's end.
        None => unsafe { core::hint::unreachable_unchecked() },
    }
}

#[inline(never)]
fn next_from_hub(hot: &'static Hot) -> ControlRef {
    pick(hot)
}

/// Who runs next: the oldest runnable, or what the hub's turn finds. Sets its state and `Hot::current`.
#[inline(always)]
fn pick(hot: &'static Hot) -> ControlRef {
    match hot.queue.pop_in_budget() {
        Some(entry) => {
            let c = embodied(hot, entry);
            c.state.set(State::Live);
            hot.current.set(Some(c));
            c
        }
        None => (hot.next.get())(hot),
    }
}

/// Gives control to the hub; returns when somebody made `me` runnable and its turn came.
///
/// The caller has set the state: Parked, Runnable (and queued), or Live with an open inbox.
#[inline(always)]
pub(crate) fn to_hub(hot: &'static Hot, me: ControlRef) {
    hot.current.set(Some(hot.hub()));
    if me.is_native() {
        trampoline(hot, me);
    } else {
        // What lies here is not used: the address of any local will do.
        let frame = MaybeUninit::<u8>::uninit();
        me.set_frames_end(frame.as_ptr().addr());
        suspend(me, None);
    }
}

/// The loop on the thread's own stack, until it is its own turn.
#[inline(never)]
fn trampoline(hot: &'static Hot, me: ControlRef) {
    loop {
        let mut to = pick(hot);
        loop {
            if to == me {
                return;
            }
            match resume(hot, to, 1) {
                Some(next) => to = next,
                None => break,
            }
        }
    }
}

/// Like [`to_hub`], for a park while the thread does not panic and nothing is due to `me`. Whoever looks at its stack meanwhile
/// is to be answered by the caller ([`probe::answer_all`]).
#[inline(always)]
pub(crate) fn to_hub_calmly(hot: &'static Hot, me: ControlRef) {
    me.clear_flag(flag::UNSURE);
    to_hub(hot, me);
}

/// Like [`to_hub`], counting `me` among the unwinding if it is (invariant 7). Whoever looks at its stack meanwhile is
/// answered here.
#[inline]
pub(crate) fn to_hub_counted(hot: &'static Hot, me: ControlRef) {
    if panicking() {
        counted(hot, me, || to_hub(hot, me));
    } else {
        unwinding::calm(me);
        to_hub(hot, me);
    }
    probe::answer_all(hot, me);
}

/// Unwinds `me`, which runs, with what was thrown at it.
pub(super) fn unwind(me: ControlRef, payload: Payload) -> ! {
    me.attend(attention::UNWINDS);
    resume_unwind(payload)
}

// ---------------------------------------------------------------------------------------------------------------------
// Birth and death

/// The running greenlet. The first call on a thread makes its root.
#[inline]
pub(crate) fn enter() -> (&'static Hot, ControlRef) {
    let hot = hot();
    match hot.current.get() {
        Some(me) => (hot, me),
        None => (hot, begin_thread(hot)),
    }
}

#[cold]
fn begin_thread(hot: &'static Hot) -> ControlRef {
    assert!(
        hot.phase.get() == Phase::Fresh,
        "greenlets were used in a thread whose runtime has ended"
    );
    hot.phase.set(Phase::Active);
    hot.next.set(next_without_hub);
    // May have its id already: a plain thread is known by it to the locks that it holds.
    hot.root.begin_native(super::hot::running_id());
    // What must not be done in a callback of the hub is found on the slow paths.
    hot.hub.attend(attention::UNUSUAL);
    hot.current.set(Some(hot.root()));
    hot.queue.reserve(16);
    hot.queue.set_budget(u32::MAX);
    super::thread_end::watch();
    hot.root()
}

/// The turn of a thread that has no hub: runs what is runnable, else tells main that its wait is hopeless.
fn next_without_hub(hot: &'static Hot) -> ControlRef {
    hot.queue.set_budget(u32::MAX);
    if let Some(entry) = hot.queue.pop_in_budget() {
        let c = embodied(hot, entry);
        c.state.set(State::Live);
        hot.current.set(Some(c));
        return c;
    }
    let root = hot.root();
    hot.set_deadlock(Deadlock::alone());
    root.waiting.set(0);
    root.state.set(State::Live);
    root.attend(attention::WOKEN | attention::DEADLOCK);
    hot.current.set(Some(root));
    root
}

/// Where a new greenlet comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) size: StackSize,
    pub(crate) site: &'static Location<'static>,
    pub(crate) flags: u16,
}

/// Bytes below the body that a greenlet uses as it begins, before any frame of the body: a hint for prefetching.
const FIRST_FRAMES: usize = 192;

/// Makes a greenlet that never ran, state New, with an area below its control block for what `layout` says.
///
/// # Errors
/// No stack could be had.
///
/// # Safety
/// Before its first resume, a body of the type that `table` runs must be put in place, and what that body borrows must
/// outlive the greenlet.
#[inline]
pub(super) unsafe fn create(
    hot: &'static Hot,
    birth: Birth,
    table: &'static BodyTable,
    area: core::alloc::Layout,
) -> io::Result<ControlRef> {
    let live = hot.live.get() + 1;
    let slot = hot.with_arena(|a| a.alloc(birth.size))?;
    hot.live.set(live);
    hot.queue.reserve(live + 1);
    // SAFETY: the slot was just allocated by this thread's arena; the stack begins below the area.
    unsafe {
        let c = settle_in(hot, slot, hot.unique_id(), birth, table);
        let body = (c.address() - area.size()) & !(area.align() - 1);
        c.body.set(body as *mut u8);
        lay_stack(c, slot, body & !(corosensei::stack::STACK_ALIGNMENT - 1));
        Ok(c)
    }
}

/// Makes the control block of a new greenlet in `slot`. State New.
///
/// # Safety
/// The slot was just allocated by this thread's arena.
#[inline(always)]
pub(super) unsafe fn settle_in(
    hot: &'static Hot,
    slot: Slot,
    id: NonZeroU64,
    birth: Birth,
    table: &'static BodyTable,
) -> ControlRef {
    // SAFETY: the caller's promise.
    let c = unsafe { ControlRef::in_slot(slot) };
    slot.open(id, birth.site);
    c.begin(slot, id, birth.flags);
    c.attention.set(hot.root.attention.get() & attention::TRACE);
    c.state.set(State::New);
    c.table.set(Some(table));
    c
}

/// Makes the coroutine of the new `c`, whose stack begins at `base` in `slot`.
///
/// # Safety
/// `base` is aligned for a stack, not above `c`, and near it; `c` was just made in `slot`.
#[inline(always)]
pub(super) unsafe fn lay_stack(c: ControlRef, slot: Slot, base: usize) {
    // SAFETY: no slot lies near address 0. The stack lies in the slot below `base`, which nothing else uses (invariant
    // 10: it is freed only when the greenlet is dead); the closure borrows nothing.
    unsafe {
        let base = NonZeroUsize::new_unchecked(base);
        c.set_frames_end(base.get() - FIRST_FRAMES);
        let co = Co::with_stack_unchecked(SlotStack::new(slot, base), move |yielder, ()| {
            entry(c, yielder)
        });
        (*c.co.get()).write(co);
    }
}

/// The first frame of every greenlet.
fn entry(c: ControlRef, yielder: &Yielder<(), Option<ControlRef>>) {
    c.yielder.set(yielder);
    c.state.set(State::Live);
    c.set_flag(flag::STARTED);
    if let Some(table) = c.table.get() {
        let bits = c.attention.get();
        if bits & attention::KILL != 0
            && (c.has(flag::TASK) || bits & attention::KIND == attention::WOKEN)
        {
            // Killed before it started: its body never runs. A first message that waits for it is dropped with it.
            c.ignore(attention::KIND);
            // Its kill is over with that: held back from what the captures' destructors may wait for.
            c.ending.set(Ending::Exited);
            interrupt::shielded(c, || body::drop_unstarted(c));
        } else {
            // SAFETY: `create`'s contract: the body in place has the table's type.
            unsafe { (table.run)(c) };
        }
        (table.finish)(c);
    }
    // Control goes on in the frame that resumed this stack, and from there to `Hot::current`.
}

/// Gives a dead greenlet's slot back. Its outcome was fetched or dropped.
#[inline]
pub(crate) fn release(hot: &'static Hot, c: ControlRef) {
    release_slot(hot, c, c.slot());
}

/// As [`release`], by who knows the slot.
#[inline]
pub(super) fn release_slot(hot: &'static Hot, c: ControlRef, slot: Option<Slot>) {
    debug_assert_eq!(c.state.get(), State::Dead);
    debug_assert_eq!(slot, c.slot());
    if c.attention.get() & attention::TRACE != 0 {
        trace::forget(hot, c);
    }
    c.reset();
    if let Some(slot) = slot {
        // SAFETY: invariant 10: the greenlet is dead. Its own last steps may still run on the stack, but nothing is
        // allocated before they are over: `finish` is the last that runs there.
        hot.with_arena(|a| unsafe { a.free(slot) });
        hot.live.set(hot.live.get() - 1);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What every wait shares

/// Raises what is due in `me`; what was delivered before, only a turn later (invariant 8).
pub(crate) fn deliver(hot: &'static Hot, me: ControlRef, just_resumed: bool) {
    if interrupt::due(&me).is_none() || !may_raise(hot, me, just_resumed) {
        return;
    }
    if interrupt::delivered_before(me) && !just_resumed {
        yield_turn(hot, me);
    }
    if let Some(due) = interrupt::due(&me) {
        interrupt::raise(me, &due);
    }
}

/// Goes to the back of the run queue once, whatever is asked of `me`.
pub(crate) fn yield_turn(hot: &'static Hot, me: ControlRef) {
    me.state.set(State::Runnable);
    hot.queue.push(me);
    to_hub_counted(hot, me);
}

/// [`transfer`], counting `me` among the unwinding if it is.
#[inline(never)]
pub(super) fn transfer_counted(hot: &'static Hot, me: ControlRef, to: ControlRef) {
    if to == hot.hub() {
        to_hub_counted(hot, me);
    } else if panicking() {
        counted(hot, me, || transfer(hot, me, to));
    } else {
        unwinding::calm(me);
        transfer(hot, me, to);
    }
}

/// Runs `f`, catching its unwinding.
pub(crate) fn caught<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Calls `f` with every greenlet of the thread that is not dead. `f` may not run user code.
pub(crate) fn for_each(hot: &'static Hot, mut f: impl FnMut(ControlRef)) {
    hot.with_arena(|a| {
        a.for_each_live(|slot| {
            // SAFETY: the arena says that the slot is this thread's and mapped.
            f(unsafe { ControlRef::in_slot(slot) });
        });
    });
}
