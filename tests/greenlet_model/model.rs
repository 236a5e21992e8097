//! The model: who runs next and what arrives there, for every action of every greenlet.
//!
//! ```text
//!            switch to it                 a wait                 somebody's outcome for it
//!   New ────────────────────► Running ◄────────────► Suspended ───────────────────────────► Runnable
//!    │                          │  ▲   a message, an                                     (in the queue)
//!    │ an outcome: queued       │  │   exception, a kill                                      │
//!    └──────────► Runnable      │  └──────────────────────────────────────────────────────────┘ its turn
//!                               ├──► Killing (until its victim is dead, or the wait is broken off)
//!                               └──► Dead
//! ```
//!
//! It knows nothing of stacks, chains or attention bits: only the rules as a user would state them.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

/// Main.
pub(crate) const ROOT: usize = 0;

/// What a greenlet may do. Targets are numbers of greenlets, values and exceptions are numbered too.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Switch(usize, u64),
    Throw(usize, u64),
    Kill(usize),
    Reap(usize),
    Receive,
    SetParent(usize),
    Return(u64),
    Panic(u64),
    /// The action, from within a scope and a generator of its own.
    Nested(Box<Action>),
}

/// What comes of an action, or of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Value(u64),
    Panic(u64),
    Exited,
    Deadlock,
    Refused(&'static str, u64),
    Killed,
    KillMain,
    KillDeadlock,
    Parent(&'static str),
}

/// Rules that a broken implementation would break: with one of them the model must disagree with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// The parent of a killed one goes on before the killer.
    ParentBeforeKiller,
    /// The newest pending outcome comes first.
    PendingNewestFirst,
    /// What ends with a dead parent goes to the hub.
    OrphanToHub,
    /// An unstarted parent survives a panic of its child.
    NoInheritance,
    /// The killer that is the parent is told twice.
    ParentKillerToldTwice,
    /// The value goes to who was the parent at first.
    FirstParent,
    /// A switch is not refused while an outcome is pending.
    NoPending,
    /// Runnable greenlets run newest first.
    QueueNewestFirst,
    /// A kill that was asked for is forgotten when something else arrives first.
    KillForgotten,
    /// A report is lost.
    NoReport,
    /// A greenlet killed between its first message and its start runs.
    KilledStarts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Running,
    Suspended,
    /// In the queue, with outcomes pending; started or not.
    Runnable {
        started: bool,
    },
    /// In the queue, its victim being dead.
    KillDone,
    /// In the queue, its wait for its victim being broken off.
    KillBroken,
    Killing {
        victim: usize,
        shielded: bool,
    },
    Dead,
}

#[derive(Clone, Debug)]
enum Outcome {
    Returned(u64),
    Panicked(u64),
    Exited,
}

impl Outcome {
    fn what(self) -> What {
        match self {
            Self::Returned(v) => What::Value(v),
            Self::Panicked(p) => What::Panic(p),
            Self::Exited => What::Exited,
        }
    }
}

#[derive(Debug)]
struct Greenlet {
    state: State,
    parent: usize,
    first_parent: usize,
    pending: VecDeque<Outcome>,
    /// Who waits in `kill` for its end, the latest last.
    killers: Vec<usize>,
    kill: bool,
    /// It catches its kill and returns a value: this one.
    swallows: Option<u64>,
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Model {
    all: Vec<Greenlet>,
    queue: VecDeque<usize>,
    bug: Bug,
    pub(crate) current: usize,
    /// What the current one gets when it goes on; `None` while it acts.
    pub(crate) incoming: Option<What>,
    /// Panics that nobody received.
    pub(crate) reports: u64,
}

impl Model {
    /// Main, running, and new greenlets with these parents, and what they return instead of being killed.
    pub(crate) fn new(born: &[(usize, Option<u64>)], bug: Bug) -> Self {
        let greenlet = |state, parent, swallows| Greenlet {
            state,
            parent,
            first_parent: parent,
            pending: VecDeque::new(),
            killers: Vec::new(),
            kill: false,
            swallows,
        };
        let mut all = vec![greenlet(State::Running, ROOT, None)];
        all.extend(born.iter().map(|&(p, v)| greenlet(State::New, p, v)));
        Self {
            all,
            queue: VecDeque::new(),
            bug,
            current: ROOT,
            incoming: None,
            reports: 0,
        }
    }

    pub(crate) fn root_is_suspended(&self) -> bool {
        self.all[ROOT].state == State::Suspended
    }

