//! `fork` with a live hub.

mod util;

use std::io;
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::hub::{self, Forked};
use greenloom::task::{self, JoinError};
use greenloom::time::Instant;
use greenloom::{greenlet, sleep, spawn, timeout, yield_now};
use util::Drops;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs `body` in a forked child and returns its wait status. A child whose `body` returns exits with 0; one that panics
/// with 1.
#[track_caller]
fn in_fork(body: impl FnOnce()) -> i32 {
    // SAFETY: these tests run alone in their process, whose other thread, the harness's, only waits.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork: {}", io::Error::last_os_error()),
        0 => {
            // SAFETY: a plain system call. The signal's default ends the process.
            unsafe { libc::alarm(60) };
            let failed = catch_unwind(AssertUnwindSafe(body)).is_err();
            // SAFETY: ends the process; what else there is belongs to the parent.
            unsafe { libc::_exit(i32::from(failed)) }
        }
        child => wait(child),
    }
}

fn wait(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is there for the call.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(waited, child);
    status
}

fn exit_code(status: i32) -> Option<i32> {
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

fn is_forked(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|e| e.is::<Forked>())
}

#[test]
fn the_parents_hub_is_refused_in_the_child() {
    util::alone("the_parents_hub_is_refused_in_the_child", || {
        let sleeper = spawn(|| sleep(HOUR));
        yield_now();
        let mut sleeper = Some(sleeper);
        let status = in_fork(|| {
            assert!(is_forked(&task::try_spawn(|| 1).unwrap_err()));
            assert!(catch_unwind(|| sleep(Duration::from_millis(1))).is_err());
            assert!(catch_unwind(|| timeout(HOUR, || ())).is_err());
            assert!(catch_unwind(|| hub::run_until_idle(None)).is_err());
            match sleeper.take().unwrap().join() {
                Err(JoinError::CannotWait(e)) => assert!(is_forked(&e), "{e}"),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(exit_code(status), Some(0));
        let sleeper = sleeper.take().unwrap();
        assert!(!sleeper.is_finished());
        sleeper.kill();
        assert!(matches!(sleeper.join(), Err(JoinError::Killed)));
    });
}

#[test]
fn reinit_gives_the_child_a_hub_of_its_own() {
    util::alone("reinit_gives_the_child_a_hub_of_its_own", || {
        let drops = Drops::new();
        let guard = drops.guard();
        let sleeper = spawn(move || {
            let _guard = guard;
            sleep(HOUR);
        });
        let ready = spawn(yield_now);
        yield_now();
        let status = in_fork(|| {
            hub::reinit().unwrap();
            hub::reinit().unwrap();
            assert_eq!(spawn(|| 7).join().unwrap(), 7);
            sleep(Duration::from_millis(1));
            let t = spawn(|| sleep(HOUR));
            assert!(timeout(Duration::from_millis(1), || sleep(HOUR)).is_err());
            t.kill();
            assert!(matches!(t.join(), Err(JoinError::Killed)));
            // The parent's tasks are not this hub's: nothing is left here.
            assert!(hub::run_until_idle(None));
            let done = hub::shutdown(Duration::ZERO);
            assert_eq!((done.finished, done.killed, done.left), (0, 0, 0));
            yield_now();
            sleep(Duration::from_millis(1));
            assert_eq!(drops.dropped(), 0);
        });
        assert_eq!(exit_code(status), Some(0));
        // The parent lost nothing.
        ready.join().unwrap();
        assert_eq!(drops.alive(), 1);
        sleeper.kill();
        assert!(matches!(sleeper.join(), Err(JoinError::Killed)));
        assert_eq!(drops.alive(), 0);
        sleep(Duration::from_millis(1));
    });
}

#[test]
fn the_body_of_the_task_that_forked_does_not_return_in_the_child() {
    util::alone(
        "the_body_of_the_task_that_forked_does_not_return_in_the_child",
        || {
            for reinit in [false, true] {
                // SAFETY: as in `in_fork`.
                let pid = spawn(move || unsafe {
                    let pid = libc::fork();
                    if pid == 0 {
                        libc::alarm(60);
                        let ok = catch_unwind(|| {
                            if reinit {
                                hub::reinit().unwrap();
                                assert_eq!(spawn(|| 7).join().unwrap(), 7);
                                // The task that forked is not counted among this hub's.
                                let other = spawn(|| sleep(Duration::from_millis(20)));
                                assert!(hub::run_until_idle(None));
                                assert!(other.is_finished());
                            }
                        });
                        if ok.is_err() {
                            libc::_exit(1);
                        }
                    }
                    pid
                })
                .join()
                .unwrap();
                assert_eq!(exit_code(wait(pid)), Some(70), "reinit: {reinit}");
            }
        },
    );
}

#[test]
fn a_task_that_forked_and_waits_in_the_child_ends_it() {
    util::alone("a_task_that_forked_and_waits_in_the_child_ends_it", || {
        // SAFETY: as in `in_fork`.
        let pid = spawn(move || unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::alarm(60);
                // A plain thread's yield; the sleep is refused by a panic, which ends the body.
                yield_now();
                sleep(HOUR);
            }
            pid
        })
        .join()
        .unwrap();
        assert_eq!(exit_code(wait(pid)), Some(70));
    });
}

#[test]
fn a_slot_that_the_forked_greenlet_left_is_as_good_as_any() {
    util::alone(
        "a_slot_that_the_forked_greenlet_left_is_as_good_as_any",
        || {
            drop(spawn(|| ()));
            yield_now();
            let here = std::process::id();
            let status = greenlet::scope(|s, me: &greenlet::Current<Option<i32>>| {
                let g = s.spawn(me, |_: &greenlet::Current<(), Option<i32>>, ()| {
                    // SAFETY: as in `in_fork`.
                    match unsafe { libc::fork() } {
                        0 => None,
                        pid => Some(wait(pid)),
                    }
                });
                me.switch(&g, ()).unwrap()
            });
            if std::process::id() != here {
                // The greenlet that forked has ended in the child, and its parent goes on.
                let ok = catch_unwind(|| {
                    hub::reinit().unwrap();
                    // Takes the slot that was freed last.
                    assert_eq!(spawn(|| 7).join().unwrap(), 7);
                });
                // SAFETY: ends the process; what else there is belongs to the parent.
                unsafe { libc::_exit(i32::from(ok.is_err())) }
            }
            assert_eq!(exit_code(status.unwrap()), Some(0));
        },
    );
}

#[test]
fn the_parent_loses_no_event_to_the_child() {
    util::alone("the_parent_loses_no_event_to_the_child", || {
        let (hub_tx, hub_rx) = std::sync::mpsc::channel();
        let sleeper = spawn(|| {
            sleep(Duration::from_millis(30));
            3
        });
        let far = std::thread::spawn(move || {
            let hub: hub::HubHandle = hub_rx.recv().unwrap();
            (0..100)
                .map(|n| task::spawn_on(&hub, move || n).unwrap().join().unwrap())
                .sum::<i32>()
        });
        let mut pipe = [0; 2];
        // SAFETY: room for two descriptors, of which `File`s take over both.
        let (read, write) = unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            (
                std::fs::File::from_raw_fd(pipe[0]),
                std::fs::File::from_raw_fd(pipe[1]),
            )
        };
        // SAFETY: as in `in_fork`; the child of a process with threads only reads, waits and exits.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop(write);
            let ok = catch_unwind(|| {
                hub::reinit().unwrap();
                assert_eq!(spawn(|| 7).join().unwrap(), 7);
                let mut byte = 0u8;
                // Lives on until the parent has seen all of its events.
                // SAFETY: room for one byte.
                unsafe { libc::read(pipe[0], (&raw mut byte).cast(), 1) };
            });
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(ok.is_err())) }
        }
        drop(read);
        hub_tx.send(hub::current_handle()).unwrap();
        assert_eq!(sleeper.join().unwrap(), 3);
        while !far.is_finished() {
            sleep(Duration::from_millis(1));
        }
        assert_eq!(far.join().unwrap(), 4950);
        drop(write);
        assert_eq!(exit_code(wait(pid)), Some(0));
    });
}

