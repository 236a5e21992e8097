//! What Go's own tests of `select` (`test/chan/select*.go` and their like, `runtime/chan_test.go`) ask for, asked of
//! [`greenloom::select`] over channels.
//!
//! A goroutine is a task. Closing a channel is dropping its senders, or its receivers. In place of a nil channel there is a put
//! with an empty slot, which is never chosen. `README.md` beside this file says what has no counterpart here, and why.
#![forbid(unsafe_code)]

mod util;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use greenloom::queue::{Receiver, Sender, channel};
use greenloom::select::Select;
use greenloom::{hub, spawn, yield_now};

/// `doubleselect.go`: of several sends that could go, exactly one does, each time.
#[test]
fn doubleselect() {
    const N: u32 = 2000;
    const WAYS: usize = 4;
    let (ways, ends): (Vec<_>, Vec<_>) = (0..WAYS).map(|_| channel(0)).unzip();
    let (all, sink) = channel(0);
    let sends = spawn(move || {
        for n in 0..N {
            let [mut a, mut b, mut c, mut d] = [Some(n); WAYS];
            let sent = Select::new()
                .send(&ways[0], &mut a, |sent| sent.is_ok())
                .send(&ways[1], &mut b, |sent| sent.is_ok())
                .send(&ways[2], &mut c, |sent| sent.is_ok())
                .send(&ways[3], &mut d, |sent| sent.is_ok())
                .wait();
            assert!(sent);
            let kept = [a, b, c, d].into_iter().flatten().count();
            assert_eq!(kept, WAYS - 1, "one of the offers has gone");
        }
    });
    for end in ends {
        let all = all.clone();
        spawn(move || end.iter().for_each(|n| all.send(n).unwrap()));
    }
    drop(all);
    let mut seen = BTreeSet::new();
    for n in sink {
        assert!(seen.insert(n), "{n} came twice");
    }
    assert_eq!(seen.len(), N as usize);
    sends.join().unwrap();
}

/// `select.go`: arms are switched off and on from one time to the next; the other one is chosen meanwhile.
#[test]
fn select_with_arms_switched_off() {
    let ((a, from_a), (b, from_b)) = (channel(0), channel(0));
    let sends = spawn(move || {
        let word = 0b1011_0010_u8;
        for bit in 0..8 {
            let value = word >> bit & 1;
            // In turn both ways are open, only the first, only the second.
            let mut first = (bit % 3 != 2).then_some(value);
            let mut second = (bit % 3 != 1).then_some(value);
            let (had_first, had_second) = (first.is_some(), second.is_some());
            let way = Select::new()
                .send(&a, &mut first, |_| 1)
                .send(&b, &mut second, |_| 2)
                .wait();
            assert!(if way == 1 { had_first } else { had_second });
        }
        word
    });
    let mut word = 0;
    for bit in 0..8 {
        let value = Select::new()
            .recv(&from_a, |value| {
                assert_ne!(bit % 3, 2);
                value
            })
            .recv(&from_b, |value| {
                assert_ne!(bit % 3, 1);
                value
            })
            .wait();
        word |= value.unwrap() << bit;
    }
    assert_eq!(sends.join().unwrap(), word);
}

/// `select2.go`: an arm that is never chosen leaves nothing behind, however often it was asked.
#[test]
fn select2() {
    util::alone("select2", || {
        let (tx, rx) = channel(0);
        let (_never, dummy) = channel::<u32>(0);
        spawn(move || (0_u32..).try_for_each(|n| tx.send(n)));
        let take = |n: usize| {
            for _ in 0..n {
                Select::new()
                    .recv(&rx, |value| assert!(value.is_ok()))
                    .recv(&dummy, |_| unreachable!("nobody sends there"))
                    .wait();
            }
        };
        take(1000);
        util::assert_no_leak(|| take(20_000));
    });
}

mod select3 {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Blocks {
        Always,
        Never,
    }

    #[track_caller]
    fn check(blocks: Blocks, f: impl FnOnce() + 'static) {
        let task = spawn(f);
        yield_now();
        yield_now();
        assert_eq!(!task.is_finished(), blocks == Blocks::Always);
        task.kill();
        assert_eq!(task.join().is_err(), blocks == Blocks::Always);
    }

