//! The wait node: one wait of one greenlet or thread, as those see it who may grant it, on any thread.
//!
//! ```text
//! WAITING ──grant──► GRANTED        exactly one of the two compare-and-swaps wins (invariant 14)
//!    └─────cancel──► GONE           a granter that loses takes the next waiter
//! ```
//!
//! The node lives in the waiter's frame, or wherever its owner keeps it; after its CAS a granter touches only what it
//! copied out before.
#![forbid(unsafe_code)]

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use super::{Ticket, Waiting};
use crate::greenlet::hot::{Phase, hot};
use crate::greenlet::wake;
use crate::hub::sched::{self, Message, Ref};

const WAITING: u8 = 0;
const GRANTED: u8 = 1;
const GONE: u8 = 2;

/// Wakes one park, from any thread. A stale one does nothing.
#[derive(Clone)]
pub(crate) enum Unparker {
    /// A greenlet's park. The address is looked at on its own thread only (invariant 1).
    Greenlet {
        hub: Ref,
        control: usize,
        epoch: u64,
    },
    /// A plain thread's.
    Thread(std::thread::Thread),
}

impl Unparker {
    /// Makes the park end, or look again.
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
                        let c = sched::local(own, *control);
                        wake::unpark(hot, c, *epoch);
                    }
                    // The hub has ended if it comes back: nobody waits there any more.
                    _ => drop(hub.send(Message::Wake {
                        control: *control,
                        epoch: *epoch,
                    })),
                }
            }
            Self::Thread(thread) => thread.unpark(),
        }
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greenlet { epoch, .. } => write!(f, "Unparker(park {epoch})"),
            Self::Thread(thread) => write!(f, "Unparker({:?})", thread.id()),
        }
    }
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Node {
    state: AtomicU8,
    unparker: Unparker,
}

impl Node {
    /// The node of the park that `ticket` names.
    pub(crate) fn new(ticket: &Ticket) -> Self {
        Self {
            state: AtomicU8::new(WAITING),
            unparker: ticket.unparker(),
        }
    }

    /// Grants the wait and wakes the waiter. False if it has gone (or was granted before): take the next one.
    pub(crate) fn grant(&self) -> bool {
        // Copied out first: after the exchange the node may be gone with its frame.
        let unparker = self.unparker.clone();
        // Release: what the granter did is seen by the waiter.
        if self
            .state
            .compare_exchange(WAITING, GRANTED, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        unparker.unpark();
        true
    }
}

impl Waiting for Node {
    fn granted(&self) -> bool {
        self.state.load(Ordering::Acquire) == GRANTED
    }

    fn cancel(&self) -> bool {
        match self
            .state
            .compare_exchange(WAITING, GONE, Ordering::Acquire, Ordering::Acquire)
        {
            Ok(_) => true,
            Err(now) => now == GONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greenlet::{self, Current};
    use crate::park::{End, How, Reason, Report, park_until};
    use std::sync::Arc;
    use std::time::Duration;

    fn how(deadline: Option<crate::clock::Instant>) -> How<'static> {
        How {
            reasons: const { &[Reason::new("a test", 0)] },
            deadline,
            report: Report::ALL,
        }
    }

    #[test]
    fn of_a_grant_and_a_cancel_one_wins() {
        let node = Node::new(&Ticket::must());
        assert!(node.grant() && !node.grant());
        assert!(!node.cancel() && node.granted());
        let node = Node::new(&Ticket::must());
        assert!(node.cancel() && node.cancel());
        assert!(!node.grant() && !node.granted());
    }

    #[test]
    fn a_grant_of_another_thread_ends_the_park_of_a_task_and_of_a_plain_thread() {
        for task in [false, true] {
            std::thread::spawn(move || {
                let wait = || {
                    let ticket = Ticket::must();
                    let node = Arc::new(Node::new(&ticket));
                    let granter = std::thread::spawn({
                        let node = Arc::clone(&node);
                        move || assert!(node.grant())
                    });
                    assert!(matches!(
                        park_until(ticket, &how(None), &*node),
                        End::Granted
                    ));
                    granter.join().unwrap();
                };
                if task {
                    greenlet::scope(|s, me: &Current<()>| {
                        let g = s.spawn(me, |_: &Current<(), ()>, ()| wait());
                        me.switch(&g, ()).unwrap();
                    });
                } else {
                    wait();
                }
            })
            .join()
            .unwrap();
        }
    }

    #[test]
    fn a_deadline_ends_it_and_who_grants_later_is_told() {
        let ticket = Ticket::must();
        let node = Node::new(&ticket);
        let soon = crate::clock::deadline_after(Duration::from_millis(1));
        assert!(matches!(
            park_until(ticket, &how(soon), &node),
            End::TimedOut
        ));
        assert!(!node.grant());
    }
}
