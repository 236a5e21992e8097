//! `ThreadPool` and `Job`.

#[path = "util/sharing.rs"]
#[macro_use]
mod sharing;
#[path = "util/lonely.rs"]
mod lonely;
mod util;

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use greenloom::blocking::{Job, OffloadError, SpawnError, ThreadPool, TrySpawnError, default_pool};
use greenloom::event::Event;
use greenloom::hub::{self, Deadlock, Forked};
use greenloom::queue::{GetError, Queue};
use greenloom::task::JoinError;
use greenloom::{offload, sleep, spawn, timeout, yield_now};
use lonely::lonely;
use sharing::{LONG, panic_text, settle};
use util::Drops;

/// Holds `n` threads of `pool` until the sender is dropped.
fn hold(pool: &ThreadPool, n: usize) -> mpsc::Sender<()> {
    let (hold, held) = mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let begun = Arc::new(Barrier::new(n + 1));
    for _ in 0..n {
        let (held, begun) = (Arc::clone(&held), Arc::clone(&begun));
        let job = pool.try_spawn(move || {
            begun.wait();
            let _ = held.lock().unwrap().recv();
        });
        drop(job.unwrap());
    }
    begun.wait();
    hold
}

#[test]
fn is_send_and_sync() {
    assert!(is!(ThreadPool: Send) && is!(ThreadPool: Sync));
    assert!(is!(Job<u8>: Send) && is!(Job<u8>: Sync));
    assert!(is!(OffloadError: Send));
    assert!(is!(SpawnError<fn()>: Send) && is!(SpawnError<fn()>: Sync));
}

#[test]
fn ten_jobs_on_four_workers_use_four_threads_at_most() {
    let pool = ThreadPool::new(4);
    assert_eq!(pool.threads(), 0, "made when they are needed");
    let jobs: Vec<_> = (0..10)
        .map(|n| pool.spawn(move || (n, thread::current().id())).unwrap())
        .collect();
    let mut ids = HashSet::new();
    for (at, job) in jobs.into_iter().enumerate() {
        let (n, id) = job.join().unwrap();
        assert_eq!(n, at);
        ids.insert(id);
    }
    assert!((1..=4).contains(&ids.len()));
    assert!(pool.threads() <= 4);
}

#[test]
fn one_job_after_the_other_finds_the_same_worker() {
    let pool = ThreadPool::new(4);
    for n in 0..1000 {
        assert_eq!(pool.offload(move || n).unwrap(), n);
        // The result may be here a moment before its worker is idle.
        pool.join();
        assert_eq!(pool.threads(), 1);
    }
    assert_eq!((pool.idle(), pool.queued()), (1, 0));
}

