//! The rows of `greenloom::sync`: locks, condition variables, barriers, one-time cells, wait groups, mpsc.
//!
//! `mpsc::Receiver::recv_deadline` has no limit of its own here but a far one: it is of std's clock, which no seed
//! reproduces. It is `recv_timeout` for what is left.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenloom::sync::mpsc;
use greenloom::sync::{
    Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, ReentrantMutex, RwLock, Semaphore,
    WaitGroup,
};
use greenloom::time::Instant;
use greenloom::{spawn, yield_now};

use crate::driver::{Kind, LONG, Row, Subject};
use crate::util::{Counted, Drops};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!("Mutex::lock", Lent, true, false, |_, _| {
            Rc::new(Locking(Mutex::new(false)))
        }),
        row!("RwLock::write", Lent, true, false, |_, _| {
            Rc::new(ReadWrite::new(|_| true))
        }),
        row!("RwLock::read", Lent, true, false, |_, _| {
            Rc::new(ReadWrite::new(|_| false))
        }),
        row!("RwLock::read among writers", Lent, true, false, |_, _| {
            Rc::new(ReadWrite::new(|who| who % 2 == 1))
        }),
        row!("RwLock::write among readers", Lent, true, false, |_, _| {
            Rc::new(ReadWrite::new(|who| who % 2 == 0))
        }),
        row!("ReentrantMutex::lock", Lent, true, false, |_, _| {
            Rc::new(Reentrant(ReentrantMutex::new(Cell::new(false))))
        }),
        row!("Condvar::wait", Consumed, true, false, |_, _| {
            Rc::new(Notified::new(Wait::Once))
        }),
        row!("Condvar::wait_while", Consumed, true, false, |_, _| {
            Rc::new(Notified::new(Wait::While))
        }),
        row!("Condvar::wait for all", ForAll, true, false, |_, _| {
            Rc::new(NotifiedAll {
                done: Mutex::new(false),
                changed: Condvar::new(),
            })
        }),
        row!("Barrier::wait", AllOrNone, true, true, |_, waiters| {
            Rc::new(Parties(Barrier::new(waiters + 1)))
        }),
        row!("Once::call_once", ForAll, false, false, |_, _| {
            Rc::new(Initialised::new(Attempt::Succeeds))
        }),
        row!(
            "Once::call_once after one that fails",
            ForAll,
            false,
            false,
            |_, _| Rc::new(Initialised::new(Attempt::Fails))
        ),
        row!("Once::wait", ForAll, false, false, |_, _| {
            Rc::new(Watched(Once::new()))
        }),
        row!("OnceLock::get_or_init", ForAll, false, false, |drops, _| {
            Rc::new(FirstValue(OnceLock::new(), drops.clone()))
        }),
        row!("OnceLock::wait", ForAll, false, false, |drops, _| {
            Rc::new(SetLater(OnceLock::new(), drops.clone()))
        }),
        row!("LazyLock::force", ForAll, false, false, |_, _| {
            Rc::new(Lazily::new())
        }),
        row!("WaitGroup::wait", ForAll, true, false, |_, _| {
            Rc::new(Group(WaitGroup::new()))
        }),
        row!("mpsc::Receiver::recv", Consumed, true, true, |drops, _| {
            Rc::new(Receiving::new(drops, |rx| rx.recv().ok()))
        }),
        row!(
            "mpsc::Receiver::recv_timeout",
            Consumed,
            true,
            true,
            |drops, _| { Rc::new(Receiving::new(drops, |rx| rx.recv_timeout(LONG).ok())) }
        ),
        row!(
            "mpsc::Receiver::recv_deadline",
            Consumed,
            false,
            true,
            |drops, _| {
                Rc::new(Receiving::new(drops, |rx| {
                    rx.recv_deadline(std::time::Instant::now() + LONG).ok()
                }))
            }
        ),
        row!(
            "mpsc::SyncSender::send",
            Consumed,
            false,
            true,
            |drops, _| { Rc::new(Sending::new(drops)) }
        ),
    ]
}

