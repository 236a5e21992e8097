//! Greenlets and a gevent-style hub.