#[test]
fn jobs_begin_in_the_order_in_which_they_came() {
    let pool = ThreadPool::new(1);
    let hold = hold(&pool, 1);
    let (tx, rx) = mpsc::channel();
    for n in 0..100 {
        let tx = tx.clone();
        drop(pool.spawn(move || tx.send(n).unwrap()).unwrap());
    }
    assert_eq!(pool.queued(), 100);
    drop((hold, tx));
    assert_eq!(rx.iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}

#[test]
fn who_finds_the_queue_full_waits_in_line() {
    let pool = Rc::new(ThreadPool::builder(1).queue_bound(1).build());
    let hold = hold(&pool, 1);
    let (tx, rx) = mpsc::channel();
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let (pool, tx, log) = (Rc::clone(&pool), tx.clone(), Rc::clone(&log));
            spawn(move || {
                drop(pool.spawn(move || tx.send(n).unwrap()).unwrap());
                log.borrow_mut().push(n);
            })
        })
        .collect();
    settle();
    assert_eq!(*log.borrow(), [0], "one has a place, three wait");
    assert_eq!(pool.queued(), 4);
    let refused = pool.try_spawn(|| 9).unwrap_err();
    assert!(refused.is_full());
    assert_eq!(refused.into_inner()(), 9);
    let late = pool.spawn_timeout(|| 8, Duration::from_millis(1));
    let late = late.unwrap_err();
    assert!(late.is_timeout());
    assert_eq!(late.into_inner()(), 8);
    let elapsed = timeout(Duration::from_millis(1), || pool.spawn_timeout(|| 7, LONG));
    assert!(
        elapsed
            .unwrap_err()
            .into_value()
            .unwrap()
            .unwrap_err()
            .is_timeout()
    );
    drop((hold, tx));
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*log.borrow(), [0, 1, 2, 3]);
    assert_eq!(rx.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn who_is_killed_while_it_waits_for_room_takes_its_job_along() {
    let drops = Drops::new();
    let pool = Rc::new(ThreadPool::builder(1).queue_bound(0).build());
    let hold = hold(&pool, 1);
    let (theirs, guard) = (Rc::clone(&pool), drops.guard());
    let killed = spawn(move || drop(theirs.spawn(move || drop(guard))));
    let theirs = Rc::clone(&pool);
    let next = spawn(move || theirs.spawn(|| 5).unwrap().join().unwrap());
    settle();
    assert_eq!(pool.queued(), 2);
    killed.kill();
    assert!(matches!(killed.join(), Err(JoinError::Killed)));
    assert_eq!((drops.dropped(), pool.queued()), (1, 1));
    drop(hold);
    assert_eq!(next.join().unwrap(), 5, "the place is the next one's");
}

#[test]
fn jobs_of_the_pool_itself_are_never_held_up_by_it() {
    let pool = Arc::new(ThreadPool::builder(1).queue_bound(0).build());
    let theirs = Arc::clone(&pool);
    let sum = pool.offload(move || {
        // Its own worker is the only one: the job is over the bound, and joined it runs here.
        let inner = theirs.spawn(|| 1).unwrap();
        let later = theirs.spawn(|| 2).unwrap();
        (inner.join().unwrap() + theirs.offload(|| 4).unwrap(), later)
    });
    let (sum, later) = sum.unwrap();
    assert_eq!(sum + later.join().unwrap(), 7);
    let theirs = Arc::clone(&pool);
    let waits_for_itself = pool.offload(move || panic_text(|| theirs.join()));
    assert!(
        waits_for_itself
            .unwrap()
            .contains("waits for the end of all its jobs")
    );
}

#[test]
fn a_job_is_joined_polled_and_timed() {
    let pool = ThreadPool::new(1);
    let hold = hold(&pool, 1);
    let job = pool.spawn(|| String::from("done")).unwrap();
    assert!(!job.is_finished());
    let job = job.try_join().unwrap_err();
    let job = job.join_timeout(Duration::from_millis(1)).unwrap_err();
    let late = timeout(Duration::from_millis(1), || job.join_timeout(LONG));
    let job = late.unwrap_err().into_value().unwrap().unwrap_err();
    drop(hold);
    assert_eq!(job.join_timeout(LONG).unwrap().unwrap(), "done");
    let job = pool.spawn(|| 3).unwrap();
    pool.join();
    assert!(job.is_finished());
    assert_eq!(job.try_join().unwrap().unwrap(), 3);
}

#[test]
fn a_job_may_be_joined_on_any_thread() {
    let pool = ThreadPool::new(2);
    let hold = hold(&pool, 2);
    let jobs: Vec<_> = (0..6).map(|n| pool.spawn(move || n).unwrap()).collect();
    let joiners: Vec<_> = jobs
        .into_iter()
        .enumerate()
        .map(|(n, job)| {
            thread::spawn(move || match n % 2 {
                0 => job.join().unwrap(),
                _ => spawn(|| job.join().unwrap()).join().unwrap(),
            })
        })
        .collect();
    drop(hold);
    let all: Vec<_> = joiners.into_iter().map(|j| j.join().unwrap()).collect();
    assert_eq!(all, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_job_that_has_not_begun_can_be_cancelled() {
    let drops = Drops::new();
    let pool = ThreadPool::builder(1).queue_bound(1).build();
    let hold = hold(&pool, 1);
    let guard = drops.guard();
    let job = pool.spawn(move || drop(guard)).unwrap();
    assert!(pool.try_spawn(|| ()).unwrap_err().is_full());
    assert!(job.cancel());
    assert_eq!((drops.dropped(), pool.queued()), (1, 0));
    assert!(job.is_finished() && !job.cancel());
    assert!(matches!(job.join(), Err(OffloadError::Cancelled)));
    let other = pool.try_spawn(|| 4).expect("its place is free");
    drop(hold);
    pool.join();
    assert!(!other.cancel(), "it is over");
    assert_eq!(other.join().unwrap(), 4);
}

#[test]
fn a_callback_gets_value_or_panic_on_the_worker() {
    let pool = ThreadPool::new(2);
    let seen = Arc::new(Queue::unbounded());
    for n in [6_u32, 0] {
        let to = Arc::clone(&seen);
        let job = pool.spawn_with(
            move || 12 / n,
            move |outcome| {
                let text = outcome.map_err(|p| sharing::text(p));
                to.put((n, text, thread::current().id())).unwrap();
            },
        );
        job.unwrap().join().unwrap();
    }
    let (n, two, there) = seen.get().unwrap();
    assert_eq!((n, two.unwrap()), (6, 2));
    assert_ne!(there, thread::current().id());
    assert_eq!(
        seen.get().unwrap().1.unwrap_err(),
        "attempt to divide by zero"
    );

    let job = pool
        .spawn_with(|| 1, |_| panic!("of the callback"))
        .unwrap();
    assert!(job.join().unwrap_err().is_panic());
    assert_eq!(pool.offload(|| 2).unwrap(), 2);
}

#[test]
fn close_refuses_what_is_new_and_finishes_the_rest() {
    let pool = Rc::new(ThreadPool::builder(2).queue_bound(3).build());
    let hold = hold(&pool, 2);
    let jobs: Vec<_> = (0..3).map(|n| pool.spawn(move || n).unwrap()).collect();
    let theirs = Rc::clone(&pool);
    let waits = spawn(move || theirs.spawn(|| 9).map(drop));
    settle();
    pool.close();
    let refused = waits.join().unwrap().unwrap_err();
    assert!(refused.is_closed());
    assert_eq!(refused.into_inner()(), 9);
    assert!(matches!(pool.spawn(|| ()), Err(SpawnError::Closed(_))));
    assert!(matches!(
        pool.try_spawn(|| ()),
        Err(TrySpawnError::Closed(_))
    ));
    assert!(matches!(pool.offload(|| ()), Err(OffloadError::Terminated)));
    assert!(
        !pool.join_timeout(Duration::from_millis(1)),
        "two are at work"
    );
    drop(hold);
    pool.join();
    assert_eq!((pool.threads(), pool.queued()), (0, 0));
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.try_join().unwrap().unwrap(), n);
    }
    pool.close();
    pool.terminate();
    pool.join();
}

#[test]
fn terminate_drops_the_queue_and_tells_who_waits() {
    let drops = Drops::new();
    let pool = Rc::new(ThreadPool::new(1));
    let hold = hold(&pool, 1);
    let begun = Rc::clone(&pool);
    let guard = drops.guard();
    let waits = spawn(move || begun.offload(move || drop(guard)));
    let guard = drops.guard();
    let job = pool.spawn(move || drop(guard)).unwrap();
    settle();
    pool.terminate();
    assert_eq!(drops.alive(), 0);
    assert!(matches!(
        waits.join().unwrap(),
        Err(OffloadError::Terminated)
    ));
    assert!(matches!(job.join(), Err(OffloadError::Terminated)));
    drop(hold);
    pool.join();
    assert_eq!(pool.threads(), 0);
}

#[test]
fn a_destructor_that_panics_at_terminate_stops_nothing() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("of a destructor");
        }
    }
    let pool = ThreadPool::new(1);
    let hold = hold(&pool, 1);
    let bad = Bad;
    drop(pool.spawn(move || drop(bad)).unwrap());
    let last = pool.spawn(|| ()).unwrap();
    pool.terminate();
    assert!(matches!(last.join(), Err(OffloadError::Terminated)));
    drop(hold);
}

