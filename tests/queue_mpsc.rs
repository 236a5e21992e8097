//! `sync::mpsc`: std's shape, between tasks.
#![forbid(unsafe_code)]

mod queue_suite;
mod util;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::time::Instant;

use greenloom::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError,
    TrySendError, channel, sync_channel,
};
use greenloom::{spawn, timeout, yield_now};

use queue_suite::{HOUR, Item, SOON};
use util::Drops;

#[test]
fn ends_are_send_and_sync_as_stds_are() {
    fn send_sync<T: Send + Sync + Clone + std::fmt::Debug>() {}
    send_sync::<Sender<Cell<u8>>>();
    send_sync::<SyncSender<Cell<u8>>>();
    fn send<T: Send + std::fmt::Debug>() {}
    send::<Receiver<Cell<u8>>>();
    // `Receiver` is not `Sync`: this has one candidate only then.
    trait NotSync<A> {
        fn check() {}
    }
    impl<T: ?Sized> NotSync<()> for T {}
    impl<T: ?Sized + Sync> NotSync<u8> for T {}
    <Receiver<u8> as NotSync<_>>::check();
}

#[test]
fn errors_are_stds_own() {
    let (tx, rx) = sync_channel(1);
    tx.send(1).unwrap();
    let full: std::sync::mpsc::TrySendError<i32> = tx.try_send(2).unwrap_err();
    assert_eq!(full, TrySendError::Full(2));
    assert_eq!(rx.recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(rx.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
    assert_eq!(
        rx.recv_deadline(Instant::now()),
        Err(RecvTimeoutError::Timeout)
    );
    drop(tx);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(rx.recv_timeout(HOUR), Err(RecvTimeoutError::Disconnected));
    let gone: Result<i32, std::sync::mpsc::RecvError> = rx.recv();
    assert_eq!(gone, Err(RecvError));
    let (tx, rx) = channel();
    drop(rx);
    assert_eq!(tx.send(1), Err(SendError(1)));
    let (tx, rx) = sync_channel(0);
    drop(rx);
    assert_eq!(tx.send(1), Err(SendError(1)));
    assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
}

#[test]
fn a_timeout_that_encloses_a_receive_ends_it() {
    let (tx, rx) = channel::<u32>();
    assert!(
        timeout(SOON, || rx.recv())
            .unwrap_err()
            .into_value()
            .is_none()
    );
    let late = timeout(SOON, || rx.recv_timeout(HOUR))
        .unwrap_err()
        .into_value();
    assert_eq!(late, Some(Err(RecvTimeoutError::Timeout)));
    drop(tx);
}

#[test]
fn who_unwinds_waits_too() {
    let (tx, rx) = channel();
    let (told, tells) = channel();
    struct Receives(Receiver<u32>, Sender<(u32, Result<u32, RecvTimeoutError>)>);
    impl Drop for Receives {
        fn drop(&mut self) {
            let got = (self.0.recv().unwrap(), self.0.recv_timeout(SOON));
            self.1.send(got).unwrap();
        }
    }
    let panics = spawn(move || {
        let _receives = Receives(rx, told);
        panic_any("on purpose");
    });
    yield_now();
    tx.send(1).unwrap();
    assert_eq!(tells.recv(), Ok((1, Err(RecvTimeoutError::Timeout))));
    assert!(panics.join().unwrap_err().is_panic());
}

#[test]
fn a_wait_in_a_callback_of_the_hub_panics_and_names_its_place() {
    let (tx, rx) = channel::<u32>();
    let (told, tells) = channel();
    let _ = spawn(|| ()).on_done(move |_| {
        let caught = catch_unwind(AssertUnwindSafe(|| rx.recv())).unwrap_err();
        told.send(caught.downcast_ref::<String>().cloned()).unwrap();
    });
    let text = tells.recv().unwrap().unwrap();
    assert!(text.contains("cannot wait here"), "{text}");
    drop(tx);
}

#[test]
fn killed_ends_drop_each_value_once() {
    let drops = Drops::new();
    let (tx, rx) = sync_channel(1);
    let sends = spawn({
        let drops = drops.clone();
        move || {
            for n in 0.. {
                tx.send(Item::new(n, &drops)).unwrap();
            }
        }
    });
    yield_now();
    assert_eq!(rx.recv().unwrap().0, 0);
    yield_now();
    // One in the channel, one with the sender that waits.
    sends.kill();
    assert!(sends.join().unwrap_err().is_killed());
    assert_eq!(drops.alive(), 1);
    assert_eq!(rx.iter().count(), 1);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn the_same_program_runs_on_stds_threads_and_on_tasks() {
    macro_rules! program {
        ($mpsc:path, $spawn:path) => {{
            use $mpsc as mpsc;
            use $spawn as spawn;
            let (tx, rx) = mpsc::sync_channel(2);
            let senders: Vec<_> = (0..3)
                .map(|id| {
                    let tx = tx.clone();
                    spawn(move || {
                        for n in 0..10 {
                            tx.send(id * 10 + n).unwrap();
                        }
                    })
                })
                .collect();
            drop(tx);
            let mut got: Vec<u32> = rx.into_iter().collect();
            for s in senders {
                s.join().unwrap();
            }
            got.sort_unstable();
            got
        }};
    }
    let by_threads = program!(std::sync::mpsc, std::thread::spawn);
    let by_tasks = program!(greenloom::sync::mpsc, greenloom::spawn);
    assert_eq!(by_threads, by_tasks);
    assert_eq!(by_tasks, (0..30).collect::<Vec<_>>());
}
