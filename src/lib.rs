//! Greenlets and a gevent-style hub.
#![allow(dead_code)]

mod clock;
pub mod greenlet;
mod reactor;
pub mod stack;
mod timers;

mod hub;
