//! `Arena`: the stack slots of one thread.
//!
//! ```text
//!              grow (guards a batch)            alloc (when `warm` is empty)
//!   slab ─────────────────────────────► cold ───────────────────────────────► live
//!                                         ▲                                   ▲  │
//!                                    trim │          alloc (fast)             │  │ free
//!                                         └──────────── warm ─────────────────┘  │
//!                                                         ▲──────────────────────┘
//! ```
//!
//! - `warm` holds freed slots, whose pages are present: last in, first out, so that the next spawn finds its stack
//!   in the cache. `cold` holds slots that take no memory: new ones, and those that `trim` gave back.
//! - A slot in a list is a number of 32 bits: that of its last page, counted from 8 TiB below the class's first slab. The
//!   handle follows from it by shifts and sums. Slabs beyond the 16 TiB that such numbers reach are refused: the kernel
//!   puts mappings beside each other, so something else would have to lie in between that is as large. Links inside the
//!   slots would fault in a page each.
//! - Room for all slots is made in both lists when a slab is mapped. So `free` cannot allocate, hence cannot fail.
//! - What is live is what is in neither list; nothing is counted on the hot path, but for the slots that are promised:
//!   those stay in the lists until they are taken, and no other `alloc` gets the last of them. So what was promised is
//!   there, and a promise takes no memory.
//!
//! The arena never gives memory back on the way of `alloc` and `free`, never touches a slot other than its header, and
//! when dropped unmaps only slabs of which every carved slot is in a list (invariant 9).

use std::io;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use super::altstack;
use super::guard::{self, Budget, Rung};
use super::header::{self, Slot};
use super::overflow;
use super::size::StackSize;
use super::slab::Slab;
use super::sys;

/// Slots guarded at once: the first batch, and the most.
const BATCH: (usize, usize) = (64, 1024);

/// Free slots of each class that keep their pages through a `trim`: what a busy thread spawns and ends in a burst.
const KEEP_WARM: [usize; 3] = [1024, 256, 64];

/// How many pages a number in a free list can tell apart.
const REACH: u64 = 1 << u32::BITS;

/// What an arena holds, in slots and bytes of address space (not of physical memory).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryStats {
    /// Mappings made.
    pub(crate) slabs: usize,
    /// Address space of all slabs, in bytes.
    pub(crate) reserved: usize,
    /// Slots handed out.
    pub(crate) live: usize,
    /// The sizes of the slots handed out, in bytes.
    pub(crate) live_bytes: usize,
    /// The same of the slots promised. A limit on stack memory counts both.
    pub(crate) promised_bytes: usize,
    /// Slots ready to be handed out, the promised ones among them.
    pub(crate) free: usize,
    /// Those of the free slots whose pages are still present.
    pub(crate) warm: usize,
}

/// The slots of one class.
struct Class {
    warm: Vec<u32>,
    cold: Vec<u32>,
    /// Free slots that somebody may count on: never more than there are in the two lists.
    promised: usize,
    /// The page from which those in the lists are counted.
    origin: usize,
    /// Only the last one has slots that are not carved yet.
    slabs: Vec<Slab>,
    carved: usize,
    /// Slots of all slabs, carved or not.
    mapped: usize,
    batch: usize,
}

/// The stacks of one thread. Not `Send` (invariant 1).
pub(crate) struct Arena {
    classes: [Class; 3],
    /// Whether the overflow handler and this thread's alternate stack are in place.
    prepared: bool,
    /// The rung to start from; `None` is the best that the kernel has.
    rung: Option<Rung>,
    budget: &'static Budget,
    not_send: PhantomData<*mut ()>,
}

impl Class {
    const fn new() -> Class {
        Class {
            warm: Vec::new(),
            cold: Vec::new(),
            promised: 0,
            origin: 0,
            slabs: Vec::new(),
            carved: 0,
            mapped: 0,
            batch: BATCH.0,
        }
    }

    fn free(&self) -> usize {
        self.warm.len() + self.cold.len()
    }

    /// Whether no free slot is left that is not promised.
    #[inline]
    fn used_up(&self) -> bool {
        self.free() <= self.promised
    }

    fn live(&self) -> usize {
        self.carved - self.free()
    }

