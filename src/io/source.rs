//! The one loop around "would block", and the one place of io that parks.
//!
//! ```text
//!              ┌──────────────────────────────────────────────────────────────┐
//!   run ──► closed? ─► known ready, or not registered here? ──yes──► the call ─┤
//!    │         │                    │ no                              │   │ EINTR
//!    │       Closed                 ▼                                 │   └──► again
//!    │                    claim the direction ◄──────── would block ──┤
//!    │                    register, if it is not here                 │ done
//!    │                    park until event, close, deadline,          ▼
//!    │                      timeout, kill ───► again         short? note "empty"; return
//!    └─ before it all: a task that has done much io in this turn yields
//! ```
//!
//! Why no wake is lost: events reach the reactor's bits only in a poll, on this very thread, so none can come between a call
//! that would block and the park (invariant 6). What arrives in that time is an edge that the next poll reports.
//!
//! Why nothing is lost to a kill or a deadline: they are delivered before a call to the system or instead of it, never after
//! one that succeeded. So the budget is looked at before the call, and spent after it.
//!
//! A plain thread, without a hub, does the same with `poll(2)` in place of the park.
//!
//! In a callback of the hub, and while the task unwinds, the call is tried once; then the error says why it cannot wait.
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::panic::Location;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use super::error::{closed, outcome};
pub(crate) use super::os::set_nonblocking;
use super::place::Place;
use crate::clock::{Instant, deadline_after};
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::hub::sched::{Hub, Waiter};
use crate::park::{End, How, Reason, Report, Ticket, Waiting, budget, park_until};
use crate::reactor::{Direction, Emptied, Refused, Token};

/// What a call that succeeded says of the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// There may be more.
    Unknown,
    /// A stream socket of the internet family transferred less than was asked for: it is empty, or full.
    Nothing,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// As long as it takes.
    Ever,
    /// So long from the first wait on.
    For(Duration),
    /// Until then.
    At(Instant),
}

impl Until {
    /// A total deadline, which begins now.
    pub(crate) fn within(limit: Duration) -> Self {
        deadline_after(limit).map_or(Self::Ever, Self::At)
    }

    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Ever => None,
            Self::For(limit) => deadline_after(limit),
            Self::At(deadline) => Some(deadline),
        }
    }
}

/// What is about to be done, as far as waiting for it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) direction: Direction,
    /// For dumps: "read of socket".
    pub(crate) kind: &'static str,
    pub(crate) until: Until,
    pub(crate) site: &'static Location<'static>,
}

/// A descriptor whose calls park instead of blocking. `io` is non-blocking, or is never called to block.
///
/// `Send` and `Sync` if `io` is: the registration follows whoever waits.
#[derive(Debug)]
pub(crate) struct Source<S> {
    // First, so that it is taken out of the poll before `io` closes it.
    place: Place,
    io: S,
}

impl<S: AsFd> Source<S> {
    pub(crate) fn new(io: S) -> Self {
        Self {
            place: Place::new(io.as_fd().as_raw_fd()),
            io,
        }
    }

    /// Puts `io` into non-blocking mode.
    pub(crate) fn adopt(io: S) -> io::Result<Self> {
        set_nonblocking(io.as_fd(), true)?;
        Ok(Self::new(io))
    }

    /// Out of the poll: what is inside, and whether its mode could be put back to what the user set.
    pub(crate) fn release(self) -> (S, io::Result<()>) {
        let nonblocking = self.is_nonblocking();
        let io = self.into_io();
        let restored = set_nonblocking(io.as_fd(), nonblocking);
        (io, restored)
    }

    /// What is inside, closed or not. Not for calls that might block.
    pub(crate) fn io(&self) -> &S {
        &self.io
    }

    /// What is inside, for calls that never block.
    ///
    /// # Errors
    /// [`Closed`](super::Closed).
    pub(crate) fn open(&self) -> io::Result<&S> {
        if self.place.is_closed() {
            Err(closed())
        } else {
            Ok(&self.io)
        }
    }

