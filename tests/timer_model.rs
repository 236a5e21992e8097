//! Random sequences of sleeps, delayed spawns, timeouts and timed waits, some ended early, against a model: a list of deadlines.
//!
//! ```text
//! step ──> the wait begins, or one is ended ──> all settle ──> who has ended, how, and when? the model says the same
//! ```
//!
//! In simulated time, which stands still while anybody can run: so a wait ends in exactly the instant of its deadline, or of what
//! ends it before. Among those of one instant any order will do; `timers/tests.rs` has that of a real hub.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::task::{self, JoinHandle};
use greenloom::time::Instant;
use greenloom::{hub, inspect, sleep, spawn, timeout};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// Deadlines fall on these. Some are nearer than a millisecond, for which a hub has finer timers, and some are not.
const TICK: Duration = Duration::from_micros(300);

/// So long all that can run does so: the clock goes on when nobody can.
const MOMENT: Duration = Duration::from_nanos(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sleep,
    /// A task that is spawned later.
    Later,
    /// A wait in the scope of a timeout.
    Within,
    /// A wait that has a time itself.
    Timed,
    /// Both, the outer ending first: no trace may be left of the inner.
    Nested,
}

#[derive(Clone, Debug)]
enum Step {
    /// At this many ticks from the last one.
    Begin(Kind, u32),
    /// One of those that wait, by its place among them.
    Kill(usize),
    /// The same, by what it waits for. A sleep has nothing of the kind.
    Grant(usize),
    /// The clock goes on.
    Advance(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        Just(Kind::Sleep),
        Just(Kind::Later),
        Just(Kind::Within),
        Just(Kind::Timed),
        Just(Kind::Nested),
    ];
    let step = prop_oneof![
        8 => (kind, 1..12_u32).prop_map(|(kind, ticks)| Step::Begin(kind, ticks)),
        2 => (0..8_usize).prop_map(Step::Kill),
        2 => (0..8_usize).prop_map(Step::Grant),
        4 => (1..6_u32).prop_map(Step::Advance),
    ];
    vec(step, 0..50)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Elapsed,
    Granted,
    Killed,
}

/// What waits, by the number of its step: its deadline and its kind.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<usize, (Duration, Kind)>,
    ended: BTreeMap<usize, (Duration, End)>,
}

impl Model {
    fn nth(&self, n: usize) -> Option<(usize, Kind)> {
        self.waiting.iter().nth(n).map(|(id, w)| (*id, w.1))
    }

    fn end(&mut self, id: usize, now: Duration, how: End) {
        self.waiting.remove(&id);
        self.ended.insert(id, (now, how));
    }

    fn advance(&mut self, to: Duration) {
        let due: Vec<_> = self.waiting.iter().filter(|w| w.1.0 <= to).collect();
        let due: Vec<_> = due.into_iter().map(|(id, w)| (*id, w.0)).collect();
        for (id, at) in due {
            self.end(id, at, End::Elapsed);
        }
    }

    /// How many timers are set for those that wait.
    fn timers(&self) -> usize {
        let two = self.waiting.values().filter(|w| w.1 == Kind::Nested);
        self.waiting.len() + two.count()
    }
}

type Log = Rc<RefCell<Vec<(usize, Duration, End)>>>;

/// Notes that something has ended, when and how. Unless it is told otherwise it was killed.
struct Note {
    id: usize,
    begin: Instant,
    log: Log,
    end: End,
}

impl Note {
    fn done(mut self, granted: bool) {
        self.end = if granted { End::Granted } else { End::Elapsed };
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let entry = (self.id, self.begin.elapsed(), self.end);
        self.log.borrow_mut().push(entry);
    }
}

fn wait(kind: Kind, d: Duration, event: Rc<Event>, note: Note) -> JoinHandle<()> {
    match kind {
        Kind::Sleep => spawn(move || {
            sleep(d);
            note.done(false);
        }),
        Kind::Later => task::spawn_later(d, move || note.done(false)),
        Kind::Within => spawn(move || {
            let granted = timeout(d, || event.wait()).is_ok();
            note.done(granted);
        }),
        Kind::Timed => spawn(move || {
            let granted = event.wait_timeout(d);
            note.done(granted);
        }),
        Kind::Nested => spawn(move || {
            let waits = timeout(d, || event.wait_timeout(d * 2));
            note.done(matches!(waits, Ok(true)));
        }),
    }
}

fn run(steps: Vec<Step>) -> TestCaseResult {
    let begin = Instant::now();
    let log = Log::default();
    let mut model = Model::default();
    let mut tasks: BTreeMap<usize, (JoinHandle<()>, Rc<Event>)> = BTreeMap::new();
    // The tick that comes next, and how far it is.
    let mut tick = 1;
    for (id, step) in steps.into_iter().enumerate() {
        let now = begin.elapsed();
        match step {
            Step::Begin(kind, ticks) => {
                let deadline = TICK * (tick + ticks - 1);
                let event = Rc::new(Event::new());
                let note = Note {
                    id,
                    begin,
                    log: Rc::clone(&log),
                    end: End::Killed,
                };
                let task = wait(kind, deadline - now, Rc::clone(&event), note);
                tasks.insert(id, (task, event));
                model.waiting.insert(id, (deadline, kind));
            }
            Step::Kill(nth) => {
                if let Some((id, _)) = model.nth(nth) {
                    tasks[&id].0.kill();
                    model.end(id, now, End::Killed);
                }
            }
            Step::Grant(nth) => {
                if let Some((id, kind)) = model.nth(nth)
                    && !matches!(kind, Kind::Sleep | Kind::Later)
                {
                    tasks[&id].1.set();
                    model.end(id, now, End::Granted);
                }
            }
            Step::Advance(ticks) => {
                let to = TICK * (tick + ticks - 1);
                sleep(to - now);
                prop_assert_eq!(begin.elapsed(), to, "a sleep ends in its instant");
                tick += ticks;
                model.advance(to);
            }
        }
        sleep(MOMENT);
        let ended: BTreeMap<_, _> = log.borrow().iter().map(|e| (e.0, (e.1, e.2))).collect();
        prop_assert_eq!(&ended, &model.ended);
        prop_assert_eq!(inspect::counters().timers, model.timers());
    }
    let last = TICK * (tick + 100);
    sleep(last - begin.elapsed());
    model.advance(last);
    let log = log.borrow();
    let ended: BTreeMap<_, _> = log.iter().map(|e| (e.0, (e.1, e.2))).collect();
    prop_assert_eq!(ended.len(), log.len(), "each ends once");
    prop_assert_eq!(&ended, &model.ended);
    prop_assert!(log.is_sorted_by_key(|e| e.1), "in order");
    prop_assert_eq!(inspect::counters().timers, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn waits_end_when_the_model_says(seed in any::<u64>(), steps in steps()) {
        hub::simulate(seed, || run(steps))?;
    }
}
