//! One wait as the two sides see it: [`Claim`], held by who waits; [`Unparker`], held by those who may end it.
//!
//! ```text
//!  waiter: Claim ──► word ◄── Unparker: grant (one wins), then unpark
//!                     │
//!          a greenlet: in its control block, reached by others inside its hub's gate
//!          a thread:   in a cell that outlives it, for the next thread
//! ```
//!
//! Where the waiter is a greenlet of the same hub, and waits at one object whose lock the granter holds, both are one step
//! ([`Unparker::grant_alone`]): nothing can come between, and what is left to be unparked is [`Unparker::Woken`].
//!
//! An `Unparker` is plain data that names one wait for all time: it keeps nothing alive, and after the wait has ended, however it
//! did, every grant fails and every wake does nothing. So lists of waiters may hold stale ones without harm.
//!
//! This file decides nothing: `word.rs` has the protocol, and who is granted what is the business of the layers above.
#![forbid(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};

use super::Lock;
use super::Ticket;
use super::word::{self, Grant};
use crate::greenlet::hot::{Phase, hot};
use crate::greenlet::wake;
use crate::hub::sched::{self, Hub, Message, Ref, Waiter};

/// Where a plain thread waits. Lent to one thread after the other, so that whoever still names an old wait finds a cell
/// that says no: no number comes twice in one.
pub(crate) struct ThreadCell {
    word: AtomicU64,
    /// Of the last wait. Changed only by the thread that has the cell.
    epoch: AtomicU64,
    thread: Lock<Option<Thread>>,
}

/// Cells that no thread has.
static CELLS: Mutex<Vec<&'static ThreadCell>> = Mutex::new(Vec::new());

/// A thread's hold on its cell. Gives it back as the thread ends.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(cell) = CELL.take() {
            drop(cell.thread.with(Option::take));
            CELLS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(cell);
        }
    }
}

thread_local! {
    // Without a destructor: there to the thread's very end.
    static CELL: Cell<Option<&'static ThreadCell>> = const { Cell::new(None) };
    static LEASE: Lease = const { Lease };
}

/// This thread's cell. One that first waits in the last destructors of its thread-locals keeps its cell for good.
fn cell() -> &'static ThreadCell {
    CELL.get().unwrap_or_else(lease)
}

#[cold]
fn lease() -> &'static ThreadCell {
    let _ = LEASE.try_with(|_| ());
    let spare = CELLS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let cell = spare.unwrap_or_else(|| {
        Box::leak(Box::new(ThreadCell {
            word: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            thread: Lock::new(None),
        }))
    });
    let me = thread::current();
    cell.thread.with(|thread| *thread = Some(me));
    CELL.set(Some(cell));
    cell
}

impl ThreadCell {
    /// The number of the next wait here.
    fn next_epoch(&self) -> u64 {
        // Relaxed: one thread at a time counts, and the list of spare cells orders the next one after it.
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        self.epoch.store(epoch, Ordering::Relaxed);
        epoch
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.with(|thread| thread.clone()) {
            thread.unpark();
        }
    }
}

