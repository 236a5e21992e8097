//! `wait`, `iwait` (also on semaphores and queues, which they take nothing from), `join_n`, `try_join_all`, `kill_all`: many things, as they become ready.
#![forbid(unsafe_code)]

mod util;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use greenloom::event::{AsyncResult, CancelToken, Event};
use greenloom::hub;
use greenloom::queue::{LifoQueue, PriorityQueue, Queue, channel, unbounded_channel};
use greenloom::select::{Select, Waitable, iwait, wait};
use greenloom::sync::{BoundedSemaphore, Semaphore, mpsc as task_mpsc};
use greenloom::task::{self, JoinError, join_n, kill_all, shield, spawn_on, try_join_all};
use greenloom::{join_all, sleep, spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

fn events(n: usize) -> Rc<Vec<Event>> {
    Rc::new((0..n).map(|_| Event::new()).collect())
}

/// The number of an event in its list.
fn number(all: &[Event], event: &Event) -> usize {
    all.iter().position(|e| std::ptr::eq(e, event)).unwrap()
}

#[test]
fn ready_ones_come_first_in_the_order_given_then_as_they_come() {
    let all = events(6);
    all[4].set();
    all[1].set();
    let a = all.clone();
    let task = spawn(move || {
        for n in [5, 0, 3, 2] {
            a[n].set();
            yield_now();
        }
    });
    let order: Vec<_> = iwait(all.iter()).map(|e| number(&all, e)).collect();
    assert_eq!(order, [1, 4, 5, 0, 3, 2]);
    task.join().unwrap();
}

#[test]
fn all_kinds_of_things_at_once() {
    let (event, token, result) = (Event::new(), CancelToken::new(), AsyncResult::<u8>::new());
    let shared = Arc::new(Event::new());
    let mine = spawn(|| ());
    let (t, r, s) = (token.child(), result.clone(), shared.clone());
    let sets = spawn(move || {
        yield_now();
        s.set();
        r.set_error("failed is ready too").unwrap();
    });
    let items: [&dyn Waitable; 6] = [&event, &t, &result, &shared, &mine, &sets];
    token.cancel();
    assert_eq!(wait(items, None, Some(5)).len(), 5);
    assert_eq!(wait(items, Some(MS), None).len(), 5);
    event.set();
    assert_eq!(wait(items, None, None).len(), 6);
    let boxed: Vec<Box<dyn Waitable>> = vec![Box::new(mine), Box::new(Rc::new(result))];
    assert_eq!(wait(boxed, None, None).len(), 2);
}

#[test]
fn count_and_time_limit_it() {
    let all = events(4);
    all[2].set();
    all[3].set();
    assert_eq!(wait(all.iter(), None, Some(0)).len(), 0);
    assert_eq!(number(&all, wait(all.iter(), None, Some(1))[0]), 2);
    assert_eq!(wait(all.iter(), None, Some(2)).len(), 2);
    assert_eq!(wait(all.iter(), Some(MS), Some(9)).len(), 2);
    assert_eq!(wait(all.iter(), Some(Duration::ZERO), None).len(), 2);
    let nothing: [&Event; 0] = [];
    assert!(wait(nothing, None, None).is_empty());
    assert!(iwait(nothing).next().is_none());
}

#[test]
fn after_its_time_the_rest_can_be_had_back() {
    let all = events(3);
    all[1].set();
    let mut coming = iwait(all.iter()).timeout(MS);
    assert_eq!(coming.size_hint(), (0, Some(3)));
    assert_eq!(coming.by_ref().count(), 1);
    // Over is over, for an iterator.
    all[0].set();
    assert!(coming.next().is_none());
    assert_eq!(coming.waiting(), 2);
    let rest: Vec<_> = coming
        .into_waiting()
        .iter()
        .map(|e| number(&all, e))
        .collect();
    assert_eq!(rest, [0, 2]);
}

#[test]
fn leaving_the_loop_early_lets_go() {
    let result: AsyncResult<util::Counted> = AsyncResult::new();
    let (event, drops) = (Event::new(), Drops::new());
    event.set();
    for _ in 0..1000 {
        let items: [&dyn Waitable; 2] = [&result, &event];
        let mut coming = iwait(items);
        assert!(coming.next().is_some());
    }
    // Nobody is left that would be told, and the value is the result's alone.
    assert!(result.set(drops.guard()).is_ok());
    drop(result);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn waits_that_were_left_early_leave_nothing_registered() {
    util::alone(
        "waits_that_were_left_early_leave_nothing_registered",
        || {
            let (event, result) = (Event::new(), AsyncResult::<u8>::new());
            let (permits, queue) = (Semaphore::new(0), Queue::<u8>::unbounded());
            let stuck = spawn(task::park);
            util::assert_no_leak(|| {
                for _ in 0..20_000 {
                    let items: [&dyn Waitable; 5] = [&event, &result, &stuck, &permits, &queue];
                    assert!(wait(items, Some(Duration::ZERO), None).is_empty());
                }
            });
            stuck.kill();
        },
    );
}

#[test]
fn what_happens_while_nobody_waits_is_not_lost() {
    let all = events(3);
    let mut coming = iwait(all.iter());
    all[0].set();
    assert_eq!(number(&all, coming.next().unwrap()), 0);
    // Both between two waits, one of them cleared again.
    all[2].set();
    all[2].clear();
    all[1].set();
    assert_eq!(number(&all, coming.next().unwrap()), 2);
    assert_eq!(number(&all, coming.next().unwrap()), 1);
    assert!(coming.next().is_none());
}

#[test]
fn kills_and_deadlines_end_the_wait() {
    let all = events(2);
    let a = all.clone();
    let task = spawn(move || wait(a.iter(), None, None).len());
    yield_now();
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
    assert!(timeout(MS, || wait(all.iter(), None, None).len()).is_err());
    all[0].set();
    let late = timeout(MS, || wait(all.iter(), Some(HOUR), None).len());
    assert_eq!(late.unwrap_err().into_value(), Some(1));
    // It goes on after a wait that was broken off.
    let mut coming = iwait(all.iter());
    assert!(coming.next().is_some());
    assert!(timeout(MS, || coming.next().is_some()).is_err());
    all[1].set();
    assert!(coming.next().is_some());
}

#[test]
fn a_callback_of_the_hub_takes_what_is_ready_and_cannot_wait() {
    let (tx, rx) = mpsc::channel();
    let done = Arc::new(Event::new());
    let d = done.clone();
    spawn(|| ()).on_done(move |_| {
        let (ready, idle) = (Event::new(), Event::new());
        ready.set();
        let ready = wait([&ready, &idle], None, Some(1)).len();
        let waits = catch_unwind(AssertUnwindSafe(|| wait([&idle], None, None).len()));
        tx.send((ready, waits.is_err())).unwrap();
        d.set();
    });
    done.wait();
    assert_eq!(rx.recv().unwrap(), (1, true));
}

#[test]
fn tasks_come_in_the_order_in_which_they_end_and_keep_their_results() {
    let gate = events(5);
    let tasks: Vec<_> = (0..5)
        .map(|n| {
            let gate = gate.clone();
            spawn(move || {
                gate[n].wait();
                if n == 3 {
                    panic!("on purpose");
                }
                n
            })
        })
        .collect();
    yield_now();
    let g = gate.clone();
    spawn(move || {
        for n in [2, 4, 3, 0, 1] {
            g[n].set();
            yield_now();
        }
    });
    let ids: Vec<_> = tasks.iter().map(|t| t.id()).collect();
    let mut order = vec![];
    for task in iwait(tasks) {
        let n = ids.iter().position(|id| *id == task.id()).unwrap();
        order.push(n);
        match task.join() {
            Ok(value) => assert_eq!(value, n),
            Err(e) => assert!(e.is_panic() && n == 3),
        }
    }
    assert_eq!(order, [2, 4, 3, 0, 1]);
}

#[test]
fn ten_thousand_tasks_one_after_the_other() {
    const N: usize = if cfg!(feature = "sanitizer") {
        500
    } else {
        10_000
    };
    let gates = events(N);
    let tasks: Vec<_> = (0..N)
        .map(|n| {
            let gates = gates.clone();
            spawn(move || {
                gates[n].wait();
                n
            })
        })
        .collect();
    yield_now();
    let mut coming = iwait(tasks);
    // Each ends while the others are waited for; the last one first.
    for n in (0..N).rev() {
        gates[n].set();
        assert_eq!(coming.next().unwrap().join().unwrap(), n);
    }
    assert!(coming.next().is_none());
}

/// A thread whose hub serves until `stop` is set.
fn server() -> (hub::HubHandle, Arc<Event>, thread::JoinHandle<()>) {
    let (tx, rx) = mpsc::channel();
    let stop = Arc::new(Event::new());
    let s = stop.clone();
    let thread = thread::spawn(move || {
        tx.send(hub::current_handle()).unwrap();
        s.wait();
    });
    (rx.recv().unwrap(), stop, thread)
}

#[test]
fn tasks_of_other_threads_and_threads_without_a_hub() {
    let (hub, stop, server) = server();
    let waits = move || {
        let tasks: Vec<_> = (0..100)
            .map(|n| spawn_on(&hub, move || n).unwrap())
            .collect();
        let sum: u32 = iwait(tasks).map(|t| t.join().unwrap()).sum();
        assert_eq!(sum, 4950);
        let tasks: Vec<_> = (0..10)
            .map(|n| spawn_on(&hub, move || n).unwrap())
            .collect();
        assert_eq!(try_join_all(tasks).unwrap(), (0..10).collect::<Vec<_>>());
        let stuck = [(); 3].map(|()| spawn_on(&hub, task::park).unwrap());
        assert!(wait(&stuck, Some(MS), None).is_empty());
        assert!(kill_all(&stuck, None));
        let (results, rest) = join_n(stuck, 3, None);
        assert!(rest.is_empty());
        assert!(results.into_iter().all(|r| r.unwrap_err().is_killed()));
    };
    spawn(waits).join().unwrap();
    thread::spawn(waits).join().unwrap();
    let lost = spawn_on(&hub, || sleep(HOUR)).unwrap();
    stop.set();
    server.join().unwrap();
    assert_eq!(wait([&lost], None, None).len(), 1);
}

#[test]
fn events_set_on_one_thread_and_waited_for_on_another() {
    const N: usize = 200;
    let all: Arc<Vec<Event>> = Arc::new((0..N).map(|_| Event::new()).collect());
    let waiters: Vec<_> = (0..2)
        .map(|n| {
            let all = all.clone();
            thread::spawn(move || {
                let count = move || iwait(all.iter()).count();
                if n == 0 {
                    count()
                } else {
                    spawn(count).join().unwrap()
                }
            })
        })
        .collect();
    for event in &*all {
        event.set();
        event.clear();
        // Who has not registered yet sees it set now.
        event.set();
        thread::yield_now();
    }
    for t in waiters {
        assert_eq!(t.join().unwrap(), N);
    }
}

#[test]
fn join_n_returns_as_many_as_asked_for_and_the_other_handles() {
    let gate = events(4);
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let gate = gate.clone();
            spawn(move || {
                gate[n].wait();
                n
            })
        })
        .collect();
    yield_now();
    gate[2].set();
    let (first, rest) = join_n(tasks, 1, None);
    assert_eq!(
        first.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [2]
    );
    assert_eq!(rest.len(), 3);
    let (none, rest) = join_n(rest, 2, Some(MS));
    assert!(none.is_empty());
    let (none, rest) = join_n(rest, 0, None);
    assert!(none.is_empty());
    let late = timeout(MS, || join_n(rest, 9, Some(HOUR))).unwrap_err();
    let (none, rest) = late.into_value().unwrap();
    assert!(none.is_empty() && rest.len() == 3);
    for event in &*gate {
        event.set();
    }
    let (all, rest) = join_n(rest, 9, None);
    assert_eq!(
        all.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [0, 1, 3]
    );
    assert!(rest.is_empty());
}

