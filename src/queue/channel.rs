//! `channel`: a queue with two kinds of handles, which ends when one kind is gone.
//!
//! ```text
//! Sender ─┐                                      ┌─ Receiver
//! Sender ─┴─► Shared { core, senders, receivers } ◄┴─ Receiver
//!             last Sender dropped:   closed; receivers drain it, then are told that it is over
//!             last Receiver dropped: closed, what is in it is dropped; senders get their values back
//! ```
//!
//! Dropping a handle never waits.
#![forbid(unsafe_code)]

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Patience};
use super::error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use super::kinds::get_mute;
use super::store::Fifo;
use crate::hub::primitives::{AtomicUsize, Ordering};

pub(crate) struct Shared<T> {
    pub(crate) core: Core<T, Fifo<T>>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

impl<T> Shared<T> {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            core: Core::new(capacity),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        })
    }
}

/// A channel for at most `capacity` values; with 0, a rendezvous: a send waits until a receive has taken the value.
///
/// ```
/// use greenloom::{queue::channel, spawn};
///
/// let (ping, pings) = channel(0);
/// let (pong, pongs) = channel(0);
/// let echo = spawn(move || {
///     for n in pings {
///         pong.send(n + 1).unwrap();
///     }
/// });
/// ping.send(1).unwrap();
/// assert_eq!(pongs.recv().unwrap(), 2);
/// drop(ping); // ends the loop
/// echo.join().unwrap();
/// assert!(pongs.recv().unwrap_err().is_disconnected());
/// ```
///
/// Values arrive exactly in the order in which they were sent, and are served to receivers in the order in which those
/// came.
///
/// # Differences from the standard library
/// Both ends can be cloned and shared. [`mpsc`](crate::sync::mpsc) has std's own shape.
#[doc(alias = "Channel")]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Shared::new(capacity);
    (
        Sender {
            shared: Arc::clone(&shared),
        },
        Receiver { shared },
    )
}

/// A channel without a limit: a send never waits.
#[doc(alias = "unbounded")]
pub fn unbounded_channel<T>() -> (Sender<T>, Receiver<T>) {
    channel(usize::MAX)
}

/// The end of a [`channel`] that values go into. Clones send into the same channel.
///
/// When the last one is dropped, receivers get what is left, then learn that it is over.
///
/// # Differences from the standard library
/// [`send`](Self::send) has more ways to fail than std's; see [`SendError`].
#[must_use = "a channel without a sender is over"]
pub struct Sender<T> {
    pub(crate) shared: Arc<Shared<T>>,
}

/// The end of a [`channel`] that values come out of. Clones take from the same channel: each value goes to one of them.
///
/// When the last one is dropped, what is in the channel is dropped, and senders get their values back.
///
/// # Differences from the standard library
/// It can be cloned and shared. [`recv`](Self::recv) has more ways to fail than std's; see [`RecvError`].
#[must_use = "a channel without a receiver takes no values"]
pub struct Receiver<T> {
    pub(crate) shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    pub(super) fn core(&self) -> &Core<T, Fifo<T>> {
        &self.shared.core
    }
}

impl<T> Sender<T> {
    /// Sends a value. If there is no room, waits for it; at a rendezvous, until it was taken.
    ///
    /// # Blocking
    /// Switches if it has to wait, and now and then if it never has to
    /// ([`io_budget`](crate::hub::Builder::io_budget)). One that is killed drops the value with its task.
    ///
    /// # Errors
    /// See [`SendError`].
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.shared
            .core
            .put(value, Patience::ERRORS)
            .map_err(SendError::new)
    }

    /// As [`send`](Self::send), but waits for at most `d`.
    ///
    /// # Blocking
    /// As `send`. An enclosing `timeout` that expires first is reported like `d`'s own expiry.
    ///
    /// # Errors
    /// See [`SendTimeoutError`].
    pub fn send_timeout(&self, value: T, d: Duration) -> Result<(), SendTimeoutError<T>> {
        self.shared
            .core
            .put(value, Patience::timed(d))
            .map_err(SendTimeoutError::new)
    }

    /// Sends a value if there is room, or somebody waits for it.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// See [`TrySendError`].
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.core.try_put(value).map_err(TrySendError::new)
    }
}

impl<T> Receiver<T> {
    /// Takes the next value. If there is none, waits for it.
    ///
    /// # Blocking
    /// Switches if it has to wait, and now and then if it never has to
    /// ([`io_budget`](crate::hub::Builder::io_budget)).
    ///
    /// # Errors
    /// See [`RecvError`].
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.shared
            .core
            .get(Patience::ERRORS)
            .map_err(RecvError::new)
    }

    /// As [`recv`](Self::recv), but waits for at most `d`.
    ///
    /// # Blocking
    /// As `recv`. An enclosing `timeout` that expires first is reported like `d`'s own expiry.
    ///
    /// # Errors
    /// See [`RecvTimeoutError`].
    pub fn recv_timeout(&self, d: Duration) -> Result<T, RecvTimeoutError> {
        self.shared
            .core
            .get(Patience::timed(d))
            .map_err(RecvTimeoutError::new)
    }

    /// Takes the next value, if there is one, or a sender waits at a rendezvous.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// See [`TryRecvError`].
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.core.try_get().map_err(TryRecvError::new)
    }

    /// Receives until all senders are gone and the channel is empty.
    ///
    /// # Blocking
    /// Each step as [`recv`](Self::recv); it waits also while unwinding.
    ///
    /// # Panics
    /// A step that has to wait: on main with the deadlock, if nothing can ever come; in a callback of the hub.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Takes what is there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

macro_rules! both_ends {
    ($name:ident, $count:ident, $end:ident) => {
        impl<T> $name<T> {
            /// How many values are in the channel. What a send that waits has to offer, and what was given to a receive
            /// that waited, is not in it.
            pub fn len(&self) -> usize {
                self.shared.core.len()
            }

            /// Whether there is no value in the channel. Always so at a rendezvous.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether a send would have to wait for a receive. Always so at a rendezvous.
            pub fn is_full(&self) -> bool {
                self.shared.core.is_full()
            }

            /// How many values there is room for; `None` if there is no limit.
            pub fn capacity(&self) -> Option<usize> {
                Some(self.shared.core.capacity()).filter(|n| *n != usize::MAX)
            }

            /// Whether both are ends of the same channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.shared, &other.shared)
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                // Relaxed: who clones has one, so the count is not 0, and the clone brings nothing with it.
                let before = self.shared.$count.fetch_add(1, Ordering::Relaxed);
                assert!(
                    before < usize::MAX / 2,
                    "more handles of a channel than memory can hold"
                );
                Self {
                    shared: Arc::clone(&self.shared),
                }
            }
        }

        impl<T> Drop for $name<T> {
            fn drop(&mut self) {
                // AcqRel: what each did with its handle comes before the end.
                if self.shared.$count.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.shared.core.$end();
                }
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("closed", &self.shared.core.is_closed())
                    .finish_non_exhaustive()
            }
        }
    };
}

both_ends!(Sender, senders, close);
both_ends!(Receiver, receivers, close_now);

/// See [`Receiver::iter`].
#[derive(Debug)]
#[must_use = "an iterator does nothing unless it is asked for values"]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// See [`Receiver::try_iter`].
#[derive(Debug)]
#[must_use = "an iterator does nothing unless it is asked for values"]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// As [`Receiver::iter`], with the receiver in it.
#[derive(Debug)]
#[must_use = "an iterator does nothing unless it is asked for values"]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        get_mute(&self.receiver.shared.core)
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        get_mute(&self.receiver.shared.core)
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