    fn empty() -> (Sender<u8>, Receiver<u8>) {
        channel(0)
    }

    fn full() -> (Sender<u8>, Receiver<u8>) {
        let (tx, rx) = channel(1);
        tx.send(0).unwrap();
        (tx, rx)
    }

    #[test]
    fn without_a_select() {
        let (tx, rx) = empty();
        check(Blocks::Always, move || drop((rx.recv(), tx)));
        let (tx, rx) = empty();
        check(Blocks::Always, move || drop((tx.send(1), rx)));
        let (tx, rx) = full();
        check(Blocks::Always, move || drop((tx.send(1), rx)));
        let (tx, rx) = full();
        check(Blocks::Never, move || drop((rx.recv(), tx)));
        let (tx, rx) = channel(1);
        check(Blocks::Never, move || drop((tx.send(1), rx)));
        // What is closed is ready.
        let (tx, rx) = empty();
        drop(tx);
        check(Blocks::Never, move || assert!(rx.recv().is_err()));
        let (tx, rx) = full();
        drop(rx);
        check(Blocks::Never, move || assert!(tx.send(1).is_err()));
    }

    #[test]
    fn with_one_arm() {
        let recv = |rx: &Receiver<u8>| Select::new().recv(rx, |got| got.is_ok()).wait();
        let send = |tx: &Sender<u8>| {
            let mut slot = Some(1);
            Select::new()
                .send(tx, &mut slot, |sent| sent.is_ok())
                .wait()
        };
        let (tx, rx) = empty();
        check(Blocks::Always, move || drop((recv(&rx), tx)));
        let (tx, rx) = empty();
        check(Blocks::Always, move || drop((send(&tx), rx)));
        let (tx, rx) = full();
        check(Blocks::Always, move || drop((send(&tx), rx)));
        let (tx, rx) = full();
        check(Blocks::Never, move || drop((recv(&rx), tx)));
        let (tx, rx) = channel(1);
        check(Blocks::Never, move || drop((send(&tx), rx)));
        let (tx, rx) = empty();
        drop(tx);
        check(Blocks::Never, move || assert!(!recv(&rx)));
        let (tx, rx) = full();
        drop(rx);
        check(Blocks::Never, move || assert!(!send(&tx)));
    }

    #[test]
    fn with_no_arm_or_none_that_could_be_chosen() {
        check(Blocks::Always, || Select::<()>::new().wait());
        let (tx, rx) = channel::<u8>(1);
        check(Blocks::Always, move || {
            Select::new().send(&tx, &mut None, |_| drop(rx)).wait();
        });
        check(Blocks::Never, || Select::new().default(|| ()).wait());
        let (tx, rx) = channel::<u8>(1);
        check(Blocks::Never, move || {
            let mut nothing = None;
            let send = Select::new().send(&tx, &mut nothing, |_| drop(rx));
            send.default(|| ()).wait();
        });
    }

    #[test]
    fn with_a_default() {
        let (tx, rx) = empty();
        check(Blocks::Never, move || {
            let mut slot = Some(1);
            let chosen = Select::new()
                .recv(&rx, |_| 1)
                .send(&tx, &mut slot, |_| 2)
                .default(|| 3)
                .wait();
            assert_eq!((chosen, slot), (3, Some(1)));
        });
        let (tx, rx) = full();
        check(Blocks::Never, move || {
            let mut slot = Some(1);
            let chosen = Select::new()
                .send(&tx, &mut slot, |_| 2)
                .recv(&rx, |got| got.unwrap())
                .default(|| 3)
                .wait();
            assert_eq!((chosen, slot), (0, Some(1)));
        });
    }

    #[test]
    fn with_two_arms_of_which_one_can_go() {
        let ((_tx, never), (tx, rx)) = (empty(), full());
        check(Blocks::Never, move || {
            let got = Select::new()
                .recv(&never, |_| None)
                .recv(&rx, |got| got.ok())
                .wait();
            assert_eq!((got, tx.len()), (Some(0), 0));
        });
    }
}