    /// Guards a batch of slots and adds them to `cold`, mapping a slab if there is none with room.
    fn grow(&mut self, size: StackSize, rung: Rung, budget: &Budget) -> io::Result<()> {
        loop {
            if let Some(slab) = self.slabs.last_mut()
                && let Some((first, count)) = slab.carve(self.batch, rung, budget)?
            {
                self.carved += count;
                self.batch = (self.batch * 2).min(BATCH.1);
                // Downwards, so that the lowest address is taken first.
                let (slab, origin) = (&*slab, self.origin);
                self.cold.extend(
                    (first..first + count)
                        .rev()
                        .map(|n| number(slab.last_page(n), origin)),
                );
                return Ok(());
            }
            self.map(size, budget)?;
        }
    }

    /// Maps the next slab, twice the last, and makes room for its slots in both lists.
    fn map(&mut self, size: StackSize, budget: &Budget) -> io::Result<()> {
        self.slabs
            .try_reserve(1)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        let wanted = self.slabs.last().map_or(0, |last| last.slots() * 2);
        let slab = Slab::map(size, wanted)?;
        if self.slabs.is_empty() {
            self.origin = origin(slab.last_page(0));
        }
        let pages = slab.last_page(0)..=slab.last_page(slab.slots() - 1);
        let mapped = self.mapped + slab.slots();
        let lists = [&mut self.warm, &mut self.cold];
        let failed = if !within_reach(pages, self.origin) {
            Some("no room for further stacks within 8 TiB of the first")
        } else if lists
            .into_iter()
            .any(|list| list.try_reserve_exact(mapped - list.len()).is_err())
        {
            Some("no memory for the lists of stacks")
        } else {
            None
        };
        if let Some(what) = failed {
            // SAFETY: mapped just now: no slot of it was carved.
            unsafe { slab.unmap(budget) };
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, what));
        }
        self.mapped = mapped;
        self.slabs.push(slab);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn pop_cold(&mut self) -> u32 {
        self.cold.pop().expect("a slot that is not used up")
    }

    /// Gives the pages of all but the `keep` latest freed slots back.
    fn trim(&mut self, size: StackSize, keep: usize) -> usize {
        let excess = self.warm.len().saturating_sub(keep);
        let old = &mut self.warm[..excess];
        old.sort_unstable();
        let mut done = 0;
        let step = size.stride() >> header::PAGE_SHIFT;
        while done < excess {
            // A run of neighbours is one system call; guards inside it stay.
            let first = page(old[done], self.origin);
            let run = old[done..]
                .iter()
                .zip((first..).step_by(step))
                .take_while(|&(&number, neighbour)| page(number, self.origin) == neighbour)
                .count();
            let start = ((first + 1) << header::PAGE_SHIFT) - size.stride();
            // SAFETY: slots in a free list are not in use (invariant 10), and nobody relies on what they hold: their
            // ids are 0 already, and a zeroed header reads the same.
            if unsafe { sys::advise(start, run * size.stride(), libc::MADV_DONTNEED) }.is_err() {
                // Locked pages cannot be given back. They are as good as before.
                break;
            }
            done += run;
        }
        // Downwards, as in `grow`.
        self.cold.extend(self.warm.drain(..done).rev());
        done
    }

    /// Unmaps every slab without a live slot, leaves the others mapped and registered for ever.
    fn release(&mut self, budget: &Budget) {
        self.slabs.sort_unstable_by_key(|slab| slab.base());
        for &number in self.warm.iter().chain(&self.cold) {
            let page = page(number, self.origin);
            let at = self.slabs.partition_point(|slab| slab.last_page(0) <= page);
            self.slabs[at - 1].idle += 1;
        }
        for slab in self.slabs.drain(..) {
            if slab.idle == slab.carved() {
                // SAFETY: every slot that was carved is in a free list, so none is live (invariant 9).
                unsafe { slab.unmap(budget) };
            }
        }
    }
}

impl Arena {
    /// An arena that has nothing mapped yet.
    pub(crate) const fn new() -> Arena {
        Self::with(None, &guard::PROCESS)
    }

    /// An arena that starts at a rung of the guard ladder and draws on a budget; for tests.
    pub(super) const fn with(rung: Option<Rung>, budget: &'static Budget) -> Arena {
        Arena {
            classes: [const { Class::new() }; 3],
            prepared: false,
            rung,
            budget,
            not_send: PhantomData,
        }
    }

