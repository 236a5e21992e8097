//! Random sequences of calls on a semaphore and on an event, against models of a few lines.
//!
//! ```text
//! step ──> a task of its own makes the call ──> all settle ──> who has finished, with what? the model says the same
//! ```
//!
//! In simulated time, so that what times out does so in its instant. The model of the semaphore: one line of waiters, served
//! from the front as long as there is enough for the first; who only watches hears when something is left over.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::select::{Select, wait};
use greenloom::sync::{BoundedSemaphore, Semaphore};
use greenloom::task::JoinHandle;
use greenloom::time::Instant;
use greenloom::{hub, sleep, spawn};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

const TICK: Duration = Duration::from_millis(1);

/// So long all that can run does so: the clock goes on when nobody can.
const MOMENT: Duration = Duration::from_nanos(1);

/// Of a bounded semaphore, whose permits are all taken in the beginning.
const BOUND: usize = 9;

#[derive(Clone, Debug)]
enum Step {
    /// So many, within so many ticks.
    Acquire(usize, Option<u32>),
    TryAcquire(usize),
    Release(usize),
    /// One, by a select.
    Select,
    Watch,
    Wait(Option<u32>),
    Set,
    Clear,
    /// One of the calls that wait, by its place among them.
    Kill(usize),
    Advance(u32),
}

fn limit() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), (0..4_u32).prop_map(Some)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..4_usize, limit()).prop_map(|(n, limit)| Step::Acquire(n, limit)),
        2 => (1..4_usize).prop_map(Step::TryAcquire),
        6 => (1..4_usize).prop_map(Step::Release),
        2 => Just(Step::Select),
        2 => Just(Step::Watch),
        3 => limit().prop_map(Step::Wait),
        2 => Just(Step::Set),
        2 => Just(Step::Clear),
        3 => (0..5_usize).prop_map(Step::Kill),
        3 => (1..3_u32).prop_map(Step::Advance),
    ];
    vec(step, 0..60)
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Had,
    Refused,
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Permits(usize),
    /// That there is one nobody waits for.
    Rest,
    Event,
}

/// A call that waits.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    call: usize,
    wants: Wants,
    until: Option<Duration>,
}

#[derive(Default)]
struct Model {
    permits: usize,
    set: bool,
    /// In the order of asking.
    waiters: Vec<Waiter>,
    done: BTreeMap<usize, Outcome>,
}

impl Model {
    /// Serves whoever can be served.
    fn serve(&mut self) {
        let mut line = true;
        let mut rest = Vec::new();
        let mut watchers = Vec::new();
        for waiter in std::mem::take(&mut self.waiters) {
            match waiter.wants {
                Wants::Permits(n) if line && n <= self.permits => self.permits -= n,
                Wants::Event if self.set => {}
                Wants::Permits(_) => {
                    line = false;
                    rest.push(waiter);
                    continue;
                }
                Wants::Rest => {
                    watchers.push(waiter);
                    continue;
                }
                Wants::Event => {
                    rest.push(waiter);
                    continue;
                }
            }
            self.done.insert(waiter.call, Outcome::Had);
        }
        for waiter in watchers {
            if line && self.permits > 0 {
                self.done.insert(waiter.call, Outcome::Had);
            } else {
                rest.push(waiter);
            }
        }
        rest.sort_by_key(|w| w.call);
        self.waiters = rest;
    }

    fn wait(&mut self, call: usize, wants: Wants, until: Option<Duration>) {
        self.waiters.push(Waiter { call, wants, until });
        self.serve();
    }

    fn end(&mut self, call: usize, outcome: Outcome) {
        self.waiters.retain(|w| w.call != call);
        self.done.insert(call, outcome);
        self.serve();
    }

    fn expire(&mut self, now: Duration) {
        // One that goes may let others be served before their own time: so in the order of the times, of which no two are alike.
        let first = |model: &Self| {
            let timed = model.waiters.iter().filter(|w| w.until.is_some());
            timed.min_by_key(|w| w.until).copied()
        };
        while let Some(waiter) = first(self).filter(|w| w.until <= Some(now)) {
            self.end(waiter.call, Outcome::Refused);
        }
    }
}

/// Both kinds.
trait Permits: 'static {
    fn acquire(&self, n: usize, limit: Option<Duration>) -> bool;
    fn try_acquire(&self, n: usize) -> bool;
    fn release(&self, n: usize) -> bool;
    fn select(&self) -> bool;
    fn watch(&self) -> bool;
    fn available(&self) -> usize;
}

impl Permits for Semaphore {
    fn acquire(&self, n: usize, limit: Option<Duration>) -> bool {
        let permit = match limit {
            None => Some(self.acquire_many(n)),
            Some(d) => self.acquire_many_timeout(n, d),
        };
        permit.map(|p| p.forget()).is_some()
    }

    fn try_acquire(&self, n: usize) -> bool {
        self.try_acquire_many(n).map(|p| p.forget()).is_some()
    }

    fn release(&self, n: usize) -> bool {
        Semaphore::release(self, n);
        true
    }

    fn select(&self) -> bool {
        let never = Event::new();
        let select = Select::new().event(&never, || false);
        select.acquire(self, |p| (p.forget(), true).1).wait()
    }

