//! The rows of `greenloom::queue`: the three kinds of queue and channels, from both ends, bounded and at a rendezvous.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::time::Duration;

use greenloom::queue::{
    LifoQueue, PriorityQueue, Queue, Receiver, Sender, channel, unbounded_channel,
};

use crate::driver::{Kind, Row, Subject};
use crate::util::{Counted, Drops};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("Queue::get", |drops, _| {
            Rc::new(Getting::<Queue<_>>::new(drops, None))
        }),
        row("Queue::get, bounded", |drops, _| {
            Rc::new(Getting::<Queue<_>>::new(drops, Some(1)))
        }),
        row("Queue::get, rendezvous", |drops, _| {
            Rc::new(Getting::<Queue<_>>::new(drops, Some(0)))
        }),
        row("LifoQueue::get", |drops, _| {
            Rc::new(Getting::<LifoQueue<_>>::new(drops, None))
        }),
        row("PriorityQueue::get", |drops, _| {
            Rc::new(Getting::<PriorityQueue<_>>::new(drops, None))
        }),
        row("Queue::put", |drops, _| {
            Rc::new(Putting::<Queue<_>>::new(drops, 1))
        }),
        row("Queue::put, rendezvous", |drops, _| {
            Rc::new(Putting::<Queue<_>>::new(drops, 0))
        }),
        row("LifoQueue::put", |drops, _| {
            Rc::new(Putting::<LifoQueue<_>>::new(drops, 2))
        }),
        row("PriorityQueue::put", |drops, _| {
            Rc::new(Putting::<PriorityQueue<_>>::new(drops, 2))
        }),
        row("queue::Receiver::recv", |drops, _| {
            Rc::new(Receiving::new(drops, unbounded_channel()))
        }),
        row("queue::Receiver::recv, rendezvous", |drops, _| {
            Rc::new(Receiving::new(drops, channel(0)))
        }),
        row("queue::Sender::send", |drops, _| {
            Rc::new(Sending::new(drops, 1))
        }),
        row("queue::Sender::send, rendezvous", |drops, _| {
            Rc::new(Sending::new(drops, 0))
        }),
        Row {
            name: "Queue::join",
            kind: Kind::ForAll,
            timed: true,
            closes: false,
            stays: false,
            new: |drops, _| Rc::new(Joining(Queue::unbounded(), drops.clone())),
        },
    ]
}

/// A row of something consumed, with a limit, that can be closed.
fn row(name: &'static str, new: fn(&Drops, usize) -> Rc<dyn Subject>) -> Row {
    Row {
        name,
        kind: Kind::Consumed,
        timed: true,
        closes: true,
        stays: false,
        new,
    }
}

/// Counts its drop. The numbers repeat, so that some are equal.
struct Item {
    number: u64,
    _counted: Counted,
}

impl Item {
    fn new(drops: &Drops) -> Self {
        Self {
            number: drops.alive() as u64 % 2,
            _counted: drops.guard(),
        }
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}

/// What the three kinds have in common. False and `None`: not this time, or closed.
trait Shared: 'static {
    fn of(capacity: Option<usize>) -> Self;
    fn put(&self, item: Item, limit: Option<Duration>) -> bool;
    fn try_put(&self, item: Item) -> bool;
    fn get(&self, limit: Option<Duration>) -> Option<Item>;
    fn try_get(&self) -> Option<Item>;
    fn len(&self) -> usize;
    fn close(&self);
}

macro_rules! shared {
    ($queue:ident) => {
        impl Shared for $queue<Item> {
            fn of(capacity: Option<usize>) -> Self {
                capacity.map_or_else($queue::unbounded, $queue::bounded)
            }

            fn put(&self, item: Item, limit: Option<Duration>) -> bool {
                match limit {
                    None => $queue::put(self, item).is_ok(),
                    Some(d) => self.put_timeout(item, d).is_ok(),
                }
            }

            fn try_put(&self, item: Item) -> bool {
                $queue::try_put(self, item).is_ok()
            }

            fn get(&self, limit: Option<Duration>) -> Option<Item> {
                match limit {
                    None => $queue::get(self).ok(),
                    Some(d) => self.get_timeout(d).ok(),
                }
            }

            fn try_get(&self) -> Option<Item> {
                $queue::try_get(self).ok()
            }

            fn len(&self) -> usize {
                $queue::len(self)
            }

            fn close(&self) {
                $queue::close(self);
            }
        }
    };
}

