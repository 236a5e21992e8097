//! One program of the matrix: a victim and others wait for a thing, somebody grants it, something interrupts; then the books.
//!
//! ```text
//! tick       0        1        2        3        4
//! victim     ├─ start ── block ─────────…
//! others 1-3 ├─ start ── block ───────────…
//! granters   ├───────────────── grant ── grant …
//! interrupter├──────────────── strike                   kill, a sibling's panic, close; or a deadline there
//! ```
//!
//! | kind of thing | a grant | true in the end |
//! | --- | --- | --- |
//! | consumed | one more of it | granted = taken + left |
//! | lent, in two | it is given back for the first time | it is there, and everybody has had it |
//! | for all | it has come to pass | everybody was told |
//! | all or none | the last party comes | all were let pass, or nobody |
//!
//! True of all: whoever can be served is served, nobody hangs, the thing works afterwards, every value is dropped once.
//! Nothing but a wait switches, so what the notes say of an instant is exact.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenloom::task::{self, JoinHandle};
use greenloom::time::Instant;
use greenloom::{sleep, spawn, timeout, yield_now};

use crate::dice::Dice;
use crate::util::Drops;

pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Beyond all that a program does.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What is waited for.
pub(crate) trait Subject {
    /// The call under test, by the waiter `who` (0 is the victim). With the thing in hand it calls `got`, once, which may
    /// switch and unwind; it returns without if it gave up or was turned away.
    fn block(&self, who: usize, limit: Option<Duration>, got: &dyn Fn());

    /// Makes the thing available once, when `until` returns. What has to be held until then it takes before. False if
    /// nobody was there to take it, or it is closed.
    fn grant(&self, until: &dyn Fn()) -> bool;

    /// How often it could be taken now without a wait, found out by doing so where that finds more than asking. `None` if
    /// it cannot be known any more.
    fn left(&self) -> Option<usize>;

    /// Ends it.
    fn close(&self) {
        unreachable!("not for this one");
    }

    /// Makes it usable again after an interruption that is specified to spoil it.
    fn mend(&self) {}
}

/// See the file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Consumed,
    Lent,
    /// Lent, but it comes back in two parts, the second long after all interruptions.
    LentInTwo,
    ForAll,
    AllOrNone,
}

/// One call. Its `new` is given the counter of the values it is to use, and how many will wait.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// There is a form with a limit.
    pub(crate) timed: bool,
    pub(crate) closes: bool,
    /// A grant is given to nobody in particular: it stays until somebody who runs takes it.
    pub(crate) stays: bool,
    pub(crate) new: fn(&Drops, usize) -> Rc<dyn Subject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    Kill,
    OwnTimeout,
    OuterTimeout,
    Scope,
    NeighbourPanics,
    Close,
}

impl Interruption {
    pub(crate) const ALL: [Self; 6] = [
        Self::Kill,
        Self::OwnTimeout,
        Self::OuterTimeout,
        Self::Scope,
        Self::NeighbourPanics,
        Self::Close,
    ];
}

impl Row {
    /// Whether such an interruption exists here.
    pub(crate) fn takes(&self, i: Interruption) -> bool {
        match i {
            Interruption::OwnTimeout => self.timed,
            Interruption::Close => self.closes,
            _ => true,
        }
    }

    /// How many of the phases a victim of it can meet.
    pub(crate) fn phases(&self, i: Interruption) -> usize {
        match (self.kind, i) {
            // The second part is what it is granted, and nobody else runs in that instant.
            (Kind::LentInTwo, Interruption::Scope | Interruption::NeighbourPanics) => PHASES - 1,
            // Who panics with the only one in hand has left none.
            (_, Interruption::NeighbourPanics) if self.stays => PHASES - 1,
            _ => PHASES,
        }
    }
}

/// When the interruption came, for the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Before,
    While,
    After,
}

pub(crate) const PHASES: usize = 3;

/// How far a waiter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NotYet,
    /// Has called.
    Pending,
    /// Has, or had, the thing.
    Took,
    /// Came back without.
    Missed,
}

/// When things are to happen. The first four steer towards each phase, the last leaves it to the dice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Early,
    Waiting,
    SameInstant,
    /// The granter strikes itself, before anybody else can run.
    StraightAfter,
    Anywhere,
}

const AIMS: [Aim; 5] = [
    Aim::Early,
    Aim::Waiting,
    Aim::SameInstant,
    Aim::StraightAfter,
    Aim::Anywhere,
];