/// Nobody else is inside meanwhile.
fn alone(inside: &Cell<bool>, got: &dyn Fn()) {
    struct Leave<'a>(&'a Cell<bool>);
    impl Drop for Leave<'_> {
        fn drop(&mut self) {
            self.0.set(false);
        }
    }
    assert!(!inside.replace(true), "two are inside");
    let _leave = Leave(inside);
    got();
}

/// The value says whether somebody is inside.
struct Locking(Mutex<bool>);

impl Subject for Locking {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let guard = match limit {
            None => Some(self.0.lock().unwrap()),
            Some(d) => self.0.lock_timeout(d),
        };
        if let Some(mut guard) = guard {
            assert!(!*guard, "two are inside");
            *guard = true;
            struct Leave<'a>(&'a mut bool);
            impl Drop for Leave<'_> {
                fn drop(&mut self) {
                    *self.0 = false;
                }
            }
            let _leave = Leave(&mut guard);
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let _guard = self.0.try_lock().unwrap();
        until();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.try_lock().is_ok()))
    }
}

/// Who writes, by the number of the waiter.
struct ReadWrite {
    lock: RwLock<()>,
    writes: fn(usize) -> bool,
    readers: Cell<usize>,
    writing: Cell<bool>,
}

impl ReadWrite {
    fn new(writes: fn(usize) -> bool) -> Self {
        Self {
            lock: RwLock::new(()),
            writes,
            readers: Cell::new(0),
            writing: Cell::new(false),
        }
    }
}

impl Subject for ReadWrite {
    fn block(&self, who: usize, limit: Option<Duration>, got: &dyn Fn()) {
        if (self.writes)(who) {
            let guard = match limit {
                None => Some(self.lock.write().unwrap()),
                Some(d) => self.lock.write_timeout(d),
            };
            if let Some(_guard) = guard {
                assert_eq!(self.readers.get(), 0, "readers beside a writer");
                alone(&self.writing, got);
            }
        } else {
            struct Leave<'a>(&'a Cell<usize>);
            impl Drop for Leave<'_> {
                fn drop(&mut self) {
                    self.0.set(self.0.get() - 1);
                }
            }
            let guard = match limit {
                None => Some(self.lock.read().unwrap()),
                Some(d) => self.lock.read_timeout(d),
            };
            if let Some(_guard) = guard {
                assert!(!self.writing.get(), "a writer beside a reader");
                self.readers.set(self.readers.get() + 1);
                let _leave = Leave(&self.readers);
                got();
            }
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let _guard = self.lock.try_write().unwrap();
        until();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.lock.try_write().is_ok()))
    }
}

struct Reentrant(ReentrantMutex<Cell<bool>>);

impl Subject for Reentrant {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let guard = match limit {
            None => Some(self.0.lock()),
            Some(d) => self.0.lock_timeout(d),
        };
        if let Some(guard) = guard {
            let _again = self.0.lock();
            alone(&guard, got);
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let _guard = self.0.try_lock().unwrap();
        let _again = self.0.try_lock().unwrap();
        until();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(
            self.0.try_lock().is_some() && self.0.count() == 0,
        ))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Once,
    While,
}

/// A number of things beside a condition variable that is told of each: a lost notification leaves one behind that somebody
/// waits for.
struct Notified {
    things: Mutex<usize>,
    came: Condvar,
    wait: Wait,
    grants: Cell<usize>,
}

impl Notified {
    fn new(wait: Wait) -> Self {
        Self {
            things: Mutex::new(0),
            came: Condvar::new(),
            wait,
            grants: Cell::new(0),
        }
    }
}

impl Subject for Notified {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let mut things = self.things.lock().unwrap();
        things = match (self.wait, limit) {
            (Wait::While, None) => self.came.wait_while(things, |n| *n == 0).unwrap(),
            (Wait::While, Some(d)) => {
                let (things, result) = self
                    .came
                    .wait_timeout_while(things, d, |n| *n == 0)
                    .unwrap();
                assert_eq!(result.timed_out(), *things == 0);
                things
            }
            (Wait::Once, None) => {
                while *things == 0 {
                    things = self.came.wait(things).unwrap();
                }
                things
            }
            (Wait::Once, Some(d)) => {
                let end = Instant::now() + d;
                while *things == 0 {
                    let left = end.saturating_duration_since(Instant::now());
                    let (again, result) = self.came.wait_timeout(things, left).unwrap();
                    things = again;
                    if result.timed_out() {
                        break;
                    }
                }
                things
            }
        };
        if *things > 0 {
            *things -= 1;
            // Held, so that others are granted while they cannot go on.
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        let n = self.grants.replace(self.grants.get() + 1);
        let mut things = self.things.lock().unwrap();
        *things += 1;
        if n.is_multiple_of(2) {
            self.came.notify_one();
        } else {
            drop(things);
            self.came.notify_n(1);
        }
        true
    }

