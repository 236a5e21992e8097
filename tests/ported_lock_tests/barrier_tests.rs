//! `BarrierTests` of CPython's suite.

use super::*;

const N: usize = 5;

/// `N` tasks that run `f`, to their end.
fn run_threads(f: impl Fn(usize) + Clone + 'static) {
    let tasks = (0..N)
        .map(|n| {
            let f = f.clone();
            spawn(move || f(n))
        })
        .collect();
    join(tasks);
}

fn new() -> Rc<Barrier> {
    Rc::new(Barrier::new(N))
}

fn passes(times: usize) {
    let (b, results) = (new(), Rc::new([const { Cell::new(0) }; 2]));
    run_threads(move |_| {
        for round in 0..times {
            for result in results.iter() {
                result.set(result.get() + 1);
                b.wait();
                assert_eq!(result.get(), N * (round + 1));
            }
        }
    });
}

#[test]
fn constructor() {
    let b = new();
    assert_eq!((b.parties(), b.n_waiting()), (N, 0));
}

#[test]
fn barrier() {
    passes(1);
}

#[test]
fn barrier_10() {
    passes(10);
}

#[test]
fn wait_return() {
    let (b, leaders) = (new(), Rc::new(Cell::new(0)));
    let count = Rc::clone(&leaders);
    let q = Rc::clone(&b);
    run_threads(move |_| {
        let leads = q.wait().is_leader();
        count.set(count.get() + usize::from(leads));
    });
    assert_eq!((leaders.get(), b.n_waiting()), (1, 0));
}

#[test]
fn abort() {
    let (b, results) = (new(), Rc::new(RefCell::new(Vec::new())));
    let (q, r) = (Rc::clone(&b), Rc::clone(&results));
    run_threads(move |n| {
        if n == N / 2 {
            q.abort();
            return;
        }
        let broken = q.checked_wait().is_err();
        r.borrow_mut().push(broken);
    });
    assert_eq!(*results.borrow(), [true; N - 1]);
    assert!(b.is_broken());
}

#[test]
fn reset() {
    let (b, results) = (new(), Rc::new([const { Cell::new(0) }; 3]));
    let (q, r) = (Rc::clone(&b), Rc::clone(&results));
    run_threads(move |n| {
        let add = |i: usize| r[i].set(r[i].get() + 1);
        if n == N / 2 {
            // The last one: all others wait, and are turned away.
            while q.n_waiting() < N - 1 {
                yield_now();
            }
            q.reset();
        } else {
            add(if q.checked_wait().is_ok() { 0 } else { 1 });
        }
        q.wait();
        add(2);
    });
    let counts: Vec<_> = results.iter().map(Cell::get).collect();
    assert_eq!(counts, [0, N - 1, N]);
}

#[test]
fn abort_and_reset() {
    let (b, between) = (new(), Rc::new(Barrier::new(N)));
    let results = Rc::new([const { Cell::new(0) }; 3]);
    let (q, r) = (Rc::clone(&b), Rc::clone(&results));
    run_threads(move |n| {
        let add = |i: usize| r[i].set(r[i].get() + 1);
        if n == N / 2 {
            q.abort();
        } else {
            add(if q.checked_wait().is_ok() { 0 } else { 1 });
        }
        // Between two barriers, one of them resets the first.
        if between.wait().is_leader() {
            q.reset();
        }
        between.wait();
        q.wait();
        add(2);
    });
    let counts: Vec<_> = results.iter().map(Cell::get).collect();
    assert_eq!(counts, [0, N - 1, N]);
}

#[test]
fn timeout() {
    let b = new();
    run_threads(move |n| {
        if n == N / 2 {
            // Comes too late.
            while !b.is_broken() {
                sleep(MS);
            }
        }
        assert!(b.wait_timeout(10 * MS).is_err());
    });
}

#[test]
fn single_thread() {
    let b = Barrier::new(1);
    b.wait();
    b.wait();
}

#[test]
fn repr() {
    let b = new();
    let q = Rc::clone(&b);
    let t = spawn(move || q.checked_wait().is_err());
    settle();
    let text = format!("{b:?}");
    assert!(
        text.contains("n_waiting: 1") && text.contains("parties: 5"),
        "{text}"
    );
    b.abort();
    assert!(format!("{b:?}").contains("is_broken: true"));
    assert!(t.join().unwrap());
}
