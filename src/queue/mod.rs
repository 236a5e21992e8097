//! Queues and channels: what tasks hand to one another.
//!
//! | type | order | ends |
//! | --- | --- | --- |
//! | [`Queue`] | first in, first out | shared by reference; `close`; `task_done` and `join` |
//! | [`LifoQueue`] | last in, first out | the same |
//! | [`PriorityQueue`] | smallest first, equals as they came | the same |
//! | [`channel`] | first in, first out | handles; ends with the last of a kind |
//! | [`mpsc`](crate::sync::mpsc) | first in, first out | std's names and errors |
//!
//! All work between tasks of one hub, between hubs of several threads, and with threads that have no hub. A call that is
//! killed or times out before it was served has put nothing and got nothing; one that was served succeeds, and the kill
//! comes at the next wait. An item is never lost and never there twice.
//!
//! ```text
//! kinds  channel  ends     the public types          arms   the same as arms of a select
//!         core   state     the protocol              error  one type per operation
//!         store  heap      what items are kept in
//! ```
//!
//! This module may not run code of the user while it holds a lock.
#![forbid(unsafe_code)]

mod arms;
mod channel;
pub(crate) mod core;
mod ends;
mod error;
mod heap;
mod kinds;
mod select;
mod state;
mod store;

#[cfg(test)]
mod tests;

pub use self::arms::Closed;
pub use self::channel::{
    IntoIter as ChannelIntoIter, Iter as ChannelIter, Receiver, Sender, TryIter as ChannelTryIter,
    channel, unbounded_channel,
};
pub use self::ends::{Sink, Source};
pub use self::error::{
    GetError, GetTimeoutError, PutError, PutTimeoutError, RecvError, RecvTimeoutError, SendError,
    SendTimeoutError, TaskDoneError, TryGetError, TryPutError, TryRecvError, TrySendError,
};
pub use self::kinds::{Iter, LifoQueue, PriorityQueue, Queue};
