//! The registrations of one hub: what it does when its bell is rung.
//!
//! ```text
//!   handler ── counts, ring ──► Slot          answer: counts ──► entries of that signal, in the order of registration
//!                                                       │          Task: a fresh task for each, owed until it is made
//!   Station { slot, entries } ◄── Bell ── hub's turn ───┘          Count: added to what a stream has
//! ```
//!
//! An entry owes its tasks: if one cannot be made (a limit of the hub is reached), it is tried again in each later turn, the
//! next of which comes when a task ends.
//!
//! The station belongs to the hub and ends with it, a [`Registration`] only names an entry. No borrow of the list is held
//! while user code runs (invariant 4).
#![forbid(unsafe_code)]

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use std::io;
use std::rc::{Rc, Weak};

use super::handler::{self, Slot};
use super::kind::SignalKind;
use super::stream::Arrivals;
use crate::greenlet::hot::hot;
use crate::hub::bell::Bell;
use crate::hub::sched;
use crate::task::Builder;

/// What is done with a signal that has come.
pub(super) enum Deliver {
    /// A task runs this, spawned as from there.
    Task(Rc<dyn Fn()>, &'static Location<'static>),
    /// A stream has it.
    Count(Rc<Arrivals>),
}

struct Entry {
    id: u64,
    kind: SignalKind,
    deliver: Deliver,
    daemon: Cell<bool>,
    /// Deliveries whose task is not made yet.
    owed: Cell<u64>,
}

/// See the file's head.
pub(super) struct Station {
    slot: &'static Slot,
    epoch: u64,
    entries: RefCell<Vec<Rc<Entry>>>,
    last_id: Cell<u64>,
    /// Some entry owes a task.
    owing: Cell<bool>,
}

impl Station {
    /// This thread's; made, with the hub, if there is none.
    fn here() -> io::Result<Rc<Self>> {
        let (_, hub) = sched::ensure()?;
        if let Some(bell) = hub.bell.get() {
            let bell: Rc<dyn Any> = Rc::<dyn Bell>::clone(bell);
            return match bell.downcast() {
                Ok(station) => Ok(station),
                Err(_) => unreachable!("the hub's bell is a station"),
            };
        }
        let slot = Slot::claim()?;
        let station = Rc::new(Self {
            slot,
            epoch: handler::epoch(),
            entries: RefCell::new(Vec::new()),
            last_id: Cell::new(0),
            owing: Cell::new(false),
        });
        // Nobody waits there, nor reads: an event only ends the poll.
        if let Err(e) = hub.reactor.borrow_mut().register(slot.fd()) {
            slot.release();
            return Err(e);
        }
        let bell: Rc<dyn Bell> = Rc::<Self>::clone(&station);
        if hub.bell.set(bell).is_err() {
            unreachable!("a hub that had no bell has one");
        }
        Ok(station)
    }

    /// Whether the process was forked since: then slot and handler are not its own any more.
    fn is_of_parent(&self) -> bool {
        self.epoch != handler::epoch()
    }

    fn remove(&self, id: u64) {
        let removed = {
            let mut entries = self.entries.borrow_mut();
            let at = entries.iter().position(|entry| entry.id == id);
            at.map(|at| entries.remove(at))
        };
        let Some(entry) = removed else { return };
        if !self.is_of_parent() {
            let kind = entry.kind;
            // First, so that no signal comes to a handler that has nobody to tell.
            handler::remove(kind.as_raw());
            if !self.entries.borrow().iter().any(|e| e.kind == kind) {
                self.slot.unwant(kind.as_raw());
            }
            entry.unlisten();
        }
        // Its closure is dropped here, outside of the borrow: that is user code.
        drop(entry);
    }
}

impl Entry {
    /// Counts for the hub as something that may happen.
    fn listen(&self) {
        if let Some(hub) = sched::get(hot()) {
            hub.listeners.set(hub.listeners.get() + 1);
        }
    }

