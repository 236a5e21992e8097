//! System calls on processes that std does not offer: a descriptor of a process, signals through it, its exit status.
//!
//! The only file of `process` with `unsafe`. It waits for nothing: `reap` asks.

use core::mem;
use core::ptr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use libc::{c_int, c_long, pid_t};

/// Whose exit status is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose<'a> {
    /// By its descriptor: never anybody else's.
    Descriptor(BorrowedFd<'a>),
    /// By its number, which is its own until it was reaped.
    Number(u32),
}

impl Whose<'_> {
    fn id(self) -> (libc::idtype_t, libc::id_t) {
        match self {
            // A descriptor that is open is not negative.
            Self::Descriptor(fd) => (libc::P_PIDFD, fd.as_raw_fd() as libc::id_t),
            Self::Number(pid) => (libc::P_PID, pid),
        }
    }
}

/// A descriptor of the process `pid`, a child that was not reaped: readable once it has ended. Closed by `exec`.
///
/// # Errors
/// `ENOSYS` before Linux 5.3; `EMFILE`, `ENFILE`; `ESRCH` if there is no such process.
pub(super) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    let none = 0_u32;
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as pid_t, none) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call made it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

/// Sends a signal to the process.
///
/// # Errors
/// `ESRCH` if it was reaped; `EPERM`; `EINVAL` if there is no such signal.
pub(super) fn send(whose: Whose<'_>, signal: c_int) -> io::Result<()> {
    let done = match whose {
        Whose::Descriptor(fd) => {
            let (info, flags) = (ptr::null::<libc::siginfo_t>(), 0_u32);
            // SAFETY: an open descriptor, and a null pointer, which the call allows.
            unsafe {
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    fd.as_raw_fd(),
                    signal,
                    info,
                    flags,
                )
            }
        }
        // SAFETY: plain numbers.
        Whose::Number(pid) => c_long::from(unsafe { libc::kill(pid as pid_t, signal) }),
    };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The exit status, if it has ended; then it is reaped, and gone.
///
/// # Errors
/// `ECHILD` if it is no child of this process, or was reaped already; `EINTR`.
pub(super) fn reap(whose: Whose<'_>) -> io::Result<Option<ExitStatus>> {
    wait(whose, libc::WEXITED | libc::WNOHANG)
}

/// Blocks the thread until the process has ended. It is not reaped.
///
/// # Errors
/// As [`reap`].
pub(super) fn block_until_ended(pid: u32) -> io::Result<()> {
    wait(Whose::Number(pid), libc::WEXITED | libc::WNOWAIT).map(drop)
}

fn wait(whose: Whose<'_>, options: c_int) -> io::Result<Option<ExitStatus>> {
    let (kind, id) = whose.id();
    // SAFETY: plain data, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: `info` is there for the call.
    if unsafe { libc::waitid(kind, id, &raw mut info, options) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: what was written tells of a child, or it is zero: then nobody has ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    // As `wait` of old put it into one number.
    let raw = match info.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    };
    Ok(Some(ExitStatus::from_raw(raw)))
}

/// Sets what calls on the open file do that would block.
///
/// # Errors
/// The system's.
pub(super) fn set_mode(fd: BorrowedFd<'_>, mode: Mode) -> io::Result<()> {
    // SAFETY: asks, and sets, flags of an open descriptor.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags == -1 {
        return Err(io::Error::last_os_error());
    }
    let new = match mode {
        Mode::Nonblocking => flags | libc::O_NONBLOCK,
        Mode::Blocking => flags & !libc::O_NONBLOCK,
    };
    // SAFETY: as above.
    if new != flags && unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, new) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Blocking,
    Nonblocking,
}
