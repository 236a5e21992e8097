//! Locks of files: asked for again and again, so that no thread of the pool waits for another process, or for a task that
//! needs a thread to let go.
//!
//! ```text
//! lock ──► try on a thread ── would block ──► pause: 1 ms, 2 ms, … 50 ms ──┐
//!              ▲  │ got it                                                 │
//!              └──┼────────────────────────────────────────────────────────┘
//!                 ▼
//!               Got: dropped untaken, because the caller has gone, it lets go again
//! ```
#![forbid(unsafe_code)]

use std::fs::{self, TryLockError};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::File;
use crate::io::offload::{offloaded, pause};

/// The pauses between two attempts: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How to try, in std's words.
type Attempt = fn(&fs::File) -> Result<(), TryLockError>;

/// A lock on its way from the worker to the caller.
struct Got(Option<Arc<fs::File>>);

impl Drop for Got {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            // The caller has gone. An error would mean that there is nothing to let go.
            let _ = file.unlock();
        }
    }
}

impl File {
    /// Waits for the file's lock, and takes it: no other open file has one then, shared or not. It is let go by
    /// [`unlock`](Self::unlock), or when the file and its clones are closed.
    ///
    /// There is no line: of several that wait, anyone may be next. If the wait is broken off and the lock comes at this very
    /// moment, it is let go at once; a shared one that the file held before is gone then, too.
    ///
    /// # Blocking
    /// Switches; asks again after pauses of up to 50 ms. See the [module](super).
    ///
    /// # Errors
    /// As [`std::fs::File::lock`].
    #[doc(alias = "flock")]
    pub fn lock(&self) -> io::Result<()> {
        self.lock_by(fs::File::try_lock)
    }

    /// As [`lock`](Self::lock), for a lock that several may have at once.
    ///
    /// # Errors
    /// As [`std::fs::File::lock_shared`].
    pub fn lock_shared(&self) -> io::Result<()> {
        self.lock_by(fs::File::try_lock_shared)
    }

    /// Takes the file's lock if it is free.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`]; as [`std::fs::File::try_lock`].
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.attempt(fs::File::try_lock)
    }

    /// As [`try_lock`](Self::try_lock), for a lock that several may have at once.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`]; as [`std::fs::File::try_lock_shared`].
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.attempt(fs::File::try_lock_shared)
    }

    /// Lets the lock go.
    ///
    /// # Errors
    /// As [`std::fs::File::unlock`].
    pub fn unlock(&self) -> io::Result<()> {
        self.with(fs::File::unlock)
    }

    fn lock_by(&self, how: Attempt) -> io::Result<()> {
        let mut length = FIRST_PAUSE;
        loop {
            match self.attempt(how) {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(e)) => return Err(e),
                Err(TryLockError::WouldBlock) => {}
            }
            pause("lock of file", length)?;
            length = (length * 2).min(LONGEST_PAUSE);
        }
    }

    fn attempt(&self, how: Attempt) -> Result<(), TryLockError> {
        let file = Arc::clone(&self.file);
        let got = offloaded(move || how(&file).map(|()| Got(Some(file))));
        let mut got = got.map_err(TryLockError::Error)??;
        drop(got.0.take());
        Ok(())
    }
}
