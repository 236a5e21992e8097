//! Descriptors as arms of a select.
//!
//! ```text
//! attempt     poll(2), without waiting: what it says is how things are
//! register    a duplicate of the descriptor in the hub's poll, from the first time until the arm goes
//!             clear the direction, put the waiter in
//! event       takes the waiter out: `ready`, and the select attempts again
//! ```
//!
//! Why no wake is lost: as in the would-block loop, events reach the reactor's bits on this thread only, between turns
//! (invariant 6). The direction is cleared each time, since `attempt` has found nothing, so an old event does not spin.
//!
//! On a thread without a hub there is no poll to register with; one is made for it.
#![forbid(unsafe_code)]

use core::fmt;
use core::panic::Location;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::os;
use super::place::Place;
use crate::greenlet::hot::hot;
use crate::hub::sched::{self, Hub, Waiter};
use crate::park::{Arm as Number, Reason, Selectable, Unparker};
use crate::reactor::{Direction, Emptied, Refused, Token};
use crate::select::sealed::{Arm, Slot};
use crate::select::{Arms, Select, Source};

/// A descriptor in one direction, as an arm of a [`Select`]: made by [`readable`] and [`writable`].
#[derive(Clone, Copy, Debug)]
#[must_use = "it waits for nothing by itself"]
pub struct Readiness<'a> {
    fd: BorrowedFd<'a>,
    direction: Direction,
    site: &'static Location<'static>,
}

/// The arm that is ready when a read from `fd` would not block; for [`Select::on`] and [`Select::any`].
#[track_caller]
pub fn readable<F: AsFd + ?Sized>(fd: &F) -> Readiness<'_> {
    Readiness {
        fd: fd.as_fd(),
        direction: Direction::Read,
        site: Location::caller(),
    }
}

/// The arm that is ready when a write to `fd` would not block; for [`Select::on`] and [`Select::any`].
#[track_caller]
pub fn writable<F: AsFd + ?Sized>(fd: &F) -> Readiness<'_> {
    Readiness {
        fd: fd.as_fd(),
        direction: Direction::Write,
        site: Location::caller(),
    }
}

/// Ready when the call would not block; with the error if it cannot be waited for.
impl<'a> Source for Readiness<'a> {
    type Output = io::Result<()>;
    type Arm = FdArm<'a>;

    fn into_arm(self) -> FdArm<'a> {
        FdArm {
            what: self,
            own: None,
            parked: None,
            result: None,
        }
    }
}

impl<R, A: Arms<R>> Select<R, A> {
    /// Waits until a read from `fd` would not block: there is something, the end, or an error.
    ///
    /// Nothing is read. `f` gets an error if the descriptor cannot be waited for. A duplicate of it is registered
    /// with the hub if the select has to wait, so others may use it meanwhile; and a thread without a hub gets one.
    ///
    /// ```
    /// use std::io::Write;
    /// use greenloom::select::Select;
    ///
    /// let (reader, mut writer) = std::io::pipe()?;
    /// greenloom::spawn(move || writer.write_all(b"x"));
    /// Select::new().readable(&reader, |r| r).wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn readable<F: AsFd + ?Sized>(
        self,
        fd: &F,
        f: impl FnOnce(io::Result<()>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(readable(fd), f)
    }

    /// Waits until a write to `fd` would not block: there is room, nobody is left to read, or an error. Otherwise as
    /// [`readable`](Self::readable).
    #[track_caller]
    pub fn writable<F: AsFd + ?Sized>(
        self,
        fd: &F,
        f: impl FnOnce(io::Result<()>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(writable(fd), f)
    }
}

/// The arm of a descriptor.
pub struct FdArm<'a> {
    what: Readiness<'a>,
    own: Option<Own>,
    /// While it is registered.
    parked: Option<(&'static Hub, Token, Waiter)>,
    /// Once it is ready.
    result: Option<io::Result<()>>,
}

/// The duplicate. First taken out of the poll, then closed.
struct Own {
    place: Place,
    _fd: OwnedFd,
}

impl FdArm<'_> {
    /// Ends it with this result.
    fn done(&mut self, result: io::Result<()>) -> bool {
        self.result = Some(result);
        true
    }

