//! Several hubs at once: what they hand each other, and what is left when one of them ends.
//!
//! Every test ends by itself: each loop is counted, each wait is for something that is sure to come.

#[path = "util/sharing.rs"]
#[macro_use]
mod sharing;
mod util;

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use greenloom::event::{AsyncResult, CancelToken, Event};
use greenloom::future::block_on;
use greenloom::hub::{self, HubHandle};
use greenloom::io::ConcurrentUse;
use greenloom::net::{TcpListener, TcpStream};
use greenloom::queue::Queue;
use greenloom::select::{Select, iwait};
use greenloom::sync::{Mutex, Semaphore};
use greenloom::task::{self, JoinError, JoinHandle, spawn_on};
use greenloom::{join_all, sleep, spawn, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(2);

/// How a thread of these tests is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Its main greenlet returns: live tasks are leaked.
    Return,
    /// By `hub::run`: live tasks are killed first.
    Run,
    /// By `hub::shutdown`.
    Shutdown,
}

const ENDINGS: [Ending; 3] = [Ending::Return, Ending::Run, Ending::Shutdown];

/// A thread with a hub, which ends when it is told to.
struct Other {
    hub: HubHandle,
    stop: Arc<Event>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Other {
    fn start(ending: Ending) -> Self {
        let (tx, rx) = mpsc::channel();
        let stop = Arc::new(Event::new());
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let work = || {
                tx.send(hub::current_handle()).unwrap();
                stopped.wait();
            };
            match ending {
                Ending::Return => work(),
                Ending::Run => hub::run(work),
                Ending::Shutdown => {
                    work();
                    assert_eq!(hub::shutdown(Duration::ZERO).left, 0);
                }
            }
        });
        Self {
            hub: rx.recv().unwrap(),
            stop,
            thread: Some(thread),
        }
    }

    fn spawn<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        spawn_on(&self.hub, f).expect("the hub is there")
    }

    /// Runs there until it has given way to everybody: what was spawned before waits by then.
    fn settle(&self) {
        let settle = || (0..20).for_each(|_| yield_now());
        self.spawn(settle).join().unwrap();
    }

    fn end(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Also when a test fails: nothing is to be left waiting.
        self.stop.set();
    }
}

#[test]
fn outcomes_come_back_from_another_hub() {
    let mut other = Other::start(Ending::Return);
    let value = other.spawn(|| vec![1, 2, 3]);
    assert_eq!(value.join().unwrap(), [1, 2, 3]);

    let panicked = other.spawn(|| {
        std::panic::resume_unwind(Box::new("a payload"));
    });
    match panicked.join() {
        Err(JoinError::Panicked(payload)) => {
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"a payload"));
        }
        other => panic!("{other:?}"),
    }

    let sleeper = other.spawn(|| sleep(HOUR));
    let sleeper = sleeper.join_timeout(SOON).expect_err("it sleeps");
    sleeper.kill();
    assert!(matches!(sleeper.join(), Err(JoinError::Killed)));

    // A chain over three hubs, and back.
    let third = Other::start(Ending::Return);
    let (second, last) = (other.hub, third.hub);
    let chained = other.spawn(move || {
        let inner = spawn_on(&last, move || {
            spawn_on(&second, || 7).unwrap().join().unwrap() + 1
        });
        inner.unwrap().join().unwrap() + 1
    });
    assert_eq!(chained.join().unwrap(), 9);
    other.end();
}

