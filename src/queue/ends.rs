//! What all queues and ends of channels have in common, for generic code.
//!
//! Both traits are sealed: what they are implemented for is in this module. The methods do what those of the same name do
//! on the types themselves.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::channel::{Receiver, Sender};
use super::core::Patience;
use super::error::{
    GetError, GetTimeoutError, PutError, PutTimeoutError, TryGetError, TryPutError,
};
use super::kinds::{LifoQueue, PriorityQueue, Queue};

/// What can be got from: every queue, and [`Receiver`]. Sealed.
///
/// ```
/// use greenloom::queue::{LifoQueue, Queue, Source, channel};
///
/// fn drain<S: Source<Item = u32>>(source: &S) -> u32 {
///     std::iter::from_fn(|| source.try_get().ok()).sum()
/// }
///
/// assert_eq!(drain(&Queue::from_iter([1, 2])), 3);
/// assert_eq!(drain(&LifoQueue::from_iter([3, 4])), 7);
/// let (tx, rx) = channel(1);
/// tx.send(5)?;
/// assert_eq!(drain(&rx), 5);
/// # Ok::<(), greenloom::queue::SendError<u32>>(())
/// ```
pub trait Source: sealed::GetFrom<Self::Item> {
    /// What comes out.
    type Item;

    /// As [`Queue::get`].
    ///
    /// # Blocking
    /// Switches if it has to wait, and now and then if it never has to.
    ///
    /// # Errors
    /// See [`GetError`].
    fn get(&self) -> Result<Self::Item, GetError>;

    /// As [`Queue::get_timeout`].
    ///
    /// # Blocking
    /// As [`get`](Self::get).
    ///
    /// # Errors
    /// See [`GetTimeoutError`].
    fn get_timeout(&self, d: Duration) -> Result<Self::Item, GetTimeoutError>;

    /// As [`Queue::try_get`].
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// See [`TryGetError`].
    fn try_get(&self) -> Result<Self::Item, TryGetError>;
}

/// What can be put into: every queue, and [`Sender`]. Sealed.
///
/// ```
/// use greenloom::queue::{PriorityQueue, Sink, unbounded_channel};
///
/// fn fill<S: Sink<Item = u32>>(sink: &S) {
///     for n in [2, 1] {
///         sink.put(n).unwrap();
///     }
/// }
///
/// let queue = PriorityQueue::unbounded();
/// fill(&queue);
/// assert_eq!(queue.get().unwrap(), 1);
/// let (tx, rx) = unbounded_channel();
/// fill(&tx);
/// assert_eq!(rx.recv().unwrap(), 2);
/// ```
pub trait Sink: sealed::PutInto<Self::Item> {
    /// What goes in.
    type Item;

    /// As [`Queue::put`].
    ///
    /// # Blocking
    /// Switches if it has to wait, and now and then if it never has to.
    ///
    /// # Errors
    /// See [`PutError`].
    fn put(&self, value: Self::Item) -> Result<(), PutError<Self::Item>>;

    /// As [`Queue::put_timeout`].
    ///
    /// # Blocking
    /// As [`put`](Self::put).
    ///
    /// # Errors
    /// See [`PutTimeoutError`].
    fn put_timeout(
        &self,
        value: Self::Item,
        d: Duration,
    ) -> Result<(), PutTimeoutError<Self::Item>>;

    /// As [`Queue::try_put`].
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// See [`TryPutError`].
    fn try_put(&self, value: Self::Item) -> Result<(), TryPutError<Self::Item>>;
}

/// How a select reaches what is behind the traits.
pub(crate) mod sealed {
    use core::fmt;

    use super::super::arms::{GetSide, PutSide};

    /// A queue to get from.
    pub struct Gets<'a, T>(pub(crate) &'a dyn GetSide<T>);

    /// A queue to put into.
    pub struct Puts<'a, T>(pub(crate) &'a dyn PutSide<T>);

    impl<T> fmt::Debug for Gets<'_, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.reason().fmt(f)
        }
    }

    impl<T> fmt::Debug for Puts<'_, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.reason().fmt(f)
        }
    }

    /// Seals `Source`.
    pub trait GetFrom<T> {
        /// For an arm of a select.
        #[doc(hidden)]
        fn gets(&self) -> Gets<'_, T>;
    }

    /// Seals `Sink`.
    pub trait PutInto<T> {
        /// For an arm of a select.
        #[doc(hidden)]
        fn puts(&self) -> Puts<'_, T>;
    }
}

