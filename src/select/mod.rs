//! Waiting for the first of several things: [`Select`] for one wait that takes something, [`wait`] and [`iwait`] for many
//! things, one after the other.
//!
//! ```text
//! Select::new().on(a, f).on(b, g).wait()
//!    builder     ((( ), On a f), On b g)          arms by value, in the caller's frame: no allocation up to 8
//!    decide      attempt → register → park        park's `select`: registers all, commits one
//!    run         drops the other arms, calls the one closure
//!
//! wait, iwait    a notice with each thing, one board   registered once, however many are taken
//! ```
//!
//! What can be waited for is known here by three traits only: the things implement them, in the modules that they are of,
//! and add a method of their own to the builder there.
//!
//! | trait | for | by |
//! | --- | --- | --- |
//! | [`Source`] | an arm of a select | `&Event`, `&AsyncResult`, `&CancelToken`, `&mut Option<JoinHandle>`, descriptors … |
//! | [`Waitable`] | a thing of a `wait` | events, results, tokens, tasks, semaphores, queues … |
//! | `Arms` | what a builder has so far | this module |
//!
//! A new kind of arm is a struct with park's `Selectable` (what happens while it waits) and `sealed::Arm` (what it took), a
//! [`Source`] that makes it from what the user passes, and a method of [`Select`] named after it: all in the module that the
//! thing is of. `event/select.rs` is the shortest.
//!
//! This module may not know any of those things.
#![forbid(unsafe_code)]

mod arms;
mod builder;
mod first;
mod iwait;
pub(crate) mod sealed;

pub use self::arms::Arms;
pub use self::builder::Select;
pub use self::iwait::{Iwait, Waitable, iwait, wait};
pub use self::sealed::Source;
