//! The hub: one thread's scheduler.
//!
//! ```text
//!            ┌────────────────────── turn ──────────────────────┐
//!            │ mail → callbacks → bell → timers → poll            │
//!            └──────────┬───────────────────────────────────────┘
//!   wakes only enqueue  ▼                                (invariant 4)
//!            run queue: A B C …  ── at most BATCH of them, then the next turn (invariant 11)
//! ```
//!
//! The turn runs on the thread's own stack: it is the engine's `next`, called by the trampoline whenever the batch is
//! used up. It never runs a greenlet itself; it says which one is next ([`pick`]). In a simulation the batch is one, so
//! that each greenlet comes from there.
//!
//! Callbacks (links, the drop of results nobody fetched, messages) run here with `current` the hub; they cannot wait.
//!
//! This file holds no borrow of its cells while user code runs.

use core::cell::{Cell, OnceCell, RefCell};
use core::sync::atomic::AtomicU64;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::bell::Bell;
use super::error::LimitReached;
use super::remote::{HubRef, Notify, Owner, Pool, Shared};
use super::simulation::{Idle, Simulation};
use super::spin::{LIVELY, Spins};
use super::{deadlock, fork};
use crate::clock::{Clock, Instant};
use crate::greenlet::control::{Control, ControlRef, State, attention};
use crate::greenlet::engine;
use crate::greenlet::error::Deadlock;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::greenlet::report;
use crate::greenlet::run_queue::{prefetch_for_run, prefetch_for_wake};
use crate::greenlet::seed::{Subject, embodied};
use crate::greenlet::wake;
use crate::reactor::{Reactor, Wait};
use crate::stack::{Arena, StackSize};
use crate::timers::{TimerFlags, TimerId, Timers};

/// Greenlets that may run between two looks at mail, timers and descriptors.
const BATCH: u32 = 256;

/// How long main may be without any prospect before the hub looks whether the process has another thread; then in
/// growing steps up to `PATIENCE_MAX`.
const PATIENCE: Duration = Duration::from_millis(20);
const PATIENCE_MAX: Duration = Duration::from_secs(1);

/// To the next deadline, from which on there is time to give all free stacks' memory back; and how often a few are.
const LEISURE: Duration = Duration::from_millis(20);

/// Stacks that are trimmed in passing: some tens of microseconds.
const FEW_STACKS: usize = 64;

/// What comes from other threads.
pub(crate) enum Message {
    /// Wake the park of this epoch, if it still lasts. The address is a control block of the receiving thread.
    Wake { control: usize, epoch: u64 },
    /// Run this in the hub.
    Call(Box<dyn FnOnce() + Send>),
}

/// How a thread gets this hub's attention, and what it may touch of it, inside the gate.
pub(crate) struct Door {
    waker: Arc<mio::Waker>,
    registry: mio::Registry,
}

impl Notify for Door {
    fn notify(&self) {
        // Fails only if the eventfd's counter is at its maximum, and then the hub is being woken anyway.
        let _ = self.waker.wake();
    }
}

impl Door {
    /// Takes a descriptor out of the hub's epoll instance.
    pub(crate) fn deregister(&self, fd: std::os::fd::RawFd) {
        let _ = self.registry.deregister(&mut mio::unix::SourceFd(&fd));
    }
}

static POOL: Pool<Message, Door> = Mutex::new(Vec::new());

/// Names a hub, from any thread, alive or not.
pub(crate) type Ref = HubRef<Message, Door>;

/// What a timer does.
#[derive(Clone, Copy)]
pub(crate) enum Alarm {
    /// Wakes the park (or starts the New greenlet) of this epoch.
    Wake(ControlRef, u64),
    /// Makes the greenlet with this id look at its deadlines.
    Interrupt(ControlRef, u64),
}

/// Names a reactor's waiter: the park of an epoch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) control: ControlRef,
    pub(crate) epoch: u64,
}

type Callback = Box<dyn FnOnce()>;

/// What a hub was built with; see `Builder`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) tasks: usize,
    pub(crate) stack_bytes: usize,
    pub(crate) batch: u32,
    pub(crate) io_budget: u32,
    /// How long it looks out before it sleeps; zero: see `spin.rs`.
    pub(crate) spin: Duration,
    /// Of a simulation.
    pub(crate) seed: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tasks: usize::MAX,
            stack_bytes: usize::MAX,
            batch: BATCH,
            io_budget: 64,
            spin: Duration::ZERO,
            seed: None,
        }
    }
}

