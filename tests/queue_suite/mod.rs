//! What holds for every kind of queue, as one suite that each kind's file makes its own.
//!
//! ```text
//! suite!(Queue) ──> the tests below for Queue<Item>
//! ```
//!
//! Each park point is tried with everything that can end a wait: before it waits, while it waits, and after the grant but
//! before the waiter ran. "After the grant" is had by not giving the waiter's thread a turn in between.
#![forbid(unsafe_code)]
#![allow(dead_code)] // each test binary uses its part

use std::cmp::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use greenloom::hub::{self, HubHandle};
use greenloom::task::{self, JoinHandle};

use crate::util::{Counted, Drops};

/// Out of every test's reach.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Soon, for what is waited for in vain.
pub(crate) const SOON: Duration = Duration::from_millis(2);

/// A value whose drop is counted, ordered by its number.
#[derive(Debug)]
pub(crate) struct Item(pub(crate) u32, Counted);

impl Item {
    pub(crate) fn new(n: u32, drops: &Drops) -> Self {
        Self(n, drops.guard())
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// Keeps the thread, and so its hub, from running anything until `d` has passed.
pub(crate) fn hold_the_thread_for(d: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < d {
        std::hint::spin_loop();
    }
}

/// A thread whose hub runs until the value is dropped.
pub(crate) struct Elsewhere {
    pub(crate) hub: HubHandle,
    stop: task::Task,
    thread: Option<thread::JoinHandle<()>>,
}

impl Elsewhere {
    pub(crate) fn new() -> Self {
        let (tx, rx) = mpsc::channel();
        let thread = thread::spawn(move || {
            tx.send((hub::current_handle(), greenloom::current()))
                .unwrap();
            task::park();
            hub::shutdown(Duration::ZERO);
        });
        let (hub, stop) = rx.recv().unwrap();
        Self {
            hub,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        task::spawn_on(&self.hub, f).unwrap()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.stop.unpark();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Runs `wait` in a task of another thread's hub until it waits, then `grant` here, then ends that thread before the task
/// runs again: its grant goes to nobody who could take it.
pub(crate) fn granted_and_then_the_hub_ends(
    wait: impl FnOnce() + Send + 'static,
    grant: impl FnOnce(),
) {
    let (parked, is_parked) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let waiter = greenloom::spawn(wait);
        greenloom::yield_now();
        assert!(!waiter.is_finished(), "it does not wait");
        parked.send(()).unwrap();
        // Blocks the thread: its hub has no turn any more.
        ends.recv().unwrap_err();
        drop(waiter);
    });
    is_parked.recv().unwrap();
    grant();
    drop(end);
    thread.join().unwrap();
}

/// The suite for the queue of that name. Its constructors are called with items of type [`Item`].
#[macro_export]
macro_rules! queue_suite {
    ($Queue:ident) => {
        mod suite {
            use std::cell::{Cell, RefCell};
            use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
            use std::rc::Rc;
            use std::sync::Arc;
            use std::sync::atomic::{AtomicU64, Ordering};
            use std::time::Duration;

            use greenloom::queue::{
                GetError, GetTimeoutError, PutError, PutTimeoutError, $Queue,
                TryGetError, TryPutError,
            };
            use greenloom::{hub, sleep, spawn, task, timeout, yield_now};

            use $crate::queue_suite::{
                Elsewhere, HOUR, Item, SOON, granted_and_then_the_hub_ends, hold_the_thread_for,
            };
            use $crate::util::Drops;

            type Q = $Queue<Item>;

            fn quiet<R>(f: impl FnOnce() -> R) -> Option<R> {
                catch_unwind(AssertUnwindSafe(f)).ok()
            }

            #[test]
            fn is_send_and_sync_if_its_items_are_send() {
                fn send_sync<T: Send + Sync + std::fmt::Debug>() {}
                send_sync::<$Queue<u8>>();
                // Sync without `T: Sync`: a queue gives items away.
                send_sync::<$Queue<Cell<u8>>>();
                fn unwind_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
                unwind_safe::<$Queue<Cell<u8>>>();
            }

            #[test]
            fn what_it_says_of_itself() {
                let q: $Queue<u32> = $Queue::bounded(2);
                assert_eq!((q.len(), q.capacity()), (0, Some(2)));
                assert!(q.is_empty() && !q.is_full() && !q.is_closed());
                q.put(1).unwrap();
                assert!(!q.is_empty() && !q.is_full());
                q.put(2).unwrap();
                assert!(q.is_full());
                assert_eq!(q.try_put(3), Err(TryPutError::Full(3)));
                q.close();
                assert!(q.is_closed());
                assert_eq!(q.try_put(3), Err(TryPutError::Closed(3)));
                let text = format!("{q:?}");
                assert!(text.contains("len: 2") && text.contains("closed: true"), "{text}");
                let q: $Queue<u32> = $Queue::unbounded();
                assert_eq!(q.capacity(), None);
                assert!(!q.is_full());
                assert_eq!($Queue::<u32>::default().capacity(), None);
                assert_eq!($Queue::from_iter([1]).try_get(), Ok(1));
            }

            #[test]
            fn works_without_a_hub() {
                std::thread::spawn(|| {
                    let q = Arc::new($Queue::bounded(1));
                    q.put(1_u32).unwrap();
                    assert!(q.put_timeout(2, SOON).unwrap_err().is_timeout());
                    assert_eq!(q.get().unwrap(), 1);
                    assert!(q.get_timeout(SOON).unwrap_err().is_timeout());
                    assert_eq!(q.try_get(), Err(TryGetError::Empty));
                    let other = {
                        let q = Arc::clone(&q);
                        std::thread::spawn(move || (q.get().unwrap(), q.get().unwrap_err()))
                    };
                    q.put(3).unwrap();
                    q.close();
                    let (got, end) = other.join().unwrap();
                    assert!(got == 3 && end.is_closed());
                })
                .join()
                .unwrap();
            }

            #[test]
            fn works_in_the_destructor_of_a_thread_local() {
                struct AtEnd(Arc<$Queue<u32>>, Arc<$Queue<u32>>);
                impl Drop for AtEnd {
                    fn drop(&mut self) {
                        self.1.put(self.0.get().unwrap() + 1).unwrap();
                    }
                }
                thread_local!(static LAST: RefCell<Option<AtEnd>> = const { RefCell::new(None) });
                let (a, b) = (Arc::new($Queue::bounded(0)), Arc::new($Queue::bounded(0)));
                let (a2, b2) = (Arc::clone(&a), Arc::clone(&b));
                let thread = std::thread::spawn(move || {
                    LAST.set(Some(AtEnd(a2, b2)));
                    // A hub, so that there is something to be gone already.
                    spawn(|| ()).join().unwrap();
                });
                a.put(1).unwrap();
                assert_eq!(b.get().unwrap(), 2);
                thread.join().unwrap();
            }

            // ---- a get ----

            #[test]
            fn a_get_killed_before_it_waits_takes_nothing() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                let t = spawn({
                    let q = Arc::clone(&q);
                    move || q.get().map(|i| i.0)
                });
                t.kill();
                q.put(Item::new(1, &drops)).unwrap();
                assert!(t.join().unwrap_err().is_killed());
                assert_eq!(q.len(), 1);
            }

            #[test]
            fn a_get_killed_while_it_waits_takes_nothing() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                let get = |q: &Arc<Q>| {
                    let q = Arc::clone(q);
                    spawn(move || q.get().map(|i| i.0))
                };
                let (first, second) = (get(&q), get(&q));
                yield_now();
                first.kill();
                // It has not left yet, and is the first in the queue.
                q.put(Item::new(1, &drops)).unwrap();
                q.put(Item::new(2, &drops)).unwrap();
                let served = second.join().unwrap().unwrap();
                let killed = first.join();
                // The kill was only asked for when the grant came: it got the first, and was killed later or not at all.
                match killed {
                    Ok(got) => assert_eq!((got.unwrap(), served), (1, 2)),
                    Err(e) => {
                        assert!(e.is_killed());
                        assert_eq!(q.len() + 1, 2, "one item is lost");
                    }
                }
                assert_eq!(drops.alive(), q.len());
            }

            #[test]
            fn a_get_that_was_killed_and_left_is_nobody() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                let t = spawn({
                    let q = Arc::clone(&q);
                    move || q.get().map(|i| i.0)
                });
                yield_now();
                t.kill();
                assert!(t.join().unwrap_err().is_killed());
                q.put(Item::new(1, &drops)).unwrap();
                assert_eq!(q.len(), 1);
                assert_eq!(q.try_get().unwrap().0, 1);
            }

            #[test]
            fn a_get_killed_after_its_grant_succeeds_and_dies_at_its_next_wait() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                let got = Rc::new(Cell::new(0));
                let t = spawn({
                    let (q, got) = (Arc::clone(&q), Rc::clone(&got));
                    move || {
                        got.set(q.get().unwrap().0);
                        sleep(HOUR);
                    }
                });
                yield_now();
                q.put(Item::new(7, &drops)).unwrap();
                t.kill();
                assert!(t.join().unwrap_err().is_killed());
                assert_eq!((got.get(), q.len(), drops.alive()), (7, 0, 0));
            }

            #[test]
            fn a_get_that_times_out_takes_nothing_and_one_granted_in_time_succeeds() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                let get = |q: &Arc<Q>| {
                    let q = Arc::clone(q);
                    spawn(move || q.get_timeout(SOON).map(|i| i.0))
                };
                let late = get(&q);
                assert!(late.join().unwrap().unwrap_err().is_timeout());
                q.put(Item::new(1, &drops)).unwrap();
                assert_eq!(q.get_timeout(Duration::ZERO).unwrap().0, 1);
                assert!(matches!(
                    q.get_timeout(Duration::ZERO),
                    Err(GetTimeoutError::Timeout)
                ));
                // The grant comes when its time is up already, but nobody has noticed.
                let granted = get(&q);
                yield_now();
                hold_the_thread_for(2 * SOON);
                q.try_put(Item::new(2, &drops)).unwrap();
                assert_eq!(granted.join().unwrap().unwrap(), 2);
            }