/// `select4.go`: only the closure of the chosen arm runs, and only its place is written.
#[test]
fn select4() {
    let ((tx, rx), (_other, never)) = (channel(1), channel::<u8>(1));
    tx.send(42).unwrap();
    let (mut got, touched) = (0, Cell::new(false));
    Select::new()
        .recv(&rx, |value| got = value.unwrap())
        .recv(&never, |_| touched.set(true))
        .wait();
    assert_eq!((got, touched.get()), (42, false));
}

/// `select6.go`: a select that leaves the middle of a line takes nobody with it.
#[test]
fn select6() {
    let ((c1, r1), (c2, r2), (c3, r3)) = (channel(0), channel(0), channel(0));
    let receives = |rx: &Receiver<bool>| {
        let rx = rx.clone();
        spawn(move || rx.recv().unwrap())
    };
    let first = receives(&r1);
    yield_now();
    let middle = {
        let (r1, r2, c3) = (r1.clone(), r2.clone(), c3.clone());
        spawn(move || {
            Select::new()
                .recv(&r1, |_| panic!("the other arm came"))
                .recv(&r2, |_| c3.send(true).unwrap())
                .wait();
            r1.recv().unwrap()
        })
    };
    yield_now();
    let last = receives(&r1);
    yield_now();
    c2.send(true).unwrap();
    assert!(r3.recv().unwrap());
    for _ in 0..3 {
        c1.send(true).unwrap();
    }
    assert!(first.join().unwrap() && middle.join().unwrap() && last.join().unwrap());
    // The same on the senders' side.
    let sends = |value| {
        let c1 = c1.clone();
        spawn(move || c1.send(value).unwrap())
    };
    let first = sends(true);
    yield_now();
    let middle = {
        let (c1, r2, c3) = (c1.clone(), r2.clone(), c3.clone());
        spawn(move || {
            let mut slot = Some(false);
            Select::new()
                .send(&c1, &mut slot, |_| panic!("the other arm came"))
                .recv(&r2, |_| c3.send(true).unwrap())
                .wait();
            c1.send(true).unwrap();
        })
    };
    yield_now();
    let last = sends(true);
    yield_now();
    c2.send(true).unwrap();
    assert!(r3.recv().unwrap());
    for _ in 0..3 {
        assert!(r1.recv().unwrap());
    }
    for task in [first, middle, last] {
        task.join().unwrap();
    }
}

/// `select7.go`: each way to receive meets each way to send, whoever comes first.
#[test]
fn select7() {
    type Way<E, T> = fn(&E) -> T;
    let receives: [Way<Receiver<u32>, u32>; 3] = [
        |rx| rx.recv().unwrap(),
        |rx| Select::new().recv(rx, |got| got.unwrap()).wait(),
        |rx| {
            let (_tx, never) = channel::<u32>(0);
            let select = Select::new().recv(&never, |_| panic!("nobody sends there"));
            select.recv(rx, |got| got.unwrap()).wait()
        },
    ];
    let sends: [Way<Sender<u32>, ()>; 3] = [
        |tx| tx.send(7).unwrap(),
        |tx| Select::new().send(tx, &mut Some(7), |s| s.unwrap()).wait(),
        |tx| {
            let (never, _rx) = channel(0);
            let mut slot = Some(8);
            let select = Select::new().send(&never, &mut slot, |_| panic!("nobody receives there"));
            select.send(tx, &mut Some(7), |s| s.unwrap()).wait();
        },
    ];
    for recv in receives {
        for send in sends {
            let (tx, rx) = channel(0);
            spawn(move || send(&tx));
            yield_now();
            assert_eq!(recv(&rx), 7);
            let (tx, rx) = channel(0);
            let task = spawn(move || recv(&rx));
            yield_now();
            send(&tx);
            assert_eq!(task.join().unwrap(), 7);
        }
    }
}