/// See the file's head. Lives in a box that the thread's hot data points to, from the first use to the thread's end.
pub(crate) struct Hub {
    owner: Owner<Message, Door>,
    pub(crate) reactor: RefCell<Reactor<Waiter>>,
    timers: RefCell<Timers<Alarm>>,
    pub(crate) clock: Clock,
    callbacks: RefCell<VecDeque<Callback>>,
    pub(super) limits: Cell<Limits>,
    /// Tasks that are not dead: all, and those that keep the hub alive.
    pub(crate) tasks: Cell<usize>,
    pub(crate) tasks_held: Cell<usize>,
    /// Tasks that have ended so far.
    pub(crate) ended: Cell<u64>,
    /// A `shutdown` waits for each task's end, not only for the last.
    pub(super) ending: Cell<bool>,
    /// Things outside that will end some wait: children, work handed to other threads.
    pub(crate) outside: Cell<usize>,
    /// Ways in which something may come from outside that nobody here has asked for: signals.
    pub(crate) listeners: Cell<usize>,
    pub(crate) bell: OnceCell<Rc<dyn Bell>>,
    /// Who waits for the hub to be idle.
    pub(super) idle_waiters: RefCell<Vec<Waiter>>,
    /// What is left of the budget for calls that succeed without parking (invariant 11).
    pub(crate) io_budget: Cell<u32>,
    /// Turns so far.
    pub(crate) turns: Cell<u64>,
    /// When the time was read in a turn, and in which; nothing after a sleep, whose end nobody reads.
    stretch: Cell<Option<(Instant, u64)>>,
    /// So long one turn took at least.
    pub(crate) longest_turn: Cell<Duration>,
    /// Wakes of other threads for waits that had ended.
    pub(crate) late_wakes: Cell<u64>,
    patience: Cell<Duration>,
    /// Mail came right after the hub had fallen asleep, the last time.
    pub(super) lively: Cell<bool>,
    pub(crate) spins: Spins,
    /// Nobody ran since the last look for a cycle; when the next one may be.
    looked: Cell<bool>,
    next_look: Cell<Instant>,
    /// When a few stacks may be trimmed again while there is little time.
    next_trim: Cell<Instant>,
    pub(super) simulation: Option<Simulation>,
}

