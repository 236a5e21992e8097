//! `LazyLock`: std's, cooperative.
//!
//! ```text
//! slot empty, init there ── first use ──► init taken, runs ──► slot full
//!                                            └── panics ──► slot empty, init gone: every use panics
//! ```
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::cell::Slot;
use crate::greenlet::hot::hot;
use crate::greenlet::interrupt::shielded;
use crate::park::Lock;

/// A value that is made when it is first used.
///
/// ```
/// use greenloom::sync::{LazyLock, Mutex};
///
/// static LOG: LazyLock<Mutex<Vec<&str>>> = LazyLock::new(|| Mutex::new(vec!["first"]));
/// LOG.lock().unwrap().push("second");
/// assert_eq!(*LOG.lock().unwrap(), ["first", "second"]);
/// ```
///
/// # Differences from the standard library
///
/// * A wait parks the task, not the thread.
/// * The initialiser runs shielded: a kill, or an enclosing `timeout`, of who came first is held back until it is done. It can
///   run once only, so an initialiser broken off would leave nothing for all others.
/// * After an initialiser that panicked every use panics, as in std. Where the next one should try again, use
///   [`OnceLock`](super::OnceLock).
pub struct LazyLock<T, F = fn() -> T> {
    slot: Slot<T>,
    /// Taken by the one that runs it.
    init: Lock<Option<F>>,
}

// As std's: what unwinds out of the initialiser leaves nothing half made.
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// One whose value `f` will make.
    #[must_use]
    pub const fn new(f: F) -> Self {
        Self {
            slot: Slot::new(),
            init: Lock::new(Some(f)),
        }
    }

    /// The value, which is made if it is not there; so does any use by [`Deref`].
    ///
    /// # Blocking
    /// Switches if another one is making it, and as the initialiser.
    ///
    /// # Panics
    /// As the initialiser, and at every use after that. If the initialiser uses the value itself. Otherwise as
    /// [`Once::call_once`](super::Once::call_once).
    #[inline]
    #[track_caller]
    pub fn force(this: &Self) -> &T {
        match this.slot.get() {
            Some(value) => value,
            None => this.make(),
        }
    }

    #[cold]
    #[track_caller]
    fn make(&self) -> &T {
        self.slot
            .get_or_init(|| match self.init.with(Option::take) {
                Some(f) => match hot().current.get() {
                    Some(me) => shielded(me, f),
                    None => f(),
                },
                None => failed(),
            })
    }

    /// The value to change it, which is made if it is not there.
    ///
    /// # Panics
    /// As [`force`](Self::force).
    #[track_caller]
    pub fn force_mut(this: &mut Self) -> &mut T {
        Self::force(this);
        match this.slot.get_mut() {
            Some(value) => value,
            None => unreachable!("forced without a value"),
        }
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it is there. Makes nothing.
    pub fn get(this: &Self) -> Option<&T> {
        this.slot.get()
    }

    /// The value, if it is there. Makes nothing.
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        this.slot.get_mut()
    }
}

#[cold]
#[track_caller]
fn failed() -> ! {
    panic!("the initialiser of a LazyLock has panicked before")
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_tuple("LazyLock");
        match self.slot.get() {
            Some(value) => d.field(value),
            None => d.field(&format_args!("<uninit>")),
        };
        d.finish()
    }
}
