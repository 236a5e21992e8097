//! may: stackful coroutines, here on one worker thread.
//!
//! Written after its examples `spawn`, `echo` and `single_thread_schedule`, which sets the number of workers like this file.
//! Its pool of stacks holds as many as the case has coroutines, so that none is mapped anew in a round, and no more: it
//! hands out first what came back first, and so makes each round touch all it has.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use may::coroutine;
use may::sync::mpsc;

use super::Laps;
use crate::cases::Memory;
use crate::measure::{Case, Meter, Sample, Side};
use crate::reference::STACK;
use crate::timers::{LEAD, Slept, moments};
use crate::{stats, sys};

/// Its side of `case`.
pub(super) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    configure(match case {
        Case::Yield(tasks) => tasks,
        Case::Spawn(batch) => batch,
        _ => 1,
    });
    match case {
        Case::Yield(tasks) => body(Some(&mut yields(tasks))),
        Case::Spawn(batch) => body(Some(&mut spawns(batch))),
        Case::Items => body(Some(&mut items())),
        Case::RoundTrip => body(Some(&mut round_trips())),
        _ => body(None),
    }
}

/// For so many coroutines beside the one that spawns them. All but the size of the pool must be said before the first.
fn configure(coroutines: usize) {
    may::config()
        .set_workers(1)
        .set_pool_capacity(coroutines + 2)
        .set_stack_size(STACK / size_of::<usize>());
}

fn yields(tasks: usize) -> impl FnMut(u64) -> Sample {
    move |operations| {
        let (laps, each) = Laps::new(tasks, operations);
        let laps = Arc::new(laps);
        // Spawned by a coroutine, so that the worker does not begin before all are there.
        let theirs = Arc::clone(&laps);
        let all = may::go!(move || {
            let handles: Vec<_> = (0..tasks)
                .map(|_| {
                    let laps = Arc::clone(&theirs);
                    may::go!(move || {
                        laps.begin();
                        coroutine::yield_now();
                        for _ in 0..each {
                            coroutine::yield_now();
                        }
                        laps.end();
                    })
                })
                .collect();
            for handle in handles {
                assert!(handle.join().is_ok());
            }
        });
        assert!(all.join().is_ok());
        laps.sample()
    }
}

fn spawns(batch: usize) -> impl FnMut(u64) -> Sample {
    move |operations| {
        in_coroutine(move || {
            let batches = operations.div_ceil(batch as u64);
            let mut handles = Vec::with_capacity(batch);
            let meter = Meter::start();
            for _ in 0..batches {
                handles.extend((0..batch).map(|_| may::go!(|| ())));
                for handle in handles.drain(..) {
                    assert!(handle.join().is_ok());
                }
            }
            meter.stop(batches * batch as u64)
        })
    }
}

/// Items through its channel, which has no bound.
fn items() -> impl FnMut(u64) -> Sample {
    |operations| {
        in_coroutine(move || {
            let (send, receive) = mpsc::channel::<u64>();
            let meter = Meter::start();
            let producer = may::go!(move || {
                for i in 0..operations {
                    assert!(send.send(i).is_ok());
                }
            });
            for _ in 0..operations {
                black_box(receive.recv().ok());
            }
            let sample = meter.stop(operations);
            assert!(producer.join().is_ok());
            sample
        })
    }
}

/// Round trips over two of them.
fn round_trips() -> impl FnMut(u64) -> Sample {
    |operations| {
        in_coroutine(move || {
            let (ping, pings) = mpsc::channel::<u64>();
            let (pong, pongs) = mpsc::channel::<u64>();
            let echo = may::go!(move || {
                while let Ok(value) = pings.recv() {
                    if pong.send(value).is_err() {
                        return;
                    }
                }
            });
            let meter = Meter::start();
            for i in 0..operations {
                assert!(ping.send(i).is_ok());
                black_box(pongs.recv().ok());
            }
            let sample = meter.stop(operations);
            drop(ping);
            assert!(echo.join().is_ok());
            sample
        })
    }
}

fn in_coroutine(body: impl FnOnce() -> Sample + Send + 'static) -> Sample {
    may::go!(body).join().expect("it ends")
}

/// Bytes of each of `n` parked coroutines.
pub(super) fn memory(n: usize) -> io::Result<f64> {
    // Stacks that are in the pool before would not be counted.
    configure(0);
    // What it starts with the first coroutine is not theirs.
    assert!(may::go!(|| ()).join().is_ok());
    let before = Memory::now()?;
    let parked = Arc::new(AtomicUsize::new(0));
    let mut handles = Vec::with_capacity(n);
    for _ in 0..n {
        let parked = Arc::clone(&parked);
        handles.push(may::go!(move || {
            parked.fetch_add(1, Ordering::Relaxed);
            coroutine::park();
        }));
    }
    while parked.load(Ordering::Relaxed) < n {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Memory::now()?.bytes_since(&before) / n as f64)
}

/// Runs `n` sleepers.
pub(super) fn sleep(n: usize) -> io::Result<Slept> {
    configure(n);
    let late = Arc::new(Mutex::new(Vec::with_capacity(n)));
    let asleep = Arc::new(AtomicUsize::new(0));
    let before = sys::cpu_time()?;
    let first = Instant::now() + LEAD;
    let handles: Vec<_> = moments(n)
        .map(|moment| {
            let (late, asleep) = (Arc::clone(&late), Arc::clone(&asleep));
            may::go!(move || {
                let due = first + moment;
                asleep.fetch_add(1, Ordering::Relaxed);
                coroutine::sleep(due.saturating_duration_since(Instant::now()));
                late.lock()
                    .expect("nobody panics with it")
                    .push(Instant::now() - due);
            })
        })
        .collect();
    while asleep.load(Ordering::Relaxed) < n {
        std::thread::sleep(Duration::from_millis(1));
    }
    let parked = sys::cpu_time()?;
    for handle in handles {
        assert!(handle.join().is_ok());
    }
    let late = std::mem::take(&mut *late.lock().expect("nobody panics with it"));
    Ok(Slept::new([before, parked, sys::cpu_time()?], late))
}

/// Serves echoes: a coroutine for each connection, its buffer on the heap as in the example.
pub(super) fn serve(port: u16, buffer: usize) -> io::Result<()> {
    configure(1000);
    let listener = may::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening on {}", listener.local_addr()?);
    let accepting = may::go!(move || -> io::Result<()> {
        loop {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            drop(may::go!(move || {
                let mut bytes = vec![0; buffer];
                while let Ok(n @ 1..) = stream.read(&mut bytes) {
                    stats::request();
                    if stream.write_all(&bytes[..n]).is_err() {
                        return;
                    }
                }
            }));
        }
    });
    accepting.join().expect("it does not panic")
}