/// The hub of this thread, if it has one.
#[inline]
pub(crate) fn get(hot: &'static Hot) -> Option<&'static Hub> {
    // SAFETY: invariant 12: set by `ensure` to a leaked box, and cleared before that is freed at the thread's end, when
    // no frame below can hold the reference any more (`at_end` keeps the box if greenlets are left).
    unsafe { hot.hub_data.get().cast::<Hub>().as_ref() }
}

/// The control block at an address that came from this hub's own thread, by way of others.
#[inline]
pub(crate) fn local(_hub: &'static Hub, address: usize) -> ControlRef {
    // SAFETY: invariant 1: callers hold an address together with this hub's name, so it was a control block of this
    // thread, whose arena stands while the hub does. It may be stale; control.rs says why that is harmless.
    unsafe { ControlRef::from_address(address) }
}

/// As [`local`], for what may be a seed.
#[inline]
pub(crate) fn local_subject(_hub: &'static Hub, address: usize) -> Subject {
    // SAFETY: as in `local`; seed.rs says the same of seeds.
    unsafe { Subject::from_address(address) }
}

/// Calls `f` with the word on which the wait of a greenlet of any thread is granted; `None` if its hub has ended.
///
/// `control` is an address that came from that hub's own thread, together with `hub`.
#[inline]
pub(crate) fn with_grant<R>(
    hub: Ref,
    control: usize,
    f: impl FnOnce(&AtomicU64) -> R,
) -> Option<R> {
    let _inside = match get(hot()) {
        Some(own) if own.handle() == hub => None,
        _ => Some(hub.enter()?),
    };
    // SAFETY: the hub's own thread, or inside its gate: its slabs and thread-locals stay mapped (invariant 9: `close`
    // waits), the field is atomic, and nothing else of the control block is touched (invariant 1).
    let word = unsafe { &(*(control as *const Control)).grant };
    Some(f(word))
}

/// The hub of this thread; made if there is none.
///
/// # Errors
/// No descriptor for the poll could be had; the thread's end has begun; a fork (`Forked`).
#[inline]
pub(crate) fn ensure() -> io::Result<(&'static Hot, &'static Hub)> {
    let hot = hot();
    match get(hot) {
        Some(hub) if hot.phase.get() == Phase::Active => Ok((hot, hub)),
        _ => start(hot, Limits::default()).map(|hub| (hot, hub)),
    }
}

#[cold]
pub(super) fn start(hot: &'static Hot, limits: Limits) -> io::Result<&'static Hub> {
    match hot.phase.get() {
        Phase::Ended => return Err(super::error::ended()),
        Phase::Forked => return Err(super::error::forked()),
        Phase::Fresh | Phase::Active => {}
    }
    let reactor = Reactor::new()?;
    let door = Door {
        waker: reactor.waker()?,
        registry: reactor.registry()?,
    };
    fork::watch()?;
    engine::enter();
    let simulation = limits.seed.map(Simulation::new);
    let limits = simulation.as_ref().map_or(limits, |s| s.bound(limits));
    let hub = Box::leak(Box::new(Hub {
        owner: Shared::open(&POOL, door),
        reactor: RefCell::new(reactor),
        timers: RefCell::new(Timers::new()),
        clock: simulation
            .as_ref()
            .map_or_else(Clock::new, |_| Clock::simulated()),
        callbacks: RefCell::new(VecDeque::new()),
        limits: Cell::new(limits),
        tasks: Cell::new(0),
        tasks_held: Cell::new(0),
        ended: Cell::new(0),
        ending: Cell::new(false),
        outside: Cell::new(0),
        listeners: Cell::new(0),
        bell: OnceCell::new(),
        idle_waiters: RefCell::new(Vec::new()),
        io_budget: Cell::new(limits.io_budget),
        turns: Cell::new(0),
        stretch: Cell::new(None),
        longest_turn: Cell::new(Duration::ZERO),
        late_wakes: Cell::new(0),
        patience: Cell::new(PATIENCE),
        lively: Cell::new(false),
        spins: Spins::default(),
        looked: Cell::new(false),
        next_look: Cell::new(Instant::from_nanos(0)),
        next_trim: Cell::new(Instant::from_nanos(0)),
        simulation,
    }));
    hot.hub_data.set(core::ptr::from_ref::<Hub>(hub).cast());
    hot.next.set(turn);
    hot.at_end.set(Some(super::lifecycle::at_end));
    // The next pick is a turn, so that mail and callbacks are seen from here on.
    hot.queue.set_budget(0);
    Ok(hub)
}

impl Hub {
    /// A name of this hub for other threads.
    #[inline]
    pub(crate) fn handle(&self) -> Ref {
        self.owner.handle()
    }

    pub(super) fn owner(&self) -> &Owner<Message, Door> {
        &self.owner
    }

    /// Sets a timer.
    pub(crate) fn set_timer(&self, deadline: Instant, flags: TimerFlags, alarm: Alarm) -> TimerId {
        self.timers.borrow_mut().insert(deadline, flags, alarm)
    }

    /// Cancels a timer, unless it has gone off.
    pub(crate) fn cancel_timer(&self, id: TimerId) {
        self.timers.borrow_mut().cancel(id);
    }

    /// How many timers are set.
    pub(crate) fn timers_set(&self) -> usize {
        self.timers.borrow().len()
    }

    /// Runs `f` in the hub, in this turn or the next.
    pub(crate) fn call_soon(&self, hot: &Hot, f: impl FnOnce() + 'static) {
        self.callbacks.borrow_mut().push_back(Box::new(f));
        hot.queue.set_budget(0);
    }

    /// In a forked child: lets go of what is the parent's, and closes its copies of the descriptors. The hub is leaked.
    pub(super) fn disown(&self) {
        self.reactor.borrow_mut().close();
        self.owner.abandon();
    }

    /// Whether another task, with a stack of this size, is within the limits.
    ///
    /// # Errors
    /// [`LimitReached`](super::LimitReached).
    #[inline]
    pub(crate) fn admit(&self, hot: &'static Hot, size: StackSize) -> io::Result<()> {
        if self.tasks.get() >= self.limits.get().tasks
            || self.limits.get().stack_bytes != usize::MAX
        {
            return self.admit_slowly(hot, size);
        }
        Ok(())
    }

    #[cold]
    fn admit_slowly(&self, hot: &'static Hot, size: StackSize) -> io::Result<()> {
        let limits = self.limits.get();
        let refused = if self.tasks.get() >= limits.tasks {
            LimitReached::Tasks(limits.tasks)
        } else {
            let stats = hot.with_arena(|a| a.stats());
            let used = stats.live_bytes + stats.promised_bytes;
            if used + size.bytes() <= limits.stack_bytes {
                return Ok(());
            }
            LimitReached::StackBytes(limits.stack_bytes)
        };
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, refused))
    }

    /// A task was made.
    #[inline]
    pub(crate) fn task_began(&self, daemon: bool) {
        self.tasks.set(self.tasks.get() + 1);
        if !daemon {
            self.tasks_held.set(self.tasks_held.get() + 1);
        }
    }

    /// A task has ended.
    #[inline]
    pub(crate) fn task_ended(&self, hot: &'static Hot, daemon: bool) {
        self.tasks.set(self.tasks.get() - 1);
        self.ended.set(self.ended.get() + 1);
        let mut wake = self.ending.get();
        if !daemon {
            let held = self.tasks_held.get() - 1;
            self.tasks_held.set(held);
            wake |= held <= 1;
        }
        if wake && !self.idle_waiters.borrow().is_empty() {
            self.wake_idle_waiters(hot);
        }
    }

    #[cold]
    fn wake_idle_waiters(&self, hot: &'static Hot) {
        let waiters = self.idle_waiters.take();
        for w in waiters {
            wake::unpark(hot, w.control, w.epoch);
        }
    }

    fn read_mail(&self, hot: &'static Hot) {
        self.owner
            .inbox()
            .drain(|message| take_message(hot, message));
    }

    /// The thread ends: lets nobody in any more, and hands out what is finished. Links of tasks that have ended run, and
    /// results that other threads have asked for are given to them; nothing new is spawned.
    pub(super) fn last_turn(&self, hot: &'static Hot) {
        self.limits.set(Limits {
            tasks: 0,
            ..self.limits.get()
        });
        self.owner.close(|message| take_message(hot, message));
        if let Some(bell) = self.bell.get() {
            in_callback(hot, Box::new(|| bell.end()));
        }
        hot.with_seeds(|seeds| seeds.leave());
        // As for std's thread-locals: what each round leaves behind is served a few times, not for ever.
        for _ in 0..5 {
            self.run_callbacks(hot);
        }
    }

    fn run_callbacks(&self, hot: &'static Hot) {
        // Only those that are there now: one that adds another does not keep the hub from its turn.
        let n = self.callbacks.borrow().len();
        for _ in 0..n {
            let Some(f) = self.callbacks.borrow_mut().pop_front() else {
                break;
            };
            in_callback(hot, f);
        }
    }

    fn expire_timers(&self, hot: &'static Hot) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let now = self.clock.now();
        self.measure_turns(now);
        // Some at a time, so that the sleepers' control blocks come together.
        let mut expired = [None; 16];
        loop {
            let n = self.timers.borrow_mut().pop_all_expired(now, &mut expired);
            for Alarm::Wake(c, _) | Alarm::Interrupt(c, _) in expired[..n].iter().flatten() {
                prefetch_for_wake(*c);
            }
            for alarm in expired[..n].iter().flatten() {
                match *alarm {
                    Alarm::Wake(c, epoch) => {
                        wake::unpark(hot, c, epoch);
                        prefetch_for_run(c);
                    }
                    Alarm::Interrupt(c, id) => {
                        if c.id.get() == id {
                            wake::wake_for_interrupt(hot, c);
                        }
                    }
                }
            }
            if n < expired.len() {
                return;
            }
        }
    }

    /// The time was read, for other reasons. If it was in an earlier turn too, the longest turn since took its share of what has
    /// passed, or more.
    fn measure_turns(&self, now: Instant) {
        let turn = self.turns.get();
        let Some((before, since)) = self.stretch.replace(Some((now, turn))) else {
            return;
        };
        let took = now.saturating_duration_since(before);
        if took > self.longest_turn.get()
            && let Some(share) = took.checked_div((turn - since).try_into().unwrap_or(u32::MAX))
        {
            self.longest_turn.set(self.longest_turn.get().max(share));
        }
    }

    /// What follows is no part of a turn.
    pub(super) fn end_stretch(&self, now: Instant) {
        self.measure_turns(now);
        self.stretch.set(None);
    }

    pub(super) fn poll(&self, hot: &'static Hot, wait: Wait) {
        let now = if matches!(wait, Wait::Now) {
            self.clock.last()
        } else {
            let now = self.clock.now();
            self.end_stretch(now);
            now
        };
        let polled = self.reactor.borrow_mut().poll(wait, now, |w| {
            wake::unpark(hot, w.control, w.epoch);
        });
        if let Err(error) = polled {
            // The epoll instance itself is gone: somebody closed its descriptor. No wait on this thread could end.
            panic!("the hub's poll failed, its descriptor was closed: {error}");
        }
    }

    /// Nothing is runnable: gives memory of stacks back that are free beyond what is kept. All of it if there is time until
    /// the next deadline, else a little now and then, so that nobody is late for it.
    fn trim(&self, hot: &'static Hot) {
        let next = {
            let timers = self.timers.borrow();
            timers
                .next_coarse()
                .into_iter()
                .chain(timers.next_fine())
                .min()
        };
        // Read in this turn, if there are timers.
        let now = self.clock.last();
        if next.is_none_or(|next| next.saturating_duration_since(now) >= LEISURE) {
            hot.with_arena(Arena::trim);
        } else if now >= self.next_trim.get() {
            self.next_trim.set(now.saturating_add(LEISURE));
            hot.with_arena(|a| a.trim_some(FEW_STACKS));
        }
    }

    /// Looks whether main waits on a cycle, unless nobody ran since the last look. A look can cost time, with very many
    /// tasks, so the next one comes only when four hundred times that has passed: `Ok` says when.
    fn look_for_cycle(&self, hot: &'static Hot) -> Result<Option<Instant>, Deadlock> {
        if self.looked.get() || !deadlock::main_depends(hot) {
            return Ok(None);
        }
        let now = self.clock.now();
        if now < self.next_look.get() {
            // Not so near that it would take a timer of its own.
            let soon = now.saturating_add(Duration::from_millis(1));
            return Ok(Some(self.next_look.get().max(soon)));
        }
        self.looked.set(true);
        if let Some(cycle) = deadlock::cycle_of_main(hot) {
            return Err(cycle);
        }
        let took = Instant::now().saturating_duration_since(now);
        self.next_look.set(now.saturating_add(took * 400));
        Ok(None)
    }

    /// Sleeps until something can have happened. Returns the deadlock if nothing ever can.
    fn wait(&self, hot: &'static Hot) -> Option<Deadlock> {
        let (coarse, fine) = {
            let timers = self.timers.borrow();
            (timers.next_coarse(), timers.next_fine())
        };
        let hopeless = coarse.is_none()
            && fine.is_none()
            && self.reactor.borrow().waiting() == 0
            && self.outside.get() == 0
            && self.listeners.get() == 0;
        let look_again = match self.look_for_cycle(hot) {
            Ok(look_again) => look_again,
            Err(cycle) => return Some(cycle),
        };
        let mut wait = Wait::Until {
            coarse: coarse.into_iter().chain(look_again).min(),
            fine,
        };
        if let Some(simulation) = &self.simulation {
            match simulation.idle(hot, self, coarse.into_iter().chain(fine).min()) {
                Idle::Over => return None,
                Idle::Deadlock(others) => return Some(deadlock::nothing_left(hot, others)),
                Idle::Real => wait = Wait::FOREVER,
            }
        }
        // After all polls before the one that sleeps: see `bell.rs`.
        if self.bell_rung() {
            return None;
        }
        if hopeless {
            let patience = self.patience.get();
            self.patience.set((patience * 2).min(PATIENCE_MAX));
            wait = Wait::Until {
                coarse: Some(self.clock.now().saturating_add(patience)),
                fine: None,
            };
        }
        if !self.comes_soon(hot, wait) && self.owner.inbox().prepare_sleep() {
            self.poll(hot, wait);
            // `poll` has read it as it began.
            let before = self.clock.last();
            self.owner.inbox().awake();
            let lively = !self.owner.inbox().is_empty()
                && self.clock.now().saturating_duration_since(before) < LIVELY;
            self.lively.set(lively);
        }
        let mail = !self.owner.inbox().is_empty() || self.bell_rung();
        if !hopeless || hot.queue.len() > 0 || mail {
            self.patience.set(PATIENCE);
            return None;
        }
        (deadlock::only_thread() && self.owner.inbox().is_empty())
            .then(|| deadlock::nothing_left(hot, "no other thread could wake anybody"))
    }
}

