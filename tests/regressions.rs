//! Bugs that were found, each by the test that failed because of it.

mod util;

use std::cell::Cell;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use greenloom::executor::TaskExecutor;
use greenloom::greenlet::{Current, PanicPolicy, scope, set_panic_policy};
use greenloom::net::{TcpStream, UdpSocket};
use greenloom::pool::Pool;
use greenloom::queue::Queue;
use greenloom::server::{DatagramServer, StreamServer};
use greenloom::signal::SignalKind;
use greenloom::task::{self, Builder, JoinError};
use greenloom::{hub, sleep, spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs `f` on a thread of its own, and fails if it hangs.
#[track_caller]
fn in_time<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (tx, rx) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = tx.send(f());
    });
    match rx.recv_timeout(Duration::from_secs(20)) {
        Ok(value) => {
            thread.join().expect("it has sent its value");
            value
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("it ended without a value"),
        },
    }
}

/// How many pages of memory this process uses.
fn resident_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The end of a daemon woke nobody who waited for it.
#[test]
fn shutdown_notices_the_end_of_daemons() {
    let drops = Drops::new();
    let guard = drops.guard();
    let done = in_time(move || {
        let daemon = Builder::new().daemon().spawn(move || {
            let _guard = guard;
            sleep(HOUR);
        });
        drop(daemon.unwrap());
        yield_now();
        hub::shutdown(Duration::ZERO)
    });
    assert_eq!((done.finished, done.killed, done.left), (0, 1, 0));
    assert_eq!(drops.alive(), 0);
}

/// Rounds were told apart by the number of tasks, which does not go down if each that ends spawns another.
#[test]
fn shutdown_ends_what_destructors_spawn() {
    struct Spawns(u32, Drops);
    impl Drop for Spawns {
        fn drop(&mut self) {
            if self.0 > 0 {
                let next = Spawns(self.0 - 1, self.1.clone());
                let guard = self.1.guard();
                drop(spawn(move || {
                    let _held = (next, guard);
                    sleep(HOUR);
                }));
            }
        }
    }
    let drops = Drops::new();
    let first = Spawns(3, drops.clone());
    let done = in_time(move || {
        drop(spawn(move || {
            let _first = first;
            sleep(HOUR);
        }));
        yield_now();
        hub::shutdown(Duration::ZERO)
    });
    assert_eq!(done.left, 0);
    assert_eq!((drops.dropped(), drops.alive()), (3, 0));
}

/// A sleep whose time had passed before it began returned at once: it neither let others run nor was killed.
#[test]
fn the_shortest_sleep_gives_way_and_can_be_killed() {
    let killed = in_time(|| {
        let sleeper = spawn(|| {
            loop {
                sleep(Duration::from_nanos(1));
            }
        });
        let other = spawn(|| 7);
        assert_eq!(other.join().unwrap(), 7);
        sleeper.kill();
        matches!(sleeper.join(), Err(JoinError::Killed))
    });
    assert!(killed);
}

/// A deadline was delivered again and again to a body that swallowed it, and nobody else ever ran.
#[test]
fn a_body_that_swallows_its_deadline_gives_way_to_others() {
    in_time(|| {
        let done = Rc::new(Cell::new(false));
        let swallower = {
            let done = Rc::clone(&done);
            spawn(move || {
                timeout(Duration::ZERO, || {
                    while !done.get() {
                        let _ = catch_unwind(|| sleep(HOUR));
                    }
                })
                .is_err()
            })
        };
        let other = spawn(move || {
            yield_now();
            done.set(true);
        });
        other.join().unwrap();
        assert!(swallower.join().unwrap());
    });
}

