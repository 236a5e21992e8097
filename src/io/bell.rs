//! How a plain thread that polls a descriptor learns that the handle it uses was closed.
//!
//! ```text
//!   the thread:   claim the direction ─► hang up the bell ─► closed? ─► poll [ descriptor, bell ] ─► take it down
//!   who closes:                mark it closed ─► ring what hangs there
//! ```
//!
//! Each step of hanging up, taking down and ringing is under the lock of the [`Place`](super::place::Place). So either the
//! thread sees the mark, or who closes sees the bell.
//!
//! The system wakes who polls a stream that is shut down, but neither a datagram socket nor a pipe can be shut down without
//! touching their clones. A thread has one bell, made by its first wait. It waits for one thing at a time, so a ring that
//! comes too late only makes its next wait look again.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::os;

/// An event descriptor, rung by any thread.
#[derive(Debug)]
pub(super) struct Bell {
    event: File,
    /// A child of `fork` has the same event, and would take away its parent's rings.
    forks: u64,
}

impl Bell {
    fn new() -> io::Result<Arc<Self>> {
        os::watch_forks()?;
        Ok(Arc::new(Self {
            event: os::event()?.into(),
            forks: os::forks(),
        }))
    }

    /// This thread's. `None` if no descriptor can be had, or the thread is about to end.
    pub(super) fn of_thread() -> Option<Arc<Self>> {
        thread_local! {
            static BELL: RefCell<Option<Arc<Bell>>> = const { RefCell::new(None) };
        }
        let mine = BELL.try_with(|bell| {
            let mut bell = bell.borrow_mut();
            if bell.as_ref().is_none_or(|bell| bell.forks != os::forks()) {
                *bell = Bell::new().ok();
            }
            bell.clone()
        });
        mine.ok().flatten()
    }

    pub(super) fn ring(&self) {
        // Fails only if 2^64 - 2 rings went unheard: then it is loud enough.
        let _ = (&self.event).write(&1_u64.to_ne_bytes());
    }

    /// Until the next ring.
    pub(super) fn hush(&self) {
        // Fails if nobody rang.
        let _ = (&self.event).read(&mut [0; 8]);
    }

    pub(super) fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
