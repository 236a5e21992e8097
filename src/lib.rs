//! Greenlets and a gevent-style hub.

mod hub;