#[derive(Debug)]
struct Plan {
    starts: Vec<u64>,
    grants: Vec<u64>,
    strike: u64,
    straight: bool,
    /// How a neighbour panics, how a kill is held back before the call.
    manner: u64,
    /// How long who got it keeps it, by waiter: 0 is a yield.
    keeps: Vec<u64>,
}

impl Plan {
    fn new(dice: &Dice, kind: Kind, interruption: Interruption) -> Self {
        let waiters = 2 + dice.pick(3);
        let grants = match kind {
            Kind::Consumed => waiters - dice.pick(2),
            _ => 1,
        };
        let mut plan = Self {
            starts: (0..waiters).map(|_| dice.below(4)).collect(),
            grants: (0..grants).map(|_| dice.below(4)).collect(),
            strike: dice.below(4),
            straight: false,
            manner: dice.below(3),
            keeps: (0..waiters).map(|_| dice.below(3)).collect(),
        };
        let indirect = matches!(
            interruption,
            Interruption::Scope | Interruption::NeighbourPanics
        );
        let aim = match indirect && dice.below(3) == 0 {
            // Others have to run before it comes to that, so it is missed more often.
            true => Aim::StraightAfter,
            false => AIMS[dice.pick(AIMS.len())],
        };
        match aim {
            Aim::Early => {
                plan.starts[0] = 2 + dice.below(2);
                plan.strike = dice.below(2);
            }
            Aim::Waiting => {
                plan.starts[0] = dice.below(2);
                plan.strike = plan.starts[0] + 1;
                plan.grants.iter_mut().for_each(|g| *g += plan.strike);
            }
            Aim::SameInstant => {
                plan.starts[0] = 0;
                plan.strike = 1 + dice.below(3);
                plan.grants.fill(plan.strike);
            }
            Aim::StraightAfter => {
                // First in line.
                plan.starts.iter_mut().for_each(|start| *start += 1);
                plan.starts[0] = 0;
                plan.straight = true;
                plan.grants.fill(1 + dice.below(4));
                plan.strike = plan.grants[0];
                if interruption == Interruption::NeighbourPanics && dice.coin() {
                    plan.manner = 1;
                }
            }
            Aim::Anywhere => {}
        }
        plan
    }
}

/// What all tasks of a program know.
struct Notes {
    begin: Instant,
    stages: Vec<Cell<Stage>>,
    granted: Cell<usize>,
    taken: Cell<usize>,
    /// Grants, and returns of what was lent.
    moves: Cell<usize>,
    ready: Cell<usize>,
    closed: Cell<bool>,
    /// What the victim was doing when it was interrupted, and `moves` then.
    strike: Cell<Option<(Stage, usize)>>,
    /// Then there was something to be had.
    untaken: Cell<bool>,
    /// `moves` when the victim took it.
    victim_took_at: Cell<usize>,
    /// A grant came in the instant of the victim's deadline.
    tie: Cell<bool>,
}

fn bump(n: &Cell<usize>) {
    n.set(n.get() + 1);
}

impl Notes {
    fn new(waiters: usize) -> Self {
        Self {
            begin: Instant::now(),
            stages: (0..waiters).map(|_| Cell::new(Stage::NotYet)).collect(),
            granted: Cell::new(0),
            taken: Cell::new(0),
            moves: Cell::new(0),
            ready: Cell::new(0),
            closed: Cell::new(false),
            strike: Cell::new(None),
            untaken: Cell::new(false),
            victim_took_at: Cell::new(0),
            tie: Cell::new(false),
        }
    }

    fn until(&self, tick: u64) {
        let at = TICK * tick as u32;
        match at.saturating_sub(self.begin.elapsed()) {
            Duration::ZERO => yield_now(),
            d => sleep(d),
        }
    }

    /// The victim is interrupted now.
    fn struck(&self) {
        if self.strike.get().is_none() {
            self.strike
                .set(Some((self.stages[0].get(), self.moves.get())));
            self.untaken.set(self.granted.get() > self.taken.get());
        }
    }
}

/// Interrupts the victim.
type Strike = Box<dyn Fn()>;

/// A panic on purpose.
struct OnPurpose;

fn panic_on_purpose() -> ! {
    // Past the hook, which would write thousands of lines.
    resume_unwind(Box::new(OnPurpose))
}

/// Waits in its destructor.
struct WaitsAtEnd<F: Fn()>(F);

impl<F: Fn()> Drop for WaitsAtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// All of one program.
struct Program {
    subject: Rc<dyn Subject>,
    plan: Plan,
    notes: Notes,
    interruption: Interruption,
    stays: bool,
}

