//! Greenlets and a gevent-style hub.

mod clock;
mod reactor;
mod timers;
