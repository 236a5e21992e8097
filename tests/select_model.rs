//! Random selects over queues, semaphores and events, among random calls of others, against a model.
//!
//! ```text
//! step ──> main makes a call, or a task of its own selects ──> all settle ──> who has chosen what? the model says the same
//! ```
//!
//! A select that finds several arms ready may choose any: the model says which were, and goes on from what was chosen. What
//! is given to a select that waits goes to the one that has waited longest for it, and then its other arms are gone.
//! In simulated time, so that one that gives up does so in its instant.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::queue::{Closed, Queue};
use greenloom::select::Select;
use greenloom::sync::Semaphore;
use greenloom::task::JoinHandle;
use greenloom::time::Instant;
use greenloom::{hub, sleep, spawn};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

const TICK: Duration = Duration::from_millis(1);

/// So long all that can run does so: the clock goes on when nobody can.
const MOMENT: Duration = Duration::from_nanos(1);

const QUEUES: usize = 3;
/// The last is a rendezvous.
const CAPACITIES: [usize; QUEUES] = [2, 1, 0];
const SEMAPHORES: usize = 2;
const EVENTS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    Get(usize),
    Put(usize),
    Acquire(usize),
    Event(usize),
}

#[derive(Clone, Debug)]
enum Step {
    /// Gives up after so many ticks.
    Select(Vec<Arm>, Option<u32>),
    TryPut(usize),
    TryGet(usize),
    Close(usize),
    Release(usize),
    TryAcquire(usize),
    Set(usize),
    Clear(usize),
    /// One of the selects that wait, by its place among them.
    Kill(usize),
    Advance(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let arm = prop_oneof![
        4 => (0..QUEUES).prop_map(Arm::Get),
        4 => (0..QUEUES).prop_map(Arm::Put),
        2 => (0..SEMAPHORES).prop_map(Arm::Acquire),
        1 => (0..EVENTS).prop_map(Arm::Event),
    ];
    let limit = prop_oneof![3 => Just(None), 1 => (0..4_u32).prop_map(Some)];
    let step = prop_oneof![
        12 => (vec(arm, 1..5), limit).prop_map(|(arms, limit)| Step::Select(arms, limit)),
        5 => (0..QUEUES).prop_map(Step::TryPut),
        5 => (0..QUEUES).prop_map(Step::TryGet),
        1 => (0..QUEUES).prop_map(Step::Close),
        2 => (0..SEMAPHORES).prop_map(Step::Release),
        1 => (0..SEMAPHORES).prop_map(Step::TryAcquire),
        1 => (0..EVENTS).prop_map(Step::Set),
        1 => (0..EVENTS).prop_map(Step::Clear),
        2 => (0..4_usize).prop_map(Step::Kill),
        2 => (1..3_u32).prop_map(Step::Advance),
    ];
    vec(step, 0..60)
}

/// What a select came to. Values are numbered by the step that offers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// This arm, which brought that.
    Chose(usize, Brought),
    GaveUp,
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brought {
    Got(u32),
    Done,
    Closed,
}

/// The number of the value that arm `index` of the select of step `call` has to offer.
fn value(call: usize, index: usize) -> u32 {
    (call * 16 + index) as u32
}

#[derive(Default)]
struct ModelQueue {
    items: VecDeque<u32>,
    closed: bool,
}

/// A select that waits.
struct Waiter {
    call: usize,
    arms: Vec<Arm>,
    until: Option<Duration>,
}

impl Waiter {
    fn has(&self, arm: Arm) -> Option<usize> {
        self.arms.iter().position(|a| *a == arm)
    }
}

#[derive(Default)]
struct Model {
    queues: [ModelQueue; QUEUES],
    permits: [usize; SEMAPHORES],
    set: [bool; EVENTS],
    /// In the order of asking.
    waiters: Vec<Waiter>,
    /// What each select that has ended may have come to.
    done: BTreeMap<usize, Vec<Outcome>>,
}

impl Model {
    /// The select that has waited longest at such an arm, and which of its arms that is. It waits no more.
    fn serve(&mut self, arm: Arm) -> Option<(usize, usize)> {
        let at = self.waiters.iter().position(|w| w.has(arm).is_some())?;
        let waiter = self.waiters.remove(at);
        Some((waiter.call, waiter.has(arm)?))
    }

    fn chose(&mut self, (call, index): (usize, usize), brought: Brought) {
        self.done.insert(call, vec![Outcome::Chose(index, brought)]);
    }

    fn waits(&self, arm: Arm) -> bool {
        self.waiters.iter().any(|w| w.has(arm).is_some())
    }

    /// True: it was put.
    fn put(&mut self, q: usize, value: u32) -> bool {
        if self.queues[q].closed {
            return false;
        }
        if self.queues[q].items.is_empty()
            && let Some(getter) = self.serve(Arm::Get(q))
        {
            self.chose(getter, Brought::Got(value));
            return true;
        }
        let room = self.queues[q].items.len() < CAPACITIES[q];
        if room {
            self.queues[q].items.push_back(value);
        }
        room
    }