/// `sieve2.go`: primes are the odd numbers that no stream of multiples has; the streams are merged by value.
#[test]
fn sieve2() {
    fn odds(from: u32, step: u32) -> Receiver<u32> {
        let (tx, rx) = channel(1);
        spawn(move || (from..).step_by(step as usize).try_for_each(|n| tx.send(n)));
        rx
    }
    /// A stream whose next value has been looked at.
    struct Head(u32, Receiver<u32>);
    let (numbers, mut multiples, mut primes) = (odds(3, 2), Vec::<Head>::new(), vec![2]);
    while primes.len() < 60 {
        let n = numbers.recv().unwrap();
        let mut is_prime = true;
        for head in &mut multiples {
            while head.0 < n {
                head.0 = head.1.recv().unwrap();
            }
            is_prime &= head.0 != n;
        }
        if is_prime {
            primes.push(n);
            multiples.push(Head(n * n, odds(n * n + 2 * n, 2 * n)));
        }
    }
    assert_eq!(primes.last(), Some(&281));
    assert!(primes.iter().all(|p| (2..*p).all(|d| p % d != 0)));
}

/// `powser1.go`: power series as streams of coefficients, each operation a task, tied into loops.
mod powser1 {
    use super::*;

    /// A numerator and a denominator above zero, without common factors.
    type Ratio = (i128, i128);
    type Series = Receiver<Ratio>;

    fn ratio(n: i128, d: i128) -> Ratio {
        let (mut a, mut b) = (n.abs().max(1), d.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        if n == 0 { (0, 1) } else { (n / a, d / a) }
    }

    fn plus(a: Ratio, b: Ratio) -> Ratio {
        ratio(a.0 * b.1 + b.0 * a.1, a.1 * b.1)
    }

    fn times(a: Ratio, b: Ratio) -> Ratio {
        ratio(a.0 * b.0, a.1 * b.1)
    }

    /// A stream that `f` feeds, until nobody takes from it.
    fn series(f: impl FnOnce(&dyn Fn(Ratio) -> Option<()>) -> Option<()> + 'static) -> Series {
        let (tx, rx) = channel(0);
        spawn(move || f(&|c| tx.send(c).ok()));
        rx
    }

    /// The same twice; one may be a little ahead of the other.
    fn split(s: Series) -> (Series, Series) {
        let ((tx, rx), (ty, ry)) = (channel(4), channel(4));
        spawn(move || {
            for c in s {
                let sent = (tx.send(c).is_ok(), ty.send(c).is_ok());
                if sent == (false, false) {
                    return;
                }
            }
        });
        (rx, ry)
    }

    fn add(a: Series, b: Series) -> Series {
        series(move |put| {
            loop {
                put(plus(a.recv().ok()?, b.recv().ok()?))?;
            }
        })
    }

    fn scale(s: Series, by: Ratio) -> Series {
        series(move |put| s.iter().try_for_each(|c| put(times(c, by))))
    }

    /// `first`, and behind it the integral: the coefficient of x^n over n + 1.
    fn integral(s: Series, first: Ratio) -> Series {
        series(move |put| {
            put(first)?;
            (1..).zip(&s).try_for_each(|(n, c)| put(times(c, (1, n))))
        })
    }

    /// (a + x A)(b + x B) = ab + x (aB + bA + x AB)
    fn mul(f: Series, g: Series) -> Series {
        series(move |put| {
            let (a, b) = (f.recv().ok()?, g.recv().ok()?);
            put(times(a, b))?;
            let ((f, f2), (g, g2)) = (split(f), split(g));
            let outer = add(scale(g, a), scale(f, b));
            put(outer.recv().ok()?)?;
            let inner = mul(f2, g2);
            loop {
                put(plus(outer.recv().ok()?, inner.recv().ok()?))?;
            }
        })
    }

    fn first(s: Series, n: usize) -> Vec<Ratio> {
        s.iter().take(n).collect()
    }

    #[test]
    fn the_exponential_is_its_own_integral() {
        let (tie, tied) = channel(0);
        let (exp, again) = split(integral(tied, (1, 1)));
        spawn(move || again.iter().try_for_each(|c| tie.send(c)));
        let factorials = (1..8_i128).scan(1, |f, n| Some(std::mem::replace(f, *f * n)));
        let expected: Vec<_> = factorials.map(|f| (1, f)).collect();
        assert_eq!(first(exp, 7), expected);
    }

    #[test]
    fn the_squares_of_sine_and_cosine_add_up_to_one() {
        // Each is the integral of the other, but for the sign.
        let trig = || {
            let (tie, cos_again) = channel(0);
            let (sin, to_cos) = split(integral(cos_again, (0, 1)));
            let (cos, to_sin) = split(integral(scale(to_cos, (-1, 1)), (1, 1)));
            spawn(move || to_sin.iter().try_for_each(|c| tie.send(c)));
            (sin, cos)
        };
        let ((s1, s2), (c1, c2)) = {
            let (sin, cos) = trig();
            (split(sin), split(cos))
        };
        let sum = first(add(mul(s1, s2), mul(c1, c2)), 7);
        assert_eq!(sum[0], (1, 1));
        assert!(sum[1..].iter().all(|c| *c == (0, 1)), "{sum:?}");
    }
}

mod chan_test {
    use super::*;

