//! What std's own tests of `mpsc` ask for, asked of `sync::mpsc`: on tasks, and on OS threads.
//!
//! Each program is written once and run with both kinds of `spawn`. `README.md` beside this file says which tests have no
//! counterpart here, and why.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use greenloom::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError, channel,
    sync_channel,
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The programs, with `spawn` and `pause` of one kind.
macro_rules! programs {
    ($kind:ident, $spawn:path, $pause:path) => {
        mod $kind {
            use super::*;
            use $pause as pause;
            use $spawn as spawn;

            #[test]
            fn smoke() {
                let (tx, rx) = channel();
                tx.send(1).unwrap();
                assert_eq!(rx.recv(), Ok(1));
                let (tx, rx) = sync_channel(1);
                tx.send(1).unwrap();
                assert_eq!(rx.recv(), Ok(1));
                let sender = tx.clone();
                sender.send(2).unwrap();
                assert_eq!(rx.recv(), Ok(2));
            }

            #[test]
            fn smoke_threads() {
                let (tx, rx) = channel();
                let other = spawn(move || tx.send(1).unwrap());
                assert_eq!(rx.recv(), Ok(1));
                other.join().unwrap();
            }

            #[test]
            fn drop_full() {
                let (tx, _rx) = channel::<Box<i32>>();
                tx.send(Box::new(1)).unwrap();
                let (tx, _rx) = sync_channel::<Box<i32>>(1);
                tx.clone().send(Box::new(1)).unwrap();
            }

            #[test]
            fn port_gone() {
                let (tx, rx) = channel::<i32>();
                drop(rx);
                assert_eq!(tx.clone().send(1), Err(SendError(1)));
                let (tx, rx) = channel::<i32>();
                let other = spawn(move || {
                    rx.recv().unwrap();
                });
                while tx.send(1).is_ok() {
                    pause();
                }
                other.join().unwrap();
                let (tx, rx) = sync_channel::<i32>(0);
                let tx2 = tx.clone();
                let other = spawn(move || rx.recv().unwrap());
                while tx.send(1).is_ok() && tx2.send(1).is_ok() {}
                assert_eq!(other.join().unwrap(), 1);
            }

            #[test]
            fn chan_gone() {
                let (tx, rx) = channel::<i32>();
                let tx2 = tx.clone();
                drop(tx);
                drop(tx2);
                assert_eq!(rx.recv(), Err(RecvError));
                let (tx, rx) = sync_channel::<i32>(0);
                let other = spawn(move || {
                    tx.send(1).unwrap();
                    tx.send(1).unwrap();
                });
                while rx.recv().is_ok() {}
                other.join().unwrap();
            }

            #[test]
            fn stress() {
                for bound in [None, Some(0), Some(3)] {
                    let (tx, rx) = either(bound);
                    let others: Vec<_> = (0..8)
                        .map(|_| {
                            let tx = tx.clone();
                            spawn(move || {
                                for _ in 0..200 {
                                    tx.send(1).unwrap();
                                }
                            })
                        })
                        .collect();
                    drop(tx);
                    assert_eq!(rx.iter().sum::<i32>(), 1600);
                    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
                    for o in others {
                        o.join().unwrap();
                    }
                }
            }

            #[test]
            fn oneshot_single_thread() {
                // Either end first, with and without a value.
                let (tx, rx) = channel::<i32>();
                drop(rx);
                drop(tx);
                let (tx, rx) = channel::<i32>();
                drop(tx);
                drop(rx);
                let (tx, rx) = channel::<Box<i32>>();
                drop(rx);
                assert!(tx.send(Box::new(0)).is_err());
                let (tx, rx) = channel::<Box<i32>>();
                tx.send(Box::new(10)).unwrap();
                assert_eq!(*rx.recv().unwrap(), 10);
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                drop(tx);
                assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
                assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
                let (tx, rx) = sync_channel::<i32>(1);
                assert_eq!(tx.try_send(10), Ok(()));
                drop(tx);
                // What was sent before the end is received after it.
                assert_eq!(rx.try_recv(), Ok(10));
                assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
            }

            #[test]
            fn oneshot_multi_task_recv_then_send() {
                let (tx, rx) = channel::<Box<i32>>();
                let other = spawn(move || assert_eq!(*rx.recv().unwrap(), 10));
                pause();
                tx.send(Box::new(10)).unwrap();
                other.join().unwrap();
            }

            #[test]
            fn oneshot_multi_task_recv_then_close() {
                let (tx, rx) = channel::<Box<i32>>();
                let other = spawn(move || rx.recv());
                pause();
                drop(tx);
                assert_eq!(other.join().unwrap(), Err(RecvError));
            }

            #[test]
            fn oneshot_multi_thread_close_stress() {
                for _ in 0..32 {
                    let (tx, rx) = channel::<i32>();
                    let other = spawn(move || drop(rx));
                    let sender = spawn(move || {
                        let _ = tx.send(1);
                    });
                    other.join().unwrap();
                    sender.join().unwrap();
                    let (tx, rx) = channel::<i32>();
                    let receiver = spawn(move || rx.recv());
                    let closer = spawn(move || drop(tx));
                    assert_eq!(receiver.join().unwrap(), Err(RecvError));
                    closer.join().unwrap();
                }
            }

            #[test]
            fn stream_send_recv_stress() {
                let (tx, rx) = channel::<Box<i32>>();
                fn send(tx: super::Tx, n: i32) {
                    if n < 10 {
                        tx.send(Box::new(n)).unwrap();
                        spawn(move || send(tx, n + 1));
                    }
                }
                send(tx, 0);
                let got: Vec<_> = rx.iter().map(|n| *n).collect();
                assert_eq!(got, (0..10).collect::<Vec<_>>());
            }

            #[test]
            fn recv_timeout() {
                let (tx, rx) = channel::<i32>();
                assert_eq!(rx.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
                tx.send(1).unwrap();
                assert_eq!(rx.recv_timeout(MS), Ok(1));
                let begin = Instant::now();
                assert_eq!(rx.recv_timeout(3 * MS), Err(RecvTimeoutError::Timeout));
                assert!(begin.elapsed() >= 3 * MS);
                drop(tx);
                assert_eq!(rx.recv_timeout(HOUR), Err(RecvTimeoutError::Disconnected));
            }

            #[test]
            fn recv_timeout_stress() {
                let (tx, rx) = channel();
                let others: Vec<_> = (0..10)
                    .map(|i| {
                        let tx = tx.clone();
                        spawn(move || {
                            for _ in 0..i {
                                pause();
                            }
                            tx.send(1_usize).unwrap();
                        })
                    })
                    .collect();
                drop(tx);
                let mut count = 0;
                loop {
                    match rx.recv_timeout(MS) {
                        Ok(n) => count += n,
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                assert_eq!(count, 10);
                for o in others {
                    o.join().unwrap();
                }
            }

            #[test]
            fn recv_a_lot() {
                let (tx, rx) = channel();
                for _ in 0..10_000 {
                    tx.send(()).unwrap();
                }
                for _ in 0..10_000 {
                    rx.recv().unwrap();
                }
            }

            #[test]
            fn nested_recv_iter() {
                let (tx, rx) = channel::<i32>();
                let (total_tx, total_rx) = channel::<i32>();
                let other = spawn(move || total_tx.send(rx.iter().sum()).unwrap());
                for n in [3, 1, 2] {
                    tx.send(n).unwrap();
                }
                drop(tx);
                assert_eq!(total_rx.recv(), Ok(6));
                other.join().unwrap();
            }

            #[test]
            fn recv_iter_break() {
                let (tx, rx) = channel::<i32>();
                let (count_tx, count_rx) = channel();
                let other = spawn(move || {
                    let count = rx.iter().take_while(|n| *n < 3).count();
                    count_tx.send(count).unwrap();
                });
                for n in [2, 2, 2, 3] {
                    tx.send(n).unwrap();
                }
                let _ = tx.send(2);
                assert_eq!(count_rx.recv(), Ok(3));
                other.join().unwrap();
            }

            #[test]
            fn recv_try_iter() {
                let (requests, asked) = channel();
                let (responses, answered) = channel();
                let other = spawn(move || {
                    let mut count = 0;
                    loop {
                        for n in answered.try_iter() {
                            count += n;
                            if count == 6 {
                                return count;
                            }
                        }
                        requests.send(()).unwrap();
                        pause();
                    }
                });
                for () in asked.iter() {
                    if responses.send(2).is_err() {
                        break;
                    }
                }
                assert_eq!(other.join().unwrap(), 6);
            }

            #[test]
            fn into_iter_owned_and_borrowed() {
                let (tx, rx) = channel::<i32>();
                tx.send(1).unwrap();
                tx.send(2).unwrap();
                tx.send(3).unwrap();
                drop(tx);
                assert_eq!((&rx).into_iter().next(), Some(1));
                let mut iter = rx.into_iter();
                assert_eq!(
                    (iter.next(), iter.next(), iter.next()),
                    (Some(2), Some(3), None)
                );
            }

            #[test]
            fn try_recv_states() {
                let (tx, rx) = channel::<i32>();
                let (go, goes) = channel::<()>();
                let (done, is_done) = channel::<()>();
                let other = spawn(move || {
                    goes.recv().unwrap();
                    tx.send(1).unwrap();
                    done.send(()).unwrap();
                    goes.recv().unwrap();
                    drop(tx);
                    done.send(()).unwrap();
                });
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                go.send(()).unwrap();
                is_done.recv().unwrap();
                assert_eq!(rx.try_recv(), Ok(1));
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                go.send(()).unwrap();
                is_done.recv().unwrap();
                assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
                other.join().unwrap();
            }

            #[test]
            fn destroy_port_while_a_sender_is_active() {
                // The receiver is dropped while another sender is cloned and sends.
                let (tx, rx) = channel::<()>();
                let (gone, is_gone) = channel();
                let other = spawn(move || {
                    rx.recv().unwrap();
                    drop(rx);
                    gone.send(()).unwrap();
                });
                let tx2 = tx.clone();
                tx.send(()).unwrap();
                is_gone.recv().unwrap();
                assert_eq!(tx2.send(()), Err(SendError(())));
                other.join().unwrap();
            }

            #[test]
            fn sync_send_waits_for_room() {
                let (tx, rx) = sync_channel::<i32>(0);
                let other = spawn(move || {
                    for n in 0..50 {
                        tx.send(n).unwrap();
                    }
                });
                assert!(rx.iter().eq(0..50));
                other.join().unwrap();
            }

            #[test]
            fn send_that_waits_meets_the_end() {
                let (tx, rx) = sync_channel::<i32>(0);
                let other = spawn(move || tx.send(1));
                pause();
                drop(rx);
                assert_eq!(other.join().unwrap(), Err(SendError(1)));
                let (tx, rx) = sync_channel::<i32>(0);
                let tx2 = tx.clone();
                let others = [spawn(move || tx.send(1)), spawn(move || tx2.send(1))];
                pause();
                drop(rx);
                for o in others {
                    assert_eq!(o.join().unwrap(), Err(SendError(1)));
                }
            }

            #[test]
            fn try_send_in_every_state() {
                let (tx, rx) = sync_channel::<i32>(0);
                assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
                drop(rx);
                assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
                let (tx, rx) = sync_channel::<i32>(1);
                assert_eq!(tx.try_send(1), Ok(()));
                assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
                drop(rx);
                assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
            }

            /// A receiver that drops inside another task's message loop (rust-lang/rust issue 15761).
            #[test]
            fn repro_of_a_reply_that_arrives_at_once() {
                for _ in 0..20 {
                    let (tx1, rx1) = sync_channel::<()>(3);
                    let (tx2, rx2) = sync_channel::<()>(3);
                    let other = spawn(move || {
                        rx1.recv().unwrap();
                        tx2.try_send(()).unwrap();
                    });
                    tx1.try_send(()).unwrap();
                    rx2.recv().unwrap();
                    other.join().unwrap();
                }
            }
        }
    };
}

type Tx = greenloom::sync::mpsc::Sender<Box<i32>>;

/// A sender of either kind.
enum Either {
    Unbounded(greenloom::sync::mpsc::Sender<i32>),
    Bounded(greenloom::sync::mpsc::SyncSender<i32>),
}

impl Either {
    fn send(&self, n: i32) -> Result<(), SendError<i32>> {
        match self {
            Self::Unbounded(tx) => tx.send(n),
            Self::Bounded(tx) => tx.send(n),
        }
    }

    fn clone(&self) -> Self {
        match self {
            Self::Unbounded(tx) => Self::Unbounded(tx.clone()),
            Self::Bounded(tx) => Self::Bounded(tx.clone()),
        }
    }
}

fn either(bound: Option<usize>) -> (Either, Receiver<i32>) {
    match bound {
        None => {
            let (tx, rx) = channel();
            (Either::Unbounded(tx), rx)
        }
        Some(n) => {
            let (tx, rx) = sync_channel(n);
            (Either::Bounded(tx), rx)
        }
    }
}

programs!(tasks, greenloom::spawn, greenloom::yield_now);
programs!(threads, std::thread::spawn, std::thread::yield_now);
