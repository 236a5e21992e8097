//! A hub that looks out for a while before it blocks: it delivers the same.
//!
//! That it spun is read from its counters. How long it does is a matter of the machine, so most tests ask for the longest
//! spin, in which what they wait for comes, and for the shortest, in which nothing does.

#[path = "util/lonely.rs"]
mod lonely;
mod util;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use greenloom::hub::{self, Hub, HubHandle};
use greenloom::inspect::{self, Counters};
use greenloom::net::{TcpListener, TcpStream};
use greenloom::queue::channel;
use greenloom::server::StreamServer;
use greenloom::signal::{self, SignalKind};
use greenloom::task::{self, spawn_on};
use greenloom::time::Instant;
use greenloom::{sleep, spawn, yield_now};
use lonely::lonely;

const NS: Duration = Duration::from_nanos(1);
const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs `f` on a thread whose hub spins for so long.
#[track_caller]
fn spinning<R: Send + 'static>(spin: Duration, f: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = std::thread::spawn(move || {
        Hub::builder().spin(spin).start().unwrap();
        f()
    });
    match thread.join() {
        Ok(value) => value,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

/// All that there were, and those in vain.
fn spins() -> (u64, u64) {
    let Counters {
        spins,
        spins_in_vain,
        ..
    } = inspect::counters();
    (spins, spins_in_vain)
}

#[test]
fn it_is_off_unless_it_is_asked_for() {
    let sleeps = || {
        spawn(|| sleep(MS)).join().unwrap();
        assert_eq!(spins(), (0, 0));
    };
    std::thread::spawn(sleeps).join().unwrap();
    spinning(Duration::ZERO, sleeps);
}

#[test]
fn a_spin_ends_at_the_next_deadline_and_is_not_in_vain_then() {
    spinning(Duration::MAX, || {
        for d in [NS, US, 300 * US, MS, 3 * MS] {
            let begin = Instant::now();
            sleep(d);
            assert!(begin.elapsed() >= d);
        }
        // A machine that is busy elsewhere may let a deadline pass before the hub looks: then there is nothing to wait for.
        while spins().0 == 0 {
            sleep(9 * MS);
        }
        assert_eq!(spins().1, 0, "the longest spin outlasts each of these");
    });
}

#[test]
fn a_spin_ends_in_the_sleep_that_there_would_be_without_it() {
    spinning(NS, || {
        while spins().1 == 0 {
            let begin = Instant::now();
            sleep(20 * MS);
            assert!(begin.elapsed() >= 20 * MS);
        }
    });
}

#[test]
fn what_is_longer_than_the_longest_is_cut_to_it() {
    spinning(Duration::MAX, || {
        // Ends if it ever blocks.
        while spins().1 == 0 {
            sleep(100 * MS);
        }
    });
}

#[test]
fn sleepers_with_one_deadline_wake_in_the_order_they_slept() {
    spinning(MS, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let deadline = Instant::now() + 3 * MS;
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let log = Rc::clone(&log);
                spawn(move || {
                    greenloom::time::sleep_until(deadline);
                    log.borrow_mut().push(n);
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        assert!(log.borrow().iter().copied().eq(0..100));
    });
}

#[test]
fn bytes_come_to_a_reader_whether_the_hub_spins_or_has_gone_to_sleep() {
    for spin in [NS, 20 * US, Duration::MAX] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let echo = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut byte = [0];
            while peer.read(&mut byte).unwrap() == 1 {
                peer.write_all(&byte).unwrap();
            }
        });
        let (all, in_vain) = spinning(spin, move || {
            let mut stream = TcpStream::connect(address).unwrap();
            for n in 0..500u32 {
                let byte = [n as u8];
                stream.write_all(&byte).unwrap();
                let mut reply = [0];
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(reply, byte);
            }
            spins()
        });
        echo.join().unwrap();
        assert!(all >= 1 && in_vain <= all, "{all}, {in_vain}");
    }
}

#[test]
fn wakes_of_other_threads_come_to_a_hub_that_waits_for_nothing_else() {
    for spin in [NS, 20 * US, Duration::MAX] {
        spinning(spin, || {
            let (asks, asked) = mpsc::channel::<task::Task>();
            let waker = std::thread::spawn(move || {
                for task in asked {
                    task.unpark();
                }
            });
            let task = spawn(move || {
                for _ in 0..500 {
                    asks.send(task::current()).unwrap();
                    task::park();
                }
            });
            task.join().unwrap();
            waker.join().unwrap();
            assert!(spins().0 >= 1);
        });
    }
}

