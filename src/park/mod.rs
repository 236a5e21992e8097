//! The waist: every wait of the crate goes through [`park_until`].
//!
//! ```text
//! above:  sleep  join  io  locks  queues  select …        safe code, each a `Waiting`
//!            │
//!        park_until(ticket, how, waiting)                  the one loop
//!            │
//! below:  hub: run queue, timers, readiness   — or, on a thread without a hub, the OS (`std::thread::park`)
//! ```
//!
//! A wake carries no meaning (invariant 14): who is woken asks its [`Waiting`] whether it was granted, then whether it is
//! to be interrupted, then whether its deadline has passed, and parks again otherwise. So it does not matter how many
//! wakers race, and a late or a spurious wake is harmless. In that order, so that nothing granted is ever lost: a kill
//! that comes with a grant is delivered at the next wait.
//!
//! | what ends the wait       | a wait that can report it      | one that cannot        |
//! | ------------------------ | ------------------------------ | ---------------------- |
//! | the grant                | `Granted`                      | `Granted`              |
//! | its own deadline         | `TimedOut`                     | –                      |
//! | an enclosing `timeout`   | `Elapsed`, once; then unwinds  | unwinds to the scope   |
//! | a kill                   | unwinds                        | unwinds                |
//! | main's deadlock          | `Deadlock`                     | panics with it         |
//! | own unwinding            | `Unwinding`, without parking   | parks all the same     |
//!
//! This file grants nothing and knows no object that is waited for.

mod block;
pub(crate) mod budget;
mod claim;
mod landing;
mod lock;
mod notice;
mod select;
#[cfg(test)]
mod tests;
mod wait_queue;
mod word;

use core::panic::Location;
use std::io;
use std::time::Duration;

pub(crate) use self::block::{Blocked, Place, Turn, block, block_after};
pub(crate) use self::claim::Unparker;
pub(crate) use self::landing::{Address, Came, Handed, Lands, block_for, hand};
pub(crate) use self::lock::Lock;
pub use self::notice::LinkId;
pub(crate) use self::notice::{Board, Notice};
pub(crate) use self::select::{Selectable, Selected, attempt, select};
pub(crate) use self::wait_queue::{Key, WaitQueue};
pub(crate) use self::word::{Arm, Grant};
pub(crate) use crate::hub::frame::{HeldBy, Reason};
use crate::hub::primitives;

use crate::clock::Instant;
use crate::greenlet::control::{ControlRef, State, attention};
use crate::greenlet::error::Deadlock;
use crate::greenlet::hot::{Hot, Phase, here, hot};
use crate::greenlet::interrupt::{self, Interrupt};
use crate::greenlet::{engine, probe, trace};
use crate::hub::error;
use crate::hub::frame::{Frame, with_frame};
use crate::hub::sched::{self, Alarm, Hub, Waiter};
use crate::timers::TimerFlags;

/// Deadlines nearer than this are worth a timer finer than the poll's millisecond.
const FINE: Duration = Duration::from_millis(1);

/// What a wait can tell its caller, apart from its own deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// The expiry of an enclosing `timeout`.
    pub(crate) elapsed: bool,
    /// That main waits in vain.
    pub(crate) deadlock: bool,
    /// That the greenlet is unwinding.
    pub(crate) unwinding: bool,
}

impl Report {
    /// `lock`, `sleep`, `wait`: returns when it is over, or unwinds.
    pub(crate) const NOTHING: Self = Self {
        elapsed: false,
        deadlock: false,
        unwinding: false,
    };
    /// `join`, `get`: returns an error, but none for somebody else's deadline.
    pub(crate) const ERRORS: Self = Self {
        elapsed: false,
        deadlock: true,
        unwinding: true,
    };
    /// Timed forms and io.
    pub(crate) const ALL: Self = Self {
        elapsed: true,
        deadlock: true,
        unwinding: true,
    };
}

/// How to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How<'a> {
    pub(crate) reasons: &'a [Reason<'a>],
    /// `None`: until it is granted.
    pub(crate) deadline: Option<Instant>,
    pub(crate) report: Report,
}