    fn unlisten(&self) {
        if !self.daemon.replace(true)
            && let Some(hub) = sched::get(hot())
        {
            hub.listeners.set(hub.listeners.get() - 1);
        }
    }

    /// Pays what is owed. False if something is left.
    fn pay(&self) -> bool {
        match &self.deliver {
            Deliver::Count(arrivals) => arrivals.add(self.owed.take()),
            Deliver::Task(f, site) => {
                while self.owed.get() > 0 {
                    let f = Rc::clone(f);
                    let name = format!("on {}", self.kind);
                    let builder = Builder::new().name(name).site(site);
                    if builder.spawn(move || f()).is_err() {
                        return false;
                    }
                    self.owed.set(self.owed.get() - 1);
                }
            }
        }
        true
    }
}

impl Bell for Station {
    fn rung(&self) -> bool {
        self.slot.rung()
    }

    fn wanted(&self) -> bool {
        self.owing.get() || self.slot.rung()
    }

    fn answer(&self) {
        // First: what comes after the counts were taken rings again.
        self.slot.answered();
        let due: Vec<Rc<Entry>> = {
            let entries = self.entries.borrow();
            for signal in self.slot.wanted() {
                let n = u64::from(self.slot.take(signal));
                for entry in entries.iter().filter(|e| e.kind.as_raw() == signal) {
                    entry.owed.set(entry.owed.get() + n);
                }
            }
            let due = entries.iter().filter(|entry| entry.owed.get() > 0);
            due.map(Rc::clone).collect()
        };
        let unpaid = due.iter().filter(|entry| !entry.pay()).count();
        self.owing.set(unpaid > 0);
    }

    fn end(&self) {
        let entries = self.entries.take();
        for entry in &entries {
            handler::remove(entry.kind.as_raw());
            entry.unlisten();
        }
        self.slot.release();
        drop(entries);
    }
}

/// Makes an entry of this thread's hub.
pub(super) fn register(kind: SignalKind, deliver: Deliver) -> io::Result<Registration> {
    kind.check()?;
    let station = Station::here()?;
    let signal = kind.as_raw();
    let id = station.last_id.get() + 1;
    station.last_id.set(id);
    let entry = Rc::new(Entry {
        id,
        kind,
        deliver,
        daemon: Cell::new(false),
        owed: Cell::new(0),
    });
    // Both before the handler is there, so that the first signal it gets is not lost.
    station.slot.want(signal);
    station.entries.borrow_mut().push(Rc::clone(&entry));
    entry.listen();
    let registration = Registration {
        station: Rc::downgrade(&station),
        id,
        kind,
    };
    if let Err(e) = handler::install(signal) {
        station.entries.borrow_mut().retain(|e| e.id != id);
        station.slot.unwant(signal);
        entry.unlisten();
        return Err(e);
    }
    Ok(registration)
}

/// A signal is handled as long as this lives, or the hub that it was made on; see [`on`](super::on).
///
/// Dropping it ends that, and drops the closure. Tasks of signals that came before run on. When the last registration of a
/// signal in the process goes, what the program did with that signal before comes back.
#[must_use = "dropping it ends the registration: bind it, or call `forever`"]
pub struct Registration {
    station: Weak<Station>,
    id: u64,
    kind: SignalKind,
}

impl Registration {
    /// The signal.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    /// Keeps it until the hub's thread ends.
    pub fn forever(self) {
        core::mem::forget(self);
    }

    /// Makes it a daemon, as far as deadlocks go: the hub does not count on the signal to come. If main waits and nothing
    /// but this could wake anybody, that is a [`Deadlock`](crate::hub::Deadlock).
    pub fn daemon(self) -> Self {
        if let Some(station) = self.station.upgrade()
            && !station.is_of_parent()
        {
            let entries = station.entries.borrow();
            if let Some(entry) = entries.iter().find(|entry| entry.id == self.id) {
                entry.unlisten();
            }
        }
        self
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(station) = self.station.upgrade() {
            station.remove(self.id);
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
