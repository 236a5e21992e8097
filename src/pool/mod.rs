//! Groups of tasks, and pools: groups with a limit.
//!
//! ```
//! use greenloom::pool::Pool;
//! use std::{cell::Cell, rc::Rc, time::Duration};
//!
//! let pool = Pool::new(3);
//! let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
//! let lengths = pool.map(["eat", "play", "sleep", "repeat"], {
//!     let (now, most) = (Rc::clone(&now), Rc::clone(&most));
//!     move |word| {
//!         now.set(now.get() + 1);
//!         most.set(most.get().max(now.get()));
//!         greenloom::sleep(Duration::from_millis(1));
//!         now.set(now.get() - 1);
//!         word.len()
//!     }
//! });
//! let lengths: Vec<usize> = lengths.into_iter().map(Result::unwrap).collect();
//! assert_eq!(lengths, [3, 4, 5, 6]);
//! assert_eq!((most.get(), pool.free_count()), (3, 3));
//! ```
//!
//! | call | starts | gives |
//! | --- | --- | --- |
//! | `spawn` | one, when there is a slot | its handle |
//! | [`Pool::try_spawn`], [`Pool::spawn_timeout`] | one, or none | its handle, or the closure again |
//! | `apply` | one, and waits for it; in a task of the pool itself, runs it there | its result |
//! | `apply_async` | one, which waits for its slot itself | its handle, and calls back |
//! | `map` | one for each item | all results, in order |
//! | `imap` | one for each item, as results are taken | the results, in order |
//! | `imap_unordered` | one for each item, as results are taken | the results, as they come |
//!
//! For a function of several arguments, map tuples: `pool.map([(2, 5), (3, 2)], |(a, b)| …)`.
//!
//! # Slots
//! A slot of a [`Pool`] is taken before its task exists, and given back when the closure has returned, panicked, or was
//! unwound by a kill; also if it is killed before it began. Those who wait for one get it in the order in which they came;
//! who is killed while it waits, or when it has just got one, takes none with it.
//!
//! # Threads
//! Groups and pools are handles: clones are the same group. They may be shared between threads, and a pool's limit is then
//! that of all together; each task belongs to the hub of the thread that spawned it. A thread that ends with tasks alive
//! leaks them, and their slots with them: [`hub::shutdown`](crate::hub::shutdown) ends them before that.
//!
//! # Dropping
//! A group that is dropped lets its tasks go on, as a handle does.
//!
//! ```text
//!   Pool ─► Group ─► Members { entries: key → (task, slot), empty: WaitGroup, slots: Semaphore }
//!                       ▲ key
//!           task: Body { f, member, after }        dropped in this order: then the slot is free
//! ```
#![forbid(unsafe_code)]

mod bounded;
mod call;
mod group;
mod imap;
mod members;

pub use self::bounded::{Full, Pool};
pub use self::group::{Group, Tasks};
pub use self::imap::{Imap, ImapUnordered};
