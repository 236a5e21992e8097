//! The arms of a select, and the things of a `wait`, that this module has.
#![forbid(unsafe_code)]

use super::latch::Rise;
use super::{AsyncResult, CancelToken, Event};
use super::{WAIT, cancel, result};
use crate::park::{Board, Notice};
use crate::select::sealed::{Arm, Slot};
use crate::select::{Arms, Select, Source, Waitable};

/// Ready while the event is set.
impl<'a> Source for &'a Event {
    type Output = ();
    type Arm = Rise<'a>;

    fn into_arm(self) -> Rise<'a> {
        Rise::new(&self.latch, WAIT)
    }
}

/// Ready once the token is cancelled.
impl<'a> Source for &'a CancelToken {
    type Output = ();
    type Arm = Rise<'a>;

    fn into_arm(self) -> Rise<'a> {
        Rise::new(&self.node.latch, cancel::WAIT)
    }
}

impl Arm for Rise<'_> {
    type Output = ();

    fn slot(&mut self) -> Slot<'_> {
        Slot(self)
    }

    fn take(self) {}
}

/// Ready once the result is set.
impl<'a, T, E> Source for &'a AsyncResult<T, E> {
    type Output = Result<&'a T, &'a E>;
    type Arm = Set<'a, T, E>;

    fn into_arm(self) -> Set<'a, T, E> {
        Set {
            rise: Rise::new(&self.shared.latch, result::WAIT),
            result: self,
        }
    }
}

/// The arm of a result.
#[derive(Debug)]
pub struct Set<'a, T, E> {
    rise: Rise<'a>,
    result: &'a AsyncResult<T, E>,
}

impl<'a, T, E> Arm for Set<'a, T, E> {
    type Output = Result<&'a T, &'a E>;

    fn slot(&mut self) -> Slot<'_> {
        Slot(&mut self.rise)
    }

    fn take(self) -> Self::Output {
        match self.result.peek() {
            Some(result) => result,
            None => unreachable!("a latch without its value"),
        }
    }
}

impl<R, A: Arms<R>> Select<R, A> {
    /// Waits for `event`; `f` runs if it is set.
    pub fn event(self, event: &Event, f: impl FnOnce() -> R) -> Select<R, impl Arms<R>> {
        self.on(event, |()| f())
    }

    /// Waits for `result`; `f` gets what it was set to.
    pub fn result<'a, T, E>(
        self,
        result: &'a AsyncResult<T, E>,
        f: impl FnOnce(Result<&'a T, &'a E>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(result, f)
    }

    /// Waits for `token`; `f` runs if it is cancelled.
    pub fn cancelled(self, token: &CancelToken, f: impl FnOnce() -> R) -> Select<R, impl Arms<R>> {
        self.on(token, |()| f())
    }
}

/// Ready when it is set; one that is cleared again before it is looked at counts.
impl Waitable for Event {
    fn watch(&self, notice: Notice) {
        self.latch.watch(notice);
    }

    fn unwatch(&self, board: &Board) {
        self.latch.unwatch(board);
    }
}

/// Ready once it is set.
impl<T, E> Waitable for AsyncResult<T, E> {
    fn watch(&self, notice: Notice) {
        self.shared.latch.watch(notice);
    }

    fn unwatch(&self, board: &Board) {
        self.shared.latch.unwatch(board);
    }
}

/// Ready once it is cancelled.
impl Waitable for CancelToken {
    fn watch(&self, notice: Notice) {
        self.node.latch.watch(notice);
    }

    fn unwatch(&self, board: &Board) {
        self.node.latch.unwatch(board);
    }
}