#[test]
fn tasks_that_have_not_started_or_have_ended_stay_the_parents() {
    util::alone(
        "tasks_that_have_not_started_or_have_ended_stay_the_parents",
        || {
            let drops = Drops::new();
            let ended = [drops.guard(), drops.guard()].map(|guard| spawn(move || guard));
            yield_now();
            let guard = drops.guard();
            let unstarted = spawn(move || drop(guard));
            let [fetched, kept] = ended;
            let mut fetched = Some(fetched);
            let status = in_fork(|| {
                hub::reinit().unwrap();
                assert!(task::list().is_empty());
                // The parent has it.
                let fetched = fetched.take().unwrap();
                assert!(fetched.is_finished());
                assert!(matches!(fetched.join(), Err(JoinError::Lost)));
                assert!(unstarted.is_finished());
                // Nor does any task of this hub take the place of one of theirs.
                let own: Vec<_> = (0..500).map(|n| spawn(move || n)).collect();
                let sum: u32 = own.into_iter().map(|t| t.join().unwrap()).sum();
                assert_eq!(sum, 500 * 499 / 2);
                assert!(hub::run_until_idle(None));
                assert_eq!(drops.dropped(), 0);
            });
            assert_eq!(exit_code(status), Some(0));
            assert_eq!(task::list().len(), 1);
            drop(fetched.take().unwrap().join().unwrap());
            drop(kept.join().unwrap());
            unstarted.join().unwrap();
            assert_eq!(drops.alive(), 0);
        },
    );
}

#[test]
fn a_simulation_goes_on_in_a_child_that_asks_for_its_own_hub() {
    util::alone(
        "a_simulation_goes_on_in_a_child_that_asks_for_its_own_hub",
        || {
            hub::Hub::builder().simulate(1).start().unwrap();
            let begin = Instant::now();
            sleep(HOUR);
            let status = in_fork(|| {
                assert_eq!(begin.elapsed(), HOUR);
                hub::reinit().unwrap();
                spawn(|| sleep(HOUR)).join().unwrap();
                assert_eq!(begin.elapsed(), 2 * HOUR);
                let stuck = spawn(task::park).join();
                assert!(matches!(stuck, Err(JoinError::Deadlock(_))));
            });
            assert_eq!(exit_code(status), Some(0));
            assert_eq!(begin.elapsed(), HOUR);
        },
    );
}
