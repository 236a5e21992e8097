//! The references of `queues`: the same with tokio's mpsc, and with crossbeam-channel between two threads.
#![forbid(unsafe_code)]

use std::hint::black_box;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::measure::{Meter, Sample};

fn one_thread() -> Runtime {
    Builder::new_current_thread()
        .build()
        .expect("a runtime of one thread")
}

/// Items through tokio's bounded channel, one thread.
pub(crate) fn bounded(capacity: usize) -> impl FnMut(u64) -> Sample {
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
pub(crate) fn unbounded() -> impl FnMut(u64) -> Sample {
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
pub(crate) fn round_trips() -> impl FnMut(u64) -> Sample {
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
pub(crate) fn two_threads_tokio() -> impl FnMut(u64) -> Sample {
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

/// Items between two plain threads, by crossbeam-channel.
pub(crate) fn two_threads_crossbeam() -> impl FnMut(u64) -> Sample {
    |operations| {
        let (send, receive) = crossbeam_channel::bounded::<u64>(128);
        let meter = Meter::start();
        let producer = std::thread::spawn(move || {
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
