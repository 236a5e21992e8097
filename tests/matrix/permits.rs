//! The rows of semaphores, and of those who wait behind one that wants more: there, one that leaves is a grant to others.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use greenloom::pool::Pool;
use greenloom::sleep;
use greenloom::sync::{Arc, BoundedSemaphore, RwLock, RwLockWriteGuard, Semaphore};
use greenloom::task::{self, JoinHandle};

use crate::driver::{Kind, Row, Subject};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!("Semaphore::acquire", Lent, true, false, |_, _| {
            Rc::new(Permits::new(|_| 1))
        }),
        row!("Semaphore::acquire_many", Lent, true, false, |_, _| {
            Rc::new(Permits::new(|who| 3 - who % 3))
        }),
        row!(
            "Semaphore::acquire_many of few",
            Lent,
            true,
            false,
            |_, _| Rc::new(Permits::new(|who| 1 + who % 3))
        ),
        row!(
            "Semaphore::acquire_many before few",
            LentInTwo,
            true,
            false,
            |_, _| {
                Rc::new(ManyFirst {
                    semaphore: Semaphore::new(2),
                    many_wait: Cell::new(0),
                })
            }
        ),
        row!(
            "RwLock::write before readers",
            LentInTwo,
            true,
            false,
            |_, _| {
                Rc::new(WriterFirst {
                    lock: RwLock::new(()),
                    writers_wait: Cell::new(0),
                })
            }
        ),
        row!("Semaphore::acquire_owned", Lent, true, false, |_, _| {
            Rc::new(OwnedPermits(Arc::new(Semaphore::new(1))))
        }),
        row!("Pool::spawn", Lent, true, false, |_, _| {
            Rc::new(Slots(Pool::new(1)))
        }),
        row!(
            "Semaphore::acquire, forgotten",
            Consumed,
            true,
            false,
            |_, _| Rc::new(Forgotten(Semaphore::new(0)))
        ),
        row!(
            "BoundedSemaphore::acquire",
            Consumed,
            true,
            false,
            |_, _| { Rc::new(Bounded::new()) }
        ),
    ]
}

/// How many permits each wants, of three.
struct Permits {
    semaphore: Semaphore,
    wants: fn(usize) -> usize,
    out: Cell<usize>,
}

impl Permits {
    const ALL: usize = 3;

    fn new(wants: fn(usize) -> usize) -> Self {
        let alike = wants(0) == wants(1);
        Self {
            semaphore: Semaphore::new(if alike { 1 } else { Self::ALL }),
            wants,
            out: Cell::new(0),
        }
    }

    fn all(&self) -> usize {
        if (self.wants)(0) == (self.wants)(1) {
            1
        } else {
            Self::ALL
        }
    }
}

impl Subject for Permits {
    fn block(&self, who: usize, limit: Option<Duration>, got: &dyn Fn()) {
        struct Leave<'a>(&'a Cell<usize>, usize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - self.1);
            }
        }
        let n = (self.wants)(who);
        let permit = match limit {
            None => Some(self.semaphore.acquire_many(n)),
            Some(d) => self.semaphore.acquire_many_timeout(n, d),
        };
        if let Some(_permit) = permit {
            self.out.set(self.out.get() + n);
            assert!(self.out.get() <= self.all(), "more are out than there are");
            let _leave = Leave(&self.out, n);
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let _permit = self.semaphore.try_acquire_many(self.all()).unwrap();
        until();
        true
    }

    /// A try fails too if somebody is in the queue, be it one that has gone.
    fn left(&self) -> Option<usize> {
        let all = self.semaphore.try_acquire_many(self.all()).is_some();
        assert_eq!(self.semaphore.available() == self.all(), all);
        Some(usize::from(all))
    }
}

/// Long enough for all that can happen meanwhile.
const A_WHILE: Duration = Duration::from_millis(15);