    /// Out of the poll, and what is inside.
    fn into_io(self) -> S {
        let Self { place, io } = self;
        drop(place);
        io
    }

    /// Whether `WouldBlock` reaches the user.
    pub(crate) fn is_nonblocking(&self) -> bool {
        self.place.is_nonblocking()
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.place.set_nonblocking(nonblocking);
    }

    /// Makes every call fail from now on, and those that wait. `shut` is called once, to tell the system; the descriptor
    /// stays open until the drop, so that its number is not another's while somebody still uses it.
    pub(crate) fn close(&self, shut: impl FnOnce(&S)) {
        if self.place.mark_closed() {
            shut(&self.io);
            self.place.withdraw();
        }
    }

    /// Does `op`, which never blocks, until it says something else than `WouldBlock`.
    ///
    /// # Errors
    /// `op`'s; `TimedOut` after the deadline; see also the table in [`error`](super::error).
    #[inline]
    pub(crate) fn run<R>(
        &self,
        call: &Call,
        mut op: impl FnMut(&S) -> io::Result<(R, Left)>,
    ) -> io::Result<R> {
        let hot = hot();
        if budget::is_spent(hot) {
            budget::breathe(Report::ALL)?.map_or(Ok(()), outcome)?;
        }
        // The deadline, once it was needed.
        let mut deadline = None;
        let mut tried = false;
        loop {
            if self.place.is_closed() {
                return Err(closed());
            }
            let here = self.place.here(hot);
            let nonblocking = self.place.is_nonblocking();
            let ready = here.is_none_or(|(hub, token)| {
                let reactor = hub.reactor.borrow();
                reactor.is_ready(token, call.direction)
            });
            if ready || nonblocking || !tried && cannot_wait(hot) {
                tried = true;
                match op(&self.io) {
                    Ok((result, left)) => {
                        if left == Left::Nothing
                            && let Some((hub, token)) = here
                        {
                            let mut reactor = hub.reactor.borrow_mut();
                            reactor.clear_ready(token, call.direction, Emptied::Short);
                        }
                        budget::spend(hot);
                        return Ok(result);
                    }
                    Err(e) => match e.kind() {
                        io::ErrorKind::Interrupted => continue,
                        io::ErrorKind::WouldBlock if !nonblocking => {}
                        _ if self.place.is_closed() => return Err(closed()),
                        _ => return Err(e),
                    },
                }
            }
            let deadline = *deadline.get_or_insert_with(|| call.until.deadline());
            wait(&self.place, self.io.as_fd(), call, deadline)?;
        }
    }
}