#[test]
fn try_join_all_returns_the_first_failure_at_once_and_values_in_order() {
    let gate = Rc::new(Event::new());
    let g = gate.clone();
    let slow = spawn(move || {
        g.wait();
        1
    });
    let drops = Drops::new();
    let guard = drops.guard();
    let endless = spawn(move || {
        let _guard = guard;
        task::park();
        2
    });
    let task = endless.task();
    let fails = spawn(|| {
        yield_now();
        panic!("on purpose")
    });
    let e = try_join_all([slow, endless, fails]).unwrap_err();
    assert!(e.is_panic());
    assert_eq!(drops.alive(), 1, "the others go on");
    task.unpark();
    gate.set();
    yield_now();
    yield_now();
    assert_eq!(drops.alive(), 0);

    let gates = events(3);
    let g = gates.clone();
    let tasks: Vec<_> = (0..3)
        .map(|n| {
            let g = g.clone();
            spawn(move || {
                g[n].wait();
                n
            })
        })
        .collect();
    spawn(move || {
        for n in [2, 0, 1] {
            gates[n].set();
            yield_now();
        }
    });
    assert_eq!(try_join_all(tasks).unwrap(), [0, 1, 2]);
    let none: [task::JoinHandle<()>; 0] = [];
    assert!(try_join_all(none).unwrap().is_empty());
}

