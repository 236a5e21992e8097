//! What Go's own tests of its channels (`test/chan`, `runtime/chan_test.go`) ask for, by way of crossbeam-channel's port of
//! them, asked of [`greenloom::queue::channel`].
//!
//! A goroutine is a task. Closing a channel is dropping its senders. `ported_golang_select.rs` has the tests of `select`;
//! `README.md` beside this file says which have no counterpart, and why.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greenloom::queue::{Receiver, Sender, TryRecvError, TrySendError, channel, unbounded_channel};
use greenloom::{spawn, yield_now};

mod fifo {
    use super::*;

    const N: u32 = 10;

    #[test]
    fn asynch_fifo() {
        let (tx, rx) = channel(N as usize);
        for n in 0..N {
            tx.send(n).unwrap();
        }
        for n in 0..N {
            assert_eq!(rx.recv().unwrap(), n);
        }
    }

    #[test]
    fn synch_fifo() {
        let (values, chained) = channel(0);
        // Each link waits for the one before it, sends its number, and lets the next one go.
        let (begin, mut before) = channel(0);
        for n in 0..N {
            let (after, next) = channel(0);
            let (values, go) = (values.clone(), before);
            spawn(move || {
                go.recv().unwrap();
                values.send(n).unwrap();
                after.send(()).unwrap();
            });
            before = next;
        }
        begin.send(()).unwrap();
        for n in 0..N {
            assert_eq!(chained.recv().unwrap(), n);
        }
        before.recv().unwrap();
    }
}

#[test]
fn goroutines() {
    const N: u32 = 1000;
    let (leftmost, result) = channel(0);
    let mut left: Sender<u32> = leftmost;
    for _ in 0..N {
        let (tx, rx) = channel(0);
        let to = left;
        spawn(move || to.send(rx.recv().unwrap() + 1).unwrap());
        left = tx;
    }
    spawn(move || left.send(0).unwrap());
    assert_eq!(result.recv().unwrap(), N);
}

mod nonblock {
    use super::*;

    fn exchange<T: PartialEq + std::fmt::Debug + Clone + Send + 'static>(
        capacity: usize,
        value: T,
    ) {
        let (tx, rx) = channel(capacity);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        let receiver = spawn({
            let rx = rx.clone();
            move || rx.recv().unwrap()
        });
        yield_now();
        assert_eq!(tx.try_send(value.clone()), Ok(()));
        assert_eq!(receiver.join().unwrap(), value);
        for _ in 0..capacity {
            assert_eq!(tx.try_send(value.clone()), Ok(()));
        }
        assert_eq!(
            tx.try_send(value.clone()),
            Err(TrySendError::Full(value.clone()))
        );
        let sender = spawn({
            let (tx, value) = (tx, value.clone());
            move || tx.send(value).unwrap()
        });
        yield_now();
        for _ in 0..=capacity {
            assert_eq!(rx.try_recv(), Ok(value.clone()));
        }
        sender.join().unwrap();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn main() {
        for capacity in [0, 1, 10, 100] {
            exchange(capacity, 123_i32);
            exchange(capacity, 234_i64);
            exchange(capacity, true);
            exchange(capacity, "hello".to_owned());
        }
    }

    #[test]
    fn nonblock_recv_race() {
        for _ in 0..300 {
            let (tx, rx) = channel(1);
            tx.send(1).unwrap();
            let thread = std::thread::spawn(move || rx.try_recv());
            drop(tx);
            assert_eq!(thread.join().unwrap(), Ok(1));
        }
    }
}

#[test]
fn sieve1() {
    fn filter(from: Receiver<u32>, to: Sender<u32>, prime: u32) {
        for n in from {
            if n % prime != 0 && to.send(n).is_err() {
                return;
            }
        }
    }
    let (tx, mut rx) = channel(0);
    spawn(move || {
        for n in 2.. {
            if tx.send(n).is_err() {
                return;
            }
        }
    });
    let mut primes = Vec::new();
    while primes.len() < 25 {
        let prime = rx.recv().unwrap();
        primes.push(prime);
        let (to, next) = channel(0);
        let from = std::mem::replace(&mut rx, next);
        spawn(move || filter(from, to, prime));
    }
    assert_eq!(primes.last(), Some(&97));
    assert!(primes.iter().all(|p| (2..*p).all(|d| p % d != 0)));
}

#[test]
fn zerosize() {
    let (tx, rx) = channel::<[u8; 0]>(2);
    tx.send([]).unwrap();
    assert_eq!(rx.recv().unwrap(), []);
    let (tx, rx) = channel::<()>(0);
    spawn(move || tx.send(()).unwrap());
    assert_eq!(rx.iter().count(), 1);
}

mod chan_test {
    use super::*;

