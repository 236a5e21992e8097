//! What CPython's `lock_tests.py` and gevent's `test__semaphore.py` ask of locks, asked of ours. Tasks stand for their threads.
//!
//! Each test has the name of its model, and is written anew from what that checks. `tests/README.md` lists which have no
//! counterpart here, and why.
#![forbid(unsafe_code)]

#[path = "util/sharing.rs"]
mod sharing;
mod util;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use greenloom::sync::{Arc, Barrier, BoundedSemaphore, Condvar, Mutex, ReentrantMutex, Semaphore};
use greenloom::task::{self, JoinHandle};
use greenloom::{sleep, spawn, yield_now};
use sharing::{LONG, panic_text, settle};

const MS: Duration = Duration::from_millis(1);

/// `n` tasks that all run `f`, as far as they come.
fn bunch(n: usize, f: impl Fn() + Clone + 'static) -> Vec<JoinHandle<()>> {
    let tasks = (0..n).map(|_| spawn(f.clone())).collect();
    settle();
    tasks
}

#[track_caller]
fn join(tasks: Vec<JoinHandle<()>>) {
    for t in tasks {
        t.join().unwrap();
    }
}

/// Asserts that `f` takes at least so long; how much longer is the machine's affair.
#[track_caller]
fn not_earlier<R>(d: Duration, f: impl FnOnce() -> R) -> R {
    let begin = Instant::now();
    let r = f();
    assert!(
        begin.elapsed() >= d,
        "{:?} is before {d:?}",
        begin.elapsed()
    );
    r
}

/// What both kinds of locks can do.
trait Lock: std::fmt::Debug + Default + 'static {
    type Guard<'a>;
    fn lock(&self) -> Self::Guard<'_>;
    fn try_lock(&self) -> Option<Self::Guard<'_>>;
    fn lock_timeout(&self, d: Duration) -> Option<Self::Guard<'_>>;
}

impl Lock for Mutex<()> {
    type Guard<'a> = greenloom::sync::MutexGuard<'a, ()>;
    fn lock(&self) -> Self::Guard<'_> {
        self.lock().unwrap()
    }
    fn try_lock(&self) -> Option<Self::Guard<'_>> {
        self.try_lock().ok()
    }
    fn lock_timeout(&self, d: Duration) -> Option<Self::Guard<'_>> {
        self.lock_timeout(d)
    }
}

impl Lock for ReentrantMutex<()> {
    type Guard<'a> = greenloom::sync::ReentrantMutexGuard<'a, ()>;
    fn lock(&self) -> Self::Guard<'_> {
        self.lock()
    }
    fn try_lock(&self) -> Option<Self::Guard<'_>> {
        self.try_lock()
    }
    fn lock_timeout(&self, d: Duration) -> Option<Self::Guard<'_>> {
        self.lock_timeout(d)
    }
}

mod base_lock_tests {
    use super::*;

    pub(crate) fn constructor<L: Lock>() {
        drop(L::default());
    }

    pub(crate) fn repr_and_locked_repr<L: Lock>() {
        let m = Rc::new(L::default());
        assert!(format!("{m:?}").contains("data: ()"));
        let guard = m.lock();
        let q = Rc::clone(&m);
        // A reentrant one shows its owner what it has, and others that it is locked.
        join(bunch(1, move || {
            assert!(format!("{q:?}").contains("<locked>"))
        }));
        drop(guard);
        assert!(!format!("{m:?}").contains("<locked>"));
    }

    pub(crate) fn acquire_destroy<L: Lock>() {
        let m = L::default();
        core::mem::forget(m.lock());
        drop(m);
    }

    pub(crate) fn acquire_release<L: Lock>() {
        let m = L::default();
        for _ in 0..3 {
            drop(m.lock());
        }
    }

    pub(crate) fn try_acquire<L: Lock>() {
        let m = L::default();
        assert!(m.try_lock().is_some());
    }