    /// The current one acts: says who is current then, and with what it goes on.
    pub(crate) fn act(&mut self, action: &Action) {
        let me = self.current;
        self.incoming = None;
        match *action {
            Action::Nested(ref inner) => {
                if !self.dies_at_wait(me) {
                    self.act(inner);
                }
            }
            Action::Switch(to, v) => {
                if self.dies_at_wait(me) {
                } else if !self.all[me].pending.is_empty() && self.bug != Bug::NoPending {
                    self.go(me, What::Refused("Pending", v));
                } else if to == me {
                    self.go(me, What::Value(v));
                } else {
                    match self.all[to].state {
                        State::New | State::Suspended => {
                            self.all[me].state = State::Suspended;
                            self.go(to, What::Value(v));
                        }
                        State::Dead => self.go(me, What::Refused("Dead", v)),
                        _ => self.go(me, What::Refused("NotWaiting", v)),
                    }
                }
            }
            Action::Throw(to, p) => {
                if self.dies_at_wait(me) {
                } else if !self.all[me].pending.is_empty() {
                    self.go(me, What::Refused("Pending", p));
                } else if to == me {
                    self.go(me, What::Panic(p));
                } else {
                    match self.all[to].state {
                        State::New => {
                            self.all[me].state = State::Suspended;
                            self.bury(to);
                            self.hand_over(to, Outcome::Panicked(p));
                        }
                        State::Suspended => {
                            self.all[me].state = State::Suspended;
                            self.go(to, What::Panic(p));
                        }
                        State::Dead => self.go(me, What::Refused("Dead", p)),
                        _ => self.go(me, What::Refused("NotWaiting", p)),
                    }
                }
            }
            Action::Kill(to) if to == ROOT => self.go(me, What::KillMain),
            Action::Reap(to) if to == ROOT || to == me => self.go(me, What::Killed),
            Action::Kill(to) if to == me => self.die_killed(me),
            Action::Kill(to) => self.kill(me, to, false),
            Action::Reap(to) => self.kill(me, to, true),
            Action::Receive => {
                if self.dies_at_wait(me) {
                } else if let Some(outcome) = self.next_pending(me) {
                    self.go(me, outcome.what());
                } else {
                    self.all[me].state = State::Suspended;
                    self.hub();
                }
            }
            Action::SetParent(to) => {
                let answer = if self.all[to].state == State::Dead {
                    "Dead"
                } else if self.is_ancestor(me, to) {
                    "Cycle"
                } else {
                    self.all[me].parent = to;
                    "Ok"
                };
                self.go(me, What::Parent(answer));
            }
            Action::Return(v) => self.die(me, Outcome::Returned(v)),
            Action::Panic(p) => self.die(me, Outcome::Panicked(p)),
        }
    }

    /// `c` goes on with `what`.
    fn go(&mut self, c: usize, what: What) {
        self.all[c].state = State::Running;
        self.current = c;
        self.incoming = Some(what);
    }

    fn dies_at_wait(&mut self, me: usize) -> bool {
        let kill = self.all[me].kill;
        if kill {
            self.die_killed(me);
        }
        kill
    }

    fn next_pending(&mut self, c: usize) -> Option<Outcome> {
        if self.bug == Bug::PendingNewestFirst {
            return self.all[c].pending.pop_back();
        }
        self.all[c].pending.pop_front()
    }

    /// Whether `ancestor` is `c` or above it.
    fn is_ancestor(&self, ancestor: usize, c: usize) -> bool {
        let mut at = c;
        loop {
            if at == ancestor {
                return true;
            }
            if at == ROOT || self.all[at].state == State::Dead {
                return false;
            }
            at = self.all[at].parent;
        }
    }

    /// The answer of a kill, or a reap, that was given up.
    fn given_up(shielded: bool) -> What {
        match shielded {
            true => What::Killed,
            false => What::KillDeadlock,
        }
    }

    fn kill(&mut self, me: usize, victim: usize, shielded: bool) {
        match self.all[victim].state {
            State::Dead => return self.go(me, What::Killed),
            State::New => {
                self.bury(victim);
                self.post(victim, Outcome::Exited, me);
                return self.go(me, What::Killed);
            }
            _ => self.all[victim].kill = true,
        }
        let mut suspended = self.all[victim].state == State::Suspended;
        if let Some(circle) = self.waits_for(victim, me) {
            // It waits for its killer's end, directly or not: the first wait on the way that may be is broken off.
            let Some((who, whom)) = circle else {
                return self.go(me, Self::given_up(shielded));
            };
            self.all[whom].killers.retain(|&k| k != who);
            if who == victim {
                suspended = true;
            } else {
                self.all[who].state = State::KillBroken;
                self.queue.push_back(who);
            }
        }
        self.all[victim].killers.push(me);
        self.all[me].state = State::Killing { victim, shielded };
        if suspended {
            self.die_killed(victim);
        } else {
            self.hub();
        }
    }

    /// Whether `c` waits in kills for the end of `whom`; and the first of them, with its victim, that is not shielded.
    #[allow(clippy::option_option)]
    fn waits_for(&self, c: usize, whom: usize) -> Option<Option<(usize, usize)>> {
        let (mut at, mut first) = (c, None);
        while at != whom {
            let State::Killing { victim, shielded } = self.all[at].state else {
                return None;
            };
            if !shielded {
                first = first.or(Some((at, victim)));
            }
            at = victim;
        }
        Some(first)
    }

