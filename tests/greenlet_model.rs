//! Thousands of random programs of greenlets, each step compared with a model.
//!
//! A program is a seed. Whoever runs picks an action at random, tells the model, does it, and compares what came of it:
//!
//! ```text
//! greenlet ── action ──► model: who is current now, and what arrives there
//!    │                     ▲
//!    └── does it ──► … ────┘ whoever gets control next says who it is and what it got
//! ```
//!
//! The first difference ends the program; its seed and its last steps are in the message. That the model finds bugs is
//! tested too: a model with a rule changed must disagree.
#![forbid(unsafe_code)]

mod util;

#[path = "greenlet_model/model.rs"]
mod model;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Once};

use greenloom::greenlet::{
    Current, Generator, Greenlet, KillError, PanicPolicy, ParentError, Scope, SwitchError, scope,
    set_panic_policy,
};
use model::{Action, Bug, Model, ROOT, What};
use util::{Counted, Drops};

/// What greenlets send each other.
struct Message(u64, #[allow(dead_code)] Counted);

/// What they throw.
struct Thrown(u64, #[allow(dead_code)] Counted);

/// xorshift64*.
struct Random(Cell<u64>);

impl Random {
    fn below(&self, n: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// One program while it runs.
struct World {
    random: Random,
    model: RefCell<Model>,
    handles: RefCell<Vec<Greenlet<Message>>>,
    drops: Drops,
    steps: Cell<u32>,
    numbers: Cell<u64>,
    /// No more actions: whoever runs lets go of control.
    over: Cell<bool>,
    difference: RefCell<Option<String>>,
    log: RefCell<Vec<String>>,
}

thread_local! {
    static REPORTS: Cell<u64> = const { Cell::new(0) };
}

impl World {
    fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// What the current greenlet does next.
    fn choose(&self, me: usize) -> Action {
        let count = self.handles.borrow().len() as u64;
        let target = self.random.below(count) as usize;
        let number = self.number();
        let plain = match self.random.below(100) {
            0..50 => Action::Switch(target, number),
            50..60 => Action::Throw(target, number),
            60..70 => Action::Kill(target),
            70..73 => Action::Reap(target),
            73..81 => Action::Receive,
            81..87 if me != ROOT => Action::SetParent(target),
            87..92 if me != ROOT => Action::Return(number),
            92..95 if me != ROOT => Action::Panic(number),
            _ => Action::Switch(target, number),
        };
        let nests = matches!(
            plain,
            Action::Switch(..) | Action::Throw(..) | Action::Receive
        );
        if nests && self.random.below(8) == 0 {
            return Action::Nested(plain.into());
        }
        plain
    }

    /// Compares what `me` got with what the model says. Ends the program at a difference.
    fn arrived(&self, me: usize, what: &What) {
        if self.over.get() {
            return;
        }
        let mut model = self.model.borrow_mut();
        let expected = (model.current, model.incoming.take());
        if (expected.0, expected.1.as_ref()) != (me, Some(what)) {
            self.over.set(true);
            let log = self.log.borrow();
            let last = &log[log.len().saturating_sub(12)..];
            self.difference.replace(Some(format!(
                "{me} got {what:?}, the model says {expected:?}; the last steps:\n{}",
                last.join("\n")
            )));
        }
    }

    /// Whether the current greenlet may act once more.
    fn goes_on(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > 80 {
            self.over.set(true);
        }
        !self.over.get()
    }
}

/// What a wait came to.
fn what<T>(
    result: std::thread::Result<Result<Message, SwitchError<T>>>,
    number: impl Fn(T) -> u64,
) -> What {
    match result {
        Ok(Ok(message)) => What::Value(message.0),
        Ok(Err(SwitchError::Exited)) => What::Exited,
        Ok(Err(SwitchError::Deadlock(_))) => What::Deadlock,
        Ok(Err(SwitchError::Dead(v))) => What::Refused("Dead", number(v)),
        Ok(Err(SwitchError::NotWaiting(v))) => What::Refused("NotWaiting", number(v)),
        Ok(Err(SwitchError::Pending(v))) => What::Refused("Pending", number(v)),
        Ok(Err(other)) => What::Refused(
            match other {
                SwitchError::NotCurrent(_) => "NotCurrent",
                SwitchError::Unwinding(_) => "Unwinding",
                _ => "?",
            },
            0,
        ),
        // A kill goes on.
        Err(payload) => What::Panic(thrown(payload)),
    }
}

/// The number of what was thrown; anything else unwinds on.
fn thrown(payload: Box<dyn Any + Send>) -> u64 {
    match payload.downcast::<Thrown>() {
        Ok(thrown) => thrown.0,
        Err(other) => resume_unwind(other),
    }
}

/// Does it. Returns what came of it, when control is back.
fn perform<Out>(w: &World, s: &Scope<'_, '_>, me: &Current<Message, Out>, action: &Action) -> What {
    let handle = |n: usize| w.handles.borrow()[n];
    match *action {
        Action::Switch(to, v) => {
            let message = Message(v, w.drops.guard());
            let result = catch_unwind(AssertUnwindSafe(|| me.switch(&handle(to), message)));
            what(result, |m| m.0)
        }
        Action::Throw(to, p) => {
            let payload: Box<dyn Any + Send> = Box::new(Thrown(p, w.drops.guard()));
            let result = catch_unwind(AssertUnwindSafe(|| me.throw(&handle(to), payload)));
            what(result, thrown)
        }
        Action::Receive => {
            let result = catch_unwind(AssertUnwindSafe(|| me.receive()));
            what(result, |()| 0)
        }
        Action::Kill(to) => match me.kill(&handle(to)) {
            Ok(()) => What::Killed,
            Err(KillError::Main) => What::KillMain,
            Err(_) => What::KillDeadlock,
        },
        Action::Reap(to) => {
            s.reap(&handle(to));
            What::Killed
        }
        Action::Nested(ref inner_action) => {
            let counted = w.drops.guard();
            scope(|inner, own: &Current<u8>| {
                let child = inner.spawn(own, move |me: &Current<u8, u8>, n| {
                    let _counted = counted;
                    me.switch(&me.parent().unwrap(), n + 1).map_or(0, |n| n + 1)
                });
                assert_eq!(own.switch(&child, 1).ok(), Some(2));
                let counted = w.drops.guard();
                let mut items = Generator::new(move |y| {
                    let _counted = counted;
                    (0..9).for_each(|n| y.yield_(n));
                });
                assert_eq!((items.next(), items.next()), (Some(0), Some(1)));
                perform(w, s, me, inner_action)
            })
        }
        Action::Return(_) | Action::Panic(_) | Action::SetParent(_) => {
            unreachable!("not an action of main's too")
        }
    }
}

/// Acts until the end of the greenlet, or of the program.
fn live(w: &World, s: &Scope<'_, '_>, me: &Current<Message, Message>, number: usize) -> Message {
    loop {
        if !w.goes_on() {
            // Control goes back to main, by whatever way: at the scope's end a kill comes to this wait.
            let _ = catch_unwind(AssertUnwindSafe(|| me.receive())).map_err(thrown);
            continue;
        }
        let action = w.choose(number);
        w.log.borrow_mut().push(format!("{number}: {action:?}"));
        w.model.borrow_mut().act(&action);
        match action {
            Action::Return(v) => return Message(v, w.drops.guard()),
            Action::Panic(p) => resume_unwind(Box::new(Thrown(p, w.drops.guard()))),
            Action::SetParent(to) => {
                let parent = w.handles.borrow()[to];
                let answer = match me.set_parent(&parent) {
                    Ok(()) => "Ok",
                    Err(ParentError::Dead) => "Dead",
                    Err(ParentError::Cycle) => "Cycle",
                    Err(_) => "?",
                };
                w.arrived(number, &What::Parent(answer));
            }
            _ => w.arrived(number, &perform(w, s, me, &action)),
        }
    }
}

/// What greenlets return that swallow their kill: this and their number.
const SWALLOWED: u64 = 1_000_000;

/// Runs the program of a seed.
///
/// # Errors
/// The first difference.
fn run(seed: u64, bug: Bug) -> Result<(), String> {
    let random = Random(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    let count = 2 + random.below(5) as usize;
    let born: Vec<(usize, Option<u64>)> = (0..count)
        .map(|n| {
            let parent = random.below(n as u64 + 1) as usize;
            let swallows = (random.below(4) == 0).then_some(SWALLOWED + n as u64);
            (parent, swallows)
        })
        .collect();
    let world = World {
        model: RefCell::new(Model::new(&born, bug)),
        random,
        handles: RefCell::default(),
        drops: Drops::new(),
        steps: Cell::new(0),
        numbers: Cell::new(0),
        over: Cell::new(false),
        difference: RefCell::new(None),
        log: RefCell::default(),
    };
    let w = &world;
    REPORTS.set(0);
    scope(|s, me: &Current<Message>| {
        w.handles.borrow_mut().push(me.handle());
        for (n, &(parent, swallows)) in born.iter().enumerate() {
            let number = n + 1;
            let parent = w.handles.borrow()[parent];
            let g = s.spawn(
                &parent,
                move |me: &Current<Message, Message>, first: Message| {
                    w.arrived(number, &What::Value(first.0));
                    drop(first);
                    match swallows {
                        None => live(w, s, me, number),
                        Some(v) => catch_unwind(AssertUnwindSafe(|| live(w, s, me, number)))
                            .unwrap_or_else(|payload| {
                                // What it throws itself goes on.
                                if payload.is::<Thrown>() {
                                    resume_unwind(payload);
                                }
                                Message(v, w.drops.guard())
                            }),
                    }
                },
            );
            w.handles.borrow_mut().push(g);
        }
        while w.goes_on() {
            let action = w.choose(ROOT);
            w.log.borrow_mut().push(format!("main: {action:?}"));
            w.model.borrow_mut().act(&action);
            let came = perform(w, s, me, &action);
            w.arrived(ROOT, &came);
        }
        let expected = w.model.borrow().reports;
        if w.difference.borrow().is_none()
            && w.model.borrow().current == ROOT
            && REPORTS.get() != expected
        {
            w.difference.replace(Some(format!(
                "{} panics were reported, {expected} by the model",
                REPORTS.get()
            )));
        }
    });
    if let Some(difference) = world.difference.take() {
        return Err(difference);
    }
    match world.drops.alive() {
        0 => Ok(()),
        n => Err(format!("{n} values were never dropped")),
    }
}

/// Counts the reports of unobserved panics, per thread.
fn count_reports() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_panic_policy(PanicPolicy::Custom(Arc::new(|_| {
            REPORTS.set(REPORTS.get() + 1);
        })));
    });
}

/// How many programs are run.
const PROGRAMS: u64 = if cfg!(feature = "sanitizer") {
    2_000
} else {
    10_000
};

#[test]
fn random_programs_do_what_the_model_says() {
    count_reports();
    for seed in 0..PROGRAMS {
        if let Err(difference) = run(seed, Bug::None) {
            panic!("seed {seed}: {difference}");
        }
    }
}

#[test]
fn the_model_finds_bugs() {
    count_reports();
    let bugs = [
        Bug::ParentBeforeKiller,
        Bug::PendingNewestFirst,
        Bug::OrphanToHub,
        Bug::NoInheritance,
        Bug::ParentKillerToldTwice,
        Bug::FirstParent,
        Bug::NoPending,
        Bug::QueueNewestFirst,
        Bug::KillForgotten,
        Bug::NoReport,
        Bug::KilledStarts,
    ];
    for bug in bugs {
        let found = (0..PROGRAMS).position(|seed| run(seed, bug).is_err());
        assert!(found.is_some(), "{bug:?} was not found");
    }
}
