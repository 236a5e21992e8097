//! How a hub's work ends: waiting for idleness, shutting down, the thread's end.

use core::panic::Location;
use std::panic::resume_unwind;
use std::time::Duration;

use super::frame::{Frame, Reason, with_frame};
use super::sched::{self, Alarm, Hub, Waiter};
use crate::clock::{Instant, deadline_after, end_simulation};
use crate::greenlet::control::{ControlRef, State, attention, flag};
use crate::greenlet::engine;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::greenlet::seed::Subject;
use crate::greenlet::wake;
use crate::timers::{TimerFlags, TimerId};

/// What [`shutdown`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Tasks that ended by themselves in time.
    pub finished: usize,
    /// Tasks that were killed, and have ended.
    pub killed: usize,
    /// Tasks that could not be ended: they never finish unwinding, or the program aborts on panic.
    pub left: usize,
}

/// Runs the hub until no task is left, `limit` at most. True if none is.
///
/// Daemon tasks do not count, nor does the calling task.
///
/// # Blocking
/// Switches. A kill or an enclosing `timeout` ends it by unwinding.
///
/// # Panics
/// In a callback of the hub; and on main with the [`Deadlock`](super::Deadlock) if the tasks can never end.
#[doc(alias = "join")]
#[track_caller]
pub fn run_until_idle(limit: Option<Duration>) -> bool {
    let hot = hot();
    let Some(hub) = sched::get(hot) else {
        return true;
    };
    idle(hot, hub, limit.map(deadline_after), |hub, me| {
        let own = usize::from(me.has(flag::TASK) && !me.has(flag::DAEMON));
        hub.tasks_held.get() <= own
    })
    .unwrap_or_else(|deadlock| panic!("{deadlock}"))
}

/// Parks until `done`, or until the deadline (`None`: no limit; `Some(None)`: one out of reach).
#[track_caller]
fn idle(
    hot: &'static Hot,
    hub: &'static Hub,
    deadline: Option<Option<Instant>>,
    done: impl Fn(&Hub, ControlRef) -> bool,
) -> Result<bool, super::Deadlock> {
    let (_, me) = engine::enter();
    assert!(
        me != hot.hub(),
        "a callback of the hub cannot wait for the hub, at {}",
        Location::caller()
    );
    assert!(hot.phase.get() == Phase::Active, "{}", super::error::Forked);
    let deadline = deadline.flatten();
    loop {
        if done(hub, me) {
            return Ok(true);
        }
        if deadline.is_some_and(|d| d <= hub.clock.now()) {
            return Ok(false);
        }
        engine::deliver(hot, me, false);
        let epoch = hot.serial();
        let timer =
            deadline.map(|d| hub.set_timer(d, TimerFlags::default(), Alarm::Wake(me, epoch)));
        hub.idle_waiters
            .borrow_mut()
            .push(Waiter { control: me, epoch });
        let reason = [Reason::new("the hub to be idle", 0)];
        let frame = Frame {
            reasons: &reason,
            since: hub.clock.last(),
            abandon: &|| {},
            timed: deadline.is_some(),
        };
        with_frame(me, &frame, || {
            me.park_epoch.set(epoch);
            me.state.set(State::Parked);
            engine::to_hub_counted(hot, me);
        });
        hub.idle_waiters.borrow_mut().retain(|w| w.epoch != epoch);
        if let Some(timer) = timer {
            hub.cancel_timer(timer);
        }
        if me.attention.get() & attention::DEADLOCK != 0 {
            me.ignore(attention::DEADLOCK);
            return Err(hot.take_deadlock());
        }
        engine::deliver(hot, me, true);
    }
}

/// Asks for the end of a task: it unwinds at its wait, or never starts.
pub(crate) fn kill_task(hot: &'static Hot, task: impl Into<Subject>) {
    let c = match task.into() {
        Subject::Control(c) => c,
        Subject::Seed(seed) => match seed.grown() {
            Some(c) => c,
            None => {
                // Unstarted: it is in the run queue, and sees it when its turn comes. Or dead.
                seed.kill();
                return;
            }
        },
    };
    match c.state.get() {
        State::Free | State::Dead => {}
        State::New => {
            // A task that waits for its start time: it starts now, and sees that it need not.
            c.attend(attention::KILL);
            c.park_epoch.set(0);
            if let Some(timer) = TimerId::from_bits(c.parent_inbox.replace(0))
                && let Some(hub) = sched::get(hot)
            {
                hub.cancel_timer(timer);
            }
            wake::make_runnable(hot, c);
        }
        State::Runnable | State::Live | State::Parked => {
            c.attend(attention::KILL);
            if c.shield.get() == 0 {
                wake::wake_for_interrupt(hot, c);
            }
        }
    }
}