impl Program {
    /// One waiter calls, and keeps the thing for a while if it gets it.
    fn call(&self, who: usize, limit: Option<Duration>, keep: impl Fn()) {
        let (notes, stage) = (&self.notes, &self.notes.stages[who]);
        stage.set(Stage::Pending);
        self.subject.block(who, limit, &|| {
            assert_eq!(stage.replace(Stage::Took), Stage::Pending, "twice");
            bump(&notes.taken);
            if who == 0 {
                notes.victim_took_at.set(notes.moves.get());
            }
            keep();
        });
        if stage.get() == Stage::Pending {
            stage.set(Stage::Missed);
        }
        bump(&notes.moves);
    }

    fn keep(&self, who: usize) {
        match self.plan.keeps[who] {
            0 => yield_now(),
            n => sleep(TICK * (n - 1) as u32),
        }
    }

    /// From a waiter's start to the interruption.
    fn limit(&self, who: usize) -> Duration {
        TICK * self.plan.strike.saturating_sub(self.plan.starts[who]) as u32
    }

    fn victim(&self) {
        let start = self.plan.starts[0];
        let held_back = self.plan.manner > 0;
        let begin = || match held_back {
            // What comes meanwhile meets the call at its beginning.
            true => task::shield(|| self.notes.until(start)),
            false => self.notes.until(start),
        };
        let keep = || self.keep(0);
        match self.interruption {
            Interruption::OwnTimeout => {
                begin();
                self.call(0, Some(self.limit(0)), keep);
            }
            Interruption::OuterTimeout => {
                begin();
                let inner = (self.plan.manner == 2).then_some(LONG);
                // Its value says nothing that the notes do not.
                let _ = timeout(self.limit(0), || self.call(0, inner, keep));
            }
            _ => {
                begin();
                self.call(0, None, keep);
            }
        }
    }

    fn other(&self, who: usize) {
        self.notes.until(self.plan.starts[who]);
        if who != 1 || self.interruption != Interruption::NeighbourPanics {
            return self.call(who, None, || self.keep(who));
        }
        let ended = catch_unwind(AssertUnwindSafe(|| match self.plan.manner {
            // With the thing in hand.
            0 => self.call(who, None, || panic_on_purpose()),
            // Having waited for nothing, if there is a form for that.
            1 => {
                let waited = timeout(self.limit(who), || {
                    self.call(who, None, || panic_on_purpose());
                });
                drop(waited);
                panic_on_purpose()
            }
            // It waits while it unwinds.
            _ => {
                let _waits = WaitsAtEnd(|| self.call(who, None, || self.keep(who)));
                panic_on_purpose()
            }
        }));
        self.notes.struck();
        if let Err(payload) = ended {
            resume_unwind(payload);
        }
    }

    fn granter(&self, number: usize, strike: &dyn Fn()) {
        let notes = &self.notes;
        let deadline = self.plan.starts[0].max(self.plan.strike);
        let timed = matches!(
            self.interruption,
            Interruption::OwnTimeout | Interruption::OuterTimeout
        );
        let granted = self.subject.grant(&|| {
            bump(&notes.ready);
            notes.until(self.plan.grants[number]);
            let now = notes.begin.elapsed();
            if timed && notes.stages[0].get() == Stage::Pending && now == TICK * deadline as u32 {
                notes.tie.set(true);
            }
            if self.interruption == Interruption::Scope && self.plan.straight {
                // The sibling, and then the scope, run in between.
                strike();
                (0..self.plan.manner).for_each(|_| yield_now());
            }
        });
        if granted {
            bump(&notes.granted);
            bump(&notes.moves);
            if self.plan.straight {
                strike();
            }
        }
    }

    /// The phase in which the victim met it, if it did.
    fn phase(&self) -> Option<Phase> {
        let notes = &self.notes;
        let stage = notes.stages[0].get();
        if matches!(
            self.interruption,
            Interruption::OwnTimeout | Interruption::OuterTimeout
        ) {
            return if self.limit(0).is_zero() {
                Some(Phase::Before)
            } else if notes.tie.get() {
                Some(Phase::After)
            } else {
                (stage != Stage::Took).then_some(Phase::While)
            };
        }
        match notes.strike.get()? {
            (Stage::NotYet, _) => Some(Phase::Before),
            (Stage::Pending, _) if self.stays => Some(match notes.untaken.get() {
                true => Phase::After,
                false => Phase::While,
            }),
            (Stage::Pending, moves) => {
                let granted = stage == Stage::Took
                    && (self.interruption != Interruption::NeighbourPanics
                        || notes.victim_took_at.get() == moves);
                Some(if granted { Phase::After } else { Phase::While })
            }
            (Stage::Took | Stage::Missed, _) => None,
        }
    }
}

