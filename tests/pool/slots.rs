//! Slots: how many there are, who waits for one, and that none is ever lost.
#![forbid(unsafe_code)]

use super::*;
use greenloom::{sleep, timeout};
use std::cell::RefCell;

#[test]
fn no_more_run_than_there_are_slots() {
    let pool = Pool::new(3);
    let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    for _ in 0..10 {
        let (now, most) = (Rc::clone(&now), Rc::clone(&most));
        pool.spawn(move || {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            yield_now();
            now.set(now.get() - 1);
        });
        assert!(pool.len() <= 3);
    }
    pool.join();
    assert_eq!((most.get(), now.get()), (3, 0));
    assert_eq!((pool.free_count(), pool.size()), (3, 3));
    assert!(!pool.is_full());
}

#[test]
fn a_slot_is_free_after_a_return_a_panic_and_a_kill() {
    let pool = Pool::new(1);
    for round in 0..4 {
        let task = pool.spawn(move || match round {
            0 => {}
            1 => fail("on purpose"),
            _ => task::park(),
        });
        assert!(pool.is_full());
        match round {
            // Before it began, and in its wait.
            2 => task.kill(),
            3 => {
                yield_now();
                task.kill();
            }
            _ => {}
        }
        let ended = task.join();
        assert_eq!(why(&ended), ["ok", "on purpose", "killed", "killed"][round]);
        assert_eq!((pool.free_count(), pool.len()), (1, 0));
    }
}

#[test]
fn the_slot_goes_back_when_the_captures_are_gone() {
    struct Looks(Pool, Rc<Cell<usize>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            self.1.set(self.0.free_count());
        }
    }
    for kill in [false, true] {
        let (pool, seen) = (Pool::new(1), Rc::new(Cell::new(9)));
        let looks = Looks(pool.clone(), Rc::clone(&seen));
        let task = pool.spawn(move || drop(looks));
        if kill {
            task.kill();
        }
        assert_eq!(task.join().is_ok(), !kill);
        assert_eq!((seen.get(), pool.free_count()), (0, 1));
    }
}

#[test]
fn who_waits_is_served_in_order() {
    let pool = Pool::new(1);
    let log = Rc::new(RefCell::new(Vec::new()));
    let holder = pool.spawn(task::park);
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let (pool, log) = (pool.clone(), Rc::clone(&log));
            spawn(move || {
                pool.spawn(move || log.borrow_mut().push(n)).join().unwrap();
            })
        })
        .collect();
    yield_now();
    assert!(pool.try_spawn(|| ()).is_err());
    holder.task().unpark();
    for task in waiting {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), [0, 1, 2, 3]);
}

#[test]
fn refused_closures_come_back() {
    let (pool, drops) = (Pool::new(1), Drops::new());
    let holder = pool.spawn(task::park);
    let guard = drops.guard();
    let refused = pool.try_spawn(move || drop(guard)).unwrap_err();
    let again = refused.into_inner();
    let refused = pool.spawn_timeout(again, Duration::from_millis(1));
    let again = refused.unwrap_err().into_inner();
    assert_eq!(drops.alive(), 1);
    holder.task().unpark();
    let spawned = pool.spawn_timeout(again, Duration::from_secs(3600));
    spawned.unwrap().join().unwrap();
    assert_eq!(drops.alive(), 0);
}

#[test]
fn wait_available_takes_nothing() {
    let pool = Pool::new(2);
    assert_eq!(pool.wait_available(), 2);
    let holders = [pool.spawn(task::park), pool.spawn(task::park)];
    assert!(!pool.wait_available_timeout(Duration::from_millis(1)));
    let inner = pool.clone();
    let waits = spawn(move || inner.wait_available());
    yield_now();
    holders[0].task().unpark();
    assert_eq!(waits.join().unwrap(), 1);
    assert!(pool.wait_available_timeout(Duration::ZERO));
    pool.kill();
    assert_eq!(pool.free_count(), 2);
}

#[test]
fn an_added_task_takes_a_slot_and_a_discarded_one_leaves_it() {
    let pool = Pool::new(1);
    let parked = spawn(task::park);
    pool.add(&parked);
    assert_eq!((pool.free_count(), pool.len()), (0, 1));
    assert!(pool.discard(parked.id()));
    assert_eq!((pool.free_count(), pool.len()), (1, 0));
    // It was given back once, and is not a second time.
    let member = pool.spawn(task::park);
    assert!(pool.contains(member.id()));
    parked.task().unpark();
    parked.join().unwrap();
    yield_now();
    assert_eq!(pool.free_count(), 0);
    pool.kill();
    assert_eq!(pool.free_count(), 1);
}

#[test]
fn a_deadlock_is_told_to_main_who_waits_for_a_slot() {
    hub::simulate(0, || {
        let pool = Pool::new(1);
        pool.spawn(task::park);
        let caught = catch_unwind(AssertUnwindSafe(|| pool.spawn(|| ())));
        let text = caught.unwrap_err().downcast::<String>().unwrap();
        assert!(text.starts_with("deadlock"), "{text}");
        pool.kill();
        assert_eq!(pool.free_count(), 1);
    });
}

/// Spawners that are killed, time out or get their slot in the same moment, in every order.
#[test]
fn no_slot_is_lost_whoever_is_killed_and_when() {
    hub::simulate_seeds(0..1500, |seed| {
        let size = 1 + seed as usize % 2;
        let pool = Pool::new(size);
        let drops = Drops::new();
        let (now, most) = (Rc::new(Cell::new(0_usize)), Rc::new(Cell::new(0)));
        let mut spawners = Vec::new();
        for n in 0..6_u64 {
            let (pool, guard) = (pool.clone(), drops.guard());
            let (now, most) = (Rc::clone(&now), Rc::clone(&most));
            let work = move || {
                struct Out(Rc<Cell<usize>>);
                impl Drop for Out {
                    fn drop(&mut self) {
                        self.0.set(self.0.get() - 1);
                    }
                }
                now.set(now.get() + 1);
                let _out = Out(Rc::clone(&now));
                most.set(most.get().max(now.get()));
                match n % 3 {
                    0 => sleep(Duration::from_millis(1)),
                    1 => fail("on purpose"),
                    _ => yield_now(),
                }
                drop(guard);
            };
            spawners.push(spawn(move || {
                match (seed / 2 + n) % 5 {
                    0 => unread(pool.spawn(work)),
                    1 => pool
                        .spawn_timeout(work, Duration::from_millis(1))
                        .map_or((), unread),
                    2 => timeout(Duration::from_millis(1), || pool.spawn(work)).map_or((), unread),
                    3 => drop(pool.apply(work)),
                    _ => {
                        let task = pool.apply_async(work, |()| (), |_| ());
                        yield_now();
                        task.kill();
                    }
                };
            }));
        }
        // One is killed at once, one a turn later, one when a slot was just given back.
        spawners[seed as usize % 6].kill();
        yield_now();
        spawners[(seed as usize / 6) % 6].kill();
        sleep(Duration::from_millis(1));
        spawners[(seed as usize / 36) % 6].kill();
        if seed % 3 == 0 {
            pool.kill();
        }
        for spawner in spawners {
            drop(spawner.join());
        }
        pool.join();
        assert_eq!((pool.free_count(), pool.len()), (size, 0));
        assert!(most.get() <= size, "{} at once", most.get());
        yield_now();
        assert_eq!(drops.alive(), 0);
    });
}
