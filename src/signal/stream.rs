//! `Signal`: signals that a task asks for, one after the other.
//!
//! ```text
//! hub's bell ── add(n) ──► Arrivals { waiting to be fetched: n } ──► recv, a select: one each, in the order of asking
//!                              └─ notices of `wait` and `iwait`: told while there is one
//! ```
//!
//! An arrival is handed to who waits, as a permit of a semaphore is: who is killed or late takes none.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::kind::SignalKind;
use super::station::{self, Deliver, Registration};
use crate::clock::{Instant, deadline_after};
use crate::io::outcome;
use crate::park::{
    Arm, Blocked, Board, Grant, How, Key, Lock, Notice, Place, Reason, Report, Selectable, Ticket,
    Turn, Unparker, WaitQueue, block,
};
use crate::select::sealed::{self, Slot};
use crate::select::{Arms, Select, Source, Waitable};

pub(super) struct State {
    /// Came, and nobody has them.
    here: u64,
    waiters: WaitQueue,
    notices: Vec<Notice>,
}

/// See the file's head.
pub(super) struct Arrivals {
    kind: SignalKind,
    state: Lock<State>,
}

impl Arrivals {
    fn new(kind: SignalKind) -> Self {
        let state = State {
            here: 0,
            waiters: WaitQueue::new(),
            notices: Vec::new(),
        };
        Self {
            kind,
            state: Lock::new(state),
        }
    }

    pub(super) fn add(&self, n: u64) {
        let notices = self.state.with(|s| {
            s.here += n;
            core::mem::take(&mut s.notices)
        });
        for notice in notices {
            notice.tell();
        }
        while let Some(who) = self.state.with(State::give) {
            who.unpark();
        }
    }

    fn take(&self) -> bool {
        self.state.with(State::take)
    }

    fn reason(&self) -> Reason<'static> {
        Reason::new("signal", self.kind.as_raw() as usize)
    }

    /// Takes one, or waits for one.
    fn wait(&self, deadline: Option<Instant>) -> io::Result<()> {
        if self.take() {
            return Ok(());
        }
        let how = How {
            reasons: &[self.reason()],
            deadline,
            report: Report::ALL,
        };
        let enter = |s: &mut State| {
            if s.take() {
                Ok(())
            } else {
                Err(((), Turn::Last))
            }
        };
        match block(self, Ticket::new()?, &how, enter) {
            Blocked::Now(()) | Blocked::Granted(_) => Ok(()),
            Blocked::Ended(end, _) => outcome(end),
        }
    }
}

impl State {
    fn take(&mut self) -> bool {
        let some = self.here > 0;
        self.here -= u64::from(some);
        some
    }

    /// Hands one to who has waited longest.
    fn give(&mut self) -> Option<Unparker> {
        if self.here == 0 {
            return None;
        }
        let ((), who) = self.waiters.give()?;
        self.here -= 1;
        Some(who)
    }
}

impl Place for Arrivals {
    type State = State;
    type Payload = ();

    fn lock(&self) -> &Lock<State> {
        &self.state
    }

    fn waiters(state: &mut State) -> &mut WaitQueue {
        &mut state.waiters
    }

    fn refund(&self, _: Grant) {
        self.add(1);
    }
}

/// Signals as they come; made by [`stream`].
///
/// Each is received once, by one task. Those that come while nobody waits are counted and kept. The system merges signals
/// of one kind that come faster than the process handles them, so that one that is received means one or several.
///
/// It is an arm of a [`Select`], by [`Select::signal`], and one of the things that [`wait`](crate::select::wait) takes.
///
/// As with a [`Registration`], the signal is handled like this as long as the stream lives, and the hub counts on it to
/// come, as far as deadlocks go.
pub struct Signal {
    registration: Registration,
    arrivals: Rc<Arrivals>,
}

/// The signals of one kind that come from now on.
///
/// ```
/// use greenloom::signal::{self, SignalKind};
///
/// let hangups = signal::stream(SignalKind::HANGUP)?;
/// # // As from another process.
/// # let kill = format!("kill -HUP {}", std::process::id());
/// # std::process::Command::new("sh").args(["-c", &kill]).status()?;
/// hangups.recv()?; // reads its settings again, say
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`on`](super::on).
pub fn stream(kind: SignalKind) -> io::Result<Signal> {
    let arrivals = Rc::new(Arrivals::new(kind));
    let registration = station::register(kind, Deliver::Count(Rc::clone(&arrivals)))?;
    Ok(Signal {
        registration,
        arrivals,
    })
}