/// What a remote `try_join` asked for was thrown away before the other hub could answer, each time.
#[test]
fn polling_a_task_of_another_thread_gets_its_value() {
    let (tx, rx) = mpsc::channel();
    let (done_tx, done_rx) = mpsc::channel::<()>();
    let owner = std::thread::spawn(move || {
        tx.send(spawn(|| String::from("value"))).unwrap();
        while done_rx.try_recv().is_err() {
            sleep(Duration::from_millis(1));
        }
    });
    let value = in_time(move || {
        let mut handle = rx.recv().unwrap();
        loop {
            match handle.try_join() {
                Ok(result) => break result.unwrap(),
                Err(back) => handle = back,
            }
        }
    });
    assert_eq!(value, "value");
    done_tx.send(()).unwrap();
    owner.join().unwrap();
}

/// Each join with a limit left a record of itself with a task of another thread, until that ended.
#[test]
fn remote_joins_that_gave_up_leave_nothing_with_the_task() {
    util::alone(
        "remote_joins_that_gave_up_leave_nothing_with_the_task",
        || {
            let (tx, rx) = mpsc::channel();
            let owner = std::thread::spawn(move || {
                tx.send(spawn(|| sleep(HOUR))).unwrap();
                hub::run_until_idle(None);
            });
            let mut handle = rx.recv().unwrap();
            let mut before = 0;
            for round in 0..100_000 {
                if round == 20_000 {
                    before = resident_pages();
                }
                handle = handle.join_timeout(Duration::from_nanos(1)).unwrap_err();
                if round % 64 == 0 {
                    // Answered in order: the other hub has read all that was asked before.
                    let there = task::spawn_on(&handle.hub(), || ()).unwrap();
                    there.join().unwrap();
                }
            }
            let grown = resident_pages().saturating_sub(before);
            if !cfg!(feature = "sanitizer") {
                assert!(grown < 1024, "{grown} more pages are in use");
            }
            handle.kill();
            owner.join().unwrap();
        },
    );
}
/// Notes that its destructor, which gives way many times, has come to its end.
struct SlowDrop(Rc<Cell<bool>>);

impl Drop for SlowDrop {
    fn drop(&mut self) {
        /// Also where a kill breaks it off.
        struct End<'a>(&'a Cell<bool>);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let _end = End(&self.0);
        for _ in 0..20 {
            yield_now();
        }
    }
}

/// The value of a greenlet whose parent is dead is dropped on the greenlet's own stack. The scope used to forget such a
/// greenlet before that, and could end while the destructor was parked, with what it borrowed.
#[test]
fn a_scope_waits_for_the_destructor_of_a_value_that_goes_nowhere() {
    let dropped = Rc::new(Cell::new(false));
    let theirs = dropped.clone();
    let opener = spawn(move || {
        scope(|s, me: &Current<()>| {
            let parent = s.spawn(me, |_: &Current<SlowDrop, ()>, _: SlowDrop| ());
            let child = s.spawn(&parent, |_: &Current<(), SlowDrop>, ()| SlowDrop(theirs));
            s.reap(&parent);
            let _ = me.switch(&child, ());
        });
    });
    yield_now();
    assert!(!dropped.get());
    opener.kill();
    assert!(opener.join().unwrap_err().is_killed());
    assert!(dropped.get(), "the scope ended before the destructor");
}

/// A task had ended, and another thread had asked for its result, when the task's thread ended before its hub's next turn.
#[test]
fn a_result_asked_for_in_time_outlives_its_thread() {
    in_time(|| {
        let (tx, rx) = mpsc::channel();
        let (asked_tx, asked_rx) = mpsc::channel::<()>();
        let owner = std::thread::spawn(move || {
            let task = spawn(|| String::from("kept"));
            yield_now();
            assert!(task.is_finished());
            tx.send(task).unwrap();
            // A wait of the thread, not of the hub: no turn comes after this.
            asked_rx.recv().unwrap();
        });
        let task = rx.recv().unwrap();
        let joiner = std::thread::spawn(move || {
            // The request is sent before the wait begins, so one that has timed out was sent.
            match task.join_timeout(Duration::from_millis(1)) {
                Ok(result) => result,
                Err(task) => {
                    let again = spawn(move || task.join());
                    yield_now();
                    asked_tx.send(()).unwrap();
                    again.join().unwrap()
                }
            }
        });
        assert_eq!(joiner.join().unwrap().unwrap(), "kept");
        owner.join().unwrap();
    });
}

