//! What can go wrong with a switch, a kill, a new parent; and main's hopeless wait.
//!
//! Errors hand back what was not delivered. This file holds no logic.
#![forbid(unsafe_code)]

use core::fmt;
use std::sync::Arc;

/// Main waits, and nothing can ever wake it.
///
/// `Display` names what every parked task waits for, and the cycle if there is one.
///
/// Main is told of two things: that it waits on a cycle of tasks of its own thread; or that nothing is left which could wake
/// anybody there, and the process has no other thread.
///
/// # What is not noticed
///
/// It is a hub that notices. A thread without one, which never spawned a task, waits as the system does: if it locks a mutex
/// of [`sync`](crate::sync) twice, or gets from a queue that nobody will fill, it waits for ever and is told nothing, as with
/// std. The same goes for cycles through several threads, and for tasks that wait in a circle
/// while main does not wait for them.
#[derive(Clone, PartialEq, Eq)]
pub struct Deadlock {
    text: Arc<str>,
}

impl Deadlock {
    /// With the description that the hub made.
    pub(crate) fn new(text: String) -> Self {
        Self { text: text.into() }
    }

    /// Of a kill whose victim waits for the end of its killer.
    pub(crate) fn circle() -> Self {
        Self::new("deadlock: the victim of the kill waits for the end of its killer".to_owned())
    }

    /// On a thread where nothing but greenlets could wake main.
    pub(crate) fn alone() -> Self {
        Self::new(
            "deadlock: main waits, no greenlet can run and nothing else can wake it".to_owned(),
        )
    }
}

impl fmt::Debug for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deadlock").field(&self.text).finish()
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Deadlock {}

/// Why a switch, a throw or a receive did not end with a message. All but the last two hand the value back; in those
/// it had been delivered.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchError<T> {
    /// The greenlet has ended, or the scope that opened the inbox has.
    Dead(T),
    /// The greenlet has no body yet.
    Unbound(T),
    /// The `Current` used is not that of the running greenlet.
    NotCurrent(T),
    /// The greenlet lives, but does not wait at this inbox: it runs, is parked, or waits at another one.
    NotWaiting(T),
    /// A child that ended left its outcome for this inbox: `receive` it first.
    Pending(T),
    /// The running greenlet is unwinding: no switch from destructors then.
    Unwinding(T),
    /// The running greenlet's innermost inbox is of another type, or of one that is not known to be `'static`
    /// ([`Current::publish`](super::Current::publish)).
    InboxType(T),
    /// The child that would have answered was killed (`GreenletExit`), or ended with nobody to take its result.
    Exited,
    /// Nothing can ever wake this wait of main.
    Deadlock(Deadlock),
}

impl<T> SwitchError<T> {
    /// The value that was not delivered, if it was not.
    pub fn into_inner(self) -> Option<T> {
        match self {
            Self::Dead(v)
            | Self::Unbound(v)
            | Self::NotCurrent(v)
            | Self::NotWaiting(v)
            | Self::Pending(v)
            | Self::Unwinding(v)
            | Self::InboxType(v) => Some(v),
            Self::Exited | Self::Deadlock(_) => None,
        }
    }

    /// Whether the greenlet has ended.
    pub fn is_dead(&self) -> bool {
        matches!(self, Self::Dead(_))
    }

    /// Whether the child that would have answered was killed.
    pub fn is_exited(&self) -> bool {
        matches!(self, Self::Exited)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Dead(_) => "Dead",
            Self::Unbound(_) => "Unbound",
            Self::NotCurrent(_) => "NotCurrent",
            Self::NotWaiting(_) => "NotWaiting",
            Self::Pending(_) => "Pending",
            Self::Unwinding(_) => "Unwinding",
            Self::InboxType(_) => "InboxType",
            Self::Exited => "Exited",
            Self::Deadlock(_) => "Deadlock",
        }
    }
}

impl<T> fmt::Debug for SwitchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadlock(d) => f.debug_tuple("Deadlock").field(d).finish(),
            Self::Exited => f.write_str("Exited"),
            other => write!(f, "{}(..)", other.name()),
        }
    }
}

impl<T> fmt::Display for SwitchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dead(_) => "switch to a dead greenlet",
            Self::Unbound(_) => "switch to a greenlet that has no body yet",
            Self::NotCurrent(_) => "switch from a greenlet that is not the running one",
            Self::NotWaiting(_) => "switch to a greenlet that does not wait at this inbox",
            Self::Pending(_) => "a child's outcome is pending: receive it before switching",
            Self::Unwinding(_) => "switch while unwinding",
            Self::InboxType(_) => "the running greenlet's innermost inbox takes another type",
            Self::Exited => "the greenlet was killed",
            Self::Deadlock(d) => return d.fmt(f),
        })
    }
}

impl<T> std::error::Error for SwitchError<T> {}

/// Why a kill was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KillError {
    /// A thread's main greenlet cannot be killed.
    Main,
    /// The `Current` used is not that of the running greenlet.
    NotCurrent,
    /// Under `panic = "abort"` a started greenlet cannot be unwound.
    PanicAbort,
    /// The running greenlet asked for its own end while unwinding already.
    Unwinding,
    /// The victim can never end: it is parked for ever in a `shield` or in a destructor.
    Deadlock(Deadlock),
}

impl fmt::Display for KillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "the main greenlet cannot be killed",
            Self::NotCurrent => "kill through a Current that is not that of the running greenlet",
            Self::PanicAbort => "a started greenlet cannot be killed under panic=abort",
            Self::Unwinding => "the running greenlet is unwinding already",
            Self::Deadlock(d) => return d.fmt(f),
        })
    }
}

impl std::error::Error for KillError {}

/// Why a greenlet could not become the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParentError {
    /// It is a descendant of the running greenlet, or that greenlet itself.
    Cycle,
    /// It has ended.
    Dead,
    /// The inbox used was opened by a scope: only what a greenlet was spawned with has a parent.
    NoParent,
    /// The `Current` used is not that of the running greenlet.
    NotCurrent,
}

impl fmt::Display for ParentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cycle => "the new parent is a descendant of the running greenlet",
            Self::Dead => "the new parent is dead",
            Self::NoParent => "an inbox opened by a scope has no parent",
            Self::NotCurrent => {
                "set_parent through a Current that is not that of the running greenlet"
            }
        })
    }
}

impl std::error::Error for ParentError {}
