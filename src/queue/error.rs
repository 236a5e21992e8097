//! Why a put, a get, a send or a receive failed: one small type per operation, which hands the value back.
//!
//! ```text
//! PutError ──► PutTimeoutError     TryPutError        Closed Deadlock Unwinding CannotWait   + Timeout    | Full Closed
//! GetError ──► GetTimeoutError     TryGetError                the same                                    | Empty Closed
//! Send…, Recv…                                        the same, with Disconnected for Closed
//! ```
//!
//! This file decides nothing.
#![forbid(unsafe_code)]

use core::fmt;
use std::io;

use super::core::{Fail, Refusal};
use crate::greenlet::error::Deadlock;

/// Why an attempt hands back a value: what `into_inner`, `Debug` and `Display` need.
macro_rules! hands_back {
    ($name:ident { $($variant:ident $(($detail:ident))? => $text:literal),+ $(,)? } $put:literal) => {
        impl<T> $name<T> {
            /// The value that was not delivered.
            pub fn into_inner(self) -> T {
                match self {
                    $(Self::$variant(value $(, hands_back!(@ignore $detail))?) => value,)+
                }
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(_ $(, $detail)?) => {
                        f.write_str(concat!(stringify!($variant), "(.."))?;
                        $(write!(f, ", {:?}", $detail)?;)?
                        f.write_str(")")
                    })+
                }
            }
        }

        impl<T> fmt::Display for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(_ $(, $detail)?) => {
                        f.write_str(concat!($put, " ", $text))?;
                        $(write!(f, ": {}", $detail)?;)?
                        Ok(())
                    })+
                }
            }
        }

        impl<T> std::error::Error for $name<T> {}
    };
    (@ignore $detail:ident) => { _ };
}

/// The same for those that have no value to hand back.
macro_rules! says {
    ($name:ident { $($variant:ident $(($detail:ident))? => $text:literal),+ $(,)? } $get:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant $(($detail))? => {
                        f.write_str(concat!($get, " ", $text))?;
                        $(write!(f, ": {}", $detail)?;)?
                        Ok(())
                    })+
                }
            }
        }

        impl std::error::Error for $name {}
    };
}