#[test]
fn who_waits_for_a_task_of_a_hub_that_ends_is_told() {
    for ending in ENDINGS {
        let mut other = Other::start(ending);
        let wait = || other.spawn(|| sleep(HOUR));
        let lost = move |result: Result<(), JoinError>| match (ending, result) {
            (Ending::Return, Err(JoinError::Lost)) => {}
            (Ending::Run | Ending::Shutdown, Err(JoinError::Killed)) => {}
            (_, other) => panic!("{ending:?}: {other:?}"),
        };
        // Who only watches, and asks for the outcome when that hub is gone, may find it gone with it.
        let gone = |result: Result<(), JoinError>| match result {
            Err(JoinError::Lost | JoinError::Killed) => {}
            other => panic!("{other:?}"),
        };
        // A plain thread, a task of a third hub, and tasks of this one, each in another way.
        let third = Other::start(Ending::Return);
        let mut waiting: Vec<JoinHandle<()>> = Vec::new();
        let plain = wait();
        let plain = thread::spawn(move || lost(plain.join()));
        let far = wait();
        waiting.push(third.spawn(move || lost(far.join())));
        let near = wait();
        waiting.push(spawn(move || lost(near.join())));
        let timed = wait();
        waiting.push(spawn(move || lost(timed.join_timeout(HOUR).unwrap())));
        let mut selected = Some(wait());
        waiting.push(spawn(move || {
            let wait = Select::new()
                .join(&mut selected, gone)
                .after(HOUR, || panic!("late"));
            wait.wait();
        }));
        let some = [wait(), wait()];
        waiting.push(spawn(move || {
            iwait(some).timeout(HOUR).for_each(|task| gone(task.join()));
        }));
        let all = vec![wait(), wait()];
        waiting.push(spawn(move || {
            let all = join_all(all, Some(HOUR));
            assert_eq!(all.len(), 2);
            all.into_iter().for_each(lost);
        }));
        let future = wait();
        waiting.push(spawn(move || lost(block_on(future))));
        let (linked, told) = (wait(), Arc::new(AsyncResult::<_>::new()));
        let teller = Arc::clone(&told);
        linked.on_done(move |outcome| assert!(teller.set(outcome).is_ok()));
        other.settle();
        yield_now();
        assert!(waiting.iter().all(|task| !task.is_finished()));
        other.end();
        plain.join().unwrap();
        for task in waiting {
            task.join().unwrap();
        }
        if ending != Ending::Return {
            assert_eq!(told.get().ok(), Some(task::Outcome::Killed));
        }
        gone(linked.join());
    }
}

#[test]
fn an_ended_hub_gives_the_closure_back_and_its_handle_stays() {
    for ending in ENDINGS {
        let mut other = Other::start(ending);
        let hub = other.hub;
        assert!(hub.is_alive());
        other.end();
        assert!(!hub.is_alive());
        let drops = Drops::new();
        let guard = drops.guard();
        let back = spawn_on(&hub, move || drop(guard)).unwrap_err();
        assert_eq!(drops.alive(), 1, "it was not dropped");
        back.into_inner()();
        assert_eq!(drops.alive(), 0);
        // The place of the hub is used again; the old handle does not mean the new one.
        let next = Other::start(ending);
        assert_ne!(hub, next.hub);
        assert!(!hub.is_alive() && next.hub.is_alive());
        assert!(spawn_on(&hub, || ()).is_err());
        assert_eq!(next.spawn(|| 3).join().unwrap(), 3);
    }
}

#[test]
fn closures_that_an_ending_hub_did_not_start_are_dropped_and_told_of() {
    for round in 0..50 {
        let mut other = Other::start(ENDINGS[round % 3]);
        let drops = Drops::new();
        let tasks: Vec<_> = (0..20)
            .map_while(|n| {
                if n == round % 20 {
                    other.stop.set();
                }
                let guard = drops.guard();
                spawn_on(&other.hub, move || drop(guard)).ok()
            })
            .collect();
        other.end();
        for task in tasks {
            match task.join() {
                Ok(()) | Err(JoinError::Lost | JoinError::Killed) => {}
                other => panic!("{other:?}"),
            }
        }
        if ENDINGS[round % 3] != Ending::Return {
            assert_eq!(drops.alive(), 0, "round {round}");
        }
    }
}

