//! What an accept that failed means for the server, and how long it waits before the next.
//!
//! | error | meaning |
//! | --- | --- |
//! | `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, a limit of the hub | scarce: the connection waits, so does the server |
//! | `ECONNABORTED`, and what accept(2) says is pending on the new socket | that connection's own: the next one, please |
//! | any other | the listener is of no use any more |
//!
//! This file waits for nothing.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use crate::hub::LimitReached;

/// See the file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is none of something now; there may be later.
    Scarce,
    /// It was this connection's own.
    Own,
    /// It will not get better.
    Fatal,
}

/// What an accept's error means.
pub(super) fn verdict(error: &io::Error) -> Verdict {
    if let Some(inner) = error.get_ref() {
        return if inner.is::<LimitReached>() {
            Verdict::Scarce
        } else {
            Verdict::Fatal
        };
    }
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Verdict::Scarce,
        // accept(2): Linux passes errors that are pending on the new socket, and a firewall may forbid it. A socket for
        // datagrams tells by ECONNREFUSED that one which it sent has found nobody.
        Some(
            libc::ECONNABORTED
            | libc::ECONNREFUSED
            | libc::ECONNRESET
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::ETIMEDOUT
            | libc::EPERM,
        ) => Verdict::Own,
        _ => Verdict::Fatal,
    }
}

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// How long to wait after the next failure: doubles up to a second, begins anew after a success.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(FIRST)
    }

    /// The wait that is due now.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST);
        now
    }

    pub(super) fn succeeded(&mut self) {
        self.0 = FIRST;
    }
}
