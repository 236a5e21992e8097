//! tokio, on its current-thread runtime.
//!
//! Written after tokio's own `benches/rt_current_thread.rs` and `benches/sync_mpsc.rs`: one `block_on`, within which
//! tasks are spawned. Its tasks that wait for nothing but a waker ([`Parked`]) are as small as a task can be.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::hint::black_box;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::Laps;
use super::smol::Parked;
use crate::cases::Memory;
use crate::measure::{Case, Meter, Sample, Side};
use crate::timers::{LEAD, Slept, moments};
use crate::{stats, sys};

/// Its side of `case`.
pub(super) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::Yield(tasks) => body(Some(&mut yields(tasks))),
        Case::Spawn(batch) => body(Some(&mut spawns(batch))),
        Case::Items128 => body(Some(&mut bounded(128))),
        Case::Items => body(Some(&mut unbounded())),
        Case::RoundTrip => body(Some(&mut round_trips())),
        Case::TwoThreads => body(Some(&mut two_threads())),
        Case::Offload => body(Some(&mut spawn_blocking())),
        _ => body(None),
    }
}

fn one_thread() -> Runtime {
    Builder::new_current_thread()
        .build()
        .expect("a runtime of one thread")
}

fn yields(tasks: usize) -> impl FnMut(u64) -> Sample {
    let runtime = one_thread();
    move |operations| {
        runtime.block_on(async {
            let (laps, each) = Laps::new(tasks, operations);
            let laps = Arc::new(laps);
            let handles: Vec<_> = (0..tasks)
                .map(|_| {
                    let laps = Arc::clone(&laps);
                    tokio::spawn(async move {
                        laps.begin();
                        tokio::task::yield_now().await;
                        for _ in 0..each {
                            tokio::task::yield_now().await;
                        }
                        laps.end();
                    })
                })
                .collect();
            for handle in handles {
                assert!(handle.await.is_ok());
            }
            laps.sample()
        })
    }
}

fn spawns(batch: usize) -> impl FnMut(u64) -> Sample {
    let runtime = one_thread();
    let mut handles = Vec::with_capacity(batch);
    move |operations| {
        runtime.block_on(async {
            let batches = operations.div_ceil(batch as u64);
            let meter = Meter::start();
            for _ in 0..batches {
                handles.extend((0..batch).map(|_| tokio::spawn(async {})));
                for handle in handles.drain(..) {
                    assert!(handle.await.is_ok());
                }
            }
            meter.stop(batches * batch as u64)
        })
    }
}

/// Bytes of each of `n` parked tasks.
pub(super) fn memory(n: usize) -> io::Result<f64> {
    one_thread().block_on(async {
        let before = Memory::now()?;
        let mut handles = Vec::with_capacity(n);
        for _ in 0..n {
            handles.push(tokio::spawn(Parked::default()));
        }
        tokio::task::yield_now().await;
        // All have run once: a turn of the runtime for every so many tasks, and then some.
        for _ in 0..n / 32 {
            tokio::task::yield_now().await;
        }
        Ok(Memory::now()?.bytes_since(&before) / n as f64)
    })
}

/// Runs `n` sleepers.
pub(super) fn sleep(n: usize) -> io::Result<Slept> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let late = Rc::new(RefCell::new(Vec::with_capacity(n)));
        let before = sys::cpu_time()?;
        let first = Instant::now() + LEAD;
        let tasks: Vec<_> = moments(n)
            .map(|moment| {
                let late = Rc::clone(&late);
                tokio::task::spawn_local(async move {
                    let due = first + moment;
                    tokio::time::sleep_until(due.into()).await;
                    late.borrow_mut().push(Instant::now() - due);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let parked = sys::cpu_time()?;
        for task in tasks {
            task.await.map_err(io::Error::other)?;
        }
        Ok(Slept::new([before, parked, sys::cpu_time()?], late.take()))
    })
}

/// Serves echoes: a task for each connection, as tokio's example `echo-tcp` does.
pub(super) fn serve(port: u16, buffer: usize) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            drop(tokio::spawn(async move {
                let mut bytes = vec![0; buffer];
                loop {
                    match stream.read(&mut bytes).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => {
                            stats::request();
                            if stream.write_all(&bytes[..n]).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            }));
        }
    })
}

/// Items through tokio's bounded channel, one thread.
fn bounded(capacity: usize) -> impl FnMut(u64) -> Sample {
    let runtime = one_thread();
    move |operations| {
        runtime.block_on(async {
            let (send, mut receive) = mpsc::channel::<u64>(capacity);
            let meter = Meter::start();
            let producer = tokio::spawn(async move {
                for i in 0..operations {
                    assert!(send.send(i).await.is_ok());
                }
            });
            for _ in 0..operations {
                black_box(receive.recv().await);
            }
            let sample = meter.stop(operations);
            assert!(producer.await.is_ok());
            sample
        })
    }
}

/// Items through tokio's unbounded channel, one thread.
fn unbounded() -> impl FnMut(u64) -> Sample {
    let runtime = one_thread();
    move |operations| {
        runtime.block_on(async {
            let (send, mut receive) = mpsc::unbounded_channel::<u64>();
            let meter = Meter::start();
            let producer = tokio::spawn(async move {
                for i in 0..operations {
                    assert!(send.send(i).is_ok());
                }
            });
            for _ in 0..operations {
                black_box(receive.recv().await);
            }
            let sample = meter.stop(operations);
            assert!(producer.await.is_ok());
            sample
        })
    }
}

/// Round trips over two of tokio's channels of capacity 1.
fn round_trips() -> impl FnMut(u64) -> Sample {
    let runtime = one_thread();
    move |operations| {
        runtime.block_on(async {
            let (ping, mut pings) = mpsc::channel::<u64>(1);
            let (pong, mut pongs) = mpsc::channel::<u64>(1);
            let echo = tokio::spawn(async move {
                while let Some(value) = pings.recv().await {
                    if pong.send(value).await.is_err() {
                        return;
                    }
                }
            });
            let measured = tokio::spawn(async move {
                let meter = Meter::start();
                for i in 0..operations {
                    assert!(ping.send(i).await.is_ok());
                    black_box(pongs.recv().await);
                }
                meter.stop(operations)
            });
            let sample = measured.await.expect("it ends");
            assert!(echo.await.is_ok());
            sample
        })
    }
}

/// Items between two worker threads of tokio's.
fn two_threads() -> impl FnMut(u64) -> Sample {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime of two threads");
    move |operations| {
        runtime.block_on(async {
            let (send, mut receive) = mpsc::channel::<u64>(128);
            let meter = Meter::start();
            let producer = tokio::spawn(async move {
                for i in 0..operations {
                    assert!(send.send(i).await.is_ok());
                }
            });
            let consumer = tokio::spawn(async move {
                for _ in 0..operations {
                    black_box(receive.recv().await);
                }
            });
            assert!(consumer.await.is_ok());
            let sample = meter.stop(operations);
            assert!(producer.await.is_ok());
            sample
        })
    }
}

/// tokio's `spawn_blocking`.
fn spawn_blocking() -> impl FnMut(u64) -> Sample {
    let runtime = one_thread();
    move |operations| {
        runtime.block_on(async {
            let meter = Meter::start();
            for i in 0..operations {
                black_box(tokio::task::spawn_blocking(move || black_box(i)).await.ok());
            }
            meter.stop(operations)
        })
    }
}