            #[test]
            fn an_enclosing_timeout_ends_a_get() {
                let drops = Drops::new();
                let q = Q::unbounded();
                // One that cannot report it unwinds, one that can does.
                assert!(timeout(SOON, || q.get()).unwrap_err().into_value().is_none());
                let late = timeout(SOON, || q.get_timeout(HOUR));
                assert!(late.unwrap_err().into_value().unwrap().unwrap_err().is_timeout());
                q.put(Item::new(1, &drops)).unwrap();
                assert_eq!(q.len(), 1);
            }

            #[test]
            fn an_enclosing_timeout_that_comes_with_the_grant_loses_nothing() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                let t = spawn({
                    let q = Arc::clone(&q);
                    move || timeout(SOON, || q.get().unwrap().0)
                });
                yield_now();
                hold_the_thread_for(2 * SOON);
                q.put(Item::new(3, &drops)).unwrap();
                assert_eq!(t.join().unwrap().unwrap(), 3);
            }

            #[test]
            fn a_neighbours_panic_is_not_ones_own() {
                struct Looks(Arc<$Queue<u32>>);
                impl Drop for Looks {
                    fn drop(&mut self) {
                        // Unwinding: it would have to wait, and does not.
                        assert!(matches!(self.0.get(), Err(GetError::Unwinding)));
                        sleep(SOON);
                    }
                }
                let q = Arc::new($Queue::unbounded());
                let waits = spawn({
                    let q = Arc::clone(&q);
                    move || (q.get().unwrap(), q.get().unwrap())
                });
                let panics = spawn({
                    let looks = Looks(Arc::clone(&q));
                    move || {
                        let _looks = looks;
                        panic_any("on purpose");
                    }
                });
                yield_now();
                yield_now();
                assert!(!panics.is_finished(), "it is not in the midst of its unwinding");
                q.put(1).unwrap();
                yield_now();
                q.put(2).unwrap();
                assert_eq!(waits.join().unwrap(), (1, 2));
                assert!(panics.join().map(|()| ()).unwrap_err().is_panic());
            }

            #[test]
            fn the_end_of_a_scope_takes_back_a_get() {
                let drops = Drops::new();
                let q = Q::unbounded();
                let failed = quiet(|| {
                    task::scope(|s| {
                        let child = s.spawn(|| q.get().map(|i| i.0));
                        yield_now();
                        child.kill();
                        panic_any("on purpose");
                    })
                });
                assert!(failed.is_none());
                q.put(Item::new(1, &drops)).unwrap();
                assert_eq!(q.len(), 1);
            }

            #[test]
            fn what_was_given_to_a_task_whose_hub_ended_goes_to_the_next_or_back() {
                let drops = Drops::new();
                let q = Arc::new(Q::bounded(1));
                let waits = {
                    let q = Arc::clone(&q);
                    move || drop(q.get())
                };
                granted_and_then_the_hub_ends(waits.clone(), || {
                    q.try_put(Item::new(1, &drops)).unwrap();
                    assert_eq!(q.len(), 0, "it was not given to the task that waits");
                });
                assert_eq!(q.len(), 1);
                assert_eq!(q.try_get().unwrap().0, 1);
                // With another that waits.
                let mut next = None;
                granted_and_then_the_hub_ends(waits, || {
                    next = Some(spawn({
                        let q = Arc::clone(&q);
                        move || q.get().unwrap().0
                    }));
                    yield_now();
                    q.try_put(Item::new(2, &drops)).unwrap();
                });
                assert_eq!(next.unwrap().join().unwrap(), 2);
                assert_eq!(drops.alive(), 0);
            }

            // ---- a put ----

            #[test]
            fn a_put_that_ends_in_vain_gives_its_value_back_or_drops_it_once() {
                let drops = Drops::new();
                let q = Arc::new(Q::bounded(1));
                q.put(Item::new(1, &drops)).unwrap();
                let put = |n| {
                    let (q, item) = (Arc::clone(&q), Item::new(n, &drops));
                    spawn(move || q.put(item))
                };
                // Before it waits, and while it waits.
                let before = put(2);
                before.kill();
                let while_it_waits = put(3);
                yield_now();
                while_it_waits.kill();
                assert!(before.join().unwrap_err().is_killed());
                assert!(while_it_waits.join().unwrap_err().is_killed());
                assert_eq!(drops.dropped(), 2);
                // Its own time, and an enclosing one.
                let late = q.put_timeout(Item::new(4, &drops), SOON).unwrap_err();
                assert!(late.is_timeout());
                assert_eq!(late.into_inner().0, 4);
                let late = q.put_timeout(Item::new(5, &drops), Duration::ZERO);
                assert!(matches!(&late, Err(PutTimeoutError::Timeout(item)) if item.0 == 5));
                drop(late);
                assert!(timeout(SOON, || q.put(Item::new(6, &drops))).is_err());
                let late = timeout(SOON, || q.put_timeout(Item::new(7, &drops), HOUR));
                let late = late.unwrap_err().into_value().unwrap().unwrap_err();
                assert!(late.is_timeout());
                drop(late);
                assert_eq!((drops.dropped(), drops.alive(), q.len()), (6, 1, 1));
                // None of them is left in the way.
                assert_eq!(q.get().unwrap().0, 1);
                assert_eq!(q.try_get(), Err(TryGetError::Empty));
            }

            #[test]
            fn a_put_killed_or_late_after_its_grant_has_put() {
                let drops = Drops::new();
                let q = Arc::new(Q::bounded(1));
                q.put(Item::new(1, &drops)).unwrap();
                let went_on = Rc::new(Cell::new(0));
                let killed = spawn({
                    let (q, went_on, item) =
                        (Arc::clone(&q), Rc::clone(&went_on), Item::new(2, &drops));
                    move || {
                        q.put(item).unwrap();
                        went_on.set(1);
                        sleep(HOUR);
                    }
                });
                yield_now();
                assert_eq!(q.get().unwrap().0, 1);
                killed.kill();
                assert!(killed.join().unwrap_err().is_killed());
                assert_eq!(went_on.get(), 1);
                let late = spawn({
                    let (q, item) = (Arc::clone(&q), Item::new(3, &drops));
                    move || q.put_timeout(item, SOON)
                });
                yield_now();
                hold_the_thread_for(2 * SOON);
                assert_eq!(q.get().unwrap().0, 2);
                late.join().unwrap().unwrap();
                assert_eq!(q.get().unwrap().0, 3);
                assert_eq!(drops.alive(), 0);
            }

            #[test]
            fn a_put_granted_to_a_task_whose_hub_ended_is_there() {
                let drops = Drops::new();
                let q = Arc::new(Q::bounded(0));
                let item = Item::new(1, &drops);
                let puts = {
                    let q = Arc::clone(&q);
                    move || q.put(item).unwrap()
                };
                granted_and_then_the_hub_ends(puts, || assert_eq!(q.try_get().unwrap().0, 1));
                assert_eq!((q.len(), drops.alive()), (0, 0));
            }

            #[test]
            fn a_put_abandoned_by_its_hub_is_in_nobodys_way() {
                let drops = Drops::new();
                let q = Arc::new(Q::bounded(0));
                let item = Item::new(1, &drops);
                let puts = {
                    let q = Arc::clone(&q);
                    move || q.put(item).unwrap()
                };
                granted_and_then_the_hub_ends(puts, || ());
                assert_eq!(q.try_get(), Err(TryGetError::Empty));
                // The task was leaked, and the value is its own.
                assert_eq!(drops.alive(), 1);
            }

            #[test]
            fn an_unwinding_put_does_not_wait() {
                struct Puts(Arc<$Queue<u32>>);
                impl Drop for Puts {
                    fn drop(&mut self) {
                        self.0.put(1).unwrap();
                        assert!(matches!(self.0.put(2), Err(PutError::Unwinding(2))));
                        let timed = self.0.put_timeout(3, HOUR);
                        assert!(matches!(timed, Err(PutTimeoutError::Unwinding(3))));
                    }
                }
                let q = Arc::new($Queue::bounded(1));
                let puts = Puts(Arc::clone(&q));
                let task = spawn(move || {
                    let _puts = puts;
                    panic_any("on purpose");
                });
                let _ = task.join().map(|()| ()).unwrap_err();
                assert_eq!(q.len(), 1);
            }

            #[test]
            fn a_callback_of_the_hub_does_not_wait() {
                let q = Arc::new($Queue::bounded(1));
                let seen = Arc::new($Queue::unbounded());
                let done = spawn(|| ());
                let (q2, seen2) = (Arc::clone(&q), Arc::clone(&seen));
                let _ = done.on_done(move |_| {
                    q2.put(1).unwrap();
                    let full = matches!(q2.put(2), Err(PutError::CannotWait(2, _)));
                    q2.get().unwrap();
                    let empty = matches!(q2.get(), Err(GetError::CannotWait(_)));
                    let timed = matches!(q2.get_timeout(SOON), Err(GetTimeoutError::CannotWait(_)));
                    seen2.put((full, empty, timed)).unwrap();
                });
                assert_eq!(seen.get().unwrap(), (true, true, true));
            }

            // ---- the end ----

            #[test]
            fn close_lets_gets_drain_and_hands_values_back() {
                let drops = Drops::new();
                let q = Arc::new(Q::bounded(1));
                q.put(Item::new(1, &drops)).unwrap();
                let puts: Vec<_> = (2..5)
                    .map(|n| {
                        let (q, item) = (Arc::clone(&q), Item::new(n, &drops));
                        spawn(move || q.put(item))
                    })
                    .collect();
                yield_now();
                q.close();
                q.close();
                for (n, put) in (2..5).zip(puts) {
                    let error = put.join().unwrap().unwrap_err();
                    assert!(error.is_closed());
                    assert_eq!(error.into_inner().0, n);
                }
                assert_eq!(q.get().unwrap().0, 1);
                assert!(q.get().unwrap_err().is_closed());
                assert_eq!(q.try_get(), Err(TryGetError::Closed));
                assert!(q.put(Item::new(6, &drops)).unwrap_err().is_closed());
                assert_eq!(drops.alive(), 0);
            }

            #[test]
            fn close_ends_gets_that_wait_and_a_kill_then_changes_nothing() {
                let q = Arc::new($Queue::<u32>::unbounded());
                let gets: Vec<_> = (0..3)
                    .map(|_| {
                        let q = Arc::clone(&q);
                        spawn(move || q.get())
                    })
                    .collect();
                yield_now();
                q.close();
                gets[1].kill();
                for get in gets {
                    assert!(get.join().unwrap().unwrap_err().is_closed());
                }
            }

            #[test]
            fn a_put_killed_after_the_close_told_it_drops_its_value_once() {
                let drops = Drops::new();
                let q = Arc::new(Q::bounded(0));
                let item = Item::new(1, &drops);
                let put = spawn({
                    let q = Arc::clone(&q);
                    move || q.put(item)
                });
                yield_now();
                q.close();
                put.kill();
                let error = put.join().unwrap().unwrap_err();
                assert!(error.is_closed());
                drop(error);
                assert_eq!((drops.alive(), drops.dropped()), (0, 1));
            }

            #[test]
            fn close_now_drops_what_is_there_and_settles_join() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                for n in 0..4 {
                    q.put(Item::new(n, &drops)).unwrap();
                }
                let got = q.get().unwrap();
                let join = spawn({
                    let q = Arc::clone(&q);
                    move || q.join()
                });
                yield_now();
                q.close_now();
                assert_eq!((drops.alive(), q.len(), q.unfinished()), (1, 0, 1));
                drop(got);
                q.task_done().unwrap();
                join.join().unwrap();
                assert!(q.get().unwrap_err().is_closed());
            }

            #[test]
            fn what_was_given_to_a_getter_survives_close_now() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                let get = spawn({
                    let q = Arc::clone(&q);
                    move || q.get().map(|i| i.0)
                });
                yield_now();
                q.put(Item::new(5, &drops)).unwrap();
                q.close_now();
                assert_eq!(get.join().unwrap().unwrap(), 5);
                assert_eq!(drops.alive(), 0);
            }

            #[test]
            fn destructors_of_items_may_use_the_queue() {
                struct Uses(Option<Arc<$Queue<OrdAll<Uses>>>>);
                impl Drop for Uses {
                    fn drop(&mut self) {
                        if let Some(q) = self.0.take() {
                            assert!(q.is_closed() && q.is_empty());
                            assert!(q.try_put(OrdAll(Uses(None))).is_err());
                        }
                    }
                }
                /// All equal.
                struct OrdAll<T>(#[allow(dead_code)] T);
                impl<T> PartialEq for OrdAll<T> {
                    fn eq(&self, _: &Self) -> bool {
                        true
                    }
                }
                impl<T> Eq for OrdAll<T> {}
                impl<T> PartialOrd for OrdAll<T> {
                    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                        Some(self.cmp(other))
                    }
                }
                impl<T> Ord for OrdAll<T> {
                    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
                        std::cmp::Ordering::Equal
                    }
                }
                let q = Arc::new($Queue::unbounded());
                for _ in 0..3 {
                    let item = OrdAll(Uses(Some(Arc::clone(&q))));
                    assert!(q.put(item).is_ok());
                }
                q.close_now();
            }

            #[test]
            fn a_queue_drops_what_is_left_in_it() {
                let drops = Drops::new();
                let q = Q::unbounded();
                for n in 0..10 {
                    q.put(Item::new(n, &drops)).unwrap();
                }
                drop(q.get());
                drop(q);
                assert_eq!((drops.alive(), drops.dropped()), (0, 10));
            }

            #[test]
            fn iteration_ends_at_close() {
                let q = Arc::new($Queue::<u32>::bounded(2));
                let sum = spawn({
                    let q = Arc::clone(&q);
                    move || {
                        let mut sum = 0;
                        for n in &*q {
                            sum += n;
                        }
                        sum
                    }
                });
                for n in 0..100 {
                    q.put(n).unwrap();
                }
                q.close();
                assert_eq!(sum.join().unwrap(), 4950);
                assert_eq!(q.iter().next(), None);
            }

            // ---- join ----

            #[test]
            fn join_waits_for_task_done_of_each() {
                let q = Arc::new($Queue::unbounded());
                q.join();
                assert!(q.join_timeout(Duration::ZERO));
                assert!(q.task_done().is_err());
                for n in 0..3 {
                    q.put(n).unwrap();
                }
                assert!(!q.join_timeout(SOON));
                assert!(!timeout(SOON, || q.join_timeout(HOUR)).unwrap_err().into_value().unwrap());
                assert!(timeout(SOON, || q.join()).is_err());
                let joins: Vec<_> = (0..2)
                    .map(|_| {
                        let q = Arc::clone(&q);
                        spawn(move || q.join())
                    })
                    .collect();
                yield_now();
                joins[0].kill();
                yield_now();
                for left in (0..3).rev() {
                    assert!(!joins[1].is_finished());
                    q.get().unwrap();
                    q.task_done().unwrap();
                    assert_eq!(q.unfinished(), left);
                }
                let [killed, joined] = <[_; 2]>::try_from(joins).unwrap();
                assert!(killed.join().is_err_and(|e| e.is_killed()));
                joined.join().unwrap();
                assert!(q.task_done().is_err());
            }

            #[test]
            fn a_rendezvous_counts_for_join_too() {
                let q = Arc::new($Queue::bounded(0));
                let put = spawn({
                    let q = Arc::clone(&q);
                    move || q.put(1)
                });
                assert_eq!(q.unfinished(), 0);
                q.get().unwrap();
                assert_eq!(q.unfinished(), 1);
                q.task_done().unwrap();
                q.join();
                put.join().unwrap().unwrap();
            }

            // ---- rendezvous, order, fairness ----

            #[test]
            fn a_rendezvous_hands_over_only_when_both_are_there() {
                let q = Arc::new($Queue::bounded(0));
                assert_eq!(q.try_put(1), Err(TryPutError::Full(1)));
                assert_eq!(q.try_get(), Err(TryGetError::Empty));
                assert!(q.is_empty() && q.is_full());
                assert_eq!(q.capacity(), Some(0));
                assert!(q.put_timeout(1, SOON).is_err());
                let put = spawn({
                    let q = Arc::clone(&q);
                    move || q.put(2)
                });
                yield_now();
                assert!(!put.is_finished() && q.is_empty());
                assert_eq!(q.try_get(), Ok(2));
                put.join().unwrap().unwrap();
                let get = spawn({
                    let q = Arc::clone(&q);
                    move || q.get().unwrap()
                });
                yield_now();
                assert_eq!(q.try_put(3), Ok(()));
                assert_eq!(q.try_put(4), Err(TryPutError::Full(4)));
                assert_eq!(get.join().unwrap(), 3);
            }

            #[test]
            fn who_waits_is_served_in_order_and_before_who_comes_later() {
                let q = Arc::new($Queue::bounded(1));
                let log = Rc::new(RefCell::new(Vec::new()));
                let gets: Vec<_> = (0..3)
                    .map(|who| {
                        let (q, log) = (Arc::clone(&q), Rc::clone(&log));
                        spawn(move || {
                            let got = q.get().unwrap();
                            log.borrow_mut().push((who, got));
                        })
                    })
                    .collect();
                yield_now();
                for n in 0..3 {
                    q.try_put(n).unwrap();
                    assert_eq!(q.try_get(), Err(TryGetError::Empty), "it was given away");
                }
                for get in gets {
                    get.join().unwrap();
                }
                assert_eq!(*log.borrow(), [(0, 0), (1, 1), (2, 2)]);
            }

            #[test]
            fn calls_that_never_wait_leave_others_their_turn() {
                let q = Arc::new($Queue::unbounded());
                let ran = Rc::new(Cell::new(0));
                let other = spawn({
                    let ran = Rc::clone(&ran);
                    move || {
                        while ran.get() < 10 {
                            ran.set(ran.get() + 1);
                            yield_now();
                        }
                    }
                });
                let mut calls = 0_u32;
                while !other.is_finished() {
                    q.put(calls).unwrap();
                    q.get().unwrap();
                    calls += 1;
                    assert!(calls < 1_000_000, "it has the thread to itself");
                }
            }

            #[test]
            fn try_forms_never_switch() {
                let q = Arc::new($Queue::bounded(1));
                let ran = Rc::new(Cell::new(false));
                let other = spawn({
                    let ran = Rc::clone(&ran);
                    move || ran.set(true)
                });
                for n in 0..1000 {
                    q.try_put(n).unwrap();
                    q.try_put(n).unwrap_err();
                    q.try_get().unwrap();
                    q.try_get().unwrap_err();
                    q.peek();
                }
                q.close();
                assert!(!ran.get());
                other.join().unwrap();
            }

            #[test]
            fn a_kill_at_a_yield_for_fairness_loses_nothing_that_was_put() {
                let drops = Drops::new();
                let q = Arc::new(Q::unbounded());
                let puts = spawn({
                    let (q, drops) = (Arc::clone(&q), drops.clone());
                    move || {
                        for n in 0.. {
                            q.put(Item::new(n, &drops)).unwrap();
                        }
                    }
                });
                yield_now();
                puts.kill();
                assert!(puts.join().unwrap_err().is_killed());
                assert_eq!(drops.alive(), q.len());
                assert!(drops.dropped() <= 1, "only the one at hand");
            }

            // ---- peek ----

            #[test]
            fn peek_shows_the_next_and_takes_nothing() {
                let q = $Queue::bounded(2);
                assert_eq!(q.peek(), None);
                q.put(5).unwrap();
                assert_eq!(q.peek(), Some(5));
                assert_eq!(q.peek_with(|n| n + 1), Some(6));
                assert_eq!((q.len(), q.unfinished()), (1, 1));
                assert_eq!(q.get().unwrap(), 5);
            }

            #[test]
            fn a_get_waits_for_a_peek_and_puts_do_not() {
                let q = Arc::new($Queue::bounded(3));
                q.put(1).unwrap();
                q.put(1).unwrap();
                let peeks = spawn({
                    let q = Arc::clone(&q);
                    move || q.peek_with(|n| {
                        yield_now();
                        yield_now();
                        *n
                    })
                });
                let gets: Vec<_> = (0..3)
                    .map(|_| {
                        let q = Arc::clone(&q);
                        spawn(move || q.get().unwrap())
                    })
                    .collect();
                let put = spawn({
                    let q = Arc::clone(&q);
                    move || {
                        assert_eq!(q.len(), 2);
                        q.put(1).unwrap();
                        assert!(q.is_full());
                        assert_eq!(q.try_get(), Err(TryGetError::Empty));
                        assert_eq!(q.peek(), None);
                    }
                });
                yield_now();
                assert!(put.is_finished() && gets.iter().all(|g| !g.is_finished()));
                put.join().unwrap();
                assert_eq!(peeks.join().unwrap(), Some(1));
                for get in gets {
                    assert_eq!(get.join().unwrap(), 1);
                }
                assert_eq!(q.len(), 0);
            }

            #[test]
            fn a_peek_that_panics_or_is_killed_loses_nothing() {
                let q = Arc::new($Queue::from_iter([1, 1]));
                assert!(quiet(|| q.peek_with(|_| panic_any("on purpose"))).is_none());
                assert_eq!(q.len(), 2);
                let peeks = spawn({
                    let q = Arc::clone(&q);
                    move || q.peek_with(|_| sleep(HOUR))
                });
                let get = spawn({
                    let q = Arc::clone(&q);
                    move || q.get().unwrap()
                });
                yield_now();
                peeks.kill();
                assert!(peeks.join().unwrap_err().is_killed());
                assert_eq!(get.join().unwrap(), 1);
                assert_eq!(q.get().unwrap(), 1);
            }

            #[test]
            fn a_get_within_a_peek_panics_and_says_so() {
                let q = $Queue::from_iter([1, 2]);
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    q.peek_with(|_| {
                        // These are allowed.
                        q.put(3).unwrap();
                        assert_eq!(q.len(), 3);
                        q.get()
                    })
                }));
                let payload = caught.unwrap_err();
                let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
                let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap();
                assert!(text.contains("would wait for itself"), "{text}");
                assert_eq!(q.len(), 3);
                assert!(q.get().is_ok());
            }

            #[test]
            fn close_now_within_a_peek_drops_what_the_peek_has_in_hand() {
                let drops = Drops::new();
                let q = Q::from_iter((0..3).map(|n| Item::new(n, &drops)));
                q.peek_with(|_| {
                    q.close_now();
                    assert!(drops.alive() > 0);
                })
                .unwrap();
                assert_eq!((drops.alive(), q.len(), q.unfinished()), (0, 0, 0));
                assert!(q.get().unwrap_err().is_closed());
            }

            // ---- threads ----

            #[test]
            fn hubs_and_plain_threads_share_it_exactly() {
                const EACH: u64 = 400;
                for capacity in [0, 1, 4, usize::MAX] {
                    let q = Arc::new($Queue::<u64>::bounded(capacity));
                    let (sum, count) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
                    let consume = {
                        let (q, sum, count) = (Arc::clone(&q), Arc::clone(&sum), Arc::clone(&count));
                        move || {
                            for n in &*q {
                                sum.fetch_add(n, Ordering::Relaxed);
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    };
                    let produce = {
                        let q = Arc::clone(&q);
                        move || {
                            for n in 1..=EACH {
                                q.put(n).unwrap();
                            }
                        }
                    };
                    let (a, b) = (Elsewhere::new(), Elsewhere::new());
                    let consumers: Vec<_> = [&a, &b, &b].iter().map(|h| h.spawn(consume.clone())).collect();
                    let here = spawn(consume.clone());
                    let plain = std::thread::spawn(consume);
                    let producers: Vec<_> = [&a, &b].iter().map(|h| h.spawn(produce.clone())).collect();
                    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(produce.clone())).collect();
                    spawn(produce).join().unwrap();
                    for p in producers {
                        p.join().unwrap();
                    }
                    for t in threads {
                        t.join().unwrap();
                    }
                    q.close();
                    for c in consumers {
                        c.join().unwrap();
                    }
                    here.join().unwrap();
                    plain.join().unwrap();
                    assert_eq!(count.load(Ordering::Relaxed), 5 * EACH);
                    assert_eq!(sum.load(Ordering::Relaxed), 5 * EACH * (EACH + 1) / 2);
                }
            }

            #[test]
            fn kills_and_timeouts_from_all_sides_lose_nothing_and_double_nothing() {
                const PUTS: u32 = 300;
                let drops = Drops::new();
                let q = Arc::new(Q::bounded(2));
                let other = Elsewhere::new();
                let done = Arc::new(AtomicU64::new(0));
                let put = Arc::new(AtomicU64::new(0));
                // Getters that are killed and time out again and again.
                let churn = {
                    let (q, done) = (Arc::clone(&q), Arc::clone(&done));
                    move || {
                        loop {
                            let get = {
                                let (q, done) = (Arc::clone(&q), Arc::clone(&done));
                                spawn(move || {
                                    while let Ok(item) = q.get_timeout(Duration::from_micros(300)) {
                                        drop(item);
                                        done.fetch_add(1, Ordering::Relaxed);
                                    }
                                })
                            };
                            yield_now();
                            yield_now();
                            get.kill();
                            drop(get.join());
                            if q.is_closed() && q.is_empty() {
                                return;
                            }
                        }
                    }
                };
                let churners = [spawn(churn.clone()), other.spawn(churn.clone()), other.spawn(churn)];
                for n in 0..PUTS {
                    let item = Item::new(n, &drops);
                    if n % 3 == 0 {
                        let q = Arc::clone(&q);
                        let task = spawn(move || q.put(item).unwrap());
                        yield_now();
                        task.kill();
                        // The put has happened or not; its item is with the queue or dropped.
                        if task.join().is_ok() {
                            put.fetch_add(1, Ordering::Relaxed);
                        }
                    } else if q.put_timeout(item, HOUR).is_ok() {
                        put.fetch_add(1, Ordering::Relaxed);
                    }
                }
                q.close();
                for c in churners {
                    c.join().unwrap();
                }
                assert_eq!(drops.alive(), 0);
                assert_eq!(drops.dropped(), PUTS as usize);
                assert!(done.load(Ordering::Relaxed) >= u64::from(PUTS) * 2 / 3);
                let _ = hub::current_handle();
            }
        }
    };
}