    fn watch(&self) -> bool {
        wait([self], None, None).len() == 1
    }

    fn available(&self) -> usize {
        Semaphore::available(self)
    }
}

impl Permits for BoundedSemaphore {
    fn acquire(&self, n: usize, limit: Option<Duration>) -> bool {
        let permit = match limit {
            None => Some(self.acquire_many(n)),
            Some(d) => self.acquire_many_timeout(n, d),
        };
        permit.map(|p| p.forget()).is_some()
    }

    fn try_acquire(&self, n: usize) -> bool {
        self.try_acquire_many(n).map(|p| p.forget()).is_some()
    }

    fn release(&self, n: usize) -> bool {
        BoundedSemaphore::release(self, n).is_ok()
    }

    fn select(&self) -> bool {
        let never = Event::new();
        let select = Select::new().event(&never, || false);
        select
            .acquire_bounded(self, |p| (p.forget(), true).1)
            .wait()
    }

    fn watch(&self) -> bool {
        wait([self], None, None).len() == 1
    }

    fn available(&self) -> usize {
        BoundedSemaphore::available(self)
    }
}

fn outcome(had: bool) -> Outcome {
    if had { Outcome::Had } else { Outcome::Refused }
}

fn run<P: Permits>(permits: P, bound: usize, steps: Vec<Step>) -> TestCaseResult {
    let begin = Instant::now();
    let (permits, event) = (Rc::new(permits), Rc::new(Event::new()));
    let mut model = Model::default();
    let mut tasks: BTreeMap<usize, JoinHandle<bool>> = BTreeMap::new();
    let mut done = BTreeMap::new();
    for (call, step) in steps.into_iter().enumerate() {
        let now = begin.elapsed();
        let (p, e) = (Rc::clone(&permits), Rc::clone(&event));
        match step {
            Step::Acquire(n, ticks) => {
                let limit = ticks.map(|n| TICK * n);
                tasks.insert(call, spawn(move || p.acquire(n, limit)));
                model.wait(call, Wants::Permits(n), limit.map(|d| now + d));
                model.expire(now);
            }
            Step::TryAcquire(n) => {
                done.insert(call, outcome(p.try_acquire(n)));
                let line = model.waiters.iter();
                let mut line = line.filter(|w| matches!(w.wants, Wants::Permits(_)));
                let free = line.next().is_none() && n <= model.permits;
                model.permits -= if free { n } else { 0 };
                model.done.insert(call, outcome(free));
            }
            Step::Release(n) => {
                // What was taken can be given back, if there is a bound.
                let fits = model.permits + n <= bound;
                prop_assert_eq!(p.release(n), fits);
                model.permits += if fits { n } else { 0 };
                model.serve();
            }
            Step::Select => {
                tasks.insert(call, spawn(move || p.select()));
                model.wait(call, Wants::Permits(1), None);
            }
            Step::Watch => {
                tasks.insert(call, spawn(move || p.watch()));
                model.wait(call, Wants::Rest, None);
            }
            Step::Wait(None) => {
                let waits = move || (e.wait(), true).1;
                tasks.insert(call, spawn(waits));
                model.wait(call, Wants::Event, None);
            }
            Step::Wait(Some(n)) => {
                tasks.insert(call, spawn(move || e.wait_timeout(TICK * n)));
                model.wait(call, Wants::Event, Some(now + TICK * n));
                model.expire(now);
            }
            Step::Set => {
                event.set();
                model.set = true;
                model.serve();
            }
            Step::Clear => {
                event.clear();
                model.set = false;
            }
            Step::Kill(nth) => {
                if let Some(waiter) = model.waiters.get(nth) {
                    let call = waiter.call;
                    tasks[&call].kill();
                    model.end(call, Outcome::Killed);
                }
            }
            Step::Advance(ticks) => {
                sleep(TICK * ticks);
                model.expire(begin.elapsed());
            }
        }
        sleep(MOMENT);
        model.expire(begin.elapsed());
        for call in tasks.keys().copied().collect::<Vec<_>>() {
            if tasks[&call].is_finished() {
                let ended = tasks.remove(&call).map(JoinHandle::join);
                let ended = ended.and_then(Result::ok);
                done.insert(call, ended.map_or(Outcome::Killed, outcome));
            }
        }
        prop_assert_eq!(&done, &model.done);
        prop_assert_eq!(permits.available(), model.permits);
        prop_assert_eq!(event.is_set(), model.set);
    }
    // Whoever waits still can be ended.
    for task in tasks.values() {
        task.kill();
    }
    for (_, task) in tasks {
        drop(task.join());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn semaphores_and_events_do_what_the_model_does(seed in any::<u64>(), steps in steps()) {
        hub::simulate(seed, || run(Semaphore::new(0), usize::MAX, steps))?;
    }

    #[test]
    fn bounded_semaphores_do_what_the_model_does(seed in any::<u64>(), steps in steps()) {
        hub::simulate(seed, || {
            let permits = BoundedSemaphore::new(BOUND);
            permits.acquire_many(BOUND).forget();
            run(permits, BOUND, steps)
        })?;
    }
}