    /// Nobody receives what it sends itself, in tasks or between threads.
    #[test]
    fn self_select() {
        fn talk(who: u32, tx: &Sender<u32>, rx: &Receiver<u32>, rounds: u32) -> u32 {
            let mut heard = 0;
            for round in 0..rounds {
                let mut slot = Some(who);
                let mut got = None;
                if round % 2 == 0 {
                    let select = Select::new().send(tx, &mut slot, |_| ());
                    select.recv(rx, |value| got = value.ok()).wait();
                } else {
                    let select = Select::new().recv(rx, |value| got = value.ok());
                    select.send(tx, &mut slot, |_| ()).wait();
                }
                assert!(tx.capacity() != Some(0) || got != Some(who), "own value");
                heard += u32::from(got.is_some());
            }
            heard
        }
        for capacity in [0, 10] {
            let (tx, rx) = channel(capacity);
            let tasks = [0, 1].map(|who| {
                let (tx, rx) = (tx.clone(), rx.clone());
                spawn(move || talk(who, &tx, &rx, 1000))
            });
            // One may be left without the other; its last words are heard, or heard out.
            let (end, helper) = (rx.clone(), tx.clone());
            let joined = Rc::new(Cell::new(0));
            for task in tasks {
                let joined = Rc::clone(&joined);
                spawn(move || {
                    task.join().unwrap();
                    joined.set(joined.get() + 1);
                });
            }
            while joined.get() < 2 {
                if joined.get() == 1 {
                    let _ = end.try_recv();
                    let _ = helper.try_send(9);
                }
                yield_now();
            }
        }
        let (tx, rx) = channel(0);
        let threads = [0, 1].map(|who| {
            let (tx, rx) = (tx.clone(), rx.clone());
            thread::spawn(move || talk(who, &tx, &rx, 2000))
        });
        while threads.iter().any(|t| !t.is_finished()) {
            let _ = rx.try_recv();
            let _ = tx.try_send(9);
            thread::yield_now();
        }
        for t in threads {
            t.join().unwrap();
        }
    }

    /// Four channels, each with a sender and a receiver of its own, and one of each that selects among all.
    #[test]
    fn select_stress() {
        const N: u32 = 500;
        let all: Vec<_> = [0, 0, 2, 3].map(channel).into_iter().collect();
        let mut tasks = Vec::new();
        for (tx, rx) in &all {
            let (tx, rx) = (tx.clone(), rx.clone());
            tasks.push(spawn(move || (0..N).for_each(|_| tx.send(0).unwrap())));
            tasks.push(spawn(move || {
                (0..N).for_each(|_| assert!(rx.recv().is_ok()))
            }));
        }
        let (senders, receivers): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        tasks.push(spawn(move || {
            let mut left = [N; 4];
            while left.iter().any(|n| *n > 0) {
                // Who has sent enough has nothing to offer any more.
                let [mut a, mut b, mut c, mut d] = left.map(|n| (n > 0).then_some(1));
                let which = Select::new()
                    .send(&senders[0], &mut a, |_| 0)
                    .send(&senders[1], &mut b, |_| 1)
                    .send(&senders[2], &mut c, |_| 2)
                    .send(&senders[3], &mut d, |_| 3)
                    .wait();
                left[which] -= 1;
            }
        }));
        tasks.push(spawn(move || {
            let mut left = [N; 4];
            while left.iter().any(|n| *n > 0) {
                let on: Vec<usize> = (0..4).filter(|i| left[*i] > 0).collect();
                let which = Select::new()
                    .any(on.iter().map(|i| &receivers[*i]), |n, got| {
                        got.unwrap();
                        on[n]
                    })
                    .wait();
                left[which] -= 1;
            }
        }));
        for task in tasks {
            task.join().unwrap();
        }
    }