    /// The parts of `TestChan` that need no select.
    #[test]
    fn test_chan() {
        for capacity in 0..30 {
            // A receive from an empty channel waits, a send to a full one too.
            let (tx, rx) = channel(capacity);
            let ran = Rc::new(Cell::new(0));
            let receives = spawn({
                let (rx, ran) = (rx.clone(), Rc::clone(&ran));
                move || {
                    rx.recv().unwrap();
                    ran.set(ran.get() + 1);
                }
            });
            yield_now();
            assert_eq!(ran.get(), 0);
            tx.send(0).unwrap();
            receives.join().unwrap();
            for n in 0..capacity {
                tx.send(n).unwrap();
            }
            let sends = spawn({
                let (tx, ran) = (tx.clone(), Rc::clone(&ran));
                move || {
                    tx.send(capacity).unwrap();
                    ran.set(ran.get() + 1);
                }
            });
            yield_now();
            assert_eq!(ran.get(), 1);
            assert_eq!(rx.recv().unwrap(), 0);
            sends.join().unwrap();
            // A channel whose senders are gone is drained, in order, and then over, for each that asks.
            drop(tx);
            let rest: Vec<_> = rx.iter().collect();
            assert_eq!(rest, (1..=capacity).collect::<Vec<_>>());
            assert!(rx.recv().is_err() && rx.recv().is_err());
            // The end wakes who waits.
            let (tx, rx) = channel::<()>(capacity);
            let waits = spawn(move || rx.recv().is_err());
            yield_now();
            drop(tx);
            assert!(waits.join().unwrap());
            // 100 values, in order.
            let (tx, rx) = channel(capacity);
            spawn(move || (0..100).for_each(|n| tx.send(n).unwrap()));
            assert!(rx.iter().eq(0..100));
            // 1000 values by four senders to four receivers, of each exactly four.
            let (tx, rx) = channel(capacity);
            let senders: Vec<_> = (0..4)
                .map(|_| {
                    let tx = tx.clone();
                    spawn(move || (0..250).for_each(|n| tx.send(n).unwrap()))
                })
                .collect();
            drop(tx);
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    let rx = rx.clone();
                    spawn(move || rx.iter().collect::<Vec<u32>>())
                })
                .collect();
            let mut seen = [0; 250];
            for r in receivers {
                for n in r.join().unwrap() {
                    seen[n as usize] += 1;
                }
            }
            assert!(seen.iter().all(|n| *n == 4));
            for s in senders {
                s.join().unwrap();
            }
            // Length and capacity.
            let (tx, rx) = channel(capacity);
            assert_eq!((tx.len(), tx.capacity()), (0, Some(capacity)));
            for n in 0..capacity {
                tx.send(n).unwrap();
                assert_eq!(rx.len(), n + 1);
            }
        }
    }

    #[test]
    fn test_chan_send_interface() {
        #[derive(Debug)]
        struct Mt;
        let (tx, _rx) = channel::<Box<dyn std::fmt::Debug + Send>>(1);
        tx.send(Box::new(Mt)).unwrap();
        assert!(tx.try_send(Box::new(Mt)).unwrap_err().is_full());
        assert!(tx.try_send(Box::new(1)).unwrap_err().is_full());
    }

    #[test]
    fn test_multi_consumer() {
        const WORKERS: usize = 23;
        const ITEMS: usize = 5000;
        const PRIMES: [u64; 5] = [2, 3, 7, 5, 11];
        let (tx, rx) = channel(WORKERS);
        let (done_tx, done_rx) = unbounded_channel();
        let expected = Arc::new(AtomicU64::new(0));
        let workers: Vec<_> = (0..WORKERS)
            .map(|w| {
                let (rx, done) = (rx.clone(), done_tx.clone());
                spawn(move || {
                    for n in rx {
                        // Some give way, as Go's scheduler is made to.
                        if w % 3 == 0 {
                            yield_now();
                        }
                        done.send(n).unwrap();
                    }
                })
            })
            .collect();
        drop(done_tx);
        spawn({
            let expected = Arc::clone(&expected);
            move || {
                for i in 0..ITEMS {
                    let n = PRIMES[i % PRIMES.len()];
                    expected.fetch_add(n, Ordering::Relaxed);
                    tx.send(n).unwrap();
                }
            }
        });
        let sum: u64 = done_rx.iter().sum();
        for w in workers {
            w.join().unwrap();
        }
        assert_eq!(sum, expected.load(Ordering::Relaxed));
    }
}

/// Doug McIlroy's channels in a ring: each value goes once around.
#[test]
fn ring_of_channels() {
    let (first, mut last) = channel(0);
    for _ in 0..100 {
        let (tx, rx) = channel(0);
        let from = std::mem::replace(&mut last, rx);
        spawn(move || from.iter().for_each(|n: u32| tx.send(n + 1).unwrap()));
    }
    for n in 0..10 {
        first.send(n).unwrap();
        assert_eq!(last.recv().unwrap(), n + 100);
    }
    drop(first);
    assert!(last.recv().is_err());
}
