//! `channel`: order, the end of either side, waits that end otherwise.
#![forbid(unsafe_code)]

mod queue_suite;
mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use greenloom::queue::{
    Receiver, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError,
    channel, unbounded_channel,
};
use greenloom::{sleep, spawn, timeout, yield_now};

use queue_suite::{
    Elsewhere, HOUR, Item, SOON, granted_and_then_the_hub_ends, hold_the_thread_for,
};
use util::Drops;

#[test]
fn both_ends_are_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone + std::fmt::Debug>() {}
    check::<Sender<Cell<u8>>>();
    check::<Receiver<Cell<u8>>>();
}

#[test]
fn what_the_ends_say_of_themselves() {
    let (tx, rx) = channel(2);
    assert_eq!((tx.len(), rx.capacity()), (0, Some(2)));
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    assert!(tx.is_full() && rx.is_full() && !rx.is_empty());
    assert_eq!(tx.try_send(3), Err(TrySendError::Full(3)));
    assert!(tx.same_channel(&tx.clone()) && rx.same_channel(&rx.clone()));
    assert!(!tx.same_channel(&channel(0).0));
    assert!(format!("{tx:?} {rx:?}").contains("len: 2"));
    let (tx, rx) = unbounded_channel();
    assert_eq!(rx.capacity(), None);
    tx.send(1).unwrap();
    assert_eq!(rx.recv().unwrap(), 1);
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert!(rx.recv_timeout(SOON).unwrap_err().is_timeout());
}

#[test]
fn a_rendezvous_is_over_when_both_have_met() {
    let (tx, rx) = channel(0);
    let log = Rc::new(RefCell::new(Vec::new()));
    let sends = spawn({
        let log = Rc::clone(&log);
        move || {
            for n in 0..3 {
                log.borrow_mut().push(("send", n));
                tx.send(n).unwrap();
                log.borrow_mut().push(("sent", n));
            }
        }
    });
    yield_now();
    assert_eq!(*log.borrow(), [("send", 0)]);
    assert_eq!(rx.recv().unwrap(), 0);
    assert_eq!(
        *log.borrow(),
        [("send", 0)],
        "a receive that succeeds at once does not switch"
    );
    yield_now();
    assert_eq!(log.borrow()[1..], [("sent", 0), ("send", 1)]);
    assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2]);
    sends.join().unwrap();
}

#[test]
fn the_last_sender_ends_it_and_what_is_left_is_received() {
    let (tx, rx) = channel(4);
    let tx2 = tx.clone();
    tx.send(1).unwrap();
    drop(tx);
    tx2.send(2).unwrap();
    let waits = spawn({
        let rx = rx.clone();
        move || {
            (
                rx.recv().unwrap(),
                rx.recv().unwrap(),
                rx.recv().unwrap_err(),
            )
        }
    });
    yield_now();
    assert!(!waits.is_finished());
    drop(tx2);
    let (a, b, end) = waits.join().unwrap();
    assert_eq!((a, b), (1, 2));
    assert!(end.is_disconnected());
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    assert!(matches!(
        rx.recv_timeout(HOUR),
        Err(RecvTimeoutError::Disconnected)
    ));
}

#[test]
fn the_last_receiver_ends_it_and_values_come_back() {
    let drops = Drops::new();
    let (tx, rx) = channel(1);
    let rx2 = rx.clone();
    tx.send(Item::new(1, &drops)).unwrap();
    let waits = spawn({
        let (tx, item) = (tx.clone(), Item::new(2, &drops));
        move || tx.send(item)
    });
    yield_now();
    drop(rx);
    yield_now();
    assert!(!waits.is_finished());
    drop(rx2);
    assert_eq!(
        drops.dropped(),
        1,
        "what nobody can receive is dropped at once"
    );
    let error = waits.join().unwrap().unwrap_err();
    assert!(matches!(&error, SendError::Disconnected(item) if item.0 == 2));
    assert_eq!(error.into_inner().0, 2);
    assert!(
        tx.try_send(Item::new(3, &drops))
            .unwrap_err()
            .is_disconnected()
    );
    assert!(
        tx.send_timeout(Item::new(4, &drops), HOUR)
            .unwrap_err()
            .is_disconnected()
    );
    assert_eq!(drops.alive(), 0);
}

