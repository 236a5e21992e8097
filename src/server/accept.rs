//! The loop of a lane, and what a connection's task does around the handler.
//!
//! ```text
//!   room? ──► accept ──► seat taken, task spawned ──┐
//!     ▲        │ scarce: tell, wait it out          │
//!     │        │ own: give way                      │
//!     │        │ fatal: tell, the server ends       │
//!     └────────┴────────────────────────────────────┘
//!
//!   task:  handler ──► how did it end? ──► farewell, shielded, within its limit ──► seat given back
//! ```
//!
//! This file knows no sockets: only what [`Listener`] says.
#![forbid(unsafe_code)]

use std::io;
use std::panic::resume_unwind;

use super::lanes::{Door, Seat};
use super::listen::Listener;
use super::scarce::{Backoff, Verdict, verdict};
use crate::greenlet::engine::{self, caught};
use crate::greenlet::interrupt::is_interrupt;
use crate::greenlet::report;
use crate::task::{self, Outcome, shield, timeout, yield_now};

/// Accepts at a lane until it is closed, and gives every connection a task.
pub(super) fn accept_all<L, H>(door: Door<L>, handler: &H)
where
    L: Listener,
    H: Fn(L::Stream, L::Addr) + Clone + 'static,
{
    let core = &*door.core;
    let lane = &core.lanes[door.lane];
    let Some(listener) = lane.listener() else {
        return;
    };
    let mut backoff = Backoff::new();
    while lane.wait_for_room(core.settings.pool) {
        let (verdict, error) = match listener.accept() {
            Ok((stream, peer)) => match admit(&door, handler, stream, peer) {
                Ok(()) => {
                    backoff.succeeded();
                    continue;
                }
                // It was accepted and cannot be served, so it is closed. There is room again when there is.
                Err(e) => (Verdict::Scarce, e),
            },
            Err(_) if lane.is_closed() => return,
            Err(e) => (verdict(&e), e),
        };
        match verdict {
            Verdict::Scarce => {
                if let Some(tell) = &core.settings.on_error {
                    tell(&error);
                }
                lane.wait_out(backoff.next());
            }
            Verdict::Own => yield_now(),
            Verdict::Fatal => return core.fail(error),
        }
    }
}

/// Spawns a connection's task.
fn admit<L, H>(door: &Door<L>, handler: &H, stream: L::Stream, peer: L::Addr) -> io::Result<()>
where
    L: Listener,
    H: Fn(L::Stream, L::Addr) + Clone + 'static,
{
    let settings = &door.core.settings;
    let again = match settings.farewell {
        Some(_) => Some(L::again(&stream)?),
        None => None,
    };
    let Some(seat) = Seat::take(door) else {
        // Closed meanwhile: it is refused like those that come later.
        return Ok(());
    };
    let key = seat.key;
    let connection = Connection {
        again,
        stream,
        peer,
        handler: handler.clone(),
        seat,
    };
    let task = task::Builder::new()
        .stack_size(settings.stack)
        .site(settings.site)
        .spawn(move || connection.serve())?;
    door.core.lanes[door.lane].assign(key, task);
    Ok(())
}

/// A connection before its task has begun. The seat is last: who waits for that finds all the rest dropped.
struct Connection<L: Listener, H> {
    again: Option<L::Stream>,
    stream: L::Stream,
    peer: L::Addr,
    handler: H,
    seat: Seat<L>,
}

impl<L, H> Connection<L, H>
where
    L: Listener,
    H: Fn(L::Stream, L::Addr),
{
    fn serve(self) {
        // In the order in which they were declared, they are dropped backwards.
        let Self {
            seat,
            handler,
            peer,
            stream,
            again,
        } = self;
        let settings = &seat.core.settings;
        let result = caught(|| handler(stream, peer.clone()));
        let outcome = match &result {
            Ok(()) => Outcome::Returned,
            Err(payload) if is_interrupt(&**payload) => Outcome::Killed,
            Err(_) => {
                // Only now: a name for every connection would cost each of them an allocation.
                let (_, me) = engine::enter();
                me.set_name(Some(format!("{} peer {peer:?}", settings.name).into()));
                Outcome::Panicked
            }
        };
        let said = match (&settings.farewell, &again) {
            (Some((limit, say)), Some(stream)) => {
                // What could not be said in time is not said.
                caught(|| shield(|| drop(timeout(*limit, || say(stream, outcome)))))
            }
            _ => Ok(()),
        };
        match (result, said) {
            (Ok(()), Ok(())) => {}
            (Err(payload), Ok(())) | (Ok(()), Err(payload)) => resume_unwind(payload),
            (Err(payload), Err(second)) => {
                let (_, me) = engine::enter();
                report::unobserved(me, second);
                resume_unwind(payload);
            }
        }
    }
}
