//! One mapping of slots, and how far slots have been carved from it.
//!
//! ```text
//! base                      base + carved strides                      base + slots strides
//!  │ guarded, handed out or free      │ mapped, untouched, no guard yet            │
//!  └────────── slots 0..carved ───────┴────────── slots carved..slots ─────────────┘
//! ```
//!
//! A slab is mapped with both bounds aligned to the registry's unit, registered, and carved from the low end in batches.
//! Its slots have no alignment but to pages: which one an address lies in is found by a division, in the registry.
//! It is a plain value with no `Drop`: forgetting one leaks address space, which is safe, whereas unmapping one that
//! still has a live slot never is (invariant 9). So unmapping is a call, and only `arena` makes it.

use std::io;

use super::guard::{self, Budget, Installed, Rung};
use super::header::{self, Slot};
use super::registry;
use super::size::StackSize;
use super::sys;

/// The stacks of the first slab of a class, in bytes; also the least that is tried when memory is short.
const SMALLEST: usize = 4 << 20;

/// The stacks of the largest slab, in bytes: a million of 64 KiB then take 26 mappings.
const LARGEST: usize = if usize::BITS >= 64 {
    (4_u64 << 30) as usize
} else {
    64 << 20
};

/// A mapping of `slots` slots of one class.
#[derive(Debug)]
pub(super) struct Slab {
    base: usize,
    size: StackSize,
    /// Bytes from one slot to the next: kept, because finding it looks up the size of a page.
    stride: usize,
    slots: usize,
    carved: usize,
    /// Guards that count against the budget.
    mprotected: usize,
    /// Scratch for the teardown: how many carved slots are in the free lists.
    pub(super) idle: usize,
}

impl Slab {
    /// Maps and registers a slab of `slots` slots: of more if that is too few to be worth a mapping, of fewer if that is
    /// too many or the system refuses as much.
    ///
    /// # Errors
    ///
    /// What the system says if not even the smallest can be had.
    pub(super) fn map(size: StackSize, slots: usize) -> io::Result<Slab> {
        let smallest = SMALLEST / size.bytes();
        let mut slots = slots.clamp(smallest, LARGEST / size.bytes());
        loop {
            match Self::map_exactly(size, slots) {
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory && slots > smallest => {
                    slots /= 2
                }
                result => return result,
            }
        }
    }

    fn map_exactly(size: StackSize, slots: usize) -> io::Result<Slab> {
        let (stride, align) = (size.stride(), registry::UNIT);
        let len = (slots * stride).next_multiple_of(align);
        let spare = align - sys::page_size().min(align);
        let start = sys::map(len + spare)?;
        let base = start.next_multiple_of(align);
        let end = start + len + spare;
        // SAFETY: both ends were mapped just now, and lie outside of the slab.
        unsafe {
            sys::unmap(start, base - start);
            sys::unmap(base + len, end - (base + len));
        }
        let registered = if end as u64 > registry::ADDRESS_END {
            Err(io::ErrorKind::Unsupported.into())
        } else {
            registry::insert(base, len, size)
        };
        if let Err(error) = registered {
            // SAFETY: mapped above, and known to nobody.
            unsafe { sys::unmap(base, len) };
            return Err(error);
        }
        // A huge page would make one touched stack cost 2 MiB. Kernels without huge pages refuse, and are right to.
        // SAFETY: the advice destroys nothing.
        let _ = unsafe { sys::advise(base, len, libc::MADV_NOHUGEPAGE) };
        Ok(Slab {
            base,
            size,
            stride,
            slots,
            carved: 0,
            mprotected: 0,
            idle: 0,
        })
    }

    /// Guards the next `count` slots, or as many as are left and can be guarded, and returns which: the number of the
    /// first, and how many. `None` if the slab is used up.
    ///
    /// # Errors
    ///
    /// As for [`guard::install`]; the slab is as before.
    pub(super) fn carve(
        &mut self,
        count: usize,
        rung: Rung,
        budget: &Budget,
    ) -> io::Result<Option<(usize, usize)>> {
        let count = count.min(self.slots - self.carved);
        if count == 0 {
            return Ok(None);
        }
        let first = self.carved;
        // SAFETY: the fields `carved` and `slots` bound the slots that nobody has seen yet.
        let Installed { slots, mprotected } =
            unsafe { guard::install(self.limit(first), self.size, count, rung, budget)? };
        self.carved += slots;
        self.mprotected += mprotected;
        Ok(Some((first, slots)))
    }

    /// Unregisters and unmaps it.
    ///
    /// # Safety
    ///
    /// No slot of it is live (invariant 9).
    pub(super) unsafe fn unmap(self, budget: &Budget) {
        registry::remove(self.base, self.len(), self.size);
        // SAFETY: as the caller promises; the registry no longer leads a signal handler here.
        unsafe { sys::unmap(self.base, self.len()) };
        budget.give_back(self.mprotected);
    }

    /// The lowest address.
    pub(super) fn base(&self) -> usize {
        self.base
    }

    /// Bytes of address space.
    pub(super) fn len(&self) -> usize {
        (self.slots * self.stride).next_multiple_of(registry::UNIT)
    }

    /// How many slots there is room for.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// How many slots have been guarded so far.
    pub(super) fn carved(&self) -> usize {
        self.carved
    }

    /// The lowest address of slot `n`, and that of what follows the slots if there are no more.
    pub(super) fn limit(&self, n: usize) -> usize {
        self.base + n * self.stride
    }

    /// The handle of slot `n`.
    ///
    /// # Safety
    ///
    /// The slot was carved from this slab, and it is live for as long as the handle is used.
    pub(super) unsafe fn slot(&self, n: usize) -> Slot {
        // SAFETY: as the caller promises.
        unsafe { Slot::with_last_page(self.last_page(n), self.size) }
    }

    /// The number of the last page of slot `n`.
    pub(super) fn last_page(&self, n: usize) -> usize {
        // Slot `n + 1` begins where slot `n` ends.
        (self.limit(n + 1) >> header::PAGE_SHIFT) - 1
    }

    /// How many guards are mappings of their own.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for dumps, and watched by the tests")
    )]
    pub(super) fn mprotected(&self) -> usize {
        self.mprotected
    }
}