#[test]
fn iterators_end_with_the_senders() {
    let (tx, rx) = channel(0);
    let sends = spawn(move || (0..5).for_each(|n| tx.send(n).unwrap()));
    assert_eq!(rx.iter().take(2).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((&rx).into_iter().next(), Some(2));
    assert_eq!(rx.into_iter().collect::<Vec<_>>(), [3, 4]);
    sends.join().unwrap();
    let (tx, rx) = unbounded_channel();
    tx.send(1).unwrap();
    tx.send(2).unwrap();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(rx.try_iter().next(), None);
}

#[test]
fn a_receive_that_ends_in_vain_takes_nothing() {
    let (tx, rx) = channel::<u32>(0);
    let killed = spawn({
        let rx = rx.clone();
        move || rx.recv()
    });
    yield_now();
    killed.kill();
    assert!(killed.join().unwrap_err().is_killed());
    assert!(rx.recv_timeout(SOON).unwrap_err().is_timeout());
    assert!(timeout(SOON, || rx.recv()).is_err());
    // Nobody is there any more, so a value finds nobody.
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
}

#[test]
fn a_send_that_ends_in_vain_leaves_nothing() {
    let drops = Drops::new();
    let (tx, rx) = channel(0);
    let killed = spawn({
        let (tx, item) = (tx.clone(), Item::new(1, &drops));
        move || tx.send(item)
    });
    yield_now();
    killed.kill();
    assert!(killed.join().unwrap_err().is_killed());
    let late = tx.send_timeout(Item::new(2, &drops), SOON).unwrap_err();
    assert!(matches!(late, SendTimeoutError::Timeout(_)));
    drop(late);
    assert!(timeout(SOON, || tx.send(Item::new(3, &drops))).is_err());
    assert_eq!((drops.alive(), drops.dropped()), (0, 3));
    assert!(rx.try_recv().unwrap_err().is_empty());
}

#[test]
fn grants_beat_kills_and_deadlines_that_come_with_them() {
    let drops = Drops::new();
    let (tx, rx) = channel::<Item>(0);
    let got = Rc::new(Cell::new(0));
    let receives = spawn({
        let (rx, got) = (rx.clone(), Rc::clone(&got));
        move || {
            got.set(rx.recv().unwrap().0);
            got.set(got.get() + rx.recv_timeout(SOON).unwrap().0);
            sleep(HOUR);
        }
    });
    yield_now();
    tx.try_send(Item::new(1, &drops)).unwrap();
    yield_now();
    hold_the_thread_for(2 * SOON);
    tx.try_send(Item::new(2, &drops)).unwrap();
    receives.kill();
    assert!(receives.join().unwrap_err().is_killed());
    assert_eq!((got.get(), drops.alive()), (3, 0));
}

#[test]
fn what_was_given_to_a_task_whose_hub_ended_is_received_by_another() {
    let drops = Drops::new();
    let (tx, rx) = channel(0);
    let waits = {
        let rx = rx.clone();
        move || drop(rx.recv())
    };
    granted_and_then_the_hub_ends(waits, || tx.try_send(Item::new(1, &drops)).unwrap());
    // A rendezvous, and yet it is there: its send has succeeded.
    assert_eq!(rx.recv().unwrap().0, 1);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn dropping_an_end_never_switches() {
    let ran = Rc::new(Cell::new(false));
    let (tx, rx) = channel::<u32>(0);
    let waits = spawn({
        let (rx, ran) = (rx.clone(), Rc::clone(&ran));
        move || {
            let end = rx.recv();
            ran.set(true);
            end.unwrap_err()
        }
    });
    yield_now();
    drop((tx, rx));
    assert!(!ran.get());
    assert!(waits.join().unwrap().is_disconnected());
}

#[test]
fn hubs_and_threads_ping_and_pong() {
    for capacity in [0, 1, 16] {
        let other = Elsewhere::new();
        let (ping, pings) = channel(capacity);
        let (pong, pongs) = channel(capacity);
        let echo = other.spawn(move || pings.iter().for_each(|n: u64| pong.send(n + 1).unwrap()));
        for n in 0..300 {
            ping.send(n).unwrap();
            assert_eq!(pongs.recv().unwrap(), n + 1);
        }
        drop(ping);
        echo.join().unwrap();
        assert!(pongs.recv().unwrap_err().is_disconnected());
    }
}

#[test]
fn each_value_goes_to_exactly_one_of_many() {
    const EACH: u64 = 500;
    for capacity in [0, 3] {
        let (tx, rx) = channel(capacity);
        let (sum, other) = (Arc::new(AtomicU64::new(0)), Elsewhere::new());
        let receive = {
            let sum = Arc::clone(&sum);
            move || {
                rx.into_iter().for_each(|n| {
                    sum.fetch_add(n, Ordering::Relaxed);
                })
            }
        };
        let receivers = [spawn(receive.clone()), other.spawn(receive.clone())];
        let plain = std::thread::spawn(receive);
        let send = move || (1..=EACH).for_each(|n| tx.send(n).unwrap());
        let senders = [spawn(send.clone()), other.spawn(send.clone())];
        std::thread::spawn(send).join().unwrap();
        for t in senders.into_iter().chain(receivers) {
            t.join().unwrap();
        }
        plain.join().unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 3 * EACH * (EACH + 1) / 2);
    }
}

#[test]
fn zero_limits_try_once() {
    let (tx, rx) = channel(1);
    assert!(rx.recv_timeout(Duration::ZERO).unwrap_err().is_timeout());
    tx.send_timeout(1, Duration::ZERO).unwrap();
    assert!(tx.send_timeout(2, Duration::ZERO).unwrap_err().is_timeout());
    assert_eq!(rx.recv_timeout(Duration::ZERO).unwrap(), 1);
}