/// What tasks of an ended hub waited for goes to those that are left.
#[test]
fn grants_pass_over_the_waiters_of_an_ended_hub() {
    for ending in ENDINGS {
        let mut other = Other::start(ending);
        let queue = Arc::new(Queue::<u32>::unbounded());
        let semaphore = Arc::new(Semaphore::new(0));
        let mutex = Arc::new(Mutex::new(0));
        let (event, token) = (Arc::new(Event::new()), CancelToken::new());
        let held = mutex.lock().unwrap();
        for _ in 0..3 {
            let q = Arc::clone(&queue);
            drop(other.spawn(move || drop(q.get())));
            let s = Arc::clone(&semaphore);
            drop(other.spawn(move || s.acquire().forget()));
            let m = Arc::clone(&mutex);
            drop(other.spawn(move || *m.lock().unwrap() += 1));
            let (e, t, q, s) = (
                event.clone(),
                token.clone(),
                queue.clone(),
                semaphore.clone(),
            );
            drop(other.spawn(move || {
                Select::new()
                    .event(&e, || ())
                    .cancelled(&t, || ())
                    .get(&*q, drop)
                    .acquire(&s, drop)
                    .wait();
            }));
        }
        other.settle();
        other.end();
        // As many as waited there: each would be lost on one of them.
        for n in 0..6 {
            queue.put(n).unwrap();
        }
        semaphore.release(6);
        event.set();
        token.cancel();
        drop(held);
        assert_eq!(queue.len(), 6, "{ending:?}");
        assert_eq!(
            (0..6).map(|_| queue.try_get().unwrap()).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5]
        );
        assert_eq!(semaphore.available(), 6);
        assert_eq!(*mutex.lock().unwrap(), 0);
    }
}

/// What was handed to a task that never ran again goes on to another.
#[test]
fn grants_under_way_to_a_hub_that_ends_are_not_lost() {
    for round in 0..100 {
        let mut other = Other::start(ENDINGS[round % 3]);
        let queue = Arc::new(Queue::<usize>::unbounded());
        let got = Arc::new(std::sync::Mutex::new(Vec::new()));
        let semaphore = Arc::new(Semaphore::new(0));
        let entered = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let (queue, got) = (Arc::clone(&queue), Arc::clone(&got));
            drop(other.spawn(move || {
                while let Ok(n) = queue.get() {
                    // No wait between the two: what was taken is noted.
                    got.lock().unwrap().push(n);
                }
            }));
            let (semaphore, entered) = (Arc::clone(&semaphore), Arc::clone(&entered));
            drop(other.spawn(move || {
                semaphore.acquire().forget();
                entered.fetch_add(1, Ordering::SeqCst);
            }));
        }
        if round % 2 == 0 {
            other.settle();
        }
        for n in 0..10 {
            if n == round % 10 {
                other.stop.set();
            }
            queue.put(n).unwrap();
            semaphore.release(1);
        }
        other.end();
        let mut all = std::mem::take(&mut *got.lock().unwrap());
        while let Ok(n) = queue.try_get() {
            all.push(n);
        }
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>(), "round {round}");
        assert_eq!(
            semaphore.available() + entered.load(Ordering::SeqCst),
            10,
            "round {round}"
        );
    }
}

#[test]
fn what_tasks_held_comes_back_if_they_are_unwound() {
    for ending in [Ending::Run, Ending::Shutdown] {
        let mut other = Other::start(ending);
        let semaphore = Arc::new(Semaphore::new(2));
        let mutex = Arc::new(Mutex::new(()));
        let (s, m) = (Arc::clone(&semaphore), Arc::clone(&mutex));
        let holder = other.spawn(move || {
            let _permit = s.acquire();
            let _guard = m.lock();
            sleep(HOUR);
        });
        other.settle();
        assert_eq!(semaphore.available(), 1);
        assert!(mutex.try_lock().is_err());
        // Some wait for it here, and go on when that hub ends.
        let m = Arc::clone(&mutex);
        let waiter = spawn(move || drop(m.lock()));
        yield_now();
        let joiner = thread::spawn(move || holder.join());
        other.settle();
        other.end();
        waiter.join().unwrap();
        assert_eq!(semaphore.available(), 2);
        let told = joiner.join().unwrap();
        assert!(
            matches!(told, Err(JoinError::Killed | JoinError::Lost)),
            "{told:?}"
        );
    }
}

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let there = TcpStream::connect(listener.local_addr()?)?;
    Ok((listener.accept()?.0, there))
}