/// A link of a task that had ended was lost when the thread ended before its hub's next turn.
#[test]
fn links_of_ended_tasks_run_although_the_thread_ends() {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        let task = spawn(|| ());
        yield_now();
        task.on_done(move |outcome| tx.send(outcome).unwrap());
    })
    .join()
    .unwrap();
    assert_eq!(rx.recv(), Ok(greenloom::task::Outcome::Returned));
}

/// The result of a task that ended on another thread could not be had by `try_join`, ever.
#[test]
fn try_join_gets_what_ended_on_another_thread() {
    in_time(|| {
        let (tx, rx) = mpsc::channel();
        let (done_tx, done_rx) = mpsc::channel::<()>();
        let owner = std::thread::spawn(move || {
            tx.send(spawn(|| 7)).unwrap();
            while done_rx.try_recv() == Err(mpsc::TryRecvError::Empty) {
                sleep(Duration::from_micros(100));
            }
        });
        let mut task = rx.recv().unwrap();
        let seven = loop {
            match task.try_join() {
                Ok(result) => break result.unwrap(),
                Err(again) => task = again,
            }
        };
        assert_eq!(seven, 7);
        done_tx.send(()).unwrap();
        owner.join().unwrap();
    });
}

/// A task that had ended but was not joined when its thread ended was lost to who joined it later.
#[test]
fn a_result_outlives_the_thread_of_its_task() {
    let drops = Drops::new();
    let guard = drops.guard();
    let (value, panicked, killed, unfinished) = std::thread::spawn(move || {
        let value = spawn(move || (guard, String::from("kept")));
        let panicked = spawn(|| {
            std::panic::resume_unwind(Box::new("kept too"));
        });
        let killed = spawn(|| ());
        killed.kill();
        let unfinished = spawn(|| sleep(HOUR));
        yield_now();
        (value, panicked, killed, unfinished)
    })
    .join()
    .unwrap();
    assert!(value.is_finished() && unfinished.is_finished());
    let (guard, text) = value.join().unwrap();
    assert_eq!(text, "kept");
    drop(guard);
    assert_eq!(drops.alive(), 0);
    let panicked: task::JoinHandle<()> = panicked;
    let results = greenloom::join_all([panicked, killed, unfinished], None);
    let [Err(panicked), Err(killed), Err(unfinished)] = &results[..] else {
        panic!("{results:?}");
    };
    assert!(panicked.is_panic() && killed.is_killed());
    assert!(matches!(unfinished, JoinError::Lost));
}

/// The same while the thread is ending, over and over: the result arrives one way or the other.
#[test]
fn a_result_arrives_however_the_join_meets_the_end_of_the_thread() {
    for n in 0..200_u32 {
        let (tx, rx) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let task = spawn(move || n);
            yield_now();
            tx.send(task).unwrap();
        });
        let task = rx.recv().unwrap();
        assert_eq!(task.join().unwrap(), n);
        thread.join().unwrap();
    }
}

/// The captures of a task that was killed before it began were dropped where the first wait of a destructor was met by
/// that kill, and went no further.
#[test]
fn captures_of_a_task_killed_before_the_start_may_wait_when_dropped() {
    struct Waits(Rc<Cell<u32>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            yield_now();
            sleep(Duration::from_millis(1));
            self.0.set(self.0.get() + 1);
        }
    }
    let waited = Rc::new(Cell::new(0));
    for named in [false, true] {
        let waits = Waits(Rc::clone(&waited));
        let task = match named {
            true => Builder::new()
                .name("named")
                .spawn(move || drop(waits))
                .unwrap(),
            false => spawn(move || drop(waits)),
        };
        task.kill();
        assert!(matches!(task.join(), Err(JoinError::Killed)));
    }
    assert_eq!(waited.get(), 2);
}

