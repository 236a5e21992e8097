//! Which addresses belong to slabs: written when a slab is mapped or unmapped, read by a signal handler.
//!
//! One entry is one atomic word, so that a reader can never see the base of one slab with the length of another:
//!
//! ```text
//! 63      56 55                32 31                                0
//! │ class+1 │ length / 64 KiB    │ base / 64 KiB                     │     0: the entry is free
//! ```
//!
//! Entries live in chunks of 512, the first of them static, further ones linked behind it and never freed. Writers
//! claim a free entry by compare-and-swap; there is no lock, so a `fork` in another thread's registration leaves
//! nothing locked in the child. A reader walks all chunks. What a reader finds is true at that moment only; it is
//! also true afterwards for a slab that the reader's own thread is running on, which is the one case in which the
//! fault handler goes on to touch the slab.

#![forbid(unsafe_code)]

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::size::StackSize;

/// Slabs are aligned to, and a multiple of, this many bytes: with those, an entry fits into a word.
pub(super) const UNIT: usize = 1 << UNIT_SHIFT;
const UNIT_SHIFT: u32 = 16;

const ENTRIES: usize = 512;

struct Chunk {
    entries: [AtomicU64; ENTRIES],
    next: OnceLock<Box<[Chunk]>>,
}

impl Chunk {
    const fn new() -> Chunk {
        Chunk {
            entries: [const { AtomicU64::new(0) }; ENTRIES],
            next: OnceLock::new(),
        }
    }
}

static FIRST: Chunk = Chunk::new();

/// The highest address, exclusive, that an entry can express: 48 bits, which is all of user space unless a mapping is
/// asked for above it.
pub(super) const ADDRESS_END: u64 = 1 << 48;

fn pack(base: usize, len: usize, size: StackSize) -> u64 {
    let (base, len) = (base as u64, len as u64);
    debug_assert!(
        base + len <= ADDRESS_END
            && (base | len).is_multiple_of(UNIT as u64)
            && len >> UNIT_SHIFT < 1 << 24
    );
    (base >> UNIT_SHIFT) | ((len >> UNIT_SHIFT) << 32) | ((size as u64 + 1) << 56)
}

/// Makes a slab known. It must be removed before it is unmapped.
///
/// # Errors
///
/// `OutOfMemory` if a further chunk is needed and cannot be had.
pub(super) fn insert(base: usize, len: usize, size: StackSize) -> io::Result<()> {
    let word = pack(base, len, size);
    let mut chunk = &FIRST;
    loop {
        for entry in &chunk.entries {
            if entry.load(Relaxed) == 0 && entry.compare_exchange(0, word, AcqRel, Relaxed).is_ok()
            {
                return Ok(());
            }
        }
        if chunk.next.get().is_none() {
            let mut more = Vec::new();
            more.try_reserve_exact(1)
                .map_err(|_| io::ErrorKind::OutOfMemory)?;
            more.push(Chunk::new());
            // Another thread may have been first: then its chunk is as good as this one.
            let _ = chunk.next.set(more.into_boxed_slice());
        }
        chunk = following(chunk).expect("the next chunk was set just now");
    }
}

/// Forgets a slab.
pub(super) fn remove(base: usize, len: usize, size: StackSize) {
    let word = pack(base, len, size);
    let mut chunk = Some(&FIRST);
    while let Some(here) = chunk {
        for entry in &here.entries {
            if entry.compare_exchange(word, 0, AcqRel, Relaxed).is_ok() {
                return;
            }
        }
        chunk = following(here);
    }
    debug_assert!(false, "a slab that was never registered");
}

/// Where in which slab an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The class of the slab.
    pub(super) size: StackSize,
    /// The lowest address of that slot.
    pub(super) limit: usize,
}

/// The slot that `address` lies in. Safe in a signal handler: loads only.
pub(super) fn find(address: usize) -> Option<Place> {
    let unit = address as u64 >> UNIT_SHIFT;
    let mut chunk = Some(&FIRST);
    while let Some(here) = chunk {
        for entry in &here.entries {
            let word = entry.load(Acquire);
            let first = word & 0xffff_ffff;
            let units = (word >> 32) & 0xff_ffff;
            if word != 0 && unit.wrapping_sub(first) < units {
                let size = StackSize::from_number((word >> 56) as usize - 1)?;
                let base = (first << UNIT_SHIFT) as usize;
                let limit = address - (address - base) % size.stride();
                // A slab whose slots do not fill its last unit ends with a gap.
                let fits = limit + size.stride() <= base + ((units as usize) << UNIT_SHIFT);
                return fits.then_some(Place { size, limit });
            }
        }
        chunk = following(here);
    }
    None
}

fn following(chunk: &'static Chunk) -> Option<&'static Chunk> {
    chunk.next.get().and_then(|more| more.first())
}
