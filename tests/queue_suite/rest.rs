//! The part of the suite about the end of a queue, `join`, order and fairness, `peek`, and threads.

/// See the file's head.
#[macro_export]
macro_rules! queue_suite_rest {
    ($Queue:ident) => {
        mod rest {
            use std::cell::{Cell, RefCell};
            use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
            use std::rc::Rc;
            use std::sync::Arc;
            use std::sync::atomic::{AtomicU64, Ordering};
            use std::time::Duration;

            use greenloom::queue::{TryGetError, TryPutError, $Queue};
            use greenloom::{sleep, spawn, timeout, yield_now};

            use $crate::queue_suite::{Elsewhere, HOUR, Item, SOON};
            use $crate::util::Drops;

            type Q = $Queue<Item>;

            fn quiet<R>(f: impl FnOnce() -> R) -> Option<R> {
                catch_unwind(AssertUnwindSafe(f)).ok()
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
                assert!(
                    !timeout(SOON, || q.join_timeout(HOUR))
                        .unwrap_err()
                        .into_value()
                        .unwrap()
                );
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
                    q.get().unwrap();
                    q.task_done().unwrap();
                    assert_eq!(q.unfinished(), left);
                    yield_now();
                    assert_eq!(joins[1].is_finished(), left == 0);
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
                    move || {
                        q.peek_with(|n| {
                            yield_now();
                            yield_now();
                            *n
                        })
                    }
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
                let text = text
                    .or_else(|| payload.downcast_ref::<String>().cloned())
                    .unwrap();
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
                        let (q, sum, count) =
                            (Arc::clone(&q), Arc::clone(&sum), Arc::clone(&count));
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
                    let consumers: Vec<_> = [&a, &b, &b]
                        .iter()
                        .map(|h| h.spawn(consume.clone()))
                        .collect();
                    let here = spawn(consume.clone());
                    let plain = std::thread::spawn(consume);
                    let producers: Vec<_> =
                        [&a, &b].iter().map(|h| h.spawn(produce.clone())).collect();
                    let threads: Vec<_> = (0..2)
                        .map(|_| std::thread::spawn(produce.clone()))
                        .collect();
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
                let churners = [
                    spawn(churn.clone()),
                    other.spawn(churn.clone()),
                    other.spawn(churn),
                ];
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
            }
        }
    };
}
