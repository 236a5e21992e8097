//! Greenlets and a gevent-style hub.
#![allow(dead_code)]

mod clock;
pub mod greenlet;
pub mod hub;
mod park;
mod reactor;
pub mod stack;
pub mod task;
pub mod time;
mod timers;

pub use task::{current, join_all, spawn, spawn_later, timeout, yield_now};
pub use time::sleep;
