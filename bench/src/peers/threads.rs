//! std: a thread for each task, and std's channels between them.
//!
//! Threads have stacks of the size that all have here. In `yield` all are pinned to one core, where giving up a turn is
//! handing it to another; everywhere else they run where the system likes.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::Laps;
use crate::cases::Memory;
use crate::measure::{Case, Meter, Sample, Side};
use crate::reference::STACK;
use crate::timers::{LEAD, Slept, moments};
use crate::{stats, sys};

/// Its side of `case`. A thousand threads that yield, or ten thousand to spawn, say nothing new and take long.
pub(super) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::Yield(tasks) if tasks <= 100 => body(Some(&mut yields(tasks))),
        Case::Spawn(batch) if batch <= 1000 => body(Some(&mut spawns(batch))),
        Case::RoundTrip => body(Some(&mut round_trips())),
        Case::TwoThreads => body(Some(&mut items())),
        _ => body(None),
    }
}

fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let builder = Builder::new().stack_size(STACK);
    builder.spawn(body).expect("a thread can be had")
}

fn yields(tasks: usize) -> impl FnMut(u64) -> Sample {
    move |operations| {
        let (laps, each) = Laps::new(tasks, operations);
        let laps = Arc::new(laps);
        let theirs = Arc::clone(&laps);
        // They inherit its core.
        let all = spawn(move || {
            let _ = sys::pin(0);
            let handles: Vec<_> = (0..tasks)
                .map(|_| {
                    let laps = Arc::clone(&theirs);
                    spawn(move || {
                        laps.begin();
                        thread::yield_now();
                        for _ in 0..each {
                            thread::yield_now();
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
        let batches = operations.div_ceil(batch as u64);
        let mut handles = Vec::with_capacity(batch);
        let meter = Meter::start();
        for _ in 0..batches {
            handles.extend((0..batch).map(|_| spawn(|| ())));
            for handle in handles.drain(..) {
                assert!(handle.join().is_ok());
            }
        }
        meter.stop(batches * batch as u64)
    }
}

fn items() -> impl FnMut(u64) -> Sample {
    |operations| {
        let (send, receive) = mpsc::sync_channel::<u64>(128);
        let meter = Meter::start();
        let producer = spawn(move || {
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
    }
}

fn round_trips() -> impl FnMut(u64) -> Sample {
    |operations| {
        let (ping, pings) = mpsc::sync_channel::<u64>(0);
        let (pong, pongs) = mpsc::sync_channel::<u64>(0);
        let echo = spawn(move || {
            for value in pings {
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
    }
}

/// Bytes of each of `n` parked threads. Their stacks in the kernel are not the process's, and do not count.
pub(super) fn memory(n: usize) -> io::Result<f64> {
    let before = Memory::now()?;
    let parked = Arc::new(AtomicUsize::new(0));
    let mut handles = Vec::with_capacity(n);
    for _ in 0..n {
        let parked = Arc::clone(&parked);
        let builder = Builder::new().stack_size(STACK);
        handles.push(builder.spawn(move || {
            parked.fetch_add(1, Ordering::Relaxed);
            loop {
                thread::park();
            }
        })?);
    }
    while parked.load(Ordering::Relaxed) < n {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(Memory::now()?.bytes_since(&before) / n as f64)
}

/// Runs `n` sleepers.
pub(super) fn sleep(n: usize) -> io::Result<Slept> {
    let late = Arc::new(Mutex::new(Vec::with_capacity(n)));
    let before = sys::cpu_time()?;
    let first = Instant::now() + LEAD;
    let mut handles = Vec::with_capacity(n);
    for moment in moments(n) {
        let late = Arc::clone(&late);
        handles.push(Builder::new().stack_size(STACK).spawn(move || {
            let due = first + moment;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let by = Instant::now() - due;
            late.lock().expect("nobody panics with it").push(by);
        })?);
    }
    // The last one's way to its sleep is its first step.
    thread::yield_now();
    let parked = sys::cpu_time()?;
    for handle in handles {
        assert!(handle.join().is_ok());
    }
    let late = std::mem::take(&mut *late.lock().expect("nobody panics with it"));
    Ok(Slept::new([before, parked, sys::cpu_time()?], late))
}

/// Serves echoes: a thread for each connection. Requests may be lost from the count, which has one thread in mind.
pub(super) fn serve(port: u16, buffer: usize) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Builder::new().stack_size(STACK).spawn(move || {
            let mut bytes = vec![0; buffer];
            while let Ok(n @ 1..) = stream.read(&mut bytes) {
                stats::request();
                if stream.write_all(&bytes[..n]).is_err() {
                    return;
                }
            }
        })?;
    }
}