shared!(Queue);
shared!(LifoQueue);
shared!(PriorityQueue);

/// Items are waited for.
struct Getting<Q> {
    queue: Q,
    drops: Drops,
}

impl<Q: Shared> Getting<Q> {
    fn new(drops: &Drops, capacity: Option<usize>) -> Self {
        Self {
            queue: Q::of(capacity),
            drops: drops.clone(),
        }
    }
}

impl<Q: Shared> Subject for Getting<Q> {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        if let Some(_item) = self.queue.get(limit) {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.queue.try_put(Item::new(&self.drops))
    }

    fn left(&self) -> Option<usize> {
        let left = self.queue.len();
        assert!(self.drops.alive() >= left);
        Some(left)
    }

    fn close(&self) {
        self.queue.close();
    }
}

/// Room is waited for: it is full from the beginning.
struct Putting<Q> {
    queue: Q,
    capacity: usize,
    drops: Drops,
}

impl<Q: Shared> Putting<Q> {
    fn new(drops: &Drops, capacity: usize) -> Self {
        let queue = Q::of(Some(capacity));
        for _ in 0..capacity {
            assert!(queue.try_put(Item::new(drops)));
        }
        Self {
            queue,
            capacity,
            drops: drops.clone(),
        }
    }
}

impl<Q: Shared> Subject for Putting<Q> {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        if self.queue.put(Item::new(&self.drops), limit) {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.queue.try_get().is_some()
    }

    fn left(&self) -> Option<usize> {
        Some(self.capacity - self.queue.len())
    }

    fn close(&self) {
        self.queue.close();
    }
}

struct Receiving {
    tx: RefCell<Option<Sender<Item>>>,
    rx: Receiver<Item>,
    drops: Drops,
}

impl Receiving {
    fn new(drops: &Drops, (tx, rx): (Sender<Item>, Receiver<Item>)) -> Self {
        Self {
            tx: RefCell::new(Some(tx)),
            rx,
            drops: drops.clone(),
        }
    }
}

impl Subject for Receiving {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let item = match limit {
            None => self.rx.recv().ok(),
            Some(d) => self.rx.recv_timeout(d).ok(),
        };
        if let Some(_item) = item {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        let tx = self.tx.borrow().clone();
        tx.is_some_and(|tx| tx.try_send(Item::new(&self.drops)).is_ok())
    }

    fn left(&self) -> Option<usize> {
        Some(self.rx.len())
    }

    fn close(&self) {
        let tx = self.tx.take();
        drop(tx);
    }
}

struct Sending {
    tx: Sender<Item>,
    rx: RefCell<Option<Receiver<Item>>>,
    capacity: usize,
    /// What there was room for when the receiver went.
    left: Cell<usize>,
    drops: Drops,
}

impl Sending {
    fn new(drops: &Drops, capacity: usize) -> Self {
        let (tx, rx) = channel(capacity);
        for _ in 0..capacity {
            assert!(tx.try_send(Item::new(drops)).is_ok());
        }
        Self {
            tx,
            rx: RefCell::new(Some(rx)),
            capacity,
            left: Cell::new(0),
            drops: drops.clone(),
        }
    }
}

impl Subject for Sending {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let item = Item::new(&self.drops);
        let sent = match limit {
            None => self.tx.send(item).is_ok(),
            Some(d) => self.tx.send_timeout(item, d).is_ok(),
        };
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
        let rx = self.rx.borrow();
        Some(match &*rx {
            Some(rx) => self.capacity - rx.len(),
            None => self.left.get(),
        })
    }

    fn close(&self) {
        let Some(rx) = self.rx.take() else { return };
        self.left.set(self.capacity - rx.len());
        drop(rx);
    }
}

/// The granter has the one item in hand that is not done.
struct Joining(Queue<Item>, Drops);

impl Subject for Joining {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let done = match limit {
            None => {
                self.0.join();
                true
            }
            Some(d) => self.0.join_timeout(d),
        };
        if done {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        self.0.try_put(Item::new(&self.1)).unwrap();
        let _item = self.0.try_get().unwrap();
        until();
        self.0.task_done().is_ok()
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.unfinished() == 0))
    }
}
