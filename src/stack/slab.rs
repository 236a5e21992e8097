//! One mapping of slots, and how far slots have been carved from it.
//!
//! ```text
//! base                      base + carved × S                          base + slots × S
//!  │ guarded, handed out or free      │ mapped, untouched, no guard yet            │
//!  └────────── slots 0..carved ───────┴────────── slots carved..slots ─────────────┘
//! ```
//!
//! A slab is mapped with both bounds aligned to its slot size, registered, and carved from the low end in batches.
//! It is a plain value with no `Drop`: forgetting one leaks address space, which is safe, whereas unmapping one that
//! still has a live slot never is (invariant 9). So unmapping is a call, and only `arena` makes it.

use std::io;

use super::guard::{self, Budget, Installed, Rung};
use super::registry;
use super::size::StackSize;
use super::sys;

/// The first slab of a class; also the least that is tried when memory is short.
pub(super) const SMALLEST: usize = 4 << 20;

/// The largest slab: a million stacks of 64 KiB then take 26 mappings.
pub(super) const LARGEST: usize = if usize::BITS >= 64 {
    (4_u64 << 30) as usize
} else {
    64 << 20
};

/// A mapping of `slots` slots of one class.
#[derive(Debug)]
pub(super) struct Slab {
    base: usize,
    size: StackSize,
    slots: usize,
    carved: usize,
    /// Guards that count against the budget.
    mprotected: usize,
    /// Scratch for the teardown: how many carved slots are in the free lists.
    pub(super) idle: usize,
}

impl Slab {
    /// Maps and registers a slab of `len` bytes, or of less if the system refuses that much.
    ///
    /// # Errors
    ///
    /// What the system says if not even [`SMALLEST`] can be had; `Unsupported` if a page is too large for the class.
    pub(super) fn map(size: StackSize, len: usize) -> io::Result<Slab> {
        // On a kernel with pages of 64 KiB the smallest class has no room for a guard and a stack.
        if guard::len(size) > size.bytes() / 2 {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "pages of {} bytes are too large to guard a stack of {} bytes",
                    sys::page_size(),
                    size.bytes()
                ),
            ));
        }
        let mut len = len.clamp(SMALLEST, LARGEST);
        loop {
            match Self::map_exactly(size, len) {
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory && len > SMALLEST => {
                    len /= 2
                }
                result => return result,
            }
        }
    }

    fn map_exactly(size: StackSize, len: usize) -> io::Result<Slab> {
        let align = size.bytes();
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
            slots: len / align,
            carved: 0,
            mprotected: 0,
            idle: 0,
        })
    }

    /// Guards the next `count` slots, or as many as are left and can be guarded, and returns the lowest address of the
    /// first with their number. `None` if the slab is used up.
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
        let first = self.base + self.carved * self.size.bytes();
        // SAFETY: the fields `carved` and `slots` bound the slots that nobody has seen yet.
        let Installed { slots, mprotected } =
            unsafe { guard::install(first, self.size, count, rung, budget)? };
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
        self.slots * self.size.bytes()
    }

    /// How many slots have been guarded so far.
    pub(super) fn carved(&self) -> usize {
        self.carved
    }

    /// The lowest addresses of the slots that have been guarded so far.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> + use<> {
        (self.base..self.base + self.carved * self.size.bytes()).step_by(self.size.bytes())
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