    pub(crate) fn try_acquire_contended<L: Lock>() {
        let m = Rc::new(L::default());
        let guard = m.lock();
        let q = Rc::clone(&m);
        join(bunch(1, move || assert!(q.try_lock().is_none())));
        drop(guard);
    }

    pub(crate) fn acquire_contended<L: Lock>() {
        let (m, n) = (Rc::new(L::default()), Rc::new(Cell::new(0)));
        let guard = m.lock();
        let (q, count) = (Rc::clone(&m), Rc::clone(&n));
        let tasks = bunch(5, move || {
            let _guard = q.lock();
            count.set(count.get() + 1);
        });
        assert_eq!(n.get(), 0);
        drop(guard);
        join(tasks);
        assert_eq!(n.get(), 5);
    }

    pub(crate) fn with_and_an_exception<L: Lock>() {
        let m = Rc::new(L::default());
        let text = panic_text(|| {
            let _guard = m.lock();
            panic!("on purpose");
        });
        assert_eq!(text, "on purpose");
        let q = Rc::clone(&m);
        join(bunch(1, move || assert!(q.try_lock().is_some())));
    }

    /// Very many users, one crowd after the other, leave nothing behind.
    pub(crate) fn thread_leak<L: Lock>() {
        let m = Rc::new(L::default());
        for _ in 0..10 {
            let q = Rc::clone(&m);
            join(bunch(50, move || drop(q.lock())));
        }
        assert_eq!((task::count(), Rc::strong_count(&m)), (0, 1));
    }

    pub(crate) fn timeout<L: Lock>() {
        let m = Rc::new(L::default());
        assert!(m.lock_timeout(MS).is_some());
        assert!(m.lock_timeout(Duration::ZERO).is_some());
        // No number of seconds is too large.
        assert!(m.lock_timeout(Duration::MAX).is_some());
        let guard = m.lock();
        let q = Rc::clone(&m);
        join(bunch(1, move || {
            assert!(not_earlier(20 * MS, || q.lock_timeout(20 * MS).is_none()));
        }));
        drop(guard);
    }

    pub(crate) fn weakref<L: Lock>() {
        let m = Rc::new(L::default());
        let weak = Rc::downgrade(&m);
        drop(m.lock());
        assert!(weak.upgrade().is_some());
        drop(m);
        assert!(weak.upgrade().is_none());
    }
}

/// The tests of `$base`, for one type.
macro_rules! for_type {
    ($base:ident, $ty:ty, $($name:ident)*) => {
        $(#[test]
        fn $name() {
            super::$base::$name::<$ty>();
        })*
    };
}

macro_rules! base_lock_tests_for {
    ($ty:ty) => {
        for_type! { base_lock_tests, $ty,
            constructor repr_and_locked_repr acquire_destroy acquire_release try_acquire try_acquire_contended
            acquire_contended with_and_an_exception thread_leak timeout weakref
        }
    };
}

mod lock_tests {
    use super::*;

    base_lock_tests_for!(Mutex<()>);

    #[test]
    fn reacquire() {
        // It has to be released first; in Rust the guard of the first time does that, wherever it is.
        let m: &'static Mutex<()> = Box::leak(Box::new(Mutex::new(())));
        let phase = Rc::new(Cell::new(0));
        let first = m.lock().unwrap();
        let p = Rc::clone(&phase);
        let tasks = bunch(1, move || {
            p.set(1);
            let _guard = m.lock();
            p.set(2);
        });
        assert_eq!(phase.get(), 1);
        drop(first);
        join(tasks);
        assert_eq!(phase.get(), 2);
    }

    #[test]
    fn different_thread() {
        // Another task may release it: the guard goes there.
        let m: &'static Mutex<()> = Box::leak(Box::new(Mutex::new(())));
        let guard = m.lock().unwrap();
        spawn(move || drop(guard)).join().unwrap();
        drop(m.lock().unwrap());
    }

    #[test]
    fn state_after_timeout() {
        let m = Mutex::new(());
        let guard = m.lock().unwrap();
        assert!(m.lock_timeout(10 * MS).is_none());
        drop(guard);
        assert!(m.try_lock().is_ok());
    }
}

