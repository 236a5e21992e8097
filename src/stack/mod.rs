//! Stacks for greenlets: a per-thread arena of guarded slots.
//!
//! A million stacks must fit into the default limits of the kernel (65,530 mappings in a process), cost
//! one page each while parked, and be handed out and taken back in a few instructions. Hence slots are cut out
//! of few, large mappings ("slabs"), their guards are markers in the page table rather than mappings, and free
//! slots are plain numbers in a list. Slots lie an odd number of pages apart, so that their tops, where all is hot,
//! use all sets of the translation buffers.
//!
//! ```text
//! process   registry of slabs (readable by a signal handler)
//! thread    Arena ─┬─ class K64  ── slab 4 MiB ── slab 8 MiB ── … ── slab 4 GiB ── slab 4 GiB
//!                  ├─ class K256 ── slab …             │
//!                  └─ class M1                         └─ slot, slot, slot, …
//!
//! slot      low                                                                     high   size of the class + 1 page
//!           │ guard │ stack, grows down  ◄── │ control block │ SlotHeader │ colour pad │
//!           limit()                          base of stack   top()        0..15 × 64 B
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `size` | [`StackSize`], the classes |
//! | `header` | `Slot`, the 8-byte handle, and `SlotHeader`, what a signal handler may know of a greenlet |
//! | `sys` | the raw system calls |
//! | `guard` | the ladder of ways to guard a slot |
//! | `slab` | one mapping and the slots carved from it so far |
//! | `registry` | which addresses belong to slabs, without locks |
//! | `arena` | `Arena`: alloc, free, growth, trim, teardown |
//! | `overflow` | the fault handler that names the greenlet whose stack overflowed |
//! | `altstack` | the stack that handler runs on |
//! | `big` | a slot as a corosensei stack; running a closure on a slot |
//!
//! This module knows no greenlets: it neither resumes nor unwinds anything, and it never decides that a stack is
//! no longer in use. That is told by `Arena::free` (invariant 10). It never hands out a slot without a guard.

mod altstack;
mod arena;
mod big;
mod guard;
mod header;
mod overflow;
mod registry;
mod size;
mod slab;
mod sys;
#[cfg(test)]
mod tests;

pub use self::size::StackSize;
pub(crate) use self::{
    arena::Arena,
    big::{SlotStack, run_on},
    header::Slot,
};
