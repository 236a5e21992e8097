//! Bugs that were found, each by the test that failed because of it.

mod util;

use std::sync::mpsc;
use std::time::Duration;


use greenloom::task::Builder;
use greenloom::{hub, sleep, spawn, yield_now};
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