mod rlock_tests {
    use super::*;

    base_lock_tests_for!(ReentrantMutex<()>);

    #[test]
    fn reacquire() {
        let m = ReentrantMutex::new(());
        let a = m.lock();
        let b = m.lock();
        drop(a);
        let c = m.lock();
        drop((b, c));
        assert_eq!(m.count(), 0);
    }

    #[test]
    fn recursion_count() {
        let m = Rc::new(ReentrantMutex::new(()));
        assert_eq!(m.count(), 0);
        let a = m.lock();
        assert_eq!(m.count(), 1);
        let (b, c) = (m.lock(), m.lock());
        assert_eq!(m.count(), 3);
        drop(c);
        assert_eq!(m.count(), 2);
        drop((a, b));
        assert_eq!(m.count(), 0);
        let q = Rc::clone(&m);
        let owner = spawn(move || {
            let _guard = q.lock();
            task::park();
            assert_eq!(q.count(), 1);
        });
        settle();
        assert_eq!(m.count(), 0, "another's do not count");
        owner.task().unpark();
        owner.join().unwrap();
        assert_eq!(m.count(), 0);
    }

    #[test]
    fn different_thread() {
        let m: &'static ReentrantMutex<()> = Box::leak(Box::new(ReentrantMutex::new(())));
        let guard = m.lock();
        let text = spawn(move || panic_text(|| drop(guard))).join().unwrap();
        assert!(text.contains("does not own the lock"));
    }

    #[test]
    fn is_owned() {
        let m = Rc::new(ReentrantMutex::new(()));
        let owned = || m.count() > 0;
        assert!(!owned());
        let a = m.lock();
        let b = m.lock();
        assert!(owned());
        let q = Rc::clone(&m);
        join(bunch(1, move || assert_eq!(q.count(), 0)));
        drop(b);
        assert!(owned());
        drop(a);
        assert!(!owned());
    }
}

mod condition_tests {
    use super::*;

    type Cond = Rc<(Mutex<u32>, Condvar)>;

    fn cond() -> Cond {
        Rc::new((Mutex::new(0), Condvar::new()))
    }

    #[test]
    fn acquire() {
        let c = cond();
        let guard = c.0.lock().unwrap();
        assert!(c.0.try_lock().is_err());
        let (guard, _) = c.1.wait_timeout(guard, MS).unwrap();
        assert!(c.0.try_lock().is_err());
        drop(guard);
        assert!(c.0.try_lock().is_ok());
    }

    fn check_notify(c: &Cond) {
        const N: usize = 5;
        let phase = Rc::new(Cell::new(0));
        let results = Rc::new([const { RefCell::new(Vec::new()) }; 2]);
        let (q, p, r) = (Rc::clone(c), Rc::clone(&phase), Rc::clone(&results));
        let tasks = bunch(N, move || {
            for result in r.iter() {
                drop(q.1.wait(q.0.lock().unwrap()).unwrap());
                result.borrow_mut().push(p.get());
            }
        });
        let notify = |new_phase, n: Option<usize>| {
            let guard = c.0.lock().unwrap();
            match n {
                Some(n) => c.1.notify_n(n),
                None => c.1.notify_all(),
            }
            settle();
            phase.set(new_phase);
            drop(guard);
            settle();
        };
        notify(1, Some(3));
        assert_eq!(
            (&*results[0].borrow(), results[1].borrow().len()),
            (&vec![1; 3], 0)
        );
        // They are in their first or their second wait.
        notify(2, Some(5));
        assert_eq!(*results[0].borrow(), [1, 1, 1, 2, 2]);
        assert_eq!(*results[1].borrow(), [2; 3]);
        notify(3, None);
        assert_eq!(*results[1].borrow(), [2, 2, 2, 3, 3]);
        join(tasks);
    }

    #[test]
    fn notify() {
        let c = cond();
        check_notify(&c);
        // A second time, to see that its state is still in order.
        check_notify(&c);
    }

