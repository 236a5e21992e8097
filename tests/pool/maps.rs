//! `map`, `imap`, `imap_unordered`.
#![forbid(unsafe_code)]

use super::*;
use greenloom::queue::Queue;
use greenloom::{sleep, timeout};
use std::collections::BTreeSet;

/// Counts how far it was pulled.
fn counted(pulled: &Rc<Cell<u64>>) -> impl Iterator<Item = u64> + use<> {
    let pulled = Rc::clone(pulled);
    (0..).inspect(move |n| pulled.set(n + 1))
}

#[test]
fn map_keeps_the_order_and_the_falsy() {
    let pool = Pool::new(2);
    let results = pool.map([3, 0, 1], |n| {
        sleep(Duration::from_millis(n));
        n
    });
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results, [3, 0, 1]);
    assert!(pool.map([0; 0], |n: u8| n).is_empty());
    let products = pool.map([(2, 5), (3, 2)], |(a, b)| a * b);
    let products: Vec<i32> = products.into_iter().map(Result::unwrap).collect();
    assert_eq!(products, [10, 6]);
    let units = Group::new().map(["a"; 100], |_| ());
    assert!(units.len() == 100 && units.iter().all(Result::is_ok));
}

#[test]
fn a_failing_item_fails_at_its_place() {
    let pool = Pool::new(2);
    let run = |n: u32| if n % 2 == 1 { fail("odd") } else { n };
    let texts: Vec<_> = pool.map(0..4, run).iter().map(why).collect();
    assert_eq!(texts, ["ok", "odd", "ok", "odd"]);
    let texts: Vec<_> = pool.imap(0..4, run).map(|r| why(&r)).collect();
    assert_eq!(texts, ["ok", "odd", "ok", "odd"]);
    let texts: BTreeSet<_> = pool.imap_unordered(0..4, run).map(|r| why(&r)).collect();
    assert_eq!(texts, BTreeSet::from(["odd", "ok"]));
    assert_eq!(pool.free_count(), 2);
}

#[test]
fn imap_is_lazy_and_ordered() {
    let (pool, pulled) = (Pool::new(2), Rc::new(Cell::new(0)));
    let mut coming = pool.imap(counted(&pulled), |n| {
        // The later, the sooner.
        sleep(Duration::from_millis(20_u64.saturating_sub(n)));
        n
    });
    yield_now();
    assert_eq!(pulled.get(), 0);
    for n in 0..10 {
        assert_eq!(coming.next().unwrap().unwrap(), n);
        assert!(pulled.get() <= n + 1 + 2);
    }
    drop(coming);
    pool.join();
    assert_eq!(pool.free_count(), 2);
}

#[test]
fn imap_unordered_gives_what_comes_first() {
    hub::simulate(0, || {
        let pool = Pool::new(3);
        let slow = |n: u64| {
            sleep(Duration::from_millis(n));
            n
        };
        let coming = pool.imap_unordered([90, 10, 50], slow);
        assert_eq!(coming.map(Result::unwrap).collect::<Vec<_>>(), [10, 50, 90]);
        let coming = pool.imap([90, 10, 50], slow);
        assert_eq!(coming.map(Result::unwrap).collect::<Vec<_>>(), [90, 10, 50]);
    });
}

#[test]
fn the_bound_is_what_is_pulled_and_not_taken() {
    for bound in [1, 2, 7] {
        let (pool, pulled) = (Pool::new(2), Rc::new(Cell::new(0)));
        let mut coming = pool
            .imap_unordered(counted(&pulled), |n| n)
            .max_pending(bound);
        for taken in 1..=5 {
            assert!(coming.next().unwrap().is_ok());
            for _ in 0..20 {
                yield_now();
            }
            assert_eq!(pulled.get(), taken + bound as u64);
        }
    }
    let none = catch_unwind(AssertUnwindSafe(|| {
        drop(Pool::new(1).imap([1], |n| n).max_pending(0));
    }));
    assert!(none.is_err());
}

#[test]
fn a_slow_first_item_does_not_idle_the_others() {
    let pool = Pool::new(2);
    let gate = Rc::new(greenloom::sync::Semaphore::new(0));
    let (waits, opens) = (Rc::clone(&gate), Rc::clone(&gate));
    let mut coming = pool
        .imap(0..10, move |n| match n {
            0 => waits.acquire().forget(),
            9 => opens.release(1),
            _ => {}
        })
        .max_pending(10);
    // The first can only come when the last has run.
    assert!(coming.next().unwrap().is_ok());
    assert_eq!(coming.count(), 9);
}

#[test]
fn a_source_that_waits_holds_up_no_result() {
    let queue = Rc::new(Queue::unbounded());
    let (pool, items) = (Pool::new(2), Rc::clone(&queue));
    let mut coming = pool.imap(std::iter::from_fn(move || items.get().ok()), |n: i32| n + 1);
    for n in 0..5 {
        queue.put(n).unwrap();
        assert_eq!(coming.next().unwrap().unwrap(), n + 1);
    }
    queue.close();
    assert!(coming.next().is_none() && coming.next().is_none());
}