    /// Puts the waiter in. False if there is nothing to wait for.
    fn park(&mut self, hub: &'static Hub, waiter: Waiter) -> io::Result<bool> {
        let own = match &self.own {
            Some(own) => own,
            None => {
                let fd = self.what.fd.try_clone_to_owned()?;
                let place = Place::new(fd.as_raw_fd());
                self.own.insert(Own { place, _fd: fd })
            }
        };
        let direction = self.what.direction;
        let token = own.place.claim(hot(), hub, direction, self.what.site)?;
        let mut reactor = hub.reactor.borrow_mut();
        reactor.clear_ready(token, direction, Emptied::WouldBlock);
        match reactor.set_waiter(token, direction, waiter) {
            Ok(()) => {
                self.parked = Some((hub, token, waiter));
                Ok(true)
            }
            Err(Refused::Ready | Refused::Stale) => {
                own.place.release(direction);
                Ok(false)
            }
            // The duplicate is this arm's alone.
            Err(Refused::Busy(_)) => Err(own.place.busy(direction)),
        }
    }

    fn leave(&self) {
        if let Some((hub, token, waiter)) = self.parked {
            let mut reactor = hub.reactor.borrow_mut();
            reactor.take_waiter(token, self.what.direction, waiter);
            if let Some(own) = &self.own {
                own.place.release(self.what.direction);
            }
        }
    }
}

impl Selectable for FdArm<'_> {
    fn reason(&self) -> Reason<'_> {
        let kind = match self.what.direction {
            Direction::Read => "readable descriptor",
            Direction::Write => "writable descriptor",
        };
        Reason::new(kind, self.what.fd.as_raw_fd() as usize)
    }

    fn attempt(&mut self) -> bool {
        if self.result.is_some() {
            return true;
        }
        match os::poll(self.what.fd, self.what.direction, Some(Duration::ZERO)) {
            Ok(true) => self.done(Ok(())),
            Err(e) if e.kind() != io::ErrorKind::Interrupted => self.done(Err(e)),
            // Who waits now needs the hub's poll.
            Ok(false) | Err(_) => match sched::ensure() {
                Ok(_) => false,
                Err(e) => self.done(Err(e)),
            },
        }
    }

    fn register(&mut self, who: &Unparker, _arm: Number) -> bool {
        let Some((hub, waiter)) = who.local() else {
            unreachable!("a select of descriptors without a hub")
        };
        match self.park(hub, waiter) {
            Ok(parked) => !parked,
            Err(e) => self.done(Err(e)),
        }
    }

    fn unregister(&mut self) {
        self.leave();
        self.parked = None;
    }

    fn commit(&mut self) {
        unreachable!("a descriptor grants nothing")
    }

    fn ready(&self) -> bool {
        let Some((hub, token, waiter)) = self.parked else {
            return false;
        };
        let mut reactor = hub.reactor.borrow_mut();
        // An event has taken the waiter out.
        let direction = self.what.direction;
        !reactor.take_waiter(token, direction, waiter)
            || reactor.set_waiter(token, direction, waiter).is_err()
    }

    fn abandon(&self) {
        self.leave();
    }
}

impl Arm for FdArm<'_> {
    type Output = io::Result<()>;

    fn slot(&mut self) -> Slot<'_> {
        Slot(self)
    }

    fn take(self) -> io::Result<()> {
        match self.result {
            Some(result) => result,
            None => unreachable!("a descriptor that is not ready was chosen"),
        }
    }
}

impl fmt::Debug for FdArm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FdArm").field(&self.what).finish()
    }
}
