//! One file descriptor as the reactor sees it: who it is ([`Token`]), what it can do now, who waits for that.
//!
//! A registration has two sides that know nothing of each other, reading and writing. A side is in one of
//! these states:
//!
//! ```text
//!   ready  closed  waiter │ meaning                                           leaves by
//!   ──────────────────────┼──────────────────────────────────────────────────────────────────────────
//!   yes    no      –      │ a system call is worth trying; so it begins       clear
//!   yes    yes     –      │ so it stays: the end of the stream is behind it   clear by WouldBlock only
//!   no     no      –      │ the kernel had nothing; trying again is in vain   event, set_waiter
//!   no     no      W      │ W is parked until the next event                  event, take_waiter
//!   ──────────────────────┼──────────────────────────────────────────────────────────────────────────
//!   yes    any     W      │ forbidden: W might wait for an event that has been
//!   no     yes     any    │ forbidden: closed implies ready
//! ```
//!
//! # Why `clear` loses no event
//!
//! Events reach these bits in [`Reactor::poll`](super::Reactor::poll) only, on the thread that does the system
//! calls as well, and not in the middle of one. Between a call that found nothing and the `clear` which says
//! so, the bits cannot change. Whatever arrives in that time is an edge that waits in the kernel, and the next
//! poll reports it, to the waiter if there is one by then (invariant 6).
//!
//! # Why end-of-stream sticks, and what unsticks it
//!
//! Data and end of stream may arrive as one edge. A read that takes the data and is *short* proves that the
//! queue was empty, but not that nothing is behind it: no second edge will come for the end. So a short
//! transfer does not clear a closed side. A call that *would block* is the kernel's word that there is nothing,
//! no end and no error either, and newer than any event. It clears everything, and it must: error and hang-up
//! are not for ever on an unconnected TCP socket that connects later, on a datagram socket that reported an
//! ICMP error, on a FIFO or terminal that is opened again. A side that stayed ready there would spin.
//!
//! This file makes no system calls.
#![forbid(unsafe_code)]

use std::num::NonZeroU32;
use std::os::fd::RawFd;

const _: () = assert!(
    usize::BITS == 64,
    "an event carries slot and generation in one usize"
);

/// Names one registration for as long as that lives, and nothing afterwards.
///
/// ```text
///   mio::Token: [ generation: 32 | slot: 32 ]      generation ≥ 1; slot < 2^31, there being no more fds
/// ```
///
/// Slots are used again, generations only after 2^32 registrations, so a stale token or a stale event is
/// recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    pub(super) slot: u32,
    pub(super) generation: NonZeroU32,
}

impl Token {
    /// For the kernel to carry.
    pub(super) fn to_mio(self) -> mio::Token {
        mio::Token((self.generation.get() as usize) << 32 | self.slot as usize)
    }

    /// What the kernel carried; `None` if no registration can have this number.
    pub(super) fn from_mio(token: mio::Token) -> Option<Self> {
        Some(Self {
            slot: token.0 as u32, // the low half
            generation: NonZeroU32::new((token.0 >> 32) as u32)?,
        })
    }
}

/// A side of a registration. Accepting is reading, connecting is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// Towards this process.
    Read,
    /// Out of this process.
    Write,
}

/// Why a side is taken for not ready: see the file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emptied {
    /// A call transferred less than was asked for. Proof on stream sockets of the internet family only.
    Short,
    /// A call would have blocked.
    WouldBlock,
}

/// Who was parked on a registration that ended. To be woken: their descriptor is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a waiter of an ended registration is woken by nobody else"]
pub(crate) struct Waiters<W> {
    /// The one that waited to read.
    pub(crate) read: Option<W>,
    /// The one that waited to write.
    pub(crate) write: Option<W>,
}

impl<W> Waiters<W> {
    pub(super) const NONE: Self = Self {
        read: None,
        write: None,
    };
}

/// Both of them, the reader first.
impl<W> IntoIterator for Waiters<W> {
    type Item = W;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<W>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        [self.read, self.write].into_iter().flatten()
    }
}

/// Why a waiter could not be parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused<W> {
    /// Another one waits there: two tasks use one side of one descriptor.
    Busy(W),
    /// Nothing to wait for: an event came, or the caller has not said what emptied the side.
    Ready,
    /// The registration has ended.
    Stale,
}

/// One direction; the states are in the file's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<W> {
    ready: bool,
    closed: bool,
    waiter: Option<W>,
}

impl<W: Copy + Eq> Side<W> {
    /// Optimistic: most first calls succeed, and one that does not tells for certain.
    const NEW: Self = Self {
        ready: true,
        closed: false,
        waiter: None,
    };

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn clear(&mut self, emptied: Emptied) {
        self.closed &= emptied == Emptied::Short;
        self.ready = self.closed;
    }

    pub(super) fn set_waiter(&mut self, waiter: W) -> Result<(), Refused<W>> {
        match self.waiter {
            Some(other) => Err(Refused::Busy(other)),
            None if self.ready => Err(Refused::Ready),
            None => {
                self.waiter = Some(waiter);
                Ok(())
            }
        }
    }

    /// Whether `waiter` was parked here; it no longer is.
    pub(super) fn take_waiter(&mut self, waiter: W) -> bool {
        self.waiter.take_if(|parked| *parked == waiter).is_some()
    }

    /// An event: whom to wake.
    pub(super) fn notice(&mut self, closed: bool) -> Option<W> {
        self.ready = true;
        self.closed |= closed;
        self.waiter.take()
    }
}

/// A registered descriptor.
#[derive(Debug)]
pub(super) struct Registration<W> {
    pub(super) generation: NonZeroU32,
    /// Only to be shown and compared: the reactor does not own it.
    pub(super) fd: RawFd,
    pub(super) read: Side<W>,
    pub(super) write: Side<W>,
}

impl<W: Copy + Eq> Registration<W> {
    pub(super) fn new(generation: NonZeroU32, fd: RawFd) -> Self {
        Self {
            generation,
            fd,
            read: Side::NEW,
            write: Side::NEW,
        }
    }

    pub(super) fn side(&self, direction: Direction) -> &Side<W> {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    pub(super) fn side_mut(&mut self, direction: Direction) -> &mut Side<W> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    pub(super) fn into_waiters(self) -> Waiters<W> {
        Waiters {
            read: self.read.waiter,
            write: self.write.waiter,
        }
    }
}
