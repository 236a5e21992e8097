//! Task-locals: `local!` and [`LocalKey`], std's thread-locals with a task in the place of a thread.
//!
//! ```text
//! control block ─ upper.ext ─► Ext.locals: [ (address of the key, Some(Rc<value>)), (…, None: dropped) ]
//! ```
//!
//! A reference is handed out by way of a clone of the `Rc`, so nothing of ours is borrowed while the user's code runs
//! (invariant 4): an initialiser, a closure or a destructor may use any key again, its own included, and may park.
//! In a callback of the hub the keys are those of the thread's main greenlet.
#![forbid(unsafe_code)]

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ptr;
use std::rc::Rc;

use super::record::{Local, peek_ext, with_ext};
use crate::greenlet::control::ControlRef;
use crate::greenlet::engine;
use crate::greenlet::hot::{Phase, hot};

/// Declares keys of which each task, greenlet and main greenlet has a value of its own.
///
/// ```
/// use std::cell::{Cell, RefCell};
///
/// greenloom::local! {
///     /// How often this task asked.
///     pub static ASKED: Cell<u32> = Cell::new(0);
///     static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
/// }
///
/// ASKED.set(5);
/// greenloom::spawn(|| {
///     assert_eq!(ASKED.get(), 0);
///     LOG.with_borrow_mut(|log| log.push("mine".into()));
/// })
/// .join()
/// .unwrap();
/// assert_eq!(ASKED.get(), 5);
/// assert!(LOG.with_borrow(|log| log.is_empty()));
/// ```
///
/// A value is made when its task first uses the key, and dropped when that task ends: on its own stack, the latest first,
/// even while its join handle lives. See [`LocalKey`](crate::task::LocalKey).
#[macro_export]
macro_rules! local {
    () => {};
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $t:ty = $init:expr; $($rest:tt)*) => {
        $crate::local!($(#[$attribute])* $vis static $name: $t = $init);
        $crate::local!($($rest)*);
    };
    ($(#[$attribute:meta])* $vis:vis static $name:ident: $t:ty = $init:expr) => {
        $(#[$attribute])*
        $vis static $name: $crate::task::LocalKey<$t> = {
            fn init() -> $t {
                $init
            }
            $crate::task::LocalKey::new(init)
        };
    };
}

/// A key declared by [`local!`](crate::local).
///
/// Values need not be `Send`. What differs from [`std::thread::LocalKey`]:
///
/// - each task (and greenlet, and main) has its own value, and destructors run when *it* ends;
/// - an initialiser that uses its own key is no error if that comes to an end: the value made by the inner call stays, and
///   the outer one is dropped;
/// - destructors may wait; kills are held back meanwhile;
/// - a task may be given copies of its spawner's values: [`Builder::inherit`](super::Builder::inherit).
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// The value of a task-local key was used after it was dropped, or while it is: by a destructor of the ending task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task-local was dropped already: its task is ending")
    }
}

impl std::error::Error for AccessError {}

/// Whose locals are used now.
fn owner() -> Result<ControlRef, AccessError> {
    let hot = hot();
    match hot.current.get() {
        Some(c) if c == hot.hub() => Ok(hot.root()),
        Some(c) => Ok(c),
        None if hot.phase.get() == Phase::Fresh => Ok(engine::enter().1),
        // The thread's runtime has ended, and its main greenlet's locals with it.
        None => Err(AccessError),
    }
}

#[cold]
#[track_caller]
fn destroyed(e: AccessError) -> ! {
    panic!("cannot access a task-local: {e}")
}

/// Makes `locals` the running task's, which has none of these keys yet.
pub(super) fn adopt(locals: Vec<Local>) {
    if !locals.is_empty()
        && let Ok(c) = owner()
    {
        with_ext(c, |e| e.locals.extend(locals));
    }
}

impl<T: 'static> LocalKey<T> {
    /// For [`local!`](crate::local).
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    fn key(&'static self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// The value, if `c` has one by now.
    fn find(&'static self, c: ControlRef) -> Result<Option<Rc<T>>, AccessError> {
        let key = self.key();
        let found = peek_ext(c, |e| {
            let local = e.locals.iter().find(|l| l.key == key)?;
            Some(local.value.clone().ok_or(AccessError))
        });
        match found.flatten() {
            // One key, one type: a static is no other static.
            Some(value) => Ok(value?.downcast::<T>().ok()),
            None => Ok(None),
        }
    }

    /// The value, made by `init` if there is none.
    fn value(&'static self, init: impl FnOnce() -> T) -> Result<Rc<T>, AccessError> {
        let c = owner()?;
        if let Some(value) = self.find(c)? {
            return Ok(value);
        }
        let made = Rc::new(init());
        if let Some(inner) = self.find(c)? {
            return Ok(inner);
        }
        let value: Rc<dyn Any> = made.clone();
        let local = Local {
            key: self.key(),
            value: Some(value),
        };
        with_ext(c, |e| e.locals.push(local));
        Ok(made)
    }

    /// A clone of the running task's value, as another task would have it; `None` if there is none.
    pub(super) fn copy(&'static self) -> Option<Local>
    where
        T: Clone,
    {
        let value = self.find(owner().ok()?).ok()??;
        Some(Local {
            key: self.key(),
            value: Some(Rc::new(T::clone(&value))),
        })
    }

    /// Calls `f` with the running task's value.
    ///
    /// # Panics
    /// If it was dropped already, which only a destructor of the ending task can see; as the initialiser; as `f`.
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.value(self.init) {
            Ok(value) => f(&value),
            Err(e) => destroyed(e),
        }
    }

    /// Calls `f` with the running task's value, unless that was dropped already.
    ///
    /// # Errors
    /// [`AccessError`]: the task is ending and its value is gone. `f` was not called.
    ///
    /// # Panics
    /// As the initialiser; as `f`.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.value(self.init).map(|value| f(&value))
    }

    /// Makes `new` the value if there is none; otherwise hands both to `replace`. The key's own initialiser does not run.
    #[track_caller]
    fn put<R>(&'static self, new: T, replace: impl FnOnce(&T, T) -> R) -> Option<R> {
        let mut new = Some(new);
        let value = self.value(|| match new.take() {
            Some(new) => new,
            None => unreachable!("an initialiser runs once"),
        });
        match (value, new) {
            (Ok(value), Some(new)) => Some(replace(&value, new)),
            (Ok(_), None) => None,
            (Err(e), _) => destroyed(e),
        }
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the value; the initialiser does not run.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.put(Cell::new(value), |old, new| old.set(new.into_inner()));
    }

    /// A copy of the value.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the value, leaving the type's default.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the value and returns the old one.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with the borrowed content.
    ///
    /// # Panics
    /// As [`with`](Self::with); if it is borrowed mutably.
    #[track_caller]
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the content, borrowed mutably.
    ///
    /// # Panics
    /// As [`with`](Self::with); if it is borrowed.
    #[track_caller]
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the content; the initialiser does not run.
    ///
    /// # Panics
    /// As [`with`](Self::with); if it is borrowed.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.put(RefCell::new(value), |old, new| {
            old.replace(new.into_inner())
        });
    }

    /// Takes the content, leaving the type's default.
    ///
    /// # Panics
    /// As [`with`](Self::with); if it is borrowed.
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the content and returns the old one.
    ///
    /// # Panics
    /// As [`with`](Self::with); if it is borrowed.
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}