#[test]
fn a_source_that_panics_does_so_after_the_results() {
    let pool = Pool::new(1);
    let source = (0..3).map(|n| if n == 2 { fail("source") } else { n });
    let mut coming = pool.imap(source, |n| n);
    assert_eq!(coming.next().unwrap().unwrap(), 0);
    assert_eq!(coming.next().unwrap().unwrap(), 1);
    let caught = catch_unwind(AssertUnwindSafe(|| coming.next())).unwrap_err();
    assert_eq!(*caught.downcast::<&str>().unwrap(), "source");
    assert!(coming.next().is_none());
    assert_eq!(pool.free_count(), 1);
}

#[test]
fn a_dropped_iterator_pulls_no_more_and_its_tasks_go_on() {
    let (pool, pulled) = (Pool::new(2), Rc::new(Cell::new(0)));
    let (drops, done) = (Drops::new(), Rc::new(Cell::new(0)));
    let source = counted(&pulled).zip(std::iter::repeat_with({
        let drops = drops.clone();
        move || drops.local_guard()
    }));
    let counts = Rc::clone(&done);
    let mut coming = pool.imap(source, move |(n, guard)| {
        yield_now();
        counts.set(counts.get() + 1);
        drop(guard);
        n
    });
    assert_eq!(coming.next().unwrap().unwrap(), 0);
    yield_now();
    drop(coming);
    let before = pulled.get();
    pool.join();
    for _ in 0..10 {
        yield_now();
    }
    assert_eq!(pulled.get(), before);
    assert!(done.get() >= 2 && drops.alive() == 0);
    assert_eq!((pool.free_count(), task::count()), (2, 0));
    // One that was never asked has done nothing.
    drop(pool.imap_unordered(counted(&pulled), |n| n));
    assert_eq!(pulled.get(), before);
}

#[test]
fn an_iterator_survives_a_timeout_around_it() {
    let pool = Pool::new(1);
    let mut coming = pool.imap([0, 1], |n| {
        sleep(Duration::from_millis(20));
        n
    });
    assert!(timeout(Duration::from_millis(1), || coming.next()).is_err());
    let rest: Vec<_> = coming.map(Result::unwrap).collect();
    assert_eq!(rest, [0, 1]);
}

#[test]
fn a_killed_pool_ends_the_iteration_with_errors() {
    let pool = Pool::new(2);
    let mut coming = pool.imap(0..4, |n| {
        if n < 2 {
            task::park();
        }
    });
    let inner = pool.clone();
    spawn(move || {
        while inner.free_count() > 0 {
            yield_now();
        }
        inner.kill();
    });
    let texts: Vec<_> = coming.by_ref().map(|r| why(&r)).collect();
    assert_eq!(texts[..2], ["killed"; 2]);
    assert_eq!((texts.len(), pool.free_count()), (4, 2));
}

#[test]
fn a_deadlock_ends_an_iteration_with_an_error() {
    hub::simulate(0, || {
        let pool = Pool::new(1);
        let mut coming = pool.imap(0.., |_| task::park());
        assert!(matches!(coming.next(), Some(Err(JoinError::Deadlock(_)))));
        assert!(coming.next().is_none());
        pool.kill();
        assert_eq!(pool.free_count(), 1);
    });
}

#[test]
fn a_pools_own_task_maps_without_a_slot() {
    let pool = Pool::new(1);
    let inner = pool.clone();
    let nested = pool.spawn(move || {
        let ordered: Vec<_> = inner.imap(0..4, |n| n).map(Result::unwrap).collect();
        let sum: i32 = inner.imap_unordered(0..4, |n| n).map(Result::unwrap).sum();
        let failed = inner.imap([1], |_| fail::<()>("inside")).next();
        (ordered, sum, why(&failed.unwrap()))
    });
    assert_eq!(nested.join().unwrap(), (vec![0, 1, 2, 3], 6, "inside"));
}

/// Consumers that leave in the middle, tasks that fail and are killed, in every order: all items once, all slots back.
#[test]
fn no_item_is_lost_or_doubled() {
    hub::simulate_seeds(0..600, |seed| {
        let (pool, drops) = (Pool::new(1 + seed as usize % 3), Drops::new());
        let guards = drops.clone();
        let items = (0..12_u64).map(move |n| (n, guards.local_guard()));
        let bound = 1 + (seed / 3) as usize % 5;
        let take = if seed % 2 == 0 {
            12
        } else {
            (seed / 2) as usize % 12
        };
        let run = move |(n, guard): (u64, Rc<util::Counted>)| {
            match (seed + n) % 4 {
                0 => sleep(Duration::from_millis(n % 3)),
                1 => yield_now(),
                2 if n % 2 == 0 && take == 12 => fail("on purpose"),
                _ => {}
            }
            drop(guard);
            n
        };
        let mut got = Vec::new();
        if seed % 5 < 3 {
            let coming = pool.imap(items, run).max_pending(bound);
            got.extend(coming.take(take));
            let values: Vec<_> = got.iter().flatten().collect();
            assert!(values.is_sorted(), "{values:?}");
        } else {
            let coming = pool.imap_unordered(items, run).max_pending(bound);
            got.extend(coming.take(take));
        }
        let failed = (0..12).filter(|n| (seed + n) % 4 == 2 && n % 2 == 0);
        if take == 12 {
            let mut values: Vec<_> = got.iter().flatten().copied().collect();
            values.extend(failed);
            values.sort_unstable();
            assert_eq!(values, (0..12).collect::<Vec<_>>());
        }
        assert_eq!(got.len(), take);
        pool.join();
        while task::count() > 0 {
            yield_now();
        }
        assert_eq!((drops.alive(), pool.free_count()), (0, pool.size()));
    });
}