/// How a wait ended.
#[derive(Debug)]
#[must_use]
pub(crate) enum End {
    /// What was waited for has come.
    Granted,
    /// Its own deadline passed first.
    TimedOut,
    /// An enclosing `timeout` expired; it is to be reported as an expiry.
    Elapsed,
    /// Main waits in vain.
    Deadlock(Deadlock),
    /// The greenlet unwinds, and the wait is one that then does not park.
    Unwinding,
}

/// What is waited for.
pub(crate) trait Waiting {
    /// Whether it has come.
    fn granted(&self) -> bool;

    /// Whether it has come before the park begins. Only who has looked since anything that runs on this thread could bring it may
    /// say `false` untested: what comes from other threads ends the park.
    #[inline]
    fn granted_before(&self) -> bool {
        self.granted()
    }

    /// Gives up. False if it was granted meanwhile: then the wait ends `Granted` after all.
    fn cancel(&self) -> bool {
        true
    }

    /// The waiter's hub ends, so it will never run again: gives up, and what was granted meanwhile goes to others.
    fn abandon(&self) {
        self.cancel();
    }
}

/// A wait that nothing but its deadline ends.
impl Waiting for () {
    fn granted(&self) -> bool {
        false
    }
}

/// Who is about to wait: names the coming park, so that it can be woken.
#[derive(Clone, Copy)]
pub(crate) enum Ticket {
    /// A greenlet (or the main stack of a thread with a hub).
    Greenlet(&'static Hot, &'static Hub, Waiter),
    /// A plain thread: its waits are the OS's.
    Thread,
}

impl Ticket {
    /// A ticket for the caller's next park.
    ///
    /// # Errors
    /// Where no wait can be: in a callback of the hub, in a forked child, without a descriptor for the poll.
    #[inline]
    pub(crate) fn new() -> io::Result<Self> {
        match Self::usual() {
            Some(ticket) => Ok(ticket),
            None => Self::unusual(hot()),
        }
    }

    /// The ticket of a greenlet of a thread with a hub; `None` for any other, and where no wait can be: ask [`new`](Self::new).
    #[inline(always)]
    pub(crate) fn usual() -> Option<Self> {
        let hot = hot();
        let hub = sched::get(hot)?;
        let me = hot.current.get()?;
        if hot.phase.get() != Phase::Active || me == hot.hub() {
            return None;
        }
        let epoch = hot.serial();
        Some(Self::Greenlet(hot, hub, Waiter { control: me, epoch }))
    }

    #[cold]
    fn unusual(hot: &'static Hot) -> io::Result<Self> {
        match hot.phase.get() {
            Phase::Fresh | Phase::Ended => return Ok(Self::Thread),
            Phase::Forked => return Err(error::forked()),
            Phase::Active => {}
        }
        if hot.current.get() == Some(hot.hub()) {
            return Err(io::Error::other(error::InCallback));
        }
        let (hot, hub) = sched::ensure()?;
        let (_, me) = engine::enter();
        Ok(Self::Greenlet(
            hot,
            hub,
            Waiter {
                control: me,
                epoch: hot.serial(),
            },
        ))
    }

    /// As [`new`](Self::new), for waits that have no error to return.
    ///
    /// # Panics
    /// Where `new` fails.
    #[inline]
    #[track_caller]
    pub(crate) fn must() -> Self {
        match Self::new() {
            Ok(ticket) => ticket,
            Err(e) => cannot_wait(&e),
        }
    }

    /// What wakes this park, from any thread.
    #[inline]
    pub(crate) fn unparker(&self) -> Unparker {
        Unparker::of(self)
    }
}

/// The panic of a wait that has no error to return.
#[cold]
#[track_caller]
pub(crate) fn cannot_wait(e: &io::Error) -> ! {
    panic!("cannot wait here: {e} (at {})", Location::caller())
}

