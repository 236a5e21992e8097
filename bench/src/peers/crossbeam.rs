//! crossbeam-channel: `queues` and `select`, between plain threads.
#![forbid(unsafe_code)]

use std::hint::black_box;

use crossbeam_channel::Select;

use crate::measure::{Case, Meter, Sample, Side};

/// Its side of `case`.
pub(super) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::TwoThreads => body(Some(&mut items())),
        Case::RoundTrip => body(Some(&mut round_trips())),
        Case::Select(n) => body(Some(&mut select(n))),
        _ => body(None),
    }
}

/// Items between two plain threads, by crossbeam-channel.
fn items() -> impl FnMut(u64) -> Sample {
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

/// Round trips between two plain threads, over two channels of capacity 0.
fn round_trips() -> impl FnMut(u64) -> Sample {
    |operations| {
        let (ping, pings) = crossbeam_channel::bounded::<u64>(0);
        let (pong, pongs) = crossbeam_channel::bounded::<u64>(0);
        let echo = std::thread::spawn(move || {
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

/// Selects from so many channels, of which one has something.
fn select(n: usize) -> impl FnMut(u64) -> Sample {
    move |operations| {
        let channels: Vec<_> = (0..n)
            .map(|_| crossbeam_channel::unbounded::<u64>())
            .collect();
        let meter = Meter::start();
        for i in 0..operations {
            assert!(channels[(i as usize * 7) % n].0.send(i).is_ok());
            let mut select = Select::new();
            for (_, receive) in &channels {
                select.recv(receive);
            }
            let chosen = select.select();
            let at = chosen.index();
            black_box(chosen.recv(&channels[at].1).ok());
        }
        meter.stop(operations)
    }
}