#[test]
fn a_socket_goes_from_hub_to_hub() {
    let hubs = [Other::start(Ending::Return), Other::start(Ending::Return)];
    let (mut here, mut there) = pair().unwrap();
    let mut byte = [0];
    for n in 0..40_u8 {
        // Now one of the others waits for it, now this one.
        let reader = hubs[usize::from(n) % 2].spawn(move || {
            let mut byte = [0];
            there.read_exact(&mut byte).unwrap();
            there.write_all(&[byte[0] + 1]).unwrap();
            (there, byte[0])
        });
        if n.is_multiple_of(3) {
            hubs[usize::from(n) % 2].settle();
        }
        here.write_all(&[n]).unwrap();
        here.read_exact(&mut byte).unwrap();
        let (back, got) = reader.join().unwrap();
        assert_eq!((got, byte[0]), (n, n + 1));
        there = back;
        here.write_all(&[n]).unwrap();
        there.read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], n);
    }
}

#[test]
fn a_socket_that_another_hub_waits_on_is_in_use_until_that_ends() {
    for ending in ENDINGS {
        let mut other = Other::start(ending);
        let (here, mut there) = pair().unwrap();
        let here = Arc::new(here);
        let same = Arc::clone(&here);
        let reader = other.spawn(move || (&*same).read(&mut [0]));
        other.settle();
        let error = (&*here).read(&mut [0]).unwrap_err();
        assert!(error.get_ref().unwrap().is::<ConcurrentUse>(), "{error}");
        other.end();
        // Nobody waits there any more.
        there.write_all(b"x").unwrap();
        let mut byte = [0];
        (&*here).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert!(matches!(
            reader.join(),
            Err(JoinError::Lost | JoinError::Killed)
        ));
    }
}

#[test]
fn a_listener_is_shared_by_turns_and_closed_from_afar() {
    let other = Other::start(Ending::Return);
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let addr = listener.local_addr().unwrap();
    for _ in 0..5 {
        let same = Arc::clone(&listener);
        let accept = other.spawn(move || same.accept().map(drop));
        drop(TcpStream::connect(addr).unwrap());
        accept.join().unwrap().unwrap();
        let client = other.spawn(move || TcpStream::connect(addr).map(drop));
        listener.accept().unwrap();
        client.join().unwrap().unwrap();
    }
    let same = Arc::clone(&listener);
    let accept = other.spawn(move || same.accept().map(drop));
    other.settle();
    listener.close();
    let error = accept.join().unwrap().unwrap_err();
    assert!(error.get_ref().unwrap().is::<greenloom::io::Closed>());
}