    fn left(&self) -> Option<usize> {
        Some(*self.things.try_lock().unwrap())
    }
}

struct NotifiedAll {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Subject for NotifiedAll {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let done = self.done.lock().unwrap();
        let done = match limit {
            None => self.changed.wait_while(done, |done| !*done).unwrap(),
            Some(d) => {
                let waited = self.changed.wait_timeout_while(done, d, |done| !*done);
                waited.unwrap().0
            }
        };
        if *done {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        *self.done.lock().unwrap() = true;
        self.changed.notify_all();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(*self.done.try_lock().unwrap()))
    }
}

/// The granter is the last party, or one of them.
struct Parties(Barrier);

impl Subject for Parties {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let passed = match limit {
            None => self.0.checked_wait(),
            Some(d) => self.0.wait_timeout(d),
        };
        if passed.is_ok() {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.0.checked_wait().is_ok()
    }

    fn left(&self) -> Option<usize> {
        None
    }

    fn close(&self) {
        self.0.abort();
    }

    fn mend(&self) {
        assert_eq!(self.0.n_waiting(), 0);
        self.0.reset();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Succeeds,
    Fails,
}

/// What the granter runs takes until the grant. If that fails, one of those that wait runs its own.
struct Initialised {
    once: Once,
    attempt: Attempt,
    ran: Cell<usize>,
}

impl Initialised {
    fn new(attempt: Attempt) -> Self {
        Self {
            once: Once::new(),
            attempt,
            ran: Cell::new(0),
        }
    }

    fn count(&self) {
        self.ran.set(self.ran.get() + 1);
    }
}

impl Subject for Initialised {
    fn block(&self, _: usize, _: Option<Duration>, got: &dyn Fn()) {
        let mut mine = false;
        self.once.call_once(|| {
            mine = true;
            got();
            self.count();
        });
        assert_eq!(self.ran.get(), 1, "runs to the end");
        if !mine {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let attempt = || match self.attempt {
            Attempt::Succeeds => {
                until();
                self.count();
            }
            Attempt::Fails => {
                until();
                std::panic::resume_unwind(Box::new(()));
            }
        };
        let failed = catch_unwind(AssertUnwindSafe(|| self.once.call_once(attempt))).is_err();
        assert!(!failed || self.attempt == Attempt::Fails);
        true
    }

    fn left(&self) -> Option<usize> {
        assert_eq!(self.once.is_completed(), self.ran.get() == 1);
        Some(self.ran.get())
    }
}

struct Watched(Once);

impl Subject for Watched {
    fn block(&self, _: usize, _: Option<Duration>, got: &dyn Fn()) {
        self.0.wait();
        assert!(self.0.is_completed());
        got();
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        self.0.call_once(until);
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.is_completed()))
    }
}

struct FirstValue(OnceLock<Counted>, Drops);

impl Subject for FirstValue {
    fn block(&self, _: usize, _: Option<Duration>, got: &dyn Fn()) {
        let mut mine = false;
        self.0.get_or_init(|| {
            mine = true;
            let value = self.1.guard();
            got();
            value
        });
        if !mine {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        self.0.get_or_init(|| {
            until();
            self.1.guard()
        });
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.get().is_some())).filter(|n| *n == self.1.alive())
    }
}

struct SetLater(OnceLock<Counted>, Drops);

impl Subject for SetLater {
    fn block(&self, _: usize, _: Option<Duration>, got: &dyn Fn()) {
        self.0.wait();
        assert!(self.0.get().is_some());
        got();
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        // The second round's finds one.
        let _ = self.0.set(self.1.guard());
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.get().is_some())).filter(|n| *n == self.1.alive())
    }
}

