//! The server over a listener that does what a script says, in simulated time: what no real socket can be made to do at a
//! given moment.
//!
//! What needs real sockets is in `tests/server.rs` and `tests/server_faults.rs`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::listen::{Listen, Listener, Opening, Sealed};
use super::{Builder, StreamServer};
use crate::clock::Instant;
use crate::event::Event;
use crate::hub::{simulate, simulate_seeds};
use crate::task::{self, Outcome};
use crate::time::sleep;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Accepts what it is told to, then waits to be closed. An address is a number in order; a stream is nothing.
struct Script {
    steps: Mutex<VecDeque<Result<(), i32>>>,
    served: AtomicUsize,
    closed: Event,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Result<(), i32>>) -> Self {
        Self {
            steps: Mutex::new(steps.into_iter().collect()),
            served: AtomicUsize::new(0),
            closed: Event::new(),
        }
    }

    /// `n` connections and no trouble.
    fn connections(n: usize) -> Self {
        Self::new((0..n).map(|_| Ok(())))
    }
}

impl Sealed for Script {}

impl Listener for Script {
    type Stream = ();
    type Addr = usize;

    fn accept(&self) -> io::Result<((), usize)> {
        let step = self.steps.lock().unwrap().pop_front();
        match step {
            Some(Ok(())) => Ok(((), self.served.fetch_add(1, Ordering::Relaxed))),
            Some(Err(code)) => Err(io::Error::from_raw_os_error(code)),
            None => {
                self.closed.wait();
                Err(io::ErrorKind::NotConnected.into())
            }
        }
    }

    fn close(&self) {
        self.closed.set();
    }

    fn local_addr(&self) -> io::Result<usize> {
        Ok(0)
    }

    fn again((): &()) -> io::Result<()> {
        Ok(())
    }
}

impl Listen for Script {
    type Listener = Self;

    fn open(self, how: Opening) -> io::Result<Vec<Self>> {
        assert_eq!(how.lanes, 1);
        Ok(vec![self])
    }
}

type Times = Arc<Mutex<Vec<Duration>>>;

/// A server that notes when it met errors that it waits out, since now.
fn noting(script: Script) -> (Builder<Script>, Times) {
    let times = Times::default();
    let (notes, begin) = (Arc::clone(&times), Instant::now());
    let builder = StreamServer::builder(script).on_accept_error(move |_| {
        notes.lock().unwrap().push(begin.elapsed());
    });
    (builder, times)
}

#[test]
fn waits_out_a_shortage_for_twice_as_long_each_time_and_begins_anew_after_a_success() {
    for code in [libc::ENFILE, libc::EMFILE, libc::ENOBUFS, libc::ENOMEM] {
        simulate(1, || {
            let mut steps = vec![Err(code); 9];
            steps.extend([Ok(()), Err(code), Err(code)]);
            let (builder, times) = noting(Script::new(steps));
            let server = builder.serve(|(), _| ()).unwrap();
            sleep(Duration::from_secs(60));
            let waits = [0, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 10];
            let expected: Vec<_> = waits
                .iter()
                .scan(0, |at, wait| {
                    *at += wait;
                    Some(ms(*at))
                })
                .collect();
            assert_eq!(*times.lock().unwrap(), expected);
            assert_eq!(server.accepted(), 1);
            assert_eq!(server.stop(ms(1)).killed, 0);
        });
    }
}

#[test]
fn passes_over_what_befell_one_connection_at_once() {
    simulate(1, || {
        let own = [libc::ECONNABORTED, libc::EPROTO, libc::ENETUNREACH];
        let steps = own.into_iter().cycle().take(1000).map(Err);
        let (builder, times) = noting(Script::new(steps.chain([Ok(())])));
        let begin = Instant::now();
        let served = Arc::new(Event::new());
        let tell = Arc::clone(&served);
        let server = builder.serve(move |(), _| tell.set()).unwrap();
        served.wait();
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert!(times.lock().unwrap().is_empty());
        server.stop(ms(1));
    });
}

#[test]
fn gives_way_while_it_passes_over_errors() {
    simulate(1, || {
        let (builder, _) = noting(Script::new([Err(libc::ECONNABORTED); 100]));
        let server = builder.serve(|(), _| ()).unwrap();
        let turns = task::Builder::new().spawn(|| ()).unwrap();
        turns.join().unwrap();
        assert!(
            !server.core.lanes[0]
                .listener()
                .unwrap()
                .steps
                .lock()
                .unwrap()
                .is_empty()
        );
        server.stop(ms(1));
    });
}

#[test]
fn ends_with_the_error_that_makes_the_listener_useless() {
    simulate(1, || {
        let steps = [Ok(()), Err(libc::EBADF)];
        let server = StreamServer::builder(Script::new(steps))
            .serve(|(), _| sleep(ms(7)))
            .unwrap();
        let begin = Instant::now();
        // Told to everybody who asks, and not before the last connection has ended.
        for _ in 0..2 {
            let error = server.wait().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
            assert_eq!(begin.elapsed(), ms(7));
        }
        assert!(!server.is_running());
    });
}