/// The six types of one kind of queue. `$closed` is its word for the end, `$is_closed` the predicate.
macro_rules! family {
    (
        $closed:ident, $is_closed:ident, $the_end:literal, $end_text:literal,
        $put:ident, $put_timeout:ident, $try_put:ident, $puts:literal,
        $get:ident, $get_timeout:ident, $try_get:ident, $gets:literal $(,)?
    ) => {
        #[doc = concat!("Why a ", $puts, " failed. The value is in it.")]
        #[non_exhaustive]
        pub enum $put<T> {
            #[doc = $the_end]
            $closed(T),
            /// Main waits, and nothing can ever make room.
            Deadlock(T, Deadlock),
            /// There was no room at once, and the caller is unwinding and does not wait then.
            Unwinding(T),
            /// There was no room at once, and no wait is possible here: in a callback of the hub, in a forked child.
            CannotWait(T, io::Error),
        }

        impl<T> $put<T> {
            #[doc = concat!("Whether it is this: ", $the_end)]
            pub fn $is_closed(&self) -> bool {
                matches!(self, Self::$closed(_))
            }

            pub(super) fn new((value, fail): (T, Fail)) -> Self {
                match fail {
                    Fail::Closed => Self::$closed(value),
                    Fail::Deadlock(deadlock) => Self::Deadlock(value, deadlock),
                    Fail::Unwinding => Self::Unwinding(value),
                    Fail::CannotWait(e) => Self::CannotWait(value, e),
                    Fail::TimedOut => unreachable!("a wait without a deadline timed out"),
                }
            }
        }

        hands_back!($put {
            $closed => $end_text,
            Deadlock(deadlock) => "waits in vain",
            Unwinding => "would wait while unwinding",
            CannotWait(e) => "cannot wait here",
        } $puts);

        #[doc = concat!("Why a ", $puts, " with a time limit failed. The value is in it.")]
        #[non_exhaustive]
        pub enum $put_timeout<T> {
            /// There was no room in time, or an enclosing [`timeout`](crate::timeout) expired.
            Timeout(T),
            #[doc = $the_end]
            $closed(T),
            /// Main waits, and nothing can ever make room.
            Deadlock(T, Deadlock),
            /// There was no room at once, and the caller is unwinding and does not wait then.
            Unwinding(T),
            /// There was no room at once, and no wait is possible here: in a callback of the hub, in a forked child.
            CannotWait(T, io::Error),
        }

        impl<T> $put_timeout<T> {
            #[doc = concat!("Whether it is this: ", $the_end)]
            pub fn $is_closed(&self) -> bool {
                matches!(self, Self::$closed(_))
            }

            /// Whether the time was up.
            pub fn is_timeout(&self) -> bool {
                matches!(self, Self::Timeout(_))
            }

            pub(super) fn new((value, fail): (T, Fail)) -> Self {
                match fail {
                    Fail::TimedOut => Self::Timeout(value),
                    fail => $put::new((value, fail)).into(),
                }
            }
        }

        impl<T> From<$put<T>> for $put_timeout<T> {
            fn from(error: $put<T>) -> Self {
                match error {
                    $put::$closed(value) => Self::$closed(value),
                    $put::Deadlock(value, deadlock) => Self::Deadlock(value, deadlock),
                    $put::Unwinding(value) => Self::Unwinding(value),
                    $put::CannotWait(value, e) => Self::CannotWait(value, e),
                }
            }
        }

        hands_back!($put_timeout {
            Timeout => "timed out",
            $closed => $end_text,
            Deadlock(deadlock) => "waits in vain",
            Unwinding => "would wait while unwinding",
            CannotWait(e) => "cannot wait here",
        } $puts);

        #[doc = concat!("Why a ", $puts, " that does not wait failed. The value is in it.")]
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $try_put<T> {
            /// There is no room, or, at a rendezvous, nobody waits for a value.
            Full(T),
            #[doc = $the_end]
            $closed(T),
        }

        impl<T> $try_put<T> {
            #[doc = concat!("Whether it is this: ", $the_end)]
            pub fn $is_closed(&self) -> bool {
                matches!(self, Self::$closed(_))
            }

            /// Whether there was no room.
            pub fn is_full(&self) -> bool {
                matches!(self, Self::Full(_))
            }

            pub(super) fn new((value, refusal): (T, Refusal)) -> Self {
                match refusal {
                    Refusal::NotNow => Self::Full(value),
                    Refusal::Closed => Self::$closed(value),
                }
            }
        }

        hands_back!($try_put {
            Full => "finds no room",
            $closed => $end_text,
        } $puts);

        #[doc = concat!("Why a ", $gets, " brought nothing.")]
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum $get {
            #[doc = concat!($the_end, " And nothing is left.")]
            $closed,
            /// Main waits, and nothing can ever come.
            Deadlock(Deadlock),
            /// There was nothing at once, and the caller is unwinding and does not wait then.
            Unwinding,
            /// There was nothing at once, and no wait is possible here: in a callback of the hub, in a forked child.
            CannotWait(io::Error),
        }

        impl $get {
            #[doc = concat!("Whether it is this: ", $the_end, " And nothing is left.")]
            pub fn $is_closed(&self) -> bool {
                matches!(self, Self::$closed)
            }

            pub(super) fn new(fail: Fail) -> Self {
                match fail {
                    Fail::Closed => Self::$closed,
                    Fail::Deadlock(deadlock) => Self::Deadlock(deadlock),
                    Fail::Unwinding => Self::Unwinding,
                    Fail::CannotWait(e) => Self::CannotWait(e),
                    Fail::TimedOut => unreachable!("a wait without a deadline timed out"),
                }
            }
        }

        says!($get {
            $closed => $end_text,
            Deadlock(deadlock) => "waits in vain",
            Unwinding => "would wait while unwinding",
            CannotWait(e) => "cannot wait here",
        } $gets);

        #[doc = concat!("Why a ", $gets, " with a time limit brought nothing.")]
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum $get_timeout {
            /// Nothing came in time, or an enclosing [`timeout`](crate::timeout) expired.
            Timeout,
            #[doc = concat!($the_end, " And nothing is left.")]
            $closed,
            /// Main waits, and nothing can ever come.
            Deadlock(Deadlock),
            /// There was nothing at once, and the caller is unwinding and does not wait then.
            Unwinding,
            /// There was nothing at once, and no wait is possible here: in a callback of the hub, in a forked child.
            CannotWait(io::Error),
        }

        impl $get_timeout {
            #[doc = concat!("Whether it is this: ", $the_end, " And nothing is left.")]
            pub fn $is_closed(&self) -> bool {
                matches!(self, Self::$closed)
            }

            /// Whether the time was up.
            pub fn is_timeout(&self) -> bool {
                matches!(self, Self::Timeout)
            }

            pub(super) fn new(fail: Fail) -> Self {
                match fail {
                    Fail::TimedOut => Self::Timeout,
                    fail => $get::new(fail).into(),
                }
            }
        }

        impl From<$get> for $get_timeout {
            fn from(error: $get) -> Self {
                match error {
                    $get::$closed => Self::$closed,
                    $get::Deadlock(deadlock) => Self::Deadlock(deadlock),
                    $get::Unwinding => Self::Unwinding,
                    $get::CannotWait(e) => Self::CannotWait(e),
                }
            }
        }

        says!($get_timeout {
            Timeout => "timed out",
            $closed => $end_text,
            Deadlock(deadlock) => "waits in vain",
            Unwinding => "would wait while unwinding",
            CannotWait(e) => "cannot wait here",
        } $gets);

        #[doc = concat!("Why a ", $gets, " that does not wait brought nothing.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $try_get {
            /// There is nothing at this moment.
            Empty,
            #[doc = concat!($the_end, " And nothing is left.")]
            $closed,
        }

        impl $try_get {
            #[doc = concat!("Whether it is this: ", $the_end, " And nothing is left.")]
            pub fn $is_closed(&self) -> bool {
                matches!(self, Self::$closed)
            }

            /// Whether there was nothing, but may yet be.
            pub fn is_empty(&self) -> bool {
                matches!(self, Self::Empty)
            }

            pub(super) fn new(refusal: Refusal) -> Self {
                match refusal {
                    Refusal::NotNow => Self::Empty,
                    Refusal::Closed => Self::$closed,
                }
            }
        }

        says!($try_get {
            Empty => "finds nothing",
            $closed => $end_text,
        } $gets);
    };
}

family!(
    Closed,
    is_closed,
    "The queue is closed.",
    "meets the end of a closed queue",
    PutError,
    PutTimeoutError,
    TryPutError,
    "put",
    GetError,
    GetTimeoutError,
    TryGetError,
    "get",
);

family!(
    Disconnected,
    is_disconnected,
    "The other side of the channel is gone.",
    "meets the end of a disconnected channel",
    SendError,
    SendTimeoutError,
    TrySendError,
    "send",
    RecvError,
    RecvTimeoutError,
    TryRecvError,
    "receive",
);

/// More items were reported done than were put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskDoneError;

impl fmt::Display for TaskDoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("task_done was called more often than items were put")
    }
}

impl std::error::Error for TaskDoneError {}
