//! Greenlets and a gevent-style hub.

pub mod stack;