    /// Of two arms that are always ready, each has its share. In a simulation, so that it is the same each time.
    #[test]
    fn select_fairness() {
        hub::simulate(1, || {
            const N: u32 = 2000;
            let ((a, from_a), (b, from_b)) = (channel(1), channel(1));
            for tx in [a, b] {
                spawn(move || while tx.send(0).is_ok() {});
            }
            yield_now();
            let mut counts = [0; 2];
            for _ in 0..N {
                let which = Select::new()
                    .recv(&from_a, |_| 0)
                    .recv(&from_b, |_| 1)
                    .wait();
                counts[which] += 1;
            }
            assert!(counts.iter().all(|n| *n > N / 10), "{counts:?}");
        });
    }

    /// Two sends into one channel: both come.
    #[test]
    fn pseudo_random_send() {
        const N: usize = 100;
        for capacity in [0, 1, 10, N] {
            hub::simulate(capacity as u64, move || {
                let (tx, rx) = channel(capacity);
                spawn(move || {
                    for _ in 0..N {
                        let (mut zero, mut one) = (Some(0), Some(1));
                        let select = Select::new().send(&tx, &mut zero, |_| ());
                        select.send(&tx, &mut one, |_| ()).wait();
                    }
                });
                let ones: usize = rx.iter().sum();
                assert!((N / 10..N - N / 10).contains(&ones), "{ones} of {N}");
            });
        }
    }

    /// One channel at two arms of a select: leaving it takes both out of the line, and none of another.
    #[test]
    fn select_duplicate_channel() {
        let ((c, from_c), (d, from_d), (e, from_e)) = (channel(0), channel(0), channel(0));
        let r = from_c.clone();
        spawn(move || {
            Select::new()
                .recv(&r, |_| panic!("the other arm came"))
                .recv(&r, |_| panic!("the other arm came"))
                .recv(&from_d, |got| assert_eq!(got, Ok(7)))
                .wait();
            e.send(9).unwrap();
        });
        yield_now();
        let behind = spawn(move || from_c.recv().unwrap());
        yield_now();
        d.send(7).unwrap();
        assert_eq!(from_e.recv().unwrap(), 9);
        c.send(8).unwrap();
        assert_eq!(behind.join().unwrap(), 8);
    }

    /// A select that is not to wait, while there is always one arm that is ready, though not the same.
    #[test]
    fn nonblock_select_race() {
        for _ in 0..500 {
            let ((a, from_a), (b, from_b)) = (channel(1), channel(1));
            a.send(1).unwrap();
            let (other, _keeps) = (from_a.clone(), from_b.clone());
            let selects = thread::spawn(move || {
                Select::new()
                    .recv(&from_a, |got| got.ok())
                    .recv(&from_b, |got| got.ok())
                    .after(Duration::ZERO, || None)
                    .wait()
            });
            b.send(2).unwrap();
            let stolen = other.try_recv().is_ok();
            let found = selects.join().unwrap();
            assert!(
                found == Some(2) || (!stolen && found == Some(1)),
                "{found:?}"
            );
        }
    }

    /// The same with one that is ready because it ends.
    #[test]
    fn nonblock_select_race_2() {
        for _ in 0..500 {
            let ((a, from_a), (b, from_b)) = (channel(1), channel::<u32>(1));
            a.send(1).unwrap();
            let other = from_a.clone();
            let selects = thread::spawn(move || {
                Select::new()
                    .recv(&from_a, |_| true)
                    .recv(&from_b, |_| true)
                    .after(Duration::ZERO, || false)
                    .wait()
            });
            drop(b);
            let _ = other.try_recv();
            assert!(selects.join().unwrap());
        }
    }
}
