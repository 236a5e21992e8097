//! The rows of waits for several things that are not in `event.rs`: `iwait`, which takes nothing, each followed by the call that
//! takes; and the arms of results, bounded semaphores and both ends of channels in a select.
//!
//! Beside each thing there is one that never comes.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use greenloom::event::{AsyncResult, Event};
use greenloom::queue::{Queue, Receiver, Sender, channel, unbounded_channel};
use greenloom::select::{Select, Waitable, iwait, wait};
use greenloom::sync::{BoundedSemaphore, Semaphore};
use greenloom::time::Instant;

use crate::driver::{Kind, Row, Subject};
use crate::util::{Counted, Drops};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!("iwait, of an event", ForAll, true, false, |_, _| {
            Rc::new(Happens(Event::new()))
        }),
        row!("wait, of a result", ForAll, true, false, |drops, _| {
            Rc::new(Answered(AsyncResult::new(), drops.clone()))
        }),
        row!("iwait, of a queue", Consumed, true, true, |drops, _| {
            Rc::new(Watching(Queue::unbounded(), drops.clone()))
        }),
        row!("iwait, of a semaphore", Lent, true, false, |_, _| {
            Rc::new(Eyeing(Semaphore::new(1)))
        }),
        row!(
            "AsyncResult::wait, in a select",
            ForAll,
            true,
            false,
            |drops, _| { Rc::new(Chosen(AsyncResult::new(), drops.clone())) }
        ),
        row!(
            "BoundedSemaphore::acquire, in a select",
            Consumed,
            true,
            false,
            |_, _| { Rc::new(Bounded::new()) }
        ),
        row!(
            "queue::Receiver::recv, in a select",
            Consumed,
            true,
            true,
            |drops, _| { Rc::new(Receiving::new(drops, unbounded_channel())) }
        ),
        row!(
            "queue::Receiver::recv, in a select, rendezvous",
            Consumed,
            true,
            true,
            |drops, _| { Rc::new(Receiving::new(drops, channel(0))) }
        ),
        row!(
            "queue::Sender::send, in a select",
            Consumed,
            true,
            true,
            |drops, _| { Rc::new(Sending::new(drops, 1)) }
        ),
        row!(
            "queue::Sender::send, in a select, rendezvous",
            Consumed,
            true,
            true,
            |drops, _| { Rc::new(Sending::new(drops, 0)) }
        ),
    ]
}

/// Waits until `thing` is ready, and then for `take` to have something, or to say that there will be nothing.
fn until_taken<T>(
    thing: &dyn Waitable,
    limit: Option<Duration>,
    take: impl Fn() -> Result<Option<T>, ()>,
) -> Option<T> {
    let never = Event::new();
    let end = limit.map(|d| Instant::now() + d);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let both: [&dyn Waitable; 2] = [&never, thing];
        let mut coming = iwait(both);
        if let Some(left) = left {
            coming = coming.timeout(left);
        }
        coming.next()?;
        // Somebody else may have been faster.
        match take() {
            Ok(None) => {}
            Ok(taken) => return taken,
            Err(()) => return None,
        }
    }
}

struct Happens(Event);

impl Subject for Happens {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let set = || Ok(self.0.is_set().then_some(()));
        if until_taken(&self.0, limit, set).is_some() {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.0.set();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.is_set()))
    }

    fn mend(&self) {
        self.0.clear();
    }
}

struct Answered(AsyncResult<Counted>, Drops);

impl Subject for Answered {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let never = AsyncResult::<Counted>::new();
        if !wait([&never, &self.0], limit, Some(1)).is_empty() {
            assert!(self.0.is_set());
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        // The second round's finds one.
        let _ = self.0.set(self.1.guard());
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.is_set())).filter(|n| *n == self.1.alive())
    }
}

struct Watching(Queue<Counted>, Drops);

impl Subject for Watching {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let take = || match self.0.try_get() {
            Ok(item) => Ok(Some(item)),
            Err(_) if self.0.is_closed() => Err(()),
            Err(_) => Ok(None),
        };
        if let Some(_item) = until_taken(&self.0, limit, take) {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.0.try_put(self.1.guard()).is_ok()
    }

