//! `FromRawFd` for `File`, which is unsafe to call. A file of its own so that the others need no unsafe code.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::File;

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller's promise is the same: `fd` is open and owned by nobody else.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}
