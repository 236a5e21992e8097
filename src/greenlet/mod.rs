//! Greenlets: coroutines that switch to each other explicitly, each with a stack of its own.
//!
//! A greenlet runs until it *switches* to another one, sending a value along; it goes on when somebody switches back.
//! There is no scheduler in this: who runs next is said by who runs now. (The scheduler is built on top, and a greenlet
//! may also sleep, read a socket or lock, as any task may.)
//!
//! ```
//! use greenloom::greenlet::{scope, Current};
//!
//! // The classic: two greenlets that switch to and fro.
//! let mut out = Vec::new();
//! let log = std::cell::RefCell::new(&mut out);
//! scope(|s, me: &Current<()>| {
//!     let one = s.unbound::<(), ()>(me);
//!     let two = s.unbound::<(), ()>(me);
//!     let (gr1, gr2) = (one.handle(), two.handle());
//!     let log = &log;
//!     one.bind(move |me, ()| {
//!         log.borrow_mut().push(12);
//!         me.switch(&gr2, ()).unwrap();
//!         log.borrow_mut().push(34);
//!     });
//!     two.bind(move |me, ()| {
//!         log.borrow_mut().push(56);
//!         me.switch(&gr1, ()).unwrap();
//!         log.borrow_mut().push(78);
//!     });
//!     me.switch(&gr1, ()).unwrap(); // until `one` returns: control goes to its parent then
//!     me.switch(&gr2, ()).unwrap();
//! });
//! assert_eq!(out, [12, 56, 34, 78]);
//! ```
//!
//! ## Rules
//!
//! - **First switch**: the value is the argument of the body. **Later**: it is what the target's own pending
//!   [`switch`](Current::switch) returns. What *my* switch returns is whatever anyone next sends to *me*.
//! - **The end**: what a body returns goes to its *parent*, as the parent is at that moment; a panic goes on there. The
//!   parent chain is not the call chain.
//! - **Ownership**: a handle keeps nothing alive. The [`scope`] ends its greenlets, a [`Generator`] its body.
//! - **Threads**: a greenlet never leaves its thread, so `Rc`, `RefCell` and thread-locals may be held across a switch.
//!   A `RefCell` *borrow* held across one is seen by the others, as any borrow is.
//!
//! Layers: this module builds on `stack` and knows nothing of hubs, clocks or files.

pub(crate) mod body;
pub(crate) mod control;
mod current;
mod ending;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod family;
mod generator;
mod handle;
pub(crate) mod hot;
pub(crate) mod interrupt;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod run_queue;
mod scope;
pub(crate) mod seed;
mod switching;
mod thread_end;
pub(crate) mod trace;
mod unwinding;
pub(crate) mod wake;

pub use self::current::Current;
pub use self::error::{Deadlock, KillError, ParentError, SwitchError};
pub use self::generator::{Generator, Yield};
pub use self::handle::Greenlet;
pub use self::report::{PanicPolicy, UnobservedPanic, set_panic_policy};
pub use self::scope::{Inbox, Scope, Unbound, scope};
pub use self::trace::{TraceFn, TraceKind, Traced, set_trace};
