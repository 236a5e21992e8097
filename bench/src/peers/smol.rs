//! smol: its `LocalExecutor` run by `block_on`, its timers, sockets and channels.
//!
//! Written after async-executor's own `benches/executor.rs` and smol's example `tcp-server`: one executor, run on one
//! thread until a future that waits for all tasks is done.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::future::Future;
use std::hint::black_box;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{LocalExecutor, Timer, channel, future};

use super::Laps;
use crate::cases::Memory;
use crate::measure::{Case, Meter, Sample, Side};
use crate::timers::{LEAD, Slept, moments};
use crate::{stats, sys};

/// The least that a future can do to wait: it keeps its waker.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waker: Option<Waker>,
}

impl Future for Parked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Its side of `case`.
pub(super) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::Yield(tasks) => body(Some(&mut yields(tasks))),
        Case::Spawn(batch) => body(Some(&mut spawns(batch))),
        Case::Items128 => body(Some(&mut items(|| channel::bounded(128)))),
        Case::Items => body(Some(&mut items(channel::unbounded))),
        Case::RoundTrip => body(Some(&mut round_trips())),
        _ => body(None),
    }
}

fn yields(tasks: usize) -> impl FnMut(u64) -> Sample {
    let executor = LocalExecutor::new();
    move |operations| {
        let (laps, each) = Laps::new(tasks, operations);
        let laps = Rc::new(laps);
        smol::block_on(executor.run(async {
            let tasks: Vec<_> = (0..tasks)
                .map(|_| {
                    let laps = Rc::clone(&laps);
                    executor.spawn(async move {
                        laps.begin();
                        future::yield_now().await;
                        for _ in 0..each {
                            future::yield_now().await;
                        }
                        laps.end();
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
        }));
        laps.sample()
    }
}

fn spawns(batch: usize) -> impl FnMut(u64) -> Sample {
    let executor = LocalExecutor::new();
    move |operations| {
        let mut tasks = Vec::with_capacity(batch);
        smol::block_on(executor.run(async {
            let batches = operations.div_ceil(batch as u64);
            let meter = Meter::start();
            for _ in 0..batches {
                tasks.extend((0..batch).map(|_| executor.spawn(async {})));
                for task in tasks.drain(..) {
                    task.await;
                }
            }
            meter.stop(batches * batch as u64)
        }))
    }
}

/// Items through a channel made by `make`.
fn items(
    make: fn() -> (channel::Sender<u64>, channel::Receiver<u64>),
) -> impl FnMut(u64) -> Sample {
    let executor = LocalExecutor::new();
    move |operations| {
        smol::block_on(executor.run(async {
            let (send, receive) = make();
            let meter = Meter::start();
            let producer = executor.spawn(async move {
                for i in 0..operations {
                    assert!(send.send(i).await.is_ok());
                }
            });
            for _ in 0..operations {
                black_box(receive.recv().await.ok());
            }
            let sample = meter.stop(operations);
            producer.await;
            sample
        }))
    }
}

/// Round trips over two channels of capacity 1, the least there is.
fn round_trips() -> impl FnMut(u64) -> Sample {
    let executor = LocalExecutor::new();
    move |operations| {
        smol::block_on(executor.run(async {
            let (ping, pings) = channel::bounded::<u64>(1);
            let (pong, pongs) = channel::bounded::<u64>(1);
            let echo = executor.spawn(async move {
                while let Ok(value) = pings.recv().await {
                    if pong.send(value).await.is_err() {
                        return;
                    }
                }
            });
            let measured = executor.spawn(async move {
                let meter = Meter::start();
                for i in 0..operations {
                    assert!(ping.send(i).await.is_ok());
                    black_box(pongs.recv().await.ok());
                }
                meter.stop(operations)
            });
            let sample = measured.await;
            echo.await;
            sample
        }))
    }
}

/// Bytes of each of `n` parked tasks.
pub(super) fn memory(n: usize) -> io::Result<f64> {
    let executor = LocalExecutor::new();
    let before = Memory::now()?;
    let mut tasks = Vec::with_capacity(n);
    for _ in 0..n {
        tasks.push(executor.spawn(Parked::default()));
    }
    // Each has one step to make.
    while executor.try_tick() {}
    Ok(Memory::now()?.bytes_since(&before) / n as f64)
}

/// Runs `n` sleepers.
pub(super) fn sleep(n: usize) -> io::Result<Slept> {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let late = Rc::new(RefCell::new(Vec::with_capacity(n)));
        let before = sys::cpu_time()?;
        let first = Instant::now() + LEAD;
        let tasks: Vec<_> = moments(n)
            .map(|moment| {
                let late = Rc::clone(&late);
                executor.spawn(async move {
                    let due = first + moment;
                    Timer::at(due).await;
                    late.borrow_mut().push(Instant::now() - due);
                })
            })
            .collect();
        // Each has one step to make, and the executor may not have made it yet.
        while executor.try_tick() {}
        let parked = sys::cpu_time()?;
        for task in tasks {
            task.await;
        }
        Ok(Slept::new([before, parked, sys::cpu_time()?], late.take()))
    }))
}

/// Serves echoes: a task for each connection.
pub(super) fn serve(port: u16, buffer: usize) -> io::Result<()> {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = smol::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = async move {
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
            };
            executor.spawn(answer).detach();
        }
    }))
}
