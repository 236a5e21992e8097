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

/// Many slots. Kept by each that was taken out.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Rc<Mapping>);

impl Slots {
    /// So many, of which nothing is touched yet.
    pub(crate) fn new(n: usize) -> io::Result<Slots> {
        Ok(Slots(Rc::new(Mapping::new(n * STACK)?)))
    }

    /// All of them, once.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Slot> {
        (0..self.0.len() / STACK).map(move |index| Slot {
            start: self.0.address() + index * STACK,
            index,
            _slots: self.clone(),
        })
    }
}

/// One stack.
#[derive(Debug)]
pub(crate) struct Slot {
    start: usize,
    index: usize,
    _slots: Slots,
}

// SAFETY: the slot is within a mapping that lives as long as this does, and is given out once (`into_iter` takes the slots,
// which cannot be had again). It has more than the least number of bytes, and its top is a multiple of 128. It has no
// guard page, which is this file's bargain: it is used for bodies that need a few hundred bytes of their 60 KiB.
unsafe impl Stack for Slot {
    fn base(&self) -> StackPointer {
        let top = self.start + STACK - self.index % COLOURS * COLOUR;
        NonZeroUsize::new(top).expect("a mapping is not at zero")
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.start).expect("a mapping is not at zero")
    }
}