macro_rules! source {
    ($name:ident $([$bound:ident])?, $this:ident => $core:expr) => {
        impl<T $(: $bound)?> sealed::GetFrom<T> for $name<T> {
            fn gets(&self) -> sealed::Gets<'_, T> {
                let $this = self;
                sealed::Gets($core)
            }
        }

        impl<T $(: $bound)?> Source for $name<T> {
            type Item = T;

            #[inline]
            #[track_caller]
            fn get(&self) -> Result<T, GetError> {
                let $this = self;
                $core.get(Patience::ERRORS).map_err(GetError::new)
            }

            #[track_caller]
            fn get_timeout(&self, d: Duration) -> Result<T, GetTimeoutError> {
                let $this = self;
                $core.get(Patience::timed(d)).map_err(GetTimeoutError::new)
            }

            #[inline]
            #[track_caller]
            fn try_get(&self) -> Result<T, TryGetError> {
                let $this = self;
                $core.try_get().map_err(TryGetError::new)
            }
        }
    };
}

macro_rules! sink {
    ($name:ident $([$bound:ident])?, $this:ident => $core:expr) => {
        impl<T $(: $bound)?> sealed::PutInto<T> for $name<T> {
            fn puts(&self) -> sealed::Puts<'_, T> {
                let $this = self;
                sealed::Puts($core)
            }
        }

        impl<T $(: $bound)?> Sink for $name<T> {
            type Item = T;

            #[inline]
            fn put(&self, value: T) -> Result<(), PutError<T>> {
                let $this = self;
                $core.put(value, Patience::ERRORS).map_err(PutError::new)
            }

            fn put_timeout(&self, value: T, d: Duration) -> Result<(), PutTimeoutError<T>> {
                let $this = self;
                $core.put(value, Patience::timed(d)).map_err(PutTimeoutError::new)
            }

            #[inline]
            fn try_put(&self, value: T) -> Result<(), TryPutError<T>> {
                let $this = self;
                $core.try_put(value).map_err(TryPutError::new)
            }
        }
    };
}

source!(Queue, this => this.core());
source!(LifoQueue, this => this.core());
source!(PriorityQueue[Ord], this => this.core());
source!(Receiver, this => &this.shared.core);
sink!(Queue, this => this.core());
sink!(LifoQueue, this => this.core());
sink!(PriorityQueue[Ord], this => this.core());
sink!(Sender, this => &this.shared.core);

/// What is behind a pointer is a source or a sink by it.
macro_rules! through {
    ($($pointer:ty),*) => {$(
        impl<S: Source + ?Sized> sealed::GetFrom<S::Item> for $pointer {
            fn gets(&self) -> sealed::Gets<'_, S::Item> {
                (**self).gets()
            }
        }

        impl<S: Source + ?Sized> Source for $pointer {
            type Item = S::Item;

            #[inline]
            #[track_caller]
            fn get(&self) -> Result<S::Item, GetError> {
                (**self).get()
            }

            #[track_caller]
            fn get_timeout(&self, d: Duration) -> Result<S::Item, GetTimeoutError> {
                (**self).get_timeout(d)
            }

            #[inline]
            #[track_caller]
            fn try_get(&self) -> Result<S::Item, TryGetError> {
                (**self).try_get()
            }
        }

        impl<S: Sink + ?Sized> sealed::PutInto<S::Item> for $pointer {
            fn puts(&self) -> sealed::Puts<'_, S::Item> {
                (**self).puts()
            }
        }

        impl<S: Sink + ?Sized> Sink for $pointer {
            type Item = S::Item;

            #[inline]
            fn put(&self, value: S::Item) -> Result<(), PutError<S::Item>> {
                (**self).put(value)
            }

            fn put_timeout(&self, value: S::Item, d: Duration) -> Result<(), PutTimeoutError<S::Item>> {
                (**self).put_timeout(value, d)
            }

            #[inline]
            fn try_put(&self, value: S::Item) -> Result<(), TryPutError<S::Item>> {
                (**self).try_put(value)
            }
        }
    )*};
}

through!(&S, Rc<S>, Arc<S>);