    fn get(&mut self, q: usize) -> Option<u32> {
        let item = self.queues[q].items.pop_front();
        if item.is_none() && CAPACITIES[q] > 0 {
            return None;
        }
        // Its place, or at a rendezvous it itself, is the first putter's.
        let Some((call, index)) = self.serve(Arm::Put(q)) else {
            return item;
        };
        self.chose((call, index), Brought::Done);
        let next = value(call, index);
        match item {
            None => Some(next),
            Some(item) => {
                self.queues[q].items.push_back(next);
                Some(item)
            }
        }
    }

    /// Whether such an arm need not wait.
    fn is_ready(&self, arm: Arm) -> bool {
        match arm {
            Arm::Get(q) => {
                let queue = &self.queues[q];
                !queue.items.is_empty() || queue.closed || self.waits(Arm::Put(q))
            }
            Arm::Put(q) => {
                let queue = &self.queues[q];
                let getter = queue.items.is_empty() && self.waits(Arm::Get(q));
                queue.closed || getter || queue.items.len() < CAPACITIES[q]
            }
            Arm::Acquire(s) => self.permits[s] > 0,
            Arm::Event(e) => self.set[e],
        }
    }

    /// The select of step `call` takes a ready arm.
    fn take(&mut self, call: usize, index: usize, arm: Arm) -> Brought {
        match arm {
            Arm::Get(q) => self.get(q).map_or(Brought::Closed, Brought::Got),
            Arm::Put(q) => match self.put(q, value(call, index)) {
                true => Brought::Done,
                false => Brought::Closed,
            },
            Arm::Acquire(s) => {
                self.permits[s] -= 1;
                Brought::Done
            }
            Arm::Event(_) => Brought::Done,
        }
    }

    fn close(&mut self, q: usize) {
        self.queues[q].closed = true;
        let at_it = |a: &Arm| *a == Arm::Get(q) || *a == Arm::Put(q);
        let told = self.waiters.extract_if(.., |w| w.arms.iter().any(at_it));
        for waiter in told {
            // They look again, and find these arms ready; all others were not.
            let arms = waiter.arms.iter().enumerate().filter(|(_, a)| at_it(a));
            let all = arms.map(|(i, _)| Outcome::Chose(i, Brought::Closed));
            self.done.insert(waiter.call, all.collect());
        }
    }

    fn end(&mut self, call: usize, outcome: Outcome) {
        self.waiters.retain(|w| w.call != call);
        self.done.insert(call, vec![outcome]);
    }

