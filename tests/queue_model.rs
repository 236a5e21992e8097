//! Random sequences of calls on each kind of queue, against a model of twenty lines.
//!
//! ```text
//! step ──> a task of its own makes the call ──> all settle ──> who has finished, with what? the model says the same
//! ```
//!
//! The model is what the documentation promises: waiting puts and gets are served in order, at once, and one that is killed
//! has never been there.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use greenloom::queue::{GetError, LifoQueue, PriorityQueue, PutError, Queue};
use greenloom::task::JoinHandle;
use greenloom::{spawn, yield_now};
use proptest::collection::vec;
use proptest::prelude::*;

/// Equal to others of its rank; the number tells them apart.
#[derive(Clone, Copy, Debug)]
struct Value {
    rank: u8,
    number: usize,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Get,
    TryPut(u8),
    TryGet,
    /// One of the calls that wait, by its place among them.
    Kill(usize),
    Close,
    CloseNow,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_u8).prop_map(Step::Put),
        6 => Just(Step::Get),
        2 => (0..3_u8).prop_map(Step::TryPut),
        2 => Just(Step::TryGet),
        2 => (0..4_usize).prop_map(Step::Kill),
        1 => Just(Step::Close),
        1 => Just(Step::CloseNow),
    ];
    vec(step, 0..60)
}

/// How a call went. Values are told by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Put,
    /// The value that came back.
    NotPut(usize),
    Got(usize),
    NotGot,
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fifo,
    Lifo,
    Priority,
}

/// What a queue should do.
struct Model {
    kind: Kind,
    capacity: usize,
    closed: bool,
    items: Vec<Value>,
    putters: Vec<(usize, Value)>,
    getters: Vec<usize>,
    done: BTreeMap<usize, Outcome>,
}

impl Model {
    fn next(&mut self) -> Option<Value> {
        let at = match self.kind {
            Kind::Fifo => 0,
            Kind::Lifo => self.items.len().checked_sub(1)?,
            // The first of the smallest.
            Kind::Priority => (0..self.items.len()).min_by_key(|i| self.items[*i].rank)?,
        };
        (at < self.items.len()).then(|| self.items.remove(at))
    }

    fn put(&mut self, call: usize, value: Value, waits: bool) {
        let outcome = if self.closed {
            Outcome::NotPut(value.number)
        } else if !self.getters.is_empty() {
            let getter = self.getters.remove(0);
            self.done.insert(getter, Outcome::Got(value.number));
            Outcome::Put
        } else if self.items.len() < self.capacity {
            self.items.push(value);
            Outcome::Put
        } else if waits {
            return self.putters.push((call, value));
        } else {
            Outcome::NotPut(value.number)
        };
        self.done.insert(call, outcome);
    }

    fn get(&mut self, call: usize, waits: bool) {
        let first_putter = (!self.putters.is_empty()).then_some(0);
        let outcome = if let Some(value) = self.next() {
            if let Some(at) = first_putter {
                let (putter, value) = self.putters.remove(at);
                self.items.push(value);
                self.done.insert(putter, Outcome::Put);
            }
            Outcome::Got(value.number)
        } else if let Some(at) = first_putter {
            let (putter, value) = self.putters.remove(at);
            self.done.insert(putter, Outcome::Put);
            Outcome::Got(value.number)
        } else if waits && !self.closed {
            return self.getters.push(call);
        } else {
            Outcome::NotGot
        };
        self.done.insert(call, outcome);
    }

    /// The calls that wait.
    fn waiting(&self) -> Vec<usize> {
        let putters = self.putters.iter().map(|p| p.0);
        putters.chain(self.getters.iter().copied()).collect()
    }

    fn kill(&mut self, call: usize) {
        self.putters.retain(|p| p.0 != call);
        self.getters.retain(|g| *g != call);
        self.done.insert(call, Outcome::Killed);
    }

    fn close(&mut self) {
        self.closed = true;
        for (call, value) in self.putters.drain(..) {
            self.done.insert(call, Outcome::NotPut(value.number));
        }
        for call in self.getters.drain(..) {
            self.done.insert(call, Outcome::NotGot);
        }
    }
}

