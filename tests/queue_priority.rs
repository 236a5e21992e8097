//! `PriorityQueue`: the suite of all queues, its order, and comparisons that panic, wait and use the queue.
#![forbid(unsafe_code)]

mod queue_suite;
mod util;

use std::cell::RefCell;
use std::cmp::{Ordering, Reverse};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};
use std::sync::{Arc, mpsc};
use std::thread;

use greenloom::queue::{PriorityQueue, TryGetError};
use greenloom::{sleep, spawn, yield_now};

use queue_suite::HOUR;
use util::{Counted, Drops};

queue_suite!(PriorityQueue);

/// What a comparison does before it answers.
type Hook = Box<dyn FnMut(u32, u32)>;

thread_local!(static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) });

/// Compares by the number, after the hook of the thread has run.
#[derive(Debug)]
struct Hooked(u32, #[allow(dead_code)] Option<Counted>);

fn hook(f: impl FnMut(u32, u32) + 'static) {
    HOOK.set(Some(Box::new(f)));
}

impl PartialEq for Hooked {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Hooked {}

impl PartialOrd for Hooked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Hooked {
    fn cmp(&self, other: &Self) -> Ordering {
        // Taken out while it runs: it may get to another comparison.
        if let Some(mut hook) = HOOK.take() {
            hook(self.0, other.0);
            HOOK.set(Some(hook));
        }
        self.0.cmp(&other.0)
    }
}

fn numbers(q: &PriorityQueue<Hooked>) -> Vec<u32> {
    std::iter::from_fn(|| q.try_get().ok())
        .map(|h| h.0)
        .collect()
}

#[test]
fn smallest_first_and_ties_in_order() {
    #[derive(Debug, PartialEq, Eq)]
    struct Job(u32, &'static str);
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Job {
        fn cmp(&self, other: &Self) -> Ordering {
            self.0.cmp(&other.0)
        }
    }
    let jobs = [(2, "a"), (1, "b"), (2, "c"), (1, "d"), (3, "e"), (2, "f")];
    let q = PriorityQueue::from_iter(jobs.map(|(p, name)| Job(p, name)));
    assert_eq!(q.peek_with(|j| j.1), Some("b"));
    q.close();
    let order: String = q.iter().map(|j| j.1).collect();
    assert_eq!(order, "bdacfe");
    let q = PriorityQueue::from_iter([1, 3, 2].map(Reverse));
    assert_eq!(q.get().unwrap(), Reverse(3));
}

#[test]
fn puts_that_waited_are_sorted_in() {
    let q = Arc::new(PriorityQueue::bounded(2));
    q.put(5).unwrap();
    q.put(3).unwrap();
    let puts: Vec<_> = [1, 4]
        .into_iter()
        .map(|n| {
            let q = Arc::clone(&q);
            spawn(move || q.put(n).unwrap())
        })
        .collect();
    yield_now();
    let order: Vec<_> = (0..4).map(|_| q.get().unwrap()).collect();
    assert_eq!(order, [3, 1, 4, 5]);
    for put in puts {
        put.join().unwrap();
    }
}

#[test]
fn a_comparison_that_panics_loses_nothing_and_the_queue_goes_on() {
    // Panics in each comparison in turn, until one get passes without.
    let drops = Drops::new();
    for nth in 0.. {
        let q = PriorityQueue::unbounded();
        for n in [4, 2, 5, 1, 3, 0] {
            q.put(Hooked(n, Some(drops.guard()))).unwrap();
        }
        assert_eq!(q.try_get().unwrap().0, 0);
        q.put(Hooked(6, Some(drops.guard()))).unwrap();
        q.put(Hooked(0, Some(drops.guard()))).unwrap();
        let mut count = 0;
        hook(move |_, _| {
            count += 1;
            if count == nth + 1 {
                panic_any("in a comparison");
            }
        });
        let result = catch_unwind(AssertUnwindSafe(|| q.try_get().unwrap().0));
        HOOK.set(None);
        let passed = result.is_ok();
        let mut all: Vec<_> = result.into_iter().chain(numbers(&q)).collect();
        if passed {
            assert_eq!(all, [0, 1, 2, 3, 4, 5, 6]);
            assert!(nth > 3, "nothing was compared");
            break;
        }
        // At most the one whose comparison panicked is out of its order: it comes last.
        let last = all.pop().unwrap();
        assert!(all.is_sorted(), "{all:?} before {last}");
        all.push(last);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(drops.alive(), 0);
    }
}

#[test]
fn an_item_that_can_never_be_compared_does_not_stop_the_others() {
    let q = PriorityQueue::unbounded();
    for n in [3, 99, 1, 2] {
        q.put(Hooked(n, None)).unwrap();
    }
    hook(|a, b| {
        if a == 99 || b == 99 {
            panic_any("99 is not comparable");
        }
    });
    let mut panics = 0;
    let mut out = Vec::new();
    while !q.is_empty() {
        match catch_unwind(AssertUnwindSafe(|| q.try_get())) {
            Ok(got) => out.push(got.unwrap().0),
            Err(_) => panics += 1,
        }
    }
    HOOK.set(None);
    assert!((1..=3).contains(&panics), "{panics}");
    out.sort_unstable();
    assert_eq!(out, [1, 2, 3, 99]);
}

#[test]
fn a_get_that_panics_tells_those_who_waited_for_it() {
    let q = Arc::new(PriorityQueue::unbounded());
    for n in [2, 1] {
        q.put(Hooked(n, None)).unwrap();
    }
    let mut first = true;
    hook(move |_, _| {
        if std::mem::take(&mut first) {
            yield_now();
            panic_any("in a comparison");
        }
    });
    let get = |q: &Arc<PriorityQueue<Hooked>>| {
        let q = Arc::clone(q);
        spawn(move || q.get().unwrap().0)
    };
    let (panics, a, b) = (get(&q), get(&q), get(&q));
    assert!(panics.join().unwrap_err().is_panic());
    q.put(Hooked(3, None)).unwrap();
    let mut got = [a.join().unwrap(), b.join().unwrap(), q.get().unwrap().0];
    HOOK.set(None);
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3]);
}

#[test]
fn a_comparison_may_wait_and_others_wait_for_it() {
    let q = Arc::new(PriorityQueue::unbounded());
    for n in [3, 1, 2] {
        q.put(Hooked(n, None)).unwrap();
    }
    hook(|_, _| yield_now());
    let gets: Vec<_> = (0..4)
        .map(|_| {
            let q = Arc::clone(&q);
            spawn(move || q.get().unwrap().0)
        })
        .collect();
    yield_now();
    // In the middle of the first one's comparisons.
    assert_eq!(q.try_get().unwrap_err(), TryGetError::Empty);
    assert_eq!(q.len(), 3);
    q.put(Hooked(0, None)).unwrap();
    let mut got: Vec<_> = gets.into_iter().map(|g| g.join().unwrap()).collect();
    HOOK.set(None);
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3]);
}