    /// A guarded slot, the latest freed one first. Its stack holds anything, its header says "nobody".
    ///
    /// # Errors
    ///
    /// What the system says when no more can be mapped (`OutOfMemory`), or that no more can be guarded: then the
    /// message names `vm.max_map_count`.
    #[inline]
    pub(crate) fn alloc(&mut self, size: StackSize) -> io::Result<Slot> {
        if self.classes[size as usize].used_up() {
            self.grow(size)?;
        }
        Ok(self.take(size))
    }

    /// Sees to it that a slot will be there for a later [`alloc_promised`](Self::alloc_promised), whatever is allocated
    /// in between.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    #[inline]
    pub(crate) fn promise(&mut self, size: StackSize) -> io::Result<()> {
        if self.classes[size as usize].used_up() {
            self.grow(size)?;
        }
        self.classes[size as usize].promised += 1;
        Ok(())
    }

    /// The slot of an earlier [`promise`](Self::promise), one for each.
    ///
    /// # Panics
    ///
    /// If none was promised.
    #[inline]
    pub(crate) fn alloc_promised(&mut self, size: StackSize) -> Slot {
        let class = &mut self.classes[size as usize];
        assert!(class.promised > 0, "no slot was promised");
        class.promised -= 1;
        self.take(size)
    }

    /// Takes back `n` promises that were not kept yet.
    pub(crate) fn forget_promises(&mut self, size: StackSize, n: usize) {
        let class = &mut self.classes[size as usize];
        class.promised = class.promised.saturating_sub(n);
    }

    /// A free slot, of which there is one.
    #[inline]
    fn take(&mut self, size: StackSize) -> Slot {
        let class = &mut self.classes[size as usize];
        let number = match class.warm.pop() {
            Some(number) => number,
            None => class.pop_cold(),
        };
        let page = page(number, class.origin);
        // SAFETY: numbers in the free lists are those of carved slots of their class, and this one just left its list.
        let slot = unsafe { Slot::with_last_page(page, size) };
        #[cfg(feature = "sanitizer")]
        // SAFETY: the slot is ours alone until it is returned. The frames of its last user, which may have ended
        // without returning, left their red zones behind.
        unsafe {
            unpoison(slot);
        }
        slot
    }

