//! Slots as stacks for corosensei: `SlotStack` for a coroutine, `run_on` for a closure that needs more room.
//!
//! Neither allocates a slot, frees one, or writes its header: the caller does.

use std::num::NonZeroUsize;

use corosensei::stack::{MIN_STACK_SIZE, STACK_ALIGNMENT, Stack, StackPointer};

use super::guard;
use super::header::Slot;
use super::registry;

/// The part of a slot that is stack: from the guard up to where the control block begins.
///
/// One word, since it lies in the first cache line of every control block: where the stack begins. Where it ends is asked
/// for rarely (by a sanitizer), and follows from it.
pub(crate) struct SlotStack(NonZeroUsize);

impl SlotStack {
    /// The stack of `slot` that begins at address `base` and grows down.
    ///
    /// # Safety
    ///
    /// The slot stays live while the stack is in use, nothing else uses the memory between its limit and `base`,
    /// `base` is aligned to 16, not above [`Slot::top`], and leaves at least 4 KiB above the guard.
    #[inline]
    pub(crate) unsafe fn new(slot: Slot, base: NonZeroUsize) -> SlotStack {
        debug_assert!(base.get() <= slot.top() && base.get().is_multiple_of(STACK_ALIGNMENT));
        debug_assert!(base.get() - slot.limit() >= guard::len(slot.size()) + MIN_STACK_SIZE);
        SlotStack(base)
    }
}

// SAFETY: every slot was guarded before it was handed out (`guard::install`), the limit includes that guard, and
// `new` was promised the minimum above it; both ends are aligned (slots to pages, `base` by promise).
unsafe impl Stack for SlotStack {
    #[inline]
    fn base(&self) -> StackPointer {
        self.0
    }

    fn limit(&self) -> StackPointer {
        registry::find(self.0.get() - 1)
            .and_then(|place| NonZeroUsize::new(place.limit))
            .expect("a slot lies in a registered slab, and none at address 0")
    }
}

impl std::fmt::Debug for SlotStack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SlotStack({:#x}..{:#x})", self.limit(), self.base())
    }
}

/// Runs `f` on a slot of its own and returns what it returns; a panic goes on in the caller.
///
/// `f` runs on the same thread, within the same greenlet: it may park. [`Slot::open_auxiliary`] makes an overflow there
/// name that greenlet.
///
/// # Safety
///
/// The slot is live, handed out for this call, and neither used nor freed until the call returns or unwinds.
pub(crate) unsafe fn run_on<R>(slot: Slot, f: impl FnOnce() -> R) -> R {
    let top = NonZeroUsize::new(slot.top()).expect("a slab never lies at address 0");
    // SAFETY: the whole slot is stack, as the caller promises; its top is 64-aligned and far above the guard.
    corosensei::on_stack(unsafe { SlotStack::new(slot, top) }, f)
}