fn take_message(hot: &'static Hot, message: Message) {
    match message {
        Message::Wake { control, epoch } => {
            // SAFETY: the message was sent to this hub's generation, by who got the address from this thread.
            let c = unsafe { ControlRef::from_address(control) };
            if !wake::unpark(hot, c, epoch)
                && let Some(hub) = get(hot)
            {
                hub.late_wakes.set(hub.late_wakes.get() + 1);
            }
        }
        Message::Call(f) => in_callback(hot, f),
    }
}

/// Runs a callback with `current` the hub; a panic in it is reported and stops nothing else.
fn in_callback(hot: &'static Hot, f: Box<dyn FnOnce() + '_>) {
    let before = hot.current.replace(Some(hot.hub()));
    let caught = engine::caught(f);
    hot.current.set(before);
    if let Err(payload) = caught {
        report::unobserved(hot.hub(), payload);
    }
}

/// The hub's turn: see the file's head.
fn turn(hot: &'static Hot) -> ControlRef {
    let Some(hub) = get(hot) else {
        unreachable!("a turn without a hub")
    };
    if hot.phase.get() != Phase::Active {
        fork::abandoned(hot);
    }
    hot.current.set(Some(hot.hub()));
    loop {
        hub.turns.set(hub.turns.get() + 1);
        hub.io_budget.set(hub.limits.get().io_budget);
        if !hub.owner.inbox().is_empty() {
            hub.read_mail(hot);
        }
        if !hub.callbacks.borrow().is_empty() {
            hub.run_callbacks(hot);
        }
        if hub.bell_wanted()
            && let Some(bell) = hub.bell.get()
        {
            in_callback(hot, Box::new(|| bell.answer()));
        }
        if hot.unwinding.get() > 0 {
            engine::recover(hot);
        }
        hub.expire_timers(hot);
        if hot.queue.len() > 0 {
            if hub.reactor.borrow().waiting() > 0 {
                hub.poll(hot, Wait::Now);
            }
        } else if hub.callbacks.borrow().is_empty() {
            hub.trim(hot);
            if let Some(deadlock) = hub.wait(hot) {
                tell_main(hot, deadlock);
            }
        }
        if let Some(c) = pick(hot, hub) {
            return c;
        }
    }
}

/// Which runnable greenlet is next: the one place that decides it. The oldest, or in a simulation any.
fn pick(hot: &'static Hot, hub: &Hub) -> Option<ControlRef> {
    hot.queue.set_budget(hub.limits.get().batch);
    if let Some(simulation) = &hub.simulation {
        simulation.choose(&hot.queue);
    }
    let c = embodied(hot, hot.queue.pop_in_budget()?);
    hub.looked.set(false);
    if !hub.callbacks.borrow().is_empty() {
        hot.queue.set_budget(0);
    }
    c.state.set(State::Live);
    hot.current.set(Some(c));
    Some(c)
}

/// Main's wait is hopeless: it is woken to say so.
fn tell_main(hot: &'static Hot, deadlock: Deadlock) {
    let root = hot.root();
    hot.set_deadlock(deadlock);
    root.attend(attention::DEADLOCK);
    match root.state.get() {
        State::Parked => wake::make_runnable(hot, root),
        State::Live if root.waiting.get() != 0 => {
            root.waiting.set(0);
            root.attend(attention::WOKEN);
            wake::make_runnable(hot, root);
        }
        _ => {}
    }
}
