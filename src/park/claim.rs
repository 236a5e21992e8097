//! One wait as the two sides see it: [`Claim`], held by who waits; [`Unparker`], held by those who may end it.
//!
//! ```text
//!  waiter: Claim ──► word ◄── Unparker: grant (one wins), then unpark
//!                     │
//!          a greenlet: in its control block, reached by others inside its hub's gate
//!          a thread:   in a cell that both sides share
//! ```
//!
//! An `Unparker` is plain data that names one wait for all time: it keeps nothing alive, and after the wait has ended, however it
//! did, every grant fails and every wake does nothing. So lists of waiters may hold stale ones without harm.
//!
//! This file decides nothing: `word.rs` has the protocol, and who is granted what is the business of the layers above.
#![forbid(unsafe_code)]

use core::fmt;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, Thread};

use super::Ticket;
use super::word::{self, Grant};
use crate::greenlet::control::ControlRef;
use crate::greenlet::hot::{Phase, hot};
use crate::greenlet::wake;
use crate::hub::sched::{self, Hub, Message, Ref, Waiter};

/// The word of a plain thread, and the thread.
pub(crate) struct ThreadCell {
    word: AtomicU64,
    thread: Thread,
}

thread_local! {
    static CELL: Arc<ThreadCell> = new_cell();
    static EPOCH: Cell<u64> = const { Cell::new(1) };
}

fn new_cell() -> Arc<ThreadCell> {
    Arc::new(ThreadCell {
        word: AtomicU64::new(0),
        thread: thread::current(),
    })
}

/// This thread's cell; one of its own for each wait in the destructors of thread-locals, when the common one may be gone.
fn cell() -> Arc<ThreadCell> {
    CELL.try_with(Arc::clone).unwrap_or_else(|_| new_cell())
}

/// Ends one wait, from any thread; see the file's head.
#[derive(Clone)]
pub(crate) enum Unparker {
    /// A greenlet's. The address is looked at on its own thread, or inside the gate of its hub (invariant 1).
    Greenlet {
        hub: Ref,
        control: usize,
        epoch: u64,
    },
    /// A plain thread's.
    Thread(Arc<ThreadCell>, u64),
}

impl Unparker {
    #[inline]
    pub(super) fn of(ticket: &Ticket) -> Self {
        match ticket {
            Ticket::Greenlet(_, hub, w) => Self::Greenlet {
                hub: hub.handle(),
                control: w.control.address(),
                epoch: w.epoch,
            },
            Ticket::Thread => Self::Thread(
                cell(),
                EPOCH.with(|e| {
                    e.set(e.get() + 1);
                    e.get()
                }),
            ),
        }
    }

    /// Grants the wait. False if it has ended, or was never a claim: take the next one. If true, [`unpark`](Self::unpark) is
    /// to follow, after the locks that are held have been let go.
    #[inline]
    pub(crate) fn grant(&self, grant: Grant) -> bool {
        match self {
            Self::Greenlet {
                hub,
                control,
                epoch,
            } => sched::with_grant(*hub, *control, |w| word::grant(w, *epoch, grant))
                .unwrap_or(false),
            Self::Thread(cell, epoch) => word::grant(&cell.word, *epoch, grant),
        }
    }

    /// Makes the park end, or look again.
    #[inline]
    pub(crate) fn unpark(&self) {
        match self {
            Self::Greenlet {
                hub,
                control,
                epoch,
            } => {
                let hot = hot();
                match sched::get(hot) {
                    Some(own) if own.handle() == *hub && hot.phase.get() == Phase::Active => {
                        wake::unpark(hot, sched::local(own, *control), *epoch);
                    }
                    // The hub has ended if it comes back: nobody waits there any more.
                    _ => drop(hub.send(Message::Wake {
                        control: *control,
                        epoch: *epoch,
                    })),
                }
            }
            Self::Thread(cell, _) => cell.thread.unpark(),
        }
    }

    /// Whether the waiter runs on the calling thread: then a grant hands over without delay.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        match self {
            Self::Greenlet { hub, .. } => sched::get(hot()).is_some_and(|own| own.handle() == *hub),
            Self::Thread(..) => false,
        }
    }

    /// The park, as things of the calling thread's hub know it; `None` if it is another's.
    pub(crate) fn local(&self) -> Option<(&'static Hub, Waiter)> {
        match self {
            Self::Greenlet {
                hub,
                control,
                epoch,
            } => {
                let own = sched::get(hot()).filter(|own| own.handle() == *hub)?;
                let control = sched::local(own, *control);
                let epoch = *epoch;
                Some((own, Waiter { control, epoch }))
            }
            Self::Thread(..) => None,
        }
    }

    /// Whether both name the same wait.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Greenlet {
                    hub,
                    control,
                    epoch,
                },
                Self::Greenlet {
                    hub: h,
                    control: c,
                    epoch: e,
                },
            ) => epoch == e && control == c && hub == h,
            (Self::Thread(cell, epoch), Self::Thread(c, e)) => epoch == e && Arc::ptr_eq(cell, c),
            _ => false,
        }
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greenlet { epoch, .. } => write!(f, "Unparker(park {epoch})"),
            Self::Thread(cell, epoch) => write!(f, "Unparker({:?}, {epoch})", cell.thread.id()),
        }
    }
}

/// The waiter's side of one wait that others can grant. Dropped before it was granted, it has given up.
#[derive(Debug)]
pub(crate) struct Claim {
    unparker: Unparker,
    /// The waiter, if it is a greenlet, and the wait. Keeps the claim on its thread.
    own: Option<ControlRef>,
    epoch: u64,
}

impl Claim {
    /// Opens the wait that `ticket` names.
    #[inline]
    pub(crate) fn new(ticket: &Ticket) -> Self {
        let unparker = ticket.unparker();
        let claim = Self {
            own: match ticket {
                Ticket::Greenlet(_, _, w) => Some(w.control),
                Ticket::Thread => None,
            },
            epoch: match &unparker {
                Unparker::Greenlet { epoch, .. } | Unparker::Thread(_, epoch) => *epoch,
            },
            unparker,
        };
        claim.with_word(word::open);
        claim
    }

    /// The wait of nobody in particular, for tests of lists of waiters.
    #[cfg(test)]
    pub(super) fn stand_in() -> Self {
        let claim = Self {
            unparker: Unparker::Thread(new_cell(), 1),
            own: None,
            epoch: 1,
        };
        claim.with_word(word::open);
        claim
    }

    /// The other side of it.
    #[inline]
    pub(crate) fn unparker(&self) -> &Unparker {
        &self.unparker
    }

    /// What it was granted.
    #[inline]
    pub(crate) fn grant(&self) -> Option<Grant> {
        self.with_word(word::granted)
    }

    /// Whether it was.
    #[inline]
    pub(crate) fn granted(&self) -> bool {
        self.grant().is_some()
    }

    /// Gives up. False if it was granted meanwhile.
    #[inline]
    pub(crate) fn shut(&self) -> bool {
        self.with_word(word::shut)
    }

    #[inline]
    fn with_word<R>(&self, f: impl FnOnce(&AtomicU64, u64) -> R) -> R {
        match (self.own, &self.unparker) {
            (Some(own), _) => f(&own.grant, self.epoch),
            (None, Unparker::Thread(cell, _)) => f(&cell.word, self.epoch),
            (None, Unparker::Greenlet { .. }) => unreachable!("a greenlet's claim without it"),
        }
    }
}

impl Drop for Claim {
    #[inline]
    fn drop(&mut self) {
        self.shut();
    }
}
