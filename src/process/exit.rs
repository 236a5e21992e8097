//! The end of a child: waiting for it, fetching its status once, signals until then.
//!
//! ```text
//! by descriptor   pidfd: readable once the child has ended            Linux 5.3 and later
//! by thread       a pipe whose other end a thread closes that waits   where there is no pidfd
//!
//! not reaped ── waitid says how it ended ──► reaped: `status` is set, and nothing goes to its number any more
//! ```
//!
//! Both are one descriptor to wait for, so the rest is the same: `waitid` is the call that would block, in io's loop. A kill
//! or a deadline comes before a call that reaps, or instead of it, so a status is never lost.
#![forbid(unsafe_code)]

use core::panic::Location;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::thread;

use libc::c_int;

use super::os::{self, Whose};
use crate::io::source::{Call, Left, Source, Until};
use crate::reactor::Direction;

/// A descriptor kept free for a child that is about to be started, so that none is started that could not be waited for.
#[derive(Debug)]
pub(super) enum Reserved {
    Descriptor(OwnedFd),
    /// There are no such descriptors here: the ends of the pipe.
    Pipe(io::PipeReader, io::PipeWriter),
}

impl Reserved {
    /// # Errors
    /// No descriptor is left.
    pub(super) fn new() -> io::Result<Self> {
        match os::pidfd_open(std::process::id()) {
            Ok(own) => Ok(Self::Descriptor(own)),
            Err(e) if is_unsupported(&e) => Self::pipe(),
            Err(e) => Err(e),
        }
    }

    pub(super) fn pipe() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self::Pipe(reader, writer))
    }
}

fn is_unsupported(e: &io::Error) -> bool {
    // EPERM: by a filter of system calls that does not know it.
    matches!(
        e.raw_os_error(),
        Some(libc::ENOSYS | libc::EPERM | libc::EINVAL)
    )
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Exit {
    pid: u32,
    by_descriptor: bool,
    source: Source<OwnedFd>,
    status: OnceLock<ExitStatus>,
}

impl Exit {
    /// For the child `pid` of this process, which was not reaped.
    ///
    /// # Errors
    /// No descriptor, or thread, could be had; there is no such process.
    pub(super) fn of(pid: u32, reserved: Reserved) -> io::Result<Self> {
        let (by_descriptor, fd) = match reserved {
            Reserved::Descriptor(spare) => {
                // With the spare one at hand, if there is another; else in its place.
                let fd = os::pidfd_open(pid).or_else(|_| {
                    drop(spare);
                    os::pidfd_open(pid)
                })?;
                (true, fd)
            }
            Reserved::Pipe(reader, writer) => {
                thread::Builder::new()
                    .name(format!("wait for {pid}"))
                    .spawn(move || wait_in_thread(pid, &writer))?;
                (false, reader.into())
            }
        };
        Ok(Self {
            pid,
            by_descriptor,
            source: Source::new(fd),
            status: OnceLock::new(),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Readable once the child has ended.
    pub(super) fn fd(&self) -> &OwnedFd {
        self.source.io()
    }

    /// The status, if it was fetched.
    pub(super) fn known(&self) -> Option<ExitStatus> {
        self.status.get().copied()
    }

    /// The status, if the child has ended.
    pub(super) fn ask(&self) -> io::Result<Option<ExitStatus>> {
        loop {
            match self.reap(self.fd()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// The status, once the child has ended.
    #[track_caller]
    pub(super) fn wait(&self, until: Until) -> io::Result<ExitStatus> {
        let call = Call {
            direction: Direction::Read,
            kind: "end of the child with descriptor",
            until,
            site: Location::caller(),
        };
        self.source.run(&call, |fd| match self.reap(fd)? {
            Some(status) => Ok((status, Left::Unknown)),
            None => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    fn reap(&self, fd: &OwnedFd) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.known() {
            return Ok(Some(status));
        }
        let status = os::reap(self.whose(fd))?;
        if let Some(status) = status {
            // Only who holds the child mutably gets here, and it is reaped once.
            let _ = self.status.set(status);
        }
        Ok(status)
    }

    fn whose<'a>(&self, fd: &'a OwnedFd) -> Whose<'a> {
        if self.by_descriptor {
            Whose::Descriptor(fd.as_fd())
        } else {
            Whose::Number(self.pid)
        }
    }

    /// Sends it a signal, unless it has ended.
    pub(super) fn send(&self, signal: c_int) -> io::Result<()> {
        if self.known().is_some() {
            return Ok(());
        }
        match os::send(self.whose(self.fd()), signal) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }
}

/// The pipe's end is dropped when the child has ended, or cannot be waited for, of which the reaping then tells.
fn wait_in_thread(pid: u32, _writer: &io::PipeWriter) {
    while let Err(e) = os::block_until_ended(pid) {
        if e.kind() != io::ErrorKind::Interrupted {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    /// Started, to be waited for by its number.
    fn start(script: &str) -> u32 {
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).stdout(Stdio::null()).spawn();
        child.unwrap().id()
    }

    fn both(script: &str, check: impl Fn(Exit)) {
        for reserved in [Reserved::new().unwrap(), Reserved::pipe().unwrap()] {
            check(Exit::of(start(script), reserved).unwrap());
        }
    }

    #[test]
    fn by_descriptor_and_by_thread_the_status_is_the_same() {
        both("exit 7", |exit| {
            assert_eq!(exit.wait(Until::Ever).unwrap().code(), Some(7));
            assert_eq!(exit.wait(Until::Ever).unwrap().code(), Some(7));
            assert_eq!(exit.ask().unwrap().unwrap().code(), Some(7));
            // Reaped: nobody is sent anything.
            exit.send(libc::SIGKILL).unwrap();
        });
    }

    #[test]
    fn a_signal_ends_it_and_is_its_status() {
        both("exec sleep 1000", |exit| {
            assert!(exit.ask().unwrap().is_none());
            let late = exit.wait(Until::within(Duration::from_millis(1)));
            assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
            exit.send(libc::SIGKILL).unwrap();
            let status = exit.wait(Until::Ever).unwrap();
            assert_eq!(
                (status.code(), status.signal()),
                (None, Some(libc::SIGKILL))
            );
        });
    }

    #[test]
    fn a_task_that_waits_lets_others_run() {
        both("exec sleep 1000", |exit| {
            let exit = std::rc::Rc::new(exit);
            let same = std::rc::Rc::clone(&exit);
            let waiter = crate::task::spawn(move || same.wait(Until::Ever));
            crate::task::yield_now();
            exit.send(libc::SIGTERM).unwrap();
            assert_eq!(
                waiter.join().unwrap().unwrap().signal(),
                Some(libc::SIGTERM)
            );
        });
    }
}
