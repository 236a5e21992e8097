//! `std::sync::mpsc`, between tasks: the same names, the same error types.
//!
//! ```
//! use greenloom::{spawn, sync::mpsc};
//!
//! let (tx, rx) = mpsc::channel();
//! for id in 0..3 {
//!     let tx = tx.clone();
//!     spawn(move || tx.send(id).unwrap());
//! }
//! drop(tx);
//! assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2]);
//! ```
//!
//! # Differences from the standard library
//! - A wait parks the task, and other tasks of the thread run meanwhile. A kill is delivered there, and the expiry of a
//!   [`timeout`](crate::timeout): [`recv_timeout`](Receiver::recv_timeout) reports that one like its own.
//! - A send or receive that never has to wait yields now and then.
//! - [`RecvError`] and [`SendError`] have no word for main's deadlock: a wait that can never end panics with it.
//! - Who unwinds waits too.
//!
//! This file is a shape: what it does is done by `queue`.
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use std::time::{Duration, Instant};

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

use crate::park::{Board, Notice, Report};
use crate::queue;
use crate::queue::core::{Fail, Patience, Refusal};
use crate::select::Waitable;

/// A channel without a limit: a send never waits.
///
/// # Differences from the standard library
/// See the [module](self).
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = queue::unbounded_channel();
    (Sender { end: tx }, Receiver::new(rx))
}

/// A channel for at most `bound` values; with 0, a send waits until the value was received.
///
/// ```
/// use greenloom::{spawn, sync::mpsc};
///
/// let (tx, rx) = mpsc::sync_channel(0);
/// spawn(move || tx.send("here").unwrap());
/// assert_eq!(rx.recv(), Ok("here"));
/// assert_eq!(rx.recv(), Err(mpsc::RecvError));
/// ```
///
/// # Differences from the standard library
/// See the [module](self).
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (tx, rx) = queue::channel(bound);
    (SyncSender { end: tx }, Receiver::new(rx))
}

/// The sending end of a [`channel`].
///
/// # Differences from the standard library
/// See the [module](self).
pub struct Sender<T> {
    end: queue::Sender<T>,
}

/// The sending end of a [`sync_channel`].
///
/// # Differences from the standard library
/// See the [module](self).
pub struct SyncSender<T> {
    end: queue::Sender<T>,
}

/// The receiving end. Of one owner: `Send`, but not `Sync`, as std's.
///
/// # Differences from the standard library
/// See the [module](self).
pub struct Receiver<T> {
    end: queue::Receiver<T>,
    not_sync: PhantomData<Cell<()>>,
}

#[track_caller]
fn send<T>(end: &queue::Sender<T>, value: T) -> Result<(), SendError<T>> {
    match end.shared.core.put(value, Patience::MUTE) {
        Ok(()) => Ok(()),
        Err((_, Fail::CannotWait(e))) => panic!("cannot wait here: {e}"),
        Err((value, _)) => Err(SendError(value)),
    }
}

impl<T> Sender<T> {
    /// Sends a value. It may never be received: the receiver may go before.
    ///
    /// # Blocking
    /// Never waits; yields now and then.
    ///
    /// # Errors
    /// The receiver is gone; the value comes back.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        send(&self.end, value)
    }
}

impl<T> SyncSender<T> {
    /// Sends a value. If there is no room, waits for it; with a bound of 0, until the value was received.
    ///
    /// # Blocking
    /// Switches if it has to wait; yields now and then.
    ///
    /// # Errors
    /// The receiver is gone; the value comes back.
    ///
    /// # Panics
    /// If it has to wait: on main with the deadlock, if there can never be room; in a callback of the hub.
    #[inline]
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        send(&self.end, value)
    }

    /// Sends a value if there is room, or the receiver waits for it.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// There is no room, or the receiver is gone; the value comes back.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.end
            .shared
            .core
            .try_put(value)
            .map_err(|(value, refusal)| match refusal {
                Refusal::NotNow => TrySendError::Full(value),
                Refusal::Closed => TrySendError::Disconnected(value),
            })
    }
}

impl<T> Receiver<T> {
    fn new(end: queue::Receiver<T>) -> Self {
        Self {
            end,
            not_sync: PhantomData,
        }
    }

    /// Takes the next value. If there is none, waits for it.
    ///
    /// # Blocking
    /// Switches if it has to wait; yields now and then.
    ///
    /// # Errors
    /// The senders are gone and nothing is left.
    ///
    /// # Panics
    /// If it has to wait: on main with the deadlock, if nothing can ever come; in a callback of the hub.
    #[inline]
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.end.shared.core.get(Patience::MUTE) {
            Ok(value) => Ok(value),
            Err(Fail::CannotWait(e)) => panic!("cannot wait here: {e}"),
            Err(_) => Err(RecvError),
        }
    }

    /// As [`recv`](Self::recv), but waits for at most `timeout`.
    ///
    /// # Blocking
    /// As `recv`. An enclosing [`timeout`](crate::timeout) that expires first is reported like this one's own expiry.
    ///
    /// # Errors
    /// Nothing came in time, or the senders are gone and nothing is left.
    ///
    /// # Panics
    /// If it has to wait in a callback of the hub.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let patience = Patience {
            limit: Some(timeout),
            report: Report {
                elapsed: true,
                ..Report::NOTHING
            },
        };
        match self.end.shared.core.get(patience) {
            Ok(value) => Ok(value),
            Err(Fail::CannotWait(e)) => panic!("cannot wait here: {e}"),
            Err(Fail::TimedOut) => Err(RecvTimeoutError::Timeout),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        }
    }

    /// As [`recv_timeout`](Self::recv_timeout), until a point in time.
    ///
    /// # Blocking
    /// As `recv_timeout`.
    ///
    /// # Errors
    /// As `recv_timeout`.
    ///
    /// # Panics
    /// As `recv_timeout`.
    #[track_caller]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    /// Takes the next value, if there is one, or a sender waits at a bound of 0.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// There is nothing at this moment, or nothing any more.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.end
            .shared
            .core
            .try_get()
            .map_err(|refusal| match refusal {
                Refusal::NotNow => TryRecvError::Empty,
                Refusal::Closed => TryRecvError::Disconnected,
            })
    }

    /// Receives until the senders are gone and nothing is left.
    ///
    /// # Blocking
    /// Each step as [`recv`](Self::recv).
    ///
    /// # Panics
    /// As `recv`.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Takes what is there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

/// Ready when a receive would not have to wait: there is a value, a sender waits at a bound of 0, or the senders are gone.
impl<T> Waitable for Receiver<T> {
    fn watch(&self, notice: Notice) {
        self.end.watch(notice);
    }

    fn unwatch(&self, board: &Board) {
        self.end.unwatch(board);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            end: self.end.clone(),
        }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        Self {
            end: self.end.clone(),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// See [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// As [`Receiver::iter`], with the receiver in it.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
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

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
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
