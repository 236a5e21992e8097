//! The rows of `greenloom::event` and `greenloom::select`: events, results, tokens, and waiting for the first of several.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use greenloom::event::{AsyncResult, CancelToken, Event};
use greenloom::queue::Queue;
use greenloom::select::Select;
use greenloom::sync::Semaphore;

use crate::driver::{Kind, Row, Subject};
use crate::util::{Counted, Drops};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("Event::wait", |_, _| {
            Rc::new(Set(Event::new(), Means::Itself))
        }),
        row("Event, in a select", |_, _| {
            Rc::new(Set(Event::new(), Means::Select))
        }),
        row("AsyncResult::wait", |drops, _| {
            Rc::new(Answer(AsyncResult::new(), drops.clone()))
        }),
        row("CancelToken::wait", |_, _| {
            Rc::new(Cancelled(CancelToken::new(), Means::Itself))
        }),
        row("CancelToken, in a select", |_, _| {
            Rc::new(Cancelled(CancelToken::new(), Means::Select))
        }),
        Row {
            closes: true,
            kind: Kind::Consumed,
            ..row("Queue::get, in a select", |drops, _| {
                Rc::new(Taking(Queue::unbounded(), drops.clone()))
            })
        },
        Row {
            closes: true,
            kind: Kind::Consumed,
            ..row("Queue::put, in a select", |drops, _| {
                Rc::new(Offering::new(drops))
            })
        },
        Row {
            kind: Kind::Lent,
            ..row("Semaphore::acquire, in a select", |_, _| {
                Rc::new(Permitted(Semaphore::new(1)))
            })
        },
    ]
}

/// A row of what comes to pass for all, with a limit.
fn row(name: &'static str, new: fn(&Drops, usize) -> Rc<dyn Subject>) -> Row {
    Row {
        name,
        kind: Kind::ForAll,
        timed: true,
        closes: false,
        stays: false,
        new,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    Itself,
    /// Beside an arm that never comes.
    Select,
}

struct Set(Event, Means);

impl Subject for Set {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let never = Event::new();
        let is_set = match (self.1, limit) {
            (Means::Itself, None) => {
                self.0.wait();
                true
            }
            (Means::Itself, Some(d)) => self.0.wait_timeout(d),
            (Means::Select, limit) => {
                let select = Select::new()
                    .event(&never, || false)
                    .event(&self.0, || true);
                match limit {
                    None => select.wait(),
                    Some(d) => select.wait_timeout(d).unwrap_or(false),
                }
            }
        };
        if is_set {
            assert!(self.0.is_set());
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

struct Answer(AsyncResult<Counted>, Drops);

impl Subject for Answer {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let answer = match limit {
            None => self.0.wait(),
            Some(d) => self.0.wait_timeout(d),
        };
        if answer.is_ok() {
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

struct Cancelled(CancelToken, Means);

impl Subject for Cancelled {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let never = Event::new();
        // Through a child, as it is handed down.
        let token = self.0.child();
        let cancelled = match (self.1, limit) {
            (Means::Itself, None) => {
                token.wait();
                true
            }
            (Means::Itself, Some(d)) => token.wait_timeout(d),
            (Means::Select, limit) => {
                let select = Select::new()
                    .cancelled(&token, || true)
                    .event(&never, || false);
                match limit {
                    None => select.wait(),
                    Some(d) => select.wait_timeout(d).unwrap_or(false),
                }
            }
        };
        if cancelled {
            assert!(token.is_cancelled());
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.0.cancel();
        true
    }

    fn left(&self) -> Option<usize> {
        Some(usize::from(self.0.is_cancelled()))
    }
}

/// Items, beside an arm that never comes.
struct Taking(Queue<Counted>, Drops);

impl Subject for Taking {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let never = Event::new();
        let select = Select::new()
            .event(&never, || None)
            .get(&self.0, |item| item.ok());
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
        self.0.try_put(self.1.guard()).is_ok()
    }

    fn left(&self) -> Option<usize> {
        Some(self.0.len())
    }

    fn close(&self) {
        self.0.close();
    }
}

/// Room for one, which is taken from the beginning, beside a queue that never has room.
struct Offering {
    queue: Queue<Counted>,
    drops: Drops,
}

impl Offering {
    fn new(drops: &Drops) -> Self {
        let queue = Queue::bounded(1);
        queue.try_put(drops.guard()).unwrap();
        Self {
            queue,
            drops: drops.clone(),
        }
    }
}

impl Subject for Offering {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let never = Queue::bounded(0);
        let (mut item, mut other) = (Some(self.drops.guard()), Some(self.drops.guard()));
        let select = Select::new()
            .put(&self.queue, &mut item, |put| put.is_ok())
            .put(&never, &mut other, |_| unreachable!("nobody gets there"));
        let put = match limit {
            None => select.wait(),
            Some(d) => select.wait_timeout(d).unwrap_or(false),
        };
        assert_eq!(item.is_none(), put, "what was not put is still here");
        assert!(other.is_some());
        if put {
            got();
        }
    }

    fn grant(&self, until: &dyn Fn()) -> bool {
        until();
        self.queue.try_get().is_ok()
    }

    fn left(&self) -> Option<usize> {
        Some(1 - self.queue.len())
    }

    fn close(&self) {
        self.queue.close();
    }
}

/// One permit, beside another semaphore that has none.
struct Permitted(Semaphore);

impl Subject for Permitted {
    fn block(&self, _: usize, limit: Option<Duration>, got: &dyn Fn()) {
        let none = Semaphore::new(0);
        let select = Select::new()
            .acquire(&none, |_| unreachable!("nobody releases it"))
            .acquire(&self.0, |permit| permit);
        let permit = match limit {
            None => Some(select.wait()),
            Some(d) => select.wait_timeout(d),
        };
        if let Some(_permit) = permit {
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
