//! What `Mutex` and `RwLock`, and their guards, have word for word in common with std's and with each other.
//!
//! | macro | gives |
//! | --- | --- |
//! | `lock_shell!` | the value without locking, a poison that never is, `From`, `Default`, `Debug` |
//! | `guard_shell!` | `Deref`, `Debug`, `Display`: what the value says |
//!
//! A lock here is a tuple of nothing but `inner: Locked<…>`, a guard one of nothing but a `Hold`. This file locks nothing, but for
//! the `Debug` of a lock, which tries to.
#![forbid(unsafe_code)]

/// For a lock, and its call that has the value to read without a wait.
macro_rules! lock_shell {
    ($Lock:ident, $try:ident) => {
        impl<T> $Lock<T> {
            /// The value, for good.
            ///
            /// # Errors
            /// Never.
            pub fn into_inner(self) -> LockResult<T> {
                Ok(self.inner.into_inner())
            }
        }

        impl<T: ?Sized> $Lock<T> {
            /// The value, which nobody else can reach.
            ///
            /// # Errors
            /// Never.
            pub fn get_mut(&mut self) -> LockResult<&mut T> {
                Ok(self.inner.get_mut())
            }

            /// False: nothing poisons.
            #[inline]
            pub fn is_poisoned(&self) -> bool {
                false
            }

            /// Does nothing.
            #[inline]
            pub fn clear_poison(&self) {}
        }

        impl<T> From<T> for $Lock<T> {
            fn from(value: T) -> Self {
                Self::new(value)
            }
        }

        impl<T: Default> Default for $Lock<T> {
            fn default() -> Self {
                Self::new(T::default())
            }
        }

        impl<T: ?Sized + fmt::Debug> fmt::Debug for $Lock<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut d = f.debug_struct(stringify!($Lock));
                match self.$try() {
                    Ok(guard) => d.field("data", &&*guard),
                    Err(_) => d.field("data", &format_args!("<locked>")),
                };
                d.field("poisoned", &false);
                d.finish_non_exhaustive()
            }
        }
    };
}

/// For a guard.
macro_rules! guard_shell {
    ($Guard:ident) => {
        impl<T: ?Sized> Deref for $Guard<'_, T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T: ?Sized + fmt::Debug> fmt::Debug for $Guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display> fmt::Display for $Guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

pub(super) use {guard_shell, lock_shell};