/// Two hubs and two plain threads work on one queue, tasks are killed and late all the while. What was put is got once;
/// what was not put is dropped once.
#[test]
fn a_queue_under_fire_loses_nothing_and_gives_nothing_twice() {
    const EACH: usize = 400;
    let hubs = [Other::start(Ending::Return), Other::start(Ending::Return)];
    let queue = Arc::new(Queue::<(usize, util::Counted)>::bounded(4));
    let (put, got) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let (drops, next) = (Drops::new(), Arc::new(AtomicUsize::new(0)));

    let produce = |patience: Option<Duration>| {
        let (queue, put, drops, next) = (queue.clone(), put.clone(), drops.clone(), next.clone());
        move || {
            for _ in 0..EACH / 8 {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let item = (n, drops.guard());
                let done = match patience {
                    None => queue.put(item).is_ok(),
                    Some(d) => queue.put_timeout(item, d).is_ok(),
                };
                if done {
                    put.note(n);
                }
            }
        }
    };
    let consume = |patience: Option<Duration>| {
        let (queue, got) = (queue.clone(), got.clone());
        move || {
            loop {
                let item = match patience {
                    None => queue.get().ok(),
                    Some(d) => match queue.get_timeout(d) {
                        Err(e) if e.is_timeout() => continue,
                        other => other.ok(),
                    },
                };
                match item {
                    Some((n, _)) => got.note(n),
                    None => return,
                }
            }
        }
    };
    let short = Some(Duration::from_micros(50));
    let mut consumers: Vec<_> = hubs.iter().map(|hub| hub.spawn(consume(None))).collect();
    consumers.extend(hubs.iter().map(|hub| hub.spawn(consume(short))));
    let plain = thread::spawn(consume(None));
    let stop = Arc::new(AtomicBool::new(false));
    // Consumers that come and are killed.
    let killer = {
        let (stop, hub) = (Arc::clone(&stop), hubs[1].hub);
        let consume = consume(None);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let victim = spawn_on(&hub, consume.clone()).unwrap();
                thread::yield_now();
                victim.kill();
                assert!(matches!(victim.join(), Ok(()) | Err(JoinError::Killed)));
            }
        })
    };
    let mut producers = Vec::new();
    let plain_producer = thread::spawn(produce(None));
    for n in 0..16 {
        producers
            .push(hubs[n % 2].spawn(produce((n % 4 == 1).then_some(Duration::from_micros(20)))));
    }
    for (n, producer) in producers.into_iter().enumerate() {
        if n % 4 == 3 {
            producer.kill();
        }
        assert!(matches!(producer.join(), Ok(()) | Err(JoinError::Killed)));
    }
    plain_producer.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    killer.join().unwrap();
    queue.close();
    for consumer in consumers {
        consumer.join().unwrap();
    }
    plain.join().unwrap();

    assert_eq!(
        drops.alive(),
        0,
        "each item is dropped once, wherever it went"
    );
    let (put, got) = (put.all(), got.all());
    let once: HashSet<_> = got.iter().copied().collect();
    assert_eq!(once.len(), got.len(), "got twice");
    assert!(put.iter().all(|n| once.contains(n)), "put and not got");
    assert!(put.len() >= EACH / 8 * 8, "{} were put", put.len());
    // A killed put may have been done, but was not noted: one for each kill at most.
    assert!(
        got.len() - put.len() <= 4,
        "{} put, {} got",
        put.len(),
        got.len()
    );
}

/// Numbers that were seen.
#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<usize>>);

impl Seen {
    fn note(&self, n: usize) {
        self.0.lock().unwrap().push(n);
    }

