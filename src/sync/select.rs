//! Permits in a select.
#![forbid(unsafe_code)]

use super::semaphore::{Acquiring, BoundedSemaphore, Core, Permit, Semaphore, reason};
use crate::park::{Arm, Grant, Key, Place, Reason, Selectable, Unparker};
use crate::select::sealed::{self, Slot};
use crate::select::{Arms, Select, Source};

/// The arm of a select that takes a permit.
#[derive(Debug)]
pub struct Acquire<'a> {
    place: Acquiring<'a>,
    key: Option<Key>,
    taken: bool,
}

impl<'a> Acquire<'a> {
    pub(super) fn new(core: &'a Core, n: usize) -> Self {
        Self {
            place: Acquiring { core, n },
            key: None,
            taken: false,
        }
    }

    /// The permits, if this is the arm that was chosen.
    pub(super) fn into_permit(self) -> Option<Permit<'a>> {
        let Acquiring { core, n } = self.place;
        self.taken.then(|| core.permit(n))
    }
}

impl Selectable for Acquire<'_> {
    fn reason(&self) -> Reason<'_> {
        reason()
    }

    fn attempt(&mut self) -> bool {
        self.taken = self.place.core.try_take(self.place.n);
        self.taken
    }

    fn register(&mut self, who: &Unparker, arm: Arm) -> bool {
        let n = self.place.n;
        let key = self.place.core.state.with(|state| {
            let free = state.available >= n && !state.queue.has_other(who);
            (!free).then(|| state.queue.push_back(*who, arm, n))
        });
        self.key = key;
        key.is_none()
    }

    fn unregister(&mut self) {
        if let Some(key) = self.key.take() {
            self.place.core.change(|state| {
                let _ = state.queue.remove(key);
            });
        }
    }

    fn commit(&mut self) {
        self.taken = true;
    }

    fn refund(&self) {
        self.place.refund(Grant::Given(0));
    }

    fn abandon(&self) {
        if let Some(key) = self.key {
            self.place.core.change(|state| {
                let _ = state.queue.remove(key);
            });
        }
    }
}

impl<'a> sealed::Arm for Acquire<'a> {
    type Output = Permit<'a>;

    fn slot(&mut self) -> Slot<'_> {
        Slot(self)
    }

    fn take(self) -> Permit<'a> {
        match self.into_permit() {
            Some(permit) => permit,
            None => unreachable!("the chosen arm took no permit"),
        }
    }
}

/// Takes one permit.
impl<'a> Source for &'a Semaphore {
    type Output = Permit<'a>;
    type Arm = Acquire<'a>;

    fn into_arm(self) -> Acquire<'a> {
        Acquire::new(self.core(), 1)
    }
}

/// Takes one permit.
impl<'a> Source for &'a BoundedSemaphore {
    type Output = Permit<'a>;
    type Arm = Acquire<'a>;

    fn into_arm(self) -> Acquire<'a> {
        Acquire::new(self.core(), 1)
    }
}

impl<R, A: Arms<R>> Select<R, A> {
    /// Waits for a permit of `semaphore`; `f` gets it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::select::Select;
    /// use greenloom::sync::Semaphore;
    ///
    /// let places = Semaphore::new(1);
    /// let got = Select::new()
    ///     .acquire(&places, |permit| permit.count())
    ///     .after(Duration::from_secs(60), || 0)
    ///     .wait();
    /// assert_eq!((got, places.available()), (1, 1));
    /// ```
    pub fn acquire<'a>(
        self,
        semaphore: &'a Semaphore,
        f: impl FnOnce(Permit<'a>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(semaphore, f)
    }

    /// Waits for a permit of `semaphore`; `f` gets it.
    pub fn acquire_bounded<'a>(
        self,
        semaphore: &'a BoundedSemaphore,
        f: impl FnOnce(Permit<'a>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(semaphore, f)
    }
}
