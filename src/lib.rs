//! Greenlets and a gevent-style hub.
#![allow(dead_code)]

mod clock;
pub mod greenlet;
pub mod hub;
mod park;
mod reactor;
pub mod stack;
mod timers;