/// Parks until `waiting` is granted or something else ends the wait; see the table in the file's head.
///
/// The caller has made `waiting` known to whoever grants it, by the same ticket, and takes it back afterwards on every way
/// out: also when this unwinds.
#[inline(always)]
pub(crate) fn park_until<W: Waiting>(ticket: Ticket, how: &How<'_>, waiting: &W) -> End {
    // By value to whom it is handed on, so that the usual way need not have it in memory.
    let how = *how;
    let Ticket::Greenlet(hot, hub, waiter) = ticket else {
        return park_thread(how, waiting);
    };
    let Waiter { control: me, epoch } = waiter;
    // Something is due, or something else than a grant is likely to come.
    if how.deadline.is_some() || me.attention.get() != 0 || std::thread::panicking() {
        return park_greenlet(hot, hub, waiter, how, waiting);
    }
    if waiting.granted_before() {
        return End::Granted;
    }
    let frame = Frame {
        reasons: how.reasons,
        since: hub.clock.last(),
        abandon: &|| waiting.abandon(),
        timed: false,
    };
    with_frame(me, &frame, || {
        me.park_epoch.set(epoch);
        me.state.set(State::Parked);
        engine::to_hub_calmly(hot, me);
        if me.attention.get() == 0 && waiting.granted() {
            return End::Granted;
        }
        probe::answer_all(hot, me);
        parked(hot, hub, waiter, how, waiting)
    })
}

#[inline(never)]
fn park_greenlet<W: Waiting>(
    hot: &'static Hot,
    hub: &'static Hub,
    Waiter { control: me, epoch }: Waiter,
    how: How<'_>,
    waiting: &W,
) -> End {
    if waiting.granted() {
        return End::Granted;
    }
    if how.report.unwinding && engine::unwinding(hot) {
        return if waiting.cancel() {
            End::Unwinding
        } else {
            End::Granted
        };
    }
    let mut fine = false;
    if let Some(deadline) = how.deadline {
        let now = hub.clock.now();
        // A sleep gives way even if its time has passed: its timer then goes off in the next turn.
        if deadline <= now && how.report.elapsed {
            return if waiting.cancel() {
                End::TimedOut
            } else {
                End::Granted
            };
        }
        fine = deadline.saturating_duration_since(now) < FINE;
    }
    if me.attention.get() != 0
        && let Some(end) = interrupted(hot, me, &how, waiting, false)
    {
        return end;
    }
    let _timer = how.deadline.map(|deadline| {
        let flags = TimerFlags {
            fine,
            daemon: false,
        };
        SetTimer(hub, hub.set_timer(deadline, flags, Alarm::Wake(me, epoch)))
    });
    let frame = Frame {
        reasons: how.reasons,
        since: hub.clock.last(),
        abandon: &|| waiting.abandon(),
        timed: how.deadline.is_some(),
    };
    with_frame(me, &frame, || {
        me.park_epoch.set(epoch);
        me.state.set(State::Parked);
        engine::to_hub_counted(hot, me);
        parked(hot, hub, Waiter { control: me, epoch }, how, waiting)
    })
}

/// The rest of a wait, once control came back to it; its frame hangs.
#[inline(never)]
fn parked<W: Waiting>(
    hot: &'static Hot,
    hub: &'static Hub,
    Waiter { control: me, epoch }: Waiter,
    how: How<'_>,
    waiting: &W,
) -> End {
    loop {
        if me.attention.get() & attention::TRACE != 0 {
            trace::arrived(me, false);
        }
        if waiting.granted() {
            // If that came together with the news that it never would: that is not for the next wait.
            me.ignore(attention::DEADLOCK);
            return End::Granted;
        }
        if me.attention.get() != 0
            && let Some(end) = interrupted(hot, me, &how, waiting, true)
        {
            return end;
        }
        if how.deadline.is_some_and(|d| d <= hub.clock.last()) {
            return if waiting.cancel() {
                End::TimedOut
            } else {
                End::Granted
            };
        }
        me.park_epoch.set(epoch);
        me.state.set(State::Parked);
        engine::to_hub_counted(hot, me);
    }
}

