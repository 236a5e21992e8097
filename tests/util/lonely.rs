//! Runs a test's body in a process that has one thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::util::{self, describe};

/// Runs `body` in a process with one thread, and fails with its output if it fails or takes more than a minute.
#[track_caller]
pub(crate) fn lonely(test_name: &str, body: impl FnOnce()) {
    if !util::is_child(test_name) {
        let output = util::run(&mut util::child(test_name));
        assert!(output.status.success(), "{}", describe(&output));
        return;
    }
    // SAFETY: the child calls nothing that another thread could have left locked: the harness's thread waits for this
    // one without a lock.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: a plain system call. The signal's default ends the process.
            unsafe { libc::alarm(60) };
            let failed = catch_unwind(AssertUnwindSafe(body)).is_err();
            // SAFETY: ends the process; what else there is belongs to the parent.
            unsafe { libc::_exit(i32::from(failed)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is there for the call.
            let waited = unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!((waited, status), (child, 0), "pid and status of the child");
        }
    }
}