#[test]
fn a_pool_that_is_dropped_finishes_what_it_has_accepted() {
    let pool = ThreadPool::new(1);
    let hold = hold(&pool, 1);
    let job = pool.spawn(|| 11).unwrap();
    drop(pool);
    drop(hold);
    assert_eq!(job.join().unwrap(), 11);
}

#[test]
fn idle_threads_end_after_their_time_and_new_ones_are_made() {
    let pool = ThreadPool::builder(2)
        .idle_expiry(Duration::from_millis(1))
        .name("brief")
        .build();
    let name = || thread::current().name().map(str::to_owned);
    assert_eq!(pool.offload(name).unwrap().as_deref(), Some("brief-0"));
    // However long that takes.
    while pool.threads() > 0 {
        sleep(Duration::from_millis(1));
    }
    assert_eq!(pool.offload(name).unwrap().as_deref(), Some("brief-1"));
}

#[test]
fn a_pool_without_a_thread_says_so_and_hands_the_closure_back() {
    let pool = ThreadPool::builder(1).stack_size(usize::MAX >> 8).build();
    match pool.spawn(|| 3) {
        Err(SpawnError::NoThread(f, _)) => assert_eq!(f(), 3),
        other => panic!("{other:?}"),
    }
    assert!(matches!(pool.offload(|| 3), Err(OffloadError::NoThread(_))));
    pool.join();
    assert_eq!((pool.threads(), pool.queued()), (0, 0));
}