#[test]
fn two_spinning_hubs_hand_each_other_everything() {
    for spin in [NS, 50 * US] {
        let (tx, rx) = mpsc::channel::<HubHandle>();
        let (pings, pinged) = channel::<u32>(0);
        let (pongs, ponged) = channel::<u32>(0);
        let other = std::thread::spawn(move || {
            Hub::builder().spin(spin).start().unwrap();
            hub::run(|| {
                tx.send(hub::current_handle()).unwrap();
                for n in pinged.iter() {
                    pongs.send(n).unwrap();
                }
            });
        });
        let their_hub = rx.recv().unwrap();
        spinning(spin, move || {
            for n in 0..500 {
                pings.send(n).unwrap();
                assert_eq!(ponged.recv().unwrap(), n);
                let task = spawn_on(&their_hub, move || n + 1).unwrap();
                assert_eq!(task.join().unwrap(), n + 1);
            }
        });
        other.join().unwrap();
    }
}

#[test]
fn a_poll_of_the_spin_loses_no_signal() {
    lonely("a_poll_of_the_spin_loses_no_signal", || {
        for spin in [20 * US, Duration::MAX] {
            spinning(spin, || {
                let signals = signal::stream(SignalKind::USER1).unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                // Somebody waits for a descriptor, so the spin polls.
                let waits = spawn(move || drop(listener.accept()));
                yield_now();
                let (asks, asked) = mpsc::channel::<()>();
                let sender = std::thread::spawn(move || {
                    for () in asked {
                        // SAFETY: plain numbers.
                        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
                    }
                });
                for _ in 0..200 {
                    asks.send(()).unwrap();
                    signals.recv().unwrap();
                }
                drop(asks);
                sender.join().unwrap();
                waits.kill_and_join(None).unwrap().unwrap_err();
            });
        }
    });
}

#[test]
fn a_deadlock_is_found_all_the_same() {
    lonely("a_deadlock_is_found_all_the_same", || {
        Hub::builder().spin(Duration::MAX).start().unwrap();
        let caught = catch_unwind(|| sleep(Duration::MAX)).unwrap_err();
        let text = caught.downcast_ref::<String>().expect("a text");
        assert!(text.starts_with("deadlock: main waits"), "{text}");
        assert!(spins().0 >= 1);
        assert_eq!(spawn(|| 7).join().unwrap(), 7);
    });
}

#[test]
fn a_simulation_does_not_spin_and_stays_what_it_was() {
    fn order(spin: Duration) -> Vec<u32> {
        let thread = std::thread::spawn(move || {
            Hub::builder().simulate(11).spin(spin).start().unwrap();
            hub::run(|| {
                let log = Arc::new(Mutex::new(Vec::new()));
                let begin = Instant::now();
                let tasks: Vec<_> = (0..20)
                    .map(|n| {
                        let log = Arc::clone(&log);
                        spawn(move || {
                            sleep(HOUR);
                            log.lock().unwrap().push(n);
                        })
                    })
                    .collect();
                for task in tasks {
                    task.join().unwrap();
                }
                assert_eq!(begin.elapsed(), HOUR);
                assert_eq!(spins(), (0, 0));
                log.lock().unwrap().clone()
            })
        });
        thread.join().unwrap()
    }
    assert_eq!(order(Duration::ZERO), order(MS));
}

#[test]
fn the_hubs_of_a_server_spin_if_it_is_told_to() {
    for spin in [Duration::ZERO, MS] {
        let server = StreamServer::builder("127.0.0.1:0")
            .hubs(NonZeroUsize::new(2).unwrap())
            .spin(spin)
            .serve(|mut stream, _| {
                let spun = inspect::counters().spins > 0;
                stream.write_all(&[u8::from(spun)]).unwrap();
            })
            .unwrap();
        let spun = || {
            let mut client = TcpStream::connect(server.local_addr()).unwrap();
            let mut answer = [9];
            client.read_exact(&mut answer).unwrap();
            answer == [1]
        };
        if spin.is_zero() {
            assert!(!(0..20).any(|_| spun()));
        } else {
            // The first ones may find it before it was ever idle.
            while !spun() {}
        }
        server.stop(Duration::ZERO);
    }
}