/// Ends one wait, from any thread; see the file's head.
#[derive(Clone, Copy)]
pub(crate) enum Unparker {
    /// A greenlet's. The address is looked at on its own thread, or inside the gate of its hub (invariant 1).
    Greenlet {
        hub: Ref,
        control: usize,
        epoch: u64,
    },
    /// A plain thread's.
    Thread(&'static ThreadCell, u64),
    /// Of a wait that was granted, and whose waiter is runnable already: nothing is left to do.
    Woken,
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
            Ticket::Thread => {
                let cell = cell();
                Self::Thread(cell, cell.next_epoch())
            }
        }
    }

    /// Grants the wait. False if it has ended, or was never a claim: take the next one. If true, [`unpark`](Self::unpark) is
    /// to follow, after the locks that are held have been let go.
    #[inline]
    pub(crate) fn grant(&self, grant: Grant) -> bool {
        match *self {
            Self::Greenlet {
                hub,
                control,
                epoch,
            } => sched::with_grant(hub, control, |w| word::grant(w, epoch, grant)).unwrap_or(false),
            Self::Thread(cell, epoch) => word::grant(&cell.word, epoch, grant),
            Self::Woken => false,
        }
    }

    /// As [`grant`](Self::grant), by who holds the lock of the one object that the waiter waits at. If it is granted, says
    /// who is to be unparked afterwards: a greenlet of this thread is runnable already.
    #[inline]
    pub(crate) fn grant_alone(&self, grant: Grant) -> Option<Self> {
        if let Self::Greenlet {
            hub,
            control,
            epoch,
        } = *self
        {
            let hot = hot();
            if let Some(own) = sched::get(hot)
                && own.handle() == hub
                && hot.phase.get() == Phase::Active
            {
                let waiter = sched::local(own, control);
                if !word::grant_alone(waiter.grant_word(), epoch, grant) {
                    return None;
                }
                // A wake only enqueues (invariant 4), so the lock that is held is in nobody's way.
                wake::unpark(hot, waiter, epoch);
                return Some(Self::Woken);
            }
        }
        self.grant(grant).then_some(*self)
    }

    /// Makes the park end, or look again.
    #[inline]
    pub(crate) fn unpark(&self) {
        match *self {
            Self::Greenlet {
                hub,
                control,
                epoch,
            } => {
                let hot = hot();
                match sched::get(hot) {
                    Some(own) if own.handle() == hub && hot.phase.get() == Phase::Active => {
                        wake::unpark(hot, sched::local(own, control), epoch);
                    }
                    // The hub has ended if it comes back: nobody waits there any more.
                    _ => drop(hub.send(Message::Wake { control, epoch })),
                }
            }
            Self::Thread(cell, _) => cell.unpark(),
            Self::Woken => {}
        }
    }

    /// Whether the waiter runs on the calling thread: then a grant hands over without delay.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        match self {
            Self::Greenlet { hub, .. } => sched::get(hot()).is_some_and(|own| own.handle() == *hub),
            Self::Thread(..) | Self::Woken => false,
        }
    }

    /// The park, as things of the calling thread's hub know it; `None` if it is another's.
    pub(crate) fn local(&self) -> Option<(&'static Hub, Waiter)> {
        match *self {
            Self::Greenlet {
                hub,
                control,
                epoch,
            } => {
                let own = sched::get(hot()).filter(|own| own.handle() == hub)?;
                let control = sched::local(own, control);
                Some((own, Waiter { control, epoch }))
            }
            Self::Thread(..) | Self::Woken => None,
        }
    }

    /// Whether both name the same wait.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (*self, *other) {
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
            (Self::Thread(cell, epoch), Self::Thread(c, e)) => epoch == e && core::ptr::eq(cell, c),
            _ => false,
        }
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greenlet { epoch, .. } => write!(f, "Unparker(park {epoch})"),
            Self::Thread(_, epoch) => write!(f, "Unparker(thread, {epoch})"),
            Self::Woken => f.write_str("Unparker(woken)"),
        }
    }
}

/// The word of one wait and its number, as the waiter has them. Whoever opens it sees that it is shut in the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    word: &'static AtomicU64,
    epoch: u64,
    /// The waiter's own: it does not leave its thread.
    not_send: PhantomData<*const ()>,
}

impl Wait {
    /// Opens the wait that `ticket` names.
    #[inline]
    pub(super) fn open(ticket: &Ticket) -> (Self, Unparker) {
        let unparker = ticket.unparker();
        let (word, epoch) = match (ticket, unparker) {
            (Ticket::Greenlet(_, _, w), _) => (w.control.grant_word(), w.epoch),
            (Ticket::Thread, Unparker::Thread(cell, epoch)) => (&cell.word, epoch),
            (Ticket::Thread, _) => {
                unreachable!("a thread's wait is its own")
            }
        };
        word::open(word, epoch);
        let wait = Self {
            word,
            epoch,
            not_send: PhantomData,
        };
        (wait, unparker)
    }

    /// What it was granted.
    #[inline]
    pub(super) fn grant(self) -> Option<Grant> {
        word::granted(self.word, self.epoch)
    }

    /// Gives up. False if it was granted meanwhile.
    #[inline]
    pub(super) fn shut(self) -> bool {
        word::shut(self.word, self.epoch)
    }
}

/// The waiter's side of one wait that others can grant. Dropped before it was granted, it has given up.
#[derive(Debug)]
pub(crate) struct Claim {
    wait: Wait,
    unparker: Unparker,
}

impl Claim {
    /// Opens the wait that `ticket` names.
    #[inline]
    pub(crate) fn new(ticket: &Ticket) -> Self {
        let (wait, unparker) = Wait::open(ticket);
        Self { wait, unparker }
    }

    /// The wait of nobody in particular, for tests of lists of waiters.
    #[cfg(test)]
    pub(super) fn stand_in() -> Self {
        let cell: &'static ThreadCell = Box::leak(Box::new(ThreadCell {
            word: AtomicU64::new(0),
            epoch: AtomicU64::new(1),
            thread: Lock::new(None),
        }));
        word::open(&cell.word, 1);
        Self {
            wait: Wait {
                word: &cell.word,
                epoch: 1,
                not_send: PhantomData,
            },
            unparker: Unparker::Thread(cell, 1),
        }
    }

    /// The other side of it.
    #[inline]
    pub(crate) fn unparker(&self) -> &Unparker {
        &self.unparker
    }

    /// What it was granted.
    #[inline]
    pub(crate) fn grant(&self) -> Option<Grant> {
        self.wait.grant()
    }

    /// Whether it was.
    #[inline]
    pub(crate) fn granted(&self) -> bool {
        self.grant().is_some()
    }

    /// Gives up. False if it was granted meanwhile.
    #[inline]
    pub(crate) fn shut(&self) -> bool {
        self.wait.shut()
    }
}

impl Drop for Claim {
    #[inline]
    fn drop(&mut self) {
        self.shut();
    }
}