#[test]
fn try_join_all_while_unwinding_says_so() {
    struct Joins(Option<task::JoinHandle<()>>, mpsc::Sender<JoinError>);
    impl Drop for Joins {
        fn drop(&mut self) {
            let e = try_join_all(self.0.take()).unwrap_err();
            self.1.send(e).unwrap();
        }
    }
    let (tx, rx) = mpsc::channel();
    let stuck = spawn(task::park);
    let t = stuck.task();
    let task = spawn(move || {
        let _joins = Joins(Some(stuck), tx);
        panic!("on purpose");
    });
    assert!(task.join().unwrap_err().is_panic());
    assert!(matches!(rx.try_recv().unwrap(), JoinError::Unwinding));
    t.unpark();
}

#[test]
fn kill_all_tells_all_before_it_waits_for_one() {
    let log = Rc::new(RefCell::new(vec![]));
    struct Notes(u32, Rc<RefCell<Vec<(u32, &'static str)>>>);
    impl Drop for Notes {
        fn drop(&mut self) {
            self.1.borrow_mut().push((self.0, "unwinds"));
            shield(yield_now);
            self.1.borrow_mut().push((self.0, "gone"));
        }
    }
    let mut tasks: Vec<_> = (0..2)
        .map(|n| {
            let notes = Notes(n, log.clone());
            spawn(move || {
                let _notes = notes;
                task::park();
            })
        })
        .collect();
    tasks.push(spawn(|| ()));
    yield_now();
    assert!(kill_all(&tasks, None));
    assert_eq!(
        *log.borrow(),
        [(0, "unwinds"), (1, "unwinds"), (0, "gone"), (1, "gone")]
    );
    let ended: Vec<_> = join_all(tasks, None)
        .into_iter()
        .map(|r| r.is_ok())
        .collect();
    assert_eq!(ended, [false, false, true]);

    let gate = Rc::new(Event::new());
    let g = gate.clone();
    let held = [spawn(move || shield(|| g.wait()))];
    yield_now();
    assert!(!kill_all(&held, Some(MS)));
    gate.set();
    assert!(kill_all(&held, None));
}

/// Whether it is ready now.
fn is_ready(item: &dyn Waitable) -> bool {
    !wait([item], Some(Duration::ZERO), None).is_empty()
}

/// Whether it becomes ready by what `f` does, while two wait for it.
fn becomes_ready<W: Waitable + 'static>(item: &Rc<W>, f: impl FnOnce()) -> bool {
    assert!(!is_ready(item));
    let waiters = [(); 2].map(|()| {
        let item = Rc::clone(item);
        spawn(move || wait([item], None, None).len())
    });
    yield_now();
    f();
    yield_now();
    let told = waiters.each_ref().map(|t| t.is_finished());
    assert_eq!(told[0], told[1], "all are told, or nobody");
    kill_all(&waiters, None);
    told[0]
}

#[test]
fn a_semaphore_is_ready_when_a_permit_can_be_had_and_is_left_as_it_was() {
    let s = Rc::new(Semaphore::new(1));
    assert!(is_ready(&s));
    assert_eq!(s.available(), 1);
    let permit = s.try_acquire().unwrap();
    assert!(becomes_ready(&s, || drop(permit)));
    assert_eq!(s.available(), 1);
    s.acquire().forget();
    assert!(!becomes_ready(&s, || ()));
    assert!(becomes_ready(&s, || s.release(2)));
    assert_eq!(s.available(), 2);

    let b = Rc::new(BoundedSemaphore::new(1));
    assert!(is_ready(&b));
    b.acquire().forget();
    assert!(becomes_ready(&b, || b.release(1).unwrap()));
    assert_eq!(b.available(), 1);
}

#[test]
fn who_acquires_goes_before_who_waits_for_a_semaphore_to_be_ready() {
    let s = Rc::new(Semaphore::new(0));
    let acquires = |n| {
        let s = Rc::clone(&s);
        let task = spawn(move || s.acquire_many(n).forget());
        yield_now();
        task
    };
    let one = acquires(1);
    assert!(!becomes_ready(&s, || s.release(1)));
    assert!(one.is_finished());
    let one = acquires(1);
    assert!(becomes_ready(&s, || s.release(2)), "one is left over");
    assert!(one.is_finished());
    // There is one, but somebody waits for three; when that one leaves, the permit can be had.
    let three = acquires(3);
    assert_eq!(s.available(), 1);
    assert!(!becomes_ready(&s, || ()));
    assert!(becomes_ready(&s, || assert!(kill_all([&three], None))));
    assert_eq!(s.available(), 1);
    // The same with an arm of a select.
    s.try_acquire().unwrap().forget();
    let (t, stop) = (Rc::clone(&s), Rc::new(Event::new()));
    let e = Rc::clone(&stop);
    let selects = spawn(move || {
        let select = Select::new().acquire(&t, |p| p.forget());
        select.event(&e, || ()).wait()
    });
    yield_now();
    assert!(!becomes_ready(&s, || stop.set()));
    assert!(selects.is_finished());
    assert!(becomes_ready(&s, || s.release(1)));
}

#[test]
fn a_queue_is_ready_when_an_item_can_be_got_and_keeps_it() {
    fn check<Q: Waitable + 'static>(queue: Q, put: fn(&Q), get: fn(&Q) -> bool, close: fn(&Q)) {
        let q = Rc::new(queue);
        assert!(becomes_ready(&q, || put(&q)));
        assert!(is_ready(&q));
        assert!(get(&q) && !get(&q), "it is still there, once");
        assert!(!is_ready(&q));
        // Who gets goes first.
        let g = Rc::clone(&q);
        let gets = spawn(move || get(&g));
        yield_now();
        assert!(!gets.join().unwrap());
        assert!(becomes_ready(&q, || close(&q)));
        assert!(is_ready(&q));
    }
    macro_rules! queue {
        ($kind:ident) => {
            check(
                $kind::unbounded(),
                |q| q.try_put(1).unwrap(),
                |q| q.try_get().is_ok(),
                |q| q.close(),
            );
            check(
                $kind::bounded(1),
                |q| q.put(1).unwrap(),
                |q| q.try_get().is_ok(),
                |q| q.close_now(),
            );
        };
    }
    queue!(Queue);
    queue!(LifoQueue);
    queue!(PriorityQueue);
}