    #[test]
    fn timeout() {
        let (c, results) = (cond(), Rc::new(Cell::new(0)));
        let (q, r) = (Rc::clone(&c), Rc::clone(&results));
        join(bunch(5, move || {
            let guard = q.0.lock().unwrap();
            let told = not_earlier(20 * MS, || q.1.wait_timeout(guard, 20 * MS).unwrap().1);
            assert!(told.timed_out());
            r.set(r.get() + 1);
        }));
        assert_eq!(results.get(), 5);
    }

    #[test]
    fn waitfor() {
        let c = cond();
        let q = Rc::clone(&c);
        let tasks = bunch(1, move || {
            let state = q.1.wait_while(q.0.lock().unwrap(), |state| *state != 4);
            assert_eq!(*state.unwrap(), 4);
        });
        for _ in 0..4 {
            assert!(!tasks[0].is_finished());
            *c.0.lock().unwrap() += 1;
            c.1.notify_one();
            settle();
        }
        join(tasks);
    }

    #[test]
    fn waitfor_timeout() {
        let c = cond();
        let q = Rc::clone(&c);
        let tasks = bunch(1, move || {
            let guard = q.0.lock().unwrap();
            let wait = || q.1.wait_timeout_while(guard, 50 * MS, |state| *state != 4);
            assert!(not_earlier(50 * MS, wait).unwrap().1.timed_out());
        });
        for _ in 0..3 {
            *c.0.lock().unwrap() += 1;
            c.1.notify_one();
            settle();
        }
        join(tasks);
    }
}

/// What both kinds of semaphores can do, in Python's terms: what is acquired is given back by `release`.
trait Sem: std::fmt::Debug + 'static {
    fn new(n: usize) -> Self;
    fn acquire(&self);
    fn try_acquire(&self) -> bool;
    fn acquire_timeout(&self, d: Duration) -> bool;
    fn release(&self, n: usize);
    fn with<R>(&self, f: impl FnOnce() -> R) -> R;
}

macro_rules! sem {
    ($ty:ty, $released:expr) => {
        impl Sem for $ty {
            fn new(n: usize) -> Self {
                <$ty>::new(n)
            }
            fn acquire(&self) {
                self.acquire().forget();
            }
            fn try_acquire(&self) -> bool {
                self.try_acquire().map(|p| p.forget()).is_some()
            }
            fn acquire_timeout(&self, d: Duration) -> bool {
                self.acquire_timeout(d).map(|p| p.forget()).is_some()
            }
            fn release(&self, n: usize) {
                $released(self.release(n));
            }
            fn with<R>(&self, f: impl FnOnce() -> R) -> R {
                let _permit = self.acquire();
                f()
            }
        }
    };
}

sem!(Semaphore, |()| ());
sem!(BoundedSemaphore, |released: Result<_, _>| released.unwrap());

mod base_semaphore_tests {
    use super::*;

    pub(crate) fn acquire<S: Sem>() {
        let s = S::new(1);
        s.acquire();
        s.release(1);
        let s = S::new(2);
        s.acquire();
        s.acquire();
        s.release(1);
        s.release(1);
    }

    pub(crate) fn acquire_destroy<S: Sem>() {
        let s = S::new(1);
        s.acquire();
        drop(s);
    }

    fn contended<S: Sem>(release: impl Fn(&S, usize)) {
        const VALUE: usize = 7;
        let s = Rc::new(S::new(VALUE));
        s.acquire();
        let (phase, results) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        let (q, p, r) = (Rc::clone(&s), Rc::clone(&phase), Rc::clone(&results));
        let tasks = bunch(10, move || {
            for _ in 0..2 {
                q.acquire();
                r.borrow_mut().push(p.get());
            }
        });
        let mut expected = vec![0; VALUE - 1];
        assert_eq!(*results.borrow(), expected);
        phase.set(1);
        release(&s, VALUE);
        settle();
        expected.extend([1; VALUE]);
        assert_eq!(*results.borrow(), expected);
        phase.set(2);
        release(&s, VALUE - 1);
        settle();
        expected.extend([2; VALUE - 1]);
        assert_eq!(*results.borrow(), expected);
        assert!(!s.try_acquire(), "it is still locked");
        release(&s, 1);
        join(tasks);
        assert_eq!(results.borrow().len(), 20);
    }

