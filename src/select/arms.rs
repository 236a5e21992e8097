//! The arms of a builder: nested pairs, so that each keeps its own type and closure and nothing is boxed.
//!
//! ```text
//! ((((), On e f), Many [s0 s1 s2] g), After d h)
//!        slot 0         slots 1 2 3         slot 4
//! ```
//!
//! A slot is one entry in the list that park's `select` works on. Arms that wait for nothing (a time, a default) have one
//! too, which is never ready, so that the number of a slot says whose it is.
#![forbid(unsafe_code)]

use core::fmt;
use std::time::Duration;

use super::sealed::{Arm, Slot};
use crate::park::{self, Reason, Selectable, Unparker};

/// So many slots need no allocation.
pub(super) const FEW: usize = 8;

/// The arms of a [`Select`](super::Select) whose closures return `R`.
///
/// Implemented by this crate's types only.
pub trait Arms<R> {
    /// How many slots they have.
    #[doc(hidden)]
    fn count(&self) -> usize;

    /// Puts their slots into the list, in order.
    #[doc(hidden)]
    fn collect<'a>(&'a mut self, slots: &mut Slots<'a>);

    /// What is to happen if none is ready.
    #[doc(hidden)]
    fn otherwise(&self) -> Otherwise;

    /// Drops the other arms, then runs the closure of the one whose slot was chosen.
    #[doc(hidden)]
    fn run(self, slot: usize) -> R;
}

/// What is to happen if no arm is ready; each with the slot that is chosen then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Otherwise {
    /// Not to wait at all.
    pub(super) default: Option<usize>,
    /// To wait so long.
    pub(super) after: Option<(Duration, usize)>,
}

impl<R> Arms<R> for () {
    fn count(&self) -> usize {
        0
    }

    fn collect<'a>(&'a mut self, _slots: &mut Slots<'a>) {}

    fn otherwise(&self) -> Otherwise {
        Otherwise::default()
    }

    fn run(self, slot: usize) -> R {
        unreachable!("no arm has slot {slot}")
    }
}

/// An arm with its closure.
pub(super) struct On<A, F> {
    pub(super) arm: A,
    pub(super) f: F,
}

impl<R, B, A, F> Arms<R> for (B, On<A, F>)
where
    B: Arms<R>,
    A: Arm,
    F: FnOnce(A::Output) -> R,
{
    #[inline]
    fn count(&self) -> usize {
        self.0.count() + 1
    }

    #[inline]
    fn collect<'a>(&'a mut self, slots: &mut Slots<'a>) {
        self.0.collect(slots);
        slots.push(self.1.arm.slot());
    }

    #[inline]
    fn otherwise(&self) -> Otherwise {
        self.0.otherwise()
    }

    #[inline]
    fn run(self, slot: usize) -> R {
        let (before, own) = self;
        if slot < before.count() {
            drop(own);
            return before.run(slot);
        }
        drop(before);
        (own.f)(own.arm.take())
    }
}

/// Any number of arms of one type, with one closure.
pub(super) struct Many<A, F> {
    pub(super) arms: Vec<A>,
    pub(super) f: F,
}

impl<R, B, A, F> Arms<R> for (B, Many<A, F>)
where
    B: Arms<R>,
    A: Arm,
    F: FnOnce(usize, A::Output) -> R,
{
    fn count(&self) -> usize {
        self.0.count() + self.1.arms.len()
    }

    fn collect<'a>(&'a mut self, slots: &mut Slots<'a>) {
        self.0.collect(slots);
        for arm in &mut self.1.arms {
            slots.push(arm.slot());
        }
    }

    fn otherwise(&self) -> Otherwise {
        self.0.otherwise()
    }

    fn run(self, slot: usize) -> R {
        let (before, mut own) = self;
        let Some(index) = slot.checked_sub(before.count()) else {
            drop(own);
            return before.run(slot);
        };
        drop(before);
        let arm = own.arms.swap_remove(index);
        drop(own.arms);
        (own.f)(index, arm.take())
    }
}

/// What to do when nothing is ready: at once, or after a time.
pub(super) struct Else<F> {
    pub(super) after: Option<Duration>,
    pub(super) slot: Never,
    pub(super) f: F,
}

impl<R, B, F> Arms<R> for (B, Else<F>)
where
    B: Arms<R>,
    F: FnOnce() -> R,
{
    #[inline]
    fn count(&self) -> usize {
        self.0.count() + 1
    }

    #[inline]
    fn collect<'a>(&'a mut self, slots: &mut Slots<'a>) {
        self.0.collect(slots);
        slots.push(Slot(&mut self.1.slot));
    }

    #[inline]
    fn otherwise(&self) -> Otherwise {
        let mut all = self.0.otherwise();
        let slot = self.0.count();
        match self.1.after {
            None => all.default = all.default.or(Some(slot)),
            // Of several that are equal, the first.
            Some(d) if all.after.is_none_or(|(earliest, _)| d < earliest) => {
                all.after = Some((d, slot));
            }
            Some(_) => {}
        }
        all
    }

    #[inline]
    fn run(self, slot: usize) -> R {
        let (before, own) = self;
        if slot < before.count() {
            drop(own);
            return before.run(slot);
        }
        drop(before);
        (own.f)()
    }
}

/// A slot that is never ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Never;

impl Selectable for Never {
    fn reason(&self) -> Reason<'_> {
        Reason::new("a time to pass", 0)
    }

    fn attempt(&mut self) -> bool {
        false
    }

    fn register(&mut self, _who: &Unparker, _arm: park::Arm) -> bool {
        false
    }

    fn unregister(&mut self) {}

    fn commit(&mut self) {}
}

/// The list that park's `select` works on: in the frame while it is short.
pub struct Slots<'a> {
    few: [&'a mut dyn Selectable; FEW],
    used: usize,
    /// All of them, if they are many.
    many: Option<Vec<&'a mut dyn Selectable>>,
}

impl<'a> Slots<'a> {
    /// Room for `count`, with something to stand where there is none yet.
    #[inline]
    pub(super) fn new(blank: &'a mut [Never; FEW], count: usize) -> Self {
        Self {
            few: blank.each_mut().map(|never| never as &mut dyn Selectable),
            used: 0,
            many: (count > FEW).then(|| Vec::with_capacity(count)),
        }
    }

    #[inline]
    fn push(&mut self, slot: Slot<'a>) {
        match &mut self.many {
            Some(many) => many.push(slot.0),
            None => {
                self.few[self.used] = slot.0;
                self.used += 1;
            }
        }
    }

    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [&'a mut dyn Selectable] {
        match &mut self.many {
            Some(many) => many,
            None => &mut self.few[..self.used],
        }
    }
}

impl fmt::Debug for Slots<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slots(..)")
    }
}