#[test]
fn a_get_killed_in_a_comparison_loses_nothing() {
    let drops = Drops::new();
    let q = Arc::new(PriorityQueue::unbounded());
    for n in [3, 1, 2] {
        q.put(Hooked(n, Some(drops.guard()))).unwrap();
    }
    hook(|_, _| sleep(HOUR));
    let get = spawn({
        let q = Arc::clone(&q);
        move || q.get().unwrap().0
    });
    yield_now();
    get.kill();
    assert!(get.join().unwrap_err().is_killed());
    HOOK.set(None);
    assert_eq!((q.len(), drops.dropped()), (3, 0));
    let mut all = numbers(&q);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3]);
}

#[test]
fn a_comparison_may_put_but_not_get() {
    let q = Arc::new(PriorityQueue::unbounded());
    for n in [3, 1] {
        q.put(Hooked(n, None)).unwrap();
    }
    let inner = Arc::clone(&q);
    let mut once = true;
    hook(move |_, _| {
        if std::mem::take(&mut once) {
            inner.put(Hooked(2, None)).unwrap();
            assert_eq!(inner.len(), 3);
            let got = catch_unwind(AssertUnwindSafe(|| inner.try_get()));
            let payload = got.unwrap_err();
            let text = payload.downcast_ref::<&str>().unwrap();
            assert!(text.contains("would wait for itself"), "{text}");
        }
    });
    assert_eq!(q.get().unwrap().0, 1);
    HOOK.set(None);
    assert_eq!(numbers(&q), [2, 3]);
}

#[test]
fn close_now_within_a_comparison_drops_all_but_the_one_chosen() {
    let drops = Drops::new();
    let q = Arc::new(PriorityQueue::unbounded());
    for n in [3, 1, 2] {
        q.put(Hooked(n, Some(drops.guard()))).unwrap();
    }
    let inner = Arc::clone(&q);
    hook(move |_, _| inner.close_now());
    let got = q.get().unwrap();
    HOOK.set(None);
    assert_eq!((got.0, drops.alive(), q.len()), (1, 1, 0));
    assert!(q.get().unwrap_err().is_closed());
}

#[test]
fn a_get_on_another_thread_waits_for_a_comparison() {
    static COMPARED: AtomicUsize = AtomicUsize::new(0);
    let q = Arc::new(PriorityQueue::unbounded());
    for n in [2, 1, 3] {
        q.put(Hooked(n, None)).unwrap();
    }
    let (inside, is_inside) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let other = thread::spawn({
        let q = Arc::clone(&q);
        move || {
            let mut once = true;
            hook(move |_, _| {
                COMPARED.fetch_add(1, Atomic::Relaxed);
                if std::mem::take(&mut once) {
                    inside.send(()).unwrap();
                    goes.recv().unwrap();
                }
            });
            q.get().unwrap().0
        }
    });
    is_inside.recv().unwrap();
    let waits = spawn({
        let q = Arc::clone(&q);
        move || q.get().unwrap().0
    });
    // It spins for a while, then parks; either way it has nothing yet.
    yield_now();
    assert!(!waits.is_finished());
    go.send(()).unwrap();
    assert_eq!(other.join().unwrap(), 1);
    assert_eq!(waits.join().unwrap(), 2);
    assert!(COMPARED.load(Atomic::Relaxed) > 0);
}