#[test]
fn a_stop_ends_a_shortage_at_once() {
    simulate(1, || {
        let (builder, times) = noting(Script::new([Err(libc::EMFILE); 20]));
        let server = builder.serve(|(), _| ()).unwrap();
        sleep(ms(3000));
        let begin = Instant::now();
        let stopped = server.stop(ms(500));
        assert_eq!((stopped.finished, stopped.killed, stopped.left), (0, 0, 0));
        server.wait().unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(times.lock().unwrap().len(), 9);
    });
}

#[test]
fn a_stop_ends_the_wait_for_a_slot() {
    simulate(1, || {
        let server = StreamServer::builder(Script::connections(5))
            .pool(2)
            .serve(|(), _| sleep(Duration::from_secs(3600)))
            .unwrap();
        sleep(ms(1));
        assert_eq!((server.active(), server.accepted()), (2, 2));
        let begin = Instant::now();
        let stopped = server.stop(ms(40));
        assert_eq!((stopped.finished, stopped.killed, stopped.left), (0, 2, 0));
        assert_eq!(begin.elapsed(), ms(40));
        assert_eq!(server.accepted(), 2);
    });
}

#[test]
fn a_pool_is_never_exceeded_and_never_left_unused_in_any_order() {
    simulate_seeds(0..200, |_| {
        const POOL: usize = 3;
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (n, m) = (Arc::clone(&now), Arc::clone(&most));
        let server = StreamServer::builder(Script::connections(30))
            .pool(POOL)
            .serve(move |(), id| {
                let active = n.fetch_add(1, Ordering::Relaxed) + 1;
                m.fetch_max(active, Ordering::Relaxed);
                sleep(ms(10 + (id % 3) as u64));
                n.fetch_sub(1, Ordering::Relaxed);
            })
            .unwrap();
        let begin = Instant::now();
        while server.accepted() < 30 || server.active() > 0 {
            sleep(ms(1));
        }
        assert_eq!(most.load(Ordering::Relaxed), POOL);
        // Ten each, of 11 ms on average: one that lay idle for a whole connection would show.
        assert!(begin.elapsed() < ms(125), "{:?}", begin.elapsed());
        server.stop(ms(1));
    });
}

#[test]
fn a_stop_at_the_moment_at_which_handlers_end_counts_each_connection_once() {
    simulate_seeds(0..200, |_| {
        let server = StreamServer::builder(Script::connections(6))
            .serve(|(), id| sleep(ms(if id % 2 == 0 { 20 } else { 10 })))
            .unwrap();
        sleep(ms(5));
        // The time of the stop is over when the slower ones end by themselves.
        let stopped = server.stop(ms(15));
        assert_eq!(stopped.finished + stopped.killed, 6, "{stopped:?}");
        assert!(stopped.finished >= 3, "{stopped:?}");
        assert_eq!((stopped.left, server.active()), (0, 0));
    });
}

#[test]
fn a_stop_gives_up_on_who_will_not_be_killed_and_says_so() {
    simulate(1, || {
        let server = StreamServer::builder(Script::connections(2))
            .serve(|(), id| {
                if id == 0 {
                    task::shield(|| sleep(Duration::from_secs(100)));
                }
                sleep(Duration::from_secs(100));
            })
            .unwrap();
        sleep(ms(1));
        let begin = Instant::now();
        let stopped = server.stop(ms(10));
        assert_eq!((stopped.finished, stopped.killed, stopped.left), (0, 1, 1));
        assert_eq!(begin.elapsed(), ms(1010));
        // It ends when it can, and the server with it.
        server.wait().unwrap();
        assert_eq!(begin.elapsed(), ms(99_999));
    });
}

#[test]
fn a_farewell_is_shielded_and_broken_off_at_its_limit() {
    simulate(1, || {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&ends);
        let server = StreamServer::builder(Script::connections(3))
            .farewell(ms(300), move |(), outcome| {
                // A wait in it is one that counts, also after a kill.
                sleep(ms(50));
                said.lock().unwrap().push(outcome);
                if outcome == Outcome::Killed {
                    sleep(Duration::from_secs(3600));
                    said.lock().unwrap().push(Outcome::Returned);
                }
            })
            .serve(|(), id| match id {
                0 => {}
                1 => std::panic::resume_unwind(Box::new("a handler's own")),
                _ => sleep(Duration::from_secs(3600)),
            })
            .unwrap();
        sleep(ms(100));
        assert_eq!(
            *ends.lock().unwrap(),
            [Outcome::Returned, Outcome::Panicked]
        );
        let begin = Instant::now();
        let stopped = server.stop(ms(10));
        assert_eq!((stopped.killed, stopped.left), (1, 0));
        assert_eq!(begin.elapsed(), ms(310));
        assert_eq!(ends.lock().unwrap()[2..], [Outcome::Killed]);
    });
}

#[test]
fn an_accepting_task_that_never_ran_ends_the_server_all_the_same() {
    let server = crate::hub::run(|| {
        StreamServer::builder(Script::connections(1))
            .serve(|(), _| ())
            .unwrap()
    });
    assert!(!server.is_running());
    server.wait().unwrap();
    assert_eq!(server.accepted(), 0);
}
