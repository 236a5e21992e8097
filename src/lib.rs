#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`greenlet`] | the explicit switch: scopes, greenlets, generators |
//! | [`task`] | what the hub runs: `spawn`, join, kill, `timeout`, scopes, locals |
//! | [`hub`] | a thread's scheduler: its end, its limits, forks, handles for other threads, simulations |
//! | [`queue`] | queues and channels |
//! | [`time`] | sleeping, intervals, `Instant` |
//! | [`event`] | what tasks wait for: events, results that come later, cancel tokens |
//! | [`select`] | waiting for the first of several things, or for many one by one |
//! | [`future`] | `async` code in a task |
//! | [`process`], [`signal`] | child processes; signals |
//! | [`blocking`] | threads for what would block |
//! | [`io`], [`net`], [`fs`] | pipes, standard input and output, waiting for descriptors; sockets; files |
//! | [`server`] | servers: a task per connection, limits, an orderly end |
//! | [`sync`] | locks, semaphores, one-time initialisation: the shape of `std::sync` |
//! | [`thread`] | the shape of `std::thread` over tasks |
//! | [`pool`] | groups and pools of tasks |
//! | [`executor`] | futures of jobs, run by tasks or by threads |
//! | [`stack`] | sizes of stacks |
//! | [`inspect`] | dumps: what every task waits for, since when, where |
//!
//! Every call says under *Blocking* whether it switches. One that does is a *wait*: kills and the deadlines of
//! [`timeout`] are delivered there, and nowhere else.

pub mod blocking;
mod clock;
pub mod event;
pub mod executor;
pub mod fs;
pub mod future;
pub mod greenlet;
pub mod hub;
pub mod inspect;
pub mod io;
pub mod net;
mod park;
pub mod pool;
pub mod process;
pub mod queue;
mod reactor;
pub mod select;
pub mod server;
pub mod signal;
pub mod stack;
pub mod sync;
pub mod task;
pub mod thread;
pub mod time;
mod timers;

pub use blocking::offload;
pub use task::{current, join_all, spawn, spawn_later, timeout, yield_now};
pub use thread::thread_local;
pub use time::sleep;
