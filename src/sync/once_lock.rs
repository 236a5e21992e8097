//! `OnceLock`: std's, cooperative and without poison.
//!
//! The value lies in `cell.rs`, who may write it is decided in `once.rs`; this file has the public face.
#![forbid(unsafe_code)]

use core::fmt;

use super::cell::Slot;

/// A value that is written once, by whoever comes first.
///
/// ```
/// use greenloom::sync::OnceLock;
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
/// assert_eq!(CONFIG.get(), None);
/// assert_eq!(CONFIG.get_or_init(|| "read once".to_owned()), "read once");
/// assert_eq!(CONFIG.set("again".to_owned()), Err("again".to_owned()));
/// ```
///
/// # Differences from the standard library
///
/// * A wait parks the task, not the thread.
/// * If the initialiser panics, or its task is killed in it, the cell stays empty, and the next one that wants to runs its own.
///   (So it is in std, for panics.)
/// * An initialiser that needs the value of the same cell panics, which std leaves open.
pub struct OnceLock<T> {
    slot: Slot<T>,
}

impl<T> OnceLock<T> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { slot: Slot::new() }
    }

    /// The value, if it is there.
    ///
    /// # Blocking
    /// Never switches.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.slot.get()
    }

    /// The value, if it is there.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.slot.get_mut()
    }

    /// The value; if it is not there, waits for it.
    ///
    /// # Blocking
    /// As [`Once::wait`](super::Once::wait).
    ///
    /// # Panics
    /// As [`Once::wait`](super::Once::wait).
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.slot.once().wait();
        match self.slot.get() {
            Some(value) => value,
            None => unreachable!("completed without a value"),
        }
    }

    /// Writes the value, unless there is one. If an initialiser is running, waits for it.
    ///
    /// # Blocking
    /// As [`Once::call_once`](super::Once::call_once).
    ///
    /// # Errors
    /// There is a value already; `value` comes back.
    ///
    /// # Panics
    /// As [`get_or_init`](Self::get_or_init).
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.slot.get_or_init(|| match value.take() {
            Some(value) => value,
            None => unreachable!("a closure was called twice"),
        });
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// The value; if it is not there, `f` makes it. If another one is making it, waits for that.
    ///
    /// # Blocking
    /// Switches if another one is at it, and as `f`; see [`Once::call_once`](super::Once::call_once).
    ///
    /// # Panics
    /// As `f`, and then the cell stays empty. If `f` needs the value itself. Otherwise as
    /// [`Once::call_once`](super::Once::call_once).
    #[inline]
    #[track_caller]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        match self.slot.get() {
            Some(value) => value,
            None => self.slot.get_or_init(f),
        }
    }

    /// The value, for good.
    pub fn into_inner(self) -> Option<T> {
        self.slot.into_inner()
    }

    /// Takes the value out; the cell is empty then.
    pub fn take(&mut self) -> Option<T> {
        self.slot.take()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        Self {
            slot: Slot::full(value),
        }
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        match self.get() {
            Some(value) => Self::from(value.clone()),
            None => Self::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => d.field(value),
            None => d.field(&format_args!("<uninit>")),
        };
        d.finish()
    }
}