macro_rules! check {
    ($Queue:ident, $kind:expr, $capacity:expr, $steps:expr) => {{
        let q = Rc::new($Queue::<Value>::bounded($capacity));
        let mut model = Model {
            kind: $kind,
            capacity: $capacity,
            closed: false,
            items: Vec::new(),
            putters: Vec::new(),
            getters: Vec::new(),
            done: BTreeMap::new(),
        };
        let mut tasks: BTreeMap<usize, JoinHandle<Outcome>> = BTreeMap::new();
        let mut done = BTreeMap::new();
        for (call, step) in $steps.into_iter().enumerate() {
            let value = |rank| Value { rank, number: call };
            match step {
                Step::Put(rank) => {
                    let (q, value) = (Rc::clone(&q), value(rank));
                    model.put(call, value, true);
                    let put = move || match q.put(value) {
                        Ok(()) => Outcome::Put,
                        Err(PutError::Closed(v)) => Outcome::NotPut(v.number),
                        Err(e) => panic!("{e}"),
                    };
                    tasks.insert(call, spawn(put));
                }
                Step::Get => {
                    let q = Rc::clone(&q);
                    model.get(call, true);
                    let get = move || match q.get() {
                        Ok(v) => Outcome::Got(v.number),
                        Err(GetError::Closed) => Outcome::NotGot,
                        Err(e) => panic!("{e}"),
                    };
                    tasks.insert(call, spawn(get));
                }
                Step::TryPut(rank) => {
                    model.put(call, value(rank), false);
                    let put = q.try_put(value(rank));
                    done.insert(
                        call,
                        put.map_or_else(
                            |e| Outcome::NotPut(e.into_inner().number),
                            |()| Outcome::Put,
                        ),
                    );
                }
                Step::TryGet => {
                    model.get(call, false);
                    let got = q.try_get();
                    done.insert(
                        call,
                        got.map_or(Outcome::NotGot, |v| Outcome::Got(v.number)),
                    );
                }
                Step::Kill(nth) => {
                    if let Some(victim) = model.waiting().get(nth) {
                        model.kill(*victim);
                        tasks[victim].kill();
                    }
                }
                Step::Close => {
                    model.close();
                    q.close();
                }
                Step::CloseNow => {
                    model.close();
                    model.items.clear();
                    q.close_now();
                }
            }
            // The call, and whom it woke.
            yield_now();
            yield_now();
            for call in tasks.keys().copied().collect::<Vec<_>>() {
                if tasks[&call].is_finished() {
                    if let Some(task) = tasks.remove(&call) {
                        done.insert(call, task.join().unwrap_or(Outcome::Killed));
                    }
                }
            }
            prop_assert_eq!(&done, &model.done);
            prop_assert_eq!(q.len(), model.items.len());
            prop_assert_eq!(q.is_closed(), model.closed);
            prop_assert_eq!(q.is_full(), model.items.len() >= $capacity);
        }
        q.close();
        for (_, task) in tasks {
            prop_assert!(task.join().is_ok());
        }
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queue_does_what_the_model_does(capacity in 0..4_usize, steps in steps()) {
        check!(Queue, Kind::Fifo, capacity, steps);
    }

    #[test]
    fn lifo_queue_does_what_the_model_does(capacity in 0..4_usize, steps in steps()) {
        check!(LifoQueue, Kind::Lifo, capacity, steps);
    }

    #[test]
    fn priority_queue_does_what_the_model_does(capacity in 0..12_usize, steps in steps()) {
        check!(PriorityQueue, Kind::Priority, capacity, steps);
    }

    #[test]
    fn a_priority_queue_is_a_stable_sort(ranks in vec(0..5_u8, 0..200)) {
        let values = ranks.into_iter().enumerate().map(|(number, rank)| Value { rank, number });
        let q: PriorityQueue<_> = values.clone().collect();
        q.close();
        let got: Vec<_> = q.iter().map(|v| v.number).collect();
        let mut sorted: Vec<_> = values.collect();
        sorted.sort();
        let expected: Vec<_> = sorted.iter().map(|v| v.number).collect();
        prop_assert_eq!(got, expected);
    }
}