/// Lets all that can run do so, until everybody waits.
fn settle() {
    sleep(TICK * 30);
}

/// Runs the program that the seed says, as the main of a simulation. Which phase it met, if it met one.
#[track_caller]
pub(crate) fn run(row: &Row, interruption: Interruption, seed: u64) -> Option<Phase> {
    let dice = Dice::new(seed);
    let plan = Plan::new(&dice, row.kind, interruption);
    let name = format!("{}, {interruption:?}, {plan:?}", row.name);
    let waiters = plan.starts.len();
    let drops = Drops::new();
    let program = Rc::new(Program {
        subject: (row.new)(&drops, waiters),
        plan,
        notes: Notes::new(waiters),
        interruption,
        stays: row.stays,
    });
    let notes = &program.notes;

    // Whoever strikes first takes it from here.
    let strike: Rc<Cell<Option<Strike>>> = Rc::default();
    let do_strike = {
        let strike = Rc::clone(&strike);
        move || {
            if let Some(f) = strike.take() {
                f();
            }
        }
    };
    let mut granters: Vec<JoinHandle<()>> = (0..program.plan.grants.len())
        .map(|number| {
            let (program, do_strike) = (Rc::clone(&program), do_strike.clone());
            spawn(move || program.granter(number, &do_strike))
        })
        .collect();
    // A lent thing is to be held before anybody asks for it.
    while notes.ready.get() < granters.len() {
        yield_now();
    }
    let (victim, how) = spawn_victim(&program);
    strike.set(Some(how));
    let mut others: Vec<JoinHandle<()>> = (1..waiters)
        .map(|who| {
            let program = Rc::clone(&program);
            spawn(move || program.other(who))
        })
        .collect();
    if !program.plan.straight {
        let (program, do_strike) = (Rc::clone(&program), do_strike.clone());
        spawn(move || {
            program.notes.until(program.plan.strike);
            do_strike();
        });
    }
    settle();
    // There may have been no grant to strike after.
    do_strike();
    settle();

    // Who is left waiting may only be so for want of a grant.
    let waiting = |others: &[JoinHandle<()>], granters: &[JoinHandle<()>]| {
        let all = others.iter().chain(granters);
        all.filter(|t| !t.is_finished()).count() + usize::from(!victim.is_finished())
    };
    for _ in 0..=waiters {
        if waiting(&others, &granters) == 0 {
            break;
        }
        let left = program.subject.left();
        assert!(
            !notes.closed.get(),
            "{name}: closed, and somebody waits still"
        );
        match row.kind {
            Kind::Lent | Kind::LentInTwo | Kind::ForAll => {
                panic!("{name}: forgotten, with {left:?} left")
            }
            Kind::AllOrNone => program.subject.close(),
            Kind::Consumed => {
                assert!(
                    left.is_none_or(|n| n == 0),
                    "{name}: forgotten, with {left:?} left"
                );
                assert!(
                    program.subject.grant(&|| ()),
                    "{name}: somebody waits that nobody sees"
                );
                bump(&notes.granted);
            }
        }
        settle();
    }
    assert_eq!(waiting(&others, &granters), 0, "{name}: hang");
    for task in granters.drain(..) {
        task.join().expect("nothing happens to granters");
    }
    for (i, task) in others.drain(..).enumerate() {
        let panics = interruption == Interruption::NeighbourPanics && i == 0;
        match task.join() {
            Ok(()) => {}
            Err(e) if panics && e.is_panic() => {
                assert!(e.into_panic().unwrap().is::<OnPurpose>(), "{name}");
            }
            Err(e) => panic!("{name}: waiter {} ended with {e}", i + 1),
        }
    }
    let victim = Rc::into_inner(victim).expect("the strike has been");
    if let Err(e) = victim.join() {
        assert!(e.is_killed(), "{name}: the victim ended with {e}");
    }
    balance(row.kind, &program, &name);
    again(row, &program, &name);
    assert_eq!(task::count(), 0, "{name}: tasks are left");
    let phase = program.phase();
    drop(program);
    assert_eq!(drops.alive(), 0, "{name}: values that nobody dropped");
    phase
}