impl Signal {
    /// Waits for the next one.
    ///
    /// # Blocking
    /// Switches, unless one has come already. Kills are delivered here.
    ///
    /// # Errors
    /// `TimedOut` if an enclosing [`timeout`](crate::timeout) expired ([`TimeoutElapsed`](crate::io::TimeoutElapsed)
    /// inside); where nothing can wait, [`InCallback`](crate::hub::InCallback), [`Unwinding`](crate::hub::Unwinding) or
    /// [`Forked`](crate::hub::Forked).
    pub fn recv(&self) -> io::Result<()> {
        self.arrivals.wait(None)
    }

    /// Waits for the next one, for at most `d`. False if none came.
    ///
    /// # Blocking
    /// As [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, d: Duration) -> io::Result<bool> {
        match self.arrivals.wait(deadline_after(d)) {
            Ok(()) => Ok(true),
            // Its own: that of an enclosing `timeout` has something inside.
            Err(e) if e.kind() == io::ErrorKind::TimedOut && e.get_ref().is_none() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// One that has come already. Does not wait.
    pub fn try_recv(&self) -> bool {
        self.arrivals.take()
    }

    /// The signal.
    pub fn kind(&self) -> SignalKind {
        self.registration.kind()
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal")
            .field("kind", &self.kind())
            .field("here", &self.arrivals.state.with(|s| s.here))
            .finish_non_exhaustive()
    }
}

/// The arm of a stream of signals.
pub struct Recv<'a> {
    arrivals: &'a Arrivals,
    key: Option<Key>,
}

impl Selectable for Recv<'_> {
    fn reason(&self) -> Reason<'_> {
        self.arrivals.reason()
    }

    fn attempt(&mut self) -> bool {
        self.arrivals.take()
    }

    fn register(&mut self, who: &Unparker, arm: Arm) -> bool {
        self.key = self
            .arrivals
            .state
            .with(|s| (s.here == 0).then(|| s.waiters.push_back(*who, arm, ())));
        self.key.is_none()
    }

    fn unregister(&mut self) {
        if let Some(key) = self.key.take() {
            self.arrivals.state.with(|s| s.waiters.remove(key));
        }
    }

    // It was handed over by the grant.
    fn commit(&mut self) {}

    fn refund(&self) {
        self.arrivals.add(1);
    }

    fn abandon(&self) {
        if let Some(key) = self.key {
            self.arrivals.state.with(|s| s.waiters.remove(key));
        }
    }
}

impl sealed::Arm for Recv<'_> {
    type Output = ();

    fn slot(&mut self) -> Slot<'_> {
        Slot(self)
    }

    fn take(self) {}
}

impl fmt::Debug for Recv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recv(..)")
    }
}

/// Receives one.
impl<'a> Source for &'a Signal {
    type Output = ();
    type Arm = Recv<'a>;

    fn into_arm(self) -> Recv<'a> {
        Recv {
            arrivals: &self.arrivals,
            key: None,
        }
    }
}

impl<R, A: Arms<R>> Select<R, A> {
    /// Waits for a signal; `f` runs if one was received.
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::select::Select;
    /// use greenloom::signal::{self, SignalKind};
    ///
    /// let stop = signal::stream(SignalKind::TERMINATE)?;
    /// let stopped = Select::new()
    ///     .signal(&stop, || true)
    ///     .after(Duration::from_millis(1), || false)
    ///     .wait();
    /// assert!(!stopped);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(self, signal: &Signal, f: impl FnOnce() -> R) -> Select<R, impl Arms<R>> {
        self.on(signal, |()| f())
    }
}

/// Ready when one has come that nobody has received. It stays to be received.
impl Waitable for Signal {
    fn watch(&self, notice: Notice) {
        let now = self.arrivals.state.with(|s| {
            if s.here > 0 {
                return Some(notice);
            }
            s.notices.push(notice);
            None
        });
        if let Some(notice) = now {
            notice.tell();
        }
    }

    fn unwatch(&self, board: &Board) {
        self.arrivals
            .state
            .with(|s| s.notices.retain(|n| !n.is_of(board)));
    }
}