/// A getter that was granted an item took the oldest of all that had been handed out, and so came by one that was older
/// than what it had got before: another's, which had not run yet.
#[test]
fn a_getter_takes_what_it_was_given_and_not_what_another_was() {
    hub::simulate_seeds(0..500, |_| {
        let queue = Rc::new(Queue::unbounded());
        let getters: Vec<_> = (0..2)
            .map(|_| {
                let queue = Rc::clone(&queue);
                spawn(move || queue.iter().collect::<Vec<u32>>())
            })
            .collect();
        for n in 0..8 {
            yield_now();
            queue.put(n).unwrap();
        }
        queue.close();
        for getter in getters {
            let got = getter.join().unwrap();
            assert!(got.is_sorted(), "in the order of their puts: {got:?}");
        }
    });
}

/// Sleeps shorter than a millisecond until the hub has made the timer for such.
fn make_fine_timer() {
    // Without a hub they are the system's.
    spawn(|| ()).join().unwrap();
    let is_timer = |entry: std::io::Result<std::fs::DirEntry>| {
        let link = std::fs::read_link(entry.unwrap().path());
        link.is_ok_and(|to| to.to_string_lossy().contains("timerfd"))
    };
    while !std::fs::read_dir("/proc/self/fd").unwrap().any(is_timer) {
        sleep(Duration::from_micros(200));
    }
}