#[test]
fn a_put_that_a_get_waits_for_makes_nothing_ready() {
    let q = Rc::new(Queue::unbounded());
    let g = Rc::clone(&q);
    let gets = spawn(move || g.get().unwrap());
    yield_now();
    assert!(!becomes_ready(&q, || q.put(7).unwrap()));
    assert_eq!(gets.join().unwrap(), 7);
    assert!(becomes_ready(&q, || q.put(8).unwrap()));
}

#[test]
fn at_a_rendezvous_a_put_that_waits_is_what_is_ready() {
    let q = Rc::new(Queue::bounded(0));
    let puts = RefCell::new(None);
    let p = Rc::clone(&q);
    assert!(becomes_ready(&q, || {
        *puts.borrow_mut() = Some(spawn(move || p.put(1)));
        yield_now();
    }));
    assert!(is_ready(&q));
    assert_eq!(q.try_get().unwrap(), 1);
    puts.take().unwrap().join().unwrap().unwrap();
    assert!(!is_ready(&q));
    // And so is an offer in a select.
    let (p, selects) = (Rc::clone(&q), RefCell::new(None));
    assert!(becomes_ready(&q, || {
        *selects.borrow_mut() = Some(spawn(move || {
            let mut value = Some(2);
            Select::new().put(&*p, &mut value, |put| put.is_ok()).wait()
        }));
        yield_now();
    }));
    assert_eq!(q.try_get().unwrap(), 2);
    assert!(selects.take().unwrap().join().unwrap());
}