/// The value is made by a task of the granter's, and that takes until the grant.
struct Lazily {
    value: Rc<LazyLock<usize, Box<dyn FnOnce() -> usize>>>,
    begun: Rc<Cell<bool>>,
    gate: Arc<Semaphore>,
}

impl Lazily {
    fn new() -> Self {
        let (begun, gate) = (Rc::new(Cell::new(false)), Arc::new(Semaphore::new(0)));
        let make: Box<dyn FnOnce() -> usize> = {
            let (begun, gate) = (Rc::clone(&begun), Arc::clone(&gate));
            Box::new(move || {
                begun.set(true);
                drop(gate.acquire());
                7
            })
        };
        Self {
            value: Rc::new(LazyLock::new(make)),
            begun,
            gate,
        }
    }
}

impl Subject for Lazily {
    fn block(&self, _: usize, _: Option<Duration>, got: &dyn Fn()) {
        assert_eq!(**self.value, 7);
        got();
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let forces = {
            let value = Rc::clone(&self.value);
            spawn(move || **value)
        };
        while !self.begun.get() {
            yield_now();
        }
        until();
        self.gate.release(1);
        forces.join().unwrap() == 7
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(LazyLock::get(&self.value).is_some()))
    }
}

/// What is waited for counts one while the granter is at it.
struct Group(WaitGroup);

impl Subject for Group {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let over = match limit {
            None => {
                self.0.wait();
                true
            }
            Some(d) => self.0.wait_timeout(d),
        };
        if over {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        self.0.add(1);
        until();
        self.0.done();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.count() == 0))
    }
}

struct Receiving {
    tx: RefCell<Option<mpsc::Sender<Counted>>>,
    rx: mpsc::Receiver<Counted>,
    /// The call without a limit of the program's.
    recv: fn(&mpsc::Receiver<Counted>) -> Option<Counted>,
    drops: Drops,
    /// What was found left.
    rest: RefCell<Vec<Counted>>,
}

impl Receiving {
    fn new(drops: &Drops, recv: fn(&mpsc::Receiver<Counted>) -> Option<Counted>) -> Self {
        let (tx, rx) = mpsc::channel();
        Self {
            tx: RefCell::new(Some(tx)),
            rx,
            recv,
            drops: drops.clone(),
            rest: RefCell::default(),
        }
    }
}

impl Subject for Receiving {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let value = match limit {
            None => (self.recv)(&self.rx),
            Some(d) => self.rx.recv_timeout(d).ok(),
        };
        if let Some(_value) = value {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        let tx = self.tx.borrow().clone();
        tx.is_some_and(|tx| tx.send(self.drops.guard()).is_ok())
    }

    fn left(&self) -> Option<usize> {
        let mut rest = self.rest.borrow_mut();
        rest.extend(self.rx.try_iter());
        Some(rest.len())
    }

    fn close(&self) {
        let tx = self.tx.take();
        drop(tx);
    }
}

/// Bound to one, which is there from the beginning: what is waited for is room.
struct Sending {
    tx: mpsc::SyncSender<Counted>,
    rx: RefCell<Option<Rc<mpsc::Receiver<Counted>>>>,
    drops: Drops,
}

impl Sending {
    fn new(drops: &Drops) -> Self {
        let (tx, rx) = mpsc::sync_channel(1);
        tx.try_send(drops.guard()).unwrap();
        Self {
            tx,
            rx: RefCell::new(Some(Rc::new(rx))),
            drops: drops.clone(),
        }
    }
}

impl Subject for Sending {
    fn block(&self, _: usize, _: Option<Duration>, got: &dyn Fn()) {
        if self.tx.send(self.drops.guard()).is_ok() {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        let rx = self.rx.borrow().clone();
        rx.is_some_and(|rx| rx.try_recv().is_ok())
    }

    /// One that fits leaves no room.
    fn left(&self) -> Option<usize> {
        let rx = self.rx.borrow().clone()?;
        if self.tx.try_send(self.drops.guard()).is_err() {
            return Some(0);
        }
        rx.try_recv().unwrap();
        Some(1)
    }

    fn close(&self) {
        let rx = self.rx.take();
        drop(rx);
    }
}