/// One more waits, until this is dropped.
struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    fn new(n: &'a Cell<usize>) -> Self {
        n.set(n.get() + 1);
        Self(n)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The victim wants two, the others one each; the two come one after the other. Whoever wants one waits behind who wants
/// two, and is served when that one leaves, though nothing comes then.
struct ManyFirst {
    semaphore: Semaphore,
    many_wait: Cell<usize>,
}

impl Subject for ManyFirst {
    fn block(&self, who: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let waits = (who == 0).then(|| Waits::new(&self.many_wait));
        let n = if who == 0 { 2 } else { 1 };
        let permit = match limit {
            None => Some(self.semaphore.acquire_many(n)),
            Some(d) => self.semaphore.acquire_many_timeout(n, d),
        };
        drop(waits);
        if let Some(_permit) = permit {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let second = self.semaphore.try_acquire().unwrap();
        let first = self.semaphore.try_acquire().unwrap();
        until();
        drop(first);
        sleep(A_WHILE);
        let free = self.semaphore.try_acquire().is_some();
        assert_eq!(free, self.many_wait.get() == 0, "a permit that is there");
        drop(second);
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.semaphore.try_acquire_many(2).is_some()))
    }
}

/// The same with a writer among readers.
struct WriterFirst {
    lock: RwLock<()>,
    writers_wait: Cell<usize>,
}

impl Subject for WriterFirst {
    fn block(&self, who: usize, limit: Option<Duration>, got: &dyn Fn()) {
        if who == 0 {
            let waits = Waits::new(&self.writers_wait);
            let guard = match limit {
                None => Some(self.lock.write().unwrap()),
                Some(d) => self.lock.write_timeout(d),
            };
            drop(waits);
            if let Some(_guard) = guard {
                got();
            }
        } else {
            let guard = match limit {
                None => Some(self.lock.read().unwrap()),
                Some(d) => self.lock.read_timeout(d),
            };
            if let Some(_guard) = guard {
                got();
            }
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let guard = self.lock.try_write().unwrap();
        until();
        let guard = RwLockWriteGuard::downgrade(guard);
        sleep(A_WHILE);
        let free = self.lock.try_read().is_ok();
        assert_eq!(free, self.writers_wait.get() == 0, "a lock held by readers");
        drop(guard);
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.lock.try_write().is_ok()))
    }
}

struct OwnedPermits(Arc<Semaphore>);

impl Subject for OwnedPermits {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let permit = match limit {
            None => Some(self.0.acquire_owned()),
            Some(d) => self.0.acquire_owned_timeout(d),
        };
        if let Some(_permit) = permit {
            assert_eq!(self.0.available(), 0);
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let _permit = self.0.try_acquire_owned().unwrap();
        until();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.try_acquire().is_some()))
    }
}

/// The slots of a pool. A task that has one leaves it at once when it is discarded.
struct Slots(Pool);

impl Slots {
    /// With a slot that a task has, until this is dropped.
    fn hold(&self, task: JoinHandle<()>) -> impl Drop {
        struct Held(Pool, JoinHandle<()>);
        impl Drop for Held {
            fn drop(&mut self) {
                assert!(self.0.discard(self.1.id()));
                self.1.kill();
            }
        }
        Held(self.0.clone(), task)
    }
}

impl Subject for Slots {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let task = match limit {
            None => Some(self.0.spawn(task::park)),
            Some(d) => self.0.spawn_timeout(task::park, d).ok(),
        };
        if let Some(task) = task {
            let _held = self.hold(task);
            assert!(self.0.is_full());
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let _held = self.hold(self.0.try_spawn(task::park).unwrap());
        until();
        true
    }

    fn left(&self) -> Option<usize> {
        assert_eq!(self.0.len(), 1 - self.0.free_count());
        Some(self.0.free_count())
    }
}

/// As in Python: who acquires does not give back, somebody releases.
struct Forgotten(Semaphore);

impl Subject for Forgotten {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let permit = match limit {
            None => Some(self.0.acquire()),
            Some(d) => self.0.acquire_timeout(d),
        };
        if let Some(permit) = permit {
            permit.forget();
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.0.release(1);
        true
    }

    fn left(&self) -> Option<usize> {
        let permits: Vec<_> = std::iter::from_fn(|| self.0.try_acquire()).collect();
        Some(permits.len())
    }
}

struct Bounded(BoundedSemaphore);

impl Bounded {
    fn new() -> Self {
        let semaphore = BoundedSemaphore::new(16);
        semaphore.acquire_many(16).forget();
        Self(semaphore)
    }
}

impl Subject for Bounded {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let permit = match limit {
            None => Some(self.0.acquire()),
            Some(d) => self.0.acquire_timeout(d),
        };
        if let Some(permit) = permit {
            permit.forget();
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.0.release(1).unwrap();
        true
    }

    fn left(&self) -> Option<usize> {
        let permits: Vec<_> = std::iter::from_fn(|| self.0.try_acquire()).collect();
        Some(permits.len())
    }
}