#[test]
fn while_an_item_is_shown_to_somebody_the_queue_is_not_ready() {
    let q = Rc::new(Queue::from_iter([1]));
    let (shown, go) = (Rc::clone(&q), Rc::new(Event::new()));
    let g = Rc::clone(&go);
    let shows = spawn(move || shown.peek_with(|n| (*n, g.wait()).0));
    yield_now();
    assert!(!becomes_ready(&q, || ()));
    assert!(becomes_ready(&q, || {
        go.set();
        yield_now();
    }));
    assert_eq!(shows.join().unwrap(), Some(1));
    assert_eq!(q.len(), 1);
}

#[test]
fn receivers_are_ready_for_a_value_and_for_the_end() {
    let (tx, rx) = unbounded_channel();
    let rx = Rc::new(rx);
    assert!(becomes_ready(&rx, || tx.send(1).unwrap()));
    assert_eq!(rx.recv().unwrap(), 1);
    assert!(becomes_ready(&rx, || drop(tx)));
    assert!(rx.recv().is_err());

    let (tx, rx) = task_mpsc::channel();
    let rx = Rc::new(rx);
    assert!(becomes_ready(&rx, || tx.send(1).unwrap()));
    assert_eq!(rx.recv(), Ok(1));
    assert!(becomes_ready(&rx, || drop(tx)));
    assert!(rx.recv().is_err());
}

