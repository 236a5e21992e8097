//! Stacks for very many raw coroutines: equal slots of one mapping.
//!
//! ```text
//! | slot 0                 | slot 1                 | …       one mapping, no guard pages, no huge pages
//!                     top ─┘                   top ─┘         each top a little lower than its slot's end, see `COLOURS`
//! ```
//!
//! corosensei's own stacks are two mappings each, of which a process has 65,530. These are for references whose bodies are known
//! to need a few hundred bytes, and for nothing else: nothing stops a body from running over.

use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;

use corosensei::stack::{Stack, StackPointer};

use crate::reference::STACK;
use crate::sys::Mapping;

/// Tops lie at so many places of their pages in turn, so that they do not all fall into the same few lines of a cache.
const COLOURS: usize = 16;
const COLOUR: usize = 128;

/// Lines at a top that a suspended coroutine of a small body has used.
const LINES: usize = 6;

/// Many slots. Kept by each that was taken out.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Rc<Mapping>);

impl Slots {
    /// So many, of which nothing is touched yet.
    pub(crate) fn new(n: usize) -> io::Result<Slots> {
        Ok(Slots(Rc::new(Mapping::new(n * STACK)?)))
    }

    /// All of them, once; and what can bring them near.
    pub(crate) fn deal(self) -> (Nearer, impl Iterator<Item = Slot>) {
        let nearer = Nearer(self.clone());
        let slots = (0..self.0.len() / STACK).map(move |index| Slot {
            top: self.top(index),
            limit: self.0.address() + index * STACK,
            _slots: self.clone(),
        });
        (nearer, slots)
    }

    fn top(&self, index: usize) -> usize {
        self.0.address() + (index + 1) * STACK - index % COLOURS * COLOUR
    }
}

/// Brings a slot's top into the caches.
#[derive(Debug)]
pub(crate) struct Nearer(Slots);

impl Nearer {
    /// Begins to: what a suspended coroutine of a small body will touch first.
    pub(crate) fn prefetch(&self, index: usize) {
        let top = self.0.top(index);
        for line in 1..=LINES {
            prefetch(top - line * 64);
        }
    }
}

/// Begins to load the first line of a value.
pub(crate) fn prefetch_value<T>(value: &T) {
    prefetch(std::ptr::from_ref(value).addr());
}

/// Begins to load a line of the cache, where that can be asked for.
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing as far as the program can tell, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address as *const i8);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// One stack.
#[derive(Debug)]
pub(crate) struct Slot {
    top: usize,
    limit: usize,
    _slots: Slots,
}

// SAFETY: the slot is within a mapping that lives as long as this does, and is given out once (`deal` takes the slots,
// which cannot be had again). It has more than the least number of bytes, and its top is a multiple of 128. It has no
// guard page, which is this file's bargain: it is used for bodies that need a few hundred bytes of their 60 KiB.
unsafe impl Stack for Slot {
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(self.top).expect("a mapping is not at zero")
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.limit).expect("a mapping is not at zero")
    }
}