    pub(crate) fn acquire_contended<S: Sem>() {
        contended(|s: &S, n| (0..n).for_each(|_| s.release(1)));
    }

    pub(crate) fn multirelease<S: Sem>() {
        contended(|s: &S, n| s.release(n));
    }

    pub(crate) fn try_acquire<S: Sem>() {
        let s = S::new(2);
        assert_eq!([(); 3].map(|()| s.try_acquire()), [true, true, false]);
        s.release(1);
        assert!(s.try_acquire());
    }

    pub(crate) fn try_acquire_contended<S: Sem>() {
        let (s, had) = (Rc::new(S::new(4)), Rc::new(Cell::new(0)));
        s.acquire();
        let (q, h) = (Rc::clone(&s), Rc::clone(&had));
        join(bunch(5, move || {
            for _ in 0..2 {
                h.set(h.get() + usize::from(q.try_acquire()));
            }
        }));
        assert_eq!(had.get(), 3);
    }

    pub(crate) fn acquire_timeout<S: Sem>() {
        let s = S::new(2);
        assert_eq!(
            [(); 3].map(|()| s.acquire_timeout(5 * MS)),
            [true, true, false]
        );
        s.release(1);
        assert!(s.acquire_timeout(5 * MS));
        assert!(!not_earlier(20 * MS, || s.acquire_timeout(20 * MS)));
    }

    pub(crate) fn default_value<S: Sem>() {
        let s = Rc::new(S::new(1));
        s.acquire();
        let q = Rc::clone(&s);
        let tasks = bunch(1, move || {
            q.acquire();
            q.release(1);
        });
        assert!(!tasks[0].is_finished());
        s.release(1);
        join(tasks);
    }

    pub(crate) fn with_and_an_exception<S: Sem>() {
        let s = S::new(2);
        let with = |fails: bool| {
            s.with(|| {
                assert!(s.try_acquire());
                s.release(1);
                s.with(|| {
                    assert!(!s.try_acquire());
                    assert!(!fails, "on purpose");
                });
            });
        };
        with(false);
        assert_eq!(panic_text(|| with(true)), "on purpose");
        assert_eq!([(); 3].map(|()| s.try_acquire()), [true, true, false]);
        s.release(2);
    }
}

macro_rules! base_semaphore_tests_for {
    ($ty:ty) => {
        for_type! { base_semaphore_tests, $ty,
            acquire acquire_destroy acquire_contended multirelease try_acquire try_acquire_contended acquire_timeout
            default_value with_and_an_exception
        }
    };
}

mod semaphore_tests {
    use super::*;

    base_semaphore_tests_for!(Semaphore);

    #[test]
    fn release_unacquired() {
        let s = Semaphore::new(1);
        s.release(1);
        s.acquire().forget();
        s.acquire().forget();
        s.release(1);
        assert_eq!(s.available(), 1);
    }

    #[test]
    fn repr() {
        let s = Semaphore::new(3);
        assert!(format!("{s:?}").contains('3'));
    }
}

mod bounded_semaphore_tests {
    use super::*;

    base_semaphore_tests_for!(BoundedSemaphore);

    #[test]
    fn release_unacquired() {
        let s = BoundedSemaphore::new(1);
        assert!(s.release(1).is_err());
        s.acquire().forget();
        assert!(s.release(1).is_ok());
        assert!(s.release(1).is_err());
    }

    #[test]
    fn repr() {
        let s = BoundedSemaphore::new(3);
        s.acquire().forget();
        let text = format!("{s:?}");
        assert!(text.contains('2') && text.contains('3'), "{text}");
    }
}

#[path = "ported_lock_tests/barrier_tests.rs"]
mod barrier_tests;

#[path = "ported_lock_tests/gevent_semaphore.rs"]
mod gevent_semaphore;