    fn all(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_semaphore_under_fire_has_all_its_permits_in_the_end() {
    const PERMITS: usize = 3;
    let hubs = [Other::start(Ending::Return), Other::start(Ending::Return)];
    let semaphore = Arc::new(Semaphore::new(PERMITS));
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    struct Inside(Arc<AtomicUsize>);
    impl Drop for Inside {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let work = |n: usize, rounds: usize| {
        let (semaphore, inside, most) = (semaphore.clone(), inside.clone(), most.clone());
        move || {
            for round in 0..rounds {
                let many = 1 + (n + round) % 2;
                let permit = if n.is_multiple_of(3) {
                    match semaphore.acquire_many_timeout(many, Duration::from_micros(30)) {
                        Some(permit) => permit,
                        None => continue,
                    }
                } else {
                    semaphore.acquire_many(many)
                };
                let guards: Vec<_> = (0..many)
                    .map(|_| {
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        Inside(Arc::clone(&inside))
                    })
                    .collect();
                yield_now();
                drop(guards);
                drop(permit);
            }
        }
    };
    let plain: Vec<_> = (0..2).map(|n| thread::spawn(work(n + 1, 200))).collect();
    let tasks: Vec<_> = (0..40).map(|n| hubs[n % 2].spawn(work(n, 60))).collect();
    for (n, task) in tasks.into_iter().enumerate() {
        if n % 5 == 0 {
            task.kill();
        }
        assert!(matches!(task.join(), Ok(()) | Err(JoinError::Killed)));
    }
    for thread in plain {
        thread.join().unwrap();
    }
    assert!((1..=PERMITS).contains(&most.load(Ordering::SeqCst)));
    assert_eq!(
        (semaphore.available(), inside.load(Ordering::SeqCst)),
        (PERMITS, 0)
    );
}

#[test]
fn an_event_under_fire_wakes_all_who_waited() {
    const ROUNDS: usize = 100;
    let hubs = [Other::start(Ending::Return), Other::start(Ending::Return)];
    let gates: Arc<Vec<Event>> = Arc::new((0..ROUNDS).map(|_| Event::new()).collect());
    let woken = Arc::new(AtomicUsize::new(0));
    let wait = |n: usize| {
        let (gates, woken) = (Arc::clone(&gates), Arc::clone(&woken));
        move || {
            for gate in gates.iter() {
                if n.is_multiple_of(3) {
                    // Late ones try again.
                    while !gate.wait_timeout(Duration::from_micros(20)) {}
                } else {
                    gate.wait();
                }
                woken.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let tasks: Vec<_> = (0..12).map(|n| hubs[n % 2].spawn(wait(n))).collect();
    let plain: Vec<_> = (0..2).map(|n| thread::spawn(wait(n + 1))).collect();
    // Others are killed while they wait, and take nothing from anybody.
    for (n, gate) in gates.iter().enumerate() {
        let victims: Vec<_> = hubs.iter().map(|hub| hub.spawn(wait(1))).collect();
        gate.set();
        for victim in victims {
            victim.kill();
            let end = victim.join();
            assert!(matches!(end, Err(JoinError::Killed)) || n == ROUNDS - 1 && end.is_ok());
        }
    }
    for task in tasks {
        task.join().unwrap();
    }
    for thread in plain {
        thread.join().unwrap();
    }
    assert!(woken.load(Ordering::Relaxed) >= 14 * ROUNDS);
}

/// One hub is shut down again and again in the middle of its work, while others go on with theirs.
#[test]
fn others_work_on_while_a_hub_is_shut_down() {
    let steady = Other::start(Ending::Return);
    let queue = Arc::new(Queue::<usize>::bounded(2));
    let got = Arc::new(Seen::default());
    let consume = |queue: &Arc<Queue<usize>>, got: &Arc<Seen>| {
        let (queue, got) = (Arc::clone(queue), Arc::clone(got));
        move || {
            while let Ok(n) = queue.get() {
                got.note(n);
            }
        }
    };
    let consumer = steady.spawn(consume(&queue, &got));
    const ITEMS: usize = 3000;
    let (feed, counter) = (Arc::clone(&queue), Arc::new(AtomicUsize::new(0)));
    let fed = Arc::clone(&counter);
    let producer = thread::spawn(move || {
        for n in 0..ITEMS {
            feed.put(n).unwrap();
            fed.store(n + 1, Ordering::Relaxed);
        }
    });
    let mut rounds = 0;
    while counter.load(Ordering::Relaxed) < ITEMS {
        let mut other = Other::start(ENDINGS[rounds % 3]);
        let tasks: Vec<_> = (0..3).map(|_| other.spawn(consume(&queue, &got))).collect();
        let joiner = tasks
            .into_iter()
            .map(|task| steady.spawn(move || task.join()));
        let joiners: Vec<_> = joiner.collect();
        other.end();
        for joiner in joiners {
            let told = joiner.join().unwrap();
            assert!(
                matches!(told, Err(JoinError::Killed | JoinError::Lost)),
                "{told:?}"
            );
        }
        rounds += 1;
    }
    producer.join().unwrap();
    queue.close();
    consumer.join().unwrap();
    let mut all = got.all();
    all.sort_unstable();
    assert_eq!(all, (0..ITEMS).collect::<Vec<_>>(), "after {rounds} hubs");
}