    fn left(&self) -> Option<usize> {
        Some(self.0.len())
    }

    fn close(&self) {
        self.0.close();
    }
}

struct Eyeing(Semaphore);

impl Subject for Eyeing {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let take = || Ok(self.0.try_acquire());
        if let Some(_permit) = until_taken(&self.0, limit, take) {
            assert_eq!(self.0.available(), 0);
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        let _permit = self.0.try_acquire().unwrap();
        until();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.try_acquire().is_some()))
    }
}

struct Chosen(AsyncResult<Counted>, Drops);

impl Subject for Chosen {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let never = AsyncResult::<Counted>::new();
        let select = Select::new()
            .result(&never, |_| unreachable!("nobody sets it"))
            .result(&self.0, |answer| answer.is_ok());
        let answered = match limit {
            None => select.wait(),
            Some(d) => select.wait_timeout(d).unwrap_or(false),
        };
        if answered {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        // The second round's finds one.
        let _ = self.0.set(self.1.guard());
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.is_set())).filter(|n| *n == self.1.alive())
    }
}

/// Who acquires does not give back, somebody releases.
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
        let none = BoundedSemaphore::new(0);
        let select = Select::new()
            .acquire_bounded(&self.0, |permit| permit)
            .acquire_bounded(&none, |_| unreachable!("it has none, ever"));
        let permit = match limit {
            None => Some(select.wait()),
            Some(d) => select.wait_timeout(d),
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

struct Receiving {
    tx: RefCell<Option<Sender<Counted>>>,
    rx: Receiver<Counted>,
    drops: Drops,
}

impl Receiving {
    fn new(drops: &Drops, (tx, rx): (Sender<Counted>, Receiver<Counted>)) -> Self {
        Self {
            tx: RefCell::new(Some(tx)),
            rx,
            drops: drops.clone(),
        }
    }
}

impl Subject for Receiving {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let (_tx, never) = unbounded_channel::<Counted>();
        let select = Select::new()
            .recv(&never, |_| unreachable!("nobody sends there"))
            .recv(&self.rx, |item| item.ok());
        let item = match limit {
            None => select.wait(),
            Some(d) => select.wait_timeout(d).flatten(),
        };
        if let Some(_item) = item {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        let tx = self.tx.borrow().clone();
        tx.is_some_and(|tx| tx.try_send(self.drops.guard()).is_ok())
    }

    fn left(&self) -> Option<usize> {
        Some(self.rx.len())
    }

    fn close(&self) {
        let tx = self.tx.take();
        drop(tx);
    }
}

/// Room is waited for, which there is none of in the beginning.
struct Sending {
    tx: Sender<Counted>,
    rx: RefCell<Option<Receiver<Counted>>>,
    capacity: usize,
    drops: Drops,
}

impl Sending {
    fn new(drops: &Drops, capacity: usize) -> Self {
        let (tx, rx) = channel(capacity);
        for _ in 0..capacity {
            assert!(tx.try_send(drops.guard()).is_ok());
        }
        Self {
            tx,
            rx: RefCell::new(Some(rx)),
            capacity,
            drops: drops.clone(),
        }
    }
}

impl Subject for Sending {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let (never, _rx) = channel(0);
        let (mut item, mut other) = (Some(self.drops.guard()), Some(self.drops.guard()));
        let select = Select::new()
            .send(&never, &mut other, |_| {
                unreachable!("nobody receives there")
            })
            .send(&self.tx, &mut item, |sent| sent.is_ok());
        let sent = match limit {
            None => select.wait(),
            Some(d) => select.wait_timeout(d).unwrap_or(false),
        };
        assert_eq!(item.is_none(), sent, "what was not sent is still here");
        assert!(other.is_some());
        if sent {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        let rx = self.rx.borrow().clone();
        rx.is_some_and(|rx| rx.try_recv().is_ok())
    }

    fn left(&self) -> Option<usize> {
        // What was in it went with the receiver.
        let rx = self.rx.borrow();
        rx.as_ref().map(|rx| self.capacity - rx.len())
    }

    fn close(&self) {
        let rx = self.rx.take();
        drop(rx);
    }
}