/// Whether `f` returns true in a forked child.
fn in_child(f: impl FnOnce() -> bool) -> bool {
    // SAFETY: no other thread of this process holds anything that the child needs: the test runs alone, and the
    // thread that it started has been joined.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: a plain system call. The signal's default ends the process.
            unsafe { libc::alarm(60) };
            let good = catch_unwind(std::panic::AssertUnwindSafe(f)).is_ok_and(|good| good);
            // SAFETY: ends the process; what else there is belongs to the parent.
            unsafe { libc::_exit(i32::from(!good)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is there for the call.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
}

/// A child that asked for its own hub kept descriptors of its parent's: three more in each generation.
#[test]
fn a_forked_childs_own_hub_has_no_descriptor_of_the_parents() {
    fn generations(left: u32, expected: usize) -> bool {
        hub::reinit().unwrap();
        make_fine_timer();
        let here = hub::current_handle();
        let far = std::thread::spawn(move || task::spawn_on(&here, || 7).unwrap().join().unwrap());
        while !far.is_finished() {
            yield_now();
        }
        assert_eq!(far.join().unwrap(), 7);
        assert_eq!(util::open_fds(), expected);
        left == 0 || in_child(move || generations(left - 1, expected))
    }

    util::alone(
        "a_forked_childs_own_hub_has_no_descriptor_of_the_parents",
        || {
            make_fine_timer();
            let expected = util::open_fds();
            assert!(generations(3, expected));
        },
    );
}

/// A small task that had named itself was without a name in the report of its panic: that came after its stack was given
/// back, and the name with it.
#[test]
fn a_task_that_named_itself_is_reported_by_that_name() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    fn name_myself() {
        scope(|_, me: &Current<()>| me.set_name("self-made"));
    }
    util::alone("a_task_that_named_itself_is_reported_by_that_name", || {
        let (tx, rx) = mpsc::channel();
        set_panic_policy(PanicPolicy::Custom(Arc::new(move |panic| {
            let told = (
                panic.name().map(String::from),
                panic.message() == Some("dropped"),
            );
            tx.send(told).unwrap();
        })));
        for drop_early in [true, false] {
            let panics = spawn(|| -> () {
                name_myself();
                std::panic::resume_unwind(Box::new("ran"));
            });
            let returns = spawn(|| {
                name_myself();
                Bomb
            });
            if !drop_early {
                yield_now();
                assert!(panics.is_finished() && returns.is_finished());
            }
            drop((panics, returns));
            assert!(hub::run_until_idle(None));
            yield_now();
            let mut told: Vec<_> = rx.try_iter().collect();
            told.sort();
            let named = |dropped| (Some(String::from("self-made")), dropped);
            assert_eq!(
                told,
                [named(false), named(true)],
                "dropped early: {drop_early}"
            );
            // The next one in the same place has none.
            drop(spawn(|| -> () {
                std::panic::resume_unwind(Box::new("ran"))
            }));
            yield_now();
            yield_now();
            assert_eq!(rx.try_iter().collect::<Vec<_>>(), [(None, false)]);
        }
    });
}

/// The tasks of connections, datagrams, signals and `imap` counted as spawned in files of this crate.
#[test]
fn tasks_that_come_later_are_spawned_where_the_user_asked_for_them() {
    /// File of the spawn site of the task that calls it.
    fn my_site() -> &'static str {
        let tasks = task::list();
        let me = tasks.iter().find(|t| t.id == task::id()).unwrap();
        me.spawned_at.unwrap().file()
    }
    in_time(|| {
        let told = Arc::new(Queue::unbounded());
        let tell = || {
            let told = Arc::clone(&told);
            move || told.put(my_site()).unwrap()
        };
        let (tcp, tcp_hubs, udp, signal) = (tell(), tell(), tell(), tell());
        let any = "127.0.0.1:0";
        let tcp = StreamServer::builder(any).serve(move |_, _| tcp()).unwrap();
        let tcp_hubs = StreamServer::builder(any)
            .hubs(std::num::NonZeroUsize::MIN)
            .serve(move |_, _| tcp_hubs())
            .unwrap();
        let udp = DatagramServer::builder(any)
            .serve(move |_, _, _| udp())
            .unwrap();
        let _handler = greenloom::signal::on(SignalKind::USER2, signal).unwrap();

        let _clients = [&tcp, &tcp_hubs].map(|s| TcpStream::connect(s.local_addr()).unwrap());
        let client = UdpSocket::bind(any).unwrap();
        client.send_to(b"!", udp.local_addr()).unwrap();
        // SAFETY: a plain system call; the signal has a handler.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
        for _ in 0..4 {
            assert_eq!(told.get().unwrap(), file!());
        }
        // Those of pools and executors that come later than the call they are for, too.
        let pool = Pool::new(1);
        assert!(
            pool.imap(0..2, |_| my_site())
                .all(|site| site.unwrap() == file!())
        );
        let job = TaskExecutor::new(1).submit(my_site).unwrap();
        assert_eq!(job.result().unwrap(), file!());
        // And that of the task which accepts.
        assert!(
            task::list()
                .iter()
                .all(|t| t.spawned_at.unwrap().file() == file!())
        );
        tcp.stop(Duration::ZERO);
        tcp_hubs.stop(Duration::ZERO);
        udp.stop(Duration::ZERO);
    });
}

/// A child whose first `reinit` got no descriptor lost the limits of its hub: the second one made a hub without any.
#[test]
fn a_reinit_that_failed_can_be_repeated_and_keeps_the_limits() {
    util::alone(
        "a_reinit_that_failed_can_be_repeated_and_keeps_the_limits",
        || {
            hub::Hub::builder().max_tasks(1).start().unwrap();
            let as_limited = in_child(|| {
                let mut limit = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                // SAFETY: `limit` is there for the call.
                let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
                assert_eq!(got, 0);
                let before = limit;
                limit.rlim_cur = 3;
                // SAFETY: as above.
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
                assert!(hub::reinit().is_err());
                assert!(task::try_spawn(|| ()).is_err(), "forked still");
                // SAFETY: as above.
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &before) }, 0);
                hub::reinit().unwrap();
                let one = spawn(|| ());
                let refused = task::try_spawn(|| ()).unwrap_err();
                assert!(refused.get_ref().unwrap().is::<hub::LimitReached>());
                one.join().unwrap();
                true
            });
            assert!(as_limited);
        },
    );
}
