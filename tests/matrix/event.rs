//! The rows of `greenloom::event` and `greenloom::select`: events, results, tokens, and waiting for the first of several.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use greenloom::event::{AsyncResult, CancelToken, Event};
use greenloom::select::Select;

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
    ]
}

/// A row of what comes to pass for all, with a limit.
fn row(name: &'static str, new: fn(&Drops, usize) -> Rc<dyn Subject>) -> Row {
    Row {
        name,
        kind: Kind::ForAll,
        timed: true,
        closes: false,
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
