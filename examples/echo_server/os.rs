//! What the server asks of the operating system beside its sockets.
//!
//! A stop signal has to wake the accepting task at once and safely. In a handler next to nothing is allowed, so the
//! signals are blocked and a thread waits for them: it may call anything that is `Send`.

use std::mem::MaybeUninit;
use std::{ptr, thread};

/// SIGINT and SIGTERM, kept from ending the process.
pub(crate) struct StopSignals(libc::sigset_t);

impl StopSignals {
    /// Blocks them in this thread and in those it will start.
    pub(crate) fn block() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises the set before it is used; the other calls get valid pointers.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
            libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
            Self(set.assume_init())
        }
    }

    /// Calls `stop` when the first of them arrives, on a thread of its own: a real one, for `sigwait` blocks.
    pub(crate) fn once(self, stop: impl FnOnce() + Send + 'static) {
        thread::spawn(move || {
            let (signals, mut signal) = (self.0, 0);
            // SAFETY: the set is initialised, and `signal` outlives the call.
            unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
            stop();
        });
    }
}

/// `--check` holds both ends of every connection, more than the usual limit of 1024 descriptors leaves room for.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to a live `rlimit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