    /// `c` is dead, its outcome apart; nobody will receive what is pending for it.
    fn bury(&mut self, c: usize) {
        self.all[c].state = State::Dead;
        for outcome in core::mem::take(&mut self.all[c].pending) {
            self.discard(&outcome);
        }
    }

    fn discard(&mut self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Panicked(_)) && self.bug != Bug::NoReport {
            self.reports += 1;
        }
    }

    /// A kill is raised in `c`, which has started.
    fn die_killed(&mut self, c: usize) {
        match self.all[c].swallows {
            Some(v) => self.die(c, Outcome::Returned(v)),
            None => self.die(c, Outcome::Exited),
        }
    }

    fn die(&mut self, c: usize, outcome: Outcome) {
        self.bury(c);
        let mut killers = core::mem::take(&mut self.all[c].killers);
        let Some(killer) = killers.pop() else {
            return self.hand_over(c, outcome);
        };
        for other in killers.into_iter().rev() {
            self.all[other].state = State::KillDone;
            self.queue.push_back(other);
        }
        if self.bug == Bug::ParentBeforeKiller
            && self.all[self.all[c].parent].state == State::Suspended
        {
            self.all[killer].state = State::KillDone;
            self.queue.push_back(killer);
            return self.hand_over(c, outcome);
        }
        self.post(c, outcome, killer);
        self.go(killer, What::Killed);
    }

    fn parent(&self, c: usize) -> usize {
        if self.bug == Bug::FirstParent {
            return self.all[c].first_parent;
        }
        self.all[c].parent
    }

    /// Whether `parent`, unstarted, dies of the outcome.
    fn inherits(&self, parent: usize, outcome: &Outcome) -> bool {
        self.all[parent].state == State::New
            && !matches!(outcome, Outcome::Returned(_))
            && self.bug != Bug::NoInheritance
    }

    /// The outcome of `c` goes to its parent, and control with it.
    fn hand_over(&mut self, c: usize, outcome: Outcome) {
        let parent = self.parent(c);
        if self.inherits(parent, &outcome) {
            self.bury(parent);
            return self.hand_over(parent, outcome);
        }
        match self.all[parent].state {
            State::Dead => {
                self.discard(&outcome);
                if self.root_is_suspended() && self.bug != Bug::OrphanToHub {
                    self.go(ROOT, What::Exited);
                } else {
                    self.hub();
                }
            }
            State::Suspended | State::New => self.go(parent, outcome.what()),
            _ => {
                self.all[parent].pending.push_back(outcome);
                self.hub();
            }
        }
    }

    /// The outcome of `c` goes to its parent, and control stays with the killer.
    fn post(&mut self, c: usize, outcome: Outcome, killer: usize) {
        let parent = self.parent(c);
        let told = matches!(outcome, Outcome::Exited) && parent == killer;
        if told && self.bug != Bug::ParentKillerToldTwice {
            return;
        }
        if self.inherits(parent, &outcome) {
            self.bury(parent);
            return self.post(parent, outcome, killer);
        }
        let state = self.all[parent].state;
        if state == State::Dead {
            return self.discard(&outcome);
        }
        self.all[parent].pending.push_back(outcome);
        if let State::Suspended | State::New = state {
            self.all[parent].state = State::Runnable {
                started: state == State::Suspended,
            };
            self.queue.push_back(parent);
        }
    }

    /// Nobody in particular goes on: the oldest runnable, or main with its deadlock.
    fn hub(&mut self) {
        let next = match self.bug {
            Bug::QueueNewestFirst => self.queue.pop_back(),
            _ => self.queue.pop_front(),
        };
        match next.map(|c| (c, self.all[c].state)) {
            Some((c, State::KillDone)) => self.go(c, What::Killed),
            Some((c, State::KillBroken)) if self.all[c].kill => self.die_killed(c),
            Some((c, State::KillBroken)) => self.go(c, What::KillDeadlock),
            Some((c, State::Runnable { started: false }))
                if self.all[c].kill && self.bug != Bug::KilledStarts =>
            {
                // Killed before it started: it never does.
                self.die(c, Outcome::Exited);
            }
            Some((c, _)) => {
                if self.bug == Bug::KillForgotten {
                    self.all[c].kill = false;
                }
                let outcome = self.next_pending(c).unwrap_or(Outcome::Exited);
                self.go(c, outcome.what());
            }
            None => {
                let what = match self.all[ROOT].state {
                    State::Killing { victim, shielded } => {
                        self.all[victim].killers.retain(|&k| k != ROOT);
                        Self::given_up(shielded)
                    }
                    _ => What::Deadlock,
                };
                self.go(ROOT, what);
            }
        }
    }
}