#[test]
fn misuse_is_named() {
    assert!(panic_text(|| ThreadPool::new(0)).contains("needs a thread at least"));
    let error = OffloadError::Cancelled;
    assert_eq!(error.to_string(), "the job was cancelled");
    let pool = ThreadPool::new(1);
    assert!(format!("{pool:?}").contains("max_threads: 1"));
    let job = pool.spawn(|| ()).unwrap();
    pool.join();
    assert_eq!(format!("{job:?}"), "Job { finished: true, .. }");
    drop(default_pool().offload(|| ()));
    let twice = ThreadPool::builder(1).install_default().unwrap_err();
    assert_eq!(twice.kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn crowds_of_tasks_and_threads_share_a_small_pool() {
    let pool = Arc::new(ThreadPool::builder(3).queue_bound(2).build());
    let done = Arc::new(AtomicUsize::new(0));
    let (theirs, count) = (Arc::clone(&pool), Arc::clone(&done));
    sharing::crowd(2, 20, 3, move |n| {
        for i in 0..50 {
            let count = Arc::clone(&count);
            let job = theirs.spawn(move || {
                count.fetch_add(1, Ordering::SeqCst);
                n + i
            });
            assert_eq!(job.unwrap().join().unwrap(), n + i);
        }
    });
    pool.join();
    assert_eq!(done.load(Ordering::SeqCst), (2 * 20 + 3) * 50);
    assert!(pool.threads() <= 3);
}

#[test]
fn waiters_of_every_kind_leave_at_any_time_and_nothing_is_lost() {
    let pool = Arc::new(ThreadPool::builder(2).queue_bound(1).build());
    let ran = Arc::new(AtomicUsize::new(0));
    let (theirs, count) = (Arc::clone(&pool), Arc::clone(&ran));
    let accepted = Arc::new(AtomicUsize::new(0));
    let taken = Arc::clone(&accepted);
    sharing::crowd(2, 10, 1, move |n| {
        for i in 0..40_usize {
            let count = Arc::clone(&count);
            let f = move || count.fetch_add(1, Ordering::SeqCst);
            let d = Duration::from_micros((n * 7 + i) as u64 % 30);
            match theirs.spawn_timeout(f, d) {
                Ok(job) => {
                    taken.fetch_add(1, Ordering::SeqCst);
                    if i % 3 == 0 && job.cancel() {
                        taken.fetch_sub(1, Ordering::SeqCst);
                    } else if i % 3 == 1 {
                        drop(job.join_timeout(d));
                    }
                }
                Err(e) => assert!(e.is_timeout(), "{e}"),
            }
        }
    });
    pool.join();
    assert_eq!(ran.load(Ordering::SeqCst), accepted.load(Ordering::SeqCst));
}

#[test]
fn the_hub_of_one_who_waits_for_room_may_end() {
    let pool = Arc::new(ThreadPool::builder(1).queue_bound(0).build());
    let hold = hold(&pool, 1);
    let theirs = Arc::clone(&pool);
    let doomed = sharing::doomed(move || drop(theirs.spawn(|| ())));
    assert_eq!(pool.queued(), 1);
    doomed.end();
    assert_eq!(pool.queued(), 0);
    drop(hold);
    assert_eq!(pool.spawn(|| 1).unwrap().join().unwrap(), 1);
}

#[test]
fn work_in_flight_is_no_deadlock_and_idle_workers_hide_none() {
    lonely(
        "work_in_flight_is_no_deadlock_and_idle_workers_hide_none",
        || {
            // Longer than the hub is patient with a main that has no prospect.
            let slow = || thread::sleep(Duration::from_millis(150));
            spawn(|| ()).join().unwrap();
            // Their threads stay for ever.
            let lasting = |threads| ThreadPool::builder(threads).idle_expiry(Duration::MAX);
            lasting(8).install_default().unwrap();
            offload(slow).unwrap();
            // By a handle, by an event that the job sets, by the pool's end.
            let pool = lasting(1).build();
            pool.spawn(slow).unwrap().join().unwrap();
            let event = Arc::new(Event::new());
            let theirs = Arc::clone(&event);
            drop(pool.spawn(move || (slow(), theirs.set())).unwrap());
            event.wait();
            drop(pool.spawn(slow).unwrap());
            pool.join();
            assert!(default_pool().idle() + pool.idle() >= 2);

            // Two workers live, and will never do anything by themselves.
            let q = Queue::<u8>::unbounded();
            let told: Deadlock = match q.get() {
                Err(GetError::Deadlock(d)) => d,
                other => panic!("{other:?}"),
            };
            assert!(told.to_string().contains("get from queue"));
            // A killed call is no prospect any more, but its worker is at work until it is done.
            let stuck = spawn(|| offload(|| thread::sleep(Duration::from_millis(150))));
            yield_now();
            stuck.kill();
            assert!(matches!(stuck.join(), Err(JoinError::Killed)));
            assert!(matches!(q.get(), Err(GetError::Deadlock(_))));
            assert_eq!(offload(|| 7).unwrap(), 7);
        },
    );
}

#[test]
fn a_forked_child_gets_a_default_pool_of_its_own_and_no_other() {
    util::alone(
        "a_forked_child_gets_a_default_pool_of_its_own_and_no_other",
        || {
            let pool = ThreadPool::new(1);
            assert_eq!(pool.offload(|| 1).unwrap(), 1);
            assert_eq!(offload(|| 2).unwrap(), 2);
            let hold = hold(&pool, 1);
            let job = pool.spawn(|| 3).unwrap();
            // SAFETY: this test is alone in its process; the threads that there are hold no lock of libc.
            match unsafe { libc::fork() } {
                -1 => panic!("no fork"),
                0 => {
                    // SAFETY: a plain system call. The signal's default ends the process.
                    unsafe { libc::alarm(60) };
                    let failed = catch_unwind(AssertUnwindSafe(|| {
                        let forked = |e: std::io::Error| e.get_ref().unwrap().is::<Forked>();
                        // The parent's hub is refused first, and then its pool.
                        match pool.offload(|| 1) {
                            Err(OffloadError::CannotWait(e)) => assert!(forked(e)),
                            other => panic!("{other:?}"),
                        }
                        hub::reinit().unwrap();
                        match pool.spawn(|| 1) {
                            Err(SpawnError::CannotWait(_, e)) => assert!(forked(e)),
                            other => panic!("{other:?}"),
                        }
                        assert!(!job.is_finished() && !job.cancel());
                        assert!(matches!(job.join(), Err(OffloadError::CannotWait(_))));
                        assert_eq!(pool.threads(), 0);
                        pool.close();
                        drop(pool);
                        assert_eq!(default_pool().threads(), 0);
                        assert_eq!(spawn(|| offload(|| 5).unwrap()).join().unwrap(), 5);
                        assert_eq!(default_pool().threads(), 1);
                    }))
                    .is_err();
                    // SAFETY: ends the process; what else there is belongs to the parent.
                    unsafe { libc::_exit(i32::from(failed)) }
                }
                child => {
                    let mut status = 0;
                    // SAFETY: `status` is there for the call.
                    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                    assert_eq!(status, 0, "the child failed");
                }
            }
            drop(hold);
            assert_eq!(job.join().unwrap(), 3, "the parent's works on");
            assert_eq!(offload(|| 4).unwrap(), 4);
        },
    );
}
