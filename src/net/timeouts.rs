//! A socket's own timeouts, one for each direction, as `set_read_timeout` and `set_write_timeout` set them.
//!
//! ```text
//!   0          none
//!   n          so many nanoseconds; 2^64 - 1, 584 years, stands for anything longer
//! ```
//!
//! Atomics, since the socket is `Sync`. A call that waits already keeps the timeout it began with.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::time::Duration;

use crate::io::source::Until;

/// One timeout.
#[derive(Debug, Default)]
pub(super) struct Timeout(AtomicU64);

impl Timeout {
    /// # Errors
    /// Zero is `InvalidInput`, as in std.
    pub(super) fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let nanos = match timeout {
            None => 0,
            Some(d) => not_zero(d)?.as_nanos().try_into().unwrap_or(u64::MAX),
        };
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// What it says to the next wait.
    #[inline]
    pub(super) fn until(&self) -> Until {
        match self.0.load(Ordering::Relaxed) {
            0 => Until::Ever,
            nanos => Until::For(Duration::from_nanos(nanos)),
        }
    }

    /// Another one, set to the same.
    pub(super) fn copy(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// # Errors
/// `InvalidInput` if it is zero.
pub(super) fn not_zero(d: Duration) -> io::Result<Duration> {
    if d.is_zero() {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a timeout of zero cannot be set",
        ))
    } else {
        Ok(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_set_and_refuses_zero() {
        let timeout = Timeout::default();
        assert_eq!(timeout.get(), None);
        for d in [Duration::from_nanos(1), Duration::from_secs(3600)] {
            timeout.set(Some(d)).unwrap();
            assert_eq!(timeout.get(), Some(d));
            let error = timeout.set(Some(Duration::ZERO)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(timeout.copy().get(), Some(d), "an error changes nothing");
        }
        timeout.set(Some(Duration::MAX)).unwrap();
        assert!(timeout.get().unwrap() > Duration::from_secs(1 << 34));
        timeout.set(None).unwrap();
        assert_eq!(timeout.get(), None);
    }
}