    /// Adds free slots to a class.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, size: StackSize) -> io::Result<()> {
        if !self.prepared {
            // Before the first guard is there to be hit.
            overflow::install();
            altstack::ensure_alt_stack()?;
            self.prepared = true;
        }
        let rung = self.rung.unwrap_or_else(guard::best);
        self.classes[size as usize].grow(size, rung, self.budget)
    }

    /// Takes a slot back, pages and all.
    ///
    /// # Safety
    ///
    /// The slot came from this arena's `alloc`, nothing on its stack or in its control block is used any more
    /// (invariant 10), and no copy of the handle is used afterwards.
    #[inline]
    pub(crate) unsafe fn free(&mut self, slot: Slot) {
        slot.close();
        let class = &mut self.classes[slot.class()];
        let n = number(slot.last_page(), class.origin);
        let warm = &mut class.warm;
        debug_assert!(
            !warm.contains(&n) || warm.len() > 4096,
            "a slot is freed twice"
        );
        debug_assert!(warm.len() < warm.capacity());
        // SAFETY: `map` made room in `warm` for every slot of the class, and a slot is in one list at most, so there
        // is room for this one. A plain `push` would carry the code that grows the list into every caller.
        unsafe {
            warm.as_mut_ptr().add(warm.len()).write(n);
            warm.set_len(warm.len() + 1);
        }
    }

    /// Gives the memory of free slots back to the system, except for the latest freed ones. Takes half a microsecond
    /// per slot: not for the hot path. Returns how many slots were given back.
    pub(crate) fn trim(&mut self) -> usize {
        StackSize::ALL
            .into_iter()
            .map(|size| self.trim_to(size, KEEP_WARM[size as usize]))
            .sum()
    }

    /// The same of at most `most` slots of each class, the ones freed longest ago: for a thread that has little time.
    pub(crate) fn trim_some(&mut self, most: usize) -> usize {
        StackSize::ALL
            .into_iter()
            .map(|size| {
                let class = size as usize;
                let warm = self.classes[class].warm.len();
                self.trim_to(size, KEEP_WARM[class].max(warm.saturating_sub(most)))
            })
            .sum()
    }

    /// As [`trim`](Self::trim), for one class and with `keep` slots left warm.
    pub(crate) fn trim_to(&mut self, size: StackSize, keep: usize) -> usize {
        self.classes[size as usize].trim(size, keep)
    }

    /// How many slots are handed out.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for dumps, and watched by the tests")
    )]
    pub(crate) fn live(&self) -> usize {
        self.classes.iter().map(Class::live).sum()
    }

    /// Calls `f` with every slot on which a greenlet lives: handed out and [opened](Slot::open), not auxiliary.
    ///
    /// Reads the header of every carved slot: for teardown and dumps.
    pub(crate) fn for_each_live(&self, mut f: impl FnMut(Slot)) {
        for slab in self.classes.iter().flat_map(|class| &class.slabs) {
            for n in 0..slab.carved() {
                // SAFETY: the slab is mapped and the slot carved. If it is free, the handle is dropped right below.
                let slot = unsafe { slab.slot(n) };
                if slot.is_greenlet() {
                    f(slot);
                }
            }
        }
    }

    /// What is held now.
    pub(crate) fn stats(&self) -> MemoryStats {
        self.classes.iter().zip(StackSize::ALL).fold(
            MemoryStats::default(),
            |sum, (class, size)| MemoryStats {
                slabs: sum.slabs + class.slabs.len(),
                reserved: sum.reserved + class.slabs.iter().map(Slab::len).sum::<usize>(),
                live: sum.live + class.live(),
                live_bytes: sum.live_bytes + class.live() * size.bytes(),
                promised_bytes: sum.promised_bytes + class.promised * size.bytes(),
                free: sum.free + class.free(),
                warm: sum.warm + class.warm.len(),
            },
        )
    }

    /// How many guards are mappings of their own.
    #[cfg(test)]
    pub(super) fn mprotected(&self) -> usize {
        self.classes
            .iter()
            .flat_map(|class| &class.slabs)
            .map(Slab::mprotected)
            .sum()
    }

    /// How many slots fit into the two free lists of a class as they are.
    #[cfg(test)]
    pub(super) fn room(&self, size: StackSize) -> (usize, usize) {
        let class = &self.classes[size as usize];
        (class.warm.capacity(), class.cold.capacity())
    }

    /// Where the slabs lie: `(base, length)`.
    #[cfg(test)]
    pub(super) fn slabs(&self) -> Vec<(usize, usize)> {
        self.classes
            .iter()
            .flat_map(|class| &class.slabs)
            .map(|slab| (slab.base(), slab.len()))
            .collect()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for class in &mut self.classes {
            class.release(self.budget);
        }
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The origin of a class whose first slot has this last page: as far below it as above.
pub(super) fn origin(first: usize) -> usize {
    first.saturating_sub((REACH / 2) as usize)
}

/// Whether all these pages have numbers.
pub(super) fn within_reach(pages: RangeInclusive<usize>, origin: usize) -> bool {
    *pages.start() >= origin && ((*pages.end() - origin) as u64) < REACH
}

/// The number in a free list of the slot with this last page.
#[inline]
fn number(page: usize, origin: usize) -> u32 {
    // Slabs out of reach are refused, so this cuts nothing off.
    (page - origin) as u32
}

/// The last page of the slot with this number.
#[inline]
fn page(number: u32, origin: usize) -> usize {
    origin + number as usize
}

/// Tells AddressSanitizer that a whole slot may be accessed.
///
/// # Safety
///
/// Nothing on the slot is in use.
#[cfg(feature = "sanitizer")]
unsafe fn unpoison(slot: Slot) {
    unsafe extern "C" {
        fn __asan_unpoison_memory_region(start: *const libc::c_void, len: usize);
    }
    // SAFETY: the range is mapped, as is its shadow; the runtime is linked whenever the feature is of use.
    unsafe {
        __asan_unpoison_memory_region(
            std::ptr::with_exposed_provenance(slot.limit()),
            slot.size().stride(),
        )
    }
}