struct SetTimer(&'static Hub, crate::timers::TimerId);

impl Drop for SetTimer {
    fn drop(&mut self) {
        self.0.cancel_timer(self.1);
    }
}

/// Delivers what is due to `me`: raises it, or says how the wait ends.
#[cold]
fn interrupted<W: Waiting>(
    hot: &'static Hot,
    me: ControlRef,
    how: &How<'_>,
    waiting: &W,
    just_resumed: bool,
) -> Option<End> {
    if just_resumed && me.attention.get() & attention::DEADLOCK != 0 {
        me.ignore(attention::DEADLOCK);
        if !waiting.cancel() {
            return Some(End::Granted);
        }
        let deadlock = hot.take_deadlock();
        if how.report.deadlock {
            return Some(End::Deadlock(deadlock));
        }
        panic!("{deadlock}");
    }
    match interrupt::due(&me)? {
        Interrupt::Kill => {}
        Interrupt::Deadline(frame) => {
            if how
                .deadline
                .is_some_and(|own| own.as_nanos() <= frame.deadline)
            {
                // Its own deadline comes first; if that has passed too, the caller sees it.
                if how.deadline.is_some_and(|own| own <= Instant::now()) {
                    return Some(if waiting.cancel() {
                        End::TimedOut
                    } else {
                        End::Granted
                    });
                }
            }
            if how.report.elapsed
                && !engine::unwinding(hot)
                && (!frame.delivered.get() || cfg!(panic = "abort"))
            {
                if frame.delivered.replace(true) {
                    engine::yield_turn(hot, me);
                }
                return Some(if waiting.cancel() {
                    End::Elapsed
                } else {
                    End::Granted
                });
            }
        }
    }
    if !engine::may_raise(hot, me, just_resumed) {
        return None;
    }
    if interrupt::delivered_before(me) && !just_resumed {
        engine::yield_turn(hot, me);
        if waiting.granted() {
            return Some(End::Granted);
        }
    }
    if !waiting.cancel() {
        return Some(End::Granted);
    }
    match interrupt::due(&me) {
        Some(due) => interrupt::raise(me, &due),
        None => None,
    }
}

/// The wait of a plain thread: nothing interrupts it.
#[inline(never)]
fn park_thread<W: Waiting>(how: How<'_>, waiting: &W) -> End {
    loop {
        if waiting.granted() {
            return End::Granted;
        }
        match how.deadline {
            None => std::thread::park(),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return if waiting.cancel() {
                        End::TimedOut
                    } else {
                        End::Granted
                    };
                }
                std::thread::park_timeout(left);
            }
        }
    }
}

/// Lets every other runnable greenlet run before this one goes on. A wait: kills and deadlines are delivered. (In a
/// [simulation](crate::hub::simulate) some of them run, by its seed.)
///
/// On a thread that has no hub, yields the thread.
#[inline(always)]
pub fn yield_now() {
    let hot = here();
    if let Some(me) = hot.current.get()
        && me.attention.get() == 0
        && !std::thread::panicking()
    {
        me.state.set(State::Runnable);
        hot.queue.push(me);
        engine::to_hub(hot, me);
        if me.attention.get() == 0 {
            return;
        }
        yielded(self::hot(), me);
    } else {
        yield_slowly(self::hot());
    }
}

#[cold]
#[inline(never)]
fn yielded(hot: &'static Hot, me: ControlRef) {
    if me.attention.get() & attention::TRACE != 0 {
        trace::arrived(me, false);
    }
    engine::deliver(hot, me, true);
}

#[cold]
#[inline(never)]
fn yield_slowly(hot: &'static Hot) {
    match (hot.phase.get(), hot.current.get()) {
        (Phase::Active, Some(me)) if me != hot.hub() => {
            engine::deliver(hot, me, false);
            engine::yield_turn(hot, me);
            yielded(hot, me);
        }
        // In a callback of the hub there is nothing to yield: it is the hub's turn already.
        (Phase::Active, Some(_)) => {}
        _ => std::thread::yield_now(),
    }
}
