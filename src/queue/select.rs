//! Queues and ends of channels in a select, what users see of `arms.rs`; and as things of a `wait`.
//!
//! | method | waits for | the closure gets |
//! | --- | --- | --- |
//! | `get`, `recv` | an item | `Ok(item)`, or that the queue is closed and empty |
//! | `put`, `send` | room, or a getter | `Ok(())`, or that the queue is closed: the value is where it was |
#![forbid(unsafe_code)]

use super::arms::{Closed, GetArm, PutArm};
use super::ends::sealed::GetFrom;
use super::{LifoQueue, PriorityQueue, Queue, Receiver, Sender, Sink, Source};
use crate::park::{Board, Notice};
use crate::select::sealed::{Arm, Slot};
use crate::select::{self, Arms, Select, Waitable};

impl<T> Arm for GetArm<'_, T> {
    type Output = Result<T, Closed>;

    fn slot(&mut self) -> Slot<'_> {
        Slot(self)
    }

    fn take(self) -> Self::Output {
        match self.into_got() {
            Some(got) => got,
            None => unreachable!("the chosen arm got nothing"),
        }
    }
}

impl<T> Arm for PutArm<'_, T> {
    type Output = Result<(), Closed>;

    fn slot(&mut self) -> Slot<'_> {
        Slot(self)
    }

    fn take(self) -> Self::Output {
        match self.into_put() {
            Some(put) => put,
            None => unreachable!("the chosen arm put nothing"),
        }
    }
}

/// Something to put, and where: what [`Select::put`] makes.
struct Put<'a, S: Sink>(&'a S, &'a mut Option<S::Item>);

impl<'a, S: Sink> select::Source for Put<'a, S> {
    type Output = Result<(), Closed>;
    type Arm = PutArm<'a, S::Item>;

    fn into_arm(self) -> Self::Arm {
        PutArm::new(self.0.puts(), self.1)
    }
}

/// What [`Select::get`] makes.
struct Get<'a, S>(&'a S);

impl<'a, S: Source> select::Source for Get<'a, S> {
    type Output = Result<S::Item, Closed>;
    type Arm = GetArm<'a, S::Item>;

    fn into_arm(self) -> Self::Arm {
        GetArm::new(self.0.gets())
    }
}

macro_rules! source {
    ($($name:ident $([$bound:ident])?),*) => {$(
        /// Gets an item.
        impl<'a, T $(: $bound)?> select::Source for &'a $name<T> {
            type Output = Result<T, Closed>;
            type Arm = GetArm<'a, T>;

            fn into_arm(self) -> Self::Arm {
                GetArm::new(self.gets())
            }
        }

        /// Ready when a get would not have to wait: there is an item, a put waits at a rendezvous, or it is closed. Nothing is
        /// got by that, so somebody else may be faster.
        impl<T $(: $bound)?> Waitable for $name<T> {
            fn watch(&self, notice: Notice) {
                self.core().watch(notice);
            }

            fn unwatch(&self, board: &Board) {
                self.core().unwatch(board);
            }
        }
    )*};
}

source!(Queue, LifoQueue, PriorityQueue[Ord], Receiver);

impl<R, A: Arms<R>> Select<R, A> {
    /// Waits for an item of `queue`, which may also be a [`Receiver`]; `f` gets it, or [`Closed`] if there will be none.
    ///
    /// ```
    /// use greenloom::queue::Queue;
    /// use greenloom::select::Select;
    ///
    /// let (orders, news) = (Queue::unbounded(), Queue::unbounded());
    /// news.put("it rains").unwrap();
    /// let said = Select::new()
    ///     .get(&orders, |order: Result<u32, _>| format!("order {}", order.unwrap()))
    ///     .get(&news, |text| text.unwrap().to_owned())
    ///     .wait();
    /// assert_eq!(said, "it rains");
    /// ```
    pub fn get<S: Source>(
        self,
        queue: &S,
        f: impl FnOnce(Result<S::Item, Closed>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(Get(queue), f)
    }

    /// Waits until `queue`, which may also be a [`Sender`], takes the value that `slot` holds. If another arm is chosen, or the queue is
    /// closed, the value is in `slot` as before. An empty slot is never chosen.
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::queue::Queue;
    /// use greenloom::select::Select;
    ///
    /// let full = Queue::bounded(1);
    /// full.put(1).unwrap();
    /// let mut two = Some(2);
    /// let put = Select::new()
    ///     .put(&full, &mut two, |put| put.is_ok())
    ///     .after(Duration::from_millis(1), || false)
    ///     .wait();
    /// assert_eq!((put, two), (false, Some(2)));
    /// ```
    pub fn put<'a, S: Sink>(
        self,
        queue: &'a S,
        slot: &'a mut Option<S::Item>,
        f: impl FnOnce(Result<(), Closed>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(Put(queue, slot), f)
    }

    /// As [`get`](Self::get), named after what a channel's end does.
    pub fn recv<T>(
        self,
        receiver: &Receiver<T>,
        f: impl FnOnce(Result<T, Closed>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(receiver, f)
    }

    /// As [`put`](Self::put), named after what a channel's end does.
    pub fn send<'a, T>(
        self,
        sender: &'a Sender<T>,
        slot: &'a mut Option<T>,
        f: impl FnOnce(Result<(), Closed>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(Put(sender, slot), f)
    }
}
