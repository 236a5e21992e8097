//! The part of the suite about waits: of a get and of a put, and everything that can end them.

/// See the file's head.
#[macro_export]
macro_rules! queue_suite_waits {
    ($Queue:ident) => {
        mod waits {
            use std::cell::{Cell, RefCell};
            use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
            use std::rc::Rc;
            use std::sync::Arc;
            use std::time::Duration;

            use greenloom::queue::{
                GetError, GetTimeoutError, PutError, PutTimeoutError, $Queue,
                TryGetError, TryPutError,
            };
            use greenloom::{sleep, spawn, task, timeout, yield_now};

            use $crate::queue_suite::{
                HOUR, Item, SOON, granted_and_then_the_hub_ends, hold_the_thread_for,
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
                assert!(panics.join().unwrap_err().is_panic());
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
                let _ = task.join().unwrap_err();
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
        }
    };
}