/// Ends all tasks of this thread's hub: waits for up to `grace` that they end by themselves, then kills the rest, daemons
/// too, and waits until their destructors have run. The hub can be used again afterwards.
///
/// # Blocking
/// Switches.
///
/// # Panics
/// In a task or a callback: only a thread's main greenlet can end its hub's tasks.
#[doc(alias = "destroy")]
#[track_caller]
pub fn shutdown(grace: Duration) -> Shutdown {
    let hot = hot();
    let Some(hub) = sched::get(hot) else {
        return Shutdown::default();
    };
    assert!(
        hot.current.get() == Some(hot.root()),
        "hub::shutdown was called by a task: only a thread's main greenlet can end its tasks"
    );
    let before = hub.tasks.get();
    if grace > Duration::ZERO {
        // A deadlock among the tasks is no obstacle: they are killed next.
        let _ = idle(hot, hub, Some(deadline_after(grace)), |hub, _| {
            hub.tasks_held.get() == 0
        });
    }
    let rest = hub.tasks.get();
    if !cfg!(panic = "abort") {
        let _ending = Ending::begin(hub);
        // Destructors may spawn tasks: these are ended too, round by round.
        loop {
            let ended = hub.ended.get();
            let mut some = false;
            let mut victims = Vec::new();
            engine::for_each(hot, |c| {
                if c.has(flag::TASK) && c.attention.get() & attention::KILL == 0 {
                    victims.push((c, c.id.get()));
                }
            });
            hot.with_seeds(|s| {
                s.for_each(|seed| some |= seed.is_unstarted() && seed.kill());
            });
            for (c, id) in victims {
                if c.id.get() == id {
                    some = true;
                    kill_task(hot, c);
                }
            }
            if hub.tasks.get() == 0
                || idle(hot, hub, None, |hub, _| hub.ended.get() != ended).is_err() && !some
            {
                break;
            }
        }
    }
    let left = hub.tasks.get();
    Shutdown {
        finished: before.saturating_sub(rest),
        killed: rest.saturating_sub(left),
        left,
    }
}

/// Has every task's end noticed, for as long as it lives.
struct Ending(&'static Hub);

impl Ending {
    fn begin(hub: &'static Hub) -> Self {
        hub.ending.set(true);
        Self(hub)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ending.set(false);
    }
}

/// Runs `f`, then ends all tasks of this thread's hub: their destructors run before `run` returns, also if `f` panics.
///
/// Without it, a thread's main greenlet that returns leaks its live tasks.
///
/// # Blocking
/// Switches.
///
/// # Panics
/// As `f`; and in a task or a callback: a thread runs its hub once.
#[track_caller]
pub fn run<R>(f: impl FnOnce() -> R) -> R {
    let hot = hot();
    assert!(
        hot.current.get().is_none_or(|c| c == hot.root()),
        "hub::run was called by a task: the thread's hub runs already"
    );
    let result = engine::caught(f);
    shutdown(Duration::ZERO);
    match result {
        Ok(r) => r,
        Err(payload) => resume_unwind(payload),
    }
}

/// The thread ends. What its destructors still wait for, they wait for as a plain thread does: by the system's clock.
pub(super) fn at_end(hot: &'static Hot) {
    leave(hot);
    end_simulation();
}

/// Live tasks are leaked (invariant 9), their waits cancelled, so that nobody grants them anything.
fn leave(hot: &'static Hot) {
    let Some(hub) = sched::get(hot) else { return };
    if hot.phase.get() == Phase::Forked {
        return;
    }
    let on_own_stack = hot.current.get() == Some(hot.root());
    if on_own_stack {
        hub.last_turn(hot);
    } else {
        // `exit` was called by a task, perhaps in the middle of something. Messages may hold user data: its destructors
        // run here, and what they panic with goes nowhere.
        hub.owner()
            .close(|message| drop(engine::caught(|| drop(message))));
    }
    let mut parked = Vec::new();
    engine::for_each(hot, |c| {
        if c.state.get() != State::Dead {
            parked.push(c);
        }
    });
    for c in parked {
        super::frame::with_wait(c, |frame| (frame.abandon)());
        if let (Some(drop_ext), false) = (hot.drop_ext.get(), c.upper.ext.get().is_null()) {
            drop_ext(c);
        }
    }
    if on_own_stack {
        hot.hub_data.set(std::ptr::null());
        // SAFETY: `start` leaked this box; no greenlet runs again, and none of the frames below is in the hub: the
        // thread's destructors run on its own stack, outside of any wait.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(hub).cast_mut()) });
    }
}
