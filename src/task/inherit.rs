//! Task-locals that a task gets from who spawns it, by opt-in.
//!
//! ```text
//! Builder::inherit(&KEY) ──► Inherit [ KEY … ]     spawn: each value is cloned, by the spawner
//!                                 └─► Inherited [ (KEY, copy) … ]   goes along with the body, which adopts it first thing
//! ```
//!
//! So the copies of a task that never starts are dropped with its body. `Clone` is code of the user: it runs before anything
//! of the task is there.
#![forbid(unsafe_code)]

use core::fmt;

use super::local::{LocalKey, adopt};
use super::record::Local;

/// A key of any type whose values can be cloned.
trait Key {
    fn copy(&'static self) -> Option<Local>;
}

impl<T: Clone + 'static> Key for LocalKey<T> {
    fn copy(&'static self) -> Option<Local> {
        LocalKey::copy(self)
    }
}

/// The keys that a builder was told.
#[derive(Clone, Default)]
pub(super) struct Inherit(Vec<&'static (dyn Key + Send + Sync)>);

/// The values that a task is to begin with.
pub(super) struct Inherited(Vec<Local>);

impl Inherit {
    pub(super) fn add<T: Clone + 'static>(&mut self, key: &'static LocalKey<T>) {
        let key: &'static (dyn Key + Send + Sync) = key;
        let same = |known: &&'static (dyn Key + Send + Sync)| core::ptr::addr_eq(*known, key);
        if !self.0.iter().any(same) {
            self.0.push(key);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The running task's values.
    pub(super) fn copy(&self) -> Inherited {
        Inherited(self.0.iter().filter_map(|key| key.copy()).collect())
    }
}

impl Inherited {
    /// Makes them the running task's.
    pub(super) fn adopt(self) {
        adopt(self.0);
    }
}

impl fmt::Debug for Inherit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}