    fn expire(&mut self, now: Duration) {
        let late = |w: &mut Waiter| w.until.is_some_and(|until| until <= now);
        for waiter in self.waiters.extract_if(.., late) {
            self.done.insert(waiter.call, vec![Outcome::GaveUp]);
        }
    }
}

/// What the selects are from.
struct Things {
    queues: [Queue<u32>; QUEUES],
    semaphores: [Semaphore; SEMAPHORES],
    events: [Event; EVENTS],
}

/// One task's select. What it did not put it still has.
fn select(things: &Things, call: usize, arms: &[Arm], limit: Option<Duration>) -> Outcome {
    let all = || arms.iter().enumerate();
    let (mut gets, mut puts, mut acquires, mut events) = (vec![], vec![], vec![], vec![]);
    let mut offers: Vec<Option<u32>> = all().map(|(i, _)| Some(value(call, i))).collect();
    let mut slots = offers.iter_mut();
    let mut numbers: [Vec<usize>; 3] = Default::default();
    for (i, arm) in all() {
        let slot = slots.next();
        match *arm {
            Arm::Get(q) => {
                gets.push(&things.queues[q]);
                numbers[0].push(i);
            }
            Arm::Put(q) => puts.extend(slot.map(|slot| (i, &things.queues[q], slot))),
            Arm::Acquire(s) => {
                acquires.push(&things.semaphores[s]);
                numbers[1].push(i);
            }
            Arm::Event(e) => {
                events.push(&things.events[e]);
                numbers[2].push(i);
            }
        }
    }
    let put =
        |i| move |put: Result<(), Closed>| (i, put.map_or(Brought::Closed, |()| Brought::Done));
    // At most four, each with a slot of its own.
    let mut puts = puts.into_iter();
    let (nowhere, mut nothing) = (Queue::bounded(0), [None; 4]);
    let [a, b, c, d] = &mut nothing;
    let mut next = |blank| puts.next().unwrap_or((usize::MAX, &nowhere, blank));
    let (p, q, r, s) = (next(a), next(b), next(c), next(d));
    let select = Select::new()
        .any(gets, |n, got| {
            let brought = got.map_or(Brought::Closed, Brought::Got);
            (numbers[0][n], brought)
        })
        .put(p.1, p.2, put(p.0))
        .put(q.1, q.2, put(q.0))
        .put(r.1, r.2, put(r.0))
        .put(s.1, s.2, put(s.0))
        .any(acquires, |n, permit| {
            permit.forget();
            (numbers[1][n], Brought::Done)
        })
        .any(events, |n, ()| (numbers[2][n], Brought::Done));
    let chosen = match limit {
        None => Some(select.wait()),
        Some(d) => select.wait_timeout(d),
    };
    for (i, offer) in offers.iter().enumerate() {
        let put = chosen == Some((i, Brought::Done)) && matches!(arms[i], Arm::Put(_));
        assert_eq!(*offer, (!put).then(|| value(call, i)));
    }
    chosen.map_or(Outcome::GaveUp, |(i, brought)| Outcome::Chose(i, brought))
}

fn run(steps: Vec<Step>) -> TestCaseResult {
    let begin = Instant::now();
    let things = Rc::new(Things {
        queues: CAPACITIES.map(Queue::bounded),
        semaphores: [const { Semaphore::new(0) }; SEMAPHORES],
        events: [const { Event::new() }; EVENTS],
    });
    let mut model = Model::default();
    let mut tasks: BTreeMap<usize, JoinHandle<Outcome>> = BTreeMap::new();
    for (call, step) in steps.into_iter().enumerate() {
        let now = begin.elapsed();
        // What the select of this step may choose at once.
        let mut at_once = vec![];
        match step {
            Step::Select(arms, ticks) => {
                let limit = ticks.map(|n| TICK * n);
                let ready = arms.iter().copied().enumerate();
                at_once.extend(ready.filter(|(_, arm)| model.is_ready(*arm)));
                if at_once.is_empty() {
                    model.waiters.push(Waiter {
                        call,
                        arms: arms.clone(),
                        until: limit.map(|d| now + d),
                    });
                    model.expire(now);
                }
                let things = Rc::clone(&things);
                tasks.insert(call, spawn(move || select(&things, call, &arms, limit)));
            }
            Step::TryPut(q) => {
                let number = value(call, 0);
                let put = things.queues[q].try_put(number).is_ok();
                prop_assert_eq!(put, model.put(q, number));
            }
            Step::TryGet(q) => {
                prop_assert_eq!(things.queues[q].try_get().ok(), model.get(q));
            }
            Step::Close(q) => {
                things.queues[q].close();
                model.close(q);
            }
            Step::Release(s) => {
                things.semaphores[s].release(1);
                match model.serve(Arm::Acquire(s)) {
                    Some(waiter) => model.chose(waiter, Brought::Done),
                    None => model.permits[s] += 1,
                }
            }
            Step::TryAcquire(s) => {
                let permit = things.semaphores[s].try_acquire();
                prop_assert_eq!(permit.is_some(), model.permits[s] > 0);
                if let Some(permit) = permit {
                    permit.forget();
                    model.permits[s] -= 1;
                }
            }
            Step::Set(e) => {
                things.events[e].set();
                model.set[e] = true;
                while let Some(waiter) = model.serve(Arm::Event(e)) {
                    model.chose(waiter, Brought::Done);
                }
            }
            Step::Clear(e) => {
                things.events[e].clear();
                model.set[e] = false;
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
        // The one of this step first: what it took at once is what others were given.
        for task in tasks.keys().rev().copied().collect::<Vec<_>>() {
            if !tasks[&task].is_finished() {
                continue;
            }
            let ended = match tasks.remove(&task).map(JoinHandle::join) {
                Some(Ok(outcome)) => outcome,
                Some(Err(e)) if e.is_killed() => Outcome::Killed,
                other => panic!("a select ended with {other:?}"),
            };
            if task == call
                && let Outcome::Chose(index, brought) = ended
                && let Some((_, arm)) = at_once.iter().find(|a| a.0 == index)
            {
                prop_assert_eq!(brought, model.take(call, index, *arm));
                continue;
            }
            let may = model.done.remove(&task);
            prop_assert!(
                may.as_ref().is_some_and(|may| may.contains(&ended)),
                "step {} has come to {:?}, and not to {:?} or {:?}",
                task,
                ended,
                may,
                at_once
            );
        }
        prop_assert!(model.done.is_empty(), "{:?} are still waiting", model.done);
        for (queue, m) in things.queues.iter().zip(&model.queues) {
            prop_assert_eq!(queue.len(), m.items.len());
        }
        for (semaphore, n) in things.semaphores.iter().zip(model.permits) {
            prop_assert_eq!(semaphore.available(), n);
        }
    }
    // Whoever waits still can be ended.
    for task in tasks.values() {
        task.kill();
    }
    for (_, task) in tasks {
        let ended = task.join();
        prop_assert!(ended.is_err_and(|e| e.is_killed()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn selects_choose_what_the_model_allows(seed in any::<u64>(), steps in steps()) {
        hub::simulate(seed, || run(steps))?;
    }
}
