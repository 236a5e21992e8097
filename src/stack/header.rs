//! `Slot`, the handle of one stack slot, and `SlotHeader`, the 64 bytes near its top.
//!
//! ```text
//! slot n of a slab; a stride is the size of the class and one page; p is the number of the last page
//!
//! base + n strides                                 top() = header               base + (n + 1) strides
//!   │ guard │ stack ◄────────────── │ control block │ SlotHeader │ (p + p/4096) mod 16 lines │
//!   limit()                                                      colour pad, never touched
//!                                  │◄────────────────── the last page ────────────────►│
//! ```
//!
//! All that is hot of a parked greenlet lies near its top. The sets of the caches are chosen by the lowest bits of an
//! address, those of the translation buffers by the lowest bits of a page's number: were all slots aligned alike, those
//! bits would be the same for all tops, and a few sets would serve them while the others stay empty. The colour pad
//! moves neighbours apart by lines. The stride, an odd number of pages, moves them apart by pages: through all residues of
//! any power of two. Moving them within slots of an even stride would do that too, but make stacks differ in depth.
//!
//! The pad is a function of the slot's address, so that the header is found from any address inside the slot: by a signal
//! handler that has nothing but the faulting address. It is found from the number of the slot's last page alone, which
//! is what the free lists hold: no division on the way of `alloc` and `free`, and no look into a slab.
//!
//! The header's fields are relaxed atomics, which are plain loads and stores to the processor. They are read by
//! signal handlers that interrupted this very thread, and no thread-local is needed to reach them. A page that was
//! never touched, or was given back, reads as zero: id 0 is "no greenlet".
//!
//! Nothing here allocates, faults in a page (except the header's own) or knows what a control block is.

use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, compiler_fence};

use super::size::StackSize;
use super::sys;

/// Marks a header as ours: what is found above a faulting address could be anything.
const MAGIC: u32 = 0x6c6f_6f6d;

/// The low bits of a handle, which hold the class. The header's alignment leaves six of them.
const CLASS_MASK: usize = 0b11;

/// Colours: 16 offsets of one cache line each. More would leave less of the topmost page to the frames of a parked
/// greenlet, which then takes a second page.
const LINES: usize = 16;

/// log2 of the smallest page of any system, in which pages are numbered here. Where pages are larger, a slot's "last page"
/// is the last such part of it.
pub(super) const PAGE_SHIFT: u32 = 12;

/// What is known of the greenlet that lives on a slot, at the top of that slot.
#[repr(C, align(64))]
pub(crate) struct SlotHeader {
    magic: AtomicU32,
    /// 0: the stack of a greenlet; 1: an auxiliary stack on which a closure runs.
    kind: AtomicU32,
    /// 0: nobody; read as such from an untouched page too.
    id: AtomicU64,
    name: AtomicPtr<u8>,
    name_len: AtomicUsize,
    site: AtomicPtr<Location<'static>>,
}

const _: () = assert!(size_of::<SlotHeader>() == 64 && align_of::<SlotHeader>() == 64);
const _: () = assert!(size_of::<Slot>() == 8 || usize::BITS != 64);

/// Handle of a stack slot: the header's address, with the class in the low bits.
///
/// A `Slot` comes from an arena's `alloc` (or `for_each_live`), and is valid until it is given to `free`, whose
/// contract is that no copy is used afterwards. That is what the safe methods rely on. Not `Send`: invariant 1.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Slot(NonNull<u8>);