#[test]
fn of_many_receivers_each_comes_when_it_has_something() {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..10).map(|_| channel(1)).unzip();
    let feeds = spawn(move || {
        for n in [7, 3, 9, 0, 1, 8, 2, 6, 4, 5] {
            senders[n].send(n).unwrap();
            yield_now();
        }
    });
    let got: Vec<_> = iwait(&receivers).map(|rx| rx.try_recv().unwrap()).collect();
    assert_eq!(got, [7, 3, 9, 0, 1, 8, 2, 6, 4, 5]);
    feeds.join().unwrap();
}

#[test]
fn taking_what_became_ready_on_other_threads_loses_nothing() {
    const N: usize = 2000;
    let (queue, permits) = (Arc::new(Queue::bounded(2)), Arc::new(Semaphore::new(0)));
    let takers: Vec<_> = (0..3)
        .map(|n| {
            let (queue, permits) = (queue.clone(), permits.clone());
            let take = move || {
                let (mut items, mut taken) = (0, 0);
                loop {
                    let both: [&dyn Waitable; 2] = [&queue, &permits];
                    wait(both, None, Some(1));
                    while let Some(permit) = permits.try_acquire() {
                        permit.forget();
                        taken += 1;
                    }
                    while queue.try_get().is_ok() {
                        items += 1;
                    }
                    if queue.is_closed() && queue.is_empty() {
                        return (items, taken);
                    }
                }
            };
            // Tasks and plain threads.
            thread::spawn(move || match n {
                0 => take(),
                _ => spawn(take).join().unwrap(),
            })
        })
        .collect();
    for n in 0..N {
        permits.release(1);
        queue.put(n).unwrap();
    }
    queue.close();
    let (mut items, mut taken) = (0, 0);
    for t in takers {
        let (i, t) = t.join().unwrap();
        (items, taken) = (items + i, taken + t);
    }
    assert_eq!(items, N);
    assert_eq!(taken + permits.available(), N);
}