/// Spawns the victim, and says how it is interrupted from outside.
fn spawn_victim(program: &Rc<Program>) -> (Rc<JoinHandle<()>>, Strike) {
    let body = {
        let program = Rc::clone(program);
        move || program.victim()
    };
    let notes = Rc::clone(program);
    match program.interruption {
        Interruption::Kill => {
            let victim = Rc::new(spawn(body));
            let target = Rc::clone(&victim);
            (
                victim,
                Box::new(move || {
                    notes.notes.struck();
                    target.kill();
                }),
            )
        }
        Interruption::Scope => scope_that_fails(program),
        Interruption::Close => {
            let close = move || {
                notes.notes.struck();
                notes.notes.closed.set(true);
                notes.subject.close();
            };
            (Rc::new(spawn(body)), Box::new(close))
        }
        _ => (Rc::new(spawn(body)), Box::new(|| ())),
    }
}

/// The victim in a scope, with a sibling that panics when it is told to; that ends the scope, and the victim with it.
fn scope_that_fails(program: &Rc<Program>) -> (Rc<JoinHandle<()>>, Strike) {
    let told = Rc::new(Cell::new(false));
    let sibling: Rc<Cell<Option<task::Task>>> = Rc::default();
    let parent = {
        let (program, told, sibling) = (Rc::clone(program), Rc::clone(&told), Rc::clone(&sibling));
        spawn(move || {
            let scope = || {
                task::try_scope(|s| {
                    let victim = s.spawn(|| {
                        program.victim();
                        Ok::<_, ()>(())
                    });
                    let fails = s.spawn(|| {
                        sibling.set(Some(task::current()));
                        while !told.get() {
                            task::park();
                        }
                        program.notes.struck();
                        panic_on_purpose()
                    });
                    // A failure is the scope's, which the notes know.
                    let _ = (fails.join() as Result<Option<()>, _>, victim.join());
                    Ok(())
                })
            };
            let payload = catch_unwind(AssertUnwindSafe(scope)).unwrap_err();
            assert!(payload.is::<OnPurpose>());
        })
    };
    let strike = move || {
        told.set(true);
        if let Some(sibling) = sibling.take() {
            sibling.unpark();
        }
    };
    (Rc::new(parent), Box::new(strike))
}

/// The books.
#[track_caller]
fn balance(kind: Kind, program: &Program, name: &str) {
    let notes = &program.notes;
    let (granted, taken) = (notes.granted.get(), notes.taken.get());
    let left = program.subject.left();
    let stages: Vec<Stage> = notes.stages.iter().map(Cell::get).collect();
    let waiters = stages.len();
    match kind {
        Kind::Consumed => {
            if let Some(left) = left {
                assert_eq!(
                    granted,
                    taken + left,
                    "{name}: granted, taken + {left} left"
                );
            }
        }
        Kind::Lent | Kind::LentInTwo | Kind::ForAll => {
            assert_eq!(left, Some(1), "{name}: {stages:?}")
        }
        Kind::AllOrNone => {
            let all = if granted > 0 { waiters } else { 0 };
            assert_eq!(taken, all, "{name}: {stages:?}, granted {granted}");
            return;
        }
    }
    // Only the victim may have gone without, and only if it was interrupted itself.
    let excused = match program.interruption {
        _ if notes.closed.get() => return,
        Interruption::NeighbourPanics => 1,
        _ => 0,
    };
    for (who, stage) in stages.iter().enumerate() {
        assert!(
            who == excused || *stage == Stage::Took,
            "{name}: waiter {who} was not served: {stages:?}"
        );
    }
}

/// One more round, with new waiters.
#[track_caller]
fn again(row: &Row, program: &Rc<Program>, name: &str) {
    if program.notes.closed.get() && row.kind != Kind::AllOrNone {
        return;
    }
    program.subject.mend();
    let waiters = match row.kind {
        Kind::AllOrNone => program.notes.stages.len(),
        _ => 1,
    };
    let got = Rc::new(Cell::new(0));
    let mut tasks = vec![{
        let program = Rc::clone(program);
        spawn(move || {
            let granted = program.subject.grant(&|| sleep(TICK * 2));
            assert!(granted, "nobody took the grant");
        })
    }];
    // What is to be held is held now.
    sleep(TICK);
    tasks.extend((0..waiters).map(|who| {
        let (program, got) = (Rc::clone(program), Rc::clone(&got));
        spawn(move || program.subject.block(who, None, &|| bump(&got)))
    }));
    settle();
    for task in tasks {
        assert!(task.is_finished(), "{name}: hang in the round after");
        task.join().expect("nobody interrupts the round after");
    }
    assert_eq!(got.get(), waiters, "{name}: the round after");
}