impl Slot {
    /// The slot of class `size` whose last page has this number.
    ///
    /// # Safety
    ///
    /// A slot of that class that was carved from a mapped slab ends with that page, and it is live for as long as the
    /// handle is used.
    #[inline]
    pub(super) unsafe fn with_last_page(page: usize, size: StackSize) -> Slot {
        // Neighbours differ, since strides are odd. In the long run, the slots of one colour have pages of all residues.
        let pad = (page + (page >> 12)) % LINES * size_of::<SlotHeader>();
        let last = (page << PAGE_SHIFT) + (1 << PAGE_SHIFT) - size_of::<SlotHeader>();
        let tagged = (last - pad) | size as usize;
        // SAFETY: a slab never lies at address 0, and the header is inside the slot.
        Slot(unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(tagged)) })
    }

    /// The slot whose header this is.
    ///
    /// # Safety
    ///
    /// `header` came from [`Slot::header`] of a slot of class `size`, which is still live.
    #[inline]
    pub(crate) unsafe fn from_header(header: NonNull<SlotHeader>, size: StackSize) -> Slot {
        Slot(
            header
                .cast::<u8>()
                .map_addr(|address| address | size as usize),
        )
    }

    /// The header, which is also [`top`](Self::top).
    #[inline]
    pub(crate) fn header(self) -> *mut SlotHeader {
        self.0
            .as_ptr()
            .map_addr(|address| address & !CLASS_MASK)
            .cast()
    }

    /// Where the layer above may end its control block: 64-aligned.
    #[inline]
    pub(crate) fn top(self) -> usize {
        self.0.addr().get() & !CLASS_MASK
    }

    /// The number of the last page.
    #[inline]
    pub(super) fn last_page(self) -> usize {
        self.0.addr().get() >> PAGE_SHIFT
    }

    /// The lowest address, guard included.
    pub(crate) fn limit(self) -> usize {
        // The header lies in the last page, whatever the colour.
        self.top().next_multiple_of(sys::page_size()) - self.size().stride()
    }

    /// The lowest address of the stack itself: above the guard.
    pub(crate) fn lowest(self) -> usize {
        self.limit() + super::guard::len(self.size())
    }

    /// How many bytes of the slot have been touched, counted from its end down to the lowest page that is in memory.
    /// `None` if the system does not say.
    pub(crate) fn high_water(self) -> Option<usize> {
        let (lowest, end) = (self.lowest(), self.limit() + self.size().stride());
        let below = sys::untouched(lowest, end - lowest).ok()?;
        Some(end - lowest - below)
    }

    /// The class.
    #[inline]
    pub(crate) fn size(self) -> StackSize {
        match self.class() {
            0 => StackSize::K64,
            1 => StackSize::K256,
            _ => StackSize::M1,
        }
    }

    /// The class's number: 0, 1 or 2.
    #[inline]
    pub(super) fn class(self) -> usize {
        self.0.addr().get() & CLASS_MASK
    }

    #[inline]
    fn head(&self) -> &SlotHeader {
        // SAFETY: the slot is live (the contract of `Arena::free`, invariant 10), so its header is mapped, aligned by
        // `with_last_page`, and valid whatever its bytes are; all its fields are atomics.
        unsafe { &*self.header() }
    }

    /// Says who lives here: the slot is listed as live and named in an overflow report from now on.
    #[inline]
    pub(crate) fn open(self, id: NonZeroU64, site: &'static Location<'static>) {
        self.open_as(0, id, site);
    }

    /// As [`open`](Self::open), for a stack that a closure of greenlet `id` runs on: named in a report, not listed.
    pub(crate) fn open_auxiliary(self, id: NonZeroU64, site: &'static Location<'static>) {
        self.open_as(1, id, site);
    }

    #[inline]
    fn open_as(self, kind: u32, id: NonZeroU64, site: &'static Location<'static>) {
        let head = self.head();
        head.magic.store(MAGIC, Relaxed);
        head.kind.store(kind, Relaxed);
        head.name_len.store(0, Relaxed);
        head.name.store(ptr::null_mut(), Relaxed);
        head.site.store(ptr::from_ref(site).cast_mut(), Relaxed);
        // Last: a signal between the stores must not see an id with the previous greenlet's name.
        compiler_fence(std::sync::atomic::Ordering::Release);
        head.id.store(id.get(), Relaxed);
    }

    /// Says that nobody lives here any more.
    #[inline]
    pub(super) fn close(self) {
        self.head().id.store(0, Relaxed);
    }

    /// Gives the greenlet a name, for reports.
    ///
    /// # Safety
    ///
    /// The text stays where it is, unchanged, until the slot is freed or has another name.
    #[inline]
    pub(crate) unsafe fn set_name(self, name: &str) {
        let head = self.head();
        // A signal in between sees no name, never a pointer with another one's length.
        head.name_len.store(0, Relaxed);
        compiler_fence(std::sync::atomic::Ordering::SeqCst);
        head.name.store(name.as_ptr().cast_mut(), Relaxed);
        compiler_fence(std::sync::atomic::Ordering::SeqCst);
        head.name_len.store(name.len(), Relaxed);
    }

    /// The id, if somebody lives here.
    #[inline]
    pub(crate) fn id(self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.head().id.load(Relaxed))
    }

    /// Whether a greenlet lives here: somebody does, and it is not an auxiliary stack.
    #[inline]
    pub(crate) fn is_greenlet(self) -> bool {
        self.id().is_some() && self.head().kind.load(Relaxed) == 0
    }

    /// Whether the header was written by [`open`](Self::open) and not closed since.
    pub(super) fn is_open(self) -> bool {
        self.head().magic.load(Relaxed) == MAGIC && self.id().is_some()
    }

    /// Calls `f` with the name, if one was set. A closure, so that the text cannot be kept beyond the slot's life.
    pub(crate) fn with_name<R>(self, f: impl FnOnce(Option<&str>) -> R) -> R {
        let head = self.head();
        let start = self
            .id()
            .and_then(|_| NonNull::new(head.name.load(Relaxed)));
        // SAFETY: `set_name` took both from one `&str`, which its caller keeps in place while the slot is live; an id
        // says that it is. `open` clears the name, so it is not that of an earlier greenlet.
        f(start.map(|start| unsafe {
            str::from_utf8_unchecked(std::slice::from_raw_parts(
                start.as_ptr(),
                head.name_len.load(Relaxed),
            ))
        }))
    }

    /// Where the greenlet was spawned.
    pub(crate) fn site(self) -> Option<&'static Location<'static>> {
        self.id()?;
        // SAFETY: the field `site` is null or came from a `&'static Location` in `open_as`.
        unsafe { self.head().site.load(Relaxed).as_ref() }
    }
}

impl fmt::Debug for Slot {
    /// Addresses only: a `Debug` that reads the header would fault for a stale handle.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({:#x}, {:?})", self.limit(), self.size())
    }
}