impl<S: AsFd> Source<S> {
    /// As [`run`](Self::run), for calls whose "would block" ends without an event: the system tells nobody when there is room
    /// in a queue that is somebody else's. Tries again after pauses that grow.
    ///
    /// # Errors
    /// As [`run`](Self::run), but never [`ConcurrentUse`](super::ConcurrentUse): several may wait like this.
    pub(crate) fn run_paced<R>(
        &self,
        call: &Call,
        mut op: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut deadline = None;
        let mut pause = FIRST_PAUSE;
        loop {
            match budgeted(|| op(self.open()?)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && !self.is_nonblocking() => {}
                other => return other,
            }
            let deadline = *deadline.get_or_insert_with(|| call.until.deadline());
            let ticket = Ticket::new()?;
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let reasons = [Reason::new(call.kind, self.place.fd() as usize)];
            let until = deadline.map_or(now + pause, |deadline| deadline.min(now + pause));
            let how = How {
                reasons: &reasons,
                deadline: Some(until),
                report: Report::ALL,
            };
            match park_until(ticket, &how, &()) {
                // The pause has passed; the deadline is looked at after one more try.
                End::TimedOut => {}
                end => outcome(end)?,
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// A call that succeeds without any wait, or is the first try of one: it costs budget like any other.
///
/// # Errors
/// Those of `op`, which is called again if it is interrupted; those of a wait, if the budget is spent.
pub(super) fn budgeted<R>(mut op: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    let hot = hot();
    if budget::is_spent(hot) {
        budget::breathe(Report::ALL)?.map_or(Ok(()), outcome)?;
    }
    loop {
        match op() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(result) => {
                budget::spend(hot);
                return Ok(result);
            }
        }
    }
}

/// Between two tries of [`Source::run_paced`], at first and in the end.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(16);

/// Whether a wait would only return an error: then the call is worth trying, whatever the bits say.
fn cannot_wait(hot: &'static Hot) -> bool {
    thread::panicking() || hot.phase.get() == Phase::Active && hot.current.get() == Some(hot.hub())
}

/// Waits once. The caller then tries again.
fn wait(
    place: &Place,
    fd: BorrowedFd<'_>,
    call: &Call,
    deadline: Option<Instant>,
) -> io::Result<()> {
    match Ticket::new()? {
        Ticket::Thread => wait_by_poll(place, fd, call, deadline),
        ticket @ Ticket::Greenlet(hot, hub, waiter) => {
            let parked = Parked::claim(place, hot, hub, waiter, call)?;
            if !parked.begin()? {
                return Ok(());
            }
            let reasons = [Reason::new(call.kind, place.fd() as usize)];
            let how = How {
                reasons: &reasons,
                deadline,
                report: Report::ALL,
            };
            outcome(park_until(ticket, &how, &parked))
        }
    }
}

/// A wait of a greenlet: the claim of the direction and the waiter in the reactor, both taken back on every way out.
struct Parked<'a> {
    place: &'a Place,
    hub: &'static Hub,
    token: Token,
    direction: Direction,
    waiter: Waiter,
    claimed: Cell<bool>,
}

impl<'a> Parked<'a> {
    fn claim(
        place: &'a Place,
        hot: &'static Hot,
        hub: &'static Hub,
        waiter: Waiter,
        call: &Call,
    ) -> io::Result<Self> {
        let direction = call.direction;
        Ok(Self {
            place,
            hub,
            token: place.claim(hot, hub, direction, call.site)?,
            direction,
            waiter,
            claimed: Cell::new(true),
        })
    }

    /// Puts the waiter in. False if there is nothing to wait for.
    fn begin(&self) -> io::Result<bool> {
        let mut reactor = self.hub.reactor.borrow_mut();
        // The call found nothing, in this turn, or the bit was off already. A registration made since then starts ready,
        // and the kernel reports what it has as its first event.
        reactor.clear_ready(self.token, self.direction, Emptied::WouldBlock);
        match reactor.set_waiter(self.token, self.direction, self.waiter) {
            Ok(()) => Ok(true),
            Err(Refused::Ready | Refused::Stale) => Ok(false),
            Err(Refused::Busy(_)) => Err(self.place.busy(self.direction)),
        }
    }
}

impl Waiting for Parked<'_> {
    fn granted(&self) -> bool {
        if self.place.is_closed() {
            return true;
        }
        let mut reactor = self.hub.reactor.borrow_mut();
        // An event, or the end of the registration, has taken the waiter out. Whether the descriptor is ready says less:
        // another task may have emptied it since.
        let (token, direction) = (self.token, self.direction);
        !reactor.take_waiter(token, direction, self.waiter)
            || reactor.set_waiter(token, direction, self.waiter).is_err()
    }

    /// Also called when the hub ends under a task that is leaked: then nobody drops this, so the claim ends here.
    fn cancel(&self) -> bool {
        let mut reactor = self.hub.reactor.borrow_mut();
        let waited = reactor.take_waiter(self.token, self.direction, self.waiter);
        if self.claimed.replace(false) {
            self.place.release(self.direction);
        }
        waited
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Waits once, on a plain thread.
#[cold]
fn wait_by_poll(
    place: &Place,
    fd: BorrowedFd<'_>,
    call: &Call,
    deadline: Option<Instant>,
) -> io::Result<()> {
    let claim = place.claim_for_thread(call.direction, call.site)?;
    loop {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        match claim.poll(fd, left) {
            Ok(true) => return Ok(()),
            Ok(false) if left == Some(Duration::ZERO) => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(false) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
