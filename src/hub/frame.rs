//! What a parked greenlet says of itself: why it waits, since when, and for whom.
//!
//! Every park states at least one [`Reason`]. They are read by the deadlock report and by dumps, never by the scheduler:
//! a reason wakes nobody.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Instant;
use crate::greenlet::control::ControlRef;

/// Why a greenlet waits.
#[derive(Clone, Copy)]
pub(crate) struct Reason<'a> {
    /// "sleep", "join of a task", "read of a socket" …
    pub(crate) kind: &'static str,
    pub(crate) object: Object,
    pub(crate) owner: HeldBy<'a>,
}

/// What tells the object from others of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// There is none, or nothing tells it.
    Unnamed,
    /// An id, a descriptor.
    Number(usize),
    /// Where it lies, of what has no number. It is left out of sentences, and shown by dumps: it means nothing but that two
    /// wait for the same.
    At(usize),
}

/// Who could end a wait, if that is one greenlet.
#[derive(Clone, Copy)]
pub(crate) enum HeldBy<'a> {
    /// Nobody in particular.
    Nobody,
    /// The greenlet with this id.
    Known(u64),
    /// The one whose id stands there now; 0 is nobody. The top bit is no part of the id, and the object's own.
    Cell(&'a AtomicU64),
}

/// What is an id in a [`HeldBy::Cell`].
pub(crate) const ID_BITS: u64 = u64::MAX >> 1;

impl<'a> Reason<'a> {
    /// A wait that nobody in particular could end, for the object with this number; 0 if it has none.
    pub(crate) const fn new(kind: &'static str, number: usize) -> Self {
        Self {
            kind,
            object: match number {
                0 => Object::Unnamed,
                number => Object::Number(number),
            },
            owner: HeldBy::Nobody,
        }
    }

    /// The same for an object that has no number, and does not move while it is waited for.
    pub(crate) fn at<T: ?Sized>(kind: &'static str, object: &T) -> Self {
        Self {
            object: Object::At(core::ptr::from_ref(object).addr()),
            ..Self::new(kind, 0)
        }
    }

    /// The same, with who could end the wait.
    pub(crate) const fn held_by(self, owner: HeldBy<'a>) -> Self {
        Self { owner, ..self }
    }

    /// The same without what it borrows. Who holds a thing that changes hands is left out: of several reasons, none is
    /// followed to its owner anyway.
    pub(crate) const fn detached(self) -> Reason<'static> {
        Reason {
            kind: self.kind,
            object: self.object,
            owner: match self.owner {
                HeldBy::Known(id) => HeldBy::Known(id),
                HeldBy::Nobody | HeldBy::Cell(_) => HeldBy::Nobody,
            },
        }
    }

    /// Where the object lies, if nothing else tells it.
    pub(crate) fn address(&self) -> Option<usize> {
        match self.object {
            Object::At(address) => Some(address),
            Object::Unnamed | Object::Number(_) => None,
        }
    }

    /// The id of who could end the wait.
    pub(crate) fn owner(&self) -> Option<u64> {
        match self.owner {
            HeldBy::Nobody => None,
            HeldBy::Known(id) => Some(id),
            HeldBy::Cell(id) => Some(id.load(Ordering::Relaxed) & ID_BITS).filter(|id| *id != 0),
        }
    }
}

impl fmt::Debug for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        match self.object {
            Object::Number(number) => write!(f, " {number}"),
            Object::Unnamed | Object::At(_) => Ok(()),
        }
    }
}

/// A park in progress; lives in the frame of `park_until`, and hangs off the control block meanwhile.
pub(crate) struct Frame<'a> {
    pub(crate) reasons: &'a [Reason<'a>],
    pub(crate) since: Instant,
    /// Ends the wait for good because its hub ends: no grant may come any more (invariant 14).
    pub(crate) abandon: &'a dyn Fn(),
    /// Whether the wait has an end of its own: a deadline.
    pub(crate) timed: bool,
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("reasons", &self.reasons)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// Hangs `frame` off `c` while `f` runs.
#[inline]
pub(crate) fn with_frame<R>(c: ControlRef, frame: &Frame<'_>, f: impl FnOnce() -> R) -> R {
    struct Restore(ControlRef, *const ());
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.upper.wait.set(self.1);
        }
    }
    let _restore = Restore(c, c.upper.wait.replace(core::ptr::from_ref(frame).cast()));
    f()
}

/// Calls `f` with the park in progress of `c`, if it has one.
pub(crate) fn with_wait<R>(c: ControlRef, f: impl FnOnce(&Frame<'_>) -> R) -> Option<R> {
    let frame = c.upper.wait.get().cast::<Frame<'_>>();
    // SAFETY: invariants 1 and 5: the frame hangs there exactly while `with_frame` runs on `c`'s stack, which is parked
    // or this one; `f` cannot keep it, as its lifetime is anonymous.
    unsafe { frame.as_ref() }.map(f)
}
