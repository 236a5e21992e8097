//! Greenlets and a gevent-style hub.
#![allow(dead_code)]
pub mod greenlet;
pub mod stack;
